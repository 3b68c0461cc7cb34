"""What spoils a photo before anyone looks at it: noise, specks, hard compression, glare.

Stronger than what `augment.photometric` does, and rarer: heads in such photos are still heads.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.types import Image

NOISE = (10.0, 55.0)
"""Standard deviation of the noise, in grey values."""

SPECKS = (0.005, 0.12)
"""Share of the pixels that become black or white."""

JPEG_QUALITY = (3, 16)
SHADES = (2, 6)
"""Shades that are left of a channel, the last not included."""

GLARE = (1.5, 3.5)
"""By how much a picture is too bright before it is cut at white."""


def wear(image: Image, rng: np.random.Generator) -> Image:
    """One of `noise`, `compressed`, `glare`, `specks` and `posterized`, likeliest first.

    Args:
        image: (H, W, 3) RGB; a new one comes back.
        rng: the only source of chance.
    """
    kinds = (noise, compressed, glare, specks, posterized)
    return kinds[int(rng.choice(len(kinds), p=(0.45, 0.2, 0.15, 0.1, 0.1)))](image, rng)


def noise(image: Image, rng: np.random.Generator) -> Image:
    """Normal noise, in colours or grey, fine or of a grain of two to four pixels."""
    sigma = np.exp(rng.uniform(*np.log(NOISE)))
    height, width = image.shape[:2]
    grain = 1 if rng.random() < 0.7 else int(rng.integers(2, 5))
    channels = 3 if rng.random() < 0.6 else 1
    shape = (-(-height // grain), -(-width // grain), channels)
    coarse = rng.normal(0, sigma, shape).astype(np.float32)
    size = (shape[1] * grain, shape[0] * grain)
    fine = cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR).reshape(*size[::-1], -1)
    return _cut(image + fine[:height, :width])


def compressed(image: Image, rng: np.random.Generator) -> Image:
    """JPEG of a very low quality."""
    quality = int(rng.integers(*JPEG_QUALITY))
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def glare(image: Image, rng: np.random.Generator) -> Image:
    """Overexposed: much of the picture is white."""
    return _cut(image * np.float32(rng.uniform(*GLARE)))


def specks(image: Image, rng: np.random.Generator) -> Image:
    """Black and white pixels."""
    share = np.exp(rng.uniform(*np.log(SPECKS)))
    chance = rng.random(image.shape[:2])
    out = image.copy()
    out[chance < share] = 255
    out[chance < share / 2] = 0
    return out


def posterized(image: Image, rng: np.random.Generator) -> Image:
    """Two to five shades of each channel."""
    steps = int(rng.integers(*SHADES)) - 1
    shades = np.rint(np.rint(np.arange(256) / 255 * steps) / steps * 255)
    return np.asarray(cv2.LUT(image, shades.astype(np.uint8)), np.uint8)


def _cut(values: NDArray[np.float32]) -> Image:
    return np.asarray(np.rint(np.clip(values, 0, 255)), np.uint8)
