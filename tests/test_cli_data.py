"""``faceparts data ...``: every verb as a process, every refusal by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PilImage

from cli_world import Done, call, call_process, decode, encode, make_card, make_net, make_photo
from data_world import face_ids, pattern, save_pair, save_set
from dataset_folders import draw, write_coco_keypoints
from faceparts.cli import _data_folder, _data_pseudolabel
from faceparts.datasets import facecrops, fasseg, pairs
from faceparts.errors import BadData, UnwritableOutput
from faceparts.labels import CELEBA19, FASSEG6, LFW3
from faceparts.types import IGNORE

SKIN, HAIR = CELEBA19.id("skin"), CELEBA19.id("hair")
PAINT = np.uint8([fasseg.PAINT[part] for part in FASSEG6.parts])


def data(*arguments: object) -> Done:
    return call("data", *arguments)


def read_report(folder: Path) -> Any:
    return json.loads((folder / "report.json").read_text("utf-8"))


# --- list ----------------------------------------------------------------------------------------


def test_list_as_process() -> None:
    done = call_process("data", "list")
    assert done.code == 0, done.err
    text = done.out.decode()
    assert "CelebAMask-HQ" in text
    assert "celebamask" in text
    assert "Maadaa" in text


def test_list_as_json_and_narrowed() -> None:
    every = data("list", "--json").json
    assert {"name", "adapter", "pictures", "terms", "home"} <= set(every[0])
    free = data("list", "--json", "--commercial").json
    assert 0 < len(free) < len(every)
    assert all(entry["commercial_ok"] for entry in free)
    here = data("list", "--json", "--readable").json
    assert all(entry["adapter"] for entry in here)
    assert len(here) < len(every)


def test_list_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from faceparts.cli import _data_list

    monkeypatch.setattr(_data_list, "read_catalogue", tuple)
    assert data("list").out == b"no such set is known\n"


# --- check ---------------------------------------------------------------------------------------


def test_check_as_process(tmp_path: Path) -> None:
    root, look = save_set(tmp_path / "set"), tmp_path / "look.png"
    done = call_process("data", "check", f"celebamask:{root}", "--contact-sheet", look)
    assert done.code == 0, done.out.decode() + done.err
    text = done.out.decode()
    assert "celebamask:train: 3 pictures, 3 good, 0 bad" in text
    assert "celebamask:val: 2 pictures" in text
    assert "not checked: celebamask:test" in text
    assert "left_eye on the subject's left in 3 of 3 pictures (100.0%)" in text
    assert decode(look).shape[2] == 3


def test_check_finds_what_is_wrong(tmp_path: Path) -> None:
    root = save_set(tmp_path)
    (root / "train" / "images" / "t0.jpg").write_bytes(b"x")
    (root / "val" / "images" / "v0.jpg").write_bytes(
        (root / "train" / "images" / "t1.jpg").read_bytes()
    )
    done = data("check", f"celebamask:{root}", "--json")
    assert done.code == 1
    report = done.json
    assert report["status"] == "wrong"
    assert len(report["errors"]) == 2
    assert report["twins"][0]["kind"] == "same file"
    train, val = report["sets"]
    assert train["bad"][0]["key"] == "t0"
    assert train["parts"]["skin"]["pictures"] == 2
    assert val["sides"]["eye"] == {"right_way": 2, "swapped": 0, "share": 1.0}
    text = data("check", f"celebamask:{root}").out.decode()
    assert "WRONG: celebamask:train/t0: " in text
    assert "2 wrong, 3 warnings" in text


def test_check_strict_and_long_lists(tmp_path: Path) -> None:
    for i in range(43):
        save_pair(tmp_path, "train", f"t{i:02}", pattern(i), face_ids(swapped=i != 0))
    done = data("check", f"celebamask:{tmp_path}:train")
    assert done.code == 1  # swapped throughout
    text = done.out.decode()
    assert text.count("left and right swapped") == 40
    assert "warning: and 3 more; --json lists them all" in text
    root = save_set(tmp_path / "good")
    assert data("check", f"celebamask:{root}").code == 0
    assert data("check", f"celebamask:{root}", "--strict").code == 1


def test_check_finds_the_repeated_photos_that_the_adapter_hides(tmp_path: Path) -> None:
    for part, name, seed in (("Train", "15", 1), ("Train", "1", 2), ("Test", "26", 1)):
        for kind, image in (("RGB", pattern(seed)), ("Labels", PAINT[face_ids() % 6])):
            folder = tmp_path / "V2" / f"{part}_{kind}"
            folder.mkdir(parents=True, exist_ok=True)
            PilImage.fromarray(image).save(folder / f"{name}.bmp")
    done = data("check", f"fasseg:{tmp_path}")
    assert done.code == 1
    text = done.out.decode()
    assert "same file: fasseg:v2-train/v2/15 = fasseg:v2-test/v2/26: one photo in" in text
    assert "left out by the adapter: the same photo as test 26" in text


def test_check_of_heads(tmp_path: Path) -> None:
    for name in ("images", "annotations"):
        (tmp_path / "val" / name).mkdir(parents=True)
    (tmp_path / "val" / "images" / "a.jpg").write_bytes(encode(pattern(1), "JPEG"))
    (tmp_path / "val" / "annotations" / "a.xml").write_text(
        "<annotation><object><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax>"
        "</bndbox></object></annotation>"
    )
    look = tmp_path / "look.png"
    done = data("check", f"scut_head:{tmp_path}:val", "--contact-sheet", look, "--json")
    assert done.code == 0, done.err
    (entry,) = done.json["sets"]
    assert (entry["heads"], entry["label_set"]) == (1, None)
    assert look.is_file()
    assert data("check", f"scut_head:{tmp_path}:val").out.decode().startswith("scut_head:val: 1 p")


def test_all_pictures_without_labels_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    root = save_set(tmp_path)
    for name in ("t0", "t2"):
        (root / "train" / "masks" / f"{name}.png").unlink()
    (root / "train" / "images" / "t1.jpg").write_bytes(b"x")
    done = data("check", f"celebamask:{root}")
    assert done.code == 1
    text = done.out.decode()
    assert "celebamask:train: 3 pictures, 0 good, 3 bad" in text
    for name in ("t0", "t2"):
        photo = root / "train" / "images" / f"{name}.jpg"
        assert f"WRONG: celebamask:train/{name}: {photo}: no label file {name}.png beside" in text
    assert "WRONG: celebamask:train/t1: " in text
    assert "celebamask:val: 2 pictures, 2 good" in text
    bad = data("check", f"celebamask:{root}", "--json").json["sets"][0]["bad"]
    assert [one["key"] for one in bad] == ["t0", "t2", "t1"]


def test_damaged_labels_are_each_named_where_sides_are_measured(tmp_path: Path) -> None:
    for i in range(3):
        photo = tmp_path / "train" / "images" / f"{i}.jpg"
        save_pair(tmp_path, "train", str(i), pattern(i), face_ids() % 11)
        assert photo.is_file()
    (tmp_path / "train" / "masks").rename(tmp_path / "train" / "labels")
    for i in range(2):
        (tmp_path / "train" / "labels" / f"{i}.png").write_bytes(b"x")
    (entry,) = data("check", f"lapa:{tmp_path}:train", "--json").json["sets"]
    assert [one["key"] for one in entry["bad"]] == ["train/0", "train/1"]
    assert entry["good"] == 1


def test_a_set_without_any_labels(tmp_path: Path) -> None:
    root, look = save_set(tmp_path / "set"), tmp_path / "look.png"
    for path in (root / "train" / "masks").iterdir():
        path.unlink()
    done = data("check", f"celebamask:{root}:train", "--json", "--contact-sheet", look)
    assert done.code == 1
    (entry,) = done.json["sets"]
    assert (entry["pictures"], entry["good"], len(entry["bad"])) == (3, 0, 3)
    assert len(done.json["errors"]) == 3
    assert decode(look).ndim == 3


def test_what_was_missing_is_named_though_the_set_cannot_be_opened(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    for path in ("a/1.jpg", "a/2.jpg"):
        (tmp_path / path).write_bytes(b"x")
    text = data("check", f"facecrops:{tmp_path}").out.decode()
    assert "WRONG: facecrops:all: " in text
    assert "b: no pictures" in text
    assert "facecrops:all/1: " in text
    assert "facecrops:all/2: " in text


def test_a_split_that_cannot_be_opened_is_wrong(tmp_path: Path) -> None:
    root = save_set(tmp_path)
    alone = data("check", f"celebamask:{root}:test")
    assert alone.code == 1
    assert "WRONG: celebamask:test: " in alone.out.decode()
    empty = tmp_path / "empty"
    empty.mkdir()
    assert data("check", f"celebamask:{empty}").code == 1


def test_the_contact_sheet_is_not_overwritten(tmp_path: Path) -> None:
    root, look = save_set(tmp_path / "set"), tmp_path / "look.png"
    look.write_text("dear")
    arguments = ("check", f"celebamask:{root}:val", "--contact-sheet", look, "--pictures", 1)
    done = data(*arguments)
    assert done.code == 2 and not done.out
    assert "exists already" in done.err
    assert look.read_text() == "dear"
    assert data(*arguments, "--force").code == 0
    assert decode(look).ndim == 3


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("celebamask", "wanted NAME:ROOT or NAME:ROOT:SPLIT"),
        ("celebmask:{root}", "no dataset named 'celebmask'"),
        ("celebamask:{root}/none", "no such folder"),
        ("celebamask:{root}/none:val", "no such folder"),
    ],
)
def test_sources_that_are_none(source: str, what: str, tmp_path: Path) -> None:
    done = data("check", source.format(root=save_set(tmp_path)))
    assert done.code == 2
    assert what in done.err


def test_data_without_parts_and_heads_is_not_checked(tmp_path: Path) -> None:
    write_coco_keypoints(tmp_path, "val2017", "1", draw(1))
    done = data("check", f"coco_keypoints:{tmp_path}:val2017")
    assert done.code == 2
    assert "coco_keypoints: has neither part labels nor head boxes" in done.err


def test_a_root_may_hold_a_colon(tmp_path: Path) -> None:
    root = save_set(tmp_path / "a:b")
    assert data("check", f"celebamask:{root}:val").code == 0
    assert "celebamask:train" in data("check", f"celebamask:{root}").out.decode()


# --- convert -------------------------------------------------------------------------------------


def test_convert_as_process_reads_back(tmp_path: Path) -> None:
    root, out = save_set(tmp_path / "set"), tmp_path / "out"
    done = call_process("data", "convert", f"celebamask:{root}:train", out, "--label-set", "lfw3")
    assert done.code == 0, done.err
    text = done.out.decode()
    assert "celeba19 -> lfw3" in text
    assert "merged  skin + nose + glasses + left_eye" in text
    assert "lost    hat (0.00% of the pixels)" in text
    assert "3 pictures written, 0 failed" in text
    back = pairs.load(out, "all")
    assert back.label_set is LFW3
    assert [pair.key for pair in back.pairs] == ["t0", "t1", "t2"]
    wanted = np.where(face_ids() > 0, LFW3.id("face"), 0)
    assert np.array_equal(back[1].labels, wanted)
    original = (root / "train" / "images" / "t1.jpg").read_bytes()
    assert (out / "images" / "t1.jpg").read_bytes() == original
    assert read_report(out)["pictures"]["t1"]["files"] == ["masks/t1.png", "images/t1.jpg"]


def test_convert_says_what_is_impossible(tmp_path: Path) -> None:
    root, out = save_set(tmp_path / "set"), tmp_path / "out"
    done = data("convert", f"celebamask:{root}:train", out, "--label-set", "facesynthetics19")
    assert done.code == 2
    assert "it does not tell beard, facewear" in done.err
    assert not out.exists()
    arguments = ("convert", f"celebamask:{root}:train", out, "--label-set", "facesynthetics19")
    done = data(*arguments, "--partial", "--json")
    assert done.code == 0, done.err
    assert done.json["absent"] == ["beard", "facewear"]
    assert done.json["background"] == "unknown"
    sample = pairs.load(out, "all")[0]
    assert (sample.labels == IGNORE).sum() == (face_ids() == 0).sum()
    done = data(*arguments, "--partial", "--keep-background", "--force")
    assert "absent  beard, facewear; background: background" in done.out.decode()
    assert not (pairs.load(out, "all")[0].labels == IGNORE).any()


def test_convert_can_lose_to_the_background(tmp_path: Path) -> None:
    hats = face_ids()
    hats[:5] = CELEBA19.id("hat")
    save_pair(tmp_path / "set", "val", "a", pattern(1), hats)
    for rest, wanted in (("unknown", IGNORE), ("background", 0)):
        out = tmp_path / rest
        done = data(
            *("convert", f"celebamask:{tmp_path / 'set'}:val", out),
            *("--label-set", "lfw3", "--rest", rest, "--json"),
        )
        assert done.code == 0, done.err
        assert done.json["lost"]["hat"] == pytest.approx(5 / 96, abs=1e-5)
        assert pairs.load(out, "all")[0].labels[0, 0] == wanted


def test_convert_goes_on_after_a_bad_pair(tmp_path: Path) -> None:
    root, out = save_set(tmp_path / "set"), tmp_path / "out"
    (root / "train" / "images" / "t1.jpg").write_bytes(b"x")
    done = data("convert", f"celebamask:{root}:train", out, "--label-set", "lapa11")
    assert done.code == 1
    assert "FAILED" in done.err
    assert "t1.jpg" in done.err
    assert len(pairs.load(out, "all")) == 2
    assert list(read_report(out)["failed"]) == ["t1"]


def test_convert_refuses_folders_sets_and_splits(tmp_path: Path) -> None:
    root, full = save_set(tmp_path / "set"), tmp_path / "full"
    full.mkdir()
    (full / "dear.txt").write_text("dear")
    name = f"celebamask:{root}:train"
    for arguments, what in (
        ((name, full, "--label-set", "lfw3"), "not empty"),
        ((name, root / "new", "--label-set", "lfw3"), "inside or around the input"),
        ((name, tmp_path, "--label-set", "lfw3", "--force"), "inside or around the input"),
        ((name, full / "dear.txt", "--label-set", "lfw3"), "is a file"),
        ((name, tmp_path / "o", "--label-set", "lfw4"), "no label set named 'lfw4'"),
        ((f"celebamask:{root}", tmp_path / "o", "--label-set", "lfw3"), "name a split: train, val"),
        ((f"scut_head:{root}:train", tmp_path / "o", "--label-set", "lfw3"), "head boxes"),
    ):
        done = data("convert", *arguments)
        assert done.code == 2, what
        assert what in done.err
    assert (full / "dear.txt").read_text() == "dear"


def test_a_set_of_one_split_needs_no_split(tmp_path: Path) -> None:
    root, out = save_set(tmp_path / "set"), tmp_path / "out"
    assert data("convert", f"celebamask:{root}:train", out, "--label-set", "celeba19").code == 0
    again = tmp_path / "again"
    assert data("convert", f"pairs:{out}", again, "--label-set", "celeba19").code == 0
    assert np.array_equal(pairs.load(again, "all")[0].labels, pairs.load(out, "all")[0].labels)


# --- clean ---------------------------------------------------------------------------------------


def painted_ids(shift: int = 0) -> NDArray[np.uint8]:
    """FASSEG ids: skin with two eyes, a nose and hair."""
    ids = np.zeros((90, 60), np.uint8)
    ids[15:85, 10:50] = FASSEG6.id("skin")
    ids[5:20, 8:52] = FASSEG6.id("hair")
    ids[35:42, 16 + shift : 24 + shift] = ids[35:42, 36 + shift : 44 + shift] = FASSEG6.id("eyes")
    ids[42:56, 26 + shift : 34 + shift] = FASSEG6.id("nose")
    ids[62:68, 22:38] = FASSEG6.id("mouth")
    return ids


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """Soft masks of FASSEG's paint in a folder, one of them below."""
    folder = tmp_path / "masks"
    (folder / "more").mkdir(parents=True)
    for name, shift in (("a.png", 0), ("more/b.bmp", 2)):
        soft = cv2.GaussianBlur(PAINT[painted_ids(shift)], (3, 3), 0.8)
        PilImage.fromarray(soft).save(folder / name)
    return folder


