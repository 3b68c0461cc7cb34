# ruff: noqa: N803  # X is scikit-learn's name
"""Forests over pixels with scikit-learn, trained on pictures and exported as plain arrays.

All estimators here take *pictures*: ``X`` is an (N, H, W, 3) uint8 array or a list of pictures,
``y`` the label maps of the same sizes, `IGNORE` where unknown. So folds are folds of pictures, and
no picture has pixels on both sides. They are ordinary scikit-learn estimators: `Pipeline`, `clone`,
`set_params` and `GridSearchCV` (with a splitter such as `GroupKFold`) work.

`PixelFeatures` and `PixelClassifier` are the two halves of a pipeline; `PixelForest` joins them,
adds further stages that see the probabilities of the stage before (auto-context: Tu and Bai, PAMI
2010; the stage before is applied out of fold while training), and becomes a `Forest` file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.model_selection import GroupKFold
from sklearn.utils.validation import check_is_fitted
from tqdm import tqdm

from faceparts.errors import BadData
from faceparts.evaluate import confusion
from faceparts.segment import _features
from faceparts.segment._trees import Trees
from faceparts.segment.forest import run_trees
from faceparts.train._forest_arrays import to_trees
from faceparts.types import IGNORE, Image

Array = NDArray[np.float32]
Ids = NDArray[np.uint8]

MODELS: dict[str, type[Any]] = {
    "random_forest": RandomForestClassifier,
    "extra_trees": ExtraTreesClassifier,
    "boosting": HistGradientBoostingClassifier,
}
"""Name in a recipe -> estimator of scikit-learn."""


class FeatureMaps(Sequence[Array]):
    """(H, W, F) features of pictures, computed when asked for: never all in memory."""

    def __init__(
        self,
        pictures: Sequence[Image],
        terms: Sequence[_features.Term],
        margin: float,
        probs: Sequence[Array] | None = None,
    ) -> None:
        self.pictures, self.terms, self.margin, self.probs = pictures, terms, margin, probs

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, i: Any) -> Any:
        if not isinstance(i, int | np.integer):
            chosen = np.arange(len(self))[i].tolist()
            probs = None if self.probs is None else [self.probs[j] for j in chosen]
            return FeatureMaps([self.pictures[j] for j in chosen], self.terms, self.margin, probs)
        i = int(i)
        return _features.compute(
            self.pictures[i],
            self.terms,
            head=_features.head_of(_size_wh(self.pictures[i]), self.margin),
            probs=None if self.probs is None else self.probs[i],
        )


def _size_wh(picture: Image) -> tuple[int, int]:
    return picture.shape[1], picture.shape[0]


class PixelFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # untyped bases
    """Pictures -> features of every pixel.

    Args:
        features: a spec, see `faceparts.segment._features`.
        margin: the pictures show this share of the head's size around the head on every side; for
            the family ``head``.

    Example:
        >>> PixelFeatures(["gray", "xy"]).fit([]).get_feature_names_out().tolist()
        ['gray', 'xy_x', 'xy_y']
    """

    def __init__(self, features: Sequence[str] = ("gray", "xy"), margin: float = 0.0) -> None:
        self.features = features
        self.margin = margin

    def fit(self, X: Sequence[Image], y: object = None) -> Self:
        """Read the spec; nothing is learnt.

        Raises:
            ValueError: see `parse_spec`.
        """
        self.terms_ = _features.parse_spec(self.features)
        return self

    def transform(self, X: Sequence[Image]) -> FeatureMaps:
        """One (H, W, F) float32 array a picture."""
        check_is_fitted(self)
        return FeatureMaps(X, self.terms_, self.margin)

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """One name a column, such as ``hog5_0``."""
        check_is_fitted(self)
        return np.array(_features.column_names(self.terms_), dtype=object)


class PixelClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # untyped bases
    """Features of pixels -> parts, by any classifier of scikit-learn.

    Args:
        estimator: gets (P, F) float32, (P,) ids and, if pixels are drawn or weighted, weights.
        per_class: at most so many pixels of each part from each picture, 0 = all. What is left out
            of a part is made up for by the weight of the rest, so frequencies stay what they are.
        class_power: 0 = parts weigh what they have in pixels, 1 = all parts weigh the same.
        seed: of the draw.
    """

    def __init__(
        self, estimator: Any = None, per_class: int = 0, class_power: float = 0.0, seed: int = 0
    ) -> None:
        self.estimator = estimator
        self.per_class = per_class
        self.class_power = class_power
        self.seed = seed

    def fit(self, X: Sequence[Array], y: Sequence[Ids]) -> Self:
        """Learn from feature maps and label maps.

        Raises:
            BadData: a map has another size than its labels, or fewer than two parts occur.
        """
        rows, ids, weight = self.draw(X, y)
        plain = RandomForestClassifier(random_state=0)
        self.estimator_ = clone(plain if self.estimator is None else self.estimator)
        uneven = self.per_class > 0 or self.class_power > 0
        self.estimator_.fit(rows, ids, sample_weight=weight if uneven else None)
        self.classes_ = self.estimator_.classes_
        return self

    def draw(
        self,
        X: Sequence[Array],
        y: Sequence[Ids],
    ) -> tuple[Array, Ids, NDArray[np.float64]]:
        """The rows to learn from: (P, F) features, (P,) ids, (P,) weights of mean 1."""
        if len(X) != len(y):
            raise BadData(f"forest: {len(X)} pictures, {len(y)} label maps; wanted as many of each")
        chosen = list(self._choose(y))
        count = sum(len(where) for where, _ in chosen)
        rows: Array | None = None
        ids, weight = np.empty(count, np.uint8), np.empty(count)
        start = 0
        for i, (where, share) in enumerate(chosen):
            features, labels = X[i], np.asarray(y[i])
            if features.shape[:2] != labels.shape:
                raise BadData(
                    f"forest: picture {i} is {features.shape[1]}x{features.shape[0]}, its labels "
                    f"are {labels.shape[1]}x{labels.shape[0]} pixels; wanted the same"
                )
            if rows is None:
                rows = np.empty((count, features.shape[2]), np.float32)
            end = start + len(where)
            for column in range(features.shape[2]):
                rows[start:end, column] = features[..., column].reshape(-1)[where]
            ids[start:end], weight[start:end] = labels.reshape(-1)[where], share
            start = end
        if rows is None or len(np.unique(ids)) < 2:
            raise BadData("forest: fewer than two parts occur in the pictures to learn from")
        if self.class_power:
            total = np.bincount(ids, weight, minlength=256)
            weight *= np.power(np.maximum(total, 1e-9), -self.class_power)[ids]
        return rows, ids, weight / weight.mean()

    def _choose(self, y: Sequence[Ids]) -> Iterator[tuple[NDArray[np.intp], Any]]:
        """Positions of pixels and their weights, picture by picture."""
        rng = np.random.default_rng(self.seed)
        for labels in y:
            flat = np.asarray(labels).reshape(-1)
            if not self.per_class:
                where = np.flatnonzero(flat != IGNORE)
                yield where, 1.0
                continue
            picked, share = [], []
            for part in np.unique(flat[flat != IGNORE]):
                there = np.flatnonzero(flat == part)
                some = there
                if len(there) > self.per_class:
                    some = rng.choice(there, self.per_class, replace=False)
                picked.append(np.sort(some))
                share.append(np.full(len(some), len(there) / len(some)))
            none: list[NDArray[Any]] = [np.empty(0, np.intp)]
            yield np.concatenate(picked or none), np.concatenate(share or none)

    def predict_proba(self, X: Sequence[Array]) -> list[Array]:
        """One (H, W, C) array a picture, for the C parts in ``classes_``."""
        check_is_fitted(self)
        out = []
        for i in range(len(X)):
            features = X[i]
            probs = self.estimator_.predict_proba(features.reshape(-1, features.shape[2]))
            out.append(probs.reshape(*features.shape[:2], -1).astype(np.float32))
        return out

    def predict(self, X: Sequence[Array]) -> list[Ids]:
        """One (H, W) uint8 label map a picture."""
        return [self.classes_[probs.argmax(axis=2)] for probs in self.predict_proba(X)]

    def score(self, X: Sequence[Array], y: Sequence[Ids]) -> float:
        """Share of the labelled pixels that are right."""
        return confusion.pixel_accuracy(count_all(y, self.predict(X)))


def count_all(truth: Sequence[Ids], predicted: Sequence[Ids], parts: int = 255) -> Any:
    """Confusion matrix of all pictures together."""
    total = np.zeros((parts, parts), np.int64)
    for one, other in zip(truth, predicted, strict=True):
        total += confusion.count(np.asarray(one), np.asarray(other), parts)
    return total


class PixelForest(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # untyped bases
    """Pictures -> parts: features, a forest, and further stages that see the one before.

    Args:
        features: spec of every stage, see `faceparts.segment._features`.
        model: name in `MODELS`.
        options: arguments of the model, such as ``{"n_estimators": 80}``.
        rounds: stages after the first.
        context: what a further stage sees besides ``features``, such as ``["probs:0,3"]``.
        folds: parts of the pictures (by group) that take turns in being left out when the
            probabilities that a further stage learns from are made.
        per_class, class_power: see `PixelClassifier`.
        margin: see `PixelFeatures`.
        parts: number of parts K; ``None`` = up to the highest id that occurs.
        seed: of trees and draws.
        threads: processor threads; ``None`` = all.
        quiet: no progress bar.

    After fitting, ``absent_in_folds_`` lists for each fold of a further stage the ids that no
    picture to learn from showed; they get probability 0 there.
    """

    def __init__(
        self,
        features: Sequence[str] = ("gray", "xy"),
        model: str = "random_forest",
        options: dict[str, Any] | None = None,
        rounds: int = 0,
        context: Sequence[str] = ("probs:0,3", "centers"),
        folds: int = 4,
        per_class: int = 0,
        class_power: float = 0.0,
        margin: float = 0.0,
        parts: int | None = None,
        seed: int = 0,
        threads: int | None = None,
        quiet: bool = True,
    ) -> None:
        self.features = features
        self.model = model
        self.options = options
        self.rounds = rounds
        self.context = context
        self.folds = folds
        self.per_class = per_class
        self.class_power = class_power
        self.margin = margin
        self.parts = parts
        self.seed, self.threads, self.quiet = seed, threads, quiet

    def fit(
        self,
        X: Sequence[Image],
        y: Sequence[Ids],
        groups: Sequence[Any] | None = None,
    ) -> Self:
        """Learn from pictures and label maps.

        Args:
            groups: who is on each picture; folds keep groups together. ``None`` = all different.

        Raises:
            BadData: sizes differ, a label is out of range, too few pictures or parts.
            ValueError: the spec is wrong, see `parse_spec`.
        """
        known = [np.unique(np.asarray(ids)) for ids in y]
        highest = max((int(ids[ids != IGNORE].max(initial=0)) for ids in known), default=0)
        count = highest + 1 if self.parts is None else self.parts
        if highest >= count:
            raise BadData(
                f"forest: label {highest} occurs; there are {count} parts (0..{count - 1})"
            )
        self.classes_ = np.arange(count, dtype=np.uint8)
        keys = range(len(X)) if groups is None else groups
        owner = np.unique(np.asarray([str(k) for k in keys]), return_inverse=True)[1]
        bar = tqdm(
            total=1 + self.rounds * (self.folds + 1), desc="fits", disable=self.quiet, leave=False
        )
        self.absent_in_folds_: list[list[int]] = []
        stages: list[tuple[tuple[str, ...], Trees]] = []
        self.estimators_: list[Any] = []
        with bar:
            probs: list[Array] | None = None
            for number in range(self.rounds + 1):
                spec = tuple(self.features) + (tuple(self.context) if number else ())
                terms = _features.parse_spec(spec, [str(k) for k in range(count)] * bool(number))
                maps = FeatureMaps(X, terms, self.margin, probs)
                trees, fitted = self._fit_stage(maps, y, count)
                bar.update()
                self.estimators_.append(fitted)
                stages.append((spec, trees))
                if number < self.rounds:
                    probs = self._left_out(maps, y, count, owner, bar)
        self.stages_ = tuple(stages)
        return self

    def _fit_stage(self, maps: FeatureMaps, y: Sequence[Ids], count: int) -> tuple[Trees, Any]:
        estimator = make_model(self.model, self.options, seed=self.seed, threads=self.threads)
        fitted = PixelClassifier(estimator, self.per_class, self.class_power, self.seed).fit(
            maps, y
        )
        return to_trees(fitted.estimator_, count), fitted.estimator_

    def _left_out(
        self, maps: FeatureMaps, y: Sequence[Ids], count: int, owner: NDArray[np.intp], bar: Any
    ) -> list[Array]:
        """Probabilities of every picture by a forest that saw nobody of its group."""
        folds = min(self.folds, int(owner.max()) + 1)
        if folds < 2:
            raise BadData("forest: further stages need pictures of at least two groups")
        out: dict[int, Array] = {}
        for learnt, left in GroupKFold(folds).split(owner, groups=owner):
            there = {int(k) for i in learnt for k in np.unique(np.asarray(y[i]))}
            self.absent_in_folds_.append(sorted(set(range(count)) - there))
            trees, _ = self._fit_stage(maps[learnt], [y[i] for i in learnt], count)
            out.update((int(i), self._run(trees, maps, int(i))) for i in left)
            bar.update()
        return [out[i] for i in range(len(maps))]

    def _run(self, trees: Trees, maps: FeatureMaps, i: int) -> Array:
        picture = maps.pictures[i]
        head = _features.head_of(_size_wh(picture), self.margin)
        probs = None if maps.probs is None else maps.probs[i]
        threads = self.threads or 1
        return run_trees(trees, picture, maps.terms, head=head, probs=probs, threads=threads)

    def predict_proba(self, X: Sequence[Image]) -> list[Array]:
        """One (H, W, K) float32 array a picture."""
        check_is_fitted(self)
        names = [str(k) for k in self.classes_]
        out = []
        for i in range(len(X)):
            probs: list[Array] | None = None
            for spec, trees in self.stages_:
                terms = _features.parse_spec(spec, names if probs else [])
                maps = FeatureMaps(X[i : i + 1], terms, self.margin, probs)
                probs = [self._run(trees, maps, 0)]
            out += probs or []
        return out

    def predict(self, X: Sequence[Image]) -> list[Ids]:
        """One (H, W) uint8 label map a picture."""
        return [probs.argmax(axis=2).astype(np.uint8) for probs in self.predict_proba(X)]

    def score(self, X: Sequence[Image], y: Sequence[Ids]) -> float:
        """Macro F1 over the parts that occur, background included."""
        rates = confusion.f1(count_all(y, self.predict(X)))
        return float(rates[np.isfinite(rates)].mean())


def make_model(name: str, options: dict[str, Any] | None, *, seed: int, threads: int | None) -> Any:
    """A classifier of scikit-learn by its name in `MODELS`.

    Raises:
        BadData: an unknown name or option.
    """
    if name not in MODELS:
        raise BadData(f"forest: no model {name!r}; there are: {', '.join(MODELS)}")
    model = MODELS[name](random_state=seed)
    if name != "boosting":
        model.set_params(n_jobs=threads or -1)
    unknown = sorted(set(options or {}) - set(model.get_params()))
    if unknown:
        known = ", ".join(sorted(model.get_params()))
        raise BadData(f"forest: {name} has no option {unknown[0]!r}; there are: {known}")
    return model.set_params(**(options or {}))
