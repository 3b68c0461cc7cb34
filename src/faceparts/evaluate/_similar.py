"""Which pictures are the same picture: by bytes, by pixels, by look; mirrored ones too.

Two steps. A 64-bit hash of the lowest frequencies finds candidates among all pairs; then small
grey copies are laid over each other and compared in their fine structure, because aligned portraits
have much the same low frequencies. What survives both is one photo: rescaled, recompressed,
brightened, slightly cut, or mirrored.

Hash after Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.types import Image

HASH_BITS = 14
"""Candidates differ in at most this many of the 64 bits."""

THUMB_PX = 48
"""Side of the small copies."""

PLAIN_SHARE = 0.05
"""Share of a picture's range of levels by which a bar of a frame may vary: JPEG leaves some."""

SHIFT_PX = 2
"""So far (in pixels of the small copy) the copies are moved over each other, for cut borders."""

BORDERS_PX = (1, 2)
"""Cut borders that are tried, in pixels of the small copy: 2 and 4 % on every side."""

LIKENESS = 0.86
"""Correlation of the copies' fine structure from which two pictures are one photo."""

_LOOK_PX = 192
_ROWS = 512
_CACHED = 4096
_BITS_OF_BYTE = np.array([bin(i).count("1") for i in range(256)], np.uint8)


