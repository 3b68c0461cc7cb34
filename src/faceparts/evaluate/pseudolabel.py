"""Labels made by a net, kept only where they hold: a mirrored look and a second net must agree.

A net's labels teach another net its mistakes too. What is wrong is seldom wrong twice in the same
way, so each crop is looked at again, mirrored or with other eyes. Pixels on which the looks differ
or the net is unsure become `IGNORE`; crops in which too many differ are left out as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts import labels as label_sets
from faceparts._values import require_range, require_whole
from faceparts.crops import crop_head
from faceparts.errors import UsageError
from faceparts.types import IGNORE, Crop, Head, Image, LabelSet, Segmenter

Probs = NDArray[np.float32]


@dataclass(frozen=True)
class Filters:
    """What a crop must hold to be kept.

    Args:
        min_agreement: share of the head's pixels on which two looks agree, 0..1.
        min_confidence: probability from which a pixel keeps its label, 0..1.
        min_sure: share of the head's pixels that must keep their label, 0..1.
        min_head_px: longer side of the head box in picture pixels.
        mirror: look at the mirrored crop too.
        max_px: largest side of a crop; smaller heads are not enlarged.

    Raises:
        UsageError: a value is out of range.
    """

    min_agreement: float = 0.9
    min_confidence: float = 0.5
    min_sure: float = 0.8
    min_head_px: int = 48
    mirror: bool = False
    max_px: int = 512

    def __post_init__(self) -> None:
        for name in ("min_agreement", "min_confidence", "min_sure"):
            require_range(name, getattr(self, name), 0, 1)
        for name in ("min_head_px", "max_px"):
            require_whole(name, getattr(self, name), 1)


@dataclass(frozen=True, eq=False)
class Labelled:
    """A crop with its labels and what speaks against them.

    Args:
        image: (S, S, 3) RGB, grey beyond the picture.
        labels: (S, S) ids of the first net, `IGNORE` where unsure or beyond the picture.
        scores: ``sure``, ``confidence`` and, where looked for, ``mirror`` and ``other``: 0..1,
            ``None`` where the head has no pixel to judge by.
        reasons: why the crop is not kept; empty = kept.
    """

    image: Image
    labels: NDArray[np.uint8]
    scores: dict[str, float | None]
    reasons: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """Whether it passed all filters."""
        return not self.reasons


class Labeller:
    """Labels heads with one net and asks another.

    Args:
        segmenter: whose labels are kept.
        filters: what must hold.
        other: a second net, of any label set that shares parts with the first.

    Raises:
        UsageError: the two nets' label sets have no part in common.
    """

    def __init__(
        self, segmenter: Segmenter, filters: Filters, other: Segmenter | None = None
    ) -> None:
        self._segmenter, self._filters, self._other = segmenter, filters, other
        own = segmenter.label_set
        self._common = common_tables(own, other.label_set) if other is not None else None

    def label(self, image: Image, head: Head) -> Labelled:
        """Cut a head out of an (H, W, 3) picture and label it.

        Raises:
            ValueError: see `crop_head`.
        """
        filters, card = self._filters, self._segmenter.card
        side = max(head.size_wh) * (1 + 2 * card.margin)
        crop = crop_head(image, head, max(1, min(filters.max_px, round(side))), card.margin)
        probs, straight = self._look(image, head, crop)
        second = None
        if self._other is not None and self._common is not None:
            found, covered = look(self._other, image, head, crop)
            second = np.where(covered, found.argmax(axis=0), IGNORE).astype(np.uint8)
        inside = _inside(crop)
        ids = probs.argmax(axis=0).astype(np.uint8)
        confidence = probs.max(axis=0)
        doubt = confidence < filters.min_confidence
        scores: dict[str, float | None] = {}
        if straight is not None:
            scores["mirror"], differs = agreement(*straight, inside)
            doubt |= differs
        if second is not None and self._common is not None:
            one, other = (t[i] for t, i in zip(self._common, (ids, second), strict=True))
            scores["other"], differs = agreement(one, other, inside)
            doubt |= differs
        part = inside & (ids != 0)
        scores["sure"] = _mean(~doubt[part])
        scores["confidence"] = _mean(confidence[part])
        ids[doubt | ~inside] = IGNORE
        return Labelled(crop.image, ids, scores, self._reasons(head, scores))

    def _look(
        self, image: Image, head: Head, crop: Crop
    ) -> tuple[Probs, tuple[NDArray[np.uint8], NDArray[np.uint8]] | None]:
        """Probabilities in the crop and, if asked for, the ids of both looks."""
        straight, _ = look(self._segmenter, image, head, crop)
        if not self._filters.mirror:
            return straight, None
        mirrored, _ = look(self._segmenter, image, head, crop, mirror=True)
        mean = np.asarray((straight + mirrored) / 2, np.float32)
        one, other = (np.asarray(p.argmax(axis=0), np.uint8) for p in (straight, mirrored))
        return mean, (one, other)

    def _reasons(self, head: Head, scores: dict[str, float | None]) -> tuple[str, ...]:
        filters = self._filters
        limits = {
            "mirror": ("the mirrored look agrees on", filters.min_agreement),
            "other": ("the other net agrees on", filters.min_agreement),
            "sure": ("sure of", filters.min_sure),
        }
        reasons = []
        if max(head.size_wh) < filters.min_head_px:
            reasons.append(f"head of {max(head.size_wh):.0f} px, wanted {filters.min_head_px}")
        if scores["sure"] is None:
            reasons.append("no part found")
        for name, (words, least) in limits.items():
            score = scores.get(name)
            if score is not None and score < least:
                reasons.append(f"{words} {100 * score:.1f}% of the head, wanted {100 * least:g}%")
        return tuple(reasons)


def look(
    segmenter: Segmenter, image: Image, head: Head, crop: Crop, *, mirror: bool = False
) -> tuple[Probs, NDArray[np.bool_]]:
    """A net's probabilities in the pixels of a crop, whatever cut the net itself wants.

    Args:
        image: (H, W, 3) picture.
        head: the head in it.
        crop: the pixels to be labelled.
        mirror: show the net the mirrored cut, and mirror what it finds back.

    Returns:
        (K, S, S) probabilities and (S, S) bool: which pixels the net has seen.
    """
    card = segmenter.card
    own = crop_head(image, head, card.input_px, card.margin)
    shown = own.image[:, ::-1] if mirror else own.image
    probs = segmenter.predict(np.ascontiguousarray(shown)[None])[0]
    if mirror:
        probs = probs[list(segmenter.label_set.mirror), :, ::-1]
    to_own = np.linalg.inv(np.vstack([own.to_source, (0, 0, 1)]))
    matrix = np.asarray((to_own @ np.vstack([crop.to_source, (0, 0, 1)]))[:2], np.float64)
    side = crop.image.shape[0]
    planes = [
        cv2.warpAffine(
            np.ascontiguousarray(plane),
            matrix,
            (side, side),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for plane in probs
    ]
    at = np.arange(side)
    seen = [
        (x > -0.5 - 1e-6) & (x < card.input_px - 0.5 + 1e-6)
        for x in (matrix[0, 0] * at + matrix[0, 2], matrix[1, 1] * at + matrix[1, 2])
    ]
    return np.asarray(np.stack(planes), np.float32), seen[1][:, None] & seen[0][None]


def common_tables(one: LabelSet, other: LabelSet) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(256,) tables that bring both sets' ids into one: that of the set with fewer parts.

    What has no counterpart there becomes `IGNORE`.

    Raises:
        UsageError: they have no part in common.
    """
    target, source = (other, one) if len(other.parts) < len(one.parts) else (one, other)
    table = label_sets.table(source, target)
    if not ((table != IGNORE) & (table != 0)).any():
        raise UsageError(
            f"{one.name} and {other.name} have no part in common; take another second model"
        )
    same = np.arange(256, dtype=np.uint8)
    return (table, same) if source is one else (same, table)


