"""A small world for tests of the command line: photos, a tiny net, and a way to call it.

The tiny net knows colours: red pixels are skin, blue ones hair, everything else background.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image as PillowImage

from faceparts import cards, labels
from faceparts.cli.main import main
from faceparts.types import ModelCard

SIDE_PX = 32
SOURCE = Path(__file__).parents[1] / "src"


@dataclass(frozen=True)
class Done:
    """What a call of the command line left behind."""

    code: int
    out: bytes
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def call(*arguments: object, stdin: bytes = b"") -> Done:
    """Run ``faceparts ...`` in this process."""
    raw, err = io.BytesIO(), io.StringIO()
    out = io.TextIOWrapper(raw, "utf-8")
    streams = {
        "argv": ["faceparts", *map(str, arguments)],
        "stdin": io.TextIOWrapper(io.BytesIO(stdin)),
        "stdout": out,
        "stderr": err,
    }
    with ExitStack() as patches:
        for name, value in streams.items():
            patches.enter_context(mock.patch.object(sys, name, value))
        with pytest.raises(SystemExit) as left:
            main()
        out.flush()
        return Done(int(left.value.code or 0), raw.getvalue(), err.getvalue())


def call_process(*arguments: object, stdin: bytes = b"", timeout_s: float = 120) -> Done:
    """Run ``faceparts ...`` as a real process, warnings being errors."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "-m", "faceparts", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        env=environment,
        timeout=timeout_s,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr.decode())


def make_card(**changes: Any) -> ModelCard:
    values: dict[str, Any] = {
        "name": "colours",
        "task": "segment",
        "label_set": "celeba19",
        "input_px": SIDE_PX,
        "mean": (0.0, 0.0, 0.0),
        "std": (255.0, 255.0, 255.0),
        "margin": 0.25,
        "trained_on": ("EasyPortrait",),
        "license": "Apache-2.0",
        "data_license": "none",
        "commercial_ok": True,
        "metrics": {"mean_f1": 0.5},
        "output": "logits",
    }
    return ModelCard(**values | changes)


def make_net(path: Path, card: ModelCard | None = None) -> Path:
    """Write the net that knows colours."""
    card = card or make_card()
    parts = labels.get(card.label_set).parts
    weight = np.zeros((len(parts), 3, 1, 1), np.float32)
    bias = np.full(len(parts), -60, np.float32)
    bias[0] = 0
    for part, channel in (("skin", 0), ("hair", 2)):
        weight[parts.index(part), :, 0, 0] = -40
        weight[parts.index(part), channel, 0, 0] = 40
        bias[parts.index(part)] = -15
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w", "b"], ["y"])],
        "colours",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, SIDE_PX, SIDE_PX])],
        [
            helper.make_tensor_value_info(
                "y", TensorProto.FLOAT, ["n", len(parts), SIDE_PX, SIDE_PX]
            )
        ],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    entry = model.metadata_props.add()
    entry.key, entry.value = cards.KEY, cards.to_json(card)
    onnx.save(model, str(path))
    return path


def make_photo(height: int = 48, width: int = 40) -> NDArray[np.uint8]:
    """A green picture with a red face under blue hair in its middle."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 1] = 200
    top, left = height // 4, width // 4
    image[top : 3 * top, left : 3 * left] = (250, 0, 0)
    image[top : top + top // 2, left : 3 * left] = (0, 0, 250)
    return image


def encode(image: NDArray[np.uint8], kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


def decode(data: bytes | Path) -> NDArray[np.uint8]:
    with PillowImage.open(io.BytesIO(data) if isinstance(data, bytes) else data) as picture:
        return np.asarray(picture)
