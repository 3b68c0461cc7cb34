"""faceparts.streams.results: faces to bytes and rows, against slow and independent readers."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image as PillowImage

from faceparts import labels as label_sets
from faceparts.datasets._pairs import read_ids
from faceparts.streams import results
from faceparts.types import IGNORE, Crop, Face, Head

SET = label_sets.make("toy", "background", "skin", "hair", "clothes")


def make_face(
    labels: list[list[int]], at_xy: tuple[int, int], hw: tuple[int, int], sure: float = 0.9
) -> Face:
    window = np.array(labels, np.uint8)
    x0, y0 = at_xy
    box = (x0, y0, x0 + window.shape[1], y0 + window.shape[0])
    crop = Crop(np.zeros((4, 4, 3), np.uint8), np.eye(2, 3), hw)
    return Face(
        Head(box, 0.75, Head.no_points()),
        crop,
        window,
        np.full(window.shape, sure, np.float32),
        box,
        SET,
    )


def slow_counts(mask: NDArray[np.bool_]) -> list[int]:
    """COCO's run lengths as the format page tells them: walk down every column, count."""
    counts, value = [0], False
    for x in range(mask.shape[1]):
        for y in range(mask.shape[0]):
            if bool(mask[y, x]) != value:
                counts.append(0)
                value = not value
            counts[-1] += 1
    return counts


def slow_decode(text: str, hw: tuple[int, int]) -> NDArray[np.bool_]:
    """A character at a time, after ``rleFrString`` of the COCO API."""
    counts: list[int] = []
    at = 0
    while at < len(text):
        value, shift, more = 0, 0, True
        while more:
            group = ord(text[at]) - 48
            value |= (group & 31) << (5 * shift)
            more = bool(group & 32)
            at, shift = at + 1, shift + 1
            if not more and group & 16:
                value |= -1 << (5 * shift)
        if len(counts) > 2:
            value += counts[-2]
        counts.append(value)
    flat = [i % 2 == 1 for i, count in enumerate(counts) for _ in range(count)]
    return np.array(flat, bool).reshape(hw[1], hw[0]).T


def test_merge_labels_gives_a_pixel_to_the_surer_face() -> None:
    left = make_face([[1, 1], [1, 0]], (0, 0), (3, 4), sure=0.6)
    right = make_face([[2, 2], [0, 2]], (1, 0), (3, 4), sure=0.8)
    labels, owners = results.merge_labels([left, right], (3, 4))
    assert labels.tolist() == [[1, 2, 2, 0], [1, 0, 2, 0], [0, 0, 0, 0]]
    assert owners.tolist() == [[1, 2, 2, 0], [1, 0, 2, 0], [0, 0, 0, 0]]
    labels, owners = results.merge_labels([right, left], (3, 4))
    assert labels.tolist() == [[1, 2, 2, 0], [1, 0, 2, 0], [0, 0, 0, 0]]
    assert owners.tolist() == [[2, 1, 1, 0], [2, 0, 1, 0], [0, 0, 0, 0]]


def test_merge_labels_without_faces_is_background() -> None:
    labels, owners = results.merge_labels([], (2, 3))
    assert labels.tolist() == [[0] * 3] * 2
    assert owners.tolist() == [[0] * 3] * 2


def test_label_png_keeps_ids_and_shows_colors() -> None:
    ids = np.array([[0, 1], [2, 3]], np.uint8)
    picture = PillowImage.open(io.BytesIO(results.encode_labels(ids, SET)))
    assert picture.mode == "P"
    assert np.asarray(picture).tolist() == ids.tolist()
    assert picture.convert("RGB").getpixel((0, 1)) == SET.colors[2]


