"""Hair that leaves the cut around a head: a second, wider look says where it goes on.

A parser sees a square a little larger than the head; longer hair would end at its border in a
straight line. Where hair crosses the border, the net looks at a square `WIDER` times as wide, and
what it finds beyond the first one is added: hair, and with it neck, clothes and what is worn on
them. Faces are never added, and nothing that is not connected with what the first look found, so a
neighbour's hair stays the neighbour's.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.crops import crop_head
from faceparts.types import Crop, Head, Image, LabelSet

WIDER = 1.7
"""Side of the wider cut in sides of the first one: heads in photos for training were as small."""

LEAST_SHARE = 0.03
"""Hair crosses the border if so much of a side of the cut is hair."""

BEYOND = ("hair", "hat", "earring", "necklace", "neck", "clothes")
"""Parts that are believed beyond the first cut."""

_BLEND_SHARE = 0.03
_BORDER_PX = 2

Probs = NDArray[np.float32]


def leaves_cut(probs: Probs, crop: Crop, hair: int) -> bool:
    """Whether hair crosses a border of the cut beyond which there is more of the picture.

    Args:
        probs: (K, s, s) of the crop.
        hair: id of hair.
    """
    size = crop.image.shape[0]
    scale, (height, width) = crop.to_source[0, 0], crop.source_hw
    left, top = (crop.to_source[axis, 2] - scale / 2 + 0.5 for axis in (0, 1))
    rim = max(1, round(_BORDER_PX * probs.shape[1] / size))
    first, last, whole = slice(0, rim), slice(-rim, None), slice(None)
    borders = (
        (left >= scale, whole, first),
        (left + size * scale <= width - scale, whole, last),
        (top >= scale, first, whole),
        (top + size * scale <= height - scale, last, whole),
    )
    for goes_on, rows, columns in borders:
        if goes_on:
            is_hair = probs[:, rows, columns].argmax(axis=0) == hair
            if is_hair.mean() >= LEAST_SHARE:
                return True
    return False


def wider_cut(image: Image, head: Head, size_px: int, margin: float) -> tuple[Crop, Crop]:
    """A wider cut for the net and a finer one of the same region for the result.

    Args:
        size_px, margin: of the first cut, see `faceparts.crops.crop_head`.

    Returns:
        The region in ``size_px`` pixels; the same at the scale of the first cut, whose pixels are
        those in the middle of it.
    """
    side = size_px + 2 * round(size_px * (WIDER - 1) / 2)
    wide = ((1 + 2 * margin) * side / size_px - 1) / 2
    return crop_head(image, head, size_px, wide), crop_head(image, head, side, wide)


def join(close: Probs, wide: Probs, side: int, label_set: LabelSet) -> Probs:
    """The first look in the middle, and around it what the wider look adds.

    Args:
        close: (K, S, S) probabilities of the first cut.
        wide: (K, S, S) of the wider one.
        side: T, of the wider cut at the first one's scale.

    Returns:
        (K, T, T) probabilities that sum to 1; id 0 takes what is not believed.
    """
    size = close.shape[1]
    rim = (side - size) // 2
    middle = slice(rim, rim + size)
    joined = np.zeros((len(close), side, side), np.float32)
    believed = [i for i, part in enumerate(label_set.parts) if part in BEYOND]
    for part in believed:
        joined[part] = cv2.resize(wide[part], (side, side), interpolation=cv2.INTER_LINEAR)
    joined[0] = np.maximum(1 - joined[believed].sum(axis=0), 0)
    share = _fade(size)
    joined[:, middle, middle] += share * (close - joined[:, middle, middle])
    inside = np.zeros((side, side), bool)
    inside[middle, middle] = True
    ids = joined.argmax(axis=0)
    lost = (ids != 0) & ~inside & ~_connected(ids != 0, ids, inside)
    joined[:, lost] = 0
    joined[0, lost] = 1
    return joined


def _connected(
    found: NDArray[np.bool_], ids: NDArray[np.intp], inside: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """What hangs together, part by part, with pixels of the same part inside the first cut."""
    kept = np.zeros(found.shape, bool)
    for part in np.unique(ids[found & ~inside]):
        mask = (ids == part).astype(np.uint8)
        _, pieces = cv2.connectedComponents(mask, connectivity=4)
        own = np.unique(pieces[inside & (mask > 0)])
        kept |= np.isin(pieces, own[own > 0])
    return kept


def _fade(size: int) -> Probs:
    """(S, S) weight of the first look: 1, and less towards its border, so that no seam shows."""
    width = max(1.0, _BLEND_SHARE * size)
    edge = (np.minimum(np.arange(size), np.arange(size)[::-1]) + 1) / width
    line = np.minimum(edge, 1).astype(np.float32)
    return np.minimum(line[:, None], line[None])
