"""Going on with a run that was interrupted: what its report tells is done is not done again.

For that a running command writes its report every now and then, see `Clock`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any

from faceparts._headers import one_line
from faceparts.errors import UsageError
from faceparts.streams.files import REPORT_NAME, InputFile

FREE = frozenset(
    (
        *("out", "force", "resume", "json", "report", "progress", "quiet"),
        *("threads", "jobs", "device", "precision", "max_megapixels"),
    )
)
"""Settings that may differ between an interrupted run and the one that goes on."""

_DONE = ("ok", "no_faces")


@dataclass(frozen=True)
class Earlier:
    """What is left of an interrupted run.

    Args:
        entries: the report's pictures that need not be done again.
        kept: their results.
        others: results of other pictures of the same names, and files that are no results any more.
        since: when the run began, in seconds since 1970; ``None`` if there was none.
    """

    entries: tuple[dict[str, Any], ...] = ()
    kept: frozenset[Path] = frozenset()
    others: frozenset[Path] = frozenset()
    since: float | None = None

    def may_replace(self, path: Path) -> bool:
        """Whether a file is a result that nothing tells of: the process was killed too early."""
        if self.since is None or path in self.kept or path in self.others:
            return False
        try:
            return path.stat().st_mtime >= self.since
        except OSError:
            return False


def read_earlier(
    out_dir: Path,
    verb: str,
    settings: Mapping[str, Any],
    models: Sequence[Mapping[str, Any]],
    items: Sequence[InputFile],
) -> Earlier:
    """What need not be done again; nothing if the folder has no report.

    A picture is done if a report says so, all its results are there as they were written then, and
    its file is not newer than that run, as long as it was then and of the same time: another
    folder's ``a.jpg`` is another picture. The last report must be of a run like this one; older
    ones count where they are.

    Args:
        settings: of the run that goes on, as its report will tell them.
        models: the nets in use, with ``sha256``.

    Raises:
        UsageError: the last report cannot be read, or is of another verb, settings or nets; or the
            run writes a file about all pictures that cannot be made without looking at all.
    """
    for name in ("table", "coco", "contact_sheet"):
        if settings.get(name):
            raise UsageError(
                f"--resume and --{name.replace('_', '-')}: that file is about all pictures, and "
                "those of the interrupted run are not looked at again; leave one of the two out"
            )
    runs = _alike(out_dir, verb, settings, models)
    told: dict[str, tuple[dict[str, Any], float]] = {}
    for report, started in runs:  # the last one first
        for entry in report["pictures"]:
            if entry.get("status") in _DONE:
                told.setdefault(entry["input"], (entry, started))
    known = [(*told[item.key], item) for item in items if item.key in told]
    entries = tuple(
        entry for entry, started, item in known if _holds(entry, started, item, out_dir)
    )
    others = [
        entry
        for entry, started, item in known
        if _is_another(entry, started, item) or _was_changed(entry, out_dir)
    ]
    return Earlier(
        entries,
        _results(entries, out_dir),
        _results(others, out_dir),
        min((started for _, started in runs), default=None),
    )


def _results(entries: Sequence[Mapping[str, Any]], out_dir: Path) -> frozenset[Path]:
    return frozenset(out_dir / name for entry in entries for name in entry["outputs"])


def _alike(
    out_dir: Path, verb: str, settings: Mapping[str, Any], models: Sequence[Mapping[str, Any]]
) -> list[tuple[dict[str, Any], float]]:
    """Reports of runs like this one and when they started, the last one first."""
    path = out_dir / REPORT_NAME
    if not path.exists():
        return []
    last = _read(path)
    if difference := _difference(last[0], verb, settings, models):
        raise UsageError(
            f"--resume: {path} is of another run: {one_line(difference)}; "
            "give the same options, or another folder with -o"
        )
    runs = [last]
    for older in out_dir.glob(f"{path.stem}.*{path.suffix}"):
        with suppress(UsageError):
            report, started = _read(older)
            if not _difference(report, verb, settings, models):
                runs.append((report, started))
    return sorted(runs, key=lambda run: -run[1])


def _read(path: Path) -> tuple[dict[str, Any], float]:
    """A report and when its run started, in seconds since 1970."""
    try:
        report = json.loads(path.read_text("utf-8"))
        started = datetime.fromisoformat(report["started"]).timestamp()
        if not all(
            isinstance(p["input"], str) and isinstance(p["outputs"], list)
            for p in report["pictures"]
        ):
            raise TypeError("pictures")
        return report, started
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"--resume: {path} is not the report of a run "
            f"({type(error).__name__}: {one_line(str(error))}); take another folder with -o"
        ) from None


def _difference(
    report: Mapping[str, Any],
    verb: str,
    settings: Mapping[str, Any],
    models: Sequence[Mapping[str, Any]],
) -> str:
    """The first thing in which two runs differ, in words; empty if nothing matters."""
    if report.get("verb") != verb:
        return f"got {report.get('verb')!r} there, wanted {verb!r}"
    now = json.loads(json.dumps(dict(settings)))
    then = dict(report.get("settings", {}))
    names = sorted((now.keys() | then.keys()) - FREE)
    for name in sorted(names, key=lambda name: name != "effect"):  # the others follow
        if now.get(name) != then.get(name):
            return f"{name}: got {then.get(name)!r} there, wanted {now.get(name)!r}"
    nets, others = (
        sorted(str(m.get("sha256")) for m in of) for of in (models, report.get("models", []))
    )
    return "" if nets == others else "it used other nets (sha256)"


def _holds(entry: Mapping[str, Any], started: float, item: InputFile, out_dir: Path) -> bool:
    """Whether what a report tells of a picture is still so."""
    return (
        not _is_newer(started, item)
        and not _is_another(entry, started, item)
        and all(now == then for then, now in _digests(entry, out_dir))
    )


def _was_changed(entry: Mapping[str, Any], out_dir: Path) -> bool:
    """Whether a file stands where a result was, and is another: somebody else's work."""
    return any(then and now and now != then for then, now in _digests(entry, out_dir))


