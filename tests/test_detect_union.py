"""Several detectors as one: fusing their heads, and opening them by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceparts import folder
from faceparts.detect import _fuse, _union
from faceparts.detect._fuse import belongs, cluster, fuse, same_head
from faceparts.errors import UnknownName, UsageError
from faceparts.parse import FaceParser
from faceparts.types import Head, Image

Box = tuple[float, float, float, float]


def head(box: Box, score: float = 0.8, *points: tuple[float, float]) -> Head:
    marks = Head.no_points()
    for i, (x, y) in enumerate(points):
        marks[i] = x, y, 0.9
    return Head(box, score, marks)


# --- boxes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ((0, 0, 10, 10), True),
        ((0, 0, 10, 20), True),  # overlap exactly a half
        ((0, 0, 10, 20.1), False),
        ((2, 2, 8, 8), True),  # inside, in the middle
        ((3, 3, 7, 7), False),  # the same, too small to be it
        ((0, 0, 5, 5), True),  # inside, a quarter beside the middle
        ((0, 0, 4.8, 4.8), False),  # inside, in the corner
        ((10, 0, 20, 10), False),
    ],
)
def test_same_head_by_overlap_or_in_the_middle(other: Box, same: bool) -> None:
    assert same_head((0, 0, 10, 10), other) is same
    assert same_head(other, (0, 0, 10, 10)) is same


def test_points_tell_for_keypoints_alone() -> None:
    small = head((0, 0, 3, 3), 0.8, (1, 1), (2, 2), (99, 99))
    assert belongs("keypoints", small, (0, 0, 10, 10))
    assert not belongs("headnet", small, (0, 0, 10, 10))
    assert not belongs("keypoints", head((0, 0, 3, 3)), (0, 0, 10, 10))


# --- fusing -----------------------------------------------------------------------------------


def test_a_head_that_two_saw_is_the_weighted_mean() -> None:
    one, other = head((0, 0, 100, 100), 0.6), head((10, 0, 110, 100), 0.8)
    (fused,) = fuse({"headnet": [one], "yunet": [other]})
    # weights 0.6 * 1 and 0.8 * 0.5
    np.testing.assert_allclose(fused.box_xyxy, [4, 0, 104, 100])
    assert fused.score == pytest.approx(1 - 0.4 * 0.2)
    assert fused.seen_by == ("headnet", "yunet") and fused.source == "headnet+yunet"


def test_what_only_one_saw_stays_as_it_is() -> None:
    one, other = head((0, 0, 10, 10), 0.6), head((50, 50, 70, 70), 0.8)
    got = fuse({"keypoints": [one], "headnet": [other]})
    assert [(h.box_xyxy, h.seen_by) for h in got] == [
        ((50, 50, 70, 70), ("headnet",)),
        ((0, 0, 10, 10), ("keypoints",)),
    ]
    assert [h.score for h in got] == pytest.approx([0.8, 0.3])  # keypoints' scores count half


def test_two_heads_of_one_detector_are_never_joined() -> None:
    close = [head((0, 0, 100, 100), 0.9), head((20, 0, 120, 100), 0.5)]
    assert same_head(close[0].box_xyxy, close[1].box_xyxy)
    got = fuse({"headnet": close, "yunet": [head((21, 0, 121, 100), 0.7)]})
    assert [h.seen_by for h in got] == [("headnet",), ("headnet", "yunet")]


def test_a_nested_box_belongs_but_does_not_move_the_box() -> None:
    one, inner = head((0, 0, 100, 100), 0.6), head((20, 20, 80, 80), 0.8)
    (fused,) = fuse({"headnet": [one], "yunet": [inner]})
    assert fused.box_xyxy == (0, 0, 100, 100)
    assert fused.seen_by == ("headnet", "yunet")


def test_points_of_a_wrong_sized_box_join_it_and_do_not_move_the_box() -> None:
    box = (0, 0, 100, 100)
    tiny = head((30, 30, 50, 50), 0.6, (35, 40), (45, 40))
    huge = head((-300, -300, 400, 400), 0.6, (35, 40), (45, 40), (999, 40))
    for rough in (tiny, huge):
        (fused,) = fuse({"headnet": [head(box, 0.9)], "keypoints": [rough]})
        assert fused.box_xyxy == pytest.approx(box)
        assert fused.seen_by == ("headnet", "keypoints")
        assert fused.points[0, :2].tolist() == [35, 40]
    beside = head((-300, -300, 400, 400), 0.6, (350, 40), (45, 40), (999, 40))
    assert len(fuse({"headnet": [head(box, 0.9)], "keypoints": [beside]})) == 2


def test_a_second_head_from_keypoints_joins_a_box_only_with_all_its_points() -> None:
    box = head((0, 0, 100, 100), 0.9)
    good = head((0, 0, 90, 100), 0.8, (40, 40))
    within = head((60, 60, 90, 90), 0.6, (70, 70), (80, 70))
    partly = head((60, 60, 190, 190), 0.5, (70, 70), (90, 70), (170, 70))
    (one,) = cluster({"headnet": [box], "keypoints": [good, within]})
    assert [name for name, _ in one.members()] == ["headnet", "keypoints", "keypoints"]
    assert len(one.boxes) == 2 and len(one.others) == 1
    assert len(fuse({"headnet": [box], "keypoints": [good, partly]})) == 2


def test_each_point_comes_from_the_most_trusted_who_saw_it() -> None:
    ours, theirs = head((0, 0, 100, 100), 0.5, (30, 40)), head((0, 0, 100, 100), 0.9, (31, 41))
    marks = theirs.points.copy()
    marks[2] = 50, 60, 0.7
    (fused,) = fuse({"keypoints": [Head(theirs.box_xyxy, 0.9, marks)], "headnet": [ours]})
    assert fused.points[0, :2].tolist() == [30, 40]
    assert fused.points[2, :2].tolist() == [50, 60]
    assert np.isnan(fused.points[3:]).all()
    assert fused.seen_by == ("keypoints", "headnet")


def test_a_box_that_would_drag_the_mean_away_opens_its_own_cluster() -> None:
    # a wide and a narrow box are the same head; their mean would not hold a third one any more
    found = {
        "headnet": [head((0, 0, 100, 100), 0.5)],
        "yunet": [head((0, 0, 100, 200), 0.9)],
        "other": [head((0, 0, 100, 50), 0.9)],
    }
    for one in cluster(found):
        for name, member in one.members():
            assert belongs(name, member, one.box)


def test_nothing_found_by_anybody() -> None:
    assert fuse({"headnet": [], "keypoints": []}) == []


boxes = st.tuples(
    st.floats(-50, 250), st.floats(-50, 250), st.floats(4, 120), st.floats(4, 120)
).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


@st.composite
def some_heads(draw: st.DrawFn) -> list[Head]:
    heads = []
    for box in draw(st.lists(boxes, max_size=8)):
        points = Head.no_points()
        for i in draw(st.sets(st.integers(0, 6), max_size=4)):
            at = draw(st.floats(-0.2, 1.2)), draw(st.floats(-0.2, 1.2))
            points[i] = (
                box[0] + at[0] * (box[2] - box[0]),
                box[1] + at[1] * (box[3] - box[1]),
                0.5,
            )
        heads.append(Head(box, draw(st.floats(0.05, 1)), points))
    return heads


@settings(max_examples=100, deadline=None)
@given(some_heads(), some_heads(), some_heads())
def test_no_head_is_lost(one: list[Head], other: list[Head], third: list[Head]) -> None:
    found = {"headnet": one, "yunet": third, "keypoints": other}
    fused = fuse(found)
    for name, heads in found.items():
        for each in heads:
            own = [f for f in fused if name in f.seen_by and belongs(name, each, f.box_xyxy)]
            assert own, (name, each.box_xyxy)
    assert len(fused) <= sum(map(len, found.values()))
    assert len(fused) >= max(len(one), len(third))  # boxes of one detector stay apart
    assert all(f.seen_by for f in fused)
    assert [f.score for f in fused] == sorted((f.score for f in fused), reverse=True)
    for f in fused:
        assert 0 <= f.score <= 1
        for name in f.seen_by:
            best = max((h.score for h in found[name] if belongs(name, h, f.box_xyxy)), default=0.0)
            least = min(h.score for h in found[name]) * _fuse.SCORE_TRUST.get(name, 1)
            assert least - 1e-9 <= f.score or best == 0


# --- the detector -----------------------------------------------------------------------------


class Fixed:
    """Finds what it is told to."""

    def __init__(self, *heads: Head) -> None:
        self.heads = list(heads)

    def detect(self, image: Image) -> list[Head]:
        return self.heads


class Near(Fixed):
    """Remembers which heads it was told of."""

    known: Sequence[Head] = ()

    def detect_with(self, image: Image, heads: Sequence[Head]) -> list[Head]:
        self.known = heads
        return self.heads


IMAGE = np.zeros((40, 60, 3), np.uint8)


def test_who_looks_near_heads_gets_what_the_others_found() -> None:
    first, near = Fixed(head((0, 0, 10, 10))), Near(head((30, 0, 40, 10)))
    for parts in ({"keypoints": near, "whole": first}, {"whole": first, "keypoints": near}):
        got = _union.Union(parts).detect(IMAGE)
        assert near.known == first.heads
        assert {h.seen_by for h in got} == {("whole",), ("keypoints",)}
        assert {h.source for h in got} == {"+".join(parts)}
    with pytest.raises(ValueError, match="image: got float64"):
        _union.Union({"whole": first}).detect(np.zeros((9, 9, 3)))


# --- opening by name --------------------------------------------------------------------------


def test_names_are_checked() -> None:
    assert _union.split_names("whole+headnet") == ["whole", "headnet"]
    with pytest.raises(UnknownName, match="no detector named 'nose'; there are: headnet"):
        _union.split_names("headnet+nose")
    with pytest.raises(UsageError, match=r"'whole\+whole': a name occurs twice"):
        _union.split_names("whole+whole")


@pytest.mark.parametrize(
    ("given_text", "names", "wanted"),
    [
        (None, ["headnet", "keypoints"], {}),
        ("a.onnx", ["headnet"], {"headnet": "a.onnx"}),
        ("headnet=a.onnx", ["headnet"], {"headnet": "a.onnx"}),
        ("a,b=c.onnx", ["headnet"], {"headnet": "a,b=c.onnx"}),
        ("a.tflite", ["whole", "keypoints"], {"keypoints": "a.tflite"}),
        ("keypoints=a,headnet=b", ["headnet", "keypoints"], {"keypoints": "a", "headnet": "b"}),
        (Path("a.onnx"), ["headnet"], {"headnet": Path("a.onnx")}),
    ],
)
def test_weights_find_their_detector(
    given_text: str | Path | None, names: list[str], wanted: dict[str, object]
) -> None:
    assert _union.split_weights(given_text, names) == wanted


def test_a_plain_file_goes_to_who_has_none_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_union.weights, "shipped", lambda: ["headnet"])
    names = ["headnet", "keypoints"]
    assert _union.split_weights("a.tflite", names) == {"keypoints": "a.tflite"}
    with pytest.raises(UsageError, match=r"'a' for yunet\+keypoints; say whose .* yunet=FILE,key"):
        _union.split_weights("a", ["yunet", "keypoints"])
    for wrong in ("headnet=a,headnet=b", "headnet="):
        with pytest.raises(UsageError, match="wanted one file for each detector"):
            _union.split_weights(wrong, names)


def test_options_go_to_those_who_have_them(heads_file: Path) -> None:
    opened = _union.open_detector(
        "headnet+whole", f"headnet={heads_file}", threads=1, options={"tiles": False}
    )
    assert opened.files == (heads_file,)
    assert opened.min_score == {"headnet": 0.3, "whole": None}
    with pytest.raises(UsageError, match="detector 'whole' has no option 'tiles'"):
        _union.open_detector("whole", options={"tiles": False})


def test_the_share_of_the_threshold_is_taken_for_each(
    heads_file: Path, disks: Callable[..., Image]
) -> None:
    opened = _union.open_detector(
        "headnet+whole", f"headnet={heads_file}", threads=1, min_score_share=0.5
    )
    assert opened.min_score == {"headnet": 0.15, "whole": None}
    single = _union.open_detector("headnet", heads_file, threads=1, min_score=0.7)
    assert single.min_score == 0.7
    (got, *_) = opened.detector.detect(disks((96, 128), [(50.0, 50.0, 20.0)]))
    assert got.seen_by == ("whole",)


def test_a_parser_takes_several_detectors_by_name(
    heads_file: Path, parser_file: Path, disks: Callable[..., Image]
) -> None:
    parser = FaceParser(
        "headnet+whole",
        parser_file,
        detector_weights=f"headnet={heads_file}",
        threads=1,
        min_score=0.4,
    )
    heads = parser.detect(disks((96, 128), [(50.0, 50.0, 20.0)]))
    assert {h.seen_by for h in heads} == {("headnet",), ("whole",)}
    assert {h.source for h in heads} == {"headnet+whole"}


def test_every_shared_option_is_taken_by_every_detector() -> None:
    for name in folder.names("faceparts.detect"):
        assert {"weights", "min_score", "threads"} <= set(_union._parameters(name))
