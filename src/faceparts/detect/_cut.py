"""A detector that also looks for heads that the borders of the picture cut."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from faceparts.detect._suppress import overlap
from faceparts.types import Head, HeadDetector, Image

SAME_IOU = 0.8
"""From this overlap on, a cut head is one that was found already. Less than that is kept beside the
other box: of two boxes of a close-up the one too small must not win."""


class SeesCut(Protocol):
    """A detector with a look of its own for heads that a border cuts."""

    def detect_cut(self, image: Image) -> list[Head]:
        """Heads in an (H, W, 3) uint8 RGB picture that its borders cut; in its own pixels."""
        ...


class CutToo:
    """What a detector finds, and the heads that borders cut.

    Args:
        detector: looks at the picture.
        cut: looks for heads that its borders cut.
    """

    def __init__(self, detector: HeadDetector, cut: SeesCut) -> None:
        self._detector = detector
        self._cut = cut

    def detect(self, image: Image) -> list[Head]:
        """Heads in an (H, W, 3) uint8 RGB picture, best first.

        Raises:
            ValueError: the picture is something else.
        """
        heads = self._detector.detect(image)
        boxes = np.array([head.box_xyxy for head in heads], np.float64).reshape(-1, 4)
        more = [
            head
            for head in self._cut.detect_cut(image)
            if not (overlap(np.array([head.box_xyxy]), boxes) >= SAME_IOU).any()
        ]
        return sorted([*heads, *more], key=lambda head: -head.score)
