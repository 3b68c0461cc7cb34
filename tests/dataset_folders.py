"""Drawn pictures written to disk in the layout of every dataset.

A new file in ``faceparts/datasets`` needs an entry in `WRITERS`: a function that writes one drawn
picture into a split. The contract tests then run on it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from drawn import drawn_face
from faceparts import labels
from faceparts.datasets import fasseg
from faceparts.types import POINTS_MIRROR, Image

HW = (90, 120)
CENTER_XY, SIZE_WH, ROLL_DEG = (50.0, 44.0), (46.0, 60.0), 9.0


@dataclass(frozen=True, eq=False)
class Drawn:
    """A picture with one head: CelebAMask ids, head box, points and the 68 marks of iBUG."""

    image: Image
    ids: NDArray[np.uint8]
    box_xyxy: NDArray[np.float32]
    points: NDArray[np.float32]
    marks: NDArray[np.float32]


def draw(seed: int = 0, *, mirrored: bool = False) -> Drawn:
    """A head left of the middle, tilted, so that the mirrored picture is another one."""
    image, face = drawn_face(HW, CENTER_XY, SIZE_WH, roll_deg=ROLL_DEG, seed=seed)
    ids = np.zeros(HW, np.uint8)
    x0, y0, x1, y1 = face.window_xyxy
    ids[y0:y1, x0:x1] = face.labels
    box, points, marks = np.float32(face.head.box_xyxy), face.head.points.copy(), ibug_marks()
    if not mirrored:
        return Drawn(image, ids, box, points, marks)
    w = HW[1]
    points, marks = points[list(POINTS_MIRROR)], marks[list(IBUG_MIRROR)]
    points[:, 0], marks[:, 0] = w - points[:, 0], w - marks[:, 0]
    return Drawn(
        np.ascontiguousarray(image[:, ::-1]),
        np.uint8(labels.CELEBA19.mirror)[ids[:, ::-1]],
        np.float32([w - box[2], box[1], w - box[0], box[3]]),
        points,
        marks,
    )


IBUG_MIRROR = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    *range(27, 31),
    *range(35, 30, -1),
    *(45, 44, 43, 42, 47, 46),
    *(39, 38, 37, 36, 41, 40),
    *range(54, 47, -1),
    *range(59, 54, -1),
    *range(64, 59, -1),
    *range(67, 64, -1),
)
"""iBUG's order after the picture was mirrored."""


def ibug_marks() -> NDArray[np.float32]:
    """(68, 2) marks of the drawn head in picture pixels."""

    def arc(
        centre: tuple[float, float], radii: tuple[float, float], turns: list[float]
    ) -> list[tuple[float, float]]:
        (cu, cv), (ru, rv) = centre, radii
        return [
            (cu + ru * math.cos(math.radians(t)), cv + rv * math.sin(math.radians(t)))
            for t in turns
        ]

    around = [180.0, 240.0, 300.0, 0.0, 60.0, 120.0]
    uv = [
        *arc((0, 0.2), (0.72, 0.8), [180 - 180 / 16 * i for i in range(17)]),
        *[(-0.5 + 0.1 * i, -0.15) for i in range(5)],
        *[(0.1 + 0.1 * i, -0.15) for i in range(5)],
        *[(0.0, 0.08 + 0.1 * i) for i in range(4)],
        *[(-0.1 + 0.05 * i, 0.42) for i in range(5)],
        *arc((-0.3, 0.02), (0.16, 0.08), around),
        *arc((0.3, 0.02), (0.16, 0.08), around),
        *arc((0, 0.62), (0.28, 0.13), [180 + 30 * i for i in range(12)]),
        *arc((0, 0.63), (0.2, 0.04), [180 + 45 * i for i in range(8)]),
    ]
    turn = math.radians(ROLL_DEG)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    at = np.array(uv) * np.array(SIZE_WH) / 2 @ rotation.T + CENTER_XY
    return np.asarray(at, np.float32)


