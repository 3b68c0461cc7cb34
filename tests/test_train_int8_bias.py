"""Bias correction: after it an int8 net's outputs have the means of the float32 net's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from faceparts.train._int8_bias import _mean_outputs, correct_biases
from int8_world import SIDE, quantise, two_layers, values_of


def always_rounded_down(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Weights that lose 0.45 of a step each: 127 steps are the largest one of each output."""
    steps = rng.integers(-100, 100, shape).astype(np.float32) + 0.45
    steps.reshape(shape[0], -1)[:, 0] = 127
    return steps / 127


@pytest.fixture
def made(tmp_path: Path) -> tuple[onnx.ModelProto, onnx.ModelProto, list[np.ndarray]]:
    rng = np.random.default_rng(0)
    batches = [rng.uniform(0.2, 1, (3, 3, SIDE, SIDE)).astype(np.float32) for _ in range(2)]
    arrays = {
        "w1": always_rounded_down((4, 3, 1, 1), rng),
        "b1": rng.normal(0, 0.3, 4).astype(np.float32),
        "w2": always_rounded_down((4, 2, 3, 3), rng),
        "b2": rng.normal(0, 0.3, 4).astype(np.float32),
    }
    original = two_layers(arrays)
    return quantise(original, batches, tmp_path), original, batches


def mean_out(model: onnx.ModelProto, batches: list[np.ndarray]) -> np.ndarray:
    """Worked out as written: rounded to float32, not in bytes, which may overflow."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return np.mean([session.run(None, {"image": b})[0].mean(axis=(0, 2, 3)) for b in batches], 0)


def test_means_are_those_of_float32_again(made) -> None:
    quantised, original, batches = made
    wanted, before = mean_out(original, batches), mean_out(quantised, batches)
    assert correct_biases(quantised, original, batches) == 2
    after = mean_out(quantised, batches)
    assert np.abs(before - wanted).max() > 0.02  # what rounding down cost
    assert np.abs(after - wanted).max() < 0.15 * np.abs(before - wanted).max()


def biases_of(model: onnx.ModelProto) -> np.ndarray:
    values = values_of(model)
    return np.concatenate([values["b1_quantized"], values["b2_quantized"]])


def test_exact_weights_keep_their_biases(made) -> None:
    quantised, original, batches = made
    before = biases_of(quantised)
    correct_biases(quantised, original, batches)
    moved = np.abs(biases_of(quantised) - before)
    values = values_of(quantised)
    exact = onnx.ModelProto()
    exact.CopyFrom(original)
    for name in ("w1", "w2"):  # float32 weights that rounding changes nothing of
        scale, steps = (values[f"{name}{end}"] for end in ("_scale", "_quantized"))
        array = (steps * scale.reshape(-1, 1, 1, 1)).astype(np.float32)
        next(i for i in exact.graph.initializer if i.name == name).CopyFrom(
            numpy_helper.from_array(array, name)
        )
    before = biases_of(quantised)
    correct_biases(quantised, exact, batches)
    assert np.abs(biases_of(quantised) - before).max() < 0.1 * moved.max()


def test_a_layer_that_stays_float_is_left_alone(made) -> None:
    _, original, batches = made
    same = onnx.ModelProto()
    same.CopyFrom(original)
    assert correct_biases(same, original, batches) == 0
    assert same == original


def test_mean_outputs_are_those_of_a_convolution() -> None:
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(6, 2, 3, 3)).astype(np.float32)
    means = rng.normal(size=6).astype(np.float32)
    flat = torch.from_numpy(means).reshape(1, 6, 1, 1).expand(1, 6, 3, 3)
    wanted = torch.nn.functional.conv2d(flat, torch.from_numpy(weights), groups=3)
    assert _mean_outputs(weights, means) == pytest.approx(wanted.numpy().ravel(), abs=1e-4)
