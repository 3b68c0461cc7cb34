"""Counts -> the report: plain types, ready for JSON, everything that the page shows.

A rate that is not defined (a class that does not occur) is ``None``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceparts.evaluate import boundary, confusion, curves
from faceparts.evaluate.groups import AXES, UNKNOWN, group_of
from faceparts.evaluate.run_parts import PartsResult, Picture, extremes, sides_corrected
from faceparts.types import LabelSet

SCHEMA = 1
SMALL_GROUP = 10
"""Groups of fewer pictures are marked: their rates say little."""


def protocol_card(
    result: PartsResult,
    *,
    dataset: str,
    split: str,
    label_set: LabelSet,
    limit: int | None,
    model: Mapping[str, Any],
    detector: Mapping[str, Any] | None,
    versions: Mapping[str, str],
    check: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that fixes the number.

    Args:
        dataset, split, label_set, limit: the pictures.
        model: name, file, sha256 and what its card says.
        detector: the same of the detector, where the alignment uses one.
        versions: of the libraries.
        check: whether the model was trained on these pictures, see `held_out`.
    """
    return {
        "protocol": result.protocol.describe(),
        "data": {
            "dataset": dataset,
            "split": split,
            "label_set": label_set.name,
            "pictures": len(result.pictures),
            "only_first": limit,
            "list_sha256": list_sha256(result.pictures),
        },
        "model": dict(model),
        "detector": None if detector is None else dict(detector),
        "held_out": dict(check),
        "versions": dict(versions),
    }


def list_sha256(pictures: Sequence[Picture]) -> str:
    """One hash of all pictures and labels: of the lines ``KEY PICTURE LABELS`` in their order."""
    lines = [f"{p.key} {p.sha256} {p.labels_sha256}\n" for p in pictures]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def build(result: PartsResult, card: Mapping[str, Any]) -> dict[str, Any]:
    """The whole report."""
    return {
        "faceparts_evaluation": SCHEMA,
        "card": dict(card),
        "scores": scores(result),
        "classes": classes(result),
        "unions": unions(result),
        "sides": _sides(result),
        "confusion": result.matrix.tolist(),
        "curves": _curves(result),
        "calibration": {
            "expected_calibration_error": plain(result.reliability.error()),
            "bins": result.reliability.rows(),
        },
        "by": by_group(result),
        "heads_not_found": sum(not p.head_found for p in result.pictures),
        "pictures": [picture_row(p) for p in result.pictures],
        "shown": {
            kind: [result.pictures[i].key for i in indices] for kind, indices in extremes(result)
        },
    }


def scores(result: PartsResult) -> dict[str, float | None]:
    """The rates of the whole set by name; the protocol's headline is one of them."""
    matrix = result.matrix
    return {name: plain(rate(matrix)) for name, rate in _RATES.items()} | _other_scores(result)


_RATES: dict[str, Callable[[NDArray[np.int64]], float]] = {
    "mean_f1": confusion.mean_f1,
    "mean_iou": confusion.mean_iou,
    "pixel_accuracy": confusion.pixel_accuracy,
}


def _other_scores(result: PartsResult) -> dict[str, float | None]:
    protocol, matrix = result.protocol, result.matrix
    found: dict[str, float | None] = {
        f"f1_{name}": plain(union_rates(matrix, _ids(protocol.label_set, parts))[2])
        for name, parts in protocol.unions.items()
    }
    if len(protocol.label_set.parts) == 2:
        part = protocol.label_set.parts[1]
        found[f"f1_{part}"] = plain(confusion.f1(matrix)[1])
        found[f"iou_{part}"] = plain(confusion.iou(matrix)[1])
    if protocol.superpixels:
        right, all_of = np.sum([p.superpixels for p in result.pictures], axis=0, initial=0)
        found["superpixel_accuracy"] = plain(right / all_of if all_of else np.nan)
    edges = boundary.f_measure(boundary_counts(result))[1:]
    average = [curves.average_precision(c) for c in result.histograms.counts[1:]]
    found["mean_boundary_f"] = plain(mean(edges))
    found["mean_average_precision"] = plain(mean(np.array(average)))
    found["expected_calibration_error"] = plain(result.reliability.error())
    found["mean_picture_score"] = plain(mean(np.array([p.score for p in result.pictures])))
    return found


def classes(result: PartsResult) -> dict[str, dict[str, float | int | None]]:
    """Every rate of every class."""
    matrix = result.matrix
    columns = {
        "precision": confusion.precision(matrix),
        "recall": confusion.recall(matrix),
        "f1": confusion.f1(matrix),
        "iou": confusion.iou(matrix),
        "boundary_f": boundary.f_measure(boundary_counts(result)),
        "average_precision": np.array(
            [curves.average_precision(c) for c in result.histograms.counts]
        ),
    }
    pictures = np.sum([p.matrix.sum(axis=1) > 0 for p in result.pictures], axis=0, initial=0)
    counts = np.broadcast_to(pictures, len(matrix))
    return {
        part: {
            **{name: plain(column[i]) for name, column in columns.items()},
            "labelled_px": int(matrix[i].sum()),
            "predicted_px": int(matrix[:, i].sum()),
            "pictures": int(counts[i]),
        }
        for i, part in enumerate(result.protocol.label_set.parts)
    }


