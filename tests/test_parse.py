from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import faceparts
from faceparts import labels as label_sets
from faceparts import parse as parse_module
from faceparts.crops import crop_head
from faceparts.errors import UnknownName, UsageError
from faceparts.parse import FaceParser, settle_overlaps
from faceparts.segment import onnx
from faceparts.types import Head

HAIR, SKIN = (0, 0, 204), (204, 160, 120)
LFW3, CELEBA19 = label_sets.LFW3, label_sets.CELEBA19


def head(x0: float, y0: float, x1: float, y1: float, score: float = 1.0) -> Head:
    return Head((x0, y0, x1, y1), score, Head.no_points())


class Fixed:
    """A detector that knows the answer."""

    def __init__(self, *heads: Head) -> None:
        self.heads = list(heads)

    def detect(self, image: np.ndarray) -> list[Head]:
        return self.heads


@pytest.fixture(scope="module")
def segmenter(parser_file):
    return onnx.load(parser_file, threads=1)


def truth(hw: tuple[int, int], disks: list[tuple[float, float, float]]) -> np.ndarray:
    """Labels of `draw`: hair around every disk's upper half, face inside."""
    y, x = np.mgrid[: hw[0], : hw[1]] + 0.5
    labels = np.zeros(hw, np.uint8)
    for cx, cy, r in disks:
        inside = (x - cx) ** 2 + (y - cy) ** 2 <= r**2
        labels[inside] = 2
        labels[inside & (y < cy)] = 1
    return labels


def draw(hw: tuple[int, int], disks: list[tuple[float, float, float]]) -> np.ndarray:
    colors = np.array([(127, 127, 127), HAIR, SKIN], np.uint8)
    return colors[truth(hw, disks)]


def box_of(disk: tuple[float, float, float]) -> Head:
    x, y, r = disk
    return head(x - r, y - r, x + r, y + r)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def full_labels(face) -> np.ndarray:
    labels = np.zeros(face.source_hw, np.uint8)
    x0, y0, x1, y1 = face.window_xyxy
    labels[y0:y1, x0:x1] = face.labels
    return labels


# --- from picture to faces --------------------------------------------------------------------


def test_parts_come_back_where_they_are_at_any_size(segmenter):
    disks = [(60.0, 70.0, 30.0), (200.5, 90.2, 70.0), (40.0, 180.0, 9.0)]
    image = draw((220, 300), disks)
    faces = FaceParser(Fixed(*map(box_of, disks)), segmenter).parse(image)
    expected = truth((220, 300), disks)
    for face, disk in zip(faces, disks, strict=True):
        own = truth((220, 300), [disk])
        assert iou(full_labels(face) == 2, own == 2) > 0.9
        assert iou(full_labels(face) == 1, own == 1) > 0.9
        assert face.label_set is LFW3
        assert face.head.box_xyxy == box_of(disk).box_xyxy
        assert face.crop.image.shape == (32, 32, 3)
        assert face.confidence.min() > 0.3 and face.confidence.max() <= 1
        assert not face.labels.flags.writeable and not face.confidence.flags.writeable
    together = np.max([full_labels(f) for f in faces], axis=0)
    assert (together == expected).mean() > 0.98


def test_no_heads_give_no_faces(segmenter):
    parser = FaceParser(Fixed(), segmenter)
    assert parser.parse(draw((30, 30), [])) == []
    assert parser(draw((30, 30), [])) == []


def test_a_head_that_leaves_the_picture_is_cut_and_one_beside_it_is_empty(segmenter):
    image = draw((100, 100), [(95.0, 50.0, 30.0)])
    faces = FaceParser(Fixed(), segmenter).segment(
        image, [head(65, 20, 125, 80), head(300, 20, 340, 60)]
    )
    assert faces[0].window_xyxy == (50, 5, 100, 95)
    assert iou(full_labels(faces[0]) == 2, truth((100, 100), [(95.0, 50.0, 30.0)]) == 2) > 0.9
    assert faces[1].labels.size == 0 and faces[1].area_px() == 0


