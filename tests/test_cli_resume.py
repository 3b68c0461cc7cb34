"""``--resume``: what an interrupted run did stays, the rest is done, nothing else is believed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli_world import SOURCE, Done, call, encode, make_photo
from faceparts.cli import _report, _resume, _session
from faceparts.parse import FaceParser
from faceparts.streams import results
from faceparts.types import Head

REPORT = "faceparts-report.json"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, height in enumerate((48, 64, 72)):
        (folder / f"{number}.png").write_bytes(encode(make_photo(height, 40)))
    return folder


def run(net: Path, photos: Path, out: Path, *arguments: object, verb: str = "hide") -> Done:
    options = ("--detector", "whole", "--model", net, "--threads", 1)
    return call(verb, photos, "-o", out, *options, *arguments)


def told(out: Path, name: str = REPORT) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((out / name).read_text("utf-8"))
    return read


def rewrite(out: Path, **changes: object) -> None:
    (out / REPORT).write_text(json.dumps(told(out) | changes), "utf-8")


@pytest.fixture
def stopped(net: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of a run that was interrupted at the second of three photos."""
    out, parse = tmp_path / "out", FaceParser.parse

    def interrupted(self: FaceParser, image: Any) -> Any:
        if image.shape[0] == 64:
            raise KeyboardInterrupt
        return parse(self, image)

    with monkeypatch.context() as patch:
        patch.setattr(FaceParser, "parse", interrupted)
        assert run(net, photos, out).code == 130
    assert [p.name for p in sorted(out.iterdir())] == ["0.png", REPORT]
    return out


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Heights of the pictures that are looked at."""
    heights: list[int] = []
    parse = FaceParser.parse

    def noted(self: FaceParser, image: Any) -> Any:
        heights.append(image.shape[0])
        return parse(self, image)

    monkeypatch.setattr(FaceParser, "parse", noted)
    return heights


def test_only_the_rest_is_done(net: Path, photos: Path, stopped: Path, seen: list[int]) -> None:
    before = (stopped / "0.png").stat().st_mtime_ns
    done = run(net, photos, stopped, "--resume")
    assert done.code == 0 and seen == [64, 72]
    assert "3 pictures: 3 with 3 heads, 0 without, 0 failed" in done.err
    assert "(1 of them done before)" in done.err
    report = told(stopped)
    assert (report["status"], report["resumed"]) == ("done", 1)
    assert [p["input"] for p in report["pictures"]] == ["0.png", "1.png", "2.png"]
    assert (stopped / "0.png").stat().st_mtime_ns == before
    assert told(stopped, "faceparts-report.1.json")["status"] == "interrupted"
    again = run(net, photos, stopped, "--resume")
    assert again.code == 0 and seen == [64, 72]
    assert told(stopped)["resumed"] == 3


def test_results_that_were_replaced_since_are_not_vouched_for(
    net: Path, photos: Path, tmp_path: Path, seen: list[int]
) -> None:
    out = tmp_path / "out"
    assert run(net, photos, out).code == 0
    first = told(out)["pictures"][0]
    digest = hashlib.sha256((out / "0.png").read_bytes()).hexdigest()
    assert first["outputs_sha256"] == [digest]
    mine = (photos / "0.png").read_bytes()
    (out / "0.png").write_bytes(mine)  # shows the face
    (out / "1.png").unlink()
    seen.clear()
    done = run(net, photos, out, "--resume")
    assert done.code == 1 and seen == [64]
    assert "FAILED 0.png: UnwritableOutput" in done.err and "exists already" in done.err
    assert (out / "0.png").read_bytes() == mine
    assert [p["status"] for p in told(out)["pictures"]] == ["failed", "ok", "ok"]
    (out / "0.png").unlink()
    assert run(net, photos, out, "--resume").code == 0
    assert hashlib.sha256((out / "0.png").read_bytes()).hexdigest() == digest


@pytest.mark.parametrize(("status", "code"), [("running", 0), ("interrupted", 1)])
def test_reports_without_checksums_are_not_believed(
    net: Path, photos: Path, stopped: Path, seen: list[int], status: str, code: int
) -> None:
    pictures = told(stopped)["pictures"]
    del pictures[0]["outputs_sha256"]
    rewrite(stopped, pictures=pictures, status=status)
    assert run(net, photos, stopped, "--resume").code == code
    assert seen == ([64, 72] if code else [48, 64, 72])


def test_failures_are_tried_again(net: Path, photos: Path, tmp_path: Path, seen: list[int]) -> None:
    out, good = tmp_path / "out", (photos / "1.png").read_bytes()
    (photos / "1.png").write_bytes(good[:99])
    assert run(net, photos, out).code == 1 and seen == [48, 72]
    (photos / "1.png").write_bytes(good)
    assert run(net, photos, out, "--resume").code == 0 and seen == [48, 72, 64]
    assert [p["status"] for p in told(out)["pictures"]] == ["ok"] * 3


def test_nothing_to_resume_is_a_new_run(
    net: Path, photos: Path, tmp_path: Path, seen: list[int]
) -> None:
    assert run(net, photos, tmp_path / "out", "--resume").code == 0
    assert seen == [48, 64, 72] and told(tmp_path / "out")["resumed"] == 0


@pytest.mark.parametrize("written", ["{}/", "./{}", "{}//", "{}"])
def test_a_folder_may_be_written_otherwise(
    net: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("-o", "out", "--detector", "whole", "--model", net)
    assert call("hide", "photos", *options).code == 0
    again = call("hide", written.format("photos"), *options, "--resume")
    assert again.code == 0, again.err
    assert told(tmp_path / "out")["resumed"] == 3
    other = call("hide", "photos/0.png", *options, "--resume")
    assert other.code == 2 and "inputs: got" in other.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--margin", "0.2"), "margin: got 0.06 there, wanted 0.2"),
        (("--effect", "mosaic"), "effect: got 'solid' there, wanted 'mosaic'"),
        (("--keep", "hair"), "keep: got"),
        (("--no-recursive",), "recursive: got True there, wanted False"),
    ],
)
def test_other_options_are_refused(
    net: Path, photos: Path, stopped: Path, arguments: tuple[str, ...], named: str
) -> None:
    before = (stopped / REPORT).read_bytes()
    done = run(net, photos, stopped, "--resume", *arguments)
    assert done.code == 2 and named in done.err and "another folder" in done.err
    assert (stopped / REPORT).read_bytes() == before
    assert not (stopped / "1.png").exists()


def test_options_that_do_not_matter(net: Path, photos: Path, stopped: Path) -> None:
    options = ("--resume", "--quiet", "--json", "--threads", 2, "--max-megapixels", 5)
    done = run(net, photos, stopped, *options)
    assert done.code == 0 and done.json["resumed"] == 1


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"verb": "apply"}, "got 'apply' there, wanted 'hide'"),
        ({"models": []}, "other nets"),
        ({"started": "yesterday"}, "not the report of a run"),
        ({"pictures": [{"input": 3}]}, "not the report of a run"),
        ({"pictures": [{"input": "a", "outputs": "b"}]}, "not the report of a run"),
        ({"pictures": 7}, "not the report of a run"),
    ],
)
def test_other_reports_are_refused(
    net: Path, photos: Path, stopped: Path, changes: dict[str, object], named: str
) -> None:
    rewrite(stopped, **changes)
    done = run(net, photos, stopped, "--resume")
    assert done.code == 2 and named in done.err


@pytest.mark.parametrize("text", ["", "[]", "{}", '"a"', "\x00"])
def test_damaged_reports_are_refused(net: Path, photos: Path, stopped: Path, text: str) -> None:
    (stopped / REPORT).write_text(text, "utf-8")
    done = run(net, photos, stopped, "--resume")
    assert done.code == 2 and "not the report of a run" in done.err


def test_a_lost_result_is_made_again(
    net: Path, photos: Path, stopped: Path, seen: list[int]
) -> None:
    (stopped / "0.png").unlink()
    assert run(net, photos, stopped, "--resume").code == 0
    assert seen == [48, 64, 72] and told(stopped)["resumed"] == 0


def test_a_changed_photo_is_looked_at_again(
    net: Path, photos: Path, stopped: Path, seen: list[int]
) -> None:
    (photos / "0.png").write_bytes(encode(make_photo(50, 40)))
    os.utime(photos / "0.png", (time.time() + 60,) * 2)
    assert run(net, photos, stopped, "--resume").code == 0
    assert seen == [50, 64, 72]


def test_a_photo_of_the_same_name_elsewhere_is_another(
    net: Path, photos: Path, tmp_path: Path, seen: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same words on the command line mean other files in another folder."""
    out, here = tmp_path / "out", Path("photos")
    monkeypatch.chdir(tmp_path)
    assert run(net, here, out).code == 0 and seen == [48, 64, 72]
    assert told(out)["pictures"][0]["input_bytes"] == (photos / "0.png").stat().st_size
    (tmp_path / "b" / "photos").mkdir(parents=True)
    (tmp_path / "b" / "photos" / "0.png").write_bytes(encode(make_photo(56, 40)))
    os.utime(tmp_path / "b" / "photos" / "0.png", (1e9,) * 2)
    before = (out / "0.png").read_bytes()
    monkeypatch.chdir(tmp_path / "b")
    done = run(net, here, out, "--resume")
    assert done.code == 1 and "--force" in done.err
    assert (out / "0.png").read_bytes() == before
    assert run(net, here, out, "--force").code == 0
    assert seen[-1] == 56 and (out / "0.png").read_bytes() != before


