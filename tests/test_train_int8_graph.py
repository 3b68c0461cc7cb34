"""Quantised graphs after their rewriting put out bit by bit what they put out before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from torch import nn
from torch.nn import functional

from faceparts import weights
from faceparts.train import _int8_graph, export
from faceparts.train._int8_graph import Graph, speed_up, widen
from faceparts.train.config import CardText, Phase
from faceparts.train.nets import headnet, partnet
from train_world import HEADS, PARTS, one_thread

SIDE = 64
CARD = CardText(license="Apache-2.0", trained_on=("noise",))
Change = Callable[[onnx.ModelProto], object]


@pytest.fixture(autouse=True, scope="module")
def calm() -> Iterator[None]:
    with one_thread():
        yield


def noise(count: int, h: int = SIDE, w: int = SIDE) -> np.ndarray:
    return np.random.default_rng(h + w).uniform(-1, 1, (count, 3, h, w)).astype(np.float32)


def quantized(net: nn.Module, task: str, path: Path, size_px: int = SIDE) -> onnx.ModelProto:
    """What the quantiser writes, without a rewrite."""
    recipe = replace({"parts": PARTS, "heads": HEADS}[task], card=CARD)
    recipe = replace(recipe, phases=(Phase(1.0, size_px, 2),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "speed_up", lambda model, **_: None)
        export.quantize(net.eval(), recipe, path, [noise(2, size_px, size_px)])
    return onnx.load(path)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, onnx.ModelProto]:
    """Both small nets with random weights."""
    torch.manual_seed(5)
    nets = {
        "parts": partnet.PartNet(19, (16, 16, 16, 24, 24), (1, 0, 1, 0)),
        "heads": headnet.HeadNet((16, 16, 16, 24, 24, 24), (0, 1, 0, 0, 0)),
    }
    root = tmp_path_factory.mktemp("plain")
    for net in nets.values():
        for value in net.parameters():
            value.data += 0.1 * torch.randn(value.shape)
    return {task: quantized(net, task, root / f"{task}.onnx") for task, net in nets.items()}


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def input_steps(model: onnx.ModelProto) -> tuple[float, int]:
    """Scale and zero point of the picture."""
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    return float(values["image_scale"]), int(values["image_zero_point"])


def faster(model: onnx.ModelProto, *, pyramid: bool = False) -> onnx.ModelProto:
    """All rewrites, with a normalisation whose rounding gives every byte back."""
    fast = copy_of(model)
    scale, zero = input_steps(model)
    speed_up(fast, mean=zero, std=1 / scale, pyramid=pyramid)
    return fast


def picture(model: onnx.ModelProto, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    """Random bytes (N, H, W, 3), and what such a normalisation makes of them."""
    scale, zero = input_steps(model)
    pixels = np.random.default_rng(6).integers(0, 256, (*shape, 3)).astype(np.uint8)
    levels = (pixels.transpose(0, 3, 1, 2).astype(np.float32) - zero) * np.float32(scale)
    return pixels, np.ascontiguousarray(levels)


def outputs(model: onnx.ModelProto, path: Path, x: np.ndarray) -> list[np.ndarray]:
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    return weights.session(path, threads=1).run(None, {"image": x})


def kernels(model: onnx.ModelProto) -> list[list[int]]:
    convs = [n for n in model.graph.node if n.op_type == "Conv"]
    return [list(a.ints) for n in convs for a in n.attribute if a.name == "kernel_shape"]


def kinds(model: onnx.ModelProto) -> list[str]:
    return [n.op_type for n in model.graph.node]


def test_the_parser_puts_out_the_same(plain: dict[str, onnx.ModelProto], tmp_path: Path) -> None:
    fast = faster(plain["parts"])
    assert kernels(plain["parts"])[0] == [3, 3]
    assert kernels(fast)[0] == [3, 2]
    assert kernels(fast)[1:] == kernels(plain["parts"])[1:]
    for count in (1, 3):
        pixels, x = picture(plain["parts"], count, SIDE, SIDE)
        (was,) = outputs(plain["parts"], tmp_path / "plain.onnx", x)
        (now,) = outputs(fast, tmp_path / "fast.onnx", pixels)
        assert now.shape == (count, 19, SIDE, SIDE)
        assert np.ptp(now) > 0.1
        assert np.array_equal(now, was)


@pytest.mark.parametrize(
    "hw", [(64, 64), (64, 192), (96, 160), (32, 32), (480, 96)], ids=lambda hw: f"{hw[1]}x{hw[0]}"
)
def test_the_detector_puts_out_the_same(
    plain: dict[str, onnx.ModelProto], tmp_path: Path, hw: tuple[int, int]
) -> None:
    """480 at step 64 is 8, at step 32 15: doubling is cut there."""
    fast = faster(plain["heads"], pyramid=True)
    assert kinds(plain["heads"]).count("Resize") == 4
    assert "Resize" not in kinds(fast)
    assert kernels(fast)[0] == [3, 2]
    pixels, x = picture(plain["heads"], 2, *hw)
    was = outputs(plain["heads"], tmp_path / "plain.onnx", x)
    now = outputs(fast, tmp_path / "fast.onnx", pixels)
    assert len(now) == 3
    assert all(np.ptp(a) > 0 and np.array_equal(a, b) for a, b in zip(now, was, strict=True))


def test_only_a_pyramid_is_enlarged_by_copies(plain: dict[str, onnx.ModelProto]) -> None:
    other = faster(plain["heads"])
    assert kinds(other).count("Resize") == 4
    bilinear = faster(plain["parts"], pyramid=True)
    assert kinds(bilinear).count("Resize") == kinds(plain["parts"]).count("Resize") == 4


def test_nothing_is_left_that_nothing_reads(plain: dict[str, onnx.ModelProto]) -> None:
    fast = faster(plain["heads"], pyramid=True)
    read = {name for n in fast.graph.node for name in n.input} | {"heat", "box", "points"}
    written = {name for n in fast.graph.node for name in n.output}
    assert written <= read
    assert {t.name for t in fast.graph.initializer} <= read
    assert fast.metadata_props == plain["heads"].metadata_props


# --- graphs that a rewrite does not fit -----------------------------------------------------------


def rounding(model: onnx.ModelProto) -> None:
    """Enlarge by another rule."""
    for node in model.graph.node:
        for option in node.attribute:
            if option.name == "nearest_mode":
                option.s = b"ceil"


def other_scale(model: onnx.ModelProto) -> None:
    """Quantise enlarged maps by a scale of their own."""
    resized = {n.output[0] for n in model.graph.node if n.op_type == "Resize"}
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.5), "own"))
    for node in model.graph.node:
        if node.input[0] in resized:
            node.input[1] = "own"


def used_twice(model: onnx.ModelProto) -> None:
    """Put enlarged maps out too."""
    for node in [n for n in model.graph.node if n.op_type == "Resize"]:
        model.graph.node.append(helper.make_node("Relu", [node.output[0]], [node.name + "/more"]))


def not_added(model: onnx.ModelProto) -> None:
    """Multiply where maps were added."""
    for node in model.graph.node:
        if node.op_type == "Add":
            node.op_type = "Mul"


def float_skip(model: onnx.ModelProto) -> None:
    """Add to a map that is not quantised."""
    add = [n for n in model.graph.node if n.op_type == "Add"]
    resized = {n.output[0] for n in model.graph.node if n.op_type == "Resize"}
    quantised = {n.output[0] for n in model.graph.node if n.input[0] in resized}
    enlarged = {n.output[0] for n in model.graph.node if n.input[0] in quantised}
    for node in add:
        for i, name in enumerate(node.input):
            if name not in enlarged and enlarged.intersection(node.input):
                place = list(model.graph.node).index(node)
                model.graph.node.insert(place, helper.make_node("Relu", [name], [name + "/f"]))
                node.input[i] = name + "/f"


@pytest.mark.parametrize("change", [rounding, other_scale, used_twice, not_added, float_skip])
def test_enlargements_of_other_kinds_stay(
    plain: dict[str, onnx.ModelProto], change: Change
) -> None:
    model = copy_of(plain["heads"])
    change(model)
    _int8_graph.enlarge_by_copies(model)
    assert kinds(model).count("Resize") == 4


class Tiny(nn.Module):
    """One convolution of the picture, options open, and one more."""

    def __init__(self, bias: bool = True, **options: int) -> None:
        super().__init__()
        torch.manual_seed(4)
        how = {"kernel_size": 3, "stride": 2, "padding": 1, **options}
        self.first = nn.Conv2d(3, 9, bias=bias, **how)
        self.last = nn.Conv2d(9, 19, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.last(torch.relu(self.first(x)))
        return logits


class TwoReaders(Tiny):
    """The picture is read twice."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + x.mean(dim=(1, 2, 3), keepdim=True)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("size_px", [4, 36])
