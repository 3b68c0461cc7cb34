"""faceparts.measure against arrays written out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import rgb2lab

from drawn import drawn_face, face_of
from faceparts import labels
from faceparts.measure import measure
from faceparts.types import Crop, Face, Head, LabelSet

TINY = labels.make("tiny", "background", "skin", "right_eye", "left_eye", "hair")


def tiny_face(label_set: LabelSet = TINY) -> Face:
    """A window of 4 x 6 at (10, 20) in a picture of 30 x 40."""
    ids = np.array(
        [
            [4, 4, 4, 4, 4, 4],
            [1, 2, 1, 1, 3, 1],
            [1, 1, 1, 1, 3, 1],
            [0, 1, 1, 1, 1, 0],
        ],
        np.uint8,
    )
    confidence = np.full((4, 6), 0.8, np.float32)
    confidence[0] = 0.5
    confidence[3, 0] = 0.1
    points = Head.no_points()
    points[0] = (11.5, 21.5, 0.9)
    crop = Crop(np.zeros((6, 6, 3), np.uint8), np.array([[1.0, 0, 10], [0, 1, 20]]), (30, 40))
    head = Head((10, 20, 16, 24), 0.75, points)
    return Face(head, crop, ids, confidence, (10, 20, 16, 24), label_set)


def test_by_hand() -> None:
    row = measure(tiny_face())
    assert row["score"] == 0.75
    assert [row[f"box_{k}_px"] for k in ("x0", "y0", "x1", "y1")] == [10, 20, 16, 24]
    assert (row["head_width_px"], row["head_height_px"], row["inside_share"]) == (6, 4, 1)
    assert row["point_right_eye_x_px"] == 11.5
    assert row["point_right_eye_score"] == pytest.approx(0.9)
    assert math.isnan(row["point_nose_y_px"])
    # 6 hair at 0.5, 16 others at 0.8.
    assert row["confidence_mean"] == pytest.approx((6 * 0.5 + 16 * 0.8) / 22)
    assert row["area_hair_px"] == 6
    assert (row["hair_x_px"], row["hair_y_px"]) == (13, 20.5)
    assert row["area_skin_px"] == 13
    assert (row["right_eye_x_px"], row["right_eye_y_px"]) == (11.5, 21.5)
    assert (row["left_eye_x_px"], row["left_eye_y_px"]) == (14.5, 22)
    assert row["visible_share"] == pytest.approx(16 / 24)
    assert row["interocular_px"] == pytest.approx(math.hypot(3, 0.5))
    assert row["roll_deg"] == pytest.approx(math.degrees(math.atan2(0.5, 3)))
    assert "area_background_px" not in row


def test_columns_depend_on_the_label_set_alone() -> None:
    keys = list(measure(drawn_face()[1]))
    assert keys == list(measure(drawn_face(from_behind=True)[1]))
    assert keys == list(measure(drawn_face(center_xy=(-400, -400))[1]))
    units = ("_px", "_share", "_deg", "_mean", "score", "skin_l", "skin_a", "skin_b")
    assert all(key.endswith(units) for key in keys)


def test_values_are_plain_floats() -> None:
    assert {type(v) for v in measure(drawn_face()[1]).values()} == {float}


def test_drawn_face() -> None:
    face = drawn_face(roll_deg=20)[1]
    row = measure(face)
    assert row["roll_deg"] == pytest.approx(20, abs=1.5)
    assert row["interocular_px"] == pytest.approx(0.6 * 45, abs=0.5)
    assert sum(v for k, v in row.items() if k.startswith("area_")) == face.area_px()


def test_eyes_from_the_points_where_the_parser_found_none() -> None:
    row = measure(drawn_face(roll_deg=-30, label_set=labels.LFW3)[1])
    assert row["roll_deg"] == pytest.approx(-30, abs=0.01)
    # The eyes are 0.6 half-widths apart.
    assert row["interocular_px"] == pytest.approx(0.6 * 45, rel=1e-4)


def test_head_from_behind_has_no_face() -> None:
    row = measure(drawn_face(from_behind=True)[1])
    assert row["visible_share"] == 0
    for key in ("interocular_px", "roll_deg", "skin_l", "skin_a", "skin_b", "skin_ita_deg"):
        assert math.isnan(row[key]), key


def test_head_outside_the_picture() -> None:
    row = measure(drawn_face(center_xy=(-400, 80))[1])
    assert row["inside_share"] == 0
    assert math.isnan(row["visible_share"])
    assert math.isnan(row["confidence_mean"])
    assert row["area_skin_px"] == 0


def test_head_half_outside_the_picture() -> None:
    assert measure(drawn_face(center_xy=(0, 80))[1])["inside_share"] == pytest.approx(0.5)


def with_skin(rgb: tuple[int, int, int], confidence: float = 0.9) -> Face:
    image = np.full((60, 60, 3), (0, 0, 255), np.uint8)
    image[10:50, 10:50] = rgb
    ids = np.zeros((60, 60), np.uint8)
    ids[14:46, 14:46] = TINY.id("skin")
    head = Head((10, 10, 50, 50), 0.9, Head.no_points())
    return face_of(image, ids, head, confidence, TINY, crop_px=32)


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_skin_colour_agrees_with_scikit_image(rgb: tuple[int, int, int]) -> None:
    row = measure(with_skin(rgb))
    wanted = rgb2lab(np.array([[rgb]], np.uint8))[0, 0]
    got = [row["skin_l"], row["skin_a"], row["skin_b"]]
    assert got == pytest.approx(wanted.tolist(), abs=0.4)
    if wanted[2] > 5:
        angle = math.degrees(math.atan((wanted[0] - 50) / wanted[2]))
        assert row["skin_ita_deg"] == pytest.approx(angle, abs=4)


def test_skin_is_looked_up_where_the_crop_lies_in_the_picture() -> None:
    image = np.full((200, 300, 3), (0, 0, 255), np.uint8)
    image[120:160, 200:240] = (205, 160, 135)
    ids = np.zeros((200, 300), np.uint8)
    ids[122:158, 202:238] = TINY.id("skin")
    head = Head((190, 110, 250, 170), 0.9, Head.no_points())
    row = measure(face_of(image, ids, head, 0.9, TINY, crop_px=200))
    wanted = rgb2lab(np.array([[(205, 160, 135)]], np.uint8))[0, 0]
    got = [row["skin_l"], row["skin_a"], row["skin_b"]]
    assert got == pytest.approx(wanted.tolist(), abs=0.4)


def test_typology_angle_of_known_colours() -> None:
    # L* 70.3, b* 20.3 and L* 29.8, b* 14.2 (sRGB, D65).
    assert measure(with_skin((205, 160, 135)))["skin_ita_deg"] == pytest.approx(44, abs=3)
    assert measure(with_skin((95, 62, 48)))["skin_ita_deg"] < -45


def test_typology_angle_is_undefined_for_grey_pictures() -> None:
    row = measure(with_skin((120, 120, 120)))
    assert row["skin_l"] == pytest.approx(50.4, abs=0.3)
    assert math.isnan(row["skin_ita_deg"])


def test_doubtful_skin_has_no_colour() -> None:
    assert math.isnan(measure(with_skin((205, 160, 135), confidence=0.4))["skin_l"])


def test_skin_is_called_face_in_some_label_sets() -> None:
    row = measure(drawn_face(label_set=labels.LFW3)[1])
    assert row["skin_l"] > 40
    assert math.isnan(measure(drawn_face(label_set=labels.HAIR2)[1])["skin_l"])


def test_unknown_labels_are_not_counted() -> None:
    face = tiny_face()
    ids = face.labels.copy()
    ids[1, 0] = 255
    row = measure(replace(face, labels=ids))
    assert row["area_skin_px"] == 12
    assert row["confidence_mean"] == pytest.approx((6 * 0.5 + 15 * 0.8) / 21)
