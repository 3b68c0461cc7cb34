"""Regions of a picture for a pose model: all of it, tiles, and bodies below known heads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.detect._tiles import scale_image
from faceparts.types import Head, Image

Box = tuple[float, float, float, float]

ABOVE = 0.4
"""Head sizes that the square around a person reaches above the head's box."""

TILE_SHARES = (2,)
"""Tiles have sides of the shorter picture side divided by these, and overlap by half. A second
level (4) was measured: 0.1 % more heads of SCUT-HEAD, 4 % more false ones, four times the work."""

LEAST_TILE_PX = 96
"""No tiles below this side: people in them would be too small to tell their keypoints."""

MAX_TILES = 64
"""Levels of tiles that would need more than this are left out."""


@dataclass(frozen=True, eq=False)
class Cut:
    """A region of a picture as a model sees it.

    Args:
        image: (h, w, 3) uint8 RGB.
        ratio_xy: picture pixels that one of its pixels spans.
        origin_xy: picture coordinates (edges) of its left top corner.
    """

    image: Image
    ratio_xy: tuple[float, float]
    origin_xy: tuple[float, float]

    def to_picture(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., 2) positions in the cut (edges) -> positions in the picture."""
        return np.asarray(xy * np.array(self.ratio_xy) + np.array(self.origin_xy))


def whole(image: Image) -> Box:
    """The whole picture as a region."""
    height, width = image.shape[:2]
    return 0.0, 0.0, float(width), float(height)


def tiles(image: Image) -> list[Box]:
    """Square regions that overlap by half, level after level; see `TILE_SHARES`.

    Example:
        >>> tiles(np.zeros((200, 300, 3), np.uint8))[:3]
        [(0.0, 0.0, 100.0, 100.0), (50.0, 0.0, 150.0, 100.0), (100.0, 0.0, 200.0, 100.0)]
    """
    height, width = image.shape[:2]
    found: list[Box] = []
    for share in TILE_SHARES:
        side = min(height, width) / share
        columns, rows = (max(1, math.ceil(n / (side / 2) - 1e-9) - 1) for n in (width, height))
        if side < LEAST_TILE_PX or columns * rows > MAX_TILES:
            break
        for top in np.linspace(0, height - side, rows).tolist():
            for left in np.linspace(0, width - side, columns).tolist():
                found.append((left, top, left + side, top + side))
    return found


def body_around(head: Head, body: float) -> Box:
    """Square around the upper part of a person, from a head.

    Args:
        body: its side in head sizes (square roots of the box's area).
    """
    x0, y0, x1, _ = head.box_xyxy
    width, height = head.size_wh
    size = math.sqrt(max(width * height, 1e-9))
    left, top = (x0 + x1 - body * size) / 2, y0 - ABOVE * size
    return left, top, left + body * size, top + body * size


def touches(region: Box, image: Image) -> bool:
    """Whether a region has at least a pixel's area inside the picture."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = region
    return bool(min(x1, width) - max(x0, 0) >= 1 and min(y1, height) - max(y0, 0) >= 1)


def fit(region: Box, size_wh: tuple[int, int]) -> Box:
    """Grow a region around its middle to the proportions of an input.

    Example:
        >>> fit((0, 0, 10, 10), (100, 200))
        (0.0, -5.0, 10.0, 15.0)
    """
    x0, y0, x1, y1 = region
    scale = max((x1 - x0) / size_wh[0], (y1 - y0) / size_wh[1])
    half_w, half_h = size_wh[0] * scale / 2, size_wh[1] * scale / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return x - half_w, y - half_h, x + half_w, y + half_h


def cut(image: Image, region: Box, size_wh: tuple[int, int], pad: int) -> Cut:
    """Scale a region to an input's size without aliasing; its proportions are kept.

    Args:
        region: must touch the picture; see `touches`.
        pad: grey level of what lies beside the picture or the region.
    """
    height, width = image.shape[:2]
    x0, y0, x1, y1 = fit(region, size_wh)
    scale = (x1 - x0) / size_wh[0]
    (left, right), (top, bottom) = _inside(x0, x1, width), _inside(y0, y1, height)
    at_x = min(max(0, round((left - x0) / scale)), size_wh[0] - 1)
    at_y = min(max(0, round((top - y0) / scale)), size_wh[1] - 1)
    small_wh = (
        min(max(1, round((right - left) / scale)), size_wh[0] - at_x),
        min(max(1, round((bottom - top) / scale)), size_wh[1] - at_y),
    )
    out = np.full((size_wh[1], size_wh[0], 3), pad, np.uint8)
    source = image[top:bottom, left:right]
    out[at_y : at_y + small_wh[1], at_x : at_x + small_wh[0]] = _scale(source, small_wh)
    ratio = (right - left) / small_wh[0], (bottom - top) / small_wh[1]
    return Cut(out, ratio, (left - at_x * ratio[0], top - at_y * ratio[1]))


def _scale(source: Image, size_wh: tuple[int, int]) -> Image:
    if source.shape[1::-1] == size_wh:
        return source
    if size_wh[0] > source.shape[1] and size_wh[1] > source.shape[0]:
        return np.asarray(cv2.resize(source, size_wh, interpolation=cv2.INTER_CUBIC), np.uint8)
    return scale_image(np.ascontiguousarray(source), size_wh)


def _inside(start: float, stop: float, length: int) -> tuple[int, int]:
    """Whole pixels of one axis that a span covers; at least one."""
    first = min(max(math.floor(start + 1e-6), 0), length - 1)
    last = max(min(math.ceil(stop - 1e-6), length), first + 1)
    return first, last


def heads_worth_looking(heads: Sequence[Head], image: Image, body: float) -> list[Box]:
    """Regions around the bodies of heads, best head first, that touch the picture."""
    regions = [body_around(head, body) for head in heads]
    return [region for region in regions if touches(region, image)]
