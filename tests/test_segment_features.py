"""What a forest sees of a pixel: known values, scikit-image beside it, strips like the whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from skimage.data import astronaut
from skimage.feature import hog

from faceparts.segment import _features
from faceparts.segment._planes import FAMILIES, find_centers

PARTS = ("background", "face", "eye")
SPEC = {
    **{name: name for name in ("gray", "rgb", "hsv", "lab", "xy", "head", "centers")},
    **{name: f"{name}:2,5" for name in ("blur", "ring", "tensor", "std", "hog", "lbp", "hist")},
    **{name: f"{name}:0,3" for name in ("grad", "probs")},
    "gabor": "gabor:4",
    "probring": "probring:4",
    "hogcell": "hogcell:5,4",
}


@pytest.fixture(scope="module")
def photo():
    return np.ascontiguousarray(astronaut()[30:150:2, 150:270:2])


@pytest.fixture(scope="module")
def probs():
    values = np.random.default_rng(0).random((60, 60, 3)).astype(np.float32)
    return values / values.sum(axis=2, keepdims=True)


def compute(image, spec, **options):
    parts = PARTS if options.get("probs") is not None else ()
    return _features.compute(image, _features.parse_spec([spec], parts), **options)


def test_every_family_is_tested() -> None:
    assert set(SPEC) == set(FAMILIES)


@pytest.mark.parametrize("name", SPEC)
def test_as_many_columns_as_names(name, photo, probs) -> None:
    terms = _features.parse_spec([SPEC[name]], PARTS)
    values = _features.compute(photo, terms, probs=probs)
    names = _features.column_names(terms, PARTS)
    assert values.shape == (60, 60, len(names))
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    assert len(set(names)) == len(names)
    assert _features.column_families(terms, PARTS) == [name] * len(names)


@pytest.mark.parametrize("name", SPEC)
@pytest.mark.parametrize("rows", [1, 7, 32, 60])
def test_strips_are_the_whole(name, rows, photo, probs) -> None:
    terms = _features.parse_spec([SPEC[name]], PARTS)
    strips = list(_features.compute_blocks(photo, terms, probs=probs, rows=rows))
    assert [top for top, _ in strips] == list(range(0, 60, rows))
    joined = np.concatenate([values for _, values in strips])
    assert_allclose(joined, _features.compute(photo, terms, probs=probs), atol=1e-5)


def test_strips_follow_from_the_memory(photo, monkeypatch) -> None:
    terms = _features.parse_spec(["lab"])
    monkeypatch.setattr(_features, "MAX_BLOCK_VALUES", 3 * 60 * 25)
    assert [top for top, _ in _features.compute_blocks(photo, terms)] == [0, 25, 50]


def test_colours_and_places_are_known() -> None:
    image = np.zeros((2, 4, 3), np.uint8)
    image[0, 1] = 255, 0, 0
    image[1, 3] = 255, 255, 255
    assert_allclose(compute(image, "gray")[..., 0], [[0, 0.2125, 0, 0], [0, 0, 0, 1]], atol=1e-6)
    assert_array_equal(compute(image, "rgb")[0, 1], [255, 0, 0])
    assert_allclose(compute(image, "hsv")[0, 1], [0, 1, 1], atol=1e-6)
    assert_allclose(compute(image, "lab")[1, 3], [100, 0, 0], atol=0.02)
    assert_array_equal(compute(image, "xy")[..., 0], [[0, 0.25, 0.5, 0.75]] * 2)
    assert_array_equal(compute(image, "xy")[..., 1], [[0] * 4, [0.5] * 4])


def test_the_head_is_the_middle_of_its_features() -> None:
    image = np.zeros((6, 8, 3), np.uint8)
    head = compute(image, "head", head=(2.5, 1.5, 4.0))
    assert_array_equal(head[1, 2], [0, 0, 0, 0])
    assert_array_equal(head[1, 0], [-0.5, 0, 0.5, 0.5])
    assert_allclose(head[4, 6], [1, 0.75, 1, 1.25])
    assert_array_equal(compute(image, "head")[3, 4], np.float32([1, 1, 1, 2**0.5]) / 16)
    assert _features.head_of((150, 100), 0.25) == (75, 50, 100)


@pytest.mark.parametrize("side", [5, 4])
def test_hog_is_that_of_scikit_image(side, photo) -> None:
    theirs = hog(
        photo,
        orientations=8,
        pixels_per_cell=(side, side),
        cells_per_block=(1, 1),
        feature_vector=False,
        channel_axis=2,
    ).reshape(60 // side, 60 // side, 8)
    assert_allclose(compute(photo, f"hogcell:{side}")[::side, ::side], theirs, atol=2e-6)
    middle = slice(side // 2, None, side)
    assert_allclose(compute(photo, f"hog:{side}")[middle, middle], theirs, atol=2e-6)


def test_a_cell_cut_by_the_border_is_a_cell(photo) -> None:
    values = compute(photo[:58, :59], "hogcell:10")
    assert_array_equal(values[50:58, 50:59], np.broadcast_to(values[50, 50], (8, 9, 8)))


def test_hand_made_neighbourhoods() -> None:
    image = np.zeros((21, 21, 3), np.uint8)
    image[:, 11:] = 255
    length, laplacian = np.moveaxis(compute(image, "grad:0"), 2, 0)
    assert_allclose(length[10, [5, 10, 11, 15]], [0, 100, 100, 0], atol=1e-3)
    assert_allclose(laplacian[10, [5, 10, 11]], [0, 100, -100], atol=1e-3)
    large, small, cos, sin = compute(image, "tensor:1")[10, 10]
    assert large > 1000
    assert_allclose([small, cos, sin], [0, 1, 0], atol=1e-3)
    assert_allclose(compute(image, "std:3")[10, [5, 10], 0], [0, 100 * 2**0.5 / 3], atol=1e-3)
    ring = compute(image, "ring:6")[10, 8].reshape(8, 3)[:, 0]
    assert_array_equal(np.round(ring / 100), [1, 1, 0, 0, 0, 0, 0, 1])
    bright = compute(image, "hist:5")[10, [3, 17]]
    assert_allclose(bright.sum(axis=1), 3, atol=1e-6)
    assert_array_equal(bright[:, [-4, -1]], [[1, 0], [0, 1]])
    code, contrast = compute(image, "lbp:1")[10, 5]
    assert (code, contrast) == (8, 0)
    waves = np.zeros((21, 21, 3), np.uint8)
    waves[:, ::4] = waves[:, 1::4] = 255
    assert compute(waves, "gabor:4")[10, 10].argmax() == 0
    assert compute(waves.transpose(1, 0, 2).copy(), "gabor:4")[10, 10].argmax() == 2


def test_probabilities_around_and_middles_of_parts() -> None:
    probs = np.zeros((20, 20, 2), np.float32)
    probs[..., 0] = 1
    probs[4:8, 10:16] = 0, 1
    assert_array_equal(find_centers(probs)[1], [13, 6])
    image = np.zeros((20, 20, 3), np.uint8)
    terms = _features.parse_spec(["centers"], ("rest", "eye"))
    assert _features.column_names(terms, ("rest", "eye"))[2:] == ["centers_eye_x", "centers_eye_y"]
    values = _features.compute(image, terms, probs=probs)
    assert_allclose(values[0, 0, 2:], [-12.5 / 20, -5.5 / 20])
    probs[..., 1] = 0
    assert_array_equal(find_centers(probs)[1], [10, 10])
    ring = _features.parse_spec(["probring:5"], ("rest", "eye"))
    assert _features.column_names(ring, ("rest", "eye"))[:2] == [
        "probring5_rest_e",
        "probring5_eye_e",
    ]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 12))
def test_any_size_gives_finite_numbers(height, width, scale) -> None:
    rng = np.random.default_rng(height * 31 + width)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    spec = [f"{n}:{scale}" for n in ("blur", "ring", "hog", "hogcell", "lbp", "hist", "gabor")]
    terms = _features.parse_spec([*spec, "xy", "head"])
    assert np.isfinite(_features.compute(image, terms)).all()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ([], "features: none; wanted a list"),
        (["colour"], "no family 'colour'; there are: gray, rgb"),
        (["lab", "lab"], "'lab' occurs twice; list all its scales at once"),
        (["lab:3"], "'lab:3': 'lab' takes no scale"),
        (["hog"], "'hog': wanted scales 1..512, such as 'hog:4,8'"),
        (["hog:0"], "'hog:0': wanted scales 1..512"),
        (["blur:2,x"], "'blur:2,x': wanted scales 1..512"),
        (["grad:513"], "'grad:513': wanted scales 0..512"),
        (["probs:0"], "'probs' needs a stage before this one"),
        (["ring:" + ",".join(map(str, range(1, 200)))], "4776 columns; wanted at most 4096"),
    ],
)
def test_a_wrong_spec_is_refused(spec, message) -> None:
    with pytest.raises(ValueError, match=message):
        _features.parse_spec(spec)


def test_what_does_not_fit_is_refused(photo, probs) -> None:
    terms = _features.parse_spec(["probs:0"], PARTS)
    with pytest.raises(ValueError, match=r"probs \(60, 60, 3\) do not fit the picture \(60, 59, 3"):
        _features.compute(photo[:, :59], terms, probs=probs)
    with pytest.raises(ValueError, match="the stage before are asked for, but this is the first"):
        _features.compute(photo, terms)
    with pytest.raises(ValueError, match="strips of 0 rows; wanted at least 1"):
        list(_features.compute_blocks(photo, _features.parse_spec(["xy"]), rows=0))
    with pytest.raises(ValueError, match=r"picture|image"):
        _features.compute(photo[..., 0], _features.parse_spec(["xy"]))
