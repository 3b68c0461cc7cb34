"""Opens the detector and the parser that the options name, and says what was opened."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from faceparts import weights
from faceparts.cli._options import Common
from faceparts.detect import _union
from faceparts.detect._union import Scores
from faceparts.errors import UsageError
from faceparts.parse import FaceParser
from faceparts.types import Face, Head, HeadDetector, Image, LabelSet

SIDE_BY_SIDE = ("headnet", "turned", "whole")
"""Detectors that may look at several photos at once; the others keep something between calls."""


@dataclass(frozen=True, eq=False)
class Opened:
    """What a verb works with.

    Args:
        parse: picture -> faces, best first.
        detect: picture -> heads, best first: the first half of ``parse``.
        segment: picture + heads -> faces, in their order: the other half.
        label_set: the parts that the faces have.
        min_score: score from which a head counts; ``None`` = the detector's own rule; by name
            for several detectors.
        models: name, file and sha256 of each weights file, for the report.
    """

    parse: Callable[[Image], list[Face]]
    detect: Callable[[Image], list[Head]]
    segment: Callable[[Image, Sequence[Head]], list[Face]]
    label_set: LabelSet
    min_score: Scores
    models: list[dict[str, str]]


def open_parser(
    common: Common,
    *,
    min_score_share: float = 1.0,
    turned: bool = False,
    cut: bool = False,
    long_hair: bool = True,
) -> Opened:
    """Open detector and parser.

    Args:
        min_score_share: factor on the threshold on the detector's card where ``--min-score`` is
            not given; a detector without a card keeps its own.
        turned, cut, long_hair: see `FaceParser`.

    Raises:
        UnknownName, BadWeights, UsageError: see `faceparts.weights.open_net`.
    """
    detector, min_score, models = open_detector(
        common, min_score_share=min_score_share, turned=turned, cut=cut
    )
    path = weights.find(common.model, precision=common.precision, device=common.device)
    parser = FaceParser(
        detector,
        path,
        threads=_threads_of_a_job(common),
        device=common.device,
        precision=common.precision,
        long_hair=long_hair,
    )
    steps = parser.parse, parser.detect, parser.segment
    return Opened(*steps, parser.label_set, min_score, [*models, describe(path)])


def open_detector(
    common: Common, *, min_score_share: float = 1.0, turned: bool = False, cut: bool = False
) -> tuple[HeadDetector, Scores, list[dict[str, str]]]:
    """Open the detector alone: it, the score from which heads count, and its files for the report.

    Raises:
        UnknownName, BadWeights, UsageError: see `faceparts.detect._union.open_detector`.
    """
    if common.jobs > 1:
        for name in _union.split_names(common.detector):
            if name not in SIDE_BY_SIDE:
                raise UsageError(
                    f"--jobs {common.jobs}: detector {name!r} looks at one photo at a time; "
                    f"those for several: {', '.join(SIDE_BY_SIDE)}"
                )
    opened = _union.open_detector(
        common.detector,
        common.detector_weights,
        threads=_threads_of_a_job(common),
        device=common.device,
        precision=common.precision,
        min_score=common.min_score,
        min_score_share=min_score_share,
        turned=turned,
        cut=cut,
        options=common.detector_options,
    )
    return opened.detector, opened.min_score, [describe(path) for path in opened.files]


def _threads_of_a_job(common: Common) -> int | None:
    """Threads of the nets, so that all jobs together have those that were asked for."""
    if common.jobs == 1:
        return common.threads
    return max(1, (common.threads or weights.available_cores()) // common.jobs)


def describe(path: Path) -> dict[str, str]:
    """Name, file and sha256 of a weights file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": path.name.split(".")[0], "file": path.name, "sha256": digest}
