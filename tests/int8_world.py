"""Small nets before and after onnxruntime's static quantisation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

SIDE = 24


class Reader(CalibrationDataReader):
    """Batches of pictures to measure ranges with."""

    def __init__(self, batches: list[np.ndarray]) -> None:
        self.rows = iter([{"image": batch} for batch in batches])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.rows, None)


def two_layers(arrays: dict[str, np.ndarray]) -> onnx.ModelProto:
    """1 x 1 over three channels, ReLU, then 3 x 3 within each of two groups.

    Args:
        arrays: "w1" (4, 3, 1, 1), "b1" (4,), "w2" (4, 2, 3, 3), "b2" (4,).
    """
    nodes = [
        helper.make_node("Conv", ["image", "w1", "b1"], ["a"], "first"),
        helper.make_node("Relu", ["a"], ["r"], "relu"),
        helper.make_node("Conv", ["r", "w2", "b2"], ["out"], "second", group=2),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 4, SIDE - 2, SIDE - 2])
    weights = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "two", [image], [out], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def quantise(original: onnx.ModelProto, batches: list[np.ndarray], folder: Path) -> onnx.ModelProto:
    """What `faceparts.train.export.quantize` gets from onnxruntime."""
    onnx.save(original, folder / "a.onnx")
    quantize_static(
        str(folder / "a.onnx"),
        str(folder / "b.onnx"),
        Reader(batches),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return onnx.load(folder / "b.onnx")


def values_of(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The constants of a graph by name."""
    return {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
