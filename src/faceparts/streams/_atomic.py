"""Files that are there whole or not at all, and never in the place of something dear."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from faceparts.errors import UnwritableOutput


@contextmanager
def path_atomic(
    path: Path, *, force: bool, forbidden: Collection[Path] = (), suffix: str = ".part"
) -> Iterator[Path]:
    """Make an empty temporary file beside ``path`` that takes its name when the block ends well.

    The file is flushed to the disk before it is renamed. Whatever ends the block early (an error,
    Ctrl-C) removes it. A file that appears under the name meanwhile is not overwritten without
    ``force``. Missing folders are made.

    Args:
        path: where the result goes.
        force: replace a file of that name.
        forbidden: files that are never replaced, whatever they are called here: the inputs, and
            what this run has written.
        suffix: ending of the temporary file, for those who write files by name.

    Raises:
        UnwritableOutput: ``path`` is forbidden, exists without ``force``, is a folder, or the
            system refuses (no space, no permission ...); the message says what to do.
    """
    temporary = path.parent / f".faceparts-{secrets.token_hex(8)}{suffix}"
    try:
        with _system_errors(path):
            _check_free(path, force, forbidden)
            path.parent.mkdir(parents=True, exist_ok=True)
            # not tempfile: that makes files for the owner alone, where the umask should rule
            os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | _O_BINARY, 0o666))
        yield temporary
        with _system_errors(path):
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())
            _check_free(path, force)
            _give_name(temporary, path, force)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def open_atomic(path: Path, *, force: bool, forbidden: Collection[Path] = ()) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path`` that takes its name when the block ends well.

    The file is readable and seekable, and ``.name`` is its path; the rest is as in `path_atomic`.

    Raises:
        UnwritableOutput: as `path_atomic`.
    """
    with path_atomic(path, force=force, forbidden=forbidden) as temporary:
        with _system_errors(path):
            file = os.fdopen(os.open(temporary, os.O_RDWR | _O_BINARY), "w+b")
        try:
            yield file
            with _system_errors(path):
                file.flush()
        finally:
            with suppress(OSError):  # buffered bytes of a full disk; the file goes anyway
                file.close()


def write_atomic(path: Path, data: bytes, *, force: bool, forbidden: Collection[Path] = ()) -> None:
    """Write a whole file or nothing; see `open_atomic` for the arguments.

    Raises:
        UnwritableOutput: as `open_atomic`.
    """
    with open_atomic(path, force=force, forbidden=forbidden) as file, _system_errors(path):
        file.write(data)


_O_BINARY: int = getattr(os, "O_BINARY", 0)  # Windows only


def _check_free(path: Path, force: bool, forbidden: Collection[Path] = ()) -> None:
    """Refuse to write over inputs, folders and, without ``force``, anything else."""
    if not os.path.lexists(path):
        return
    if path.is_dir():
        raise UnwritableOutput(f"{path}: a folder; choose another name")
    for other in forbidden:
        if _is_same(path, other):
            raise UnwritableOutput(
                f"{path}: would overwrite the input {other}; choose another output folder"
            )
    if not force:
        raise _exists(path)


def _is_same(path: Path, other: Path) -> bool:
    """Whether both lead to one file, through links or not; what is missing is no file."""
    try:
        return path.samefile(other)
    except OSError:
        return False


def _exists(path: Path) -> UnwritableOutput:
    return UnwritableOutput(f"{path}: exists already; choose another folder or give --force")


def _give_name(temporary: Path, path: Path, force: bool) -> None:
    """Rename; without ``force`` in a way that fails if the name was taken meanwhile."""
    if not force:
        try:
            os.link(temporary, path)
            return
        except FileExistsError:
            raise _exists(path) from None
        except OSError:
            pass  # a file system without hard links: the check just made has to do
    os.replace(temporary, path)


@contextmanager
def _system_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except UnwritableOutput:
        raise
    except OSError as error:
        remedy = _REMEDIES.get(type(error), "free some space or choose another folder")
        why = error.strerror or type(error).__name__
        raise UnwritableOutput(f"{path}: cannot be written ({why}); {remedy}") from error


_REMEDIES: dict[type[OSError], str] = {
    PermissionError: "choose a folder that you may write to",
    FileExistsError: "a file stands where a folder is needed; choose another folder",
    NotADirectoryError: "a file stands where a folder is needed; choose another folder",
}
