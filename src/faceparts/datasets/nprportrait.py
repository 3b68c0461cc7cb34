"""NPRportrait-segmentation: ``ROOT/{images,segmentations}/{v0.1,v1.0}/level*/{name}.png``.

100 portraits chosen to be diverse in age, sex and skin tone, 14 regions painted by hand. A photo
may be .png or .jpg; it must have the size of its painting. Label set ``nprportrait15``, which has
merged classes of its own: ``bare_skin`` (face, neck, arms, hands), ``eyes``, ``brows``, ``ears``,
``lips`` without sides, ``teeth`` and ``mouth_cavity`` apart, ``accessory`` for earrings, necklaces
and what is in the hair. 16 photos of v0.1's level 2 are byte for byte in v1.0: split ``all`` leaves
the older ones out and names them in ``left_out``.

Colours after the set's readme, checked on all 100 files: no other colour occurs. Bültemeier, Meier,
Lohweg, NPRportrait-segmentation, doi 10.5281/zenodo.7852139, CC BY 4.0; photos: Rosin et al.,
"NPRportrait 1.0", Computational Visual Media 2022.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceparts.datasets._paint import read_paint
from faceparts.datasets._pairs import Gap, Pair, PairDataset, check_split, note_gap
from faceparts.errors import BadData
from faceparts.labels import NPRPORTRAIT15

TASK = "parts"
SPLITS = ("v0.1", "v1.0", "all")

PAINT: dict[str, tuple[int, int, int]] = {
    "background": (0, 0, 0),
    "bare_skin": (49, 130, 189),
    "clothes": (107, 174, 214),
    "eyes": (230, 85, 13),
    "nose": (253, 141, 60),
    "ears": (253, 174, 107),
    "hair": (49, 163, 84),
    "brows": (116, 196, 118),
    "beard": (161, 217, 155),
    "lips": (117, 107, 177),
    "teeth": (158, 154, 200),
    "mouth_cavity": (188, 189, 220),
    "accessory": (99, 99, 99),
    "hat": (150, 150, 150),
    "glasses": (189, 189, 189),
}
"""RGB of every region."""


def decode(path: Path) -> NDArray[np.uint8]:
    """(H, W) ids of `NPRPORTRAIT15` from a painted picture.

    Raises:
        BadData: not a picture, or a colour that is none of the regions'.
    """
    return read_paint(path, [PAINT[part] for part in NPRPORTRAIT15.parts])


def load(root: Path, split: str, *, gaps: list[Gap] | None = None) -> PairDataset:
    """The NPRportrait folder, label set ``nprportrait15``.

    Raises:
        BadData: no such split or folder, or a painting without its photo.
    """
    check_split(split, SPLITS, "nprportrait")
    root = Path(root)
    if split != "all":
        return _dataset(_pairs_of(root, split, gaps), {})
    versions = [v for v in ("v1.0", "v0.1") if (root / "segmentations" / v).is_dir()]
    if not versions:
        raise BadData(f"{root / 'segmentations'}: no v0.1 or v1.0; give the folder that holds it")
    kept: dict[bytes, Pair] = {}
    left_out: dict[str, str] = {}
    for pair in (pair for version in versions for pair in _pairs_of(root, version, gaps)):
        data = pair.image.read_bytes()
        if data in kept:
            left_out[pair.key] = f"the same photo as {kept[data].key}"
        else:
            kept[data] = pair
    return _dataset(list(kept.values()), left_out)


def _dataset(pairs: list[Pair], left_out: dict[str, str]) -> PairDataset:
    return PairDataset(tuple(pairs), NPRPORTRAIT15, NPRPORTRAIT15, decode, left_out=left_out)


def _pairs_of(root: Path, version: str, gaps: list[Gap] | None) -> list[Pair]:
    folder = root / "segmentations" / version
    paintings = sorted(folder.glob("level*/*.png"))
    if not paintings:
        raise BadData(f"{folder}: no level*/*.png in it; give the folder that holds segmentations")
    pairs = []
    for painting in paintings:
        key = f"{version}/{painting.parent.name}/{painting.stem}"
        photos = [root / "images" / f"{key}{suffix}" for suffix in (".png", ".jpg")]
        here = [p for p in photos if p.is_file()]
        if not here:
            reason = f"{painting}: no photo {photos[0]} or .jpg; get the images as its readme says"
            note_gap(gaps, key, reason)
            continue
        pairs.append(Pair(key, here[0], painting))
    return pairs
