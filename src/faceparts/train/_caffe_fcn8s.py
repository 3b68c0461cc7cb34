"""Caffe layers -> `nets.fcn8s`: shapes and geometry are checked before any value is taken."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faceparts.errors import BadWeights
from faceparts.train.caffe import Layer
from faceparts.train.nets import fcn8s
from faceparts.train.nets.fcn8s import FCN8s

OPTIONAL = ("scale_pool4", "scale_pool3", "upscore2", "upscore_pool4", "upscore8")
"""Layers with fixed weights, which a file may leave out: scales are 1 then, upsampling bilinear."""

ALIASES = {
    "score-fr": "score_fr",
    "score2": "upscore2",
    "score-pool4": "score_pool4",
    "score4": "upscore_pool4",
    "score-pool3": "score_pool3",
    "upsample": "upscore8",
    "bigscore": "upscore8",
}
"""What the first published FCN-8s files call the same layers."""

_CROPS = {
    "score_pool4c": fcn8s.CROP_POOL4,
    "score_pool3c": fcn8s.CROP_POOL3,
    "score": fcn8s.CROP_SCORE,
}


def to_fcn8s(layers: Mapping[str, Layer], where: str) -> FCN8s:
    """The net that the layers of a caffemodel make; width and outputs follow from the file.

    Args:
        layers: by name; names of `ALIASES` are understood.
        where: what the layers belong to, for messages.

    Raises:
        BadWeights: a layer is missing, is left over, or does not have the shape, padding or stride
            that fcn8s-atonce has.
    """
    layers = {ALIASES.get(name, name): layer for name, layer in layers.items()}
    net = _empty_net(layers, where)
    wanted = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    names = {key.rpartition(".")[0] for key in wanted}
    left = [name for name, layer in layers.items() if layer.blobs and name not in names]
    missing = sorted(n for n in names - layers.keys() if n not in OPTIONAL)
    if missing or left:
        raise BadWeights(
            f"{where}: is no fcn8s: without {', '.join(missing) or 'nothing'}; "
            f"left over {', '.join(left) or 'nothing'}; if names differ only, rename them"
        )
    state: dict[str, Tensor] = {}
    for key, shape in wanted.items():
        name, _, kind = key.rpartition(".")
        if name not in layers:
            state[key] = _fixed(name, shape)
            continue
        _check_geometry(name, layers[name], where)
        state[key] = _value(layers[name], 1 if kind == "bias" else 0, shape, f"{where}: {name!r}")
    for name, offset in _CROPS.items():
        found = layers[name].geometry.get("offset", ()) if name in layers else ()
        if set(found) - {offset}:
            raise BadWeights(f"{where}: {name!r} is cut at {found}, wanted {offset}; not at-once")
    net.load_state_dict(state, assign=True)
    return net.eval()


def _empty_net(layers: Mapping[str, Layer], where: str) -> FCN8s:
    """A net without memory that has the file's width and number of outputs."""

    def outputs(name: str) -> int:
        if name not in layers or not layers[name].blobs or not layers[name].blobs[0].ndim:
            raise BadWeights(f"{where}: has no layer {name!r} with weights; is it an fcn8s?")
        return int(layers[name].blobs[0].shape[0])

    width = outputs("conv1_1") / fcn8s.STAGES[0][0]
    try:
        with torch.device("meta"):
            return FCN8s(outputs("score_fr"), width)
    except ValueError as error:
        raise BadWeights(f"{where}: {error}") from error


def _fixed(name: str, shape: tuple[int, ...]) -> Tensor:
    """What an optional layer is when the file does not have it."""
    return torch.ones(shape) if len(shape) == 1 else fcn8s.bilinear_kernel(shape[0], shape[-1])


def _check_geometry(name: str, layer: Layer, where: str) -> None:
    """Refuse padding, stride, groups and dilation that the net does not have."""
    up = name.startswith("upscore")
    size = {"upscore2": 4, "upscore_pool4": 4, "upscore8": 16}.get(name, 0)
    padding = {"conv1_1": fcn8s.PADDING_PX}.get(name, 1 if name.startswith("conv") else 0)
    wanted = {"pad": padding, "stride": size // 2 if up else 1, "dilation": 1}
    for key, value in wanted.items():
        found = layer.geometry.get(key, ())
        if set(found) - {value}:
            raise BadWeights(f"{where}: {name!r} has {key} {found}, wanted {value}; not at-once")
    if not up and set(layer.geometry.get("group", ())) - {1}:
        raise BadWeights(f"{where}: {name!r} is in groups; fcn8s has none")


def _value(layer: Layer, index: int, shape: tuple[int, ...], where: str) -> Tensor:
    """One blob in the wanted shape, copied."""
    if index >= len(layer.blobs):
        raise BadWeights(f"{where}: has {len(layer.blobs)} blobs, wanted {index + 1}")
    blob = layer.blobs[index]
    if layer.kind == "Deconvolution" and blob.shape == (shape[0], 1, *shape[2:]) != shape:
        blob = _ungroup(blob, shape)  # one group a channel: what bilinear fillers make
    same = _without_ones(blob.shape) == _without_ones(shape)
    if layer.kind == "InnerProduct" and len(shape) == 4:  # a classifier before its conversion
        same = blob.shape[-2:] == (shape[0], int(np.prod(shape[1:])))
    if not same or blob.size != int(np.prod(shape)):
        raise BadWeights(f"{where}: blob {index} is {blob.shape}, wanted {shape}")
    return torch.from_numpy(blob.reshape(shape).copy())


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without the leading ones that old files put before it."""
    first = next((i for i, n in enumerate(shape) if n != 1), len(shape))
    return shape[first:]


def _ungroup(blob: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    full = np.zeros(shape, np.float32)
    channels = range(shape[0])
    full[channels, channels] = blob[:, 0]
    return full
