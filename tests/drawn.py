"""Faces drawn by hand, for tests: a picture and the `Face` that a perfect parser would give.

Everything is made of ellipses in the head's own frame: u to the picture's right, v down, the head
box spanning -1..1 in both. So every label, point and box is known exactly at any size.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts import labels as label_sets
from faceparts.effects._region import hidden_region
from faceparts.types import Crop, Face, Head, Image, LabelSet

Ellipse = tuple[float, float, float, float]

_PARTS: tuple[tuple[str, Ellipse, tuple[int, int, int]], ...] = (
    ("hair", (0.0, 0.0, 1.0, 1.0), (60, 40, 25)),
    ("skin", (0.0, 0.2, 0.72, 0.8), (205, 160, 130)),
    ("right_ear", (-0.8, 0.15, 0.12, 0.2), (190, 140, 115)),
    ("left_ear", (0.8, 0.15, 0.12, 0.2), (190, 140, 115)),
    ("right_brow", (-0.3, -0.15, 0.2, 0.05), (70, 45, 30)),
    ("left_brow", (0.3, -0.15, 0.2, 0.05), (70, 45, 30)),
    ("right_eye", (-0.3, 0.02, 0.16, 0.08), (240, 240, 245)),
    ("left_eye", (0.3, 0.02, 0.16, 0.08), (240, 240, 245)),
    ("nose", (0.0, 0.25, 0.12, 0.18), (215, 170, 140)),
    ("upper_lip", (0.0, 0.58, 0.28, 0.09), (175, 75, 80)),
    ("lower_lip", (0.0, 0.68, 0.25, 0.09), (185, 85, 90)),
    ("mouth", (0.0, 0.63, 0.2, 0.04), (90, 20, 30)),
)
"""Part, centre u, v and half axes in the head frame, RGB; later ones lie on top."""

_POINTS_UV = (
    *((-0.3, 0.02), (0.3, 0.02), (0.0, 0.38)),
    *((-0.85, 0.15), (0.85, 0.15), (-0.28, 0.62), (0.28, 0.62)),
)


def drawn_face(
    source_hw: tuple[int, int] = (160, 200),
    center_xy: tuple[float, float] = (100.0, 80.0),
    size_wh: tuple[float, float] = (90.0, 120.0),
    *,
    roll_deg: float = 0.0,
    confidence: float = 0.95,
    from_behind: bool = False,
    with_points: bool = True,
    label_set: LabelSet = label_sets.CELEBA19,
    crop_px: int = 64,
    seed: int = 0,
) -> tuple[Image, Face]:
    """Draw one head on a noisy background.

    Args:
        center_xy: middle of the head; may lie outside the picture.
        size_wh: of the head before it is tilted; the head box spans the tilted hair.
        roll_deg: clockwise as seen in the picture.
        from_behind: nothing but hair, and no points.
        with_points: False leaves all points ``nan``.
        label_set: parts that it lacks or merges follow `faceparts.labels.table`.

    Returns:
        (H, W, 3) RGB and the face.
    """
    h, w = source_hw
    rng = np.random.default_rng(seed)
    image = rng.integers(90, 170, (h, w, 3), dtype=np.uint8)
    labels = np.zeros((h, w), np.uint8)
    cos, sin = math.cos(math.radians(roll_deg)), math.sin(math.radians(roll_deg))
    rx, ry = size_wh[0] / 2, size_wh[1] / 2
    x = np.arange(w)[None] + 0.5 - center_xy[0]
    y = np.arange(h)[:, None] + 0.5 - center_xy[1]
    u, v = (cos * x + sin * y) / rx, (cos * y - sin * x) / ry
    full = label_sets.CELEBA19
    for part, (cu, cv, ru, rv), rgb in _PARTS[:1] if from_behind else _PARTS:
        inside = ((u - cu) / ru) ** 2 + ((v - cv) / rv) ** 2 <= 1
        grain = rng.integers(-12, 13, (int(inside.sum()), 1))
        image[inside] = np.clip(np.array(rgb) + grain, 0, 255)
        labels[inside] = full.id(part)
    labels = label_sets.convert(labels, full, label_set, rest=0)

    half_w, half_h = math.hypot(rx * cos, ry * sin), math.hypot(rx * sin, ry * cos)
    cx, cy = center_xy
    points = Head.no_points()
    if with_points and not from_behind:
        for i, (pu, pv) in enumerate(_POINTS_UV):
            points[i] = (
                cx + cos * pu * rx - sin * pv * ry,
                cy + sin * pu * rx + cos * pv * ry,
                0.9,
            )
    head = Head((cx - half_w, cy - half_h, cx + half_w, cy + half_h), 0.9, points, "drawn")
    return image, face_of(image, labels, head, confidence, label_set, crop_px)


def face_of(
    image: Image,
    labels: NDArray[np.uint8],
    head: Head,
    confidence: float | NDArray[np.float32] = 0.95,
    label_set: LabelSet = label_sets.CELEBA19,
    crop_px: int = 64,
) -> Face:
    """A `Face` from (H, W) labels of the whole picture; window and crop are 1.5 x the head box."""
    h, w = labels.shape
    x0, y0, x1, y1 = head.box_xyxy
    side = 1.5 * max(head.size_wh)
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    window = (
        min(max(math.floor(cx - side / 2), 0), w),
        min(max(math.floor(cy - side / 2), 0), h),
        max(min(math.ceil(cx + side / 2), w), 0),
        max(min(math.ceil(cy + side / 2), h), 0),
    )
    wx0, wy0, wx1, wy1 = window
    if wx0 >= wx1 or wy0 >= wy1:
        window = wx0, wy0, wx1, wy1 = (0, 0, 0, 0)
    scale = side / crop_px
    to_source = np.array(
        [
            [scale, 0, cx - side / 2 + scale / 2 - 0.5],
            [0, scale, cy - side / 2 + scale / 2 - 0.5],
        ]
    )
    crop_image = cv2.warpAffine(
        image,
        to_source,
        (crop_px, crop_px),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderValue=(127, 127, 127),
    )
    sure = np.broadcast_to(np.asarray(confidence, np.float32), (h, w))
    return Face(
        head=head,
        crop=Crop(np.asarray(crop_image, np.uint8), to_source, (h, w)),
        labels=labels[wy0:wy1, wx0:wx1].copy(),
        confidence=sure[wy0:wy1, wx0:wx1].copy(),
        window_xyxy=window,
        label_set=label_set,
    )


def small_face(**options: object) -> Face:
    """A drawn face of 18 x 24 pixels in a picture of 40 x 40."""
    return drawn_face((40, 40), (20, 20), (18, 24), **options)[1]  # type: ignore[arg-type]  # test passes words through


def full_mask(face: Face, **options: object) -> NDArray[np.bool_]:
    """(H, W) mask from the window and mask that `hidden_region` gives."""
    (x0, y0, x1, y1), mask = hidden_region(face, **options)  # type: ignore[arg-type]  # test passes words through
    assert mask.shape == (y1 - y0, x1 - x0)
    full = np.zeros(face.source_hw, bool)
    full[y0:y1, x0:x1] = mask
    return full
