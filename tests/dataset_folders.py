"""Drawn pictures written to disk in the layout of every dataset.

A new file in ``faceparts/datasets`` needs an entry in `WRITERS`: a function that writes one drawn
picture into a split. The contract tests then run on it. A set that is read in several layouts has
one entry each, ``"adapter/layout"``, and `SPLITS_OF` says which splits a layout has if not all.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from drawn import drawn_face
from faceparts import labels
from faceparts.datasets import celebamask, fasseg, helen_original, lfw_crops, lfw_parts, nprportrait
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


@cache
def draw(seed: int = 0, *, mirrored: bool = False) -> Drawn:
    """A head left of the middle, tilted, so that the mirrored picture is another one.

    All callers share the arrays: they are read-only.
    """
    drawn = _draw(seed, mirrored)
    for array in vars(drawn).values():
        array.flags.writeable = False
    return drawn


def _draw(seed: int, mirrored: bool) -> Drawn:
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


def add_line(path: Path, *lines: str) -> None:
    """Append lines to a list; an empty list gets the first ones given as its head."""
    path.parent.mkdir(parents=True, exist_ok=True)
    old = path.read_text() if path.is_file() else ""
    fresh = lines[-1:] if old else lines
    path.write_text(old + "".join(f"{line}\n" for line in fresh))


def train_or_test(key: str) -> str:
    """Where a picture lies when all splits are asked for: odd ones train."""
    return "train" if int(key) % 2 else "test"


def as_set(one: Drawn, target: labels.LabelSet) -> NDArray[np.uint8]:
    """The drawn ids in another label set; what it lacks is background."""
    return labels.convert(one.ids, labels.CELEBA19, target, rest=0)


def write_celebamask_packed(root: Path, split: str, key: str, one: Drawn) -> None:
    folder = root / ("train" if split == "all" else split)
    save(folder / "images" / f"{key}.jpg", one.image)
    save(folder / "masks" / f"{key}.png", one.ids)


def write_celebamask(root: Path, split: str, key: str, one: Drawn) -> None:
    """As published: the photo is twice as large as its masks, one mask a part."""
    save(root / "CelebA-HQ-img" / f"{key}.jpg", one.image.repeat(2, axis=0).repeat(2, axis=1))
    for i, part in enumerate(celebamask.PARTS, 1):
        if (one.ids == i).any():
            grey = np.uint8(255 * (one.ids == i))
            name = f"{int(key):05d}_{part}.png"
            save(root / "CelebAMask-HQ-mask-anno" / "0" / name, grey[..., None].repeat(3, axis=2))
    original = f"{1000 + int(key):06d}.jpg"
    row = f"{key:<10}{1000 + int(key):<10}{original}"
    add_line(root / "CelebA-HQ-to-CelebA-mapping.txt", "idx  orig_idx  orig_file", row)
    flag = {"train": 0, "val": 1, "test": 2, "all": 0}[split]
    add_line(root / "list_eval_partition.txt", f"{original} {flag}")


def write_lapa(root: Path, split: str, key: str, one: Drawn) -> None:
    """LaPa's left is the viewer's."""
    folder = root / ("test" if split == "all" else split)
    save(folder / "images" / f"{key}.jpg", one.image)
    save(folder / "labels" / f"{key}.png", as_set(one, labels.viewers(labels.LAPA11)))
    rows = "\n".join(f"{x:.3f} {y:.3f}" for x, y in np.resize(one.marks, (106, 2)))
    add_line(folder / "landmarks" / f"{key}.txt", "106", rows)


def write_helen(root: Path, split: str, key: str, one: Drawn) -> None:
    save(root / split / f"{key}_image.jpg", one.image)
    save(root / split / f"{key}_label.png", as_set(one, labels.viewers(labels.LAPA11)))
    save(root / split / f"{key}_viz.jpg", one.image)


def write_helen_original(root: Path, split: str, key: str, one: Drawn) -> None:
    """Maps that are 70 % sure, with a faint second opinion everywhere."""
    save(root / "images" / f"{key}.jpg", one.image)
    ids = as_set(one, labels.viewers(labels.LAPA11))
    for i in range(len(labels.LAPA11.parts)):
        map_ = np.where(ids == i, 178, 12 if i < 2 else 0)
        save(root / "labels" / key / f"{key}_lbl{i:02d}.png", np.uint8(map_))
    add_line(root / helen_original.LISTS[split], f"{key} , {key}")


def write_ibugmask(root: Path, split: str, key: str, one: Drawn) -> None:
    save(root / split / f"{key}_00.jpg", one.image)
    save(root / split / f"{key}_00.png", as_set(one, labels.viewers(labels.LAPA11)))


def write_lfw_parts(root: Path, split: str, key: str, one: Drawn) -> None:
    person = "Ann_Other"
    paint = np.uint8([lfw_parts.PAINT[p] for p in labels.LFW3.parts])
    save(root / "lfw_funneled" / person / f"{person}_000{key}.jpg", one.image)
    folder = root / "parts_lfw_funneled_gt_images"
    save(folder / f"{person}_000{key}.ppm", paint[as_set(one, labels.LFW3)])
    add_line(
        root / lfw_parts.LISTS[train_or_test(key) if split == "all" else split], f"{person} {key}"
    )


def write_easyportrait(root: Path, split: str, key: str, one: Drawn) -> None:
    save(root / "images" / split / f"{key}.jpg", one.image)
    save(root / "annotations" / split / f"{key}.png", as_set(one, labels.EASYPORTRAIT9))
    head = "attachment_id,user_id,data_hash"
    add_line(root / "annotations" / "meta.csv", head, f"{key},user-{key},abc")


def write_cofw_masks(root: Path, split: str, key: str, one: Drawn) -> None:
    save(root / "images" / f"{key}.png", one.image)
    save(root / "masks" / f"mask_{key}.png", as_set(one, labels.FACE2) * np.uint8(255))


def write_figaro_published(root: Path, split: str, key: str, one: Drawn) -> None:
    chosen = train_or_test(key) if split == "all" else split
    folder = {"train": "Training", "test": "Testing"}[chosen]
    save(root / "Original" / folder / f"Frame0000{key}-org.jpg", one.image)
    path = root / "GT" / folder / f"Frame0000{key}-gt.pbm"
    path.parent.mkdir(parents=True, exist_ok=True)
    PilImage.fromarray(one.ids == labels.CELEBA19.id("hair")).save(path)


def write_nprportrait(root: Path, split: str, key: str, one: Drawn) -> None:
    version = "v1.0" if split == "all" else split
    paint = np.uint8([nprportrait.PAINT[p] for p in labels.NPRPORTRAIT15.parts])
    painted = paint[as_set(one, labels.NPRPORTRAIT15)]
    alpha = np.uint8(255 * painted.any(axis=2, keepdims=True))
    save(root / "images" / version / "level1" / f"{key}.png", one.image)
    folder = root / "segmentations" / version / "level1"
    save(folder / f"{key}.png", np.concatenate([painted, alpha], axis=2))


def write_pairs(root: Path, split: str, key: str, one: Drawn) -> None:
    """Colours of the CelebAMask palette, described in ``pairs.toml``."""
    every = labels.CELEBA19
    save(root / "images" / "deep" / f"{key}.jpg", one.image)
    save(root / "masks" / "deep" / f"{key}.png", np.uint8(every.colors)[one.ids])
    rows = [f"{p} = {list(c)}" for p, c in zip(every.parts, every.colors, strict=True)]
    (root / "pairs.toml").write_text("[parts]\n" + "\n".join(rows))


def write_pairs_cvat(root: Path, split: str, key: str, one: Drawn) -> None:
    every = labels.CELEBA19
    save(root / "JPEGImages" / f"{key}.jpg", one.image)
    save(root / "SegmentationClass" / f"{key}.png", np.uint8(every.colors)[one.ids])
    save(root / "SegmentationObject" / f"{key}.png", np.uint8(every.colors)[one.ids])
    rows = [f"{p}:{c[0]},{c[1]},{c[2]}::" for p, c in zip(every.parts, every.colors, strict=True)]
    (root / "labelmap.txt").write_text("# label:color_rgb:parts:actions\n" + "\n".join(rows))
    add_line(root / "ImageSets" / "Segmentation" / "default.txt", key)


def write_pairs_labelme(root: Path, split: str, key: str, one: Drawn) -> None:
    """Every run of equal pixels in a row is a polygon of its own."""
    save(root / f"{key}.jpg", one.image)
    shapes = []
    for y, row in enumerate(one.ids.tolist()):
        ends = [x for x in range(1, len(row)) if row[x] != row[x - 1]] + [len(row)]
        for x0, x1 in zip([0, *ends], ends, strict=False):
            points = [[x0, y], [x1, y], [x1, y + 1], [x0, y + 1]]
            part = labels.CELEBA19.parts[row[x0]]
            shapes.append({"label": part, "points": points, "shape_type": "polygon"})
    content = {"imagePath": f"{key}.jpg", "imageHeight": HW[0], "imageWidth": HW[1]}
    (root / f"{key}.json").write_text(json.dumps({**content, "shapes": shapes}))
    (root / "labels.txt").write_text("__ignore__\n" + "\n".join(labels.CELEBA19.parts))


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
    save(root / f"{key}_seg.png", as_set(one, labels.viewers(labels.FACESYNTHETICS19)))


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


def write_lfw_crops(root: Path, split: str, key: str, one: Drawn) -> None:
    people = (f"{key}_Person_{i}" for i in range(1000))
    person = next(p for p in people if split in ("all", lfw_crops.split_of(p)))
    save(root / f"{person}_0003.jpg", one.image)
    save(root / f"{person}_0003.png", one.ids)


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
    "celebamask/packed": write_celebamask_packed,
    "coco_keypoints": write_coco_keypoints,
    "cofw_masks": write_cofw_masks,
    "easyportrait": write_easyportrait,
    "facecrops": write_facecrops,
    "facesynthetics": write_facesynthetics,
    "fasseg": write_fasseg,
    "figaro": write_figaro_published,
    "figaro/folder": write_figaro,
    "helen": write_helen,
    "helen_landmarks": write_helen_landmarks,
    "helen_original": write_helen_original,
    "ibugmask": write_ibugmask,
    "lapa": write_lapa,
    "lfw_crops": write_lfw_crops,
    "lfw_parts": write_lfw_parts,
    "nprportrait": write_nprportrait,
    "pairs": write_pairs,
    "pairs/cvat": write_pairs_cvat,
    "pairs/labelme": write_pairs_labelme,
    "scut_head": write_scut_head,
}
"""Name of an adapter -> writes one picture into ``root`` so that ``load(root, split)`` finds it."""

SPLITS_OF = {"figaro/folder": ("all",)}
"""Splits of a layout that has fewer than its adapter."""

LOSES = {
    "celebamask": "mask-anno/",
    "celebamask/packed": "/masks/",
    "cofw_masks": "/images/",
    "easyportrait": "/annotations/.*png",
    "facecrops": r"\.png",
    "facesynthetics": r"/\d+\.png",
    "figaro": r"-gt\.pbm",
    "figaro/folder": r"\.png",
    "helen": r"_label\.png",
    "helen_landmarks": r"\.pts",
    "helen_original": "/labels/",
    "ibugmask": r"\.png",
    "lapa": "/labels/",
    "lfw_crops": r"\.png",
    "lfw_parts": "gt_images/",
    "nprportrait": "/images/",
    "pairs": "/masks/",
    "pairs/cvat": "/JPEGImages/",
    "pairs/labelme": r"\.jpg",
    "scut_head": "/annotations/",
}
"""Files (a regular expression) without which a picture of the layout cannot be listed."""
