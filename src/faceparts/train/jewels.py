"""Drawn jewellery: earrings and necklaces of any kind for labelled faces.

Real ones are on a few dozen pictures of a small set, and a net learns those by heart. Drawn ones
are crude, but there is no end of them: studs, hoops, drops and strings of beads hang from where
the ear ends, chains, pearls, cords and pendants around the neck.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.types import Image, LabelSet

NEEDED = ("left_ear", "right_ear", "left_eye", "right_eye", "neck", "earring", "necklace")
"""Parts that the label set must have."""

_METALS = ((212, 175, 55), (192, 192, 196), (183, 110, 121), (60, 58, 56), (235, 230, 220))
_SHIFT = 4
"""Sub-pixel bits of OpenCV's drawing functions."""

_RELIEF = np.array([[1, 0], [0, -1]], np.float32)
"""Lit from one corner."""

Array = NDArray[np.float64]


def adorn(
    image: Image, labels: NDArray[np.uint8], rng: np.random.Generator, label_set: LabelSet
) -> tuple[Image, NDArray[np.uint8]]:
    """Draw earrings, a necklace or both on a face; new arrays come back.

    Unchanged where an eye is not visible, such jewellery is there already, or ears and neck are
    not to be seen.

    Args:
        image: (H, W, 3) RGB.
        labels: (H, W) ids of ``label_set``, which must hold `NEEDED`.
        rng: the only source of chance.
        label_set: what the ids mean.
    """
    image, labels = image.copy(), labels.copy()
    eyes = [_middle(labels == label_set.id(p)) for p in ("right_eye", "left_eye")]
    if eyes[0] is None or eyes[1] is None:
        return image, labels
    across = eyes[1] - eyes[0]
    unit = float(np.hypot(*across))
    if unit < 12:
        return image, labels
    down = np.array([-across[1], across[0]]) / unit
    if rng.random() < 0.65 and not (labels == label_set.id("earring")).any():
        pair = int(rng.integers(1 << 32))  # both ears wear the same
        for side in ("right", "left"):
            lobe = _lobe(labels == label_set.id(f"{side}_ear"), down)
            if lobe is None and rng.random() < 0.3:
                lobe = _hidden_lobe(side, eyes[0] + across / 2, across, down * unit, rng)
                if not _is(labels, lobe, label_set, "hair"):
                    lobe = None
            if lobe is not None and rng.random() < 0.85:
                layer = _Layer(image.shape[:2])
                _earring(layer, lobe, down, unit, np.random.default_rng(pair))
                layer.put(image, labels, label_set.id("earring"), labels < len(label_set.parts))
    if rng.random() < 0.5 and not (labels == label_set.id("necklace")).any():
        layer = _Layer(image.shape[:2])
        if _necklace(layer, labels == label_set.id("neck"), across / unit, down, unit, rng):
            worn = [label_set.id(p) for p in ("neck", "skin", "clothes") if p in label_set.parts]
            layer.put(image, labels, label_set.id("necklace"), np.isin(labels, worn))
    return image, labels


