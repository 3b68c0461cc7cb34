from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from faceparts import crops
from faceparts.types import Crop, Head


def head(x0: float, y0: float, x1: float, y1: float) -> Head:
    return Head((x0, y0, x1, y1), 1.0, Head.no_points())


def noise(h: int, w: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)


# --- crop_head --------------------------------------------------------------------------------


def test_a_cut_at_the_same_scale_is_the_picture_itself():
    image = noise(40, 50)
    crop = crops.crop_head(image, head(10, 12, 26, 22), 16, margin=0)
    np.testing.assert_array_equal(crop.image, image[9:25, 10:26])
    np.testing.assert_array_equal(crop.to_source, [[1, 0, 10], [0, 1, 9]])
    assert crop.source_hw == (40, 50)


def test_the_margin_is_a_share_of_the_longer_side_on_every_side():
    crop = crops.crop_head(noise(99, 99), head(40, 30, 60, 70), 80)
    # box 20 x 40: the cut is 60 x 60 around (50, 50), so 0.75 picture pixels a crop pixel
    np.testing.assert_allclose(crop.to_source, [[0.75, 0, 19.875], [0, 0.75, 19.875]])


def test_outside_the_picture_is_grey_without_a_seam():
    image = np.full((20, 20, 3), 255, np.uint8)
    crop = crops.crop_head(image, head(-10, -20, 10, 0), 40, margin=0.5)
    # the cut spans -20..20 and -30..10 picture pixels
    expected = np.full((40, 40, 3), 127, np.uint8)
    expected[30:, 20:] = 255
    np.testing.assert_array_equal(crop.image, expected)


def test_a_head_beside_the_picture_is_all_grey():
    crop = crops.crop_head(noise(20, 20), head(100, 5, 110, 15), 8)
    assert (crop.image == 127).all()
    assert crops.crop_to_window(crop) == (20, 2, 20, 18)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_shrinking_by_a_power_of_two_averages(factor):
    image = noise(80, 80)
    side = 8 * factor
    crop = crops.crop_head(image, head(8, 8, 8 + side, 8 + side), 8, margin=0)
    blocks = image[8 : 8 + side, 8 : 8 + side].reshape(8, factor, 8, factor, 3).mean(axis=(1, 3))
    assert np.abs(crop.image - blocks).max() <= 1.5  # rounded at every halving


def test_fine_stripes_do_not_alias():
    image = np.zeros((600, 600, 3), np.uint8)
    image[:, ::2] = 254
    crop = crops.crop_head(image, head(50.3, 50.3, 550.1, 550.1), 64, margin=0)
    assert np.abs(crop.image.astype(int) - 127).max() <= 10


def brute_crop(image: np.ndarray, crop: Crop) -> np.ndarray:
    """Bilinear samples at ``to_source``, one pixel at a time; grey where centres lie outside."""
    h, w = image.shape[:2]
    out = np.full(crop.image.shape, 127.0)
    for v in range(out.shape[0]):
        for u in range(out.shape[1]):
            x, y = crop.to_source @ (u, v, 1)
            if -0.5 <= x < w - 0.5 and -0.5 <= y < h - 0.5:
                out[v, u] = bilinear(image, x, y)
    return out


def bilinear(image: np.ndarray, x: float, y: float) -> np.ndarray:
    h, w = image.shape[:2]
    i, j = math.floor(y), math.floor(x)
    fy, fx = y - i, x - j
    rows, cols = np.clip([i, i + 1], 0, h - 1), np.clip([j, j + 1], 0, w - 1)
    return np.tensordot(
        [1 - fy, fy], np.tensordot(image[np.ix_(rows, cols)], [1 - fx, fx], (1, 0)), 1
    )


@settings(deadline=None, max_examples=50)
@given(
    x0=st.floats(-10, 30),
    y0=st.floats(-10, 30),
    w=st.floats(3, 15),
    h=st.floats(3, 15),
    margin=st.floats(0, 0.5),
    size_px=st.integers(16, 20),
)
def test_without_halving_a_cut_is_bilinear_at_to_source(x0, y0, w, h, margin, size_px):
    ramps = np.mgrid[:24, :32]
    image = np.stack([ramps[0] * 10, ramps[1] * 7, (ramps[0] + ramps[1]) * 4], 2).astype(np.uint8)
    crop = crops.crop_head(image, head(x0, y0, x0 + w, y0 + h), size_px, margin)
    # half a value for rounding, 10 / 32 for positions that OpenCV 4 rounds to 1/32 pixel
    np.testing.assert_allclose(crop.image, brute_crop(image, crop), atol=0.9)


