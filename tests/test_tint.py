"""Pictures whose colours are those of a light reach the nets without colours."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.data import astronaut

from faceparts import FaceParser
from faceparts._tint import saturation, without_tint
from faceparts.detect import headnet
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
    one = np.random.default_rng(3).integers(30, 226, (side, side, 1), np.uint8)
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
    for image in (astronaut(), grey_noise(), np.zeros((9, 9, 3), np.uint8)):
        assert without_tint(image) is image
    dark = np.zeros((50, 50, 3), np.uint8)
    dark[..., 0] = 15  # noise of a photo by night
    assert without_tint(dark) is dark


@pytest.mark.parametrize("light", LIGHTS.values(), ids=LIGHTS)
def test_in_one_coloured_light_brightness_is_what_is_left(
    light: tuple[float, float, float],
) -> None:
    image = grey_noise()
    tinted = lit(image, light)
    before = tinted.copy()
    plain = without_tint(tinted)
    np.testing.assert_array_equal(tinted, before)
    assert plain.shape == image.shape and plain.dtype == np.uint8
    assert (plain == plain[..., :1]).all()
    assert plain.min() < 5 and plain.max() > 250  # full contrast
    assert np.corrcoef(plain[..., 0].ravel(), image[..., 0].ravel())[0, 1] > 0.98


def test_padding_stays_grey_and_does_not_count() -> None:
    tinted = lit(grey_noise(90), LIGHTS["green"])
    padded = cv2.copyMakeBorder(tinted, 60, 60, 60, 60, cv2.BORDER_CONSTANT, value=(127, 127, 127))
    assert without_tint(padded) is padded  # grey, as far as anybody knows
    plain = without_tint(padded, padded=True)
    assert (plain[:60] == 127).all() and (plain[:, -60:] == 127).all()
    np.testing.assert_allclose(
        plain[60:-60, 60:-60].astype(int), without_tint(tinted).astype(int), atol=6
    )
    nothing = np.full((30, 30, 3), 127, np.uint8)
    assert without_tint(nothing, padded=True) is nothing


def test_one_flat_colour_stays_flat() -> None:
    plain = without_tint(np.full((20, 30, 3), (200, 10, 10), np.uint8))
    assert (plain == plain[0, 0]).all()


@pytest.mark.parametrize("length", [1, 2, 95, 96, 97, 500])
def test_pictures_of_any_size_are_judged(length: int) -> None:
    assert without_tint(np.full((length, 7, 3), (9, 200, 9), np.uint8)).shape == (length, 7, 3)


TINTS = {name: lit(astronaut(), light) for name, light in LIGHTS.items()}
TINTS["false colours"] = false_colours(astronaut())


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


def test_every_look_of_the_detector_sees_brightness_alone() -> None:
    detector = headnet.load(threads=1, min_score=0.05)
    tinted = TINTS["blue"]
    plain = without_tint(tinted)
    assert plain is not tinted
    for look in (detector.detect, detector.detect_cut, detector.detect_changed):
        assert [head.box_xyxy for head in look(tinted)] == [head.box_xyxy for head in look(plain)]
