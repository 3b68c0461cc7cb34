"""What a forest sees of a pixel: colour, place, edges, texture, all with numpy and OpenCV.

A *spec* is a list of texts such as ``["lab", "xy", "hog:5,10", "blur:2,4"]``: a family, and for
most families a list of scales in pixels of the working picture. Every family is computed for whole
pictures; `compute_blocks` does it in strips with the same result, so that memory is bounded.

| family | columns for each scale | scale |
| --- | --- | --- |
| ``gray`` | 0..1 | none |
| ``rgb`` | red, green, blue 0..255 | none |
| ``hsv`` | hue 0..360, saturation and value 0..1 | none |
| ``lab`` | CIE L 0..100, a, b | none |
| ``xy`` | column / width, row / height | none |
| ``head`` | place in head sizes from the head's middle: x, y, abs x, distance | none |
| ``blur`` | L, a, b smoothed | sigma |
| ``ring`` | L, a, b smoothed, 8 places around minus the place itself | distance |
| ``grad`` | length of the gradient of L, Laplacian | sigma, 0 = as it is |
| ``tensor`` | structure tensor: two eigenvalues, cos and sin of twice the angle | sigma |
| ``std`` | local deviation of L | side of the window |
| ``hog`` | 8 orientations, window around every pixel | side of the window |
| ``hogcell`` | 8 orientations, one histogram for all pixels of a cell | side of the cell |
| ``gabor`` | strength of 4 orientations | wave length |
| ``lbp`` | rotation-invariant uniform pattern 0..9, local contrast | radius |
| ``hist`` | local histogram: 6 hues, 3 saturations, 4 values | side of the window |
| ``probs`` | probability of each part by the stage before, smoothed | sigma, 0 = as it is |
| ``probring`` | the same at 8 places around | distance |
| ``centers`` | x and y from the middle of each part found by the stage before | none |

``hog`` and ``hogcell`` follow Dalal and Triggs, CVPR 2005, as `skimage.feature.hog` does with one
cell a block: colour channel of the largest gradient, hard bins over 180 degrees, L2-Hys.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from faceparts.crops import check_image
from faceparts.segment._planes import FAMILIES, Array, View, find_centers
from faceparts.types import Image

MAX_SCALE_PX = 512
MAX_COLUMNS = 4096
MAX_BLOCK_VALUES = 2**23
"""Values (pixels x columns) that one block of `compute_blocks` holds at most, unless one row is
more than that."""

_ZERO_SCALE = ("grad", "probs")


@dataclass(frozen=True)
class Term:
    """One family with its scales, as a spec names it."""

    family: str
    scales: tuple[int, ...]

    @property
    def reach(self) -> int:
        """How many pixels away a feature looks."""
        reach = FAMILIES[self.family].reach
        return 0 if reach is None else max(reach(scale) for scale in self.scales)


def parse_spec(spec: Sequence[str], parts: Sequence[str] = ()) -> tuple[Term, ...]:
    """Read and check a spec.

    Args:
        spec: families with scales, such as ``"hog:5,10"``.
        parts: parts of the stage before; empty in a first stage.

    Raises:
        ValueError: an unknown family, a family twice, a scale that is missing, out of range or not
            wanted, a family that needs a stage before, or too many columns; the message says which.

    Example:
        >>> parse_spec(["lab", "hog:5,10"])
        (Term(family='lab', scales=(0,)), Term(family='hog', scales=(5, 10)))
    """
    terms = tuple(_parse_term(text) for text in spec)
    names = [term.family for term in terms]
    for term in terms:
        if names.count(term.family) > 1:
            raise ValueError(f"features: {term.family!r} occurs twice; list all its scales at once")
        if FAMILIES[term.family].context and not parts:
            raise ValueError(f"features: {term.family!r} needs a stage before this one")
    if not terms:
        raise ValueError("features: none; wanted a list such as ['lab', 'xy', 'hog:5']")
    count = len(column_names(terms, parts))
    if count > MAX_COLUMNS:
        raise ValueError(f"features: {count} columns; wanted at most {MAX_COLUMNS}")
    return terms


def _parse_term(text: str) -> Term:
    name, colon, numbers = str(text).partition(":")
    if name not in FAMILIES:
        raise ValueError(f"features: no family {name!r}; there are: {', '.join(FAMILIES)}")
    if FAMILIES[name].reach is None:
        if colon:
            raise ValueError(f"features: {text!r}: {name!r} takes no scale")
        return Term(name, (0,))
    least = 0 if name in _ZERO_SCALE else 1
    scales = numbers.split(",")
    if not all(n.isascii() and n.isdecimal() and least <= int(n) <= MAX_SCALE_PX for n in scales):
        raise ValueError(
            f"features: {text!r}: wanted scales {least}..{MAX_SCALE_PX}, such as '{name}:4,8'"
        )
    return Term(name, tuple(map(int, scales)))


def column_names(terms: Sequence[Term], parts: Sequence[str] = ()) -> list[str]:
    """One name a column: family and scale, then what the family adds, such as ``hog5_0``."""
    names = []
    for term in terms:
        family = FAMILIES[term.family]
        columns = family.columns(tuple(parts)) if callable(family.columns) else family.columns
        for scale in term.scales:
            prefix = term.family if family.reach is None else f"{term.family}{scale}"
            names += [f"{prefix}_{column}" if column else prefix for column in columns]
    return names


def column_families(terms: Sequence[Term], parts: Sequence[str] = ()) -> list[str]:
    """The family of every column, in the order of `column_names`."""
    return [term.family for term in terms for _ in column_names([term], parts)]


def head_of(size_wh: tuple[int, int], margin: float) -> tuple[float, float, float]:
    """Middle and size of the head in a crop that was cut around it with a margin.

    Example:
        >>> head_of((150, 150), 0.25)
        (75.0, 75.0, 100.0)
    """
    width, height = size_wh
    return width / 2, height / 2, max(width, height) / (1 + 2 * margin)


def compute(
    image: Image,
    terms: Sequence[Term],
    *,
    head: tuple[float, float, float] | None = None,
    probs: Array | None = None,
) -> Array:
    """(H, W, F) float32 features of a whole picture; each (H, W) plane lies in one piece.

    Args:
        image: (H, W, 3) uint8 RGB.
        terms: see `parse_spec`.
        head: x and y of the head's middle and the longer side of its box in pixels (edges);
            ``None`` = the picture's middle and longer side.
        probs: (H, W, K) float32 of the stage before, where the terms need it.

    Raises:
        ValueError: not a picture, probabilities of another size, or none where they are needed.
    """
    check_image(image)
    if probs is not None and probs.shape[:2] != image.shape[:2]:
        raise ValueError(f"features: probs {probs.shape} do not fit the picture {image.shape}")
    return _compute(_view(image, head, probs), terms)


def _view(image: Image, head: tuple[float, float, float] | None, probs: Array | None) -> View:
    height, width = image.shape[:2]
    head = head or head_of((width, height), 0)
    centers = None if probs is None else find_centers(probs)
    return View(image, (height, width), 0, head, probs, centers)


def _compute(view: View, terms: Sequence[Term]) -> Array:
    planes = [
        plane
        for term in terms
        for scale in term.scales
        for plane in FAMILIES[term.family].planes(view, scale)
    ]
    return np.moveaxis(np.stack(planes), 0, 2)


def compute_blocks(
    image: Image,
    terms: Sequence[Term],
    *,
    head: tuple[float, float, float] | None = None,
    probs: Array | None = None,
    rows: int | None = None,
) -> Iterator[tuple[int, Array]]:
    """The features in strips: (first row, (h, W, F) float32), from top to bottom.

    Each strip is computed with as much above and below it as the features look, so the strips
    together equal `compute`.

    Args:
        rows: height of a strip; ``None`` = as many as `MAX_BLOCK_VALUES` allows.

    Raises:
        ValueError: as `compute`; also fewer than one row.
    """
    check_image(image)
    height, width = image.shape[:2]
    if rows is None:
        count = len(column_names(terms, () if probs is None else [""] * probs.shape[2]))
        rows = max(1, MAX_BLOCK_VALUES // (width * count))
    if rows < 1:
        raise ValueError(f"features: strips of {rows} rows; wanted at least 1")
    if rows >= height:
        yield 0, compute(image, terms, head=head, probs=probs)
        return
    reach = max(term.reach for term in terms)
    step = math.lcm(*(s for t in terms if t.family == "hogcell" for s in t.scales), 1)
    whole = _view(image, head, probs)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        above = max(0, top - reach) // step * step
        below = min(height, -(-(bottom + reach) // step) * step)
        part = None if probs is None else probs[above:below]
        strip = View(image[above:below], (height, width), above, whole.head, part, whole.centers)
        yield top, _compute(strip, terms)[top - above : bottom - above]
