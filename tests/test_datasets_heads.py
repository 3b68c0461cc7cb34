"""Datasets of head boxes: SCUT-HEAD and Helen's 68 points, on drawn files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dataset_folders import IBUG_MIRROR, draw, save, write_helen_landmarks
from faceparts.datasets import helen_landmarks, scut_head
from faceparts.errors import BadData

GREEN = np.full((20, 30, 3), (10, 200, 30), np.uint8)


def annotation(*boxes: tuple[object, object, object, object]) -> str:
    names = ("xmin", "ymin", "xmax", "ymax")
    objects = "".join(
        "<object><name>person</name><bndbox>"
        + "".join(f"<{n}>{v}</{n}>" for n, v in zip(names, box, strict=True))
        + "</bndbox></object>"
        for box in boxes
    )
    return f"<?xml version='1.0'?><annotation><size/>{objects}</annotation>"


def scut(root: Path, text: str) -> scut_head.ScutHead:
    save(root / "train" / "images" / "a.jpg", GREEN)
    path = root / "train" / "annotations" / "a.xml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return scut_head.load(root, "train")


def test_scut_boxes_without_area_are_left_out(tmp_path: Path) -> None:
    text = annotation((1, 2, 5, 9), (3, 3, 3, 8), (4, 9, 8, 9), (8, 1, 4, 9), (-2.5, 0, 40, 7))
    sample = scut(tmp_path, text)[0]
    assert sample.boxes_xyxy.tolist() == [[1, 2, 5, 9], [-2.5, 0, 40, 7]]
    assert np.isnan(sample.points).all()
    assert sample.points.shape == (2, 7, 3)


def test_scut_picture_without_heads(tmp_path: Path) -> None:
    sample = scut(tmp_path, annotation())[0]
    assert sample.boxes_xyxy.shape == (0, 4)
    assert sample.boxes_xyxy.dtype == np.float32
    assert sample.points.shape == (0, 7, 3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<annotation>",
        "hello",
        annotation((1, 2, "x", 9)),
        annotation((1, 2, "", 9)),
        annotation((1, 2, "inf", 9)),
        annotation((1, 2, "nan", 9)),
        "<annotation><object><bndbox><xmin>1</xmin></bndbox></object></annotation>",
    ],
)
def test_scut_annotations_that_do_not_read(text: str, tmp_path: Path) -> None:
    dataset = scut(tmp_path, text)
    with pytest.raises(BadData, match=r"a\.xml: not a VOC annotation \("):
        dataset[0]


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        '<!ENTITY b "c">',
        "<a>" + " " * scut_head.MAX_XML_BYTES + "</a>",
    ],
)
def test_scut_annotations_that_are_refused_unread(text: str, tmp_path: Path) -> None:
    dataset = scut(tmp_path, text)
    with pytest.raises(BadData, match=r"a\.xml: not a plain VOC annotation of at most"):
        dataset[0]


def pts(root: Path, body: str) -> Path:
    path = root / "a.pts"
    path.write_text(body)
    return path


def test_helen_points_are_read_in_order(tmp_path: Path) -> None:
    rows = "\n".join(f"{i}.5 {2 * i}" for i in range(68))
    marks = helen_landmarks.read_pts(pts(tmp_path, f"version: 1\nn_points:  68\n{{\n{rows}\n}}"))
    assert marks.tolist() == [[i + 0.5, 2 * i] for i in range(68)]
    assert marks.dtype == np.float32


@pytest.mark.parametrize(
    "body",
    ["", "{1 2}", "{ }", "} {", "1 2 3", "{" + "1 " * 135 + "}", "{" + "a " * 136 + "}"],
)
def test_helen_points_that_do_not_read(body: str, tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"a\.pts: not a \.pts file of 68 points"):
        helen_landmarks.read_pts(pts(tmp_path, body))


def test_helen_points_that_are_not_finite(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"a\.pts: a point is not finite"):
        helen_landmarks.read_pts(pts(tmp_path, "{" + "1 " * 135 + "nan}"))


def test_helen_head_of_an_upright_face() -> None:
    marks = np.full((68, 2), 50, np.float32)
    marks[0], marks[16], marks[8] = (10, 50), (90, 50), (50, 100)
    marks[17:27] = (50, 40)
    marks[36:42], marks[42:48], marks[30] = (30, 50), (70, 50), (50, 65)
    marks[48], marks[54] = (40, 80), (60, 80)
    box, points = helen_landmarks.head_from_marks(marks)
    crown = 40 - 60 * helen_landmarks.FOREHEAD_SHARE
    assert box.tolist() == [10, crown, 90, 100]
    unseen = [np.nan] * 3
    expected = [
        *([30, 50, 1], [70, 50, 1], [50, 65, 1], unseen, unseen),
        *([40, 80, 1], [60, 80, 1]),
    ]
    np.testing.assert_array_equal(points, np.float32(expected))


@pytest.mark.parametrize("turn_deg", [90, 180, 270])
def test_helen_head_turns_with_the_face(turn_deg: int) -> None:
    marks = draw().marks
    box, points = helen_landmarks.head_from_marks(marks)
    k = turn_deg // 90
    turn = np.linalg.matrix_power(np.float32([[0, -1], [1, 0]]), k)
    turned_box, turned_points = helen_landmarks.head_from_marks(marks @ turn.T)
    corners = box.reshape(2, 2) @ turn.T
    expected = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    np.testing.assert_allclose(turned_box, expected, atol=1e-3)
    np.testing.assert_allclose(turned_points[:, :2], points[:, :2] @ turn.T, atol=1e-3)


def test_ibug_mirror_is_its_own_inverse() -> None:
    assert [IBUG_MIRROR[i] for i in IBUG_MIRROR] == list(range(68))


def test_helen_picture_without_points(tmp_path: Path) -> None:
    write_helen_landmarks(tmp_path, "all", "a", draw())
    save(tmp_path / "b.jpg", GREEN)
    with pytest.raises(BadData, match=r"b\.jpg: no label file b\.pts"):
        helen_landmarks.load(tmp_path, "all")
