"""Noise, specks, compression, few shades and glare over training pictures."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceparts.train import wear
from faceparts.types import Image

KINDS = (wear.noise, wear.compressed, wear.glare, wear.specks, wear.posterized)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def ramp(hw: tuple[int, int] = (64, 96)) -> Image:
    """Every channel goes its own way from dark to bright."""
    across = np.broadcast_to(np.linspace(0, 255, hw[1]), hw)
    down = np.broadcast_to(np.linspace(0, 255, hw[0])[:, None], hw)
    return np.stack([across, down, 255 - across], axis=2).astype(np.uint8)


@pytest.mark.parametrize("kind", KINDS)
@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_same_size_by_the_seed_alone_and_the_picture_given_stays(
    kind: Callable[[Image, np.random.Generator], Image], height: int, width: int, seed: int
) -> None:
    image = ramp((height, width))
    before = image.copy()
    got = kind(image, rng(seed))
    assert (got.shape, got.dtype) == (image.shape, np.uint8)
    assert np.array_equal(got, kind(image, rng(seed)))
    assert np.array_equal(image, before)


def test_noise_is_as_strong_as_said() -> None:
    grey = np.full((200, 200, 3), 127, np.uint8)
    spreads = [float(wear.noise(grey, rng(seed)).std()) for seed in range(60)]
    low, high = wear.NOISE
    assert min(spreads) > low * 0.5  # coarse grain is smoothed a little
    assert max(spreads) < high * 1.02
    assert max(spreads) > 35


def test_noise_is_coloured_or_grey_and_fine_or_coarse() -> None:
    grey = np.full((120, 120, 3), 127, np.uint8)
    coloured, fine = [], []
    for seed in range(40):
        got = wear.noise(grey, rng(seed)).astype(np.float64)
        coloured.append(bool((np.ptp(got, axis=2) > 0).any()))
        flat = got[..., 0] - got[..., 0].mean()
        fine.append(abs((flat[:, 1:] * flat[:, :-1]).mean() / flat.var()) < 0.1)
    assert 0.4 < np.mean(coloured) < 0.8
    assert 0.5 < np.mean(fine) < 0.9


def test_compression_is_that_of_low_qualities() -> None:
    image = cv2.GaussianBlur(rng(0).integers(0, 256, (96, 96, 3)).astype(np.uint8), (0, 0), 1.5)
    best = wear.JPEG_QUALITY[1]
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, best])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)

    def loss(other: Image) -> float:
        return float(np.abs(other.astype(int) - image).mean())

    assert all(loss(wear.compressed(image, rng(seed))) > loss(decoded) for seed in range(10))


def test_channels_stay_in_their_places_when_compressed() -> None:
    red = np.full((64, 64, 3), (200, 30, 60), np.uint8)
    got = wear.compressed(red, rng(1)).astype(int)
    assert np.abs(got.mean(axis=(0, 1)) - (200, 30, 60)).max() < 25


def test_glare_brightens_and_cuts_at_white() -> None:
    for seed in range(10):
        got = wear.glare(ramp(), rng(seed)).astype(int)
        factor = got[(ramp() > 40) & (ramp() < 60)] / ramp()[(ramp() > 40) & (ramp() < 60)]
        assert wear.GLARE[0] - 0.05 < factor.mean() < wear.GLARE[1] + 0.05
        assert factor.std() < 0.05
        assert (got[ramp() > 200] == 255).all()


def test_specks_are_black_and_white_and_as_many_as_said() -> None:
    grey = np.full((200, 200, 3), 127, np.uint8)
    for seed in range(20):
        got = wear.specks(grey, rng(seed))
        assert set(np.unique(got)) <= {0, 127, 255}
        black, white = ((got == value).all(axis=2).mean() for value in (0, 255))
        low, high = wear.SPECKS
        assert low * 0.6 < black + white < high * 1.05
        assert black == pytest.approx(white, abs=0.005)


def test_posterized_leaves_two_to_five_shades_with_black_and_white() -> None:
    counts = set()
    for seed in range(40):
        shades = np.unique(wear.posterized(ramp(), rng(seed))[..., 0])
        assert {0, 255} <= set(shades.tolist())
        counts.add(len(shades))
    assert counts == {2, 3, 4, 5}


def test_each_kind_comes_as_often_as_it_should(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, int] = {}
    for kind in KINDS:

        def count(image: Image, _: np.random.Generator, name: str = kind.__name__) -> Image:
            seen[name] = seen.get(name, 0) + 1
            return image

        monkeypatch.setattr(wear, kind.__name__, count)
    chance, image = rng(5), ramp((2, 2))
    for _ in range(2000):
        wear.wear(image, chance)
    got = {name: number / 2000 for name, number in seen.items()}
    wanted = {"noise": 0.45, "compressed": 0.2, "glare": 0.15, "specks": 0.1, "posterized": 0.1}
    assert got == pytest.approx(wanted, abs=0.04)
