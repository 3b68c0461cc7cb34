"""Evaluation of a parser: counts against scikit-learn, pictures, hashes, the report's numbers."""

import json
from dataclasses import replace
from hashlib import sha256
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    jaccard_score,
    precision_score,
    recall_score,
)

from evaluate_world import Boxes, Codebook, ListOf, coded, drawn_sample, sample
from faceparts import labels
from faceparts.errors import UsageError
from faceparts.evaluate import confusion, protocols, report, run_parts
from faceparts.types import Sample

SET = labels.CELEBA19
CELEBA = replace(protocols.get("celebamask18"), size_px=0)
SKIN, HAIR, NOSE = (SET.id(p) for p in ("skin", "hair", "nose"))


@pytest.fixture(scope="module")
def world():
    """Five drawn faces with some ignored pixels, and a model that takes noses for skin, brows for
    hair."""
    rng = np.random.default_rng(0)
    samples = []
    for i in range(5):
        ids = drawn_sample(i, 64, mirrored=i == 3).labels.copy()
        ids[rng.random(ids.shape) < 0.05] = 255
        samples.append(sample(ids, f"face{i}", i))
    dataset = ListOf(samples)
    model = Codebook(side_px=64, mistakes={NOSE: SKIN, SET.id("left_brow"): HAIR})
    return dataset, model, run_parts.evaluate_parts(model, dataset, CELEBA)


@pytest.fixture(scope="module")
def arrays(world):
    """What was labelled and found at every scored pixel, worked out without the package."""
    dataset, model, _ = world
    truth = np.concatenate([s.labels[s.labels != 255] for s in dataset.samples])
    said = np.array([model.mistakes.get(i, i) for i in range(19)])
    return truth, said[truth]


def test_every_rate_equals_scikit_learn(world, arrays):
    _, _, result = world
    truth, found = arrays
    ids = list(range(19))
    np.testing.assert_array_equal(result.matrix, confusion_matrix(truth, found, labels=ids))
    classes = report.classes(result)
    occurs = np.isin(ids, np.concatenate([truth, found]))
    options = {"labels": ids, "average": None, "zero_division": np.nan}
    for name, rate in (
        ("precision", precision_score),
        ("recall", recall_score),
        ("f1", f1_score),
        ("iou", jaccard_score),
    ):
        options["zero_division"] = 0 if name == "iou" else np.nan
        for part, expected, known in zip(
            SET.parts, rate(truth, found, **options), occurs, strict=True
        ):
            got = classes[part][name]
            if not known:
                assert got is None
            elif got is None:
                assert np.isnan(expected)
            else:
                assert got == pytest.approx(expected, abs=1e-6)
    scores = report.scores(result)
    assert scores["pixel_accuracy"] == pytest.approx(accuracy_score(truth, found), abs=1e-6)
    fore = [i for i in ids[1:] if occurs[i]]
    expected = f1_score(truth, found, labels=fore, average="macro")
    assert scores["mean_f1"] == pytest.approx(expected, abs=1e-6)


def test_calibration_of_a_model_that_is_always_0_9_sure(world, arrays):
    truth, found = arrays
    expected = abs(np.mean(truth == found) - 0.9)
    assert report.scores(world[2])["expected_calibration_error"] == pytest.approx(
        expected, abs=1e-3
    )


def test_average_precision_of_the_nose(world, arrays):
    """Noses get probability 0.1 / 18 like all other parts: one point, the base rate."""
    curves = report.build(world[2], {})["curves"]
    share = np.mean(arrays[0] == NOSE)
    assert curves["nose"]["precision"] == [pytest.approx(share, abs=1e-5)]
    assert curves["nose"]["recall"] == [1.0]
    assert "hat" not in curves


def test_swapped_sides_are_counted(world):
    _, _, result = world
    assert [p.swapped for p in result.pictures] == [False, False, False, True, False]
    sides = report.build(result, {})["sides"]
    assert sides["pictures_with_swapped_labels"] == 1
    mirror = list(SET.mirror)
    pictures = result.pictures
    by_hand = sum(p.matrix[mirror] if i == 3 else p.matrix for i, p in enumerate(pictures))
    assert sides["mean_f1_if_put_right"] == pytest.approx(confusion.mean_f1(by_hand), abs=1e-6)
    lfw = run_parts.PartsResult(protocols.get("lfw-pixel"), [], result.histograms)
    assert report._sides(lfw)["pictures_with_swapped_labels"] is None


