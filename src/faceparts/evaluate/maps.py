"""One picture under a protocol: which class wins where, and how probable every class is.

Probabilities are brought to the scored resolution before the arg max (bilinear, as in
`crops.warp_back`), part by part, so that memory grows with the picture and not with the number of
parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.crops import crop_head, crop_to_window
from faceparts.errors import BadData
from faceparts.evaluate.groups import head_box, mask_of
from faceparts.evaluate.protocols import Protocol
from faceparts.types import IGNORE, Crop, Head, HeadDetector, Image, LabelSet, Segmenter

Ids = NDArray[np.uint8]
Plane = NDArray[np.float32]
Classes = Iterable[tuple[int, Plane, Plane]]
"""Class, (H, W) sum of its parts' probabilities, (H, W) largest of them."""

_MAX_COLUMNS = 16_384
_MAX_FINER = 2.0


@dataclass(frozen=True, eq=False)
class Prepared:
    """A picture as a protocol wants it.

    Args:
        image: (H, W, 3) RGB that is cut for the model.
        labels: (H, W) part ids of the dataset, for measuring the head.
        truth: (h, w) class ids that are scored, `IGNORE` where nothing is; smaller than the
            picture by ``protocol.shrink``.
    """

    image: Image
    labels: Ids
    truth: Ids


@dataclass(frozen=True, eq=False)
class Found:
    """What a model says about a picture, in the classes of a protocol.

    Args:
        classes: (h, w) class ids.
        confidence: (h, w) float32 probability of the class that won.
    """

    classes: Ids
    confidence: Plane


def prepare(image: Image, labels: Ids, source: LabelSet, protocol: Protocol) -> Prepared:
    """Bring a labelled picture to the protocol's size and classes.

    Pictures shrink by area averaging and grow bilinearly, labels go to the nearest pixel.

    Raises:
        BadData: the protocol wants a square of a given size and does not pad.
    """
    side = protocol.size_px
    if side:
        height, width = labels.shape
        if height != width and not protocol.pad:
            raise BadData(
                f"a picture of {width}x{height} pixels under protocol {protocol.name}; "
                f"wanted square pictures (scored at {side} px)"
            )
        image, labels = _to_square(image, labels, side)
    truth = np.asarray(protocol.truth_table(source)[labels])
    if protocol.shrink > 1:
        truth = _split(truth, protocol)
        truth = _blocks(truth, protocol.shrink).max(axis=(1, 3))
    else:
        truth = _split(truth, protocol)
    return Prepared(image, labels, truth)


def _to_square(image: Image, labels: Ids, side: int) -> tuple[Image, Ids]:
    height, width = labels.shape
    scale = side / max(height, width)
    size_wh = max(1, round(width * scale)), max(1, round(height * scale))
    if size_wh != (width, height):
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(image, size_wh, interpolation=how), np.uint8)
        small = cv2.resize(labels, size_wh, interpolation=cv2.INTER_NEAREST_EXACT)
        labels = np.asarray(small, np.uint8)
    if size_wh == (side, side):
        return image, labels
    top, left = (side - size_wh[1]) // 2, (side - size_wh[0]) // 2
    window = slice(top, top + size_wh[1]), slice(left, left + size_wh[0])
    full, full_labels = np.zeros((side, side, 3), np.uint8), np.zeros((side, side), np.uint8)
    full[window], full_labels[window] = image, labels
    return full, full_labels


def cut(
    prepared: Prepared,
    source: LabelSet,
    protocol: Protocol,
    *,
    input_px: int,
    margin: float,
    detector: HeadDetector | None,
) -> tuple[Crop, bool]:
    """Cut the face out as the protocol's alignment says.

    Args:
        source: label set of ``prepared.labels``.
        input_px: side of the model's input.
        margin: from the model's card; the whole picture is cut without one.
        detector: for the alignment ``detector``.

    Returns:
        The crop, and whether a head was found (always, where none is looked for).

    Raises:
        ValueError: the alignment wants a detector and none was given.
    """
    image = prepared.image
    height, width = image.shape[:2]
    whole = Head((0, 0, width, height), 1, Head.no_points())
    head: Head | None = None
    if protocol.alignment == "detector":
        if detector is None:
            raise ValueError("alignment 'detector' needs a detector, got none")
        heads = detector.detect(image)
        head = max(heads, key=lambda h: h.size_wh[0] * h.size_wh[1], default=None)
    elif protocol.alignment == "labels":
        box = head_box(prepared.labels, source)
        head = None if box is None else Head(box, 1, Head.no_points())
    else:
        return crop_head(image, whole, input_px, 0), True
    if head is None:
        return crop_head(image, whole, input_px, 0), False
    return crop_head(image, head, input_px, margin), True


def find(
    segmenter: Segmenter,
    crop: Crop,
    protocol: Protocol,
    on_class: Callable[[int, Plane], None] = lambda number, plane: None,
) -> Found:
    """Run a model on a crop and bring its classes into the picture.

    Args:
        crop: of the prepared picture; outside of it everything is background.
        on_class: called once a class with its number and (h, w) probability 0..1.
    """
    probs = segmenter.predict(crop.image[None])[0]
    classes: Classes = _base_classes(probs, segmenter.label_set, crop, protocol)
    if protocol.split_eyes:
        kept = list(classes)
        classes = _split_planes(kept, _winner(kept, None).classes, protocol)
    return _winner(classes, on_class)


