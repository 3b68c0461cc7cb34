"""Body keypoints -> head boxes: the published rule as it is, and the refinements it asks for.

All functions take (K, 3) rows of x, y, score in picture pixels, ``nan`` where unseen; head
keypoints are the first five of COCO's order: nose, left and right eye, left and right ear.

**The rule** ("Robust Face Segmentation", 2020: HigherHRNet in front of a face segmenter): keep
nose, eyes and ears above a threshold; the centre is their mean; the radius is 3 times the largest
distance between two of them, at least 20 pixels. That is a generous cut for a segmenter that wants
the head small in its input, not a box around the head.

**The refinements** give a box around the head. A head of size 1 (square root of its box's area) is
taken as a rigid set of points in space (`ACROSS`, `DOWN`, `AHEAD`), seen from any side. The
constants are medians over people of COCO val2017 with keypoints marked by hand and over heads of
SCUT-HEAD's training photos.
"""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from faceparts.detect._people import HEAD, KEYPOINTS

Array = NDArray[np.float64]
Box = tuple[float, float, float, float]

S0_FACTOR = 3.0
S0_LEAST_RADIUS_PX = 20.0

ASPECT = 0.86
"""Width of a head box by its height."""

ACROSS = (0.0, 0.13, -0.13, 0.33, -0.33)
"""Of nose, eyes, ears: distance from the head's middle towards the subject's left."""

DOWN = (0.145, 0.02, 0.02, 0.08, 0.08)
"""Distance from the head's middle towards the neck."""

AHEAD = (0.41, 0.30, 0.30, -0.06, -0.06)
"""Distance from the head's middle towards where the face looks."""

REACH = {
    frozenset((0, 1)): 0.22,
    frozenset((0, 2)): 0.22,
    frozenset((0, 3)): 0.46,
    frozenset((0, 4)): 0.46,
    frozenset((1, 2)): 0.285,
    frozenset((1, 3)): 0.36,
    frozenset((2, 4)): 0.36,
    frozenset((1, 4)): 0.56,
    frozenset((2, 3)): 0.56,
    frozenset((3, 4)): 0.70,
}
"""How far two head keypoints lie apart when they are seen furthest apart: nose and ear, or eye and
near ear, in profile; the others from the front."""

SHOULDERS = 1.3
"""Head sizes between the shoulders, from the front."""

TORSO = 1.85
"""Head sizes from between the shoulders to between the hips, upright."""

STATURE = 5.0
"""Head sizes from the head to the ankles, standing."""

CLOSE = 0.4
"""A pair that is seen at less than this share of its distance from the front says nothing about
how the head is tilted."""

STRAY = 0.2
"""Eyes that lie closer than this share of the ears' distance do not belong to both of them."""

_EYES, _EARS = (1, 2), (3, 4)
_TURNS = np.radians(np.arange(-90, 91, 3.0))
_STRAIGHT = 2e-4
"""Cost of a turn by its square: where all explain the points alike, the straight one is taken."""


# --- the rule ---------------------------------------------------------------------------------


def seen_rows(points: Array) -> Array:
    """The rows that are seen."""
    return np.asarray(points[np.isfinite(points[:, 0])])


def mean_centre(points: Array) -> tuple[float, float]:
    """Mean of the points that are seen; ``nan`` if there is none.

    Example:
        >>> mean_centre(np.array([[10, 20, 0.9], [20, 40, 0.5], [np.nan] * 3]))
        (15.0, 30.0)
    """
    rows = seen_rows(points)
    if not len(rows):
        return math.nan, math.nan
    return float(rows[:, 0].mean()), float(rows[:, 1].mean())


def largest_distance(points: Array) -> float:
    """Largest distance between two points that are seen; 0 with fewer than two.

    Example:
        >>> largest_distance(np.array([[0, 0, 1], [3, 4, 1], [1, 1, 1.0]]))
        5.0
    """
    pairs = combinations(seen_rows(points), 2)
    return max((math.dist(a[:2], b[:2]) for a, b in pairs), default=0.0)


def square(centre_xy: tuple[float, float], radius_px: float) -> Box:
    """The square of a given radius (half side) around a point."""
    x, y = centre_xy
    return x - radius_px, y - radius_px, x + radius_px, y + radius_px