@pytest.mark.parametrize("parts", [2, 16, 17, 19, 255])
def test_label_png_has_8_bits_whatever_the_number_of_parts(parts: int) -> None:
    some = label_sets.make("some", "background", *(f"part_{i}" for i in range(1, parts)))
    ids = np.array([[0, parts - 1, IGNORE], [1, IGNORE, parts // 2]], np.uint8)
    data = results.encode_labels(ids, some)
    assert data[24] == 8  # bit depth in the PNG's header
    picture = PillowImage.open(io.BytesIO(data))
    assert np.asarray(picture).tolist() == ids.tolist()
    shown = np.asarray(picture.convert("RGB"))
    assert shown[0, 1].tolist() == list(some.colors[parts - 1])
    assert shown[0, 2].tolist() == [255, 255, 255]


def test_label_png_is_read_back_by_the_adapters(tmp_path: Path) -> None:
    ids = np.array([[0, 1], [3, IGNORE]], np.uint8)
    (tmp_path / "a.png").write_bytes(results.encode_labels(ids, SET))
    assert read_ids(tmp_path / "a.png").tolist() == ids.tolist()


def test_mask_png() -> None:
    picture = PillowImage.open(io.BytesIO(results.encode_mask(np.array([[True, False]]))))
    assert np.asarray(picture).tolist() == [[255, 0]]


def test_cutout_is_tight_and_leaves_no_hidden_pixels() -> None:
    image = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3) + 1
    face = make_face([[0, 0, 0], [0, 1, 2], [3, 0, 1]], (1, 1), (4, 5))
    data = results.encode_cutout(image, face)
    assert data is not None
    rgba = np.asarray(PillowImage.open(io.BytesIO(data)))
    assert rgba[..., 3].tolist() == [[255, 255], [0, 255]]
    assert rgba[0, 0, :3].tolist() == image[2, 2].tolist()
    assert rgba[1, 1, :3].tolist() == image[3, 3].tolist()
    assert rgba[1, 0].tolist() == [0, 0, 0, 0]
    assert results.encode_cutout(image, make_face([[3, 0]], (0, 0), (4, 5))) is None


def test_npz_loads_without_pickle() -> None:
    face = make_face([[1, 2]], (1, 0), (2, 3))
    with np.load(io.BytesIO(results.encode_npz([face], (2, 3), SET)), allow_pickle=False) as npz:
        got = dict(npz)
    assert got["labels"].tolist() == [[0, 1, 2], [0, 0, 0]]
    assert got["owners"].tolist() == [[0, 1, 1], [0, 0, 0]]
    assert got["confidence"].tolist() == [[0, np.float16(0.9), np.float16(0.9)], [0, 0, 0]]
    assert got["boxes_xyxy"].tolist() == [[1, 0, 3, 1]]
    assert got["parts"].tolist() == list(SET.parts)
    assert got["points"].shape == (1, 7, 3)
    with np.load(io.BytesIO(results.encode_npz([], (2, 3), SET)), allow_pickle=False) as npz:
        assert npz["boxes_xyxy"].shape == (0, 4)
        assert npz["points"].shape == (0, 7, 3)


def test_classes_json_names_every_id() -> None:
    got = json.loads(results.classes_json(label_sets.CELEBA19))
    assert got["label_set"] == "celeba19"
    eye = label_sets.CELEBA19.id("left_eye")
    assert got["parts"][eye] == {
        "id": eye,
        "name": "left_eye",
        "color_rgb": list(label_sets.CELEBA19.colors[eye]),
        "mirror": "right_eye",
    }


MASKS = st.tuples(st.integers(1, 6), st.integers(1, 6)).flatmap(lambda hw: arrays(np.bool_, hw))


@settings(max_examples=60, deadline=None)
@given(MASKS, st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_rle_of_a_window_is_that_of_the_whole_picture(
    mask: NDArray[np.bool_], left: int, right: int, above: int, below: int
) -> None:
    full = np.pad(mask, ((above, below), (left, right)))
    counts = results.rle_counts(mask, (left, above), (full.shape[0], full.shape[1]))
    assert counts == slow_counts(full)
    assert slow_decode(results.rle_string(counts), full.shape).tolist() == full.tolist()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 60_000), min_size=1, max_size=9))
def test_rle_string_keeps_long_runs(counts: list[int]) -> None:
    hw = (sum(counts) or 1, 1)
    flat = np.array([i % 2 == 1 for i, n in enumerate(counts) for _ in range(n)] or [False])
    text = results.rle_string(counts if sum(counts) else [1])
    assert np.array_equal(slow_decode(text, hw)[:, 0], flat)


