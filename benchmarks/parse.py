"""How well and how fast faces are parsed, side by side with another parser.

1. celebamask: the 100 pictures of CelebAMask-HQ val, labelled by hand at 512 px. The whole square
   picture is shrunk to the net's input by area averaging, the probabilities are enlarged to 512 px
   (bilinear), then the arg max is taken. Mean F1 is the mean over the 18 foreground classes of
   F1 = 2I / (A + B) from one confusion matrix pooled over the set; mIoU is over all 19 classes.
   9 of the 100 label files have left and right swapped in every paired part; the published protocol
   takes them as they are, "sides corrected" swaps them back before scoring.
   Time: one face, batch 1, from the uint8 square to the net's output, warm, median, the parsers
   taking turns. partnet's output has half the side of its input; `predict`, which enlarges it to
   the whole side, takes about 0.8 ms more.
2. fasseg: the 50 test photos of FASSEG V2 (no FASSEG photo is trained on), six classes: brows
   are hair, the neck is skin, lips are mouth, clothes and what else is worn are background.
   "head" cuts around the largest head that our detector finds (the whole photo where it finds
   none), "whole" pads the photo to a square with grey. mIoU is over the six classes, pooled.
   "outlines as FASSEG draws them": FASSEG paints eyes with their lids and a narrower nose, so the
   outlines of eyes, nose and mouth are moved before scoring by what was measured on the 11 V2
   training photos that are neither test photos too nor near copies of one
   (faceparts.evaluate.outlines).
3. visible: the celebamask pictures with pasted hands, masks, sunglasses and textures from files
   that training never saw. The truth is the face (skin, nose, eyes, brows, mouth, lips) minus what
   was pasted; glasses are not scored. IoU of the face, pooled over the set, and the mean over the
   pictures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _detectors import add_options, open_detector
from _parsers import Ours, SquareParser, Teacher, label_square, resize_square
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
from faceparts import crops, labels, weights
from faceparts.datasets import celebamask, fasseg
from faceparts.errors import FacePartsError, UnknownName
from faceparts.evaluate import confusion
from faceparts.evaluate.outlines import FASSEG_V2, move_outlines
from faceparts.labels import CELEBA19, FACE2, FASSEG6
from faceparts.segment import onnx
from faceparts.train.occlude import Occluders, load_occluders
from faceparts.types import IGNORE, Head, Image

SECTIONS = ("celebamask", "fasseg", "visible")
KINDS = ("hands", "masks", "sunglasses", "textures")
FACE = FACE2.id("face")
MOVED = ", outlines as FASSEG draws them"


def main() -> None:
    args = _arguments().parse_args()
    data = data_folder(args, "celebamask", "fasseg", "occluders")
    try:
        parsers, files = _parsers(args)
        results: dict[str, Any] = {"files": files}
        if "celebamask" in args.sections:
            results["celebamask"] = measure_celebamask(parsers, data, args)
        if "fasseg" in args.sections:
            results["fasseg"] = measure_fasseg(parsers, data, args)
        if "visible" in args.sections:
            results["visible"] = measure_visible(parsers, data, args)
    except FacePartsError as error:
        sys.exit(str(error))
    publish("parse", args, __doc__ or "", results, _markdown(results, parsers))


def _arguments() -> argparse.ArgumentParser:
    parser = arguments(__doc__)
    parser.add_argument(
        "--weights",
        nargs="*",
        metavar="NAME_OR_PATH",
        help="our weights (default: every shipped precision of partnet); without a value: none",
    )
    parser.add_argument("--teacher", type=Path, help="TFLite parser to compare with")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--rounds", type=int, default=60, help="timed faces a parser (default: 60)")
    parser.add_argument("--pastes", type=int, default=2, help="occluded copies a picture")
    parser.add_argument("--no-flip", action="store_true", help="leave out the mirrored variants")
    add_options(parser)
    return parser


def _parsers(args: argparse.Namespace) -> tuple[list[SquareParser], dict[str, str]]:
    """What is compared: each of our files, plain and mirrored, then the teacher."""
    found: dict[str, Path] = {}
    if args.weights is None:
        for precision in ("fp32", "int8"):
            try:
                found[f"partnet {precision}"] = weights.find("partnet", precision=precision)
            except UnknownName:
                progress(f"no partnet in {precision}: left out")
        if not found:
            sys.exit("no partnet is shipped: give --weights, or --weights alone for none of ours")
    else:
        for name in args.weights:
            found[Path(name).name.removesuffix(".onnx")] = weights.find(name)
    parsers: list[SquareParser] = []
    for name, path in found.items():
        segmenter = onnx.load(path, threads=args.threads)
        parsers.append(Ours(name, segmenter))
        if not args.no_flip:
            parsers.append(Ours(f"{name} + mirrored", segmenter, flip=True))
    files = {name: file_id(path) for name, path in found.items()}
    if args.teacher:
        parsers.append(Teacher(args.teacher, args.threads))
        files[parsers[-1].name] = file_id(args.teacher)
    if not parsers:
        sys.exit("nothing to measure: give --weights or --teacher")
    return parsers, files


# --- 1: CelebAMask-HQ ----------------------------------------------------------------------------


def measure_celebamask(
    parsers: Sequence[SquareParser], data: Path, args: argparse.Namespace
) -> dict[str, Any]:
    """F1 of every class and the time a face, by parser."""
    dataset = celebamask.load(data / "celebamask", "val")
    count = min(len(dataset), args.limit or len(dataset))
    matrices = {p.name: np.zeros((19, 19), np.int64) for p in parsers}
    corrected = {p.name: np.zeros((19, 19), np.int64) for p in parsers}
    swapped = 0
    progress(f"celebamask: {count} pictures, {len(parsers)} parsers")
    for i in range(count):
        sample = dataset[i]
        turned = are_sides_swapped(sample.labels)
        swapped += turned
        for parser in parsers:
            found = label_square(parser, sample.image)
            matrix = confusion.count(sample.labels, found, 19)
            matrices[parser.name] += matrix
            corrected[parser.name] += matrix[list(CELEBA19.mirror)] if turned else matrix
    results = {name: confusion.summarize(m, CELEBA19) for name, m in matrices.items()}
    for name, matrix in corrected.items():
        results[name]["sides_corrected"] = confusion.summarize(matrix, CELEBA19)
        results[name]["pictures_with_swapped_sides"] = swapped
    for name, ms in _time(parsers, [dataset[i].image for i in range(min(count, 10))], args).items():
        results[name]["ms_per_face"] = ms
    return results


def are_sides_swapped(ids: NDArray[np.uint8]) -> bool:
    """Whether the left eye and brow lie left of the right ones, on an upright, aligned face."""
    votes = 0
    for part in ("eye", "brow"):
        left = np.nonzero(ids == CELEBA19.id(f"left_{part}"))[1]
        right = np.nonzero(ids == CELEBA19.id(f"right_{part}"))[1]
        if left.size and right.size:
            votes += 1 if left.mean() < right.mean() else -1
    return votes > 0


def _time(
    parsers: Sequence[SquareParser], pictures: Sequence[Image], args: argparse.Namespace
) -> dict[str, float]:
    """Median ms of one face; the teacher without the extra tensors that its logits need."""
    calls = {}
    for parser in parsers:
        squares = [resize_square(p, parser.input_px) for p in pictures]
        timed: SquareParser | Teacher = parser
        if isinstance(parser, Teacher):
            timed = Teacher(args.teacher, args.threads, logits=False)
        run = timed.run if isinstance(timed, Teacher) else timed.probs

        def call(turn: int, run: Any = run, squares: Any = squares) -> object:
            return run(squares[turn % len(squares)])

        calls[parser.name] = call
    return median_ms(calls, args.rounds)


# --- 2: FASSEG -----------------------------------------------------------------------------------


def measure_fasseg(
    parsers: Sequence[SquareParser], data: Path, args: argparse.Namespace
) -> dict[str, Any]:
    """Pixel accuracy and mIoU of six classes, whole photo and head crop, by parser."""
    dataset = fasseg.load(data / "fasseg", "v2-test")
    count = min(len(dataset), args.limit or len(dataset))
    detector = open_detector(args)
    to_six = labels.table(CELEBA19, FASSEG6, rest=0)
    cuts = ("head", "whole")
    rows = [f"{cut}{moved}" for cut in cuts for moved in ("", MOVED)]
    matrices = {(p.name, row): np.zeros((6, 6), np.int64) for p in parsers for row in rows}
    missed = 0
    progress(f"fasseg: {count} photos")
    for i in range(count):
        sample = dataset[i]
        whole = _whole(sample.image)
        heads = detector.detect(sample.image)
        missed += not heads
        for parser in parsers:
            for cut in cuts:
                if cut == "head" and heads:
                    best = max(heads, key=lambda h: h.size_wh[0] * h.size_wh[1])
                    found = label_crop(parser, sample.image, best, parser.margin)
                else:
                    found = label_crop(parser, sample.image, whole, 0)
                six = np.asarray(to_six[found], np.uint8)
                drawn = move_outlines(six, FASSEG6, FASSEG_V2)
                matrices[parser.name, cut] += confusion.count(sample.labels, six, 6)
                matrices[parser.name, cut + MOVED] += confusion.count(sample.labels, drawn, 6)
    return {
        "heads_missed": missed,
        "parsers": {
            p.name: {row: confusion.summarize(matrices[p.name, row], FASSEG6) for row in rows}
            for p in parsers
        },
    }


def label_crop(parser: SquareParser, image: Image, head: Head, margin: float) -> NDArray[np.uint8]:
    """(H, W) labels of a whole photo from one cut; background outside the cut."""
    crop = crops.crop_head(image, head, parser.input_px, margin)
    window = crops.crop_to_window(crop)
    ids, _ = crops.warp_back(parser.probs(crop.image), crop, window)
    full = np.zeros(image.shape[:2], np.uint8)
    full[window[1] : window[3], window[0] : window[2]] = ids
    return full


def _whole(image: Image) -> Head:
    height, width = image.shape[:2]
    return Head((0, 0, width, height), 1, Head.no_points())


# --- 3: visible faces ----------------------------------------------------------------------------


def measure_visible(
    parsers: Sequence[SquareParser], data: Path, args: argparse.Namespace
) -> dict[str, Any]:
    """IoU of the visible face, by what was pasted and by parser."""
    dataset = celebamask.load(data / "celebamask", "val")
    count = min(len(dataset), args.limit or len(dataset))
    stock = load_occluders(data / "occluders", held_back=True)
    kinds: dict[str, Occluders | None] = {"all kinds": stock}
    for kind in KINDS:
        kinds[kind] = replace(stock, **{other: () for other in KINDS if other != kind})
    kinds["nothing pasted"] = None
    results: dict[str, Any] = {}
    for kind, occluders in kinds.items():
        progress(f"visible: {kind}")
        pastes = args.pastes if kind == "all kinds" else 1
        matrices: dict[str, list[NDArray[np.int64]]] = {p.name: [] for p in parsers}
        for i in range(count):
            sample = dataset[i]
            for paste in range(pastes):
                image, truth = sample.image, sample.labels
                if occluders is not None:
                    rng = np.random.default_rng((args.seed, i, paste))
                    image, truth = occluders.paste(image, truth, rng, CELEBA19)
                for parser in parsers:
                    found = label_square(parser, image)
                    matrices[parser.name].append(_face_matrix(truth, found))
        results[kind] = {name: _face_rates(stack) for name, stack in matrices.items()}
    return results


def _face_matrix(truth: NDArray[np.uint8], found: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(2, 2) counts of face or not; glasses in the truth are not scored."""
    table_found = labels.table(CELEBA19, FACE2, rest=0)
    table_truth = table_found.copy()
    table_truth[CELEBA19.id("glasses")] = IGNORE
    return confusion.count(table_truth[truth], table_found[found], 2)


