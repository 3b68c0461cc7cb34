"""Text files that come with a dataset: split lists, tables of names."""

from __future__ import annotations

from pathlib import Path

from faceparts.errors import BadData

MAX_BYTES = 64_000_000
"""No list of a published set is larger (CelebA's identities have 4 MB)."""


def read_rows(
    path: Path, columns: int, remedy: str, *, separator: str | None = None
) -> list[list[str]]:
    """Rows of a text table; empty lines are left out.

    Args:
        columns: how many fields every row has.
        remedy: what to do if the file is missing.
        separator: between fields; ``None`` takes any white space.

    Raises:
        BadData: missing, too large, not text, empty, or a row with another number of fields.
    """
    if not path.is_file():
        raise BadData(f"{path}: missing; {remedy}")
    if path.stat().st_size > MAX_BYTES:
        raise BadData(f"{path}: over {MAX_BYTES} bytes; is it the right file?")
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise BadData(f"{path}: not a text file ({error.reason}); get it again") from error
    rows = [[f.strip() for f in line.split(separator)] for line in lines if line.strip()]
    for number, row in enumerate(rows, 1):
        if len(row) != columns:
            raise BadData(
                f"{path}: row {number} has {len(row)} fields; wanted {columns}, as published"
            )
    if not rows:
        raise BadData(f"{path}: empty; get it again")
    return rows
