"""Opens a pose model's file: ONNX by onnxruntime, TFLite by LiteRT."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceparts import weights
from faceparts.detect._grouping import MissingExtra
from faceparts.errors import BadWeights, MissingWeights, UsageError

Shape = tuple[int | None, ...]
Outputs = Mapping[str, NDArray[np.float32]]

_ONNX_TYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(int32)": np.int32}


@dataclass(frozen=True, eq=False)
class Opened:
    """An opened pose model.

    Args:
        path: the file.
        dtype: of the only input: float32, uint8 or int32.
        input_shape: (N, 3, H, W) or (N, H, W, 3); ``None`` where any length is taken.
        output_shapes: the same for every output, by name, in the file's order.
        run: array -> outputs by name.
    """

    path: Path
    dtype: np.dtype[Any]
    input_shape: Shape
    output_shapes: dict[str, Shape]
    run: Callable[[NDArray[Any]], Outputs]

    @property
    def channels_last(self) -> bool:
        """Whether the input is (N, H, W, 3)."""
        return self.input_shape[3] == 3 and self.input_shape[1] != 3


def open_model(path: Path, *, threads: int | None = None, device: str = "cpu") -> Opened:
    """Open an ``.onnx`` or ``.tflite`` file.

    Raises:
        BadWeights: missing, too large, damaged, or not a net with one picture as its input.
        UsageError: a device that is not there.
        MissingExtra: a TFLite file without LiteRT; the message says how to install it.
    """
    if not path.is_file():
        raise MissingWeights(f"{path}: no such weights file; check the spelling")
    is_tflite = path.suffix.lower() == ".tflite"
    opened = (_open_tflite if is_tflite else _open_onnx)(path, threads, device)
    shape = opened.input_shape
    if len(shape) != 4 or 3 not in (shape[1], shape[3]):
        raise BadWeights(f"{path}: input is {shape}; wanted (N, 3, H, W) or (N, H, W, 3)")
    return opened


def _open_onnx(path: Path, threads: int | None, device: str) -> Opened:
    session = weights.session(path, threads=threads, device=device)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or inputs[0].type not in _ONNX_TYPES:
        got = ", ".join(f"{n.type} {n.shape}" for n in inputs)
        raise BadWeights(f"{path}: inputs are {got}; wanted one picture, float32, uint8 or int32")
    names = [node.name for node in outputs]

    def run(blob: NDArray[Any]) -> Outputs:
        try:
            arrays = session.run(names, {inputs[0].name: blob})
        except weights._ORT_ERRORS as error:
            reason = " ".join(str(error).split())[:200]
            raise BadWeights(f"{path}: cannot run on input {blob.shape}: {reason}") from None
        return {n: np.asarray(a, np.float32) for n, a in zip(names, arrays, strict=True)}

    shapes = {node.name: _shape(node.shape) for node in outputs}
    dtype = np.dtype(_ONNX_TYPES[inputs[0].type])
    return Opened(path, dtype, _shape(inputs[0].shape), shapes, run)


def _shape(values: Any) -> Shape:
    return tuple(n if isinstance(n, int) and n > 0 else None for n in values)


def _interpreter() -> Any:
    """LiteRT's class.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise MissingExtra(
            "a .tflite file needs LiteRT: pip install 'faceparts[keypoints]'"
        ) from error
    return Interpreter


def _open_tflite(path: Path, threads: int | None, device: str) -> Opened:
    if device == "cuda":
        raise UsageError(f"device 'cuda': {path.name} is a .tflite file, these run on 'cpu' only")
    kind = _interpreter()
    if path.stat().st_size > weights.MAX_FILE_BYTES:
        raise BadWeights(f"{path}: larger than {weights.MAX_FILE_BYTES} bytes")
    try:
        net = kind(
            model_content=path.read_bytes(), num_threads=threads or weights.available_cores()
        )
        net.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadWeights(f"{path}: not a usable TFLite file: {reason}") from None
    inputs, outputs = net.get_input_details(), net.get_output_details()
    if len(inputs) != 1 or inputs[0]["dtype"] not in (np.float32, np.uint8, np.int32):
        got = ", ".join(f"{np.dtype(i['dtype'])} {i['shape'].tolist()}" for i in inputs)
        raise BadWeights(f"{path}: inputs are {got}; wanted one picture, float32, uint8 or int32")

    def run(blob: NDArray[Any]) -> Outputs:
        net.set_tensor(inputs[0]["index"], blob)
        net.invoke()
        return {o["name"]: np.array(net.get_tensor(o["index"]), np.float32) for o in outputs}

    shapes = {o["name"]: _shape(o["shape"].tolist()) for o in outputs}
    return Opened(
        path, np.dtype(inputs[0]["dtype"]), _shape(inputs[0]["shape"].tolist()), shapes, run
    )
