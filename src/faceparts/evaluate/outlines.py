"""Redraw parts as another dataset's annotators would: wider or narrower, never elsewhere.

Datasets agree on what an eye is, not on where it ends: CelebAMask-HQ paints the opening between the
lids, FASSEG the lids too; its nose is narrower. Scored against each other such labels lose as much
as a bad parser would. How far an outline moves is measured on pictures that are not scored.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.types import IGNORE, LabelSet

FASSEG_V2: Mapping[str, float] = {"eyes": 0.011, "nose": -0.009, "mouth": -0.002}
"""From CelebAMask-HQ's outlines to FASSEG V2's, measured with partnet on the 11 V2 training photos
that are neither test photos too (15-20) nor near copies of one (1, 3, 6).
"""


def move_outlines(
    labels: NDArray[np.uint8],
    label_set: LabelSet,
    moves: Mapping[str, float],
    *,
    rest: str = "skin",
) -> NDArray[np.uint8]:
    """Grow or shrink parts; a new array comes back.

    A grown part covers its neighbours; what a shrunk one leaves becomes ``rest``.

    Args:
        labels: (H, W) ids of ``label_set``; `IGNORE` stays.
        moves: part -> how far its outline moves outwards (inwards if negative), as a share of the
            square root of the area of ``rest`` and all moved parts together.
        rest: part that surrounds the moved ones.

    Example:
        >>> from faceparts.labels import FASSEG6 as f
        >>> face = np.full((40, 40), f.id("skin"), np.uint8)
        >>> face[10:14, 10:14] = f.id("eyes")
        >>> int((move_outlines(face, f, {"eyes": 1 / 40}) == f.id("eyes")).sum())
        36
    """
    ids = {part: label_set.id(part) for part in (*moves, rest)}
    size_px = float(np.sqrt(np.isin(labels, list(ids.values())).sum()))
    known = labels != IGNORE
    moved = labels.copy()
    for part in moves:
        moved[labels == ids[part]] = ids[rest]
    for part, share in moves.items():
        moved[_move(labels == ids[part], share * size_px) & known] = ids[part]
    return moved


def _move(mask: NDArray[np.bool_], by_px: float) -> NDArray[np.bool_]:
    """Pixels whose centres lie inside the outline moved by ``by_px``.

    The outline runs half a pixel from the centres on both of its sides.
    """
    if not mask.any():
        return mask
    far = cv2.distanceTransform(
        (~mask if by_px > 0 else mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
    )
    return np.asarray(far <= 0.5 + by_px if by_px > 0 else far > 0.5 - by_px)
