"""Runs every forest that was trained on pixels and saved as ``.npz``: plain arrays and a card.

The file (made by `save`, read without unpickling anything) holds

- ``card``: the model card as JSON, as in an ONNX file;
- ``forest``: JSON with the parts' names, the side of the working picture, the features of each
  stage, whether the mirror image is looked at too, and how the result is cleaned up;
- ``s0_roots`` ``s0_feature`` ``s0_threshold`` ``s0_left`` ``s0_value`` ``s0_tree_part``
  ``s0_baseline``, then ``s1_...``: the trees of each stage, see `Trees`.

A crop is shrunk to the working picture, features are computed (`faceparts.segment._features`), the
trees are walked by numpy, and the probabilities are enlarged bilinearly. A further stage sees the
probabilities of the one before as features (auto-context: Tu and Bai, PAMI 2010).
"""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts import cards, labels, weights
from faceparts._values import require_whole
from faceparts.errors import BadWeights, MissingWeights
from faceparts.segment import _features
from faceparts.segment._cleanup import Cleanup
from faceparts.segment._trees import BLOCK_PIXELS, Trees
from faceparts.types import Image, LabelSet, ModelCard

VERSION = 1
MAX_BYTES = 2**30
"""Largest size of a file's arrays, unpacked."""

MAX_PARTS = 250
MAX_STAGES = 8
WORK_PX = (8, 1024)

_DAMAGE = (
    *(ValueError, TypeError, AttributeError, RecursionError, EOFError, RuntimeError, zlib.error),
    *(zipfile.BadZipFile, NotImplementedError),
)
"""What Python's own readers raise on damaged files."""

_KINDS: dict[str, str] = {
    "roots": "<i4",
    "feature": "<i2",
    "threshold": "<f4",
    "left": "<i4",
    "value": "",  # float32 of votes, float64 of boosting
    "tree_part": "<i4",
    "baseline": "<f8",
}


@dataclass(frozen=True, eq=False)
class Stage:
    """Features and the trees that look at them.

    Args:
        features: a spec, see `faceparts.segment._features`.
        trees: over the spec's columns.
    """

    features: tuple[str, ...]
    trees: Trees


@dataclass(frozen=True, eq=False)
class Forest:
    """A trained forest: picture -> probabilities.

    Args:
        card: what the file says about itself; ``label_set`` may be a name of its own.
        parts: names of the K parts; the first is the background.
        work_px: side of the square working picture.
        stages: at least one; each but the first may look at the one before.
        mirror: average with the mirror image.
        cleanup: what is done with the last probabilities.
    """

    card: ModelCard
    parts: tuple[str, ...]
    work_px: int
    stages: tuple[Stage, ...]
    mirror: bool = False
    cleanup: Cleanup = field(default_factory=Cleanup)

    @property
    def label_set(self) -> LabelSet:
        """The parts under the card's name."""
        return label_set_of(self.card.label_set, self.parts)

    def probs(
        self,
        image: Image,
        *,
        head: tuple[float, float, float] | None = None,
        threads: int = 1,
    ) -> NDArray[np.float32]:
        """(H, W, K) float32 probabilities of a picture at the working scale.

        Args:
            image: (H, W, 3) uint8 RGB, of any size; features count its pixels.
            head: middle and size of the head in pixels; ``None`` = by the card's margin.
            threads: processor threads.
        """
        height, width = image.shape[:2]
        if head is None:
            head = _features.head_of((width, height), self.card.margin)
        out = self._chain(image, head, threads)
        if self.mirror:
            turned = np.ascontiguousarray(image[:, ::-1])
            other = self._chain(turned, (width - head[0], *head[1:]), threads)
            out = (out + other[:, ::-1, list(self.label_set.mirror)]) / np.float32(2)
        return self.cleanup(image, out)

    def _chain(
        self, image: Image, head: tuple[float, float, float], threads: int
    ) -> NDArray[np.float32]:
        first = _features.parse_spec(self.stages[0].features)
        probs = run_trees(self.stages[0].trees, image, first, head=head, threads=threads)
        for stage in self.stages[1:]:
            terms = _features.parse_spec(stage.features, self.parts)
            probs = run_trees(stage.trees, image, terms, head=head, probs=probs, threads=threads)
        return probs


def label_set_of(name: str, parts: Sequence[str]) -> LabelSet:
    """The label set of that name, or one of its own.

    Raises:
        ValueError: the name is a known set's with other parts, or the parts are no label set.
    """
    if name in labels.names():
        known = labels.get(name)
        if known.parts != tuple(parts):
            raise ValueError(f"parts {', '.join(parts)} are not those of label set {name!r}")
        return known
    return labels.make(name, *parts)


