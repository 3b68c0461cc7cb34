"""A contact sheet: many pictures small on one, each with its name below."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from faceparts.crops import check_image, halve
from faceparts.types import Image

CELL_PX = 240
"""Longer side of a picture on the sheet; smaller ones keep their size."""

GAP_PX = 8
CAPTION_PX = 20
MAX_PICTURES = 400
PAPER = 255

_FONT, _FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.4


def shrink(image: Image, side_px: int = CELL_PX) -> Image:
    """A picture at most so large, without aliasing.

    Example:
        >>> shrink(np.zeros((100, 960, 3), np.uint8)).shape
        (25, 240, 3)
    """
    height, width = check_image(image).shape[:2]
    ratio = max(height, width) / side_px
    if ratio <= 1:
        return image.copy()
    size_wh = max(1, round(width / ratio)), max(1, round(height / ratio))
    image = halve(image, max(0, int(math.log2(min(width / size_wh[0], height / size_wh[1])))))
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def choose(count: int, most: int = MAX_PICTURES) -> list[int]:
    """Which of so many pictures are on a sheet: all, or evenly chosen ones.

    Example:
        >>> choose(3), choose(10, 4)
        ([0, 1, 2], [0, 3, 6, 9])
    """
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]


def make_sheet(
    pictures: Sequence[tuple[str, Image]], *, columns: int | None = None, cell_px: int = CELL_PX
) -> Image:
    """Lay pictures out in rows, in their order.

    Args:
        pictures: name and (H, W, 3) RGB; larger ones are shrunk. Letters that the small type does
            not have become ``?``; names that do not fit lose their beginning.
        columns: pictures in a row; as many as rows by default.
        cell_px: longer side of a picture.

    Raises:
        ValueError: no picture, or columns or side below 1.
    """
    if not pictures:
        raise ValueError("a contact sheet needs at least one picture")
    columns = math.ceil(math.sqrt(len(pictures))) if columns is None else columns
    if columns < 1 or cell_px < 1:
        raise ValueError(f"got {columns} columns of {cell_px} px, wanted at least 1 of each")
    rows = math.ceil(len(pictures) / columns)
    step_x, step_y = cell_px + GAP_PX, cell_px + CAPTION_PX + GAP_PX
    sheet = np.full((rows * step_y + GAP_PX, columns * step_x + GAP_PX, 3), PAPER, np.uint8)
    for i, (name, picture) in enumerate(pictures):
        small = shrink(picture, cell_px)
        height, width = small.shape[:2]
        left, top = GAP_PX + i % columns * step_x, GAP_PX + i // columns * step_y
        x, y = left + (cell_px - width) // 2, top + (cell_px - height) // 2
        sheet[y : y + height, x : x + width] = small
        at = left, top + cell_px + CAPTION_PX - 6
        cv2.putText(sheet, _caption(name, cell_px), at, _FONT, _FONT_SCALE, (0, 0, 0), 1)
    return sheet


def _caption(name: str, width_px: int) -> str:
    """A name as the small type can write it, cut from the left until it fits."""
    text = "".join(letter if " " <= letter <= "~" else "?" for letter in name)
    while text and cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)[0][0] > width_px:
        text = text[1:]
    return text
