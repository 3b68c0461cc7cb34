"""Cut parts out: RGBA, transparent everywhere else.

Fully transparent pixels are black as well, so the rest of the picture is not in the file. A
picture without faces comes back as an equal RGB copy: there is nothing to cut out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from faceparts._values import require_range
from faceparts.effects._check import copy_picture
from faceparts.effects._edge import soft_alpha
from faceparts.effects._parts import require_words
from faceparts.types import Face, Image


@dataclass(frozen=True)
class Cutout:
    """Make everything but the wanted parts transparent (RGBA)."""

    what: str = field(
        default="head",
        metadata={"help": "what to cut out: face, head, eyes or comma-separated parts"},
    )
    feather: float = field(
        default=0.01,
        metadata={"help": "width of the soft edge as a share of the head size, 0 to 0.2"},
    )

    def __post_init__(self) -> None:
        require_words("what", self.what)
        require_range("feather", self.feather, 0, 0.2)

    def __call__(self, image: Image, faces: Sequence[Face]) -> Image:
        """(H, W, 4) RGBA with the parts of all faces; an equal copy if there is no face.

        Raises:
            UnknownName: a face's label set has nothing of a word.
            ValueError: the picture is not (H, W, 3) uint8 or a face comes from another size.
        """
        out, faces = copy_picture(image, faces)
        if not faces:
            return out
        alpha = np.zeros(out.shape[:2], np.uint8)
        for face in faces:
            (x0, y0, x1, y1), soft = soft_alpha(face, self.what, self.feather)
            levels = np.rint(soft * 255).astype(np.uint8)
            np.maximum(alpha[y0:y1, x0:x1], levels, out=alpha[y0:y1, x0:x1])
        out *= (alpha > 0)[..., None]
        return np.dstack((out, alpha))


EFFECT = Cutout