def run_trees(
    trees: Trees,
    image: Image,
    terms: Sequence[_features.Term],
    *,
    head: tuple[float, float, float] | None = None,
    probs: NDArray[np.float32] | None = None,
    threads: int = 1,
) -> NDArray[np.float32]:
    """(H, W, K) float32 probabilities of one stage; memory is bounded by strips."""
    height, width = image.shape[:2]
    out = np.empty((height * width, trees.parts), np.float32)
    jobs = []
    for top, block in _features.compute_blocks(image, terms, head=head, probs=probs):
        planes = np.moveaxis(block, 2, 0).reshape(block.shape[2], -1)
        for start in range(0, planes.shape[1], BLOCK_PIXELS):
            jobs.append((top * width + start, planes[:, start : start + BLOCK_PIXELS]))
        if top + block.shape[0] < height:
            _run_jobs(trees, jobs, out, threads)
            jobs = []
    _run_jobs(trees, jobs, out, threads)
    return out.reshape(height, width, trees.parts)


def _run_jobs(
    trees: Trees,
    jobs: Sequence[tuple[int, NDArray[np.float32]]],
    out: NDArray[np.float32],
    threads: int,
) -> None:
    def run(job: tuple[int, NDArray[np.float32]]) -> None:
        start, planes = job
        out[start : start + planes.shape[1]] = trees.probs(planes)

    if threads == 1 or len(jobs) < 2:
        for job in jobs:
            run(job)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, jobs))


class ForestSegmenter:
    """A forest as a segmenter of crops.

    Args:
        forest: what `read` gives.
        threads: processor threads; ``None`` = all cores that the process may use.
    """

    def __init__(self, forest: Forest, *, threads: int | None = None) -> None:
        self._forest = forest
        cores = weights.available_cores() if threads is None else threads
        self._threads = require_whole("threads", cores, 1)

    @property
    def card(self) -> ModelCard:
        """What the file says about itself."""
        return self._forest.card

    @property
    def label_set(self) -> LabelSet:
        """What the K probabilities stand for."""
        return self._forest.label_set

    def predict(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, S, S, 3) uint8 RGB -> (N, K, S, S) float32 that sums to 1 over K; N >= 0.

        Raises:
            ValueError: the crops are not (N, S, S, 3) uint8 with the card's S.
        """
        size_px = self.card.input_px
        if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (size_px, size_px, 3):
            raise ValueError(
                f"crops: got {crops.dtype} of shape {crops.shape}, "
                f"wanted uint8 (N, {size_px}, {size_px}, 3)"
            )
        probs = np.empty((len(crops), len(self._forest.parts), size_px, size_px), np.float32)
        for crop, planes in zip(crops, probs, strict=True):
            small = shrink(crop, self._forest.work_px)
            maps = np.moveaxis(self._forest.probs(small, threads=self._threads), 2, 0)
            for source, target in zip(maps, planes, strict=True):
                target[:] = cv2.resize(
                    np.ascontiguousarray(source), (size_px, size_px), interpolation=cv2.INTER_LINEAR
                )
        return probs


def shrink(image: Image, side_px: int) -> Image:
    """A square picture at another size: means of areas where it shrinks, else bilinear."""
    if image.shape[0] == side_px:
        return image
    how = cv2.INTER_AREA if image.shape[0] > side_px else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (side_px, side_px), interpolation=how), np.uint8)


def load(weights_file: str | Path, *, threads: int | None = None) -> ForestSegmenter:
    """Open a forest file as a segmenter.

    Raises:
        BadWeights: the file is missing, damaged, or does not fit its card.
        UsageError: fewer than one thread.
    """
    return ForestSegmenter(read(weights_file), threads=threads)


# --- the file ---------------------------------------------------------------------------------


def to_bytes(forest: Forest) -> bytes:
    """The contents of a forest file; the same forest gives the same bytes."""
    header = {
        "version": VERSION,
        "parts": forest.parts,
        "work_px": forest.work_px,
        "mirror": forest.mirror,
        "cleanup": asdict(forest.cleanup),
        "stages": [{"features": s.features, "kind": s.trees.kind} for s in forest.stages],
    }
    arrays: dict[str, NDArray[Any]] = {
        "card": np.array(cards.to_json(forest.card, own_set=True)),
        "forest": np.array(json.dumps(header, sort_keys=True, allow_nan=False)),
    }
    for number, stage in enumerate(forest.stages):
        for name in _KINDS:
            array: NDArray[Any] = getattr(stage.trees, name)
            arrays[f"s{number}_{name}"] = array.astype(_kind_of(name, stage.trees.kind))
    buffer = BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def read(path: str | Path) -> Forest:
    """Read and check a forest file.

    Raises:
        BadWeights: missing, too large, not such a file, or its parts contradict each other.
    """
    path = Path(path)
    try:
        arrays = _read_arrays(path)
        card = cards.from_json(str(arrays["card"]), str(path), own_set=True)
        forest = _build(card, json.loads(str(arrays["forest"])), arrays)
        label_set_of(card.label_set, forest.parts)
    except OSError as error:
        why = error.strerror or error
        raise MissingWeights(
            f"{path}: no such weights file, or it cannot be read ({why})"
        ) from None
    except BadWeights:
        raise
    except KeyError as error:
        raise BadWeights(f"{path}: not a forest file: {error} is missing") from None
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:200]
        raise BadWeights(f"{path}: not a usable forest file: {reason}; train it again") from None
    if card.task != "segment":
        raise BadWeights(f"{path}: is a model for {card.task!r}, wanted one for 'segment'")
    return forest


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file, whose declared sizes are checked before anything is unpacked."""
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        total = sum(info.file_size for info in archive.infolist())
        if total > MAX_BYTES:
            raise ValueError(f"{total} bytes unpacked, wanted at most {MAX_BYTES}")
        for info in archive.infolist():
            data = archive.read(info)
            if len(data) != info.file_size:
                raise ValueError(f"{info.filename} has another size than it says")
            arrays[info.filename.removesuffix(".npy")] = _read_array(data, info.filename)
    return arrays


