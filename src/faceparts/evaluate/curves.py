"""Precision-recall curves and calibration from histograms: memory does not grow with the data.

A probability p falls into bin floor(p x `BINS`). So a curve is exact for probabilities rounded to
1/`BINS`, whatever the number of pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

BINS = 1000
"""Bins of the precision-recall histograms."""

RELIABILITY_BINS = 15
"""Bins of the reliability diagram; 15 as in Guo et al., On Calibration of Modern Neural Networks,
ICML 2017."""

Counts = NDArray[np.int64]
Rates = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Histograms:
    """Pixels by class, truth and probability; filled in place, added to with ``+=`` of counts.

    Args:
        counts: (K, 2, `BINS`): [class, 0 = other / 1 = this class in truth, bin].
    """

    counts: Counts

    @classmethod
    def empty(cls, classes: int) -> Self:
        """No pixels yet."""
        return cls(np.zeros((classes, 2, BINS), np.int64))

    def add(self, number: int, probs: NDArray[np.float32], is_class: NDArray[np.bool_]) -> None:
        """Count the scored pixels of one picture for one class.

        Args:
            number: the class.
            probs: (N,) probability 0..1 of the class.
            is_class: (N,) whether the truth is that class.

        Raises:
            ValueError: the lengths differ.
        """
        if probs.shape != is_class.shape:
            raise ValueError(
                f"curves: {probs.shape} probabilities, {is_class.shape} truths; wanted as many"
            )
        bins = (probs * np.float32(BINS)).astype(np.int64)
        bins[is_class] += BINS + 1
        found = np.bincount(bins, minlength=2 * (BINS + 1)).reshape(2, BINS + 1)
        self.counts[number] += found[:, :BINS]
        self.counts[number, :, -1] += found[:, BINS]  # probability 1 belongs to the last bin


def precision_recall(counts: Counts) -> tuple[Rates, Rates]:
    """Precision and recall at every distinct threshold, the highest first.

    Args:
        counts: (2, `BINS`) of one class.

    Returns:
        (T,) precision and (T,) recall; both empty where the class has no pixel in truth.
    """
    others, own = counts[:, ::-1]
    occurs = (others + own) > 0
    hits, finds = np.cumsum(own)[occurs], np.cumsum(own + others)[occurs]
    total = int(own.sum())
    if not total:
        return np.empty(0), np.empty(0)
    return hits / finds, hits / total


def average_precision(counts: Counts) -> float:
    """Sum of precision x gain in recall over the thresholds; ``nan`` for a class without pixels."""
    precision, recall = precision_recall(counts)
    if not recall.size:
        return float("nan")
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def thin(precision: Rates, recall: Rates, most: int = 120) -> tuple[Rates, Rates]:
    """At most ``most`` points of a curve, evenly spread over its length, both ends kept."""
    if len(recall) <= most:
        return precision, recall
    steps = np.hypot(np.diff(precision), np.diff(recall))
    along = np.concatenate([[0.0], np.cumsum(steps)])
    chosen = np.unique(np.searchsorted(along, np.linspace(0, along[-1], most)))
    chosen = np.unique(np.append(chosen, [0, len(recall) - 1]))
    return precision[chosen], recall[chosen]


@dataclass(frozen=True, eq=False)
class Reliability:
    """How sure the winning class was, and how often it was right; filled in place.

    Args:
        pixels: (B,) int64.
        confidence: (B,) sum of the confidences.
        right: (B,) int64 pixels whose class was right.
    """

    pixels: Counts
    confidence: Rates
    right: Counts

    @classmethod
    def empty(cls) -> Self:
        """No pixels yet."""
        bins = RELIABILITY_BINS
        return cls(np.zeros(bins, np.int64), np.zeros(bins), np.zeros(bins, np.int64))

    def add(self, confidence: NDArray[np.float32], is_right: NDArray[np.bool_]) -> None:
        """Count the scored pixels of one picture.

        Args:
            confidence: (N,) probability 0..1 of the class that won.
            is_right: (N,) whether it is the truth.
        """
        bins = RELIABILITY_BINS
        at = np.clip((confidence * np.float32(bins)).astype(np.int64), 0, bins - 1)
        self.pixels[:] += np.bincount(at, minlength=bins)
        self.confidence[:] += np.bincount(at, weights=confidence.astype(np.float64), minlength=bins)
        self.right[:] += np.bincount(at[is_right], minlength=bins)

    def error(self) -> float:
        """Expected calibration error: mean of |accuracy - confidence| over the bins, weighted by
        their pixels; ``nan`` without pixels."""
        total = int(self.pixels.sum())
        if not total:
            return float("nan")
        return float(np.abs(self.right - self.confidence).sum() / total)

    def rows(self) -> list[dict[str, float | int | None]]:
        """One row a bin: its range, pixels, mean confidence and accuracy."""
        edges = np.linspace(0, 1, RELIABILITY_BINS + 1)
        return [
            {
                "from": round(float(edges[i]), 6),
                "to": round(float(edges[i + 1]), 6),
                "pixels": int(n),
                "confidence": round(float(self.confidence[i] / n), 6) if n else None,
                "accuracy": round(float(self.right[i] / n), 6) if n else None,
            }
            for i, n in enumerate(self.pixels)
        ]
