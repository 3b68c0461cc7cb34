"""From recipe to report: what is read, split, trained, measured, written, refused."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image as PilImage

from faceparts.crops import crop_head
from faceparts.datasets import fasseg
from faceparts.detect import headnet
from faceparts.errors import BadData, BadRecipe
from faceparts.evaluate import held_out
from faceparts.labels import FASSEG6
from faceparts.segment import files, forest
from faceparts.train import _forest_measure as measure
from faceparts.train import config, forest_data, forest_recipe, forest_run
from faceparts.train._kept import Kept, kept_in
from faceparts.train.forest_data import ForestSource, Pictures
from faceparts.types import IGNORE, Head, Sample
from forest_world import PARTS, draw_portrait, write_fasseg

FOREST_RECIPES = sorted(config.RECIPES.glob("forest-*.toml"))
SMALL = {"n_estimators": 4}


def table(**changed: Any) -> dict[str, Any]:
    return {
        "name": "tiny",
        "task": "forest",
        "label_set": "sides",
        "parts": list(PARTS),
        "input_px": 32,
        "examples": 2,
        "pictures": {
            "frame_px": 64,
            "work_px": 32,
            "test_share": 0.4,
            "sides": {"eyes": "nose"},
            "twins": "keep",  # drawn faces are much alike
            "kin": 0,
        },
        "data": [
            {"name": "fasseg", "root": "f", "split": "v2-test"},
            {"name": "fasseg", "root": "f", "split": "v3-train", "match": "/0/"},
        ],
        "experiments": [{"name": "plain", "features": ["rgb", "xy"], "options": SMALL}],
        "card": {"margin": 0.2, "license": "Apache-2.0"},
        **changed,
    }


def read(**changed: Any) -> forest_recipe.ForestRecipe:
    return forest_recipe.recipe_from_table(table(**changed), "a.toml")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_fasseg(folder / "f", 6)
    return folder


# --- recipes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FOREST_RECIPES, ids=lambda p: p.stem)
def test_shipped_recipes_are_read(path) -> None:
    plain = config.read_table(path)
    recipe = forest_recipe.recipe_from_table(plain, str(path))
    assert (recipe.name, recipe.task) == (path.stem, "forest")
    assert recipe.card.license
    assert recipe.card.trained_on
    for source in recipe.data:
        module = __import__(f"faceparts.datasets.{source.name}", fromlist=["SPLITS"])
        assert source.split in module.SPLITS


def test_there_are_shipped_recipes() -> None:
    assert {"forest-fasseg-seed"} <= {path.stem for path in FOREST_RECIPES}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"parts": ["background"]}, "parts = 1; wanted 2..250"),
        ({"parts": [1, 2]}, "parts must be a list of names"),
        ({"parts": ["x", "y"]}, "parts: label set 'sides': the first part must be 'background'"),
        ({"label_set": "lfw3"}, "parts: parts background, .* are not those of label set 'lfw3'"),
        ({"colour": 1}, "unknown key 'colour'"),
        ({"input_px": 8}, "input_px = 8; wanted 16..4096"),
        ({"score": "best"}, "score = 'best'; wanted one of work, frame"),
        (
            {"pictures": {"frame_px": 65, "work_px": 32}},
            "frame_px = 65; wanted a multiple of work_px",
        ),
        ({"pictures": {"reduce": "mean"}}, "reduce = 'mean'; wanted one of max, most"),
        ({"pictures": {"frame": "nose"}}, "frame = 'nose'; wanted one of photo, head"),
        ({"pictures": {"by": "luck"}}, "by = 'luck'; wanted one of picture, subject"),
        ({"pictures": {"twins": "maybe"}}, "twins = 'maybe'; wanted one of drop, keep"),
        ({"pictures": {"kin": -1}}, r"kin = -1; wanted 0..500"),
        ({"outlines": ["ears"]}, r"outlines = \['ears'\]; wanted parts of the recipe"),
        ({"outlines": ["background"]}, "wanted parts of the recipe, which needs one named skin"),
        ({"compare": ["a/plain.onnx"]}, "compare: 'plain' would be there twice among experiments"),
        ({"compare": ["a/x.onnx", "b/x.npz"]}, "compare: 'x' would be there twice"),
        ({"pictures": {"test_share": 1.0}}, r"test_share = 1.0; wanted 0.01..0.99"),
        ({"data": []}, r"data must be a list of tables \(\[\[data\]\]\), at least one"),
        ({"data": [{"name": "no", "root": "", "split": "a"}]}, "no dataset 'no'; there are: "),
        (
            {"data": [{"name": "fasseg", "root": "", "split": "a", "match": "("}]},
            r"match = '\(': ",
        ),
        ({"experiments": [{"name": "a b", "features": ["xy"]}]}, "wanted different plain names"),
        (
            {"experiments": [{"name": "a", "features": ["x"]}]},
            "experiment 'a': features: no family",
        ),
        (
            {"experiments": [{"name": "a", "features": ["xy"], "model": "net"}]},
            "model = 'net'; wanted one of random_forest, extra_trees, boosting",
        ),
        (
            {"experiments": [{"name": "a", "features": ["xy"], "rounds": 9}]},
            r"rounds = 9; wanted 0..7",
        ),
        (
            {"experiments": [{"name": "a", "features": ["xy"], "rounds": 1, "context": ["p"]}]},
            "no family 'p'",
        ),
        (
            {"experiments": [{"name": "a", "features": ["xy"], "cleanup": {"kind": "wipe"}}]},
            "cleanup: kind 'wipe'",
        ),
        (
            {"experiments": [{"name": "a", "features": ["xy"], "cleanup": {"strong": 1}}]},
            "experiment 'a': .*'strong'",
        ),
        ({"curve": [1]}, r"curve = \[1\]; wanted whole numbers from 2 on"),
        ({"curve_experiment": "b"}, "no experiment 'b'; there are: plain"),
        ({"search": {"experiment": "b", "grid": {"x": [1]}}}, "no experiment 'b'"),
        (
            {"search": {"experiment": "plain", "grid": {"x": 1}}},
            "a list of values for each setting",
        ),
        ({"search": {"experiment": "plain", "grid": {"x": [1]}, "folds": 1}}, "folds = 1; wanted"),
    ],
)
def test_wrong_recipes_are_refused(changed, message) -> None:
    with pytest.raises(BadRecipe, match=r"a\.toml: |tiny: ") as error:
        read(**changed)
    assert error.match(message)


# --- pictures -----------------------------------------------------------------------------------


def load(root: Path, *sources: ForestSource, **how: Any):
    given = {"frame_px": 64, "work_px": 32, "sides": {"eyes": "nose"}, "twins": "keep", "kin": 0}
    given |= how
    return forest_data.load_pictures(sources, root, Pictures(**given), PARTS, quiet=True)


def test_pictures_are_padded_and_shrunk(root) -> None:
    pictures, left_out = load(root, ForestSource("fasseg", "f", "v2-test", "^v2/[12]$"))
    assert left_out == {}
    assert [p.key for p in pictures] == ["fasseg:v2-test/v2/1", "fasseg:v2-test/v2/2"]
    one = pictures[0]
    assert one.subject == one.key
    assert (one.image.shape, one.labels.shape, one.truth.shape) == ((32, 32, 3), (32, 32), (64, 64))
    # 60 x 48 becomes 64 x 51: 7 columns of padding on the left, 6 on the right
    assert_array_equal(
        np.flatnonzero((one.truth == IGNORE).all(axis=0)), [*range(7), *range(58, 64)]
    )
    assert_array_equal(one.image[:, :3], 0)
    eyes = [np.nonzero(one.truth == PARTS.index(f"{side}_eye"))[1] for side in ("right", "left")]
    assert eyes[0].max() < eyes[1].min()
    padded, _ = load(root, ForestSource("fasseg", "f", "v2-test", "^v2/1$"), padding="background")
    assert_array_equal(padded[0].truth[:, :7], 0)


def test_subjects_come_from_the_dataset(root) -> None:
    pictures, _ = load(root, ForestSource("fasseg", "f", "v3-train", "^v3/0/"))
    assert [p.subject for p in pictures] == ["personne01"] * 2 + ["personne02"] * 2


def test_the_same_photo_counts_once(root) -> None:
    again = ForestSource("fasseg", "f", "v2-test", "^v2/[13]$")
    pictures, left_out = load(root, ForestSource("fasseg", "f", "v2-test", "^v2/1$"), again)
    assert [p.key[-1] for p in pictures] == ["1", "3"]
    assert left_out == {"fasseg:v2-test/v2/1": "the same photo as fasseg:v2-test/v2/1"}


def test_frames_of_heads_are_the_parsers_crops(root, monkeypatch) -> None:
    """The largest head decides: its crop, labels at the same places, grey and unknown beyond."""

    class Finder:
        def detect(self, image: np.ndarray) -> list[Head]:
            if image[0, 0, 0] % 2:
                return []
            small = Head((1, 1, 5, 5), 0.9, Head.no_points())
            return [small, Head((10, 14, 40, 44), 0.5, Head.no_points())]

    monkeypatch.setattr(headnet, "load", lambda threads: Finder())
    sources = ForestSource("fasseg", "f", "v2-test")
    given = Pictures("head", 64, 32, sides={"eyes": "nose"}, twins="keep", kin=0)
    pictures, left_out = forest_data.load_pictures(
        [sources], root, given, PARTS, margin=0.5, threads=1, quiet=True
    )
    whole, _ = load(root, sources)
    odd = [p.key for p in whole if p.source[0, 0, 0] % 2]
    assert left_out == dict.fromkeys(odd, "no head found")
    assert len(pictures) == 6 - len(odd) > 0
    one = pictures[0]
    wanted = crop_head(one.source, Head((10, 14, 40, 44), 0.5, Head.no_points()), 64, 0.5)
    assert_array_equal(one.crop.image, wanted.image)
    outside = (one.crop.image == 127).all(axis=2)
    assert_array_equal(one.truth[outside] == IGNORE, True)
    assert one.truth.shape == (64, 64)
    # the frame shows columns -5..55 of the photo: the nose's middle lies where it lies there
    _, ids = draw_portrait(int(one.key[-1]))
    y, x = (v.mean() for v in np.nonzero(ids == FASSEG6.id("nose")))
    found_y, found_x = (v.mean() for v in np.nonzero(one.truth == PARTS.index("nose")))
    assert_allclose(
        [found_x, found_y], [(x + 0.5 + 5) * 64 / 60 - 0.5, (y + 0.5 + 1) * 64 / 60 - 0.5], atol=0.3
    )


def test_what_the_dataset_left_out_is_reported(tmp_path) -> None:
    write_fasseg(tmp_path / "f", 3)
    (tmp_path / "f/V2/Test_Labels/2.png").unlink()
    pictures, left_out = load(tmp_path, ForestSource("fasseg", "f", "v2-test"))
    assert len(pictures) == 2
    assert left_out == {"fasseg:v2-test/2": "a photo without a label"}


def test_pictures_that_do_not_do(root, tmp_path) -> None:
    with pytest.raises(BadData, match="no picture in any of the sources"):
        load(root, ForestSource("fasseg", "f", "v2-test", "nothing"))
    with pytest.raises(BadData, match="no part 'ears' in fasseg6; there are: background, mouth"):
        load(root, ForestSource("fasseg", "f", "v2-test"), sides={"ears": "nose"})
    with pytest.raises(BadData, match="sides: no part 'ears' in fasseg6"):
        load(root, ForestSource("fasseg", "f", "v2-test"), sides={"eyes": "ears"})
    with pytest.raises(BadData, match="no part 'right_eye' in fasseg6"):
        load(root, ForestSource("fasseg", "f", "v2-test"), sides={})
    image, ids = draw_portrait(0)
    sample = Sample("one", image, ids[:50])
    with pytest.raises(BadData, match=r"one: labels \(50, 48\) for a photo \(60, 48\)"):
        forest_data.make_picture(sample, "one", FASSEG6, Pictures(), PARTS)


def test_a_part_that_occurs_nowhere_is_named(tmp_path) -> None:
    write_fasseg(tmp_path / "f", 2)
    for path in (tmp_path / "f/V2/Test_Labels").iterdir():
        paint = np.asarray(PilImage.open(path)).copy()
        paint[(paint == fasseg.PAINT["mouth"]).all(axis=2)] = fasseg.PAINT["skin"]
        PilImage.fromarray(paint).save(path)
    with pytest.raises(BadData, match="no picture shows mouth; take the part off the recipe"):
        load(tmp_path, ForestSource("fasseg", "f", "v2-test"))


def test_unsure_pixels_get_the_nearest_label() -> None:
    ids = np.uint8([[1, 255, 255, 2], [1, 255, 255, 2], [255] * 4])
    filled = forest_data.fill_unsure(ids)
    assert_array_equal(filled[:2], [[1, 1, 2, 2]] * 2)
    assert_array_equal(filled[2, [0, 3]], [1, 2])
    nothing = np.full((2, 2), IGNORE, np.uint8)
    assert_array_equal(forest_data.fill_unsure(nothing), nothing)


def test_labels_are_shrunk_by_the_highest_or_the_most() -> None:
    ids = np.uint8([[1, 1, 5, 255], [1, 6, 255, 255], [255, 255, 2, 2], [255, 255, 0, 0]])
    assert_array_equal(forest_data.reduce_labels(ids, 2, "max", 7), [[6, 5], [255, 2]])
    assert_array_equal(forest_data.reduce_labels(ids, 2, "most", 7), [[1, 5], [255, 0]])


def test_sides_are_the_subjects() -> None:
    eyes = np.bool_([[1, 1, 0, 0, 1]])
    left, right = forest_data.split_sides(eyes, np.bool_([[0, 0, 1, 0, 0]]))
    assert_array_equal(left, [[0, 0, 0, 0, 1]])
    assert_array_equal(right, [[1, 1, 0, 0, 0]])
    left, right = forest_data.split_sides(eyes, np.zeros_like(eyes))
    assert_array_equal(left, [[0, 0, 0, 0, 1]])
    assert not forest_data.split_sides(np.zeros_like(eyes), np.zeros_like(eyes))[0].any()


def test_splits_keep_subjects_together(root) -> None:
    sources = [ForestSource("fasseg", "f", s) for s in ("v2-test", "v3-train")]
    pictures, _ = load(root, *sources)
    for seed in range(5):
        learn, test = forest_data.split_pictures(pictures, Pictures(test_share=0.4), seed)
        sides = [{pictures[i].subject for i in side} for side in (learn, test)]
        assert not sides[0] & sides[1]
        assert sorted(learn + test) == list(range(14))
    by_picture = Pictures(test_share=0.3, by="picture")
    learn, test = forest_data.split_pictures(pictures, by_picture, 0)
    assert (len(learn), len(test)) == (9, 5)
    with pytest.raises(BadData, match="1 pictures of 1 subjects cannot be split"):
        forest_data.split_pictures(pictures[:1], by_picture, 0)


# --- measures -----------------------------------------------------------------------------------


def test_curves_by_hand() -> None:
    tally = measure.Tally.empty(2)
    truth = np.uint8([[1, 1, 0, 0, IGNORE]])
    high = np.float32([0.9, 0.4, 0.6, 0.1, 1.0])
    tally.add(truth, np.stack([1 - high, high], axis=1)[None])
    assert tally.matrix.tolist() == [[1, 1], [1, 1]]
    recall, precision = tally.curve(1)
    assert (recall[-1], precision[-1]) == (1, 0.5)
    assert_allclose(tally.average_precision(1), 0.5 * 1 + 0.5 * 2 / 3)
    result = measure.rates(tally, ("background", "face"))
    assert result["accuracy"] == 0.5
    assert result["parts"]["face"]["support"] == 2
    assert measure.rates(measure.Tally.empty(2), ("background", "face"))["accuracy"] is None


def test_importance_by_family() -> None:
    values = np.array([0.1, 0.2, 0.7])
    assert measure.by_family(values, ["a", "b", "a"]) == {"a": 0.8, "b": 0.2}
    value = np.eye(2)
    from test_segment_forest import trees_of

    trees = trees_of(0, feature=[0, -1, -1], threshold=[0.5, 0, 0], left=[1, 0, 0], value=value)
    rows = np.float32([[0, 1] * 200, [5] * 400])
    dropped = measure.permutation_importance(trees, rows, np.uint8([0, 1] * 200), ["one", "two"], 0)
    assert dropped["two"] == {"accuracy_drop": 0.0, "macro_f1_drop": 0.0}
    assert 0.4 < dropped["one"]["accuracy_drop"] < 0.6


# --- whole runs ---------------------------------------------------------------------------------

EXPERIMENTS = [
    {"name": "plain", "features": ["rgb", "xy"], "options": SMALL},
    {
        "name": "two",
        "features": ["lab", "xy"],
        "model": "boosting",
        "options": {"max_iter": 5, "early_stopping": False},
        "rounds": 1,
        "context": ["probs:0,2"],
        "folds": 2,
        "per_class": 60,
        "mirror": True,
        "cleanup": {"kind": "guided"},
    },
]


@pytest.fixture(scope="module")
def done(root, tmp_path_factory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("run") / "out"
    recipe = table(
        experiments=EXPERIMENTS,
        curve=[2, 3, 99],
        search={"experiment": "plain", "folds": 2, "grid": {"options.n_estimators": [2, 4]}},
    )
    forest_run.train(recipe, Path("tiny.toml"), root, out, threads=1, quiet=True)
    return out, json.loads((out / "report.json").read_text())


def test_a_run_is_known_by_its_folder(done) -> None:
    assert kept_in(done[0]) == Kept("forest", "tiny")


def test_a_run_writes_everything(done) -> None:
    out, report = done
    assert {p.name for p in out.iterdir()} == {
        *("tiny-plain.npz", "tiny-two.npz", "recipe.json", "report.json", "report.html"),
        "data.json",
        *("confusion-plain.png", "confusion-two.png", "curves-plain.png", "curves-two.png"),
        *("importance-plain.png", "importance-two.png", "training-size.png", "examples.png"),
    }
    page = (out / "report.html").read_text()
    assert "http" not in page
    assert page.count("<img ") == 8
    kept = json.loads((out / "recipe.json").read_text())
    assert kept["versions"]["scikit-learn"]
    assert len(kept["pictures"]) == 10
    protocol = report["protocol"]
    assert len(protocol["train"]) + len(protocol["test"]) == 10
    assert protocol["subjects_on_both_sides"] == 0
    assert report["peak_memory_mib"] > 10


def test_what_was_learnt_is_listed_by_content(done, root) -> None:
    """So that `faceparts evaluate --trained-on-list` refuses it, and proves the rest."""
    out, report = done
    kept = json.loads((out / "data.json").read_text())
    assert kept["name"] == "tiny" and kept["started_from"] == kept["chose"] == []
    pictures = {row["key"]: row["sha256"] for row in kept["pictures"]}
    listed = {key.partition("/")[2] for key in report["protocol"]["train"]}
    assert pictures.keys() == listed
    lists = held_out.read_lists([out / "data.json"])
    assert len(lists.trained) == len(report["protocol"]["train"])
    every = {sha256(p.read_bytes()).hexdigest() for p in (root / "f").rglob("*") if p.is_file()}
    assert set(pictures.values()) < every


def test_twins_of_what_was_learnt_are_listed_too() -> None:
    left_out = {
        "f:a/2": "the same photo as f:a/1",
        "f:a/3": "near-identical to f:a/1 (likeness 0.998)",
        "f:a/4": "the mirror image of f:a/11 (likeness 0.998)",
        "f:a/5": "no head found",
    }
    assert forest_run.with_twins(["f:a/1"], left_out) == {"f:a/1", "f:a/2", "f:a/3"}
    assert forest_run.with_twins([], left_out) == set()


def test_rates_are_those_of_the_file(done, root) -> None:
    """The exported file, run as a stranger would, gives the accuracy of the report."""
    out, report = done
    pictures, _ = load(
        root, ForestSource("fasseg", "f", "v2-test"), ForestSource("fasseg", "f", "v3-train", "/0/")
    )
    test = [p for p in pictures if p.key in report["protocol"]["test"]]
    for name, least in (("plain", 0.85), ("two", 0.85)):
        result = report["experiments"][name]
        read_back = forest.read(out / result["file"])
        tally = measure.Tally.empty(len(PARTS))
        for picture in test:
            tally.add(picture.truth, measure.enlarge(read_back.probs(picture.image), 64))
        assert measure.rates(tally, PARTS)["confusion"] == result["confusion"]
        assert result["accuracy"] >= least
        assert read_back.card.metrics["tiny accuracy"] == result["accuracy"]
        assert read_back.card.margin == 0.2
        assert result["file_bytes"] == (out / result["file"]).stat().st_size
        assert files.load(out / result["file"]).label_set.parts == PARTS
        assert result["absent_in_training"] == result["absent_in_test"] == []
        assert set(result["pictures"]) == set(report["protocol"]["test"])


def test_the_search_and_the_curve(done) -> None:
    _, report = done
    tried = report["search"]["tried"]
    assert [row["settings"] for row in tried] == [{"options.n_estimators": n} for n in (2, 4)]
    best = max(tried, key=lambda row: row["macro_f1"])["settings"]
    assert report["search"]["best"] == best
    used = report["experiments"]["plain"]["settings"]["options"]["n_estimators"]
    assert used == best["options.n_estimators"]
    points = report["curve"]["points"]
    assert [p["pictures"] for p in points] == [2, 3, len(report["protocol"]["train"])]
    assert points[-1]["accuracy"] == report["experiments"]["plain"]["accuracy"]


def test_absent_parts_are_named(tmp_path) -> None:
    """A mouth on one photo of ten: wherever it is left out, the report says so."""
    write_fasseg(tmp_path / "f", 10)
    for path in (tmp_path / "f/V2/Test_Labels").iterdir():
        paint = np.asarray(PilImage.open(path)).copy()
        if path.stem != "1":
            paint[(paint == fasseg.PAINT["mouth"]).all(axis=2)] = fasseg.PAINT["skin"]
        if path.stem == "2":
            paint[:8] = 127  # a colour that nobody knows
        PilImage.fromarray(paint).save(path)
    recipe = table(
        data=table()["data"][:1],
        experiments=[EXPERIMENTS[0] | {"rounds": 1, "context": ["probs:0"], "folds": 2}],
        search={"experiment": "plain", "folds": 2, "grid": {"class_power": [0.0]}},
        examples=0,
    )
    out = tmp_path / "out"
    forest_run.train(recipe, Path("tiny.toml"), tmp_path, out, threads=1, quiet=True)
    report, page = json.loads((out / "report.json").read_text()), (out / "report.html").read_text()
    result, absent = report["experiments"]["plain"], report["search"]["absent"]
    protocol = report["protocol"]
    assert protocol["subjects"] == 10
    assert protocol["unlabelled"] == {"fasseg:v2-test/v2/2": pytest.approx(8 / 60, abs=1e-3)}
    assert "fasseg:v2-test/v2/2: 13.3% of its pixels have no label" in page
    if "fasseg:v2-test/v2/1" in protocol["test"]:
        assert result["absent_in_training"] == ["mouth"]
        assert result["absent_in_folds"] == [["mouth"]] * 2
        assert [row["to_learn"] for row in absent] == [["mouth"]] * 2
        assert "mouth: in no training picture." in page
    else:
        assert result["absent_in_test"] == ["mouth"]
        assert sorted(result["absent_in_folds"]) == [[], ["mouth"]]
        assert sorted(row["to_learn"] for row in absent) == [[], ["mouth"]]
        assert sorted(row["left_out"] for row in absent) == [[], ["mouth"]]
        assert "mouth: in no test picture." in page
        assert "mouth: in no picture that fold" in page


def test_importances_are_told_by_family(done) -> None:
    _, report = done
    for name, families in (("plain", {"rgb", "xy"}), ("two", {"lab", "xy", "probs"})):
        importance = report["experiments"][name]["importance"]
        assert set(importance["impurity"]) == set(importance["permutation"]) == families
        assert_allclose(sum(importance["impurity"].values()), 1, atol=1e-3)
        assert max(d["accuracy_drop"] for d in importance["permutation"].values()) > 0.05


def test_a_run_with_less(root, tmp_path) -> None:
    plain = table(examples=0, score="work")
    kept = copy.deepcopy(plain)
    forest_run.train(plain, Path("tiny.toml"), root, tmp_path, threads=None, quiet=True)
    assert plain == kept
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["curve"] is None
    assert report["search"] is None
    assert not (tmp_path / "examples.png").exists()
    rows = report["experiments"]["plain"]
    assert rows["pixels"] == sum(p["support"] for p in rows["parts"].values())


def test_a_search_of_an_unknown_setting(root) -> None:
    from faceparts.train import _forest_search as search

    recipe = read(search={"experiment": "plain", "grid": {"depth": [3]}})
    pictures, _ = load(root, ForestSource("fasseg", "f", "v2-test"))
    with pytest.raises(BadRecipe, match="search: no setting 'depth'; there are: features, model"):
        search.run_search(recipe, pictures, threads=1, quiet=True)
    with pytest.raises(BadRecipe, match="training pictures of at least two subjects"):
        search.run_search(recipe, pictures[:1], threads=1, quiet=True)
    with pytest.raises(BadRecipe, match=r"no \[search\] table"):
        search.run_search(replace(recipe, search=None), pictures, threads=1, quiet=True)
    changed = search.with_settings(recipe.experiments[0], {"features": ["gray"]}, "tiny")
    assert changed.features == ("gray",)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_estimators": "x"}, BadRecipe, r"experiment 'a': options: .*n_estimators.*'x'"),
        ({"n_estimators": 0}, BadRecipe, r"n_estimators.*\[1, inf\).*Got 0"),
        ({"trees": 3}, BadData, "random_forest has no option 'trees'"),
    ],
)
def test_options_are_checked_before_the_data_is_read(options, error, message, tmp_path) -> None:
    source = {"name": "fasseg", "root": "nowhere", "split": "v2-train"}
    how = {"name": "a", "features": ["gray"], "options": options}
    table = {
        **{"name": "t", "task": "forest", "parts": ["background", "skin"], "data": [source]},
        "experiments": [how],
    }
    with pytest.raises(error, match=message) as caught:
        forest_run.train(table, Path("t.toml"), tmp_path, tmp_path, threads=1, quiet=True)
    assert "\n" not in str(caught.value)
    how["options"] = {"n_estimators": 2, "max_features": 7}  # more than the four pixels have
    with pytest.raises(BadData, match="nowhere"):
        forest_run.train(table, Path("t.toml"), tmp_path, tmp_path, threads=1, quiet=True)
