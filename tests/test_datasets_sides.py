"""Whose left is left: measured on drawn label maps, at any tilt, in either convention."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from dataset_folders import WRITERS, as_set, draw
from faceparts import folder, labels
from faceparts.datasets import _sides
from faceparts.errors import BadData
from faceparts.labels import CELEBA19, EASYPORTRAIT9, FASSEG6, LAPA11, viewers
from faceparts.types import LabelSet

MEASURED = ("easyportrait", "facesynthetics", "helen", "helen_original", "ibugmask", "lapa")


def upright() -> np.ndarray:
    """Eyes in row 1, the subject's right on the image left, the lip in row 4."""
    ids = np.zeros((6, 9), np.uint8)
    ids[0:2, 0:3], ids[0:2, 6:9] = LAPA11.id("right_eye"), LAPA11.id("left_eye")
    ids[4:6, 3:6] = LAPA11.id("lower_lip")
    return ids


def test_a_vote_for_the_subject_and_one_for_the_viewer() -> None:
    assert _sides.side_vote(upright(), LAPA11) == 1
    assert _sides.side_vote(upright()[:, ::-1], LAPA11) == -1
    assert _sides.side_vote(upright(), viewers(LAPA11)) == -1


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turned_heads_vote_the_same(quarters: int) -> None:
    assert _sides.side_vote(np.rot90(upright(), quarters), LAPA11) == 1


@pytest.mark.parametrize("gone", ["right_eye", "left_eye", "lower_lip"])
def test_what_does_not_show_is_no_vote(gone: str) -> None:
    ids = upright()
    ids[ids == LAPA11.id(gone)] = 0
    assert _sides.side_vote(ids, LAPA11) == 0


def test_a_few_pixels_have_no_place() -> None:
    ids = upright()
    ids[0, 0:3] = ids[1, 0] = 0  # two pixels of the right eye are left
    assert _sides.side_vote(ids, LAPA11) == 0


def test_sets_without_sides_never_vote() -> None:
    assert _sides.side_vote(as_set(draw(1), FASSEG6), FASSEG6) == 0


@pytest.mark.parametrize("label_set", [CELEBA19, LAPA11, EASYPORTRAIT9], ids=lambda s: s.name)
@pytest.mark.parametrize("angle_deg", [0, 40, 100, 180, 250])
def test_drawn_heads_at_any_tilt(label_set: LabelSet, angle_deg: int) -> None:
    ids = as_set(draw(3), label_set)
    h, w = ids.shape
    turn = cv2.getRotationMatrix2D((w / 2, h / 2), angle_deg, 0.7)
    turned = cv2.warpAffine(ids, turn, (w, h), flags=cv2.INTER_NEAREST)
    assert _sides.side_vote(turned, label_set) == 1
    assert _sides.side_vote(turned[:, ::-1], label_set) == -1


def reader(maps: dict[str, np.ndarray]) -> Callable[[Path], np.ndarray]:
    return lambda path: maps[path.name]


def test_the_majority_decides() -> None:
    maps = {"a": upright(), "b": upright()[:, ::-1], "c": upright()}
    files = [Path(name) for name in maps]
    assert _sides.as_subject(LAPA11, files, reader(maps), unless_seen=False) is LAPA11
    maps["a"] = upright()[:, ::-1]
    found = _sides.as_subject(LAPA11, files, reader(maps), unless_seen=True)
    assert found == viewers(LAPA11)


@pytest.mark.parametrize("unless_seen", [True, False])
def test_what_is_taken_where_nothing_shows(unless_seen: bool) -> None:
    maps = {"a": np.zeros((6, 9), np.uint8)}
    found = _sides.as_subject(LAPA11, [Path("a")], reader(maps), unless_seen=unless_seen)
    assert found == (LAPA11 if unless_seen else viewers(LAPA11))


def test_only_some_files_are_read_and_they_are_spread() -> None:
    seen: list[str] = []

    def read(path: Path) -> np.ndarray:
        seen.append(path.name)
        return upright()

    files = [Path(str(i)) for i in range(1000)]
    _sides.as_subject(LAPA11, files, read, unless_seen=False)
    assert seen == [str(i) for i in range(0, 16 * 62, 62)]


def test_files_that_cannot_be_read_do_not_vote_in_a_check() -> None:
    def read(path: Path) -> np.ndarray:
        if path.name == "b":
            raise BadData("b: damaged")
        return upright()

    files = [Path("a"), Path("b"), Path("c")]
    found = _sides.as_subject(LAPA11, files, read, unless_seen=False, strict=False)
    assert found is LAPA11
    with pytest.raises(BadData, match="b: damaged"):
        _sides.as_subject(LAPA11, files, read, unless_seen=False)


@pytest.mark.parametrize("name", MEASURED)
def test_a_mirrored_repack_is_seen_through(name: str, tmp_path: Path) -> None:
    """Flipped without swapping the sides of the labels: samples still speak of the subject's."""
    one = draw(4)
    flipped = type(one)(
        np.ascontiguousarray(one.image[:, ::-1]),
        np.ascontiguousarray(one.ids[:, ::-1]),
        *(one.box_xyxy, one.points, one.marks),
    )
    module = folder.load("faceparts.datasets", name)
    split = module.SPLITS[0]
    for root, drawn in ((tmp_path / "as_is", one), (tmp_path / "flipped", flipped)):
        WRITERS[name](root, split, "1", drawn)
    plain = module.load(tmp_path / "as_is", split)
    turned = module.load(tmp_path / "flipped", split)
    assert {plain.source_set.name, turned.source_set.name} == {
        plain.label_set.name,
        f"{plain.label_set.name}_viewers",
    }
    mirror = np.uint8(plain.label_set.mirror)
    assert np.array_equal(turned[0].labels, mirror[plain[0].labels[:, ::-1]])
    assert labels.get(turned.label_set.name) is turned.label_set
