"""Runs every parser that was exported to ONNX: the card inside the file says how."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts import labels
from faceparts._light import evened_crops
from faceparts.crops import enlarge
from faceparts.errors import BadWeights
from faceparts.types import LabelSet, ModelCard
from faceparts.weights import Net, open_net

MAX_BATCH = 16
"""Crops that go through the net at once; more are cut into chunks, so that memory is bounded."""

_FULL_BATCH_PX = 256
"""Side of crops up to which so many go at once; larger ones are fewer, of as many pixels."""


class OnnxSegmenter:
    """A parser in an ONNX file.

    The file takes (N, 3, S, S) float32, ``(rgb - mean) / std`` of its card, or (N, S, S, 3) uint8,
    pictures as they are, and puts out (N, K, s, s) probabilities or logits (``card.output``) as its
    first output. Where s is not S the probabilities are scaled bilinearly.

    Raises:
        BadWeights: shapes in the file do not fit the card.
    """

    any_cut = True
    """Heads may fill more or less of the crop than the card's margin makes them."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self._label_set = labels.get(net.card.label_set)
        self._output, shape = next(iter(net.output_shapes.items()))
        size_px = net.card.input_px
        batch, _, *input_hw = net.input_shape
        if any(n not in (None, size_px) for n in input_hw):
            raise BadWeights(
                f"{net.path}: input is {input_hw} px, its card says {size_px}; export it again"
            )
        if batch not in (None, 1):
            raise BadWeights(f"{net.path}: takes batches of {batch} only; export with a free batch")
        if len(shape) != 4:
            raise BadWeights(f"{net.path}: output {self._output!r} is {shape}, wanted (N, K, s, s)")
        self._check_parts(shape[1])
        self._chunk = batch or max(1, min(MAX_BATCH, MAX_BATCH * _FULL_BATCH_PX**2 // size_px**2))

    @property
    def card(self) -> ModelCard:
        """What the file says about itself."""
        return self._net.card

    @property
    def label_set(self) -> LabelSet:
        """What the K probabilities stand for."""
        return self._label_set

    def predict(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, S, S, 3) uint8 RGB -> (N, K, S, S) float32 that sums to 1 over K; N >= 0.

        Raises:
            ValueError: the crops are not (N, S, S, 3) uint8 with the card's S.
            BadWeights: the net does not put out one value a part.
        """
        return enlarge(self.maps(crops), self.card.input_px)

    def maps(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """`predict` in the size that the net puts out: (N, S, S, 3) -> (N, K, s, s).

        Whoever scales the probabilities anyway need not scale them twice.

        Raises:
            ValueError, BadWeights: as `predict`.
        """
        size_px = self.card.input_px
        if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (size_px, size_px, 3):
            raise ValueError(
                f"crops: got {crops.dtype} of shape {crops.shape}, "
                f"wanted uint8 (N, {size_px}, {size_px}, 3)"
            )
        found = []
        for start in range(0, len(crops), self._chunk):
            chunk = crops[start : start + self._chunk]
            if self.card.even_light:
                chunk = evened_crops(chunk)
            if 0 < self.card.shrink_px < size_px:
                chunk = shrink_and_grow(chunk, self.card.shrink_px)
            values = self._net.run(chunk)[self._output]
            self._check_parts(values.shape[1])
            found.append(_softmax(values) if self.card.output == "logits" else values)
        if len(found) == 1:
            return np.asarray(found[0], np.float32)  # not copied if it is float32
        if not found:
            return np.empty((0, len(self.label_set.parts), size_px, size_px), np.float32)
        return np.concatenate(found).astype(np.float32, copy=False)

    def _check_parts(self, count: int | None) -> None:
        wanted = len(self.label_set.parts)
        if count not in (None, wanted):
            raise BadWeights(
                f"{self._net.path}: puts out {count} parts, "
                f"label set {self.label_set.name!r} has {wanted}"
            )


def shrink_and_grow(crops: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """Scale (N, S, S, 3) pictures down to a side, by area, and back, bilinearly: ``shrink_px``."""
    out = np.empty_like(crops)
    small, large = (side_px, side_px), (crops.shape[2], crops.shape[1])
    for crop, target in zip(crops, out, strict=True):
        less = cv2.resize(crop, small, interpolation=cv2.INTER_AREA)
        cv2.resize(less, large, dst=target, interpolation=cv2.INTER_LINEAR)
    return out


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Softmax over axis 1."""
    values = logits - logits.max(axis=1, keepdims=True)
    np.exp(values, out=values)
    values /= values.sum(axis=1, keepdims=True)
    return np.asarray(values, np.float32)


def load(
    weights: str | Path = "partnet",
    *,
    threads: int | None = None,
    device: str = "cpu",
    precision: str = "auto",
) -> OnnxSegmenter:
    """Open a parser: a shipped one by name, or any file by path.

    Args:
        threads: processor threads; ``None`` = all cores that the process may use.
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``.
        precision: ``"int8"``, ``"fp32"`` or ``"auto"``; for shipped names only.

    Raises:
        UnknownName: no such name is shipped in this precision.
        BadWeights: the file is missing, damaged, or does not fit its card.
        UsageError: the device is not there, or an option is out of range.
    """
    net = open_net(weights, "segment", threads=threads, device=device, precision=precision)
    return OnnxSegmenter(net)
