"""Grafting: glasses, hats, earrings and necklaces of one labelled face put on another.

Rare parts occur on a few dozen pictures of a small set; moved to other faces they are seen with
other skin, hair and light. It is copy-paste augmentation (Ghiasi et al., CVPR 2021) with both faces
aligned by their eyes, earrings also by the ear that they hang from.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.types import IGNORE, Image, LabelSet

ODDS = {"earring": 0.35, "necklace": 0.3, "hat": 0.2, "glasses": 0.15}
"""How often which part is grafted."""

MIN_PX = 25
"""Smaller pieces are label crumbs."""

_EYES = ("right_eye", "left_eye")
_ON_NECKLACE = ("skin", "neck", "clothes")


@dataclass(frozen=True)
class Piece:
    """What is moved, cut out of its picture.

    Args:
        image: (h, w, 3) RGB.
        labels: (h, w) ids; `IGNORE` where nothing is moved.
        anchors: (2, 2) x, y of right and left eye in the piece's pixels.
        ear: (2,) centre of the ear that an earring hangs from; else nan.
        side: ``"left"``, ``"right"``, or empty for what has no side.
    """

    image: Image
    labels: NDArray[np.uint8]
    anchors: NDArray[np.float64]
    ear: NDArray[np.float64]
    side: str = ""


@dataclass(frozen=True)
class Grafts:
    """Pieces by part."""

    pieces: dict[str, tuple[Piece, ...]]

    def graft(
        self,
        image: Image,
        labels: NDArray[np.uint8],
        rng: np.random.Generator,
        label_set: LabelSet,
    ) -> tuple[Image, NDArray[np.uint8]]:
        """Put one random piece on a face; new arrays come back.

        Unchanged where an eye is not visible, the part is there already, or it has no place: an
        earring needs its ear, a necklace a neck, skin or clothes.
        """
        image, labels = image.copy(), labels.copy()
        kinds = [k for k in ODDS if self.pieces.get(k)]
        eyes = _eyes(labels, label_set)
        if not kinds or eyes is None:
            return image, labels
        odds = np.array([ODDS[k] for k in kinds])
        kind = kinds[int(rng.choice(len(kinds), p=odds / odds.sum()))]
        if (labels == label_set.id(kind)).any():
            return image, labels
        piece = self.pieces[kind][int(rng.integers(len(self.pieces[kind])))]
        if rng.random() < 0.5:
            piece = _mirror(piece, label_set)
        matrix = _similarity(piece.anchors, eyes)
        if matrix is None:
            return image, labels
        if piece.side:
            ear = _centre(labels == label_set.id(f"{piece.side}_ear"))
            if ear is None:
                return image, labels
            matrix[:, 2] += ear - (matrix[:, :2] @ piece.ear + matrix[:, 2])
        _lay_on(image, labels, piece, matrix, kind, label_set)
        return image, labels


def collect(pictures: Iterable[tuple[Image, NDArray[np.uint8]]], label_set: LabelSet) -> Grafts:
    """Cut the pieces out of pictures with trusted labels and right sides.

    Args:
        pictures: (H, W, 3) RGB and (H, W) ids of ``label_set``, which must hold the parts of
            `ODDS`, eyes and ears.
    """
    pieces: dict[str, list[Piece]] = {kind: [] for kind in ODDS}
    for image, labels in pictures:
        eyes = _eyes(labels, label_set)
        if eyes is None:
            continue
        for kind in ODDS:
            region = labels == label_set.id(kind)
            if kind == "glasses" and region.sum() >= MIN_PX:
                region |= np.isin(labels, [label_set.id(p) for p in _EYES])
            if kind == "earring":
                pieces[kind] += _earrings(image, labels, region, eyes, label_set)
            elif region.sum() >= MIN_PX:
                pieces[kind].append(_cut(image, labels, region, eyes))
    return Grafts({kind: tuple(found) for kind, found in pieces.items()})


def _earrings(
    image: Image,
    labels: NDArray[np.uint8],
    region: NDArray[np.bool_],
    eyes: NDArray[np.float64],
    label_set: LabelSet,
) -> list[Piece]:
    """One piece a side: the earring pixels nearer to that side's ear than to the other side."""
    middle = eyes.mean(axis=0)
    across = eyes[1] - eyes[0]  # from the subject's right to the left
    ys = np.arange(labels.shape[0])[:, None]
    xs = np.arange(labels.shape[1])[None]
    is_left = (xs - middle[0]) * across[0] + (ys - middle[1]) * across[1] > 0
    found = []
    for side in ("left", "right"):
        here = region & (is_left if side == "left" else ~is_left)
        ear = _centre(labels == label_set.id(f"{side}_ear"))
        if ear is not None and here.sum() >= MIN_PX:
            piece = _cut(image, labels, here, eyes)
            offset = piece.anchors[0] - eyes[0]
            found.append(Piece(piece.image, piece.labels, piece.anchors, ear + offset, side))
    return found


