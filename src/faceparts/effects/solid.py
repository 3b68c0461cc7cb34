"""Fill the hidden region with one colour.

Nothing of the original pixels is left, so it cannot be undone or matched against other photos;
only the outline of the region remains. Edges are hard: a soft edge would let face pixels through.
There is no mean colour to choose on purpose: it would tell the tone of the skin.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from faceparts.effects._check import parse_color
from faceparts.effects._region import Hiding
from faceparts.types import Image


@dataclass(frozen=True)
class Solid(Hiding):
    """Hide faces under one colour; cannot be undone."""

    color: str = field(default="black", metadata={"help": "colour name or #rrggbb"})

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_color("color", self.color)

    def _fill(self, cut: Image, mask: NDArray[np.bool_], size_px: float) -> None:
        for channel, level in enumerate(parse_color("color", self.color)):
            cut[..., channel][mask] = level  # eight times as fast as all channels at once


EFFECT = Solid
