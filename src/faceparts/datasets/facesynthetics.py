"""Microsoft FaceSynthetics: ``ROOT/NNNNNN.jpg|png`` + ``NNNNNN_seg.png``, ids 0..18 and 255.

Label set ``facesynthetics19`` (subject's left and right). Wood et al., "Fake it till you make
it", ICCV 2021; non-commercial research.
"""

from __future__ import annotations

from pathlib import Path

from faceparts.datasets._pairs import Pair, PairDataset, check_split, read_ids
from faceparts.errors import BadData
from faceparts.labels import FACESYNTHETICS19

TASK = "parts"
SPLITS = ("all",)


def load(root: Path, split: str) -> PairDataset:
    """The FaceSynthetics folder.

    Raises:
        BadData: no such split or folder, no labels in it, or labels without a picture.
    """
    check_split(split, SPLITS, "facesynthetics")
    segs = sorted(Path(root).glob("*_seg.png"))
    if not segs:
        raise BadData(f"{root}: no *_seg.png in it; give the folder that holds the dataset")
    pairs = []
    for seg in segs:
        key = seg.name.removesuffix("_seg.png")
        found = [p for p in (seg.with_name(key + s) for s in (".png", ".jpg")) if p.is_file()]
        if not found:
            raise BadData(f"{seg}: no picture {key}.png or {key}.jpg beside it")
        pairs.append(Pair(key, found[0], seg))
    return PairDataset(tuple(pairs), FACESYNTHETICS19, FACESYNTHETICS19, read_ids)