def save(path: Path, pixels: NDArray[np.uint8]) -> Path:
    """Write a picture file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PilImage.fromarray(pixels).save(path, quality=100, subsampling=0, lossless=True)
    return path


def write_celebamask(root: Path, split: str, key: str, one: Drawn) -> None:
    save(root / split / "images" / f"{key}.jpg", one.image)
    save(root / split / "masks" / f"{key}.png", one.ids)


def write_coco_keypoints(root: Path, split: str, key: str, one: Drawn) -> None:
    path = save(root / split / f"{key}.png", one.image)
    file = root / "annotations" / f"person_keypoints_{split}.json"
    table = {"images": [], "annotations": []}
    if file.exists():
        table = json.loads(file.read_text())
    h, w = one.image.shape[:2]
    joints = np.zeros((17, 3))
    for ours, coco in ((2, 0), (1, 1), (0, 2), (4, 3), (3, 4)):
        if not np.isnan(one.points[ours]).any():
            joints[coco] = (*(one.points[ours, :2] - 0.5), 2)
    x0, y0, x1, y1 = one.box_xyxy.tolist()
    person = {
        "id": int(key),
        "image_id": int(key),
        "category_id": 1,
        "iscrowd": 0,
        "area": (x1 - x0) * (y1 - y0),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
        "num_keypoints": int((joints[:, 2] > 0).sum()),
        "keypoints": joints.ravel().tolist(),
    }
    table["images"].append({"id": int(key), "file_name": path.name, "height": h, "width": w})
    table["annotations"].append(person)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(table))


def write_facecrops(root: Path, split: str, key: str, one: Drawn) -> None:
    save(root / "some" / f"{key}.jpg", one.image)
    save(root / "some" / f"{key}.png", one.ids)


def write_facesynthetics(root: Path, split: str, key: str, one: Drawn) -> None:
    save(root / f"{key}.png", one.image)
    ids = labels.convert(one.ids, labels.CELEBA19, labels.FACESYNTHETICS19, rest=0)
    save(root / f"{key}_seg.png", ids)


def write_fasseg(root: Path, split: str, key: str, one: Drawn) -> None:
    version, part = split.split("-")
    words, yaw = ("labels", "0/") if version == "v3" else ("Labels", "")
    ids = labels.convert(one.ids, labels.CELEBA19, labels.FASSEG6, rest=0)
    paint = np.uint8([fasseg.PAINT[p] for p in labels.FASSEG6.parts])
    folder = root / version.upper()
    save(folder / f"{part.title()}_RGB" / f"{yaw}{key}.bmp", one.image)
    save(folder / f"{part.title()}_{words}" / f"{yaw}{key}.bmp", paint[ids])


def write_figaro(root: Path, split: str, key: str, one: Drawn) -> None:
    save(root / f"{key}.jpg", one.image)
    save(root / f"{key}.png", np.uint8(255 * (one.ids == labels.CELEBA19.id("hair"))))


def write_helen_landmarks(root: Path, split: str, key: str, one: Drawn) -> None:
    save(root / f"{key}.jpg", one.image)
    rows = "\n".join(f"{x:.6f} {y:.6f}" for x, y in one.marks)
    (root / f"{key}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{rows}\n}}\n")


def write_scut_head(root: Path, split: str, key: str, one: Drawn) -> None:
    save(root / split / "images" / f"{key}.jpg", one.image)
    names = ("xmin", "ymin", "xmax", "ymax")
    box = "".join(f"<{n}>{float(v)!r}</{n}>" for n, v in zip(names, one.box_xyxy, strict=True))
    path = root / split / "annotations" / f"{key}.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"<annotation><object><name>head</name><bndbox>{box}</bndbox></object></annotation>"
    )


WRITERS: dict[str, Callable[[Path, str, str, Drawn], None]] = {
    "celebamask": write_celebamask,
    "coco_keypoints": write_coco_keypoints,
    "facecrops": write_facecrops,
    "facesynthetics": write_facesynthetics,
    "fasseg": write_fasseg,
    "figaro": write_figaro,
    "helen_landmarks": write_helen_landmarks,
    "scut_head": write_scut_head,
}
"""Name of an adapter -> writes one picture into ``root`` so that ``load(root, split)`` finds it."""
