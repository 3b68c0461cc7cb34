"""Boundary F: whether the outlines of a class lie where they should.

A boundary pixel of a class is a scored pixel of it with a scored 4-neighbour of another class; the
picture's edge and ignored pixels make no boundary. Precision is the share of predicted boundary
pixels within the tolerance of a true one, recall the other way round (Csurka et al., What is a good
evaluation measure for semantic segmentation?, BMVC 2013; distances are Euclidean). Counts are
pooled over pictures before a rate is taken, as in the confusion matrix.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.evaluate.protocols import BOUNDARY_SHARE
from faceparts.types import IGNORE

Ids = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Counts = NDArray[np.int64]

_MAX_DISK_PX = 8.0
"""Up to this reach a disk is dilated, beyond it distances are measured; for speed alone."""


def tolerance_px(shape_hw: tuple[int, ...]) -> float:
    """Pixels up to which boundaries agree: `BOUNDARY_SHARE` of the diagonal, at least 1.

    Example:
        >>> round(tolerance_px((512, 512)), 2)
        2.17
    """
    return max(1.0, BOUNDARY_SHARE * math.hypot(*shape_hw[:2]))


def count(truth: Ids, found: Ids, classes: int, tolerance: float | None = None) -> Counts:
    """(K, 4) counts of one picture: predicted boundary pixels near a true one, all predicted ones,
    true ones near a predicted one, all true ones.

    Args:
        truth: (H, W) class ids; `IGNORE` where nothing is scored.
        found: (H, W) class ids.
        classes: number of classes K.
        tolerance: in pixels; `tolerance_px` by default.

    Raises:
        ValueError: the shapes differ.
    """
    if truth.shape != found.shape or truth.ndim != 2:
        raise ValueError(
            f"boundary: truth {truth.shape}, prediction {found.shape}; wanted one (H, W)"
        )
    reach = tolerance_px(truth.shape) if tolerance is None else tolerance
    scored = truth != IGNORE
    truth_edge, found_edge = edges(truth, scored), edges(found, scored)
    counts = np.zeros((classes, 4), np.int64)
    for number in range(classes):
        true, predicted = truth_edge & (truth == number), found_edge & (found == number)
        counts[number] = (
            *(_near(predicted, true, reach), np.count_nonzero(predicted)),
            *(_near(true, predicted, reach), np.count_nonzero(true)),
        )
    return counts


def edges(ids: Ids, scored: Mask) -> Mask:
    """(H, W) pixels with a neighbour (up, down, left, right) of another class, both scored."""
    edge = np.zeros(ids.shape, bool)
    down = (ids[1:] != ids[:-1]) & scored[1:] & scored[:-1]
    right = (ids[:, 1:] != ids[:, :-1]) & scored[:, 1:] & scored[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge


def f_measure(counts: Counts) -> NDArray[np.float64]:
    """(K,) harmonic mean of boundary precision and recall.

    0 where only one side has a boundary, ``nan`` where neither has.
    """
    near_found, found, near_true, true = counts.T.astype(np.float64)
    out = np.full(len(counts), np.nan)
    known = (found + true) > 0
    precision = np.divide(near_found, found, out=np.zeros(len(counts)), where=found > 0)
    recall = np.divide(near_true, true, out=np.zeros(len(counts)), where=true > 0)
    both = precision + recall
    out[known] = 0
    np.divide(2 * precision * recall, both, out=out, where=known & (both > 0))
    return out


def _near(edge: Mask, other: Mask, reach: float) -> int:
    """Number of pixels of one boundary within reach of another."""
    rows, columns = np.flatnonzero(other.any(axis=1)), np.flatnonzero(other.any(axis=0))
    if not rows.size:
        return 0
    pad = math.ceil(reach)
    window = (
        slice(max(0, rows[0] - pad), rows[-1] + pad + 1),
        slice(max(0, columns[0] - pad), columns[-1] + pad + 1),
    )
    edge = edge[window]
    if not edge.any():
        return 0
    return int(np.count_nonzero(_within(other[window], reach) & edge))


def _within(mask: Mask, reach: float) -> Mask:
    """Pixels at most so far (Euclidean, between centres) from one of a mask."""
    near = reach + 1e-4
    if reach <= _MAX_DISK_PX:
        side = np.arange(-math.floor(near), math.floor(near) + 1)
        disk = (side[:, None] ** 2 + side[None] ** 2 <= near**2).astype(np.uint8)
        return np.asarray(cv2.dilate(mask.astype(np.uint8), disk), bool)
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance) <= near
