"""The detector's points of a face, and whether the parser's parts lie where they say.

A detector that learnt from upright heads puts the points of one that stands on its head upright
too: the mouth on the brow. Eyes are then still about right, for they lie in the middle; nose and
mouth tell.
"""

from __future__ import annotations

import cv2
import numpy as np

from faceparts.labels import GROUPS
from faceparts.types import POINTS, Face

SEEN_SCORE = 0.5

FOUND_SHARE = 3e-4
"""Of the head box's area: a part with less was not found; an eye has about 3e-3."""

MOUTH_POINTS = ("right_mouth_corner", "left_mouth_corner")

_WITNESSES = (
    (("nose",), ("nose",), (0.13,)),
    (MOUTH_POINTS, (*GROUPS["lips"], "mouth"), (0.3, 0.2)),
)
"""Points, the parts that they lie on, and how far the middles of both may be apart where one and
where two points were seen, as a share of the head size. Of 24 upright faces of CelebAMask-HQ val
noses were at most 0.11 apart, both corners of a mouth 0.06 and one corner 0.23. Of 20 upside down
18 noses were 0.14 to 0.30 apart and one was not found, and no lips were found where the points
were, but for one face; each of the 20 had a nose or a mouth that was too far or not found."""


def head_size_px(face: Face) -> float:
    """Longer side of the head box in picture pixels.

    Raises:
        ValueError: the box has no area.
    """
    w, h = face.head.size_wh
    if w <= 0 or h <= 0:
        raise ValueError(f"head box has no area: {face.head.box_xyxy}; wanted x0 < x1 and y0 < y1")
    return max(w, h)


def seen_points(face: Face) -> dict[str, tuple[float, float]]:
    """Picture position of each point that scores at least 0.5 and lies in or near the head box."""
    x0, y0, x1, y1 = face.head.box_xyxy
    slack = 0.1 * head_size_px(face)
    return {
        name: (float(x), float(y))
        for name, (x, y, score) in zip(POINTS, face.head.points, strict=True)
        if score >= SEEN_SCORE and x0 - slack <= x <= x1 + slack and y0 - slack <= y <= y1 + slack
    }


def is_found(face: Face, parts: tuple[str, ...]) -> bool:
    """Whether the parser found more than a speck of some of a face's parts."""
    return bool(parts) and _is_find(face, float(np.count_nonzero(face.window_mask(*parts))))


def _is_find(face: Face, area_px: float) -> bool:
    w, h = face.head.size_wh
    return bool(area_px >= max(FOUND_SHARE * w * h, 1))


def points_agree(face: Face) -> bool:
    """Whether the parser found nose and mouth near the points that the detector saw of them.

    A point of which it found no part is doubted too. Points that were not seen, and parts that the
    label set lacks, tell nothing: the answer is then yes.

    Raises:
        ValueError: the head box has no area.
    """
    seen = seen_points(face)
    for names, known, limits in _WITNESSES:
        points = [seen[name] for name in names if name in seen]
        parts = tuple(part for part in known if part in face.label_set.parts)
        if not points or not parts:
            continue
        sums = cv2.moments(face.window_mask(*parts).view(np.uint8), binaryImage=True)
        if not _is_find(face, sums["m00"]):
            return False
        middle = np.array((sums["m10"], sums["m01"])) / sums["m00"] + 0.5 + face.window_xyxy[:2]
        apart_px = float(np.hypot(*(np.mean(points, axis=0) - middle)))
        if apart_px > limits[len(points) - 1] * head_size_px(face):
            return False
    return True
