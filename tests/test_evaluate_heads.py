"""Head rates: cases worked out by hand, and a slow second implementation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from faceparts.evaluate import heads

INF = float("inf")


def box(x, size=10.0):
    """A square box with its left edge at x."""
    return [x, 0.0, x + size, size]


def test_overlap_by_hand():
    iou = heads.overlap([box(0), box(5)], [box(0), box(100), [3, 3, 3, 9]])
    np.testing.assert_allclose(iou, [[1, 0, 0], [1 / 3, 0, 0]])
    assert heads.overlap([], [box(0)]).shape == (0, 1)
    assert heads.overlap([[1, 1, 1, 1]], [[1, 1, 1, 1]]) == 0


def test_best_score_is_matched_first_and_only_once():
    marked = [box(0), box(100)]
    found = heads.match([box(1), box(0), box(300)], [0.9, 0.95, 0.5], marked)
    np.testing.assert_array_equal(np.isfinite(found.matched_px), [False, True, False])


def test_a_find_takes_the_free_head_that_it_overlaps_most():
    marked = [box(0), box(2)]
    found = heads.match([box(1.9), box(1.8)], [0.9, 0.8], marked)
    # the first takes the second head; what is left for the second is the first, IoU 8.2 / 11.8
    np.testing.assert_array_equal(np.isfinite(found.matched_px), [True, True])


def test_overlap_must_be_half():
    marked = [[0, 0, 10, 10]]
    half = heads.match([[0, 0, 10, 5]], [1], marked)
    less = heads.match([[0, 0, 10, 4.9]], [1], marked)
    assert np.isfinite(half.matched_px[0])
    assert np.isnan(less.matched_px[0])


def picture():
    """Scores .9 hit, .8 miss, .7 hit, .7 miss, .6 hit; four heads are marked."""
    marked = [box(x) for x in (0, 100, 200, 300)]
    found = [box(0), box(500), box(100), box(600), box(200)]
    return heads.match(found, [0.9, 0.8, 0.7, 0.7, 0.6], marked)


def test_boxes_end_at_the_edges_of_the_picture() -> None:
    boxes = [[-4, 2, 6, 30], [1, 2, 3, 4], [50, 60, 70, 80]]
    cut = heads.within(boxes, (20, 40, 3))
    assert cut.tolist() == [[0, 2, 6, 20], [1, 2, 3, 4], [40, 20, 40, 20]]
    assert heads.within([], (20, 40)).shape == (0, 4)
    marked = [[0, 2, 6, 20]]  # as people mark a head that the edge cuts
    assert np.isnan(heads.match(boxes[:1], [1], marked).matched_px).all()
    assert not np.isnan(heads.match(cut[:1], [1], marked).matched_px).any()


def test_curve_by_hand():
    curve = heads.curve(picture())
    np.testing.assert_allclose(curve.scores, [0.9, 0.8, 0.7, 0.6])
    np.testing.assert_allclose(curve.precision, [1, 1 / 2, 2 / 4, 3 / 5])
    np.testing.assert_allclose(curve.recall, [1 / 4, 1 / 4, 2 / 4, 3 / 4])
    assert curve.marked == 4


def test_rates_by_hand():
    curve = heads.curve(picture())
    assert heads.average_precision(curve) == pytest.approx(0.25 * 1 + 0.5 * 3 / 5)
    assert heads.recall_at_precision(curve, 0.9) == (0.25, 0.9)
    assert heads.recall_at_precision(curve, 0.6) == (0.75, 0.6)
    assert heads.at_threshold(curve, 0.75) == (0.5, 0.25)
    recall, threshold = heads.recall_at_precision(heads.curve(picture()), 1.01)
    assert recall == 0
    assert np.isnan(threshold)
    precision, recall = heads.at_threshold(curve, 0.95)
    assert np.isnan(precision)
    assert recall == 0


def test_no_finds_and_no_heads():
    nothing_found = heads.curve(heads.match([], [], [box(0)]))
    assert heads.average_precision(nothing_found) == 0
    assert heads.recall_at_precision(nothing_found, 0.9)[0] == 0
    nothing_there = heads.curve(heads.match([box(0)], [0.5], []))
    assert np.isnan(heads.average_precision(nothing_there))
    assert np.isnan(heads.recall_at_precision(nothing_there, 0.9)).all()
    assert np.isnan(heads.at_threshold(nothing_there, 0.1)).all()


def test_sizes_leave_the_others_out():
    marked = [box(0, 10), box(100, 40)]
    found = [box(0, 9), box(100, 40), box(300, 12), box(400, 50)]
    matches = heads.match(found, [0.9, 0.8, 0.7, 0.6], marked)
    small, large = heads.curve(matches, (0, 16)), heads.curve(matches, (32, 64))
    assert small.marked == large.marked == 1
    np.testing.assert_allclose(small.precision, [1, 1 / 2])
    np.testing.assert_allclose(large.precision, [1, 1 / 2])
    np.testing.assert_allclose(large.scores, [0.8, 0.6])


def test_size_of_a_match_is_the_marked_head():
    matches = heads.match([[0, 0, 17, 17]], [0.9], [[0, 0, 15, 15]])
    assert heads.curve(matches, (0, 16)).recall.tolist() == [1.0]
    assert heads.curve(matches, (16, 32)).scores.size == 0


def test_pool_is_all_pictures_together():
    pooled = heads.pool([picture(), heads.match([], [], [box(0)]), picture()])
    assert pooled.marked_px.size == 9
    assert heads.curve(pooled).recall[-1] == pytest.approx(6 / 9)
    assert heads.pool([]).scores.size == 0


def test_summary():
    table = heads.summarize(picture(), 0.6)
    assert list(table) == ["all", "<16", "16-32", "32-64", "64-128", ">=128"]
    assert table["all"] == table["<16"] | {"heads": 4}
    assert table["all"]["recall_at_precision_0.6"] == 0.75
    assert table["all"]["threshold_there"] == table["all"]["threshold"] == 0.6
    assert table["all"]["recall_at_threshold"] == 0.75
    assert table["16-32"]["heads"] == 0
    assert table["16-32"]["average_precision"] is None
    assert heads.summarize(picture(), 0.6, score=0.75)["all"]["recall_at_threshold"] == 0.25


def test_one_score_a_box():
    with pytest.raises(ValueError, match="1 boxes but 2 scores"):
        heads.match([box(0)], [0.5, 0.4], [])


sides = st.floats(1, 30, allow_nan=False, width=32)
boxes = st.tuples(st.floats(0, 40, width=32), st.floats(0, 40, width=32), sides, sides).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


def slow_overlap(a, b):
    w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return w * h / (area - w * h)


def slow_hits(found, scores, marked):
    """One loop a find, one loop a head: which finds match."""
    free, hits = list(range(len(marked))), [False] * len(found)
    for i in sorted(range(len(found)), key=lambda i: -scores[i]):
        best = max(free, key=lambda j: slow_overlap(found[i], marked[j]), default=None)
        if best is not None and slow_overlap(found[i], marked[best]) >= 0.5:
            free.remove(best)
            hits[i] = True
    return hits


scenes = st.tuples(
    st.lists(boxes, max_size=8),
    st.lists(boxes, max_size=5),
    st.permutations([0.1, 0.2, 0.2, 0.4, 0.5, 0.6, 0.7, 0.7]),
)


@settings(deadline=None)
@given(scenes)
def test_same_as_the_slow_way(scene):
    found, marked, scores = scene
    scores = scores[: len(found)]
    matches = heads.match(found, scores, marked)
    hits = slow_hits(found, scores, marked)
    assert np.isfinite(matches.matched_px).tolist() == hits
    curve = heads.curve(matches)
    for threshold, precision, recall in zip(
        curve.scores, curve.precision, curve.recall, strict=True
    ):
        taken = [hit for hit, score in zip(hits, scores, strict=True) if score >= threshold]
        assert precision == pytest.approx(sum(taken) / len(taken))
        if marked:
            assert recall == pytest.approx(sum(taken) / len(marked))


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=12).filter(any))
def test_average_precision_is_at_least_the_step_sum(hits):
    """Without the envelope it is scikit-learn's step sum, when every head is found."""
    scores = np.linspace(1, 0.1, len(hits))
    marked = [box(100 * i) for i, hit in enumerate(hits) if hit]
    found = [box(100 * i) for i in range(len(hits))]
    curve = heads.curve(heads.match(found, scores, marked))
    steps = float(np.sum(np.diff(curve.recall, prepend=0) * curve.precision))
    assert steps == pytest.approx(average_precision_score(hits, scores))
    assert heads.average_precision(curve) >= steps - 1e-12
