"""The parsers that are compared, behind one small interface: a square RGB picture -> probabilities.

`Ours` runs a weights file of faceparts, `Teacher` a face parser of the BiSeNet family as TFLite
(19 CelebAMask-HQ classes in BiSeNet order, input x / 127.5 - 1).
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts import labels
from faceparts.segment import maps_of
from faceparts.types import Image, Segmenter


class SquareParser(Protocol):
    """Gives every pixel of a square its parts' probabilities, in the order of `CELEBA19`."""

    name: str
    input_px: int
    margin: float

    def probs(self, square: Image) -> NDArray[np.float32]:
        """(S, S, 3) uint8 RGB of ``input_px`` -> (19, s, s) float32, s as the net has it."""
        ...


class Ours:
    """One of our weights files, with or without the mirrored picture averaged in."""

    def __init__(self, name: str, segmenter: Segmenter, *, flip: bool = False) -> None:
        self.name = name
        self.input_px = segmenter.card.input_px
        self.margin = segmenter.card.margin
        self._predict = maps_of(segmenter)
        self._flip = flip
        order = _reorder(segmenter.label_set.parts, name)
        in_order = order == list(range(len(order)))
        self._order = slice(None) if in_order else order  # a slice copies nothing
        self._mirror = list(segmenter.label_set.mirror)

    def probs(self, square: Image) -> NDArray[np.float32]:
        if not self._flip:
            return self._predict(square[None])[0][self._order]
        both = self._predict(np.stack([square, square[:, ::-1]]))
        mean = (both[0] + both[1][self._mirror][..., ::-1]) / 2
        return np.asarray(mean[self._order], np.float32)


class Teacher:
    """A BiSeNet-style TFLite file, run by the package ``ai-edge-litert``.

    Args:
        threads: processor threads.
        logits: read the quantised logits, so that probabilities can be resized before the arg max
            as ours are; without it (for timing) the file's own ids are taken.
    """

    margin = 0.25
    """Measured on FASSEG: better than 0.4 or more around a head box."""

    def __init__(self, path: Path, threads: int, *, logits: bool = True) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            sys.exit("--teacher needs the package ai-edge-litert: pip install ai-edge-litert")
        if not path.is_file():
            sys.exit(f"{path}: no such file; --teacher wants the TFLite file to compare with")
        self.name = f"teacher {path.stem.split('_')[0]}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # keeping all tensors is announced as a debugging aid
            self._net: Any = Interpreter(
                str(path), num_threads=threads, experimental_preserve_all_tensors=logits
            )
        self._net.allocate_tensors()
        self._input = self._net.get_input_details()[0]
        self.input_px = int(self._input["shape"][1])
        self._output = self._net.get_output_details()[0]["index"]
        wanted = [1, self.input_px, self.input_px, len(labels.BISENET19.parts)]
        found = [d for d in self._net.get_tensor_details() if list(d["shape"]) == wanted]
        if not found:
            sys.exit(f"{path}: has no tensor of shape {wanted}; not a 19-class BiSeNet parser")
        self._logits = found[0]
        self._order = _reorder(labels.BISENET19.parts, self.name)

    def run(self, square: Image) -> None:
        """Normalise and run; what is timed."""
        blob = square[None].astype(np.float32) / 127.5 - 1
        self._net.set_tensor(self._input["index"], blob)
        self._net.invoke()
        self._net.get_tensor(self._output)

    def probs(self, square: Image) -> NDArray[np.float32]:
        self.run(square)
        logits = self._net.get_tensor(self._logits["index"])[0].astype(np.float32)
        scale = float(self._logits["quantization"][0]) or 1.0
        spread = np.exp((logits - logits.max(axis=2, keepdims=True)) * scale)
        spread /= spread.sum(axis=2, keepdims=True)
        return np.ascontiguousarray(spread.transpose(2, 0, 1)[self._order])


def label_square(parser: SquareParser, square: Image) -> NDArray[np.uint8]:
    """Labels of a square picture at its own size: shrink (area) to the net's input, enlarge the
    probabilities (bilinear), arg max."""
    side = square.shape[0]
    probs = parser.probs(resize_square(square, parser.input_px))
    best = np.zeros((side, side), np.float32)
    ids = np.zeros((side, side), np.uint8)
    for part, plane in enumerate(probs):
        large = cv2.resize(
            np.ascontiguousarray(plane), (side, side), interpolation=cv2.INTER_LINEAR
        )
        np.copyto(ids, np.uint8(part), where=large > best)
        np.maximum(best, large, out=best)
    return ids


def resize_square(square: Image, side_px: int) -> Image:
    """Shrink by area averaging, enlarge by bilinear interpolation."""
    if square.shape[0] == side_px:
        return square
    how = cv2.INTER_AREA if square.shape[0] > side_px else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(square, (side_px, side_px), interpolation=how), np.uint8)


def _reorder(parts: tuple[str, ...], name: str) -> list[int]:
    missing = set(labels.CELEBA19.parts) - set(parts)
    if missing:
        sys.exit(f"{name}: lacks the parts {', '.join(sorted(missing))}; wanted all of celeba19")
    return [parts.index(part) for part in labels.CELEBA19.parts]
