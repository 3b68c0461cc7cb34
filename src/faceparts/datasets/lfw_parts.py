"""LFW Part Labels: ``ROOT/lfw_funneled``, ``ROOT/parts_lfw_funneled_gt_images`` and three lists.

``lfw_funneled/{name}/{name}_{nnnn}.jpg`` with ``parts_lfw_funneled_gt_images/{name}_{nnnn}.ppm``
painted red for hair, green for skin, blue for background; ``parts_train.txt``,
``parts_validation.txt`` and ``parts_test.txt`` with lines ``name number``: 1,500 / 500 / 927
pictures of 250 x 250. Label set ``lfw3``: no sides; ``face`` holds the neck. The labels were made
on superpixels, so borders are coarse, and one person may be in two splits: split ``all`` is every
list that is there; every sample names its person.

Layout after the makers' page and public loaders. Kae et al., "Augmenting CRFs with Boltzmann
Machine Shape Priors for Image Labeling", CVPR 2013; Huang et al., "Labeled Faces in the Wild",
2007; research.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceparts.datasets._lists import read_rows
from faceparts.datasets._paint import read_paint
from faceparts.datasets._pairs import Gap, Pair, PairDataset, check_split, note_gap
from faceparts.errors import BadData
from faceparts.labels import LFW3

TASK = "parts"
SPLITS = ("train", "val", "test", "all")
LISTS = {"train": "parts_train.txt", "val": "parts_validation.txt", "test": "parts_test.txt"}

PAINT: dict[str, tuple[int, int, int]] = {
    "background": (0, 0, 255),
    "hair": (255, 0, 0),
    "face": (0, 255, 0),
}
"""RGB of every class in the label pictures."""


def decode(path: Path) -> NDArray[np.uint8]:
    """(H, W) ids of `LFW3` from a painted label picture.

    Raises:
        BadData: not a picture, or a colour that is none of the three.
    """
    return read_paint(path, [PAINT[part] for part in LFW3.parts])


def load(root: Path, split: str, *, gaps: list[Gap] | None = None) -> PairDataset:
    """The LFW Part Labels folder, label set ``lfw3``.

    Raises:
        BadData: no such split, a missing list, photo or label, or a number that is none.
    """
    check_split(split, SPLITS, "lfw_parts")
    root, names = Path(root), [split]
    if split == "all":
        names = [name for name in LISTS if (root / LISTS[name]).is_file()] or ["train"]
    pairs = []
    for name in names:
        remedy = "get it from the makers' page (part_labels) and put it into the root"
        for person, number in read_rows(root / LISTS[name], 2, remedy):
            if not number.isdecimal():
                raise BadData(
                    f"{root / LISTS[name]}: {person} {number}: wanted a name and a number"
                )
            key = f"{person}_{int(number):04d}"
            photo = root / "lfw_funneled" / person / f"{key}.jpg"
            labels = root / "parts_lfw_funneled_gt_images" / f"{key}.ppm"
            archives = {photo: "lfw-funneled.tgz", labels: f"{labels.parent.name}.tgz"}
            missing = [path for path in archives if not path.is_file()]
            for path in missing:
                reason = f"{path}: missing, but in {LISTS[name]}; unpack {archives[path]} in {root}"
                note_gap(gaps, key, reason)
            if not missing:
                pairs.append(Pair(key, photo, labels, person))
    return PairDataset(tuple(pairs), LFW3, LFW3, decode)
