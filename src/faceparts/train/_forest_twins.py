"""Which photos are one photo, and which show one subject, where the data does not say.

*Twins* are found as ``faceparts data check`` finds them (`faceparts.evaluate._similar`): hashes at
most `HASH_BITS` of 64 bits apart, and a correlation of the fine structure of at least `LIKENESS`.

*Kin* are two photos of one subject: somebody who held still for two shots, a burst, a second crop.
Points of SIFT (Lowe, IJCV 2004) are matched both ways, and those counted that one turn, scale and
shift explains (RANSAC, within `FIT_PX`). Measured on FASSEG V2 and on V3 within 15 degrees: two
photos of one person that were taken in one sitting share 27 points or more, photos of different
people 16 at most. People who moved or came back another day share fewer: this finds what would
leak, it does not recognise anybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from faceparts.evaluate._similar import HASH_BITS, LIKENESS, find_alike, thumb
from faceparts.types import Image

__all__ = ["HASH_BITS", "LIKENESS", "Points", "count_common", "find_points", "find_twins", "join"]

SIDE_PX = 256
"""Longer side of the copies in which points are sought."""

MOST_POINTS = 500
RATIO = 0.8
"""A match must be this much nearer than the second best (Lowe's ratio)."""

FIT_PX = 4.0


def find_twins(images: Sequence[Image]) -> dict[int, tuple[int, float, bool]]:
    """Photos that are near-identical to an earlier one that is no twin itself.

    Returns:
        number -> (number of the earlier one, likeness 0..1, whether it is mirrored).
    """
    if not images:
        return {}
    found: dict[int, tuple[int, float, bool]] = {}
    for i, j, score, is_mirrored in find_alike(np.stack([thumb(image) for image in images])):
        if i not in found and j not in found:
            found[j] = (i, score, is_mirrored)
    return found


@dataclass(frozen=True, eq=False)
class Points:
    """What `count_common` compares.

    Args:
        xy: (P, 2) float32 places.
        words: (P, 128) float32 descriptors of length 1, roots of SIFT's (Arandjelovic and
            Zisserman, CVPR 2012).
    """

    xy: NDArray[np.float32]
    words: NDArray[np.float32]


def find_points(image: Image) -> Points:
    """The points of a photo, in its grey copy of `SIDE_PX`."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    scale = SIDE_PX / max(gray.shape)
    size_wh = [max(1, round(n * scale)) for n in gray.shape[::-1]]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(gray, size_wh, interpolation=how)
    sift = cv2.SIFT_create(MOST_POINTS)  # type: ignore[attr-defined]  # missing in OpenCV 5's stubs
    places, words = sift.detectAndCompute(small, None)
    if words is None:
        return Points(np.empty((0, 2), np.float32), np.empty((0, 128), np.float32))
    share = words / np.maximum(words.sum(axis=1, keepdims=True), 1e-9)
    return Points(np.array([p.pt for p in places], np.float32), np.sqrt(share))


def count_common(one: Points, other: Points) -> int:
    """How many points of two photos are the same under one turn, scale and shift."""
    if min(len(one.xy), len(other.xy)) < 2:
        return 0
    alike = one.words @ other.words.T
    best = alike.argmax(axis=1)
    first, second = (np.partition(alike, -k, axis=1)[:, -k] for k in (1, 2))
    sure = (2 - 2 * first < RATIO**2 * (2 - 2 * second)) & (
        alike.argmax(axis=0)[best] == np.arange(len(best))
    )
    if sure.sum() < 3:  # two points fit any two
        return 0
    matrix, inside = cv2.estimateAffinePartial2D(
        one.xy[sure], other.xy[best[sure]], ransacReprojThreshold=FIT_PX
    )
    return 0 if matrix is None else int(inside.sum())


def join(
    images: Sequence[Image],
    subjects: Sequence[str],
    named: Sequence[bool],
    least: int,
    *,
    quiet: bool = True,
) -> list[str]:
    """Subjects, with those taken together whose photos share at least ``least`` points.

    Args:
        subjects: of each photo; photos of one subject stay together.
        named: whether the data says who it is; two photos of named subjects are not compared.
        least: points.

    Returns:
        The subject of each photo: of all that are joined, that of the first photo.
    """
    owner = list(range(len(subjects)))

    def find(i: int) -> int:
        while owner[i] != i:
            owner[i] = owner[owner[i]]
            i = owner[i]
        return i

    def unite(i: int, j: int) -> None:
        low, high = sorted((find(i), find(j)))
        owner[high] = low

    first: dict[str, int] = {}
    for i, subject in enumerate(subjects):
        unite(first.setdefault(subject, i), i)
    points = [find_points(image) for image in images]
    for j in tqdm(range(len(images)), desc="same subjects", disable=quiet, leave=False):
        for i in range(j):
            known = named[i] and named[j]
            if not known and find(i) != find(j) and count_common(points[i], points[j]) >= least:
                unite(i, j)
    return [subjects[find(i)] for i in range(len(subjects))]
