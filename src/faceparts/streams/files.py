"""Which pictures a command line means, what their results are called, and safe writing.

Three promises: no result is taken for an input, no two inputs share a result, and no file is lost
or left half written (`write_atomic`).
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path, PurePosixPath

from faceparts._headers import one_line
from faceparts.errors import UsageError
from faceparts.images import READ_ONLY_SUFFIXES, SUFFIXES
from faceparts.streams._atomic import open_atomic, path_atomic, write_atomic

__all__ = [
    "PICTURE_SUFFIXES",
    "REPORT_NAME",
    "VIDEO_SUFFIXES",
    "InputFile",
    "find_inputs",
    "is_video",
    "list_inputs",
    "open_atomic",
    "output_path",
    "path_atomic",
    "write_atomic",
]

REPORT_NAME = "faceparts-report.json"
"""Every run leaves this file in its output folder; folders with it hold results, not inputs."""

_READABLE_SUFFIXES = tuple(
    suffix for suffixes in (SUFFIXES | READ_ONLY_SUFFIXES).values() for suffix in suffixes
)
PICTURE_SUFFIXES = frozenset(
    (
        *_READABLE_SUFFIXES,
        *(".mpo", ".gif", ".heics", ".avifs", ".jxl", ".jxr"),
        *(".jp2", ".j2k", ".jpx", ".psd", ".tga", ".ppm", ".pgm", ".pnm"),
        *(".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw"),
    )
)
"""What is taken from inside folders. Most of the later ones cannot be read: they are refused by
name, one error each, because a photo that is silently left out is worse than an error."""

VIDEO_SUFFIXES = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".mkv", ".webm", ".avi", ".wmv", ".asf"),
        *(".mpg", ".mpeg", ".m2v", ".mts", ".m2ts", ".flv", ".ogv"),
    )
)
"""What is taken for a video by its name, where videos are asked for."""

_STDIN_STEM = "stdin"

_Found = tuple[Path | None, Path]
"""A file (``None``: standard input) and the folder that its key starts at."""


@dataclass(frozen=True)
class InputFile:
    """One picture to read.

    Args:
        path: where it is; ``None`` for standard input.
        key: its name in reports and below the output folder: a relative path with ``/`` and never
            ``..``; ``"-"`` for standard input.
    """

    path: Path | None
    key: str


def is_video(path: Path | None) -> bool:
    """Whether a file is a video by its name."""
    return path is not None and path.suffix.lower() in VIDEO_SUFFIXES


def find_inputs(
    arguments: Sequence[str], *, out_dir: Path | None, recursive: bool = True
) -> list[InputFile]:
    """`list_inputs` without the files that were passed over."""
    return list_inputs(arguments, out_dir=out_dir, recursive=recursive)[0]


def list_inputs(
    arguments: Sequence[str], *, out_dir: Path | None, recursive: bool = True, videos: bool = False
) -> tuple[list[InputFile], dict[str, int]]:
    """Expand the arguments of a command line into pictures.

    An argument is a file (always taken), a folder, a pattern (``*``, ``?``, ``[...]``, ``**``) or
    ``-`` for standard input. An existing file of a pattern's name comes first. From folders and
    patterns come only files that look like pictures (`PICTURE_SUFFIXES`) and are not hidden.
    Folders below are entered, also through links, each once.

    Left out: everything inside ``out_dir`` and inside folders with a `REPORT_NAME`, and the second
    and further mention of one file, whatever links lead to it; a file goes before links to it.

    The key is the path below the argument's folder (below a pattern's fixed part). Where two
    inputs would share a key, both get as many of their parent folders in front as it takes.

    Args:
        arguments: as the user gave them.
        out_dir: where results will go; ``None`` if they go nowhere.
        recursive: enter folders inside folders.
        videos: take videos from folders and patterns too (`VIDEO_SUFFIXES`).

    Returns:
        Inputs in the order of the arguments, inside a folder sorted by path; at least one. And how
        many files of folders and patterns were passed over, and results left out, by reason.

    Raises:
        UsageError: an argument matches nothing (all such are listed), a folder cannot be listed,
            or no picture is left; the message says what was left out and why.
    """
    found: list[_Found] = []
    missing = []
    passed: Counter[str] = Counter()
    wanted = PICTURE_SUFFIXES | VIDEO_SUFFIXES if videos else PICTURE_SUFFIXES
    for argument in arguments:
        if argument == "-":
            found.append((None, Path()))
        elif argument and os.path.lexists(argument):
            path = Path(argument)
            base = path if path.is_dir() else path.parent
            found += _expand(path, base, recursive, wanted, passed)
        elif matches := _match(argument, wanted, passed):
            base = _fixed_part(argument)
            for match in matches:
                found += _expand(match, base, recursive, wanted, passed)
        else:
            missing.append(argument or "''")
    if missing:
        raise UsageError(f"not found: {', '.join(missing)}; check the spelling")
    chosen, results = _without_results(_without_repeats(found), out_dir)
    if not chosen:
        told = ", ".join(f"{count} {reason}" for reason, count in results.items())
        why = f"; left out {told}" if told else f"; looked for {_told(wanted)}"
        raise UsageError(
            f"no pictures{' or videos' * videos} in: {', '.join(arguments) or 'no arguments'}{why}"
        )
    return _with_keys(chosen), dict(passed) | results


def output_path(item: InputFile, out_dir: Path, *, suffix: str) -> Path:
    """Where the result of an input goes: its key below the output folder.

    One rule for every kind of result: a name that has the wanted ending keeps it
    (``a.png`` -> ``a.png``, and ``a.jpeg`` for ``.jpg``); any other gets it appended
    (``a.jpg`` -> ``a.jpg.png``), as does one that looks like such a result
    (``a.jpg.png`` -> ``a.jpg.png.png``). So pictures that differ in name differ in result.

    Args:
        item: the input; standard input is called ``stdin``.
        out_dir: the output folder.
        suffix: the wanted ending with its dot: ``".png"``, ``".labels.png"``.

    Raises:
        ValueError: ``suffix`` without a dot in front, or a key that leads out of the folder.

    Example:
        >>> output_path(InputFile(Path("p/a.jpg"), "a.jpg"), Path("out"), suffix=".png").name
        'a.jpg.png'
    """
    if not suffix.startswith(".") or "/" in suffix:
        raise ValueError(f"suffix: got {suffix!r}, wanted one such as '.png'")
    key = PurePosixPath(_STDIN_STEM if item.path is None else item.key)
    if key.is_absolute() or ".." in key.parts or not key.name:
        raise ValueError(f"key: got {item.key!r}, wanted a relative path without '..'")
    own = key.suffix.lower()
    before = PurePosixPath(key.stem).suffix.lower()
    if own in _same_kind(suffix) and before not in PICTURE_SUFFIXES | VIDEO_SUFFIXES:
        return out_dir / key
    return out_dir / key.with_name(key.name + suffix)


# ---- parts --------------------------------------------------------------------------------------


def _same_kind(suffix: str) -> tuple[str, ...]:
    """All endings of the format that an ending stands for."""
    suffix = suffix.lower()
    return next((known for known in SUFFIXES.values() if suffix in known), (suffix,))


def _is_named_so(name: str, wanted: frozenset[str]) -> bool:
    return not name.startswith(".") and PurePosixPath(name).suffix.lower() in wanted


def _told(wanted: frozenset[str]) -> str:
    return " ".join(sorted((wanted - PICTURE_SUFFIXES) | set(_READABLE_SUFFIXES)))


def _is_file(path: Path) -> bool:
    """A regular file, or a dead link: that one is worth an error line later, unlike a socket."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True


