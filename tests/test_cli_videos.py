"""``faceparts hide`` with videos: beside photos, with the same promises."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import faceparts.cli._change as change
import faceparts.cli._videos as videos
from cli_world import Done, call, call_process, encode, make_photo
from faceparts.types import Image
from video_world import make_video, read_video


def clip(count: int = 6) -> list[NDArray[np.uint8]]:
    """A red face under blue hair on green, that gets a little paler."""
    frames = [make_photo(48, 64) for _ in range(count)]
    for i, frame in enumerate(frames):
        frame[..., 0][frame[..., 0] > 0] -= 3 * i
    return frames


def hide(net: Path, *arguments: object, verb: str = "hide") -> Done:
    options = ("--detector", "whole", "--model", net, "--threads", 1)
    return call(verb, *arguments, *options)


def report_of(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "faceparts-report.json").read_text("utf-8"))
    return read


def files_of(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    (folder / "below").mkdir(parents=True)
    make_video(folder / "below" / "b.mp4", clip(), codec="mp4v")
    make_video(folder / "c.AVI", clip(4))
    (folder / "a.png").write_bytes(encode(make_photo()))
    (folder / "notes.txt").write_text("no video")
    return folder


def test_photos_and_videos_of_a_folder(net: Path, mixed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = hide(net, mixed, "-o", out, "--progress")
    assert done.code == 0
    assert "3 pictures: 3 with 3 heads, 0 without, 0 failed" in done.err
    assert "(2 of them videos)" in done.err
    assert "below/b.mp4: looking for heads" in done.err
    assert "c.AVI: writing" in done.err
    assert files_of(out) == ["a.png", "below/b.mp4", "c.AVI.mp4", "faceparts-report.json"]
    red = clip(1)[0][..., 0] > 0
    for name, count in (("below/b.mp4", 6), ("c.AVI.mp4", 4)):
        frames = read_video(out / name)
        assert len(frames) == count
        for frame in frames:
            assert frame[red].max() < 40  # black, as far as the encoder can
    report = report_of(out)
    assert [p["input"] for p in report["pictures"]] == ["a.png", "below/b.mp4", "c.AVI"]
    assert report["counts"]["videos"] == 2
    entry = report["pictures"][1]
    assert (entry["width_px"], entry["height_px"], entry["status"]) == (64, 48, "ok")
    assert entry["outputs"] == ["below/b.mp4"]
    assert len(entry["outputs_sha256"][0]) == 64
    assert entry["notes"] == ["sound, subtitles and metadata are not copied"]
    assert entry["video"]["frames"] == 6
    assert entry["video"]["tracks"][0]["frames"] == 6
    assert len(entry["heads"]) == 1
    assert "video" not in report["pictures"][0]


def test_results_are_never_overwritten(net: Path, mixed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert hide(net, mixed / "c.AVI", "-o", out).code == 0
    before = (out / "c.AVI.mp4").read_bytes()
    again = hide(net, mixed / "c.AVI", "-o", out)
    assert again.code == 1
    assert "c.AVI.mp4: exists already; choose another folder with -o or give --force" in again.err
    assert (out / "c.AVI.mp4").read_bytes() == before
    assert hide(net, mixed / "c.AVI", "-o", out, "--color", "white", "--force").code == 0
    assert (out / "c.AVI.mp4").read_bytes() != before
    into_itself = hide(net, mixed / "below" / "b.mp4", "-o", mixed / "below", "--force")
    assert into_itself.code == 2
    assert "inside the output folder" in into_itself.err
    assert files_of(mixed) == ["a.png", "below/b.mp4", "c.AVI", "notes.txt"]
    assert len(read_video(mixed / "below" / "b.mp4")) == 6
    assert read_video(mixed / "below" / "b.mp4")[0][20, 32, 0] > 100  # still its face


def test_an_earlier_result_is_no_input(net: Path, mixed: Path, tmp_path: Path) -> None:
    assert hide(net, mixed, "-o", mixed / "hidden").code == 0
    assert hide(net, mixed, "-o", tmp_path / "out").code == 0
    assert files_of(tmp_path / "out") == [
        "a.png",
        "below/b.mp4",
        "c.AVI.mp4",
        "faceparts-report.json",
    ]


def test_bad_videos_fail_and_the_rest_goes_on(net: Path, mixed: Path, tmp_path: Path) -> None:
    (mixed / "empty.mp4").write_bytes(b"")
    (mixed / "list.mkv").write_text("#EXTM3U\n")
    whole = (mixed / "below" / "b.mp4").read_bytes()
    (mixed / "short.mp4").write_bytes(whole[: len(whole) // 2])
    out = tmp_path / "out"
    options = ("--detector", "whole", "--model", net)
    done = call_process("hide", mixed, "-o", out, *options)  # a process: decoders must be silent
    assert done.code == 1
    lines = done.err.splitlines()
    failed = [line for line in lines if "FAILED" in line]
    assert [line.split(":")[1].strip() for line in failed] == [
        "FAILED empty.mp4",
        "FAILED list.mkv",
        "FAILED short.mp4",
    ]
    assert "empty file" in failed[0]
    assert "no video; wanted MP4" in failed[1]
    assert "cannot be decoded" in failed[2]
    assert all(line.startswith("faceparts: ") for line in lines), lines
    assert files_of(out) == ["a.png", "below/b.mp4", "c.AVI.mp4", "faceparts-report.json"]
    assert report_of(out)["counts"]["failed"] == 3


def test_an_error_in_the_middle_leaves_nothing(
    net: Path, mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = videos.changed

    def spoilt(*arguments: Any) -> Any:
        for number, one in enumerate(real(*arguments)):
            if number == 3:
                raise OSError(28, "No space left on device")
            yield one

    monkeypatch.setattr(videos, "changed", spoilt)
    out = tmp_path / "out"
    done = hide(net, mixed / "below", "-o", out)
    assert done.code == 1
    assert "No space left on device" in done.err
    assert files_of(out) == ["faceparts-report.json"]


def test_a_run_that_was_interrupted_goes_on(
    net: Path, mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, out = videos.look, tmp_path / "out"

    def interrupted(reader: Any, *rest: Any, **named: Any) -> Any:
        if reader.path.name == "c.AVI":
            raise KeyboardInterrupt
        return real(reader, *rest, **named)

    monkeypatch.setattr(videos, "look", interrupted)
    assert hide(net, mixed, "-o", out).code == 130
    assert files_of(out) == ["a.png", "below/b.mp4", "faceparts-report.json"]
    before = (out / "below" / "b.mp4").stat().st_mtime_ns
    monkeypatch.setattr(videos, "look", real)
    done = hide(net, mixed, "-o", out, "--resume")
    assert done.code == 0
    assert "(2 of them done before)" in done.err
    assert (out / "below" / "b.mp4").stat().st_mtime_ns == before
    assert len(read_video(out / "c.AVI.mp4")) == 4


class Weak:
    """A detector that is never sure."""

    def __init__(self, real: Any) -> None:
        self.detect = lambda image: [replace(head, score=0.29) for head in real(image)]


@pytest.mark.parametrize("asked", [(), ("--min-score", "0.1")])
def test_what_never_was_sure_counts_only_on_request(
    net: Path, mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: tuple[str, ...]
) -> None:
    real = change.open_parser

    def weak(*arguments: Any, **options: Any) -> Any:
        opened = real(*arguments, **options)
        return replace(opened, detect=Weak(opened.detect).detect, min_score=0.2)

    monkeypatch.setattr(change, "open_parser", weak)
    done = hide(net, mixed / "c.AVI", "-o", tmp_path / "out", "--no-turned", *asked)
    entry = report_of(tmp_path / "out")["pictures"][0]
    red = clip(1)[0][..., 0] > 0
    shown = read_video(tmp_path / "out" / "c.AVI.mp4")[0][red].max()
    assert done.code == 0
    if asked:
        assert (entry["status"], entry["video"]["tracks_left_out"]) == ("ok", 0)
        assert shown < 40
    else:
        assert (entry["status"], entry["video"]["tracks_left_out"]) == ("no_faces", 1)
        assert "nothing hidden, look at them: c.AVI" in done.err
        assert shown > 200


def test_frames_with_nothing_hidden_are_told_of(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty frames of ten a second: seen at the beginning, and once more far too late."""
    make_video(tmp_path / "a.avi", clip(1) * 40, 10.0)
    real, calls = change.open_parser, iter(range(100))

    def forgetful(*arguments: Any, **options: Any) -> Any:
        opened = real(*arguments, **options)

        def detect(image: Image) -> Any:
            return opened.detect(image) if next(calls) in (0, 30) else []

        return replace(opened, detect=detect)

    monkeypatch.setattr(change, "open_parser", forgetful)
    done = hide(net, tmp_path / "a.avi", "-o", tmp_path / "out", "--no-turned")
    assert done.code == 0
    assert "(1 of them a video)" in done.err
    wanted = "a.avi: nothing hidden in 23 of 40 frames, look at them: 0.6 to 2.4 s, 3.6 to 3.9 s"
    assert wanted in done.err


