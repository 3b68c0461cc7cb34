"""Mending labels before training: which side a paired part is on.

Measured on the data: 6-9 % of the CelebAMask-HQ subset's pictures have left and right swapped, and
teacher nets that were trained with flips that did not swap the sides guess them. The picture says
what is right: a part on the image right of the nose is the subject's left, in profile too.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.types import LabelSet

MIN_NOSE_PX = 20
ONE_SIDED = 0.85
"""A piece with at least this share on one side of the nose belongs there as a whole."""


def sort_sides(ids: NDArray[np.uint8], label_set: LabelSet) -> NDArray[np.uint8]:
    """Give every piece of a paired part the side on which it lies; a new array comes back.

    Only for upright faces (in-plane turns up to about 45 degrees), one face a picture.

    Args:
        ids: (H, W) part ids; returned unchanged if fewer than `MIN_NOSE_PX` pixels are nose.
        label_set: pairs follow from its ``mirror``; it must have a ``nose``.

    Example:
        >>> from faceparts.labels import CELEBA19 as c
        >>> ids = np.zeros((9, 9), np.uint8)
        >>> ids[4:8, 3:8], ids[1, 6] = c.id("nose"), c.id("right_eye")
        >>> bool(sort_sides(ids, c)[1, 6] == c.id("left_eye"))
        True
    """
    nose = np.nonzero(ids == label_set.id("nose"))[1]
    if len(nose) < MIN_NOSE_PX:
        return ids.copy()
    middle = float(nose.mean())
    image_right = np.broadcast_to(np.arange(ids.shape[1]) > middle, ids.shape)
    sorted_ids = ids.copy()
    for left, part in enumerate(label_set.parts):
        right = label_set.mirror[left]
        if not part.startswith("left_") or left == right:
            continue
        either = (ids == left) | (ids == right)
        count, pieces = cv2.connectedComponents(either.astype(np.uint8))
        for piece in range(1, count):
            here = pieces == piece
            share = float(image_right[here].mean())
            if ONE_SIDED > share > 1 - ONE_SIDED:
                sorted_ids[here & image_right], sorted_ids[here & ~image_right] = left, right
            else:
                sorted_ids[here] = left if share > 0.5 else right
    return sorted_ids
