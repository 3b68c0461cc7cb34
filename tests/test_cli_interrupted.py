"""Ctrl-C and SIGTERM: what is finished stays, the report tells, nothing is half written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli_world import SOURCE, call, encode, make_photo
from faceparts.cli import _waiting, main
from faceparts.parse import FaceParser


def press_ctrl_c() -> None:
    raise KeyboardInterrupt


def terminate() -> None:
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL  # or this very process ends
    signal.raise_signal(signal.SIGTERM)


either = pytest.mark.parametrize("interrupt", [press_ctrl_c, terminate])


@either
def test_before_the_work(interrupt: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main.faceparts, "main", lambda **_: interrupt())
    done = call("models")
    assert (done.code, done.err) == (130, "faceparts: interrupted\n")


@either
def test_what_is_finished_stays(
    interrupt: Callable[[], None], net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    (photos / "a.png").write_bytes(encode(make_photo()))
    (photos / "b.png").write_bytes(encode(make_photo(64, 80)))
    parse = FaceParser.parse

    def interrupted(self: FaceParser, image: Any) -> Any:
        if image.shape[0] == 64:
            interrupt()
        return parse(self, image)

    monkeypatch.setattr(FaceParser, "parse", interrupted)
    done = call("hide", photos, "-o", out, "--detector", "whole", "--model", net)
    assert done.code == 130
    assert "interrupted after 1 picture" in done.err
    report = json.loads((out / "faceparts-report.json").read_text("utf-8"))
    assert report["status"] == "interrupted"
    assert [entry["input"] for entry in report["pictures"]] == ["a.png"]
    assert sorted(p.name for p in out.iterdir()) == ["a.png", "faceparts-report.json"]


@either
def test_no_part_of_a_file_stays(
    interrupt: Callable[[], None], net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(encode(make_photo()))
    out, sync = tmp_path / "out", os.fsync

    def interrupted(file: int) -> None:
        sync(file)
        if (out / "faceparts-report.json").exists() and not finished:
            finished.append(file)
            interrupt()

    finished: list[int] = []
    monkeypatch.setattr(os, "fsync", interrupted)
    options = ("--detector", "whole", "--model", net)
    done = call("hide", tmp_path / "a.png", "-o", out, *options)
    assert done.code == 130
    assert finished
    report = json.loads((out / "faceparts-report.json").read_text("utf-8"))
    listed = {name for entry in report["pictures"] for name in entry["outputs"]}
    assert {p.name for p in out.iterdir()} == listed | {"faceparts-report.json"}
    # A signal waits until the file is whole and in the report; an exception takes it back.
    assert listed == ({"a.png"} if interrupt is terminate else set())


def test_the_signal_is_given_back_and_a_second_one_kills() -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert before is signal.SIG_DFL
    with pytest.raises(KeyboardInterrupt), main._sigterm_interrupts():
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        try:
            terminate()
        finally:
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    with main._sigterm_interrupts():
        pass
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with main._sigterm_interrupts():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_threads_leave_the_signal_alone() -> None:
    seen: list[object] = []

    def work() -> None:
        with main._sigterm_interrupts():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]


def test_a_real_process(net: Path, tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    (photos / "0000.png").write_bytes(encode(make_photo()))
    for i in range(1, 2000):
        os.link(photos / "0000.png", photos / f"{i:04}.png")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "faceparts", "hide", photos, "-o", out),
            *("--detector", "whole", "--model", net, "--threads", "1", "--no-progress"),
        ],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONWARNINGS": "error"},
        stderr=subprocess.PIPE,
    )
    until = time.monotonic() + 100
    while not (out / "0000.png").exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.terminate()
    _, err = process.communicate(timeout=100)
    assert process.returncode == 130, err
    assert b"interrupted after" in err
    report = json.loads((out / "faceparts-report.json").read_text("utf-8"))
    assert report["status"] == "interrupted"
    listed = {name for entry in report["pictures"] for name in entry["outputs"]}
    assert listed
    assert {p.name for p in out.iterdir()} == listed | {"faceparts-report.json"}


def wait_and_press_ctrl_c(*arguments: object, stdin: int | None, out: Path) -> tuple[int, str]:
    """Start a process, press Ctrl-C once it waits for its input; its exit code and messages."""
    process = subprocess.Popen(
        [sys.executable, "-m", "faceparts", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONWARNINGS": "error"},
        stdin=stdin,
        stderr=subprocess.PIPE,
        # a shell's background jobs ignore Ctrl-C, and so would all that they start
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    try:
        until = time.monotonic() + 100
        while not (out / "faceparts-report.json").exists() and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(1)  # now it waits for a picture that does not come
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
    finally:
        process.kill()
        _, err = process.communicate()
    return code, err.decode()


@pytest.mark.parametrize("source", ["standard input", "pipe", "pipe that somebody holds open"])
def test_ctrl_c_while_waiting_for_a_picture(source: str, net: Path, tmp_path: Path) -> None:
    out, path, holder = tmp_path / "out", tmp_path / "pipe.png", -1
    os.mkfifo(path)
    if source == "pipe that somebody holds open":
        holder = os.open(path, os.O_RDWR)
        os.write(holder, encode(make_photo())[:99])
    try:
        code, err = wait_and_press_ctrl_c(
            *("hide", "-" if source == "standard input" else path, "-o", out),
            *("--detector", "whole", "--model", net, "--threads", "1"),
            stdin=subprocess.PIPE if source == "standard input" else None,
            out=out,
        )
    finally:
        if holder >= 0:
            os.close(holder)
    assert code == 130, err
    assert err.count("\n") == 1
    assert "interrupted after 0 pictures" in err
    report = json.loads((out / "faceparts-report.json").read_text("utf-8"))
    assert report["status"] == "interrupted"
    assert [p.name for p in out.iterdir()] == ["faceparts-report.json"]


def test_ctrl_c_while_a_picture_for_standard_output_is_awaited(net: Path, tmp_path: Path) -> None:
    report = tmp_path / "faceparts-report.json"
    code, err = wait_and_press_ctrl_c(
        *("segment", "-", "-o", "-", "--report", report),
        *("--detector", "whole", "--model", net, "--threads", "1"),
        stdin=subprocess.PIPE,
        out=tmp_path,
    )
    assert code == 130, err
    assert err.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["faceparts-report.json"]


def test_pictures_out_of_pipes_and_files_in_turn(net: Path, tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(encode(make_photo()))
    for name in ("a.png", "c.png"):
        os.mkfifo(tmp_path / name)

    def feed() -> None:
        for name in ("a.png", "c.png"):
            (tmp_path / name).write_bytes(encode(make_photo()))

    thread = threading.Thread(target=feed)
    thread.start()
    names = [tmp_path / f"{letter}.png" for letter in "abc"]
    done = call("hide", *names, "-o", tmp_path / "out", "--detector", "whole", "--model", net)
    thread.join()
    assert done.code == 0, done.err
    hidden = [(tmp_path / "out" / name.name).read_bytes() for name in names]
    assert hidden[0] == hidden[1] == hidden[2]


def test_a_pipe_that_may_not_be_read_is_that_picture_s_failure(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(encode(make_photo()))

    def refuse(path: object, limit: int) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(_waiting, "read_stream", refuse)
    names = (tmp_path / "a.png", tmp_path / "b.png")
    done = call("hide", *names, "-o", tmp_path / "out", "--detector", "whole", "--model", net)
    assert done.code == 1
    assert "FAILED a.png: PermissionError" in done.err
    assert (tmp_path / "out" / "b.png").exists()
