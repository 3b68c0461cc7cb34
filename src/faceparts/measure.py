"""Face -> one row of numbers, with the unit in each column's name.

Columns, in this order (``nan`` wherever a value is undefined, never 0 or -1):

- ``score``, ``box_x0_px`` ... ``box_y1_px``, ``head_width_px``, ``head_height_px``: the head as the
  detector gave it, in picture pixels (edge coordinates).
- ``inside_share``: share of the head box that lies inside the picture, 0..1.
- ``point_{name}_x_px``, ``_y_px``, ``_score``: the detector's points.
- ``confidence_mean``: mean confidence of all pixels that are not background, 0..1.
- ``area_{part}_px``, ``{part}_x_px``, ``{part}_y_px``: number of pixels and centroid of each part.
- ``visible_share``: pixels of the face's own parts (skin, eyes, brows, nose, mouth, lips, beard;
  not ears, hair, glasses or whatever covers the face) as a share of the head box inside the
  picture. About 0.5 for a bare face from the front, 0 for a head from behind.
- ``interocular_px``, ``roll_deg``: distance between the eyes and angle of the line from the
  subject's right to left eye; 0 upright, positive clockwise as seen in the picture, -180..180.
  From the eyes' centroids where the parser found both, else from the detector's points.
- ``yaw_deg``: how far the head is turned, about -90..90; 0 from the front, positive when the
  subject turns to its own right, so that the nose points to the left of the picture. From the part
  map alone (docs/headpose.md says how well); ``nan`` where the label set lacks skin, nose, eyes,
  mouth or hair, or the face cannot be seen.
- ``pitch_deg``: how far it is raised, positive when it looks up; 0 is the level head of FASSEG V3.
  ``nan`` where ``yaw_deg`` is, and beyond 50 degrees of yaw. Rougher than the yaw.
- ``skin_l``, ``skin_a``, ``skin_b``: mean CIE L*a*b* (D65) of the skin pixels that the parser saw.
- ``skin_ita_deg``: individual typology angle, atan((L* - 50) / b*) in degrees (Chardon, Cretois and
  Hourseau, "Skin colour typology and suntanning pathways", Int. J. Cosmetic Science 13, 1991):
  above 55 very light, 41 light, 28 intermediate, 10 tan, -30 brown, below that dark. It describes
  the picture's pixels under the picture's light, not the person; undefined where b* < 1 (grey
  pictures).
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts._headpose import measure_pose
from faceparts.labels import BARE_FACE
from faceparts.types import POINTS, Face

POSE_MARGIN = 0.15
"""Head pose was learnt from squares so much larger than the head box on every side."""

_MIN_YELLOW = 1.0
_MIN_SKIN_CONFIDENCE = 0.5


def measure(face: Face) -> dict[str, float]:
    """One row of numbers about a face; the columns are listed at the top of this file.

    The columns depend on the face's label set alone, so rows of one model make a table.

    Raises:
        BadWeights: the shipped file of the head pose is missing or damaged.
    """
    x0, y0, x1, y1 = face.head.box_xyxy
    width, height = face.head.size_wh
    h, w = face.source_hw
    inside_px = max(min(x1, w) - max(x0, 0), 0) * max(min(y1, h) - max(y0, 0), 0)
    row = {
        "score": face.head.score,
        "box_x0_px": x0,
        "box_y0_px": y0,
        "box_x1_px": x1,
        "box_y1_px": y1,
        "head_width_px": width,
        "head_height_px": height,
        "inside_share": _divide(inside_px, width * height),
    }
    for name, (x, y, score) in zip(POINTS, face.head.points, strict=True):
        row[f"point_{name}_x_px"] = float(x)
        row[f"point_{name}_y_px"] = float(y)
        row[f"point_{name}_score"] = float(score)

    parts = face.label_set.parts
    foreground = (face.labels > 0) & (face.labels < len(parts))
    row["confidence_mean"] = _divide(
        float(face.confidence.sum(where=foreground, dtype=np.float64)),
        int(np.count_nonzero(foreground)),
    )
    areas_px, centroids = _measure_parts(face)
    for part, area_px, (x, y) in zip(parts[1:], areas_px[1:], centroids[1:], strict=True):
        row[f"area_{part}_px"] = float(area_px)
        row[f"{part}_x_px"] = float(x)
        row[f"{part}_y_px"] = float(y)
    face_px = sum(int(a) for part, a in zip(parts, areas_px, strict=True) if part in BARE_FACE)
    row["visible_share"] = min(_divide(face_px, inside_px), 1.0)

    right, left = _find_eyes(face, centroids)
    dx, dy = (left - right).tolist()
    row["interocular_px"] = math.hypot(dx, dy)
    row["roll_deg"] = math.degrees(math.atan2(dy, dx))
    row["yaw_deg"], row["pitch_deg"] = measure_pose(_near_head(face), face.label_set)

    lightness, red, yellow = _mean_skin(face)
    row |= {"skin_l": lightness, "skin_a": red, "skin_b": yellow}
    defined = yellow >= _MIN_YELLOW
    row["skin_ita_deg"] = (
        math.degrees(math.atan((lightness - 50) / yellow)) if defined else math.nan
    )
    return row


def _near_head(face: Face) -> NDArray[np.uint8]:
    """The part map in the square that head pose was learnt from, without hair that goes on."""
    x0, y0, x1, y1 = face.head.box_xyxy
    half = max(x1 - x0, y1 - y0) * (0.5 + POSE_MARGIN)
    left, top, _, _ = face.window_xyxy
    spans = []
    for middle, first in (((y0 + y1) / 2, top), ((x0 + x1) / 2, left)):
        start = max(first, math.floor(middle - half + 1e-6))
        spans.append(slice(start - first, max(start, math.ceil(middle + half - 1e-6)) - first))
    return face.labels[spans[0], spans[1]]


def _divide(value: float, by: float) -> float:
    return value / by if by > 0 else math.nan


def _measure_parts(face: Face) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(K,) areas and (K, 2) centroids x, y of all parts in picture pixels; ``nan`` where empty."""
    count = len(face.label_set.parts)
    x0, y0, _, _ = face.window_xyxy
    h, w = face.labels.shape
    per_row = np.zeros((count, h), np.int64)
    per_column = np.zeros((count, w), np.int64)
    for part in np.unique(face.labels):
        if part < count:
            mask = face.labels == part
            per_row[part] = np.count_nonzero(mask, axis=1)
            per_column[part] = np.count_nonzero(mask, axis=0)
    areas = per_row.sum(axis=1)
    divisor = np.where(areas > 0, areas, np.nan)
    x = per_column @ (np.arange(w) + 0.5 + x0) / divisor
    y = per_row @ (np.arange(h) + 0.5 + y0) / divisor
    return areas, np.stack((x, y), axis=1)


