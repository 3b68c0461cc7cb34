"""Pairs of int8 weights whose products would not fit into 16 bits, as vpmaddubsw adds them."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import helper

from faceparts import weights
from faceparts.train._int8_sums import LARGEST_PAIR, limit_pairs, overflow, pair_scale, pairs
from int8_world import SIDE, quantise, two_layers, values_of

INT16 = 2**15 - 1


def slow_pairs(row: list[float], channels: int) -> list[tuple[float, float]]:
    """Who is added to whom among the weights of one output, in the order of multiplication."""
    if channels % 2 == 0:
        return [(row[i], row[i + 1]) for i in range(0, len(row), 2)]
    return list(itertools.pairwise(row))


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 3), st.integers(1, 3)).flatmap(
        lambda shape: arrays.arrays(np.float32, shape, elements=st.floats(-4, 4, width=16))
    )
)
def test_at_the_scale_no_pair_overflows(kernel: np.ndarray) -> None:
    outputs, channels = kernel.shape[:2]
    least = pair_scale(kernel)
    scale = np.maximum(least, np.abs(kernel).max(axis=(1, 2, 3)) / 127)
    for o in range(outputs):
        row = kernel[o].transpose(1, 2, 0).ravel().tolist()
        assert pairs(kernel)[o].tolist() == [list(p) for p in slow_pairs(row, channels)]
        steps = np.rint(np.array(row) / (scale[o] or 1)).clip(-127, 127).tolist()
        for a, b in slow_pairs(steps, channels):
            # Any two bytes as inputs: the products' sum is largest or least at 0 or 255 each.
            assert max(255 * max(a, 0) + 255 * max(b, 0), 0) <= INT16
            assert min(255 * min(a, 0) + 255 * min(b, 0), 0) >= -INT16 - 1


def test_the_limit_is_not_lower_than_it_must_be() -> None:
    assert 255 * LARGEST_PAIR <= INT16 < 255 * (LARGEST_PAIR + 1)
    apart = np.float32([127, -127, 3, 4]).reshape(1, 4, 1, 1)  # signs differ; neighbours are small
    assert pair_scale(apart)[0] < 1
    assert pair_scale(np.zeros((2, 4, 1, 1), np.float32)).tolist() == [0, 0]
    assert pairs(np.zeros((2, 1, 1, 1), np.float32)).shape == (2, 0, 2)
    rows = np.float32([[100, 28, 0, 0], [0, 100, 29, 0], [0, 0, 100, 29], [100, -127, -1, -127]])
    assert overflow(rows.reshape(4, 4, 1, 1)).tolist() == [False, False, True, False]
    assert overflow(rows[1].reshape(1, 1, 1, 4)).tolist() == [True]  # one channel: all neighbours


def made(tmp_path: Path, low: float) -> tuple[onnx.ModelProto, onnx.ModelProto, np.ndarray]:
    """A net whose weights lie between ``low`` and 1, on bright pictures."""
    rng = np.random.default_rng(1)
    picture = rng.uniform(0.9, 1, (2, 3, SIDE, SIDE)).astype(np.float32)
    original = two_layers(
        {
            "w1": rng.uniform(low, 1, (4, 3, 1, 1)).astype(np.float32),
            "b1": rng.normal(0, 0.3, 4).astype(np.float32),
            "w2": rng.uniform(low, 1, (4, 2, 3, 3)).astype(np.float32),
            "b2": rng.normal(0, 0.3, 4).astype(np.float32),
        }
    )
    return quantise(original, [picture], tmp_path), original, picture


def test_weights_and_biases_mean_the_same_in_larger_steps(tmp_path: Path) -> None:
    quantised, original, _ = made(tmp_path, 0.5)
    before, wanted = values_of(quantised), values_of(original)
    assert limit_pairs(quantised, original) == 8  # every output of both
    after = values_of(quantised)
    for w, b in (("w1", "b1"), ("w2", "b2")):
        scale = after[f"{w}_scale"]
        assert (scale > before[f"{w}_scale"]).all()
        steps = after[f"{w}_quantized"].astype(np.float32)
        error = np.abs(steps * scale.reshape(-1, 1, 1, 1) - wanted[w])
        assert (error <= 0.501 * scale.reshape(-1, 1, 1, 1)).all()
        assert not overflow(steps).any()
        bias = after[f"{b}_quantized"] * after[f"{b}_quantized_scale"]
        np.testing.assert_allclose(bias, wanted[b], atol=float(after[f"{b}_quantized_scale"].max()))


def test_what_comes_out_is_what_was_meant_on_every_processor(tmp_path: Path) -> None:
    """Where vpmaddubsw is used the first assertion would fail for the graph before."""
    quantised, original, picture = made(tmp_path, 0.5)
    limit_pairs(quantised, original)
    session = onnxruntime.InferenceSession(quantised.SerializeToString())
    exact = onnxruntime.InferenceSession(original.SerializeToString())
    got, wanted = (s.run(None, {"image": picture})[0] for s in (session, exact))
    assert np.abs(got - wanted).max() < 0.02 * np.abs(wanted).max()


def test_weights_that_fit_stay_to_the_bit(tmp_path: Path) -> None:
    quantised, original, _ = made(tmp_path, 0.5)
    for tensor in original.graph.initializer:
        if tensor.name.startswith("w"):  # a large weight beside small ones only
            small = np.full(tuple(tensor.dims), 0.001, np.float32)
            small[:, 0] = 0.002
            small.reshape(len(small), -1)[:, 0] = 1
            tensor.CopyFrom(onnx.numpy_helper.from_array(small, tensor.name))
    quantised = quantise(original, [np.ones((1, 3, SIDE, SIDE), np.float32)], tmp_path)
    before = values_of(quantised)
    assert limit_pairs(quantised, original) == 0
    after = values_of(quantised)
    for name in ("w1_quantized", "w2_quantized", "w1_scale", "w2_scale"):
        assert np.array_equal(after[name], before[name])


def test_one_channel_a_group_is_left_alone(tmp_path: Path) -> None:
    picture = np.ones((1, 3, SIDE, SIDE), np.float32)
    kernel = np.ones((3, 1, 3, 3), np.float32)
    node = helper.make_node("Conv", ["image", "w", "b"], ["out"], "only", group=3)
    image = helper.make_tensor_value_info("image", 1, ["n", 3, SIDE, SIDE])
    out = helper.make_tensor_value_info("out", 1, ["n", 3, SIDE - 2, SIDE - 2])
    values = [("w", kernel), ("b", np.zeros(3, np.float32))]
    constants = [onnx.numpy_helper.from_array(array, name) for name, array in values]
    graph = helper.make_graph([node], "one", [image], [out], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    quantised = quantise(model, [picture], tmp_path)
    assert limit_pairs(quantised, model) == 0
    assert values_of(quantised)["w_quantized"].max() == 127
    got = onnxruntime.InferenceSession(quantised.SerializeToString()).run(None, {"image": picture})
    wanted = torch.nn.functional.conv2d(torch.ones(1, 3, 4, 4), torch.from_numpy(kernel), groups=3)
    assert got[0][0, 0, 0, 0] == pytest.approx(float(wanted[0, 0, 0, 0]), rel=0.01)


@pytest.mark.parametrize("name", ["headnet", "partnet"])
def test_no_pair_of_a_shipped_net_overflows(name: str) -> None:
    model = onnx.load(weights.find(name, precision="int8"))
    values = values_of(model)
    made_by = {n.output[0]: n for n in model.graph.node}
    checked = 0
    for node in model.graph.node:
        reader = made_by.get(node.input[1]) if node.op_type == "Conv" else None
        if reader is None or reader.op_type != "DequantizeLinear":
            continue
        steps = values[reader.input[0]].astype(np.float32)
        if steps.shape[1] == 1:
            continue
        assert not overflow(steps).any(), node.name
        checked += 1
    assert checked > 20
