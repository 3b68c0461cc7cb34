"""What a dataset check finds: bad pairs, twins, parts, sides."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from data_world import HW, face_ids, pattern, save_pair, save_set
from drawn import drawn_face
from faceparts.datasets import celebamask
from faceparts.datasets._pairs import Pair
from faceparts.evaluate import _similar, contact_sheet, data_check
from faceparts.evaluate.data_check import SetCheck, Twins
from faceparts.labels import CELEBA19, LFW3
from faceparts.types import IGNORE, HeadSample, LabelSet, Sample


@dataclass
class Listed:
    """A dataset from a list."""

    samples: list[Sample]
    label_set: LabelSet = CELEBA19
    left_out: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, i: int) -> Sample:
        return self.samples[i]


@dataclass
class ListedPairs(Listed):
    pairs: list[Pair] = field(default_factory=list)


@dataclass
class ListedHeads:
    samples: list[HeadSample]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, i: int) -> HeadSample:
        return self.samples[i]


def sample(seed: int, ids: NDArray[np.uint8] | None = None, subject: str | None = None) -> Sample:
    return Sample(f"p{seed}", pattern(seed), face_ids() if ids is None else ids, subject)


def check_folder(root: Path) -> tuple[list[SetCheck], list[Twins]]:
    checks = [
        data_check.check_set(f"celebamask:{split}", celebamask.load(root, split))
        for split in ("train", "val")
    ]
    return checks, data_check.find_twins([look for check in checks for look in check.looks])


def test_a_clean_set_has_no_faults(tmp_path: Path) -> None:
    checks, twins = check_folder(save_set(tmp_path))
    assert [(c.pictures, len(c.looks), c.bad) for c in checks] == [(3, 3, []), (2, 2, [])]
    assert twins == []
    assert list(data_check.errors_of(checks, twins)) == []
    assert [w.partition(": ")[0] for w in data_check.warnings_of(checks, twins)] == [
        "celebamask:train",
        "celebamask:val",
    ]  # parts that are never seen


def test_parts_are_counted() -> None:
    ids = np.zeros(HW, np.uint8)
    ids[:10, :10], ids[20:25, :10], ids[90:, :] = 1, 2, IGNORE
    check = data_check.check_set("x:all", Listed([sample(1, ids), sample(2, 0 * ids)]))
    assert check.pixels[:3].tolist() == [2 * 96 * 80 - 100 - 50 - 480, 100, 50]
    assert check.with_part[:4].tolist() == [2, 1, 1, 0]
    assert check.ignored_px == 480
    assert check.empty == ["p2"]


# --- bad pairs -----------------------------------------------------------------------------------


def test_every_bad_pair_is_listed_and_the_rest_is_read(tmp_path: Path) -> None:
    save_set(tmp_path, train=5)
    folder = tmp_path / "train"
    photo = folder / "images" / "t0.jpg"
    photo.write_bytes(photo.read_bytes()[: photo.stat().st_size * 2 // 3])
    (folder / "images" / "t1.jpg").write_bytes(b"no picture")
    save_pair(tmp_path, "train", "t2", pattern(2), face_ids((90, 80)))
    save_pair(tmp_path, "train", "t3", pattern(3), face_ids() + np.uint8(100))
    seen: list[tuple[int, bool]] = []
    check = data_check.check_set(
        "celebamask:train",
        celebamask.load(tmp_path, "train"),
        lambda i, one: seen.append((i, one is not None)),
    )
    reasons = {bad.key: bad.reason for bad in check.bad}
    assert list(reasons) == ["t0", "t1", "t2", "t3"]
    assert "t0.jpg" in reasons["t0"]  # OpenCV 5 refuses it, 4 fills it with grey: Pillow refuses
    assert "not a picture" in reasons["t1"]
    assert "80x90 labels for a picture of 80x96" in reasons["t2"]
    assert "label 100 is not in celeba19" in reasons["t3"]
    assert [look.key for look in check.looks] == ["t4"]
    assert seen == [(0, False), (1, False), (2, False), (3, False), (4, True)]
    assert len(list(data_check.errors_of([check], []))) == 4


def test_files_are_read_to_their_end(tmp_path: Path) -> None:
    photo = save_pair(tmp_path, "train", "a", pattern(1, (300, 300)))
    text = tmp_path / "a.pts"
    text.write_text("no picture, and none is wanted")
    dataset = ListedPairs([sample(1), sample(2)], pairs=[Pair("a", photo, text)] * 2)
    assert data_check.check_set("x:all", dataset).bad == []
    photo.write_bytes(photo.read_bytes()[: photo.stat().st_size // 2])
    (bad, _) = data_check.check_set("x:all", dataset).bad
    assert bad.key == "a"
    assert f"{photo}: damaged picture" in bad.reason


def test_datasets_that_do_not_look_themselves_are_looked_at() -> None:
    small = Sample("small", pattern(1), np.zeros((4, 5), np.uint8))
    strange = Sample("strange", pattern(2), np.full(HW, 77, np.uint8))
    check = data_check.check_set("x:all", Listed([small, strange, sample(3)]))
    assert [bad.key for bad in check.bad] == ["0", "1"]  # no pairs to name them
    assert "labels 5x4, picture 80x96" in check.bad[0].reason
    assert "id 77; wanted 0..18 or 255" in check.bad[1].reason
    assert len(check.looks) == 1


def test_heads_are_counted_and_their_boxes_checked() -> None:
    none = np.zeros((0, 7, 3), np.float32)
    boxes = np.float32([[1, 2, 30, 40], [5, 5, 9, 9]])
    good = HeadSample("good", pattern(1), boxes, none)
    flat = HeadSample("flat", pattern(2), np.float32([[5, 5, 5, 9]]), none)
    nan = HeadSample("nan", pattern(3), np.float32([[5, 5, np.nan, 9]]), none)
    check = data_check.check_set("heads:all", ListedHeads([good, flat, nan]))
    assert check.heads == 2
    assert check.label_set is None
    assert ["without area" in bad.reason for bad in check.bad] == [True, True]
    assert list(data_check.warnings_of([check], [])) == []


def test_an_empty_dataset_is_wrong() -> None:
    check = data_check.check_set("x:all", Listed([]))
    assert list(data_check.errors_of([check], data_check.find_twins([]))) == ["x:all: no pictures"]


# --- sides ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("roll_deg", [0.0, 40.0, -60.0, 90.0, 180.0])
def test_sides_are_judged_in_the_frame_of_the_face(roll_deg: float) -> None:
    _, face = drawn_face((200, 200), (100, 100), (90, 120), roll_deg=roll_deg)
    ids = face.labels
    right_way = data_check.side_votes(ids, CELEBA19)
    assert right_way == {"eye": 1, "brow": 1, "ear": 1}
    mirrored = data_check.side_votes(np.ascontiguousarray(ids[:, ::-1]), CELEBA19)
    assert mirrored == {"eye": -1, "brow": -1, "ear": -1}
    swapped = np.uint8(CELEBA19.mirror)[ids[:, ::-1]]
    assert data_check.side_votes(swapped, CELEBA19) == right_way


def test_sides_need_pixels_and_names() -> None:
    ids = face_ids()
    assert data_check.side_votes(ids * (ids == CELEBA19.id("left_eye")), CELEBA19) == {}
    assert data_check.side_votes(np.zeros(HW, np.uint8), LFW3) == {}
    eyes = ids * np.isin(ids, (CELEBA19.id("left_eye"), CELEBA19.id("right_eye")))
    assert data_check.side_votes(eyes, CELEBA19) == {"eye": 1}  # the picture's own up
    above = np.zeros(HW, np.uint8)
    above[10:14, 40:44], above[30:34, 40:44] = CELEBA19.id("left_eye"), CELEBA19.id("right_eye")
    assert data_check.side_votes(above, CELEBA19) == {}  # one above the other says nothing


def test_swapped_pictures_are_named_and_a_swapped_set_is_wrong() -> None:
    swapped = face_ids(swapped=True)
    one = data_check.check_set("a:all", Listed([sample(1), sample(2), sample(3, swapped)]))
    assert one.sides == {"eye": [2, 1]}
    assert one.swapped == ["p3"]
    assert list(data_check.errors_of([one], [])) == []
    assert "a:all/p3: left and right swapped" in data_check.warnings_of([one], [])
    most = data_check.check_set(
        "b:all", Listed([sample(1), sample(2, swapped), sample(3, swapped)])
    )
    (error,) = data_check.errors_of([most], [])
    assert error.startswith("b:all: left_eye lies on the subject's right in 2 of 3 pictures")


# --- twins ---------------------------------------------------------------------------------------


def test_one_file_in_two_splits_is_wrong(tmp_path: Path) -> None:
    save_set(tmp_path)
    copy = tmp_path / "val" / "images" / "v9.jpg"
    save_pair(tmp_path, "val", "v9", pattern(9))
    copy.write_bytes((tmp_path / "train" / "images" / "t1.jpg").read_bytes())
    checks, twins = check_folder(tmp_path)
    (twin,) = twins
    assert twin == Twins(
        "same file",
        ("celebamask:train/t1", "celebamask:val/v9"),
        ("celebamask:train", "celebamask:val"),
        1.0,
        True,
    )
    (error,) = data_check.errors_of(checks, twins)
    assert "same file: celebamask:train/t1 = celebamask:val/v9: one photo in" in error


def test_the_same_pixels_in_another_file_and_other_labels() -> None:
    other = sample(1, face_ids(swapped=True))
    check = data_check.check_set("x:all", Listed([sample(1), other, sample(2), sample(1)]))
    (twin,) = data_check.find_twins(check.looks)
    assert (twin.kind, len(twin.names), twin.across, twin.same_labels) == (
        *("same pixels", 3, False),
        False,
    )
    told = [w for w in data_check.warnings_of([check], [twin]) if "same pixels" in w]
    assert told == [
        "same pixels: x:all/p1 = x:all/p1 = x:all/p1: one photo twice in x:all; their labels differ"
    ]


def _jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


CHANGES = {
    "smaller": lambda i: cv2.resize(i, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "larger": lambda i: cv2.resize(i, None, fx=1.7, fy=1.7),
    "recompressed": lambda i: _jpeg(i, 40),
    "brighter": lambda i: np.clip(i.astype(int) + 25, 0, 255).astype(np.uint8),
    "flatter": lambda i: (i * 0.6 + 40).astype(np.uint8),
    "grey": lambda i: cv2.cvtColor(cv2.cvtColor(i, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB),
    "cut": lambda i: i[2:-2, 2:-2],
    "framed": lambda i: cv2.copyMakeBorder(
        cv2.copyMakeBorder(i, 9, 9, 20, 20, cv2.BORDER_CONSTANT, value=(255, 255, 255)),
        *(30, 12, 14, 14, cv2.BORDER_CONSTANT),
        value=(127, 127, 127),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found_and_nothing_else(change: str) -> None:
    photos = [pattern(seed, (160, 130)) for seed in range(30)]
    copies = [np.ascontiguousarray(CHANGES[change](p)) for p in photos[:10]]
    thumbs = np.stack([_similar.thumb(p) for p in (*photos, *copies)])
    found = {(i, j): (score, mirrored) for i, j, score, mirrored in _similar.find_alike(thumbs)}
    assert set(found) == {(i, 30 + i) for i in range(10)}
    assert all(score >= 0.86 and not mirrored for score, mirrored in found.values())


def test_frames_do_not_make_pictures_alike() -> None:
    framed = [
        np.pad(pattern(seed, (40, 40)), ((60, 60), (60, 60), (0, 0)), constant_values=127)
        for seed in range(12)
    ]
    thumbs = np.stack([_similar.thumb(p) for p in framed])
    assert list(_similar.find_alike(thumbs)) == []


def test_plain_pictures_are_not_trimmed() -> None:
    plain = np.full((40, 30), 9, np.uint8)
    whole = (slice(0, 40), slice(0, 30))
    assert _similar.trim_frame(plain) == whole
    plain[18:22, 14:16] = 250  # a small thing on it
    assert _similar.trim_frame(plain) == whole
    slope = np.tile(np.arange(0, 240, 6, dtype=np.uint8)[:, None], (1, 30))
    assert _similar.trim_frame(slope) == whole  # rows are plain, but not of one bar


def test_mirrored_copies_are_found() -> None:
    photos = [pattern(seed) for seed in range(12)]
    mirrored = [np.ascontiguousarray(p[:, ::-1]) for p in photos[:3]]
    thumbs = np.stack([_similar.thumb(p) for p in (*mirrored, *photos)])
    assert [(i, j, m) for i, j, _, m in _similar.find_alike(thumbs)] == [
        (i, 3 + i, True) for i in range(3)
    ]


def test_pairs_are_found_across_blocks_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    thumbs = np.stack([_similar.thumb(pattern(seed % 7)) for seed in range(14)])
    whole = list(_similar.find_alike(thumbs))
    monkeypatch.setattr(_similar, "_ROWS", 3)
    assert list(_similar.find_alike(thumbs)) == whole
    assert [(i, j) for i, j, *_ in whole] == [(i, i + 7) for i in range(7)]


def test_hashes_differ_in_as_many_bits_as_python_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(3)
    hashes = rng.integers(0, 1 << 63, 9, dtype=np.uint64)
    wanted = [[bin(int(a) ^ int(b)).count("1") for b in hashes] for a in hashes]
    assert _similar._distances(hashes, hashes).tolist() == wanted
    assert _similar.count_bits(hashes[:, None] ^ hashes).tolist() == wanted
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert _similar._distances(hashes, hashes).tolist() == wanted


def test_one_colour_is_like_the_same_colour_only() -> None:
    red, dark = (np.full((48, 48), v, np.uint8) for v in (200, 90))
    busy = _similar.thumb(pattern(4))
    assert _similar.likeness(red, red) == 1.0
    assert _similar.likeness(red, dark) == 0.0
    assert _similar.likeness(red, busy) == 0.0
    assert _similar.likeness(busy, busy) == pytest.approx(1.0, abs=1e-5)


def test_near_and_mirrored_twins_are_told_with_their_splits() -> None:
    near = Sample("near", (pattern(1) * 0.8).astype(np.uint8), face_ids())
    flipped = Sample("flipped", np.ascontiguousarray(pattern(2)[:, ::-1]), face_ids())
    one = data_check.check_set("a:train", Listed([sample(1), sample(2)]))
    other = data_check.check_set("a:test", Listed([near, flipped]))
    twins = data_check.find_twins([*one.looks, *other.looks])
    assert [(t.kind, t.names, t.across, t.same_labels) for t in twins] == [
        ("near-identical", ("a:train/p1", "a:test/near"), True, None),
        ("mirrored", ("a:train/p2", "a:test/flipped"), True, None),
    ]
    errors = list(data_check.errors_of([one, other], twins))
    assert len(errors) == 2
    assert all("one photo in a:train and a:test" in e for e in errors)


# --- people, left out ----------------------------------------------------------------------------


def test_people_in_two_splits_are_told_within_one_dataset_only() -> None:
    one = data_check.check_set("a:train", Listed([sample(1, subject="ann")]))
    two = data_check.check_set("a:test", Listed([sample(2, subject="ann")]))
    other = data_check.check_set("b:test", Listed([sample(3, subject="ann")]))
    told = [w for w in data_check.warnings_of([one, two, other], []) if "people" in w]
    assert told == ["a:train and a:test: 1 people in both, such as ann"]


def test_what_the_adapter_leaves_out_is_told() -> None:
    dataset = Listed([sample(1)], left_out={"x": "no label"})
    check = data_check.check_set("a:all", dataset)
    assert "a:all/x: left out by the adapter: no label" in data_check.warnings_of([check], [])


# --- the contact sheet ---------------------------------------------------------------------------


def test_tiles_show_colours_stripes_and_boxes() -> None:
    image = np.full((40, 20, 3), 100, np.uint8)
    ids = np.zeros((40, 20), np.uint8)
    ids[:20], ids[30:] = 1, IGNORE
    tile = contact_sheet.label_tile(image, ids, LFW3, "a", opacity=1.0, size_px=40)
    assert tile.image[5, 20].tolist() == list(LFW3.colors[1])
    assert tile.image[25, 20].tolist() == list(LFW3.colors[0])
    assert (tile.image[30:, 10:30] == (255, 0, 255)).all(axis=2).any()
    assert not (tile.image[:, :10] == (255, 0, 255)).all(axis=2).any()  # the padding is no doubt
    see_through = contact_sheet.label_tile(image, ids, LFW3, "a", opacity=0.5, size_px=40)
    assert see_through.image[25, 20].tolist() == [100] * 3
    boxed = contact_sheet.box_tile(image, np.float32([[0, 10, 10, 30]]), "b", size_px=40)
    assert boxed.image[10, 12].tolist() == [255, 0, 160]


def test_sheets_grow_with_their_tiles() -> None:
    tiles = [contact_sheet.Tile(pattern(i, (30, 30)), "x" * 40 + "é") for i in range(5)]
    page = contact_sheet.sheet(tiles, CELEBA19, columns=3)
    assert page.dtype == np.uint8
    assert page.shape[1] == 3 * 36 + 6
    assert page.shape[0] > 2 * 30
    assert contact_sheet.sheet([]).shape[2] == 3
    with pytest.raises(ValueError, match="columns: got 0"):
        contact_sheet.sheet(tiles, columns=0)
