"""Caffe's weights without Caffe: the binary ``.caffemodel`` -> named layers with their arrays.

Only what weights need of Caffe's schema (``caffe.proto``) is read, by hand: the layers of a
NetParameter in the old (V1LayerParameter) and the new form (LayerParameter), their BlobProtos with
old (num, channels, height, width) or new shapes, floats packed or not, doubles. Files come from
strangers: every length is held against what is there before anything of that length is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from mmap import ACCESS_READ, mmap
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceparts.errors import BadWeights
from faceparts.train._protobuf import BYTES, VARINT, Field, fields, signed, varints

MAX_BYTES = 2**31 - 1
"""A protocol buffer is smaller than 2 GiB."""

MAX_LAYERS, MAX_BLOBS, MAX_DIMS, MAX_NUMBERS = 20_000, 64, 32, 64

_V1_LAYERS, _LAYERS = 2, 100
_V1_KINDS = {4: "Convolution", 14: "InnerProduct", 39: "Deconvolution"}
_DTYPES: dict[int, np.dtype[Any]] = {5: np.dtype("<f4"), 8: np.dtype("<f8")}
_SHAPE = 7
_OLD_SHAPE = (1, 2, 3, 4)
_CONVOLUTION = {3: "pad", 4: "kernel", 5: "group", 6: "stride", 18: "dilation"} | {
    9: "pad",
    10: "pad",
    11: "kernel",
    12: "kernel",
    13: "stride",
    14: "stride",
}
_CROP = {2: "offset"}


@dataclass(frozen=True)
class _Schema:
    """Field numbers of one form of layer."""

    name: int
    kind: int
    blobs: int
    geometry: Mapping[int, Mapping[int, str]]


_V1 = _Schema(name=4, kind=5, blobs=6, geometry={10: _CONVOLUTION})
_NEW = _Schema(name=1, kind=2, blobs=7, geometry={106: _CONVOLUTION, 144: _CROP})


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of a Caffe net.

    Args:
        name: as in the file; unique.
        kind: Caffe's type, such as ``"Convolution"``.
        blobs: float32 arrays: for most layers weights, then biases.
        geometry: what the file says of ``pad``, ``kernel``, ``stride``, ``group``, ``dilation`` and
            ``offset``; names that it does not mention have Caffe's default.
    """

    name: str
    kind: str
    blobs: tuple[NDArray[np.float32], ...]
    geometry: Mapping[str, tuple[int, ...]]


