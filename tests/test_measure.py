"""faceparts.measure against arrays written out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
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
@example((12, 29, 12))
def test_skin_colour_agrees_with_scikit_image(rgb: tuple[int, int, int]) -> None:
    row = measure(with_skin(rgb))
    wanted = rgb2lab(np.array([[rgb]], np.uint8))[0, 0]
    got = [row["skin_l"], row["skin_a"], row["skin_b"]]
    assert got == pytest.approx(wanted.tolist(), abs=0.48)  # OpenCV's: 0.467 off at most
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


# --- yaw and pitch ---


def mirrored(face: Face) -> Face:
    x0, y0, x1, y1 = face.window_xyxy
    width = face.source_hw[1]
    swap = np.array(face.label_set.mirror, np.uint8)
    return replace(
        face,
        labels=np.ascontiguousarray(swap[face.labels[:, ::-1]]),
        confidence=np.ascontiguousarray(face.confidence[:, ::-1]),
        window_xyxy=(width - x1, y0, width - x0, y1),
    )


def test_a_face_from_the_front_has_no_yaw() -> None:
    row = measure(drawn_face((320, 400), (200, 160), (180, 240))[1])
    assert row["yaw_deg"] == pytest.approx(0, abs=6)
    assert abs(row["pitch_deg"]) < 25


@pytest.mark.parametrize("label_set", [labels.CELEBA19, labels.LAPA11, labels.FASSEG6])
def test_a_mirrored_face_has_the_negated_yaw(label_set: LabelSet) -> None:
    face = drawn_face((320, 401), (180, 150), (150, 220), roll_deg=7, label_set=label_set)[1]
    ids = face.labels.copy()
    ids[:, : ids.shape[1] // 3] = 0  # something covers one side
    face = replace(face, labels=ids)
    one, other = measure(face), measure(mirrored(face))
    assert abs(one["yaw_deg"]) > 1
    assert other["yaw_deg"] == -one["yaw_deg"]
    assert other["pitch_deg"] == pytest.approx(one["pitch_deg"], nan_ok=True)


def test_no_pose_without_the_parts_for_it() -> None:
    for face in (
        drawn_face(label_set=labels.LFW3)[1],
        drawn_face(label_set=labels.FACE2)[1],
        drawn_face(from_behind=True)[1],
        drawn_face(center_xy=(-400, -400))[1],
        tiny_face(),
    ):
        row = measure(face)
        assert math.isnan(row["yaw_deg"])
        assert math.isnan(row["pitch_deg"])


def test_a_head_turned_to_its_right_has_a_positive_yaw() -> None:
    """Nose, eyes and mouth move to the picture's left, an ear appears on its right."""
    ids = np.zeros((240, 220), np.uint8)
    part = labels.CELEBA19.id
    y, x = np.mgrid[:240, :220]

    def paint(name: str, cx: float, cy: float, rx: float, ry: float) -> None:
        ids[((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1] = part(name)

    paint("hair", 120, 110, 90, 100)
    paint("skin", 85, 140, 55, 80)
    paint("left_ear", 160, 135, 12, 22)
    paint("right_eye", 48, 120, 7, 6)
    paint("left_eye", 85, 120, 13, 6)
    paint("right_brow", 48, 105, 8, 4)
    paint("left_brow", 88, 105, 17, 4)
    paint("nose", 48, 145, 12, 22)
    paint("upper_lip", 58, 182, 20, 6)
    paint("lower_lip", 58, 192, 18, 6)
    crop = Crop(np.zeros((8, 8, 3), np.uint8), np.eye(2, 3), ids.shape)
    head = Head((30, 10, 210, 220), 1, Head.no_points())
    face = Face(head, crop, ids, np.ones(ids.shape, np.float32), (0, 0, 220, 240), labels.CELEBA19)
    assert 20 < measure(face)["yaw_deg"] < 80
