"""Restyling: which pixels may change, which may not, and what they show then."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from faceparts.labels import CELEBA19 as C
from faceparts.labels import LFW3
from faceparts.train import restyle as module
from faceparts.train.restyle import REPLACED, TONED, restyle
from faceparts.types import IGNORE

SIDE = 64
RED = np.full((20, 30, 3), (250, 0, 0), np.uint8)


def face() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Background above, hair, skin, clothes below; the left third is unknown."""
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[16:32] = C.id("hair")
    labels[32:44] = C.id("skin")
    labels[44:] = C.id("clothes")
    labels[:, :20] = IGNORE
    image = np.full((SIDE, SIDE, 3), 120, np.uint8)
    return image, labels


def always(monkeypatch: pytest.MonkeyPatch, kind: str, part: str) -> None:
    """Change one part in one way, every time."""
    monkeypatch.setattr(module, "TONED", {part: 1.0 if kind == "toned" else 0.0})
    monkeypatch.setattr(module, "REPLACED", {part: 1.0} if kind == "replaced" else {})


def far_from(region: NDArray[np.bool_], px: int = 5) -> NDArray[np.bool_]:
    """Pixels further from a region than its soft edge reaches."""
    near = region.copy()
    for dy in range(-px, px + 1):
        for dx in range(-px, px + 1):
            near |= np.roll(region, (dy, dx), (0, 1))
    return ~near


@pytest.mark.parametrize("part", sorted(TONED))
@pytest.mark.parametrize("kind", ["toned", "replaced"])
def test_only_the_part_changes(monkeypatch: pytest.MonkeyPatch, part: str, kind: str) -> None:
    always(monkeypatch, kind, part)
    image, labels = face()
    labels[labels == C.id("hair")] = C.id("hat" if part == "hat" else "hair")
    before = image.copy(), labels.copy()
    region, changed = labels == C.id(part), 0
    for seed in range(12):
        out = restyle(image, labels, {part: (RED,)}, np.random.default_rng(seed), C)
        assert out.shape == image.shape
        assert out.dtype == np.uint8
        same = far_from(region)
        assert same.any()
        np.testing.assert_array_equal(out[same], image[same])
        changed += bool((out[region] != image[region]).any())
    assert changed >= 10
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(labels, before[1])


def test_clothes_show_the_given_pictures_and_keep_their_folds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    always(monkeypatch, "replaced", "clothes")
    image, labels = face()
    image[44:, 40:] = 60  # a fold
    inner = (slice(50, 60), slice(26, 36)), (slice(50, 60), slice(46, 60))
    reds, folds = 0, 0
    for seed in range(40):
        out = restyle(image, labels, {"clothes": (RED,)}, np.random.default_rng(seed), C)
        pale, dark = (out[where].reshape(-1, 3).mean(axis=0) for where in inner)
        reds += pale[0] > 60 and pale[1:].max() < pale[0] / 2
        folds += dark.sum() < 0.9 * pale.sum()
    assert 8 < reds < 40, "fabrics often, plain colours sometimes"
    assert folds > 20


def test_without_pictures_parts_become_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    always(monkeypatch, "replaced", "background")
    image, labels = face()
    for seed in range(10):
        out = restyle(image, labels, {}, np.random.default_rng(seed), C)
        middle = out[4:12, 30:60].astype(int)
        assert np.abs(np.diff(middle, axis=1)).max() <= 1, "no pattern along a row"


def test_what_it_does_not_know_stays() -> None:
    image, labels = face()
    rng = np.random.default_rng(0)
    for seed in range(20):
        out = restyle(image, np.full_like(labels, 254), {}, np.random.default_rng(seed), C)
        np.testing.assert_array_equal(out, image)
    lfw = np.full_like(labels, LFW3.id("face"))
    np.testing.assert_array_equal(restyle(image, lfw, {}, rng, LFW3), image)


def test_slivers_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    always(monkeypatch, "toned", "clothes")
    image, labels = face()
    labels[labels == C.id("clothes")] = 0
    labels[60:, 60:] = C.id("clothes")
    out = restyle(image, labels, {}, np.random.default_rng(0), C)
    np.testing.assert_array_equal(out, image)


@given(seed=st.integers(0, 2**32 - 1), height=st.integers(8, 40), width=st.integers(8, 40))
@settings(max_examples=40, deadline=None)
def test_any_picture_comes_back_whole_and_the_same_for_a_seed(
    seed: int, height: int, width: int
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    labels = rng.integers(0, 19, (height, width), dtype=np.uint8)
    labels[: height // 2] = C.id("clothes")
    stuff = {part: (image[:5, :7], RED) for part in REPLACED}
    one, two = (restyle(image, labels, stuff, np.random.default_rng(seed), C) for _ in range(2))
    assert one.shape == image.shape
    assert one.dtype == np.uint8
    np.testing.assert_array_equal(one, two)
