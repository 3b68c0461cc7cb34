"""A detector that takes two more looks for large heads: at borders, and through bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from faceparts.detect._suppress import MAX_IOU, overlap
from faceparts.detect.headnet import CLOSE_UP, SURE
from faceparts.types import Head, HeadDetector, Image

SAME_IOU = 0.8
"""From this overlap on, a cut head is one that was found already. Less than that is kept beside the
other box: of two boxes of a close-up the one too small must not win."""


class LooksTwice(Protocol):
    """A detector with looks of its own for heads that are cut or covered."""

    def detect_cut(self, image: Image) -> list[Head]:
        """Heads in an (H, W, 3) uint8 RGB picture that its borders cut; in its own pixels."""
        ...

    def detect_soft(self, image: Image) -> list[Head]:
        """Heads in such a picture behind something thin."""
        ...


class CutToo:
    """What a detector finds, heads that borders cut, and heads that something thin covers.

    The last are looked for only where no close-up is sure.

    Args:
        detector: looks at the picture.
        more: looks for heads that are cut or covered.
    """

    def __init__(self, detector: HeadDetector, more: LooksTwice) -> None:
        self._detector = detector
        self._more = more

    def detect(self, image: Image) -> list[Head]:
        """Heads in an (H, W, 3) uint8 RGB picture, best first.

        Raises:
            ValueError: the picture is something else.
        """
        heads = self._detector.detect(image)
        heads = _joined(heads, self._more.detect_cut(image), SAME_IOU)
        close_up_px = CLOSE_UP * min(image.shape[:2])
        if not any(h.score >= SURE and np.sqrt(np.prod(h.size_wh)) >= close_up_px for h in heads):
            heads = _joined(heads, self._more.detect_soft(image), MAX_IOU)
        return sorted(heads, key=lambda head: -head.score)


def _joined(heads: Sequence[Head], more: Sequence[Head], same_iou: float) -> list[Head]:
    """Heads, and those of further ones that none of them overlaps by so much."""
    boxes = np.array([head.box_xyxy for head in heads], np.float64).reshape(-1, 4)
    return [
        *heads,
        *(
            head
            for head in more
            if not (overlap(np.array([head.box_xyxy]), boxes) >= same_iou).any()
        ),
    ]
