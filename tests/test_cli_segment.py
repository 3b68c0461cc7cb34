"""``faceparts segment``: label maps at native size and everything beside them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from cli_world import Done, call, call_process, decode, encode, make_photo
from faceparts.errors import UnwritableOutput
from faceparts.labels import CELEBA19


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").write_bytes(encode(make_photo()))
    (folder / "b.jpg").write_bytes(encode(make_photo(96, 80), "JPEG", quality=95))
    return folder


def segment(net: Path, *arguments: object, stdin: bytes = b"") -> Done:
    return call("segment", *arguments, "--detector", "whole", "--model", net, stdin=stdin)


def test_label_maps_at_native_size(net: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = segment(net, photos, "-o", out)
    assert done.code == 0, done.err
    assert sorted(p.name for p in out.iterdir()) == [
        *("a.png.labels.png", "b.jpg.labels.png", "classes.json", "faceparts-report.json")
    ]
    with PillowImage.open(out / "b.jpg.labels.png") as picture:
        assert picture.mode == "P"
        ids = np.asarray(picture)
        assert picture.convert("RGB").getpixel((40, 50)) == CELEBA19.colors[CELEBA19.id("skin")]
    assert ids.shape == (96, 80)
    assert ids[0, 0] == 0
    assert ids[50, 40] == CELEBA19.id("skin")
    assert ids[29, 40] == CELEBA19.id("hair")
    assert set(np.unique(ids)) == {0, CELEBA19.id("skin"), CELEBA19.id("hair")}
    classes = json.loads((out / "classes.json").read_text())
    assert [p["name"] for p in classes["parts"]] == list(CELEBA19.parts)


def test_everything_on_request(net: Path, photos: Path, tmp_path: Path) -> None:
    out, table = tmp_path / "out", tmp_path / "faces.csv"
    done = segment(
        *(net, photos / "a.png", "-o", out, "--masks", "--cutouts", "--overlay", "--npz"),
        *("--coco", "--table", table),
    )
    assert done.code == 0, done.err
    (entry,) = json.loads((out / "faceparts-report.json").read_text())["pictures"]
    assert entry["outputs"] == [
        "a.png.labels.png",
        "a.png.masks/000_skin.png",
        "a.png.masks/000_hair.png",
        "a.png.cutouts/000.png",
        "a.png.overlay.png",
        "a.png.npz",
    ]
    ids = decode(out / "a.png.labels.png")
    hair = decode(out / "a.png.masks" / "000_hair.png") == 255
    assert np.array_equal(hair, ids == CELEBA19.id("hair"))
    cutout = decode(out / "a.png.cutouts" / "000.png")
    assert cutout.shape[2] == 4
    assert np.count_nonzero(cutout[..., 3]) == np.count_nonzero(ids)
    assert decode(out / "a.png.overlay.png").shape == (48, 40, 3)
    with np.load(out / "a.png.npz", allow_pickle=False) as npz:
        assert np.array_equal(npz["labels"], ids)
        assert npz["boxes_xyxy"].tolist() == [[0, 0, 40, 48]]
    coco = json.loads((out / "coco.json").read_text())
    assert coco["images"] == [{"id": 1, "file_name": "a.png", "width": 40, "height": 48}]
    areas = {a["category_id"]: a["area"] for a in coco["annotations"]}
    assert areas == {i: int(np.count_nonzero(ids == i)) for i in (1, CELEBA19.id("hair"))}
    (row,) = csv.DictReader(io.StringIO(table.read_text()))
    assert (row["picture"], row["face"], row["score"]) == ("a.png", "0", "1.0")
    assert float(row["area_hair_px"]) == np.count_nonzero(hair)


def test_run_files_are_kept_without_force(net: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert segment(net, photos / "a.png", "-o", out, "--coco").code == 0
    assert segment(net, photos / "b.jpg", "-o", out).code == 0  # the same classes.json will do
    done = segment(net, photos / "b.jpg", "-o", out, "--coco")
    assert done.code == 2
    assert "coco.json: exists already" in done.err
    (out / "classes.json").write_text("{}")
    (out / "b.jpg.labels.png").unlink()
    done = segment(net, photos / "b.jpg", "-o", out)
    assert done.code == 2
    assert "classes.json: exists already" in done.err
    assert segment(net, photos, "-o", out, "--coco", "--force").code == 0
    assert len(json.loads((out / "coco.json").read_text())["images"]) == 2


def test_a_picture_is_written_whole_or_not_at_all(net: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "a.png.npz").mkdir(parents=True)
    done = segment(net, photos, "-o", out, "--npz", "--masks", "--force")
    assert done.code == 1
    assert "FAILED a.png: UnwritableOutput" in done.err
    assert not (out / "a.png.labels.png").exists()
    assert not list(out.glob("a.png.masks/*"))
    assert (out / "b.jpg.npz").is_file()


def test_force_leaves_nothing_of_the_picture_before(
    net: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = (net, photos / "a.png", "-o", out, "--masks", "--cutouts")
    assert segment(*options).code == 0
    masks, cutouts = out / "a.png.masks", out / "a.png.cutouts"
    assert {p.name for p in masks.iterdir()} == {"000_skin.png", "000_hair.png"}
    (masks / "notes.txt").write_text("mine")
    (photos / "a.png").write_bytes(encode(np.full((48, 40, 3), (0, 200, 0), np.uint8)))
    assert segment(*options, "--force").code == 0
    assert {p.name for p in masks.iterdir()} == {"notes.txt"}
    assert not list(cutouts.iterdir())


def test_force_knows_the_masks_of_nets_with_other_parts(
    net: Path, photos: Path, tmp_path: Path
) -> None:
    """Forests may call their parts as they like; classes.json tells how."""
    out = tmp_path / "out"
    options = (net, photos / "a.png", "-o", out, "--masks", "--cutouts")
    assert segment(*options).code == 0
    masks, cutouts = out / "a.png.masks", out / "a.png.cutouts"
    mask, cutout = (masks / "000_skin.png").read_bytes(), (cutouts / "000.png").read_bytes()
    for name in ("000_Part 2.png", "1000_beard.png"):
        (masks / name).write_bytes(mask)
    (cutouts / "001.png").write_bytes(cutout)
    mine = {
        **{masks / name: mask for name in ("000_notes.png", "0001_hair.png", "hair.png")},
        **{masks / "001_hair.png": cutout, cutouts / "002.png": mask, cutouts / "003.png": b"3"},
    }
    for path, data in mine.items():
        path.write_bytes(data)
    parts = [{"name": "background"}, {"name": "Part 2"}]
    (out / "classes.json").write_text(json.dumps({"parts": parts}))
    assert segment(*options, "--force").code == 0
    kept = {path for folder in (masks, cutouts) for path in folder.iterdir()}
    results = {masks / "000_skin.png", masks / "000_hair.png", cutouts / "000.png"}
    assert kept == mine.keys() | results
    assert all(path.read_bytes() == data for path, data in mine.items())


def test_a_failed_write_leaves_no_folder_in_the_way(
    net: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from faceparts.cli import _outputs

    out, write = tmp_path / "out", _outputs.write_atomic

    def full(path: Path, data: bytes, **options: Any) -> None:
        if path.name == "000_hair.png":
            raise UnwritableOutput(f"{path}: no space left on device")
        write(path, data, **options)

    with monkeypatch.context() as patch:
        patch.setattr(_outputs, "write_atomic", full)
        done = segment(net, photos, "-o", out, "--masks")
    assert done.code == 1 and done.err.count("no space left") == 2
    assert {p.name for p in out.iterdir()} == {"classes.json", "faceparts-report.json"}
    (out / "faceparts-report.json").unlink()
    (out / "classes.json").unlink()
    assert segment(net, photos, "-o", out, "--masks").code == 0


def test_cut_outs_do_not_show_what_was_transparent(net: Path, tmp_path: Path) -> None:
    rgba = np.dstack([make_photo(), np.full((48, 40), 255, np.uint8)])
    rgba[:, :20, 3] = 0
    (tmp_path / "a.png").write_bytes(encode(rgba))
    out, options = tmp_path / "out", ("--detector", "whole", "--model", net)
    assert segment(net, tmp_path / "a.png", "-o", out, "--cutouts").code == 0
    done = call("apply", "cutout", tmp_path / "a.png", "-o", tmp_path / "cut", *options)
    assert done.code == 0, done.err
    whole = np.asarray(PillowImage.open(tmp_path / "cut" / "a.png"))
    small = np.asarray(PillowImage.open(out / "a.png.cutouts" / "000.png"))
    for cut in (whole, small):
        middle = cut.shape[1] // 2
        assert not cut[:, :middle].any()
        assert cut[:, middle:, 3].any()


def test_no_faces(net: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from faceparts.detect.whole import WholePicture

    full, table = tmp_path / "full.csv", tmp_path / "faces.csv"
    assert segment(net, photos, "-o", tmp_path / "full", "--table", full).code == 0
    monkeypatch.setattr(WholePicture, "detect", lambda self, image: [])
    out = tmp_path / "out"
    done = segment(net, photos, "-o", out, "--coco", "--npz", "--cutouts", "--table", table)
    assert done.code == 0, done.err
    assert not decode(out / "b.jpg.labels.png").any()
    assert json.loads((out / "coco.json").read_text())["annotations"] == []
    assert table.read_text() == full.read_text().splitlines()[0] + "\n"
    report = json.loads((out / "faceparts-report.json").read_text())
    assert {p["status"] for p in report["pictures"]} == {"no_faces"}


def test_standard_streams(net: Path) -> None:
    done = segment(net, "-", "-o", "-", stdin=encode(make_photo()))
    assert done.code == 0, done.err
    assert decode(done.out).shape == (48, 40)
    done = segment(net, "-", "-o", "-", "--masks")
    assert done.code == 2
    assert "-o - writes the label map alone" in done.err


def test_segment_as_a_process(net: Path, photos: Path, tmp_path: Path) -> None:
    where = ("--detector", "whole", "--model", net)
    done = call_process("segment", f"{photos}/*.jpg", "-o", tmp_path / "out", *where, "--json")
    assert done.code == 0, done.err
    assert [p["input"] for p in done.json["pictures"]] == ["b.jpg"]


def test_a_table_that_cannot_be_written_fails_the_run(
    net: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    out = tmp_path / "out"
    done = segment(net, photos, "-o", out, "--coco", "--table", tmp_path / "file" / "faces.csv")
    assert done.code == 1
    assert len(json.loads((out / "coco.json").read_text())["images"]) == 2
    assert (out / "classes.json").exists()
    assert "FAILED UnwritableOutput" in done.err
    report = json.loads((out / "faceparts-report.json").read_text())
    assert report["status"] == "failed"
    assert set(report["outputs_sha256"]) == {"classes.json", "coco.json"}
    assert "faces.csv" in report["errors"][0]
    assert report["counts"]["ok"] == 2


@pytest.mark.parametrize("name", ["x.csv", "faceparts-report.json"])
def test_a_table_is_no_report(net: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "a.png").write_bytes(encode(make_photo()))
    out = tmp_path / "out"
    options = ("--detector", "whole", "--model", net, "-o", out, "--report", out / "x.csv")
    done = call("segment", tmp_path / "a.png", *options, "--table", out / ".." / "out" / name)
    assert done.code == 2 and "the report goes there" in done.err
    assert not list(out.rglob("*"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("coco.json", "coco.json goes there"),
        ("classes.json", "classes.json goes there"),
        ("a.png.labels.png", "results go to"),
        ("a.png.masks/faces.csv", "results go to"),
    ],
)
def test_a_table_is_no_other_file_of_the_run(
    net: Path, tmp_path: Path, name: str, told: str
) -> None:
    (tmp_path / "a.png").write_bytes(encode(make_photo()))
    out = tmp_path / "out"
    assert segment(net, tmp_path / "a.png", "-o", out).code == 0  # the same classes.json will do
    before = {path: path.read_bytes() for path in out.iterdir()}
    options = ("--masks", "--coco", "--table", out / ".." / "out" / name)
    done = segment(net, tmp_path / "a.png", "-o", out, "--force", *options)
    assert done.code == 2 and told in done.err and done.err.count("\n") == 1
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_a_classes_file_that_is_no_text(net: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "classes.json").write_bytes(b"\xff")
    done = segment(net, photos, "-o", tmp_path / "out")
    assert done.code == 2 and "classes.json: exists already" in done.err
