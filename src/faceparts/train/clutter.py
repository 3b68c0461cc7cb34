"""What comes between a camera and heads, or is laid over a photo later: bars, nets, writing, tints.

A head behind a fence or under a watermark is still a head, and must be found. What is drawn is
scaled by the heads that it covers, so that they can be told behind it: lines are at most a third
of the smallest head wide and leave at least half of it free in each direction.
"""

from __future__ import annotations

import string

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.types import Image

MOST_WIDE = 0.33
"""Of the smallest covered head's size: the widest line."""

MOST_DENSE = 0.5
"""Of the distance between two lines: the widest line."""

_LETTERS = string.ascii_letters + string.digits + "    "
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_SCRIPT_COMPLEX)
_FONT_PX = 22.0
"""Height of a capital letter at scale 1."""

Mask = NDArray[np.uint8]


def cover(image: Image, boxes: NDArray[np.float32], rng: np.random.Generator) -> Image:
    """Draw bars, a grid, a net, writing or scribbles over a picture, or over a part of it.

    Args:
        image: (H, W, 3) RGB; a new one comes back.
        boxes: (N, 4) of the heads; N = 0 is fine.
        rng: the only source of chance.
    """
    height, width = image.shape[:2]
    x0, y0, x1, y1 = _area(boxes, (height, width), rng)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = ((centres > (x0, y0)) & (centres < (x1, y1))).all(axis=1)
    sides = np.sqrt(np.prod(boxes[inside, 2:] - boxes[inside, :2], axis=1))
    head_px = float(sides.min()) if len(sides) else float(np.exp(rng.uniform(2.5, 5.0)))
    shape = (y1 - y0, x1 - x0)
    kind = rng.random()
    if kind < 0.55:
        mask = lines(shape, head_px, rng)
    elif kind < 0.9:
        mask = writing(shape, head_px, rng)
    else:
        mask = scribbles(shape, head_px, rng)
    out = image.copy()
    part = out[y0:y1, x0:x1]
    strength = (mask / 255.0 * (1.0 if rng.random() < 0.6 else rng.uniform(0.35, 1)))[..., None]
    part[:] = np.rint(part * (1 - strength) + _paint(shape, rng) * strength)
    return out


def lines(hw: tuple[int, int], head_px: float, rng: np.random.Generator) -> Mask:
    """Bars one way or both ways, at any angle: (H, W) uint8, 255 where they are."""
    line = max(1.0, head_px * float(np.exp(rng.uniform(np.log(0.02), np.log(MOST_WIDE)))))
    step = line / rng.uniform(0.12, MOST_DENSE)
    turn = np.radians(rng.choice([0, 90, 45]) if rng.random() < 0.6 else rng.uniform(0, 180))
    mask = np.zeros(hw, bool)
    for angle in (turn, turn + np.pi / 2)[: 1 + int(rng.random() < 0.5)]:
        along = np.arange(hw[1])[None] * np.cos(angle) + np.arange(hw[0])[:, None] * np.sin(angle)
        mask |= (along + rng.uniform(0, step)) % step < line
    return mask.astype(np.uint8) * 255


def writing(hw: tuple[int, int], head_px: float, rng: np.random.Generator) -> Mask:
    """Lines of random letters, turned a little or a lot: (H, W) uint8."""
    letter_px = head_px * float(np.exp(rng.uniform(np.log(0.12), np.log(0.8))))
    side = int(np.ceil(np.hypot(*hw)))
    sheet = np.zeros((side, side), np.uint8)
    font, scale = int(rng.choice(_FONTS)), letter_px / _FONT_PX
    thick = max(1, round(letter_px * rng.uniform(0.05, 0.22)))
    step = letter_px * rng.uniform(1.3, 3.5)
    count = max(2, int(2 * side / letter_px))
    for y in np.arange(step * rng.random(), side + step, step)[:60]:
        text = "".join(rng.choice(list(_LETTERS), min(count, 60)))
        at = (-int(rng.uniform(0, letter_px * 3)), int(y))
        cv2.putText(sheet, text, at, font, scale, 255, thick, cv2.LINE_AA)
        if rng.random() < 0.1:  # one line only, or a few
            break
    angle = 0.0 if rng.random() < 0.5 else rng.uniform(-50, 50)
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), angle, 1.0)
    turned = cv2.warpAffine(sheet, turn, (side, side))
    y, x = (side - hw[0]) // 2, (side - hw[1]) // 2
    return np.asarray(turned[y : y + hw[0], x : x + hw[1]], np.uint8)


def scribbles(hw: tuple[int, int], head_px: float, rng: np.random.Generator) -> Mask:
    """Crooked strokes across the picture: (H, W) uint8."""
    mask = np.zeros(hw, np.uint8)
    for _ in range(int(rng.integers(2, 14))):
        points = rng.uniform(0, 1, (int(rng.integers(2, 9)), 2)) * (hw[1], hw[0])
        thick = max(1, round(head_px * rng.uniform(0.02, 0.16)))
        shape = np.round(points).astype(np.int32)
        cv2.polylines(mask, [shape], False, 255, thick, cv2.LINE_AA)
    return mask


def tint(image: Image, rng: np.random.Generator) -> Image:
    """One-coloured light, the green of night vision, false colours, a negative."""
    kind = rng.random()
    if kind < 0.12:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        chosen = int(rng.choice([cv2.COLORMAP_JET, cv2.COLORMAP_HOT, cv2.COLORMAP_INFERNO]))
        return np.ascontiguousarray(cv2.applyColorMap(grey, chosen)[..., ::-1])
    if kind < 0.2:
        return np.asarray(255 - image, np.uint8)
    if kind < 0.5:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    gains = np.exp(rng.uniform(np.log(0.04), 0, 3))
    gains[int(rng.integers(3))] = rng.uniform(0.5, 1.2)
    table = np.clip(np.arange(256)[:, None] * gains, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table[None]), np.uint8)


# ---- parts --------------------------------------------------------------------------------------


def _area(
    boxes: NDArray[np.float32], hw: tuple[int, int], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """The whole picture, or something around one head: x0, y0, x1, y1."""
    height, width = hw
    if not len(boxes) or rng.random() < 0.5:
        return 0, 0, width, height
    box = boxes[int(rng.integers(len(boxes)))]
    reach = (box[2:] - box[:2]) * rng.uniform(0.5, 2.5, 2)
    centre = (box[:2] + box[2:]) / 2
    low = np.clip(centre - reach, 0, (width - 1, height - 1)).astype(int)
    high = np.clip(np.ceil(centre + reach), low + 1, (width, height)).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _paint(hw: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """(H, W, 3) colour that changes a little from one side to the other; often grey."""
    colour = rng.uniform(0, 255, 3) if rng.random() < 0.4 else np.repeat(rng.uniform(0, 255), 3)
    ramp = 1 + rng.uniform(-0.4, 0.4) * np.linspace(-1, 1, hw[1])
    return np.asarray(np.clip(colour * np.broadcast_to(ramp[None, :, None], (*hw, 1)), 0, 255))
