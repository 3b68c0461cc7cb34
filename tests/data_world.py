"""Small labelled folders for the tests of ``faceparts data``: packed CelebAMask, all unlike."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from faceparts.labels import CELEBA19
from faceparts.types import Image

HW = (96, 80)


def pattern(seed: int, hw: tuple[int, int] = HW) -> Image:
    """A picture of soft blobs, unlike that of any other seed."""
    cells = np.random.default_rng(seed).integers(0, 256, (14, 12, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(cells, hw[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def face_ids(hw: tuple[int, int] = HW, *, swapped: bool = False) -> NDArray[np.uint8]:
    """Skin with eyes, nose and mouth; the subject's left eye on the image right."""
    ids = np.zeros(hw, np.uint8)
    h, w = hw
    ids[h // 6 : -h // 6, w // 5 : -w // 5] = CELEBA19.id("skin")
    eyes = ("left_eye", "right_eye") if swapped else ("right_eye", "left_eye")
    for name, x in zip(eyes, (w // 3, 2 * w // 3), strict=True):
        ids[h // 3 : h // 3 + 6, x - 5 : x + 5] = CELEBA19.id(name)
    ids[h // 2 : h // 2 + 8, w // 2 - 4 : w // 2 + 4] = CELEBA19.id("nose")
    ids[2 * h // 3 : 2 * h // 3 + 5, w // 2 - 9 : w // 2 + 9] = CELEBA19.id("mouth")
    return ids


def save_pair(
    root: Path,
    split: str,
    key: str,
    image: Image,
    ids: NDArray[np.uint8] | None = None,
    *,
    quality: int = 95,
) -> Path:
    """One pair in ``ROOT/SPLIT/{images,masks}``; returns the photo."""
    for name in ("images", "masks"):
        (root / split / name).mkdir(parents=True, exist_ok=True)
    photo = root / split / "images" / f"{key}.jpg"
    PilImage.fromarray(image).save(photo, quality=quality)
    labels = face_ids(image.shape[:2]) if ids is None else ids
    PilImage.fromarray(labels).save(root / split / "masks" / f"{key}.png")
    return photo


def save_set(root: Path, *, train: int = 3, val: int = 2) -> Path:
    """A set without faults."""
    for i in range(train):
        save_pair(root, "train", f"t{i}", pattern(i))
    for i in range(val):
        save_pair(root, "val", f"v{i}", pattern(100 + i))
    return root