def test_rle_string_known_values() -> None:
    """By hand: 6 -> '6'; 1 -> '1'; 40 -> 8 + continuation, then 1; -38 = 40 -> 2 in two groups."""
    assert results.rle_string([6, 1, 40, 4, 2]) == "61X13jN"
    assert results.rle_string([]) == ""


def test_coco_annotations_read_back() -> None:
    faces = [
        make_face([[1, 2], [0, 2]], (2, 1), (4, 5)),
        make_face([[1]], (0, 3), (4, 5)),
    ]
    annotations = results.coco_annotations(faces, image_id=3, first_id=10)
    assert [(a["id"], a["face"], a["category_id"]) for a in annotations] == [
        (10, 0, 1),
        (11, 0, 2),
        (12, 1, 1),
    ]
    hair = annotations[1]
    assert hair["bbox"] == [3, 1, 1, 2]
    assert hair["area"] == 2
    assert hair["segmentation"]["size"] == [4, 5]
    got = slow_decode(hair["segmentation"]["counts"], (4, 5))
    assert got.tolist() == faces[0].mask("hair").tolist()
    plain = results.coco_annotations(faces, 3, 10, compressed=False)[1]
    assert plain["segmentation"]["counts"] == slow_counts(faces[0].mask("hair"))


def test_coco_json_has_a_category_a_part() -> None:
    image = {"id": 1, "file_name": "a.jpg", "width": 5, "height": 4}
    got = json.loads(results.coco_json([image], [], SET))
    assert got["images"] == [image]
    assert [c["name"] for c in got["categories"]] == ["skin", "hair", "clothes"]
    assert [c["id"] for c in got["categories"]] == [1, 2, 3]


def test_head_rows_as_csv() -> None:
    points = Head.no_points().copy()
    points[2] = 3.5, 4.25, 0.5
    row = results.head_row("a.jpg", 0, Head((1, 2, 3.126, 4), 0.91234, points))
    read = next(csv.DictReader(io.StringIO(results.csv_text([row]))))
    assert (read["picture"], read["head"], read["score"]) == ("a.jpg", "0", "0.9123")
    assert read["right_px"] == "3.13"
    assert (read["nose_x_px"], read["nose_y_px"], read["nose_score"]) == ("3.5", "4.25", "0.5")
    assert read["left_eye_x_px"] == ""


def test_csv_text_edges() -> None:
    assert results.csv_text([]) == ""
    assert results.csv_text([], ["a", "b"]) == "a,b\n"
    assert results.csv_text([{"c": 1}], ["a", "b"]) == "c\n1\n"
    assert results.csv_text([{"a": float("nan"), "b": "x,y"}]) == 'a,b\n,"x,y"\n'
    with pytest.raises(ValueError, match="fields not in fieldnames"):
        results.csv_text([{"a": 1}, {"b": 2}])


def test_a_head_that_several_detectors_looked_for_tells_who_saw_it() -> None:
    points = Head.no_points()
    row = results.head_row("a.jpg", 0, Head((1, 2, 3, 4), 0.9, points, "a+b", ("a", "b")))
    assert row["seen_by"] == "a+b"
    assert "seen_by" not in results.head_row("a.jpg", 0, Head((1, 2, 3, 4), 0.9, points, "a"))


def test_what_kind_of_png_a_file_is() -> None:
    assert results.png_layout(results.encode_mask(np.ones((2, 2), bool))) == results.MASK
    assert results.png_layout(b"\x89PNG\r\n\x1a\n") is None
    assert results.png_layout(b"GIF89a" + bytes(30)) is None


def test_parts_that_a_classes_file_names() -> None:
    assert (
        results.parts_of_classes(results.classes_json(label_sets.CELEBA19))
        == label_sets.CELEBA19.parts
    )
    for text in (b"\xff", "", "[]", "{}", '{"parts": [1]}', '{"parts": 7}'):
        assert results.parts_of_classes(text) == ()
