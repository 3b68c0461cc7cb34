"""Whose left is left? Measured on the label files, because most sets do not say.

In the frame of the face itself (from the mouth up to the eyes) the subject's left is on the image
right, at any tilt of the head. A few label files settle what a readme leaves open, and a repacked
or mirrored copy of a set cannot fool the adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceparts.errors import BadData
from faceparts.labels import viewers
from faceparts.types import LabelSet

LOOKS = 16
"""How many label files are looked at, spread over the whole list."""

MIN_PX = 6
"""A part with fewer pixels has no place."""

_PAIRS = ("eye", "brow")
_BELOW = ("nose", "mouth", "upper_lip", "lower_lip", "lips")


def as_subject(
    source: LabelSet,
    files: Sequence[Path],
    decode: Callable[[Path], NDArray[np.uint8]],
    *,
    unless_seen: bool,
    strict: bool = True,
) -> LabelSet:
    """The label set of the files in the subject's words.

    Args:
        source: parts in the order of the ids, with left and right as the set writes them.
        files: label files of the split; up to `LOOKS` of them are read.
        decode: label file -> (H, W) ids of ``source``.
        unless_seen: whether left is the subject's where no file shows both sides.
        strict: files that cannot be read are an error; otherwise they do not vote.

    Returns:
        ``source`` itself, or `labels.viewers` of it.

    Raises:
        BadData: ``decode`` cannot read a file, and ``strict``.
    """
    step = max(1, len(files) // LOOKS)
    votes = 0
    for path in files[::step][:LOOKS]:
        try:
            votes += side_vote(decode(path), source)
        except BadData:
            if strict:
                raise
    subjects = unless_seen if votes == 0 else votes > 0
    return source if subjects else viewers(source)


def side_vote(ids: NDArray[np.uint8], source: LabelSet) -> int:
    """1: left is the subject's in this label map, -1: the viewer's, 0: it does not show.

    Example:
        >>> from faceparts.labels import LAPA11 as s
        >>> ids = np.zeros((30, 30), np.uint8)
        >>> ids[5:8, 4:9], ids[5:8, 20:25] = s.id("right_eye"), s.id("left_eye")
        >>> ids[20:23, 10:20] = s.id("lower_lip")
        >>> side_vote(ids, s), side_vote(np.rot90(ids, 2), s), side_vote(ids[:, ::-1], s)
        (1, 1, -1)
    """
    below = _middle(ids, source, *_BELOW)
    across, above = np.zeros(2), []
    for part in _PAIRS:
        left, right = (_middle(ids, source, f"{side}_{part}") for side in ("left", "right"))
        if left is not None and right is not None:
            across += left - right
            above.append((left + right) / 2)
    if below is None or not above:
        return 0
    up = np.mean(above, axis=0) - below
    return int(np.sign(up[0] * across[1] - up[1] * across[0]))


def _middle(ids: NDArray[np.uint8], source: LabelSet, *parts: str) -> NDArray[np.float64] | None:
    """Mean x, y of all pixels of the parts; ``None`` if they are fewer than `MIN_PX`."""
    wanted = [source.id(part) for part in parts if part in source.parts]
    ys, xs = np.nonzero(np.isin(ids, wanted))
    return np.array([xs.mean(), ys.mean()]) if len(xs) >= MIN_PX else None
