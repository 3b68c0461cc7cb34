"""Precision-recall and calibration from histograms, against scikit-learn and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve

from faceparts.evaluate import curves
from faceparts.evaluate.curves import BINS, Histograms, Reliability


def filled(probs, truth):
    histograms = Histograms.empty(1)
    histograms.add(0, np.float32(probs), np.array(truth, bool))
    return histograms.counts[0]


@pytest.fixture(scope="module")
def case():
    """Probabilities on bin centres, so that nothing is lost by counting."""
    rng = np.random.default_rng(3)
    truth = rng.random(5000) < 0.2
    probs = np.clip(rng.normal(0.35 + 0.25 * truth, 0.2), 0, 0.9999)
    return (np.floor(probs * BINS) + 0.5) / BINS, truth


def test_equals_scikit_learn(case):
    probs, truth = case
    precision, recall = curves.precision_recall(filled(probs, truth))
    expected_p, expected_r, _ = precision_recall_curve(truth, probs)
    # scikit-learn goes from the lowest threshold up and adds the point (recall 0, precision 1)
    np.testing.assert_allclose(precision, expected_p[:-1][::-1])
    np.testing.assert_allclose(recall, expected_r[:-1][::-1])
    average = curves.average_precision(filled(probs, truth))
    assert average == pytest.approx(average_precision_score(truth, probs))


def test_by_hand():
    counts = filled([0.9, 0.8, 0.8, 0.1], [1, 1, 0, 1])
    precision, recall = curves.precision_recall(counts)
    np.testing.assert_allclose(precision, [1, 2 / 3, 3 / 4])
    np.testing.assert_allclose(recall, [1 / 3, 2 / 3, 1])
    assert curves.average_precision(counts) == pytest.approx(1 / 3 + 2 / 9 + 1 / 4)


def test_a_class_without_pixels_has_no_curve():
    counts = filled([0.2, 0.9], [0, 0])
    assert [len(v) for v in curves.precision_recall(counts)] == [0, 0]
    assert np.isnan(curves.average_precision(counts))


def test_zero_and_one_are_counted():
    counts = filled([0.0, 1.0, 1.0], [0, 1, 0])
    assert counts[0, 0] == 1 and counts[1, -1] == 1 and counts[0, -1] == 1
    assert counts.sum() == 3


def test_pictures_add_up(case):
    probs, truth = case
    parts = Histograms.empty(2)
    parts.add(1, np.float32(probs[:999]), truth[:999])
    parts.add(1, np.float32(probs[999:]), truth[999:])
    np.testing.assert_array_equal(parts.counts[1], filled(probs, truth))
    assert not parts.counts[0].any()


def test_lengths_must_agree():
    with pytest.raises(ValueError, match=r"\(2,\) probabilities, \(3,\) truths"):
        Histograms.empty(1).add(0, np.zeros(2, np.float32), np.zeros(3, bool))


def test_thin_keeps_ends_and_shape(case):
    precision, recall = curves.precision_recall(filled(*case))
    few_p, few_r = curves.thin(precision, recall, 50)
    assert len(few_r) <= 51 and (few_r[0], few_r[-1]) == (recall[0], recall[-1])
    assert np.abs(np.interp(recall, few_r, few_p) - precision).max() < 0.08
    same = curves.thin(precision[:7], recall[:7], 50)
    np.testing.assert_array_equal(same[0], precision[:7])


def slow_error(confidence, right, bins=curves.RELIABILITY_BINS):
    """Expected calibration error, one bin after the other."""
    total, error = len(confidence), 0.0
    for i in range(bins):
        last = i == bins - 1
        inside = [
            j
            for j, c in enumerate(confidence)
            if i <= c * bins < i + 1 or (last and c * bins >= bins)
        ]
        if inside:
            accuracy = sum(bool(right[j]) for j in inside) / len(inside)
            mean = sum(float(confidence[j]) for j in inside) / len(inside)
            error += len(inside) / total * abs(accuracy - mean)
    return error


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1, width=16), st.booleans()), min_size=1, max_size=60))
def test_calibration_error_equals_the_slow_one(pairs):
    confidence, right = np.float32([c for c, _ in pairs]), np.array([r for _, r in pairs])
    found = Reliability.empty()
    found.add(confidence, right)
    scaled = (confidence * np.float32(curves.RELIABILITY_BINS)).astype(np.float64)
    expected = slow_error(scaled / curves.RELIABILITY_BINS, right)
    assert found.error() == pytest.approx(expected, abs=1e-5)


def test_calibration_by_hand():
    found = Reliability.empty()
    found.add(np.float32([0.95, 0.95, 0.95, 0.95, 0.4]), np.array([1, 1, 1, 0, 0], bool))
    assert found.error() == pytest.approx((4 * abs(0.75 - 0.95) + 0.4) / 5)
    rows = found.rows()
    assert rows[-1]["pixels"] == 4 and rows[-1]["accuracy"] == 0.75
    assert rows[-1]["confidence"] == pytest.approx(0.95)
    assert rows[0]["accuracy"] is None and rows[0]["pixels"] == 0
    assert np.isnan(Reliability.empty().error())
