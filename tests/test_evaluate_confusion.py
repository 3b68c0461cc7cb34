"""Confusion matrices: hand-counted, and the same as scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics

from faceparts import labels
from faceparts.evaluate import confusion

TRUTH = np.array([[0, 0, 1], [1, 2, 255]], np.uint8)
FOUND = np.array([[0, 1, 1], [1, 0, 2]], np.uint8)
MATRIX = np.array([[1, 1, 0], [0, 2, 0], [1, 0, 0]])


def test_count_by_hand():
    np.testing.assert_array_equal(confusion.count(TRUTH, FOUND, 3), MATRIX)


def test_count_keeps_absent_classes_and_64_bits():
    matrix = confusion.count(TRUTH, FOUND, 5)
    assert matrix.shape == (5, 5)
    assert matrix.dtype == np.int64
    assert matrix[3:].sum() == matrix[:, 3:].sum() == 0


def test_count_reads_no_prediction_on_ignored_pixels():
    found = np.where(TRUTH == 255, 200, FOUND).astype(np.uint8)
    np.testing.assert_array_equal(confusion.count(TRUTH, found, 3), MATRIX)


def test_rates_by_hand():
    np.testing.assert_allclose(confusion.f1(MATRIX), [2 / 4, 4 / 5, 0])
    np.testing.assert_allclose(confusion.iou(MATRIX), [1 / 3, 2 / 3, 0])
    np.testing.assert_allclose(confusion.precision(MATRIX), [1 / 2, 2 / 3, np.nan])
    np.testing.assert_allclose(confusion.recall(MATRIX), [1 / 2, 1, 0])
    assert confusion.mean_f1(MATRIX) == pytest.approx((4 / 5 + 0) / 2)
    assert confusion.mean_iou(MATRIX) == pytest.approx((1 / 3 + 2 / 3 + 0) / 3)
    assert confusion.pixel_accuracy(MATRIX) == pytest.approx(3 / 5)


def test_a_class_that_never_occurs_counts_in_no_mean():
    padded = np.zeros((4, 4), np.int64)
    padded[:3, :3] = MATRIX
    assert np.isnan(confusion.f1(padded)[3])
    assert confusion.mean_f1(padded) == confusion.mean_f1(MATRIX)
    assert confusion.mean_iou(padded) == confusion.mean_iou(MATRIX)


def test_nothing_scored_is_undefined():
    empty = confusion.count(np.full(3, 255, np.uint8), np.zeros(3, np.uint8), 2)
    assert np.isnan(confusion.pixel_accuracy(empty))
    assert np.isnan(confusion.mean_f1(empty))


ids = st.integers(0, 3).map(np.uint8)


@settings(deadline=None)
@given(hnp.arrays(np.uint8, (2, 40), elements=ids))
def test_same_rates_as_scikit_learn(pair):
    truth, found = pair
    matrix = confusion.count(truth, found, 4)
    np.testing.assert_array_equal(
        matrix, metrics.confusion_matrix(truth, found, labels=[0, 1, 2, 3])
    )
    options = {"labels": [0, 1, 2, 3], "average": None, "zero_division": np.nan}
    present = np.isin(range(4), pair)
    for ours, theirs in (
        (confusion.f1, metrics.f1_score),
        (confusion.iou, metrics.jaccard_score),
        (confusion.precision, metrics.precision_score),
        (confusion.recall, metrics.recall_score),
    ):
        if theirs is metrics.jaccard_score:  # knows no nan: look at the classes that occur
            wanted = theirs(truth, found, labels=[0, 1, 2, 3], average=None, zero_division=0)
            np.testing.assert_allclose(ours(matrix)[present], wanted[present])
        else:
            np.testing.assert_allclose(ours(matrix), theirs(truth, found, **options))
    assert confusion.pixel_accuracy(matrix) == pytest.approx(metrics.accuracy_score(truth, found))


@settings(deadline=None)
@given(hnp.arrays(np.uint8, (2, 3, 20), elements=ids))
def test_pictures_add_up(stack):
    parts = [confusion.count(stack[0, i], stack[1, i], 4) for i in range(3)]
    np.testing.assert_array_equal(sum(parts), confusion.count(stack[0], stack[1], 4))


def test_summary_names_the_parts():
    matrix = confusion.count(np.uint8([0, 1, 1]), np.uint8([0, 1, 0]), 3)
    report = confusion.summarize(matrix, labels.LFW3)
    assert report["mean_f1"] == pytest.approx(2 / 3, abs=1e-6)
    assert report["pixels"] == 3
    assert report["parts"]["hair"] == {
        "f1": pytest.approx(2 / 3, abs=1e-6),
        "iou": 0.5,
        "precision": 1.0,
        "recall": 0.5,
    }
    assert report["parts"]["face"] == dict.fromkeys(("f1", "iou", "precision", "recall"))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"truth has shape \(2, 3\), prediction \(3,\)"):
        confusion.count(TRUTH, FOUND[0], 3)


@pytest.mark.parametrize("name", ["truth", "prediction"])
def test_ids_must_be_in_range(name):
    bad, good = np.uint8([0, 3]), np.uint8([0, 1])
    pair = (bad, good) if name == "truth" else (good, bad)
    with pytest.raises(ValueError, match=rf"{name} holds id 3; wanted 0\.\.2"):
        confusion.count(*pair, 3)


def test_summary_wants_the_right_size():
    with pytest.raises(ValueError, match=r"matrix \(3, 3\) for fasseg6; wanted 6 classes"):
        confusion.summarize(MATRIX, labels.FASSEG6)
