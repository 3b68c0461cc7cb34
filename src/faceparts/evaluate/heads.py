"""Rates of a head detector: greedy matching, then curves over the score threshold.

Finds are taken best first; each takes the free marked head that it overlaps most, if the IoU is at
least 0.5 (PASCAL VOC; Everingham et al. 2010, with the all-point average precision of VOC 2010+).
Rates by head size follow COCO: heads of other sizes and the finds matched to them are left out, and
a find without a match counts as false where its own size lies in the range. Sizes are
sqrt(width x height) in picture pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

SIZE_BINS_PX = ((0.0, 16.0), (16.0, 32.0), (32.0, 64.0), (64.0, 128.0), (128.0, float("inf")))
"""Head sizes that results are split by: lower bound included, upper bound not."""

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Matches:
    """Finds and marked heads of one picture, or of many together.

    Args:
        scores: (M,) score of every find.
        found_px: (M,) size of every find.
        matched_px: (M,) size of the marked head that a find was matched to; ``nan`` = none.
        marked_px: (N,) sizes of all marked heads.
    """

    scores: Array
    found_px: Array
    matched_px: Array
    marked_px: Array


@dataclass(frozen=True, eq=False)
class Curve:
    """Precision and recall at every distinct score, best score first.

    Args:
        scores: (T,) thresholds: a find counts when its score is at least this.
        precision: (T,) share of the counted finds that match a marked head.
        recall: (T,) share of the marked heads that are matched.
        marked: number of marked heads.
    """

    scores: Array
    precision: Array
    recall: Array
    marked: int


def overlap(a_xyxy: ArrayLike, b_xyxy: ArrayLike) -> Array:
    """(M, N) intersection over union of (M, 4) and (N, 4) boxes; 0 where both have no area."""
    a = np.asarray(a_xyxy, np.float64).reshape(-1, 4)
    b = np.asarray(b_xyxy, np.float64).reshape(-1, 4)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    inter = np.prod(np.clip(high - low, 0, None), axis=2)
    union = _area(a)[:, None] + _area(b)[None] - inter
    return np.asarray(np.divide(inter, union, out=np.zeros_like(inter), where=union > 0))


def within(boxes_xyxy: ArrayLike, image_hw: Sequence[int]) -> Array:
    """(M, 4) boxes cut at the edges of a picture of so many rows and columns, as people mark heads.

    Detectors tell where a head goes on beyond the picture; so much more of it is hidden.

    Example:
        >>> within([[-5, 10, 20, 50]], (40, 30)).tolist()
        [[0.0, 10.0, 20.0, 40.0]]
    """
    height, width = image_hw[:2]
    boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
    return boxes.clip(0, [width, height, width, height])


def match(
    found_xyxy: ArrayLike, scores: ArrayLike, marked_xyxy: ArrayLike, min_iou: float = 0.5
) -> Matches:
    """Match the finds of one picture to its marked heads, best score first.

    Args:
        found_xyxy: (M, 4) boxes in picture pixels.
        scores: (M,) scores; equal scores keep the given order.
        marked_xyxy: (N, 4) boxes of the heads that are there.
        min_iou: least overlap of a match.

    Raises:
        ValueError: as many scores as boxes are needed.

    Example:
        >>> match([[0, 0, 10, 10]], [0.9], [[0, 0, 10, 8]]).matched_px.round(2)
        array([8.94])
    """
    found = np.asarray(found_xyxy, np.float64).reshape(-1, 4)
    marked = np.asarray(marked_xyxy, np.float64).reshape(-1, 4)
    score = np.asarray(scores, np.float64).reshape(-1)
    taken = assign(found, score, marked, min_iou)
    marked_px = np.sqrt(_area(marked))
    matched = np.full(len(found), np.nan)
    matched[taken >= 0] = marked_px[taken[taken >= 0]]
    return Matches(score, np.sqrt(_area(found)), matched, marked_px)


def assign(
    found_xyxy: ArrayLike, scores: ArrayLike, marked_xyxy: ArrayLike, min_iou: float = 0.5
) -> NDArray[np.int64]:
    """(M,) number of the marked head that each find is matched to; -1 = none. See `match`.

    Raises:
        ValueError: as many scores as boxes are needed.
    """
    found = np.asarray(found_xyxy, np.float64).reshape(-1, 4)
    marked = np.asarray(marked_xyxy, np.float64).reshape(-1, 4)
    score = np.asarray(scores, np.float64).reshape(-1)
    if len(found) != len(score):
        raise ValueError(f"heads: {len(found)} boxes but {len(score)} scores; wanted one a box")
    iou = overlap(found, marked)
    taken = np.full(len(found), -1, np.int64)
    for i in np.argsort(-score, kind="stable"):
        if not marked.size:
            break
        best = int(np.argmax(iou[i]))
        if iou[i, best] >= min_iou:
            taken[i] = best
            iou[:, best] = -1
    return taken


def pool(matches: Iterable[Matches]) -> Matches:
    """Put the matches of many pictures together."""
    all_of = list(matches)
    empty = np.empty(0)
    return Matches(
        np.concatenate([empty, *(m.scores for m in all_of)]),
        np.concatenate([empty, *(m.found_px for m in all_of)]),
        np.concatenate([empty, *(m.matched_px for m in all_of)]),
        np.concatenate([empty, *(m.marked_px for m in all_of)]),
    )


def curve(matches: Matches, size_px: tuple[float, float] = (0.0, float("inf"))) -> Curve:
    """Precision and recall over the threshold, for heads of one range of sizes.

    Args:
        matches: what `match` or `pool` gave.
        size_px: lower (included) and upper (excluded) size of the heads that count.
    """
    low, high = size_px
    hit = np.isfinite(matches.matched_px)
    own = np.where(hit, matches.matched_px, matches.found_px)
    counted = (own >= low) & (own < high)
    marked = int(np.count_nonzero((matches.marked_px >= low) & (matches.marked_px < high)))
    order = np.argsort(-matches.scores[counted], kind="stable")
    scores, hit = matches.scores[counted][order], hit[counted][order]
    last = np.append(scores[1:] != scores[:-1], True)[: len(scores)]  # equal scores enter together
    hits = np.cumsum(hit)[last]
    finds = np.arange(1, len(scores) + 1)[last]
    return Curve(scores[last], hits / finds, hits / max(marked, 1), marked)


def average_precision(of: Curve) -> float:
    """Area under the precision-recall curve, all points, precision made monotone.

    ``nan`` when no head is marked.
    """
    if not of.marked:
        return float("nan")
    best_from_here = np.maximum.accumulate(of.precision[::-1])[::-1]
    return float(np.sum(np.diff(of.recall, prepend=0.0) * best_from_here))


def recall_at_precision(of: Curve, least: float) -> tuple[float, float]:
    """Largest recall at a precision of at least ``least``, and the score threshold there.

    Returns:
        (recall, threshold); (0, nan) when no threshold is that precise, (nan, nan) when no head
        is marked.
    """
    if not of.marked:
        return float("nan"), float("nan")
    good = np.flatnonzero(of.precision >= least)
    if not good.size:
        return 0.0, float("nan")
    return float(of.recall[good[-1]]), float(of.scores[good[-1]])


def at_threshold(of: Curve, score: float) -> tuple[float, float]:
    """(precision, recall) of the finds that score at least ``score``; precision ``nan`` if none."""
    if not of.marked:
        return float("nan"), float("nan")
    taken = np.flatnonzero(of.scores >= score)
    if not taken.size:
        return float("nan"), 0.0
    return float(of.precision[taken[-1]]), float(of.recall[taken[-1]])


def summarize(
    matches: Matches, least_precision: float = 0.9, score: float | None = None
) -> dict[str, dict[str, float | int | None]]:
    """Every rate over all heads and by `SIZE_BINS_PX`, ready for JSON; undefined is ``None``.

    Args:
        matches: of all pictures, see `pool`.
        least_precision: where the recall is read off.
        score: threshold whose precision and recall are given too; ``None``: the one at which the
            recall over all heads was read off.
    """
    everything = curve(matches)
    at = recall_at_precision(everything, least_precision)[1] if score is None else score
    ranges = {"all": (0.0, float("inf"))} | {size_name(b): b for b in SIZE_BINS_PX}
    table: dict[str, dict[str, float | int | None]] = {}
    for name, size_px in ranges.items():
        of = curve(matches, size_px)
        precise, threshold = recall_at_precision(of, least_precision)
        precision, recall = at_threshold(of, at)
        rates = {
            "average_precision": average_precision(of),
            f"recall_at_precision_{least_precision:g}": precise,
            "threshold_there": threshold,
            "largest_recall": float(of.recall[-1]) if of.recall.size else 0.0,
            "threshold": at,
            "precision_at_threshold": precision,
            "recall_at_threshold": recall,
        }
        plain = {k: round(v, 6) if np.isfinite(v) else None for k, v in rates.items()}
        table[name] = {"heads": of.marked, **plain}
    return table


def size_name(size_px: tuple[float, float]) -> str:
    """Name of a size range for tables.

    Example:
        >>> [size_name(b) for b in SIZE_BINS_PX]
        ['<16', '16-32', '32-64', '64-128', '>=128']
    """
    low, high = size_px
    if low <= 0:
        return f"<{high:g}"
    return f">={low:g}" if high == float("inf") else f"{low:g}-{high:g}"


def _area(boxes_xyxy: Array) -> Array:
    return np.asarray(np.prod(np.clip(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0, None), axis=1))