def test_a_photo_as_long_and_old_is_another(
    net: Path, photos: Path, stopped: Path, seen: list[int]
) -> None:
    """Uncompressed photos of one camera are all as long, and moving a file keeps its time."""
    path = photos / "0.png"
    length, entry = path.stat().st_size, told(stopped)["pictures"][0]
    assert (entry["input_bytes"], entry["input_mtime_ns"]) == (length, path.stat().st_mtime_ns)
    before = (stopped / "0.png").read_bytes()
    changed = encode(make_photo(44, 40))
    path.write_bytes(changed[:length].ljust(length, b"\0"))
    os.utime(path, (1e9,) * 2)
    done = run(net, photos, stopped, "--resume")
    assert done.code == 1 and "--force" in done.err
    assert (stopped / "0.png").read_bytes() == before


def test_reports_from_before_times_were_noted_go_by_length(
    net: Path, photos: Path, stopped: Path, seen: list[int]
) -> None:
    entries = told(stopped)["pictures"]
    for entry in entries:
        del entry["input_mtime_ns"]
    rewrite(stopped, pictures=entries)
    assert run(net, photos, stopped, "--resume").code == 0
    assert seen == [64, 72] and told(stopped)["resumed"] == 1


def test_after_a_kill_what_no_report_tells_of_is_done_again(
    net: Path, photos: Path, stopped: Path, seen: list[int]
) -> None:
    rewrite(stopped, status="running", pictures=[])
    assert run(net, photos, stopped, "--resume").code == 0
    assert seen == [48, 64, 72] and told(stopped)["resumed"] == 0


