"""Pictures and what of them is transparent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faceparts.types import Image


def veil(image: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Keep what was transparent transparent in a picture that got an alpha of its own.

    Args:
        image: (H, W, 4) RGBA.
        alpha: (H, W) of the picture that it was made from.

    Returns:
        (H, W, 4) with the lesser alpha; black where that is 0, since nobody sees what is there.
    """
    veiled = image.copy()
    np.minimum(veiled[..., 3], alpha, out=veiled[..., 3])
    veiled[veiled[..., 3] == 0] = 0
    return veiled


def flatten(image: Image, alpha: NDArray[np.uint8], level: int) -> Image:
    """Lay an (H, W, 3) picture with its (H, W) alpha on a grey of level 0..255.

    Example:
        >>> flatten(np.zeros((1, 3, 3), np.uint8), np.array([[255, 51, 0]], np.uint8), 255)[..., 0]
        array([[  0, 204, 255]], dtype=uint8)
    """
    out = np.empty(image.shape, np.uint8)
    for rows, some, covers in zip(out, image, alpha[..., None], strict=True):
        mixed = some * np.uint32(1) * covers + np.uint32(level) * (255 - covers)
        rows[:] = (mixed + 127) // 255
    return out
