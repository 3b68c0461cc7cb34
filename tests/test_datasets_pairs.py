"""What the adapters of pictures with label files share: every refusal, on drawn files."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PilImage

from dataset_folders import save
from faceparts.datasets import _pairs, celebamask, facecrops, facesynthetics, figaro
from faceparts.errors import BadData
from faceparts.labels import CELEBA19, HAIR2, LFW3
from faceparts.types import IGNORE

GREEN = np.full((2, 3, 3), (10, 200, 30), np.uint8)
IDS = np.uint8([[0, 1, 2], [18, IGNORE, 4]])


def test_ids_come_back_as_stored_from_grey_and_palette(tmp_path: Path) -> None:
    grey = save(tmp_path / "grey.png", IDS)
    assert _pairs.read_ids(grey).tolist() == IDS.tolist()
    with_palette = PilImage.fromarray(IDS).convert("P")
    with_palette.putpalette([(i * 7) % 256 for i in range(768)])
    with_palette.putdata(IDS.ravel().tolist())
    with_palette.save(tmp_path / "palette.png")
    with PilImage.open(tmp_path / "palette.png") as file:
        assert file.mode == "P"
    assert _pairs.read_ids(tmp_path / "palette.png").tolist() == IDS.tolist()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "1", "I;16"])
def test_labels_of_another_kind(mode: str, tmp_path: Path) -> None:
    PilImage.new(mode, (3, 2)).save(tmp_path / "a.png")
    with pytest.raises(BadData, match=rf"a\.png: mode {mode}; wanted a palette or grey"):
        _pairs.read_ids(tmp_path / "a.png")


def test_labels_that_are_missing_or_no_picture(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"a\.png: not a readable label picture"):
        _pairs.read_ids(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(b"hello")
    with pytest.raises(BadData, match=r"a\.png: not a readable label picture"):
        _pairs.read_ids(tmp_path / "a.png")


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cut=st.integers(0, 200), at=st.integers(0, 120), byte=st.integers(0, 255))
def test_damaged_labels_are_bad_data_or_labels(
    cut: int, at: int, byte: int, tmp_path: Path
) -> None:
    path = save(tmp_path / "a.png", np.arange(48, dtype=np.uint8).reshape(6, 8))
    data = bytearray(path.read_bytes())
    data[at % len(data)] = byte
    path.write_bytes(bytes(data[: len(data) - cut % len(data)]))
    try:
        assert _pairs.read_ids(path).dtype == np.uint8
    except BadData as error:
        assert "a.png: " in str(error)


def test_colours_are_rgb(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", GREEN)
    assert np.array_equal(_pairs.read_rgb(path), GREEN)
    grey = save(tmp_path / "b.png", IDS)
    assert _pairs.read_rgb(grey).shape == (2, 3, 3)


def test_pictures_with_more_pixels_than_are_decoded(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", GREEN)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 60000, 60000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    with pytest.raises(BadData, match=r"a\.png: too large to decode"):
        _pairs.read_rgb(path)
    with pytest.raises(BadData, match=r"a\.png: not a readable label picture"):
        _pairs.read_ids(path)


@pytest.mark.parametrize("data", [None, b"", b"no picture"])
def test_pictures_that_are_missing_or_none(data: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(BadData, match=r"a\.jpg: missing or not a picture"):
        _pairs.read_rgb(path)


def test_pairs_are_sorted_and_other_files_left_alone(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.jpg", "notes.txt", "c.png"):
        (tmp_path / name).touch()
    (tmp_path / "labels").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "labels" / name).touch()
    pairs = _pairs.find_pairs(tmp_path, tmp_path / "labels")
    assert [(p.key, p.image.name, p.labels.name) for p in pairs] == [
        ("a", "a.jpg", "a.png"),
        ("b", "b.JPG", "b.png"),
    ]


def test_folders_that_hold_no_pairs(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(BadData, match="masks: no such folder"):
        _pairs.find_pairs(tmp_path / "images", tmp_path / "masks")
    with pytest.raises(BadData, match="pictures: no such folder"):
        _pairs.find_pairs(tmp_path / "pictures", tmp_path / "images")
    with pytest.raises(BadData, match=r"images: no pictures \(\.jpg\) in it"):
        _pairs.find_pairs(tmp_path / "images", tmp_path)
    (tmp_path / "images" / "7.jpg").touch()
    with pytest.raises(BadData, match=r"7\.jpg: no label file 7\.png beside it"):
        _pairs.find_pairs(tmp_path / "images", tmp_path)


def test_a_check_goes_on_after_a_missing_label_file(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg", "masks/b.png"):
        (tmp_path / name).touch()
    gaps: list[_pairs.Gap] = []
    pairs = _pairs.find_pairs(tmp_path, tmp_path / "masks", gaps=gaps)
    assert [pair.key for pair in pairs] == ["b"]
    assert [gap.key for gap in gaps] == ["a", "c"]
    assert "no label file c.png beside it" in gaps[1].reason
    with pytest.raises(BadData, match=r"no label file a\.png beside it"):
        _pairs.find_pairs(tmp_path, tmp_path / "masks")


def one_pair(root: Path, ids: np.ndarray, rest: int = IGNORE) -> _pairs.PairDataset:
    """One green picture with labels; lfw3 asked for."""
    pair = _pairs.Pair("a", save(root / "a.png", GREEN), save(root / "ids.png", ids), "me")
    return _pairs.PairDataset((pair,), CELEBA19, LFW3, _pairs.read_ids, rest)


def test_labels_are_translated(tmp_path: Path) -> None:
    face, hair, hat = LFW3.id("face"), CELEBA19.id("hair"), CELEBA19.id("hat")
    ids = np.uint8([[0, CELEBA19.id("nose"), hair], [hat, IGNORE, 0]])
    sample = one_pair(tmp_path, ids)[0]
    assert sample.labels.tolist() == [[0, face, LFW3.id("hair")], [IGNORE, IGNORE, 0]]
    assert (sample.key, sample.subject) == ("a", "me")
    sample = one_pair(tmp_path, ids, rest=0)[0]
    assert sample.labels.tolist() == [[0, face, LFW3.id("hair")], [0, IGNORE, 0]]


def test_labels_of_another_size(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"ids\.png: 2x3 labels for a picture of 3x2"):
        one_pair(tmp_path, IDS.T.copy())[0]


def test_labels_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"label 19 is not in celeba19 \(0\.\.18 or 255\)"):
        one_pair(tmp_path, np.uint8([[0, 1, 2], [18, IGNORE, 19]]))[0]


def test_celebamask_splits_lie_apart(tmp_path: Path) -> None:
    for split, key in (("train", "1"), ("val", "2")):
        save(tmp_path / split / "images" / f"{key}.jpg", GREEN)
        save(tmp_path / split / "masks" / f"{key}.png", IDS)
    assert celebamask.load(tmp_path, "train")[0].key == "1"
    assert celebamask.load(tmp_path, "val")[0].key == "2"


def test_facecrops_by_folder_or_all(tmp_path: Path) -> None:
    for name, key in (("b", "1"), ("a", "1"), ("a", "0")):
        save(tmp_path / name / f"{key}.jpg", GREEN)
        save(tmp_path / name / f"{key}.png", IDS)
    crops = facecrops.load(tmp_path, "all")
    assert [p.key for p in crops.pairs] == ["a/0", "a/1", "b/1"]
    assert [p.key for p in facecrops.load(tmp_path, "b").pairs] == ["b/1"]
    with pytest.raises(BadData, match="facecrops: no split 'c'; there are: all, a, b"):
        facecrops.load(tmp_path, "c")
    (tmp_path / "c").mkdir()
    with pytest.raises(BadData, match=r"c: no pictures"):
        facecrops.load(tmp_path, "all")


def test_facecrops_without_folders(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="no folders in it; the crops lie in folders below"):
        facecrops.load(tmp_path, "all")
    with pytest.raises(BadData, match="x: no such folder"):
        facecrops.load(tmp_path / "x", "all")


def test_facesynthetics_takes_png_before_jpg(tmp_path: Path) -> None:
    save(tmp_path / "000001_seg.png", IDS)
    save(tmp_path / "000001.jpg", GREEN)
    assert facesynthetics.load(tmp_path, "all").pairs[0].image.name == "000001.jpg"
    save(tmp_path / "000001.png", GREEN)
    (pair,) = facesynthetics.load(tmp_path, "all").pairs
    assert (pair.key, pair.image.name) == ("000001", "000001.png")


def test_facesynthetics_without_labels_or_pictures(tmp_path: Path) -> None:
    save(tmp_path / "000001.png", GREEN)
    with pytest.raises(BadData, match=r"no \*_seg\.png in it"):
        facesynthetics.load(tmp_path, "all")
    save(tmp_path / "000002_seg.png", IDS)
    with pytest.raises(BadData, match=r"000002_seg\.png: no picture 000002\.png or 000002\.jpg"):
        facesynthetics.load(tmp_path, "all")


def test_figaro_hair_is_255(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg", GREEN)
    save(tmp_path / "a.png", np.uint8([[0, 255, 255], [0, 0, 255]]))
    hair = figaro.load(tmp_path, "all")
    assert hair.label_set is HAIR2
    assert hair[0].labels.tolist() == [[0, 1, 1], [0, 0, 1]]
    save(tmp_path / "a.png", np.uint8([[0, 255, 254], [0, 0, 255]]))
    with pytest.raises(BadData, match=r"a\.png: values other than 0 and 255 in a hair mask"):
        hair[0]
