"""Forests on pictures: scikit-learn's tools work on them, numpy answers as scikit-learn does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import Pipeline

from faceparts.errors import BadData
from faceparts.segment import _features
from faceparts.train import forest
from faceparts.train._forest_arrays import round_down, to_trees
from faceparts.train.forest import PixelClassifier, PixelFeatures, PixelForest
from faceparts.types import IGNORE
from forest_world import arrays

SPEC = ("lab", "xy", "hog:5")
SMALL = {
    "random_forest": {"n_estimators": 7},
    "extra_trees": {"n_estimators": 7, "bootstrap": False},
    "boosting": {"max_iter": 6, "max_leaf_nodes": 9, "early_stopping": False},
}


@pytest.fixture(scope="module")
def world() -> tuple[np.ndarray, np.ndarray]:
    return arrays(8)


@pytest.mark.parametrize("model", forest.MODELS)
@pytest.mark.parametrize("missing", [(), ("one",), ("all but two",)])
def test_numpy_says_what_scikit_learn_says(model, missing, world) -> None:
    images, ids = world
    ids = ids[:4].copy()
    if missing:
        gone = [3] if missing == ("one",) else [1, 3, 4, 5]
        ids[np.isin(ids, gone)] = IGNORE
    maps = PixelFeatures(SPEC).fit(images).transform(images)
    estimator = forest.make_model(model, SMALL[model], seed=1, threads=1)
    fitted = PixelClassifier(estimator, per_class=150).fit(maps[:4], ids)
    trees = to_trees(fitted.estimator_, 6)
    trees.check(13, 6)
    new = maps[5].reshape(-1, 13)
    wanted = np.zeros((len(new), 6))
    wanted[:, fitted.classes_] = fitted.estimator_.predict_proba(new)
    assert_allclose(trees.probs(np.ascontiguousarray(new.T)), wanted, atol=1e-6)
    assert_allclose(
        fitted.predict_proba(maps[5:6])[0].reshape(len(new), -1),
        wanted[:, fitted.classes_],
        atol=1e-6,
    )


def test_values_on_a_threshold_take_the_same_turn() -> None:
    """Features with few values: many lie exactly where trees split."""
    rng = np.random.default_rng(0)
    rows = (rng.integers(0, 5, (600, 3)) * np.float32(0.1)).astype(np.float32)
    ids = (rows.sum(axis=1) + rng.normal(0, 0.1, 600) > 0.6).astype(np.uint8)
    fitted = RandomForestClassifier(5, random_state=0).fit(rows, ids)
    trees = to_trees(fitted, 2)
    limits = np.unique(trees.threshold[trees.feature >= 0])
    beside = np.concatenate(
        [limits, np.nextafter(limits, np.float32(9)), np.nextafter(limits, np.float32(-9))]
    )
    new = np.stack([rng.permutation(np.resize(beside, 900)) for _ in range(3)]).astype(np.float32)
    assert_allclose(trees.probs(new), fitted.predict_proba(new.T), atol=1e-6)


@settings(max_examples=200, deadline=None)
@given(hnp.arrays(np.float64, 5, elements=st.floats(-1e30, 1e30)))
def test_rounding_down_keeps_every_comparison(values) -> None:
    down = round_down(values)
    assert np.all(down.astype(np.float64) <= values)
    above = np.nextafter(down, np.float32(np.inf)).astype(np.float64)
    assert np.all(above > values)


def test_other_estimators_are_not_exported(world) -> None:
    fitted = GradientBoostingClassifier(n_estimators=1).fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(BadData, match="GradientBoostingClassifier cannot be exported"):
        to_trees(fitted, 2)


# --- the two halves of a pipeline ---------------------------------------------------------------


def pipeline() -> Pipeline:
    small = RandomForestClassifier(5, random_state=0)
    return Pipeline([("features", PixelFeatures(("lab",))), ("model", PixelClassifier(small))])


def test_names_of_columns(world) -> None:
    names = PixelFeatures(["gray", "xy", "hog:3"]).fit(world[0]).get_feature_names_out()
    assert names.tolist() == ["gray", "xy_x", "xy_y", *(f"hog3_{i}" for i in range(8))]


def test_maps_are_computed_when_asked_for(world) -> None:
    maps = PixelFeatures(("gray",)).fit(world[0]).transform(world[0])
    assert len(maps) == 8
    assert_array_equal(maps[3], _features.compute(world[0][3], _features.parse_spec(["gray"])))
    assert len(maps[np.array([1, 5])]) == len(maps[2:4]) == 2
    assert_array_equal(maps[np.array([1, 5])][1], maps[5])


def test_a_pipeline_learns_pictures(world) -> None:
    images, ids = world
    fitted = pipeline().fit(images[:5], ids[:5])
    assert fitted.score(images[5:], ids[5:]) > 0.85
    assert [p.shape for p in fitted.predict(images[5:])] == [(40, 40)] * 3
    assert set(fitted.predict(images[5:6])[0].ravel()) <= set(range(6))


def test_clone_and_set_params(world) -> None:
    one = pipeline()
    one.set_params(
        features__features=("gray",), model__estimator__n_estimators=2, model__per_class=50
    )
    other = clone(one)
    assert other.get_params()["model__estimator__n_estimators"] == 2
    fitted = other.fit(world[0][:3], world[1][:3])
    assert fitted["model"].estimator_.n_features_in_ == 1
    assert len(fitted["model"].estimator_.estimators_) == 2
    assert not hasattr(one["model"], "estimator_")


def test_grid_search_takes_folds_of_pictures(world) -> None:
    images, ids = world
    groups = [0, 0, 1, 1, 2, 2, 3, 3]
    seen: list[tuple[int, int]] = []

    class Watched(PixelClassifier):
        def fit(self, X: Any, y: Any) -> Any:  # noqa: N803
            seen.append((len(X), len(y)))
            return super().fit(X, y)

    steps = [("features", PixelFeatures(("lab",))), ("model", Watched(RandomForestClassifier(3)))]
    search = GridSearchCV(
        Pipeline(steps),
        {"features__features": [("gray",), ("lab", "xy")]},
        cv=GroupKFold(4),
        refit=True,
    ).fit(images, ids, groups=groups)
    assert seen == [(6, 6)] * 8 + [(8, 8)]
    assert search.best_params_ == {"features__features": ("lab", "xy")}
    assert search.best_score_ > 0.85


def test_a_pixel_forest_is_searched_too(world) -> None:
    images, ids = world
    forests = PixelForest(("lab", "xy"), "random_forest", {"n_estimators": 3}, per_class=60)
    search = GridSearchCV(forests, {"model": ["extra_trees", "random_forest"]}, cv=GroupKFold(2))
    search.fit(images, ids, groups=[0, 1] * 4)
    assert search.best_score_ > 0.6
    assert clone(forests).get_params() == forests.get_params()


# --- which pixels -------------------------------------------------------------------------------


def test_drawn_pixels_stand_for_all() -> None:
    ids = np.zeros((10, 10), np.uint8)
    ids[0, :4], ids[1] = 1, IGNORE
    features = np.arange(100, dtype=np.float32).reshape(10, 10, 1)
    rows, drawn, weight = PixelClassifier(per_class=6, seed=3).draw([features] * 2, [ids] * 2)
    assert rows.shape == (20, 1)
    assert np.bincount(drawn).tolist() == [12, 8]
    assert_array_equal(ids.reshape(-1)[rows[:, 0].astype(int)], drawn)
    assert_allclose(weight.mean(), 1)
    assert_allclose(weight[drawn == 0].sum() / weight[drawn == 1].sum(), 86 / 4)
    again = PixelClassifier(per_class=6, seed=3).draw([features] * 2, [ids] * 2)
    assert_array_equal(again[0], rows)
    even = PixelClassifier(per_class=6, class_power=1.0).draw([features], [ids])
    assert_allclose(even[2][even[1] == 0].sum(), even[2][even[1] == 1].sum())
    everything = PixelClassifier().draw([features], [ids])
    assert_array_equal(everything[0][:, 0], np.delete(np.arange(100), np.arange(10, 20)))
    assert_array_equal(everything[2], 1)


def test_pictures_without_labels_give_no_pixels() -> None:
    features = np.zeros((4, 4, 1), np.float32)
    known, unknown = (
        np.arange(16, dtype=np.uint8).reshape(4, 4) % 2,
        np.full((4, 4), IGNORE, np.uint8),
    )
    rows, _, _ = PixelClassifier(per_class=3).draw([features] * 2, [unknown, known])
    assert len(rows) == 6


# --- the forest ---------------------------------------------------------------------------------


def test_a_further_stage_learns_from_pictures_left_out(world, monkeypatch) -> None:
    images, ids = world
    groups = ["a", "a", "b", "b", "c", "c"]
    seen: list[tuple[set[int], int | None]] = []
    plain = PixelForest._fit_stage

    def watched(self, maps, y, count):
        numbers = {next(i for i in range(6) if np.array_equal(images[i], p)) for p in maps.pictures}
        seen.append((numbers, None if maps.probs is None else len(maps.probs)))
        return plain(self, maps, y, count)

    monkeypatch.setattr(PixelForest, "_fit_stage", watched)
    two = PixelForest(
        ("gray", "xy"),
        "extra_trees",
        {"n_estimators": 4},
        rounds=1,
        context=("probs:0,2", "centers"),
        folds=3,
        per_class=40,
        threads=1,
    ).fit(images[:6], ids[:6], groups)
    everyone = set(range(6))
    assert seen[0] == (everyone, None)
    folds = [everyone - numbers for numbers, _ in seen[1:4]]
    assert sorted(map(sorted, folds)) == [[0, 1], [2, 3], [4, 5]]
    assert seen[4] == (everyone, 6)
    assert len(seen) == 5
    assert [spec for spec, _ in two.stages_] == [
        ("gray", "xy"),
        ("gray", "xy", "probs:0,2", "centers"),
    ]
    probs = two.predict_proba(images[6:])
    assert [p.shape for p in probs] == [(40, 40, 6)] * 2
    assert_allclose(probs[0].sum(axis=2), 1, atol=1e-5)
    assert_array_equal(two.predict(images[6:])[1], probs[1].argmax(axis=2))


def test_a_further_stage_is_better(world) -> None:
    images, ids = world
    options = {
        "features": ("gray",),
        "options": {"n_estimators": 5},
        "per_class": 100,
        "threads": 1,
    }
    one = PixelForest(**options).fit(images[:6], ids[:6])
    two = PixelForest(**options, rounds=1, context=("probs:1,4", "centers")).fit(
        images[:6], ids[:6]
    )
    assert two.score(images[6:], ids[6:]) > one.score(images[6:], ids[6:]) + 0.05


def test_the_same_seed_gives_the_same_forest(world) -> None:
    images, ids = world
    first, second = (
        PixelForest(SPEC, "random_forest", {"n_estimators": 3}, per_class=50, seed=4, threads=t)
        .fit(images[:3], ids[:3])
        .stages_[0][1]
        for t in (1, 2)
    )
    assert_array_equal(first.threshold, second.threshold)
    assert_array_equal(first.value, second.value)


def test_a_part_that_a_fold_lacks_gets_no_probability(world) -> None:
    images, ids = world
    fitted = PixelForest(parts=9, options={"n_estimators": 2}).fit(images[:2], ids[:2])
    assert fitted.classes_.tolist() == list(range(9))
    assert_array_equal(fitted.predict_proba(images[2:3])[0][..., 6:], 0)


def test_folds_without_a_part_say_so(world) -> None:
    """Only the first two of four pictures, one group, show part 5: the others' fold lacks it."""
    images, ids = world[0][:4], world[1][:4].copy()
    ids[2:][ids[2:] == 5] = 0
    two = PixelForest(
        ("gray", "xy"),
        options={"n_estimators": 2},
        rounds=1,
        context=("probs:0",),
        folds=2,
        per_class=30,
        threads=1,
    ).fit(images, ids, ["a", "a", "b", "b"])
    assert sorted(two.absent_in_folds_) == [[], [5]]
    assert PixelForest(options={"n_estimators": 1}).fit(images, ids).absent_in_folds_ == []


