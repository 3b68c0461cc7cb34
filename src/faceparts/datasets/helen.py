"""Helen, relabelled: ``ROOT/{train,test}/{name}_image.jpg`` + ``{name}_label.png``; 11 classes.

The corrected set ("Helen*", ``helenstar_release``: 1,999 / 100 pictures, with ``{name}_viz.jpg``
beside them) in LaPa's order of ids. Take this one for measuring: in the first release
(`helen_original`) skin and hair were partly made by algorithms. Whose left is left is measured on
the label files when the set is opened (`_sides`); where they do not show it, the viewer's is taken.

Layout after public loaders of ``helenstar_release``. Labels: Lin et al., "Face Parsing with RoI
Tanh-Warping", CVPR 2019; photos: Le et al., "Interactive Facial Feature Localization", ECCV 2012;
research.
"""

from __future__ import annotations

from pathlib import Path

from faceparts.datasets import _sides
from faceparts.datasets._pairs import Gap, Pair, PairDataset, check_split, note_gap, read_ids
from faceparts.errors import BadData
from faceparts.labels import LAPA11

TASK = "parts"
SPLITS = ("train", "test")


def load(root: Path, split: str, *, gaps: list[Gap] | None = None) -> PairDataset:
    """The relabelled Helen folder; samples in ``lapa11``, left and right the subject's.

    Raises:
        BadData: no such split or folder, a picture without its labels, or damaged labels.
    """
    check_split(split, SPLITS, "helen")
    folder = Path(root) / split
    photos = sorted(folder.glob("*_image.jpg"))
    if not photos:
        raise BadData(
            f"{folder}: no *_image.jpg in it; give the folder helenstar_release "
            f"(the first release, with images/ and labels/, is read by helen_original)"
        )
    pairs = []
    for photo in photos:
        name = photo.name.removesuffix("_image.jpg")
        labels = folder / f"{name}_label.png"
        if not labels.is_file():
            reason = f"{photo}: no label file {labels.name} beside it; unpack the set again"
            note_gap(gaps, name, reason)
            continue
        pairs.append(Pair(name, photo, labels))
    files = [pair.labels for pair in pairs]
    strict = gaps is None
    source = _sides.as_subject(LAPA11, files, read_ids, unless_seen=False, strict=strict)
    return PairDataset(tuple(pairs), source, LAPA11, read_ids)
