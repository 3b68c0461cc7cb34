"""LaPa: ``ROOT/{train,val,test}/{images/*.jpg,labels/*.png,landmarks/*.txt}``.

11 classes and 106 points; 18,176 / 2,000 / 2,000 pictures. Ids: background, skin, left and right
brow, left and right eye, nose, upper lip, inner mouth, lower lip, hair. The readme does not say
whose left; two projects that looked (facer names id 2 the right brow) found the *viewer's*. So the
side is measured on label files when the set is opened (`_sides`), the viewer's where they do not
show it, and samples speak of the subject's in ``lapa11``. Traps: skin holds the ears; about 20
landmark files are wrong. Split ``all`` is all of the three that are there.

Layout after Microsoft's FaRL and the set's readme. Liu et al., "A New Dataset and
Boundary-Attention Semantic Segmentation for Face Parsing", AAAI 2020; non-commercial use.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceparts.datasets import _sides
from faceparts.datasets._pairs import Gap, PairDataset, check_split, find_pairs, read_ids
from faceparts.errors import BadData
from faceparts.labels import LAPA11

TASK = "parts"
SPLITS = ("train", "val", "test", "all")
POINTS = 106
"""Jaw 0-32, brows 33-50, nose 51-65, eyes 66-83 (74 and 83 are the pupils), lips 84-103, pupils."""


@dataclass(frozen=True)
class LaPa(PairDataset):
    """Labelled photos with landmarks."""

    def landmarks(self, i: int) -> NDArray[np.float32]:
        """(106, 2) float32 x, y in picture pixels, in LaPa's own order.

        Raises:
            BadData: the file is missing or does not hold 106 finite points.
        """
        labels = self.pairs[i].labels
        return read_landmarks(labels.parents[1] / "landmarks" / f"{labels.stem}.txt")


def read_landmarks(path: Path) -> NDArray[np.float32]:
    """(106, 2) float32 points of a LaPa landmark file: the count, then one x y a line.

    Raises:
        BadData: missing, or not 106 pairs of finite numbers after the count.
    """
    if not path.is_file():
        raise BadData(f"{path}: missing; unpack the set again")
    try:
        count, *values = (float(v) for v in path.read_text("utf-8").split())
        points = np.array(values, np.float32).reshape(POINTS, 2)
    except ValueError as error:
        raise BadData(f"{path}: not a landmark file of {POINTS} points ({error})") from error
    if count != POINTS or not np.isfinite(points).all():
        raise BadData(f"{path}: wanted the count {POINTS} and finite points; got count {count:g}")
    return points


def load(root: Path, split: str, *, gaps: list[Gap] | None = None) -> LaPa:
    """The LaPa folder; samples in ``lapa11``, left and right the subject's.

    Raises:
        BadData: no such split or folder, a picture without its labels, or damaged labels.
    """
    check_split(split, SPLITS, "lapa")
    root, names = Path(root), [split]
    if split == "all":
        names = [name for name in SPLITS[:-1] if (root / name).is_dir()]
    if not names:
        raise BadData(f"{root}: no train, val or test in it; give the folder that holds them")
    pairs = tuple(
        replace(pair, key=f"{name}/{pair.key}")
        for name in names
        for pair in find_pairs(root / name / "images", root / name / "labels", gaps=gaps)
    )
    files = [pair.labels for pair in pairs]
    strict = gaps is None
    source = _sides.as_subject(LAPA11, files, read_ids, unless_seen=False, strict=strict)
    return LaPa(pairs, source, LAPA11, read_ids)
