"""Head pose from part maps: regression over the layout, and the classical road of ICME 2017.

The modern road: a parser's part maps -> `faceparts._layout` -> extremely randomized trees for yaw
and pitch, support vector regression beside them for the yaw (`_headpose_fit`) -> plain arrays for
`faceparts._headpose`. The classical road, after Khan, Mauro, Benini and Leonardi, "Head pose
estimation through multi-class face segmentation", ICME 2017: a forest over pixels gives probability
maps, and a second one, with support vectors beside it, tells the pose from them.

Every picture is learnt together with its mirror image, and answers are averaged over both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceparts import _layout
from faceparts._headpose import KNOTS_DEG, stretch
from faceparts.datasets import fasseg
from faceparts.errors import BadData
from faceparts.train._headpose_fit import (
    Array,
    Halves,
    Rows,
    TreeSettings,
    YawModel,
    fit_yaw,
    join,
    predict_angle,
    predict_halves,
)
from faceparts.train._headpose_vary import vary_map
from faceparts.types import LabelSet

POSES_DEG = tuple(range(-90, 91, 15))
"""The 13 yaws of FASSEG V3; positive = the subject turns to its own right, nose to image left."""

_V3_NAME = re.compile(r"^([+-]?\d+)/personne(\d\d)")


@dataclass(frozen=True)
class Photo:
    """One photo of FASSEG V3.

    Args:
        key: name below the split's folder, without suffix, such as ``"+15/personne01..."``.
        path: the photo.
        person: number of the person.
        yaw_deg: as the folder says.
    """

    key: str
    path: Path
    person: int
    yaw_deg: int


def list_v3(root: Path, part: str) -> list[Photo]:
    """The photos of FASSEG V3, whether they have labels or not.

    Args:
        root: the folder that holds V3.
        part: ``"Train"`` or ``"Test"``.

    Raises:
        BadData: no such folder, no photo, or a name without person and yaw.
    """
    folder = Path(root) / "V3" / f"{part}_RGB"
    photos = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in fasseg.SUFFIXES or path.name.startswith("."):
            continue
        key = path.relative_to(folder).with_suffix("").as_posix()
        found = _V3_NAME.match(key)
        if found is None or int(found[1]) not in POSES_DEG:
            raise BadData(f"{path}: wanted a name such as V3/{part}_RGB/+15/personne01...")
        photos.append(Photo(key, path, int(found[2]), int(found[1])))
    if not photos:
        raise BadData(f"{folder}: no photo; wanted FASSEG V3 as published")
    return photos


# --- learning ------------------------------------------------------------------------------------


def predict_left_out(
    rows: Rows, varied: Rows, more: Rows | None, how: TreeSettings, seed: int, threads: int = 1
) -> Halves:
    """(N,) yaw of every row by what saw nobody of its owner.

    Args:
        rows: as they are.
        varied: what is learnt from, of the same owners.
        more: of other people; learnt from every time.
    """
    trees, svr = np.zeros((2, len(rows.owner)))
    for owner in np.unique(rows.owner):
        left = rows.owner == owner
        learnt = join(varied.take(varied.owner != owner), more)
        told = predict_halves(fit_yaw(learnt, how, seed, threads), rows.take(left))
        trees[left], svr[left] = told.trees_deg, told.svr_deg
    return Halves(trees, svr)


def session_offsets(rows: Rows, predicted_deg: Array, within_deg: float = 60.0) -> Array:
    """(N,) how far each person's whole series is turned away from its labels, in degrees.

    People were told to look at marks; some sat turned by up to 10 degrees for the whole series.
    The median of left-out prediction minus label tells, from rows within the given yaw.
    """
    out = np.zeros(len(rows.owner))
    for owner in np.unique(rows.owner):
        own = rows.owner == owner
        used = own & (np.abs(rows.yaw_deg) <= within_deg)
        if used.any():
            out[own] = np.median(predicted_deg[used] - rows.yaw_deg[used])
    return out


def find_knots(predicted_deg: Array, yaw_deg: Array) -> NDArray[np.float32]:
    """(7,) median of what left-out predictions say at each of `KNOTS_DEG`, both sides together.

    Where the medians do not rise by a degree or more, they are made to.

    Example:
        >>> told = np.array([12.0, -14, 3, 25, 47, 60, 70, 75])
        >>> find_knots(told, np.array([15.0, -15, 0, 30, 45, 60, 75, 90])).tolist()
        [0.0, 13.0, 25.0, 47.0, 60.0, 70.0, 75.0]
    """
    toward = predicted_deg * np.sign(yaw_deg)
    knots = [0.0]
    for at in KNOTS_DEG[1:]:
        own = np.abs(yaw_deg) == at
        middle = float(np.median(toward[own])) if own.any() else at
        knots.append(max(middle, knots[-1] + 1))
    return np.array(knots, np.float32)


@dataclass(frozen=True, eq=False)
class LearntYaw:
    """The trees for the yaw, and what left-out persons said on the way.

    Args:
        model: what was fitted.
        knots: see `find_knots`.
        left_out: (N,) yaw of each row by what saw nobody of its owner, without knots.
        report: scores of it.
    """

    model: YawModel
    knots: NDArray[np.float32]
    left_out: Halves
    report: dict[str, Any]

    def tell(self, rows: Rows) -> Array:
        """(N,) degrees."""
        return stretch_all(predict_angle(self.model, rows, "yaw"), self.knots)


def learn_yaw(
    rows: Rows,
    varied: Rows,
    more: Rows | None,
    how: TreeSettings,
    *,
    even_out: bool,
    seed: int,
    threads: int = 1,
) -> LearntYaw:
    """Learn the yaw of ``varied`` and ``more``; left-out persons give knots and scores.

    Args:
        rows: maps as they are.
        varied: the same and varied copies, of the same owners.
        even_out: turn each owner's labels back by `session_offsets` before learning.
    """
    halves = predict_left_out(rows, varied, more, how, seed, threads)
    if even_out:
        turned = session_offsets(rows, halves.at(how.svr_share))
        by_owner = dict(zip(rows.owner.tolist(), turned.tolist(), strict=True))
        back = np.array([by_owner[owner] for owner in varied.owner.tolist()])
        varied = replace(varied, yaw_deg=varied.yaw_deg + back)
        halves = predict_left_out(rows, varied, more, how, seed, threads)
    knots, report = report_left_out(rows, halves.at(how.svr_share))
    model = fit_yaw(join(varied, more), how, seed, threads)
    return LearntYaw(model, knots, halves, report)


def report_left_out(rows: Rows, told_deg: Array) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Knots for what left-out persons were told, (N,) degrees, and its scores."""
    knots = find_knots(told_deg, rows.yaw_deg)
    stretched = stretch_all(told_deg, knots)
    offsets = session_offsets(rows, stretched)
    return knots, {
        "left_out_persons": score(stretched, rows.yaw_deg),
        "left_out_persons_evened": score(stretched - offsets, rows.yaw_deg),
        "left_out_persons_without_knots": score(told_deg, rows.yaw_deg),
        "knots_deg": [round(float(k), 1) for k in knots],
        "session_offset_deg": {
            f"{p:02d}": round(float(offsets[rows.owner == p][0]), 1) for p in np.unique(rows.owner)
        },
    }