def _expand(
    path: Path, base: Path, recursive: bool, wanted: frozenset[str], passed: Counter[str]
) -> list[_Found]:
    """Files of one existing path, each with the folder that its key starts at."""
    files = _walk(path, recursive, set(), wanted, passed) if path.is_dir() else [path]
    return [(file, base) for file in files]


def _walk(
    folder: Path,
    recursive: bool,
    seen: set[tuple[int, int]],
    wanted: frozenset[str],
    passed: Counter[str],
) -> Iterator[Path]:
    """Inputs in a folder, sorted; a folder that was seen before is not entered again.

    Counts in ``passed`` what is no picture, by reason; not among results of an earlier run.
    """
    try:
        status = folder.stat()
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise UsageError(
            f"{folder}: cannot be listed ({error.strerror or error}); check its permissions"
        ) from error
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    if any(entry.name == REPORT_NAME for entry in entries):
        passed = Counter()
    for entry in entries:
        if os.path.isdir(entry):
            if recursive and entry.name.startswith("."):
                passed["hidden folder"] += 1
            elif recursive:
                yield from _walk(entry, recursive, seen, wanted, passed)
        elif _is_input(entry, wanted, passed):
            yield entry


def _is_input(path: Path, wanted: frozenset[str], passed: Counter[str]) -> bool:
    """Whether a file in a folder is an input; counts why not, where somebody might ask."""
    name = path.name
    if name.startswith("."):
        if _is_named_so(name.lstrip("."), wanted):
            passed["hidden"] += 1
        return False
    if _is_named_so(name, wanted):
        return _is_file(path)
    ending = one_line(PurePosixPath(name).suffix.lower()) or "no ending"
    passed[f"no picture by its name ({ending})"] += 1
    return False


