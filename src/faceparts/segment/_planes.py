"""The families of features: each computes planes of one kind for a whole picture or strip.

`faceparts.segment._features` says what they are called and puts them together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.types import Image

Array = NDArray[np.float32]
ORIENTATIONS = 8
_AROUND = [(round(math.cos(a), 6), round(math.sin(a), 6)) for a in np.arange(8) * math.pi / 4]
_COMPASS = ("e", "se", "s", "sw", "w", "nw", "n", "ne")
_HIST_BINS = (("hue", 6, 360.0), ("sat", 3, 1.0), ("val", 4, 1.0))


@dataclass(frozen=True, eq=False)
class View:
    """A picture, or a strip of one, as the families see it.

    Args:
        image: (H, W, 3) uint8 RGB.
        whole_hw: size of the whole picture.
        top: row of the picture that the strip begins with.
        head: x and y of the head's middle and the longer side of its box, in pixels of the
            whole picture (edges).
        probs: (H, W, K) float32 of the stage before; ``None`` in the first stage.
        centers: (K, 2) x and y of the middle of each part in the whole picture, by the stage
            before; ``None`` in the first stage.
    """

    image: Image
    whole_hw: tuple[int, int]
    top: int
    head: tuple[float, float, float]
    probs: Array | None = None
    centers: NDArray[np.float64] | None = None

    @cached_property
    def lab(self) -> Array:
        """(H, W, 3) float32 CIE L 0..100, a, b."""
        unit = self.image.astype(np.float32) / np.float32(255)
        return np.asarray(cv2.cvtColor(unit, cv2.COLOR_RGB2Lab), np.float32)

    @cached_property
    def lightness(self) -> Array:
        """(H, W) float32 CIE L 0..100."""
        return np.ascontiguousarray(self.lab[..., 0])

    @cached_property
    def hsv(self) -> Array:
        """(H, W, 3) float32 hue 0..360, saturation and value 0..1."""
        unit = self.image.astype(np.float32) / np.float32(255)
        return np.asarray(cv2.cvtColor(unit, cv2.COLOR_RGB2HSV), np.float32)

    @cached_property
    def energy(self) -> Array:
        """(H, W, 8) gradient length of every pixel in the bin of its orientation, else 0."""
        return _oriented_energy(self.image)


# --- colour and place -------------------------------------------------------------------------


def _gray(view: View, _: int) -> list[Array]:
    weights = np.array([0.2125, 0.7154, 0.0721], np.float32) / np.float32(255)
    return [view.image.astype(np.float32) @ weights]


def _rgb(view: View, _: int) -> list[Array]:
    return [view.image[..., c].astype(np.float32) for c in range(3)]


def _hsv(view: View, _: int) -> list[Array]:
    return list(np.moveaxis(view.hsv, 2, 0))


def _lab(view: View, _: int) -> list[Array]:
    return list(np.moveaxis(view.lab, 2, 0))


def _grid(view: View) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Row of x and column of y, indices in the whole picture."""
    height, width = view.image.shape[:2]
    x, y = np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64)
    return x[None], y[:, None] + view.top


def _xy(view: View, _: int) -> list[Array]:
    x, y = _grid(view)
    height, width = view.whole_hw
    return [_plane(view, x / width), _plane(view, y / height)]


def _head(view: View, _: int) -> list[Array]:
    x, y = _grid(view)
    middle_x, middle_y, size = view.head
    dx, dy = (x + 0.5 - middle_x) / size, (y + 0.5 - middle_y) / size
    return [_plane(view, v) for v in (dx, dy, np.abs(dx), np.hypot(dx, dy))]


def _plane(view: View, values: NDArray[np.float64]) -> Array:
    return np.broadcast_to(values, view.image.shape[:2]).astype(np.float32)


# --- neighbourhood ----------------------------------------------------------------------------


def _gauss(values: Array, sigma: float) -> Array:
    if sigma == 0:
        return values
    side = 2 * _gauss_reach(sigma) + 1
    return np.asarray(
        cv2.GaussianBlur(values, (side, side), sigma, borderType=cv2.BORDER_REPLICATE), np.float32
    )


def _gauss_reach(sigma: float) -> int:
    return math.ceil(3 * sigma)


def _box(values: Array, side: int) -> Array:
    """Mean over a window; outside the picture lie zeros."""
    return np.asarray(
        cv2.boxFilter(values, -1, (side, side), borderType=cv2.BORDER_CONSTANT), np.float32
    )


def _around(values: Array, distance: int) -> list[Array]:
    """The values at 8 places around, east first, clockwise; the border goes on outside."""
    height, width = values.shape[:2]
    edges = [(distance, distance)] * 2 + [(0, 0)] * (values.ndim - 2)
    padded = np.pad(values, edges, mode="edge")
    places = [(distance + round(distance * x), distance + round(distance * y)) for x, y in _AROUND]
    return [padded[y : y + height, x : x + width] for x, y in places]


