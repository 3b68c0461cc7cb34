"""Many small labelled pictures on one large one, with the colours explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont

from faceparts._cleaning import pad_image, pad_labels
from faceparts.types import IGNORE, Image, LabelSet

TILE_PX = 176
PAPER, INK = (250, 250, 248), (20, 20, 20)
_GAP_PX, _LINE_PX = 6, 15


@dataclass(frozen=True, eq=False)
class Tile:
    """A (S, S, 3) picture and the words below it."""

    image: Image
    caption: str


def label_tile(
    image: Image,
    labels: NDArray[np.uint8],
    label_set: LabelSet,
    caption: str,
    *,
    opacity: float = 0.55,
    size_px: int = TILE_PX,
) -> Tile:
    """A picture under the colours of its labels; doubtful pixels are striped.

    Args:
        image: (H, W, 3).
        labels: (H, W) ids.
        opacity: 0..1 of the colours; 1 hides the picture.
    """
    small, ids = pad_image(image, size_px, PAPER[0]), pad_labels(labels, size_px)
    table = np.zeros((256, 3), np.float32)
    table[: len(label_set.parts)] = label_set.colors
    shown = (ids != 0) & (ids != IGNORE) if opacity < 1 else ids != IGNORE
    blend = small.astype(np.float32)
    blend[shown] = (1 - opacity) * blend[shown] + opacity * table[ids[shown]]
    inside = pad_labels(np.zeros(labels.shape, np.uint8), size_px) == 0
    stripes = (np.indices(ids.shape).sum(axis=0) // 3) % 2 == 0
    blend[(ids == IGNORE) & inside & stripes] = (255, 0, 255)
    return Tile(np.rint(blend).astype(np.uint8), caption)


def box_tile(
    image: Image, boxes_xyxy: NDArray[np.float32], caption: str, *, size_px: int = TILE_PX
) -> Tile:
    """A picture with its head boxes."""
    scale = size_px / max(image.shape[:2])
    drawn = pad_image(image, size_px, PAPER[0])
    height, width = (round(side * scale) for side in image.shape[:2])
    at = np.array([(size_px - width) // 2, (size_px - height) // 2] * 2)
    for box in boxes_xyxy:
        x0, y0, x1, y1 = (int(v) for v in np.rint(box * scale + at))
        cv2.rectangle(drawn, (x0, y0), (x1, y1), (255, 0, 160), 1)
    return Tile(drawn, caption)


def sheet(tiles: Sequence[Tile], label_set: LabelSet | None = None, columns: int = 8) -> Image:
    """Tiles in rows from the left top, the parts' colours above them.

    Returns:
        (H, W, 3) RGB; a small blank picture if there are no tiles.

    Raises:
        ValueError: ``columns`` is below 1.
    """
    if columns < 1:
        raise ValueError(f"columns: got {columns}, wanted at least 1")
    side = tiles[0].image.shape[0] if tiles else TILE_PX
    columns = min(columns, max(len(tiles), 1))
    width = columns * (side + _GAP_PX) + _GAP_PX
    legend = _legend(label_set, width) if label_set is not None else []
    top = _GAP_PX + (1 + max((row for _, row, _ in legend), default=-1)) * (_LINE_PX + 3)
    rows = -(-len(tiles) // columns)
    page = PilImage.new("RGB", (width, top + rows * (side + _LINE_PX + _GAP_PX) + _GAP_PX), PAPER)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(11)
    for x, row, part in legend:
        y = _GAP_PX + row * (_LINE_PX + 3)
        color = label_set.colors[label_set.id(part)] if label_set is not None else INK
        pen.rectangle((x, y, x + 12, y + 12), color, INK)
        pen.text((x + 17, y), part, INK, font)
    for i, tile in enumerate(tiles):
        x = _GAP_PX + i % columns * (side + _GAP_PX)
        y = top + i // columns * (side + _LINE_PX + _GAP_PX)
        page.paste(PilImage.fromarray(tile.image), (x, y))
        pen.text((x, y + side + 1), _shortened(tile.caption, side, font), INK, font)
    return np.asarray(page)


def _legend(label_set: LabelSet, width: int) -> list[tuple[int, int, str]]:
    """Left edge, row and name of every part."""
    font, x, row, found = ImageFont.load_default(11), _GAP_PX, 0, []
    for part in label_set.parts:
        needed = 17 + int(font.getlength(part)) + 14
        if x + needed > width and x > _GAP_PX:
            x, row = _GAP_PX, row + 1
        found.append((x, row, part))
        x += needed
    return found


def _shortened(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The end of a text that fits: file names differ at their ends."""
    plain = text.encode("ascii", "replace").decode()
    if font.getlength(plain) <= width:
        return plain
    while plain and font.getlength("..." + plain) > width:
        plain = plain[1:]
    return "..." + plain