def read_caffemodel(path: Path) -> dict[str, Layer]:
    """The layers of a ``.caffemodel`` file by name, in the order of the file.

    Arrays are views of the file where it allows; copy what is to be changed.

    Raises:
        BadWeights: the file is missing, too large, cut off, no caffemodel, has no layer, or a blob
            whose shape does not fit its values; the message names the layer.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise BadWeights(f"{path}: {size} bytes; a caffemodel has at most {MAX_BYTES}")
        with path.open("rb") as file:
            data = mmap(file.fileno(), 0, access=ACCESS_READ) if size else b""
    except OSError as error:
        raise BadWeights(f"{path}: cannot be read: {error.strerror}; check the path") from None
    if data[:8] == b"\x89HDF\r\n\x1a\n":
        raise BadWeights(f"{path}: is HDF5; save the net as a binary caffemodel in Caffe")
    layers: dict[str, Layer] = {}
    for field in fields(memoryview(data), str(path)):
        schema = {_V1_LAYERS: _V1, _LAYERS: _NEW}.get(field.number)
        if schema is None or field.wire != BYTES:
            continue
        layer = _read_layer(field.data, schema, f"{path}: layer {len(layers)}")
        if layer.name in layers:
            raise BadWeights(f"{path}: two layers are named {layer.name!r}; not a trained net")
        layers[layer.name] = layer
        if len(layers) > MAX_LAYERS:
            raise BadWeights(f"{path}: more than {MAX_LAYERS} layers; not a trained net")
    if not layers:
        raise BadWeights(f"{path}: holds no layers; wanted a binary caffemodel, not a prototxt")
    return layers


def _read_layer(message: memoryview, schema: _Schema, where: str) -> Layer:
    name, kind = "", ""
    blobs: list[memoryview] = []
    geometry: dict[str, list[int]] = {}
    for field in fields(message, where):
        if field.number == schema.name and field.wire == BYTES:
            name = bytes(field.data[:200]).decode("utf-8", "replace")
        elif field.number == schema.kind and field.wire == BYTES:
            kind = bytes(field.data[:200]).decode("utf-8", "replace")
        elif field.number == schema.kind and field.wire == VARINT:
            kind = _V1_KINDS.get(field.value, f"type {field.value}")
        elif field.number == schema.blobs and field.wire == BYTES:
            blobs.append(field.data)
            if len(blobs) > MAX_BLOBS:
                raise BadWeights(f"{where}: more than {MAX_BLOBS} blobs; not a trained net")
        elif field.number in schema.geometry and field.wire == BYTES:
            _read_geometry(field.data, schema.geometry[field.number], geometry, where)
        elif schema is _V1 and field.number == 1:
            raise BadWeights(
                f"{where}: is of Caffe's oldest form (V0); run Caffe's upgrade_net_proto_binary"
            )
    where = f"{where} {name!r}"
    arrays = tuple(_read_blob(blob, f"{where}: blob {i}") for i, blob in enumerate(blobs))
    known = {key: tuple(values) for key, values in geometry.items()}
    return Layer(name, kind, arrays, MappingProxyType(known))


def _read_geometry(
    message: memoryview, names: Mapping[int, str], geometry: dict[str, list[int]], where: str
) -> None:
    for field in fields(message, where):
        if field.number in names:
            _add_numbers(field, geometry.setdefault(names[field.number], []), where)


def _add_numbers(field: Field, values: list[int], where: str) -> None:
    """Take up a repeated number, packed or not."""
    if len(values) + len(field.data) / 10 >= MAX_NUMBERS:
        raise BadWeights(f"{where}: more than {MAX_NUMBERS} numbers in a list; not a trained net")
    if field.wire == VARINT:
        values.append(signed(field.value))
    elif field.wire == BYTES:
        values.extend(varints(field.data, where))


def _read_blob(message: memoryview, where: str) -> NDArray[np.float32]:
    """A BlobProto as a float32 array of its shape."""
    shape: list[int] | None = None
    old = dict.fromkeys(_OLD_SHAPE, 0)
    is_old, pieces = False, []
    for field in fields(message, where):
        if field.number == _SHAPE and field.wire == BYTES:
            shape = []
            for dims in fields(field.data, where):
                _add_numbers(dims, shape, where)
        elif field.number in old and field.wire == VARINT:
            old[field.number], is_old = signed(field.value), True
        elif field.number in _DTYPES and field.wire != VARINT:
            dtype = _DTYPES[field.number]
            if len(field.data) % dtype.itemsize:
                raise BadWeights(f"{where}: {len(field.data)} bytes are no whole {dtype} values")
            pieces.append(np.frombuffer(field.data, dtype))
    if shape is None:
        shape = list(old.values()) if is_old else [sum(p.size for p in pieces)]
    count = sum(p.size for p in pieces)
    if len(shape) > MAX_DIMS or any(n < 0 for n in shape) or prod(shape) != count:
        text = " x ".join(map(str, shape[:8]))
        raise BadWeights(f"{where}: shape {text} does not fit its {count} values; get it again")
    if len({p.dtype for p in pieces}) > 1:
        raise BadWeights(f"{where}: holds floats and doubles; not a trained net")
    whole = pieces[0] if len(pieces) == 1 else np.concatenate([np.empty(0, "<f4"), *pieces])
    with np.errstate(over="ignore"):  # a double beyond float32 becomes inf, which `fit` refuses
        values = np.asarray(whole, np.float32).reshape(shape)
    if not np.isfinite(values).all():
        raise BadWeights(f"{where}: values that are not finite; the training went wrong")
    return values
