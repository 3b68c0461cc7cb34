"""A detector that takes more looks for large heads: at borders, through bars, at negatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from faceparts.detect._suppress import MAX_IOU, overlap
from faceparts.detect.headnet import SURE
from faceparts.types import Head, HeadDetector, Image

SAME_IOU = 0.8
"""From this overlap on, a cut head is one that was found already. Less than that is kept beside the
other box: of two boxes of a close-up the one too small must not win."""


PART_OF_IT = 0.3
"""A sure head of at least this share of a further one's size, with its middle in it, is that head;
so are two of any size. What surrounds sure heads, a body or a whole group, is not one more."""


class LooksTwice(Protocol):
    """A detector with looks of its own for heads that are cut or covered."""

    def detect_cut(self, image: Image) -> list[Head]:
        """Heads in an (H, W, 3) uint8 RGB picture that its borders cut; in its own pixels."""
        ...

    def detect_changed(self, image: Image) -> list[Head]:
        """Heads in such a picture behind something thin, or in a negative."""
        ...


class CutToo:
    """What a detector finds, heads that borders cut, and heads that a changed copy shows.

    The last are looked for only where no head is sure.

    Args:
        detector: looks at the picture.
        more: looks for heads that are cut, covered, or in a negative.
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
        sure = [head for head in heads if head.score >= SURE]
        cut = [head for head in self._more.detect_cut(image) if not _surrounds(head, sure)]
        heads = _joined(heads, cut, SAME_IOU)
        if not any(head.score >= SURE for head in heads):
            heads = _joined(heads, self._more.detect_changed(image), MAX_IOU)
        return sorted(heads, key=lambda head: -head.score)


def _size_px(head: Head) -> float:
    return float(np.sqrt(np.prod(head.size_wh)))


def _surrounds(head: Head, sure: Sequence[Head]) -> bool:
    """Whether a find is only what surrounds sure heads; see `PART_OF_IT`."""
    left, top, right, bottom = head.box_xyxy
    inside = [
        one
        for one in sure
        if left < (one.box_xyxy[0] + one.box_xyxy[2]) / 2 < right
        and top < (one.box_xyxy[1] + one.box_xyxy[3]) / 2 < bottom
    ]
    largest_px = max(map(_size_px, inside), default=0.0)
    return len(inside) > 1 or (bool(inside) and largest_px >= PART_OF_IT * _size_px(head))


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