def test_one_video_to_standard_output_is_refused(net: Path, mixed: Path) -> None:
    done = hide(net, mixed / "c.AVI", "-o", "-")
    assert (done.code, done.out) == (2, b"")
    assert "-o - takes a picture, got a video; use -o DIR" in done.err


def test_effects_on_videos(net: Path, mixed: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    options = ("--detector", "whole", "--model", net)
    shown = ("-o", tmp_path / "out", *options, "--contact-sheet", sheet)
    done = call("apply", "overlay", mixed, *shown)
    assert done.code == 0
    assert files_of(tmp_path / "out") == [
        "a.png",
        "below/b.mp4",
        "c.AVI.mp4",
        "faceparts-report.json",
    ]
    before, after = clip(1)[0].astype(int), read_video(tmp_path / "out" / "c.AVI.mp4")[0]
    red = before[..., 0] > 0
    assert np.abs(after - before)[red].mean() > 20  # part colours
    assert sheet.is_file()  # of the pictures alone
    cut = call("apply", "cutout", mixed, "-o", tmp_path / "cut", *options)
    assert (cut.code, files_of(tmp_path / "cut")) == (0, ["a.png", "faceparts-report.json"])
    given = call("apply", "cutout", mixed / "c.AVI", "-o", tmp_path / "two", *options)
    assert (given.code, "a video file" in given.err) == (1, True)


def test_other_verbs_take_pictures_alone(net: Path, mixed: Path, tmp_path: Path) -> None:
    done = hide(net, mixed, "-o", tmp_path / "out", verb="segment")
    assert done.code == 0
    assert "left out: 1 no picture by its name (.mp4), 1 no picture by its name (.avi)" in done.err
    given = hide(net, mixed / "c.AVI", "-o", tmp_path / "two", verb="segment")
    assert given.code == 1
    assert "c.AVI" in given.err
    assert "but a video file; only 'hide' and 'apply' take videos" in given.err


def test_max_megapixels_counts_for_videos_too(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames: list[Image] = [np.zeros((1000, 1202, 3), np.uint8)] * 2
    make_video(tmp_path / "large.avi", frames, codec="MJPG")
    done = hide(net, tmp_path / "large.avi", "-o", tmp_path / "out", "--max-megapixels", 1)
    assert done.code == 1
    assert "frames of 1202 x 1000 pixels, wanted at most 1 megapixels" in done.err
