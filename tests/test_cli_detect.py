"""``faceparts detect`` and ``models``: rows and cards."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest

from cli_world import call, call_process, decode, encode, make_card, make_net, make_photo
from faceparts import weights
from faceparts.types import Head, Image


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").write_bytes(encode(make_photo()))
    (folder / "b.jpg").write_bytes(encode(make_photo(96, 80), "JPEG"))
    return folder


def test_rows_on_standard_output(photos: Path) -> None:
    done = call("detect", photos, "--detector", "whole")
    assert done.code == 0, done.err
    rows = list(csv.DictReader(io.StringIO(done.out.decode())))
    assert [(r["picture"], r["head"], r["right_px"], r["bottom_px"]) for r in rows] == [
        ("a.png", "0", "40.0", "48.0"),
        ("b.jpg", "0", "80.0", "96.0"),
    ]
    assert rows[0]["nose_x_px"] == ""


def test_rows_as_json(photos: Path) -> None:
    done = call("detect", photos, "--detector", "whole", "--rows", "json")
    assert [row["picture"] for row in done.json] == ["a.png", "b.jpg"]
    assert done.json[0]["nose_x_px"] is None


def test_report_on_standard_output_takes_the_place_of_rows(photos: Path) -> None:
    done = call("detect", photos, "--detector", "whole", "--json")
    assert done.json["counts"]["heads"] == 2
    assert "parts_px" not in done.json["pictures"][0]["heads"][0]


def test_rows_and_drawings_in_a_folder(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = call("detect", photos, "-o", out, "--detector", "whole", "--draw")
    assert (done.code, done.out) == (0, b"")
    assert sorted(p.name for p in out.iterdir()) == [
        *("a.png.heads.png", "b.jpg.heads.png", "faceparts-report.json", "heads.csv")
    ]
    drawn = decode(out / "a.png.heads.png")
    assert drawn.shape == (48, 40, 3)
    assert not np.array_equal(drawn, make_photo())
    done = call("detect", photos, "-o", out, "--detector", "whole")
    assert done.code == 2
    assert "heads.csv: exists already" in done.err


def test_file_names_that_are_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"bad\xff.png")
    (tmp_path / name).write_bytes(encode(make_photo()))
    done = call("detect", tmp_path, "--detector", "whole", "--json", "--report", tmp_path / "r")
    assert done.code == 0, done.err
    assert done.json["pictures"][0]["input"] == name
    assert json.loads((tmp_path / "r").read_text("utf-8")) == done.json
    assert (
        call("detect", tmp_path, "--detector", "whole").out.splitlines()[1][:9] == b"bad\xff.png,"
    )
    rows = call("detect", tmp_path, "--detector", "whole", "--rows", "json").json
    assert rows[0]["picture"] == name


def test_nothing_found(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from faceparts.detect.whole import WholePicture

    def nothing(self: WholePicture, image: Image) -> list[Head]:
        return []

    header = call("detect", photos, "--detector", "whole").out.splitlines()[0]
    monkeypatch.setattr(WholePicture, "detect", nothing)
    assert call("detect", photos, "--detector", "whole").out == header + b"\n"
    done = call("detect", photos, "--detector", "whole", "--rows", "json")
    assert (done.code, done.json) == (0, [])
    assert "0 with 0 heads, 2 without" in done.err


def test_draw_needs_a_folder(photos: Path) -> None:
    done = call("detect", photos, "--detector", "whole", "--draw")
    assert done.code == 2
    assert "--draw needs a folder" in done.err


def test_bad_weights_for_the_detector(photos: Path, tmp_path: Path) -> None:
    net = make_net(tmp_path / "colours.onnx")
    done = call("detect", photos, "--detector-weights", net)
    assert done.code == 1
    assert "is a net for 'segment', wanted one for 'detect'" in done.err


def test_hide_asks_for_half_the_detectors_threshold(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from faceparts.detect import headnet
    from faceparts.detect.whole import WholePicture

    heads = make_net(tmp_path / "heads.onnx")
    net = make_net(tmp_path / "colours.onnx")
    asked: list[float | None] = []

    class WithCard(WholePicture):
        card = make_card(task="detect", label_set="", input_px=0, threshold=0.4)

    def load(path: Path, *, min_score: float | None, **_: object) -> WithCard:
        asked.append(min_score)
        return WithCard()

    monkeypatch.setattr(headnet, "load", load)
    where = ("--detector-weights", heads, "--model", net)
    assert call("hide", photos / "a.png", "-o", tmp_path / "hidden", *where).code == 0
    assert call("segment", photos / "a.png", "-o", tmp_path / "parts", *where).code == 0
    minimum = ("--min-score", "0.3")
    assert call("hide", photos / "a.png", "-o", tmp_path / "more", *where, *minimum).code == 0
    assert asked == [None, 0.2, None, 0.3]
    settings = json.loads((tmp_path / "hidden" / "faceparts-report.json").read_text())["settings"]
    assert settings["min_score"] == 0.2


def test_detect_as_a_process(photos: Path) -> None:
    done = call_process("detect", "-", "--detector", "whole", stdin=encode(make_photo()))
    assert done.code == 0, done.err
    assert done.out.decode().splitlines()[1].startswith("-,0,1.0,0.0,0.0,40.0,48.0")


def test_models_of_a_file(tmp_path: Path) -> None:
    net = make_net(tmp_path / "colours.onnx")
    done = call("models", net)
    assert done.code == 0
    text = done.out.decode()
    for told in (
        "colours",
        "32 x 32 px",
        "left_eye",
        "Apache-2.0",
        "mean_f1 0.5",
        "commercial yes",
    ):
        assert told in text.replace("  ", " ")
    (row,) = call("models", net, "--json").json
    assert row["parts"][0] == "skin"
    assert row["size_bytes"] == net.stat().st_size
    assert row["commercial_ok"] is True
    assert row["file"] == "colours.onnx"


def test_models_as_a_process() -> None:
    done = call_process("models", "--json")
    assert done.code == 0, done.err
    assert isinstance(done.json, list)


def test_models_without_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "MODELS", tmp_path)
    done = call("models")
    assert (done.code, done.out) == (0, b"")
    assert "no nets are shipped" in done.err


def test_models_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"nothing")
    done = call("models", tmp_path / "a.onnx")
    assert done.code == 1
    assert "BadWeights" in done.err
