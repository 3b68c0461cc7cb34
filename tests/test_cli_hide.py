"""``faceparts hide`` and ``apply``: every face gone, every file accounted for."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from cli_world import Done, call, call_process, decode, encode, make_photo


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    (folder / "a.png").write_bytes(encode(make_photo()))
    (folder / "below" / "b.jpg").write_bytes(encode(make_photo(64, 80), "JPEG", quality=95))
    return folder


def hide(net: Path, *arguments: object, stdin: bytes = b"", verb: str = "hide") -> Done:
    options = ("--detector", "whole", "--model", net, "--threads", 1)
    return call(verb, *arguments, *options, stdin=stdin)


def report_of(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "faceparts-report.json").read_text("utf-8"))
    return read


def test_folder_is_mirrored_and_faces_are_black(net: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = hide(net, photos, "-o", out)
    assert (done.code, done.out) == (0, b"")
    assert "2 pictures: 2 with 2 heads, 0 without, 0 failed" in done.err
    hidden = decode(out / "a.png")
    red = make_photo()[..., 0] > 0
    assert hidden.shape == (48, 40, 3)
    assert not hidden[red].any()
    assert decode(out / "below" / "b.jpg").shape == (64, 80, 3)
    assert sorted(p.name for p in out.rglob("*") if p.is_file()) == [
        "a.png",
        "b.jpg",
        "faceparts-report.json",
    ]


def test_report_says_what_was_found_where(net: Path, photos: Path, tmp_path: Path) -> None:
    hide(net, photos / "a.png", "-o", tmp_path / "out", "--color", "#ff0000", "--margin", "0.1")
    report = report_of(tmp_path / "out")
    assert (report["status"], report["verb"]) == ("done", "hide")
    assert report["counts"] == {
        "pictures": 1,
        "ok": 1,
        "no_faces": 0,
        "failed": 0,
        "heads": 1,
        "videos": 0,
    }
    assert report["settings"]["effect"] == "solid"
    assert (report["settings"]["color"], report["settings"]["margin"]) == ("#ff0000", 0.1)
    assert report["models"][0]["file"] == "colours.onnx"
    assert len(report["models"][0]["sha256"]) == 64
    assert {"faceparts", "numpy", "onnxruntime"} <= set(report["versions"])
    (entry,) = report["pictures"]
    assert (entry["input"], entry["status"], entry["error"]) == ("a.png", "ok", None)
    assert (entry["width_px"], entry["height_px"]) == (40, 48)
    assert entry["outputs"] == ["a.png"]
    (head,) = entry["heads"]
    assert head["box_xyxy"] == [0, 0, 40, 48]
    assert head["score"] == 1
    assert set(head["points_xys"].values()) == {None}
    assert abs(head["parts_px"]["skin"] - 18 * 20) < 100
    assert abs(head["parts_px"]["hair"] - 6 * 20) < 60


def test_json_goes_to_standard_output(net: Path, photos: Path, tmp_path: Path) -> None:
    done = hide(net, photos / "a.png", "-o", tmp_path / "out", "--json", "--quiet")
    assert done.err == ""
    assert done.json == report_of(tmp_path / "out")


def test_existing_results_are_kept_without_force(net: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert hide(net, photos, "-o", out).code == 0
    (out / "a.png").write_bytes(b"mine")
    (photos / "c.png").write_bytes(encode(make_photo()))
    done = hide(net, photos, "-o", out)
    assert done.code == 1
    assert "FAILED a.png: UnwritableOutput" in done.err
    assert "--force" in done.err
    assert (out / "a.png").read_bytes() == b"mine"
    assert (out / "c.png").is_file()
    assert report_of(out)["counts"]["failed"] == 2
    assert json.loads((out / "faceparts-report.1.json").read_text())["counts"]["failed"] == 0
    assert hide(net, photos, "-o", out, "--force").code == 0
    assert decode(out / "a.png").shape == (48, 40, 3)
    assert not (out / "faceparts-report.2.json").exists()


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_inputs_are_never_overwritten(net: Path, photos: Path, force: list[str]) -> None:
    before = (photos / "a.png").read_bytes()
    done = hide(net, photos / "a.png", "-o", photos, *force)
    assert done.code in (1, 2)
    assert (photos / "a.png").read_bytes() == before


def test_links_to_inputs_are_never_overwritten(net: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.png").symlink_to(photos / "a.png")
    before = (photos / "a.png").read_bytes()
    done = hide(net, photos / "a.png", "-o", out, "--force")
    assert done.code == 1
    assert "would overwrite the input" in done.err
    assert (photos / "a.png").read_bytes() == before


def test_results_are_not_taken_as_inputs(net: Path, photos: Path) -> None:
    out = photos / "hidden"
    assert hide(net, photos, "-o", out).code == 0
    done = hide(net, photos, "-o", out, "--force")
    assert done.code == 0
    assert report_of(out)["counts"]["pictures"] == 2
    other = photos.parent / "other"
    assert hide(net, photos, "-o", other).code == 0
    assert report_of(other)["counts"]["pictures"] == 2


def test_bad_pictures_fail_alone(net: Path, photos: Path, tmp_path: Path) -> None:
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "text.png").write_text("not a picture")
    (photos / "cut.png").write_bytes(encode(make_photo())[:60])
    out = tmp_path / "out"
    done = hide(net, photos, "-o", out)
    assert done.code == 1
    assert done.err.count("FAILED") == 3
    report = report_of(out)
    assert report["status"] == "failed"
    failed = [p for p in report["pictures"] if p["status"] == "failed"]
    assert sorted(p["input"] for p in failed) == ["cut.png", "empty.jpg", "text.png"]
    assert all("UnreadableImage" in p["error"] and not p["outputs"] for p in failed)
    names = sorted(p.name for p in out.rglob("*") if p.is_file())
    assert names == ["a.png", "b.jpg", "faceparts-report.json"]


def test_a_picture_without_faces_is_written_and_listed(
    net: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from faceparts.detect.whole import WholePicture

    monkeypatch.setattr(WholePicture, "detect", lambda self, image: [])
    out = tmp_path / "out"
    exif = PillowImage.Exif()
    exif[0x010F] = "Maker"
    (photos / "a.png").write_bytes(encode(make_photo(), exif=exif))
    done = hide(net, photos / "a.png", "-o", out)
    assert done.code == 0
    assert "0 with 0 heads, 1 without" in done.err
    assert "faceparts: nothing hidden, look at them: a.png\n" in done.err
    assert report_of(out)["pictures"][0]["status"] == "no_faces"
    with PillowImage.open(out / "a.png") as picture:
        assert not picture.getexif()
        assert np.array_equal(np.asarray(picture), make_photo())


def test_files_that_are_passed_over_are_counted(net: Path, photos: Path, tmp_path: Path) -> None:
    (photos / "notes.TXT").write_bytes(b"")
    (photos / ".b.jpg").write_bytes(b"")
    done = hide(net, photos, "-o", tmp_path / "out")
    assert done.code == 0
    assert "left out: 1 hidden, 1 no picture by its name (.txt)\n" in done.err
    assert report_of(tmp_path / "out")["left_out"] == {
        "hidden": 1,
        "no picture by its name (.txt)": 1,
    }
    assert hide(net, photos, "-o", tmp_path / "other", "--quiet").err == ""


def test_force_keeps_the_results_of_the_same_run(net: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (photos / "stdin.png").write_bytes(encode(make_photo(60, 60)))
    data = encode(make_photo())
    done = hide(net, "-", photos / "stdin.png", "-o", out, "--force", stdin=data)
    assert done.code == 1
    assert "FAILED stdin.png: UnwritableOutput" in done.err
    assert "would overwrite the result" in done.err
    assert decode(out / "stdin.png").shape == (48, 40, 3)


def test_memory_error_is_one_failed_picture(
    net: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from faceparts.parse import FaceParser

    parse = FaceParser.parse

    def out_of_memory(self: FaceParser, image: Any) -> Any:
        if image.shape[0] == 64:
            raise MemoryError
        return parse(self, image)

    monkeypatch.setattr(FaceParser, "parse", out_of_memory)
    done = hide(net, photos, "-o", tmp_path / "out")
    assert done.code == 1
    assert "FAILED below/b.jpg: MemoryError: not enough memory" in done.err
    assert report_of(tmp_path / "out")["counts"]["ok"] == 1


def test_standard_streams(net: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    data = encode(make_photo(), "JPEG")
    done = hide(net, "-", "-o", "-", "--report", report, stdin=data)
    assert done.code == 0
    assert PillowImage.open(io.BytesIO(done.out)).format == "JPEG"
    assert decode(done.out).shape == (48, 40, 3)
    told = json.loads(report.read_text())
    assert told["pictures"][0]["input"] == "-"
    assert told["pictures"][0]["outputs"] == ["-"]
    done = hide(net, "-", "-o", tmp_path / "out", stdin=data)
    assert done.code == 0
    assert (tmp_path / "out" / "stdin.png").is_file()
    done = hide(net, "-", "-o", "-", stdin=b"nonsense")
    assert (done.code, done.out) == (1, b"")
    assert "standard input" in done.err


def test_format_and_exif(net: Path, photos: Path, tmp_path: Path) -> None:
    exif = PillowImage.Exif()
    exif[0x010F] = "Maker"
    exif[0x8825] = {1: "N", 2: (50.0, 0.0, 0.0)}
    (photos / "a.png").write_bytes(encode(make_photo(), exif=exif))
    out = tmp_path / "out"
    assert hide(net, photos / "a.png", "-o", out, "--format", "jpg", "--keep-exif").code == 0
    with PillowImage.open(out / "a.png.jpg") as picture:
        assert picture.format == "JPEG"
        assert picture.getexif().get(0x010F) == "Maker"
        assert 0x8825 not in picture.getexif()


def test_same_names_in_two_folders_do_not_meet(net: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.png").write_bytes(encode(make_photo()))
    out = tmp_path / "out"
    assert hide(net, photos / "a.png", tmp_path / "more" / "a.png", "-o", out).code == 0
    assert len(list(out.rglob("a.png"))) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{photos}"], "Missing option '-o'"),
        (["-o", "{out}"], "Missing argument 'INPUT...'"),
        (["{photos}/none", "-o", "{out}"], "not found"),
        (["{photos}", "-o", "{out}", "--effect", "sparkle"], "'sparkle' is not one of"),
        (["{photos}", "-o", "{out}", "--cells", "4"], "--cells is no setting of solid"),
        (["{photos}", "-o", "{out}", "--what", "tail"], "tail"),
        (["{photos}", "-o", "{out}", "--margin", "7"], "margin: got 7"),
        (["{photos}", "-o", "{out}", "--min-score", "2"], "2"),
        (["{photos}", "-o", ""], "-o: got an empty name"),
        (["{photos}", "-o", "-"], "-o - takes one picture"),
        (["{photos}/a.png", "{photos}", "-o", "-"], "-o - takes one picture"),
        (["{photos}/a.png", "-o", "-", "--json"], "both want standard output"),
        (["-", "-", "-o", "{out}"], "only once"),
        (["{photos}", "-o", "{out}", "--report", "{photos}/a.png"], "would overwrite"),
        (["{photos}", "-o", "{out}", "--device", "cuda"], "cuda"),
        (["{photos}", "-o", "{photos}/a.png"], "a.png is a file; name a folder"),
        (["{photos}", "-o", "{photos}/a.png/out"], "a.png is a file; name a folder"),
        (["{photos}", "-o", "{out}", "--keep", "face"], "keep: face spares all that what=face"),
    ],
)
def test_usage_errors_stop_before_any_work(
    net: Path, photos: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    out = tmp_path / "out"
    done = hide(net, *(a.format(photos=photos, out=out) for a in arguments))
    assert message in done.err
    assert done.code == 2
    assert not out.exists()
    assert sorted(p.name for p in photos.rglob("*.*")) == ["a.png", "b.jpg"]


def test_unknown_detector_and_model(photos: Path, tmp_path: Path) -> None:
    done = call("hide", photos, "-o", tmp_path / "out", "--detector", "nose")
    assert done.code == 2
    assert "'nose' is not one of headnet, keypoints, turned, whole" in done.err
    where = ("-o", tmp_path / "out", "--detector", "whole", "--model")
    done = call("hide", photos, *where, "no-such-net")
    assert done.code == 2
    assert "no weights named 'no-such-net'" in done.err
    done = call("hide", photos, *where, tmp_path / "no.onnx")
    assert done.code == 2
    assert "no such weights file" in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("effect", ["mosaic", "blur"])
def test_other_effects_change_the_face(
    net: Path, photos: Path, tmp_path: Path, effect: str
) -> None:
    out = tmp_path / "out"
    assert hide(net, photos / "a.png", "-o", out, "--effect", effect).code == 0
    assert not np.array_equal(decode(out / "a.png"), make_photo())
    assert report_of(out)["settings"]["effect"] == effect


def test_keep_spares_a_part(net: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = hide(net, photos / "a.png", "-o", out, "--what", "head", "--keep", "hair")
    assert done.code == 0
    assert decode(out / "a.png")[14, 20].tolist() == [0, 0, 250]


def test_hide_as_a_process_with_progress(net: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = call_process(
        *("anonymize", photos, "-o", out, "--detector", "whole", "--model", net, "--progress")
    )
    assert (done.code, done.out) == (0, b"")
    assert "2/2" in done.err
    assert "picture/s" in done.err
    assert report_of(out)["counts"]["ok"] == 2


def test_apply_cutout_writes_transparent_png(net: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = call(
        *("apply", "cutout", photos, "-o", out, "--detector", "whole", "--model", net),
        *("--what", "hair", "--feather", "0"),
    )
    assert done.code == 0, done.err
    rgba = decode(out / "below" / "b.jpg.png")
    assert rgba.shape == (64, 80, 4)
    assert not rgba[0, 0].any()
    assert rgba[19, 40, 3] == 255


def test_apply_boolean_flags(net: Path, photos: Path, tmp_path: Path) -> None:
    where = ("--detector", "whole", "--model", net)
    for name, flags in (("with", ["--boxes"]), ("without", ["--no-boxes"])):
        out = tmp_path / name
        done = call("apply", "overlay", photos / "a.png", "-o", out, *where, *flags)
        assert done.code == 0, done.err
        assert report_of(out)["settings"]["boxes"] == (name == "with")
    assert not np.array_equal(
        decode(tmp_path / "with" / "a.png"), decode(tmp_path / "without" / "a.png")
    )


def test_apply_unknown_effect() -> None:
    done = call("apply", "sparkle", "x")
    assert done.code == 2
    assert "No such command 'sparkle'" in done.err


@pytest.mark.parametrize(("flags", "turned"), [((), True), (("--no-turned",), False)])
def test_turned_looks_where_no_head_is_sure(
    flags: tuple[str, ...], turned: bool, net: Path, heads_file: Path, tmp_path: Path
) -> None:
    photo = tmp_path / "a.png"
    photo.write_bytes(encode(make_photo()))
    out = tmp_path / "out"
    weights = ("--detector-weights", heads_file, "--model", net, "--threads", 1)
    done = call("hide", photo, "-o", out, *weights, *flags)
    assert done.code == 0
    assert report_of(out)["settings"]["turned"] is turned
    again = call("hide", photo, "-o", out, *weights, "--resume", *flags)
    assert again.code == 0
    other = ("--turned",) if flags else ("--no-turned",)
    assert call("hide", photo, "-o", out, *weights, "--resume", *other).code == 2


def test_only_hide_turns(net: Path, tmp_path: Path) -> None:
    photo = tmp_path / "a.png"
    photo.write_bytes(encode(make_photo()))
    done = call("apply", "overlay", photo, "-o", tmp_path / "out", "--model", net, "--turned")
    assert done.code == 2
    assert "--turned" in done.err


@pytest.mark.parametrize("verb", ["hide", "segment", "detect"])
def test_jobs_change_nothing_but_the_time(
    verb: str, net: Path, heads_file: Path, photos: Path, tmp_path: Path
) -> None:
    (photos / "broken.png").write_bytes(encode(make_photo())[:90])
    told = []
    for jobs in (1, 3):
        out = tmp_path / f"out{jobs}"
        models = ("--detector", "headnet+whole", "--detector-weights", f"headnet={heads_file}")
        done = call(verb, photos, "-o", out, *models, "--model", net, "--jobs", jobs)
        assert done.code == 1
        files = {p.relative_to(out): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}
        entries = report_of(out)["pictures"]
        for entry in entries:
            entry.pop("seconds")
        told.append((entries, [files[name] for name in files if name.suffix != ".json"]))
    assert told[0] == told[1]
    assert len(told[0][0]) == 3


def test_jobs_need_a_detector_that_looks_at_several(net: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(make_photo()))
    done = call("hide", tmp_path, "-o", tmp_path / "out", "--detector", "yunet", "--jobs", 2)
    assert done.code == 2
    assert "detector 'yunet' looks at one photo at a time" in done.err
    assert not (tmp_path / "out").exists()


def test_the_report_does_not_take_the_place_of_a_result(
    net: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for name in ("a.png", "nested/../a.png", "a.png/report.json"):
        done = hide(net, photos, "-o", out, "--report", out / name, "--force")
        assert done.code == 2, name
        assert "results go to" in done.err and "give another name" in done.err
        assert not (out / "a.png").exists()


def test_json_is_utf8_wherever_it_goes(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")
    for name in ("\u65e5\u672c.png", "\U0001f600.png"):
        (tmp_path / name).write_bytes(encode(make_photo()))
        done = call_process(
            *("hide", tmp_path / name, "-o", tmp_path / "out", "--json", "--detector", "whole"),
            *("--model", net, "--force"),
        )
        assert done.code == 0, done.err
        assert done.json["pictures"][0]["input"] == name


@pytest.mark.parametrize("verb", ["detect", "hide"])
def test_a_score_that_is_no_number(net: Path, photos: Path, tmp_path: Path, verb: str) -> None:
    done = call(verb, photos, "-o", tmp_path / "out", "--detector", "whole", "--min-score", "nan")
    assert done.code == 2
    assert "nan is not a number" in done.err
    assert not (tmp_path / "out").exists()


def test_a_net_that_puts_out_nonsense_fails_its_pictures(
    net: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from faceparts.segment.onnx import OnnxSegmenter

    maps = OnnxSegmenter.maps

    def broken(self: OnnxSegmenter, crops: Any) -> Any:
        found = maps(self, crops)
        found[0, 1, 3, 3] = np.nan
        return found

    monkeypatch.setattr(OnnxSegmenter, "maps", broken)
    done = hide(net, photos, "-o", tmp_path / "out", "--json")
    assert done.json["status"] in ("done", "failed")  # whatever became of them, there is a report


def test_links_that_lead_to_themselves(net: Path, photos: Path, tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for arguments in (("-o", loop), ("-o", tmp_path / "out", "--report", loop / "r.json")):
        done = hide(net, photos, *arguments)
        assert done.code in (1, 2) and len(done.err.strip().splitlines()) <= 4
        assert "Traceback" not in done.err and "loop" in done.err


def test_a_contact_sheet_is_kept_apart_from_the_photos(
    net: Path, photos: Path, tmp_path: Path
) -> None:
    sheet = photos / "below" / "sheet.jpg"
    overlay = ("apply", "overlay", photos, "--detector", "whole", "--model", net)
    done = call(*overlay, "-o", tmp_path / "out", "--contact-sheet", sheet)
    assert done.code == 2 and "lies among the photos of" in done.err
    assert not sheet.exists() and not (tmp_path / "out").exists()
    inside = photos / "out"  # a folder of results is known by its report
    assert call(*overlay, "-o", inside, "--contact-sheet", inside / "sheet.jpg").code == 0
    again = hide(net, photos, "-o", tmp_path / "again", "--json")
    assert [p["input"] for p in again.json["pictures"]] == ["a.png", "below/b.jpg"]


@pytest.mark.parametrize("name", ["jpg", "bmp"])
def test_formats_that_hold_no_transparency_are_refused_at_once(
    net: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "a.png").write_bytes(b"is not read")
    options = ("--detector", "whole", "--model", net, "--format", name)
    for out in (tmp_path / "out", "-"):
        done = call("apply", "cutout", tmp_path / "a.png", "-o", out, *options)
        assert done.code == 2 and f"--format {name}: cannot hold" in done.err
        assert done.err.count("\n") == 1 and not (tmp_path / "out").exists()
    assert call("apply", "overlay", tmp_path / "a.png", "-o", tmp_path / "out", *options).code == 1


def test_a_contact_sheet_is_no_result_of_a_picture(net: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(make_photo()))
    out, options = tmp_path / "out", ("--detector", "whole", "--model", net)
    sheet = ("--contact-sheet", out / "a.png")
    done = call("apply", "overlay", tmp_path / "a.png", "-o", out, *options, *sheet)
    assert done.code == 2 and "results go to" in done.err
    assert not out.exists()


def test_formats_go_by_the_ending_and_are_png_without_one(net: Path, tmp_path: Path) -> None:
    data = encode(make_photo(), "JPEG")
    names = [tmp_path / name for name in ("plain", "a.dat", "b.png", "c.jpeg")]
    for name in names:
        name.write_bytes(data)
    options = ("--detector", "whole", "--model", net)
    out = tmp_path / "out"
    assert call("hide", "-", *names, "-o", out, *options, stdin=data).code == 0
    kinds = {p.name: p.read_bytes()[:4] == b"\x89PNG" for p in out.iterdir() if p.suffix != ".json"}
    assert kinds == {
        **dict.fromkeys(("stdin.png", "plain.png", "a.dat.png", "b.png"), True),
        "c.jpeg": False,
    }
    assert call("hide", "-", "-o", "-", *options, stdin=data).out[:2] == b"\xff\xd8"
    told = " ".join(call("hide", "--help").out.decode().split())
    assert "PNG for standard input, pipes and files without such an ending" in told
