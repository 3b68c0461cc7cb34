"""What ``faceparts data list`` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import click

from faceparts.cli import _report
from faceparts.datasets._catalogue import Entry, read_catalogue

_COMMERCIAL = {True: "yes", False: "no", None: "unclear"}


def run_list(*, commercial: bool, readable: bool, as_json: bool) -> int:
    """Print the table of datasets.

    Args:
        commercial: only sets whose terms allow commercial use.
        readable: only sets that have an adapter.
    """
    chosen = [
        entry
        for entry in read_catalogue()
        if (entry.commercial_ok or not commercial) and (entry.adapter or not readable)
    ]
    if as_json:
        click.echo(_report.to_json([asdict(entry) for entry in chosen]), nl=False)
    else:
        click.echo("\n".join(as_text(chosen)))
    return 0


def as_text(entries: Sequence[Entry]) -> list[str]:
    """One line of columns and three of words for every set."""
    if not entries:
        return ["no such set is known"]
    name = max(len(entry.name) for entry in entries)
    adapter = max(len(entry.adapter or "-") for entry in entries)
    lines = [f"{'set':<{name}}  {'NAME':<{adapter}}  {'pictures':>9}  classes  commercial use"]
    for entry in entries:
        pictures = "?" if entry.pictures is None else f"{entry.pictures:,}"
        classes = "-" if entry.classes is None else str(entry.classes)
        lines += [
            f"{entry.name:<{name}}  {entry.adapter or '-':<{adapter}}  {pictures:>9}  "
            f"{classes:>7}  {_COMMERCIAL[entry.commercial_ok]}",
            f"    {entry.size_px}; {entry.terms}",
            f"    {entry.home}",
            *([f"    {entry.note}"] if entry.note else []),
        ]
    return lines
