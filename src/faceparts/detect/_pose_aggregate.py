"""Several looks at one picture -> one set of heat maps: mirrored, and at several scales.

Heat maps of all looks are averaged; tags are kept apart, one a look at scale 1, because tags of
different looks mean nothing to each other (Newell et al., "Associative Embedding", NIPS 2017;
Cheng et al., "HigherHRNet", CVPR 2020, section 4.1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.errors import BadWeights
from faceparts.types import Image

Floats = NDArray[np.float32]
Maps = tuple[Floats, Floats]
"""(17, h, w) heat maps and (17, h, w) tags."""

MIRROR = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
"""COCO's joints after the picture was mirrored."""
MULTIPLE = 64
"""Sides at the smallest scale are multiples of this."""
MAX_INPUT_PX = 1 << 26
"""Most pixels of an enlarged picture."""


def look(
    forward: Callable[[Image], Maps],
    image: Image,
    *,
    short_px: int = 512,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
) -> tuple[Floats, Floats]:
    """Run a bottom-up model on a picture at several scales and mirrored.

    Args:
        forward: (h, w, 3) uint8 RGB -> (17, h/s, w/s) heat maps and tags of the same shape.
        image: (H, W, 3) uint8 RGB.
        short_px: the shorter side at scale 1, rounded up to a multiple of 64 at the least scale.
        scales: factors on ``short_px``; 1 must be among them: its tags are used.
        flip: look at the mirrored picture too.

    Returns:
        (17, h, w) mean heat and (17, h, w, T) tags at the resolution of scale 1, which cover the
        whole picture: x * W / w are picture pixels (edges).

    Raises:
        ValueError: scales without 1, or not positive, or an input too large.
        BadWeights: the model's maps are not what it promised.
    """
    if 1.0 not in scales or min(scales) <= 0:
        raise ValueError(f"scales: got {tuple(scales)}, wanted positive numbers, 1 among them")
    heats: list[Floats] = []
    tags: list[Floats] = []
    for scale in sorted(scales, key=lambda s: s != 1.0):
        h, w = input_hw(image.shape[:2], short_px, scale, min(scales))
        if h * w > MAX_INPUT_PX:
            raise ValueError(
                f"short_px {short_px} at scale {scale:g} makes {w}x{h} pixels of a picture of "
                f"{image.shape[1]}x{image.shape[0]}; wanted at most {MAX_INPUT_PX}"
            )
        seen = np.asarray(cv2.resize(image, (w, h), interpolation=_shrinking(image, h)), np.uint8)
        looks = [_checked(forward(seen))]
        if flip:
            turned = _checked(forward(np.ascontiguousarray(seen[:, ::-1])))
            looks.append((unflip(turned[0]), unflip(turned[1])))
        size = heats[0].shape[1:] if heats else looks[0][0].shape[1:]
        heats.append(resize(np.mean([heat for heat, _ in looks], axis=0), size))
        if scale == 1.0:
            tags = [tag for _, tag in looks]
    return np.mean(heats, axis=0, dtype=np.float32), np.stack(tags, axis=-1)


def input_hw(hw: tuple[int, ...], short_px: int, scale: float, least: float) -> tuple[int, int]:
    """Height and width that a picture gets: the shorter side is ``scale * short_px``, about.

    At the least scale both sides are multiples of 64; other scales keep its exact shape, rounded
    to multiples of 32.

    Example:
        >>> input_hw((427, 640), 512, 1.0, 1.0), input_hw((427, 640), 512, 2.0, 0.5)
        ((512, 768), (1024, 1536))
    """
    h, w = hw
    zoom = math.ceil(least * short_px / MULTIPLE) * MULTIPLE / min(h, w)
    sides = (max(1, math.ceil(side * zoom / MULTIPLE - 1e-9)) * MULTIPLE for side in (h, w))
    high, wide = (max(1, round(side * scale / least / 32)) * 32 for side in sides)
    return high, wide


def _shrinking(image: Image, h: int) -> int:
    """How to resize: by area when the picture becomes smaller."""
    return cv2.INTER_AREA if h < image.shape[0] else cv2.INTER_LINEAR


def _checked(maps: Maps) -> Maps:
    heat, tag = (np.asarray(m, np.float32) for m in maps)
    if heat.ndim != 3 or len(heat) != len(MIRROR) or tag.shape != heat.shape or not heat.size:
        raise BadWeights(
            f"the pose model gave heat maps {heat.shape} and tags {tag.shape}; wanted "
            f"({len(MIRROR)}, h, w) both"
        )
    return heat, tag


def unflip(maps: Floats) -> Floats:
    """(17, h, w) maps of a mirrored picture, as they are in the picture itself."""
    return np.ascontiguousarray(maps[list(MIRROR), :, ::-1])


def resize(maps: Floats, hw: tuple[int, ...]) -> Floats:
    """(K, h, w) -> (K, *hw), bilinear between pixel centres."""
    maps = np.asarray(maps, np.float32)
    if maps.shape[1:] == tuple(hw):
        return maps
    size = (hw[1], hw[0])
    return np.stack([cv2.resize(m, size, interpolation=cv2.INTER_LINEAR) for m in maps])