@settings(deadline=None, max_examples=60)
@given(st.floats(0, 50), st.floats(0, 50), st.floats(20, 200), st.integers(8, 70))
def test_every_crop_pixel_comes_from_where_it_says(left, top, side, size_px):
    """In a picture whose values are its coordinates."""
    columns, rows = np.meshgrid(np.arange(250), np.arange(250))
    image = np.stack([columns, rows, rows], 2).astype(np.uint8)
    crop = crops.crop_head(image, head(left, top, left + side, top + side), size_px, margin=0)
    u = np.arange(size_px)
    x = np.clip(crop.to_source[0, 0] * u + crop.to_source[0, 2], 0, 249)
    y = np.clip(crop.to_source[1, 1] * u + crop.to_source[1, 2], 0, 249)
    roundings = 1 + max(0, math.floor(math.log2(side / size_px)))  # of half a value each
    tolerance = 0.5 * roundings + 0.05
    assert np.abs(crop.image[..., 0] - x).max() <= tolerance
    assert np.abs(crop.image[..., 1] - y[:, None]).max() <= tolerance


def test_a_read_only_or_strided_picture_works():
    image = noise(60, 60)
    expected = crops.crop_head(image, head(5, 5, 55, 55), 16).image
    image.flags.writeable = False
    np.testing.assert_array_equal(crops.crop_head(image, head(5, 5, 55, 55), 16).image, expected)
    mirrored = crops.crop_head(image[:, ::-1], head(5, 5, 55, 55), 16).image
    assert np.abs(mirrored[:, ::-1].astype(int) - expected).max() <= 1


def test_pictures_of_one_pixel_or_one_row_work():
    image = np.full((1, 1, 3), 9, np.uint8)
    assert (crops.crop_head(image, head(0, 0, 1, 1), 4, margin=0).image == 9).all()
    thin = np.full((1, 5000, 3), 9, np.uint8)
    crop = crops.crop_head(thin, head(0, 0, 5000, 1), 10)
    assert (crop.image == 127).sum() > 0
    tall = crops.crop_head(thin.transpose(1, 0, 2), head(-5000, 0, 5001, 5000), 101, margin=0)
    assert (tall.image == 9).any(axis=2).sum(axis=0).max() >= 49


def test_what_cannot_be_cut_is_refused():
    image = noise(20, 20)
    with pytest.raises(ValueError, match=r"head box has no area: \(5.0, 5.0, 5.0, 9.0\)"):
        crops.crop_head(image, head(5, 5, 5, 9), 8)
    with pytest.raises(ValueError, match="size_px: got 0, wanted at least 1"):
        crops.crop_head(image, head(5, 5, 8, 9), 0)
    with pytest.raises(ValueError, match="margin: got nan, wanted at least 0"):
        crops.crop_head(image, head(5, 5, 8, 9), 8, math.nan)
    for bad in (image[..., :1], image.astype(float), image[:0], image[..., 0]):
        with pytest.raises(
            ValueError, match=r"image: got .* of shape .*, wanted \(H, W, 3\) uint8"
        ):
            crops.crop_head(bad, head(5, 5, 8, 9), 8)
    with pytest.raises(ValueError, match="image: got list, wanted an"):
        crops.check_image([[1]])  # type: ignore[arg-type]  # that is the point


# --- crop_to_window ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("box", "window"),
    [
        ((10, 20, 30, 40), (10, 20, 30, 40)),
        ((10.2, 20.9, 30.2, 40.9), (10, 20, 31, 41)),
        ((-5, -5, 15, 15), (0, 0, 15, 15)),
        ((90, 50, 130, 90), (90, 50, 100, 80)),
        ((-90, 50, -50, 90), (0, 50, 0, 80)),
        ((-1e6, -1e6, 1e6, 1e6), (0, 0, 100, 80)),
    ],
)
def test_the_window_holds_every_pixel_that_the_crop_covers(box, window):
    crop = crops.crop_head(noise(80, 100), head(*box), 7, margin=0)
    assert crops.crop_to_window(crop) == window


def test_the_window_of_a_turned_crop_holds_its_corners():
    turned = Crop(noise(10, 10), np.array([[0.0, -1, 30], [1, 0, 20]]), (80, 100))
    # crop edges -0.5..9.5 give picture centres x = 30 - y, y = 20 + x; as edges 21..31, 20..30
    assert crops.crop_to_window(turned) == (21, 20, 31, 30)


# --- warp_back --------------------------------------------------------------------------------


