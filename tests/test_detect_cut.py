"""Heads that the borders of a picture cut: the framed look, and what is kept of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from skimage.data import astronaut

import faceparts
from faceparts.detect import _cut, _tiles, _union, headnet
from faceparts.detect._cut import CutToo
from faceparts.errors import UsageError
from faceparts.parse import FaceParser
from faceparts.types import Head, Image

Box = tuple[float, float, float, float]


def head(box: Box, score: float = 0.5, source: str = "") -> Head:
    return Head(box, score, Head.no_points(), source)


@pytest.mark.parametrize("hw", [(1, 1), (1, 900), (700, 2)])
def test_odd_pictures_have_a_cut_look_too(hw: tuple[int, int]) -> None:
    detector = faceparts.FaceParser(cut=True, threads=1).detector
    assert detector.detect(np.zeros((*hw, 3), np.uint8)) == []


@pytest.mark.parametrize(
    ("box", "counts"),
    [
        ((-10, 10, 50, 60), True),  # the left border
        ((60, -30, 90, 30), True),  # the upper one
        ((70, 40, 130, 90), True),  # the right one; half of it inside
        ((40, 60, 60, 100), True),  # the lower one
        ((10, 10, 50, 60), False),  # whole: the other looks' business
        ((0, 0, 100, 80), False),  # from border to border, and not beyond
        ((-360, 0, 41, 80), True),  # 41 of 401
        ((-370, 0, 41, 80), False),  # 41 of 411: hardly anything of it is seen
        ((-90, -90, -10, -10), False),
        ((101, 10, 150, 60), False),
    ],
)
def test_which_boxes_a_border_cuts(box: Box, counts: bool) -> None:
    assert headnet._reach_in(np.array([box], float), 100, 80).tolist() == [counts]


class Looks:
    """Stands for the net: puts out what it is told, in pixels of the picture."""

    def __init__(self, *rows: Sequence[float]) -> None:
        self.rows = np.array(rows, float).reshape(-1, 5)
        self.seen: list[tuple[int, ...]] = []

    def __call__(self, views: list[_tiles.View]) -> list[headnet.Candidates]:
        self.seen += [view.image.shape[:2] for view in views]
        points = np.full((len(self.rows), 7, 3), np.nan)
        return [headnet.Candidates(self.rows[:, :4], self.rows[:, 4], points) for _ in views]


def test_the_cut_look_keeps_large_cut_heads_above_the_threshold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    detector = headnet.load(threads=1, min_score=0.3)
    looks = Looks(
        (-100, 100, 200, 400, 0.8),
        (-95, 105, 190, 400, 0.7),  # the same
        (100, 100, 400, 400, 0.9),  # whole
        (-10, 100, 180, 290, 0.9),  # small: 190 px where 40 of the view's are 200
        (500, 300, 800, 600, 0.2),  # less than 0.7 of 0.3
        (300, -200, 600, 100, 0.28),
    )
    monkeypatch.setattr(detector, "_look", looks)
    found, less = detector.detect_cut(np.zeros((480, 640, 3), np.uint8))
    assert (found.box_xyxy, found.score, found.source) == ((-100, 100, 200, 400), 1, "headnet")
    assert (less.box_xyxy, less.score) == ((300, -200, 600, 100), pytest.approx(0.4))
    assert looks.seen == [(96 + 128, 128 + 128)]
    with pytest.raises(ValueError, match="uint8"):
        detector.detect_cut(np.zeros((48, 64, 3), np.float32))  # type: ignore[arg-type]


class Says:
    """Finds what it is told, and other heads at the borders and behind bars."""

    def __init__(
        self, heads: Sequence[Head], cut: Sequence[Head] = (), soft: Sequence[Head] = ()
    ) -> None:
        self.heads, self.cut, self.soft = list(heads), list(cut), list(soft)

    def detect(self, image: Image) -> list[Head]:
        return self.heads

    def detect_cut(self, image: Image) -> list[Head]:
        return self.cut

    def detect_changed(self, image: Image) -> list[Head]:
        return self.soft


def test_cut_heads_join_the_others_best_first() -> None:
    found, cut = head((0, 0, 20, 20), 0.5), head((-30, 0, 20, 40), 0.7)
    detector = CutToo(Says([found]), Says([], [cut]))
    assert detector.detect(np.zeros((50, 50, 3), np.uint8)) == [cut, found]
    assert CutToo(Says([]), Says([], [cut])).detect(np.zeros((50, 50, 3), np.uint8)) == [cut]


def test_a_cut_head_that_was_found_already_counts_once() -> None:
    same = head((0, 0, 100, 100), 0.4)
    for right, heads in ((100 * _cut.SAME_IOU, 1), (100 * _cut.SAME_IOU - 1, 2)):
        cut = head((0, 0, right, 100), 0.9)
        detector = CutToo(Says([same]), Says([], [cut]))
        assert len(detector.detect(np.zeros((50, 50, 3), np.uint8))) == heads


def test_the_soft_look_keeps_large_heads_and_doubts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = headnet.load(threads=1, min_score=0.4)
    looks = Looks(
        (100, 100, 400, 400, 0.75),
        (110, 105, 400, 400, 0.7),  # the same
        (10, 10, 190, 190, 0.9),  # small
        (300, 100, 600, 400, 0.59),  # two thirds of it are less than 0.4
    )
    monkeypatch.setattr(detector, "_look", looks)
    (found,) = detector.detect_changed(np.zeros((480, 640, 3), np.uint8))
    assert (found.box_xyxy, found.score) == ((100, 100, 400, 400), pytest.approx(0.5))
    assert looks.seen == 2 * [(96 + 128, 128 + 128)]
    with pytest.raises(ValueError, match="uint8"):
        detector.detect_changed(np.zeros((48, 64, 3), np.float32))  # type: ignore[arg-type]


def test_the_negative_is_looked_at_and_doubted_more(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = headnet.load(threads=1, min_score=0.3)
    points = np.full((1, 7, 3), np.nan)

    def look(views: Sequence[_tiles.View]) -> list[headnet.Candidates]:
        """A head in what is light: the negative of a dark picture."""
        light = views[0].image[80:-80, 70:-70].mean() > 200
        found = headnet.Candidates(np.array([[9.0, 9, 400, 400]]), np.array([0.7]), points)
        return [found.take(np.array([light]))]

    monkeypatch.setattr(detector, "_look", look)
    dark = np.zeros((480, 640, 3), np.uint8)
    dark[:40] = 255
    (found,) = detector.detect_changed(dark)
    assert found.score == pytest.approx(0.35)
    (found,) = detector.detect_changed(255 - dark)  # the blurred look
    assert found.score == pytest.approx(0.7 * 2 / 3)


def test_the_soft_view_is_the_framed_one_without_what_is_thin() -> None:
    image = np.full((400, 800, 3), 90, np.uint8)
    image[:, ::40] = image[:, 1::40] = 255
    sharp, soft = _tiles.framed_view(image), _tiles.framed_view(image, soft=True)
    assert (sharp.ratio_xy, sharp.origin_xy) == (soft.ratio_xy, soft.origin_xy)
    inside = np.s_[64:-64, 64:-64]
    assert sharp.image[inside].std() > 3 * soft.image[inside].std()
    assert soft.image[inside].mean() == pytest.approx(sharp.image[inside].mean(), abs=1)
    assert (soft.image[:64] == 127).all()  # the frame stays sharp


@pytest.mark.parametrize(
    ("box", "score", "looks"),
    [
        ((10, 10, 40, 40), 0.6, False),
        ((10, 10, 40, 40), 0.59, True),
        ((10, 10, 19, 20), 0.9, False),  # small, but sure
    ],
)
def test_bars_are_looked_through_where_no_head_is_sure(box: Box, score: float, looks: bool) -> None:
    found, behind = head(box, score), head((50, 10, 90, 60), 0.3)
    detector = CutToo(Says([found]), Says([], [], [behind]))
    image = np.zeros((100, 100, 3), np.uint8)
    assert detector.detect(image) == ([found, behind] if looks else [found])


@pytest.mark.parametrize(
    ("boxes", "score", "more"),
    [
        ([(30, 30, 55, 55)], 0.6, 0),  # a head in what may be a head and its shoulders
        ([(30, 30, 55, 55)], 0.59, 1),
        ([(30, 30, 53, 54)], 0.9, 1),  # small in it: somebody else
        ([(30, 30, 40, 40), (50, 30, 60, 40)], 0.9, 0),  # a group
        ([(30, 30, 40, 40), (81, 30, 91, 40)], 0.9, 1),
        ([(70, 30, 99, 55)], 0.9, 1),  # its middle lies beside it
    ],
)
def test_what_surrounds_sure_heads_is_no_head(boxes: list[Box], score: float, more: int) -> None:
    found, around = [head(box, score) for box in boxes], head((-5, 0, 80, 80), 0.3)
    detector = CutToo(Says(found), Says([], [around]))
    assert len(detector.detect(np.zeros((100, 100, 3), np.uint8))) == len(boxes) + more


def test_nothing_else_is_found_around_the_astronauts_head() -> None:
    """In the blurred look head and helmet ring together were taken for one large head."""
    heads = FaceParser(cut=True, turned=True, min_score_share=0.5, threads=1).detect(astronaut())
    assert heads[0].score > 0.6
    x0, y0, x1, y1 = heads[0].box_xyxy
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    for other in heads[1:]:  # helmet and sleeve
        left, top, right, bottom = other.box_xyxy
        assert not (left < x < right and top < y < bottom), other
    assert len(heads) <= 4


def test_a_covered_head_that_was_found_already_counts_once() -> None:
    same, covered = head((0, 0, 100, 100), 0.4), head((0, 0, 51, 100), 0.9)
    image = np.zeros((300, 300, 3), np.uint8)
    assert CutToo(Says([same]), Says([], [], [covered])).detect(image) == [same]
    covered = head((0, 0, 49, 100), 0.9)
    assert CutToo(Says([same]), Says([], [], [covered])).detect(image) == [covered, same]


def test_a_face_behind_bars_is_found() -> None:
    image = astronaut()[:220, 120:340].copy()
    image[:, np.arange(220) % 16 < 6] = 30
    assert FaceParser(threads=1).detect(image) == []
    (found,) = FaceParser(cut=True, threads=1).detect(image)
    x0, y0, x1, y1 = np.add(found.box_xyxy, (120, 0, 120, 0))
    assert 130 < x0 < 200 and y0 < 60 and 250 < x1 < 310 and 150 < y1 < 210


def test_only_hiding_looks_beyond_the_borders(
    monkeypatch: pytest.MonkeyPatch, heads_file, disks
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(
        headnet.HeadNet, "detect_cut", lambda self, image: calls.append("cut") or []
    )
    monkeypatch.setattr(headnet.HeadNet, "detect_changed", lambda self, image: [])
    image = disks((100, 120), [(50, 50, 20)])
    faceparts.parse(image, detector_weights=heads_file)
    FaceParser(detector_weights=heads_file, turned=True).parse(image)
    assert calls == []
    faceparts.hide(image, detector_weights=heads_file)
    assert calls == ["cut"]
    _union.open_detector("headnet+whole", cut=True).detector.detect(image)
    assert calls == ["cut"] * 2
    _union.open_detector("whole", cut=True).detector.detect(image)
    assert calls == ["cut"] * 2


def test_a_quarter_of_a_face_in_a_corner_is_found_as_a_whole_head() -> None:
    """Mouth, chin and a cheek; in the whole photo the head spans 160..290 and 16..179."""
    quarter = np.ascontiguousarray(astronaut()[130:240, 223:330])
    assert FaceParser(threads=1).detect(quarter) == []
    (found,) = FaceParser(cut=True, threads=1).detect(quarter)
    x0, y0, x1, y1 = np.add(found.box_xyxy, (223, 130, 223, 130))
    assert 150 < x0 < 190 and y0 < 100 and 260 < x1 < 300 and 170 < y1 < 195


def test_cut_is_for_detectors_given_by_name() -> None:
    parser = FaceParser(Says([head((0, 0, 9, 9))]), cut=True, threads=1)
    assert len(parser.detect(np.zeros((50, 50, 3), np.uint8))) == 1
    with pytest.raises(UsageError, match="detector_weights"):
        FaceParser(Says([]), detector_weights="x", cut=True)
