"""iBugMask: ``ROOT/{train,test}/{name}.jpg`` + ``{name}.png`` in one folder; 11 classes.

1,000 test photos in the wild, labelled by hand, and 21,866 training pictures: Helen turned to other
poses (``{photo}_{nn}.jpg``; samples of one photo share a subject, so that a split can keep them
together). LaPa's order of ids; skin holds the scalp. Whose left is left is measured on the label
files when the set is opened (`_sides`); where they do not show it, the viewer's is taken. Landmarks
and boxes that lie beside the pictures are not read.

Layout after the set's readme and two public loaders. Lin et al., "RoI Tanh-polar transformer
network for face parsing in the wild", Image and Vision Computing 2021; research.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from faceparts.datasets import _sides
from faceparts.datasets._pairs import Gap, PairDataset, check_split, find_pairs, read_ids
from faceparts.labels import LAPA11

TASK = "parts"
SPLITS = ("train", "test")
_TURNED = re.compile(r"(.+)_\d\d")


def load(root: Path, split: str, *, gaps: list[Gap] | None = None) -> PairDataset:
    """The iBugMask folder; samples in ``lapa11``, left and right the subject's.

    Raises:
        BadData: no such split or folder, a picture without its labels, or damaged labels.
    """
    check_split(split, SPLITS, "ibugmask")
    folder = Path(root) / split
    pairs = find_pairs(folder, folder, gaps=gaps)
    if split == "train":
        pairs = tuple(replace(p, subject=_photo(p.key)) for p in pairs)
    files = [pair.labels for pair in pairs]
    strict = gaps is None
    source = _sides.as_subject(LAPA11, files, read_ids, unless_seen=False, strict=strict)
    return PairDataset(pairs, source, LAPA11, read_ids)


def _photo(key: str) -> str | None:
    """The Helen photo that a turned picture was made of."""
    found = _TURNED.fullmatch(key)
    return found.group(1) if found else None
