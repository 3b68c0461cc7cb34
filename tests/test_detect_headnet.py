from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from faceparts.detect import _tiles, headnet
from faceparts.detect._suppress import overlap, suppress
from faceparts.errors import BadWeights, UsageError
from faceparts.evaluate import heads as rates
from faceparts.types import POINTS

NOSE = POINTS.index("nose")


# --- decode -----------------------------------------------------------------------------------


def maps(h: int, w: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.zeros((h, w), np.float32),
        np.full((4, h, w), 10, np.float32),
        np.zeros((21, h, w), np.float32),
    )


def test_a_peak_becomes_a_box_around_its_cell():
    heat, box, points = maps(6, 8)
    heat[2, 5], heat[2, 4] = 0.9, 0.8
    box[:, 2, 5] = 1, 2, 3, 4
    points[:, 2, 5] = np.arange(21)
    points[2::3, 2, 5] = [0.9, 0.29, 0.3, 0, 1, 0.31, 0.2]
    found = headnet.decode(heat, box, points, 0.5)
    # the cell's centre is (5.5 * 4, 2.5 * 4) = (22, 10)
    np.testing.assert_allclose(found.boxes_xyxy, [[21, 8, 25, 14]])
    np.testing.assert_allclose(found.scores, [0.9])
    nan = math.nan
    expected = [
        [22, 11, 0.9],
        [nan, nan, nan],
        [28, 17, 0.3],
        [nan, nan, nan],
        [34, 23, 1],
        [37, 26, 0.31],
        [nan, nan, nan],
    ]
    np.testing.assert_allclose(found.points[0], expected, rtol=1e-6)


def test_only_local_maxima_from_the_threshold_on_count():
    heat, box, points = maps(7, 9)
    heat[1, 1], heat[2, 2], heat[1, 4], heat[5, 5], heat[0, 8] = 0.6, 0.7, 0.65, 0.5, 0.49
    found = headnet.decode(heat, box, points, 0.5)
    middles = (found.boxes_xyxy[:, :2] + found.boxes_xyxy[:, 2:]) / 2
    assert sorted(map(tuple, middles)) == [(10.0, 10.0), (18.0, 6.0), (22.0, 22.0)]


def test_boxes_without_area_or_not_finite_are_left_out():
    heat, box, points = maps(3, 15)
    heat[1, 1::3] = 0.9
    box[0::2, 1, 1] = 0, -5  # no width: distances below zero count as zero
    box[1, 1, 4] = np.nan
    box[2, 1, 7] = np.inf
    heat[1, 10] = np.nan
    found = headnet.decode(heat, box, points, 0.5)
    np.testing.assert_allclose(found.boxes_xyxy, [[44, -4, 64, 16]])


def test_points_that_are_not_finite_are_not_seen_and_scores_end_at_one():
    heat, box, points = maps(1, 1)
    heat[:], points[:] = 1.5, 1.0
    points[0] = np.inf
    found = headnet.decode(heat, box, points, 0.5)
    assert found.scores == [1.0]
    assert np.isnan(found.points[0, 0]).all() and np.isfinite(found.points[0, 1:]).all()


def test_the_best_thousand_peaks_are_kept():
    heat, box, points = maps(80, 80)
    values = np.random.default_rng(0).permutation(1600).reshape(40, 40) / 1600
    heat[::2, ::2] = values + 0.001
    found = headnet.decode(heat, box, points, 0)
    assert len(found.scores) == headnet.MAX_CANDIDATES
    assert found.scores.min() > 600 / 1600


def test_a_threshold_of_zero_does_not_take_flat_ground_for_heads_twice():
    heat, box, points = maps(4, 4)
    found = headnet.decode(heat, box, points, 0.0)
    assert len(suppress(found.boxes_xyxy, found.scores)) < 16


# --- suppress ---------------------------------------------------------------------------------


def test_overlapping_boxes_give_way_to_the_best():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [6, 0, 16, 10]], float)
    # IoU with the second: 90 / 110, 0, 50 / 150
    assert suppress(boxes, np.array([0.8, 0.9, 0.95, 0.7])).tolist() == [2, 1, 3]


