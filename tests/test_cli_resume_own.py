"""``--resume``: which files in the places of results are the runs' own and may be written again."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from cli_world import Done, call, encode, make_photo

REPORT = "faceparts-report.json"
MINE = b"a picture that the user put there"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two photos, of which the second is cut short."""
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").write_bytes(encode(make_photo()))
    (folder / "b.png").write_bytes(encode(make_photo(64))[:99])
    return folder


@pytest.fixture
def failed(net: Path, photos: Path, tmp_path: Path) -> Path:
    """Results of a run that failed on the second photo, which is whole since."""
    out = tmp_path / "out"
    assert run(net, photos, out).code == 1
    mend(photos)
    return out


def mend(photos: Path) -> None:
    (photos / "b.png").write_bytes(encode(make_photo(64)))


def run(net: Path, photos: Path, out: Path, *arguments: object, verb: str = "hide") -> Done:
    options = ("--detector", "whole", "--model", net, "--threads", 1)
    return call(verb, photos, "-o", out, *options, *arguments)


def told(out: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((out / REPORT).read_text("utf-8"))
    return read


def test_a_file_in_the_place_of_a_failed_picture_stays(
    net: Path, photos: Path, failed: Path
) -> None:
    (failed / "b.png").write_bytes(MINE)
    done = run(net, photos, failed, "--resume")
    assert done.code == 1 and "FAILED b.png: UnwritableOutput" in done.err
    assert (failed / "b.png").read_bytes() == MINE
    (failed / "b.png").unlink()
    assert run(net, photos, failed, "--resume").code == 0


@pytest.mark.parametrize("shift_s", [0, -1])
def test_it_stays_after_a_killed_run_too(
    net: Path, photos: Path, failed: Path, shift_s: int
) -> None:
    """A report before tells of a run that was killed; the file may be as old as that."""
    started = datetime.fromisoformat(told(failed)["started"]).timestamp()
    killed = {**told(failed), "status": "running", "pictures": []}
    killed["started"] = datetime.fromtimestamp(started - 9).astimezone().isoformat()
    (failed / "faceparts-report.1.json").write_text(json.dumps(killed), "utf-8")
    (failed / "b.png").write_bytes(MINE)
    os.utime(failed / "b.png", (started + shift_s,) * 2)
    done = run(net, photos, failed, "--resume")
    assert done.code == 1 and "FAILED b.png: UnwritableOutput" in done.err
    assert (failed / "b.png").read_bytes() == MINE


def test_a_file_in_the_place_of_a_new_picture_stays(net: Path, photos: Path, failed: Path) -> None:
    started = datetime.fromisoformat(told(failed)["started"]).timestamp()
    killed = {**told(failed), "status": "running", "pictures": []}
    killed["started"] = datetime.fromtimestamp(started - 9).astimezone().isoformat()
    (failed / "faceparts-report.1.json").write_text(json.dumps(killed), "utf-8")
    (photos / "c.png").write_bytes(encode(make_photo(72)))
    (failed / "c.png").write_bytes(MINE)  # long after the killed run had ended
    done = run(net, photos, failed, "--resume")
    assert done.code == 1 and "FAILED c.png: UnwritableOutput" in done.err
    assert (failed / "c.png").read_bytes() == MINE
    assert [p["status"] for p in told(failed)["pictures"]] == ["ok", "ok", "failed"]


def test_a_table_that_was_edited_stays(net: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(net, photos, out, verb="detect").code == 1
    mend(photos)
    table = (out / "heads.csv").read_bytes()
    (out / "heads.csv").write_bytes(MINE)
    done = run(net, photos, out, "--resume", verb="detect")
    assert done.code == 2 and "heads.csv: exists already" in done.err
    assert (out / "heads.csv").read_bytes() == MINE
    (out / "heads.csv").write_bytes(table)
    done = run(net, photos, out, "--resume", verb="detect")
    assert done.code == 0, done.err
    assert (out / "heads.csv").read_bytes() != table


def test_a_report_elsewhere_is_replaced_if_it_is_the_run_s(
    net: Path, photos: Path, tmp_path: Path
) -> None:
    out, report = tmp_path / "out", tmp_path / "report.json"
    assert run(net, photos, out, "--report", report).code == 1
    mend(photos)
    kept = report.read_bytes()
    report.write_bytes(MINE)
    done = run(net, photos, out, "--report", report, "--resume")
    assert done.code == 2 and "report.json: exists already" in done.err
    assert report.read_bytes() == MINE
    report.write_bytes(kept)
    assert run(net, photos, out, "--report", report, "--resume").code == 0
    assert report.read_bytes() == (out / REPORT).read_bytes()


def test_results_of_a_picture_that_lost_one_are_made_again(
    net: Path, photos: Path, tmp_path: Path
) -> None:
    mend(photos)
    out = tmp_path / "out"
    assert run(net, photos, out, "--masks", verb="segment").code == 0
    (out / "a.png.labels.png").unlink()
    done = run(net, photos, out, "--masks", "--resume", verb="segment")
    assert done.code == 0, done.err
    assert (out / "a.png.labels.png").exists() and told(out)["resumed"] == 1
    (out / "a.png.labels.png").unlink()
    (out / "a.png.masks" / "000_hair.png").write_bytes(MINE)
    done = run(net, photos, out, "--masks", "--resume", verb="segment")
    assert done.code == 1 and "FAILED a.png: UnwritableOutput" in done.err
    assert (out / "a.png.masks" / "000_hair.png").read_bytes() == MINE


def test_masks_of_a_photo_before_go_with_it(net: Path, photos: Path, tmp_path: Path) -> None:
    mend(photos)
    out = tmp_path / "out"
    assert run(net, photos, out, "--masks", verb="segment").code == 0
    masks = out / "a.png.masks"
    (masks / "001_hair.png").write_bytes((masks / "000_hair.png").read_bytes())
    photo = make_photo()
    photo[..., 2] = 0  # no blue, no hair
    (photos / "a.png").write_bytes(encode(photo))
    os.utime(photos / "a.png", (datetime.now().timestamp() + 60,) * 2)
    done = run(net, photos, out, "--masks", "--resume", verb="segment")
    assert done.code == 0, done.err
    assert {p.name for p in masks.iterdir()} == {"000_skin.png", "001_hair.png"}
