"""FASSEG: ``ROOT/{V1,V2,V3}/{Train,Test}_{RGB,Labels}``; six classes painted in pure colours.

V1 and V2 are the same 70 frontal photos, painted differently (V1: the nose is a strip, the eyes
twice as large): never mix V1 with the others. V3 is 15 people in 13 yaws, one folder a yaw, the
label folders written ``_labels``. Published as .bmp; .png and .jpg with the same names are taken
too. Brows are painted as hair, the neck as skin, lips as mouth, clothes as background.

What the files need, and get here:

- borders are soft: a pixel gets the nearest pure colour, or `IGNORE` beyond `MAX_DISTANCE`;
- six of the V1/V2 training photos are byte for byte test photos (`REPEATED`): ``*-train`` leaves
  them out, unless ``clean=False`` asks for the split as published;
- about half of the V3 test photos have no label, and four labels differ in size from their photo:
  they are left out and named in `Fasseg.left_out`.

Benini et al., "Face analysis through semantic face segmentation", 2019, and Khan et al.,
"Head pose estimation through multi-class face segmentation", ICME 2017, which ask to be cited.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from faceparts.datasets import _paint
from faceparts.datasets._pairs import Pair, check_split, read_rgb
from faceparts.errors import BadData
from faceparts.labels import FASSEG6
from faceparts.types import LabelSet, Sample

TASK = "parts"
SPLITS = ("v1-train", "v1-test", "v2-train", "v2-test", "v3-train", "v3-test")

PAINT: dict[str, tuple[int, int, int]] = {
    "background": (255, 0, 0),
    "mouth": (0, 255, 0),
    "skin": (255, 255, 0),
    "hair": (127, 0, 0),
    "nose": (0, 255, 255),
    "eyes": (0, 0, 255),
}
"""RGB of every class in the label pictures."""

MAX_DISTANCE = 60.0
"""Euclidean RGB distance up to which a pixel is sure. Background and hair, the closest pair, are
128 apart, so no mixture of two paints is given to the wrong one of them."""

REPEATED = {"15": "26", "16": "17", "17": "13", "18": "20", "19": "23", "20": "44"}
"""V1/V2 training photos -> the test photos that they are."""

SUFFIXES = (".bmp", ".png", ".jpg", ".jpeg")
_PERSON = re.compile(r"personne(\d\d)")


@dataclass(frozen=True)
class Fasseg:
    """Photos with painted labels, decoded when asked for.

    Args:
        pairs: the files, in the order of their names; numbers count as numbers.
        left_out: photo or label -> why it is no sample.
    """

    pairs: tuple[Pair, ...]
    left_out: dict[str, str]
    label_set: LabelSet = FASSEG6

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, i: int) -> Sample:
        """Read one sample.

        Raises:
            BadData: a file is not a picture, or the two differ in size.
        """
        pair = self.pairs[i]
        image, painted = read_rgb(pair.image), read_rgb(pair.labels)
        if image.shape != painted.shape:  # the files may have changed since the list was made
            raise BadData(
                f"{pair.labels}: {painted.shape[1]}x{painted.shape[0]} labels for a picture of "
                f"{image.shape[1]}x{image.shape[0]}; wanted the same size; get both files again"
            )
        return Sample(pair.key, image, decode_paint(painted), pair.subject)


def decode_paint(painted: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) painted RGB -> (H, W) ids of `FASSEG6`, `IGNORE` where no paint is near.

    Example:
        >>> decode_paint(np.uint8([[[255, 0, 0], [250, 250, 5], [127, 127, 127]]])).tolist()
        [[0, 2, 255]]
    """
    return _paint.decode_paint(painted, [PAINT[p] for p in FASSEG6.parts], MAX_DISTANCE)


def load(root: Path, split: str, *, clean: bool = True) -> Fasseg:
    """The FASSEG folder.

    Args:
        root: the folder that holds V1, V2 and V3 (one of them is enough).
        split: version and part; V3 trains on the persons 01-07 and tests on 08-15.
        clean: leave out training photos that are test photos.

    Raises:
        BadData: no such split or folder, two files of one name, or no labelled photo at all.
    """
    check_split(split, SPLITS, "fasseg")
    version, part = split.split("-")
    folder = Path(root) / version.upper()
    photos = _files(folder, f"{part.title()}_RGB")
    labels = _files(folder, f"{part.title()}_Labels")
    pairs: list[Pair] = []
    left_out = {name: "a label without a photo" for name in labels.keys() - photos.keys()}
    for name in sorted(photos, key=_by_number):
        if name not in labels:
            left_out[name] = "a photo without a label"
        elif clean and version != "v3" and part == "train" and name in REPEATED:
            left_out[name] = f"the same photo as test {REPEATED[name]}"
        elif (photo := _size_wh(photos[name])) != (label := _size_wh(labels[name])):
            left_out[name] = f"photo {photo[0]}x{photo[1]}, label {label[0]}x{label[1]} pixels"
        else:
            pairs.append(Pair(f"{version}/{name}", photos[name], labels[name], _subject(name)))
    if not pairs:
        raise BadData(f"{folder}: no photo with a label of its size in {split}; is it complete?")
    return Fasseg(tuple(pairs), left_out)


def _files(version: Path, name: str) -> dict[str, Path]:
    """Path below the folder, without suffix -> file; the folder's name in any case."""
    folders = [p for p in _entries(version) if p.is_dir() and p.name.lower() == name.lower()]
    if len(folders) != 1:
        raise BadData(f"{version / name}: no such folder; give the folder that holds V1, V2, V3")
    files: dict[str, Path] = {}
    for path in sorted(folders[0].rglob("*")):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            key = path.relative_to(folders[0]).with_suffix("").as_posix()
            if key in files:
                raise BadData(f"{path}: there is {files[key].name} too; wanted one file a name")
            files[key] = path
    return files


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _size_wh(path: Path) -> tuple[int, int]:
    try:
        with PilImage.open(path) as file:
            return file.size
    except OSError as error:
        raise BadData(f"{path}: not a readable picture ({error})") from error


def _subject(name: str) -> str | None:
    """V3 names the person; V1 and V2 do not."""
    found = _PERSON.search(name)
    return f"personne{found.group(1)}" if found else None


def _by_number(name: str) -> tuple[int, str]:
    return (int(name), name) if name.isdecimal() else (0, name)