def test_a_box_in_the_middle_of_a_better_one_goes_one_at_its_side_stays():
    outer, middle, corner = [0, 0, 100, 100], [30, 30, 70, 70], [5, 5, 25, 25]
    boxes = np.array([outer, middle, corner], float)
    assert suppress(boxes, np.array([0.9, 0.8, 0.7])).tolist() == [0, 2]
    assert suppress(boxes, np.array([0.5, 0.8, 0.7])).tolist() == [1, 2, 0]


def test_nothing_stays_of_nothing():
    assert suppress(np.empty((0, 4)), np.empty(0)).tolist() == []


BOXES = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 20), st.integers(1, 20)),
    max_size=12,
)


@given(BOXES, st.randoms())
def test_suppression_is_the_plain_greedy_one(sizes, random):
    boxes = [(x, y, x + w, y + h) for x, y, w, h in sizes]
    scores = random.sample(range(100), len(boxes))

    def beats(a, b):
        w = min(a[2], b[2]) - max(a[0], b[0])
        h = min(a[3], b[3]) - max(a[1], b[1])
        shared = max(w, 0) * max(h, 0)
        area_a, area_b = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
        near_x = abs(a[0] + a[2] - b[0] - b[2]) / 2 <= (a[2] - a[0]) / 4
        near_y = abs(a[1] + a[3] - b[1] - b[3]) / 2 <= (a[3] - a[1]) / 4
        inside = shared > 0.85 * area_b and near_x and near_y
        return shared / (area_a + area_b - shared) > 0.5 or inside

    expected: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if not any(beats(boxes[j], boxes[i]) for j in expected):
            expected.append(i)
    got = suppress(np.array(boxes, float).reshape(-1, 4), np.array(scores, float))
    assert got.tolist() == expected


# --- views ------------------------------------------------------------------------------------


def sizes(h: int, w: int, **options) -> list[tuple[int, int, int]]:
    """(views in the batch, height, width) of every batch."""
    image = np.broadcast_to(np.uint8(127), (h, w, 3))
    return [(len(b), *b[0].image.shape[:2]) for b in _tiles.views(image, **options)]


def test_pictures_of_common_size_are_seen_once_as_they_are():
    assert sizes(480, 640) == [(1, 480, 640)]
    assert sizes(1024, 800) == [(1, 1024, 800)]
    assert sizes(1200, 1280) == [(1, 960, 1024)]


def test_small_pictures_are_enlarged():
    assert sizes(240, 320) == [(1, 480, 640)]
    assert sizes(20, 50) == [(1, 80, 200)]
    assert sizes(1, 1) == [(1, 4, 4)]


def test_big_pictures_are_seen_whole_and_in_tiles():
    assert sizes(1000, 1500) == [(1, 683, 1024), (2, 1000, 1024)]
    assert sizes(3000, 4000) == [(1, 768, 1024), *[(4, 1024, 1024)] * 5]
    assert sizes(3000, 4000, tiles=False) == [(1, 768, 1024)]
    assert sizes(3000, 4000, batch=8)[1:] == [(8, 1024, 1024), (8, 1024, 1024), (4, 1024, 1024)]


@pytest.mark.parametrize("hw", [(8000, 12000), (1000, 60000), (6000, 6000)])
def test_the_number_of_tiles_is_bounded(hw):
    batches = sizes(*hw)[1:]
    middle = math.prod(
        len(_tiles.starts(round(n * _tiles.MIDDLE_PX / max(hw)))) for n in hw
    )  # the level in between
    assert 16 <= sum(n for n, _, _ in batches) - middle * (hw != (6000, 6000)) <= 24


def test_thin_pictures_give_views():
    assert sizes(1, 5000)[0] == (1, 1, 1024)
    assert sizes(5000, 1)[0] == (1, 1024, 1)


@given(st.integers(1, 9000))
def test_tiles_cover_everything_and_overlap(length):
    starts = _tiles.starts(length)
    assert starts[0] == 0
    assert starts[-1] == max(0, length - 1024)
    assert all(b - a <= 768 for a, b in pairwise(starts))


@settings(max_examples=200)
@given(st.integers(1025, 6000), st.data())
def test_a_head_up_to_the_overlap_lies_uncut_in_some_tile(length, data):
    size = data.draw(st.integers(1, 240))
    left = data.draw(st.integers(0, length - size))
    image = np.broadcast_to(np.uint8(0), (4, length, 3))
    level = _tiles.View(image)
    uncut = []
    for tile in _tiles._tiles(level):
        x0 = left - tile.origin_xy[0]
        if x0 + size > 0 and x0 < 1024:
            box = np.array([[x0, 0, x0 + size, 4]], float)
            uncut.append(not _tiles.is_cut(box, tile)[0])
    assert any(uncut)


