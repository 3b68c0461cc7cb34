"""Face crops with labels beside them: ``ROOT/NAME/*.jpg`` + ``*.png``, CelebAMask ids and 255.

The split is the name of a folder below the root, or ``"all"``. This is the form in which
pseudo-labelled photos are kept.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from faceparts.datasets._pairs import Gap, PairDataset, check_split, find_pairs, read_ids
from faceparts.errors import BadData
from faceparts.labels import CELEBA19

TASK = "parts"
SPLITS = ("all",)


def load(root: Path, split: str, *, gaps: list[Gap] | None = None) -> PairDataset:
    """One folder of crops, or all folders below the root.

    Raises:
        BadData: no such folder, an empty one, or a picture without its labels.
    """
    root = Path(root)
    if not root.is_dir():
        raise BadData(f"{root}: no such folder; give the folder that holds the dataset")
    folders = sorted(p.name for p in root.iterdir() if p.is_dir())
    check_split(split, ("all", *folders), "facecrops")
    chosen = folders if split == "all" else [split]
    if not chosen:
        raise BadData(f"{root}: no folders in it; the crops lie in folders below the root")
    pairs = [
        replace(pair, key=f"{name}/{pair.key}")
        for name in chosen
        for pair in find_pairs(root / name, root / name, gaps=gaps)
    ]
    return PairDataset(tuple(pairs), CELEBA19, CELEBA19, read_ids)
