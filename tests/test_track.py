"""Heads over time: linked by overlap, and put into the frames in which they were missed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceparts.track.fill import GROWN, SOURCE, fill
from faceparts.track.link import Track, link
from faceparts.types import Head

Box = tuple[float, float, float, float]


def head(x: float, y: float = 0.0, size: float = 10.0, score: float = 0.9) -> Head:
    return Head((x, y, x + size, y + size), score, Head.no_points(), "net")


def frames_of(tracks: list[Track]) -> list[tuple[int, ...]]:
    return [track.frames for track in tracks]


def test_a_head_that_moves_is_one() -> None:
    found = [[head(3.0 * i)] for i in range(6)]
    (track,) = link(found, memory=0)
    assert track.frames == tuple(range(6))
    assert [h.box_xyxy[0] for h in track.heads] == [0, 3, 6, 9, 12, 15]


def test_two_that_pass_keep_their_own() -> None:
    """Each goes on with the one that it overlaps most, whatever the order in a frame is."""
    left = [head(2.0 * i, 0.0) for i in range(5)]
    right = [head(20.0 - 2.0 * i, 12.0) for i in range(5)]
    found = [[a, b] if i % 2 else [b, a] for i, (a, b) in enumerate(zip(left, right, strict=True))]
    tracks = link(found, memory=0)
    assert frames_of(tracks) == [tuple(range(5))] * 2
    assert [list(track.heads) for track in tracks] == [right, left]


def test_the_best_pair_comes_first() -> None:
    tracks = link([[head(0.0), head(5.0)], [head(4.0)]], memory=0)
    assert frames_of(tracks) == [(0,), (0, 1)]


def test_a_head_is_remembered_for_some_frames() -> None:
    found: list[list[Head]] = [[head(0.0)], [], [], [head(2.0)]]
    assert frames_of(link(found, memory=2)) == [(0, 3)]
    assert frames_of(link(found, memory=1)) == [(0,), (3,)]


@pytest.mark.parametrize("other", [head(30.0), head(0.0, size=16.5), head(5.5)])
def test_what_is_too_far_or_too_large_is_another(other: Head) -> None:
    assert len(link([[head(0.0)], [other]], memory=5)) == 2


def test_nothing_at_all() -> None:
    assert link([], memory=3) == []
    assert link([[], []], memory=3) == []
    assert fill([], 2, hold=3) == [(), ()]


@given(
    st.lists(
        st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100), st.floats(1, 50)), max_size=5),
        max_size=8,
    ),
    st.integers(0, 4),
)
def test_every_head_is_in_one_track_and_stays_in_its_frame(
    boxes: list[list[tuple[float, float, float]]], memory: int
) -> None:
    found = [[head(x, y, size) for x, y, size in frame] for frame in boxes]
    tracks = link(found, memory=memory)
    linked = sorted((n, id(h)) for t in tracks for n, h in zip(t.frames, t.heads, strict=True))
    assert linked == sorted((n, id(h)) for n, frame in enumerate(found) for h in frame)
    for track in tracks:
        assert (
            all(
                0 < b - a <= memory + 1
                for a, b in np.lib.stride_tricks.sliding_window_view(np.array(track.frames), 2)
            )
            if len(track.frames) > 1
            else True
        )
    filled = fill(tracks, len(found), hold=2)
    for frame, heads in zip(found, filled, strict=True):
        assert {id(h) for h in frame} <= {id(h) for h in heads}


def middle_and_size(one: Head) -> tuple[float, float]:
    return (one.box_xyxy[0] + one.box_xyxy[2]) / 2, one.size_wh[0]


def test_gaps_are_filled_evenly() -> None:
    tracks = [Track((0, 4), (head(0.0, score=0.8), head(8.0, size=14.0, score=0.3)))]
    heads = fill(tracks, 5, hold=0)
    assert [len(frame) for frame in heads] == [1] * 5
    told = [middle_and_size(frame[0]) for frame in heads]
    assert told[0] == (5, 10)
    assert told[2] == pytest.approx((10, 12 * (1 + GROWN)))
    assert told[1] == pytest.approx((7.5, 11 * (1 + GROWN)))
    guessed = heads[1][0]
    assert (guessed.source, guessed.score) == (SOURCE, 0.3)
    assert np.isnan(guessed.points).all()


def test_ends_are_held() -> None:
    once, twice = (head(0.0),), (head(90.0), head(91.0))
    heads = fill([Track((3,), once), Track((3, 4), twice)], 8, hold=2)
    at = {
        x: [n for n, frame in enumerate(heads) for h in frame if abs(h.box_xyxy[0] - x) < 5]
        for x in (0, 90)
    }
    assert at == {0: [1, 2, 3, 4, 5], 90: [1, 2, 3, 4, 5, 6]}
    assert heads[1][0].source == SOURCE
    assert len(fill([Track((3,), once)], 4, hold=9)) == 4  # not beyond the ends


def test_what_never_was_sure_is_hidden_where_it_was_found_alone() -> None:
    weak = head(0.0, score=0.39)
    heads = fill([Track((1, 3), (weak, weak))], 5, hold=2, sure_score=0.4)
    assert [len(frame) for frame in heads] == [0, 1, 0, 1, 0]
    assert [len(f) for f in fill([Track((1, 3), (weak, weak))], 5, hold=2, sure_score=0.39)] == [
        1
    ] * 5


def test_the_best_sight_of_a_track() -> None:
    heads = (head(0.0, score=0.2), head(0.0, score=0.7), head(0.0, score=0.5))
    assert Track((0, 1, 2), heads).best is heads[1]