def _winner(classes: Classes, on_class: Callable[[int, Plane], None] | None) -> Found:
    """Class with the most probable part at every pixel; the first of equals."""
    ids = best = sure = np.empty(0, np.float32)
    for number, total, largest in classes:
        if on_class is not None:
            on_class(number, total)
        if not best.size:
            ids, best, sure = np.full(total.shape, number, np.uint8), largest.copy(), total.copy()
            continue
        wins = largest > best
        np.copyto(ids, number, where=wins, casting="unsafe")
        np.copyto(sure, total, where=wins)
        np.maximum(best, largest, out=best)
    return Found(np.asarray(ids, np.uint8), np.minimum(sure, 1))


def _base_classes(
    probs: NDArray[np.float32], parts: LabelSet, crop: Crop, protocol: Protocol
) -> Iterator[tuple[int, Plane, Plane]]:
    """Planes of every class before eyes are split, at the scored resolution."""
    table = protocol.found_table(parts)[: len(parts.parts)]
    maps, to_map = _average_down(probs, crop)
    window = crop_to_window(crop)
    shape = _scored_shape(crop.source_hw, protocol)
    for number in range(len(protocol.base_set.parts)):
        total, largest = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        for part in np.flatnonzero(table == number):
            plane = _to_picture(
                maps[part], to_map, window, crop.source_hw, outside=float(part == 0)
            )
            if protocol.shrink > 1:
                plane = np.asarray(_blocks(plane, protocol.shrink).mean(axis=(1, 3)), np.float32)
            total += plane
            np.maximum(largest, plane, out=largest)
        yield number, np.minimum(total, 1), largest


def _scored_shape(source_hw: tuple[int, int], protocol: Protocol) -> tuple[int, int]:
    return source_hw[0] // protocol.shrink, source_hw[1] // protocol.shrink


def _average_down(
    probs: NDArray[np.float32], crop: Crop
) -> tuple[list[Plane], NDArray[np.float64]]:
    """Halve maps until they are at most twice as fine as the picture; and picture -> map."""
    to_map = np.linalg.inv(np.vstack([crop.to_source, (0, 0, 1)]))
    maps = [np.ascontiguousarray(p) for p in probs]
    while np.sqrt(abs(np.linalg.det(to_map[:2, :2]))) > _MAX_FINER and maps[0].shape[0] > 1:
        side = maps[0].shape[0]
        small = -(-side // 2)
        maps = [
            np.asarray(cv2.resize(p, (small, small), interpolation=cv2.INTER_AREA), np.float32)
            for p in maps
        ]
        ratio = small / side
        shift = ratio / 2 - 0.5
        to_map = np.array([[ratio, 0, shift], [0, ratio, shift], [0, 0, 1.0]]) @ to_map
    return maps, np.asarray(to_map[:2], np.float64)


def _to_picture(
    plane: Plane,
    to_map: NDArray[np.float64],
    window_xyxy: tuple[int, int, int, int],
    source_hw: tuple[int, int],
    *,
    outside: float,
) -> Plane:
    """(H, W) of one part's map; ``outside`` beyond the crop."""
    full = np.full(source_hw, outside, np.float32)
    x0, y0, x1, y1 = window_xyxy
    for left in range(x0, x1, _MAX_COLUMNS):
        right = min(x1, left + _MAX_COLUMNS)
        for top in range(y0, y1, _MAX_COLUMNS):
            bottom = min(y1, top + _MAX_COLUMNS)
            matrix = to_map.copy()
            matrix[:, 2] += matrix[:, :2] @ (left, top)
            full[top:bottom, left:right] = cv2.warpAffine(
                plane,
                matrix,
                (right - left, bottom - top),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
    return full


def _blocks(values: NDArray[np.generic], side: int) -> NDArray[np.generic]:
    """(h, side, w, side): blocks of an array whose sides are multiples of theirs."""
    height, width = values.shape
    return values.reshape(height // side, side, width // side, side)


def _nose_x(ids: Ids, base: LabelSet) -> float:
    """Column that splits the eyes: middle of the nose, else of the skin, else of the picture."""
    for part in ("nose", "skin"):
        columns = np.nonzero(mask_of(ids, base, (part,)))[1]
        if columns.size:
            return float(columns.mean())
    return float(ids.shape[1] - 1) / 2


def _split(ids: Ids, protocol: Protocol) -> Ids:
    """Class ids with eyes split at the nose; unchanged where nothing is split."""
    if not protocol.split_eyes:
        return ids
    base, final = protocol.base_set, protocol.label_set
    table = np.full(256, IGNORE, np.uint8)
    for i, part in enumerate(base.parts):
        table[i] = final.id("right_eye" if part == "eyes" else part)
    split = table[ids]
    left = np.arange(ids.shape[1]) > _nose_x(ids, base)
    split[(ids == base.id("eyes")) & left[None]] = final.id("left_eye")
    return np.asarray(split, np.uint8)


def _split_planes(
    kept: list[tuple[int, Plane, Plane]], winner: Ids, protocol: Protocol
) -> Iterator[tuple[int, Plane, Plane]]:
    base, final = protocol.base_set, protocol.label_set
    left = np.arange(winner.shape[1])[None] > _nose_x(winner, base)
    for number, total, largest in kept:
        part = base.parts[number]
        if part != "eyes":
            yield final.id(part), total, largest
            continue
        for side, where in (("left_eye", left), ("right_eye", ~left)):
            yield final.id(side), total * where, largest * where
