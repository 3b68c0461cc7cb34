"""The tables of MODEL_CARD.md: results by part, skin tone, face size and head size.

- parts: as `benchmarks/parse.py`, section celebamask, for one parser, with every class.
- tones: the same 100 pictures in groups of the individual typology angle atan((L* - 50) / b*) of
  the mean colour of the pixels that people labelled as skin (Chardon, Cretois and Hourseau, 1991);
  sides corrected. "Head found": a find of our detector on the picture as it is, with an IoU of at
  least 0.5 with the box of the labelled parts, at its default score and at half of it, from which
  `faceparts hide` counts.
- face sizes: the pictures shrunk (area) until the longer side of that box has the given size and
  enlarged again (bilinear), scored at 512 px; sides corrected.
- heads: SCUT-HEAD val by size as in `benchmarks/heads.py`, at the default score and at half of it;
  and finds on every third photo of no_people, which were kept out of training.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from _detectors import add_options, open_detector
from _parsers import Ours, label_square, resize_square
from _report import ROOT, arguments, data_folder, machine, percent, progress, table
from _report import _replace as replace_block
from faceparts import weights
from faceparts.datasets import celebamask, scut_head
from faceparts.errors import FacePartsError
from faceparts.evaluate import confusion, heads
from faceparts.images import read_picture
from faceparts.labels import CELEBA19
from faceparts.segment import onnx
from faceparts.train.scenes import head_from_labels
from faceparts.types import Head, HeadDetector, Image, Sample
from parse import are_sides_swapped

TONES = (
    ("very light, above 55", 55.0),
    ("light, 41 to 55", 41.0),
    ("intermediate, 28 to 41", 28.0),
    ("tan, 10 to 28", 10.0),
    ("brown, -30 to 10", -30.0),
    ("dark, below -30", -math.inf),
)
NO_TONE = "none (grey picture)"
FACE_SIZES_PX = (12, 16, 24, 32, 48, 64, 96, 128, 256)
PARTS = len(CELEBA19.parts)
SIDED = [i for i, other in enumerate(CELEBA19.mirror) if i != other]
LEAST_SCORE = 0.02


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--segmenter", default="partnet", help="parser: name or path")
    parser.add_argument("--card", type=Path, default=ROOT / "MODEL_CARD.md", help="page to fill")
    add_options(parser)
    args = parser.parse_args()
    data = data_folder(args, "celebamask", "scut_head", "no_people")
    try:
        ours = Ours("partnet", onnx.load(weights.find(args.segmenter), threads=args.threads))
        detector = open_detector(args, min_score=LEAST_SCORE)
        default = weights.read_card(weights.find(args.detector_weights or "headnet")).threshold
        samples = _read_val(data, args.limit)
        blocks = {
            "parts": _parts_table(ours, samples),
            "tones": _tones_table(ours, samples, detector, default),
            "face sizes": _sizes_table(ours, samples),
            "heads": _heads_table(detector, default, data, args.limit),
        }
    except FacePartsError as error:
        sys.exit(str(error))
    where = machine(args.threads)
    blocks["heads"] += f"\n\n*{where['processor']}, faceparts {where['versions']['faceparts']}.*"
    for name, block in blocks.items():
        print(f"\n{name}\n\n{block}")
        if not args.no_page:
            replace_block(args.card, f"card: {name}", block)


def _read_val(data: Path, limit: int | None) -> list[tuple[Sample, NDArray[np.uint8]]]:
    """The pictures, each with its labels after swapped sides were swapped back."""
    dataset = celebamask.load(data / "celebamask", "val")
    found = []
    for i in range(min(len(dataset), limit or len(dataset))):
        sample = dataset[i]
        ids = np.asarray(sample.labels)
        mirror = np.arange(256, dtype=np.uint8)
        mirror[:PARTS] = CELEBA19.mirror
        found.append((sample, mirror[ids] if are_sides_swapped(ids) else ids))
    return found


def _parts_table(ours: Ours, samples: list[tuple[Sample, NDArray[np.uint8]]]) -> str:
    progress("parts")
    labelled, corrected = np.zeros((2, PARTS, PARTS), np.int64)
    pictures = np.zeros(PARTS, np.int64)
    for sample, ids in samples:
        found = label_square(ours, sample.image)
        labelled += confusion.count(sample.labels, found, PARTS)
        corrected += confusion.count(ids, found, PARTS)
        pictures[np.unique(ids[ids < PARTS])] += 1
    rates = [confusion.f1(labelled)]
    rates += [
        rate(corrected)
        for rate in (confusion.f1, confusion.iou, confusion.precision, confusion.recall)
    ]
    rows: list[tuple[object, ...]] = [
        (part, int(pictures[i]), *(percent(float(r[i])) for r in rates))
        for i, part in enumerate(CELEBA19.parts)
    ]
    rows.append(("mean of the 18 parts", None, *(percent(float(np.nanmean(r[1:]))) for r in rates)))
    header = ("part", "pictures", "F1 %, as labelled", "F1 %", "IoU %", "precision %", "recall %")
    wrong = sum(int(corrected[i, CELEBA19.mirror[i]]) for i in SIDED)
    share = percent(wrong / max(1, int(corrected[SIDED].sum())), 2)
    return (
        f"{table(header, rows)}\n\nAll but the first F1 with sides corrected. {share} % of the "
        "pixels of paired parts come out as the same part of the other side."
    )


def _tones_table(
    ours: Ours,
    samples: list[tuple[Sample, NDArray[np.uint8]]],
    detector: HeadDetector,
    default: float,
) -> str:
    progress("tones")
    names = [name for name, _ in TONES] + [NO_TONE]
    matrices = {name: np.zeros((PARTS, PARTS), np.int64) for name in names}
    scores: dict[str, list[float]] = {name: [] for name in names}
    for sample, ids in samples:
        name = tone_of(sample.image, ids)
        matrices[name] += confusion.count(ids, label_square(ours, sample.image), PARTS)
        scores[name].append(_best_score(detector.detect(sample.image), ids))
    rows = [
        (
            name,
            len(scores[name]),
            percent(confusion.mean_f1(matrix)),
            percent(float(confusion.f1(matrix)[CELEBA19.id("skin")])),
            percent(float(np.mean(np.array(scores[name]) >= default))),
            percent(float(np.mean(np.array(scores[name]) >= default / 2))),
        )
        for name, matrix in matrices.items()
        if scores[name]
    ]
    header = ("skin tone, ITA in degrees", "pictures", "mean F1 %", "F1 % of skin")
    return table((*header, "head found %", "at half the score %"), rows)


def tone_of(image: Image, ids: NDArray[np.uint8]) -> str:
    """The group of a picture by the mean CIE L*a*b* colour of its skin pixels."""
    skin = image[ids == CELEBA19.id("skin")][None].astype(np.float32) / np.float32(255)
    if not skin.size:
        return NO_TONE
    lightness, _, yellow = cv2.cvtColor(skin, cv2.COLOR_RGB2LAB)[0].mean(axis=0, dtype=np.float64)
    if yellow < 1:
        return NO_TONE
    angle = math.degrees(math.atan((lightness - 50) / yellow))
    return next(name for name, low in TONES if angle >= low)


def _best_score(found: list[Head], ids: NDArray[np.uint8]) -> float:
    """Best score of a find on the labelled head; -1 where there is none."""
    marked = head_from_labels(ids)
    if marked is None:
        return -1.0
    boxes = [head.box_xyxy for head in found]
    on_it = heads.overlap(boxes, marked[0][None])[:, 0] >= 0.5
    return max((h.score for h, on in zip(found, on_it, strict=True) if on), default=-1.0)


def _sizes_table(ours: Ours, samples: list[tuple[Sample, NDArray[np.uint8]]]) -> str:
    rows = []
    for size_px in FACE_SIZES_PX:
        progress(f"face size {size_px} px")
        matrix = np.zeros((PARTS, PARTS), np.int64)
        for sample, ids in samples:
            marked = head_from_labels(ids)
            if marked is None:
                continue
            box, side = marked[0], sample.image.shape[0]
            share = float(max(box[2] - box[0], box[3] - box[1])) / side
            small = resize_square(sample.image, min(side, max(4, round(size_px / share))))
            found = label_square(ours, resize_square(small, side))
            matrix += confusion.count(ids, found, PARTS)
        f1 = confusion.f1(matrix)
        parts = ("skin", "hair", "left_eye", "right_eye", "nose", "mouth")
        named = (percent(float(f1[CELEBA19.id(part)])) for part in parts)
        rows.append((f"{size_px} px", percent(confusion.mean_f1(matrix)), *named))
    header = ("longer side of the head", "mean F1 %", "skin", "hair", "left eye", "right eye")
    return table((*header, "nose", "mouth"), rows)


def _heads_table(detector: HeadDetector, default: float, data: Path, limit: int | None) -> str:
    progress("heads")
    dataset = scut_head.load(data / "scut_head", "val")
    matches = []
    for i in range(min(len(dataset), limit or len(dataset))):
        sample = dataset[i]
        found = detector.detect(sample.image)
        boxes = heads.within([h.box_xyxy for h in found], sample.image.shape)
        matches.append(heads.match(boxes, [h.score for h in found], sample.boxes_xyxy))
    pooled = heads.pool(matches)
    usual = heads.summarize(pooled, score=default)
    half = heads.summarize(pooled, score=default / 2)
    rows = [
        (
            "all" if size == "all" else f"{size} px",
            rates["heads"],
            percent(rates["average_precision"]),
            percent(rates["recall_at_precision_0.9"]),
            *(percent(r[size][f"{kind}_at_threshold"]) for r in (usual, half) for kind in _KINDS),
        )
        for size, rates in usual.items()
    ]
    header = ("head size", "heads", "AP %", "recall % at precision 0.9")
    at = [
        column for s in (default, default / 2) for column in (f"precision % at {s:g}", "recall %")
    ]
    empty = _finds_on_empty(detector, data / "no_people", (default, default / 2))
    counts = " and ".join(f"{n} at {s:g}" for s, n in empty[1].items())
    return f"{table((*header, *at), rows)}\n\nFinds on {empty[0]} photos without people: {counts}."


_KINDS = ("precision", "recall")


def _finds_on_empty(
    detector: HeadDetector, folder: Path, scores: tuple[float, ...]
) -> tuple[int, dict[float, int]]:
    """Number of held-back photos and of finds on them, by score."""
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".png"))[::3]
    found: list[Any] = []
    for file in files:
        found += [h.score for h in detector.detect(read_picture(file).image)]
    return len(files), {score: sum(f >= score for f in found) for score in scores}


if __name__ == "__main__":
    main()
