"""Ovals and capsules as masks of the pixels that they touch."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

WindowXyxy = tuple[int, int, int, int]
"""Whole picture pixels left, top, right, bottom."""


class Shape(Protocol):
    """A piece of the picture plane in picture pixels (edge coordinates)."""

    def bounds(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of the shape in picture pixels."""
        ...

    def cover(self, window_xyxy: WindowXyxy) -> NDArray[np.bool_]:
        """(h, w) bool: every pixel of the window that the shape touches, and no far one."""
        ...


@dataclass(frozen=True)
class Oval:
    """The ellipse that fills an upright box."""

    box_xyxy: tuple[float, float, float, float]

    def scaled(self, factor: float) -> Oval:
        """The same oval, larger or smaller around its centre."""
        x0, y0, x1, y1 = self.box_xyxy
        dx, dy = (x1 - x0) * (factor - 1) / 2, (y1 - y0) * (factor - 1) / 2
        return Oval((x0 - dx, y0 - dy, x1 + dx, y1 + dy))

    def bounds(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in picture pixels."""
        return self.box_xyxy

    def cover(self, window_xyxy: WindowXyxy) -> NDArray[np.bool_]:
        """(h, w) bool: pixels whose square comes within the ellipse."""
        x0, y0, x1, y1 = self.box_xyxy
        x, y = _pixel_centers(window_xyxy)
        # The point of a pixel's square that is nearest to the axes decides, so thin and tiny
        # ovals hide every pixel that they touch.
        u = np.maximum(np.abs(x - (x0 + x1) / 2) - 0.5, 0) / ((x1 - x0) / 2)
        v = np.maximum(np.abs(y - (y0 + y1) / 2) - 0.5, 0) / ((y1 - y0) / 2)
        return np.asarray(u * u + v * v <= 1)


@dataclass(frozen=True)
class Capsule:
    """All points within a radius of a line from one point to another; a disk where both agree."""

    start_xy: tuple[float, float]
    end_xy: tuple[float, float]
    radius_px: float

    def bounds(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in picture pixels."""
        (ax, ay), (bx, by), r = self.start_xy, self.end_xy, self.radius_px
        return min(ax, bx) - r, min(ay, by) - r, max(ax, bx) + r, max(ay, by) + r

    def cover(self, window_xyxy: WindowXyxy) -> NDArray[np.bool_]:
        """(h, w) bool: pixels whose centre is within the radius plus half a pixel's diagonal."""
        x, y = _pixel_centers(window_xyxy)
        (ax, ay), (bx, by) = self.start_xy, self.end_xy
        dx, dy = bx - ax, by - ay
        length2 = dx * dx + dy * dy
        along = ((x - ax) * dx + (y - ay) * dy) / length2 if length2 else 0 * (x + y)
        along = np.clip(along, 0, 1)
        distance2 = (x - ax - along * dx) ** 2 + (y - ay - along * dy) ** 2
        return np.asarray(distance2 <= (self.radius_px + np.sqrt(0.5)) ** 2)


def clip_window(
    bounds: tuple[float, float, float, float], source_hw: tuple[int, int]
) -> WindowXyxy:
    """The whole pixels of the picture that the bounds touch; (0, 0, 0, 0) where there is none."""
    h, w = source_hw
    x0, y0 = max(floor(max(bounds[0], 0)), 0), max(floor(max(bounds[1], 0)), 0)
    x1, y1 = ceil(min(bounds[2], w)), ceil(min(bounds[3], h))
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else (0, 0, 0, 0)


def _pixel_centers(window_xyxy: WindowXyxy) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(1, w) x and (h, 1) y of the pixel centres."""
    x0, y0, x1, y1 = window_xyxy
    x = np.arange(x0, x1, dtype=np.float32)[None] + np.float32(0.5)
    y = np.arange(y0, y1, dtype=np.float32)[:, None] + np.float32(0.5)
    return x, y
