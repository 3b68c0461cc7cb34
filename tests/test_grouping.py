"""Grouping by tags: by hand, on drawn scenes with known people, and against a slow reference."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import grouping_reference as reference
from faceparts.detect import _grouping as grouping
from faceparts.detect._grouping import MissingExtra, group
from faceparts.errors import BadWeights

NOSE, LEFT_EYE, RIGHT_EYE, LEFT_WRIST, LEFT_HIP = 0, 1, 2, 9, 11

Maps = tuple[NDArray[np.float32], NDArray[np.float32]]


def maps(*peaks: tuple[int, int, int, float, float], hw: tuple[int, int] = (12, 20)) -> Maps:
    """Heat maps with single warm pixels: joint, column, row, heat, tag; the tag 3 x 3 wide."""
    heat, tags = np.zeros((17, *hw), np.float32), np.full((17, *hw), 99, np.float32)
    for joint, x, y, value, tag in peaks:
        heat[joint, y, x] = value
        tags[joint, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = tag
    return heat, tags


def same(a: Maps, b: Maps) -> bool:
    return np.array_equal(a[0], b[0], equal_nan=True) and np.allclose(a[1], b[1], rtol=1e-6)


def test_two_people_by_hand() -> None:
    heat, tags = maps(
        (NOSE, 4, 3, 0.9, 0.0),
        (NOSE, 14, 5, 0.8, 5.0),
        (LEFT_EYE, 5, 2, 0.5, 0.2),
        (LEFT_EYE, 15, 4, 0.7, 4.9),
        (LEFT_WRIST, 10, 9, 0.6, 5.3),
    )
    heat[NOSE, 3, 5] = 0.2  # leans to the right
    heat[NOSE, 2, 4] = 0.1  # and upwards
    people, scores = group(heat, tags)
    assert people.dtype == scores.dtype == np.float32
    second, first = people
    assert first[NOSE].tolist() == pytest.approx([4.75, 3.25, 0.9])
    assert first[LEFT_EYE].tolist() == pytest.approx([5.5, 2.5, 0.5])
    assert np.isnan(first[LEFT_WRIST, :2]).all()
    assert first[LEFT_WRIST, 2] == 0
    assert second[NOSE].tolist() == pytest.approx([14.5, 5.5, 0.8])
    assert second[LEFT_EYE].tolist() == pytest.approx([15.5, 4.5, 0.7])
    assert second[LEFT_WRIST].tolist() == pytest.approx([10.5, 9.5, 0.6])
    assert scores.tolist() == pytest.approx([2.1 / 17, 1.4 / 17])


def test_nobody() -> None:
    people, scores = group(*maps())
    assert people.shape == (0, 17, 3)
    assert scores.shape == (0,)


def test_one_person_of_one_joint() -> None:
    people, scores = group(*maps((LEFT_HIP, 0, 11, 0.3, -7.0)))
    assert people.shape == (1, 17, 3)
    assert people[0, LEFT_HIP].tolist() == pytest.approx([0.25, 11.75, 0.3])
    assert np.isnan(people[0, :, 0]).sum() == 16
    assert scores[0] == pytest.approx(0.3 / 17)


def test_a_peak_on_the_border_leans_outwards() -> None:
    heat, tags = maps((NOSE, 0, 0, 0.8, 1.0))
    people, _ = group(heat, tags)
    assert people[0, NOSE, :2].tolist() == [0.25, 0.25]


def test_a_peak_must_be_higher_than_the_threshold() -> None:
    heat, tags = maps((NOSE, 4, 3, 0.5, 0.0), (NOSE, 14, 3, 0.25, 5.0))
    assert len(group(heat, tags, threshold=0.25)[0]) == 1
    assert len(group(heat, tags, threshold=0.24)[0]) == 2


def test_only_the_highest_of_a_window_is_a_peak() -> None:
    heat, tags = maps((NOSE, 4, 3, 0.5, 0.0), (NOSE, 6, 5, 0.4, 5.0), (NOSE, 4, 6, 0.4, 9.0))
    people, _ = group(heat, tags)
    assert sorted(people[:, NOSE, 1].tolist()) == [3.5, 6.5]


def test_a_plateau_is_one_peak() -> None:
    heat, tags = maps((NOSE, 4, 3, 0.5, 0.0), (NOSE, 5, 3, 0.5, 0.0), (NOSE, 12, 3, 0.5, 5.0))
    people, _ = group(heat, tags)
    assert people[:, NOSE].tolist() == [[4.75, 3.5, 0.5], [12.5, 3.5, 0.5]]


def test_equal_tags_do_not_swallow_a_person() -> None:
    heat, tags = maps((NOSE, 4, 3, 0.5, 2.0), (NOSE, 14, 3, 0.4, 2.0))
    assert len(group(heat, tags)[0]) == 2


def test_people_who_cross_keep_their_joints() -> None:
    heat, tags = maps(
        (NOSE, 4, 1, 0.9, 0.0),
        (NOSE, 15, 1, 0.8, 3.0),
        (LEFT_HIP, 15, 10, 0.9, 0.1),
        (LEFT_HIP, 4, 10, 0.8, 2.9),
    )
    people, _ = group(heat, tags)
    assert people[:, [NOSE, LEFT_HIP], 0].tolist() == [[4.5, 15.5], [15.5, 4.5]]


def test_equal_rounded_distances_go_to_the_nearer_person() -> None:
    heat, tags = maps(
        (NOSE, 4, 3, 0.9, 0.0),
        (NOSE, 14, 3, 0.8, 0.4),
        (LEFT_EYE, 4, 2, 0.7, 0.4),
        (LEFT_EYE, 14, 2, 0.6, 0.0),
    )
    people, _ = group(heat, tags)
    assert people[:, LEFT_EYE, 0].tolist() == [14.5, 4.5]


def test_a_far_person_does_not_push_a_peak_away() -> None:
    peaks = (
        *((NOSE, 3, 3, 0.9, 0.0), (NOSE, 14, 3, 0.8, 1.9)),
        *((LEFT_EYE, 3, 8, 0.7, 0.45), (LEFT_EYE, 14, 8, 0.6, -0.9)),
    )
    heat, tags = maps(*peaks)
    people, _ = group(heat, tags, refine=False)
    assert same((people, _), reference.group(heat, tags, refine=False))
    both = people[(people[:, [NOSE, LEFT_EYE], 2] > 0).all(axis=1)]
    assert both[:, LEFT_EYE, 1].tolist() == [8.5]
    assert both[0, LEFT_EYE, 2] == pytest.approx(0.7)
    published, _ = reference.group(heat, tags, refine=False, as_published=True)
    both = published[(published[:, [NOSE, LEFT_EYE], 2] > 0).all(axis=1)]
    assert both[0, LEFT_EYE, 2] == pytest.approx(0.6)


def test_missing_joints_are_found_where_tags_agree() -> None:
    heat, tags = maps(
        (NOSE, 4, 3, 0.9, 1.0),
        (LEFT_EYE, 5, 2, 0.05, 1.4),
        (RIGHT_EYE, 9, 9, 0.09, 2.0),
        (LEFT_WRIST, 9, 9, -0.1, 1.0),
    )
    people, scores = group(heat, tags)
    assert people[0, LEFT_EYE].tolist() == pytest.approx([5.5, 2.5, 0.05])
    assert people[0, RIGHT_EYE, 2] == 0
    assert people[0, LEFT_WRIST, 2] == 0
    assert scores[0] == pytest.approx(0.9 / 17)
    plain, _ = group(heat, tags, refine=False)
    assert plain[0, LEFT_EYE, 2] == 0


def test_the_best_people_are_kept() -> None:
    heat, tags = maps(
        *((NOSE, 3 + 4 * i, 3, 0.2 + 0.1 * i, 5.0 * i) for i in range(4)),
        (LEFT_EYE, 3, 8, 0.9, 0.0),
    )
    people, scores = group(heat, tags, max_people=4)
    assert people[:, NOSE, 0].tolist() == [3.5, 15.5, 11.5, 7.5]
    assert (np.diff(scores) < 0).all()
    people, _ = group(heat, tags, max_people=2)
    assert people[:, NOSE, 2].tolist() == pytest.approx([0.2, 0.5])


def test_more_noses_than_people_leave_the_lowest_out() -> None:
    heat, tags = maps(*((NOSE, 3 + 4 * i, 3, 0.2 + 0.1 * i, 5.0 * i) for i in range(4)))
    people, _ = group(heat, tags, max_people=3)
    assert people[:, NOSE, 0].tolist() == [15.5, 11.5, 7.5]


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("value", [0.0, 0.5])
def test_flat_maps(value: float, depth: int) -> None:
    heat = np.full((17, 33, 21), value, np.float32)
    tags = np.zeros((17, 33, 21, depth), np.float32)
    people, scores = group(heat, tags, max_people=5)
    assert len(people) == len(scores) == (5 if value else 0)
    assert same((people, scores), reference.group(heat, tags, max_people=5))


def test_a_search_in_small_pieces_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = reference.draw_scene(np.random.default_rng(3), 20, 60, hidden=0.6, depth=2)
    whole = group(drawn.heatmaps, drawn.tags)
    monkeypatch.setattr(grouping, "MOST_PIXELS", 7)
    monkeypatch.setattr(grouping, "MOST_STRIPS", 500)
    assert same(group(drawn.heatmaps, drawn.tags), whole)
    assert same(whole, reference.group(drawn.heatmaps, drawn.tags))


@pytest.mark.parametrize("number", range(24))
def test_equal_to_the_slow_reference(number: int) -> None:
    rng = np.random.default_rng(number)
    drawn = reference.draw_scene(
        rng,
        int(rng.integers(0, 31)),
        int(rng.integers(24, 60)),
        hidden=rng.uniform(0, 0.6),
        spread=rng.uniform(0, 0.5),
        noise=0.05 * (number % 3),
        depth=1 + number % 2,
    )
    options = {"tag_threshold": rng.uniform(0.4, 2), "max_people": int(rng.integers(1, 31))}
    got = group(drawn.heatmaps, drawn.tags, **options)
    assert same(got, reference.group(drawn.heatmaps, drawn.tags, **options))
    plain = group(drawn.heatmaps, drawn.tags, refine=False)
    assert same(plain, reference.group(drawn.heatmaps, drawn.tags, refine=False))


@pytest.mark.parametrize(("count", "depth"), [(1, 1), (30, 1), (30, 2)])
def test_drawn_people_are_found_exactly(count: int, depth: int) -> None:
    rng = np.random.default_rng(count + depth)
    drawn = reference.draw_scene(rng, count, 256, spread=0.1, depth=depth, clear_px=9)
    people, scores = group(drawn.heatmaps, drawn.tags, refine=False)
    there = drawn.people[drawn.people[:, :, 2].any(axis=1)]
    assert len(people) == len(scores) == len(there)
    for person in there:
        marked = person[:, 2] == 1
        gaps = [
            np.linalg.norm(found[marked, :2] - person[marked, :2], axis=1).max()
            for found in people
            if ((found[:, 2] > 0) == marked).all()
        ]
        assert min(gaps) < 0.8


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 12), st.integers(8, 40))
def test_every_peak_goes_to_one_person(seed: int, count: int, size: int) -> None:
    drawn = reference.draw_scene(np.random.default_rng(seed), count, size, noise=0.1)
    people, scores = group(drawn.heatmaps, drawn.tags, max_people=600, refine=False)
    peaks = sum(len(reference.peaks_of(heat, 0.1)) for heat in drawn.heatmaps)
    assert int((people[..., 2] > 0).sum()) == peaks
    assert (np.diff(scores) <= 0).all()
    seen = people[..., 2] > 0
    assert np.array_equal(np.isnan(people[..., 0]), ~seen)
    assert (people[seen][:, :2] >= 0).all()
    assert (people[seen][:, :2] <= size).all()
    places = [(j, x, y) for p in people for j, (x, y, s) in enumerate(p) if s > 0]
    assert len(set(places)) == len(places)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 8))
def test_a_mirrored_picture_has_mirrored_people(seed: int, count: int) -> None:
    drawn = reference.draw_scene(np.random.default_rng(seed), count, 32)
    people, scores = group(drawn.heatmaps, drawn.tags)
    turned, again = group(drawn.heatmaps[:, :, ::-1], drawn.tags[:, :, ::-1])
    turned[..., 0] = 32 - turned[..., 0]
    np.testing.assert_array_equal(turned, people)
    np.testing.assert_array_equal(again, scores)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("which", ["heatmaps", "tags"])
def test_values_that_are_not_numbers(which: str, value: float) -> None:
    heat, tags = maps((NOSE, 4, 3, 0.5, 0.0))
    (heat if which == "heatmaps" else tags)[3, 2, 1] = value
    with pytest.raises(BadWeights, match=f"{which}: 1 of 4080 values are not finite numbers"):
        group(heat, tags)


@pytest.mark.parametrize(
    ("heat", "tags", "what"),
    [
        ((16, 4, 4), (16, 4, 4), r"heatmaps: got shape \(16, 4, 4\), wanted \(17, H, W\)"),
        ((17, 4), (17, 4), r"heatmaps: got shape \(17, 4\)"),
        ((17, 0, 4), (17, 0, 4), r"heatmaps: got shape \(17, 0, 4\)"),
        ((17, 4, 4), (17, 4, 5), r"tags: got shape \(17, 4, 5\), wanted \(17, 4, 4\)"),
        ((17, 4, 4), (17, 4, 4, 0), r"tags: got shape \(17, 4, 4, 0\)"),
        ((17, 4, 4), (17, 4, 4, 1, 1), r"tags: got shape \(17, 4, 4, 1, 1\)"),
    ],
)
def test_wrong_shapes(heat: tuple[int, ...], tags: tuple[int, ...], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        group(np.zeros(heat, np.float32), np.zeros(tags, np.float32))


@pytest.mark.parametrize(
    "options",
    [
        {"max_people": 0},
        {"threshold": -0.1},
        {"tag_threshold": 0},
        {"threshold": np.nan},
        {"tag_threshold": 101},
    ],
)
def test_wrong_settings(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="group: got max_people"):
        group(*maps(), **options)


def test_without_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(MissingExtra, match=r"pip install 'faceparts\[keypoints\]'"):
        group(*maps())


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1), (4, 7), (7, 4), (6, 6)])
def test_the_references_own_assignment(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(shape))
    cost = np.round(rng.normal(0, 2, shape), 1)
    rows, columns = grouping.assignment_solver()(cost)
    found = reference.assign(cost.tolist())
    pairs = [(r, c) for r, c in enumerate(found) if c is not None]
    assert len(pairs) == len(rows) == min(shape)
    assert sum(cost[r, c] for r, c in pairs) == pytest.approx(cost[rows, columns].sum())