def stretch_all(yaw_deg: Array, knots: NDArray[np.float32]) -> Array:
    """(N,) degrees, stretched between knots (`faceparts._headpose.stretch`)."""
    return np.array([stretch(yaw, knots) for yaw in yaw_deg.tolist()])


# --- scores --------------------------------------------------------------------------------------


def nearest_pose(yaw_deg: Array) -> NDArray[np.int64]:
    """The nearest of the 13 poses, in degrees.

    Example:
        >>> nearest_pose(np.array([-100.0, 6.0, 9.0])).tolist()
        [-90, 0, 15]
    """
    return np.asarray(np.clip(np.rint(np.asarray(yaw_deg) / 15) * 15, -90, 90), np.int64)


def score(predicted_deg: Array, yaw_deg: Sequence[int] | Array) -> dict[str, Any]:
    """Errors of a yaw against the labels, as it is and moved to the nearest of the 13 poses."""
    truth = np.asarray(yaw_deg, np.int64)
    answer = nearest_pose(predicted_deg)
    wrong = np.abs(answer - truth)
    size = len(POSES_DEG)
    confusion = np.zeros((size, size), np.int64)
    np.add.at(confusion, ((truth + 90) // 15, (answer + 90) // 15), 1)
    return {
        "photos": len(truth),
        "mae_deg": round(float(np.abs(predicted_deg - truth).mean()), 3),
        "pose_mae_deg": round(float(wrong.mean()), 3),
        "pose_accuracy": round(float((wrong == 0).mean()), 4),
        "within_15_deg": round(float((wrong <= 15).mean()), 4),
        "pose_mae_by_yaw_deg": {
            str(y): round(float(wrong[truth == y].mean()), 2) for y in np.unique(truth)
        },
        "confusion": confusion.tolist(),
    }


def features_of(
    labels: NDArray[np.uint8], label_set: Any, kind: str
) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """`_layout.see`; where nothing is seen all features are 0, which the mirror makes yaw 0."""
    seen = _layout.see(labels, label_set, kind) if labels.size else None
    none = np.zeros(len(_layout.column_names()), np.int16)
    return seen if seen is not None else (none, none)


def vary_rows(
    rows: Rows, sources: Sequence[Sequence[NDArray[np.uint8]]], kind: str, seed: int
) -> Rows:
    """Each row as it is and a varied copy (`vary_map`) of each of its sources, a map of groups.

    Copies of which nothing is seen are left out.
    """
    rng = np.random.default_rng(seed)
    at, first, second = [], [], []
    for i, maps in enumerate(sources):
        both = [(rows.first[i], rows.second[i])]
        for ids in maps:
            one = vary_map(ids, rng)
            other = _layout.exchange_sides(np.ascontiguousarray(one[:, ::-1]), kind)
            seen = [_layout.describe(_layout.upright(side)) for side in (one, other)]
            if seen[0] is not None and seen[1] is not None:
                both.append((seen[0].astype(np.float32), seen[1].astype(np.float32)))
        at += [i] * len(both)
        first += [b[0] for b in both]
        second += [b[1] for b in both]
    return replace(rows.take(np.array(at)), first=np.array(first), second=np.array(second))


def source_of(
    labels: NDArray[np.uint8], label_set: LabelSet, kind: str, mirrored: bool
) -> list[NDArray[np.uint8]]:
    """The map of groups of a photo, or of its mirror image turned back; none if it is empty."""
    return [_layout.group_ids(labels, label_set, kind)[int(mirrored)]] if labels.size else []