def test_boxes_count_as_cut_only_where_the_picture_goes_on():
    view = _tiles.View(np.zeros((100, 200, 3), np.uint8), cut=(True, False, False, True))
    boxes = np.array(
        [[3, 20, 30, 40], [5, 20, 30, 40], [20, -5, 30, 40], [150, 20, 210, 40], [9, 60, 19, 97]],
        float,
    )
    assert _tiles.is_cut(boxes, view).tolist() == [True, False, False, False, True]


def test_views_map_back_to_the_picture():
    image = np.zeros((1500, 3000, 3), np.uint8)
    whole, *tiled = [view for batch in _tiles.views(image) for view in batch]
    assert whole.ratio_xy == (3000 / 1024, 1500 / 512)
    assert tiled[0].origin_xy == (0, 0) and tiled[0].cut == (False, False, True, True)
    last = tiled[-1]
    assert last.origin_xy == (1976, 476) and last.cut == (True, True, False, False)
    found = headnet.Candidates(
        np.array([[10.0, 20, 30, 40]]), np.array([0.5]), np.full((1, 7, 3), 8.0)
    )
    there = headnet.to_picture(found, last)
    np.testing.assert_allclose(there.boxes_xyxy, [[1986, 496, 2006, 516]])
    np.testing.assert_allclose(there.points[0, 0], [1984, 484, 8])
    np.testing.assert_allclose(
        headnet.to_picture(found, whole).boxes_xyxy, np.array([[10, 20, 30, 40]]) * 3000 / 1024
    )


def test_views_are_filled_up_with_grey():
    views = [_tiles.View(np.full((30, 40, 3), i, np.uint8)) for i in (1, 2)]
    stacked = _tiles.stack_padded(views)
    assert stacked.shape == (2, 32, 64, 3)
    assert (stacked[0, :30, :40] == 1).all() and (stacked[1, :30, :40] == 2).all()
    assert (stacked[:, 30:] == 127).all() and (stacked[:, :, 40:] == 127).all()


def test_scaling_down_averages():
    image = np.zeros((64, 640, 3), np.uint8)
    image[:, ::2] = 200
    assert np.abs(_tiles.scale_image(image, (90, 9)).astype(int) - 100).max() <= 10


# --- the whole detector -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def detector(heads_file):
    return headnet.load(heads_file, threads=1)


def assert_found(heads, disks, tolerance=3.0) -> None:
    got = sorted((h.box_xyxy for h in heads), key=lambda b: (round(b[0]), b[1]))
    expected = sorted((x - r, y - r, x + r, y + r) for x, y, r in disks)
    assert len(got) == len(expected), (got, expected)
    np.testing.assert_allclose(got, expected, atol=tolerance)


def test_heads_are_found_where_they_are(heads_file, disks):
    drawn = [(100.3, 120.2, 20), (400.0, 300.0, 35), (600.0, 60.0, 15)]
    heads = headnet.load(heads_file, threads=1, tiles=False).detect(disks((470, 640), drawn))
    assert_found(heads, drawn)
    assert [h.score for h in heads] == sorted((h.score for h in heads), reverse=True)
    for head in heads:
        assert head.source == "headnet"
        x0, y0, x1, y1 = head.box_xyxy
        np.testing.assert_allclose(head.points[NOSE], [(x0 + x1) / 2, (y0 + y1) / 2, 0.9], atol=0.1)
        assert np.isnan(np.delete(head.points, NOSE, 0)).all()


def test_a_picture_without_heads_gives_none(detector):
    assert detector.detect(np.full((200, 300, 3), 127, np.uint8)) == []


def test_small_pictures_are_looked_at_enlarged(detector, disks):
    drawn = [(40.0, 30.0, 8.0)]
    assert_found(detector.detect(disks((80, 100), drawn)), drawn, tolerance=1.5)