def test_older_files_are_never_replaced(net: Path, photos: Path, stopped: Path) -> None:
    rewrite(stopped, pictures=[], started=datetime.fromtimestamp(time.time() + 99, UTC).isoformat())
    before = (stopped / "0.png").read_bytes()
    done = run(net, photos, stopped, "--resume")
    assert done.code == 1 and "0.png: exists already" in done.err
    assert (stopped / "0.png").read_bytes() == before


def test_a_run_between_does_not_hide_the_one_before(
    net: Path, photos: Path, stopped: Path, seen: list[int]
) -> None:
    assert run(net, photos, stopped).code == 1  # 0.png exists already
    seen.clear()
    assert run(net, photos, stopped, "--resume").code == 0 and not seen
    assert told(stopped)["resumed"] == 3
    (stopped / "faceparts-report.1.json").write_text("{", "utf-8")
    done = run(net, photos, stopped, "--resume")
    assert done.code == 0 and told(stopped)["resumed"] == 3  # the last report tells it all


def test_the_table_of_heads_is_whole(net: Path, photos: Path, tmp_path: Path) -> None:
    out, once = tmp_path / "out", tmp_path / "once"
    assert run(net, photos, once, verb="detect").code == 0
    assert run(net, photos, out, verb="detect").code == 0
    whole = (out / "heads.csv").read_text("utf-8")
    assert whole == (once / "heads.csv").read_text("utf-8")
    rewrite(out, status="running", pictures=told(out)["pictures"][1:2])
    (out / "heads.csv").write_text("cut off", "utf-8")
    assert run(net, photos, out, "--resume", verb="detect").code == 0
    assert told(out)["resumed"] == 1 and (out / "heads.csv").read_text("utf-8") == whole


