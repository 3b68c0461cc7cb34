"""What a forest's report is made of: rates, curves, importances, all in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from faceparts.evaluate import confusion
from faceparts.segment import _features
from faceparts.segment._trees import Trees
from faceparts.segment.forest import Forest
from faceparts.train.forest_data import Picture
from faceparts.types import IGNORE

Array = NDArray[np.float32]
Ids = NDArray[np.uint8]
BINS = 1000
PIXELS_PER_PICTURE = 1000
"""Pixels of each test picture that permutation importance looks at."""


@dataclass(eq=False)
class Tally:
    """Counts over test pictures, one after the other.

    Args:
        matrix: (K, K) confusion.
        right, wrong: (K, `BINS` + 1) how often each part got each probability, on pixels that are
            of the part and on others.
    """

    matrix: NDArray[np.int64]
    right: NDArray[np.int64]
    wrong: NDArray[np.int64]

    @staticmethod
    def empty(parts: int) -> Tally:
        """Nothing counted yet."""
        shape = parts, BINS + 1
        return Tally(np.zeros((parts, parts), np.int64), np.zeros(shape, int), np.zeros(shape, int))

    def add(self, truth: Ids, probs: Array) -> None:
        """Count one picture: (H, W) ids and (H, W, K) probabilities."""
        count = len(self.matrix)
        self.matrix += confusion.count(truth, probs.argmax(axis=2).astype(np.uint8), count)
        known = truth != IGNORE
        ids = truth[known]
        bins = np.rint(probs[known] * BINS).astype(np.intp)
        for part in range(count):
            here = ids == part
            self.right[part] += np.bincount(bins[here, part], minlength=BINS + 1)
            self.wrong[part] += np.bincount(bins[~here, part], minlength=BINS + 1)

    def join(self, other: Tally) -> None:
        """Add what another one counted."""
        self.matrix += other.matrix
        self.right += other.right
        self.wrong += other.wrong

    def curve(self, part: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Recall and precision of a part from the strictest threshold to the loosest."""
        hits = np.cumsum(self.right[part][::-1])
        found = hits + np.cumsum(self.wrong[part][::-1])
        recall = hits / max(int(hits[-1]), 1)
        return recall, np.where(found > 0, hits / np.maximum(found, 1), 1.0)

    def average_precision(self, part: int) -> float:
        """Area below the precision-recall curve; ``nan`` where the part does not occur."""
        if not self.right[part].sum():
            return float("nan")
        recall, precision = self.curve(part)
        return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def rates(tally: Tally, parts: Sequence[str]) -> dict[str, Any]:
    """The classification report, ready for JSON; undefined rates are ``None``."""
    matrix = tally.matrix
    columns = {
        "precision": confusion.precision(matrix),
        "recall": confusion.recall(matrix),
        "f1": confusion.f1(matrix),
        "iou": confusion.iou(matrix),
    }
    known = columns["f1"][np.isfinite(columns["f1"])]
    rows = {
        part: {
            **{name: plain(column[i]) for name, column in columns.items()},
            "support": int(matrix[i].sum()),
            "average_precision": plain(tally.average_precision(i)),
        }
        for i, part in enumerate(parts)
    }
    return {
        "accuracy": plain(confusion.pixel_accuracy(matrix)),
        "macro_f1": plain(known.mean() if known.size else np.nan),
        "foreground_f1": plain(confusion.mean_f1(matrix)),
        "mean_iou": plain(confusion.mean_iou(matrix)),
        "pixels": int(matrix.sum()),
        "parts": rows,
        "confusion": matrix.tolist(),
    }


def plain(value: float) -> float | None:
    """A number for JSON: four digits after the point."""
    return round(float(value), 4) if np.isfinite(value) else None


def truth_of(picture: Picture, score: str) -> Ids:
    """What is counted against: the labels of the working picture, or of the frame."""
    return picture.labels if score == "work" else picture.truth


def enlarge(probs: Array, side_px: int) -> Array:
    """(h, w, K) -> (S, S, K), bilinear, one plane at a time."""
    if probs.shape[0] == side_px:
        return probs
    planes = [
        cv2.resize(
            np.ascontiguousarray(probs[..., k]), (side_px, side_px), interpolation=cv2.INTER_LINEAR
        )
        for k in range(probs.shape[2])
    ]
    return np.stack(planes, axis=2)