def _face_rates(stack: Sequence[NDArray[np.int64]]) -> dict[str, float]:
    pooled = np.sum(stack, axis=0)
    each = [float(confusion.iou(m)[FACE]) for m in stack]
    return {
        "iou_pooled": round(float(confusion.iou(pooled)[FACE]), 6),
        "iou_mean": round(float(np.nanmean(each)), 6),
        "precision": round(float(confusion.precision(pooled)[FACE]), 6),
        "recall": round(float(confusion.recall(pooled)[FACE]), 6),
        "pictures": len(stack),
    }


# --- the page ------------------------------------------------------------------------------------


def _markdown(results: dict[str, Any], parsers: Sequence[SquareParser]) -> str:
    names = [p.name for p in parsers]
    blocks = []
    if "celebamask" in results:
        blocks += ["**CelebAMask-HQ val**", _celebamask_table(results["celebamask"], names)]
    if "fasseg" in results:
        rows = [
            (name, cut, percent(r["pixel_accuracy"]), f"{r['mean_iou']:.3f}", percent(r["mean_f1"]))
            for name in names
            for cut, r in results["fasseg"]["parsers"][name].items()
        ]
        header = ("parser", "cut", "pixel accuracy %", "mIoU", "mean F1 %")
        blocks += ["**FASSEG V2 test, six classes**", table(header, rows)]
    if "visible" in results:
        kinds = results["visible"]
        rows = [
            (
                name,
                *(f"{kinds[k][name]['iou_pooled']:.3f}" for k in kinds),
                f"{kinds['all kinds'][name]['iou_mean']:.3f}",
            )
            for name in names
        ]
        header = ("parser", *kinds, "all kinds, mean over pictures")
        blocks += ["**Visible face: pooled IoU by what was pasted**", table(header, rows)]
    return "\n\n".join(blocks)


def _celebamask_table(results: dict[str, Any], names: Sequence[str]) -> str:
    rows: list[tuple[object, ...]] = [
        ("mean F1 % (18 classes)", *(percent(results[n]["mean_f1"]) for n in names)),
        (
            "mean F1 %, sides corrected",
            *(percent(results[n]["sides_corrected"]["mean_f1"]) for n in names),
        ),
        ("mIoU (19 classes)", *(f"{results[n]['mean_iou']:.3f}" for n in names)),
        ("pixel accuracy %", *(percent(results[n]["pixel_accuracy"]) for n in names)),
        ("ms a face", *(results[n]["ms_per_face"] for n in names)),
    ]
    rows += [
        (f"F1 {part}", *(percent(results[n]["parts"][part]["f1"]) for n in names))
        for part in CELEBA19.parts[1:]
    ]
    return table(("", *names), rows)


if __name__ == "__main__":
    main()
