"""Drawn portraits with known parts, and a FASSEG folder of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as PilImage

from faceparts.datasets import fasseg
from faceparts.labels import FASSEG6

PARTS = ("background", "mouth", "nose", "right_eye", "left_eye", "hair", "skin")


def draw_portrait(seed: int, hw: tuple[int, int] = (60, 48)) -> tuple[np.ndarray, np.ndarray]:
    """A face of six parts, moved and coloured by the seed: picture and ids of FASSEG6."""
    rng = np.random.default_rng(seed)
    height, width = hw
    y, x = np.mgrid[:height, :width] + 0.5
    middle_x, middle_y = width / 2 + rng.uniform(-3, 3), height / 2 + rng.uniform(-3, 3)

    def oval(dx: float, dy: float, rx: float, ry: float) -> np.ndarray:
        return ((x - middle_x - dx) / rx) ** 2 + ((y - middle_y - dy) / ry) ** 2 <= 1

    ids = np.zeros(hw, np.uint8)
    ids[oval(0, -4, 17, 22)] = FASSEG6.id("hair")
    ids[oval(0, 2, 13, 17)] = FASSEG6.id("skin")
    ids[oval(0, 4, 3, 4)] = FASSEG6.id("nose")
    ids[oval(0, 11, 6, 2.5)] = FASSEG6.id("mouth")
    ids[oval(-6, -3, 3, 2)] = ids[oval(6, -3, 3, 2)] = FASSEG6.id("eyes")
    colours = {
        "background": (90, 120, 160),
        "mouth": (190, 70, 80),
        "skin": (220, 180, 150),
        "hair": (70, 45, 30),
        "nose": (205, 155, 125),
        "eyes": (40, 60, 110),
    }
    table = np.array([colours[p] for p in FASSEG6.parts], float)
    image = table[ids] + rng.normal(0, 8, (*hw, 3)) + rng.uniform(-12, 12, 3)
    return np.clip(image, 0, 255).astype(np.uint8), ids


def write_fasseg(root: Path, count: int = 6) -> Path:
    """V2 test photos 1..count, and V3 photos of two persons at yaw 0 and 30; JPEG-free."""
    paint = np.uint8([fasseg.PAINT[p] for p in FASSEG6.parts])

    def save(folder: str, labels: str, name: str, seed: int) -> None:
        image, ids = draw_portrait(seed)
        for kind, pixels in ((folder, image), (labels, paint[ids])):
            path = root / kind / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            PilImage.fromarray(pixels).save(path)

    for i in range(1, count + 1):
        save("V2/Test_RGB", "V2/Test_Labels", str(i), i)
    for person in (1, 2):
        for series in (1, 2):
            for yaw in ("0", "+30"):
                name = f"{yaw}/personne{person:02d}{series}46+0{yaw}"
                save("V3/Train_RGB", "V3/Train_labels", name, 100 * person + 10 * series + len(yaw))
    return root


def arrays(count: int, side: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """(N, S, S, 3) pictures and (N, S, S) FASSEG6 ids."""
    pairs = [draw_portrait(seed, (side, side)) for seed in range(count)]
    return np.stack([p for p, _ in pairs]), np.stack([i for _, i in pairs])