def test_a_first_convolution_with_and_without_bias(
    tmp_path: Path, size_px: int, bias: bool
) -> None:
    model = quantized(Tiny(bias=bias), "parts", tmp_path / "a.onnx", size_px)
    fast = faster(model)
    assert (kernels(model)[0], kernels(fast)[0]) == ([3, 3], [3, 2])
    pixels, x = picture(model, 2, size_px, size_px)
    (was,) = outputs(model, tmp_path / "b.onnx", x)
    (now,) = outputs(fast, tmp_path / "b.onnx", pixels if bias else x)
    assert was.shape == (2, 19, size_px // 2, size_px // 2)
    assert np.array_equal(was, now)


@pytest.mark.parametrize(
    ("net", "size_px"),
    [
        (Tiny(), 34),
        (Tiny(stride=1), 32),
        (Tiny(padding=0), 32),
        (Tiny(padding=2, dilation=2), 32),
        (Tiny(kernel_size=5, padding=1), 32),
        (Tiny(groups=3), 32),
        (TwoReaders(), 32),
    ],
    ids=["width", "step", "border", "dilation", "kernel", "groups", "readers"],
)
def test_other_first_convolutions_stay(tmp_path: Path, net: nn.Module, size_px: int) -> None:
    model = quantized(net, "parts", tmp_path / "a.onnx", size_px)
    fast = faster(model)
    assert kernels(fast) == kernels(model)
    pixels, x = picture(model, 1, size_px, size_px)
    (was,) = outputs(model, tmp_path / "b.onnx", x)
    (now,) = outputs(fast, tmp_path / "b.onnx", x if isinstance(net, TwoReaders) else pixels)
    assert np.array_equal(was, now)


LEVELS = (np.arange(256, dtype=np.float32) - 127.5) / 127.5
"""What normalising makes of the 256 bytes."""


@pytest.fixture(scope="module")
def whole_range(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    """A small net whose picture is quantised from -1 to 1: half of the bytes become the next."""
    path = tmp_path_factory.mktemp("range") / "a.onnx"
    recipe = replace(PARTS, card=CARD, phases=(Phase(1.0, 32, 2),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "speed_up", lambda model, **_: None)
        export.quantize(Tiny().eval(), recipe, path, [np.clip(3 * noise(4, 32, 32), -1, 1)])
    return onnx.load(path)


def test_what_rounding_adds_goes_into_the_bias(
    whole_range: onnx.ModelProto, tmp_path: Path
) -> None:
    scale, zero = input_steps(whole_range)
    assert scale == pytest.approx(2 / 255) and zero == 128
    fast = copy_of(whole_range)
    assert _int8_graph.take_bytes(fast, mean=127.5, std=127.5)
    conv = next(n for n in whole_range.graph.node if n.op_type == "Conv")
    before, after = Graph(whole_range), Graph(fast)
    weight, bias = (before.writer[name].input[0] for name in conv.input[1:])
    moved = after.value(bias) - before.value(bias)
    sums = before.value(weight).astype(np.int64).sum(axis=(1, 2, 3))
    assert np.abs(sums).min() > 1
    assert np.array_equal(moved, np.rint(0.5 * sums))

    pixels = np.random.default_rng(8).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
    x = LEVELS[pixels].transpose(0, 3, 1, 2)
    exact = Tiny().eval()(torch.from_numpy(x)).softmax(dim=1).detach().numpy()
    (was,) = outputs(whole_range, tmp_path / "was.onnx", x)
    (now,) = outputs(fast, tmp_path / "now.onnx", pixels)
    assert np.abs(now - exact).mean() < 1.02 * np.abs(was - exact).mean() < 0.01
    assert np.abs(now - was).max() < 0.02


def other_normalisation(model: onnx.ModelProto) -> None:
    """Half of the range: every second byte would be lost."""
    for tensor in model.graph.initializer:
        if tensor.name == "image_scale":
            tensor.CopyFrom(numpy_helper.from_array(np.float32(2 / 127), "image_scale"))


def signed_picture(model: onnx.ModelProto) -> None:
    """Bytes below and above 0."""
    for tensor in model.graph.initializer:
        if tensor.name == "image_zero_point":
            tensor.CopyFrom(numpy_helper.from_array(np.int8(0), "image_zero_point"))


def no_bias(model: onnx.ModelProto) -> None:
    """The first convolution adds nothing."""
    del next(n for n in model.graph.node if n.op_type == "Conv").input[2]


def picture_again(model: onnx.ModelProto) -> None:
    """Something else reads the picture."""
    model.graph.node.append(helper.make_node("Relu", ["image"], ["image/more"]))


def pixels_again(model: onnx.ModelProto) -> None:
    """Something else reads the quantised picture."""
    quantise = next(n for n in model.graph.node if n.input[0] == "image")
    model.graph.node.append(helper.make_node("Identity", [quantise.output[0]], ["pixels/more"]))


@pytest.mark.parametrize(
    "change", [other_normalisation, signed_picture, no_bias, picture_again, pixels_again]
)
def test_pictures_of_other_kinds_stay_normalised(
    whole_range: onnx.ModelProto, change: Change
) -> None:
    model = copy_of(whole_range)
    change(model)
    was = model.SerializeToString()
    assert not _int8_graph.take_bytes(model, mean=127.5, std=127.5)
    assert model.SerializeToString() == was


def test_a_first_convolution_in_float_stays(tmp_path: Path) -> None:
    recipe = replace(PARTS, card=CARD, phases=(Phase(1.0, 32, 2),))
    path = tmp_path / "a.onnx"
    export.quantize(Tiny().eval(), recipe, path, [noise(1, 32, 32)], keep_float=("/first/Conv",))
    assert kernels(onnx.load(path))[0] == [3, 3]


# --- the arithmetic -------------------------------------------------------------------------------


def columns_to_channels(x: torch.Tensor, count: int) -> torch.Tensor:
    """(N, C, H, W) -> (N, count * C, H, W / count), channel last within."""
    n, c, h, w = x.shape
    grouped = x.reshape(n, c, h, w // count, count)
    return grouped.permute(0, 4, 1, 2, 3).reshape(n, count * c, h, w // count)


@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 4), st.integers(0, 99))
def test_two_neighbours_at_once(outputs: int, height: int, groups: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.integers(-9, 10, (outputs, 3, 3, 3)).astype(np.float32)
    x = torch.from_numpy(rng.integers(0, 9, (1, 3, height, 4 * groups)).astype(np.float32))
    wanted = functional.conv2d(x, torch.from_numpy(weight), stride=2, padding=1)
    padded = functional.pad(columns_to_channels(x, 4), (1, 0, 1, 1))
    got = functional.conv2d(padded, torch.from_numpy(widen(weight)), stride=(2, 1))
    assert torch.equal(got, columns_to_channels(wanted, 2))


@given(st.integers(1, 300), st.booleans())
def test_nearest_is_doubling_and_cutting(small: int, odd: bool) -> None:
    large = 2 * small - odd
    i = np.arange(large)
    assert np.array_equal(i * small // large, np.repeat(np.arange(small), 2)[:large])


def test_who_writes_and_reads() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Exp", ["a"], ["b"]),
        helper.make_node("Add", ["a", "two"], ["c"]),
    ]
    value = numpy_helper.from_array(np.array([1, 2]), "two")
    model = helper.make_model(helper.make_graph(nodes, "g", [], [], [value]))
    graph = Graph(model)
    assert graph.only_reader("x", "Relu") is graph.writer["a"]
    assert graph.only_reader("x", "Exp") is graph.only_reader("a", "Exp", "Add") is None
    assert graph.written_by("b", "Exp") is graph.writer["b"]
    assert graph.written_by("b", "Add") is graph.written_by("x", "Relu") is None
    two = graph.value("two")
    assert two is not None and two.tolist() == [1, 2]
    assert graph.value("a") is None
