"""Colour-coded masks -> part ids: the nearest colour of a palette, and palettes nobody wrote down.

Masks that went through an editor, a resize or JPEG hold hundreds of colours where a handful was
meant. Here a pixel gets the nearest palette colour, and `IGNORE` where none is near: mixtures at
borders are doubt, not a class. All functions are pure and give the same result every time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.errors import BadData
from faceparts.types import IGNORE, Image

MAX_COLOURS = 64
"""Most colours that `discover_palette` looks for."""

FLAT_RANGE = 24
"""A pixel is inside an area, not on a border, if its 3 x 3 neighbours differ by at most this."""

MODE_RADIUS = 48.0
"""Colours nearer than this to a stronger one count as the same paint."""

MIN_SHARE = 0.0005
"""Share of the flat pixels that a paint must cover to be found when no count is given."""

_FEW_PIXELS = 1 << 16
_SHIFTS = np.array([16, 8, 0], np.uint32)
_GREY_WEIGHTS = np.array([0.2125, 0.7154, 0.0721])
"""ITU-R BT.709 luma, as in scikit-image's ``rgb2gray``."""


def as_palette(colours: Any) -> NDArray[np.uint8]:
    """(K, 3) uint8 palette from any nested sequence of RGB triples.

    Raises:
        BadData: not K x 3 whole numbers 0..255, more than 255 colours, or a colour given twice.
    """
    table = np.asarray(colours)
    if table.ndim != 2 or table.shape[1:] != (3,) or not 1 <= len(table) <= IGNORE:
        raise BadData(f"palette: got shape {table.shape}, wanted (K, 3) RGB with K 1..{IGNORE}")
    if table.dtype.kind not in "iu" or table.min() < 0 or table.max() > 255:
        raise BadData("palette: colours must be whole numbers 0..255")
    if len(np.unique(table, axis=0)) != len(table):
        raise BadData("palette: a colour occurs twice; every part needs its own")
    return table.astype(np.uint8)


def safe_cap(palette: NDArray[np.uint8]) -> float:
    """Distance below which a pixel is nearer to one colour than a half mixture of any two is.

    Half the distance of the two closest colours less 1 for rounding, at least 0; 220 (half the
    RGB cube's diagonal) for a palette of one colour.

    Example:
        >>> safe_cap(np.uint8([[255, 0, 0], [127, 0, 0]]))
        63.0
    """
    table = as_palette(palette).astype(np.float64)
    gaps = np.linalg.norm(table[:, None] - table, axis=2)
    closest = gaps[~np.eye(len(table), dtype=bool)]
    return max(float(closest.min()) / 2 - 1, 0.0) if closest.size else 220.0


def nearest_palette(
    image_rgb: Image, palette: NDArray[np.uint8], cap: float | None = None
) -> NDArray[np.uint8]:
    """Give every pixel the id of the nearest palette colour.

    Args:
        image_rgb: (H, W, 3) uint8 colour-coded mask.
        palette: (K, 3) uint8; row k is the colour of id k. Of two equally near the lower id wins.
        cap: Euclidean RGB distance up to which a pixel is sure; farther ones become `IGNORE`.
            ``None`` = `safe_cap`; 442 (the cube's diagonal) leaves nothing in doubt.

    Returns:
        (H, W) uint8 ids 0..K-1, and `IGNORE`.

    Raises:
        BadData: see `as_palette`.
        ValueError: the picture is not (H, W, 3) uint8, or the cap is negative.

    Example:
        >>> paint = np.uint8([[255, 0, 0], [255, 255, 0]])
        >>> nearest_palette(np.uint8([[[250, 4, 0], [255, 128, 0], [250, 251, 9]]]), paint).tolist()
        [[0, 255, 1]]
    """
    table = as_palette(palette)
    limit = safe_cap(table) if cap is None else float(cap)
    if not limit >= 0:
        raise ValueError(f"cap: got {cap}, wanted at least 0")
    colours, where, _ = _distinct(image_rgb)
    ids = np.empty(len(colours), np.uint8)
    for start in range(0, len(colours), 1 << 16):  # bounded memory: 64k x K distances at a time
        some = colours[start : start + (1 << 16)].astype(np.float64)
        squared = ((some[:, None] - table) ** 2).sum(axis=2)
        nearest = squared.argmin(axis=1)
        sure = squared[np.arange(len(some)), nearest] <= limit * limit
        ids[start : start + len(some)] = np.where(sure, nearest, IGNORE)
    return np.asarray(ids[where])


