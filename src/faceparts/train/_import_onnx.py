"""What is written for an imported net: safetensors and ONNX from PyTorch, ONNX from ONNX."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # ships no types
from onnx import TensorProto, helper
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from faceparts import cards, weights
from faceparts.errors import BadWeights, UsageError
from faceparts.segment import onnx as segmenter
from faceparts.streams.files import write_atomic
from faceparts.train import export
from faceparts.train.imports import Imported
from faceparts.types import ModelCard

TOLERANCE = 1e-3
"""Largest difference of probabilities between PyTorch and the written file."""


class Wired(nn.Module):
    """A net that takes RGB and puts out the scores of the parts in their order."""

    def __init__(self, one: Imported) -> None:
        super().__init__()
        self.net = one.net
        self.bgr = one.bgr
        self.outputs = list(one.outputs)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.net(x[:, [2, 1, 0]] if self.bgr else x)
        if self.outputs == list(range(scores.shape[1])):
            return scores
        return scores[:, self.outputs]


def write_net(
    one: Imported,
    folder: Path,
    *,
    half: bool = False,
    force: bool = True,
    forbidden: Collection[Path] = (),
) -> tuple[list[Path], float]:
    """Write ``NAME.safetensors`` and ``NAME.onnx``; the ONNX file takes pictures of any size.

    Args:
        half: weights are stored as float16, in half the space.
        force: replace files of these names.
        forbidden: files that are never replaced: what was read.

    Returns:
        The files, and the largest difference of probabilities between PyTorch and the ONNX file on
        a picture of noise.

    Raises:
        BadWeights: an output that the card names is not there, or the file does not compute what
            the net computes.
        UnwritableOutput: a file is there already, is forbidden, or the system refuses.
    """
    wired, card = Wired(one).eval(), one.card
    _check_outputs(one)
    with TemporaryDirectory() as temporary:
        raw = Path(temporary) / "raw.onnx"
        _trace(wired, raw, card.input_px)
        model = onnx.load(raw)
    if half:
        export.halve(model)
    export.put_card(model, card)
    state = {k: v.contiguous() for k, v in one.net.state_dict().items()}
    stored = to_safetensors(state, {cards.KEY: cards.to_json(card)})
    data = model.SerializeToString()
    gap = _gap(wired, data, card)
    if gap > (10 if half else 1) * TOLERANCE:
        raise BadWeights(
            f"{card.name}: the ONNX file differs by {gap:.2g} from the net; not written"
        )
    paths = [folder / f"{card.name}.safetensors", folder / f"{card.name}.onnx"]
    there = [path.exists() for path in paths]
    write_atomic(paths[0], stored, force=force, forbidden=forbidden)
    try:
        write_atomic(paths[1], data, force=force, forbidden=forbidden)
    except BaseException:
        if not there[0]:
            paths[0].unlink(missing_ok=True)
        raise
    return paths, gap


def _check_outputs(one: Imported) -> None:
    with torch.no_grad():
        count = one.net(torch.zeros(1, 3, 32, 32)).shape[1]
    if max(one.outputs) >= count:
        raise BadWeights(
            f"{one.card.name}: has {count} outputs, and none numbered {max(one.outputs)}; "
            "say 'label_set' and 'outputs' in a card file"
        )


def _trace(net: nn.Module, path: Path, side_px: int) -> None:
    axes = {"image": {0: "n", 2: "height", 3: "width"}, "scores": {0: "n", 2: "height", 3: "width"}}
    with warnings.catch_warnings():
        for known in ("You are using the legacy TorchScript", "The feature will be removed"):
            warnings.filterwarnings("ignore", known, DeprecationWarning)
        warnings.filterwarnings("ignore", "Converting a tensor to a Python", UserWarning)
        torch.onnx.export(
            net,
            (torch.zeros(1, 3, side_px, side_px),),
            str(path),
            input_names=["image"],
            output_names=["scores"],
            dynamic_axes=axes,
            opset_version=export.OPSET,
            dynamo=False,
        )


def _gap(net: nn.Module, data: bytes, card: ModelCard) -> float:
    """Largest difference of probabilities on a picture of noise, through the run time itself."""
    side = card.input_px
    picture = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    with TemporaryDirectory() as temporary:
        path = Path(temporary) / "try.onnx"
        path.write_bytes(data)
        got = segmenter.load(path).predict(picture)
    if 0 < card.shrink_px < side:
        picture = segmenter.shrink_and_grow(picture, card.shrink_px)
    blob = torch.from_numpy(weights.normalise(picture, card))
    with torch.no_grad():
        wanted = torch.softmax(net(blob), dim=1).numpy()
    return float(np.abs(got - wanted).max())


# --- ONNX from ONNX ---------------------------------------------------------------------------

OWN_KEYS = ("outputs", "channels", "layout", "output_name")
"""What a card file for an ONNX file may say besides the fields of the card."""


def rewire(path: Path, said: dict[str, Any], outputs: tuple[int, ...] | None) -> onnx.ModelProto:
    """An ONNX parser that takes (N, 3, H, W) RGB and puts out scores of the parts in their order.

    Args:
        said: ``channels``: ``"rgb"`` or ``"bgr"``; ``layout``: ``"nchw"`` or ``"nhwc"``;
            ``output_name``: which output holds the scores, by default the first.
        outputs: numbers of the outputs of the parts; ``None`` = as they are.

    Raises:
        BadWeights: not ONNX, too large, weights in other files, or other inputs or outputs.
        UsageError: a key has another value than these.
    """
    model = _read(path)
    graph = model.graph
    channels = _choice(said, "channels", ("rgb", "bgr"))
    layout = _choice(said, "layout", ("nchw", "nhwc"))
    stored = {t.name for t in graph.initializer}
    inputs = [i for i in graph.input if i.name not in stored]
    if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type != TensorProto.FLOAT:
        raise BadWeights(f"{path}: {len(inputs)} inputs; wanted one of float32 pictures")
    found = {o.name: o for o in graph.output}
    name = said.get("output_name", next(iter(found), ""))
    if name not in found:
        raise BadWeights(f"{path}: has no output {name!r}; there are: {', '.join(found)}")
    if found[name].type.tensor_type.elem_type != TensorProto.FLOAT:
        raise BadWeights(
            f"{path}: output {name!r} is not float32; wanted a score or probability for each part"
        )
    before, after = [], []
    image, last = inputs[0].name, name
    taken = {n for node in graph.node for n in (*node.input, *node.output)} | stored
    new_in, new_out = (_free(n, taken) for n in ("image", "scores"))
    step = new_in
    if channels == "bgr":
        before.append(_gather(graph, step, step + "_bgr", (2, 1, 0), taken))
        step += "_bgr"
    turn = (0, 2, 3, 1) if layout == "nhwc" else (0, 1, 2, 3)
    before.append(helper.make_node("Transpose", [step], [image], perm=turn))
    if layout == "nhwc":
        after.append(helper.make_node("Transpose", [last], [new_out + "_nchw"], perm=(0, 3, 1, 2)))
        last = new_out + "_nchw"
    if outputs is not None:
        after.append(_gather(graph, last, new_out, outputs, taken))
    else:
        after.append(helper.make_node("Identity", [last], [new_out]))
    sides = _sides(inputs[0], layout, path)
    nodes = [*before, *graph.node, *after]
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info(new_in, TensorProto.FLOAT, sides))
    count = len(outputs) if outputs is not None else None
    free = ["n" if isinstance(sides[0], str) else sides[0], count, None, None]
    graph.output.append(helper.make_tensor_value_info(new_out, TensorProto.FLOAT, free))
    return model


def write_onnx(
    model: onnx.ModelProto,
    card: ModelCard,
    folder: Path,
    *,
    force: bool = True,
    forbidden: Collection[Path] = (),
) -> Path:
    """Write ``NAME.onnx`` with its card after it has run once.

    Raises:
        BadWeights: it does not run, or does not put out what its card says.
        UnwritableOutput: the file is there already, is forbidden, or the system refuses.
    """
    export.put_card(model, card)
    data = model.SerializeToString()
    with TemporaryDirectory() as temporary:
        trial = Path(temporary) / f"{card.name}.onnx"
        trial.write_bytes(data)
        opened = segmenter.load(trial)
        side = card.input_px
        probs = opened.predict(np.full((1, side, side, 3), 127, np.uint8))
    if not np.isfinite(probs).all() or np.abs(probs.sum(axis=1) - 1).max() > TOLERANCE:
        raise BadWeights(
            f"{card.name}: what it puts out does not sum to 1; say output = 'logits' in the card"
        )
    path = folder / f"{card.name}.onnx"
    write_atomic(path, data, force=force, forbidden=forbidden)
    return path


def _read(path: Path) -> onnx.ModelProto:
    try:
        if path.stat().st_size > weights.MAX_FILE_BYTES:
            raise BadWeights(f"{path}: larger than {weights.MAX_FILE_BYTES} bytes")
        model = onnx.load(path, load_external_data=False)
    except (OSError, DecodeError) as error:
        raise BadWeights(f"{path}: not a readable ONNX file ({error}); get it again") from error
    if any(t.data_location == TensorProto.EXTERNAL for t in model.graph.initializer):
        raise BadWeights(f"{path}: its weights lie in other files; save it as one file first")
    return model


def _choice(said: dict[str, Any], key: str, known: tuple[str, ...]) -> str:
    value = said.get(key, known[0])
    if value not in known:
        raise UsageError(f"card file: {key} = {value!r}; wanted one of {', '.join(known)}")
    return str(value)


def _free(name: str, taken: set[str]) -> str:
    """A name that the graph does not use."""
    while any(t == name or t.startswith(name + "_") for t in taken):
        name = "faceparts_" + name
    return name


def _gather(
    graph: onnx.GraphProto, source: str, target: str, numbers: tuple[int, ...], taken: set[str]
) -> onnx.NodeProto:
    """A node that picks channels; their numbers become a constant of the graph."""
    constant = _free(target + "_channels", taken)
    graph.initializer.append(
        helper.make_tensor(constant, TensorProto.INT64, [len(numbers)], list(numbers))
    )
    return helper.make_node("Gather", [source, constant], [target], axis=1)


def _sides(info: onnx.ValueInfoProto, layout: str, path: Path) -> list[int | str]:
    """(N, 3, H, W) of the new input: numbers where the file fixes them, else names."""
    dims = info.type.tensor_type.shape.dim
    if len(dims) != 4:
        raise BadWeights(
            f"{path}: its input has {len(dims)} lengths, wanted 4: a batch of pictures"
        )
    order = (0, 3, 1, 2) if layout == "nhwc" else (0, 1, 2, 3)
    names = ("n", "three", "height", "width")
    sides: list[int | str] = [
        dims[i].dim_value or name for i, name in zip(order, names, strict=True)
    ]
    if sides[1] not in (3, "three"):
        raise BadWeights(
            f"{path}: takes {sides[1]} channels, wanted 3; is layout {layout!r} right?"
        )
    sides[1] = 3
    return sides
