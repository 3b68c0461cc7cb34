"""Helen parsing, first release: a probability map a part, and lists of names for the splits.

``ROOT/images/{name}.jpg``, ``ROOT/labels/{name}/{name}_lbl00.png`` .. ``_lbl10.png`` (8-bit, 255 =
certain), ``ROOT/exemplars.txt`` (train, 2,000), ``tuning.txt`` (val, 230), ``testing.txt`` (test,
100) with lines ``number , name``. Both published sizes have this layout. A pixel gets its most
probable part; one that no map claims stays unknown. Ids in LaPa's order; skin is without ears and
neck. Whose left is left is measured on the maps when the set is opened (`_sides`); where they do
not show it, the viewer's is taken. Skin and hair were partly made by algorithms and have known
errors: the relabelled set (`helen`) is better for measuring.

Layout after the set's readme. Smith et al., "Exemplar-Based Face Parsing", CVPR 2013; research.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceparts.datasets import _sides
from faceparts.datasets._lists import read_rows
from faceparts.datasets._pairs import Gap, Pair, PairDataset, check_split, note_gap, read_ids
from faceparts.errors import BadData
from faceparts.labels import LAPA11
from faceparts.types import IGNORE

TASK = "parts"
SPLITS = ("train", "val", "test")
LISTS = {"train": "exemplars.txt", "val": "tuning.txt", "test": "testing.txt"}


def most_probable(folder: Path) -> NDArray[np.uint8]:
    """(H, W) ids: the part whose map is highest, the lower id on a tie, `IGNORE` where all are 0.

    Raises:
        BadData: a map is missing or damaged, or two differ in size.
    """
    best = ids = np.zeros((0, 0), np.uint8)
    for i in range(len(LAPA11.parts)):
        path = folder / f"{folder.name}_lbl{i:02d}.png"
        if not path.is_file():
            raise BadData(f"{path}: missing; every picture has 11 maps; unpack the set again")
        here = read_ids(path)
        if i == 0:
            best, ids = here, np.zeros(here.shape, np.uint8)
            continue
        if here.shape != ids.shape:
            raise BadData(
                f"{path}: map of {here.shape[1]}x{here.shape[0]} pixels; the others of this "
                f"picture have {ids.shape[1]}x{ids.shape[0]}; unpack the set again"
            )
        ids[here > best] = i
        best = np.maximum(best, here)
    ids[best == 0] = IGNORE
    return ids


def load(root: Path, split: str, *, gaps: list[Gap] | None = None) -> PairDataset:
    """The Helen folder as first released; samples in ``lapa11``, left and right the subject's.

    Raises:
        BadData: no such split or folder, a missing list, photo or map.
    """
    check_split(split, SPLITS, "helen_original")
    root = Path(root)
    rows = read_rows(
        root / LISTS[split],
        2,
        "give the folder that holds images, labels and the three lists",
        separator=",",
    )
    pairs = []
    for _, name in rows:
        photo, folder = root / "images" / f"{name}.jpg", root / "labels" / name
        if not photo.is_file() or not folder.is_dir():
            missing = folder if photo.is_file() else photo
            reason = f"{missing}: missing, but in {LISTS[split]}; unpack the set again"
            note_gap(gaps, name, reason)
            continue
        pairs.append(Pair(name, photo, folder))
    files = [pair.labels for pair in pairs][:: max(1, len(pairs) // 5)]  # 11 maps each
    strict = gaps is None
    source = _sides.as_subject(LAPA11, files, most_probable, unless_seen=False, strict=strict)
    return PairDataset(tuple(pairs), source, LAPA11, most_probable)
