"""Weights that others have trained -> ONNX files that faceparts runs, with their cards.

Read are: FCN-8s caffemodels; the ``79999_iter.pth`` layout of BiSeNet face parsers; SegFormer as
Hugging Face stores it; any ONNX parser with a card file that says what its outputs mean. Nothing is
unpickled but tensors. What comes out takes RGB as all our nets do: another order of channels, and
outputs that stand in another order than the parts, are mended inside the file.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from faceparts import cards, labels
from faceparts.errors import BadWeights, UsageError
from faceparts.train import _caffe_fcn8s
from faceparts.train.caffe import read_caffemodel
from faceparts.train.nets import bisenet, segformer
from faceparts.train.nets.fcn8s import MEAN_BGR
from faceparts.types import ModelCard

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
"""RGB on the 0..255 scale, as BiSeNet and SegFormer were trained with."""

S4_MARGIN = 0.18
"""Crop of binary FCN-8s files: share of the head box's longer side added on every side.

Measured: the box that the published system makes of 68 landmarks (10 % more at the sides and below,
the landmarks' own height above, squared) is 1.36 times as long as headnet's head box, median of 130
Helen faces.
"""

S4_FACE_OUTPUT = 15
"""Which of 21 outputs the published binary face net uses for the face; 0 is the background."""

MAX_TEXT_BYTES = 1 << 20
MAX_WEIGHTS_BYTES = 2**31
UNKNOWN = "unknown; ask whoever gave you the file"

CELEBA_NAMES = {
    "eye_g": "glasses",
    "l_eye": "left_eye",
    "r_eye": "right_eye",
    "l_brow": "left_brow",
    "r_brow": "right_brow",
    "l_ear": "left_ear",
    "r_ear": "right_ear",
    "u_lip": "upper_lip",
    "l_lip": "lower_lip",
    "ear_r": "earring",
    "neck_l": "necklace",
    "cloth": "clothes",
}
"""CelebAMask-HQ's own names of the parts that we call otherwise."""


@dataclass(frozen=True, eq=False)
class Imported:
    """A net with what must be known to run it.

    Args:
        net: takes (N, 3, H, W), puts out scores (N, K, H, W).
        card: what the written file will say.
        outputs: for each part of the card's label set the number of the output that stands for it.
        bgr: whether the net takes blue first.
    """

    net: nn.Module
    card: ModelCard
    outputs: tuple[int, ...]
    bgr: bool = False


def read_card_file(path: Path | None) -> dict[str, Any]:
    """What a TOML or JSON card file says: fields of `ModelCard`, ``outputs``, ``channels``.

    Raises:
        UsageError: the file cannot be read, or is no table.
    """
    if path is None:
        return {}
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise UsageError(f"{path}: larger than {MAX_TEXT_BYTES} bytes; is it a card file?")
        text = path.read_text(encoding="utf-8")
        table = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not a readable card file ({error})") from error
    if not isinstance(table, dict):
        raise UsageError(f"{path}: holds {type(table).__name__}, wanted keys and values")
    return table


def make_card(values: Mapping[str, Any], where: str) -> ModelCard:
    """A parser's card from plain values.

    Raises:
        UsageError: an unknown key (the message lists the keys), or a card of no parser.
        BadWeights: a key is missing, or its value is of the wrong type or out of range.
    """
    known = [f.name for f in dataclasses.fields(ModelCard)]
    for key in values:
        if key not in known:
            raise UsageError(
                f"{where}: unknown key {key!r}; there are: outputs, {', '.join(known)}"
            )
    card = cards.from_json(json.dumps(dict(values), default=str), where)
    if card.task != "segment":
        raise UsageError(f"{where}: task is {card.task!r}; only parsers are imported")
    if Path(card.name).name != card.name:
        raise UsageError(f"{where}: name = {card.name!r}; files are called so: wanted no folders")
    return card


def overlay(one: Imported, said: Mapping[str, Any], where: str) -> Imported:
    """The same net with fields of its card, and its outputs, as a card file says.

    Raises:
        UsageError, BadWeights: see `make_card` and `outputs_of`.
    """
    values = {**dataclasses.asdict(one.card), **said}
    asked = values.pop("outputs", None)
    card, outputs = make_card(values, where), one.outputs
    if asked is not None:
        outputs = outputs_of(asked, card.label_set, where)
    elif len(outputs) != len(labels.get(card.label_set).parts):
        raise UsageError(f"{where}: say which 'outputs' stand for the parts of {card.label_set}")
    return dataclasses.replace(one, card=card, outputs=outputs)


def outputs_of(asked: Any, label_set: str, where: str) -> tuple[int, ...]:
    """Numbers of the outputs in the order of a label set's parts.

    Args:
        asked: such numbers; or names in the order of the file's outputs, ``""`` for one that is
            not used.

    Raises:
        UsageError: something else, or not every part has exactly one output.
    """
    parts = labels.get(label_set).parts
    numbers = asked
    if isinstance(asked, list | tuple) and asked and all(isinstance(n, str) for n in asked):
        numbers = [asked.index(p) if asked.count(p) == 1 else -1 for p in parts]
        extra = sorted({n for n in asked if n} - set(parts))
        if extra or -1 in numbers:
            wrong = extra[0] if extra else parts[list(numbers).index(-1)]
            raise UsageError(
                f"{where}: outputs: {wrong!r}; wanted each part of {label_set} once: "
                f"{', '.join(parts)}"
            )
    if (
        not isinstance(numbers, list | tuple)
        or any(type(n) is not int or n < 0 for n in numbers)
        or len(set(numbers)) != len(numbers)
        or len(numbers) != len(parts)
    ):
        raise UsageError(
            f"{where}: outputs = {asked!r}; wanted {len(parts)} different numbers, or names, one "
            f"for each part of {label_set}"
        )
    return tuple(numbers)


def import_caffe(path: Path, *, renamed: Mapping[str, str] | None = None) -> Imported:
    """FCN-8s at once from a binary caffemodel.

    21 outputs are taken for the published binary face net (`S4_FACE_OUTPUT`), 3 for background,
    hair and face, 2 for background and face; a card file can say otherwise.

    Args:
        renamed: names of layers in the file -> those of fcn8s-atonce.

    Raises:
        BadWeights: see `read_caffemodel` and `_caffe_fcn8s.to_fcn8s`.
        UsageError: a layer to be renamed is not there.
    """
    layers, names = read_caffemodel(path), dict(renamed or {})
    for name in names:
        if name not in layers:
            raise UsageError(f"{path}: has no layer {name!r} to rename; it has {', '.join(layers)}")
    net = _caffe_fcn8s.to_fcn8s({names.get(k, k): v for k, v in layers.items()}, str(path))
    count = int(net.score_fr.out_channels)
    label_set, outputs, side, shrink = {
        21: ("face2", (0, S4_FACE_OUTPUT), 500, 0),
        3: ("lfw3", (0, 1, 2), 512, 250),
        2: ("face2", (0, 1), 500, 0),
    }.get(count, ("face2", (0, 1), 500, 0))
    card = _card(path.stem, label_set, side, MEAN_BGR[::-1], (1.0, 1.0, 1.0), "Caffe")
    margin = S4_MARGIN if label_set == "face2" else card.margin
    card = dataclasses.replace(card, margin=margin, shrink_px=shrink)
    return Imported(net, card, outputs, bgr=True)


def import_bisenet(path: Path) -> Imported:
    """BiSeNet face parser: a PyTorch state dict laid out as ``79999_iter.pth``, or safetensors.

    Raises:
        BadWeights: damaged, or other keys or shapes; the message names them.
    """
    state = read_state(path)
    state = {k: v for k, v in state.items() if not k.startswith(("conv_out16.", "conv_out32."))}
    stem = _size(state, "cp.resnet.conv1.weight", path)
    head = _size(state, "cp.conv_avg.conv.weight", path)
    parts = _size(state, "conv_out.conv_out.weight", path)
    with torch.device("meta"):
        net = bisenet.BiSeNet(parts, stem, head)
    card = _card(path.stem, "bisenet19", 512, IMAGENET_MEAN, IMAGENET_STD, "BiSeNet")
    return Imported(_fill(net, state, path), card, tuple(range(19)))


def import_segformer(path: Path) -> Imported:
    """SegFormer as Hugging Face stores it: a folder, or its safetensors with config.json beside.

    The order of the parts follows from ``id2label``; without a config it is CelebAMask-HQ's own.

    Raises:
        BadWeights: damaged, or other keys or shapes; the message names them.
    """
    file = path / "model.safetensors" if path.is_dir() else path
    config = _read_config(file.with_name("config.json"))
    state = read_state(file)
    prefix = "segformer.encoder."
    hidden = [_size(state, f"{prefix}patch_embeddings.{i}.proj.weight", file) for i in range(4)]
    depths = [
        len({k.split(".")[4] for k in state if k.startswith(f"{prefix}block.{i}.")})
        for i in range(4)
    ]
    reduced = [f"{prefix}block.{i}.0.attention.self.sr.weight" for i in range(4)]
    reductions = [int(state[k].shape[-1]) if k in state and state[k].ndim else 1 for k in reduced]
    inner = [_size(state, f"{prefix}block.{i}.0.mlp.dense1.weight", file) for i in range(4)]
    decoder = _size(state, "decode_head.linear_fuse.weight", file)
    parts = _size(state, "decode_head.classifier.weight", file)
    heads = config.get("num_attention_heads", segformer.HEADS)
    try:
        with torch.device("meta"):
            net = segformer.SegFormer(
                parts, hidden, depths, heads, decoder, reductions=reductions, inner=inner
            )
    except (TypeError, ValueError, ArithmeticError) as error:
        raise BadWeights(f"{file}: {error}; is config.json the one of this file?") from error
    name = file.parent.name if file.stem == "model" else file.stem
    card = _card(name or "segformer", "celeba19", 512, IMAGENET_MEAN, IMAGENET_STD, "SegFormer")
    return Imported(_fill(net, state, file), card, _order_of(config, file))


def _order_of(config: Mapping[str, Any], file: Path) -> tuple[int, ...]:
    """Numbers of the outputs of celeba19's parts, by the config's ``id2label``."""
    names = config.get("id2label")
    parts = labels.CELEBA19.parts
    if not isinstance(names, dict):
        return tuple(range(len(parts)))
    numbers = {}
    for number, name in names.items():
        plain = str(name).removesuffix(".png")
        numbers[CELEBA_NAMES.get(plain, plain)] = int(number) if str(number).isdecimal() else -1
    if set(numbers) != set(parts) or sorted(numbers.values()) != list(range(len(parts))):
        missing = sorted(set(parts) ^ set(numbers))
        raise BadWeights(
            f"{file}: id2label of config.json is not CelebAMask-HQ's 19 parts ({missing[:3]}); "
            "say 'label_set' and 'outputs' in a card file and take config.json away"
        )
    return tuple(numbers[p] for p in parts)


def _card(
    name: str,
    label_set: str,
    input_px: int,
    mean: Sequence[float],
    std: Sequence[float],
    origin: str,
) -> ModelCard:
    """A card that claims nothing that the file does not say."""
    return ModelCard(
        name=name,
        task="segment",
        label_set=label_set,
        input_px=input_px,
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
        margin=0.25,
        trained_on=(UNKNOWN,),
        license=UNKNOWN,
        data_license=UNKNOWN,
        commercial_ok=False,
        metrics={},
        output="logits",
        notes=f"imported from {origin}",
    )


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return read_card_file(path)
    except UsageError as error:
        raise BadWeights(str(error)) from error


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors by name from safetensors or from a PyTorch file, of which only tensors are read.

    Raises:
        BadWeights: the file is missing, damaged or too large, or holds something else.
    """
    if not path.is_file():
        raise BadWeights(f"{path}: no such file; check the path")
    if path.stat().st_size > MAX_WEIGHTS_BYTES:
        raise BadWeights(f"{path}: larger than {MAX_WEIGHTS_BYTES} bytes")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise BadWeights(f"{path}: not a safetensors file ({error}); get it again") from error
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damage shows in a dozen ways, refused objects among them
        reason = " ".join(str(error).split())[:200]
        raise BadWeights(f"{path}: not a file of tensors ({reason}); get it again") from error
    for key in ("state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not all(isinstance(v, Tensor) for v in found.values()):
        raise BadWeights(f"{path}: holds no table of tensors; save the net's state_dict")
    return {str(k).removeprefix("module."): v for k, v in found.items()}


def _size(state: Mapping[str, Tensor], key: str, path: Path) -> int:
    """First length of a tensor."""
    if key not in state or not state[key].numel() or not state[key].ndim:
        raise BadWeights(f"{path}: has no {key!r}; the file is of another net")
    return int(state[key].shape[0])


def _fill(net: nn.Module, state: Mapping[str, Tensor], path: Path) -> nn.Module:
    """A net without memory takes over a file's tensors, if all of them fit."""
    wanted = net.state_dict()
    state = dict(state)
    for key in wanted:
        if key.endswith("num_batches_tracked"):
            state.setdefault(key, torch.zeros((), dtype=torch.long))
    left, missing = sorted(state.keys() - wanted.keys()), sorted(wanted.keys() - state.keys())
    if left or missing:
        raise BadWeights(
            f"{path}: the file is of another net: without {', '.join(missing[:3]) or 'nothing'}; "
            f"left over {', '.join(left[:3]) or 'nothing'}"
        )
    for key, value in wanted.items():
        if state[key].shape != value.shape:
            got, want = tuple(state[key].shape), tuple(value.shape)
            raise BadWeights(f"{path}: {key} is {got}, wanted {want}; the file is of another net")
        if value.is_floating_point():
            state[key] = state[key].float()
            if not bool(torch.isfinite(state[key]).all()):
                raise BadWeights(f"{path}: {key} has values that are not finite")
    net.load_state_dict(state, assign=True)
    return net.eval()
