from __future__ import annotations

import math

import numpy as np
import pytest
from onnx import helper

from faceparts.detect import yunet
from faceparts.errors import BadWeights, UsageError
from faceparts.types import POINTS

ROW = np.array([100, 50, 40, 60, 110, 70, 130, 71, 120, 85, 112, 95, 128, 96, 0.9], np.float32)


def test_a_face_becomes_a_head_and_its_points_find_their_names():
    head = yunet.head_from_row(ROW)
    np.testing.assert_allclose(
        head.box_xyxy, [100 - 0.3 * 40, 50 - 0.4 * 60, 140 + 0.3 * 40, 110 + 0.06 * 60]
    )
    assert head.score == pytest.approx(0.9)
    assert head.source == "yunet"
    nan = math.nan
    expected = {
        "right_eye": [110, 70, 0.9],
        "left_eye": [130, 71, 0.9],
        "nose": [120, 85, 0.9],
        "right_ear": [nan, nan, nan],
        "left_ear": [nan, nan, nan],
        "right_mouth_corner": [112, 95, 0.9],
        "left_mouth_corner": [128, 96, 0.9],
    }
    np.testing.assert_allclose(head.points, [expected[name] for name in POINTS], rtol=1e-6)


def test_a_face_in_a_scaled_picture_is_brought_back():
    head = yunet.head_from_row(ROW, (2.0, 3.0))
    np.testing.assert_allclose(head.box_xyxy, [176, 78, 304, 340.8], rtol=1e-6)
    np.testing.assert_allclose(head.points[POINTS.index("nose")], [240, 255, 0.9], rtol=1e-6)


class FakeNet:
    """Finds what it is told to, in the coordinates of the picture that it gets."""

    def __init__(self, rows):
        self.rows, self.seen, self.size_wh = rows, None, None

    def setInputSize(self, size_wh):  # noqa: N802 - OpenCV's name
        self.size_wh = size_wh

    def detect(self, bgr):
        self.seen = bgr
        return 1, self.rows


@pytest.fixture
def detector():
    made = yunet.YuNet.__new__(yunet.YuNet)
    made._max_side_px = 320
    return made


def test_big_pictures_are_scaled_and_results_sorted(detector):
    weak, broken, flat = ROW.copy(), ROW.copy(), ROW.copy()
    weak[14], broken[3], flat[2] = 0.7, np.nan, 0
    detector._net = FakeNet(np.stack([weak, broken, flat, ROW]))
    image = np.zeros((400, 640, 3), np.uint8)
    image[..., 0] = 200
    heads = detector.detect(image)
    assert [round(h.score, 2) for h in heads] == [0.9, 0.7]
    np.testing.assert_allclose(heads[0].box_xyxy, [176, 52, 304, 227.2], rtol=1e-6)
    assert detector._net.size_wh == (320, 200)
    assert detector._net.seen.shape == (200, 320, 3)
    assert detector._net.seen[0, 0].tolist() == [0, 0, 200]  # blue, green, red


def test_nothing_found_is_an_empty_list(detector):
    detector._net = FakeNet(None)
    assert detector.detect(np.zeros((1, 5000, 3), np.uint8)) == []
    assert detector._net.size_wh == (320, 1)
    with pytest.raises(ValueError, match="image: got float64"):
        detector.detect(np.zeros((9, 9, 3)))


def test_missing_weights_say_what_to_pass(tmp_path):
    with pytest.raises(
        UsageError, match=r"ships no weights; pass the path of face_detection_yunet"
    ):
        yunet.load()
    with pytest.raises(BadWeights, match=r"none.onnx: no such weights file"):
        yunet.load(tmp_path / "none.onnx")


def test_options_are_checked(tmp_path):
    path = tmp_path / "a.onnx"
    with pytest.raises(UsageError, match="device: got 'cuda', detector 'yunet' runs on 'cpu' only"):
        yunet.load(path, device="cuda")
    with pytest.raises(UsageError, match=r"min_score: got 2, wanted 0 to 1"):
        yunet.load(path, min_score=2)
    with pytest.raises(UsageError, match="max_side_px: got 5, wanted at least 32"):
        yunet.load(path, max_side_px=5)


def test_files_that_are_not_yunet_are_refused_in_one_line(tmp_path, make_net, capfd):
    path = tmp_path / "a.onnx"
    make_net(
        path,
        None,
        [helper.make_node("Identity", ["x"], ["y"])],
        {},
        {"x": [1, 3, 32, 32]},
        {"y": [1, 3, 32, 32]},
    )
    for content in (b"", b"garbage" * 99, path.read_bytes()):
        path.write_bytes(content)
        with pytest.raises(BadWeights, match=r"a.onnx: OpenCV cannot use it as YuNet") as error:
            yunet.load(path)
        assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""
