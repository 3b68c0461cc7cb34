"""EasyPortrait: ``ROOT/images/{split}/{id}.jpg`` + ``ROOT/annotations/{split}/{id}.png``.

Splits train, val, test; 9 classes. Selfies as in video calls, mostly Full HD; 14,000 / 2,000 /
4,000 pictures in the first version, 40,000 in the second, split by person. If ``meta.csv`` (out of
``meta.zip``) lies in ``ROOT/annotations`` or ``ROOT``, every sample names its person. Label set
``easyportrait9``: ``person`` is the rest of the person (hair, beard, clothes), skin holds the nose,
the mouth's inside is not teeth. Whose left is left is measured on the label files when the set is
opened (`_sides`); where they do not show it, the subject's is taken.

Layout and ids after the set's readme. Kvanchiani et al., "EasyPortrait: Face Parsing and Portrait
Segmentation Dataset", 2023; a variant of CC BY-SA 4.0, see the set's own licence.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from faceparts.datasets import _sides
from faceparts.datasets._lists import MAX_BYTES
from faceparts.datasets._pairs import Gap, PairDataset, check_split, find_pairs, read_ids
from faceparts.errors import BadData
from faceparts.labels import EASYPORTRAIT9

TASK = "parts"
SPLITS = ("train", "val", "test")


def load(root: Path, split: str, *, gaps: list[Gap] | None = None) -> PairDataset:
    """The EasyPortrait folder, label set ``easyportrait9``.

    Raises:
        BadData: no such split or folder, a picture without its labels, or damaged labels or table.
    """
    check_split(split, SPLITS, "easyportrait")
    root = Path(root)
    people = _people(root)
    pairs = tuple(
        replace(pair, subject=people.get(pair.key))
        for pair in find_pairs(root / "images" / split, root / "annotations" / split, gaps=gaps)
    )
    files = [pair.labels for pair in pairs]
    strict = gaps is None
    source = _sides.as_subject(EASYPORTRAIT9, files, read_ids, unless_seen=True, strict=strict)
    return PairDataset(pairs, source, EASYPORTRAIT9, read_ids)


def _people(root: Path) -> dict[str, str]:
    """Picture -> person, from the table if it is there; commas or tabs between its fields."""
    found = [p for p in (root / "annotations" / "meta.csv", root / "meta.csv") if p.is_file()]
    if not found:
        return {}
    path = found[0]
    if path.stat().st_size > MAX_BYTES:
        raise BadData(f"{path}: over {MAX_BYTES} bytes; is it the right file?")
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise BadData(f"{path}: not a text file ({error.reason}); unpack meta.zip again") from error
    rows = csv.DictReader(lines, delimiter="\t" if lines and "\t" in lines[0] else ",")
    if not {"attachment_id", "user_id"} <= set(rows.fieldnames or ()):
        raise BadData(
            f"{path}: no columns attachment_id and user_id; unpack meta.zip again or move it away"
        )
    return {row["attachment_id"]: row["user_id"] for row in rows if row["user_id"]}