# --- errors -------------------------------------------------------------------------------------


def fit(images: Any, ids: Any, **options: Any) -> None:
    PixelForest(**{"options": {"n_estimators": 1}, **options}).fit(images, ids)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "trees"}, "no model 'trees'; there are: random_forest, extra_trees, boosting"),
        ({"options": {"n_tree": 3}}, "random_forest has no option 'n_tree'; there are: bootstrap"),
        ({"parts": 3}, r"label 5 occurs; there are 3 parts \(0..2\)"),
    ],
)
def test_wrong_settings_are_refused(options, message, world) -> None:
    with pytest.raises(BadData, match=message):
        fit(world[0][:2], world[1][:2], **options)


def test_wrong_pictures_are_refused(world) -> None:
    images, ids = world
    with pytest.raises(BadData, match="2 pictures, 1 label maps"):
        fit(images[:2], ids[:1])
    with pytest.raises(BadData, match="picture 1 is 40x40, its labels are 40x39 pixels"):
        fit(images[:2], [ids[0], ids[1][:39]])
    with pytest.raises(BadData, match="fewer than two parts occur"):
        fit(images[:2], np.zeros_like(ids[:2]))
    with pytest.raises(BadData, match="fewer than two parts occur"):
        fit([], [])
    with pytest.raises(BadData, match="need pictures of at least two groups"):
        PixelForest(options={"n_estimators": 1}, rounds=1).fit(images[:2], ids[:2], ["a", "a"])
    with pytest.raises(ValueError, match="no family 'colour'"):
        fit(images[:2], ids[:2], features=("colour",))