def test_clean_as_process(masks: Path, tmp_path: Path) -> None:
    out, look = tmp_path / "out", tmp_path / "look.png"
    done = call_process(
        *("data", "clean", masks, out, "--palette", "fasseg", "--split-sides", "eyes"),
        *("--sheet", look),
    )
    assert done.code == 0, done.err
    text = done.out.decode()
    assert "nearest, cap 63" in text
    assert "2 masks cleaned, 0 failed" in text
    assert "pixels of eyes got a side" in text
    ids = decode(out / "masks" / "more" / "b.png")
    with PilImage.open(out / "masks" / "a.png") as picture:
        assert picture.mode == "P"
        assert picture.getpixel((0, 50)) == 0
    sure = ids != IGNORE
    truth = painted_ids(2)
    plain = truth != FASSEG6.id("eyes")
    assert np.array_equal(ids[sure & plain], truth[sure & plain])  # eyes come last in fasseg6
    classes = json.loads((out / "classes.json").read_text())
    parts = [p["name"] for p in classes["parts"]]
    assert parts == [*FASSEG6.parts[:-1], "left_eye", "right_eye"]
    eyes = {side: np.nonzero(ids == parts.index(side))[1] for side in parts[-2:]}
    assert eyes["left_eye"].mean() > 36 > eyes["right_eye"].mean()
    assert decode(look).shape[2] == 3