def some_probs(seed: int, count: int, size_px: int, sharp: float) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(size=(count, size_px, size_px)) * sharp
    values = np.exp(logits - logits.max(axis=0))
    return (values / values.sum(axis=0)).astype(np.float32)


def brute_warp(probs: np.ndarray, crop: Crop, window: tuple[int, ...]) -> np.ndarray:
    """(K, h, w): bilinear samples of every part at every window pixel."""
    x0, y0, x1, y1 = window
    back = np.linalg.inv(np.vstack([crop.to_source, (0, 0, 1)]))
    planes = probs.transpose(1, 2, 0).astype(np.float64)
    out = np.zeros((len(probs), y1 - y0, x1 - x0))
    for y in range(y0, y1):
        for x in range(x0, x1):
            u, v, _ = back @ (x, y, 1)
            out[:, y - y0, x - x0] = bilinear(planes, u, v)
    return out


def assert_same(probs: np.ndarray, crop: Crop, window: tuple[int, int, int, int]) -> None:
    labels, confidence = crops.warp_back(probs, crop, window)
    expected = brute_warp(probs, crop, window)
    tolerance = 0.04  # OpenCV 4 rounds positions to 1/32 pixel
    assert labels.dtype == np.uint8 and confidence.dtype == np.float32
    np.testing.assert_allclose(confidence, expected.max(axis=0), atol=tolerance)
    won = np.take_along_axis(expected, labels[None].astype(int), 0)[0]
    assert (won >= expected.max(axis=0) - tolerance).all()


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 999),
    count=st.integers(1, 6),
    size_px=st.integers(1, 12),
    x0=st.floats(-8, 20),
    y0=st.floats(-8, 20),
    scale=st.floats(0.5, 4),
    sharp=st.floats(0, 6),
)
@example(seed=0, count=2, size_px=2, x0=0.65, y0=0.65, scale=0.5, sharp=1.0)
def test_warping_back_is_bilinear_before_the_arg_max(seed, count, size_px, x0, y0, scale, sharp):
    box = head(x0, y0, x0 + scale * size_px, y0 + scale * size_px)
    crop = crops.crop_head(noise(24, 30), box, size_px, margin=0)
    assert_same(some_probs(seed, count, size_px, sharp), crop, crops.crop_to_window(crop))


@pytest.mark.parametrize(("side", "of"), [(16, 8), (16, 24), (15, 5), (7, 14)])
def test_maps_of_another_size_than_the_crop(side, of):
    """A map of t x t cells is that of a crop of t x t pixels of the same square."""
    box = head(3, 5, 25, 27)
    fine, coarse = (crops.crop_head(noise(40, 40), box, s, margin=0.2) for s in (side, of))
    probs, window = some_probs(4, 5, of, 4), crops.crop_to_window(fine)
    assert window == crops.crop_to_window(coarse)
    for got, wanted in zip(
        crops.warp_back(probs, fine, window), crops.warp_back(probs, coarse, window), strict=True
    ):
        np.testing.assert_allclose(got, wanted, atol=1e-4)


def test_enlarging_is_bilinear_and_free_where_nothing_changes():
    maps = np.stack([some_probs(s, 3, 6, 2) for s in (1, 2)])
    assert crops.enlarge(maps, 6) is maps
    large = crops.enlarge(maps, 12)
    assert large.shape == (2, 3, 12, 12) and large.dtype == np.float32
    np.testing.assert_allclose(large.sum(axis=1), 1, atol=1e-6)
    # at twice the side, the second pixel is a quarter of a cell from the first one's middle
    np.testing.assert_allclose(large[..., 0, 0], maps[..., 0, 0], atol=1e-6)
    expected = 0.75 * maps[..., 0, 0] + 0.25 * maps[..., 0, 1]
    np.testing.assert_allclose(large[..., 0, 1], expected, atol=1e-6)
    assert crops.enlarge(maps[:0], 12).shape == (0, 3, 12, 12)


def test_turned_crops_warp_back_too():
    cos, sin = math.cos(0.4), math.sin(0.4)
    to_source = np.array([[1.3 * cos, -1.3 * sin, 14], [1.3 * sin, 1.3 * cos, 3]])
    crop = Crop(noise(12, 12), to_source, (40, 40))
    assert_same(some_probs(1, 4, 12, 5), crop, crops.crop_to_window(crop))


def test_at_the_same_scale_nothing_changes():
    probs = some_probs(3, 5, 16, 3)
    crop = crops.crop_head(noise(40, 40), head(8, 10, 24, 26), 16, margin=0)
    labels, confidence = crops.warp_back(probs, crop, crops.crop_to_window(crop))
    np.testing.assert_array_equal(labels, probs.argmax(axis=0))
    np.testing.assert_allclose(confidence, probs.max(axis=0), atol=1e-6)


