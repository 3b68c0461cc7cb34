"""Helen with 68 iBUG points: ``ROOT/*.jpg`` + ``*.pts``; the head box is estimated from the points.

iBUG order: jaw 0-16, right brow 17-21, left brow 22-26, nose 27-35, right eye 36-41, left eye
42-47, outer lips 48-59, inner 60-67; right is the subject's. Sagonas et al., "300 Faces
in-the-Wild Challenge", ICCVW 2013; research.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceparts.datasets._pairs import Gap, Pair, check_split, find_pairs, read_rgb
from faceparts.errors import BadData
from faceparts.types import HeadSample

TASK = "heads"
SPLITS = ("all",)
FOREHEAD_SHARE = 0.75
"""How far the top of the head lies above the brows, as a share of the brow-chin distance."""


@dataclass(frozen=True)
class HelenLandmarks:
    """Crops of one marked face each (others in the picture are not marked)."""

    pairs: tuple[Pair, ...]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, i: int) -> HeadSample:
        """Read one picture, its head box and its points.

        Raises:
            BadData: a file is damaged.
        """
        pair = self.pairs[i]
        marks = read_pts(pair.labels)
        box, points = head_from_marks(marks)
        return HeadSample(pair.key, read_rgb(pair.image), box[None], points[None])


def read_pts(path: Path) -> NDArray[np.float32]:
    """(68, 2) float32 points of a .pts file.

    Raises:
        BadData: not 68 pairs of finite numbers between braces.
    """
    text = path.read_text(errors="replace")
    try:
        body = text[text.index("{") + 1 : text.index("}")]
        marks = np.array([float(v) for v in body.split()], np.float32).reshape(68, 2)
    except ValueError as error:
        raise BadData(f"{path}: not a .pts file of 68 points ({error})") from error
    if not np.isfinite(marks).all():
        raise BadData(f"{path}: a point is not finite")
    return marks


def head_from_marks(
    marks: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Head box (4,) and points (7, 3) from the 68 marks; ears are not marked (``nan``).

    The chin, the jaw's sides and the brows are marked; the top of the head is not: it is put
    `FOREHEAD_SHARE` of the brow-chin distance above the brows, along the face's own axis.
    """
    brows, chin = marks[17:27].mean(axis=0), marks[8]
    crown = brows + (brows - chin) * FOREHEAD_SHARE
    side = (marks[16] - marks[0]) / 2
    reach = np.concatenate(
        [marks, crown[None], (crown - 0.55 * side)[None], (crown + 0.55 * side)[None]]
    )
    box = np.concatenate([reach.min(axis=0), reach.max(axis=0)]).astype(np.float32)
    points = np.full((7, 3), np.nan, np.float32)
    for i, where in enumerate((slice(36, 42), slice(42, 48), slice(30, 31))):
        points[i] = (*marks[where].mean(axis=0), 1.0)
    points[5] = (*marks[48], 1.0)
    points[6] = (*marks[54], 1.0)
    return box, points


def load(root: Path, split: str, *, gaps: list[Gap] | None = None) -> HelenLandmarks:
    """The Helen landmarks folder.

    Raises:
        BadData: no such split or folder, or a picture without its points.
    """
    check_split(split, SPLITS, "helen_landmarks")
    return HelenLandmarks(find_pairs(Path(root), Path(root), tail=".pts", gaps=gaps))