class _Layer:
    """A transparent sheet of a picture's size to draw on."""

    def __init__(self, size_hw: tuple[int, ...]) -> None:
        self.colour = np.zeros((*size_hw[:2], 3), np.uint8)
        self.alpha = np.zeros(size_hw[:2], np.uint8)

    def dot(self, at: Array, radii: Array, angle_deg: float, colour: Array, line: float) -> None:
        """An ellipse, filled for ``line`` 0, else a ring so many pixels wide."""
        centre = _fixed(at)
        axes = _fixed(np.maximum(radii, 0.6))
        width = -1 if line == 0 else max(1, round(line))
        shade = tuple(float(c) for c in colour)
        for sheet, value in ((self.colour, shade), (self.alpha, (255.0,))):
            cv2.ellipse(
                sheet, centre, axes, angle_deg, 0, 360, value, width, cv2.LINE_AA, shift=_SHIFT
            )

    def path(self, points: Array, colour: Array, line: float) -> None:
        """An open line through (n, 2) points."""
        fixed = np.round(points * (1 << _SHIFT)).astype(np.int32)
        shade = tuple(float(c) for c in colour)
        for sheet, value in ((self.colour, shade), (self.alpha, (255.0,))):
            cv2.polylines(
                sheet, [fixed], False, value, max(1, round(line)), cv2.LINE_AA, shift=_SHIFT
            )

    def put(
        self, image: Image, labels: NDArray[np.uint8], new: int, allowed: NDArray[np.bool_]
    ) -> None:
        """Lay the sheet on a picture where it is allowed, in place, with the light of the place."""
        alpha = np.where(allowed, self.alpha, 0)
        drawn = alpha > 100
        if not drawn.any():
            return
        around = cv2.dilate(drawn.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        light = np.clip(float(image[around].mean()) / 120, 0.35, 1.3)
        edge = cv2.filter2D(self.alpha.astype(np.float32), -1, _RELIEF)
        relief = np.clip(edge * 0.25, -40, 60)[..., None]
        lit = np.clip(self.colour * light + relief, 0, 255)
        share = (alpha / 255.0)[..., None]
        image[:] = (image * (1 - share) + lit * share + 0.5).astype(np.uint8)
        labels[drawn] = new


def _earring(
    layer: _Layer, lobe: Array, down: Array, unit: float, rng: np.random.Generator
) -> None:
    """A stud, hoop, drop or string of beads that hangs from an ear lobe."""
    colours, kind = _colours(rng), int(rng.integers(4))
    turn = float(np.degrees(np.arctan2(down[1], down[0]))) - 90
    if kind == 0:
        layer.dot(lobe, np.repeat(unit * rng.uniform(0.025, 0.09), 2), 0, colours[0], 0)
    elif kind == 1:
        height = unit * rng.uniform(0.12, 0.55)
        radii = np.array([height * rng.uniform(0.25, 1.0), height])
        line = unit * rng.uniform(0.015, 0.06)
        layer.dot(lobe + down * height, radii, turn, colours[0], max(1.5, line))
    elif kind == 2:
        length = unit * rng.uniform(0.05, 0.6)
        tip = lobe + down * length
        layer.path(np.stack([lobe, tip]), colours[0], max(1.5, unit * rng.uniform(0.015, 0.05)))
        size = unit * rng.uniform(0.04, 0.16)
        radii = np.array([size * rng.uniform(0.4, 1.0), size])
        layer.dot(tip + down * size, radii, turn, colours[1], 0 if rng.random() < 0.7 else 2)
    else:
        step, count = unit * rng.uniform(0.05, 0.12), int(rng.integers(2, 7))
        widen = rng.uniform(-0.1, 0.25)
        for i in range(count):
            size = step * 0.6 * (1 + widen * i)
            layer.dot(lobe + down * step * i, np.array([size, step * 0.6]), turn, colours[i % 2], 0)


def _necklace(
    layer: _Layer,
    neck: NDArray[np.bool_],
    across: Array,
    down: Array,
    unit: float,
    rng: np.random.Generator,
) -> bool:
    """A curve from side to side of the neck; False where there is no neck to hang it on."""
    ys, xs = np.nonzero(neck)
    if len(xs) < unit * unit * 0.15:
        return False
    points = np.stack([xs, ys], axis=1) - (xs.mean(), ys.mean())
    along, below = points @ across, points @ down
    left, right = np.percentile(along, (2, 98))
    height = np.percentile(below, rng.uniform(15, 85))
    sag = unit * np.exp(rng.uniform(np.log(0.12), np.log(1.3)))
    t = np.linspace(-1, 1, 60)
    grow = rng.uniform(1.0, 1.35)
    x = (left + right) / 2 + (right - left) / 2 * grow * t
    y = height + sag * (1 - np.abs(t) ** rng.uniform(1.4, 2.6))
    curve = (xs.mean(), ys.mean()) + x[:, None] * across + y[:, None] * down
    colours, kind = _colours(rng), int(rng.integers(4))
    turn = float(np.degrees(np.arctan2(across[1], across[0])))
    if kind == 3:  # beads
        size = unit * rng.uniform(0.02, 0.09)
        steps = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(curve, axis=0).T))])
        for i, at in enumerate(np.arange(0, steps[-1], size * rng.uniform(1.8, 2.6))):
            centre = np.array([np.interp(at, steps, curve[:, k]) for k in (0, 1)])
            layer.dot(centre, np.repeat(size, 2), 0, colours[i % 2 * int(kind == 3)], 0)
        return True
    line = unit * rng.uniform(0.008, 0.03) if kind else unit * rng.uniform(0.03, 0.16)
    layer.path(curve, colours[0], max(1.5, line))
    if kind == 2:  # a pendant at the lowest point
        size = unit * rng.uniform(0.05, 0.2)
        radii = np.array([size * rng.uniform(0.4, 1.0), size])
        layer.dot(curve[30] + down * size, radii, turn, colours[1], 0)
    return True


def _colours(rng: np.random.Generator) -> Array:
    """(2, 3) colours of metal, pearl or, more rarely, anything."""
    picks = [
        np.array(_METALS[int(rng.integers(len(_METALS)))], float)
        if rng.random() < 0.7
        else rng.uniform(0, 255, 3)
        for _ in range(2)
    ]
    return np.asarray(np.clip(np.array(picks) * np.exp(rng.normal(0, 0.2)), 0, 255))


def _lobe(ear: NDArray[np.bool_], down: Array) -> Array | None:
    """Where an ear ends below; None for an ear that is hardly seen."""
    ys, xs = np.nonzero(ear)
    if len(xs) < 40:
        return None
    points = np.stack([xs, ys], axis=1).astype(float)
    depth = points @ down
    return np.asarray(points[depth >= np.percentile(depth, 92)].mean(axis=0))


def _hidden_lobe(
    side: str, middle: Array, across: Array, below: Array, rng: np.random.Generator
) -> Array:
    """About where the lobe of an ear hangs that hair covers, told from the eyes."""
    sign = 1 if side == "left" else -1
    return middle + across * sign * rng.uniform(0.9, 1.15) + below * rng.uniform(0.6, 0.95)


def _is(labels: NDArray[np.uint8], at: Array, label_set: LabelSet, part: str) -> bool:
    """Whether a point of the picture is of a part."""
    x, y = np.round(at).astype(int)
    inside = 0 <= y < labels.shape[0] and 0 <= x < labels.shape[1]
    return bool(inside and part in label_set.parts and labels[y, x] == label_set.id(part))


def _middle(mask: NDArray[np.bool_]) -> Array | None:
    ys, xs = np.nonzero(mask)
    return np.array([xs.mean(), ys.mean()]) if len(xs) >= 8 else None


def _fixed(values: Array) -> tuple[int, int]:
    x, y = np.round(np.asarray(values) * (1 << _SHIFT)).astype(int)
    return int(x), int(y)
