"""Takes the mean error of rounding out of an int8 net: bias correction.

Rounded weights, and inputs clipped to their range, move the mean of every output channel a little,
and the moves add up from layer to layer. What one convolution's mean is moved by follows from the
means of its inputs, so it can be subtracted from its bias: Nagel, van Baalen, Blankevoort and
Welling, "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, with
means measured on pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

Floats = NDArray[np.float32]


def correct_biases(
    quantised: onnx.ModelProto, original: onnx.ModelProto, batches: Sequence[Floats]
) -> int:
    """Correct the biases of a QDQ graph in place; how many convolutions were.

    Convolutions without a bias, or whose weights or input stay float32, are left as they are.

    Args:
        quantised: made from ``original`` by onnxruntime's static quantisation; node names agree.
        original: the float32 graph, with one input.
        batches: (n, C, H, W) float32 inputs that the means are measured on.
    """
    floats = {n.name: n for n in original.graph.node if n.op_type == "Conv"}
    weights, values = (
        {i.name: i for i in model.graph.initializer} for model in (original, quantised)
    )
    made_by = {n.output[0]: n for n in quantised.graph.node}
    convs = [
        conv
        for node in quantised.graph.node
        if node.op_type == "Conv" and node.name in floats
        if (conv := _conv_of(node, floats[node.name], made_by, values, weights)) is not None
    ]
    means = _mean_inputs(original, {c.source: (c.scale, c.zero) for c in convs}, batches)
    for conv in convs:
        exact, seen = means[conv.source]
        moved = _mean_outputs(conv.wanted, exact) - _mean_outputs(conv.rounded, seen)
        steps = numpy_helper.to_array(values[conv.bias]) + np.rint(moved / conv.bias_scale)
        values[conv.bias].CopyFrom(numpy_helper.from_array(steps.astype(np.int32), conv.bias))
    return len(convs)


@dataclass(frozen=True, eq=False)
class _Conv:
    """A convolution before and after: (O, I, h, w) weights, and how input and bias are rounded."""

    source: str
    scale: float
    zero: int
    wanted: Floats
    rounded: Floats
    bias: str
    bias_scale: Floats


def _conv_of(
    node: Any,
    before: Any,
    made_by: dict[str, Any],
    values: dict[str, Any],
    weights: dict[str, Any],
) -> _Conv | None:
    """A convolution of the QDQ graph, and before; ``None`` if a part of it stays float32.

    Args:
        node, before: it in the QDQ graph and in the float32 graph.
        made_by: nodes of the QDQ graph by their output.
        values, weights: initializers of the QDQ graph and of the float32 graph by name.
    """
    steps = [made_by.get(name) for name in node.input]
    if len(steps) != 3 or any(s is None or s.op_type != "DequantizeLinear" for s in steps):
        return None
    (_, scale, zero), (steps_w, scale_w, *_), (bias, scale_b, *_) = (s.input for s in steps if s)

    def array(name: str) -> NDArray[Any]:
        return np.asarray(numpy_helper.to_array(values[name]))

    return _Conv(
        before.input[0],
        float(array(scale)),
        int(array(zero)),
        np.asarray(numpy_helper.to_array(weights[before.input[1]])),
        array(steps_w).astype(np.float32) * array(scale_w).reshape(-1, 1, 1, 1),
        bias,
        array(scale_b),
    )


def _mean_outputs(weights: Floats, mean_inputs: Floats) -> Floats:
    """(O,) mean outputs without bias of (O, I, h, w) weights in as many groups as inputs / I."""
    outputs, per_group = weights.shape[:2]
    groups = len(mean_inputs) // per_group
    shares = weights.sum(axis=(2, 3)).reshape(groups, outputs // groups, per_group)
    means = np.einsum("goi,gi->go", shares, mean_inputs.reshape(groups, per_group))
    return np.asarray(means.ravel(), np.float32)


def _mean_inputs(
    model: onnx.ModelProto, ranges: dict[str, tuple[float, int]], batches: Sequence[Floats]
) -> dict[str, tuple[Floats, Floats]]:
    """Mean of every channel of tensors, as they are and rounded to uint8 by (scale, zero)."""
    told = onnx.ModelProto()
    told.CopyFrom(model)
    first = model.graph.input[0].name
    names = [name for name in ranges if name != first]
    known = {o.name for o in model.graph.output}
    told.graph.output.extend(
        onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None)
        for n in names
        if n not in known
    )
    session = onnxruntime.InferenceSession(
        told.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    sums: dict[str, list[Any]] = {name: [0.0, 0.0] for name in ranges}
    count = sum(len(batch) for batch in batches)
    for batch in batches:
        for i in range(len(batch)):  # one at a time: all inputs of all layers are kept at once
            one = batch[i : i + 1]
            seen = dict(zip(names, session.run(names, {first: one}), strict=True)) if names else {}
            for name, (scale, zero) in ranges.items():
                value = one if name == first else seen[name]
                rounded = (np.clip(np.rint(value / scale) + zero, 0, 255) - zero) * scale
                sums[name][0] += value.mean(axis=(0, 2, 3)) / count
                sums[name][1] += rounded.mean(axis=(0, 2, 3)) / count
    return {name: (exact, rounded) for name, (exact, rounded) in sums.items()}