def test_rows_are_enough_to_take_every_rate_again(world):
    _, _, result = world
    built = json.loads(json.dumps(report.build(result, {}), allow_nan=False))
    rows = built["pictures"]
    hits, labelled, found = (
        np.sum([r[k] for r in rows], axis=0) for k in ("hits", "labelled", "predicted")
    )
    np.testing.assert_array_equal(hits, np.diag(result.matrix))
    np.testing.assert_array_equal(labelled, result.matrix.sum(axis=1))
    np.testing.assert_array_equal(found, result.matrix.sum(axis=0))
    assert built["shown"] == {
        kind: [result.pictures[i].key for i in some] for kind, some in run_parts.extremes(result)
    }


def test_groups_hold_every_picture_once(world):
    for rows in report.by_group(world[2]).values():
        assert sum(r["pictures"] for r in rows) == 5
        assert all(r["small"] for r in rows)


def test_unions_count_confusions_inside_as_right():
    matrix = np.array([[50, 2, 0], [3, 5, 4], [1, 6, 9]])
    precision, recall, f1, iou = report.union_rates(matrix, [1, 2])
    assert (precision, recall) == (24 / 26, 24 / 28)
    assert f1 == pytest.approx(48 / 54) and iou == pytest.approx(24 / 30)


def test_helen_overall_by_hand():
    """A nose taken for a lip is no error of the union; one taken for skin is."""
    names = labels.LAPA11
    ids = np.zeros((40, 40), np.uint8)
    ids[5:35, 5:35] = names.id("skin")
    ids[10:12, 10:20] = names.id("left_eye")
    ids[15:20, 18:22] = names.id("nose")
    ids[25:30, 15:25] = names.id("mouth")
    protocol = replace(protocols.get("helen-overall"), alignment="whole")
    model = Codebook(names, 40, mistakes={names.id("nose"): names.id("mouth")})
    result = run_parts.evaluate_parts(model, ListOf([sample(ids)], names), protocol)
    scores = report.scores(result)
    assert scores["f1_overall"] == 1 and scores["f1_mouth_all"] < 1
    assert report.unions(result)["overall"]["classes"] == list(protocol.unions["overall"])
    worse = replace(model, mistakes={names.id("nose"): names.id("skin")})
    result = run_parts.evaluate_parts(worse, ListOf([sample(ids)], names), protocol)
    inner = 20 + 20 + 50
    assert report.scores(result)["f1_overall"] == pytest.approx(
        2 * (inner - 20) / (2 * inner - 20), abs=1e-6
    )


def test_visible_face_has_scores_of_its_own():
    ids = drawn_sample(1).labels
    protocol = protocols.get("visible-face")
    result = run_parts.evaluate_parts(Codebook(side_px=64), ListOf([sample(ids)]), protocol)
    assert report.scores(result)["iou_face"] == 1 and report.scores(result)["f1_face"] == 1


def test_superpixels_come_from_the_dataset_or_from_slic():
    names = labels.LFW3
    ids = np.zeros((30, 30), np.uint8)
    ids[10:20, 10:20] = 2
    model = Codebook(names, 30, mistakes={2: 1})

    class With(ListOf):
        def superpixels(self, i):
            return np.repeat(np.repeat(np.arange(9).reshape(3, 3), 10, 0), 10, 1)

    protocol = protocols.get("lfw-superpixel")
    result = run_parts.evaluate_parts(model, With([sample(ids)], names), protocol)
    assert report.scores(result)["superpixel_accuracy"] == pytest.approx(8 / 9, abs=1e-6)
    result = run_parts.evaluate_parts(model, ListOf([sample(ids)], names), protocol)
    right, every = result.pictures[0].superpixels
    assert 0 < right < every


