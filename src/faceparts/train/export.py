"""From a trained net to the file that ships: ONNX with its card inside, and an int8 sibling.

The file keeps every weight under its PyTorch name (batch norm is not folded), stored as float16, so
that a new training can start from it (`load_initial`). onnxruntime folds and fuses when it loads.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, runtime_checkable

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # ships no types
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional

from faceparts import cards, folder, weights
from faceparts.errors import BadRecipe, BadWeights
from faceparts.streams.files import write_atomic
from faceparts.train._int8_bias import correct_biases
from faceparts.train._int8_graph import speed_up
from faceparts.train._int8_sums import limit_pairs
from faceparts.train._misfit import norms_after
from faceparts.train.config import Recipe
from faceparts.train.inputs import MEAN, STD
from faceparts.train.nets.headnet import HeadNetExport
from faceparts.types import ModelCard

OPSET = 17
LOGIT_RANGE = 40.0
"""Logits are cut to +- this before `exp`: no sum overflows, no probability above e-17 changes."""
STORED_AS_HALF_FROM = 256
"""Weights with at least so many values are stored as float16."""

PARSER_TASKS = ("parts", "crop_s1")
"""Tasks whose net is a parser; ``"heads"`` makes a detector, others have no export here."""


@runtime_checkable
class Shuffled(Protocol):
    """A net whose last step is a pixel shuffle by two that it leaves to others if asked."""

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, S, S) -> (N, K * 4, S / 2, S / 2): what is shuffled."""
        ...


@runtime_checkable
class Coarse(Protocol):
    """A net whose last step enlarges its logits, which is left to whoever needs them larger."""

    def coarse(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, S, S) -> (N, K, s, s): what is enlarged."""
        ...


class PartsExport(nn.Module):
    """A parser that puts out probabilities instead of logits, in operations that run fast.

    Softmax, the sum of 19 maps and the pixel shuffle, each as one operation, are slow in
    onnxruntime: 12, 2.7 and 4.1 ms for one face, where all convolutions of the int8 net take 5.7.
    So the softmax is exp and division by a convolution with ones (0.1 ms); the shuffle is two
    moves of one axis of whole rows or pairs, in int8 on bytes (0.3 ms). Only limits that directly
    follow a convolution cost nothing.

    Args:
        net: puts out (N, K, ...) logits; one that is `Shuffled` or `Coarse` is run without its
            last step.
        parts: K.
        size_px: S of the pictures; even for a `Shuffled` net.
    """

    ones: torch.Tensor

    def __init__(self, net: nn.Module, parts: int, size_px: int) -> None:
        super().__init__()
        self.net = net
        self.parts, self.size_px = parts, size_px
        self.register_buffer("ones", torch.ones(1, parts, 1, 1), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, S, S) -> (N, K, s, s) that sums to 1 over K; N >= 1; s = S unless `Coarse`."""
        net = self.net
        if isinstance(net, Coarse):
            y = net.coarse(x)
        else:
            y = net.maps(x) if isinstance(net, Shuffled) else net(x)
        y = y.clamp(-LOGIT_RANGE, LOGIT_RANGE)
        odds = torch.exp(self._shuffle(y) if isinstance(net, Shuffled) else y)
        return odds / functional.conv2d(odds, self.ones)

    def _shuffle(self, y: torch.Tensor) -> torch.Tensor:
        """(N, (K, 2, 2), h, w) -> (N, K, (h, 2), (w, 2)); lengths in numbers, for the graph."""
        parts, half = self.parts, self.size_px // 2
        y = y.permute(0, 2, 3, 1).reshape(-1, half, half, 2 * parts, 2)
        y = y.transpose(2, 3).reshape(-1, half, parts, 4 * half)
        return y.transpose(1, 2).reshape(-1, parts, 2 * half, 2 * half)


def outputs_of(recipe: Recipe) -> int:
    """Number of output channels of a recipe's net.

    Raises:
        BadRecipe: nets of this task are not exported here.
    """
    if recipe.task not in (*PARSER_TASKS, "heads"):
        known = ", ".join((*PARSER_TASKS, "heads"))
        raise BadRecipe(f"{recipe.name}: task {recipe.task!r} cannot be exported; wanted: {known}")
    count: int = folder.load("faceparts.train", recipe.task).outputs_of(recipe)
    return count


