"""Parser + labelled pictures + protocol -> counts. Every rate is taken from them afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceparts.evaluate import boundary, confusion, curves, maps, superpixels
from faceparts.evaluate.groups import Measures, mask_of, measure
from faceparts.evaluate.protocols import Protocol, check_fit
from faceparts.types import IGNORE, Dataset, HeadDetector, LabelSet, Sample, Segmenter

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Picture:
    """What one picture adds.

    Args:
        key: its name in the dataset.
        sha256: of the picture's file where the dataset knows it, else of its pixels.
        pixels_sha256: of its pixels (`hash_pixels`).
        labels_sha256: of its part ids.
        matrix: (K, K) confusion matrix.
        boundary: (K, 4), see `boundary.count`.
        superpixels: right and all; both 0 where the protocol has none.
        score: mean F1 of the foreground classes that the labels hold; ``nan`` if they hold none.
        measures: of the labelled head.
        head_found: whether the alignment found a head.
        swapped: whether left and right are swapped in the labels (`are_sides_swapped`).
    """

    key: str
    sha256: str
    pixels_sha256: str
    labels_sha256: str
    matrix: Counts
    boundary: Counts
    superpixels: tuple[int, int]
    score: float
    measures: Measures
    head_found: bool
    swapped: bool


@dataclass(frozen=True, eq=False)
class PartsResult:
    """Everything that was counted.

    Args:
        protocol: how.
        pictures: one entry a picture, in the dataset's order.
        histograms: for precision-recall curves.
        reliability: for calibration.
    """

    protocol: Protocol
    pictures: list[Picture]
    histograms: curves.Histograms
    reliability: curves.Reliability = field(default_factory=curves.Reliability.empty)

    @property
    def matrix(self) -> Counts:
        """(K, K) confusion matrix of all pictures."""
        classes = len(self.protocol.label_set.parts)
        total = np.zeros((classes, classes), np.int64)
        for picture in self.pictures:
            total += picture.matrix
        return total


def evaluate_parts(
    segmenter: Segmenter,
    dataset: Dataset,
    protocol: Protocol,
    *,
    detector: HeadDetector | None = None,
    limit: int | None = None,
    on_picture: Callable[[], object] = lambda: None,
) -> PartsResult:
    """Measure a parser on a dataset.

    Args:
        segmenter: the model.
        dataset: labelled pictures.
        protocol: see `protocols`.
        detector: for protocols with the alignment ``detector``.
        limit: only the first so many pictures.
        on_picture: called after each picture.

    Raises:
        UsageError: the dataset or the model lacks a class of the protocol.
        BadData: a picture cannot be read, or has a form that the protocol refuses.
    """
    check_fit(protocol, dataset.label_set, "the dataset", truth=True)
    check_fit(protocol, segmenter.label_set, "the model", truth=False)
    classes = len(protocol.label_set.parts)
    result = PartsResult(protocol, [], curves.Histograms.empty(classes))
    for i in range(len_within(dataset, limit)):
        sample = dataset[i]
        result.pictures.append(_one(segmenter, dataset, i, sample, detector, result))
        on_picture()
    return result


def len_within(dataset: Sized, limit: int | None) -> int:
    """Number of pictures that are looked at."""
    return len(dataset) if limit is None else min(limit, len(dataset))


def _one(
    segmenter: Segmenter,
    dataset: Dataset,
    i: int,
    sample: Sample,
    detector: HeadDetector | None,
    result: PartsResult,
) -> Picture:
    protocol, source = result.protocol, dataset.label_set
    prepared, found, head_found = look(segmenter, sample, source, protocol, detector, result)
    truth, parts = prepared.truth, protocol.label_set.parts
    scored = truth != IGNORE
    matrix = confusion.count(truth, found.classes, len(parts))
    result.reliability.add(found.confidence[scored], (found.classes == truth)[scored])
    counts = (0, 0)
    if protocol.superpixels:
        numbers = superpixels_of(dataset, i, sample)
        counts = superpixels.count(truth, found.classes, numbers, len(parts))
    pixels = hash_pixels(sample.image)
    return Picture(
        key=sample.key,
        sha256=file_hash(dataset, i) or pixels,
        pixels_sha256=pixels,
        labels_sha256=hash_pixels(sample.labels),
        matrix=matrix,
        boundary=boundary.count(truth, found.classes, len(parts)),
        superpixels=counts,
        score=picture_score(matrix),
        measures=measure(sample.image, sample.labels, source),
        head_found=head_found,
        swapped=are_sides_swapped(sample.labels, source),
    )


def look(
    segmenter: Segmenter,
    sample: Sample,
    source: LabelSet,
    protocol: Protocol,
    detector: HeadDetector | None,
    result: PartsResult | None = None,
) -> tuple[maps.Prepared, maps.Found, bool]:
    """Prepare a picture, cut it and run the model; with a result, its histograms grow."""
    prepared = maps.prepare(sample.image, sample.labels, source, protocol)
    card = segmenter.card
    crop, head_found = maps.cut(
        prepared, source, protocol, input_px=card.input_px, margin=card.margin, detector=detector
    )
    scored = prepared.truth != IGNORE
    truth = prepared.truth[scored]

    def on_class(number: int, plane: NDArray[np.float32]) -> None:
        if result is not None:
            result.histograms.add(number, plane[scored], truth == number)

    return prepared, maps.find(segmenter, crop, protocol, on_class), head_found


def picture_score(matrix: Counts) -> float:
    """Mean F1 over the foreground classes that a picture's labels hold; ``nan`` if none.

    Classes that are only predicted are left out: for one picture they would outweigh all else.
    """
    there = matrix.sum(axis=1)[1:] > 0
    rates = confusion.f1(matrix)[1:][there]
    return float(rates.mean()) if rates.size else float("nan")


def superpixels_of(dataset: Dataset, i: int, sample: Sample) -> Counts:
    """The dataset's own superpixels where it has a method ``superpixels(i)``, else SLIC."""
    own = getattr(dataset, "superpixels", None)
    if callable(own):
        return np.asarray(own(i), np.int64)
    return superpixels.segment(sample.image)