def thumb(image: Image) -> NDArray[np.uint8]:
    """(H, W, 3) RGB -> (48, 48) grey copy without plain frames, averaged over areas.

    The shape of the picture is not kept. Padding and bars would make all pictures with them alike.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = np.asarray(cv2.resize(grey, (_LOOK_PX, _LOOK_PX), interpolation=cv2.INTER_AREA))
    inner = np.ascontiguousarray(small[trim_frame(small)])
    return np.asarray(
        cv2.resize(inner, (THUMB_PX, THUMB_PX), interpolation=cv2.INTER_AREA), np.uint8
    )


def trim_frame(grey: NDArray[np.generic]) -> tuple[slice, slice]:
    """Rows and columns inside all plain bars at the borders, bars around bars included.

    A row or column is plain if its levels, and those of its bar, differ by at most `PLAIN_SHARE` of
    the picture's own range, the 4 % brightest and darkest left aside: ends of another bar. Where
    less than a quarter of a side would be left, the picture is plain as a whole, and not trimmed.

    Example:
        >>> grey = np.full((9, 9), 127)
        >>> grey[2:8, 1:7] = np.arange(36).reshape(6, 6) * 7
        >>> trim_frame(grey)
        (slice(2, 8, None), slice(1, 7, None))
    """
    levels = grey.astype(np.int16)
    low, high = np.percentile(levels, (2, 98))
    tolerance = max(4.0, PLAIN_SHARE * float(high - low))
    rows, columns = (0, levels.shape[0]), (0, levels.shape[1])
    while True:
        inner = levels[slice(*rows), slice(*columns)]
        top, bottom = (_bar(side, tolerance) for side in (inner, inner[::-1]))
        left, right = (_bar(side, tolerance) for side in (inner.T, inner.T[::-1]))
        if not (top or bottom or left or right):
            return slice(*rows), slice(*columns)
        rows = rows[0] + top, rows[1] - bottom
        columns = columns[0] + left, columns[1] - right
        if any(4 * (b - a) < n for (a, b), n in zip((rows, columns), levels.shape, strict=True)):
            return slice(0, levels.shape[0]), slice(0, levels.shape[1])


def _bar(rows: NDArray[np.int16], tolerance: float) -> int:
    """How many of the first rows are one plain bar."""
    ordered, cut = np.sort(rows, axis=1), rows.shape[1] // 25
    middle = ordered[:, rows.shape[1] // 2]
    spread = ordered[:, -1 - cut] - ordered[:, cut]
    busy = (spread > tolerance) | (np.abs(middle - middle[0]) > tolerance)
    return int(busy.argmax()) if busy.any() else len(rows)


def hash_thumb(small: NDArray[np.uint8]) -> int:
    """64 bits: which of the 8 x 8 lowest frequencies lie above their median.

    The constant term does not count, so brightness does not matter.

    Example:
        >>> dark = np.tile(np.arange(48, dtype=np.uint8), (48, 1))
        >>> hash_thumb(dark) == hash_thumb(dark + 100)
        True
    """
    side = cv2.resize(small, (32, 32), interpolation=cv2.INTER_AREA)
    low = np.asarray(cv2.dct(np.asarray(side, np.float32)))[:8, :8].ravel()
    low[0] = np.median(low[1:])
    bits = low > np.median(low[1:])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def likeness(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """-1..1: correlation of the fine structure of two thumbs where they fit best.

    Fine structure is what a blur of 3 pixels takes away. Either is also tried without a border of
    `BORDERS_PX`, and they are moved over each other by up to `SHIFT_PX`. A copy without fine
    structure (one colour) is like nothing but another without any.
    """
    return _compare(_fine_structures(one), _fine_structures(other))


@dataclass(frozen=True, eq=False)
class _Fine:
    """The fine structure of a thumb: whole, then without each of the borders."""

    maps: tuple[NDArray[np.float32], ...]
    level: float
    flat: bool


def _fine_structures(small: NDArray[np.uint8]) -> _Fine:
    cuts = [small]
    for border in BORDERS_PX:
        inner = small[border:-border, border:-border]
        cuts.append(
            np.asarray(cv2.resize(inner, small.shape, interpolation=cv2.INTER_CUBIC), np.uint8)
        )
    floats = [cut.astype(np.float32) for cut in cuts]
    maps = [values - cv2.GaussianBlur(values, (0, 0), 3) for values in floats]
    is_flat = float(np.abs(maps[0]).max()) < 1
    return _Fine(tuple(map(_soften, maps)), float(small.mean()), is_flat)


def _soften(fine: NDArray[Any]) -> NDArray[np.float32]:
    """Keep a few strong edges (the rim of an oval, a collar) from outweighing a whole face."""
    size = max(float(np.sqrt(np.mean(fine * fine))), 1e-6)
    return np.asarray(np.tanh(fine / size), np.float32)


def _compare(one: _Fine, other: _Fine) -> float:
    if one.flat or other.flat:
        return 1.0 if one.flat and other.flat and abs(one.level - other.level) < 2 else 0.0
    (first, *first_cuts), (second, *second_cuts) = one.maps, other.maps
    pairs = [
        (first, second),
        *((m, second) for m in first_cuts),
        *((first, m) for m in second_cuts),
    ]
    return max(_correlation(a, b) for a, b in pairs)


def _correlation(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    inner = np.ascontiguousarray(second[SHIFT_PX:-SHIFT_PX, SHIFT_PX:-SHIFT_PX])
    return float(np.asarray(cv2.matchTemplate(first, inner, cv2.TM_CCOEFF_NORMED)).max())


def find_alike(thumbs: NDArray[np.uint8]) -> Iterator[tuple[int, int, float, bool]]:
    """All pairs of pictures that look the same.

    Args:
        thumbs: (N, 48, 48) from `thumb`.

    Yields:
        i, j with i < j, their likeness 0..1, and whether j is i mirrored.
    """
    straight = np.array([hash_thumb(t) for t in thumbs], np.uint64)
    mirrored = np.array([hash_thumb(np.ascontiguousarray(t[:, ::-1])) for t in thumbs], np.uint64)

    @lru_cache(maxsize=_CACHED)
    def fine(i: int, is_mirrored: bool) -> _Fine:
        return _fine_structures(np.ascontiguousarray(thumbs[i][:, :: -1 if is_mirrored else 1]))

    for start in range(0, len(thumbs), _ROWS):
        found: dict[tuple[int, int], tuple[float, bool]] = {}
        for hashes, is_mirrored in ((straight, False), (mirrored, True)):
            near = _distances(hashes[start : start + _ROWS], straight[start:]) <= HASH_BITS
            for row, column in np.argwhere(np.triu(near, 1)).tolist():
                i, j = start + row, start + column
                score = _compare(fine(i, is_mirrored), fine(j, False))
                if score >= max(LIKENESS, found.get((i, j), (0.0, False))[0] + 1e-6):
                    found[i, j] = (score, is_mirrored)
        for (i, j), (score, is_mirrored) in sorted(found.items()):
            yield i, j, score, is_mirrored


def _distances(some: NDArray[np.uint64], all_: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """(n, N) number of bits in which hashes differ."""
    different = some[:, None] ^ all_[None]
    if hasattr(np, "bitwise_count"):  # NumPy 2
        return np.asarray(np.bitwise_count(different), np.uint8)
    return count_bits(different)


def count_bits(numbers: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Ones in the binary form of every number, by a table of bytes.

    Example:
        >>> count_bits(np.array([[0, 3, 1 << 63]], np.uint64)).tolist()
        [[0, 2, 1]]
    """
    in_bytes = np.ascontiguousarray(numbers).view(np.uint8).reshape(*numbers.shape, 8)
    return np.asarray(_BITS_OF_BYTE[in_bytes].sum(axis=-1, dtype=np.uint8))