def unions(result: PartsResult) -> dict[str, dict[str, Any]]:
    """Rates of the protocol's unions of classes; confusions inside one are no errors."""
    found = {}
    for name, parts in result.protocol.unions.items():
        rates = union_rates(result.matrix, _ids(result.protocol.label_set, parts))
        names = ("precision", "recall", "f1", "iou")
        found[name] = {
            "classes": list(parts),
            **{n: plain(r) for n, r in zip(names, rates, strict=True)},
        }
    return found


def union_rates(matrix: NDArray[np.int64], ids: Sequence[int]) -> tuple[float, float, float, float]:
    """Precision, recall, F1 and IoU of the union of some classes.

    Example:
        >>> union_rates(np.array([[5, 0, 1], [0, 2, 1], [2, 1, 0]]), [1, 2])[2]
        0.7272727272727273
    """
    hits = matrix[np.ix_(ids, ids)].sum()
    two = np.array([[0, matrix[:, ids].sum() - hits], [matrix[ids].sum() - hits, hits]])
    rates = (confusion.precision, confusion.recall, confusion.f1, confusion.iou)
    precision, recall, f1, iou = (float(rate(two)[1]) for rate in rates)
    return precision, recall, f1, iou


def boundary_counts(result: PartsResult) -> NDArray[np.int64]:
    """(K, 4) boundary counts of all pictures."""
    total = np.zeros((len(result.protocol.label_set.parts), 4), np.int64)
    for picture in result.pictures:
        total += picture.boundary
    return total


def by_group(result: PartsResult) -> dict[str, list[dict[str, Any]]]:
    """Pooled rates of the pictures of each group, by what they are grouped by.

    The mean F1 of a group is over the foreground classes that its own labels hold.
    """
    found = {}
    for axis, (value, bins) in AXES.items():
        members: dict[str, list[Picture]] = {name: [] for name, _ in (*bins, (UNKNOWN, 0))}
        for picture in result.pictures:
            members[group_of(value(picture.measures), bins)].append(picture)
        found[axis] = [_group_row(name, group) for name, group in members.items() if group]
    return found


def _group_row(name: str, group: Sequence[Picture]) -> dict[str, Any]:
    matrix = np.sum([p.matrix for p in group], axis=0)
    labelled = matrix.sum(axis=1)[1:] > 0
    return {
        "group": name,
        "pictures": len(group),
        "small": len(group) < SMALL_GROUP,
        "mean_f1": plain(mean(confusion.f1(matrix)[1:][labelled])),
        "classes": int(labelled.sum()),
        "pixel_accuracy": plain(confusion.pixel_accuracy(matrix)),
        "mean_picture_score": plain(mean(np.array([p.score for p in group]))),
    }


def picture_row(picture: Picture) -> dict[str, Any]:
    """One picture: enough to take every rate of any set of pictures again."""
    matrix, m = picture.matrix, picture.measures
    return {
        "key": picture.key,
        "sha256": picture.sha256,
        "labels_sha256": picture.labels_sha256,
        "score": plain(picture.score),
        "hits": np.diag(matrix).tolist(),
        "labelled": matrix.sum(axis=1).tolist(),
        "predicted": matrix.sum(axis=0).tolist(),
        "boundary": picture.boundary.tolist(),
        "superpixels": list(picture.superpixels),
        "head_px": plain(m.head_px),
        "yaw": plain(m.yaw),
        "lightness": plain(m.lightness),
        "ita_deg": plain(m.ita_deg),
        "head_found": picture.head_found,
        "sides_swapped": picture.swapped,
    }


def _sides(result: PartsResult) -> dict[str, Any]:
    mirror = result.protocol.label_set.mirror
    if all(i == other for i, other in enumerate(mirror)):
        return {"pictures_with_swapped_labels": None, "mean_f1_if_put_right": None}
    return {
        "pictures_with_swapped_labels": sum(p.swapped for p in result.pictures),
        "mean_f1_if_put_right": plain(confusion.mean_f1(sides_corrected(result))),
    }


def _curves(result: PartsResult) -> dict[str, dict[str, list[float]]]:
    found = {}
    for i, part in enumerate(result.protocol.label_set.parts):
        precision, recall = curves.precision_recall(result.histograms.counts[i])
        if recall.size:
            precision, recall = curves.thin(precision, recall)
            found[part] = {
                "precision": [round(float(v), 5) for v in precision],
                "recall": [round(float(v), 5) for v in recall],
            }
    return found


def _ids(label_set: LabelSet, parts: Sequence[str]) -> list[int]:
    return [label_set.id(part) for part in parts]


def mean(values: NDArray[np.float64]) -> float:
    """Mean of the finite values; ``nan`` if there is none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def plain(value: float | None) -> float | None:
    """A rounded number for JSON; ``None`` where it is not defined."""
    return round(float(value), 6) if value is not None and np.isfinite(value) else None
