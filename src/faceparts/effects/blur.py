"""Blur the hidden region with a Gaussian.

The strength is a share of the head size, so a face is as unsharp at 12 megapixels as at 480p. Only
pixels of the region are averaged: nothing leaks in from outside, and no sharp face pixel leaks
out. A Gaussian blur can be matched and partly undone (one published attack re-identifies 95.9 % of
blurred faces): use ``solid`` where people must not be recognised.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts._values import require_range
from faceparts.effects._region import Hiding
from faceparts.types import Image

_MIN_SIGMA_PX = 1.0
_SMALL_SIGMA_PX = 6.0


@dataclass(frozen=True)
class Blur(Hiding):
    """Hide faces by a strong blur; can be matched and partly undone."""

    strength: float = field(
        default=0.15,
        metadata={"help": "standard deviation of the blur as a share of the head size, 0.02 to 1"},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range("strength", self.strength, 0.02, 1)

    def _fill(self, cut: Image, mask: NDArray[np.bool_], size_px: float) -> None:
        h, w = mask.shape
        sigma_px = max(self.strength * size_px, _MIN_SIGMA_PX)
        # Blurring sums over f x f pixels instead of pixels costs the same for every head size.
        f = min(max(int(sigma_px / _SMALL_SIGMA_PX), 1), max(h, w))
        sigma = min(sigma_px / f, 2 * _SMALL_SIGMA_PX)  # more only where all is one block
        weight = _enlarge(_blur_sums(mask.view(np.uint8), f, sigma), f)[:h, :w]
        for c in range(3):
            sums = _blur_sums(np.where(mask, cut[..., c], np.uint8(0)), f, sigma)
            level = _enlarge(sums, f)[:h, :w] / np.maximum(weight, np.finfo(np.float32).tiny)
            np.copyto(cut[..., c], np.rint(level.clip(0, 255)).astype(np.uint8), where=mask)


def _blur_sums(values: NDArray[np.uint8], f: int, sigma: float) -> NDArray[np.float32]:
    """Sum f x f blocks and blur the sums; everything outside the array is zero."""
    h, w = values.shape
    tall = np.add.reduceat(values, np.arange(0, h, f), axis=0, dtype=np.uint32)
    sums = np.add.reduceat(tall, np.arange(0, w, f), axis=1, dtype=np.float32)
    return np.asarray(cv2.GaussianBlur(sums, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT))


def _enlarge(blocks: NDArray[np.float32], f: int) -> NDArray[np.float32]:
    """f x as large, linearly interpolated between the centres of the blocks."""
    h, w = blocks.shape
    return np.asarray(cv2.resize(blocks, (w * f, h * f), interpolation=cv2.INTER_LINEAR))


EFFECT = Blur
