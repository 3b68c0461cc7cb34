"""Bars, writing and tints over training pictures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceparts.train import clutter

GREEN = np.full((90, 120, 3), (20, 160, 40), np.uint8)
NOBODY = np.zeros((0, 4), np.float32)
HEADS = np.array([[10, 10, 50, 60], [70, 20, 100, 50]], np.float32)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("boxes", [NOBODY, HEADS])
def test_something_is_drawn_and_the_picture_given_stays(boxes: np.ndarray) -> None:
    before, changed = GREEN.copy(), []
    for seed in range(40):
        got = clutter.cover(GREEN, boxes, rng(seed))
        assert (got.shape, got.dtype) == (GREEN.shape, np.uint8)
        assert np.array_equal(got, clutter.cover(GREEN, boxes, rng(seed)))  # by the seed alone
        changed.append((got != GREEN).any(axis=2).mean())
    assert np.array_equal(GREEN, before)
    assert np.mean(np.array(changed) > 0.01) > 0.8
    assert max(changed) < 1  # never all of it


@given(head_px=st.floats(8, 400), seed=st.integers(0, 2**32 - 1), height=st.integers(1, 80))
def test_lines_are_thin_for_the_head_and_leave_gaps(head_px: float, seed: int, height: int) -> None:
    mask = clutter.lines((height, 300), head_px, rng(seed))
    assert (mask.shape, mask.dtype) == ((height, 300), np.uint8)
    assert set(np.unique(mask)) <= {0, 255}


def test_how_much_lines_cover() -> None:
    shares = [(clutter.lines((300, 300), 60, rng(seed)) > 0).mean() for seed in range(60)]
    assert max(shares) < 0.8  # both ways, half of each
    assert np.median(shares) > 0.15
    upright = clutter.lines((4, 400), 30, Fixed())
    runs = np.diff(np.flatnonzero(np.diff(upright[0].astype(int)) > 0))
    assert (np.abs(runs - runs.mean()) <= 1).all()  # evenly spaced


class Fixed(np.random.Generator):
    """Middle values only: one set of lines, upright."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))

    def random(self, *args: object, **kwargs: object) -> float:  # type: ignore[override]
        return 0.55

    def uniform(self, low: float = 0, high: float = 1, size: object = None) -> float:  # type: ignore[override]
        return (low + high) / 2

    def choice(self, a: object, *args: object, **kwargs: object) -> object:  # type: ignore[override]
        return a[0]  # type: ignore[index]


@pytest.mark.parametrize("hw", [(1, 1), (40, 200), (300, 17)])
@pytest.mark.parametrize("draw", [clutter.writing, clutter.scribbles])
def test_writing_and_scribbles_fill_the_shape_asked_for(draw: object, hw: tuple[int, int]) -> None:
    for seed in range(8):
        mask = draw(hw, 40.0, rng(seed))  # type: ignore[operator]
        assert (mask.shape, mask.dtype) == (hw, np.uint8)


def test_writing_can_be_read_around() -> None:
    shares = [(clutter.writing((300, 300), 80, rng(seed)) > 128).mean() for seed in range(30)]
    assert 0 < np.median(shares) < 0.5
    assert max(shares) < 0.7


def test_one_head_alone_may_be_covered() -> None:
    boxes, kept = HEADS[1:], 0
    for seed in range(60):
        got = clutter.cover(GREEN, boxes, rng(seed))
        kept += np.array_equal(got[60:, :30], GREEN[60:, :30])  # far from the head
    assert 10 < kept < 50


def test_tints_keep_what_can_be_seen() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    ways = set()
    for seed in range(80):
        got = clutter.tint(ramp, rng(seed))
        assert (got.shape, got.dtype) == (ramp.shape, np.uint8)
        assert len(np.unique(got[0], axis=0)) > 60  # steps of brightness stay apart
        ways.add("negative" if np.array_equal(got, 255 - ramp) else "other")
        assert np.array_equal(ramp[0, :, 0], np.arange(256))
    assert ways == {"negative", "other"}


def test_a_tint_leaves_one_channel_bright() -> None:
    white = np.full((2, 2, 3), 255, np.uint8)
    brightest = [int(clutter.tint(white, rng(seed)).max()) for seed in range(60)]
    assert sum(v >= 120 for v in brightest) >= 50  # the others are negatives
