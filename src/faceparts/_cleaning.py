"""Label maps made fit for training: sides told apart, pictures fitted into a square."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.crops import GREY
from faceparts.types import IGNORE, Image

MIN_NOSE_PX = 20
"""Fewer pixels of nose do not tell where the middle of a face is."""

SECOND_SHARE = 0.2
"""From this share of the largest piece on, a second piece beside it is the other side."""

ONE_SIDED = 0.85
"""A piece with at least this share on one side of the middle belongs there as a whole."""


def split_sides(
    labels: NDArray[np.uint8], part: int, left: int, right: int, nose: int | None = None
) -> NDArray[np.uint8]:
    """Tell the left and right of a part that shares one id (eyes, brows, ears) apart.

    Left is the subject's: the image right of an upright face. Two large pieces beside each other
    are the two sides, wherever the nose is. Otherwise a piece belongs to its side of the nose's
    middle, or of the picture's where there is no nose: in a half-profile the one visible eye is
    named rightly. A piece across the middle (glasses) is cut there.

    Args:
        labels: (H, W) uint8 ids; in-plane turns up to about 45 degrees; one face.
        part: id to be split.
        left: id of the subject's left.
        right: id of the subject's right.
        nose: id of the nose; ``None`` if the set has none.

    Returns:
        A new (H, W) array; pixels of other ids are the same.

    Example:
        >>> split_sides(np.uint8([[0, 5, 0, 0, 5, 0]]), 5, 7, 8).tolist()
        [[0, 8, 0, 0, 7, 0]]
    """
    count, pieces, stats, _ = cv2.connectedComponentsWithStats((labels == part).astype(np.uint8))
    out = labels.copy()
    if count == 1:
        return out
    middle = _middle_between(stats[1:])
    if middle is None:
        columns = np.nonzero(labels == nose)[1] if nose is not None else np.empty(0)
        has_nose = columns.size >= MIN_NOSE_PX
        middle = float(columns.mean()) if has_nose else (labels.shape[1] - 1) / 2
    image_right = np.broadcast_to(np.arange(labels.shape[1]) > middle, labels.shape)
    for piece in range(1, count):
        here = pieces == piece
        share = float(image_right[here].mean())
        if ONE_SIDED > share > 1 - ONE_SIDED:
            out[here & image_right], out[here & ~image_right] = left, right
        else:
            out[here] = left if share > 0.5 else right
    return out


def _middle_between(stats: NDArray[np.int32]) -> float | None:
    """The column between the two largest pieces if they lie beside each other, else ``None``."""
    order = np.argsort(-stats[:, cv2.CC_STAT_AREA], kind="stable")
    if len(order) < 2:
        return None
    first, second = stats[order[0]], stats[order[1]]
    if second[cv2.CC_STAT_AREA] < SECOND_SHARE * first[cv2.CC_STAT_AREA]:
        return None
    image_left, image_right = sorted((first, second), key=lambda s: int(s[cv2.CC_STAT_LEFT]))
    end = float(image_left[cv2.CC_STAT_LEFT] + image_left[cv2.CC_STAT_WIDTH])
    gap = float(image_right[cv2.CC_STAT_LEFT]) - end
    return end - 0.5 + gap / 2 if gap >= 0 else None


def pad_resize(
    image: Image, labels: NDArray[np.uint8], size_px: int, fill: int = GREY
) -> tuple[Image, NDArray[np.uint8]]:
    """Fit a picture and its labels into a square, with their shape kept.

    The longer side becomes ``size_px``; the rest is padded evenly: the picture with ``fill``, the
    labels with `IGNORE`, so that padding is neither trained on nor scored.

    Args:
        image: (H, W, 3) uint8.
        labels: (H, W) uint8.
        size_px: side S.
        fill: level of the padding.

    Returns:
        (S, S, 3) and (S, S).

    Raises:
        ValueError: the two differ in size, or the side is below 1.
    """
    if image.shape[:2] != labels.shape:
        raise ValueError(
            f"pad_resize: picture {image.shape[:2]} and labels {labels.shape} differ in size"
        )
    return pad_image(image, size_px, fill), pad_labels(labels, size_px)


def pad_image(image: Image, size_px: int, fill: int = GREY) -> Image:
    """(H, W, 3) -> (S, S, 3): areas are averaged when it shrinks, bilinear when it grows."""
    scaled_wh, rows, columns = _fit(image.shape, size_px)
    shrinks = size_px < max(image.shape[:2])
    out = np.full((size_px, size_px, 3), fill, np.uint8)
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    out[rows, columns] = cv2.resize(image, scaled_wh, interpolation=way)
    return out


def pad_labels(labels: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    """(H, W) -> (S, S): see `resize_labels`; the border is `IGNORE`."""
    scaled_wh, rows, columns = _fit(labels.shape, size_px)
    out = np.full((size_px, size_px), IGNORE, np.uint8)
    out[rows, columns] = resize_labels(labels, scaled_wh)
    return out


def resize_labels(labels: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """Scale ids: each target pixel gets the id that covers most of it (the lower of two equals).

    Ids are never mixed, thin parts do not vanish between sample points, and borders stay smooth
    where the picture grows.

    Example:
        >>> resize_labels(np.uint8([[1, 1, 9, 9], [1, 4, 9, 9]]), (2, 1)).tolist()
        [[1, 9]]
    """
    width, height = size_wh
    if labels.shape == (height, width):
        return labels.copy()
    shrinks = width * height < labels.size
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    best = np.full((height, width), -1, np.float32)
    out = np.zeros((height, width), np.uint8)
    for part in np.unique(labels).tolist():
        share = cv2.resize((labels == part).astype(np.float32), size_wh, interpolation=way)
        share = np.asarray(share, np.float32).reshape(height, width)
        wins = share > best + 1e-6
        out[wins] = part
        best[wins] = share[wins]
    return out


def _fit(shape: tuple[int, ...], size_px: int) -> tuple[tuple[int, int], slice, slice]:
    """Width and height after scaling, and the rows and columns of the square they fill."""
    if size_px < 1:
        raise ValueError(f"size_px: got {size_px}, wanted at least 1")
    height, width = shape[:2]
    scale = size_px / max(height, width)
    w, h = (max(1, min(size_px, round(side * scale))) for side in (width, height))
    top, left = (size_px - h) // 2, (size_px - w) // 2
    return (w, h), slice(top, top + h), slice(left, left + w)
