"""What a training was made from: hashes that anybody can repeat, read again only after changes."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import faceparts
from faceparts import weights
from faceparts.train import provenance
from faceparts.train.config import Distill, Source
from faceparts.train.provenance import describe, sources, write_run
from train_world import HEADS, PARTS


@pytest.fixture
def root(tmp_path: Path) -> Path:
    top = tmp_path / "data"
    for name, text in {"people/a/1.png": "one", "people/b.txt": "two", "one.onnx": "net"}.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    return top


def test_a_hash_as_sha256sum_prints_it(root: Path) -> None:
    lines = "".join(
        f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n"
        for name, text in (("people/a/1.png", "one"), ("people/b.txt", "two"))
    )
    row = describe(root, "people", {})
    assert row["sha256"] == hashlib.sha256(lines.encode()).hexdigest()
    assert (row["root"], row["files"], row["bytes"]) == ("people", 2, 6)
    assert describe(root, "one.onnx", {})["files"] == 1
    assert describe(root, "shipped-name", {})["files"] == 0


def test_large_files_in_pieces(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = describe(root, "people", {})
    monkeypatch.setattr(provenance, "CHUNK", 2)
    assert describe(root, "people", {}) == whole


def test_what_has_not_changed_is_not_read_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(PARTS, data=(Source("celebamask", "people", "train", 1.0),), val=())
    path = tmp_path / "run.json"
    write_run(recipe, root, path, device="cpu", processes=1)
    first = json.loads(path.read_text())
    assert first["device"] == "cpu"
    assert first["versions"]["python"] == platform.python_version()
    assert first["versions"]["numpy"] == np.__version__
    assert first["versions"]["faceparts"] == faceparts.__version__
    assert first["versions"]["torch"]
    read = []
    real = provenance._hash
    monkeypatch.setattr(provenance, "_hash", lambda p: read.append(p.name) or real(p))
    write_run(recipe, root, path, device="cuda")
    assert read == []
    assert json.loads(path.read_text())["data"] == first["data"]
    (root / "people" / "b.txt").write_text("other")
    write_run(recipe, root, path)
    assert read == ["1.png", "b.txt"]
    (row,) = json.loads(path.read_text())["data"]
    assert row["sha256"] != first["data"][0]["sha256"]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"data": [{}]}'])
def test_a_damaged_file_is_written_anew(text: str, root: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)
    write_run(replace(PARTS, val=()), root, path)
    assert [row["root"] for row in json.loads(path.read_text())["data"]] == ["people"]


def test_all_that_decides_is_described() -> None:
    assert sources(HEADS) == ["empty", "occluders", "people", "rooms"]
    assert sources(replace(PARTS, distill=Distill("one.onnx", 1.0))) == ["one.onnx", "people"]


def test_a_shipped_teacher_has_the_hash_of_its_file(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A net that is no file below the data root had the hash of nothing."""
    (tmp_path / "mine.onnx").write_text("mine")
    monkeypatch.chdir(tmp_path)
    lines = (weights.MODELS / "SHA256SUMS").read_text().splitlines()
    listed = {name: sha256 for sha256, name in map(str.split, lines)}
    mine = hashlib.sha256(b"mine").hexdigest()
    wanted = {
        "partnet": ("partnet.int8.onnx", listed["partnet.int8.onnx"]),
        "mine.onnx": ("mine.onnx", mine),
    }
    for model, (file, sha256) in wanted.items():
        write_run(replace(PARTS, val=(), distill=Distill(model, 1.0)), root, tmp_path / "run.json")
        rows = {row["root"]: row for row in json.loads((tmp_path / "run.json").read_text())["data"]}
        assert rows[model]["file"] == file and rows[model]["sha256"] == sha256
        assert rows[model]["files"] == 1 and rows[model]["bytes"] > 0
        assert rows["people"] == describe(root, "people", {})
    below = provenance.describe_teacher(root, "one.onnx", {})
    assert below == describe(root, "one.onnx", {})


def test_folders_elsewhere_and_names_that_are_no_text(root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / os.fsdecode(b"\xff.png")).write_text("odd")
    row = describe(root, str(elsewhere), {})
    digest = hashlib.sha256(b"odd").hexdigest().encode()
    lines = digest + b"  ../elsewhere/\xff.png\n"
    assert row["sha256"] == hashlib.sha256(lines).hexdigest()
    assert (row["files"], row["bytes"]) == (1, 3)