def _blur(view: View, sigma: int) -> list[Array]:
    return list(np.moveaxis(_gauss(view.lab, sigma), 2, 0))


def _ring(view: View, distance: int) -> list[Array]:
    planes = [_gauss(np.ascontiguousarray(p), distance / 3) for p in np.moveaxis(view.lab, 2, 0)]
    around = [[place - p for place in _around(p, distance)] for p in planes]
    return [channel[place] for place in range(8) for channel in around]


def _derivatives(values: Array) -> tuple[Array, Array]:
    """Central differences along x and y; zero on the border."""
    dx, dy = np.zeros_like(values), np.zeros_like(values)
    dx[:, 1:-1] = values[:, 2:] - values[:, :-2]
    dy[1:-1] = values[2:] - values[:-2]
    return dx, dy


def _grad(view: View, sigma: int) -> list[Array]:
    smooth = _gauss(view.lightness, sigma)
    dx, dy = _derivatives(smooth)
    laplacian = np.asarray(
        cv2.Laplacian(smooth, cv2.CV_32F, borderType=cv2.BORDER_REPLICATE), np.float32
    )
    return [np.hypot(dx, dy), laplacian]


def _tensor(view: View, sigma: int) -> list[Array]:
    dx, dy = _derivatives(view.lightness)
    xx, yy, xy = (_gauss(v, sigma) for v in (dx * dx, dy * dy, dx * dy))
    half, cos, sin = (xx + yy) / 2, (xx - yy) / 2, xy
    length = np.hypot(cos, sin)
    safe = np.maximum(length, np.float32(1e-6))
    return [
        np.asarray(v, np.float32) for v in (half + length, half - length, cos / safe, sin / safe)
    ]


def _std(view: View, side: int) -> list[Array]:
    light = view.lightness
    mean = _box(light, side)
    return [np.sqrt(np.maximum(_box(light * light, side) - mean * mean, 0))]


# --- orientation and texture ------------------------------------------------------------------


def _oriented_energy(image: Image) -> Array:
    """(H, W, 8) gradient length of every pixel in the bin of its orientation, else 0."""
    dx, dy = _derivatives(image.astype(np.float32))
    length = np.hypot(dx, dy)
    best = length.argmax(axis=2)[..., None]
    dx, dy, length = (np.take_along_axis(v, best, 2)[..., 0] for v in (dx, dy, length))
    degrees = np.rad2deg(np.arctan2(dy.astype(np.float64), dx.astype(np.float64))) % 180
    bins = np.minimum(degrees * ORIENTATIONS / 180, ORIENTATIONS - 1).astype(np.intp)
    energy = np.zeros((*length.shape, ORIENTATIONS), np.float32)
    np.put_along_axis(energy, bins[..., None], length[..., None], 2)
    return energy


def _l2_hys(histograms: Array) -> Array:
    """L2 norm, capped at 0.2, L2 norm again, along the last axis."""
    capped = np.minimum(histograms / _length(histograms), np.float32(0.2))
    return np.asarray(capped / _length(capped), np.float32)


def _length(histograms: Array) -> Array:
    squares = np.sum(histograms**2, axis=-1, keepdims=True)
    return np.asarray(np.sqrt(squares + np.float32(1e-10)), np.float32)


def _hog(view: View, side: int) -> list[Array]:
    return list(np.moveaxis(_l2_hys(_box(view.energy, side)), 2, 0))


