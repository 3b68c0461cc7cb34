"""Greedy non-maximum suppression of head boxes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_IOU = 0.5
MAX_INSIDE = 0.85


def overlap(a_xyxy: NDArray[np.float64], b_xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
    """(M, N) intersection over union of (M, 4) and (N, 4) boxes with positive areas."""
    low = np.maximum(a_xyxy[:, None, :2], b_xyxy[None, :, :2])
    high = np.minimum(a_xyxy[:, None, 2:], b_xyxy[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (a_xyxy, b_xyxy)]
    return np.asarray(shared / (areas[0][:, None] + areas[1][None] - shared))


def suppress(
    boxes_xyxy: NDArray[np.float64],
    scores: NDArray[np.float64],
    *,
    max_iou: float = MAX_IOU,
    max_inside: float = MAX_INSIDE,
) -> NDArray[np.intp]:
    """Indices of the boxes that stay, best first.

    Going from the best to the worst, a box drops every worse one that overlaps it with an IoU
    above ``max_iou``, or that lies inside it (more than ``max_inside`` of the other's area) with
    its middle in the central half of the better box: a face found within its own head. A head
    that peeks over another's shoulder lies inside too, but not in the middle, and stays.

    Args:
        boxes_xyxy: (N, 4) with positive areas.
        scores: (N,).
    """
    order = np.argsort(-scores, kind="stable")
    kept = []
    areas = (boxes_xyxy[:, 2] - boxes_xyxy[:, 0]) * (boxes_xyxy[:, 3] - boxes_xyxy[:, 1])
    middles = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
    while order.size:
        best, order = order[0], order[1:]
        kept.append(best)
        box, others = boxes_xyxy[best], boxes_xyxy[order]
        low = np.maximum(box[:2], others[:, :2])
        high = np.minimum(box[2:], others[:, 2:])
        shared = np.prod(np.clip(high - low, 0, None), axis=1)
        iou = shared / (areas[best] + areas[order] - shared)
        away = np.abs(middles[order] - middles[best]) / (box[2:] - box[:2])
        inside = (shared > max_inside * areas[order]) & (away <= 0.25).all(axis=1)
        order = order[(iou <= max_iou) & ~inside]
    return np.array(kept, np.intp)
