"""Faces that something covers in part, or whose colours are gone: still to be recognised.

None of this is drawn by the code that training draws with (`faceparts.train.clutter`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from _scenes import Scene, celebamask_scenes, faces_of, mask_of
from faceparts.types import Image

Mask = NDArray[np.bool_]
Draw = Callable[[tuple[int, int]], Mask]


def barred_scenes(data: Path, seed: int) -> Iterator[Scene]:
    """Behind upright bars, lying bars, a fence of wires and a grating; 512 px, one face each.

    What is covered by a bar need not be hidden.
    """
    kinds: dict[str, tuple[Draw, int]] = {
        "bars": (lambda hw: _stripes(hw, 48, 16, (1, 0)), 40),
        "blinds": (lambda hw: _stripes(hw, 36, 10, (0, 1)), 215),
        "fence": (lambda hw: _stripes(hw, 42, 5, (1, 1)) | _stripes(hw, 42, 5, (1, -1)), 150),
        "grating": (lambda hw: _stripes(hw, 24, 6, (1, 0)) | _stripes(hw, 24, 6, (0, 1)), 70),
    }
    for scene in celebamask_scenes(data, seed):
        for name, (draw, grey) in kinds.items():
            covered = draw(scene.image.shape[:2])
            image = scene.image.copy()
            image[covered] = grey
            faces = faces_of(mask_of(scene) & ~covered)
            yield Scene(f"{scene.key} {name}", image, faces, complete=True)


def written_scenes(data: Path, seed: int) -> Iterator[Scene]:
    """Under a half-transparent watermark, and under large white writing."""
    for scene in celebamask_scenes(data, seed):
        for name, (size, slant, strength) in {
            "watermark": (1.0, 30, 0.5),
            "writing": (1.4, 0, 1.0),
        }.items():
            covered = _words(scene.image.shape[:2], size, slant) * strength
            image = np.rint(scene.image * (1 - covered) + 255 * covered).astype(np.uint8)
            faces = faces_of(mask_of(scene) & (covered[..., 0] < 1))
            yield Scene(f"{scene.key} {name}", image, faces, complete=True)


def false_colours(image: Image) -> Image:
    """Brightness as the colours of a rainbow, as thermal cameras show warmth."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.applyColorMap(grey, cv2.COLORMAP_JET)[..., ::-1], np.uint8)


LIGHTS: dict[str, Callable[[Image], Image]] = {
    "green": lambda image: (image * (0.1, 1.0, 0.1)).astype(np.uint8),
    "red": lambda image: (image * (1.0, 0.1, 0.1)).astype(np.uint8),
    "blue": lambda image: (image * (0.1, 0.1, 1.0)).astype(np.uint8),
    "false colours": false_colours,
    "negative": lambda image: 255 - image,
}
"""What takes the colours of a picture."""


def tinted_scenes(data: Path, seed: int) -> Iterator[Scene]:
    """In green, red and blue light, in false colours, and as a negative."""
    for scene in celebamask_scenes(data, seed):
        for name, change in LIGHTS.items():
            image = np.ascontiguousarray(change(scene.image))
            yield Scene(f"{scene.key} {name}", image, scene.faces, complete=True)


def _stripes(hw: tuple[int, int], step: int, width: int, across: tuple[int, int]) -> Mask:
    """Every ``step`` pixels a stripe; ``across`` is the direction from one to the next."""
    ys, xs = np.mgrid[: hw[0], : hw[1]]
    along = (xs * across[0] + ys * across[1]) / np.hypot(*across)
    return np.asarray(along % step < width)


def _words(hw: tuple[int, int], size: float, slant_deg: float) -> NDArray[np.float64]:
    """(H, W, 1) 0..1: the same words line by line, each a little further."""
    side = int(np.hypot(*hw))
    sheet = np.zeros((side, side), np.uint8)
    step = int(42 * size)
    for i, y in enumerate(range(step // 2, side + step, step)):
        at = (-(i * 53) % 200 - 200, y)
        words = "SAMPLE PICTURE " * 8
        cv2.putText(sheet, words, at, cv2.FONT_HERSHEY_SIMPLEX, size, 255, 4, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), slant_deg, 1.0)
    turned = cv2.warpAffine(sheet, turn, (side, side))
    y, x = (side - hw[0]) // 2, (side - hw[1]) // 2
    return turned[y : y + hw[0], x : x + hw[1], None] / 255.0
