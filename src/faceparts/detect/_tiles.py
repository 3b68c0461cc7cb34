"""Views of a picture for a detector: the whole of it, and overlapping tiles of a big one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, product

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.crops import GREY, halve
from faceparts.types import Image

SMALL_PX = 640
"""Pictures whose longer side is below this are enlarged to it, at most `MAX_ENLARGE` times."""

MAX_ENLARGE = 4.0

TILE_PX = 1024
OVERLAP_PX = 256
"""A head up to this size (at the scale of the tiles) lies whole in at least one tile."""

MAX_TILES = 24
"""Pictures that would need more tiles are scaled down for them."""

MIDDLE_PX = 2048
"""Longer side of the tiled level between whole view and tiles, for pictures of twice that side."""

FAR_PX = (256, 640)
"""Longer sides of the far looks: heads that fill much of a picture are easiest to see small."""

FRAMED_PX = 128
"""Longer side of the framed look: the picture in the middle of a grey frame."""

FRAME_PX = 64
"""Width of that frame on every side. Heads that touch the borders of the picture, close-up profiles
above all, are taken for textures without it."""

SOFT_SHARE = 0.03
"""Of the picture's shorter side: the blur (standard deviation) after which bars and writing over a
large face are gone, and the face is not."""

CLOSER = 2.0
"""How much larger a picture is seen in the closer look for small heads."""

CLOSER_LONGER_PX = 2560
"""Longer side that the closer look enlarges to at most; it is left out where that is less than
`CLOSER_LEAST` times the picture."""

CLOSER_LEAST = 1.2

CUT_PX = 4.0
"""A box this close to an inner border counts as cut by it."""


@dataclass(frozen=True, eq=False)
class View:
    """A part of a picture at some scale.

    Args:
        image: (h, w, 3) uint8 RGB.
        ratio_xy: picture pixels that one view pixel spans.
        origin_xy: picture coordinates (edges) of the view's left top corner.
        cut: left, top, right, bottom: whether the picture goes on behind that border.
    """

    image: Image
    ratio_xy: tuple[float, float] = (1.0, 1.0)
    origin_xy: tuple[float, float] = (0.0, 0.0)
    cut: tuple[bool, bool, bool, bool] = (False, False, False, False)


def scale_image(image: Image, size_wh: tuple[int, int]) -> Image:
    """Scale a picture: averaged when it shrinks, bilinear when it grows."""
    height, width = image.shape[:2]
    halvings = max(0, int(np.log2(max(1, min(width / size_wh[0], height / size_wh[1])))))
    image = halve(image, halvings)
    if image.shape[1::-1] == size_wh:
        return image
    grows = size_wh[0] > image.shape[1]
    method = cv2.INTER_LINEAR if grows else cv2.INTER_AREA
    return np.asarray(cv2.resize(image, size_wh, interpolation=method), np.uint8)


def _scale_to_side(image: Image, scale: float) -> View:
    """The whole picture, scaled by a factor; no side becomes less than one pixel."""
    height, width = image.shape[:2]
    size_wh = max(1, round(width * scale)), max(1, round(height * scale))
    small = image if size_wh == (width, height) else scale_image(image, size_wh)
    return View(small, (width / size_wh[0], height / size_wh[1]))


def starts(length: int, tile: int = TILE_PX, overlap: int = OVERLAP_PX) -> list[int]:
    """Where tiles begin along one axis: evenly spread, first at 0, last ends at the end.

    Example:
        >>> starts(1024), starts(1500), starts(2600)
        ([0], [0, 476], [0, 525, 1050, 1576])
    """
    if length <= tile:
        return [0]
    count = -(-(length - overlap) // (tile - overlap))
    return [i * (length - tile) // (count - 1) for i in range(count)]


def _tiles(level: View) -> Iterator[View]:
    height, width = level.image.shape[:2]
    for y, x in product(starts(height), starts(width)):
        tile = level.image[y : y + TILE_PX, x : x + TILE_PX]
        yield View(
            tile,
            level.ratio_xy,
            (x * level.ratio_xy[0], y * level.ratio_xy[1]),
            (x > 0, y > 0, x + TILE_PX < width, y + TILE_PX < height),
        )


def _count_tiles(width: float, height: float) -> int:
    return len(starts(round(width))) * len(starts(round(height)))


def views(
    image: Image, *, whole_px: int = 1024, tiles: bool = True, batch: int = 4
) -> Iterator[list[View]]:
    """Batches of views that all have one size.

    First the whole picture, its longer side at most ``whole_px``. Pictures more than 1.25 times as
    large are then seen in tiles of 1024 px that overlap by 256 px, at their own scale as long as
    that takes at most `MAX_TILES` tiles, else at the largest scale that does; where that scale is
    more than four times finer than the whole view, also at a scale in between.
    """
    height, width = image.shape[:2]
    longer = max(height, width)
    enlarge = min(max(1.0, SMALL_PX / longer), MAX_ENLARGE)
    yield [_scale_to_side(image, min(enlarge, whole_px / longer))]
    if not tiles or longer <= whole_px * 1.25:
        return
    scale = 1.0
    while _count_tiles(width * scale, height * scale) > MAX_TILES:
        scale *= 0.97
    scales = [MIDDLE_PX / longer] if longer * scale > 2 * MIDDLE_PX else []
    for tile_scale in (*scales, scale):
        tiled = _tiles(_scale_to_side(image, tile_scale))
        while some := list(islice(tiled, batch)):
            yield some


def far_views(image: Image) -> list[View]:
    """The whole picture at the sizes of `FAR_PX`, never enlarged.

    The first always; each other only where the picture is at least half again as large.
    """
    longer = max(image.shape[:2])
    sides = [FAR_PX[0], *(px for px in FAR_PX[1:] if longer >= 1.5 * px)]
    return [_scale_to_side(image, min(1.0, px / longer)) for px in sides]


def framed_view(image: Image, *, soft: bool = False) -> View:
    """The whole picture, shrunk to `FRAMED_PX` or less, in a grey frame.

    Args:
        soft: blurred by `SOFT_SHARE`.
    """
    level = _scale_to_side(image, min(1.0, FRAMED_PX / max(image.shape[:2])))
    height, width = level.image.shape[:2]
    if soft:
        sigma_px = max(0.5, SOFT_SHARE * min(height, width))
        level = replace(
            level, image=np.asarray(cv2.GaussianBlur(level.image, (0, 0), sigma_px), np.uint8)
        )
    framed = np.full((height + 2 * FRAME_PX, width + 2 * FRAME_PX, 3), GREY, np.uint8)
    framed[FRAME_PX : FRAME_PX + height, FRAME_PX : FRAME_PX + width] = level.image
    origin_xy = (-FRAME_PX * level.ratio_xy[0], -FRAME_PX * level.ratio_xy[1])
    return View(framed, level.ratio_xy, origin_xy)


def closer_views(image: Image, *, whole_px: int = 1024, batch: int = 4) -> Iterator[list[View]]:
    """Batches of views that all have one size: the picture enlarged by `CLOSER`, whole or in tiles.

    Empty for small pictures, which are enlarged anyway, and for those that are large as they are.
    """
    longer = max(image.shape[:2])
    scale = min(CLOSER, CLOSER_LONGER_PX / longer)
    if longer < SMALL_PX or scale < CLOSER_LEAST:
        return
    level = _scale_to_side(image, scale)
    if longer <= whole_px:
        yield [level]
        return
    tiled = _tiles(level)
    while some := list(islice(tiled, batch)):
        yield some


def stack_padded(some: list[View], multiple: int = 32) -> NDArray[np.uint8]:
    """(N, H, W, 3): views of one size; grey fills them up on the right and below to multiples."""
    height, width = some[0].image.shape[:2]
    padded_hw = -(-height // multiple) * multiple, -(-width // multiple) * multiple
    if padded_hw == (height, width) and len(some) == 1:
        return some[0].image[None]
    stacked = np.full((len(some), *padded_hw, 3), GREY, np.uint8)
    for target, view in zip(stacked, some, strict=True):
        target[:height, :width] = view.image
    return stacked


def is_cut(boxes_xyxy: NDArray[np.float64], view: View) -> NDArray[np.bool_]:
    """Which boxes (N, 4), in view pixels, reach a border behind which the picture goes on."""
    height, width = view.image.shape[:2]
    reach = np.stack(
        [
            boxes_xyxy[:, 0] < CUT_PX,
            boxes_xyxy[:, 1] < CUT_PX,
            boxes_xyxy[:, 2] > width - CUT_PX,
            boxes_xyxy[:, 3] > height - CUT_PX,
        ],
        axis=1,
    )
    return np.asarray((reach & np.array(view.cut)).any(axis=1))