def s0_box(
    points: Array, factor: float = S0_FACTOR, least_radius_px: float = S0_LEAST_RADIUS_PX
) -> Box | None:
    """The published rule; ``None`` if no point is seen.

    Example:
        >>> s0_box(np.array([[100, 50, 0.9], [110, 50, 0.9]]))
        (75.0, 20.0, 135.0, 80.0)
    """
    x, y = mean_centre(points)
    if math.isnan(x):
        return None
    return square((x, y), max(factor * largest_distance(points), least_radius_px))


def fixed_box(points: Array, box_px: float) -> Box | None:
    """A square of a fixed side around the mean of the points: where all people stand equally far
    from the camera, this was found to be the most robust. ``None`` if no point is seen."""
    x, y = mean_centre(points)
    return None if math.isnan(x) else square((x, y), box_px / 2)


# --- size -------------------------------------------------------------------------------------


def size_from_head(points: Array) -> float:
    """Head size in pixels from the pair of head keypoints that asks for the largest head.

    Distances only shrink when a head turns, so the largest answer is the least foreshortened one:
    ears from the front, ear and nose in profile. ``nan`` with fewer than two points, or if all of
    them coincide.
    """
    asked = [
        math.dist(points[i, :2], points[j, :2]) / REACH[frozenset((i, j))]
        for i, j in combinations(range(HEAD), 2)
        if np.isfinite(points[[i, j], 0]).all()
    ]
    size = max(asked, default=0.0)
    return size if size > 0 else math.nan


def size_from_body(seen: Array) -> float:
    """Head size in pixels from shoulders, hips and ankles; ``nan`` if they do not tell.

    The largest answer counts, as all of them shrink when a person turns, bends or sits.

    Args:
        seen: (17, 3).
    """
    shoulders, hips = _pair(seen, "shoulder"), _pair(seen, "hip")
    asked = []
    if shoulders is not None:
        asked.append(math.dist(*shoulders) / SHOULDERS)
    if shoulders is not None and hips is not None:
        asked.append(math.dist(_middle(shoulders), _middle(hips)) / TORSO)
    head_y = mean_centre(seen[:HEAD])[1]
    ankles = seen[[KEYPOINTS.index("left_ankle"), KEYPOINTS.index("right_ankle")], 1]
    if not math.isnan(head_y) and np.isfinite(ankles).any():
        asked.append((float(np.nanmax(ankles)) - head_y) / STATURE)
    size = max(asked, default=0.0)
    return size if size > 0 else math.nan


def _pair(seen: Array, name: str) -> tuple[tuple[float, float], tuple[float, float]] | None:
    left, right = (seen[KEYPOINTS.index(f"{side}_{name}")] for side in ("left", "right"))
    if not (np.isfinite(left[0]) and np.isfinite(right[0])):
        return None
    return (float(left[0]), float(left[1])), (float(right[0]), float(right[1]))


def _middle(pair: tuple[tuple[float, float], tuple[float, float]]) -> tuple[float, float]:
    (ax, ay), (bx, by) = pair
    return (ax + bx) / 2, (ay + by) / 2


def without_stray_ear(points: Array) -> Array:
    """The points without an ear that belongs to somebody else.

    Seen from wherever, eyes lie 0.4 times as far apart as ears. Where it is less than half of
    that, the ear further from the eyes is not this head's.
    """
    if not np.isfinite(points[[1, 2, 3, 4], 0]).all():
        return points
    eyes, ears = (math.dist(points[i, :2], points[j, :2]) for i, j in (_EYES, _EARS))
    if eyes >= STRAY * ears:
        return points
    middle = points[list(_EYES), :2].mean(axis=0)
    cleaned = points.copy()
    cleaned[max(_EARS, key=lambda i: math.dist(points[i, :2], middle))] = np.nan
    return cleaned


# --- orientation ------------------------------------------------------------------------------


