"""The head detector on a picture turned by quarter turns, for photos that do not stand upright.

Scans and old photos have no EXIF orientation, and people hang upside down: heads that lie or stand
on their heads are rare in the training data, and more than one in three is missed. Meant to be
joined with the look at the picture as it is: ``headnet+turned``. Takes three times as long as
``headnet``, and sees heads in what stands on its head: so a head counts from the net's own
threshold on, for hiding too. `hide` turns by itself where no head is sure (`TurnedIfUnsure`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from faceparts import folder
from faceparts.crops import check_image
from faceparts.detect._fuse import fuse
from faceparts.detect._suppress import suppress
from faceparts.types import Head, HeadDetector, Image
from faceparts.weights import find

TURNS = (2, 1, 3)
"""Quarter turns against the clock: upside down first."""

SURE = 0.65
"""A photo in which a head has at least this score is taken to stand upright. So had 62 of 69
upright photos (CelebAMask-HQ, SCUT-HEAD, groups), 21 of 38 of people with masks, and 7 of 84 that
were turned, on which it was chosen (third weights): of 378 heads 47 were missed with 0.6, 10 with
0.65, 8 with 0.7, 3 if every photo was turned, 156 if none; with the fourth weights of 375 4 with
0.65, 0 and 147."""


class Turned:
    """What a detector finds in the picture turned by 180, 90 and 270 degrees.

    Args:
        detector: looks at the turned pictures.
        further_files: its weights, for reports.
    """

    def __init__(self, detector: HeadDetector, *, further_files: Sequence[Path] = ()) -> None:
        self._detector = detector
        self.further_files = tuple(further_files)

    def detect(self, image: Image) -> list[Head]:
        """Heads in an (H, W, 3) uint8 RGB picture, each once, best first; in its own pixels.

        Raises:
            ValueError: the picture is something else.
        """
        check_image(image)
        hw = image.shape[0], image.shape[1]
        heads = [
            turn_back(head, turns, hw)
            for turns in TURNS
            for head in self._detector.detect(np.ascontiguousarray(np.rot90(image, turns)))
        ]
        boxes = np.array([head.box_xyxy for head in heads], np.float64).reshape(-1, 4)
        kept = suppress(boxes, np.array([head.score for head in heads], np.float64))
        return [replace(heads[i], source="turned") for i in kept.tolist()]


class TurnedIfUnsure:
    """``headnet`` that turns the picture and looks again where no head is sure.

    Args:
        detector: looks at the picture as it is, and at its turns.
        min_score: score from which a head in a turned picture counts.
        sure: score of a head from which on nothing is turned.
    """

    def __init__(self, detector: HeadDetector, *, min_score: float, sure: float = SURE) -> None:
        self._detector = detector
        self._turned = Turned(detector)
        self._min_score = min_score
        self._sure = sure

    def detect(self, image: Image) -> list[Head]:
        """Heads in an (H, W, 3) uint8 RGB picture, best first; ``seen_by`` says what was turned.

        Raises:
            ValueError: the picture is something else.
        """
        heads = self._detector.detect(image)
        if any(head.score >= self._sure for head in heads):
            return heads
        more = [h for h in self._turned.detect(image) if h.score >= self._min_score]
        return fuse({"headnet": heads, "turned": more}) if more else heads


def turn_back(head: Head, turns: int, source_hw: tuple[int, int]) -> Head:
    """A head found in ``np.rot90(picture, turns)``, in the pixels of the picture.

    Args:
        turns: quarter turns against the clock.
        source_hw: height and width of the picture.

    Example:
        >>> turn_back(Head((0, 0, 10, 20), 0.5, Head.no_points()), 1, (100, 200)).box_xyxy
        (180.0, 0.0, 200.0, 10.0)
    """
    height, width = source_hw
    xy = np.concatenate([np.reshape(head.box_xyxy, (2, 2)), head.points[:, :2]]).astype(np.float64)
    x, y = xy[:, 0], xy[:, 1]
    back = {0: (x, y), 1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}
    xy = np.stack(back[turns % 4], axis=1)
    points = np.column_stack([xy[2:], head.points[:, 2]]).astype(np.float32)
    (x0, y0), (x1, y1) = xy[:2].min(axis=0).tolist(), xy[:2].max(axis=0).tolist()
    return replace(head, box_xyxy=(x0, y0, x1, y1), points=points)


def load(
    weights: str | Path | None = None,
    *,
    threads: int | None = None,
    device: str = "cpu",
    precision: str = "auto",
    min_score: float | None = None,
    tiles: bool = True,
) -> Turned:
    """Open ``headnet`` for turned pictures.

    Args:
        weights, threads, device, precision, min_score, tiles: see `faceparts.detect.headnet.load`.

    Raises:
        UnknownName, BadWeights, UsageError: see `faceparts.detect.headnet.load`.
    """
    path = find(weights or "headnet", precision=precision, device=device)
    net = folder.load("faceparts.detect", "headnet").load(
        path,
        threads=threads,
        device=device,
        precision=precision,
        min_score=min_score,
        tiles=tiles,
    )
    return Turned(net, further_files=[path])
