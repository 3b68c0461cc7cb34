"""How heads are found and faces parsed in poor and coloured light.

SCUT-HEAD val as in heads.py and CelebAMask-HQ val as in parse.py ("sides corrected"), each photo as
it is and changed: at a tenth of its brightness, in fog (a fifth of the contrast, light), in green,
red and blue light (the other two channels at a tenth), with brightness as the colours of a rainbow
(OpenCV's jet), as a negative. Average precision at IoU 0.5, recall and precision at the detector's
threshold; mean F1 of 18 classes, pooled.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from _detectors import add_options, open_detector
from _overlaid import LIGHTS
from _parsers import Ours, SquareParser, Teacher, label_square
from _report import arguments, data_folder, percent, progress, publish, table
from faceparts import folder, weights
from faceparts.datasets import celebamask, scut_head
from faceparts.errors import FacePartsError
from faceparts.evaluate import confusion, heads
from faceparts.labels import CELEBA19
from faceparts.segment import onnx
from faceparts.types import HeadDetector, Image
from heads import LEAST_SCORE
from parse import are_sides_swapped

ALL_LIGHTS: dict[str, Callable[[Image], Image]] = {
    "as it is": lambda image: image,
    "dark": lambda image: np.rint(image * 0.1).astype(np.uint8),
    "fog": lambda image: np.rint(image * 0.2 + 180).astype(np.uint8),
    **LIGHTS,
}


def main() -> None:
    args = _arguments().parse_args()
    data = data_folder(args, "scut_head", "celebamask")
    try:
        results = {"heads": _measure_heads(args, data), "parts": _measure_parts(args, data)}
    except FacePartsError as error:
        sys.exit(str(error))
    publish("light", args, __doc__ or "", results, _markdown(results))


def _arguments() -> argparse.ArgumentParser:
    parser = arguments(__doc__)
    parser.add_argument("--segmenter", default="partnet", help="our parser: name or path")
    parser.add_argument("--yunet", type=Path, help="ONNX file of YuNet to compare with")
    parser.add_argument("--teacher", type=Path, help="TFLite parser to compare with")
    add_options(parser)
    return parser


def _changed(image: Image, light: str) -> Image:
    return np.ascontiguousarray(ALL_LIGHTS[light](image))


def _measure_heads(args: argparse.Namespace, data: Path) -> dict[str, Any]:
    """What `heads.summarize` says of all sizes, by detector and light."""
    detectors: dict[str, tuple[HeadDetector, float]] = {
        args.detector: (open_detector(args, min_score=LEAST_SCORE), _threshold(args))
    }
    if args.yunet:
        module = folder.load("faceparts.detect", "yunet")
        detectors["YuNet"] = module.load(args.yunet, min_score=LEAST_SCORE), 0.6
    dataset = scut_head.load(data / "scut_head", "val")
    count = min(len(dataset), args.limit or len(dataset))
    results: dict[str, Any] = {name: {} for name in detectors}
    for light in ALL_LIGHTS:
        progress(f"heads: {light}")
        for name, (detector, threshold) in detectors.items():
            matches = []
            for i in range(count):
                sample = dataset[i]
                found = detector.detect(_changed(sample.image, light))
                boxes = heads.within([h.box_xyxy for h in found], sample.image.shape)
                scores = [h.score for h in found]
                matches.append(heads.match(boxes, scores, sample.boxes_xyxy))
            results[name][light] = heads.summarize(heads.pool(matches), 0.9, threshold)["all"]
    return results


def _threshold(args: argparse.Namespace) -> float:
    path = weights.find(args.detector_weights or args.detector)
    return float(weights.read_card(path).threshold)


def _measure_parts(args: argparse.Namespace, data: Path) -> dict[str, Any]:
    """What `confusion.summarize` says, by parser and light."""
    parsers: list[SquareParser] = [
        Ours("partnet", onnx.load(weights.find(args.segmenter), threads=args.threads))
    ]
    if args.teacher:
        parsers.append(Teacher(args.teacher, args.threads))
    dataset = celebamask.load(data / "celebamask", "val")
    count = min(len(dataset), args.limit or len(dataset))
    results: dict[str, Any] = {parser.name: {} for parser in parsers}
    for light in ALL_LIGHTS:
        progress(f"parts: {light}")
        for parser in parsers:
            matrix = np.zeros((19, 19), np.int64)
            for i in range(count):
                sample = dataset[i]
                found = label_square(parser, _changed(sample.image, light))
                one = confusion.count(sample.labels, found, 19)
                swapped = are_sides_swapped(sample.labels)
                matrix += one[list(CELEBA19.mirror)] if swapped else one
            results[parser.name][light] = confusion.summarize(matrix, CELEBA19)
    return results


def _markdown(results: dict[str, Any]) -> str:
    header = ("", *ALL_LIGHTS)
    rows: list[tuple[object, ...]] = []
    for name, lights in results["heads"].items():
        for title, key in (
            ("average precision", "average_precision"),
            ("recall", "recall_at_threshold"),
            ("precision", "precision_at_threshold"),
        ):
            rows.append((f"{name}: {title} %", *(percent(lights[k][key]) for k in ALL_LIGHTS)))
    for name, lights in results["parts"].items():
        rows.append((f"{name}: mean F1 %", *(percent(lights[k]["mean_f1"]) for k in ALL_LIGHTS)))
    return table(header, rows)


if __name__ == "__main__":
    main()
