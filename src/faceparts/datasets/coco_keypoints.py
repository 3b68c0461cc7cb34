"""COCO person keypoints: ``ROOT/annotations/person_keypoints_SPLIT.json`` and ``ROOT/SPLIT/*.jpg``.

The annotations may lie in ``ROOT`` itself, the pictures in ``ROOT/images/SPLIT``. Lin et al.,
"Microsoft COCO", ECCV 2014; annotations CC BY 4.0, photos under the terms of Flickr.

COCO counts pixels: a joint at x = 7 lies in the middle of the eighth pixel. Here that is 7.5, as
everywhere in faceparts; `COCO_OFFSET` is the difference. Pictures without any person that has a
marked joint are kept: they teach where nobody is.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.datasets._pairs import Pair, check_split, read_rgb
from faceparts.errors import BadData
from faceparts.types import Image

TASK = "keypoints"
SPLITS = ("train2017", "val2017")
JOINTS = 17
COCO_OFFSET = 0.5
"""Added to COCO's joints to get picture coordinates along edges."""
MAX_JSON_BYTES = 1 << 30
"""The largest file of COCO 2017 has 238 MB."""


@dataclass(frozen=True, eq=False)
class PeopleSample:
    """One picture with the body joints of its people.

    Args:
        key: stable name inside its dataset.
        image: (H, W, 3) uint8 RGB.
        people: (P, 17, 3) float32 x, y in picture pixels (edges), visibility: 2 seen, 1 marked
            though hidden; ``nan, nan, 0`` where nobody marked the joint. COCO's order.
        ignore: (H, W) bool: crowds, and people of whom no joint is marked.
        image_id: COCO's number of the picture.
    """

    key: str
    image: Image
    people: NDArray[np.float32]
    ignore: NDArray[np.bool_]
    image_id: int


@dataclass(frozen=True, eq=False)
class CocoKeypoints:
    """The pictures of a split, read when asked for.

    Args:
        annotations: the file that describes them, for an evaluation.
        folder: where the pictures lie.
        images: COCO's description of each picture, in the order of their numbers.
        objects: the people on each picture, by its number.
    """

    annotations: Path
    folder: Path
    images: tuple[Mapping[str, Any], ...]
    objects: Mapping[int, list[Mapping[str, Any]]] = field(repr=False)

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """The pictures' files, each with the file that describes them all."""
        files = [self.folder / str(entry["file_name"]) for entry in self.images]
        return tuple(Pair(path.stem, path, self.annotations) for path in files)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> PeopleSample:
        """Read one picture and its people.

        Raises:
            BadData: the picture is missing, damaged or of another size, or an annotation is wrong.
        """
        entry = self.images[i]
        path = self.folder / str(entry["file_name"])
        image = read_rgb(path)
        if image.shape[:2] != (entry["height"], entry["width"]):
            raise BadData(
                f"{path}: {image.shape[1]}x{image.shape[0]} pixels, {self.annotations.name} says "
                f"{entry['width']}x{entry['height']}; is it the original file?"
            )
        number = int(entry["id"])
        where = f"{self.annotations}: picture {number}"
        people, ignore = read_people(self.objects.get(number, []), image.shape[:2], where)
        return PeopleSample(path.stem, image, people, ignore, number)


def read_people(
    objects: list[Mapping[str, Any]], hw: tuple[int, ...], where: str
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(P, 17, 3) people and the (H, W) mask of what must be ignored; see `PeopleSample`.

    Raises:
        BadData: joints or outlines of another shape, or values that are not numbers.
    """
    people, ignore = [], np.zeros(hw, bool)
    for one in objects:
        try:
            joints = np.array(one["keypoints"], np.float32).reshape(JOINTS, 3)
            marked = joints[:, 2] > 0
            if not np.isfinite(joints).all():
                raise ValueError("a joint is not a finite number")
            if one["iscrowd"] or not marked.any():
                ignore |= read_outline(one["segmentation"], ignore.shape)
                continue
        except (KeyError, TypeError, ValueError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise BadData(f"{where}: person {one.get('id')} cannot be read ({reason})") from error
        joints[:, :2] += COCO_OFFSET
        joints[~marked] = (np.nan, np.nan, 0)
        people.append(joints)
    return np.array(people, np.float32).reshape(-1, JOINTS, 3), ignore


def read_outline(outline: Any, hw: tuple[int, ...]) -> NDArray[np.bool_]:
    """(H, W) bool from COCO's polygons, or from run lengths counted down the columns.

    Raises:
        ValueError: neither of the two, or run lengths that do not fill the picture.

    Example:
        >>> read_outline({"size": [2, 3], "counts": [1, 2, 3]}, (2, 3)).astype(int).tolist()
        [[0, 1, 0], [1, 0, 0]]
    """
    if isinstance(outline, list):
        mask = np.zeros(hw, np.uint8)
        for polygon in outline:
            corners = np.array(polygon, np.float64).reshape(-1, 2)
            if not np.isfinite(corners).all():
                raise ValueError("an outline is not made of finite numbers")
            # fillPoly counts pixel centres in sixteenths
            cv2.fillPoly(mask, [np.rint((corners - 0.5) * 16).astype(np.int32)], 1, shift=4)
        return mask > 0
    counts = outline["counts"]
    if not isinstance(counts, list) or list(outline["size"]) != list(hw):
        raise ValueError("run lengths must be a list, and their size the picture's")
    runs = np.array(counts, np.int64)
    if (runs < 0).any() or runs.sum() != hw[0] * hw[1]:
        raise ValueError(f"run lengths fill {runs.sum()} pixels of {hw[0] * hw[1]}")
    inside = np.arange(len(runs)) % 2 == 1
    return np.ascontiguousarray(np.repeat(inside, runs).reshape(hw[1], hw[0]).T)


def load(root: Path, split: str) -> CocoKeypoints:
    """The person keypoints of COCO 2017, or of a part of it in the same layout.

    Raises:
        BadData: no such split, file or folder, or the file is not COCO's.
    """
    check_split(split, SPLITS, "coco_keypoints")
    root = Path(root)
    name = f"person_keypoints_{split}.json"
    file = _first(root / "annotations" / name, root / name, kind="file")
    folder = _first(root / split, root / "images" / split, kind="folder")
    if file.stat().st_size > MAX_JSON_BYTES:
        raise BadData(f"{file}: larger than {MAX_JSON_BYTES} bytes; wanted COCO's annotations")
    try:
        table = json.loads(file.read_bytes())
        images = sorted(table["images"], key=lambda one: int(one["id"]))
        objects = defaultdict(list)
        for one in table["annotations"]:
            objects[int(one["image_id"])].append(one)
        if any(Path(one["file_name"]).name != one["file_name"] for one in images):
            raise ValueError("a file name with a folder in it")
        if not images:
            raise ValueError("no pictures in it")
        if any(type(one[side]) is not int for one in images for side in ("height", "width")):
            raise ValueError("a size that is not a whole number")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise BadData(f"{file}: not annotations in COCO's layout ({reason})") from error
    return CocoKeypoints(file, folder, tuple(images), dict(objects))


def _first(*places: Path, kind: str) -> Path:
    """The first place that is there."""
    for path in places:
        if path.is_file() if kind == "file" else path.is_dir():
            return path
    raise BadData(f"{places[0]}: no such {kind}; give the folder that holds COCO 2017")
