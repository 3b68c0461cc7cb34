"""FASSEG: drawn pictures in the published layout."""

import numpy as np
import pytest
from PIL import Image

from faceparts.datasets import fasseg
from faceparts.errors import BadData
from faceparts.labels import FASSEG6

RED, YELLOW, BROWN, BLUE = (255, 0, 0), (255, 255, 0), (127, 0, 0), (0, 0, 255)


def draw(path, colours, size_wh=(4, 3)):
    """A picture whose columns take the colours in turn."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    for x in range(size_wh[0]):
        pixels[:, x] = colours[x % len(colours)]
    Image.fromarray(pixels).save(path)


def add(root, version, part, name, *, suffix=".bmp", label=True, label_wh=(4, 3), word="Labels"):
    draw(root / version / f"{part}_RGB" / f"{name}{suffix}", [(9, 90, 200)])
    (root / version / f"{part}_{word}").mkdir(parents=True, exist_ok=True)
    if label:
        draw(root / version / f"{part}_{word}" / f"{name}.bmp", [RED, YELLOW, BROWN], label_wh)


def test_one_sample(tmp_path):
    add(tmp_path, "V2", "Test", "7")
    data = fasseg.load(tmp_path, "v2-test")
    assert len(data) == 1
    assert data.label_set is FASSEG6
    sample = data[0]
    assert (sample.key, sample.subject) == ("v2/7", None)
    np.testing.assert_array_equal(sample.image, np.full((3, 4, 3), (9, 90, 200)))
    background, skin, hair = (FASSEG6.id(p) for p in ("background", "skin", "hair"))
    np.testing.assert_array_equal(sample.labels, [[background, skin, hair, background]] * 3)


def test_every_paint_is_its_class():
    painted = np.uint8([[fasseg.PAINT[p] for p in FASSEG6.parts]])
    assert fasseg.decode_paint(painted).tolist() == [[0, 1, 2, 3, 4, 5]]


def test_soft_borders_are_ignored():
    mixed = np.uint8(np.linspace(YELLOW, BLUE, 11)[None])
    ids = fasseg.decode_paint(mixed)[0].tolist()
    skin, eyes = FASSEG6.id("skin"), FASSEG6.id("eyes")
    assert ids == [skin, skin, *[255] * 7, eyes, eyes]


def test_background_and_hair_are_never_mistaken_for_each_other():
    mixed = np.uint8(np.round(np.linspace(RED, BROWN, 65))[None])
    ids = fasseg.decode_paint(mixed)[0]
    assert set(ids[:32].tolist()) <= {FASSEG6.id("background"), 255}
    assert set(ids[33:].tolist()) <= {FASSEG6.id("hair"), 255}


def test_numbers_count_as_numbers(tmp_path):
    for name in ("10", "9", "1"):
        add(tmp_path, "V1", "Test", name)
    assert [p.key for p in fasseg.load(tmp_path, "v1-test").pairs] == ["v1/1", "v1/9", "v1/10"]


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_training_photos_that_are_test_photos_are_left_out(tmp_path, version):
    for name in ("14", "15", "20"):
        add(tmp_path, version, "Train", name)
    data = fasseg.load(tmp_path, f"{version.lower()}-train")
    assert [p.key for p in data.pairs] == [f"{version.lower()}/14"]
    assert data.left_out == {
        "15": "the same photo as test 26",
        "20": "the same photo as test 44",
    }


def test_test_photos_of_those_numbers_stay(tmp_path):
    add(tmp_path, "V2", "Test", "15")
    assert len(fasseg.load(tmp_path, "v2-test")) == 1


def test_v3_names_its_people_and_what_it_lacks(tmp_path):
    kwargs = {"word": "labels"}
    add(tmp_path, "V3", "Test", "+60/personne10250+0+60", label_wh=(5, 3), **kwargs)
    add(tmp_path, "V3", "Test", "0/personne08146+0+0", **kwargs)
    add(tmp_path, "V3", "Test", "+15/personne09147+0+15", label=False, **kwargs)
    draw(tmp_path / "V3/Test_labels/-30/personne11144+0-30.bmp", [RED])
    (tmp_path / "V3/Test_labels/.DS_Store").write_bytes(b"")
    data = fasseg.load(tmp_path, "v3-test")
    assert [(p.key, p.subject) for p in data.pairs] == [("v3/0/personne08146+0+0", "personne08")]
    assert data.left_out == {
        "+60/personne10250+0+60": "photo 4x3, label 5x3 pixels",
        "+15/personne09147+0+15": "a photo without a label",
        "-30/personne11144+0-30": "a label without a photo",
    }


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".BMP"])
def test_other_file_kinds_with_the_same_names(tmp_path, suffix):
    add(tmp_path, "V2", "Test", "1", suffix=suffix)
    assert fasseg.load(tmp_path, "v2-test")[0].image.shape == (3, 4, 3)


def test_unknown_split(tmp_path):
    with pytest.raises(BadData, match=r"fasseg: no split 'test'; there are: v1-train"):
        fasseg.load(tmp_path, "test")


def test_missing_folder(tmp_path):
    with pytest.raises(BadData, match=r"Test_RGB: no such folder; give the folder that holds V1"):
        fasseg.load(tmp_path, "v2-test")


def test_two_files_of_one_name(tmp_path):
    add(tmp_path, "V2", "Test", "1")
    add(tmp_path, "V2", "Test", "1", suffix=".png")
    with pytest.raises(BadData, match=r"1\.png: there is 1\.bmp too"):
        fasseg.load(tmp_path, "v2-test")


def test_no_labelled_photo(tmp_path):
    add(tmp_path, "V2", "Test", "1", label=False)
    with pytest.raises(BadData, match=r"V2: no photo with a label of its size in v2-test"):
        fasseg.load(tmp_path, "v2-test")


def test_a_damaged_file(tmp_path):
    add(tmp_path, "V2", "Test", "1")
    (tmp_path / "V2/Test_RGB/1.bmp").write_bytes(b"BM no picture")
    with pytest.raises(BadData, match=r"1\.bmp: not a readable picture"):
        fasseg.load(tmp_path, "v2-test")


def test_a_file_that_went_away(tmp_path):
    add(tmp_path, "V2", "Test", "1")
    data = fasseg.load(tmp_path, "v2-test")
    (tmp_path / "V2/Test_RGB/1.bmp").unlink()
    with pytest.raises(BadData, match=r"1\.bmp: missing or not a picture"):
        data[0]
