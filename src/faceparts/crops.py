"""Head -> Crop, and crop coordinates <-> picture coordinates."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.types import Crop, Head, Image

GREY = 127
"""Value of everything outside the picture: mirrored edges confuse parsers."""

_STRIP_BYTES = 16 * 2**20
"""Size of one float32 strip while warping back; three such arrays live at a time."""

_MAX_COLUMNS = 16_384
"""Width of one strip: OpenCV cannot warp into more than 32,766 columns."""


def check_image(image: Image) -> Image:
    """Return the picture if it is one.

    Raises:
        ValueError: not a non-empty (H, W, 3) uint8 array; the message gives what it is.
    """
    if not isinstance(image, np.ndarray):
        raise ValueError(f"image: got {type(image).__name__}, wanted an (H, W, 3) uint8 RGB array")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(
            f"image: got {image.dtype} of shape {image.shape}, wanted (H, W, 3) uint8 RGB"
        )
    return image


def crop_head(image: Image, head: Head, size_px: int, margin: float = 0.25) -> Crop:
    """Cut a square around a head and remember the way back.

    The square lies around the middle of the head box. When it shrinks by two or more, the region
    is first halved until less than two remain, so that nothing aliases; the rest is bilinear.

    Args:
        image: (H, W, 3) RGB.
        size_px: side S of the result. Parts outside the picture are grey (127): mirrored edges
            confuse parsers.
        margin: share of the longer box side added on every side; 0.25 makes the cut 1.5 x the box.

    Raises:
        ValueError: the head box has no area; the message gives the box. Or the picture is not
            (H, W, 3) uint8, ``size_px`` is below 1, or ``margin`` is negative.
    """
    check_image(image)
    if size_px < 1:
        raise ValueError(f"size_px: got {size_px}, wanted at least 1")
    if not margin >= 0:
        raise ValueError(f"margin: got {margin}, wanted at least 0")
    x0, y0, x1, y1 = head.box_xyxy
    side = max(x1 - x0, y1 - y0) * (1 + 2 * margin)
    if x1 <= x0 or y1 <= y0:
        raise ValueError(f"the head box has no area: {head.box_xyxy}; wanted x0 < x1 and y0 < y1")
    scale = side / size_px
    left = (x0 + x1 - side) / 2
    top = (y0 + y1 - side) / 2
    to_source = np.array(
        [[scale, 0, left + scale / 2 - 0.5], [0, scale, top + scale / 2 - 0.5]], np.float64
    )
    height, width = image.shape[:2]
    columns = _inside(left, scale, size_px, width)
    rows = _inside(top, scale, size_px, height)
    cut = np.full((size_px, size_px, 3), GREY, np.uint8)
    if columns.stop > columns.start and rows.stop > rows.start:
        cut[rows, columns] = _sample(image, to_source, columns, rows, scale)
    return Crop(cut, to_source, (height, width))


def _inside(start: float, scale: float, size_px: int, length: int) -> slice:
    """Crop indices whose centres lie inside a picture of this length (one axis)."""
    first = math.ceil(min(max(-start / scale - 0.5, 0), size_px))
    stop = math.ceil(min(max((length - start) / scale - 0.5, 0), size_px))
    return slice(first, stop)


def _sample(
    image: Image, to_source: NDArray[np.float64], columns: slice, rows: slice, scale: float
) -> Image:
    """The picture under a rectangle of crop pixels; its borders are continued."""
    height, width = image.shape[:2]
    halvings = max(0, math.floor(math.log2(scale) + 1e-9))
    x0, x1 = _region(to_source[0, 2], scale, columns, 2**halvings, width)
    y0, y1 = _region(to_source[1, 2], scale, rows, 2**halvings, height)
    region, ratio = halve(image[y0:y1, x0:x1], halvings), 2**halvings
    # crop index -> picture centre -> picture edge -> region edge -> region centre
    matrix = np.zeros((2, 3))
    for axis, (run, start) in enumerate(((columns, x0), (rows, y0))):
        first = to_source[axis, 2] + run.start * scale
        matrix[axis, axis] = scale / ratio
        matrix[axis, 2] = (first + 0.5 - start) / ratio - 0.5
    return np.asarray(
        cv2.warpAffine(
            region,
            matrix,
            (columns.stop - columns.start, rows.stop - rows.start),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        np.uint8,
    )


def halve(image: Image, times: int) -> Image:
    """Average 2 x 2 pixels into one, several times over; an odd last row or column counts twice.

    Example:
        >>> halve(np.array([[[2] * 3, [4] * 3, [9] * 3]], np.uint8), 1)[0, :, 0]
        array([3, 9], dtype=uint8)
    """
    for _ in range(times):
        height, width = image.shape[:2]
        half = np.empty((-(-height // 2), -(-width // 2), 3), np.uint8)
        for rows, half_rows in _even_and_odd(height):
            for columns, half_columns in _even_and_odd(width):
                size_wh = (half_columns.stop - half_columns.start, half_rows.stop - half_rows.start)
                half[half_rows, half_columns] = cv2.resize(
                    image[rows, columns], size_wh, interpolation=cv2.INTER_AREA
                )
        image = half
    return image


def _even_and_odd(length: int) -> list[tuple[slice, slice]]:
    """The even part of an axis and its half, then a left over pixel and where it goes."""
    half = length // 2
    parts = [(slice(0, 2 * half), slice(0, half)), (slice(2 * half, length), slice(half, half + 1))]
    return parts[0 if half else 1 : 2 if length % 2 else 1]


def _region(offset: float, scale: float, run: slice, multiple: int, length: int) -> tuple[int, int]:
    """Picture pixels that a run of crop pixels needs: one crop pixel more on every side.

    Where there is room the region begins on the grid of the crop's pixels, so that the halved
    pixels are not mixed once more.
    """
    first = offset + (run.start - 0.5) * scale + 0.5
    last = offset + (run.stop - 0.5) * scale + 0.5
    x0 = round(first) - multiple
    if x0 < 0:
        x0 = max(0, round(first))
    return x0, max(x0 + 1, min(length, math.ceil(last) + 2 * multiple))


def crop_to_window(crop: Crop) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the whole picture pixels that a crop covers.

    Pixels that are covered in part count. A crop beside the picture covers none: the window then
    has no area but lies inside the picture.
    """
    size_px = crop.image.shape[0]
    corners = np.array([(-0.5, -0.5), (size_px - 0.5, size_px - 0.5)])
    corners = np.array([(x, y) for x in corners[:, 0] for y in corners[:, 1]])
    edges = corners @ crop.to_source[:, :2].T + crop.to_source[:, 2] + 0.5
    height, width = crop.source_hw
    limits = (width, height)
    low = np.clip(np.floor(edges.min(axis=0) + 1e-6), 0, limits)
    high = np.clip(np.ceil(edges.max(axis=0) - 1e-6), low, limits)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def enlarge(maps: NDArray[np.float32], size_px: int) -> NDArray[np.float32]:
    """Probabilities at another size: (N, K, s, s) float32 -> (N, K, S, S), bilinearly.

    The same array, not a copy, if S is s.
    """
    if maps.shape[2:] == (size_px, size_px):
        return maps
    out = np.empty((*maps.shape[:2], size_px, size_px), np.float32)
    for planes, targets in zip(maps, out, strict=True):
        for plane, target in zip(planes, targets, strict=True):
            cv2.resize(plane, (size_px, size_px), dst=target, interpolation=cv2.INTER_LINEAR)
    return out


