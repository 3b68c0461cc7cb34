"""Label pictures painted in colours -> ids. Exact colours first, then the nearest within a cap."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceparts.datasets._pairs import read_rgb
from faceparts.errors import BadData
from faceparts.types import IGNORE

Rgb = tuple[int, int, int]

_SHIFTS = np.array([1 << 16, 1 << 8, 1], np.uint32)


def decode_paint(
    painted: NDArray[np.uint8], paints: Sequence[Rgb], max_distance: float = 0.0
) -> NDArray[np.uint8]:
    """(H, W, 3) painted RGB -> (H, W) index of the nearest paint, `IGNORE` where none is near.

    Args:
        paints: at most 255 colours.
        max_distance: Euclidean RGB distance up to which a pixel counts; 0 takes exact colours only.

    Example:
        >>> decode_paint(np.uint8([[[255, 0, 0], [250, 9, 5], [0, 0, 90]]]), [(255, 0, 0)], 20)
        array([[  0,   0, 255]], dtype=uint8)
    """
    codes = painted.astype(np.uint32) @ _SHIFTS
    ids = np.full(codes.shape, IGNORE, np.uint8)
    for i, code in enumerate(np.array(paints, np.uint32).reshape(-1, 3) @ _SHIFTS):
        ids[codes == code] = i
    soft = ids == IGNORE
    if max_distance > 0 and soft.any():
        found, where = np.unique(codes[soft], return_inverse=True)
        colours = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1)
        gap = np.linalg.norm(colours[:, None].astype(np.float64) - np.array(paints), axis=2)
        nearest = gap.argmin(axis=1).astype(np.uint8)
        nearest[gap.min(axis=1) > max_distance] = IGNORE
        ids[soft] = nearest[where.ravel()]
    return ids


def refuse_unknown(
    path: Path, painted: NDArray[np.uint8], ids: NDArray[np.uint8], paints: Sequence[Rgb]
) -> None:
    """Stop at the first pixel that no paint explains.

    Raises:
        BadData: the message gives the pixel, its colour, the nearest paint and how many more.
    """
    unknown = np.argwhere(ids == IGNORE)
    if not len(unknown):
        return
    y, x = (int(v) for v in unknown[0])
    colour = painted[y, x].astype(int)
    near = min(paints, key=lambda paint: float(np.abs(colour - np.array(paint)).sum()))
    raise BadData(
        f"{path}: colour {_text(colour)} at x {x}, y {y} is none of the set's "
        f"(nearest {_text(near)}; {len(unknown)} such pixels); was it resized or saved as JPEG?"
    )


def read_paint(path: Path, paints: Sequence[Rgb]) -> NDArray[np.uint8]:
    """(H, W) index of every pixel's paint; exact colours only.

    Raises:
        BadData: not a picture, or a colour that is none of the paints.
    """
    painted = read_rgb(path)
    ids = decode_paint(painted, paints)
    refuse_unknown(path, painted, ids, paints)
    return ids


def _text(colour: Sequence[int] | NDArray[np.int_]) -> str:
    return ",".join(str(int(c)) for c in colour)
