"""Keeps an int8 net right on processors whose byte products overflow.

Without VNNI, x86 processors multiply bytes two at a time and add both products in 16 bits, which
saturate (``vpmaddubsw``): 255 * 127 + 255 * 127 does not fit. onnxruntime uses that instruction, so
a net comes out differently there, silently: on such a machine 5 % of partnet's pixels changed and
its mean F1 fell by 1.4 points. onnxruntime's remedy is 7-bit weights in all layers
(``reduce_range``). It is enough that no two weights that are multiplied together are too large in
sum; large weights mostly have small neighbours, so the scales of a channel grow by 1.3 in the
median instead of by 2 everywhere, and only where they must.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from faceparts.train._int8_convs import Floats, Values, quantised_convs

LARGEST = 127
"""Largest weight."""
LARGEST_PAIR = 128
"""Largest sum of two weights of one sign: 255 * 128 is less than 2 ** 15."""


def limit_pairs(quantised: onnx.ModelProto, original: onnx.ModelProto) -> int:
    """Round the weights of a QDQ graph anew so that no pair overflows, in place.

    Call it before anything that depends on the rounded weights. Convolutions of one channel a
    group are left alone: onnxruntime works those out in 16 and 32 bits.

    Args:
        quantised: made from ``original`` by onnxruntime's static quantisation; node names agree.
        original: the float32 graph.

    Returns:
        How many output channels got a larger scale.
    """
    values = Values(quantised)
    grown = 0
    for conv in quantised_convs(quantised, original):
        if conv.wanted.shape[1] == 1:
            continue
        old = values[conv.weights_scale]
        too_large = overflow(values[conv.weights].astype(np.float32))
        scale = np.where(too_large, np.maximum(old, pair_scale(conv.wanted)), old)
        steps = np.rint(conv.wanted / scale.reshape(-1, 1, 1, 1)).clip(-LARGEST, LARGEST)
        values[conv.weights] = steps.astype(np.int8)
        values[conv.weights_scale] = scale.astype(np.float32)
        if conv.bias:
            bias = values[conv.bias] * values[conv.bias_scale].astype(np.float64)
            values[conv.bias] = np.rint(bias / (conv.scale * scale)).astype(np.int32)
            values[conv.bias_scale] = (conv.scale * scale).astype(np.float32)
        grown += int(too_large.sum())
    return grown


def overflow(steps: Floats) -> NDArray[np.bool_]:
    """(O,) whether any pair of (O, I, h, w) int8 weights is too large in sum."""
    return np.asarray((_same_sign_sums(steps) > LARGEST_PAIR).any(axis=1))


def pair_scale(weights: Floats) -> Floats:
    """(O,) least scales at which no pair of (O, I, h, w) weights overflows.

    Half a step of rounding each is allowed for. A channel without weights gets 0.

    Example:
        >>> import numpy as np
        >>> pair_scale(np.float32([100, 100, -50, 127]).reshape(1, 4, 1, 1)) * 127
        array([200.], dtype=float32)
    """
    largest = _same_sign_sums(weights).max(axis=1, initial=0)
    return np.asarray(largest / (LARGEST_PAIR - 1), np.float32)


def _same_sign_sums(weights: Floats) -> Floats:
    """(O, P) sums of the sizes of two weights; 0 where the signs differ and the products too."""
    both = pairs(weights)
    one_sign = np.sign(both).prod(axis=2) > 0
    return np.where(one_sign, np.abs(both).sum(axis=2), np.float32(0))


def pairs(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """(O, P, 2): which of (O, I, h, w) weights are multiplied together.

    Neighbours in the order in which onnxruntime multiplies: pixel by pixel, in each all channels.
    With an odd number of channels it depends on the kernel's row who is whose neighbour, and the
    first convolution is regrouped besides (`_int8_graph.widen_stem`): there all neighbours count.
    """
    count = weights.shape[1]
    row = weights.transpose(0, 2, 3, 1).reshape(len(weights), -1)
    step = 1 if count % 2 else 2
    return np.stack([row[:, :-1:step], row[:, 1::step]], axis=2)
