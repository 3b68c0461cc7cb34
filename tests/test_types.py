"""The nouns: label sets, heads, crops and faces refuse what makes no sense."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable

import numpy as np
import pytest

from faceparts.errors import UnknownName
from faceparts.types import POINTS, POINTS_MIRROR, Crop, Face, Head, LabelSet

EYES = LabelSet(
    "eyes3",
    ("background", "left_eye", "right_eye"),
    ((0, 0, 0), (1, 1, 1), (2, 2, 2)),
    (0, 2, 1),
)


def face(labels: list[list[int]], window_xyxy: tuple[int, int, int, int]) -> Face:
    """A face in a picture of 4 x 5 pixels; its confidence is 0.5 everywhere."""
    ids = np.array(labels, np.uint8)
    return Face(
        head=Head((0, 0, 5, 4), 1, Head.no_points()),
        crop=Crop(np.zeros((8, 8, 3), np.uint8), np.eye(2, 3), (4, 5)),
        labels=ids,
        confidence=np.full(ids.shape, 0.5, np.float32),
        window_xyxy=window_xyxy,
        label_set=EYES,
    )


def test_part_names_have_ids() -> None:
    assert [EYES.id(p) for p in EYES.parts] == [0, 1, 2]
    with pytest.raises(UnknownName, match=r"no part named 'nose' in eyes3; there are: background"):
        EYES.id("nose")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parts": ()}, "the first part must be 'background'"),
        ({"parts": ("left_eye", "background", "right_eye")}, "the first part must be 'background'"),
        ({"parts": ("background", "left_eye", "left_eye")}, "a part name occurs twice"),
        ({"colors": ((0, 0, 0),)}, "3 parts, 1 colors and 3 mirror ids"),
        ({"mirror": (0, 1)}, "3 parts, 3 colors and 2 mirror ids"),
        ({"mirror": (1, 2, 0)}, "mirror must pair ids both ways"),
        ({"mirror": (0, 1, 3)}, "mirror must pair ids both ways"),
        ({"mirror": (0, 1, 1)}, "mirror must pair ids both ways"),
    ],
)
def test_label_sets_that_make_no_sense(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(EYES, **change)


def test_points_mirror_swaps_the_sides() -> None:
    swapped = [POINTS[i] for i in POINTS_MIRROR]
    turned = [p.replace("left", "L").replace("right", "left").replace("L", "right") for p in POINTS]
    assert swapped == turned


def test_head_takes_lists_and_gives_plain_numbers() -> None:
    head = Head(np.float32([1, 2, 4, 8]), np.float32(0.5), np.zeros((7, 3)))  # type: ignore[arg-type]
    assert head.box_xyxy == (1.0, 2.0, 4.0, 8.0)
    assert all(type(v) is float for v in (*head.box_xyxy, head.score))
    assert head.points.dtype == np.float32
    assert head.size_wh == (3.0, 6.0)
    assert np.isnan(Head.no_points()).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_head_box_must_be_finite(bad: float) -> None:
    with pytest.raises(ValueError, match=r"Head\.box_xyxy: not finite"):
        Head((0, 0, bad, 1), 1, Head.no_points())


def test_head_points_must_be_seven() -> None:
    with pytest.raises(ValueError, match=r"Head\.points: got shape \(6, 3\), wanted \(7, 3\)"):
        Head((0, 0, 1, 1), 1, np.zeros((6, 3), np.float32))


def test_arrays_are_read_only_and_the_givers_stay_writable() -> None:
    points = np.zeros((7, 3), np.float32)
    head = Head((0, 0, 1, 1), 1, points)
    crop = Crop(np.zeros((8, 8, 3), np.uint8), np.eye(2, 3), (4, 5))
    one = face([[1]], (0, 0, 1, 1))
    for array in (head.points, crop.image, crop.to_source, one.labels, one.confidence):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    points[0] = 7
    assert head.points[0, 0] == 0
    assert Head((0, 0, 1, 1), 1, head.points).points is head.points


@pytest.mark.parametrize(
    "again", [lambda one: pickle.loads(pickle.dumps(one)), copy.deepcopy, copy.copy]
)
def test_copies_are_read_only_too(again: Callable[[Face], Face]) -> None:
    one = face([[1, 2]], (0, 0, 2, 1))
    other = again(one)
    for array in (
        other.head.points,
        other.crop.image,
        other.crop.to_source,
        other.labels,
        other.confidence,
    ):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    assert other.labels.tolist() == [[1, 2]] and other.head.box_xyxy == one.head.box_xyxy
    assert other.label_set.parts == EYES.parts and other.source_hw == (4, 5)


@pytest.mark.parametrize(
    ("box", "score"),
    [((0, 0, 1), 1), ((0, 0, 1, 1, 1), 1), ((0, 0, 1, 1), 1.5), ((0, 0, 1, 1), -1)],
)
def test_a_head_has_four_sides_and_a_score_from_0_to_1(box: object, score: float) -> None:
    with pytest.raises(ValueError, match=r"^Head: got box .* wanted 4 sides and 0\.\.1$"):
        Head(box, score, Head.no_points())


def test_masks_lie_where_the_window_lies() -> None:
    one = face([[0, 1], [2, 2]], (3, 1, 5, 3))
    assert one.source_hw == (4, 5)
    assert one.mask().astype(int).tolist() == [
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 1, 1],
        [0, 0, 0, 0, 0],
    ]
    assert one.mask("left_eye").astype(int).tolist() == [
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ]
    assert np.array_equal(one.alpha("left_eye"), 0.5 * one.mask("left_eye"))
    assert one.alpha().dtype == np.float32
    assert (one.area_px(), one.area_px("right_eye"), one.area_px("background")) == (3, 2, 1)
    assert one.window_mask("left_eye", "right_eye").tolist() == one.window_mask().tolist()


def test_a_face_is_shown_in_one_line() -> None:
    shown = face([[0, 1], [255, 1]], (1, 1, 3, 3))
    assert repr(shown) == "<Face at (0, 0, 5, 4), score 1.00: left_eye, 255>"
    assert repr(face([[0]], (0, 0, 1, 1))) == "<Face at (0, 0, 5, 4), score 1.00: no parts>"


def test_an_unknown_part_of_a_face() -> None:
    with pytest.raises(UnknownName, match="no part named 'beard'"):
        face([[1]], (0, 0, 1, 1)).mask("beard")


def test_an_empty_window() -> None:
    one = face([[]], (2, 2, 2, 3))
    assert not one.mask().any()
    assert one.area_px() == 0


def test_labels_must_fill_the_window() -> None:
    with pytest.raises(ValueError, match=r"labels \(1, 2\).*must both have the window's shape"):
        face([[1, 2]], (0, 0, 2, 2))
    good = face([[1, 2]], (0, 0, 2, 1))
    with pytest.raises(ValueError, match=r"confidence \(2, 1\) must both"):
        dataclasses.replace(good, confidence=np.zeros((2, 1), np.float32))
