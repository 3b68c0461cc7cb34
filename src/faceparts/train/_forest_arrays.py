"""scikit-learn's trees -> the plain arrays of `faceparts.segment._trees`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)

from faceparts.errors import BadData
from faceparts.segment._trees import NEVER, Trees


def to_trees(fitted: Any, parts: int) -> Trees:
    """The trees of a fitted forest as arrays for K = ``parts`` parts.

    Parts that no training pixel had get probability 0.

    Raises:
        BadData: the estimator is of another kind.
    """
    if isinstance(fitted, RandomForestClassifier | ExtraTreesClassifier):
        ids = fitted.classes_.astype(np.intp)
        bundles = [_votes(e.tree_, ids, parts) for e in fitted.estimators_]
        none = np.empty(0)
        return _join("vote", bundles, none.astype(np.int32), none)
    if isinstance(fitted, HistGradientBoostingClassifier):
        ids = fitted.classes_.astype(np.intp)
        spoken_for = ids[1:] if len(ids) == 2 else ids
        baseline = np.full(parts, NEVER)
        baseline[ids] = 0
        baseline[spoken_for] = fitted._baseline_prediction.reshape(-1)
        bundles, tree_part = [], []
        for trees in fitted._predictors:
            for part, tree in zip(spoken_for, trees, strict=True):
                bundles.append(_log_odds(tree.nodes))
                tree_part.append(part)
        return _join("boost", bundles, np.array(tree_part, np.int32), baseline)
    raise BadData(
        f"forest: {type(fitted).__name__} cannot be exported; wanted a random forest, extra trees "
        "or histogram gradient boosting"
    )


Bundle = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]
"""Feature (-1 in leaves), threshold, left child and leaf values of one tree, nodes in new order."""


def _votes(tree: Any, ids: NDArray[np.intp], parts: int) -> Bundle:
    order, left = _siblings_together(tree.children_left, tree.children_right)
    is_leaf = tree.children_left[order] < 0
    share = tree.value[order[is_leaf], 0]
    value = np.zeros((int(is_leaf.sum()), parts), np.float32)
    value[:, ids] = share / share.sum(axis=1, keepdims=True)
    feature = np.where(is_leaf, -1, tree.feature[order])
    return feature, np.where(is_leaf, 0.0, tree.threshold[order]), left, value


def _log_odds(nodes: NDArray[Any]) -> Bundle:
    is_leaf = nodes["is_leaf"].astype(bool)
    below, above = (
        np.where(is_leaf, -1, nodes[side].astype(np.int64)) for side in ("left", "right")
    )
    order, left = _siblings_together(below, above)
    leaf = is_leaf[order]
    feature = np.where(leaf, -1, nodes["feature_idx"][order].astype(np.int64))
    threshold = np.where(leaf, 0.0, nodes["num_threshold"][order])
    return feature, threshold, left, nodes["value"][order[leaf]]


def _siblings_together(
    below: NDArray[Any], above: NDArray[Any]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Old numbers of the nodes, level by level, and the new number of each one's left child."""
    order, left = [np.zeros(1, np.intp)], []
    total = 1
    while len(order[-1]):
        level = order[-1]
        inner = below[level] >= 0
        children = np.stack([below[level[inner]], above[level[inner]]], axis=1).reshape(-1)
        begins = np.zeros(len(level), np.intp)
        begins[inner] = total + 2 * np.arange(int(inner.sum()))
        left.append(begins)
        order.append(children.astype(np.intp))
        total += len(children)
    return np.concatenate(order), np.concatenate(left)


def _join(
    kind: str, bundles: Sequence[Bundle], tree_part: NDArray[np.int32], baseline: NDArray[Any]
) -> Trees:
    sizes = [len(feature) for feature, _, _, _ in bundles]
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32)
    feature = np.concatenate([b[0] for b in bundles]).astype(np.int16)
    left = np.concatenate([b[2] + r for b, r in zip(bundles, roots, strict=True)]).astype(np.int32)
    left[feature < 0] = 0
    threshold = round_down(np.concatenate([b[1] for b in bundles]))
    value = np.concatenate([b[3] for b in bundles])
    return Trees(kind, roots, feature, threshold, left, value, tree_part, baseline.astype(float))


def round_down(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 that is not above each value.

    A float32 is at most the value exactly when it is at most this.

    Example:
        >>> float(round_down(np.array([0.1]))[0]) <= 0.1 < float(np.float32(0.1))
        True
    """
    top = np.finfo(np.float32).max
    near = np.clip(values, -top, top).astype(np.float32)
    below = np.nextafter(near, np.float32(-np.inf))
    return np.asarray(np.where(near.astype(np.float64) > values, below, near), np.float32)
