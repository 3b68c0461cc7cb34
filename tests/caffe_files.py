"""Writes caffemodels and prototxts by hand, byte by byte: nothing here knows how they are read."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(tag: int, value: int) -> bytes:
    return varint(tag << 3) + varint(value)


def chunk(tag: int, data: bytes | str) -> bytes:
    data = data.encode() if isinstance(data, str) else data
    return varint(tag << 3 | 2) + varint(len(data)) + data


def blob(
    values: NDArray[np.floating],
    *,
    old_shape: bool = False,
    packed: bool = True,
    double: bool = False,
    shape: Sequence[int] | None = None,
) -> bytes:
    """A BlobProto; ``shape`` states another shape than that of the values."""
    dims = list(values.shape if shape is None else shape)
    if old_shape:
        dims = [1] * (4 - len(dims)) + dims
        out = b"".join(number(i, n) for i, n in enumerate(dims, 1))
    else:
        out = chunk(7, chunk(1, b"".join(varint(n) for n in dims)))
    tag, form = (8, "<d") if double else (5, "<f")
    flat = np.ascontiguousarray(values, form[:1] + ("f8" if double else "f4")).ravel()
    if packed:
        return out + chunk(tag, flat.tobytes())
    head = varint(tag << 3 | (1 if double else 5))
    return out + b"".join(head + struct.pack(form, v) for v in flat)


@dataclass
class Layer:
    """One layer as it is written into both files."""

    name: str
    kind: str
    bottoms: list[str]
    top: str
    parameters: dict[str, object] = field(default_factory=dict)
    blobs: list[NDArray[np.float32]] = field(default_factory=list)


V1_KINDS = {"Convolution": 4, "Deconvolution": 39, "ReLU": 18, "Pooling": 17, "Dropout": 6}


def caffemodel(layers: Iterable[Layer], *, v1: bool = False, **blob_options: bool) -> bytes:
    """A NetParameter with the layers' names, types, geometry and blobs."""
    out = chunk(1, "net")
    for layer in layers:
        blobs = [blob(b, **blob_options) for b in layer.blobs]
        geometry = convolution_message(layer.parameters)
        if v1:
            body = chunk(4, layer.name) + number(5, V1_KINDS.get(layer.kind, 0))
            body += b"".join(chunk(6, b) for b in blobs) + (
                chunk(10, geometry) if geometry else b""
            )
            out += chunk(2, body)
            continue
        body = chunk(1, layer.name) + chunk(2, layer.kind) + b"".join(chunk(7, b) for b in blobs)
        body += chunk(106, geometry) if geometry else b""
        if layer.kind == "Crop":
            offset = int(str(layer.parameters["offset"]))
            body += chunk(144, number(1, 2) + number(2, offset))
        out += chunk(100, body)
    return out


def convolution_message(parameters: dict[str, object]) -> bytes:
    tags = {"num_output": 1, "pad": 3, "kernel_size": 4, "group": 5, "stride": 6}
    if "num_output" not in parameters:
        return b""
    return b"".join(number(t, int(str(parameters[k]))) for k, t in tags.items() if k in parameters)


_BLOCKS = {
    "Convolution": "convolution_param",
    "Deconvolution": "convolution_param",
    "Pooling": "pooling_param",
    "Crop": "crop_param",
    "Eltwise": "eltwise_param",
    "Scale": "scale_param",
    "Dropout": "dropout_param",
}


def prototxt(layers: Iterable[Layer], height: int, width: int) -> str:
    """The net as text, for an input of one picture."""
    lines = ['name: "net"', 'input: "data"']
    lines += [f"input_dim: {n}" for n in (1, 3, height, width)]
    for layer in layers:
        lines += ["layer {", f'  name: "{layer.name}"', f'  type: "{layer.kind}"']
        lines += [f'  bottom: "{b}"' for b in layer.bottoms] + [f'  top: "{layer.top}"']
        if layer.parameters:
            pairs = " ".join(f"{k}: {v}" for k, v in layer.parameters.items())
            lines.append(f"  {_BLOCKS[layer.kind]} {{ {pairs} }}")
        lines.append("}")
    return "\n".join(lines) + "\n"


def bilinear(channels: int, size: int) -> NDArray[np.float32]:
    """(C, C, size, size) upsampling weights, by the formula of Caffe's bilinear filler."""
    factor = (size + 1) // 2
    centre = (2 * factor - 1 - factor % 2) / (2.0 * factor)
    out = np.zeros((channels, channels, size, size), np.float32)
    for y in range(size):
        for x in range(size):
            value = (1 - abs(x / factor - centre)) * (1 - abs(y / factor - centre))
            out[range(channels), range(channels), y, x] = value
    return out


