"""Takes the mean error of rounding out of an int8 net: bias correction.

Rounded weights, and inputs clipped to their range, move the mean of every output channel a little,
and the moves add up from layer to layer. What one convolution's mean is moved by follows from the
means of its inputs, so it can be subtracted from its bias: Nagel, van Baalen, Blankevoort and
Welling, "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, with
means measured on pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime

from faceparts.train._int8_convs import Floats, QuantisedConv, Values, quantised_convs


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
    values = Values(quantised)
    convs = [conv for conv in quantised_convs(quantised, original) if conv.bias]
    means = _mean_inputs(original, {c.source: (c.scale, c.zero) for c in convs}, batches)
    for conv in convs:
        exact, seen = means[conv.source]
        moved = _mean_outputs(conv.wanted, exact) - _mean_outputs(_rounded(conv, values), seen)
        steps = values[conv.bias] + np.rint(moved / values[conv.bias_scale])
        values[conv.bias] = steps.astype(np.int32)
    return len(convs)


def _rounded(conv: QuantisedConv, values: Values) -> Floats:
    """(O, I, h, w) weights as the QDQ graph has them."""
    scale = values[conv.weights_scale].reshape(-1, 1, 1, 1)
    return np.asarray(values[conv.weights].astype(np.float32) * scale, np.float32)


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
