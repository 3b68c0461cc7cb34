"""The face in its own unit: lengths from the nose, in distances between eyes and mouth.

What tells the yaw is where nose, eyes, mouth, ears and the face's outline lie to each other. In
units of the head these numbers depend on hair; the distance from the eyes to the mouth does not,
and hardly changes with the yaw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Counts = Mapping[str, NDArray[np.int64]]
Places = Mapping[str, tuple[float, float]]
Quantiles = Callable[[NDArray[np.int64], Sequence[float]], list[float]]

_SEEN = (
    *("nose", "mouth", "right_eye", "left_eye", "right_brow", "left_brow"),
    *("right_ear", "left_ear", "eyes", "brows", "face", "hair", "head"),
)
_SIZED = ("nose", "mouth", "right_eye", "left_eye", "eyes", "ears", "face", "hair")

LEVELS = ("brows", "eyes", "upper_nose", "nose", "lip", "mouth", "chin")
HALF_LEVEL = 0.09
"""A level is a band of rows that reaches so many units up and down."""

LEAST_UNIT, USUAL_UNIT, LARGEST_UNIT = 0.25, 0.45, 0.9
"""The distance from eyes to mouth, in roots of the face's area."""


def inner_names() -> list[str]:
    """Names of what `describe_inner` gives."""
    names = ["inner_known", "inner_unit", "inner_unit_of_face", "inner_tall"]
    names += ["nose_off_axis", "nose_along_axis"]
    for group in _SEEN:
        names += [f"{group}_to_nose_{k}" for k in ("x", "low", "high", "y")]
    names += [f"{group}_in_units" for group in _SIZED]
    for level in LEVELS:
        names += [f"at_{level}_{k}" for k in ("right", "left", "nose", "head_right", "head_left")]
    names += ["eyes_across_face", "mouth_across_face", "face_balance", "hair_balance"]
    return [*names, "eye_balance", "nose_lean"]


def describe_inner(
    ids: NDArray[np.uint8],
    face_ids: int,
    head_ids: int,
    columns: Counts,
    rows: Counts,
    place: Places,
    quantiles: Quantiles,
) -> list[float]:
    """Features named by `inner_names`; what is absent gives 0.

    Args:
        ids: (h, w) groups; below ``face_ids`` they belong to the face, below ``head_ids`` to the
            head.
        columns, rows: (w,) and (h,) pixels of each group.
        place: x, y of the middle of each group that is there; the face always is.
        quantiles: of counts, see `faceparts._layout`.
    """
    height, width = ids.shape
    root = math.sqrt(int(columns["face"].sum()))
    unit, known = _unit(place, root)
    low, high = quantiles(rows["face"], (0.01, 0.99))
    tall = high - low
    out = [float(known), unit / math.sqrt(int(columns["head"].sum())), unit / root, tall / unit]
    out += _off_axis(place, unit) if known else [0.0, 0.0]

    nose_x = place.get("nose", place.get("mouth", place["face"]))[0]
    nose_y = place.get("nose", place["face"])[1]
    for group in _SEEN:
        if group not in place:
            out += [0.0] * 4
            continue
        x, y = place[group]
        low, high = quantiles(columns[group], (0.03, 0.97))
        out += [(v - nose_x) / unit for v in (x, low, high)] + [(y - nose_y) / unit]
    out += [math.sqrt(int(columns[group].sum())) / unit for group in _SIZED]

    eyes_y = place["eyes"][1] if "eyes" in place else nose_y - 0.55 * unit
    mouth_y = place["mouth"][1] if "mouth" in place else nose_y + 0.45 * unit
    face, head = ids < face_ids, ids < head_ids
    ends: dict[str, tuple[float, float]] = {}
    levels = (eyes_y - 0.35 * unit, eyes_y, (eyes_y + nose_y) / 2, nose_y, (nose_y + mouth_y) / 2)
    for level, y in zip(LEVELS, (*levels, mouth_y, mouth_y + 0.3 * unit), strict=True):
        top = int(min(max(y - HALF_LEVEL * unit, 0), height - 1))
        band = slice(top, int(min(max(y + HALF_LEVEL * unit + 1, top + 1), height)))
        counts = face[band].sum(axis=0)
        if not counts.any():
            out += [0.0] * 5
            continue
        low, high = ends[level] = _pair(quantiles(counts, (0.03, 0.97)))
        of_head = quantiles(head[band].sum(axis=0), (0.02, 0.98))
        out += [(low - nose_x) / unit, (high - nose_x) / unit]
        out += [(nose_x - low) / max(high - low, 1.0), *((v - nose_x) / unit for v in of_head)]
    for group in ("eyes", "mouth"):
        if group in place and group in ends:
            low, high = ends[group]
            out.append((place[group][0] - low) / max(high - low, 1.0))
        else:
            out.append(0.5)
    for group in ("face", "hair"):
        right = int(columns[group][: int(min(max(nose_x, 0), width))].sum())
        total = int(columns[group].sum())
        out.append((2 * right - total) / max(total, 1))
    left_eye, right_eye = (int(columns[f"{s}_eye"].sum()) for s in ("left", "right"))
    out.append((math.sqrt(left_eye) - math.sqrt(right_eye)) / unit)
    out.append(_lean(columns["nose"]) if "nose" in place else 0.0)
    return out


def _unit(place: Places, root: float) -> tuple[float, bool]:
    """The distance from eyes to mouth, within bounds, and whether it was seen."""
    known = "eyes" in place and "mouth" in place and "nose" in place
    known = known and place["mouth"][1] - place["eyes"][1] > 0.2 * root
    unit = math.dist(place["eyes"], place["mouth"]) if known else USUAL_UNIT * root
    return min(max(unit, LEAST_UNIT * root), LARGEST_UNIT * root), known


def _off_axis(place: Places, unit: float) -> list[float]:
    """The nose beside and along the line from eyes to mouth."""
    (ex, ey), (mx, my), (nx, ny) = place["eyes"], place["mouth"], place["nose"]
    length = math.hypot(mx - ex, my - ey)
    x, y = (mx - ex) / length, (my - ey) / length
    return [((nx - ex) * y - (ny - ey) * x) / unit, ((nx - ex) * x + (ny - ey) * y) / unit]


def _lean(counts: NDArray[np.int64]) -> float:
    """Third standardised moment of where the pixels of columns lie."""
    at = np.arange(len(counts)) + 0.5
    total = float(counts.sum())
    off = at - float(counts @ at) / total
    spread = math.sqrt(max(float(counts @ off**2) / total, 0.1))
    return float(counts @ off**3) / total / spread**3


def _pair(values: Sequence[float]) -> tuple[float, float]:
    return values[0], values[1]
