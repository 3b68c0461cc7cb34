"""What a labelled head looks like: size, pose, brightness and skin tone, and the groups of each.

All are measured on the labels, never on a prediction, and all are proxies:

- **head size**: longer side in pixels of the box that the labelled head spans (`head_box`).
- **pose**: where the nose lies between the borders of the face, -1..1 (`yaw_of_labels`); no angle.
- **brightness**: mean lightness L* of the head box, skin and background alike.
- **skin tone**: individual typology angle, atan((L* - 50) / b*) in degrees, of the mean colour of
  the pixels labelled as skin (Chardon, Cretois and Hourseau, 1991; groups as usual there). It
  measures pixels, not people: light, white balance, make-up and image processing move it by more
  than a group, and grey pictures have none.

Colours are CIE L*a*b* of sRGB under D65.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.labels import BARE_FACE, GROUPS
from faceparts.types import Image, LabelSet

Bins = tuple[tuple[str, float], ...]
"""Name and lowest value of each group, the highest group first; the last begins at -inf."""

TONES: Bins = (
    ("very light, above 55", 55.0),
    ("light, 41 to 55", 41.0),
    ("intermediate, 28 to 41", 28.0),
    ("tan, 10 to 28", 10.0),
    ("brown, -30 to 10", -30.0),
    ("dark, below -30", -math.inf),
)
"""Individual typology angle in degrees."""

SIZES: Bins = (
    ("384 px and more", 384.0),
    ("256 to 384 px", 256.0),
    ("128 to 256 px", 128.0),
    ("64 to 128 px", 64.0),
    ("below 64 px", -math.inf),
)

POSES: Bins = (
    ("profile, 0.65 and more", 0.65),
    ("turned, 0.25 to 0.65", 0.25),
    ("frontal, below 0.25", -math.inf),
)
"""Of the absolute value of `yaw_of_labels`. On FASSEG V3, whose yaws are known, its mean is
0.02 at 0 degrees, 0.29 at 15, 0.50 at 30, 0.67 at 45 and 0.80 to 0.85 from 60 on, with a standard
deviation of 0.1."""

LIGHTS: Bins = (
    ("bright, L* 65 and more", 65.0),
    ("medium, L* 50 to 65", 50.0),
    ("dim, L* 35 to 50", 35.0),
    ("dark, L* below 35", -math.inf),
)

UNKNOWN = "not measurable"
LEAST_CHROMA = 1.0
"""Mean b* below which a skin mask has no typology angle: grey, or stranger than skin."""

MIN_FACE_PX = 16
FACE_PARTS = (*BARE_FACE, "bare_skin", "brows", "lips", "teeth", "mouth_cavity")
"""Parts of the face in any label set, merged ones too; ``bare_skin`` holds the neck."""

_HEAD_PARTS = (*(p for p in GROUPS["head"] if p != "earring"), *FACE_PARTS, "ears")
NECK_IN_SKIN = ("fasseg6",)
"""Label sets whose skin holds the neck, beside those with ``bare_skin``."""

CHIN = 0.36
"""Median over 100 CelebAMask-HQ pictures, whose neck is labelled apart; 0.25 to 0.55 in 90 %."""

_MOUTH = ("mouth", "upper_lip", "lower_lip", "lips", "teeth", "mouth_cavity")
_SKIN = ("skin", "bare_skin", "face")
Ids = NDArray[np.uint8]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Measures:
    """One head; ``None`` where it cannot be measured.

    Args:
        head_px: longer side of its box in pixels.
        yaw: -1..1; positive = turned towards the subject's left.
        lightness: mean L* 0..100 of the head box.
        ita_deg: individual typology angle of the skin.
    """

    head_px: float | None = None
    yaw: float | None = None
    lightness: float | None = None
    ita_deg: float | None = None


AXES: dict[str, tuple[Callable[[Measures], float | None], Bins]] = {
    "skin tone (ITA, degrees)": (lambda m: m.ita_deg, TONES),
    "head size": (lambda m: m.head_px, SIZES),
    "pose (yaw proxy)": (lambda m: None if m.yaw is None else abs(m.yaw), POSES),
    "brightness": (lambda m: m.lightness, LIGHTS),
}
"""What pictures are grouped by: name -> (value of a head, groups)."""


def measure(image: Image, ids: Ids, label_set: LabelSet) -> Measures:
    """Measure the labelled head of a picture.

    Args:
        image: (H, W, 3) RGB.
        ids: (H, W) part ids of ``label_set``.
    """
    box = head_box(ids, label_set)
    if box is None:
        return Measures(ita_deg=ita_deg(image, skin_mask(ids, label_set)))
    return Measures(
        head_px=max(box[2] - box[0], box[3] - box[1]),
        yaw=yaw_of_labels(ids, label_set),
        lightness=lightness(image, box),
        ita_deg=ita_deg(image, skin_mask(ids, label_set)),
    )


def group_of(value: float | None, bins: Bins) -> str:
    """Name of the group of a value; `UNKNOWN` for ``None``.

    Example:
        >>> group_of(30.0, TONES), group_of(None, TONES)
        ('intermediate, 28 to 41', 'not measurable')
    """
    if value is None or math.isnan(value):
        return UNKNOWN
    return next(name for name, low in bins if value >= low)


def mask_of(ids: Ids, label_set: LabelSet, parts: tuple[str, ...]) -> NDArray[np.bool_]:
    """(H, W) pixels of those of the parts that the label set has."""
    table = np.zeros(256, bool)
    table[[i for i, part in enumerate(label_set.parts) if part in parts]] = True
    return np.asarray(table[ids])


def skin_mask(ids: Ids, label_set: LabelSet) -> NDArray[np.bool_]:
    """(H, W) pixels labelled as skin, or as face where the set knows no skin."""
    part = next((p for p in _SKIN if p in label_set.parts), "skin")
    return mask_of(ids, label_set, (part,))


def head_box(ids: Ids, label_set: LabelSet) -> Box | None:
    """Left, top, right, bottom (edges) of the labelled head; ``None`` without a face.

    Face, ears, hair, hat and glasses down to the lowest row of the face: long hair below the chin
    does not make a head longer. Where a set paints the neck as skin, the chin is put below the
    mouth at `CHIN` of the distance from the top of the nose to the bottom of the mouth.
    """
    face_rows = np.nonzero(mask_of(ids, label_set, FACE_PARTS))[0]
    if len(face_rows) < MIN_FACE_PX:
        return None
    chin = math.ceil(float(np.percentile(face_rows, 99.7)) + 1)
    if label_set.name in NECK_IN_SKIN or "bare_skin" in label_set.parts:
        nose = np.nonzero(mask_of(ids, label_set, ("nose",)))[0]
        mouth = np.nonzero(mask_of(ids, label_set, _MOUTH))[0]
        if min(len(nose), len(mouth)) >= MIN_FACE_PX:
            bottom = float(np.percentile(mouth, 99))
            down = bottom + CHIN * (bottom - float(np.percentile(nose, 1)))
            chin = min(chin, math.ceil(down + 1))
    head = mask_of(ids, label_set, _HEAD_PARTS)
    head[chin:] = False
    rows, columns = np.nonzero(head.any(axis=1))[0], np.nonzero(head.any(axis=0))[0]
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(chin)


def yaw_of_labels(ids: Ids, label_set: LabelSet) -> float | None:
    """Where the nose lies between the face's left and right border, -1..1; 0 in the middle.

    Borders are medians over the rows that the nose spans. Positive: the nose lies to the right in
    the picture, the subject looks to its own left. ``None`` without nose or face.
    """
    nose = mask_of(ids, label_set, ("nose",))
    ys, xs = np.nonzero(nose)
    if len(ys) < MIN_FACE_PX:
        return None
    rows = mask_of(ids, label_set, FACE_PARTS)[ys.min() : ys.max() + 1]
    rows = rows[rows.any(axis=1)]
    left = float(np.median(rows.argmax(axis=1)))
    right = float(np.median(rows.shape[1] - rows[:, ::-1].argmax(axis=1)))
    middle = float(xs.mean()) + 0.5
    return float(np.clip((2 * middle - left - right) / max(right - left, 1.0), -1, 1))


def yaw_of_points(points: NDArray[np.float32]) -> float | None:
    """The same from a head's points (7, 3): nose against the middle of the eyes.

    Offset of the nose in eye distances, doubled, within -1..1; 1 or -1 where just one eye is
    marked as seen. ``None`` where nose and eyes were not marked.
    """
    right, left, nose = points[0], points[1], points[2]
    if not np.isfinite([right[2], left[2], nose[2]]).all():
        return None
    seen = right[2] > 0, left[2] > 0
    if not all(seen):
        return None if not any(seen) else (1.0 if seen[0] else -1.0)
    between = abs(float(left[0] - right[0]))
    offset = float(nose[0] - (left[0] + right[0]) / 2)
    return float(np.clip(2 * offset / max(between, 1e-6), -1, 1)) if nose[2] > 0 else None


def lightness(image: Image, box_xyxy: Box) -> float | None:
    """Mean L* 0..100 of a box; ``None`` where it lies outside the picture."""
    x0, y0, x1, y1 = (round(v) for v in box_xyxy)
    cut = image[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)]
    return float(to_lab(cut)[..., 0].mean(dtype=np.float64)) if cut.size else None


def ita_deg(image: Image, skin: NDArray[np.bool_]) -> float | None:
    """Individual typology angle of the mean colour of a mask, in degrees.

    ``None`` where the mask is smaller than `MIN_FACE_PX` or has no colour (`LEAST_CHROMA`).
    """
    pixels = image[skin]
    if len(pixels) < MIN_FACE_PX:
        return None
    light, _, yellow = to_lab(pixels[None])[0].mean(axis=0, dtype=np.float64)
    if yellow < LEAST_CHROMA:
        return None
    return math.degrees(math.atan((light - 50) / yellow))


def to_lab(image: Image) -> NDArray[np.float32]:
    """(H, W, 3) uint8 sRGB -> CIE L*a*b* under D65."""
    scaled = np.ascontiguousarray(image, np.float32) / np.float32(255)
    return np.asarray(cv2.cvtColor(scaled, cv2.COLOR_RGB2LAB), np.float32)