def count_moves(
    image_rgb: Image, labels: NDArray[np.uint8], palette: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """How many pixels a clean-up moved.

    Args:
        image_rgb: (H, W, 3) mask before.
        labels: (H, W) ids after, `IGNORE` where in doubt.
        palette: (K, 3) colours of the ids.

    Returns:
        kept: (K,) pixels that have exactly their part's colour.
        moved: (K,) pixels of another colour that the part got.
        doubtful: pixels that became `IGNORE`.

    Example:
        >>> paint = np.uint8([[255, 0, 0], [255, 255, 0]])
        >>> before = np.uint8([[[255, 0, 0], [254, 0, 0], [255, 128, 0]]])
        >>> kept, moved, doubtful = count_moves(before, np.uint8([[0, 0, 255]]), paint)
        >>> kept.tolist(), moved.tolist(), doubtful
        ([1, 0], [1, 0], 1)
    """
    table = as_palette(palette)
    sure = labels != IGNORE
    exact = np.zeros(labels.shape, bool)
    exact[sure] = (image_rgb[sure] == table[labels[sure]]).all(axis=1)
    kept = np.bincount(labels[exact], minlength=len(table))
    moved = np.bincount(labels[sure & ~exact], minlength=len(table))
    return kept, moved, int(np.count_nonzero(~sure))


# --- palettes that nobody wrote down -----------------------------------------------------------


def discover_palette(
    images: Iterable[Image], count: int | None = None, *, method: str = "modes"
) -> NDArray[np.uint8]:
    """Find the paints of colour-coded masks.

    ``"modes"`` seeks the strongest peaks among the colours of flat areas: borders, where paints
    mix, do not count, so that a small part (eyes) is found before any mixture of two large ones.
    ``"kmeans"`` is k-means in RGB over all pixels, started from the farthest colours; known to
    spend centres on mixtures, kept for comparison.

    Args:
        images: (H, W, 3) uint8 masks; looked at one after the other.
        count: number of paints, 1 to `MAX_COLOURS`; ``None`` (modes only) = every paint that
            covers at least `MIN_SHARE` of the flat pixels.

    Returns:
        (K, 3) uint8. First the colour that covers most of the pictures' outer rows and columns,
        the likely background; the others by red, green, blue: the order does not hang on the
        order or number of the pictures.

    Raises:
        BadData: no pictures, or fewer than ``count`` paints in them.
        ValueError: an unknown method, or a count that is out of range or missing.

    Example:
        >>> mask = np.zeros((9, 9, 3), np.uint8)
        >>> mask[2:7, 2:7] = (0, 255, 0)
        >>> discover_palette([mask]).tolist()
        [[0, 0, 0], [0, 255, 0]]
    """
    if method not in ("modes", "kmeans"):
        raise ValueError(f"method: got {method!r}, wanted 'modes' or 'kmeans'")
    if count is None and method == "kmeans":
        raise ValueError("count: k-means needs the number of colours")
    if count is not None and not 1 <= count <= MAX_COLOURS:
        raise ValueError(f"count: got {count}, wanted 1..{MAX_COLOURS}")
    inside, everywhere, border = _Tally(), _Tally(), _Tally()
    for image in images:
        everywhere.add(image)
        inside.add(image, flat_pixels(image))
        border.add(image, _outer_pixels(image.shape[:2]))
    if not everywhere.counts:
        raise BadData("palette: no pictures to find colours in")
    if method == "kmeans":
        found = _kmeans(*everywhere.arrays(), count or 1)
    else:
        found = _modes(*(inside if inside.counts else everywhere).arrays(), count)
    if count is not None and len(found) < count:
        raise BadData(
            f"palette: found {len(found)} colours, wanted {count}; "
            "ask for fewer, or let the number be found"
        )
    return _in_stable_order(found, *border.arrays())


def flat_pixels(image: Image) -> NDArray[np.bool_]:
    """(H, W) bool: the 3 x 3 neighbours differ by at most `FLAT_RANGE` in every channel."""
    kernel = np.ones((3, 3), np.uint8)
    spread = cv2.subtract(cv2.dilate(image, kernel), cv2.erode(image, kernel))
    return np.asarray((spread <= FLAT_RANGE).all(axis=2))


def colour_name(rgb: Iterable[int]) -> str:
    """A stable name for a colour that has none: ``color_ff0000``."""
    return "color_" + "".join(f"{int(level):02x}" for level in rgb)


class _Tally:
    """How often every colour occurs over many pictures."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}

    def add(self, image: Image, where: NDArray[np.bool_] | None = None) -> None:
        pixels = image if where is None else image[where][None]
        if pixels.size:
            colours, _, counts = _distinct(pixels)
            for code, times in zip(_codes(colours).tolist(), counts.tolist(), strict=True):
                self.counts[code] = self.counts.get(code, 0) + times

    def arrays(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """(N, 3) colours by their code, and (N,) counts."""
        codes = np.array(sorted(self.counts), np.uint32)
        return _from_codes(codes), np.array([self.counts[c] for c in codes.tolist()], np.int64)


def _modes(
    colours: NDArray[np.uint8], counts: NDArray[np.int64], count: int | None
) -> NDArray[np.uint8]:
    """Peaks of the colour histogram, strongest first; each takes what lies within the radius."""
    points, left = colours.astype(np.float64), counts.astype(np.float64)
    smooth = _smoothed(colours, counts)
    least = MIN_SHARE * float(counts.sum()) if count is None else 0.0
    found: list[NDArray[np.uint8]] = []
    while left.any() and len(found) < (count or MAX_COLOURS):
        peak = int(np.argmax(np.where(left > 0, smooth, -1)))
        near = (np.linalg.norm(points - points[peak], axis=1) < MODE_RADIUS) & (left > 0)
        if left[near].sum() < least:
            break
        mode = colours[np.flatnonzero(near)[np.argmax(left[near])]]
        left[near] = 0
        left[np.linalg.norm(points - mode, axis=1) < MODE_RADIUS] = 0
        found.append(mode)
    return np.array(found, np.uint8).reshape(-1, 3)


def _smoothed(colours: NDArray[np.uint8], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N,) pixels in the 3 x 3 x 3 cells of 16 levels around every colour."""
    cells = np.zeros((18, 18, 18))
    at = tuple((colours >> 4).T.astype(np.intp) + 1)
    np.add.at(cells, at, counts)
    for axis in range(3):
        cells = cells + np.roll(cells, 1, axis) + np.roll(cells, -1, axis)
    return np.asarray(cells[at], np.float64).reshape(-1)


def _kmeans(colours: NDArray[np.uint8], counts: NDArray[np.int64], count: int) -> NDArray[np.uint8]:
    """Lloyd's algorithm on weighted colours; begins with the most frequent, then the farthest."""
    points, weights = colours.astype(np.float64), counts.astype(np.float64)
    chosen = [int(np.argmax(weights))]
    far = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < min(count, len(points)):
        chosen.append(int(np.argmax(far)))
        far = np.minimum(far, np.linalg.norm(points - points[chosen[-1]], axis=1))
    centres = points[chosen]
    for _ in range(100):
        nearest = ((points[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        mass = np.bincount(nearest, weights, len(centres))
        sums = np.stack([np.bincount(nearest, weights * p, len(centres)) for p in points.T], axis=1)
        moved = np.where(mass[:, None] > 0, sums / np.maximum(mass, 1e-9)[:, None], centres)
        if np.abs(moved - centres).max() < 0.01:
            break
        centres = moved
    return np.unique(np.rint(centres).astype(np.uint8), axis=0)


def _in_stable_order(
    found: NDArray[np.uint8], border: NDArray[np.uint8], counts: NDArray[np.int64]
) -> NDArray[np.uint8]:
    ordered = _from_codes(np.sort(_codes(found[None])[0]))
    near = ((border[:, None].astype(np.float64) - ordered) ** 2).sum(axis=2).argmin(axis=1)
    first = int(np.bincount(near, counts, len(ordered)).argmax())
    return np.concatenate([ordered[first : first + 1], np.delete(ordered, first, axis=0)])


def _outer_pixels(hw: tuple[int, ...]) -> NDArray[np.bool_]:
    outer = np.zeros(hw[:2], bool)
    outer[[0, -1]] = outer[:, [0, -1]] = True
    return outer


# --- grey levels, for comparison ---------------------------------------------------------------


def grey_clusters(image_rgb: Image, count: int) -> NDArray[np.uint8]:
    """(H, W) uint8 cluster of every pixel's grey level, dark to bright; k-means in one dimension.

    In one dimension k-means has a best solution that dynamic programming finds exactly, so unlike
    a randomly started k-means the result is always the same. Fewer grey levels than ``count`` give
    as many clusters as there are levels.

    Source: "ckmeans.1d.dp", Wang and Song, The R Journal 3(2), 2011.

    Raises:
        ValueError: not (H, W, 3) uint8, or a count below 1.
    """
    if count < 1:
        raise ValueError(f"count: got {count}, wanted at least 1")
    colours, where, times = _distinct(image_rgb)
    grey = np.rint(colours @ _GREY_WEIGHTS).astype(np.intp)
    mass = np.asarray(np.bincount(grey, times, 256), np.float64)
    levels = np.flatnonzero(mass)
    starts = _best_cuts(levels.astype(np.float64), mass[levels], min(count, len(levels)))
    cluster_of = np.zeros(256, np.uint8)
    cluster_of[levels] = np.searchsorted(starts, np.arange(len(levels)), side="right") - 1
    return np.asarray(cluster_of[grey][where])


def grey_palette(image_rgb: Image, palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Part ids by k-means on grey levels, one cluster a palette colour that occurs in the picture.

    The way of an earlier notebook for FASSEG, here to be compared with `nearest_palette`: paints
    of similar brightness share a cluster, and border pixels go to whatever paint is as bright. A
    cluster gets the part of most pixels whose exact colour lies in it; one without any becomes
    `IGNORE`.

    Raises:
        BadData: see `as_palette`.
    """
    table = as_palette(palette)
    exact = nearest_palette(image_rgb, table, 0)
    present = [k for k in range(len(table)) if (exact == k).any()]
    if not present:
        return np.full(exact.shape, IGNORE, np.uint8)
    clusters = grey_clusters(image_rgb, len(present))
    part_of = np.full(256, IGNORE, np.uint8)
    for k in sorted(present, key=lambda k: np.count_nonzero(exact == k)):
        part_of[clusters[exact == k][0]] = k  # the larger of two in one cluster comes last
    return np.asarray(part_of[clusters])


def _best_cuts(
    levels: NDArray[np.float64], mass: NDArray[np.float64], count: int
) -> NDArray[np.intp]:
    """(count,) first index of each cluster of sorted levels, of least total squared distance."""
    sums = [np.concatenate([[0.0], np.cumsum(mass * levels**p)]) for p in range(3)]
    # cost[i, j]: squared distances of levels i..j to their mean
    w, s, q = (total[1:][None] - total[:-1][:, None] for total in sums)
    cost = np.where(w > 0, q - s**2 / np.where(w > 0, w, 1), np.inf)
    cost[np.tril_indices(len(levels), -1)] = np.inf
    best, choices = cost[0], []
    for _ in range(count - 1):
        total = np.concatenate([[np.inf], best[:-1]])[:, None] + cost
        choices.append(total.argmin(axis=0))
        best = total.min(axis=0)
    starts, last = [], len(levels) - 1
    for choice in reversed(choices):
        starts.append(int(choice[last]))
        last = starts[-1] - 1
    return np.array([0, *reversed(starts)], np.intp)


# --- colours as numbers ------------------------------------------------------------------------


def _codes(image: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """(..., 3) uint8 -> (...) 0xRRGGBB."""
    r, g, b = (image[..., i].astype(np.uint32) for i in range(3))
    return np.asarray(r << 16 | g << 8 | b)


def _from_codes(codes: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """(N,) 0xRRGGBB -> (N, 3) uint8."""
    return np.asarray((codes[:, None] >> _SHIFTS) & 255, np.uint8)


def _distinct(
    image_rgb: Image,
) -> tuple[NDArray[np.uint8], NDArray[np.intp], NDArray[np.int64]]:
    """(N, 3) distinct colours, (H, W) index into them, (N,) pixels of each."""
    if image_rgb.dtype != np.uint8 or image_rgb.ndim != 3 or image_rgb.shape[2] != 3:
        raise ValueError(
            f"mask: got {image_rgb.dtype} of shape {image_rgb.shape}, wanted (H, W, 3) uint8 RGB"
        )
    codes = _codes(image_rgb)
    if codes.size < _FEW_PIXELS:
        found, where, counts = np.unique(codes, return_inverse=True, return_counts=True)
        return _from_codes(found), where.reshape(codes.shape), counts
    seen = np.zeros(1 << 24, bool)  # a table of all colours is ten times as fast as sorting pixels
    seen[codes] = True
    found = np.flatnonzero(seen).astype(np.uint32)
    index = np.empty(1 << 24, np.int32)
    index[found] = np.arange(len(found), dtype=np.int32)
    where = index[codes].astype(np.intp)
    counts = np.bincount(where.ravel(), minlength=len(found))
    return _from_codes(found), where, counts
