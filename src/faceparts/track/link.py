"""Which heads of successive frames are one: tracking by overlap.

Greedy, the best pair first, as in Bochinski, Eiselein and Sikora, "High-speed tracking-by-detection
without using image information", AVSS 2017, with a memory of some frames for heads that are missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faceparts.types import Head

LEAST_IOU = 0.3
"""Boxes of one head in successive frames overlap by more: at 25 frames a second a head that moves
its own width in a fifth of a second still has 0.67. With less, finds on torsos were linked with the
heads above them."""

_MAX_STRETCH = 1.6
"""Nor does its size change more from one sight to the next."""


@dataclass(frozen=True)
class Track:
    """One head over time.

    Args:
        frames: numbers of the frames in which it was found, growing.
        heads: what was found there, as many.
    """

    frames: tuple[int, ...]
    heads: tuple[Head, ...]

    @property
    def best(self) -> Head:
        """The surest sight of it."""
        return max(self.heads, key=lambda head: head.score)


def link(found: Sequence[Sequence[Head]], *, memory: int) -> list[Track]:
    """Link the heads of all frames into tracks; every head is in exactly one.

    Args:
        found: heads of each frame.
        memory: a head that is missed in so many frames is still the same when it is found again
            where it was.

    Returns:
        In the order in which they begin, those of one frame in the order of its heads.
    """
    tracks: list[tuple[list[int], list[Head]]] = []
    alive: list[int] = []
    for number, heads in enumerate(found):
        alive = [i for i in alive if number - tracks[i][0][-1] <= memory + 1]
        last = [tracks[i][1][-1] for i in alive]
        free = set(range(len(heads)))
        for old, new in _pairs(last, heads):
            tracks[alive[old]][0].append(number)
            tracks[alive[old]][1].append(heads[new])
            free.discard(new)
        for new in sorted(free):
            alive.append(len(tracks))
            tracks.append(([number], [heads[new]]))
    return [Track(tuple(frames), tuple(heads)) for frames, heads in tracks]


def _pairs(last: Sequence[Head], heads: Sequence[Head]) -> list[tuple[int, int]]:
    """(old, new) numbers of heads that belong together, each in one pair at most; best first."""
    if not last or not heads:
        return []
    overlap = _overlaps(_boxes(last), _boxes(heads))
    pairs: list[tuple[int, int]] = []
    order = np.dstack(
        np.unravel_index(np.argsort(-overlap, axis=None, kind="stable"), overlap.shape)
    )
    old_taken, new_taken = set[int](), set[int]()
    for old, new in order[0].tolist():
        if overlap[old, new] <= LEAST_IOU:
            break
        if old not in old_taken and new not in new_taken:
            old_taken.add(old)
            new_taken.add(new)
            pairs.append((old, new))
    return pairs


def _boxes(heads: Sequence[Head]) -> NDArray[np.float64]:
    return np.array([head.box_xyxy for head in heads], np.float64)


def _overlaps(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, M) IoU; 0 where the sizes differ too much."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    area, area2 = (np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (one, other))
    iou = shared / np.maximum(area[:, None] + area2[None] - shared, 1e-9)
    side, side2 = (np.max(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (one, other))
    ratio = np.maximum(side[:, None], side2[None]) / np.maximum(
        np.minimum(side[:, None], side2[None]), 1e-9
    )
    return np.where(ratio <= _MAX_STRETCH, iou, 0.0)