def test_big_pictures_give_small_heads_on_tile_borders_once(detector, heads_file, disks):
    """Tiles of this picture begin at x = 0, 688, 1376 and y = 0, 676."""
    drawn = [
        *[(682.0, 302.0, 9.0), (1030.0, 302.0, 9.0), (1374.0, 678.0, 9.0)],
        *[(1022.0, 1022.0, 9.0), (1714.0, 502.0, 9.0), (14.0, 14.0, 9.0), (2386.0, 1686.0, 9.0)],
    ]
    image = disks((1700, 2400), drawn)
    assert_found(detector.detect(image), drawn)
    whole_only = headnet.load(heads_file, threads=1, tiles=False)
    assert whole_only.detect(image) == []  # too small at 1,024 px


def test_heads_too_large_for_tiles_are_found_in_the_whole(heads_file, disks):
    drawn = [(1000.0, 800.0, 110.0)]
    whole = headnet.load(heads_file, threads=1, tiles=False)
    assert_found(whole.detect(disks((1700, 2400), drawn)), drawn, tolerance=8)


def test_a_batch_of_tiles_gives_what_single_tiles_give(make_heads, tmp_path, detector, disks):
    image = disks((1100, 1900), [(300.0, 500.0, 12.0), (1500.0, 700.0, 20.0)])
    single = headnet.load(make_heads(tmp_path / "one.onnx", batch=1), threads=1)
    for a, b in zip(single.detect(image), detector.detect(image), strict=True):
        np.testing.assert_allclose(a.box_xyxy, b.box_xyxy, atol=1e-3)
        assert a.score == pytest.approx(b.score, abs=1e-5)


@pytest.mark.parametrize("hw", [(1, 1), (1, 5000), (5000, 1), (7, 3), (33, 31)])
def test_odd_pictures_do_no_harm(detector, hw):
    assert detector.detect(np.full((*hw, 3), 127, np.uint8)) == []
    detector.detect(np.random.default_rng(0).integers(0, 256, (*hw, 3), dtype=np.uint8))


def test_the_score_threshold_comes_from_the_card_unless_given(heads_file, head_card, disks):
    image = disks((200, 640), [(102.0, 102.0, 8.0), (402.0, 102.0, 40.0)])
    whole = headnet.load(heads_file, threads=1, tiles=False)
    low, high = sorted(h.score for h in whole.detect(image))
    assert head_card.threshold < low < high
    between = headnet.load(heads_file, threads=1, tiles=False, min_score=(low + high) / 2)
    assert [h.score for h in between.detect(image)] == [high]
    assert between.card == head_card


def test_options_out_of_range_are_refused(heads_file):
    with pytest.raises(UsageError, match=r"min_score: got 1.5, wanted 0 to 1"):
        headnet.load(heads_file, min_score=1.5)
    with pytest.raises(UsageError, match="max_side_px: got 31, wanted at least 32"):
        headnet.load(heads_file, max_side_px=31)


def test_other_pictures_are_refused(detector):
    with pytest.raises(ValueError, match=r"image: got float64 of shape \(9, 9, 3\)"):
        detector.detect(np.zeros((9, 9, 3)))


def test_files_of_another_form_are_refused(tmp_path, make_heads, make_net, head_card, parser_file):
    path = tmp_path / "a.onnx"
    make_heads(path, box=[])
    with pytest.raises(BadWeights, match=r"output 'box' is None, wanted \(N, 4, H/4, W/4\)"):
        headnet.load(path)
    node = helper.make_node("Concat", ["x", "x"], ["heat"], axis=1)
    side = ["n", 3, "h", "w"]
    make_net(path, head_card, [node], {}, {"x": side}, {"heat": ["n", 6, "h", "w"]})
    with pytest.raises(BadWeights, match=r"output 'heat' is \(None, 6, None, None\), wanted"):
        headnet.load(path)
    make_heads(path, batch=8)
    with pytest.raises(BadWeights, match=r"input is \(8, 3, None, None\); wanted free N, H and W"):
        headnet.load(path)
    with pytest.raises(BadWeights, match="is a net for 'segment', wanted one for 'detect'"):
        headnet.load(parser_file)


