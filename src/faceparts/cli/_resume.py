"""Going on with a run that was interrupted: what its report tells is done is not done again.

For that a running command writes its report every now and then, see `Clock`.
"""

from __future__ import annotations

import hashlib
import json
import math
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
        own: files as a report tells them (sha256) of pictures that are done again and of the run
            as a whole, and the folders that they lie in.
        failed: names of pictures that a run failed on which came to its end.
        spans: when runs were at work that did not come to their end, in seconds since 1970.
    """

    entries: tuple[dict[str, Any], ...] = ()
    kept: frozenset[Path] = frozenset()
    others: frozenset[Path] = frozenset()
    own: frozenset[Path] = frozenset()
    failed: frozenset[str] = frozenset()
    spans: tuple[tuple[float, float], ...] = ()

    def may_replace(self, path: Path) -> bool:
        """Whether a file is a result that nothing tells of: the process was killed too early."""
        if path in self.kept or path in self.others:
            return False
        try:
            written = path.stat().st_mtime
        except OSError:
            return False
        return any(start <= written < end for start, end in self.spans)


@dataclass(frozen=True, eq=False)
class _Run:
    """A report, when its run started in seconds since 1970, and the sha256 of its file."""

    report: dict[str, Any]
    started: float
    sha256: str


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
    every = _runs(out_dir)
    if every and (difference := _difference(every[-1].report, verb, settings, models)):
        raise UsageError(
            f"--resume: {out_dir / REPORT_NAME} is of another run: {one_line(difference)}; "
            "give the same options, or another folder with -o"
        )
    alike = [run for run in every if not _difference(run.report, verb, settings, models)]
    told: dict[str, tuple[dict[str, Any], float]] = {}
    for run in reversed(alike):  # the last one first
        for entry in run.report["pictures"]:
            if entry.get("status") in _DONE:
                told.setdefault(entry["input"], (entry, run.started))
    known = [(*told[item.key], item) for item in items if item.key in told]
    entries, others, again = [], [], []
    for entry, started, item in known:
        if _holds(entry, started, item, out_dir):
            entries.append(entry)
        elif _is_another(entry, started, item) or _was_changed(entry, out_dir):
            others.append(entry)
        else:
            again.append(entry)
    return Earlier(
        tuple(entries),
        _results(entries, out_dir),
        _results(others, out_dir),
        _own(alike, again, settings.get("report"), out_dir),
        frozenset(name for run in alike for name in _failures(run.report)),
        tuple(_spans(every, alike)),
    )


def _spans(every: Sequence[_Run], alike: Sequence[_Run]) -> Iterator[tuple[float, float]]:
    """When runs worked that did not come to their end; each had ended when the next one began."""
    for i, run in enumerate(every):
        if run in alike and _was_cut_off(run.report):
            yield run.started, every[i + 1].started if run is not every[-1] else math.inf


def _was_cut_off(report: Mapping[str, Any]) -> bool:
    """Whether a run was killed: one that came to its end told of all that it wrote."""
    return report.get("status") == "running"


def _failures(report: Mapping[str, Any]) -> Iterator[str]:
    """Pictures that a run failed on, so that nothing in their results' places is from it."""
    if not _was_cut_off(report):
        yield from (e["input"] for e in report["pictures"] if e.get("status") == "failed")


def _own(
    runs: Sequence[_Run], again: Sequence[Mapping[str, Any]], asked: str | None, out_dir: Path
) -> frozenset[Path]:
    """Files that are as runs wrote them, and their folders.

    Args:
        again: entries of pictures that are done again.
        asked: a second place of the report.
    """
    told = {(out_dir / name, digest) for entry in again for name, digest in _told(entry)}
    for run in runs:
        whole = run.report.get("outputs_sha256")
        if isinstance(whole, dict):
            told |= {(out_dir / str(name), str(digest)) for name, digest in whole.items()}
        if asked is not None:
            told.add((Path(asked), run.sha256))
    files = {path for path, digest in told if digest and _sha256(path) == digest}
    return frozenset(files | {path.parent for path in files})


def _results(entries: Sequence[Mapping[str, Any]], out_dir: Path) -> frozenset[Path]:
    return frozenset(out_dir / name for entry in entries for name in entry["outputs"])


def _runs(out_dir: Path) -> list[_Run]:
    """All runs that reports in a folder tell of, the last one last.

    Raises:
        UsageError: the last one cannot be read; others are passed over.
    """
    path = out_dir / REPORT_NAME
    if not path.exists():
        return []
    runs = []
    older = out_dir.glob(f"{path.stem}.*{path.suffix}")
    for one in sorted(older, key=lambda one: (len(one.name), one.name)):  # .2 before .10
        with suppress(UsageError):
            runs.append(_read(one))
    return [*sorted(runs, key=lambda run: run.started), _read(path)]


def _read(path: Path) -> _Run:
    try:
        data = path.read_bytes()
        report = json.loads(data.decode("utf-8"))
        started = datetime.fromisoformat(report["started"]).timestamp()
        if not all(
            isinstance(p["input"], str) and isinstance(p["outputs"], list)
            for p in report["pictures"]
        ):
            raise TypeError("pictures")
        return _Run(report, started, hashlib.sha256(data).hexdigest())
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
        if _plain(name, now.get(name)) != _plain(name, then.get(name)):
            return f"{name}: got {then.get(name)!r} there, wanted {now.get(name)!r}"
    nets, others = (
        sorted(str(m.get("sha256")) for m in of) for of in (models, report.get("models", []))
    )
    return "" if nets == others else "it used other nets (sha256)"


def _plain(name: str, value: Any) -> Any:
    """A setting as it is compared: ``photos/`` and ``./photos`` are the input ``photos``."""
    if name == "inputs" and isinstance(value, list):
        return [str(Path(str(one))) for one in value]
    return value


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
    return ((then, _sha256(out_dir / name)) for name, then in _told(entry))


def _told(entry: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """Every result and its sha256 as the report tells it; ``None`` if it does not."""
    told = entry.get("outputs_sha256")
    known = told if isinstance(told, list) else []
    return zip_longest(entry["outputs"], known[: len(entry["outputs"])])


def _sha256(path: Path) -> str:
    """Of a file as it is now; empty if there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


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