def fcn8s(outputs: int = 21, width: float = 1 / 16, seed: int = 0) -> list[Layer]:
    """fcn8s-atonce with random weights whose activations keep their size, layer by layer.

    For an input of 0..255 less its mean the scores come out as those of trained nets do: most
    within +-10. The numbers come from NumPy's frozen generator: a seed means them for good.
    """
    rng = np.random.RandomState(seed)
    layers: list[Layer] = []

    def convolve(name: str, bottom: str, inputs: int, count: int, size: int, pad: int) -> int:
        spread = np.sqrt(2 / (inputs * size * size)) * (0.02 if name.startswith("score") else 1)
        weights = rng.normal(0, spread, (count, inputs, size, size)).astype(np.float32)
        bias = rng.normal(0, 0.1, count).astype(np.float32)
        parameters: dict[str, object] = {"num_output": count, "pad": pad, "kernel_size": size}
        layers.append(Layer(name, "Convolution", [bottom], name, parameters, [weights, bias]))
        return count

    def relu(name: str, top: str) -> None:
        layers.append(Layer(name, "ReLU", [top], top))

    bottom, channels, pools = "data", 3, {}
    for stage, counts in enumerate(STAGES, 1):
        for i, full in enumerate(counts, 1):
            name, pad = f"conv{stage}_{i}", 100 if bottom == "data" else 1
            channels = convolve(name, bottom, channels, round(full * width), 3, pad)
            relu(f"relu{stage}_{i}", name)
            bottom = name
        parameters: dict[str, object] = {"pool": "MAX", "kernel_size": 2, "stride": 2}
        layers.append(Layer(f"pool{stage}", "Pooling", [bottom], f"pool{stage}", parameters))
        bottom, pools[stage] = f"pool{stage}", channels
    hidden = round(4096 * width)
    convolve("fc6", "pool5", channels, hidden, 7, 0)
    relu("relu6", "fc6")
    layers.append(Layer("drop6", "Dropout", ["fc6"], "fc6", {"dropout_ratio": 0.5}))
    convolve("fc7", "fc6", hidden, hidden, 1, 0)
    relu("relu7", "fc7")
    layers.append(Layer("drop7", "Dropout", ["fc7"], "fc7", {"dropout_ratio": 0.5}))
    convolve("score_fr", "fc7", hidden, outputs, 1, 0)

    def up(name: str, bottom: str, size: int) -> None:
        parameters: dict[str, object] = {
            "num_output": outputs,
            "bias_term": "false",
            "kernel_size": size,
            "stride": size // 2,
        }
        kernel = bilinear(outputs, size)
        kernel += rng.normal(0, 0.01, kernel.shape).astype(np.float32)  # as if trained
        layers.append(Layer(name, "Deconvolution", [bottom], name, parameters, [kernel]))

    def crop(name: str, bottoms: list[str], offset: int) -> None:
        layers.append(Layer(name, "Crop", bottoms, name, {"axis": 2, "offset": offset}))

    def skip(stage: int, factor: float, offset: int, upper: str) -> None:
        scale = np.full(pools[stage], factor, np.float32)
        scale *= rng.uniform(0.5, 1.5, scale.shape).astype(np.float32)
        name = f"scale_pool{stage}"
        layers.append(Layer(name, "Scale", [f"pool{stage}"], name, {"bias_term": "false"}, [scale]))
        convolve(f"score_pool{stage}", name, pools[stage], outputs, 1, 0)
        layers[-1].blobs[0] /= np.float32(factor)  # so that every skip counts
        crop(f"score_pool{stage}c", [f"score_pool{stage}", upper], offset)
        fuse = f"fuse_pool{stage}"
        bottoms = [upper, f"score_pool{stage}c"]
        layers.append(Layer(fuse, "Eltwise", bottoms, fuse, {"operation": "SUM"}))

    up("upscore2", "score_fr", 4)
    skip(4, 0.01, 5, "upscore2")
    up("upscore_pool4", "fuse_pool4", 4)
    skip(3, 0.0001, 9, "upscore_pool4")
    up("upscore8", "fuse_pool3", 16)
    crop("score", ["upscore8", "data"], 31)
    return layers
