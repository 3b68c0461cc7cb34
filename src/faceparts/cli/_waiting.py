"""Inputs that one has to wait for: standard input, pipes, terminals."""

from __future__ import annotations

import stat
import sys
from pathlib import Path


def is_stream(path: Path | None) -> bool:
    """Whether reading may wait for somebody: standard input (``None``), a pipe, a device.

    What is missing is no stream: reading it fails at once.
    """
    if path is None:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def read_stream(path: Path | None, limit: int) -> bytes:
    """Up to ``limit`` bytes; in the main thread Ctrl-C ends the waiting.

    Raises:
        OSError: it cannot be opened or read.
    """
    if path is None:
        return sys.stdin.buffer.read(limit)
    with path.open("rb") as file:
        return file.read(limit)
