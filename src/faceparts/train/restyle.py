"""Restyling: other clothes, hair colours and backgrounds for a labelled face.

A few thousand pictures hold a few thousand pullovers. Where the labels say what is clothes, hair,
hat or background, each may change without the others: its light and colour, or, for clothes and
background, everything it shows. It is domain randomisation (Tobin et al., IROS 2017) of what does
not matter: a dark coat before a dark wall or a patterned scarf next to hair then costs nothing to
collect. Labels stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.types import Image, LabelSet

TONED = {"clothes": 0.45, "hair": 0.25, "hat": 0.35, "background": 0.4}
"""How often which part gets a light and a colour of its own."""

REPLACED = {"clothes": 0.3, "background": 0.25}
"""How often which part shows something else altogether."""

MIN_SHARE = 0.01
"""Parts on less of the picture stay."""


def restyle(
    image: Image,
    labels: NDArray[np.uint8],
    stuff: Mapping[str, Sequence[Image]],
    rng: np.random.Generator,
    label_set: LabelSet,
) -> Image:
    """A new picture with some parts in another style; one without such parts is only copied.

    Args:
        image: (H, W, 3) RGB.
        labels: (H, W) ids of ``label_set``; other values are left alone.
        stuff: what ``"clothes"`` and ``"background"`` show instead: (h, w, 3) RGB pictures of any
            size, such as fabrics for the first, rooms, walls and other people for the second. With
            none, a part that is replaced becomes one colour or a slope between two.
        rng: the only source of chance.
        label_set: parts of `TONED` and `REPLACED` that it lacks are passed over.
    """
    out = image.copy()
    for part, often in TONED.items():
        draws = rng.random(2)
        if part not in label_set.parts:
            continue
        region = labels == label_set.id(part)
        if region.mean() < MIN_SHARE:
            continue
        if draws[0] < REPLACED.get(part, 0.0):
            layer = _replace(out, region, stuff.get(part, ()), rng, keep_shade=part == "clothes")
        elif draws[1] < often:
            layer = _tone(out, rng)
        else:
            continue
        _blend(out, layer, region)
    return out


def _replace(
    image: Image,
    region: NDArray[np.bool_],
    stuff: Sequence[Image],
    rng: np.random.Generator,
    *,
    keep_shade: bool,
) -> Image:
    """Something else over the whole picture, with the folds of what it replaces if wanted."""
    h, w = image.shape[:2]
    if len(stuff) and rng.random() < 0.7:
        layer = _cut(stuff[int(rng.integers(len(stuff)))], (h, w), rng)
        if rng.random() < 0.5:
            layer = _tone(layer, rng)
        if not keep_shade and rng.random() < 0.5:  # out of focus
            layer = np.asarray(cv2.GaussianBlur(layer, (0, 0), rng.uniform(0.01, 0.04) * max(h, w)))
    else:
        ends = rng.uniform(0, 255, (2, 3)) if rng.random() < 0.6 else rng.uniform(0, 255, (2, 1))
        ends[1] += rng.uniform(-1, 1) * (ends[1] - ends[0])
        along = np.linspace(0, 1, h)[:, None, None]
        layer = np.clip(ends[0] + (ends[1] - ends[0]) * along, 0, 255)
        layer = np.broadcast_to(layer, (h, w, 3)).astype(np.uint8)
    if keep_shade and rng.random() < 0.8:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        middle = float(grey[region].mean()) + 8
        shade = ((grey + 8) / middle).clip(0.3, 2.5) ** rng.uniform(0.4, 1.0)
        layer = (layer * shade[..., None]).clip(0, 255).astype(np.uint8)
    return np.asarray(layer, np.uint8)


def _cut(picture: Image, size_hw: tuple[int, int], rng: np.random.Generator) -> Image:
    """A random window of a picture, mirrored half of the time, of the wanted size."""
    h, w = picture.shape[:2]
    side = max(2, int(min(h, w) * rng.uniform(0.3, 1.0)))
    top, left = int(rng.integers(h - side + 1)), int(rng.integers(w - side + 1))
    window = picture[top : top + side, left : left + side, :3]
    if rng.random() < 0.5:
        window = window[:, ::-1]
    return np.asarray(cv2.resize(np.ascontiguousarray(window), size_hw[::-1]), np.uint8)


def _tone(image: Image, rng: np.random.Generator) -> Image:
    """Another light: often much darker or paler, less often another hue."""
    ramp = np.arange(256, dtype=np.float32) / 255
    gamma = np.exp(rng.uniform(-0.5, 0.5))
    gain = np.exp(rng.uniform(-1.6, 0.4)) if rng.random() < 0.5 else np.exp(rng.uniform(-0.3, 0.5))
    tint = np.exp(rng.normal(0, 0.25, 3)) if rng.random() < 0.5 else np.ones(3)
    table = np.clip(ramp[:, None] ** gamma * gain * tint, 0, 1) * 255
    toned = np.asarray(cv2.LUT(image, table.astype(np.uint8)[None]), np.uint8)
    if rng.random() < 0.3:
        toned = toned[..., rng.permutation(3)]
    return np.ascontiguousarray(toned)


def _blend(image: Image, layer: Image, region: NDArray[np.bool_]) -> None:
    """Lay one picture over another inside a region, in place, with an edge two pixels soft."""
    x, y, w, h = cv2.boundingRect(region.astype(np.uint8))
    window = (slice(max(0, y - 3), y + h + 3), slice(max(0, x - 3), x + w + 3))
    alpha = cv2.GaussianBlur(region[window].astype(np.float32), (0, 0), 1.2)[..., None]
    mixed = image[window] * (1 - alpha) + layer[window] * alpha
    image[window] = (mixed + 0.5).astype(np.uint8)
