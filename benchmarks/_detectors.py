"""The detector that a benchmark runs with, from its command line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from faceparts import folder, weights
from faceparts.types import HeadDetector


def add_options(parser: argparse.ArgumentParser) -> None:
    """``--detector`` and ``--detector-weights``."""
    parser.add_argument(
        "--detector",
        default="headnet",
        choices=folder.names("faceparts.detect"),
        help="which detector finds the heads (default: headnet)",
    )
    parser.add_argument(
        "--detector-weights", metavar="NAME_OR_PATH", help="its weights (default: the shipped ones)"
    )


def open_detector(args: argparse.Namespace, *, min_score: float | None = None) -> HeadDetector:
    """The detector asked for; ends the run with one line when there are no weights for it."""
    ours = args.detector == "headnet" and not args.detector_weights
    if ours and "headnet" not in weights.shipped():
        sys.exit("no headnet is shipped: give --detector-weights, or another --detector")
    module = folder.load("faceparts.detect", args.detector)
    detector: HeadDetector = module.load(
        name_or_path(args.detector_weights), threads=args.threads, min_score=min_score
    )
    return detector


def name_or_path(text: str | None) -> str | Path | None:
    """A path where there is such a file, else the name of shipped weights."""
    return Path(text) if text and Path(text).is_file() else text