def test_heads_come_back_from_the_report() -> None:
    points = Head.no_points()
    points[2] = (3.125, 4.5, 0.75)
    points[4] = (1, 2, np.nan)
    head = Head((1.25, -2, 30.5, 44), 0.5, points, "headnet", ("headnet", "yunet"))
    again = _report.read_head(json.loads(json.dumps(_report.head_entry(head))))
    assert (again.box_xyxy, again.score) == (head.box_xyxy, 0.5)
    assert (again.source, again.seen_by) == ("headnet", ("headnet", "yunet"))
    np.testing.assert_allclose(again.points, points, atol=0.006)


def test_rows_from_a_report_are_those_of_a_whole_run() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        points = np.column_stack([rng.uniform(-20, 20_000, (7, 2)), rng.random(7)])
        points[2], points[3, 2], points[4, :2] = np.nan, np.nan, np.nan
        box = (*rng.uniform(-20, 0, 2).tolist(), *rng.uniform(1, 20_000, 2).tolist())
        head = Head(box, float(rng.random()), points.astype(np.float32), "headnet")
        again = _report.read_head(json.loads(json.dumps(_report.head_entry(head))))
        assert results.head_row("a", 0, again) == results.head_row("a", 0, head)


@pytest.mark.parametrize("verb", ["segment", "detect"])
def test_other_verbs(net: Path, photos: Path, tmp_path: Path, verb: str) -> None:
    out = tmp_path / "out"
    wanted = ("--masks", "--npz") if verb == "segment" else ("--draw",)
    assert run(net, photos / "0.png", out, *wanted, verb=verb).code == 0
    inputs, started = told(out)["settings"]["inputs"], told(out)["started"]
    assert run(net, photos / "0.png", out, *wanted, "--resume", verb=verb).code == 0
    assert told(out)["resumed"] == 1 and told(out)["settings"]["inputs"] == inputs
    rewrite(out, status="running", pictures=[], started=started)
    (out / "faceparts-report.1.json").unlink()
    assert run(net, photos / "0.png", out, *wanted, "--resume", verb=verb).code == 0
    assert (told(out)["resumed"], told(out)["status"]) == (0, "done")


@pytest.mark.parametrize(
    ("verb", "arguments", "named"),
    [
        ("segment", ("--table", "t.csv"), "--resume and --table"),
        ("segment", ("--coco",), "--resume and --coco"),
        ("apply solid", ("--contact-sheet", "s.png"), "--resume and --contact-sheet"),
        ("hide", ("--force",), "--resume and --force exclude each other"),
    ],
)
def test_what_does_not_go_together(
    net: Path, photos: Path, stopped: Path, verb: str, arguments: tuple[str, ...], named: str
) -> None:
    options = ("-o", stopped, "--detector", "whole", "--model", net, "--resume")
    done = call(*verb.split(), photos, *options, *arguments)
    assert done.code == 2 and named in done.err


def test_a_folder_is_needed(net: Path, photos: Path) -> None:
    done = call("detect", photos, "--detector", "whole", "--resume")
    assert done.code == 2 and "--resume needs -o DIR" in done.err


def test_a_long_run_tells_how_far_it_is(
    net: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []
    publish = _session._publish

    def noted(done: Any, paths: Any) -> str:
        counts.append((done["status"], len(done["pictures"])))
        return publish(done, paths)

    monkeypatch.setattr(_session, "_publish", noted)
    monkeypatch.setattr(_resume.Clock, "EVERY_S", 0.0)
    monkeypatch.setattr(_resume.Clock, "SHARE", 0.0)
    assert run(net, photos, tmp_path / "out").code == 0
    assert counts == [("running", n) for n in range(4)] + [("done", 3)]


def test_a_photo_that_vanished_is_no_result(tmp_path: Path) -> None:
    item = _resume.InputFile(tmp_path / "gone.png", "gone.png")
    assert not _resume._holds({"outputs": []}, time.time(), item, tmp_path)
    assert not _resume._holds({"outputs": []}, time.time(), _resume.InputFile(None, "-"), tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_process_can_be_gone_on_with(net: Path, tmp_path: Path) -> None:
    photos, out = tmp_path / "many", tmp_path / "out"
    photos.mkdir()
    for number in range(30):
        (photos / f"{number:02}.png").write_bytes(encode(make_photo(400, 300)))
    arguments = ("hide", photos, "-o", out, "--detector", "whole", "--model", net, "--resume")
    process = subprocess.Popen(
        [sys.executable, "-m", "faceparts", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while len(list(out.glob("*.png"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = call(*arguments)
    assert done.code == 0, done.err
    assert told(out)["counts"]["ok"] == 30
    assert len(list(out.glob("*.png"))) == 30
