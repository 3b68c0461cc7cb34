"""Results are written whole or not at all, and never in the place of something dear."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from faceparts.errors import UnwritableOutput
from faceparts.streams.files import (
    open_atomic,
    write_atomic,
)


def test_writes_and_makes_folders(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "a.bin"
    write_atomic(path, b"data", force=False)
    assert path.read_bytes() == b"data"
    assert os.listdir(path.parent) == ["a.bin"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_file_mode_follows_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_atomic(tmp_path / "a", b"", force=False)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


def test_never_over_a_file_without_force(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(
        UnwritableOutput, match="a: exists already; choose another folder or give --f"
    ):
        write_atomic(path, b"new", force=False)
    assert path.read_bytes() == b"old"
    write_atomic(path, b"new", force=True)
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]


def test_dead_link_in_the_way_counts_as_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.symlink_to("nowhere")
    with pytest.raises(UnwritableOutput, match="exists already"):
        write_atomic(path, b"new", force=False)
    write_atomic(path, b"new", force=True)
    assert path.read_bytes() == b"new"
    assert not path.is_symlink()


@pytest.mark.parametrize("how", ["same", "symlink", "hardlink", "roundabout"])
def test_never_over_an_input_even_with_force(tmp_path: Path, how: str) -> None:
    source = tmp_path / "in.jpg"
    source.write_bytes(b"precious")
    path = tmp_path / "out.jpg"
    if how == "same":
        path = source
    elif how == "symlink":
        path.symlink_to(source)
    elif how == "hardlink":
        os.link(source, path)
    else:
        (tmp_path / "x").mkdir()
        path = tmp_path / "x" / ".." / "in.jpg"
    with pytest.raises(
        UnwritableOutput, match=r"would overwrite the input .*in\.jpg; choose another"
    ):
        write_atomic(path, b"new", force=True, forbidden=[tmp_path / "gone.jpg", source])
    assert source.read_bytes() == b"precious"


def test_folder_in_the_way(tmp_path: Path) -> None:
    with pytest.raises(UnwritableOutput, match="a folder; choose another name"):
        write_atomic(tmp_path, b"", force=True)
    (tmp_path / "file").touch()
    with pytest.raises(UnwritableOutput, match="a file stands where a folder is needed; choose"):
        write_atomic(tmp_path / "file" / "a", b"", force=True)


@pytest.mark.parametrize("step", ["write", "fsync", "close", "link"])
@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.ENOSPC, r"\(No space left on device\); free some space or choose another folder"),
        (errno.EACCES, r"\(Permission denied\); choose a folder that you may write to"),
    ],
)
def test_nothing_stays_when_the_system_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, code: int, remedy: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    if step == "link":
        monkeypatch.setattr(os, "link", refuse)
        monkeypatch.setattr(os, "replace", refuse)
    elif step == "fsync":
        monkeypatch.setattr(os, "fsync", refuse)
    else:
        real = os.fdopen

        def broken(*args: object) -> object:
            file = real(*args)  # type: ignore[call-overload]  # handed through

            class Full:
                fileno = file.fileno
                flush = refuse if step == "close" else file.flush
                close = file.close
                write = refuse if step == "write" else file.write

            Full.write = staticmethod(Full.write)
            Full.flush = staticmethod(Full.flush)
            return Full()

        monkeypatch.setattr(os, "fdopen", broken)
    with pytest.raises(UnwritableOutput, match=f"out: cannot be written {remedy}"):
        write_atomic(tmp_path / "out", b"data", force=False)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt("mine"), ValueError("mine"), OSError(5, "mine")]
)
def test_nothing_stays_when_the_block_ends_early(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with pytest.raises(type(error), match="mine"), open_atomic(path, force=True) as file:
        file.write(b"half")
        raise error
    assert os.listdir(tmp_path) == ["out"]
    assert path.read_bytes() == b"old"


def test_file_that_appears_meanwhile_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out"
    exists = pytest.raises(UnwritableOutput, match="exists already")
    with exists, open_atomic(path, force=False) as file:
        file.write(b"mine")
        path.write_bytes(b"theirs")
    assert path.read_bytes() == b"theirs"
    path.unlink()
    real = os.link

    def late(source: Path, target: Path) -> None:
        path.write_bytes(b"theirs")
        real(source, target)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(UnwritableOutput, match="exists already"):
        write_atomic(path, b"mine", force=False)
    assert path.read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["out"]


def test_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    write_atomic(tmp_path / "a", b"data", force=False)
    assert (tmp_path / "a").read_bytes() == b"data"
    assert os.listdir(tmp_path) == ["a"]


def test_open_file_can_be_read_and_is_hidden(tmp_path: Path) -> None:
    with open_atomic(tmp_path / "a", force=False) as file:
        file.write(b"12345")
        file.seek(1)
        assert file.read(2) == b"23"
        (temporary,) = os.listdir(tmp_path)
        assert temporary.startswith(".")
        assert temporary.endswith(".part")
    assert (tmp_path / "a").read_bytes() == b"12345"
