"""Size, pose, brightness and tone of drawn heads, where all of them are known."""

import math

import cv2
import numpy as np
import pytest
from skimage.color import lab2rgb, rgb2lab

from drawn import drawn_face
from faceparts import labels
from faceparts.evaluate import groups

SET = labels.CELEBA19


def drawn_ids(center=(50, 60), size=(60, 80), hw=(120, 100), **more):
    image, face = drawn_face(hw, center, size, **more)
    ids = np.zeros(hw, np.uint8)
    x0, y0, x1, y1 = face.window_xyxy
    ids[y0:y1, x0:x1] = face.labels
    return image, ids


def test_the_box_of_a_drawn_head():
    _, ids = drawn_ids()
    box = groups.head_box(ids, SET)
    np.testing.assert_allclose(box, (20, 20, 80, 100), atol=1.5)


def test_long_hair_does_not_make_a_head_longer():
    _, ids = drawn_ids()
    before = groups.head_box(ids, SET)
    ids[100:, 20:30] = SET.id("hair")
    ids[105:, :] = SET.id("clothes")
    assert groups.head_box(ids, SET) == before


def test_a_neck_that_is_painted_as_skin_does_not_make_a_head_longer():
    _, ids = drawn_ids(hw=(160, 100))
    expected = groups.head_box(ids, SET)
    merged = labels.convert(ids, SET, labels.FASSEG6, rest=0)
    merged[96:150, 40:60] = labels.FASSEG6.id("skin")
    left, top, right, bottom = groups.head_box(merged, labels.FASSEG6)
    assert (left, top, right) == expected[:3]
    # nose from 62 to 76, mouth to 90 in a head from 20 to 100
    assert bottom == pytest.approx(expected[3], abs=4)
    merged[merged == labels.FASSEG6.id("nose")] = labels.FASSEG6.id("skin")
    assert groups.head_box(merged, labels.FASSEG6)[3] == pytest.approx(150, abs=2)


def test_no_face_no_box():
    ids = np.full((30, 30), SET.id("hair"), np.uint8)
    assert groups.head_box(ids, SET) is None
    measured = groups.measure(np.zeros((30, 30, 3), np.uint8), ids, SET)
    assert measured == groups.Measures(None, None, None, None)


@pytest.mark.parametrize(("shift", "sign"), [(0, 0), (9, 1), (-9, -1)])
def test_the_nose_tells_the_pose(shift, sign):
    _, ids = drawn_ids()
    nose = ids == SET.id("nose")
    ids[nose] = SET.id("skin")
    ids[np.roll(nose, shift, axis=1)] = SET.id("nose")
    yaw = groups.yaw_of_labels(ids, SET)
    assert yaw == pytest.approx(sign * 9 / (0.36 * 60), abs=0.05)
    mirrored = np.uint8(SET.mirror)[ids[:, ::-1]]
    assert groups.yaw_of_labels(mirrored, SET) == pytest.approx(-yaw, abs=1e-6)


def test_no_nose_no_pose():
    _, ids = drawn_ids()
    ids[ids == SET.id("nose")] = SET.id("skin")
    assert groups.yaw_of_labels(ids, SET) is None


def points(right=(0, 0, 1), left=(10, 0, 1), nose=(5, 4, 1)):
    array = np.full((7, 3), np.nan, np.float32)
    array[:3] = right, left, nose
    return array


def test_the_pose_of_points():
    assert groups.yaw_of_points(points()) == 0
    assert groups.yaw_of_points(points(nose=(7, 4, 1))) == pytest.approx(0.4)
    assert groups.yaw_of_points(points(nose=(30, 4, 1))) == 1
    assert groups.yaw_of_points(points(left=(10, 0, 0))) == 1
    assert groups.yaw_of_points(points(right=(0, 0, 0))) == -1
    assert groups.yaw_of_points(points(right=(0, 0, 0), left=(9, 0, 0))) is None
    assert groups.yaw_of_points(points(nose=(5, 4, 0))) is None
    assert groups.yaw_of_points(np.full((7, 3), np.nan, np.float32)) is None


@pytest.mark.parametrize("angle", [60, 50, 35, 20, -10, -45])
def test_the_angle_of_a_colour_of_known_angle(angle):
    yellow = 16.0
    light = 50 + yellow * math.tan(math.radians(angle))
    rgb = lab2rgb(np.array([[[light, 12, yellow]]]))
    image = np.uint8(np.rint(255 * np.repeat(np.repeat(rgb, 9, 0), 9, 1)))
    mask = np.ones((9, 9), bool)
    assert groups.ita_deg(image, mask) == pytest.approx(angle, abs=1.5)
    name = groups.group_of(groups.ita_deg(image, mask), groups.TONES)
    assert (
        name
        == {
            60: "very light, above 55",
            50: "light, 41 to 55",
            35: "intermediate, 28 to 41",
            20: "tan, 10 to 28",
            -10: "brown, -30 to 10",
            -45: "dark, below -30",
        }[angle]
    )


def test_grey_and_tiny_masks_have_no_angle():
    grey = np.full((9, 9, 3), 120, np.uint8)
    assert groups.ita_deg(grey, np.ones((9, 9), bool)) is None
    brown = np.full((9, 9, 3), (150, 110, 80), np.uint8)
    small = np.zeros((9, 9), bool)
    small[0, :5] = True
    assert groups.ita_deg(brown, small) is None


def test_lab_equals_scikit_image():
    image = np.random.default_rng(2).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    np.testing.assert_allclose(groups.to_lab(image), rgb2lab(image), atol=0.3)


def test_brightness_of_a_box():
    image = np.zeros((20, 20, 3), np.uint8)
    image[:, 10:] = 255
    assert groups.lightness(image, (0, 0, 10, 20)) == pytest.approx(0, abs=1e-3)
    assert groups.lightness(image, (5, -3, 15, 40)) == pytest.approx(50, abs=1e-2)
    assert groups.lightness(image, (30, 0, 40, 10)) is None


def test_a_darker_picture_is_darker_and_its_size_is_kept():
    image, ids = drawn_ids()
    normal = groups.measure(image, ids, SET)
    dark = groups.measure(np.uint8(image * 0.4), ids, SET)
    assert dark.lightness < normal.lightness - 15
    assert dark.head_px == normal.head_px == pytest.approx(80, abs=2)
    twice = cv2.resize(ids, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    large = groups.measure(cv2.resize(image, twice.shape[::-1]), twice, SET)
    assert large.head_px == pytest.approx(2 * normal.head_px, abs=1)
    assert large.yaw == pytest.approx(normal.yaw, abs=0.02)


def test_sets_without_skin_use_the_face():
    _, ids = drawn_ids(label_set=labels.LFW3)
    assert groups.skin_mask(ids, labels.LFW3).sum() == np.count_nonzero(ids == 2)
    assert groups.head_box(ids, labels.LFW3) is not None
    assert not groups.skin_mask(np.ones((3, 3), np.uint8), labels.HAIR2).any()


def test_groups_begin_at_their_lowest_value():
    assert groups.group_of(64.0, groups.SIZES) == "64 to 128 px"
    assert groups.group_of(63.9, groups.SIZES) == "below 64 px"
    assert groups.group_of(float("nan"), groups.SIZES) == groups.UNKNOWN
    for _, bins in groups.AXES.values():
        lows = [low for _, low in bins]
        assert lows == sorted(lows, reverse=True) and lows[-1] == -math.inf
