"""Head pose from part maps: regression trees over the layout, and the classical road of ICME 2017.

The modern road: a parser's part maps -> `faceparts._layout` -> extremely randomized trees for yaw
and pitch -> plain arrays for `faceparts._headpose`. The classical road, after Khan, Mauro, Benini
and Leonardi, "Head pose estimation through multi-class face segmentation", ICME 2017: a forest
over pixels gives probability maps, a second forest tells the pose from them.

Every picture is learnt together with its mirror image, and answers are averaged over both.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor

from faceparts import _layout
from faceparts._headpose import KNOTS_DEG, PER_DEGREE, Trees
from faceparts.datasets import fasseg
from faceparts.errors import BadData, UsageError
from faceparts.train._forest_arrays import _siblings_together
from faceparts.types import Image

POSES_DEG = tuple(range(-90, 91, 15))
"""The 13 yaws of FASSEG V3; positive = the subject turns to its own right, nose to image left."""

_V3_NAME = re.compile(r"^([+-]?\d+)/personne(\d\d)")
Array = NDArray[np.float64]

MAX_STEP = 65_535
"""A child lies at most so many nodes after its parent."""


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


# --- pseudo-labels from 3-D points ---------------------------------------------------------------

PAIRS = ((33, 263), (133, 362), (61, 291), (234, 454), (129, 358), (70, 300), (172, 397))
"""Points of the 478-point face mesh that lie opposite each other: subject's right, left."""

TOP, CHIN = 10, 152
TEACHER_PX = 192


def pose_of_points(points: NDArray[np.floating[Any]]) -> tuple[float, float, float]:
    """Yaw, pitch, roll in degrees of a face mesh.

    The x axis is the mean of lines from the right to the left side, the y axis the line from the
    top of the forehead to the chin made square to it.

    Args:
        points: (478, 3) x, y, z; x to the right, y down, z away from the camera, one scale.

    Example:
        >>> points = np.zeros((478, 3))
        >>> points[[b for _, b in PAIRS], 0] = 1
        >>> points[CHIN, 1] = 1
        >>> pose_of_points(points)
        (0.0, 0.0, 0.0)
    """
    across = np.mean([points[left] - points[right] for right, left in PAIRS], axis=0)
    x = across / np.linalg.norm(across)
    down = points[CHIN] - points[TOP]
    y = down - (down @ x) * x
    z = np.cross(x, y / np.linalg.norm(y))
    return (
        math.degrees(math.atan2(z[0], z[2])),
        math.degrees(math.asin(min(max(float(z[1]), -1.0), 1.0))),
        math.degrees(math.atan2(x[1], x[0])),
    )


def open_teacher(path: Path) -> Callable[[Image, NDArray[np.uint8]], tuple[float, float, float]]:
    """A face-mesh net (TFLite) as a function of picture and face mask -> yaw, pitch, probability.

    Raises:
        BadData: no such file, or not a net of 478 points.
        UsageError: ai-edge-litert is not installed.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise UsageError(
            "pseudo-labels need ai-edge-litert; pip install 'faceparts[keypoints]'"
        ) from error
    try:
        net = Interpreter(str(path), num_threads=1)
        net.allocate_tensors()
    except (OSError, ValueError, RuntimeError) as error:
        raise BadData(f"{path}: not a usable TFLite net ({error})") from None
    wanted, outputs = net.get_input_details()[0], net.get_output_details()
    if sorted(int(np.prod(o["shape"])) for o in outputs)[-1] != 478 * 3:
        raise BadData(f"{path}: wanted a net that gives 478 points")

    def look(image: Image, face: NDArray[np.uint8]) -> tuple[float, float, float]:
        cut = _cut_face(image, face)
        net.set_tensor(wanted["index"], (cut[None] / 255).astype(np.float32))
        net.invoke()
        found = [np.asarray(net.get_tensor(o["index"])).ravel() for o in outputs]
        points = next(f for f in found if f.size == 478 * 3).reshape(478, 3)
        logit = float(next(f for f in found if f.size == 1)[0])
        yaw, pitch, _ = pose_of_points(points)
        return yaw, pitch, 1 / (1 + math.exp(-min(max(logit, -50.0), 50.0)))

    return look


def _cut_face(image: Image, face: NDArray[np.uint8]) -> Image:
    """A square of 1.5 times the face's longer side around it; grey outside the picture."""
    ys, xs = np.nonzero(face)
    (x0, x1), (y0, y1) = np.percentile(xs, (1, 99)), np.percentile(ys, (1, 99))
    side = max(x1 - x0, y1 - y0, 8.0) * 1.5
    scale = TEACHER_PX / side
    middle = ((x0 + x1) / 2, (y0 + y1) / 2)
    matrix = np.array([[scale, 0, TEACHER_PX / 2 - middle[0] * scale]] * 2)
    matrix[1] = 0, scale, TEACHER_PX / 2 - middle[1] * scale
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    size_wh = (TEACHER_PX, TEACHER_PX)
    cut = cv2.warpAffine(image, matrix, size_wh, flags=how, borderValue=(127, 127, 127))
    return np.asarray(cut, np.uint8)


