"""Opens the detector and the parser that the options name, and says what was opened."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from faceparts import folder, weights
from faceparts.cli._options import Common
from faceparts.parse import FaceParser
from faceparts.types import Face, HeadDetector, Image, LabelSet, ModelCard


@dataclass(frozen=True, eq=False)
class Opened:
    """What a verb works with.

    Args:
        parse: picture -> faces, best first.
        label_set: the parts that the faces have.
        min_score: score from which a head counts; ``None`` = the detector's own rule.
        models: name, file and sha256 of each weights file, for the report.
    """

    parse: Callable[[Image], list[Face]]
    label_set: LabelSet
    min_score: float | None
    models: list[dict[str, str]]


def open_parser(common: Common, *, min_score_share: float = 1.0) -> Opened:
    """Open detector and parser.

    Args:
        min_score_share: factor on the threshold on the detector's card where ``--min-score`` is
            not given; a detector without a card keeps its own.

    Raises:
        UnknownName, BadWeights, UsageError: see `faceparts.weights.open_net`.
    """
    detector, min_score, models = open_detector(common, min_score_share=min_score_share)
    path = weights.find(common.model, precision=common.precision, device=common.device)
    parser = FaceParser(
        detector, path, threads=common.threads, device=common.device, precision=common.precision
    )
    return Opened(parser.parse, parser.label_set, min_score, [*models, describe(path)])


def open_detector(
    common: Common, *, min_score_share: float = 1.0
) -> tuple[HeadDetector, float | None, list[dict[str, str]]]:
    """Open the detector alone: it, the score from which heads count, and its file for the report.

    Raises:
        UnknownName, BadWeights, UsageError: see `faceparts.weights.open_net`.
    """
    module = folder.load("faceparts.detect", common.detector)
    path = _detector_file(common)

    def load(min_score: float | None) -> HeadDetector:
        detector: HeadDetector = module.load(
            path,
            threads=common.threads,
            device=common.device,
            precision=common.precision,
            min_score=min_score,
        )
        return detector

    min_score, detector = common.min_score, load(common.min_score)
    card: ModelCard | None = getattr(detector, "card", None)
    if min_score is None and card is not None:
        min_score = min_score_share * card.threshold
        if min_score_share != 1:
            detector = load(min_score)
    return detector, min_score, [] if path is None else [describe(path)]


def _detector_file(common: Common) -> Path | None:
    """The detector's weights: those given, those shipped under its name, or none."""
    name = common.detector_weights
    if name is None and common.detector in weights.shipped():
        name = common.detector
    if name is None:
        return None
    return weights.find(name, precision=common.precision, device=common.device)


def describe(path: Path) -> dict[str, str]:
    """Name, file and sha256 of a weights file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": path.name.split(".")[0], "file": path.name, "sha256": digest}
