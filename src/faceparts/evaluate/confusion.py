"""The only metric state of a parser: a (K, K) confusion matrix; every rate derives from it.

Rows are the truth, columns the prediction. Matrices of several pictures are added before a rate is
taken: that is the pooled protocol of the face-parsing literature (LaPa, CelebAMask-HQ), where
F1 = 2 I / (A + B) of one class over the whole set. Rates are 0..1; a class that occurs neither in
truth nor prediction has no rate (``nan``) and does not count in a mean.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faceparts.types import IGNORE, LabelSet

Matrix = NDArray[np.int64]
Rates = NDArray[np.float64]


def count(truth: NDArray[np.uint8], predicted: NDArray[np.uint8], parts: int) -> Matrix:
    """(K, K) pixel counts of one picture, or of a stack of them.

    Args:
        truth: ids 0..K-1 of any shape; `IGNORE` where the pixel is not to be scored.
        predicted: ids 0..K-1 of the same shape; whatever lies on ignored pixels is not read.
        parts: number of classes K.

    Raises:
        ValueError: the shapes differ, or an id is out of range.

    Example:
        >>> count(np.uint8([0, 1, 1, 255]), np.uint8([0, 1, 0, 1]), 2)
        array([[1, 0],
               [1, 1]])
    """
    if truth.shape != predicted.shape:
        raise ValueError(
            f"confusion: truth has shape {truth.shape}, prediction {predicted.shape}; "
            "wanted the same (resize the probabilities before the arg max)"
        )
    scored = truth != IGNORE
    rows, columns = truth[scored].astype(np.int64), predicted[scored].astype(np.int64)
    for name, ids in (("truth", rows), ("prediction", columns)):
        if ids.size and ids.max() >= parts:
            raise ValueError(f"confusion: {name} holds id {ids.max()}; wanted 0..{parts - 1}")
    return np.bincount(rows * parts + columns, minlength=parts * parts).reshape(parts, parts)


def f1(matrix: Matrix) -> Rates:
    """(K,) F1 = Dice = 2 I / (A + B) of every class."""
    return _ratio(2 * np.diag(matrix), matrix.sum(axis=0) + matrix.sum(axis=1))


def iou(matrix: Matrix) -> Rates:
    """(K,) intersection over union of every class."""
    hits = np.diag(matrix)
    return _ratio(hits, matrix.sum(axis=0) + matrix.sum(axis=1) - hits)


def precision(matrix: Matrix) -> Rates:
    """(K,) share of a class's predicted pixels that are right."""
    return _ratio(np.diag(matrix), matrix.sum(axis=0))


def recall(matrix: Matrix) -> Rates:
    """(K,) share of a class's true pixels that are found."""
    return _ratio(np.diag(matrix), matrix.sum(axis=1))


def mean_f1(matrix: Matrix) -> float:
    """Mean F1 over the foreground classes (1..K-1) that occur."""
    return _mean(f1(matrix)[1:])


def mean_iou(matrix: Matrix) -> float:
    """Mean IoU over all classes that occur, background included."""
    return _mean(iou(matrix))


def pixel_accuracy(matrix: Matrix) -> float:
    """Share of the scored pixels that are right; ``nan`` when none was scored."""
    return float(_ratio(np.array([np.trace(matrix)]), np.array([matrix.sum()]))[0])


def summarize(matrix: Matrix, label_set: LabelSet) -> dict[str, object]:
    """Every rate in plain numbers, ready for JSON; undefined rates are ``None``.

    Raises:
        ValueError: the matrix does not have one row a part.
    """
    parts = label_set.parts
    if matrix.shape != (len(parts), len(parts)):
        raise ValueError(
            f"confusion: matrix {matrix.shape} for {label_set.name}; wanted {len(parts)} classes"
        )
    rates = {"f1": f1, "iou": iou, "precision": precision, "recall": recall}
    columns = {name: rate(matrix) for name, rate in rates.items()}
    return {
        "mean_f1": _plain(mean_f1(matrix)),
        "mean_iou": _plain(mean_iou(matrix)),
        "pixel_accuracy": _plain(pixel_accuracy(matrix)),
        "pixels": int(matrix.sum()),
        "parts": {
            part: {name: _plain(column[i]) for name, column in columns.items()}
            for i, part in enumerate(parts)
        },
    }


def _ratio(top: NDArray[np.int64], bottom: NDArray[np.int64]) -> Rates:
    out = np.full(np.shape(bottom), np.nan)
    return np.asarray(np.divide(top, bottom, out=out, where=bottom > 0))


def _mean(rates: Rates) -> float:
    known = rates[np.isfinite(rates)]
    return float(known.mean()) if known.size else float("nan")


def _plain(rate: float) -> float | None:
    return round(float(rate), 6) if np.isfinite(rate) else None
