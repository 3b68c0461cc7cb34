"""Heads in a picture that does not stand upright, in the picture's own pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceparts.detect import _union, turned
from faceparts.detect.turned import SURE, TURNS, Turned, TurnedIfUnsure, turn_back
from faceparts.types import POINTS, Head, Image

RED, GREEN = (255, 0, 0), (0, 255, 0)
NOSE = POINTS.index("nose")


class Upright:
    """Finds the red rectangle whose green nose lies below its middle, and no other."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def detect(self, image: Image) -> list[Head]:
        self.seen.append((image.shape[0], image.shape[1]))
        assert image.flags.c_contiguous
        rows, columns = np.nonzero(image[..., 0] + image[..., 1])
        (nose_y,), (nose_x,) = np.nonzero(image[..., 1])
        x0, y0, x1, y1 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        if nose_y + 0.5 <= (y0 + y1) / 2 or y1 - y0 <= x1 - x0:
            return []
        points = Head.no_points()
        points[NOSE] = (nose_x + 0.5, nose_y + 0.5, 0.75)
        return [Head((x0, y0, x1, y1), 0.5, points, "upright")]


def drawn() -> Image:
    """A picture of 40 x 60 with a head at 10, 5 to 20, 25, its nose at 14, 20."""
    image = np.zeros((40, 60, 3), np.uint8)
    image[5:25, 10:20] = RED
    image[20, 14] = GREEN
    return image


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_head_that_lies_or_stands_on_its_head_is_found_where_it_is(turns: int) -> None:
    image = np.ascontiguousarray(np.rot90(drawn(), turns))
    assert Upright().detect(image) == []
    (head,) = Turned(Upright()).detect(image)
    rows, columns = np.nonzero(image[..., 0] + image[..., 1])
    wanted = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert head.box_xyxy == wanted
    (nose_y,), (nose_x,) = np.nonzero(image[..., 1])
    assert head.points[NOSE].tolist() == [nose_x + 0.5, nose_y + 0.5, 0.75]
    assert np.isnan(np.delete(head.points, NOSE, axis=0)).all()
    assert (head.score, head.source) == (0.5, "turned")


def test_the_upright_picture_is_left_to_others() -> None:
    looks = Upright()
    assert Turned(looks).detect(drawn()) == []
    assert looks.seen == [(40, 60), (60, 40), (60, 40)]


class Everywhere:
    """Finds the same head whatever way the picture is turned, surer every time."""

    def __init__(self) -> None:
        self.calls = 0

    def detect(self, image: Image) -> list[Head]:
        self.calls += 1
        height, width = image.shape[:2]
        middle_x, middle_y = width / 2, height / 2
        box = (middle_x - 10, middle_y - 10, middle_x + 10, middle_y + 10)
        return [Head(box, 0.2 * self.calls, Head.no_points())]


def test_a_head_seen_in_several_turns_counts_once() -> None:
    (head,) = Turned(Everywhere()).detect(np.zeros((40, 60, 3), np.uint8))
    assert head.box_xyxy == (20, 10, 40, 30)
    assert head.score == pytest.approx(0.6)


class Scored(Upright):
    """`Upright` with a score of one's choice."""

    def __init__(self, score: float) -> None:
        super().__init__()
        self.score = score

    def detect(self, image: Image) -> list[Head]:
        return [replace(head, score=self.score) for head in super().detect(image)]


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_an_unsure_detector_turns_the_picture(turns: int) -> None:
    image = np.ascontiguousarray(np.rot90(drawn(), turns))
    looks = Scored(0.5)
    (head,) = TurnedIfUnsure(looks, min_score=0.4).detect(image)
    (alone,) = Turned(Upright()).detect(image)
    assert head.box_xyxy == alone.box_xyxy
    assert (head.score, head.seen_by) == (0.5, ("turned",))
    assert len(looks.seen) == 1 + len(TURNS)
    assert TurnedIfUnsure(looks, min_score=0.51).detect(image) == []


def test_a_sure_detector_is_believed() -> None:
    looks = Scored(SURE)
    (head,) = TurnedIfUnsure(looks, min_score=0.4).detect(drawn())
    assert (head.box_xyxy, head.source) == ((10, 5, 20, 25), "upright")
    assert looks.seen == [(40, 60)]
    unsure = Scored(SURE - 0.01)
    assert len(TurnedIfUnsure(unsure, min_score=0.4).detect(drawn())) == 1
    assert len(unsure.seen) == 1 + len(TURNS)


def test_what_both_looks_see_counts_once() -> None:
    (head,) = TurnedIfUnsure(Everywhere(), min_score=0.4).detect(np.zeros((40, 60, 3), np.uint8))
    assert head.seen_by == ("headnet", "turned")
    assert head.box_xyxy == (20, 10, 40, 30)
    assert head.score == pytest.approx(1 - 0.8 * 0.2)  # seen with 0.2 and, turned, with 0.8


@settings(deadline=None)
@given(
    st.integers(1, 9), st.integers(1, 9), st.integers(0, 8), st.integers(0, 8), st.integers(0, 7)
)
def test_a_pixel_comes_back_from_every_turn(
    height: int, width: int, row: int, column: int, turns: int
) -> None:
    image = np.zeros((height, width), bool)
    row, column = row % height, column % width
    image[row, column] = True
    (turned_row,), (turned_column,) = np.nonzero(np.rot90(image, turns))
    box = (turned_column, turned_row, turned_column + 1, turned_row + 1)
    back = turn_back(Head(box, 1, Head.no_points()), turns, (height, width))
    assert back.box_xyxy == (column, row, column + 1, row + 1)


def test_joined_with_the_look_at_the_picture_as_it_is(
    heads_file: Path, disks: Callable[..., Image]
) -> None:
    opened = _union.open_detector(
        "headnet+turned",
        f"headnet={heads_file},turned={heads_file}",
        threads=1,
        min_score_share=0.5,
        options={"tiles": False},
    )
    assert opened.min_score == {"headnet": 0.15, "turned": None}
    assert opened.files == (heads_file,)
    heads = opened.detector.detect(disks((96, 128), [(50.0, 40.0, 20.0)]))
    assert ("headnet", "turned") in {head.seen_by for head in heads}
    for head in heads:
        x0, y0, x1, y1 = head.box_xyxy
        assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx((50, 40), abs=12)


@pytest.mark.parametrize(
    ("name", "min_score", "least"),
    [("headnet", None, 0.3), ("headnet", 0.05, 0.05), ("headnet+whole", None, 0.3)],
)
def test_opened_so_that_it_turns(
    name: str, min_score: float | None, least: float, heads_file: Path
) -> None:
    opened = _union.open_detector(
        name,
        f"headnet={heads_file}",
        threads=1,
        min_score=min_score,
        min_score_share=0.5,
        turned=True,
    )
    assert opened.files == (heads_file,)
    part = getattr(opened.detector, "_parts", {"headnet": opened.detector})["headnet"]
    assert isinstance(part, TurnedIfUnsure)
    assert part._min_score == least


@pytest.mark.parametrize(("name", "asked"), [("headnet", False), ("headnet+turned", True)])
def test_opened_so_that_it_does_not(name: str, asked: bool) -> None:
    opened = _union.open_detector(name, threads=1, turned=asked)
    part = getattr(opened.detector, "_parts", {"headnet": opened.detector})["headnet"]
    assert not isinstance(part, TurnedIfUnsure)


def test_the_shipped_net_is_in_the_report() -> None:
    opened = turned.load(threads=1)
    (path,) = opened.further_files
    assert path.name.startswith("headnet.")
    assert set(TURNS) == {1, 2, 3}
