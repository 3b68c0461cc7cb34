"""Body keypoints against COCO's annotations: object keypoint similarity, AP and AR.

COCO, "Keypoint Evaluation": a joint counts ``exp(-d^2 / (2 s^2 k^2))`` with its distance d, the
root s of the person's area and a constant k of the joint; their mean over the marked joints is
the similarity (OKS). AP and AR come from ``faster-coco-eval``, which follows pycocotools.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceparts.datasets.coco_keypoints import COCO_OFFSET, CocoKeypoints
from faceparts.detect._grouping import MissingExtra
from faceparts.errors import BadData
from faceparts.types import Image

Floats = NDArray[np.float32]
Find = Callable[[Image], tuple[Floats, Floats]]
"""Picture -> (P, 17, 3) x, y, score in picture pixels (edges), ``nan`` = unseen; (P,) scores."""

SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062),
    *(0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)
"""COCO's standard deviation of a joint, as a share of the person's size; k is twice as much."""
CATEGORY = 1
"""COCO's number of a person."""
NAMES = (
    *("AP", "AP50", "AP75", "AP_medium", "AP_large"),
    *("AR", "AR50", "AR75", "AR_medium", "AR_large"),
)
"""The numbers of COCO's keypoint task, in its order."""


def oks(marked: Floats, found: Floats, area_px: float) -> float:
    """Similarity 0..1 of a found person with a marked one.

    Args:
        marked: (17, 3) x, y, visibility; joints with visibility 0 do not count.
        found: (17, 3) x, y, score in the same frame; ``nan`` = unseen, which scores 0.
        area_px: area of the marked person.

    Raises:
        ValueError: no joint is marked, or the area is not positive.

    Example:
        >>> person = np.ones((17, 3), np.float32)
        >>> oks(person, person, 100.0)
        1.0
    """
    counts = marked[:, 2] > 0
    if not counts.any() or not area_px > 0:
        raise ValueError(f"oks: {int(counts.sum())} marked joints and area {area_px}; wanted some")
    gap = ((marked[:, :2].astype(np.float64) - found[:, :2]) ** 2).sum(axis=1)[counts]
    spread = (2 * np.array(SIGMAS)[counts]) ** 2
    return float(np.nan_to_num(np.exp(-gap / (2 * area_px * spread)), nan=0.0).mean())


def to_results(image_id: int, people: Floats, scores: Floats) -> list[dict[str, Any]]:
    """Rows of COCO's result format for the people found on one picture.

    Joints that were not seen are put at 0, 0, since COCO wants numbers; the box, which gives the
    person's area, is that of the joints that were seen.

    Args:
        image_id: COCO's number of the picture.
        people: (P, 17, 3) x, y, score in picture pixels (edges).
        scores: (P,).

    Raises:
        ValueError: shapes that do not fit.
    """
    if people.shape != (len(scores), len(SIGMAS), 3):
        raise ValueError(
            f"people: got shape {people.shape} and {len(scores)} scores, "
            f"wanted (P, {len(SIGMAS)}, 3) and P"
        )
    rows = []
    for person, score in zip(people.astype(np.float64), scores, strict=True):
        joints = person.copy()
        joints[:, :2] -= COCO_OFFSET
        seen = np.isfinite(joints).all(axis=1)
        joints[~seen] = 0
        low, high = np.zeros(2), np.zeros(2)
        if seen.any():
            low, high = joints[seen, :2].min(axis=0), joints[seen, :2].max(axis=0)
        rows.append(
            {
                "image_id": int(image_id),
                "category_id": CATEGORY,
                "keypoints": [round(v, 4) for v in joints.ravel().tolist()],
                "score": float(score) if np.isfinite(score) else 0.0,
                "bbox": [*low.tolist(), *(high - low).tolist()],
            }
        )
    return rows


def find_all(dataset: CocoKeypoints, find: Find) -> Iterable[list[dict[str, Any]]]:
    """Results of a finder on every picture of a dataset, one picture after the other."""
    for i in range(len(dataset)):
        sample = dataset[i]
        yield to_results(sample.image_id, *find(sample.image))


def score(
    annotations: Path | Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    *,
    image_ids: Sequence[int] | None = None,
) -> dict[str, float]:
    """COCO's ten numbers of the keypoint task.

    Args:
        annotations: COCO's file, or its content.
        results: rows of `to_results`.
        image_ids: pictures that count; ``None`` = all of the file.

    Returns:
        ``AP`` (mean over OKS 0.50:0.95), ``AP50``, ``AP75``, ``AP_medium``, ``AP_large`` and the
        same for ``AR``, 0..1; ``nan`` where no person of that size is marked. COCO counts the 20
        best people of a picture.

    Raises:
        BadData: the annotations cannot be read, or lack a picture that is asked for.
        MissingExtra: faster-coco-eval is not installed.
    """
    coco_class, eval_class = _evaluator()
    table = copy.deepcopy(dict(annotations)) if isinstance(annotations, Mapping) else None
    table = _read(Path(str(annotations))) if table is None else table
    known = {int(one["id"]) for one in table["images"]}
    wanted = known if image_ids is None else {int(i) for i in image_ids}
    strange = sorted((wanted | {int(row["image_id"]) for row in results}) - known)
    if strange or not wanted:
        what = f"picture {strange[0]} is not in them" if strange else "no picture to evaluate"
        raise BadData(f"annotations: {what}; they hold {len(known)} pictures")
    nowhere = {
        **_NOWHERE,
        "image_id": min(wanted),
    }  # a row that fits nobody: a list must not be empty
    truth = coco_class(table)
    found = truth.loadRes([dict(row) for row in results] or [nowhere])
    run = eval_class(truth, found, "keypoints", print_function=_say_nothing)
    run.params.imgIds = sorted(wanted)
    run.evaluate()
    run.accumulate()
    run.summarize()
    values = [float(v) if v > -1 else float("nan") for v in run.stats[: len(NAMES)]]
    return dict(zip(NAMES, values, strict=True))


_NOWHERE = {
    "category_id": CATEGORY,
    "keypoints": [-1e6] * 3 * len(SIGMAS),
    "score": 0.0,
    "bbox": [-1e6, -1e6, 0.0, 0.0],
}


def _say_nothing(*_: object) -> None:
    """Takes what the evaluator would log."""


def _evaluator() -> tuple[Any, Any]:
    """Classes of faster-coco-eval: annotations, evaluation.

    Raises:
        MissingExtra: it is not installed; the message says how to install it.
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as error:
        raise MissingExtra(
            "COCO's evaluation needs faster-coco-eval: pip install 'faceparts[train]'"
        ) from error
    return COCO, COCOeval_faster


def _read(path: Path) -> dict[str, Any]:
    """The content of an annotation file."""
    try:
        table = json.loads(path.read_bytes())
        if not all(isinstance(table[key], list) for key in ("images", "annotations", "categories")):
            raise ValueError("images, annotations and categories must be lists")
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise BadData(f"{path}: not annotations in COCO's layout ({reason})") from error
    return dict(table)
