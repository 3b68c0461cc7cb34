"""Yaw and pitch of a head from its part map: small regression trees and a kernel, run by numpy.

The trees look at the features of `faceparts._layout` and at those of the mirror image; yaw is half
the difference of the two answers, pitch their mean. So a mirrored map gives exactly the negated
yaw. The mean of many trees shrinks towards the front near profile; knots put that back. A support
vector regression may have a share in the yaw: it is smooth where trees are steps.
``faceparts train headpose-fasseg`` makes the file (``models/headpose.npz``) of plain arrays:

- ``card``: text: what it was trained on and under which terms;
- ``columns``: the names of the features, as a check that file and program belong together;
- ``{kind}_{angle}_roots``, ``_feature``, ``_number``, ``_left`` for the kinds ``sided`` and
  ``plain`` and the angles ``yaw`` and ``pitch`` (which may be absent), see
  `Trees`;
- ``{kind}_svr_vectors``, ``_weights``, ``_middle``, ``_spread``, ``_numbers`` (may be absent), see
  `Svr`;
- ``{kind}_knots``: what the trees say, in the middle, of heads turned by `KNOTS_DEG`.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass, field
from functools import cache, cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceparts import _layout
from faceparts.errors import BadWeights
from faceparts.types import LabelSet

MODEL = Path(__file__).parent / "models" / "headpose.npz"
"""The shipped file."""

KINDS = (_layout.SIDED, _layout.PLAIN)
ANGLES = ("yaw", "pitch")
MAX_FILE_BYTES = 2**24

MAX_PITCH_YAW_DEG = 50.0
"""Pitch was learnt from heads turned less than this; beyond it, it is unknown."""

KNOTS_DEG = (0.0, 15.0, 30.0, 45.0, 60.0, 75.0, 90.0)

PER_DEGREE = 64
"""Leaves hold whole multiples of 1 / `PER_DEGREE` degrees."""

_ARRAYS = {"roots": "<i4", "feature": "<i2", "number": "<i2", "left": "<u2"}
_SVR_ARRAYS = {n: "<f4" for n in ("weights", "middle", "spread", "numbers")} | {"vectors": "<i2"}
_DAMAGE = (
    *(ValueError, TypeError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile),
    NotImplementedError,
)


@dataclass(frozen=True, eq=False)
class Trees:
    """Regression trees in one list of nodes.

    Args:
        roots: (T,) where each tree begins.
        feature: (N,) feature that a node asks for, -1 in leaves.
        number: (N,) inner nodes: values above it go to the right; leaves: the answer in
            1 / `PER_DEGREE` degrees.
        left: (N,) how many nodes after this one the left child lies; the right one is next to it;
            0 in leaves.
    """

    roots: NDArray[np.int32]
    feature: NDArray[np.int16]
    number: NDArray[np.int16]
    left: NDArray[np.uint16]

    def check(self, columns: int) -> None:
        """Make sure that every walk ends inside its tree.

        Raises:
            ValueError: the arrays contradict each other or the number of features.
        """
        nodes, roots, inner = len(self.feature), self.roots, np.flatnonzero(self.feature >= 0)
        if not len(roots) or roots[0] != 0 or np.any(np.diff(roots) <= 0) or roots[-1] >= nodes:
            raise ValueError(f"roots do not divide {nodes} nodes into trees")
        if len(self.number) != nodes or len(self.left) != nodes:
            raise ValueError("arrays of different lengths")
        if self.feature.max() >= columns:
            raise ValueError(f"feature {self.feature.max()} is asked for, there are {columns}")
        ends = np.append(roots[1:], nodes)[np.searchsorted(roots, inner, side="right") - 1]
        step = self.left[inner].astype(np.int64)
        if np.any(step < 1) or np.any(inner + step + 1 >= ends):
            raise ValueError("a child lies before its parent or in another tree")

    def predict(self, features: NDArray[np.int16]) -> float:
        """Mean answer of the trees for (F,) features, in degrees."""
        at = self.roots.astype(np.intp)
        while True:
            asked = self.feature[at]
            inner = asked >= 0
            if not inner.any():
                return float(self.number[at].mean(dtype=np.float64)) / PER_DEGREE
            beyond = features[np.maximum(asked, 0)] > self.number[at]
            at = at + np.where(inner, self.left[at].astype(np.intp) + beyond, 0)


@dataclass(frozen=True, eq=False)
class Svr:
    """Support vector regression with a Gaussian kernel (Drucker et al., NIPS 1996) for the yaw.

    Args:
        vectors: (S, F) whole numbers, the features that it remembers.
        weights: (S,) degrees.
        middle, spread: (F,) features are looked at as ``(feature - middle) / spread``.
        numbers: (3,) gamma of ``exp(-gamma * distance ** 2)``, bias in degrees, and the share of
            the answer in the yaw (0..1; the rest is the trees').
    """

    vectors: NDArray[np.int16]
    weights: NDArray[np.float32]
    middle: NDArray[np.float32]
    spread: NDArray[np.float32]
    numbers: NDArray[np.float32]

    @property
    def share(self) -> float:
        """Of its answer in the yaw."""
        return float(self.numbers[2])

    def check(self, columns: int) -> None:
        """Make sure that shapes fit each other and all numbers are usable.

        Raises:
            ValueError: they are not.
        """
        count = len(self.weights)
        shapes = [a.shape for a in (self.vectors, self.middle, self.spread, self.numbers)]
        if not count or shapes != [(count, columns), (columns,), (columns,), (3,)]:
            raise ValueError(f"support vectors of shapes {shapes}; there are {columns} features")
        values = (self.weights, self.middle, self.spread, self.numbers)
        if not all(np.isfinite(a).all() for a in values) or (self.spread <= 0).any():
            raise ValueError("support vectors: not finite, or features without spread")
        if self.numbers[0] <= 0 or not 0 <= self.share <= 1:
            raise ValueError(f"support vectors: gamma, bias, share = {self.numbers.tolist()}")

    def predict(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """(N, F) features -> (N,) degrees."""
        seen = (np.asarray(features, np.float32) - self.middle) / self.spread
        known, squares = self._known
        far = (seen**2).sum(axis=1)[:, None] + squares - 2 * seen @ known.T
        near = np.exp(-self.numbers[0] * np.maximum(far, 0))
        return np.asarray(near @ self.weights + self.numbers[1], np.float32)

    @cached_property
    def _known(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The vectors as they are looked at, and their squared lengths."""
        known = (self.vectors.astype(np.float32) - self.middle) / self.spread
        return known, (known**2).sum(axis=1)


def stretch(yaw_deg: float, knots: NDArray[np.float32]) -> float:
    """Bring a mean of trees back to the scale of the labels; odd, and at most 90 degrees.

    Args:
        knots: (7,) rising from 0: what the trees say at `KNOTS_DEG`.

    Example:
        >>> stretch(-70.0, np.float32([0, 10, 20, 30, 40, 60, 80]))
        -82.5
    """
    return float(np.copysign(np.interp(abs(yaw_deg), knots, KNOTS_DEG), yaw_deg))


@dataclass(frozen=True, eq=False)
class PoseModel:
    """Trees for each kind of map and each angle, and the knots of each kind.

    Args:
        card: text about the file.
        trees: by kind and angle.
        knots: by kind, see `stretch`.
        svrs: by kind; kinds may be absent.
    """

    card: str
    trees: dict[tuple[str, str], Trees]
    knots: dict[str, NDArray[np.float32]]
    svrs: dict[str, Svr] = field(default_factory=dict)

    def angles(
        self, kind: str, seen: tuple[NDArray[np.int16], NDArray[np.int16]]
    ) -> tuple[float, float]:
        """Yaw and pitch in degrees from what `_layout.see` gives; pitch ``nan`` where unknown."""
        yaw_trees, pitch_trees = self.trees[kind, "yaw"], self.trees.get((kind, "pitch"))
        yaw = (yaw_trees.predict(seen[0]) - yaw_trees.predict(seen[1])) / 2
        svr = self.svrs.get(kind)
        if svr is not None:
            one, other = (float(svr.predict(side[None])[0]) for side in seen)
            yaw += svr.share * ((one - other) / 2 - yaw)
        yaw = stretch(yaw, self.knots[kind])
        if pitch_trees is None or abs(yaw) > MAX_PITCH_YAW_DEG:
            return yaw, float("nan")
        return yaw, (pitch_trees.predict(seen[0]) + pitch_trees.predict(seen[1])) / 2


def measure_pose(labels: NDArray[np.uint8], label_set: LabelSet) -> tuple[float, float]:
    """Yaw and pitch of a part map in degrees.

    Yaw is positive when the subject turns to its own right, so that the nose points to the left of
    the picture; pitch is positive when it looks up. Both are ``nan`` where the label set lacks
    parts (see `_layout.kind_of`) or too little of head and face is seen, as from behind.

    Raises:
        BadWeights: the shipped file is missing or damaged.
    """
    kind = _layout.kind_of(label_set)
    seen = None if kind is None else _layout.see(labels, label_set, kind)
    if kind is None or seen is None:
        return float("nan"), float("nan")
    return _shipped(MODEL).angles(kind, seen)


@cache
def _shipped(path: Path) -> PoseModel:
    return read(path)


def to_bytes(model: PoseModel) -> bytes:
    """The contents of a file; the same model gives the same bytes."""
    arrays = {"card": np.array(model.card), "columns": np.array(_layout.column_names())}
    for (kind, angle), trees in model.trees.items():
        for name, dtype in _ARRAYS.items():
            arrays[f"{kind}_{angle}_{name}"] = getattr(trees, name).astype(dtype)
    for kind, svr in model.svrs.items():
        for name, dtype in _SVR_ARRAYS.items():
            arrays[f"{kind}_svr_{name}"] = getattr(svr, name).astype(dtype)
    arrays |= {f"{kind}_knots": knots.astype("<f4") for kind, knots in model.knots.items()}
    buffer = BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def read(path: Path) -> PoseModel:
    """Read and check a file.

    Raises:
        BadWeights: missing, damaged, made for other features, or its arrays contradict each other.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            total = sum(info.file_size for info in archive.infolist())
        if total > MAX_FILE_BYTES:
            raise ValueError(f"{total} bytes unpacked, wanted at most {MAX_FILE_BYTES}")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if arrays["columns"].tolist() != _layout.column_names():
            raise ValueError("made for other features than this program has")
        trees = {
            (kind, angle): _build(arrays, f"{kind}_{angle}")
            for kind in KINDS
            for angle in ANGLES
            if angle == "yaw" or f"{kind}_{angle}_roots" in arrays
        }
        knots = {kind: _check_knots(arrays[f"{kind}_knots"]) for kind in KINDS}
        svrs = {
            kind: _build_svr(arrays, f"{kind}_svr")
            for kind in KINDS
            if f"{kind}_svr_vectors" in arrays
        }
        return PoseModel(str(arrays["card"]), trees, knots, svrs)
    except OSError as error:
        why = error.strerror or error
        raise BadWeights(f"{path}: no such file, or it cannot be read ({why})") from None
    except KeyError as error:
        raise BadWeights(f"{path}: not a head pose file: {error} is missing") from None
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:200]
        raise BadWeights(
            f"{path}: not a usable head pose file: {reason}; install or train it again"
        ) from None


def _check_knots(knots: NDArray[np.generic]) -> NDArray[np.float32]:
    values = np.asarray(knots, np.float32)
    if values.shape != (len(KNOTS_DEG),) or values[0] != 0 or not np.all(np.diff(values) > 0):
        raise ValueError(f"knots {values.tolist()} do not rise from 0")
    return values


def _build(arrays: dict[str, NDArray[np.generic]], prefix: str) -> Trees:
    found: dict[str, NDArray[Any]] = {}
    for name, dtype in _ARRAYS.items():
        array = arrays[f"{prefix}_{name}"]
        if array.dtype != np.dtype(dtype) or array.ndim != 1 or not array.size:
            raise ValueError(f"{prefix}_{name} holds {array.dtype} of shape {array.shape}")
        found[name] = array
    trees = Trees(**found)
    trees.check(len(_layout.column_names()))
    return trees


def _build_svr(arrays: dict[str, NDArray[np.generic]], prefix: str) -> Svr:
    found: dict[str, NDArray[Any]] = {}
    for name, dtype in _SVR_ARRAYS.items():
        array = arrays[f"{prefix}_{name}"]
        if array.dtype != np.dtype(dtype):
            raise ValueError(f"{prefix}_{name} holds {array.dtype}; wanted {np.dtype(dtype)}")
        found[name] = array
    svr = Svr(**found)
    svr.check(len(_layout.column_names()))
    return svr