def _read_array(data: bytes, name: str) -> NDArray[Any]:
    file = BytesIO(data)
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"{name}: array format {version}, wanted (1, 0)")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject or fortran:
        raise ValueError(f"{name}: not a plain array")
    if math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise ValueError(f"{name}: {shape} {dtype} does not fit its {len(data)} bytes")
    return np.frombuffer(data, dtype, offset=file.tell()).reshape(shape)


def _build(card: ModelCard, header: Any, arrays: dict[str, NDArray[Any]]) -> Forest:
    if not isinstance(header, dict) or header.get("version") != VERSION:
        raise ValueError(f"the header is not of version {VERSION}")
    parts, work_px = tuple(header["parts"]), header["work_px"]
    if not 2 <= len(parts) <= MAX_PARTS or not all(isinstance(p, str) and p for p in parts):
        raise ValueError(f"{len(parts)} parts; wanted 2..{MAX_PARTS} names")
    if type(work_px) is not int or not WORK_PX[0] <= work_px <= WORK_PX[1]:
        raise ValueError(f"work_px {work_px!r}; wanted {WORK_PX[0]}..{WORK_PX[1]}")
    if not 1 <= len(header["stages"]) <= MAX_STAGES:
        raise ValueError(f"{len(header['stages'])} stages; wanted 1..{MAX_STAGES}")
    known = {f.name for f in fields(Cleanup)}
    cleanup = Cleanup(**{k: v for k, v in header["cleanup"].items() if k in known})
    cleanup.check()
    stages = []
    for number, described in enumerate(header["stages"]):
        features = tuple(described["features"])
        before = parts if number else ()
        terms = _features.parse_spec(features, before)
        trees = _build_trees(str(described["kind"]), number, arrays)
        trees.check(len(_features.column_names(terms, before)), len(parts))
        stages.append(Stage(features, trees))
    return Forest(card, parts, work_px, tuple(stages), bool(header["mirror"]), cleanup)


def _kind_of(name: str, kind: str) -> str:
    """What an array holds, in numpy's words."""
    return _KINDS[name] or ("<f8" if kind == "boost" else "<f4")


def _build_trees(kind: str, number: int, arrays: dict[str, NDArray[Any]]) -> Trees:
    found = {}
    for name in _KINDS:
        array, wanted = arrays[f"s{number}_{name}"], _kind_of(name, kind)
        if array.dtype != np.dtype(wanted):
            raise ValueError(f"s{number}_{name} holds {array.dtype}, wanted {np.dtype(wanted)}")
        if array.ndim != 1 and name != "value":
            raise ValueError(f"s{number}_{name} has shape {array.shape}, wanted one row")
        found[name] = array
    return Trees(kind, **found)
