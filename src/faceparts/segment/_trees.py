"""Trees as plain arrays, walked by numpy: level by level, all pixels of a block at once.

Nodes of all trees lie in one list, children after their parent and side by side, so that one
number says where both are: a value above the threshold goes to ``left + 1``, all others to
``left``. Thresholds are float32, rounded down: for float32 features that takes the same turns as
scikit-learn's float64 thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

BLOCK_PIXELS = 4096
"""Pixels that are walked together: their features stay in the processor's cache."""

NEVER = -1.0e4
"""Log odds of a part that no training pixel had."""

_LEVELS_BETWEEN_LOOKS = 4


@dataclass(frozen=True, eq=False)
class Trees:
    """N nodes of T trees with L leaves over F features for K parts.

    Args:
        kind: ``"vote"``: a leaf holds K probabilities, the answer is their mean over the trees
            (random forest, extra trees). ``"boost"``: a leaf holds log odds for the part of its
            tree, the answer is the softmax of their sums (gradient boosting).
        roots: (T,) int32, rising, the first 0: where each tree begins.
        feature: (N,) int16, -1 in leaves.
        threshold: (N,) float32; not read in leaves.
        left: (N,) int32: the child for small values, the other one is next; 0 in leaves.
        value: vote: (L, K) float32; boost: (L,) float64; leaves in the order of their nodes.
        tree_part: boost: (T,) int32, the part that each tree speaks for; vote: (0,).
        baseline: boost: (K,) float64, log odds before any tree; vote: (0,).
    """

    kind: str
    roots: NDArray[np.int32]
    feature: NDArray[np.int16]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    value: NDArray[np.float32] | NDArray[np.float64]
    tree_part: NDArray[np.int32]
    baseline: NDArray[np.float64]

    @cached_property
    def _is_leaf(self) -> NDArray[np.bool_]:
        return self.feature < 0

    @cached_property
    def _next(self) -> NDArray[np.intp]:
        """The left child; leaves lead to themselves."""
        return np.where(self._is_leaf, np.arange(len(self.left)), self.left).astype(np.intp)

    @cached_property
    def _limit(self) -> NDArray[np.float32]:
        return np.where(self._is_leaf, np.float32(np.inf), self.threshold)

    @cached_property
    def _column(self) -> NDArray[np.intp]:
        return np.maximum(self.feature, 0).astype(np.intp)

    @cached_property
    def _leaf_row(self) -> NDArray[np.intp]:
        return (np.cumsum(self._is_leaf) - 1).astype(np.intp)

    @property
    def parts(self) -> int:
        """K."""
        return self.value.shape[1] if self.kind == "vote" else len(self.baseline)

    def check(self, columns: int, parts: int) -> None:
        """Make sure that walking ends and never leaves the arrays.

        Raises:
            ValueError: the arrays contradict each other, or the number of features or parts.
        """
        nodes, inner = len(self.feature), np.flatnonzero(~self._is_leaf)
        leaves = nodes - len(inner)
        boost = self.kind == "boost"
        if self.kind not in ("vote", "boost"):
            raise ValueError(f"trees of kind {self.kind!r}; wanted 'vote' or 'boost'")
        roots = self.roots
        if not len(roots) or roots[0] != 0 or np.any(np.diff(roots) <= 0) or roots[-1] >= nodes:
            raise ValueError(f"roots do not divide {nodes} nodes into trees")
        for name, array, shape in (
            ("threshold", self.threshold, (nodes,)),
            ("left", self.left, (nodes,)),
            ("value", self.value, (leaves,) if boost else (leaves, parts)),
            ("tree_part", self.tree_part, (len(roots) if boost else 0,)),
            ("baseline", self.baseline, (parts if boost else 0,)),
        ):
            if array.shape != shape:
                raise ValueError(f"{name} has shape {array.shape}, wanted {shape}")
        if nodes and self.feature.max() >= columns:
            raise ValueError(f"feature {self.feature.max()} is asked for, there are {columns}")
        ends = np.append(roots[1:], nodes)[np.searchsorted(roots, inner, side="right") - 1]
        left = self.left[inner]
        if np.any(left <= inner) or np.any(left + 1 >= ends):
            raise ValueError("a child lies before its parent or in another tree")
        if boost and (self.tree_part.min() < 0 or self.tree_part.max() >= parts):
            raise ValueError(f"a tree speaks for part {self.tree_part.max()}, there are {parts}")
        for array in (self.threshold[inner], self.value, self.baseline):
            if not np.all(np.isfinite(array)):
                raise ValueError("a threshold or value is not a number")
        if not boost and np.abs(self.value.sum(axis=1, dtype=float) - 1).max(initial=0) > 1e-4:
            raise ValueError("the probabilities of a leaf do not sum to 1")

    def probs(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """(F, P) float32 features, each feature in one piece -> (P, K) float32 probabilities."""
        flat = np.ascontiguousarray(features).reshape(-1)
        count = features.shape[1]
        total = np.zeros((count, self.parts)) + (self.baseline if self.kind == "boost" else 0.0)
        start = self._column * count
        for tree, root in enumerate(self.roots):
            rows = self._leaf_row[self._walk(flat, start, int(root), count)]
            if self.kind == "boost":
                total[:, self.tree_part[tree]] += self.value[rows]
            else:
                total += self.value[rows]
        if self.kind == "boost":
            total = np.exp(total - total.max(axis=1, keepdims=True))
            return np.asarray(total / total.sum(axis=1, keepdims=True), np.float32)
        return np.asarray(total / len(self.roots), np.float32)

    def _walk(
        self, flat: NDArray[np.float32], start: NDArray[np.intp], root: int, count: int
    ) -> NDArray[np.intp]:
        """The leaf node that each of the pixels comes to in one tree."""
        arrived = np.full(count, root, np.intp)
        if self._is_leaf[root]:
            return arrived
        pixels, node = np.arange(count), arrived.copy()
        while len(pixels):
            at, value = np.empty_like(node), np.empty(len(node), np.float32)
            limit, beyond = np.empty_like(value), np.empty(len(node), bool)
            for _ in range(_LEVELS_BETWEEN_LOOKS):
                np.take(start, node, out=at, mode="clip")
                at += pixels
                np.take(flat, at, out=value, mode="clip")
                np.take(self._limit, node, out=limit, mode="clip")
                np.greater(value, limit, out=beyond)
                np.take(self._next, node, out=at, mode="clip")
                np.add(at, beyond, out=node)
            done = self._is_leaf[node]
            arrived[pixels[done]] = node[done]
            pixels, node = pixels[~done], node[~done]
        return arrived