def test_the_detector_is_asked_and_missed_heads_are_counted():
    protocol = CELEBA.with_alignment("detector")
    dataset = ListOf([drawn_sample(0)])
    model = Codebook(side_px=32)
    for detector, missed in ((Boxes([(10, 10, 50, 60)]), 0), (Boxes([]), 1)):
        result = run_parts.evaluate_parts(model, dataset, protocol, detector=detector)
        assert report.build(result, {})["heads_not_found"] == missed


def test_limit_and_progress(world):
    dataset, model, _ = world
    seen = []
    result = run_parts.evaluate_parts(
        model, dataset, CELEBA, limit=2, on_picture=lambda: seen.append(1)
    )
    assert len(result.pictures) == len(seen) == 2
    assert run_parts.len_within(dataset, 99) == 5


def test_what_does_not_fit_is_refused(world):
    dataset, model, _ = world
    with pytest.raises(UsageError, match="which the model"):
        run_parts.evaluate_parts(Codebook(labels.LFW3), dataset, CELEBA)
    with pytest.raises(UsageError, match="which the dataset"):
        run_parts.evaluate_parts(model, ListOf(dataset.samples, labels.LFW3), CELEBA)


def test_nothing_to_score():
    empty = ListOf(
        [Sample("void", np.zeros((16, 16, 3), np.uint8), np.full((16, 16), 255, np.uint8))]
    )
    result = run_parts.evaluate_parts(Codebook(side_px=16), empty, CELEBA)
    built = json.loads(json.dumps(report.build(result, {}), allow_nan=False))
    assert set(built["scores"].values()) == {None}
    assert built["shown"] == {"best": [], "median": [], "worst": []}
    none = run_parts.evaluate_parts(Codebook(side_px=16), ListOf([]), CELEBA)
    assert report.build(none, {})["pictures"] == []
    assert report.classes(none)["skin"]["pictures"] == 0


def test_extremes_are_disjoint_and_in_order():
    def of(scores):
        pictures = [SimpleNamespace(score=s) for s in scores]
        return dict(run_parts.extremes(SimpleNamespace(pictures=pictures)))

    found = of([0.5, 0.9, np.nan, 0.1, 0.7, 0.3, 0.8, 0.2, 0.6, 0.4])
    assert found == {"best": [1, 6, 4], "median": [8, 0, 9], "worst": [3, 7, 5]}
    assert of([0.5]) == {"best": [0], "median": [], "worst": []}
    assert of([0.5, 0.6]) == {"best": [1], "median": [], "worst": [0]}
    for count in range(1, 30):
        parts = of(np.linspace(0, 1, count))
        together = [i for some in parts.values() for i in some]
        assert len(together) == len(set(together))
        if count >= 3:
            middle = parts["median"][len(parts["median"]) // 2]
            assert abs(middle - (count - 1) / 2) <= 1


def test_hashes(tmp_path):
    image = coded(np.zeros((4, 5), np.uint8))
    assert run_parts.hash_pixels(image) == sha256(b"4x5x3\n" + image.tobytes()).hexdigest()
    assert run_parts.hash_pixels(image) != run_parts.hash_pixels(image.reshape(5, 4, 3))
    file = tmp_path / "a.png"
    file.write_bytes(b"anything")
    dataset = SimpleNamespace(pairs=(SimpleNamespace(image=file),))
    assert run_parts.file_hash(dataset, 0) == sha256(b"anything").hexdigest()
    gone = SimpleNamespace(pairs=(SimpleNamespace(image=tmp_path / "no.png"),))
    assert run_parts.file_hash(gone, 0) is None
    assert run_parts.file_hash(ListOf([sample([[0]])]), 0) is None


def test_the_list_hash_knows_pictures_labels_and_order(world):
    dataset, model, result = world
    known = report.list_sha256(result.pictures)
    assert known == report.list_sha256(run_parts.evaluate_parts(model, dataset, CELEBA).pictures)
    assert known != report.list_sha256(result.pictures[::-1])
    changed = replace(dataset.samples[0], labels=dataset.samples[0].labels * 0)
    other = run_parts.evaluate_parts(model, ListOf([changed, *dataset.samples[1:]]), CELEBA)
    assert known != report.list_sha256(other.pictures)
