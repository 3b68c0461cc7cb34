"""COFW masks: ``ROOT/masks/mask_{n}.png`` (visible face or not) + ``ROOT/images/{n}.jpg|png``.

500 training photos of Caltech's occluded faces whose visible face Ghiasi and Fowlkes painted by
hand (hair, hands, glasses, masks and other things before the face are 0). The masks are published
as they are read here; the photos are published inside a MATLAB file only: mask n belongs to the
cell ``IsTr{end - 500 + n}`` of ``COFW_train.mat`` (or ``COFW_train_color.mat``), which is to be
written once as ``images/{n}.png`` (docs/datasets.md shows how). Values 0 and 255 or 0 and 1; label
set ``face2``, no sides.

Layout after the readme and demo of the masks. Ghiasi and Fowlkes, "Using Segmentation to Predict
the Absence of Occluded Parts", BMVC 2015; Burgos-Artizzu et al., "Robust Face Landmark Estimation
under Occlusion", ICCV 2013; research.
"""

from __future__ import annotations

import re
from pathlib import Path

from faceparts.datasets._pairs import Gap, Pair, PairDataset, check_split, note_gap, read_mask
from faceparts.errors import BadData
from faceparts.labels import FACE2

TASK = "parts"
SPLITS = ("all",)
_NAME = re.compile(r"mask_(\d+)\.png")


def load(root: Path, split: str, *, gaps: list[Gap] | None = None) -> PairDataset:
    """The folder of masks and exported photos, label set ``face2``.

    Raises:
        BadData: no such split or folder, no mask in it, or a mask without its photo.
    """
    check_split(split, SPLITS, "cofw_masks")
    root = Path(root)
    found = [
        (int(m.group(1)), p) for p in (root / "masks").glob("*") if (m := _NAME.fullmatch(p.name))
    ]
    if not found:
        raise BadData(f"{root / 'masks'}: no mask_*.png in it; give the folder that holds masks")
    pairs = []
    for number, mask in sorted(found):
        photos = [root / "images" / f"{number}{suffix}" for suffix in (".png", ".jpg")]
        here = [p for p in photos if p.is_file()]
        if not here:
            reason = (
                f"{mask}: no picture {photos[0].name} or {photos[1].name} in {root / 'images'}; "
                f"write the photos out of COFW_train.mat first"
            )
            note_gap(gaps, str(number), reason)
            continue
        pairs.append(Pair(str(number), here[0], mask))
    return PairDataset(tuple(pairs), FACE2, FACE2, read_mask)