def make_card(recipe: Recipe, metrics: dict[str, float]) -> ModelCard:
    """The card of a recipe's model."""
    parts = recipe.task in PARSER_TASKS
    text = recipe.card
    return ModelCard(
        name=recipe.name,
        task="segment" if parts else "detect",
        label_set=recipe.label_set if parts else "",
        input_px=recipe.phases[-1].size_px if parts else 0,
        mean=(MEAN, MEAN, MEAN),
        std=(STD, STD, STD),
        margin=text.margin,
        trained_on=text.trained_on,
        license=text.license,
        data_license=text.data_license,
        commercial_ok=text.commercial_ok,
        metrics=metrics,
        threshold=text.threshold,
        notes=text.notes,
        mixed_with=text.mixed_with,
        even_light=text.even_light,
    )


def export(
    net: nn.Module, recipe: Recipe, path: Path, metrics: dict[str, float] | None = None
) -> None:
    """Write a net with its card as ONNX; the file appears whole or not at all.

    Args:
        net: the averaged net of a training.
        recipe: what it was trained by.
        path: file to write, ``NAME.onnx``.
        metrics: results for the card; the keys name protocol and unit.
    """
    with TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.onnx"
        trace(net, recipe, raw, keep_names=True)
        model = onnx.load(raw)
    halve(model)
    put_card(model, make_card(recipe, metrics or {}))
    onnx.checker.check_model(model)
    save(model, path)


def trace(net: nn.Module, recipe: Recipe, path: Path, *, keep_names: bool) -> None:
    """PyTorch -> ONNX; with ``keep_names`` batch norm stays apart and weights keep their names."""
    parts = recipe.task in PARSER_TASKS
    size = recipe.phases[-1].size_px if parts else 256
    wrapped = PartsExport(net, outputs_of(recipe), size) if parts else HeadNetExport(net)
    wrapped.eval()
    for value in wrapped.parameters():
        value.data = value.data.contiguous()
    axes: dict[str, dict[int, str]] = {"image": {0: "n"}}
    names = ["probs"] if parts else ["heat", "box", "points"]
    for name in names:
        axes[name] = {0: "n"}
    if not parts:
        axes["image"] = {0: "n", 2: "height", 3: "width"}
        for name in names:
            axes[name] = {0: "n", 2: "rows", 3: "columns"}
    mode = torch.onnx.TrainingMode.PRESERVE if keep_names else torch.onnx.TrainingMode.EVAL
    with warnings.catch_warnings():
        # The newer exporter renames and folds the weights that `load_initial` looks for.
        for known in ("You are using the legacy TorchScript", "The feature will be removed"):
            warnings.filterwarnings("ignore", known, DeprecationWarning)
        torch.onnx.export(
            wrapped,
            (torch.zeros(1, 3, size, size),),
            str(path),
            input_names=["image"],
            output_names=names,
            dynamic_axes=axes,
            opset_version=OPSET,
            do_constant_folding=not keep_names,
            training=mode,
            dynamo=False,
        )


def halve(model: onnx.ModelProto) -> None:
    """Store large float32 weights as float16 with a cast behind each, in place."""
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < STORED_AS_HALF_FROM:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + ".half"))
        casts.append(helper.make_node("Cast", [name + ".half"], [name], to=TensorProto.FLOAT))
    for i, node in enumerate(casts):
        model.graph.node.insert(i, node)


