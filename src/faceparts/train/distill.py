"""Teachers: any parser in an ONNX, forest or TFLite file, whose answers a net learns.

The teacher sees the crops of a batch before their light is changed and before anything is pasted
on them, and its probabilities are translated into the trained parts. What it merges, or what the
trained set lacks, it says nothing about.
"""

from __future__ import annotations

import json
import threading
import warnings as py_warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from faceparts import cards, labels
from faceparts.errors import BadWeights, UsageError
from faceparts.segment import files
from faceparts.train.codes import Codes, to_trained
from faceparts.types import LabelSet, ModelCard, Segmenter

STRIDE = 2
"""Answers are kept at half the crop's size: they are smooth, and memory is a quarter."""


@dataclass(frozen=True)
class Teacher:
    """A parser and how its parts translate.

    Args:
        segmenter: the parser.
        table: (K of the teacher, K trained) 1 where a part is the same, else 0.
    """

    segmenter: Segmenter
    table: NDArray[np.float32]

    def batch(self, crops: NDArray[np.uint8], covered: NDArray[np.bool_]) -> Tensor:
        """`predict`, silent where something was pasted on the crops since: (N, S, S) bool."""
        probs = self.predict(crops)
        for one, mask in zip(probs, covered, strict=True):
            if mask.any():
                hidden = cv2.resize(mask.astype(np.uint8), one.shape[:0:-1])
                one[:, hidden > 0] = 0
        return torch.from_numpy(probs)

    def predict(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, S, S, 3) uint8 RGB -> (N, K, S / 2, S / 2) probabilities of the trained parts.

        All 0 where the teacher's answer is mostly a part that has no counterpart.
        """
        size, side = self.segmenter.card.input_px, crops.shape[1]
        how = cv2.INTER_AREA if size < side else cv2.INTER_LINEAR
        scaled = np.stack([cv2.resize(c, (size, size), interpolation=how) for c in crops])
        probs = torch.from_numpy(self.segmenter.predict(np.asarray(scaled, np.uint8)))
        half = -(-side // STRIDE)
        smaller = F.interpolate(probs, (half, half), mode="bilinear", antialias=True)
        known = np.einsum("nkhw,kj->njhw", smaller.numpy(), self.table)
        total = known.sum(1, keepdims=True)
        return np.asarray(np.where(total > 0.5, known / np.maximum(total, 1e-6), 0), np.float32)


def load_teacher(model: str, root: Path, label_set: LabelSet) -> Teacher:
    """Open a teacher for a label set.

    Args:
        model: name of a shipped parser, or a path, below the data root or from here.
        root: data root.
        label_set: the trained parts.

    Raises:
        BadWeights: the file is missing or damaged, or knows none of the trained parts.
        UsageError: a TFLite file, but its runtime is not installed.
    """
    path = root / model if (root / model).is_file() else Path(model)
    segmenter: Segmenter
    if path.suffix == ".tflite":
        segmenter = TfliteSegmenter(path)
    else:
        segmenter = files.load(path if path.is_file() else model, threads=1)
    ids = to_trained(segmenter.label_set, Codes(label_set), partial=True)
    table = np.zeros((len(segmenter.label_set.parts), len(label_set.parts)), np.float32)
    for row, own in enumerate(ids[: len(table)].tolist()):
        if own < len(label_set.parts):
            table[row, own] = 1
    if not table.any():
        raise BadWeights(
            f"{model}: a teacher of {segmenter.label_set.name} knows no part of {label_set.name}; "
            "take another teacher or train another label_set"
        )
    return Teacher(segmenter, table)


class TfliteSegmenter:
    """A parser in a TFLite file, with its card as JSON beside it: ``NAME.tflite`` + ``NAME.json``.

    The card is a `ModelCard`; ``"tensor"`` in it may name an inner tensor by its number, where the
    file's own output is something else than probabilities or logits. A whole-number output of
    (H, W) ids becomes probabilities of 0 and 1.

    Raises:
        BadWeights: a file is missing or damaged, or shapes do not fit the card.
        UsageError: the TFLite runtime is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter, OpResolverType
        except ImportError as error:
            raise UsageError(
                f"{path}: TFLite files need one more package ({error}); "
                "pip install 'faceparts[keypoints]'"
            ) from error
        self._path = path
        self._card, tensor = _read_card(path)
        self._label_set = labels.get(self._card.label_set)
        plain: dict[str, Any] = {}
        if tensor is not None:  # inner tensors are sure to outlive a run only without delegates
            kind = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            plain = {
                "experimental_preserve_all_tensors": True,
                "experimental_op_resolver_type": kind,
            }
        try:
            self._net: Any = Interpreter(str(path), num_threads=1, **plain)
            self._net.allocate_tensors()
            if tensor is not None:
                self._net = _faster(self._net, Interpreter, path, tensor)
        except (ValueError, RuntimeError, OSError) as error:
            raise BadWeights(f"{path}: not a readable TFLite file ({error})") from error
        (self._input,) = self._net.get_input_details()[:1]
        size = self._card.input_px
        shape = [int(n) for n in self._input["shape"]]
        if shape != [1, size, size, 3]:
            raise BadWeights(f"{path}: takes {shape}, its card says [1, {size}, {size}, 3]")
        every = {d["index"]: d for d in self._net.get_tensor_details()}
        wanted = self._net.get_output_details()[0]["index"] if tensor is None else tensor
        if wanted not in every:
            raise BadWeights(f"{path}: no tensor {wanted}; correct it in {path.stem}.json")
        self._output = every[wanted]
        self._lock = threading.Lock()

    @property
    def card(self) -> ModelCard:
        """What stands beside the file."""
        return self._card

    @property
    def label_set(self) -> LabelSet:
        """What the K probabilities stand for."""
        return self._label_set

    def predict(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, S, S, 3) uint8 RGB -> (N, K, S, S) float32 that sums to 1 over K."""
        size, count = self._card.input_px, len(self._label_set.parts)
        probs = np.empty((len(crops), count, size, size), np.float32)
        with self._lock:
            for crop, target in zip(crops, probs, strict=True):
                values = (crop - np.array(self._card.mean, np.float32)) / np.array(
                    self._card.std, np.float32
                )
                self._net.set_tensor(self._input["index"], _quantized(values[None], self._input))
                self._net.invoke()
                found = self._net.get_tensor(self._output["index"])
                maps = self._as_maps(np.asarray(found), count)
                for plane, out in zip(maps, target, strict=True):
                    out[:] = cv2.resize(plane, (size, size), interpolation=cv2.INTER_LINEAR)
        return probs

    def _as_maps(self, found: NDArray[Any], count: int) -> NDArray[np.float32]:
        """(K, h, w) probabilities out of ids, logits or probabilities in any order of the axes."""
        values = found.reshape(found.shape[1:]) if found.ndim > 2 and len(found) == 1 else found
        if values.ndim == 2 and np.issubdtype(values.dtype, np.integer):
            return np.asarray(np.arange(count)[:, None, None] == values, np.float32)
        if values.ndim == 3 and values.shape[-1] == count != values.shape[0]:
            values = values.transpose(2, 0, 1)
        if values.ndim != 3 or len(values) != count:
            raise BadWeights(
                f"{self._path}: puts out {list(found.shape)}; wanted {count} maps or one of ids"
            )
        scale, zero = self._output["quantization"]
        real = values.astype(np.float32)
        real = (real - zero) * scale if scale else real
        if self._card.output == "logits":
            real = torch.from_numpy(real).softmax(0).numpy()
        return np.ascontiguousarray(real / real.sum(axis=0).clip(1e-9))


def _faster(slow: Any, make: Any, path: Path, tensor: int) -> Any:
    """The interpreter with delegates, several times as fast, if it leaves the inner tensor alone.

    Both look at the same noise. Kernels of quantised nets round differently (4 % of the spread was
    seen); what was overwritten has nothing in common.
    """
    with py_warnings.catch_warnings():
        py_warnings.simplefilter("ignore")  # keeping tensors is announced as a debugging aid
        fast = make(str(path), num_threads=1, experimental_preserve_all_tensors=True)
    fast.allocate_tensors()
    (entry,) = slow.get_input_details()[:1]
    noise = np.random.default_rng(0).normal(0, 0.5, entry["shape"]).astype(np.float32)
    try:
        seen = []
        for net in (slow, fast):
            net.set_tensor(entry["index"], _quantized(noise, entry))
            net.invoke()
            seen.append(np.asarray(net.get_tensor(tensor), np.float32))
    except (ValueError, RuntimeError):  # no such tensor, which is said later
        return slow
    apart = np.abs(seen[0] - seen[1]).mean()
    return fast if apart <= 0.1 * max(float(seen[0].std()), 1e-6) else slow


def _quantized(values: NDArray[np.float32], detail: dict[str, Any]) -> NDArray[Any]:
    """Real values as the whole numbers that a quantised input takes."""
    scale, zero = detail["quantization"]
    if not scale:
        return values.astype(detail["dtype"])
    limits = np.iinfo(detail["dtype"])
    whole = np.clip(np.rint(values / scale) + zero, limits.min, limits.max)
    return np.asarray(whole, detail["dtype"])


def _read_card(path: Path) -> tuple[ModelCard, int | None]:
    """The card beside a TFLite file, and the number of the tensor that is its answer."""
    beside = path.with_suffix(".json")
    try:
        text = beside.read_text(encoding="utf-8")
        tensor = json.loads(text).get("tensor")
    except (OSError, ValueError, AttributeError) as error:
        raise BadWeights(
            f"{beside}: no card for {path.name} ({error}); write its ModelCard as a JSON object"
        ) from error
    if tensor is not None and type(tensor) is not int:
        raise BadWeights(f'{beside}: "tensor" is {tensor!r}; wanted a whole number')
    return cards.from_json(text, str(beside)), tensor
