"""What the yaw and the pitch are learnt with: extremely randomized trees and support vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from faceparts._headpose import PER_DEGREE, Svr, Trees
from faceparts.errors import BadData
from faceparts.train._forest_arrays import _siblings_together

Array = NDArray[np.float64]

SVR_EPSILON_DEG = 3.0
"""Errors up to this are none to support vector regression."""

MAX_STEP = 65_535
"""A child lies at most so many nodes after its parent."""


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


def join(rows: Rows, more: Rows | None) -> Rows:
    """Both below each other."""
    if more is None:
        return rows
    names = rows.__dataclass_fields__
    return Rows(*(np.concatenate([getattr(rows, n), getattr(more, n)]) for n in names))


@dataclass(frozen=True)
class TreeSettings:
    """How one kind of map is learnt; see scikit-learn's ``ExtraTreesRegressor`` and ``SVR``.

    Args:
        yaw_trees, pitch_trees, min_leaf, max_features: of the trees.
        svr_share: of support vector regression in the yaw, 0..1; 0 = trees alone.
        svr_c, svr_gamma: of it; features are brought to mean 0 and spread 1 before.
    """

    yaw_trees: int = 60
    pitch_trees: int = 30
    min_leaf: int = 2
    max_features: float = 0.3
    svr_share: float = 0.0
    svr_c: float = 100.0
    svr_gamma: float = 1e-3


def fit_angle(rows: Rows, angle: str, how: TreeSettings, seed: int, threads: int = 1) -> Any:
    """Trees for ``"yaw"`` or ``"pitch"``; rows without a target are left out.

    Raises:
        BadData: fewer than 10 rows have one.
    """
    x, y = _both_ways(rows, angle)
    model = ExtraTreesRegressor(
        how.yaw_trees if angle == "yaw" else how.pitch_trees,
        min_samples_leaf=how.min_leaf,
        max_features=how.max_features,
        random_state=seed,
        n_jobs=threads,
    )
    return model.fit(x, y)


def _both_ways(rows: Rows, angle: str) -> tuple[NDArray[np.float32], Array]:
    """Features and targets of maps and of their mirror images; those without a target left out."""
    target = rows.yaw_deg if angle == "yaw" else rows.pitch_deg
    known = np.isfinite(target)
    if known.sum() < 10:
        raise BadData(f"headpose: {known.sum()} rows with a known {angle}; wanted at least 10")
    sign = -1 if angle == "yaw" else 1
    x = np.concatenate([rows.first[known], rows.second[known]])
    return x, np.concatenate([target[known], sign * target[known]])


@dataclass(frozen=True, eq=False)
class YawModel:
    """Fitted trees and, beside them, what is smooth where they are steps."""

    trees: Any
    svr: Svr | None

    def predict(self, features: NDArray[np.float32]) -> Array:
        """(N, F) features -> (N,) degrees."""
        told = np.asarray(self.trees.predict(features))
        if self.svr is None:
            return told
        return np.asarray(told + self.svr.share * (self.svr.predict(features) - told))


@dataclass(frozen=True, eq=False)
class Halves:
    """What trees and support vectors tell of the same maps, before they are mixed.

    Args:
        trees_deg, svr_deg: (N,) degrees; the same where there are no support vectors.
    """

    trees_deg: Array
    svr_deg: Array

    def at(self, share: float) -> Array:
        """(N,) degrees with so much of the support vectors, 0..1."""
        return np.asarray(self.trees_deg + share * (self.svr_deg - self.trees_deg))


def predict_halves(model: YawModel, rows: Rows) -> Halves:
    """Both answers, from both images of each row."""
    trees = predict_angle(model.trees, rows, "yaw")
    return Halves(trees, predict_angle(model.svr, rows, "yaw") if model.svr else trees)


def fit_yaw(rows: Rows, how: TreeSettings, seed: int, threads: int = 1) -> YawModel:
    """Trees and support vector regression for the yaw.

    Raises:
        BadData: fewer than 10 rows have one.
    """
    trees = fit_angle(rows, "yaw", how, seed, threads)
    return YawModel(trees, fit_svr(*_both_ways(rows, "yaw"), how) if how.svr_share else None)


def fit_svr(x: NDArray[np.float32], y: Array, how: TreeSettings) -> Svr:
    """Support vector regression of (N, F) whole-numbered features on (N,) degrees."""
    scaler = StandardScaler().fit(x)
    model = SVR(C=how.svr_c, gamma=how.svr_gamma, epsilon=SVR_EPSILON_DEG)
    model.fit(scaler.transform(x), y)
    return Svr(
        np.rint(x[model.support_]).astype(np.int16),
        model.dual_coef_[0].astype(np.float32),
        scaler.mean_.astype(np.float32),
        scaler.scale_.astype(np.float32),
        np.array([how.svr_gamma, model.intercept_[0], how.svr_share], np.float32),
    )


def predict_angle(model: Any, rows: Rows, angle: str) -> Array:
    """(N,) degrees, from both images of each row."""
    sign = -1 if angle == "yaw" else 1
    return np.asarray((model.predict(rows.first) + sign * model.predict(rows.second)) / 2)


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
