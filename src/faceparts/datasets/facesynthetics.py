"""Microsoft FaceSynthetics: ``ROOT/NNNNNN.jpg|png`` + ``NNNNNN_seg.png``, ids 0..18 and 255.

The readme's names (3 RIGHT_EYE, 4 LEFT_EYE) do not say whose right: measured on 50 pictures, it is
the *viewer's*, in all 49 that show both sides. It is measured again on the label files when the set
is opened (`_sides`); samples speak of the subject's, label set ``facesynthetics19``. Wood et al.,
"Fake it till you make it", ICCV 2021; non-commercial research.
"""

from __future__ import annotations

from pathlib import Path

from faceparts.datasets import _sides
from faceparts.datasets._pairs import Gap, Pair, PairDataset, check_split, note_gap, read_ids
from faceparts.errors import BadData
from faceparts.labels import FACESYNTHETICS19

TASK = "parts"
SPLITS = ("all",)


def load(root: Path, split: str, *, gaps: list[Gap] | None = None) -> PairDataset:
    """The FaceSynthetics folder.

    Raises:
        BadData: no such split or folder, no labels in it, labels without a picture or damaged.
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
            note_gap(gaps, key, f"{seg}: no picture {key}.png or {key}.jpg beside it")
            continue
        pairs.append(Pair(key, found[0], seg))
    strict = gaps is None
    source = _sides.as_subject(FACESYNTHETICS19, segs, read_ids, unless_seen=False, strict=strict)
    return PairDataset(tuple(pairs), source, FACESYNTHETICS19, read_ids)
