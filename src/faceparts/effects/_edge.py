"""Soft edges of parts: opaque inside, and across the outline as sure as the parser was."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.effects._parts import require_mask
from faceparts.effects._shapes import WindowXyxy
from faceparts.types import Face


def soft_alpha(face: Face, words: str, feather: float) -> tuple[WindowXyxy, NDArray[np.float32]]:
    """How much each pixel belongs to the parts.

    Inside the parts, away from their common outline, it is 1: low confidence between two of the
    parts does not matter. Near the outline it is the parser's confidence in the parts (one minus
    the confidence on the other side), smoothed over the width of the feather.

    Args:
        words: comma-separated parts and groups.
        feather: width of the soft edge as a share of the head size.

    Returns:
        The face's window and its (h, w) float32 alpha, 0..1.

    Raises:
        UnknownName: the face's label set has nothing of a word.
    """
    mask = require_mask(face, words)
    window = face.window_xyxy
    if not mask.any():
        return window, np.zeros(mask.shape, np.float32)
    width_px = feather * max(face.head.size_wh)
    if width_px <= 0:
        return window, mask.astype(np.float32)
    width_px = max(width_px, 1.0)
    alpha = np.where(mask, face.confidence, 1 - face.confidence).astype(np.float32)
    alpha[_distance(mask) > width_px] = 1
    alpha[_distance(~mask) > width_px] = 0
    alpha = np.asarray(
        cv2.GaussianBlur(alpha, (0, 0), width_px / 2, borderType=cv2.BORDER_REPLICATE)
    )
    return window, alpha.clip(0, 1)


def _distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance of each pixel of a mask from the nearest pixel outside it; inf if there is none."""
    if mask.all():
        return np.full(mask.shape, np.inf, np.float32)
    return np.asarray(
        cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    )
