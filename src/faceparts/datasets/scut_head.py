"""SCUT-HEAD: ``ROOT/{train,val}/{images/*.jpg,annotations/*.xml}``, VOC boxes of class ``head``.

Heads from every side in classrooms and web photos. Peng et al., "Detecting Heads using Feature
Refine Net and Cascaded Multi-Scale Architecture", 2018; non-commercial research.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from faceparts.datasets._pairs import Gap, Pair, check_split, find_pairs, read_rgb
from faceparts.errors import BadData
from faceparts.types import POINTS, HeadSample

TASK = "heads"
SPLITS = ("train", "val")
MAX_XML_BYTES = 4_000_000


@dataclass(frozen=True)
class ScutHead:
    """Pictures with head boxes; no points are marked."""

    pairs: tuple[Pair, ...]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, i: int) -> HeadSample:
        """Read one picture and its boxes; boxes without area are left out.

        Raises:
            BadData: a file is damaged.
        """
        pair = self.pairs[i]
        boxes = read_boxes(pair.labels)
        points = np.full((len(boxes), len(POINTS), 3), np.nan, np.float32)
        return HeadSample(pair.key, read_rgb(pair.image), boxes, points)


def read_boxes(path: Path) -> NDArray[np.float32]:
    """(N, 4) float32 boxes of a VOC annotation file, edges in pixels.

    Raises:
        BadData: not XML, too large, holding a DTD, or a box whose numbers do not read.
    """
    data = path.read_bytes()
    if len(data) > MAX_XML_BYTES or b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise BadData(f"{path}: not a plain VOC annotation of at most {MAX_XML_BYTES} bytes")
    boxes = []
    try:
        for node in ElementTree.fromstring(data).iter("bndbox"):
            box = [float(node.findtext(k, "")) for k in ("xmin", "ymin", "xmax", "ymax")]
            if not all(map(math.isfinite, box)):
                raise ValueError("a box is not finite")
            if box[2] > box[0] and box[3] > box[1]:
                boxes.append(box)
    except (ElementTree.ParseError, ValueError) as error:
        raise BadData(f"{path}: not a VOC annotation ({error})") from error
    return np.array(boxes, np.float32).reshape(-1, 4)


def load(root: Path, split: str, *, gaps: list[Gap] | None = None) -> ScutHead:
    """The SCUT-HEAD folder.

    Raises:
        BadData: no such split or folder, or a picture without its annotation.
    """
    check_split(split, SPLITS, "scut_head")
    folder = Path(root) / split
    images, annotations = folder / "images", folder / "annotations"
    return ScutHead(find_pairs(images, annotations, tail=".xml", gaps=gaps))
