"""CelebAMask-HQ, packed form: ``ROOT/{train,val}/{images/*.jpg,masks/*.png}``, ids in the masks.

The ids are the official 19 in the official order. ``l_*`` lies on the image right: it is the
subject's left (measured on the eyes' centroids). Lee et al., "MaskGAN: Towards Diverse and
Interactive Facial Image Manipulation", CVPR 2020; non-commercial research.
"""

from __future__ import annotations

from pathlib import Path

from faceparts.datasets._pairs import PairDataset, check_split, find_pairs, read_ids
from faceparts.labels import CELEBA19

TASK = "parts"
SPLITS = ("train", "val")


def load(root: Path, split: str) -> PairDataset:
    """The packed CelebAMask-HQ folder.

    Raises:
        BadData: no such split or folder, or a picture without its mask.
    """
    check_split(split, SPLITS, "celebamask")
    folder = Path(root) / split
    pairs = find_pairs(folder / "images", folder / "masks")
    return PairDataset(pairs, CELEBA19, CELEBA19, read_ids)
