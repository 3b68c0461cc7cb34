"""``faceparts data ... --force``: nothing of an earlier run passes for the new one's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage

from cli_world import Done, call, encode, make_photo
from data_world import face_ids, save_set
from faceparts.cli import _data_earlier, _data_folder
from faceparts.cli._data_folder import PairsFolder
from faceparts.datasets import fasseg, pairs
from faceparts.labels import LFW3


def convert(root: Path, out: Path, split: str, *more: object) -> Done:
    return call("data", "convert", f"celebamask:{root}:{split}", out, "--label-set", "lfw3", *more)


def files_of(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return save_set(tmp_path / "set")


def test_forced_convert_leaves_no_earlier_pairs(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert convert(root, out, "train").code == 0
    (out / "notes.txt").write_text("dear")
    done = convert(root, out, "val", "--force")
    assert done.code == 0, done.err
    assert [pair.key for pair in pairs.load(out, "all").pairs] == ["v0", "v1"]
    assert files_of(out / "images") == ["v0.jpg", "v1.jpg"]
    assert (out / "notes.txt").read_text() == "dear"


def test_forced_clean_leaves_no_earlier_pairs(tmp_path: Path) -> None:
    out = tmp_path / "out"
    paint = np.uint8([fasseg.PAINT[part] for part in fasseg.PAINT])
    for folder, name in (("one", "a.png"), ("other", "b.png")):
        (tmp_path / folder).mkdir()
        PilImage.fromarray(paint[face_ids() % 6]).save(tmp_path / folder / name)
        done = call("data", "clean", tmp_path / folder, out, "--palette", "fasseg", "--force")
        assert done.code == 0, done.err
    assert files_of(out / "masks") == ["b.png"]


def test_forced_pseudolabel_leaves_no_earlier_crops(net: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name, layout in (("a.png", "pairs"), ("b.png", "facecrops")):
        (tmp_path / name).write_bytes(encode(make_photo(96, 80)))
        done = call(
            *("data", "pseudolabel", tmp_path / name, out, "--detector", "whole", "--force"),
            *("--model", net, "--threads", 1, "--layout", layout),
        )
        assert done.code == 0, done.err
    wanted = ["classes.json", "crops/b_00.jpg", "crops/b_00.png", "report.json"]
    assert files_of(out) == wanted


@pytest.mark.parametrize(
    "report",
    [
        None,
        "{",
        "[]",
        '{"pictures": {}}',
        '{"faceparts_data_answers": 1, "pictures": 3}',
        '{"faceparts_data_convert": 1, "pictures": {"a": {"files": ["masks/a.png", 3]}}}',
        '{"faceparts_data_convert": 1, "pictures": {"a": {"files": ["masks/b.png", ""]}}}',
    ],
)
def test_pairs_that_no_report_names_are_not_touched(
    report: str | None, root: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / "masks").mkdir(parents=True)
    (out / "masks" / "a.png").write_text("dear")
    if report is not None:
        (out / "report.json").write_text(report)
    before = files_of(out)
    done = convert(root, out, "train", "--force")
    assert done.code == 2
    assert f"{out}: holds masks/a.png (1 such files), which no report.json" in done.err
    assert "choose another folder, or remove them" in done.err
    assert files_of(out) == before and (out / "masks" / "a.png").read_text() == "dear"


def test_only_what_lies_in_the_folder_is_removed(root: Path, tmp_path: Path) -> None:
    out, outside = tmp_path / "out", tmp_path / "dear.png"
    outside.write_text("dear")
    out.mkdir()
    names = [str(outside), "../dear.png", "masks/../../dear.png", "notes.txt"]
    (out / "notes.txt").write_text("dear")
    report = {"faceparts_data_clean": 1, "pictures": {"a": {"files": names}}}
    (out / "report.json").write_text(json.dumps(report))
    assert _data_earlier.listed(out) == []
    assert convert(root, out, "train", "--force").code == 0
    assert outside.read_text() == (out / "notes.txt").read_text() == "dear"


def test_what_an_interrupted_run_wrote_is_named(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, real = tmp_path / "out", _data_folder.encode_labels

    def stop(*arguments: object) -> bytes:
        if (out / "masks" / "t1.png").exists():
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(_data_folder, "encode_labels", stop)
        assert convert(root, out, "train").code == 130
    assert sorted(p.name for p in _data_earlier.listed(out) or ()) == [
        *("t0.jpg", "t0.png", "t1.jpg", "t1.png"),
    ]
    assert convert(root, out, "val").code == 2
    assert convert(root, out, "val", "--force").code == 0
    assert files_of(out / "masks") == ["v0.png", "v1.png"]


def test_a_list_that_cannot_be_written_hides_no_error(tmp_path: Path) -> None:
    (tmp_path / "report.json").mkdir()
    with pytest.raises(KeyboardInterrupt), PairsFolder(tmp_path, LFW3, force=False) as folder:
        folder.add("a", np.zeros((2, 2), np.uint8))
        raise KeyboardInterrupt