def across_axis(seen: Array, size_px: float) -> tuple[float, float]:
    """Unit vector along the head's width; it points to the picture's right.

    From the ears, else the eyes, else the shoulders, each only where the two are not seen so close
    together that the head must be turned; ``(1, 0)`` if nothing tells. A head from behind has its
    left ear on the left: the axis is the same.

    Args:
        seen: (17, 3) or at least the (5, 3) of the head.
        size_px: of the head.
    """
    pairs = [(3, 4, 2 * ACROSS[3]), (1, 2, 2 * ACROSS[1])]
    if len(seen) == len(KEYPOINTS):
        left, right = KEYPOINTS.index("left_shoulder"), KEYPOINTS.index("right_shoulder")
        pairs.append((left, right, SHOULDERS))
    for left, right, apart in pairs:
        dx, dy = (float(v) for v in seen[left, :2] - seen[right, :2])
        length = math.hypot(dx, dy)
        if length > CLOSE * apart * size_px:  # false for nan
            sign = 1 if dx >= 0 else -1
            return sign * dx / length, sign * dy / length
    return 1.0, 0.0


def turn_rad(points: Array, size_px: float, axis_xy: tuple[float, float]) -> float:
    """How far a head is turned, in radians: positive towards the picture's right, 0 from the front.

    The turn at which the points of the rigid head lie beside each other as they are seen. With
    fewer than two points it is 0, and for ears from behind, left on the left.
    """
    seen = np.flatnonzero(np.isfinite(points[:, 0]))
    if len(seen) < 2 or _is_behind(points, axis_xy):
        return 0.0
    sideways = points[seen, :2] @ np.array(axis_xy) / size_px
    across, ahead = np.array(ACROSS)[seen], np.array(AHEAD)[seen]
    expected = np.outer(np.cos(_TURNS), across) + np.outer(np.sin(_TURNS), ahead)
    wrong = np.var(sideways - expected, axis=1)  # wherever the head lies
    return float(_TURNS[np.argmin(wrong + _STRAIGHT * _TURNS**2)])


def _is_behind(points: Array, axis_xy: tuple[float, float]) -> bool:
    """Whether the left ear is seen on the left."""
    ears = points[3, :2] - points[4, :2]
    return bool(ears @ np.array(axis_xy) < 0)  # nan: from the front


# --- the box around the head ------------------------------------------------------------------


def weighted_centre(
    points: Array, size_px: float, axis_xy: tuple[float, float], turn: float
) -> tuple[float, float]:
    """Middle of the head: every head keypoint says where it would be, weighted by its score.

    ``nan`` if no point is seen. Ears that are seen from behind, left on the left, are mirrored.
    """
    across, down = np.array(axis_xy), np.array([-axis_xy[1], axis_xy[0]])
    behind = -1.0 if _is_behind(points, axis_xy) else 1.0
    votes, weights = [], []
    for i in range(HEAD):
        if np.isfinite(points[i, 0]):
            side = behind * ACROSS[i] * math.cos(turn) + AHEAD[i] * math.sin(turn)
            votes.append(points[i, :2] - size_px * (side * across + DOWN[i] * down))
            weights.append(max(float(points[i, 2]), 1e-6))
    if not votes:
        return math.nan, math.nan
    x, y = np.average(votes, axis=0, weights=weights)
    return float(x), float(y)


def box_around(centre_xy: tuple[float, float], size_px: float) -> Box:
    """Upright box of a head of that size, `ASPECT` times as wide as it is high."""
    half_w, half_h = size_px * math.sqrt(ASPECT) / 2, size_px / math.sqrt(ASPECT) / 2
    x, y = centre_xy
    return x - half_w, y - half_h, x + half_w, y + half_h


def head_box(seen: Array, scale: float = 1.0, size_px: float = math.nan) -> Box | None:
    """Box around the head of one person.

    Size from the head's own points; with a single one from the body, else as given.

    Args:
        seen: (17, 3) keypoints above the threshold.
        scale: factor on the size that the points ask for: some models place them too close.
        size_px: size to take where the person does not tell any.

    Returns:
        ``None`` if no head keypoint is seen or the size is unknown.
    """
    points = without_stray_ear(seen[:HEAD])
    seen = np.concatenate([points, seen[HEAD:]])
    size = size_from_head(points)
    if math.isnan(size):
        size = size_from_body(seen)
    size = size_px if math.isnan(size) else size * scale
    if not size > 0 or not np.isfinite(points[:, 0]).any():
        return None
    axis = across_axis(seen, size)
    return box_around(weighted_centre(points, size, axis, turn_rad(points, size, axis)), size)