def _hogcell(view: View, side: int) -> list[Array]:
    energy = view.energy
    rows, columns = (np.arange(n) // side for n in energy.shape[:2])
    sums = np.add.reduceat(energy, np.arange(0, energy.shape[0], side), axis=0)
    sums = np.add.reduceat(sums, np.arange(0, energy.shape[1], side), axis=1)
    cells = _l2_hys(np.asarray(sums / np.float32(side * side), np.float32))
    return list(np.moveaxis(cells[rows[:, None], columns], 2, 0))


def _gabor(view: View, wave: int) -> list[Array]:
    light, planes = view.lightness, []
    side = 2 * _gabor_reach(wave) + 1
    for k in range(4):
        pair = []
        for phase in (0.0, math.pi / 2):
            shape = (side, side), wave / 2, k * math.pi / 4, wave, 0.7, phase, cv2.CV_32F
            kernel = np.asarray(cv2.getGaborKernel(*shape), np.float32)
            kernel = np.asarray(kernel - kernel.mean(), np.float32)
            kernel = np.asarray(kernel / np.abs(kernel).sum(), np.float32)
            pair.append(cv2.filter2D(light, -1, kernel, borderType=cv2.BORDER_REPLICATE))
        planes.append(np.hypot(*pair))
    return planes


def _gabor_reach(wave: int) -> int:
    return math.ceil(1.5 * wave)


def _lbp(view: View, radius: int) -> list[Array]:
    light = view.lightness
    around = np.stack(_around(light, radius))
    signs = around >= light
    changes = np.sum(signs != np.roll(signs, 1, axis=0), axis=0)
    code = np.where(changes <= 2, signs.sum(axis=0), 9)
    return [code.astype(np.float32), around.std(axis=0)]


def _hist(view: View, side: int) -> list[Array]:
    hsv, planes = view.hsv, []
    for channel, (_, count, top) in enumerate(_HIST_BINS):
        bins = np.minimum(hsv[..., channel] * (count / top), count - 1).astype(np.uint8)
        planes += [_box((bins == b).astype(np.float32), side) for b in range(count)]
    return planes


# --- what the stage before found --------------------------------------------------------------


def _probs(view: View, sigma: int) -> list[Array]:
    return _smooth_probs(view, sigma)


def _smooth_probs(view: View, sigma: float) -> list[Array]:
    return [_gauss(np.ascontiguousarray(p), sigma) for p in np.moveaxis(_before(view), 2, 0)]


def _probring(view: View, distance: int) -> list[Array]:
    around = [_around(plane, distance) for plane in _smooth_probs(view, distance / 4)]
    return [part[place] for place in range(8) for part in around]


def _centers(view: View, _: int) -> list[Array]:
    _before(view)
    x, y = _grid(view)
    centers = np.empty((0, 2)) if view.centers is None else view.centers
    size = max(view.whole_hw)
    steps = [
        (axis + 0.5 - c) / size
        for middle in centers
        for axis, c in zip((x, y), middle, strict=True)
    ]
    return [_plane(view, step) for step in steps]


def _before(view: View) -> Array:
    if view.probs is None:
        raise ValueError("features of the stage before are asked for, but this is the first stage")
    return view.probs


def find_centers(probs: Array, least: float = 1e-3) -> NDArray[np.float64]:
    """(K, 2) x and y of the middle of each part (edges), weighted by squared probability.

    A part that is nearly nowhere lies in the middle of the picture.
    """
    height, width, count = probs.shape
    weight = probs.astype(np.float64) ** 2
    total = weight.sum(axis=(0, 1))
    x = (weight.sum(axis=0) * (np.arange(width)[:, None] + 0.5)).sum(axis=0)
    y = (weight.sum(axis=1) * (np.arange(height)[:, None] + 0.5)).sum(axis=0)
    middle = np.tile([width / 2, height / 2], (count, 1))
    seen = total > least * height * width / 100
    middle[seen] = np.stack([x[seen], y[seen]], axis=1) / total[seen, None]
    return middle


# --- families by name -------------------------------------------------------------------------


@dataclass(frozen=True)
class Family:
    """How one family is computed, what its columns are called, how far it looks."""

    planes: Callable[[View, int], list[Array]]
    columns: tuple[str, ...] | Callable[[tuple[str, ...]], tuple[str, ...]]
    reach: Callable[[int], int] | None = None
    context: bool = False


def _numbers(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


_LAB_AROUND = tuple(f"{c}_{place}" for place in _COMPASS for c in "Lab")
FAMILIES: dict[str, Family] = {
    "gray": Family(_gray, ("",)),
    "rgb": Family(_rgb, ("red", "green", "blue")),
    "hsv": Family(_hsv, ("hue", "saturation", "value")),
    "lab": Family(_lab, ("L", "a", "b")),
    "xy": Family(_xy, ("x", "y")),
    "head": Family(_head, ("x", "y", "abs_x", "distance")),
    "blur": Family(_blur, ("L", "a", "b"), _gauss_reach),
    "ring": Family(_ring, _LAB_AROUND, lambda d: d + _gauss_reach(d / 3)),
    "grad": Family(_grad, ("length", "laplacian"), lambda s: _gauss_reach(s) + 1),
    "tensor": Family(_tensor, ("large", "small", "cos", "sin"), lambda s: _gauss_reach(s) + 1),
    "std": Family(_std, ("",), lambda w: w),
    "hog": Family(_hog, _numbers(ORIENTATIONS), lambda w: w + 1),
    "hogcell": Family(_hogcell, _numbers(ORIENTATIONS), lambda w: w + 1),
    "gabor": Family(_gabor, _numbers(4), _gabor_reach),
    "lbp": Family(_lbp, ("code", "contrast"), lambda r: r),
    "hist": Family(
        _hist, tuple(f"{n}{i}" for n, count, _ in _HIST_BINS for i in range(count)), lambda w: w
    ),
    "probs": Family(_probs, lambda parts: parts, _gauss_reach, context=True),
    "probring": Family(
        _probring,
        lambda parts: tuple(f"{part}_{place}" for place in _COMPASS for part in parts),
        lambda d: d + _gauss_reach(d / 4),
        context=True,
    ),
    "centers": Family(
        _centers,
        lambda parts: tuple(f"{part}_{axis}" for part in parts for axis in "xy"),
        context=True,
    ),
}
"""Name -> family; without ``reach`` it takes no scale; ``context`` needs a stage before."""
