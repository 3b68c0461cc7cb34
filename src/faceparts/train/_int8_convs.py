"""The convolutions of a QDQ graph, with the float32 weights that they were rounded from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class QuantisedConv:
    """A convolution before and after rounding.

    Args:
        source: what it reads in the float32 graph.
        scale, zero: how that is rounded to uint8.
        wanted: (O, I, h, w) weights of the float32 graph.
        weights, weights_scale: names of the int8 weights and of their (O,) scales.
        bias, bias_scale: names of the int32 biases and of their (O,) scales; "" without bias.
    """

    source: str
    scale: float
    zero: int
    wanted: Floats
    weights: str
    weights_scale: str
    bias: str
    bias_scale: str


class Values:
    """The constants of a graph by name; new values replace the old ones in the graph."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._tensors = {t.name: t for t in model.graph.initializer}

    def __getitem__(self, name: str) -> NDArray[Any]:
        return np.asarray(numpy_helper.to_array(self._tensors[name]))

    def __setitem__(self, name: str, value: NDArray[Any]) -> None:
        self._tensors[name].CopyFrom(numpy_helper.from_array(value, name))


def quantised_convs(
    quantised: onnx.ModelProto, original: onnx.ModelProto
) -> Iterator[QuantisedConv]:
    """All convolutions whose input and weights are rounded, and the bias if there is one.

    Args:
        quantised: made from ``original`` by onnxruntime's static quantisation; node names agree.
        original: the float32 graph.
    """
    floats = {n.name: n for n in original.graph.node if n.op_type == "Conv"}
    values, exact = Values(quantised), Values(original)
    made_by = {n.output[0]: n for n in quantised.graph.node}
    for node in quantised.graph.node:
        if node.op_type != "Conv" or node.name not in floats:
            continue
        steps = [made_by.get(name) for name in node.input]
        if any(s is None or s.op_type != "DequantizeLinear" for s in steps):
            continue
        read, weights, *bias = (s.input for s in steps if s)
        before = floats[node.name]
        yield QuantisedConv(
            source=before.input[0],
            scale=float(values[read[1]]),
            zero=int(values[read[2]]),
            wanted=exact[before.input[1]],
            weights=weights[0],
            weights_scale=weights[1],
            bias=bias[0][0] if bias else "",
            bias_scale=bias[0][1] if bias else "",
        )
