"""Figaro-1k hair masks, as published or in one folder.

Published: ``ROOT/Original/{Training,Testing}/Frame{nnnnn}-org.jpg`` with
``ROOT/GT/{Training,Testing}/Frame{nnnnn}-gt.pbm``; 840 / 210 pictures of seven hair styles. Stray
copies (``...-gt(1).pbm``) lie among the masks and are left alone.

One folder: ``ROOT/*.jpg`` + ``*.png`` with hair 255 and the rest 0; split ``all`` only.

Label set ``hair2``: of what is not hair, only that is known. No sides. Svanera et al., "Figaro,
hair detection and segmentation in the wild", ICIP 2016; research. Layout after public loaders.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceparts.datasets._pairs import (
    Gap,
    Pair,
    PairDataset,
    check_split,
    find_pairs,
    note_gap,
    read_ids,
    read_mask,
)
from faceparts.errors import BadData
from faceparts.labels import HAIR2

TASK = "parts"
SPLITS = ("all", "train", "test")
FOLDERS = {"train": "Training", "test": "Testing"}


def decode(path: Path) -> NDArray[np.uint8]:
    """(H, W) ids of `HAIR2` from a 0/255 picture.

    Raises:
        BadData: a value other than 0 and 255.
    """
    ids = read_ids(path)
    if np.setdiff1d(ids, (0, 255)).size:
        raise BadData(
            f"{path}: values other than 0 and 255 in a hair mask; was it resized or saved as JPEG?"
        )
    return np.asarray(ids // 255, np.uint8)


def load(root: Path, split: str, *, gaps: list[Gap] | None = None) -> PairDataset:
    """The Figaro-1k folder in either form, label set ``hair2``.

    Raises:
        BadData: no such split or folder, or a picture without its mask.
    """
    check_split(split, SPLITS, "figaro")
    root = Path(root)
    if (root / "Original").is_dir():
        names = FOLDERS if split == "all" else (split,)
        pairs = [pair for name in names for pair in _published(root, FOLDERS[name], gaps)]
        return PairDataset(tuple(pairs), HAIR2, HAIR2, read_mask)
    if split != "all":
        raise BadData(
            f"{root}: no Original/{FOLDERS[split]} in it; one folder has split 'all' only"
        )
    return PairDataset(find_pairs(root, root, gaps=gaps), HAIR2, HAIR2, decode)


def _published(root: Path, folder: str, gaps: list[Gap] | None) -> list[Pair]:
    images, masks = root / "Original" / folder, root / "GT" / folder
    photos = sorted(images.glob("*-org.jpg"))
    if not photos:
        raise BadData(f"{images}: no *-org.jpg in it; unpack Figaro1k.zip again")
    pairs = []
    for photo in photos:
        name = photo.name.removesuffix("-org.jpg")
        mask = masks / f"{name}-gt.pbm"
        if not mask.is_file():
            reason = f"{photo}: no mask {mask.name} in {masks}; unpack Figaro1k.zip again"
            note_gap(gaps, f"{folder.lower()}/{name}", reason)
            continue
        pairs.append(replace(Pair(name, photo, mask), key=f"{folder.lower()}/{name}"))
    return pairs
