"""Runs the layers of `caffe_files` with NumPy, each by its definition, in float64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from caffe_files import Layer

Map = NDArray[np.float64]


def run(layers: Sequence[Layer], image: NDArray[np.floating]) -> Map:
    """(3, H, W) input -> (K, H, W), the top of the last layer."""
    tops: dict[str, Map] = {"data": image.astype(np.float64)}
    for layer in layers:
        bottoms = [tops[b] for b in layer.bottoms]
        tops[layer.top] = RUN[layer.kind](layer, bottoms)
    return tops[layers[-1].top]


def _number(layer: Layer, key: str, default: int = 0) -> int:
    return int(str(layer.parameters.get(key, default)))


def convolution(layer: Layer, bottoms: list[Map]) -> Map:
    weights, bias = layer.blobs
    pad, size = _number(layer, "pad"), _number(layer, "kernel_size")
    x = np.pad(bottoms[0], ((0, 0), (pad, pad), (pad, pad)))
    height, width = x.shape[1] - size + 1, x.shape[2] - size + 1
    out = np.repeat(bias.astype(float), height * width)
    for i in range(size):
        for j in range(size):
            piece = x[:, i : i + height, j : j + width].reshape(len(x), -1)
            out += (weights[:, :, i, j].astype(float) @ piece).ravel()
    return out.reshape(len(weights), height, width)


def deconvolution(layer: Layer, bottoms: list[Map]) -> Map:
    (x,), (weights,) = bottoms, layer.blobs
    size, stride = _number(layer, "kernel_size"), _number(layer, "stride")
    _, height, width = x.shape
    shape = (weights.shape[1], (height - 1) * stride + size, (width - 1) * stride + size)
    out = np.zeros(shape)
    spread = np.einsum("ihw,iokl->ohwkl", x, weights.astype(float))
    for i in range(height):
        for j in range(width):
            rows, columns = i * stride, j * stride
            out[:, rows : rows + size, columns : columns + size] += spread[:, i, j]
    return out


def pooling(layer: Layer, bottoms: list[Map]) -> Map:
    (x,) = bottoms  # 2 x 2 with stride 2; Caffe rounds sizes up
    x = np.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2)), constant_values=-np.inf)
    return x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2).max(axis=(2, 4))


def crop(layer: Layer, bottoms: list[Map]) -> Map:
    x, like = bottoms
    start = _number(layer, "offset")
    return x[:, start : start + like.shape[1], start : start + like.shape[2]]


RUN = {
    "Convolution": convolution,
    "Deconvolution": deconvolution,
    "Pooling": pooling,
    "Crop": crop,
    "ReLU": lambda _, bottoms: np.maximum(bottoms[0], 0),
    "Dropout": lambda _, bottoms: bottoms[0],
    "Eltwise": lambda _, bottoms: bottoms[0] + bottoms[1],
    "Scale": lambda layer, bottoms: bottoms[0] * layer.blobs[0][:, None, None],
}
