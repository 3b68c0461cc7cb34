"""Photos in poor or coloured light are evened out before a net looks at them.

Both nets learnt from photos in common light. In the dark, in fog and in light of one colour they
lose heads and parts that are still there to be seen (docs/training.md, "Poor light"). So what a
net gets is a copy: without colours where these are those of a light, and with the whole range of
values. Pictures that come out of the package are never changed by this.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.crops import GREY
from faceparts.types import Image

TINTED = 0.65
"""Median saturation, once values are spread, from which colours are those of a light."""

FLAT = 1.3
"""Pictures whose values can be spread by this factor are."""

DIM = 0.75
"""Pictures that need this exponent, or a smaller one, for their median to be `MEDIAN` get it."""

MEDIAN = 0.35
"""Wanted brightness (HSV's V) of the median pixel, 0..1; brighter pictures are left as they are."""

_LEAST_EXPONENT = 0.4
_LEAST_RANGE = 24
_TAIL = 0.005
"""Shares of the values that become black and white."""

_DARK = 16
"""Pixels without a channel of this value say nothing about the colour of the light."""

_SAMPLES = 48


def evened(image: Image, *, lighten: bool = True, padded: bool = False) -> Image:
    """The picture itself, or a copy in even light.

    Args:
        image: (H, W, 3) uint8 RGB.
        lighten: raise the median of dark pictures, besides spreading their values.
        padded: what is exactly (127, 127, 127) is padding: it does not count, and stays.

    Returns:
        (H, W, 3) uint8 RGB; the same array where nothing is to be done.
    """
    steps = [max(1, length // _SAMPLES) for length in image.shape[:2]]
    some = image[:: steps[0], :: steps[1]].reshape(-1, 3)
    if padded:
        some = some[~_padding(some)]
        if not len(some):
            return image
    source = image
    tinted = saturation(_table(*levels(some))[some]) >= TINTED
    if tinted:
        source, some = _without_colours(image), _without_colours(some[None])[0]
    low, high, exponent = levels(some)
    exponent = exponent if lighten else 1.0
    if not tinted and 255 / (high - low) < FLAT and exponent > DIM:
        return image
    table = _table(low, high, exponent)
    out = np.asarray(cv2.LUT(source, table), np.uint8)
    if padded:
        out[_padding(image)] = GREY
    return out


def evened_crops(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, S, S, 3) crops of heads, padded with grey 127, as a parser sees them: not lightened."""
    some = [evened(crop, lighten=False, padded=True) for crop in crops]
    return np.stack(some) if some else crops


def saturation(pixels: NDArray[np.uint8]) -> float:
    """Median of (max - min) / max over the channels of (N, 3) pixels that are not dark; 0 to 1.

    This is the S of HSV. Without such pixels it is 0.
    """
    most, least = pixels.max(axis=1, initial=0), pixels.min(axis=1, initial=255)
    bright = most >= _DARK
    if not bright.any():
        return 0.0
    return float(np.median((most[bright] - least[bright]) / most[bright].astype(np.float64)))


def levels(pixels: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Which values become black and white, and the exponent between, for (N, 3) pixels, N > 0.

    The exponent lies between 0.4 and 1: dark pictures are lightened, light ones left.
    """
    low, high = (_quantile(pixels, share) for share in (_TAIL, 1 - _TAIL))
    lacking = max(0.0, _LEAST_RANGE - (high - low)) / 2
    low, high = low - lacking, high + lacking
    median = (_quantile(pixels.max(axis=1), 0.5) - low) / (high - low)
    exponent = np.log(MEDIAN) / np.log(np.clip(median, 0.01, 0.99))
    return low, high, float(np.clip(exponent, _LEAST_EXPONENT, 1.0))


def _quantile(values: NDArray[np.uint8], share: float) -> float:
    """The smallest value that at least such a share of them does not exceed; by counting."""
    counts = np.cumsum(np.bincount(values.ravel(), minlength=256))
    return float(np.searchsorted(counts, share * counts[-1]))


def _table(low: float, high: float, exponent: float) -> NDArray[np.uint8]:
    """What becomes of the 256 values, see `levels`."""
    shares = np.clip((np.arange(256) - low) / (high - low), 0, 1)
    return np.asarray(np.rint(255 * shares**exponent), np.uint8)


def _without_colours(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.merge([grey, grey, grey]), np.uint8)


def _padding(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray((image == GREY).all(axis=-1))