def put_card(model: onnx.ModelProto, card: ModelCard) -> None:
    """Write the card into ``metadata_props``, in place of an older one."""
    kept = [p for p in model.metadata_props if p.key != cards.KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    entry = model.metadata_props.add()
    entry.key, entry.value = cards.KEY, cards.to_json(card)


def save(model: onnx.ModelProto, path: Path) -> None:
    """Replace a file by a model atomically.

    Raises:
        UnwritableOutput: the system refuses; the message says what to do.
    """
    write_atomic(path, model.SerializeToString(), force=True)


def update_metrics(path: Path, metrics: dict[str, float]) -> ModelCard:
    """Replace the metrics on the card of an exported file; its weights stay as they are.

    Raises:
        BadWeights: the file is damaged or has no card.
    """
    card = dataclasses.replace(weights.read_card(path), metrics=metrics)
    model = onnx.load(path)
    put_card(model, card)
    save(model, path)
    return card


def quantize(
    net: nn.Module,
    recipe: Recipe,
    path: Path,
    batches: list[NDArray[np.float32]],
    metrics: dict[str, float] | None = None,
    *,
    keep_float: tuple[str, ...] = (),
) -> None:
    """Write the int8 sibling: unsigned activations, signed weights a channel, ONNX QDQ.

    It takes pictures as they are, (N, H, W, 3) uint8, where the float32 file takes them normalised.
    No sum of byte products overflows on processors without 8-bit dot products (`_int8_sums`).
    Biases are corrected for what rounding does to the means (`_int8_bias`). A parser is
    float32 from the exp of its logits on, a detector from its last convolution on: one scale for
    heats, distances and points together would round boxes to steps of 9 %.

    Args:
        net: the averaged net.
        recipe: what it was trained by.
        path: file to write, ``NAME.int8.onnx``.
        batches: normalised (n, 3, S, S) float32 pictures to calibrate the ranges with.
        metrics: results of the int8 file for its card.
        keep_float: ends of the names of convolutions that stay float32.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
        def __init__(self) -> None:
            self.rows: Iterator[dict[str, Any]] = iter([{"image": b} for b in batches])

        def get_next(self) -> dict[str, Any] | None:
            return next(self.rows, None)

    level = logging.getLogger().level
    with TemporaryDirectory() as folder:
        raw, ready, done = (Path(folder) / n for n in ("raw.onnx", "ready.onnx", "done.onnx"))
        trace(net, recipe, raw, keep_names=False)
        logging.getLogger().setLevel(logging.ERROR)
        try:
            quant_pre_process(str(raw), str(ready), skip_symbolic_shape=True)
            prepared = onnx.load(ready)
            float_nodes = [
                n.name
                for n in prepared.graph.node
                if n.op_type == "Sigmoid" or any(n.name.endswith(end) for end in keep_float)
            ]
            parts = recipe.task in PARSER_TASKS
            float_nodes += names_from(prepared, "/Exp" if parts else "/out/Conv")
            quantize_static(
                str(ready),
                str(done),
                Reader(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                nodes_to_exclude=float_nodes,
            )
        finally:
            logging.getLogger().setLevel(level)
        model = onnx.load(done)
    limit_pairs(model, prepared)
    correct_biases(model, prepared, batches)
    speed_up(model, mean=MEAN, std=STD, pyramid=recipe.task == "heads")
    put_card(model, make_card(recipe, metrics or {}))
    save(model, path)


def names_from(model: onnx.ModelProto, end: str) -> list[str]:
    """Names of the nodes whose name ends so, and of all that use what they put out, or its use."""
    reached: set[str] = set()
    names = []
    for node in model.graph.node:  # what a node reads is written before it
        if node.name.endswith(end) or reached.intersection(node.input):
            reached.update(node.output)
            names.append(node.name)
    return names


def calibration_batches(task: Any, recipe: Recipe, count: int) -> list[NDArray[np.float32]]:
    """Normalised training pictures, as the net sees them at its last phase."""
    phase = recipe.phases[-1]
    return [
        np.ascontiguousarray(task.batch(10_000_000 + i, phase).images.numpy()) for i in range(count)
    ]


def write_checksums(folder: Path) -> None:
    """Write ``SHA256SUMS`` for all ``*.onnx`` and ``*.npz`` of a folder."""
    lines = [
        f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n"
        for p in sorted((*folder.glob("*.onnx"), *folder.glob("*.npz")))
    ]
    write_atomic(folder / "SHA256SUMS", "".join(lines).encode(), force=True)


def load_initial(net: nn.Module, name_or_path: str) -> list[str]:
    """Fill a net with the weights of an exported file; values whose shape differs stay fresh.

    So do the batch norms behind convolutions that stay fresh.

    Args:
        net: a net of the same kind (the number of parts may differ).
        name_or_path: a shipped model or an ONNX file written by `export`.

    Returns:
        Names of the values that were not found or did not fit.

    Raises:
        BadWeights: the file is not ONNX, or holds less than half of the net's values.
    """
    path = weights.find(name_or_path, precision="fp32")
    stored = {}
    try:
        model = onnx.load(path)
    except DecodeError as error:
        raise BadWeights(
            f"{path}: not an ONNX file ({error}); give one that 'faceparts export' wrote"
        ) from error
    for tensor in model.graph.initializer:
        name = tensor.name.removesuffix(".half").removeprefix("net.")
        stored[name] = numpy_helper.to_array(tensor)
    own = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    left = [k for k, v in own.items() if k not in stored or stored[k].shape != tuple(v.shape)]
    if len(left) > len(own) / 2:
        raise BadWeights(
            f"{path}: fits {len(own) - len(left)} of {len(own)} values of this net; "
            "give an export of the same net as init"
        )
    fresh = {*left, *norms_after(net, left)}
    for name in own.keys() - fresh:
        own[name].copy_(torch.from_numpy(stored[name].astype(np.float32)))
    return [name for name in own if name in fresh]
