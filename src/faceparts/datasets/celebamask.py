"""CelebAMask-HQ, as published or packed; the folders below the root tell which.

Published: ``ROOT/CelebA-HQ-img/{id}.jpg`` (1,024 px) and one 512 px mask a part,
``ROOT/CelebAMask-HQ-mask-anno/{id // 2000}/{id:05d}_{part}.png``. The masks are merged in the
official order, so that later parts lie on top; photos are shrunk to the masks. Splits follow
CelebA: ``ROOT/CelebA-HQ-to-CelebA-mapping.txt`` (comes along) and ``list_eval_partition.txt``
(comes with CelebA; put it into ROOT): 24,183 / 2,993 / 2,824 pictures. With ``identity_CelebA.txt``
of CelebA in ROOT every sample names its person.

Packed: ``ROOT/{train,val,test}/{images/*.jpg,masks/*.png}``, ids in the masks.

The ids are the official 19 in the official order. ``l_*`` lies on the image right: it is the
subject's left (measured on 850 pictures; in 6 to 9 % of the files the sides are swapped). Lee et
al., "MaskGAN: Towards Diverse and Interactive Facial Image Manipulation", CVPR 2020; non-commercial
research.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceparts.datasets._lists import read_rows
from faceparts.datasets._pairs import (
    Gap,
    Pair,
    PairDataset,
    check_split,
    find_pairs,
    note_gap,
    read_ids,
    read_rgb,
)
from faceparts.errors import BadData
from faceparts.labels import CELEBA19

TASK = "parts"
SPLITS = ("train", "val", "test", "all")

PARTS = (
    *("skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth"),
    *("u_lip", "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth"),
)
"""Parts as the mask files call them, in the official order; the i-th has the id i + 1."""

IMAGES, MASKS = "CelebA-HQ-img", "CelebAMask-HQ-mask-anno"
PER_FOLDER = 2000
_MASK_NAME = re.compile(rf"(\d{{5}})_(?:{'|'.join(PARTS)})\.png")
_PARTITION = {"0": "train", "1": "val", "2": "test"}


def load(root: Path, split: str, *, gaps: list[Gap] | None = None) -> PairDataset:
    """The CelebAMask-HQ folder in either form.

    Raises:
        BadData: no such split or folder, a split file is missing, or a picture has no mask.
    """
    check_split(split, SPLITS, "celebamask")
    root = Path(root)
    if (root / IMAGES).is_dir() or (root / MASKS).is_dir():
        return _published(root, split, gaps)
    return _packed(root, split, gaps)


def _packed(root: Path, split: str, gaps: list[Gap] | None) -> PairDataset:
    if split != "all":
        pairs = find_pairs(root / split / "images", root / split / "masks", gaps=gaps)
        return PairDataset(pairs, CELEBA19, CELEBA19, read_ids)
    here = [s for s in SPLITS[:-1] if (root / s).is_dir()]
    if not here:
        raise BadData(
            f"{root}: neither {IMAGES} nor train, val, test in it; give the folder that holds them"
        )
    every = [
        replace(pair, key=f"{s}/{pair.key}")
        for s in here
        for pair in find_pairs(root / s / "images", root / s / "masks", gaps=gaps)
    ]
    return PairDataset(tuple(every), CELEBA19, CELEBA19, read_ids)


def _published(root: Path, split: str, gaps: list[Gap] | None) -> PairDataset:
    for name in (IMAGES, MASKS):
        if not (root / name).is_dir():
            raise BadData(f"{root / name}: no such folder; unpack CelebAMask-HQ.zip again")
    photos = sorted(
        (int(p.stem), p) for p in (root / IMAGES).iterdir() if re.fullmatch(r"\d+\.jpg", p.name)
    )
    if split != "all":
        chosen = _split_ids(root, split)
        photos = [(number, path) for number, path in photos if number in chosen]
    if not photos:
        raise BadData(f"{root / IMAGES}: no photos of {split} ({{id}}.jpg); is the set complete?")
    masked, people = _masked_ids(root / MASKS), _people(root)
    pairs = []
    for number, path in photos:
        stem = root / MASKS / str(number // PER_FOLDER) / f"{number:05d}"
        if number not in masked:
            reason = (
                f"{path}: no {stem.name}_*.png in {stem.parent}; unpack CelebAMask-HQ.zip again"
            )
            note_gap(gaps, str(number), reason)
            continue
        pairs.append(Pair(str(number), path, stem, people.get(number)))
    return PairDataset(tuple(pairs), CELEBA19, CELEBA19, merge_masks, shrink=True)


def merge_masks(stem: Path) -> NDArray[np.uint8]:
    """(H, W) ids from all ``{stem}_{part}.png``; where masks overlap, the later part wins.

    A pixel belongs to a part where the mask's blue channel is not 0, as in the official script.

    Raises:
        BadData: no mask at all, one is damaged, or two differ in size.
    """
    ids: NDArray[np.uint8] | None = None
    for i, part in enumerate(PARTS, 1):
        path = stem.with_name(f"{stem.name}_{part}.png")
        if not path.is_file():
            continue
        mask = read_rgb(path)[..., 2] != 0
        if ids is None:
            ids = np.zeros(mask.shape, np.uint8)
        if mask.shape != ids.shape:
            raise BadData(
                f"{path}: mask of {mask.shape[1]}x{mask.shape[0]} pixels; the others of this "
                f"picture have {ids.shape[1]}x{ids.shape[0]}; unpack CelebAMask-HQ.zip again"
            )
        ids[mask] = i
    if ids is None:
        raise BadData(f"{stem}: no mask {stem.name}_*.png; unpack CelebAMask-HQ.zip again")
    return ids


def _masked_ids(folder: Path) -> set[int]:
    """Numbers that have at least one mask; only names are read."""
    numbers: set[int] = set()
    for part in sorted(p for p in folder.iterdir() if p.is_dir() and p.name.isdecimal()):
        with os.scandir(part) as entries:
            found = {int(m.group(1)) for e in entries if (m := _MASK_NAME.fullmatch(e.name))}
        numbers |= {n for n in found if n // PER_FOLDER == int(part.name)}
    return numbers


def _originals(root: Path) -> dict[int, str]:
    """CelebA-HQ number -> file name in CelebA."""
    path = root / "CelebA-HQ-to-CelebA-mapping.txt"
    rows = read_rows(path, 3, "it comes in CelebAMask-HQ.zip; split 'all' does without")
    if rows[0] != ["idx", "orig_idx", "orig_file"]:
        raise BadData(f"{path}: the first row is {rows[0]}; wanted idx, orig_idx, orig_file")
    try:
        return {int(number): name for number, _, name in rows[1:]}
    except ValueError as error:
        raise BadData(f"{path}: an idx is no number ({error}); get the file again") from error


def _split_ids(root: Path, split: str) -> set[int]:
    path = root / "list_eval_partition.txt"
    remedy = "it comes with CelebA (Eval/); copy it there, or take split 'all'"
    flags = dict(read_rows(path, 2, remedy))
    unknown = set(flags.values()) - set(_PARTITION)
    if unknown:
        raise BadData(f"{path}: split {sorted(unknown)[0]!r}; wanted 0, 1 or 2")
    return {
        n for n, name in _originals(root).items() if _PARTITION.get(flags.get(name, "")) == split
    }


def _people(root: Path) -> dict[int, str]:
    """Number -> person, if CelebA's identities lie in the root."""
    path = root / "identity_CelebA.txt"
    if not path.is_file():
        return {}
    identity = dict(read_rows(path, 2, "it comes with CelebA (Anno/)"))
    return {n: identity[name] for n, name in _originals(root).items() if name in identity}
