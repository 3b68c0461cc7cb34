"""FaceParser: picture -> list[Face].

The package attribute ``faceparts.parse`` is this module, and calling it calls
`faceparts.api.parse`, so ``faceparts.parse(photo)`` and ``from faceparts.parse import FaceParser``
both work whatever was imported first.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from faceparts._alpha import flatten
from faceparts._long_hair import join, leaves_cut, wider_cut
from faceparts._values import require_range, require_whole
from faceparts.crops import check_image, crop_head, crop_to_window, enlarge, warp_back
from faceparts.detect._union import open_detector
from faceparts.errors import UsageError
from faceparts.segment import files, maps_of
from faceparts.types import Crop, Face, Head, HeadDetector, Image, LabelSet, Segmenter

NEAR_BONUS = 0.1
"""How much higher the smaller of two heads must claim a pixel to take it from the larger one."""

OUTSIDE_COST = 0.5
"""Taken off a claim at twice the head box's reach, growing from none at its border."""

BODY_COST = 0.5
"""Taken off claims of parts below the head: clothes never beat the face before them."""

BODY_PARTS = frozenset(("neck", "necklace", "clothes"))

OPAQUE = 255
"""Alpha of a pixel that hides what lies behind it."""

SAME_HEAD_IOU = 0.7
"""From this overlap on, a head found twice in a picture with transparency counts once."""

_STRIP_PX = 2**21
Window = tuple[int, int, int, int]


class FaceParser:
    """Detects heads, cuts them out, segments them and brings the parts back into the picture.

    Args:
        detector: name of a detector (a file in ``faceparts/detect``), several names joined by
            ``+``, or an object with ``detect``.
        segmenter: name or path of weights for `faceparts.segment.files`, or an object with
            ``predict``, ``card`` and ``label_set``.
        detector_weights: file for a detector given by name; ``None`` = the shipped one.
        min_score: heads with a lower score are left out; ``None`` = the detector's own threshold.
        min_score_share: factor on that threshold, for a detector given by name: 0.5 finds more, and
            more that are none. A detector without a card keeps its own.
        turned: where ``headnet`` is sure of no head, look at the picture turned by quarter turns
            too.
        cut: look once more for large heads that the borders of the picture cut, or that are behind
            bars or writing; with ``headnet``.
        threads: processor threads for the nets; ``None`` = all cores that the process may use.
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``.
        precision: ``"int8"``, ``"fp32"`` or ``"auto"``; for shipped weights.
        flip: average each crop with its mirror image; twice the work, steadier edges.
        batch: crops that are held and segmented at once.
        long_hair: look wider where hair leaves the cut around a head, see `faceparts._long_hair`;
            only with parsers that do not mind (ONNX files do not, forests do).

    Raises:
        UnknownName, BadWeights, UsageError: see `faceparts.weights.open_net`; also for options out
            of range.

    Example::

        parser = FaceParser(min_score=0.5)
        for face in parser.parse(image):
            print(face.head.box_xyxy, face.area_px("hair"))
    """

    def __init__(
        self,
        detector: HeadDetector | str = "headnet",
        segmenter: Segmenter | str | Path = "partnet",
        *,
        detector_weights: str | Path | None = None,
        min_score: float | None = None,
        min_score_share: float = 1.0,
        turned: bool = False,
        cut: bool = False,
        threads: int | None = None,
        device: str = "cpu",
        precision: str = "auto",
        flip: bool = False,
        batch: int = 16,
        long_hair: bool = True,
    ) -> None:
        if min_score is not None:
            min_score = require_range("min_score", min_score, 0, 1)
        min_score_share = require_range("min_score_share", min_score_share, 0, 1)
        least = min_score
        if isinstance(detector, str):
            least = None  # the detector's own business, and that of each of several
            detector = open_detector(
                detector,
                detector_weights,
                threads=threads,
                device=device,
                precision=precision,
                min_score=min_score,
                min_score_share=min_score_share,
                turned=turned,
                cut=cut,
            ).detector
        elif detector_weights is not None:
            raise UsageError("detector_weights: only for a detector given by name")
        if isinstance(segmenter, str | Path):
            segmenter = files.load(segmenter, threads=threads, device=device, precision=precision)
        self.detector: HeadDetector = detector
        self.segmenter: Segmenter = segmenter
        self.min_score = min_score
        self._least = least
        self._flip = flip
        self._batch = require_whole("batch", batch, 1)
        parts = self.label_set.parts
        follows = long_hair and "hair" in parts and getattr(self.segmenter, "any_cut", False)
        self._hair = parts.index("hair") if follows else None

    @property
    def label_set(self) -> LabelSet:
        """What the part ids of the faces mean."""
        return self.segmenter.label_set

    def detect(self, image: Image) -> list[Head]:
        """Heads in an (H, W, 3) uint8 RGB picture, best first; ``[]`` is a normal answer.

        Raises:
            ValueError: the picture is something else; the message says what.
        """
        heads = self.detector.detect(check_image(image))
        return [h for h in heads if self._least is None or h.score >= self._least]

    def parse(self, image: Image) -> list[Face]:
        """Faces in an (H, W, 3) uint8 RGB picture, in the order of `detect`.

        Raises:
            ValueError: the picture is something else; the message says what.
        """
        return self.segment(image, self.detect(image))

    __call__ = parse

    def __reduce__(self) -> NoReturn:
        """Not to be pickled: opened nets stay in their process."""
        raise TypeError("FaceParser holds opened nets; make one in each process, from its options")

    def segment(self, image: Image, heads: Sequence[Head]) -> list[Face]:
        """One face for each head, in the same order; what lies beside the picture has no pixels.

        Memory is needed for the windows around the heads, not for the picture times the heads.

        Raises:
            ValueError: not an (H, W, 3) uint8 picture, or a head box without area.
        """
        check_image(image)
        card, crops, windows = self.segmenter.card, [], []
        labels: list[NDArray[np.uint8]] = []
        confidences: list[NDArray[np.float32]] = []
        cut = ((head, crop_head(image, head, card.input_px, card.margin)) for head in heads)
        for some in _chunks(cut, self._batch):
            for crop, probs in self._look(image, some):
                window = crop_to_window(crop)
                part_ids, confidence = warp_back(probs, crop, window)
                crops.append(crop)
                windows.append(window)
                labels.append(part_ids)
                confidences.append(confidence)
        settle_overlaps(heads, windows, labels, confidences, self.label_set)
        for part_ids, confidence in zip(labels, confidences, strict=True):
            part_ids.flags.writeable = False  # a Face then holds them without another copy
            confidence.flags.writeable = False
        return [
            Face(*parts, self.label_set)
            for parts in zip(heads, crops, labels, confidences, windows, strict=True)
        ]

    def _look(
        self, image: Image, some: Sequence[tuple[Head, Crop]]
    ) -> list[tuple[Crop, NDArray[np.float32]]]:
        """Crops and their probabilities; wider ones where hair goes on."""
        looks = list(zip([c for _, c in some], self._predict([c for _, c in some]), strict=True))
        if self._hair is None:
            return looks
        card = self.segmenter.card
        far = [i for i, (crop, probs) in enumerate(looks) if leaves_cut(probs, crop, self._hair)]
        if not far:
            return looks
        cuts = [wider_cut(image, some[i][0], card.input_px, card.margin) for i in far]
        found = self._predict([cut for cut, _ in cuts])
        for i, (_, crop), wide in zip(far, cuts, found, strict=True):
            close = enlarge(looks[i][1][None], card.input_px)[0]
            looks[i] = crop, join(close, wide, crop.image.shape[0], self.label_set)
        return looks

    def _predict(self, crops: Sequence[Crop]) -> NDArray[np.float32]:
        """(N, K, s, s) probabilities; s may be less than the crops' S, see `maps_of`."""
        images = np.stack([crop.image for crop in crops])
        predict = maps_of(self.segmenter)
        probs = predict(images)
        if self._flip:
            mirrored = predict(np.ascontiguousarray(images[:, :, ::-1]))
            probs += mirrored[:, list(self.label_set.mirror), :, ::-1]
            probs *= np.float32(0.5)
        return probs


