"""How probable the wanted parts are, as colours from blue to red over the picture.

A face keeps the probability of the winning part of each pixel, so that is shown where a wanted part
won. Elsewhere only a parser with two classes, such as face and background, tells the rest: 1 minus
what the background got. With more classes the rest is shared by parts that nobody wrote down; it
is not shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts._values import require_range
from faceparts.effects._check import copy_picture
from faceparts.effects._parts import require_mask, require_words
from faceparts.types import Face, Image


@dataclass(frozen=True)
class Heatmap:
    """Colour the picture by how probable the wanted parts are: blue unlikely, red sure."""

    what: str = field(
        default="face",
        metadata={"help": "what is looked for: face, head, eyes or comma-separated parts"},
    )
    opacity: float = field(
        default=0.6, metadata={"help": "how much the colours cover the picture, 0 to 1"}
    )
    least: float = field(
        default=0.1, metadata={"help": "probability from which a pixel is coloured, 0 to 1"}
    )

    def __post_init__(self) -> None:
        require_words("what", self.what)
        require_range("opacity", self.opacity, 0, 1)
        require_range("least", self.least, 0, 1)

    def __call__(self, image: Image, faces: Sequence[Face]) -> Image:
        """Colour a copy of the picture; where faces overlap, the higher probability counts.

        Raises:
            UnknownName: a face's label set has nothing of a word.
            ValueError: the picture is not (H, W, 3) uint8 or a face comes from another size.
        """
        out, faces = copy_picture(image, faces)
        highest: NDArray[np.float32] = np.full(out.shape[:2], -1, np.float32) if faces else _NONE
        for face in faces:
            x0, y0, x1, y1 = face.window_xyxy
            own = highest[y0:y1, x0:x1]
            np.maximum(own, part_probability(face, self.what), out=own)
        for face in faces:
            x0, y0, x1, y1 = face.window_xyxy
            heat = highest[y0:y1, x0:x1]
            if heat.size:
                mixed = cv2.addWeighted(
                    image[y0:y1, x0:x1], 1 - self.opacity, colors(heat), self.opacity, 0
                )
                shown = (heat >= self.least)[..., None]
                np.copyto(out[y0:y1, x0:x1], np.asarray(mixed, np.uint8), where=shown)
        return out


_NONE = np.zeros((0, 0), np.float32)


def part_probability(face: Face, what: str) -> NDArray[np.float32]:
    """(h, w) 0..1 inside the face's window; see the module for what it says.

    Raises:
        UnknownName: the face's label set has nothing of a word.
    """
    wanted = require_mask(face, what)
    two_classes = len(face.label_set.parts) == 2
    rest = np.float32(1) - face.confidence if two_classes else np.float32(0)
    return np.where(wanted, face.confidence, rest)


def colors(heat: NDArray[np.float32]) -> Image:
    """(h, w) 0..1 -> (h, w, 3) RGB of the map "turbo" (Mikhailov, 2019)."""
    levels = np.rint(np.clip(heat, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(levels, cv2.COLORMAP_TURBO)[..., ::-1])


EFFECT = Heatmap
