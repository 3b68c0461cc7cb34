"""Photos in one-coloured light, of night vision, in false colours: nets see them without colours.

Both nets learnt from photos in common light, and lose what another light changes. Brightness alone
serves them nearly as well in any light (docs/training.md, "Photos in one colour"). Pictures that
come out are never changed by this; only what the nets look at is.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.crops import GREY
from faceparts.types import Image

TINTED = 0.6
"""Median saturation from which a picture counts as tinted. SCUT-HEAD's photos have 0.57 at most,
5 of 100 of CelebAMask-HQ val's close-ups more than 0.58 and one 0.77; in light of which two colours
are dimmed to 0.4 they have 0.55 to 0.9, dimmed to 0.1 0.8 to 0.98."""

_DARK = 16
"""Pixels without a channel of this value say nothing about the light."""

_LEAST_RANGE = 24
_SAMPLES = 96
_TAILS = (0.5, 99.5)


def without_tint(image: Image, *, padded: bool = False) -> Image:
    """The picture itself, or a grey copy of full contrast where its colours are those of a light.

    Args:
        image: (H, W, 3) uint8 RGB.
        padded: what is exactly (127, 127, 127) is padding: it does not count, and stays.

    Returns:
        (H, W, 3) uint8 RGB; the same array where the picture is not tinted.
    """
    steps = [max(1, length // _SAMPLES) for length in image.shape[:2]]
    some = image[:: steps[0], :: steps[1]].reshape(-1, 3)
    if padded:
        some = some[~_padding(some)]
    if saturation(some) < TINTED:
        return image
    brightness = cv2.cvtColor(some[None], cv2.COLOR_RGB2GRAY)
    low, high = np.percentile(brightness, _TAILS)
    scale = 255 / max(high - low, _LEAST_RANGE)
    table = np.clip(np.rint((np.arange(256) - low) * scale), 0, 255).astype(np.uint8)
    grey = cv2.LUT(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), table)
    if padded:
        grey[_padding(image)] = GREY
    return np.asarray(cv2.merge([grey, grey, grey]), np.uint8)


def saturation(pixels: NDArray[np.uint8]) -> float:
    """Median of (max - min) / max over the channels of (N, 3) pixels that are not dark; 0 to 1.

    This is the S of HSV. Without such pixels it is 0.
    """
    most, least = pixels.max(axis=1, initial=0), pixels.min(axis=1, initial=255)
    bright = most >= _DARK
    if not bright.any():
        return 0.0
    return float(np.median((most[bright] - least[bright]) / most[bright].astype(np.float64)))


def _padding(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray((image == GREY).all(axis=-1))
