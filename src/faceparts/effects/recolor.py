"""Give parts another colour and keep their texture: hair dye, lipstick, make-up.

Works in CIE L*a*b*: the two colour axes move towards the wanted colour, the lightness is only
shifted as a whole, so strands, highlights and shadows stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts._values import require_range
from faceparts.effects._check import copy_picture, parse_color
from faceparts.effects._edge import soft_alpha
from faceparts.effects._parts import require_words
from faceparts.types import Face, Image

_STRIP_PX = 1 << 20


@dataclass(frozen=True)
class Recolor:
    """Change the colour of parts and keep their texture."""

    part: str = field(
        default="hair", metadata={"help": "part to colour, or several with commas: hair, lips ..."}
    )
    color: str = field(default="#8b2635", metadata={"help": "colour name or #rrggbb"})
    amount: float = field(
        default=0.8,
        metadata={"help": "share of the way to the colour's hue and saturation, 0 to 1"},
    )
    lightness: float = field(
        default=0.2, metadata={"help": "share of the way to the colour's lightness, 0 to 1"}
    )
    feather: float = field(
        default=0.01,
        metadata={"help": "width of the soft edge as a share of the head size, 0 to 0.2"},
    )

    def __post_init__(self) -> None:
        require_words("part", self.part)
        parse_color("color", self.color)
        require_range("amount", self.amount, 0, 1)
        require_range("lightness", self.lightness, 0, 1)
        require_range("feather", self.feather, 0, 0.2)

    def __call__(self, image: Image, faces: Sequence[Face]) -> Image:
        """Colour the parts of every face in a copy of the picture.

        Raises:
            UnknownName: a face's label set has nothing of a word.
            ValueError: the picture is not (H, W, 3) uint8 or a face comes from another size.
        """
        out, faces = copy_picture(image, faces)
        for face in faces:
            (x0, y0, x1, y1), alpha = soft_alpha(face, self.part, self.feather)
            cut = out[y0:y1, x0:x1]
            mean_lightness = _mean_lightness(cut, alpha)
            for rows in _strips(alpha):
                touched = alpha[rows] > 0
                if touched.any():
                    strip = cut[rows]
                    strip[touched] = self._colored(
                        strip[touched], alpha[rows][touched], mean_lightness
                    )
        return out

    def _colored(self, pixels: Image, alpha: NDArray[np.float32], mean_lightness: float) -> Image:
        """(N, 3) RGB pixels with the wanted colour, each by its (N,) alpha."""
        lab = _to_lab(pixels)
        target = _to_lab(np.array([parse_color("color", self.color)], np.uint8))[0]
        moved = lab.copy()
        moved[:, 0] += self.lightness * (target[0] - mean_lightness)
        moved[:, 1:] += self.amount * (target[1:] - lab[:, 1:])
        moved[:, 0] = moved[:, 0].clip(0, 100)
        rgb = cv2.cvtColor(moved[None], cv2.COLOR_LAB2RGB)[0] * 255
        blended = pixels + alpha[:, None] * (rgb - pixels)
        return np.asarray(np.rint(blended.clip(0, 255)), np.uint8)


def _strips(alpha: NDArray[np.float32]) -> Iterator[slice]:
    """Rows in strips of about a million pixels, so that memory stays small on large pictures."""
    height, width = alpha.shape
    step = max(_STRIP_PX // max(width, 1), 1)
    for top in range(0, height, step):
        yield slice(top, top + step)


def _mean_lightness(cut: Image, alpha: NDArray[np.float32]) -> float:
    """Mean L* of (h, w, 3) pixels weighted by their (h, w) alpha; 0 where all alpha is 0."""
    total, weight = 0.0, 0.0
    for rows in _strips(alpha):
        touched = alpha[rows] > 0
        if touched.any():
            weights = alpha[rows][touched].astype(np.float64)
            total += float(weights @ _to_lab(cut[rows][touched])[:, 0])
            weight += float(weights.sum())
    return total / weight if weight else 0.0


def _to_lab(pixels: Image) -> NDArray[np.float32]:
    """(N, 3) RGB -> (N, 3) float32 L* 0..100, a*, b* (D65)."""
    scaled = pixels[None].astype(np.float32) / np.float32(255)
    return np.asarray(cv2.cvtColor(scaled, cv2.COLOR_RGB2LAB)[0], np.float32)


EFFECT = Recolor