# --- what matters -------------------------------------------------------------------------------


def impurity_importance(fitted: Any, columns: int) -> NDArray[np.float64]:
    """(F,) share of each column in what the splits gained; sums to 1."""
    if not isinstance(fitted, HistGradientBoostingClassifier):
        return np.asarray(fitted.feature_importances_, np.float64)
    gain = np.zeros(columns)
    for trees in fitted._predictors:
        for tree in trees:
            inner = tree.nodes[tree.nodes["is_leaf"] == 0]
            np.add.at(gain, inner["feature_idx"].astype(np.intp), inner["gain"].astype(float))
    return np.asarray(gain / max(gain.sum(), 1e-12))


def by_family(values: NDArray[np.float64], families: Sequence[str]) -> dict[str, float]:
    """Sums over the columns of each family, largest first."""
    sums = {f: float(values[np.array(families) == f].sum()) for f in dict.fromkeys(families)}
    return {f: round(v, 5) for f, v in sorted(sums.items(), key=lambda pair: -pair[1])}


def permutation_importance(
    trees: Trees, rows: Array, ids: Ids, families: Sequence[str], seed: int
) -> dict[str, dict[str, float]]:
    """How much accuracy and macro F1 fall when a family's columns are shuffled together.

    Args:
        rows: (F, P) features of test pixels.
        ids: (P,) their parts.
        families: family of each column.
    """

    def score(features: Array) -> tuple[float, float]:
        predicted = trees.probs(features).argmax(axis=1).astype(np.uint8)
        matrix = confusion.count(ids, predicted, trees.parts)
        f1 = confusion.f1(matrix)
        return confusion.pixel_accuracy(matrix), float(f1[np.isfinite(f1)].mean())

    rng = np.random.default_rng(seed)
    accuracy, f1 = score(rows)
    out = {}
    for family in dict.fromkeys(families):
        mixed = rows.copy()
        chosen = np.flatnonzero(np.array(families) == family)
        mixed[chosen] = rows[chosen][:, rng.permutation(rows.shape[1])]
        less_accuracy, less_f1 = score(mixed)
        out[family] = {
            "accuracy_drop": round(accuracy - less_accuracy, 5),
            "macro_f1_drop": round(f1 - less_f1, 5),
        }
    return dict(sorted(out.items(), key=lambda pair: -pair[1]["accuracy_drop"]))


def draw_pixels(
    forest: Forest, pictures: Sequence[Picture], seed: int
) -> tuple[Array, Ids, list[str]]:
    """Features of some pixels of each picture as the forest's last stage sees them.

    Returns:
        (F, P) features, (P,) parts, the family of each column.
    """
    rng = np.random.default_rng(seed)
    blocks, ids = [], []
    last = forest.stages[-1]
    before = forest.parts if len(forest.stages) > 1 else ()
    terms = _features.parse_spec(last.features, before)
    for picture in pictures:
        side = picture.image.shape[0]
        head = _features.head_of((side, side), forest.card.margin)
        probs = None
        for number, stage in enumerate(forest.stages[:-1]):
            spec = _features.parse_spec(stage.features, forest.parts if number else ())
            maps = _features.compute(picture.image, spec, head=head, probs=probs)
            flat = np.moveaxis(maps, 2, 0).reshape(maps.shape[2], -1)
            probs = stage.trees.probs(flat).reshape(side, side, -1)
        maps = _features.compute(picture.image, terms, head=head, probs=probs)
        flat = np.moveaxis(maps, 2, 0).reshape(maps.shape[2], -1)
        known = np.flatnonzero(picture.labels.reshape(-1) != IGNORE)
        some = rng.choice(known, min(PIXELS_PER_PICTURE, len(known)), replace=False)
        blocks.append(flat[:, some])
        ids.append(picture.labels.reshape(-1)[some])
    families = _features.column_families(terms, before)
    return np.concatenate(blocks, axis=1), np.concatenate(ids), families