def warp_back(
    probs: NDArray[np.float32], crop: Crop, window_xyxy: tuple[int, int, int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Bring probabilities to the picture's resolution, then take the most probable part.

    A part can only win where its probability is at least 1/K, so each part is warped within the
    bounding box of those pixels alone, in strips: no temporary array is larger than 64 MiB. Maps
    more than twice as fine as the picture are averaged first.

    Args:
        probs: (K, s, s) float32 of the crop, sums to 1 over K; s may differ from the crop's S.
        window_xyxy: whole picture pixels; see `crop_to_window`.

    Returns:
        (h, w) uint8 part ids and (h, w) float32 probability of the winning part.
    """
    count = len(probs)
    x0, y0, x1, y1 = window_xyxy
    to_crop = np.linalg.inv(np.vstack([crop.to_source, (0, 0, 1)]))
    to_map = _resized(probs.shape[1] / crop.image.shape[0]) @ to_crop
    probs, to_map = _average_down(probs, to_map)
    best = np.zeros((y1 - y0, x1 - x0), np.float32)
    ids = np.zeros(best.shape, np.uint8)
    to_picture = np.asarray(np.linalg.inv(to_map), np.float64)
    # the border of a map is continued: so many map pixels reach beyond any window
    endless = 4 * (x1 - x0 + y1 - y0 + 4) * float(np.abs(to_map[:2, :2]).max())
    for part in range(count):
        box = _possible_box(probs[part], 1 / count)
        if box is None:
            continue
        left, top, right, bottom = _to_window(box, to_picture, window_xyxy, probs.shape[1], endless)
        for ya, yb, xa, xb in _strips(left, top, right, bottom):
            matrix = to_map[:2].copy()
            matrix[:, 2] += matrix[:, :2] @ (x0 + xa, y0 + ya)
            warped = np.asarray(
                cv2.warpAffine(
                    probs[part],
                    matrix,
                    (xb - xa, yb - ya),
                    flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                    borderMode=cv2.BORDER_REPLICATE,
                ),
                np.float32,
            )
            top_so_far = best[ya:yb, xa:xb]
            np.copyto(ids[ya:yb, xa:xb], np.uint8(part), where=warped > top_so_far)
            np.maximum(top_so_far, warped, out=top_so_far)
    return ids, np.minimum(best, 1, out=best)


def _resized(ratio: float) -> NDArray[np.float64]:
    """(3, 3) map between pixel centres of a picture and of itself at ``ratio`` of its side."""
    shift = ratio / 2 - 0.5
    return np.array([[ratio, 0, shift], [0, ratio, shift], [0, 0, 1.0]])


def _average_down(
    probs: NDArray[np.float32], to_map: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Halve maps until they are at most twice as fine as the picture; and picture -> map."""
    finer = float(np.sqrt(abs(np.linalg.det(to_map[:2, :2]))))
    while finer > 2 + 1e-6 and probs.shape[1] > 1:  # twice, but for rounding, is not more
        count, size_px, _ = probs.shape
        small_px = -(-size_px // 2)
        if size_px % 2:
            halves = [cv2.resize(p, (small_px,) * 2, interpolation=cv2.INTER_AREA) for p in probs]
            probs = np.stack(halves).astype(np.float32, copy=False)
        else:  # all maps below each other are one picture
            tall = np.ascontiguousarray(probs).reshape(count * size_px, size_px)
            half = cv2.resize(tall, (small_px, count * small_px), interpolation=cv2.INTER_AREA)
            probs = np.asarray(half, np.float32).reshape(count, small_px, small_px)
        ratio = small_px / size_px
        to_map = _resized(ratio) @ to_map
        finer *= ratio
    return probs, to_map


def _possible_box(
    plane: NDArray[np.float32], least: float
) -> tuple[float, float, float, float] | None:
    """Left, top, right, bottom (centres) of the values that can win; ``None`` if there is none."""
    rows = np.flatnonzero(plane.max(axis=1) >= least)
    if not rows.size:
        return None
    columns = np.flatnonzero(plane.max(axis=0) >= least)
    return float(columns[0]), float(rows[0]), float(columns[-1]), float(rows[-1])


def _to_window(
    box: tuple[float, float, float, float],
    to_picture: NDArray[np.float64],
    window_xyxy: tuple[int, int, int, int],
    size_px: int,
    endless: float,
) -> tuple[int, int, int, int]:
    """Window pixels that a box of map pixels reaches through bilinear weights."""
    x0, y0, x1, y1 = window_xyxy
    left, top, right, bottom = box
    left -= endless if left == 0 else 1
    top -= endless if top == 0 else 1
    right += endless if right == size_px - 1 else 1
    bottom += endless if bottom == size_px - 1 else 1
    corners = np.array([(x, y) for x in (left, right) for y in (top, bottom)])
    reach = corners @ to_picture[:2, :2].T + to_picture[:2, 2]
    limits = (x1 - x0, y1 - y0)
    low = np.clip(np.floor(reach.min(axis=0) - (x0, y0)), 0, limits)
    high = np.clip(np.ceil(reach.max(axis=0) - (x0, y0)) + 1, low, limits)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _strips(left: int, top: int, right: int, bottom: int) -> list[tuple[int, int, int, int]]:
    """Cut a rectangle into pieces of at most `_STRIP_BYTES` of float32: y0, y1, x0, x1."""
    pieces = []
    for xa in range(left, right, _MAX_COLUMNS):
        xb = min(right, xa + _MAX_COLUMNS)
        rows = min(_MAX_COLUMNS, max(1, _STRIP_BYTES // (4 * (xb - xa))))
        pieces += [(ya, min(bottom, ya + rows), xa, xb) for ya in range(top, bottom, rows)]
    return pieces
