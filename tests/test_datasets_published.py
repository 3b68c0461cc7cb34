"""Adapters of published sets: what their layouts ask for beyond the contract, and every refusal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dataset_folders import (
    draw,
    save,
    write_cofw_masks,
    write_easyportrait,
    write_figaro_published,
    write_helen,
    write_helen_original,
    write_ibugmask,
    write_lapa,
    write_lfw_parts,
    write_nprportrait,
)
from faceparts.datasets import (
    cofw_masks,
    easyportrait,
    fasseg,
    figaro,
    helen,
    helen_original,
    ibugmask,
    lapa,
    lfw_parts,
    nprportrait,
)
from faceparts.errors import BadData
from faceparts.labels import LAPA11, LFW3
from faceparts.types import IGNORE

GREY = np.full((2, 3, 3), 90, np.uint8)


def test_lapa_landmarks(tmp_path: Path) -> None:
    write_lapa(tmp_path, "train", "1", draw(1))
    points = lapa.load(tmp_path, "train").landmarks(0)
    assert points.shape == (106, 2)
    assert points.dtype == np.float32
    np.testing.assert_allclose(points[:68], draw(1).marks, atol=1e-3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"1\.txt: missing; unpack the set again"),
        ("106\n1 2\n", r"1\.txt: not a landmark file of 106 points"),
        ("", r"1\.txt: not a landmark file of 106 points"),
        ("x", r"1\.txt: not a landmark file of 106 points"),
        ("105\n" + "1 2\n" * 106, r"wanted the count 106 and finite points; got count 105"),
        ("106\n" + "1 nan\n" * 106, r"wanted the count 106 and finite points"),
    ],
)
def test_lapa_landmarks_that_do_not_read(text: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "1.txt"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadData, match=message):
        lapa.read_landmarks(path)


def test_lapa_all_is_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="no train, val or test in it"):
        lapa.load(tmp_path, "all")
    write_lapa(tmp_path, "val", "1", draw(1))
    write_lapa(tmp_path, "test", "1", draw(2))
    every = lapa.load(tmp_path, "all")
    assert [p.key for p in every.pairs] == ["val/1", "test/1"]
    assert np.isfinite(every.landmarks(1)).all()


def test_helen_leaves_the_viewing_copies_alone_and_wants_labels(tmp_path: Path) -> None:
    write_helen(tmp_path, "train", "1", draw(1))
    assert [p.key for p in helen.load(tmp_path, "train").pairs] == ["1"]
    (tmp_path / "train" / "1_label.png").unlink()
    with pytest.raises(BadData, match=r"1_image\.jpg: no label file 1_label\.png beside it"):
        helen.load(tmp_path, "train")


def test_helen_tells_the_first_release_where_to_go(tmp_path: Path) -> None:
    write_helen_original(tmp_path, "train", "1", draw(1))
    with pytest.raises(BadData, match=r"train: no \*_image\.jpg in it; .*read by helen_original"):
        helen.load(tmp_path, "train")


def maps(root: Path, *rows: list[int]) -> Path:
    """A 1 x N map a part; parts without a row are 0 everywhere."""
    folder = root / "9_1"
    for i in range(11):
        row = rows[i] if i < len(rows) else [0] * len(rows[0])
        save(folder / f"9_1_lbl{i:02d}.png", np.uint8([row]))
    return folder


def test_helen_takes_the_most_probable_part(tmp_path: Path) -> None:
    """Sure; 100 against 155; a tie, where the lower id wins; nothing known."""
    folder = maps(tmp_path, [255, 100, 0, 0], [0, 155, 127, 0], [0, 0, 127, 0])
    assert helen_original.most_probable(folder).tolist() == [[0, 1, 1, IGNORE]]


def test_helen_maps_that_do_not_fit(tmp_path: Path) -> None:
    folder = maps(tmp_path, [255, 0])
    save(folder / "9_1_lbl07.png", np.zeros((2, 2), np.uint8))
    with pytest.raises(BadData, match=r"9_1_lbl07\.png: map of 2x2 pixels; the others .* have 2x1"):
        helen_original.most_probable(folder)
    (folder / "9_1_lbl07.png").unlink()
    with pytest.raises(BadData, match=r"9_1_lbl07\.png: missing; every picture has 11 maps"):
        helen_original.most_probable(folder)


@pytest.mark.parametrize("gone", ["images/1.jpg", "labels/1"])
def test_helen_lists_name_what_is_missing(gone: str, tmp_path: Path) -> None:
    write_helen_original(tmp_path, "val", "1", draw(1))
    (tmp_path / gone).rename(tmp_path / "gone")
    with pytest.raises(BadData, match=rf"{gone}: missing, but in tuning\.txt; unpack"):
        helen_original.load(tmp_path, "val")


def test_helen_without_its_lists(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"testing\.txt: missing; give the folder that holds images"):
        helen_original.load(tmp_path, "test")


def test_ibugmask_keeps_the_turned_copies_of_a_photo_together(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_ibugmask(tmp_path, split, "12_1", draw(1))
    for name in ("12_1_05", "7"):
        save(tmp_path / "train" / f"{name}.jpg", GREY)
        save(tmp_path / "train" / f"{name}.png", np.zeros((2, 3), np.uint8))
    people = {p.key: p.subject for p in ibugmask.load(tmp_path, "train").pairs}
    assert people == {"12_1_00": "12_1", "12_1_05": "12_1", "7": None}
    assert [p.subject for p in ibugmask.load(tmp_path, "test").pairs] == [None]


def lfw(root: Path, colours: list[tuple[int, int, int]]) -> lfw_parts.PairDataset:
    save(root / "lfw_funneled" / "A_B" / "A_B_0012.jpg", np.zeros((1, len(colours), 3), np.uint8))
    save(root / "parts_lfw_funneled_gt_images" / "A_B_0012.ppm", np.uint8([colours]))
    (root / "parts_train.txt").write_text("A_B 12\n")
    return lfw_parts.load(root, "train")


def test_lfw_paints(tmp_path: Path) -> None:
    sample = lfw(tmp_path, [(255, 0, 0), (0, 255, 0), (0, 0, 255)])[0]
    assert sample.labels.tolist() == [[LFW3.id("hair"), LFW3.id("face"), 0]]
    assert (sample.key, sample.subject) == ("A_B_0012", "A_B")


def test_lfw_paint_that_is_none(tmp_path: Path) -> None:
    dataset = lfw(tmp_path, [(255, 0, 0), (254, 0, 0)])
    with pytest.raises(BadData, match=r"A_B_0012\.ppm: colour 254,0,0 at x 1, y 0 is none"):
        dataset[0]


@pytest.mark.parametrize(
    ("gone", "archive"),
    [
        ("lfw_funneled/A_B/A_B_0012.jpg", r"lfw-funneled\.tgz"),
        ("parts_lfw_funneled_gt_images/A_B_0012.ppm", r"parts_lfw_funneled_gt_images\.tgz"),
    ],
)
def test_lfw_says_which_archive_to_unpack(gone: str, archive: str, tmp_path: Path) -> None:
    lfw(tmp_path, [(255, 0, 0)])
    (tmp_path / gone).unlink()
    with pytest.raises(
        BadData, match=rf"{gone}: missing, but in parts_train\.txt; unpack {archive}"
    ):
        lfw_parts.load(tmp_path, "train")


def test_lfw_lists(tmp_path: Path) -> None:
    lfw(tmp_path, [(255, 0, 0)])
    with pytest.raises(BadData, match=r"parts_validation\.txt: missing; get it from the makers'"):
        lfw_parts.load(tmp_path, "val")
    assert len(lfw_parts.load(tmp_path, "all")) == 1
    (tmp_path / "parts_train.txt").write_text("A_B x\n")
    with pytest.raises(BadData, match=r"parts_train\.txt: A_B x: wanted a name and a number"):
        lfw_parts.load(tmp_path, "train")
    write_lfw_parts(tmp_path, "test", "1", draw(1))
    (tmp_path / "parts_train.txt").write_text("A_B 12\n")
    assert [p.key for p in lfw_parts.load(tmp_path, "all").pairs] == ["A_B_0012", "Ann_Other_0001"]


def test_easyportrait_people(tmp_path: Path) -> None:
    for key in ("1", "2"):
        write_easyportrait(tmp_path, "val", key, draw(1))
    people = [p.subject for p in easyportrait.load(tmp_path, "val").pairs]
    assert people == ["user-1", "user-2"]
    (tmp_path / "annotations" / "meta.csv").unlink()
    assert [p.subject for p in easyportrait.load(tmp_path, "val").pairs] == [None, None]
    (tmp_path / "meta.csv").write_text("\tattachment_id\tuser_id\n0\t2\tu7\n1\t1\t\n")
    assert [p.subject for p in easyportrait.load(tmp_path, "val").pairs] == [None, "u7"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (b"id,user\n1,2\n", r"meta\.csv: no columns attachment_id and user_id"),
        (b"", r"meta\.csv: no columns"),
        (b"\xff\xfe", r"meta\.csv: not a text file"),
    ],
)
def test_easyportrait_tables_that_do_not_read(table: bytes, message: str, tmp_path: Path) -> None:
    write_easyportrait(tmp_path, "val", "1", draw(1))
    (tmp_path / "annotations" / "meta.csv").write_bytes(table)
    with pytest.raises(BadData, match=message):
        easyportrait.load(tmp_path, "val")


def test_easyportrait_table_of_another_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_easyportrait(tmp_path, "val", "1", draw(1))
    monkeypatch.setattr(easyportrait, "MAX_BYTES", 3)
    with pytest.raises(BadData, match=r"meta\.csv: over 3 bytes; is it the right file\?"):
        easyportrait.load(tmp_path, "val")


def test_cofw_numbers_count_as_numbers_and_want_photos(tmp_path: Path) -> None:
    for key in ("10", "9", "1"):
        write_cofw_masks(tmp_path, "all", key, draw(1))
    assert [p.key for p in cofw_masks.load(tmp_path, "all").pairs] == ["1", "9", "10"]
    (tmp_path / "images" / "9.png").rename(tmp_path / "images" / "9.jpg")
    assert len(cofw_masks.load(tmp_path, "all")) == 3
    (tmp_path / "images" / "9.jpg").unlink()
    with pytest.raises(BadData, match=r"mask_9\.png: no picture 9\.png or 9\.jpg in .*COFW_train"):
        cofw_masks.load(tmp_path, "all")


def test_figaro_leaves_stray_copies_alone(tmp_path: Path) -> None:
    write_figaro_published(tmp_path, "train", "1", draw(1))
    (tmp_path / "GT" / "Training" / "Frame00001-gt(1).pbm").write_bytes(b"")
    assert [p.key for p in figaro.load(tmp_path, "train").pairs] == ["training/Frame00001"]
    (tmp_path / "GT" / "Training" / "Frame00001-gt.pbm").unlink()
    with pytest.raises(BadData, match=r"Frame00001-org\.jpg: no mask Frame00001-gt\.pbm"):
        figaro.load(tmp_path, "train")
    with pytest.raises(BadData, match=r"Testing: no \*-org\.jpg in it; unpack Figaro1k\.zip"):
        figaro.load(tmp_path, "test")


def test_figaro_in_one_folder_has_no_splits(tmp_path: Path) -> None:
    with pytest.raises(
        BadData, match=r"no Original/Testing in it; one folder has split 'all' only"
    ):
        figaro.load(tmp_path, "test")


def test_nprportrait_counts_a_photo_once(tmp_path: Path) -> None:
    write_nprportrait(tmp_path, "v1.0", "a", draw(1))
    write_nprportrait(tmp_path, "v0.1", "b", draw(1))  # the same photo
    write_nprportrait(tmp_path, "v0.1", "c", draw(2))
    every = nprportrait.load(tmp_path, "all")
    assert [p.key for p in every.pairs] == ["v1.0/level1/a", "v0.1/level1/c"]
    assert every.left_out == {"v0.1/level1/b": "the same photo as v1.0/level1/a"}
    assert len(nprportrait.load(tmp_path, "v0.1")) == 2


def test_nprportrait_of_one_version_and_without_photos(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"segmentations: no v0\.1 or v1\.0"):
        nprportrait.load(tmp_path, "all")
    write_nprportrait(tmp_path, "v0.1", "b", draw(1))
    assert len(nprportrait.load(tmp_path, "all")) == 1
    photo = tmp_path / "images" / "v0.1" / "level1" / "b.png"
    photo.rename(photo.with_suffix(".jpg"))
    assert len(nprportrait.load(tmp_path, "all")) == 1
    photo.with_suffix(".jpg").unlink()
    with pytest.raises(BadData, match=r"b\.png: no photo .*b\.png or \.jpg; get the images"):
        nprportrait.load(tmp_path, "v0.1")


def test_every_nprportrait_paint_is_its_class(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.uint8([list(nprportrait.PAINT.values())]))
    assert nprportrait.decode(path).tolist() == [list(range(15))]
    assert tuple(nprportrait.PAINT) == nprportrait.NPRPORTRAIT15.parts


def test_fasseg_as_published(tmp_path: Path) -> None:
    for part, names in (("Train", ("14", "15")), ("Test", ("26",))):
        for name in names:
            for kind in ("RGB", "Labels"):
                save(tmp_path / "V2" / f"{part}_{kind}" / f"{name}.bmp", GREY)
    assert [p.key for p in fasseg.load(tmp_path, "v2-train").pairs] == ["v2/14"]
    published = fasseg.load(tmp_path, "v2-train", clean=False)
    assert [p.key for p in published.pairs] == ["v2/14", "v2/15"]
    assert published.left_out == {}


def test_fasseg_labels_that_changed_size(tmp_path: Path) -> None:
    for kind in ("RGB", "Labels"):
        save(tmp_path / "V2" / f"Test_{kind}" / "1.bmp", GREY)
    dataset = fasseg.load(tmp_path, "v2-test")
    save(tmp_path / "V2" / "Test_Labels" / "1.bmp", np.zeros((4, 5, 3), np.uint8))
    with pytest.raises(BadData, match=r"1\.bmp: 5x4 labels for a picture of 3x2"):
        dataset[0]


def test_lapa_ids_out_of_range(tmp_path: Path) -> None:
    write_lapa(tmp_path, "test", "1", draw(1))
    ids = np.zeros(draw(1).ids.shape, np.uint8)
    ids[3, 4] = 11
    save(tmp_path / "test" / "labels" / "1.png", ids)
    with pytest.raises(
        BadData, match=r"1\.png: label 11 is not in lapa11_viewers \(0\.\.10 or 255"
    ):
        lapa.load(tmp_path, "test")[0]
    assert LAPA11.parts[10] == "hair"