def _chunks(crops: Iterator[tuple[Head, Crop]], count: int) -> Iterator[list[tuple[Head, Crop]]]:
    while some := list(islice(crops, count)):
        yield some


# --- pictures with transparency ---------------------------------------------------------------


def parse_translucent(
    parse: Callable[[Image], Sequence[Face]], image: Image, alpha: NDArray[np.uint8] | None
) -> list[Face]:
    """Faces in the colours of a picture and in what a viewer shows of it.

    A face may be painted by the alpha channel alone, or lie among transparent pixels that confuse
    the detector; another may lie in colours that are transparent. Where there is transparency the
    picture is looked at twice: as it is, and laid on white if it is dark, on black if it is bright.

    Args:
        parse: (H, W, 3) -> faces.
        alpha: (H, W) uint8, 255 opaque; ``None`` = none.

    Returns:
        The faces in the colours and those seen only in the second look, best first.
    """
    faces = list(parse(image))
    if alpha is None or alpha.min() == OPAQUE:
        return faces
    shown = flatten(image, alpha, OPAQUE if _mean_level(image, alpha) < OPAQUE / 2 else 0)
    first = [face.head.box_xyxy for face in faces]
    faces += [
        face
        for face in parse(shown)
        if all(_iou(face.head.box_xyxy, box) < SAME_HEAD_IOU for box in first)
    ]
    return sorted(faces, key=lambda face: -face.head.score)


