"""A person as COCO's 17 body keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceparts.types import POINTS

Array = NDArray[np.float64]

KEYPOINTS = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear"),
    *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist"),
    *("right_wrist", "left_hip", "right_hip", "left_knee", "right_knee"),
    *("left_ankle", "right_ankle"),
)
"""Order of `Person.keypoints`: COCO's; left and right are the subject's."""

HEAD = 5
"""The first keypoints belong to the head: nose, eyes, ears."""

FAR_PX = 1e6
"""Coordinates beyond this are no place in or beside a picture."""

_TO_POINTS = tuple((POINTS.index(name), i) for i, name in enumerate(KEYPOINTS[:HEAD]))


@dataclass(frozen=True, eq=False)
class Person:
    """One person found in a picture.

    Args:
        keypoints: (17, 3) x, y, score in the order of `KEYPOINTS`, picture pixels (edges); may lie
            outside the picture. A row that holds a value that is not finite, or a place beyond
            `FAR_PX`, becomes all ``nan``: unseen. Scores are cut to 0..1.
        score: 0..1, how sure the model is of the person as a whole; ``nan`` if it does not say.

    Raises:
        ValueError: the keypoints have another shape.
    """

    keypoints: Array
    score: float = float("nan")

    def __post_init__(self) -> None:
        keypoints = np.array(self.keypoints, np.float64)
        if keypoints.shape != (len(KEYPOINTS), 3):
            raise ValueError(
                f"Person.keypoints: got shape {keypoints.shape}, wanted ({len(KEYPOINTS)}, 3)"
            )
        with np.errstate(invalid="ignore"):
            near = (np.abs(keypoints[:, :2]) <= FAR_PX).all(axis=1)
        keypoints[~(near & np.isfinite(keypoints[:, 2]))] = np.nan
        keypoints[:, 2] = np.clip(keypoints[:, 2], 0, 1)
        keypoints.flags.writeable = False
        object.__setattr__(self, "keypoints", keypoints)

    def seen(self, threshold: float) -> Array:
        """(17, 3) keypoints; those that score less than the threshold are ``nan``."""
        keypoints = self.keypoints.copy()
        with np.errstate(invalid="ignore"):
            keypoints[~(keypoints[:, 2] >= threshold)] = np.nan
        return keypoints


def to_coco(values: ArrayLike, names: Sequence[str]) -> Array:
    """(N, K, 3) keypoints of any order -> (N, 17, 3) in COCO's; what a model lacks is ``nan``.

    Names that COCO does not have are left out.
    """
    values = np.asarray(values, np.float64)
    out = np.full((len(values), len(KEYPOINTS), 3), np.nan)
    for i, name in enumerate(names):
        if name in KEYPOINTS:
            out[:, KEYPOINTS.index(name)] = values[:, i]
    return out


def head_points(seen: Array) -> NDArray[np.float32]:
    """(7, 3) points of a `faceparts.types.Head` from (17, 3) keypoints; corners of the mouth
    are ``nan``: COCO has none."""
    points = np.full((len(POINTS), 3), np.nan, np.float32)
    for ours, coco in _TO_POINTS:
        points[ours] = seen[coco]
    return points