def _find_eyes(
    face: Face, centroids: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Picture positions of the subject's right and left eye; ``nan`` where unknown."""
    parts = face.label_set.parts
    if "right_eye" in parts and "left_eye" in parts:
        right, left = centroids[parts.index("right_eye")], centroids[parts.index("left_eye")]
        if np.isfinite(right).all() and np.isfinite(left).all():
            return right, left
    points = face.head.points[:, :2].astype(np.float64)
    return points[POINTS.index("right_eye")], points[POINTS.index("left_eye")]


def _mean_skin(face: Face) -> tuple[float, float, float]:
    """Mean L*, a*, b* of the crop's pixels that fall on skin with confidence of 0.5 or more."""
    parts = face.label_set.parts
    skin = next((parts.index(name) for name in ("skin", "face") if name in parts), None)
    h, w = face.labels.shape
    if skin is None or not h or not w:
        return math.nan, math.nan, math.nan
    wanted = (face.labels == skin) & (face.confidence >= _MIN_SKIN_CONFIDENCE)
    to_window = face.crop.to_source - np.array(
        [[0, 0, face.window_xyxy[0]], [0, 0, face.window_xyxy[1]]]
    )
    rows, columns = face.crop.image.shape[:2]
    in_crop = cv2.warpAffine(
        wanted.astype(np.uint8),
        to_window,
        (columns, rows),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    ).astype(bool)
    if not in_crop.any():
        return math.nan, math.nan, math.nan
    pixels = face.crop.image[in_crop][None].astype(np.float32) / np.float32(255)
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)[0].mean(axis=0, dtype=np.float64)
    return float(lab[0]), float(lab[1]), float(lab[2])