def test_maps_of_another_size_are_refused(detector, monkeypatch):
    wrong = {
        "heat": np.zeros((1, 1, 8, 8), np.float32),
        "box": np.zeros((1, 4, 8, 9), np.float32),
        "points": np.zeros((1, 21, 8, 8), np.float32),
    }
    monkeypatch.setattr(type(detector._net), "run", lambda *_: wrong)
    with pytest.raises(BadWeights, match=r"'box': got \(1, 4, 8, 9\), wanted \(1, 4, 8, 8\)"):
        detector.detect(np.zeros((8, 8, 3), np.uint8))


def test_a_heat_without_its_sigmoid_is_refused(detector, monkeypatch):
    run = detector._net.run
    hot = {"heat": np.float32(3.0)}
    monkeypatch.setattr(
        type(detector._net),
        "run",
        lambda _, images: {name: found + hot.get(name, 0) for name, found in run(images).items()},
    )
    with pytest.raises(BadWeights, match=r"'heat' reaches .*, wanted 0..1; export it with its sig"):
        detector.detect(np.zeros((64, 64, 3), np.uint8))


# --- the closer and the far look ----------------------------------------------------------------


def some(*rows: tuple[float, float, float, float, float]) -> headnet.Candidates:
    """Candidates without points from (left, top, right, bottom, score)."""
    values = np.array(rows, np.float64).reshape(-1, 5)
    return headnet.Candidates(values[:, :4], values[:, 4], np.full((len(values), 7, 3), np.nan))


def test_the_closer_look_is_twice_as_large_and_only_for_common_sizes():
    assert list(_tiles.closer_views(np.zeros((300, 500, 3), np.uint8))) == []
    assert list(_tiles.closer_views(np.zeros((1500, 2200, 3), np.uint8))) == []
    ((view,),) = _tiles.closer_views(np.zeros((480, 640, 3), np.uint8))
    assert view.image.shape == (960, 1280, 3) and view.cut == (False,) * 4
    np.testing.assert_allclose(view.ratio_xy, [0.5, 0.5])
    tiles = [v for batch in _tiles.closer_views(np.zeros((900, 1400, 3), np.uint8)) for v in batch]
    assert len(tiles) == 6 and all(max(v.image.shape) <= _tiles.TILE_PX for v in tiles)


def test_the_far_looks_never_enlarge():
    (view,) = _tiles.far_views(np.zeros((100, 60, 3), np.uint8))
    assert view.image.shape == (100, 60, 3)
    (view,) = _tiles.far_views(np.zeros((480, 640, 3), np.uint8))
    assert view.image.shape == (192, 256, 3)
    np.testing.assert_allclose(view.ratio_xy, [2.5, 2.5])
    views = _tiles.far_views(np.zeros((768, 1024, 3), np.uint8))
    assert [v.image.shape for v in views] == [(192, 256, 3), (480, 640, 3)]
    assert _tiles.framed_view(np.zeros((100, 60, 3), np.uint8)).image.shape == (228, 188, 3)


def test_the_framed_look_has_the_picture_in_its_middle():
    picture = np.zeros((80, 160, 3), np.uint8)
    picture[:40] = 200
    view = _tiles.framed_view(picture)
    assert view.image.shape == (64 + 128, 128 + 128, 3)
    np.testing.assert_allclose(view.image[64:96, 64:192], 200)
    np.testing.assert_allclose(view.image[96:128, 64:192], 0)
    outside = np.ones(view.image.shape[:2], bool)
    outside[64:128, 64:192] = False
    assert (view.image[outside] == 127).all()
    found = some((64, 64, 192, 128, 0.9), (60, 70, 100, 110, 0.8))
    back = headnet.to_picture(found, view)
    np.testing.assert_allclose(back.boxes_xyxy, [[0, 0, 160, 80], [-5, 7.5, 45, 57.5]])


def test_without_a_closer_look_the_first_stays():
    first = some((0, 0, 10, 10, 0.8))
    assert headnet.prefer_closer(first, []) is first


def test_the_closer_look_outweighs_the_first_on_small_heads_only():
    first = some((0, 0, 10, 10, 0.8), (0, 0, 200, 200, 0.7))
    closer = [some((1, 0, 11, 10, 0.5), (0, 0, 300, 300, 0.9)), some((50, 50, 60, 60, 0.4))]
    joined = headnet.prefer_closer(first, closer)
    np.testing.assert_allclose(joined.scores, [0.8 * headnet.UNCONFIRMED, 0.7, 0.5, 0.4])
    np.testing.assert_allclose(joined.boxes_xyxy[2:], [[1, 0, 11, 10], [50, 50, 60, 60]])
    best = suppress(joined.boxes_xyxy, joined.scores)
    assert 2 in best and 0 not in best, "the closer look's box wins"