def test_clean_finds_the_palette_and_takes_a_renamed_one(masks: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = data("clean", masks, out, "--json")
    assert done.code == 0, done.err
    report = done.json
    assert set(report["palette"]) == {
        "background",
        *("color_0000ff", "color_00ff00", "color_00ffff", "color_7f0000", "color_ffff00"),
    }
    assert report["palette"]["background"] == [255, 0, 0]
    assert report["doubtful_px"] == sum(p["doubtful_px"] for p in report["pictures"].values()) > 0
    classes = out / "classes.json"
    classes.write_text(classes.read_text().replace("color_0000ff", "eyes"))
    again = tmp_path / "again"
    done = data("clean", masks, again, "--palette", classes, "--split-sides", "eyes")
    assert done.code == 0, done.err
    assert "left_eye" in (again / "pairs.toml").read_text()


def test_clean_with_a_palette_of_toml_and_photos_into_squares(masks: Path, tmp_path: Path) -> None:
    palette = tmp_path / "colours.toml"
    rows = [f"{part} = {list(map(int, rgb))}" for part, rgb in fasseg.PAINT.items()]
    palette.write_text("\n".join(["[parts]", *reversed(rows)]))  # the background need not be first
    photos = tmp_path / "photos"
    (photos / "more").mkdir(parents=True)
    for name in ("a.jpg", "more/b.png"):
        PilImage.fromarray(pattern(1, (90, 60))).save(photos / name)
    out = tmp_path / "out"
    done = data(
        *("clean", masks, out, "--palette", palette, "--images", photos, "--size", 45, "--cap", 442)
    )
    assert done.code == 0, done.err
    back = pairs.load(out, "all")
    assert [pair.key for pair in back.pairs] == ["a", "more/b"]
    sample = back[0]
    assert sample.image.shape == (45, 45, 3)
    assert (sample.labels[:, :7] == IGNORE).all()
    assert not (sample.labels[:, 8:37] == IGNORE).any()
    assert back.label_set.parts[0] == "background"


def test_clean_keeps_photos_as_they_are(masks: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "more").mkdir(parents=True)
    for name in ("a.jpg", "more/b.jpg"):
        PilImage.fromarray(pattern(1, (90, 60))).save(photos / name)
    out = tmp_path / "out"
    assert data("clean", masks, out, "--palette", "fasseg", "--images", photos).code == 0
    assert (out / "images" / "a.jpg").read_bytes() == (photos / "a.jpg").read_bytes()
    assert pairs.load(out, "all").label_set is FASSEG6


def test_clean_by_grey_levels_moves_more(masks: Path, tmp_path: Path) -> None:
    by_colour = data("clean", masks, tmp_path / "a", "--palette", "fasseg", "--json").json
    by_grey = data(
        *("clean", masks, tmp_path / "b", "--palette", "fasseg", "--method", "grey-kmeans"),
        "--json",
    ).json
    assert by_grey["cap"] is None
    moved = [sum(p["moved"] for p in r["pixels"].values()) for r in (by_colour, by_grey)]
    assert moved[1] > moved[0]
    text = data("clean", masks, tmp_path / "c", "--palette", "fasseg", "--method", "grey-kmeans")
    assert "grey-kmeans ->" in text.out.decode()


def test_clean_by_kmeans_and_by_a_label_set(masks: Path, tmp_path: Path) -> None:
    done = data(
        *("clean", masks, tmp_path / "k", "--palette", "discover:6", "--discover-by", "kmeans"),
        "--json",
    )
    assert done.code == 0, done.err
    assert len(done.json["palette"]) == 6
    plain = tmp_path / "plain"
    plain.mkdir()
    colours = np.uint8(LFW3.colors)
    PilImage.fromarray(colours[face_ids() % 3]).save(plain / "a.png")
    done = data("clean", plain / "a.png", tmp_path / "l", "--palette", "lfw3", "--json")
    assert done.code == 0, done.err
    assert done.json["doubtful_px"] == 0
    assert np.array_equal(decode(tmp_path / "l" / "masks" / "a.png"), face_ids() % 3)


def test_clean_goes_on_after_a_bad_mask(masks: Path, tmp_path: Path) -> None:
    (masks / "c.png").write_bytes(b"no picture")
    photos = tmp_path / "photos"
    (photos / "more").mkdir(parents=True)
    PilImage.fromarray(pattern(1, (90, 61))).save(photos / "more" / "b.png")
    out = tmp_path / "out"
    done = data("clean", masks, out, "--images", photos, "--json")
    assert done.code == 1
    failed = done.json["failed"]
    assert set(failed) == {"a.png", "c.png", "more/b.bmp"}
    assert "no photo" in failed["a.png"]
    assert "61x90 pixels, its mask 60x90" in failed["more/b.bmp"]
    assert done.err.count("FAILED") == 3


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--palette", "fassegg"), "wanted discover, discover:K, a .toml"),
        (("--palette", "discover:70"), "wanted 1..64 colours"),
        (("--palette", "discover", "--discover-by", "kmeans"), "needs the number"),
        (("--palette", "fasseg", "--split-sides", "ears"), "--split-sides ears: no such part"),
        (("--palette", "celeba19", "--split-sides", "eyes"), "no such part"),
        (("--palette", "fasseg", "--split-sides", "background"), "no such part"),
    ],
)
def test_clean_refuses(arguments: tuple[str, ...], what: str, masks: Path, tmp_path: Path) -> None:
    done = data("clean", masks, tmp_path / "out", *arguments)
    assert done.code == 2
    assert what in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("p.toml", "[parts]\nskin = [1, 2, 3]", "no part named background among skin"),
        ("p.toml", "[parts]\nbackground = 3", "wanted name = [red, green, blue]"),
        ("p.toml", "[parts]\nbackground = [1, 2, 3]\nskin = [1, 2, 3]", "occurs twice"),
        ("p.toml", "[parts]\nbackground = [1, 2]", "wanted name = [red, green, blue]"),
        ("p.toml", "parts = 3", "parts is int; wanted a table"),
        ("p.toml", "x", "wanted TOML with [parts]"),
        ("p.json", "[]", "or a classes.json"),
        ("p.json", '{"parts": [{"name": "background"}]}', "or a classes.json"),
        ("p.toml", "#" * 1_000_001, "over 1000000 bytes"),
    ],
)
def test_clean_refuses_wrong_palettes(
    name: str, text: str, what: str, masks: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    done = data("clean", masks, tmp_path / "out", "--palette", tmp_path / name)
    assert done.code == 1
    assert what in done.err


def test_clean_does_not_split_what_has_sides(masks: Path, tmp_path: Path) -> None:
    palette = tmp_path / "p.toml"
    palette.write_text(
        "[parts]\nbackground = [255, 0, 0]\neyes = [0, 0, 255]\nleft_eye = [0, 255, 0]"
    )
    done = data("clean", masks, tmp_path / "out", "--palette", palette, "--split-sides", "eyes")
    assert done.code == 2
    assert "the masks have its sides already" in done.err


def test_clean_says_when_colours_are_too_few(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    PilImage.fromarray(np.zeros((9, 9, 3), np.uint8)).save(folder / "a.png")
    done = data("clean", folder, tmp_path / "out", "--palette", "discover:3")
    assert done.code == 1
    assert "found 1 colours, wanted 3" in done.err


# --- pseudolabel ---------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/a.jpg", "sub_a.png"):
        kind = "JPEG" if name.endswith("jpg") else "PNG"
        (folder / name).write_bytes(encode(make_photo(96, 80), kind))
    return folder


def pseudolabel(photos: object, out: Path, net: Path, *arguments: object) -> Done:
    return data(
        *("pseudolabel", photos, out, "--detector", "whole", "--model", net, "--threads", 1),
        *arguments,
    )


def test_pseudolabel_as_process(photos: Path, net: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = call_process(
        *("data", "pseudolabel", photos, out, "--detector", "whole", "--model", net, "--mirror")
    )
    assert done.code == 0, done.err
    assert "3 photos, 3 heads, 3 kept" in done.out.decode()
    dataset = facecrops.load(out, "crops")
    assert sorted(pair.key for pair in dataset.pairs) == [
        *("crops/a_00", "crops/sub_a_00", "crops/sub_a_00-2"),
    ]
    ids = dataset[0].labels
    assert set(np.unique(ids)) <= {0, SKIN, HAIR, IGNORE}
    assert ids[ids.shape[0] // 2, ids.shape[1] // 2] == SKIN
    assert (ids[0] == IGNORE).all()  # beyond the photo
    (entry, *_) = read_report(out)["crops"]
    assert entry["kept"]
    assert entry["mirror"] == 1.0
    assert entry["files"] == ["crops/a_00.jpg", "crops/a_00.png"]


def test_pseudolabel_says_why_not(photos: Path, net: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = pseudolabel(photos, out, net, "--min-head-px", 200, "--min-sure", 1, "--json")
    assert done.code == 0, done.err
    report = done.json
    assert (report["kept"], report["heads"]) == (0, 3)
    assert report["crops"][0]["reasons"][0] == "head of 96 px, wanted 200"
    assert report["crops"][0]["files"] == []
    assert report["unknown_share"] is None
    assert not (out / "crops").exists()
    text = pseudolabel(photos, tmp_path / "b", net, "--min-head-px", 200).out.decode()
    assert "not kept: too small" in text
    assert "3\n" in text


def test_pseudolabel_asks_a_second_net(photos: Path, net: Path, tmp_path: Path) -> None:
    blind = make_net(tmp_path / "blind.onnx", make_card(mean=(0.0, 0.0, 300.0)))  # sees no hair
    out = tmp_path / "out"
    done = pseudolabel(photos, out, net, "--agree-with", blind, "--json")
    assert done.code == 0, done.err
    assert done.json["kept"] == 0
    assert done.json["crops"][0]["other"] < 0.9
    assert "the other net agrees on" in done.json["crops"][0]["reasons"][0]
    assert len(done.json["models"]) == 2
    fine = pseudolabel(photos, tmp_path / "fine", net, "--agree-with", net, "--json").json
    assert fine["kept"] == 3
    assert fine["crops"][0]["other"] == 1.0


def test_pseudolabel_as_pairs(photos: Path, net: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert pseudolabel(photos, out, net, "--layout", "pairs").code == 0
    back = pairs.load(out, "all")
    assert len(back) == 3
    assert back.label_set is CELEBA19
    bisenet = make_net(tmp_path / "b.onnx", make_card(label_set="bisenet19"))
    assert pseudolabel(photos, tmp_path / "c", bisenet).code == 0
    sample = facecrops.load(tmp_path / "c", "all")[0]  # in CelebAMask's order
    assert sample.labels[sample.labels.shape[0] // 2, sample.labels.shape[1] // 2] == SKIN


def test_pseudolabel_of_other_parts(
    photos: Path, parser_file: Path, tmp_path: Path, net: Path
) -> None:
    done = pseudolabel(photos, tmp_path / "out", parser_file, "--min-sure", 0, "--json")
    assert done.code == 0, done.err
    assert (done.json["layout"], done.json["label_set"]) == ("pairs", "lfw3")
    refused = pseudolabel(photos, tmp_path / "o", parser_file, "--layout", "facecrops")
    assert refused.code == 2
    assert "facecrops holds CelebAMask parts; the model has lfw3" in refused.err


def test_pseudolabel_goes_on_after_a_bad_photo(photos: Path, net: Path, tmp_path: Path) -> None:
    (photos / "b.jpg").write_bytes(b"no picture")
    out = tmp_path / "out"
    done = pseudolabel(photos, out, net)
    assert done.code == 1
    assert "FAILED b.jpg" in done.err
    report = read_report(out)
    assert report["status"] == "failed"
    assert report["kept"] == 3


def test_pseudolabel_never_overwrites(photos: Path, net: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert pseudolabel(photos, out, net).code == 0
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    done = pseudolabel(photos, out, net)
    assert done.code == 2
    assert "not empty" in done.err
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before
    assert pseudolabel(photos, out, net, "--force").code == 0
    inside = pseudolabel(photos, photos / "out", net)
    assert inside.code == 2
    assert "inside or around the input" in inside.err


def test_pseudolabel_interrupted_says_what_was_done(
    photos: Path, net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def stop(self: object, image: object, head: object) -> None:
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return real(self, image, head)

    real = _data_pseudolabel.Labeller.label
    monkeypatch.setattr(_data_pseudolabel.Labeller, "label", stop)
    out = tmp_path / "out"
    done = pseudolabel(photos, out, net)
    assert done.code == 130
    report = read_report(out)
    assert (report["status"], report["kept"]) == ("interrupted", 1)
    assert len(facecrops.load(out, "crops")) == 1


# --- the folder that is written ------------------------------------------------------------------


def test_names_that_would_leave_the_folder_are_refused(tmp_path: Path) -> None:
    folder = _data_folder.PairsFolder(tmp_path / "o", LFW3, force=False)
    ids = np.zeros((2, 2), np.uint8)
    for key in ("../a", "/a", "", "a/../../b"):
        with pytest.raises(BadData, match="not a name below a folder"):
            folder.add(key, ids)
    assert not (tmp_path / "o").exists()


def test_a_pair_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = _data_folder.PairsFolder(tmp_path, LFW3, force=False)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_text("dear")
    with pytest.raises(UnwritableOutput, match="exists already"):
        folder.add("a", np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3), np.uint8))
    assert not (tmp_path / "masks" / "a.png").exists()
    assert (tmp_path / "images" / "a.png").read_text() == "dear"


def test_a_crop_is_written_whole_or_not_at_all(photos: Path, net: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "crops").mkdir(parents=True)
    (out / "crops" / "a_00.png").mkdir()
    done = pseudolabel(photos / "a.png", out, net, "--force")
    assert done.code == 1
    assert "a folder; choose another name" in done.err
    assert not (out / "crops" / "a_00.jpg").exists()


def test_changed_photos_are_written_without_loss(tmp_path: Path) -> None:
    photo = tmp_path / "a.jpg"
    image = pattern(3)
    PilImage.fromarray(image).save(photo)
    suffix, data = _data_folder.picture_bytes(image, photo)  # JPEG has changed the pixels
    assert suffix == ".png"
    assert np.array_equal(decode(data), image)
    with PilImage.open(photo) as picture:
        same = np.asarray(picture)
    assert _data_folder.picture_bytes(same, photo)[0] in (".jpg", ".png")
    assert _data_folder.picture_bytes(image, None)[0] == ".png"


def test_two_masks_that_differ_in_their_ending_do_not_meet(masks: Path, tmp_path: Path) -> None:
    first = sorted(masks.glob("*.png"))[0]
    with PilImage.open(first) as mask:
        mask.transpose(PilImage.Transpose.FLIP_TOP_BOTTOM).save(first.with_suffix(".bmp"))
    for name, force in (("one", ()), ("two", ("--force",))):
        done = call("data", "clean", masks, tmp_path / name, "--palette", "fasseg", *force)
        assert done.code == 1
        assert "another file of this run has that name but for its ending" in done.err
        assert (tmp_path / name / "masks" / first.name).is_file()


def test_a_sheet_is_kept_apart_from_the_masks(masks: Path, tmp_path: Path) -> None:
    sheet = masks / "more" / "sheet.png"
    done = call(
        *("data", "clean", masks, tmp_path / "out", "--palette", "fasseg"), *("--sheet", sheet)
    )
    assert done.code == 2 and "lies among the inputs of" in done.err
    assert not sheet.exists() and not (tmp_path / "out").exists()