def _cut(
    image: Image, labels: NDArray[np.uint8], region: NDArray[np.bool_], eyes: NDArray[np.float64]
) -> Piece:
    x, y, w, h = cv2.boundingRect(region.astype(np.uint8))
    x0, y0 = max(0, x - 2), max(0, y - 2)
    window = (slice(y0, y + h + 2), slice(x0, x + w + 2))
    ids = np.where(region[window], labels[window], IGNORE).astype(np.uint8)
    nowhere = np.full(2, np.nan)
    return Piece(image[window].copy(), ids, eyes - (x0, y0), nowhere)


def _centre(mask: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    ys, xs = np.nonzero(mask)
    return np.array([xs.mean(), ys.mean()]) if len(xs) >= MIN_PX else None


def _eyes(labels: NDArray[np.uint8], label_set: LabelSet) -> NDArray[np.float64] | None:
    centres = []
    for part in _EYES:
        ys, xs = np.nonzero(labels == label_set.id(part))
        if len(xs) < 8:
            return None
        centres.append((xs.mean(), ys.mean()))
    return np.array(centres)


def _mirror(piece: Piece, label_set: LabelSet) -> Piece:
    table = np.full(256, IGNORE, np.uint8)
    table[: len(label_set.mirror)] = label_set.mirror
    last = piece.labels.shape[1] - 1
    flipped = piece.anchors[::-1].copy()
    flipped[:, 0] = last - flipped[:, 0]
    return Piece(
        np.ascontiguousarray(piece.image[:, ::-1]),
        np.ascontiguousarray(table[piece.labels[:, ::-1]]),
        flipped,
        np.array([last - piece.ear[0], piece.ear[1]]),
        {"left": "right", "right": "left", "": ""}[piece.side],
    )


def _similarity(
    source: NDArray[np.float64], target: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """(2, 3) turn, scale and shift that takes two points to two points; None if too extreme."""
    a, b = np.diff(source, axis=0)[0], np.diff(target, axis=0)[0]
    length = float(np.hypot(*a))
    if length < 4 or np.hypot(*b) < 4:
        return None
    ratio = complex(*b) / complex(*a)
    if not 0.2 < abs(ratio) < 2.5:
        return None
    linear = np.array([[ratio.real, -ratio.imag], [ratio.imag, ratio.real]])
    shift = target.mean(axis=0) - linear @ source.mean(axis=0)
    return np.hstack([linear, shift[:, None]])


def _lay_on(
    image: Image,
    labels: NDArray[np.uint8],
    piece: Piece,
    matrix: NDArray[np.float64],
    kind: str,
    label_set: LabelSet,
) -> None:
    """Warp a piece onto the picture, in place, with an edge one pixel soft."""
    size_wh = (labels.shape[1], labels.shape[0])
    ids = cv2.warpAffine(
        piece.labels, matrix, size_wh, flags=cv2.INTER_NEAREST, borderValue=(IGNORE,)
    )
    moved = ids != IGNORE
    if kind == "necklace":
        moved &= np.isin(labels, [label_set.id(p) for p in _ON_NECKLACE])
    moved &= labels != IGNORE
    x, y, w, h = cv2.boundingRect(moved.astype(np.uint8))
    if not w:
        return
    window = (slice(max(0, y - 2), y + h + 2), slice(max(0, x - 2), x + w + 2))
    layer = cv2.warpAffine(
        piece.image, matrix, size_wh, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )[window]
    alpha = cv2.GaussianBlur(moved[window].astype(np.float32), (3, 3), 0)[..., None]
    image[window] = (image[window] * (1 - alpha) + layer * alpha + 0.5).astype(np.uint8)
    labels[moved] = ids[moved]
