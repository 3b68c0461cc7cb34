"""Figaro-1k hair masks: ``ROOT/*.jpg`` + ``*.png`` with hair 255 and the rest 0.

Label set ``hair2``: of what is not hair, only that is known. Svanera et al., "Figaro, hair
detection and segmentation in the wild", ICIP 2016; research.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceparts.datasets._pairs import PairDataset, check_split, find_pairs, read_ids
from faceparts.errors import BadData
from faceparts.labels import HAIR2

TASK = "parts"
SPLITS = ("all",)


def decode(path: Path) -> NDArray[np.uint8]:
    """(H, W) ids of `HAIR2` from a 0/255 picture.

    Raises:
        BadData: a value other than 0 and 255.
    """
    ids = read_ids(path)
    if np.setdiff1d(ids, (0, 255)).size:
        raise BadData(f"{path}: values other than 0 and 255 in a hair mask")
    return np.asarray(ids // 255, np.uint8)


def load(root: Path, split: str) -> PairDataset:
    """The Figaro-1k folder, label set ``hair2``.

    Raises:
        BadData: no such split or folder, or a picture without its mask.
    """
    check_split(split, SPLITS, "figaro")
    return PairDataset(find_pairs(Path(root), Path(root)), HAIR2, HAIR2, decode)
