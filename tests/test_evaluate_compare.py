"""Comparison of two reports: paired, seeded, and only of what was measured alike."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest

from evaluate_world import EVIL, Codebook, ListOf, assert_safe, drawn_sample, sample
from faceparts import labels
from faceparts.errors import BadData, UsageError
from faceparts.evaluate import (
    bootstrap,
    compare,
    confusion,
    page_compare,
    protocols,
    report,
    run_parts,
)

SET = labels.CELEBA19
NOSE, SKIN = SET.id("nose"), SET.id("skin")

BARE = '{"faceparts_evaluation": 1}'
"""A report without what it is about."""


def noisy(seed):
    """A drawn face with some labels put at random, so that pictures differ in difficulty."""
    rng = np.random.default_rng(seed)
    ids = drawn_sample(seed, 40).labels.copy()
    wrong = rng.random(ids.shape) < 0.02 * (seed % 5)
    ids[wrong] = rng.choice([SKIN, NOSE, SET.id("hair")], int(wrong.sum()))
    return ids


def measured(mistakes, count=12, name="net"):
    samples = [sample(noisy(i), f"p{i}", i) for i in range(count)]
    protocol = replace(protocols.get("celebamask18"), size_px=0)
    model = Codebook(side_px=40, mistakes=mistakes)
    result = run_parts.evaluate_parts(model, ListOf(samples), protocol)
    card = report.protocol_card(
        result,
        dataset="drawn",
        split="test",
        label_set=SET,
        limit=None,
        model={"name": name, "sha256": name},
        detector=None,
        versions={},
        check={"status": "held out", "reason": "drawn", "is_test": True, "lists": []},
    )
    return json.loads(json.dumps(report.build(result, card)))


@pytest.fixture(scope="module")
def good():
    return measured({}, name="good")


@pytest.fixture(scope="module")
def bad():
    return measured({NOSE: SKIN}, name="bad")


def test_a_model_against_itself(good):
    found = compare.compare(good, good, resamples=200)
    for row in (*found["scores"].values(), *found["classes"].values()):
        if row["a"] is not None:
            assert (row["difference"], row["low"], row["high"]) == (0, 0, 0)
        assert not row["excludes_zero"]
    assert found["pictures"]["equal"] == 12
    assert "No difference" in page_compare.verdict(found)


def test_a_worse_model_is_lower_and_the_interval_says_so(good, bad):
    found = compare.compare(good, bad, resamples=300)
    row = found["scores"]["mean_f1"]
    assert row["difference"] == pytest.approx(row["b"] - row["a"], abs=2e-6) and row["high"] < 0
    assert row["excludes_zero"] and "is lower" in page_compare.verdict(found)
    assert found["classes"]["nose"]["difference"] == -1
    assert found["classes"]["hair"]["excludes_zero"] is False
    assert found["classes"]["hat"] == {
        **dict.fromkeys(("a", "b", "difference", "low", "high")),
        "excludes_zero": False,
    }
    assert found["pictures"]["worse"] == 12
    assert "is higher" in page_compare.verdict(compare.compare(bad, good, resamples=200))


def test_values_are_those_of_the_reports(good, bad):
    found = compare.compare(good, bad, resamples=100)
    for name in ("mean_f1", "mean_iou", "pixel_accuracy"):
        assert found["scores"][name]["a"] == pytest.approx(good["scores"][name], abs=2e-6)
        assert found["scores"][name]["b"] == pytest.approx(bad["scores"][name], abs=2e-6)


def test_the_interval_equals_slow_resampling(good, bad):
    """The same draws, one after the other, with the confusion matrix's own F1."""
    found = compare.compare(good, bad, resamples=150, seed=4)
    counts = [compare.picture_counts(r, 19) for r in (good, bad)]
    (drawn,) = bootstrap.weights(12, 150, 4)
    values = []
    for row in drawn.astype(int):
        chosen = np.repeat(np.arange(12), row)
        rates = []
        for c in counts:
            hits, labelled, predicted = c[chosen].sum(axis=0).T
            f1 = [
                2 * h / (a + b) for h, a, b in zip(hits, labelled, predicted, strict=True) if a + b
            ]
            rates.append(np.mean(f1[1:]))
        values.append(rates[1] - rates[0])
    low, high = np.percentile(values, [2.5, 97.5])
    assert found["scores"]["mean_f1"]["low"] == pytest.approx(low, abs=1e-6)
    assert found["scores"]["mean_f1"]["high"] == pytest.approx(high, abs=1e-6)


def test_seeds(good, bad):
    one, two, other = (compare.compare(good, bad, resamples=100, seed=s) for s in (1, 1, 2))
    assert one == two
    assert one["scores"]["mean_f1"]["low"] != other["scores"]["mean_f1"]["low"]


def changed(of, path, value):
    other = copy.deepcopy(of)
    at = other
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return other


@pytest.mark.parametrize(
    ("path", "value", "what"),
    [
        (("card", "protocol", "alignment"), "detector", "protocol alignment is 'whole' and 'det"),
        (("card", "protocol", "classes"), ["a"] * 30, r"protocol classes is .*\.\.\. and"),
        (("card", "data", "split"), "train", "data split is 'test' and 'train'"),
        (("card", "data", "list_sha256"), "0" * 64, "data list sha256 is"),
        (("card", "detector"), {"sha256": "1"}, "found by different detectors"),
    ],
)
def test_what_was_not_measured_alike_is_refused(good, path, value, what):
    with pytest.raises(UsageError, match=f"not measured alike: .*{what}"):
        compare.compare(good, changed(good, path, value))


