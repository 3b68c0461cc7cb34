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
        (500, 300, 800, 600, 0.14),  # less than half of 0.3
        (300, -200, 600, 100, 0.21),
    )
    monkeypatch.setattr(detector, "_look", looks)
    found, less = detector.detect_cut(np.zeros((480, 640, 3), np.uint8))
    assert (found.box_xyxy, found.score, found.source) == ((-100, 100, 200, 400), 1, "headnet")
    assert (less.box_xyxy, less.score) == ((300, -200, 600, 100), pytest.approx(0.42))
    assert looks.seen == [(96 + 128, 128 + 128)]
    with pytest.raises(ValueError, match="uint8"):
        detector.detect_cut(np.zeros((48, 64, 3), np.float32))  # type: ignore[arg-type]


class Says:
    """Finds what it is told, and other heads at the borders."""

    def __init__(self, heads: Sequence[Head], cut: Sequence[Head] = ()) -> None:
        self.heads, self.cut = list(heads), list(cut)

    def detect(self, image: Image) -> list[Head]:
        return self.heads

    def detect_cut(self, image: Image) -> list[Head]:
        return self.cut


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


def test_only_hiding_looks_beyond_the_borders(
    monkeypatch: pytest.MonkeyPatch, heads_file, disks
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(
        headnet.HeadNet, "detect_cut", lambda self, image: calls.append("cut") or []
    )
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