# --- learning ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Rows:
    """What is learnt from: features of N maps and of their mirror images.

    Args:
        first, second: (N, F) float32, of the map and of its mirror image.
        yaw_deg, pitch_deg: (N,) targets; ``nan`` where unknown.
        owner: (N,) who is on it; people of a fold are left out together.
    """

    first: NDArray[np.float32]
    second: NDArray[np.float32]
    yaw_deg: Array
    pitch_deg: Array
    owner: NDArray[np.int64]

    def take(self, where: NDArray[Any]) -> Rows:
        """Some of the rows."""
        return Rows(*(getattr(self, n)[where] for n in self.__dataclass_fields__))


@dataclass(frozen=True)
class TreeSettings:
    """How the trees of one kind of map grow; see scikit-learn's ``ExtraTreesRegressor``."""

    yaw_trees: int = 60
    pitch_trees: int = 30
    min_leaf: int = 2
    max_features: float = 0.2


def fit_angle(rows: Rows, angle: str, how: TreeSettings, seed: int) -> Any:
    """Trees for ``"yaw"`` or ``"pitch"``; rows without a target are left out.

    Raises:
        BadData: fewer than 10 rows have one.
    """
    target = rows.yaw_deg if angle == "yaw" else rows.pitch_deg
    known = np.isfinite(target)
    if known.sum() < 10:
        raise BadData(f"headpose: {known.sum()} rows with a known {angle}; wanted at least 10")
    sign = -1 if angle == "yaw" else 1
    x = np.concatenate([rows.first[known], rows.second[known]])
    y = np.concatenate([target[known], sign * target[known]])
    model = ExtraTreesRegressor(
        how.yaw_trees if angle == "yaw" else how.pitch_trees,
        min_samples_leaf=how.min_leaf,
        max_features=how.max_features,
        random_state=seed,
        n_jobs=1,
    )
    return model.fit(x, y)


def predict_angle(model: Any, rows: Rows, angle: str) -> Array:
    """(N,) degrees, from both images of each row."""
    sign = -1 if angle == "yaw" else 1
    return np.asarray((model.predict(rows.first) + sign * model.predict(rows.second)) / 2)


def predict_left_out(
    rows: Rows, more: Rows | None, angle: str, how: TreeSettings, seed: int
) -> Array:
    """(N,) degrees for every row by trees that saw nobody of its owner, and all of ``more``."""
    out = np.zeros(len(rows.owner))
    for owner in np.unique(rows.owner):
        left = rows.owner == owner
        learnt = join(rows.take(~left), more)
        out[left] = predict_angle(fit_angle(learnt, angle, how, seed), rows.take(left), angle)
    return out


def join(rows: Rows, more: Rows | None) -> Rows:
    """Both below each other."""
    if more is None:
        return rows
    names = rows.__dataclass_fields__
    return Rows(*(np.concatenate([getattr(rows, n), getattr(more, n)]) for n in names))


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


def to_trees(fitted: Any) -> Trees:
    """A fitted forest of regression trees over whole-numbered features as plain arrays.

    Raises:
        BadData: a tree is too large for its numbers.
    """
    roots, parts, total = [], [], 0
    for estimator in fitted.estimators_:
        tree = estimator.tree_
        order, left = _siblings_together(tree.children_left, tree.children_right)
        leaf = tree.children_left[order] < 0
        step = np.where(leaf, 0, left - np.arange(len(order)))
        if step.max(initial=0) > MAX_STEP:
            raise BadData(f"headpose: a tree of {len(order)} nodes; wanted a smaller one")
        number = np.where(
            leaf,
            np.rint(tree.value[order, 0, 0] * PER_DEGREE),
            np.floor(tree.threshold[order]),
        )
        parts.append((np.where(leaf, -1, tree.feature[order]), number, step))
        roots.append(total)
        total += len(order)
    feature, number, step = (np.concatenate([p[i] for p in parts]) for i in range(3))
    return Trees(
        np.array(roots, np.int32),
        feature.astype(np.int16),
        number.astype(np.int16),
        step.astype(np.uint16),
    )


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
