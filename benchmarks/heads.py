"""How many heads are found, by their size, side by side with a face detector.

SCUT-HEAD val: 110 photos of classrooms and the web with every head boxed, from all sides. Boxes end
at the edges of the photo, those of the finds are cut there too. Finds are
matched best first to the free head that they overlap most, from an IoU of 0.5 on; average precision
is the area under the whole curve (all points). A head's size is sqrt(width x height) in pixels of
the photo. By size: heads of other sizes and what was matched to them are left out, and a find
without a match counts as false where its own size lies in the range (COCO's rule).
"Recall at precision 0.9" is the largest recall with at least that precision; the precision and
recall beside it are taken at the detector's default threshold.

YuNet finds faces, not heads, and nobody from behind: its boxes are grown to heads by fixed shares
of the face box (medians over SCUT-HEAD and CelebAMask-HQ), which favours it. Time: decoded photo
in, list of heads out, warm, median over the same photos, the detectors taking turns.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from _detectors import add_options, open_detector
from _report import (
    arguments,
    data_folder,
    file_id,
    median_ms,
    percent,
    progress,
    publish,
    table,
)
from faceparts import folder, weights
from faceparts.datasets import scut_head
from faceparts.errors import FacePartsError
from faceparts.evaluate import heads
from faceparts.types import HeadDetector

LEAST_SCORE = 0.02
"""Finds below this are not looked at; it ends the curve."""


def main() -> None:
    args = _arguments().parse_args()
    data = data_folder(args, "scut_head")
    try:
        results = _measure(args, data)
    except FacePartsError as error:
        sys.exit(str(error))
    publish("heads", args, __doc__ or "", results, _markdown(results, args.precision))


def _arguments() -> argparse.ArgumentParser:
    parser = arguments(__doc__)
    add_options(parser)
    parser.add_argument("--yunet", type=Path, help="ONNX file of YuNet to compare with")
    parser.add_argument("--only-yunet", action="store_true", help="leave our detector out")
    parser.add_argument("--split", default="val", choices=scut_head.SPLITS)
    parser.add_argument("--precision", type=float, default=0.9, help="where recall is read off")
    parser.add_argument("--rounds", type=int, default=30, help="timed photos a detector")
    return parser


def _measure(args: argparse.Namespace, data: Path) -> dict[str, Any]:
    curves, timed = _detectors(args)
    dataset = scut_head.load(data / "scut_head", args.split)
    count = min(len(dataset), args.limit or len(dataset))
    progress(f"SCUT-HEAD {args.split}: {count} photos, {', '.join(curves)}")
    matches: dict[str, list[heads.Matches]] = {name: [] for name in curves}
    for i in range(count):
        sample = dataset[i]
        for name, detector in curves.items():
            found = detector.detect(sample.image)
            boxes = heads.within([h.box_xyxy for h in found], sample.image.shape)
            scores = [h.score for h in found]
            matches[name].append(heads.match(boxes, scores, sample.boxes_xyxy))
    images = [dataset[i].image for i in range(min(count, 15))]
    calls = {
        name: lambda turn, d=detector: d.detect(images[turn % len(images)])
        for name, detector in timed.items()
    }
    times = median_ms(calls, args.rounds)
    results: dict[str, Any] = {"photos": count, "detectors": {}}
    for name, found in matches.items():
        pooled = heads.pool(found)
        results["detectors"][name] = {
            "ms_per_photo": times[name],
            "at_default": heads.summarize(pooled, args.precision, _default_score(name, timed)),
            "file": _file(args, name),
        }
    return results


def _detectors(
    args: argparse.Namespace,
) -> tuple[dict[str, HeadDetector], dict[str, HeadDetector]]:
    """Each detector twice: with every find for the curve, and at its default threshold."""
    curves: dict[str, HeadDetector] = {}
    timed: dict[str, HeadDetector] = {}
    if not args.only_yunet:
        curves[args.detector] = open_detector(args, min_score=LEAST_SCORE)
        timed[args.detector] = open_detector(args)
    if args.yunet:
        module = folder.load("faceparts.detect", "yunet")
        curves["YuNet"] = module.load(args.yunet, min_score=LEAST_SCORE)
        timed["YuNet"] = module.load(args.yunet)
    if not curves:
        sys.exit("nothing to measure: --only-yunet needs --yunet FILE")
    return curves, timed


def _default_score(name: str, timed: dict[str, HeadDetector]) -> float:
    """The threshold that users get: the card's, and 0.6 for YuNet as in its own adapter."""
    card = getattr(timed[name], "card", None)
    return float(card.threshold) if card is not None else 0.6


def _file(args: argparse.Namespace, name: str) -> str:
    if name == "YuNet":
        return file_id(args.yunet)
    return file_id(weights.find(args.detector_weights or name))


def _markdown(results: dict[str, Any], precision: float) -> str:
    detectors = results["detectors"]
    key = f"recall_at_precision_{precision:g}"
    rows: list[tuple[object, ...]] = []
    for name, found in detectors.items():
        for size_px, rates in found["at_default"].items():
            rows.append(
                (
                    f"{name}, {'all sizes' if size_px == 'all' else size_px + ' px'}",
                    rates["heads"],
                    percent(rates["average_precision"]),
                    percent(rates[key]),
                    percent(rates["largest_recall"]),
                    percent(rates["precision_at_threshold"]),
                    percent(rates["recall_at_threshold"]),
                )
            )
    recall_name = f"recall at precision {precision:g} %"
    header = ("detector, head size", "heads", "AP %", recall_name, "largest recall %")
    sizes = table((*header, "precision %", "recall %"), rows)
    speed = table(
        ("detector", f"threshold at precision {precision:g}", "default threshold", "ms a photo"),
        [
            (
                name,
                found["at_default"]["all"]["threshold_there"],
                found["at_default"]["all"]["threshold"],
                found["ms_per_photo"],
            )
            for name, found in detectors.items()
        ],
    )
    return f"{sizes}\n\n{speed}"


if __name__ == "__main__":
    main()
