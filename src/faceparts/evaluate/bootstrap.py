"""Intervals by resampling pictures, seeded.

Rates are pooled over pictures, so pictures (not pixels) are drawn again: a picture's pixels stand
or fall together. Percentile intervals (Efron and Tibshirani, An Introduction to the Bootstrap,
1993).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 0.95
_CHUNK_CELLS = 2**23

Rates = NDArray[np.float64]
Counts = NDArray[np.int64]


def weights(pictures: int, resamples: int, seed: int) -> Iterator[Rates]:
    """How often each picture is drawn: chunks of (b, N) whose rows sum to N.

    Raises:
        ValueError: there are no pictures or no resamples.
    """
    if pictures < 1 or resamples < 1:
        raise ValueError(
            f"bootstrap: {pictures} pictures, {resamples} resamples; wanted at least 1 of each"
        )
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK_CELLS // pictures)
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        yield rng.multinomial(pictures, np.full(pictures, 1 / pictures), size=count).astype(
            np.float64
        )


def interval(samples: Rates, level: float = LEVEL) -> tuple[float, float]:
    """Percentile interval of resampled values; ``nan`` where none is defined."""
    known = samples[np.isfinite(samples)]
    if not known.size:
        return float("nan"), float("nan")
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(known, [tail, 100 - tail])
    return float(low), float(high)


def pooled(drawn: Rates, counts: Counts) -> Rates:
    """(b, ...) sums of (N, ...) counts under (b, N) weights."""
    flat = counts.reshape(len(counts), -1).astype(np.float64)
    return np.asarray((drawn @ flat).reshape(len(drawn), *counts.shape[1:]))


def f1(counts: Rates | Counts) -> Rates:
    """(...) F1 of (..., 3) counts: hits, labelled, predicted; ``nan`` where neither occurs."""
    hits, labelled, predicted = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    total = labelled + predicted
    out = np.full(total.shape, np.nan)
    return np.asarray(np.divide(2 * hits, total, out=out, where=total > 0))


def iou(counts: Rates | Counts) -> Rates:
    """(...) IoU of (..., 3) counts, as `f1`."""
    hits, labelled, predicted = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    total = labelled + predicted - hits
    out = np.full(total.shape, np.nan)
    return np.asarray(np.divide(hits, total, out=out, where=total > 0))


def mean(rates: Rates) -> Rates:
    """Mean over the last axis of the defined rates; ``nan`` where none is."""
    known = np.isfinite(rates)
    count = known.sum(axis=-1)
    out = np.full(count.shape, np.nan)
    total = np.where(known, rates, 0).sum(axis=-1)
    return np.asarray(np.divide(total, count, out=out, where=count > 0))


def wilson(hits: int, total: int) -> tuple[float, float]:
    """95 % score interval of a share (Wilson, 1927); ``nan`` without anything.

    Unlike drawing again it does not shrink to nothing where everything is a hit.

    Example:
        >>> [round(v, 3) for v in wilson(14, 14)]
        [0.785, 1.0]
    """
    if not total:
        return float("nan"), float("nan")
    z = 1.959964
    share, more = hits / total, z**2 / total
    middle = (share + more / 2) / (1 + more)
    reach = z * np.sqrt(share * (1 - share) / total + more / (4 * total)) / (1 + more)
    return max(0.0, float(middle - reach)), min(1.0, float(middle + reach))
