"""Tiny TFLite files: one 1 x 1 convolution over the colours, and the winner's id if wanted."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from faceparts.types import ModelCard


def write_tflite(
    path: Path, kernel: np.ndarray, card: ModelCard, *, ids: bool = False, **beside: object
) -> Path:
    """A file that maps (1, S, S, 3) to (1, S, S, K) logits ``rgb @ kernel.T``, or to (1, S, S) ids.

    Args:
        path: ``NAME.tflite``; the card goes beside it as ``NAME.json``, with what else is given.
        kernel: (K, 3) float32.
        card: says the size.
        ids: put out the winner's id, as int64.
    """
    size, count = card.input_px, len(kernel)
    model = schema.ModelT()
    model.version = 3
    model.buffers = [_buffer(b"")]
    net = schema.SubGraphT()
    net.tensors = []

    def tensor(name: str, shape: list[int], kind: int, data: bytes = b"") -> int:
        made = schema.TensorT()
        made.name, made.shape, made.type = name, shape, kind
        made.buffer = len(model.buffers) if data else 0
        if data:
            model.buffers.append(_buffer(data))
        net.tensors.append(made)
        return len(net.tensors) - 1

    kinds = schema.TensorType
    image = tensor("image", [1, size, size, 3], kinds.FLOAT32)
    weights = tensor("kernel", [count, 1, 1, 3], kinds.FLOAT32, kernel.astype("<f4").tobytes())
    bias = tensor("bias", [count], kinds.FLOAT32, np.zeros(count, "<f4").tobytes())
    logits = tensor("logits", [1, size, size, count], kinds.FLOAT32)
    conv = schema.Conv2DOptionsT()
    conv.padding, conv.strideW, conv.strideH = schema.Padding.VALID, 1, 1
    conv.dilationWFactor = conv.dilationHFactor = 1
    model.operatorCodes = [_code(schema.BuiltinOperator.CONV_2D)]
    options = schema.BuiltinOptions
    net.operators = [_operator(0, [image, weights, bias], logits, options.Conv2DOptions, conv)]
    net.inputs, net.outputs = [image], [logits]
    if ids:
        axis = tensor("axis", [1], kinds.INT32, np.array([3], "<i4").tobytes())
        winner = tensor("winner", [1, size, size], kinds.INT64)
        argmax = schema.ArgMaxOptionsT()
        argmax.outputType = kinds.INT64
        model.operatorCodes.append(_code(schema.BuiltinOperator.ARG_MAX))
        net.operators.append(_operator(1, [logits, axis], winner, options.ArgMaxOptions, argmax))
        net.outputs = [winner]
    model.subgraphs = [net]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    path.with_suffix(".json").write_text(json.dumps({**asdict(card), **beside}))
    return path


def _buffer(data: bytes) -> schema.BufferT:
    made = schema.BufferT()
    made.data = list(data)
    return made


def _code(builtin: int) -> schema.OperatorCodeT:
    made = schema.OperatorCodeT()
    made.builtinCode, made.deprecatedBuiltinCode, made.version = builtin, builtin, 1
    return made


def _operator(
    code: int, inputs: list[int], output: int, kind: int, options: object
) -> schema.OperatorT:
    made = schema.OperatorT()
    made.opcodeIndex, made.inputs, made.outputs = code, inputs, [output]
    made.builtinOptionsType, made.builtinOptions = kind, options
    return made
