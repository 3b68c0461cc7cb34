"""The whole picture is one head: for pictures that were cut to a face already."""

from __future__ import annotations

from pathlib import Path

from faceparts.crops import check_image
from faceparts.errors import UsageError
from faceparts.types import Head, Image


class WholePicture:
    """Answers every picture with one head as large as it, score 1, no points."""

    def detect(self, image: Image) -> list[Head]:
        """One head.

        Raises:
            ValueError: the picture is not (H, W, 3) uint8.
        """
        height, width = check_image(image).shape[:2]
        return [Head((0, 0, width, height), 1.0, Head.no_points(), "whole")]


def load(
    weights: str | Path | None = None,
    *,
    threads: int | None = None,
    device: str = "cpu",
    precision: str = "auto",
    min_score: float | None = None,
) -> WholePicture:
    """Make the detector. It runs nothing, so all options but ``weights`` are without effect.

    Raises:
        UsageError: weights were given; it has none.
    """
    if weights is not None:
        raise UsageError(f"detector 'whole' has no weights, got {str(weights)!r}; leave them out")
    return WholePicture()
