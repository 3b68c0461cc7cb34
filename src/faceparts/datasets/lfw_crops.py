"""Crops of named people with labels beside them, as LFW Part Labels has them: hair, face, rest.

``ROOT/{person}_{nnnn}.jpg`` with ``{person}_{nnnn}.png``: CelebAMask ids and 255, such as a parser
writes for LFW's photos. Label set ``lfw3`` as its makers paint it: skin, ears, neck and all that
lies in the face are ``face``; clothes, hats and jewellery are background.

Nobody is in two splits: a person's name decides, so that further pictures of the same person fall
where the others are. ``test`` gets about a fifth of the people, ``val`` a tenth.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from faceparts.datasets._pairs import Gap, PairDataset, check_split, find_pairs, read_ids
from faceparts.errors import BadData
from faceparts.labels import CELEBA19, LFW3

TASK = "parts"
SPLITS = ("train", "val", "test", "all")


def person_of(stem: str) -> str:
    """Who is on a picture of a file name without suffix: what stands before the number.

    Example:
        >>> person_of("Adolfo_Aguilar_Zinser_0003")
        'Adolfo_Aguilar_Zinser'
    """
    name, _, number = stem.rpartition("_")
    return name if name and number.isdecimal() else stem


def split_of(person: str) -> str:
    """The split of a person: the SHA-256 of the name, modulo 10, is 0 or 1: test, 2: val.

    Example:
        >>> split_of("Aaron_Peirsol")
        'train'
    """
    digest = hashlib.sha256(person.encode("utf-8", "surrogateescape")).digest()
    return {0: "test", 1: "test", 2: "val"}.get(int.from_bytes(digest) % 10, "train")


def _is_in(split: str, stem: str) -> bool:
    return split in ("all", split_of(person_of(stem)))


def load(root: Path, split: str, *, gaps: list[Gap] | None = None) -> PairDataset:
    """The crops of a folder, label set ``lfw3``; see the module for the splits.

    Raises:
        BadData: no such split or folder, a picture without labels, or nobody in the split.
    """
    check_split(split, SPLITS, "lfw_crops")
    root = Path(root)
    every: list[Gap] | None = None if gaps is None else []
    pairs = [
        replace(pair, subject=person_of(pair.key)) for pair in find_pairs(root, root, gaps=every)
    ]
    chosen = [pair for pair in pairs if _is_in(split, pair.key)]
    if gaps is not None:
        gaps += [gap for gap in every or () if _is_in(split, gap.key)]
    if not chosen and not gaps:
        raise BadData(f"{root}: nobody of {len(pairs)} pictures is in split {split!r}; add people")
    return PairDataset(tuple(chosen), CELEBA19, LFW3, read_ids, rest=LFW3.id("background"))