def hash_pixels(array: NDArray[np.uint8]) -> str:
    """sha256 of an array's shape and values, whatever file they came from."""
    head = "x".join(map(str, array.shape)) + "\n"
    return hashlib.sha256(head.encode() + np.ascontiguousarray(array).tobytes()).hexdigest()


def file_hash(dataset: Dataset, i: int) -> str | None:
    """sha256 of the picture's file, where the dataset lists its files as ``pairs``."""
    pairs = getattr(dataset, "pairs", None)
    path = getattr(pairs[i], "image", None) if isinstance(pairs, tuple | list) else None
    if not isinstance(path, Path) or not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def are_sides_swapped(ids: NDArray[np.uint8], label_set: LabelSet) -> bool:
    """Whether the left eye and brow lie left of the right ones in the picture.

    On upright faces that is a label file with sides swapped, or a mirrored photo.
    """
    votes = 0
    for part in ("eye", "brow"):
        left = np.nonzero(mask_of(ids, label_set, (f"left_{part}",)))[1]
        right = np.nonzero(mask_of(ids, label_set, (f"right_{part}",)))[1]
        if left.size and right.size:
            votes += 1 if left.mean() < right.mean() else -1
    return votes > 0


def sides_corrected(result: PartsResult) -> Counts:
    """(K, K) confusion matrix with the sides of swapped labels put right."""
    mirror = list(result.protocol.label_set.mirror)
    total = np.zeros_like(result.matrix)
    for picture in result.pictures:
        total += picture.matrix[mirror] if picture.swapped else picture.matrix
    return total


def extremes(result: PartsResult, count: int = 3) -> Iterator[tuple[str, list[int]]]:
    """Indices of the best, median and worst pictures by `Picture.score`; unscored ones are left
    out, and no picture is in two lists."""
    order = [i for i, p in enumerate(result.pictures) if np.isfinite(p.score)]
    order.sort(key=lambda i: (-result.pictures[i].score, i))
    third = min(count, max(1, len(order) // 3)) if order else 0
    best, rest = order[:third], order[third:]
    worst = rest[::-1][:third] if len(rest) >= third else rest[::-1]
    middle = rest[: len(rest) - len(worst)]
    start = max(0, len(order) // 2 - third - third // 2)
    yield "best", best
    yield "median", middle[start : start + third]
    yield "worst", worst