def _mean_level(image: Image, alpha: NDArray[np.uint8]) -> float:
    """Mean of all channels 0..255, weighted by alpha; 0 where all is transparent."""
    total = sum(
        int(covers.astype(np.int64) @ row.sum(axis=1, dtype=np.int64))
        for row, covers in zip(image, alpha, strict=True)
    )
    return total / max(3 * int(alpha.sum(dtype=np.int64)), 1)


def _iou(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    both = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (one, other))
    return shared / (both - shared)


# --- pixels that several faces claim ----------------------------------------------------------


def settle_overlaps(
    heads: Sequence[Head],
    windows: Sequence[Window],
    labels: Sequence[NDArray[np.uint8]],
    confidences: Sequence[NDArray[np.float32]],
    label_set: LabelSet,
) -> None:
    """Give every pixel that several faces claim as foreground to one of them, in place.

    A claim is the confidence, less `OUTSIDE_COST` for pixels outside the face's own head box and
    `BODY_COST` for parts below the head. The larger head, which is the nearer one, keeps the pixel
    unless the other's claim is higher by more than `NEAR_BONUS`. What a face loses becomes
    background there, with the winner's confidence.

    Args:
        windows: (left, top, right, bottom) of each face in the picture.
        labels: (h, w) part ids in each window; changed.
        confidences: (h, w) in each window; changed.
    """
    body = np.zeros(256, np.float32)
    body[[i for i, part in enumerate(label_set.parts) if part in BODY_PARTS]] = BODY_COST
    order = sorted(range(len(heads)), key=lambda i: (-max(heads[i].size_wh), -heads[i].score))
    boxes = np.array(windows).reshape(-1, 4)[order]
    for position, far in enumerate(order):
        x0, y0, x1, y1 = windows[far]
        nearer = boxes[:position]
        overlap = (nearer[:, 0] < x1) & (nearer[:, 2] > x0)
        overlap &= (nearer[:, 1] < y1) & (nearer[:, 3] > y0)
        for near in (order[i] for i in np.flatnonzero(overlap)):
            for strip in _shared_strips(windows[near], windows[far]):
                _settle(near, far, strip, heads, windows, labels, confidences, body)


def _shared_strips(one: Window, other: Window) -> Iterator[Window]:
    """The overlap of two windows in pieces of at most `_STRIP_PX` pixels or one row."""
    x0, y0 = max(one[0], other[0]), max(one[1], other[1])
    x1, y1 = min(one[2], other[2]), min(one[3], other[3])
    rows = max(1, _STRIP_PX // (x1 - x0))
    for top in range(y0, y1, rows):
        yield x0, top, x1, min(y1, top + rows)


def _settle(
    near: int,
    far: int,
    strip: Window,
    heads: Sequence[Head],
    windows: Sequence[Window],
    labels: Sequence[NDArray[np.uint8]],
    confidences: Sequence[NDArray[np.float32]],
    body: NDArray[np.float32],
) -> None:
    near_at, far_at = _slices(strip, windows[near]), _slices(strip, windows[far])
    near_ids, far_ids = labels[near][near_at], labels[far][far_at]
    both = (near_ids != 0) & (far_ids != 0)
    if not both.any():
        return
    near_sure, far_sure = confidences[near][near_at], confidences[far][far_at]
    near_claim = near_sure - body[near_ids] - _outside_cost(heads[near], strip)
    far_claim = far_sure - body[far_ids] - _outside_cost(heads[far], strip)
    far_wins = far_claim > near_claim + NEAR_BONUS
    for ids, sure, winner_sure, lost in (
        (near_ids, near_sure, far_sure, both & far_wins),
        (far_ids, far_sure, near_sure, both & ~far_wins),
    ):
        ids[lost] = 0
        sure[lost] = winner_sure[lost]


def _slices(region: Window, window: Window) -> tuple[slice, slice]:
    x0, y0, x1, y1 = region
    left, top, _, _ = window
    return slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)


def _outside_cost(head: Head, region: Window) -> NDArray[np.float32]:
    """(h, w): 0 inside the head box, `OUTSIDE_COST` from twice its reach on."""
    left, top, right, bottom = head.box_xyxy
    x0, y0, x1, y1 = region
    x = np.abs(np.arange(x0, x1) + 0.5 - (left + right) / 2) / ((right - left) / 2)
    y = np.abs(np.arange(y0, y1) + 0.5 - (top + bottom) / 2) / ((bottom - top) / 2)
    far = np.maximum(x[None], y[:, None]).astype(np.float32)
    return np.asarray(np.clip(far - 1, 0, 1) * np.float32(OUTSIDE_COST))


class _CallableModule(ModuleType):
    """Makes ``faceparts.parse(photo)`` work although ``faceparts.parse`` is a module."""

    def __call__(self, source: Any, **options: Any) -> list[Face]:
        from faceparts import api

        return api.parse(source, **options)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by its name, so that a pool of processes may be given it."""
        return import_module, (self.__name__,)


sys.modules[__name__].__class__ = _CallableModule