def test_a_small_head_is_looked_at_again_and_found_where_it_is(heads_file, disks, monkeypatch):
    looks = []
    true_look = headnet.HeadNet._look

    def look(self, views):
        looks.append(views[0].image.shape[:2])
        return true_look(self, views)

    monkeypatch.setattr(headnet.HeadNet, "_look", look)
    picture = disks((480, 640), [(300, 200, 16)])
    heads = headnet.load(heads_file, threads=1).detect(picture)
    assert_found(heads, [(300, 200, 16)])
    assert looks == [(480, 640), (960, 1280), (192, 256), (224, 256)]
    looks.clear()
    headnet.load(heads_file, threads=1, tiles=False).detect(picture)
    assert looks == [(480, 640), (192, 256), (224, 256)]


@pytest.mark.parametrize(("score", "framed"), [(0.59, True), (0.6, False)])
def test_the_framed_look_is_for_pictures_without_a_sure_close_up(
    heads_file, score, framed, monkeypatch
):
    looks = []

    def look(self, views):
        looks.append(views[0].image.shape[:2])
        return [some((100, 100, 300, 300, score), (10, 10, 90, 90, 0.9)) for _ in views]

    monkeypatch.setattr(headnet.HeadNet, "_look", look)
    detector = headnet.load(heads_file, threads=1)
    detector.detect(np.zeros((480, 640, 3), np.uint8))
    assert looks == [(480, 640), (192, 256), (224, 256)][: 2 + framed]


def rows_of(found):
    return sorted(np.column_stack([found.boxes_xyxy, found.scores]).tolist())


def test_the_far_look_says_where_a_close_up_ends():
    first = some((20, 20, 80, 90, 0.9), (0, 0, 20, 20, 0.7), (200, 0, 300, 100, 0.8))
    far = some((0, 5, 100, 95, 0.5), (10, 10, 90, 95, 0.6))
    found = headnet.prefer_far(first, far, close_up_px=50)
    assert rows_of(found) == [
        [0, 0, 20, 20, 0.7],  # no close-up
        [0, 5, 100, 95, 0.5],
        [10, 10, 90, 95, 0.9],  # the surer of the far ones has the score of the first
        [200, 0, 300, 100, 0.8],  # no far look saw it
    ]
    assert far.scores.tolist() == [0.5, 0.6], "what was given is left as it was"


def test_the_far_look_keeps_its_own_better_score():
    first, far = some((20, 20, 80, 90, 0.4)), some((0, 5, 100, 95, 0.5))
    assert rows_of(headnet.prefer_far(first, far, close_up_px=50)) == rows_of(far)


def test_of_two_heads_that_the_far_look_took_for_one_none_is_lost():
    left, right = (0, 0, 60, 100, 0.8), (50, 0, 110, 100, 0.9)
    again = (4, 0, 62, 100, 0.5)  # the left one, once more
    both = (0, 0, 104, 100, 0.6)  # IoU 0.58 with the left, 0.49 with the right one
    found = headnet.prefer_far(some(left, again, right), some(both), close_up_px=50)
    assert rows_of(found) == [[0, 0, 104, 100, 0.8], list(right)]


@pytest.mark.parametrize("close_up_px", [50, 70])
def test_looks_that_saw_different_things_stay_apart(close_up_px):
    first, far = some((0, 0, 60, 60, 0.4)), some((50, 0, 110, 60, 0.9))
    joined = rows_of(headnet.join([first, far]))
    assert rows_of(headnet.prefer_far(first, far, close_up_px)) == joined
    assert rows_of(headnet.prefer_far(first, some(), close_up_px)) == rows_of(first)
    assert rows_of(headnet.prefer_far(some(), far, close_up_px)) == rows_of(far)


@given(BOXES, BOXES)
def test_overlap_is_that_of_the_measured_rates(one, other):
    a, b = (
        np.array([(x, y, x + w, y + h) for x, y, w, h in rows], np.float64).reshape(-1, 4)
        for rows in (one, other)
    )
    np.testing.assert_allclose(overlap(a, b), rates.overlap(a, b))