def test_damaged_rows_and_empty_reports(good):
    with pytest.raises(BadData, match="picture 'p0' has no 19 counts"):
        compare.compare(good, changed(good, ("pictures", 0, "hits"), [1]))
    empty = changed(good, ("pictures",), [])
    with pytest.raises(UsageError, match="no pictures in these reports"):
        compare.compare(empty, empty)


def test_reading_reports(tmp_path, good, monkeypatch):
    folder = tmp_path / "r"
    folder.mkdir()
    with pytest.raises(BadData, match=r"report\.json: cannot be read"):
        compare.read_report(folder)
    file = folder / "report.json"
    file.write_text(json.dumps(good))
    assert compare.read_report(folder) == compare.read_report(file) == good
    for text, what in (
        ("{", "not JSON"),
        ("[]", "not a report"),
        ('{"a": 1}', "not a report"),
        (BARE, "does not say how"),
    ):
        file.write_text(text)
        with pytest.raises(BadData, match=what):
            compare.read_report(folder)
    monkeypatch.setattr(compare, "MAX_REPORT_BYTES", 2)
    with pytest.raises(BadData, match="larger than 2 bytes"):
        compare.read_report(folder)


def test_the_page(good, bad):
    evil = changed(bad, ("card", "model", "name"), EVIL)
    evil = changed(evil, ("card", "held_out", "is_test"), False)
    evil = changed(evil, ("pictures", 0, "key"), EVIL)
    text = page_compare.render(compare.compare(evil, good, resamples=100))
    assert_safe(text)
    assert "A is no test" in text and "excludes 0" in text and "<script" not in text
    nothing = compare.compare(good, bad, resamples=100)
    nothing["scores"]["mean_f1"]["difference"] = None
    assert "is not defined for both" in page_compare.verdict(nothing)


def test_models_of_one_name_are_called_by_their_files(good, bad):
    found = compare.compare(good, bad, resamples=100)
    assert page_compare.model_names(found) == ("good", "bad")
    for side, file in (("a", "x.int8.onnx"), ("b", "x.onnx")):
        found[side]["model"].update(name="x", file=file)
    assert page_compare.model_names(found) == ("x.int8.onnx", "x.onnx")


def test_superpixels_are_compared_where_there_are_some(good):
    with_some = copy.deepcopy(good)
    for row in with_some["pictures"]:
        row["superpixels"] = [3, 4]
    found = compare.compare(with_some, with_some, resamples=100)
    assert found["scores"]["superpixel_accuracy"]["a"] == 0.75
    assert "superpixel_accuracy" not in compare.compare(good, good, resamples=100)["scores"]


# --- the bootstrap itself ------------------------------------------------------------------------


def test_weights_draw_every_picture_equally_often(monkeypatch):
    monkeypatch.setattr(bootstrap, "_CHUNK_CELLS", 70)
    chunks = list(bootstrap.weights(7, 45, 3))
    assert [len(c) for c in chunks] == [10, 10, 10, 10, 5]
    drawn = np.concatenate(chunks)
    assert (drawn.sum(axis=1) == 7).all() and abs(drawn.mean() - 1) < 1e-12
    for pictures, resamples in ((0, 5), (5, 0)):
        with pytest.raises(ValueError, match="wanted at least 1 of each"):
            next(bootstrap.weights(pictures, resamples, 1))


def test_rates_equal_those_of_a_confusion_matrix():
    matrix = np.array([[9, 1, 0, 0], [2, 5, 0, 0], [0, 0, 0, 3], [0, 0, 0, 0]])
    counts = np.stack([np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)], axis=1)
    np.testing.assert_allclose(bootstrap.f1(counts), confusion.f1(matrix))
    np.testing.assert_allclose(bootstrap.iou(counts), confusion.iou(matrix))
    assert bootstrap.mean(bootstrap.f1(counts)[1:]) == pytest.approx(confusion.mean_f1(matrix))
    assert np.isnan(bootstrap.mean(np.array([np.nan])))
    assert np.isnan(bootstrap.interval(np.array([np.nan]))).all()


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Coverage of the 95 % interval of a pooled share over 60 simulated sets."""
    rng, held = np.random.default_rng(8), 0
    for trial in range(60):
        marked = rng.integers(5, 15, 80)
        counts = np.stack([rng.binomial(marked, 0.7), marked], axis=1)
        drawn = np.concatenate(
            [bootstrap.pooled(w, counts) for w in bootstrap.weights(80, 400, trial)]
        )
        low, high = bootstrap.interval(drawn[:, 0] / drawn[:, 1])
        held += low <= 0.7 <= high
    assert 51 <= held <= 60


def test_wilson():
    low, high = bootstrap.wilson(8, 10)
    assert low == pytest.approx(0.4902, abs=1e-4) and high == pytest.approx(0.9433, abs=1e-4)
    assert np.isnan(bootstrap.wilson(0, 0)).all()
    assert bootstrap.wilson(0, 5)[0] == 0
