"""What an earlier run left in a folder for results: named, so that none of it passes for new."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from faceparts.errors import UsageError

REPORT = "report.json"
PLACES = ("images", "masks", "crops")
"""Folders below the output that hold pairs."""

_INTERRUPTED = "faceparts_data_interrupted"
_KINDS = (
    *("faceparts_data_convert", "faceparts_data_clean", "faceparts_data_pseudolabel"),
    _INTERRUPTED,
)
_DESCRIBE = ("pairs.toml", "classes.json", REPORT)


def require_listed(out: Path) -> None:
    """Refuse a folder with pairs that no report names: they would pass for those of the next run.

    Raises:
        UsageError: the message names one of them and says what to do.
    """
    named = set(listed(out) or ())
    others = [path for path in _pairs_in(out) if path not in named]
    if others:
        raise UsageError(
            f"{out}: holds {others[0].relative_to(out).as_posix()} ({len(others)} such files), "
            f"which no {REPORT} of an earlier run names; --force replaces only what that names: "
            "choose another folder, or remove them"
        )


def remove_listed(out: Path) -> None:
    """Take away the pairs of an earlier run and what describes them.

    Raises:
        UsageError: see `require_listed`; nothing is removed then.
    """
    require_listed(out)
    files = listed(out)
    if files is not None:  # the report goes last: it is the list
        for path in (*files, *(out / name for name in _DESCRIBE)):
            path.unlink(missing_ok=True)


def listed(out: Path) -> list[Path] | None:
    """The files that the report of an earlier run names; ``None`` without such a report."""
    try:
        report = json.loads((out / REPORT).read_text("utf-8"))
        if not any(kind in report for kind in _KINDS):
            return None
        rows = report["crops"] if "crops" in report else report["pictures"].values()
        names = [PurePosixPath(name) for row in rows for name in row["files"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return [out / n for n in names if str(n).partition("/")[0] in PLACES and ".." not in n.parts]


def interrupted(pairs: Sequence[Sequence[str]]) -> dict[str, Any]:
    """The report of a run that did not come to its end: its files, for the next one to remove."""
    return {_INTERRUPTED: 1, "pictures": {names[0]: {"files": [*names]} for names in pairs}}


def _pairs_in(out: Path) -> Iterator[Path]:
    for place in PLACES:
        yield from (path for path in sorted((out / place).rglob("*")) if path.is_file())