def test_a_window_may_be_larger_than_the_crop():
    probs = some_probs(3, 5, 6, 3)
    crop = crops.crop_head(noise(40, 40), head(17, 17, 23, 23), 6, margin=0)
    assert_same(probs, crop, (0, 0, 40, 40))


@pytest.mark.parametrize("finer", [3, 4, 7.5])
def test_much_finer_maps_are_averaged_first(finer):
    """One pixel in two of part 1: a sampled map would show stripes, an averaged one 0.5."""
    size_px = 60
    probs = np.zeros((2, size_px, size_px), np.float32)
    probs[1, :, ::2] = 0.6
    probs[1, :, 1::2] = 0.8
    probs[0] = 1 - probs[1]
    side = size_px / finer
    crop = crops.crop_head(noise(40, 40), head(5, 5, 5 + side, 5 + side), size_px, margin=0)
    labels, confidence = crops.warp_back(probs, crop, crops.crop_to_window(crop))
    assert (labels == 1).all()
    np.testing.assert_allclose(confidence, 0.7, atol=0.04)


@settings(deadline=None, max_examples=40)
@given(st.floats(40, 60), st.floats(40, 60), st.floats(12, 30), st.sampled_from([24, 64, 96]))
def test_a_disk_comes_back_where_it_was(x, y, radius, size_px):
    """Picture -> crop -> probabilities -> picture: middle within half a pixel, nearly all equal."""
    rows, columns = np.mgrid[:100, :100] + 0.5
    inside = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
    image = np.repeat((inside * 255).astype(np.uint8)[..., None], 3, axis=2)
    crop = crops.crop_head(image, head(x - radius, y - radius, x + radius, y + radius), size_px)
    face = crop.image[..., 0].astype(np.float32) / 255
    window = crops.crop_to_window(crop)
    labels, _ = crops.warp_back(np.stack([1 - face, face]), crop, window)
    full = np.zeros((100, 100), bool)
    full[window[1] : window[3], window[0] : window[2]] = labels == 1
    # where the cut leaves the picture it is grey, 127 / 255: background by a hair
    assert abs(columns[full].mean() - columns[inside].mean()) <= 0.5
    assert abs(rows[full].mean() - rows[inside].mean()) <= 0.5
    assert (full & inside).sum() / (full | inside).sum() >= 0.93


def test_strips_give_the_same_in_less_memory(monkeypatch):
    probs = some_probs(3, 5, 16, 3)
    crop = crops.crop_head(noise(300, 300), head(8, 10, 290, 280), 16, margin=0)
    window = crops.crop_to_window(crop)
    whole = crops.warp_back(probs, crop, window)
    monkeypatch.setattr(crops, "_STRIP_BYTES", 4 * 1000)
    monkeypatch.setattr(crops, "_MAX_COLUMNS", 70)
    strips = crops.warp_back(probs, crop, window)
    np.testing.assert_array_equal(whole[0], strips[0])
    np.testing.assert_allclose(whole[1], strips[1], atol=1e-5)


def test_memory_beside_the_results_is_bounded():
    probs = some_probs(3, 4, 32, 3)
    source = np.broadcast_to(np.uint8(0), (6000, 6000, 3))
    crop = Crop(noise(32, 32), np.array([[187.5, 0, 93.25], [0, 187.5, 93.25]]), source.shape[:2])
    tracemalloc.start()
    labels, confidence = crops.warp_back(probs, crop, (0, 0, 6000, 6000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - labels.nbytes - confidence.nbytes < 64 * 2**20


def test_an_empty_window_gives_empty_arrays():
    crop = crops.crop_head(noise(20, 20), head(100, 5, 110, 15), 8)
    labels, confidence = crops.warp_back(some_probs(0, 3, 8, 1), crop, (20, 2, 20, 18))
    assert labels.shape == confidence.shape == (16, 0)


def test_a_picture_wider_than_opencv_can_warp_works():
    probs = some_probs(0, 3, 8, 3)
    crop = Crop(noise(8, 8), np.array([[5000.0, 0, 2499.5], [0, 1, 0]]), (8, 40_000))
    labels, _ = crops.warp_back(probs, crop, crops.crop_to_window(crop))
    assert labels.shape == (8, 40_000)
    np.testing.assert_array_equal(labels[:, 2499::5000], probs.argmax(axis=0))