def _digests(entry: Mapping[str, Any], out_dir: Path) -> Iterator[tuple[str | None, str]]:
    """sha256 of every result as the report tells it, and as the file has it now.

    ``None`` stands for a report that does not tell, the empty text for no file: never alike.
    """
    told = entry.get("outputs_sha256")
    known = told if isinstance(told, list) else []
    for name, then in zip_longest(entry["outputs"], known[: len(entry["outputs"])]):
        try:
            with (out_dir / name).open("rb") as file:
                yield then, hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            yield then, ""


def _is_newer(started: float, item: InputFile) -> bool:
    """Whether a picture has been written since, or nobody knows."""
    try:
        return item.path is None or item.path.stat().st_mtime >= started + 1  # whole seconds
    except OSError:
        return True


def _is_another(entry: Mapping[str, Any], started: float, item: InputFile) -> bool:
    """Whether a report tells of another picture of this name: this one is old, but not that one.

    Photos that are not compressed are all as long, so the time of the file counts too; reports
    from before it was noted go by length alone.
    """
    if _is_newer(started, item):
        return False
    state = state_of(item.path)
    same_time = entry.get("input_mtime_ns", state["input_mtime_ns"]) == state["input_mtime_ns"]
    return entry.get("input_bytes") != state["input_bytes"] or not same_time


def state_of(path: Path | None) -> dict[str, int | None]:
    """Bytes and time of an input; ``None`` for standard input and where the system does not say."""
    try:
        status = None if path is None else path.stat()
    except OSError:
        status = None
    return {
        "input_bytes": None if status is None else status.st_size,
        "input_mtime_ns": None if status is None else status.st_mtime_ns,
    }


class Clock:
    """When a long run should tell again how far it is: at most `SHARE` of its time."""

    EVERY_S = 30.0
    SHARE = 0.05

    def __init__(self) -> None:
        self._next = time.perf_counter() + self.EVERY_S
        self._start = 0.0

    def is_due(self) -> bool:
        """Whether it is time."""
        return time.perf_counter() >= self._next

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        now = time.perf_counter()
        rest = (now - self._start) / self.SHARE if self.SHARE else 0.0
        self._next = now + max(self.EVERY_S, rest)