def test_batches_give_what_single_faces_give(segmenter):
    disks = [(30.0 + 50 * i, 30.0 + 50 * j, 14.0 + i) for i in range(5) for j in range(4)]
    image = draw((220, 280), disks)
    heads = [box_of(d) for d in disks]
    together = FaceParser(Fixed(), segmenter, batch=7).segment(image, heads)
    single = FaceParser(Fixed(), segmenter, batch=1).segment(image, heads)
    for a, b in zip(together, single, strict=True):
        assert (a.labels == b.labels).mean() > 0.999
        np.testing.assert_allclose(a.confidence, b.confidence, atol=1e-4)


def test_hundreds_of_faces_need_windows_not_pictures(segmenter):
    heads = [head(x, y, x + 20, y + 20) for x in range(0, 900, 40) for y in range(0, 600, 30)]
    image = np.full((620, 940, 3), 127, np.uint8)
    faces = FaceParser(Fixed(), segmenter).segment(image, heads)
    assert len(faces) == 460
    assert sum(f.labels.nbytes + f.confidence.nbytes for f in faces) <= 460 * 5 * 31 * 31


class Lopsided:
    """Sees a left eye in the left half of every crop, whatever the crop shows."""

    label_set = CELEBA19

    def __init__(self, card) -> None:
        self.card, self.calls = card, 0

    def predict(self, crops: np.ndarray) -> np.ndarray:
        self.calls += 1
        count, size_px = crops.shape[:2]
        probs = np.zeros((count, 19, size_px, size_px), np.float32)
        probs[:, CELEBA19.id("left_eye"), :, : size_px // 2] = 1
        probs[:, 0, :, size_px // 2 :] = 1
        return probs


def test_flip_averages_with_the_mirrored_crop_and_swaps_sides(parser_card):
    lopsided = Lopsided(parser_card)
    image = draw((64, 64), [])
    parser = FaceParser(Fixed(head(0, 0, 64, 64)), lopsided, flip=True)
    crop = crop_head(image, head(0, 0, 64, 64), 32, 0)
    probs = parser._predict([crop])[0]
    # left half: left eye seen once, background once; right half: the mirrored eye is a right eye
    for part, half in (("left_eye", 0), ("right_eye", 16), ("background", 0), ("background", 16)):
        np.testing.assert_allclose(probs[CELEBA19.id(part), :, half : half + 16], 0.5)
    np.testing.assert_allclose(probs.sum(axis=0), 1)
    assert lopsided.calls == 2


def test_heads_below_the_score_are_left_out(segmenter):
    detector = Fixed(head(0, 0, 9, 9, 0.9), head(20, 0, 29, 9, 0.4))
    image = draw((30, 30), [])
    assert len(FaceParser(detector, segmenter).detect(image)) == 2
    assert [h.score for h in FaceParser(detector, segmenter, min_score=0.5).detect(image)] == [0.9]


def test_detectors_and_parsers_are_found_by_name_and_path(parser_file, heads_file, disks):
    parser = FaceParser("headnet", parser_file, detector_weights=heads_file, threads=1)
    assert parser.label_set is LFW3
    (found,) = parser.detect(disks((200, 640), [(102.0, 102.0, 30.0)]))
    assert found.source == "headnet"
    assert parser.min_score is None
    strict = FaceParser("headnet", str(parser_file), detector_weights=heads_file, min_score=0.999)
    assert strict.detect(disks((200, 640), [(102.0, 102.0, 30.0)])) == []
    assert FaceParser("whole", parser_file).parse(draw((40, 40), []))[0].area_px() == 0


def test_wrong_options_and_pictures_are_refused(segmenter, parser_file):
    with pytest.raises(UsageError, match=r"min_score_share: got 1.5, wanted 0 to 1"):
        FaceParser(Fixed(), segmenter, min_score_share=1.5)
    with pytest.raises(UsageError, match=r"min_score: got -1, wanted 0 to 1"):
        FaceParser(Fixed(), segmenter, min_score=-1)
    with pytest.raises(UsageError, match="batch: got 0, wanted a whole number of at least 1"):
        FaceParser(Fixed(), segmenter, batch=0)
    with pytest.raises(UsageError, match="detector_weights: only for a detector given by name"):
        FaceParser(Fixed(), segmenter, detector_weights="a.onnx")
    with pytest.raises(UnknownName, match=r"'nose'; there are: .*headnet.*whole"):
        FaceParser("nose", segmenter)
    parser = FaceParser(Fixed(), segmenter)
    for act in (parser.detect, parser.parse, lambda image: parser.segment(image, [])):
        with pytest.raises(
            ValueError, match=r"image: got uint8 of shape \(9, 9\), wanted \(H, W, 3"
        ):
            act(np.zeros((9, 9), np.uint8))


# --- overlapping faces ------------------------------------------------------------------------


def settle(label_set, *faces):
    """faces: head, window, labels, confidences; returns the settled labels and confidences."""
    heads, windows, ids, sure = zip(*faces, strict=True)
    ids = [np.array(i, np.uint8) for i in ids]
    sure = [np.array(c, np.float32) for c in sure]
    settle_overlaps(heads, windows, ids, sure, label_set)
    return [i.tolist() for i in ids], [np.round(c.astype(float), 3).tolist() for c in sure]


def test_the_surer_face_gets_the_pixel_the_larger_head_when_close():
    near = (head(0, 0, 10, 10), (0, 0, 4, 1), [[2, 2, 2, 0]], [[0.9, 0.9, 0.9, 0.6]])
    far = (head(0, 0, 9, 9), (1, 0, 5, 1), [[2, 2, 2, 2]], [[0.95, 0.99, 0.99, 0.8]])
    for order in ((near, far), (far, near)):
        ids, sure = settle(LFW3, *order)
        if order[0] is far:
            ids, sure = ids[::-1], sure[::-1]
        # columns 1 and 2: 0.95 and 0.99 are not more than 0.1 above 0.9; column 3: only far claims
        assert ids == [[[2, 2, 2, 0]], [[0, 0, 2, 2]]]
        assert sure == [[[0.9, 0.9, 0.9, 0.6]], [[0.9, 0.9, 0.99, 0.8]]]
    surer = (far[0], far[1], far[2], [[0.95, 0.99, 0.99, 0.8]])
    unsure = (near[0], near[1], near[2], [[0.9, 0.8, 0.9, 0.6]])
    ids, sure = settle(LFW3, unsure, surer)
    assert ids == [[[2, 0, 2, 0]], [[2, 0, 2, 2]]]
    assert sure[0] == [[0.9, 0.95, 0.9, 0.6]]


def test_a_face_outside_its_own_box_gives_way_to_the_one_inside():
    """Cheek to cheek: both crops see both faces, equally sure."""
    row = [[2] * 20]
    left = (head(0, 0, 10, 10), (0, 0, 20, 1), row, [[0.95] * 20])
    right = (head(10, 0, 20, 10), (0, 0, 20, 1), row, [[0.95] * 20])
    ids, _ = settle(LFW3, left, right)
    # beyond its box a claim falls by 0.1 a pixel: from the second pixel on that is more than 0.1
    assert ids[0] == [[2] * 11 + [0] * 9]
    assert ids[1] == [[0] * 11 + [2] * 9]


def test_clothes_never_beat_the_face_before_them():
    clothes, skin = CELEBA19.id("clothes"), CELEBA19.id("skin")
    big = (head(0, 0, 40, 40), (0, 0, 2, 1), [[clothes, skin]], [[1.0, 1.0]])
    child = (head(0, 0, 20, 20), (0, 0, 2, 1), [[skin, clothes]], [[0.65, 1.0]])
    ids, _ = settle(CELEBA19, big, child)
    assert ids == [[[0, skin]], [[skin, 0]]]


def test_of_three_faces_one_keeps_each_pixel():
    rng = np.random.default_rng(0)
    faces = [
        (
            head(0, 0, 9 + i, 9 + i),
            (i, i, i + 9, i + 9),
            rng.integers(0, 3, (9, 9)),
            rng.random((9, 9)),
        )
        for i in range(4)
    ]
    ids, _ = settle(LFW3, *faces)
    claimed = np.zeros((20, 20), int)
    before = np.zeros((20, 20), bool)
    for i, (labels, face) in enumerate(zip(ids, faces, strict=True)):
        claimed[i : i + 9, i : i + 9] += np.array(labels) != 0
        before[i : i + 9, i : i + 9] |= np.array(face[2]) != 0
    assert claimed.max() == 1
    np.testing.assert_array_equal(claimed == 1, before)


def test_large_overlaps_are_settled_in_strips(monkeypatch):
    rng = np.random.default_rng(1)
    faces = [
        (
            head(0, 0, 30 + i, 30),
            (i, 0, i + 30, 30),
            rng.integers(0, 3, (30, 30)),
            rng.random((30, 30)),
        )
        for i in (0, 5)
    ]
    whole = settle(LFW3, *faces)
    monkeypatch.setattr(parse_module, "_STRIP_PX", 60)
    assert settle(LFW3, *faces) == whole


def test_faces_apart_or_without_pixels_are_left_alone():
    a = (head(0, 0, 5, 5), (0, 0, 2, 1), [[2, 2]], [[0.5, 0.5]])
    b = (head(0, 0, 9, 9), (2, 0, 4, 1), [[2, 2]], [[0.9, 0.9]])
    empty = (head(0, 0, 9, 9), (2, 0, 2, 1), [[]], [[]])
    empty = (empty[0], empty[1], np.zeros((1, 0)), np.zeros((1, 0)))
    ids, _ = settle(LFW3, a, b, empty)
    assert ids == [[[2, 2]], [[2, 2]], [[]]]
    settle_overlaps([], [], [], [], LFW3)


def test_overlapping_faces_of_a_picture_share_no_pixel(segmenter):
    disks = [(60.0, 60.0, 40.0), (110.0, 70.0, 30.0)]
    image = draw((140, 180), disks)
    faces = FaceParser(Fixed(*map(box_of, disks)), segmenter).parse(image)
    assert not (faces[0].mask() & faces[1].mask()).any()
    assert iou(faces[0].mask() | faces[1].mask(), truth((140, 180), disks) > 0) > 0.9


# --- the package ------------------------------------------------------------------------------


def test_the_module_parse_can_be_called_like_the_function(monkeypatch):
    from faceparts import api

    monkeypatch.setattr(api, "parse", lambda source, **options: (source, options))
    assert faceparts.parse is parse_module
    assert faceparts.parse("a.jpg", flip=True) == ("a.jpg", {"flip": True})


@pytest.mark.parametrize(
    "first", ["from faceparts.parse import FaceParser", "import faceparts.api"]
)
def test_parse_is_callable_whatever_was_imported_first(first):
    code = f"{first}\nimport faceparts\nassert callable(faceparts.parse), faceparts.parse\n"
    src = Path(faceparts.__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(src)})


def test_the_package_gives_its_names_and_no_others():
    assert faceparts.__version__ == "0.1.0"
    for name in faceparts.__all__:
        assert getattr(faceparts, name) is not None
        assert name in dir(faceparts)
    assert faceparts.FaceParser is FaceParser and faceparts.Head is Head
    with pytest.raises(AttributeError, match="module 'faceparts' has no attribute 'blurr'"):
        faceparts.blurr  # noqa: B018 - that is the point
