"""Pictures in poor or coloured light reach the nets in an even one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.data import astronaut

from faceparts import FaceParser, _light
from faceparts._light import MEDIAN, evened, evened_crops, levels, saturation
from faceparts.detect import headnet
from faceparts.segment import onnx
from faceparts.types import Image

LIGHTS = {
    "green": (0.1, 1.0, 0.1),
    "red": (1.0, 0.15, 0.15),
    "blue": (0.1, 0.1, 1.0),
    "amber": (1.0, 0.6, 0.05),
}


def lit(image: Image, light: tuple[float, float, float]) -> Image:
    return np.asarray(image * np.array(light), np.uint8)


def false_colours(image: Image) -> Image:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.ascontiguousarray(cv2.applyColorMap(grey, cv2.COLORMAP_JET)[..., ::-1])


def grey_noise(side: int = 120) -> Image:
    one = np.random.default_rng(3).integers(15, 241, (side, side, 1), np.uint8)
    return np.repeat(one, 3, axis=2)


@given(st.lists(st.tuples(*3 * [st.integers(0, 255)]), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_saturation_is_that_of_hsv(colours: list[tuple[int, int, int]]) -> None:
    pixels = np.array(colours, np.uint8)
    hsv = cv2.cvtColor(pixels[None], cv2.COLOR_RGB2HSV)[0]
    bright = hsv[:, 2] >= 16
    wanted = np.median(hsv[bright, 1]) / 255 if bright.any() else 0
    assert saturation(pixels) == pytest.approx(wanted, abs=0.01)


def test_common_pictures_are_left_as_they_are() -> None:
    for image in (astronaut(), grey_noise()):
        assert evened(image) is image
        assert evened(image, lighten=False, padded=True) is image


@pytest.mark.parametrize("light", LIGHTS.values(), ids=LIGHTS)
def test_in_one_coloured_light_brightness_is_what_is_left(
    light: tuple[float, float, float],
) -> None:
    image = grey_noise()
    tinted = lit(image, light)
    before = tinted.copy()
    plain = evened(tinted)
    np.testing.assert_array_equal(tinted, before)
    assert plain.shape == image.shape and plain.dtype == np.uint8
    assert (plain == plain[..., :1]).all()
    assert plain.min() < 5 and plain.max() > 250  # the whole range
    assert np.corrcoef(plain[..., 0].ravel(), image[..., 0].ravel())[0, 1] > 0.97


@pytest.mark.parametrize(
    ("share", "plus"), [(0.1, 0), (0.25, 0), (0.3, 150), (0.2, 180), (0.15, 20)]
)
def test_darkness_and_fog_are_taken_away(share: float, plus: float) -> None:
    image = astronaut()
    poor = np.asarray(np.rint(image * share + plus), np.uint8)
    got = evened(poor)
    assert abs(got.astype(float) - image).mean() < 12
    assert abs(poor.astype(float) - image).mean() > 40
    assert np.ptp(got) > 250


def test_only_heads_need_dark_pictures_lightened() -> None:
    dark = np.asarray(np.rint(255 * (grey_noise() / 255.0) ** 3), np.uint8)
    lighter = evened(dark)
    assert np.median(lighter) == pytest.approx(255 * MEDIAN, abs=6)
    assert lighter.max() > 250
    assert np.median(evened(dark, lighten=False)) < np.median(lighter) - 40
    bright = 255 - dark
    assert np.median(evened(bright)) >= np.median(bright) - 10  # never darkened


@given(
    st.integers(1, 40).flatmap(
        lambda n: st.lists(st.tuples(*3 * [st.integers(0, 255)]), min_size=n, max_size=n)
    )
)
@settings(max_examples=60, deadline=None)
def test_levels_are_in_order(colours: list[tuple[int, int, int]]) -> None:
    low, high, exponent = levels(np.array(colours, np.uint8))
    assert high - low >= 24 - 1e-9
    assert 0.4 <= exponent <= 1


@given(st.lists(st.integers(0, 255), min_size=1, max_size=50), st.sampled_from([0.005, 0.5, 0.995]))
@settings(max_examples=80, deadline=None)
def test_quantiles_are_those_of_numpy(values: list[int], share: float) -> None:
    wanted = np.quantile(values, share, method="inverted_cdf")
    assert _light._quantile(np.array(values, np.uint8), share) == wanted


@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_what_is_brighter_stays_brighter(seed: int, lighten: bool, padded: bool) -> None:
    rng = np.random.default_rng(seed)
    low, high = np.sort(rng.integers(0, 256, 2))
    grey = rng.integers(low, high + 1, (20, 20), np.uint8)
    got = evened(np.repeat(grey[..., None], 3, axis=2), lighten=lighten, padded=padded)
    inner = grey != 127 if padded else np.ones_like(grey, bool)
    order = np.argsort(grey[inner], kind="stable")
    assert (np.diff(got[inner][order, 0].astype(int)) >= 0).all()


def test_padding_stays_grey_and_does_not_count() -> None:
    tinted = lit(grey_noise(90), LIGHTS["green"])
    padded = cv2.copyMakeBorder(tinted, 60, 60, 60, 60, cv2.BORDER_CONSTANT, value=(127, 127, 127))
    assert (evened(padded) != evened(padded)[..., :1]).any()  # grey, as far as anybody knows
    plain = evened(padded, padded=True)
    assert (plain[:60] == 127).all() and (plain[:, -60:] == 127).all()
    np.testing.assert_allclose(
        plain[60:-60, 60:-60].astype(int), evened(tinted).astype(int), atol=12
    )
    nothing = np.full((30, 30, 3), 127, np.uint8)
    assert evened(nothing, padded=True) is nothing


@pytest.mark.parametrize("value", [0, 1, 127, 255])
def test_one_flat_colour_stays_flat(value: int) -> None:
    for image in (np.full((20, 30, 3), value, np.uint8), np.full((9, 9, 3), (value, 9, 9))):
        plain = evened(np.asarray(image, np.uint8))
        assert (plain == plain[0, 0]).all()


@pytest.mark.parametrize("length", [1, 2, 95, 96, 97, 500])
def test_pictures_of_any_size_are_judged(length: int) -> None:
    assert evened(np.full((length, 7, 3), (9, 200, 9), np.uint8)).shape == (length, 7, 3)


TINTS = {name: lit(astronaut(), light) for name, light in LIGHTS.items()}
TINTS["false colours"] = false_colours(astronaut())
TINTS["dark"] = np.asarray(np.rint(astronaut() * 0.06), np.uint8)
TINTS["fog"] = np.asarray(np.rint(astronaut() * 0.12 + 190), np.uint8)


@pytest.mark.parametrize("tinted", TINTS.values(), ids=TINTS)
def test_the_nets_find_the_face_in_any_light(tinted: NDArray[np.uint8]) -> None:
    parser = FaceParser(threads=1)
    image = astronaut()
    (wanted,) = parser.parse(image)
    faces = parser.parse(tinted)
    assert faces[0].head.score > 0.5
    skin, same = (
        one.mask("skin") | one.mask("nose") | one.mask("mouth") for one in (wanted, faces[0])
    )
    assert (skin & same).sum() / (skin | same).sum() > 0.85


def test_nets_whose_cards_do_not_say_so_see_pictures_as_they_are(parser_file: Path) -> None:
    given = onnx.load(parser_file)
    assert not given.card.even_light
    crops = np.stack([lit(grey_noise(32), LIGHTS["green"])])
    shown = evened(crops[0], lighten=False, padded=True)[None]
    assert not np.array_equal(given.maps(crops), given.maps(shown))
    ours = onnx.load("partnet", threads=1)
    assert ours.card.even_light
    crop = cv2.resize(TINTS["green"], (ours.card.input_px,) * 2)[None]
    shown = evened(crop[0], lighten=False, padded=True)[None]
    np.testing.assert_array_equal(ours.maps(crop), ours.maps(shown))


def test_every_look_of_the_detector_sees_brightness_alone() -> None:
    detector = headnet.load(threads=1, min_score=0.05)
    tinted = TINTS["blue"]
    plain = evened(tinted)
    assert plain is not tinted
    for look in (detector.detect, detector.detect_cut, detector.detect_changed):
        assert [head.box_xyxy for head in look(tinted)] == [head.box_xyxy for head in look(plain)]


def test_crops_are_evened_one_by_one() -> None:
    crops = np.stack([grey_noise(), lit(grey_noise(), LIGHTS["green"]), grey_noise() // 8])
    got = evened_crops(crops)
    assert got.shape == crops.shape and np.array_equal(got[0], crops[0])
    for one, crop in zip(got, crops, strict=True):
        assert np.array_equal(one, evened(crop, lighten=False, padded=True))
    nothing = np.zeros((0, 8, 8, 3), np.uint8)
    assert evened_crops(nothing).shape == nothing.shape