def agreement(
    one: NDArray[np.uint8], other: NDArray[np.uint8], inside: NDArray[np.bool_]
) -> tuple[float | None, NDArray[np.bool_]]:
    """Share of the head's pixels with the same id, and where the ids differ.

    The head is what either calls a part; pixels that either cannot name do not count.

    Example:
        >>> agreement(np.uint8([0, 0, 1, 2]), np.uint8([0, 1, 1, 255]), np.ones(4, bool))
        (0.5, array([False,  True, False, False]))
    """
    known = inside & (one != IGNORE) & (other != IGNORE)
    head = known & ((one != 0) | (other != 0))
    differs = known & (one != other)
    return _mean(one[head] == other[head]), differs


def _mean(values: NDArray[np.bool_] | Probs) -> float | None:
    return round(float(values.mean()), 4) if values.size else None


def _inside(crop: Crop) -> NDArray[np.bool_]:
    """(S, S) bool: which crop pixels show the picture."""
    at = np.arange(crop.image.shape[0])
    (scale, _, left), (_, down, top) = crop.to_source.tolist()
    height, width = crop.source_hw
    columns = (scale * at + left > -0.5) & (scale * at + left < width - 0.5)
    rows = (down * at + top > -0.5) & (down * at + top < height - 0.5)
    return np.asarray(rows[:, None] & columns[None])
