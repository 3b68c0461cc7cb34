"""Tiny nets for the tests: they see colours, so that what they must find is known exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, settings
from onnx import TensorProto, helper, numpy_helper

import cli_world
from faceparts import cards, labels
from faceparts.types import POINTS, ModelCard

settings.register_profile(
    "faceparts", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # how long an example takes tells how busy the machine is, not whether the code is right
settings.load_profile("faceparts")

GREY = (127, 127, 127)
PARSER_CARD = ModelCard(
    name="tinyparser",
    task="segment",
    label_set="lfw3",
    input_px=32,
    mean=(120.0, 110.0, 100.0),
    std=(60.0, 50.0, 40.0),
    margin=0.25,
    trained_on=("EasyPortrait",),
    license="Apache-2.0",
    data_license="none",
    commercial_ok=True,
    metrics={"f1": 1.0},
    output="logits",
)
HEAD_CARD = replace(
    PARSER_CARD, name="tinyheads", task="detect", label_set="", input_px=0, threshold=0.3
)


def save_net(
    path: Path,
    card: ModelCard | None,
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    inputs: dict[str, list[Any]],
    outputs: dict[str, list[Any]],
) -> Path:
    """Write an ONNX file of float32 inputs and outputs."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in inputs.items()],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in outputs.items()],
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    if card is not None:
        helper.set_model_props(model, {cards.KEY: cards.to_json(card)})
    onnx.save(model, str(path))
    return path


def save_parser(
    path: Path,
    card: ModelCard = PARSER_CARD,
    *,
    shrink: int = 1,
    parts: int | None = None,
    batch: Any = "n",
    input_px: Any = None,
    sharpness: float = 4.0,
) -> Path:
    """A parser that gives every pixel the part whose colour is nearest; background is grey 127.

    Args:
        shrink: the output is this much smaller than the input.
        parts: number of parts put out, if not as many as the label set has.
    """
    colors = np.array((GREY, *labels.get(card.label_set).colors[1:]), np.float64)[:parts]
    if parts and parts > len(colors):
        colors = np.resize(colors, (parts, 3))
    seen = (colors - card.mean) / card.std
    constants = {
        "w": 2 * sharpness * seen[..., None, None],
        "b": -sharpness * (seen**2).sum(axis=1),
    }
    last = "y" if card.output == "logits" else "z"
    nodes = [
        helper.make_node(
            "AveragePool", ["x"], ["p"], kernel_shape=[shrink] * 2, strides=[shrink] * 2
        ),
        helper.make_node("Conv", ["p", "w", "b"], [last]),
    ]
    if last == "z":
        nodes.append(helper.make_node("Softmax", ["z"], ["y"], axis=1))
    side = card.input_px if input_px is None else input_px
    out = side // shrink if isinstance(side, int) else None
    return save_net(
        path,
        card,
        nodes,
        constants,
        {"x": [batch, 3, side, side]},
        {"y": [batch, len(colors), out, out]},
    )


def save_heads(
    path: Path, card: ModelCard = HEAD_CARD, *, batch: Any = "n", **changed: list[Any]
) -> Path:
    """A head detector that sees pure red disks of 10 to 100 px, at least 80 px apart, on grey.

    The box is the square around the disk; of the points only the nose is seen, in the middle.

    Args:
        changed: declared shape of an output, in place of the right one.
    """
    std, mean = np.array(card.std), np.array(card.mean)
    red = np.array([1.0, -0.5, -0.5]) / 255
    cells = np.arange(-8, 9)
    bump = np.exp(-(cells**2) / 32.0)
    bump = np.outer(bump, bump) / bump.sum() ** 2
    visible = np.zeros(3 * len(POINTS))
    visible[2::3] = 0.1
    visible[3 * POINTS.index("nose") + 2] = 0.9
    constants = {
        "red_w": (red * std).reshape(1, 3, 1, 1),
        "red_b": np.array([red @ mean]),
        "bump": bump[None, None],
        "soft": np.array([0.1]),
        "area_w": np.full((1, 1, 33, 33), 16 / np.pi),
        "four": np.ones((4, 1, 1, 1)),
        "none": np.zeros((21, 1, 1, 1)),
        "visible": visible,
    }
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "red_w", "red_b"], ["raw"]),
        node("Relu", ["raw"], ["red"]),
        node("AveragePool", ["red"], ["cells"], kernel_shape=[4, 4], strides=[4, 4]),
        node("Conv", ["cells", "bump"], ["blurred"], pads=[8] * 4),
        node("Add", ["blurred", "soft"], ["limit"]),
        node("Div", ["blurred", "limit"], ["heat"]),
        node("Conv", ["cells", "area_w"], ["area"], pads=[16] * 4),
        node("Sqrt", ["area"], ["radius"]),
        node("Conv", ["radius", "four"], ["box"]),
        node("Conv", ["cells", "none", "visible"], ["points"]),
    ]
    outputs: dict[str, list[Any]] = {
        "heat": [batch, 1, "h4", "w4"],
        "box": [batch, 4, "h4", "w4"],
        "points": [batch, 21, "h4", "w4"],
    }
    outputs = {k: v for k, v in (outputs | changed).items() if v}
    return save_net(path, card, nodes, constants, {"x": [batch, 3, "h", "w"]}, outputs)


def draw_disks(
    source_hw: tuple[int, int], disks: list[tuple[float, float, float]], rgb: Any = (255, 0, 0)
) -> np.ndarray:
    """Disks (middle x, middle y, radius in pixels, edge coordinates) on grey."""
    image = np.full((*source_hw, 3), 127, np.uint8)
    y, x = np.mgrid[: source_hw[0], : source_hw[1]] + 0.5
    for cx, cy, radius in disks:
        image[(x - cx) ** 2 + (y - cy) ** 2 <= radius**2] = rgb
    return image


@pytest.fixture(scope="session")
def parser_card() -> ModelCard:
    """Card of the tiny parser: lfw3, 32 px, logits."""
    return PARSER_CARD


@pytest.fixture(scope="session")
def head_card() -> ModelCard:
    """Card of the tiny head detector: threshold 0.3."""
    return HEAD_CARD


@pytest.fixture(scope="session")
def make_net() -> Callable[..., Path]:
    """`save_net`."""
    return save_net


@pytest.fixture(scope="session")
def make_parser() -> Callable[..., Path]:
    """`save_parser`."""
    return save_parser


@pytest.fixture(scope="session")
def make_heads() -> Callable[..., Path]:
    """`save_heads`."""
    return save_heads


@pytest.fixture(scope="session")
def disks() -> Callable[..., np.ndarray]:
    """`draw_disks`."""
    return draw_disks


@pytest.fixture(scope="session")
def parser_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny parser as a file."""
    return save_parser(tmp_path_factory.mktemp("nets") / "parser.onnx")


@pytest.fixture(scope="session")
def heads_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny head detector as a file."""
    return save_heads(tmp_path_factory.mktemp("nets") / "heads.onnx")


@pytest.fixture(scope="session")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The parser of the command line's tests: it knows colours, see `cli_world`."""
    return cli_world.make_net(tmp_path_factory.mktemp("net") / "colours.onnx")
