"""Show what was found: part colours, head boxes and points over the picture.

Lines and dots scale with the picture, so they read the same on a thumbnail and on 12 megapixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import floor

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts._values import require_range
from faceparts.effects._check import copy_picture
from faceparts.types import Face, Image, LabelSet

_BOX_RGB = (255, 214, 0)
_RIGHT_RGB = (255, 64, 64)
_LEFT_RGB = (64, 160, 255)
_NOSE_RGB = (255, 255, 255)
_OUTLINE_RGB = (0, 0, 0)
_POINTS_RGB = (*(_RIGHT_RGB, _LEFT_RGB, _NOSE_RGB, _RIGHT_RGB, _LEFT_RGB, _RIGHT_RGB, _LEFT_RGB),)


@dataclass(frozen=True)
class Overlay:
    """Draw part colours, head boxes and points over the picture."""

    opacity: float = field(
        default=0.5, metadata={"help": "how much the part colours cover the picture, 0 to 1"}
    )
    boxes: bool = field(default=True, metadata={"help": "draw the head boxes"})
    points: bool = field(
        default=True, metadata={"help": "draw the head points; the subject's right side is red"}
    )

    def __post_init__(self) -> None:
        require_range("opacity", self.opacity, 0, 1)

    def __call__(self, image: Image, faces: Sequence[Face]) -> Image:
        """Draw every face into a copy of the picture.

        Raises:
            ValueError: the picture is not (H, W, 3) uint8 or a face comes from another size.
        """
        copy, faces = copy_picture(image, faces)
        out = np.ascontiguousarray(copy)
        for face in faces:
            self._tint(out, face)
        for face in faces:
            line_px = _line_px(out, face)
            if self.boxes:
                _draw_box(out, face, line_px)
            if self.points:
                _draw_points(out, face, line_px)
        return out

    def _tint(self, out: Image, face: Face) -> None:
        x0, y0, x1, y1 = face.window_xyxy
        colors, known = _tables(face.label_set)
        inside = known[face.labels]
        if inside.any():
            cut = out[y0:y1, x0:x1]
            mixed = cv2.addWeighted(cut, 1 - self.opacity, colors[face.labels], self.opacity, 0)
            np.copyto(cut, mixed, where=inside[..., None])


def _tables(label_set: LabelSet) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """(256, 3) colour of each id and (256,) whether it is a part, not background or unknown."""
    colors = np.zeros((256, 3), np.uint8)
    colors[: len(label_set.colors)] = label_set.colors
    known = np.zeros(256, bool)
    known[1 : len(label_set.parts)] = True
    return colors, known


def _line_px(out: Image, face: Face) -> int:
    """Line width: 1/350 of the picture, but never more than 3 % of the head."""
    shorter_px = float(min(out.shape[:2]))
    return max(1, round(min(shorter_px, 10 * max(face.head.size_wh)) / 350))


def _to_pixel(value: float, limit_px: int) -> int:
    """Index of the pixel that an edge coordinate falls on, kept in a range that OpenCV can draw."""
    return floor(min(max(value, -limit_px), 2 * limit_px))


def _draw_box(out: Image, face: Face, line_px: int) -> None:
    h, w = out.shape[:2]
    x0, y0, x1, y1 = face.head.box_xyxy
    start = _to_pixel(x0, w), _to_pixel(y0, h)
    end = _to_pixel(x1 - 1, w), _to_pixel(y1 - 1, h)
    cv2.rectangle(out, start, end, _OUTLINE_RGB, line_px + 2 * max(1, line_px // 2))
    cv2.rectangle(out, start, end, _BOX_RGB, line_px)


def _draw_points(out: Image, face: Face, line_px: int) -> None:
    h, w = out.shape[:2]
    # Dots never hide a small face: at most 3 % of its size, at least one pixel.
    radius_px = max(1, min(2 * line_px, round(0.03 * max(face.head.size_wh))))
    for (x, y, _), rgb in zip(face.head.points, _POINTS_RGB, strict=True):
        if np.isfinite(x) and np.isfinite(y):
            center = _to_pixel(x, w), _to_pixel(y, h)
            if radius_px > 1:
                cv2.circle(out, center, radius_px + max(1, line_px // 2), _OUTLINE_RGB, -1)
            cv2.circle(out, center, radius_px, rgb, -1)


EFFECT = Overlay