def _is_magic(part: str) -> bool:
    return any(sign in part for sign in "*?[")


def _fixed_part(pattern: str) -> Path:
    """The folder that a pattern starts in: everything before its first special part."""
    return Path(*takewhile(lambda part: not _is_magic(part), Path(pattern).parts))


def _match(pattern: str, wanted: frozenset[str], passed: Counter[str]) -> list[Path]:
    """Folders and pictures that fit a pattern, sorted; ``**`` does not follow links."""
    if not _is_magic(pattern) or "\0" in pattern:
        return []
    base = _fixed_part(pattern)
    rest = Path(pattern).parts[len(base.parts) :]
    rest = tuple(part if part == "**" else re.sub(r"\*+", "*", part) for part in rest)
    return sorted(
        path
        for path in base.glob("/".join(rest))
        if not any(part.startswith(".") for part in path.parts[len(base.parts) :])
        and (os.path.isdir(path) or _is_input(path, wanted, passed))
    )


def _without_repeats(found: list[_Found]) -> list[_Found]:
    """Each file once, where it was mentioned first; links to it are further mentions."""
    firsts: dict[str | None, _Found] = {}
    for path, base in found:
        one = None if path is None else os.path.realpath(path)
        first = firsts.setdefault(one, (path, base))[0]
        if path is not None and first is not None and first.is_symlink() and not path.is_symlink():
            firsts[one] = path, base
    return list(firsts.values())


def _without_results(
    found: list[_Found], out_dir: Path | None
) -> tuple[list[_Found], dict[str, int]]:
    """Inputs that are no results of this or an earlier run, and why how many others are."""
    forbidden = None if out_dir is None else Path(os.path.realpath(out_dir))
    chosen: list[_Found] = []
    reasons: dict[str, int] = {}
    holds_report = cache(lambda folder: (folder / REPORT_NAME).is_file())
    for path, base in found:
        reason = "" if path is None else _why_result(path, forbidden, holds_report)
        if reason:
            reasons[reason] = reasons.get(reason, 0) + 1
        else:
            chosen.append((path, base))
    return chosen, reasons


def _why_result(path: Path, out_dir: Path | None, holds_report: Callable[[Path], bool]) -> str:
    """Why a file counts as a result; empty if it does not. Links do not hide where it is."""
    homes = {Path(os.path.realpath(path.parent)), Path(os.path.realpath(path)).parent}
    for home in sorted(homes):
        if out_dir is not None and home.is_relative_to(out_dir):
            return f"inside the output folder {out_dir}: choose another one"
        for folder in (home, *home.parents):
            if holds_report(folder):
                return f"beside or below {folder / REPORT_NAME}, which marks results"
    return ""


def _with_keys(found: list[_Found]) -> list[InputFile]:
    """Name the inputs; folders whose names would clash get parent folders in front, as a whole.

    Names that differ in case alone clash too: some file systems take them for one.
    """
    whole = [None if path is None else Path(os.path.abspath(path)).parts[1:] for path, _ in found]
    bases = [Path(os.path.abspath(base)).parts[1:] for _, base in found]
    in_front = dict.fromkeys(bases, 0)
    while True:
        keys = [
            "-" if parts is None else "/".join(parts[len(base) - in_front[base] :])
            for parts, base in zip(whole, bases, strict=True)
        ]
        owners: dict[str, set[tuple[str, ...]]] = {}
        for key, base, parts in zip(keys, bases, whole, strict=True):
            if parts is not None:
                owners.setdefault(key.casefold(), set()).add(base)
        clashing = {base for group in owners.values() if len(group) > 1 for base in group}
        clashing = {base for base in clashing if in_front[base] < len(base)}
        if not clashing:
            return [InputFile(path, key) for (path, _), key in zip(found, keys, strict=True)]
        for base in clashing:
            in_front[base] += 1
