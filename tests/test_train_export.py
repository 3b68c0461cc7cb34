"""Exported files: what onnxruntime runs is what was trained, and training can start from it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from faceparts import weights
from faceparts.errors import BadWeights
from faceparts.train import export, loop
from faceparts.train.config import CardText, Phase
from faceparts.train.inputs import MEAN, STD
from faceparts.train.nets import headnet, partnet
from faceparts.train.nets.headnet import HeadNetExport
from train_world import HEADS, PARTS, one_thread, write_world

SIDE = 64
CARD = CardText(margin=0.15, threshold=0.4, license="Apache-2.0", trained_on=("drawn faces",))
RECIPES = {
    "partnet": replace(PARTS, name="partnet", phases=(Phase(1.0, SIDE, 2),), card=CARD),
    "headnet": replace(HEADS, name="headnet", phases=(Phase(1.0, SIDE, 2),), card=CARD),
}
both = pytest.mark.parametrize("name", ["partnet", "headnet"])


@pytest.fixture(autouse=True, scope="module")
def calm() -> Iterator[None]:
    with one_thread():
        yield


def small_net(name: str, outputs: int | None = None) -> nn.Module:
    """A net of few values that a training has passed over: no value is as at the start."""
    torch.manual_seed(5)
    net: nn.Module
    if name == "partnet":
        net = partnet.PartNet(outputs or 19, (16, 16, 16, 24, 24), (1, 0, 1, 0))
    else:
        net = headnet.HeadNet((16, 16, 16, 24, 24, 24), (0, 1, 0, 0, 0))
    with torch.no_grad():
        for key, value in net.state_dict().items():
            if value.dtype.is_floating_point and not key.endswith("running_var"):
                value.add_(0.1 * torch.randn(value.shape))
        for _ in range(3):
            net(torch.randn(2, 3, SIDE, SIDE))
    return net.eval()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both small nets, exported once."""
    root = tmp_path_factory.mktemp("models")
    for name, recipe in RECIPES.items():
        export.export(small_net(name), recipe, root / f"{name}.onnx", {"f1": 0.5})
    return {name: root / f"{name}.onnx" for name in RECIPES}


def run(path: Path, x: np.ndarray) -> list[np.ndarray]:
    """What a file makes of normalised pictures, or of the nearest bytes if it takes those."""
    session = weights.session(path, threads=1)
    (taken,) = session.get_inputs()
    if taken.type == "tensor(uint8)":
        x = np.clip(np.rint(x * STD + MEAN), 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    return session.run(None, {"image": np.ascontiguousarray(x)})


def torch_outputs(name: str, net: nn.Module, x: np.ndarray) -> list[np.ndarray]:
    with torch.no_grad():
        if name == "partnet":
            return [net.eval()(torch.from_numpy(x)).softmax(dim=1).numpy()]
        got: Any = HeadNetExport(net).eval()(torch.from_numpy(x))
    return [g.numpy() for g in got]


def noise(count: int, h: int = SIDE, w: int = SIDE) -> np.ndarray:
    return np.random.default_rng(count).uniform(-1, 1, (count, 3, h, w)).astype(np.float32)


@both
def test_the_file_says_what_the_net_says(name: str, files: dict[str, Path]) -> None:
    net = small_net(name)
    with torch.no_grad():
        for weight in net.parameters():
            weight.zero_()
    assert export.load_initial(net, str(files[name])) == []
    for x in (noise(1), noise(3)):
        for got, wanted in zip(run(files[name], x), torch_outputs(name, net, x), strict=True):
            assert got.shape == wanted.shape
            np.testing.assert_allclose(got, wanted, atol=5e-4, rtol=1e-4)  # boxes are up to 100 px


@both
def test_half_precision_costs_little(name: str, files: dict[str, Path]) -> None:
    x = noise(2)
    for got, wanted in zip(
        run(files[name], x), torch_outputs(name, small_net(name), x), strict=True
    ):
        assert np.abs(got - wanted).max() < 0.01 * np.ptp(wanted)


def test_probabilities_sum_to_one(files: dict[str, Path]) -> None:
    (probs,) = run(files["partnet"], noise(2))
    assert probs.shape == (2, 19, SIDE, SIDE)
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-5)


class Maps(nn.Module):
    """Puts out what it is given, with or without a pixel shuffle at the end."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.pixel_shuffle(x, 2)

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_the_shuffle_is_written_out_right() -> None:
    one = torch.full((1, 8, 2, 2), -9.0)
    one[0, 4 + 2, 1, 0] = 9  # second part, lower left of four, of the second row's first pixel
    wanted = torch.zeros(4, 4)
    wanted[3, 0] = 1
    probs = export.PartsExport(Maps(), 2, 4)(one)
    torch.testing.assert_close(probs[0, 1] > 0.6, wanted > 0)
    for parts, count, half in ((1, 1, 2), (3, 2, 4), (19, 1, 3)):
        x = 5 * torch.randn(count, 4 * parts, half, half)
        got = export.PartsExport(Maps(), parts, 2 * half)(x)
        torch.testing.assert_close(got, Maps()(x).softmax(dim=1), rtol=1e-5, atol=1e-6)


class Halved(nn.Module):
    """Puts out what it is given, enlarged or not."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear")

    def coarse(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_enlarging_is_left_to_others() -> None:
    x = 5 * torch.randn(2, 3, 4, 4)
    got = export.PartsExport(Halved(), 3, 8)(x)
    torch.testing.assert_close(got, x.softmax(dim=1), rtol=1e-5, atol=1e-6)


def test_large_logits_stay_finite() -> None:
    x = torch.tensor([1e4, 1e4, -1e4]).reshape(1, 3, 1, 1)
    probs = export.PartsExport(nn.Identity(), 3, 1)(x).flatten()
    torch.testing.assert_close(probs, torch.tensor([0.5, 0.5, 0.0]), rtol=0, atol=1e-6)


class Plain(nn.Module):
    """A parser without a pixel shuffle, whose maps are half as large as its pictures."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.first = nn.Conv2d(3, 8, 3, 2, 1)
        self.last = nn.Conv2d(8, 19, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.last(torch.relu(self.first(x)))
        return logits


def test_nets_without_a_shuffle_are_exported(tmp_path: Path) -> None:
    net, recipe, x = Plain().eval(), RECIPES["partnet"], noise(3)
    export.export(net, recipe, tmp_path / "a.onnx")
    export.quantize(net, recipe, tmp_path / "a.int8.onnx", [noise(2), x])
    (wanted,) = torch_outputs("partnet", net, x)
    assert wanted.shape == (3, 19, SIDE // 2, SIDE // 2)
    for name, atol in (("a.onnx", 1e-3), ("a.int8.onnx", 0.02)):
        (got,) = run(tmp_path / name, x)
        np.testing.assert_allclose(got, wanted, atol=atol)
        np.testing.assert_allclose(got.sum(axis=1), 1, atol=1e-5)


def test_what_is_slow_is_not_in_the_file(files: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "partnet.int8.onnx"
    export.quantize(small_net("partnet"), RECIPES["partnet"], path, [noise(1)])
    for each in (files["partnet"], path):
        kinds = {n.op_type for n in onnx.load(each).graph.node}
        assert not kinds & {"DepthToSpace", "ReduceSum", "Softmax", "Shape"}
        assert {"Exp", "Div", "Conv", "Transpose"} <= kinds
    graph = onnx.load(path).graph
    (exp,) = (n for n in graph.node if n.op_type == "Exp")
    after = [n.op_type for n in graph.node][list(graph.node).index(exp) :]
    assert after == ["Exp", "Conv", "Div"]  # bytes before, float32 from here on


def test_boxes_and_points_are_not_rounded_to_bytes(tmp_path: Path) -> None:
    path, x = tmp_path / "headnet.int8.onnx", noise(2, 256, 256)
    export.quantize(small_net("headnet"), RECIPES["headnet"], path, [x])
    _, box, points = run(path, x)
    for values in (box[:, 0], points[:, 0]):
        assert np.unique(values).size > 1000
    nodes = list(onnx.load(path).graph.node)
    (last,) = (i for i, n in enumerate(nodes) if n.name.endswith("/out/Conv"))
    assert nodes[last].input[1] == "net.out.weight"
    assert not {n.op_type for n in nodes[last:]} & {"QuantizeLinear", "DequantizeLinear"}


def test_a_node_and_all_that_follow() -> None:
    nodes = [
        ("x/a", "x", "a"),
        ("/Exp", "a", "b"),
        ("c", "x", "c"),
        ("d", "b", "d"),
        ("e", "d", "e"),
    ]
    made = [onnx.helper.make_node("Relu", [i], [o], name=name) for name, i, o in nodes]
    model = onnx.helper.make_model(onnx.helper.make_graph(made, "g", [], []))
    assert export.names_from(model, "/Exp") == ["/Exp", "d", "e"]
    assert export.names_from(model, "/F") == []


def test_heads_take_any_multiple_of_64(files: dict[str, Path]) -> None:
    heat, box, points = run(files["headnet"], noise(1, 64, 192))
    assert heat.shape == (1, 1, 16, 48)
    assert box.shape == (1, 4, 16, 48)
    assert points.shape == (1, 21, 16, 48)
    assert 0 <= heat.min() <= heat.max() <= 1
    assert box.min() > 0


@both
def test_the_card_reads_back(name: str, files: dict[str, Path]) -> None:
    card = weights.read_card(files[name])
    assert card == export.make_card(RECIPES[name], {"f1": 0.5})
    parts = name == "partnet"
    assert (card.name, card.task) == (name, "segment" if parts else "detect")
    assert (card.label_set, card.input_px) == (("celeba19", SIDE) if parts else ("", 0))
    assert (card.margin, card.threshold, card.license) == (0.15, 0.4, "Apache-2.0")
    assert card.trained_on == ("drawn faces",)
    assert weights.open_net(files[name], card.task, threads=1).card == card


@both
def test_weights_keep_their_names_and_large_ones_are_halves(
    name: str, files: dict[str, Path]
) -> None:
    model = onnx.load(files[name])
    onnx.checker.check_model(model, full_check=True)
    stored = {t.name: t for t in model.graph.initializer}
    for key, value in small_net(name).state_dict().items():
        if key.endswith("num_batches_tracked"):
            continue
        half = value.numel() >= export.STORED_AS_HALF_FROM
        tensor = stored[f"net.{key}.half" if half else f"net.{key}"]
        assert tensor.data_type == (onnx.TensorProto.FLOAT16 if half else onnx.TensorProto.FLOAT)
        assert tuple(tensor.dims) == tuple(value.shape)


def test_the_net_stays_as_it_was(tmp_path: Path) -> None:
    net = small_net("partnet").to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    before = {k: v.clone() for k, v in net.state_dict().items()}
    export.export(net, RECIPES["partnet"], tmp_path / "new" / "a.onnx")
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.onnx"]
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert not net.training


def test_new_metrics_leave_the_weights(files: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "partnet.onnx"
    path.write_bytes(files["partnet"].read_bytes())
    card = export.update_metrics(path, {"mean_f1": 0.75})
    assert weights.read_card(path) == card
    assert card.metrics == {"mean_f1": 0.75}
    assert replace(card, metrics={"f1": 0.5}) == weights.read_card(files["partnet"])
    assert len(onnx.load(path).metadata_props) == len(onnx.load(files["partnet"]).metadata_props)
    x = noise(1)
    assert np.array_equal(run(path, x)[0], run(files["partnet"], x)[0])


@both
def test_the_int8_sibling_runs_and_agrees_roughly(
    name: str, files: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / f"{name}.int8.onnx"
    batches = [noise(2), noise(3)]
    export.quantize(small_net(name), RECIPES[name], path, batches, {"f1": 0.4})
    assert weights.read_card(path) == export.make_card(RECIPES[name], {"f1": 0.4})
    kinds = {t.data_type for t in onnx.load(path).graph.initializer}
    assert onnx.TensorProto.INT8 in kinds
    x = noise(2)
    (taken,) = weights.session(path).get_inputs()
    assert taken.type == "tensor(uint8)" and taken.shape[3] == 3
    for got, wanted in zip(run(path, x), run(files[name], x), strict=True):
        assert got.shape == wanted.shape
        assert np.corrcoef(got.ravel(), wanted.ravel())[0, 1] > 0.9
        assert not np.array_equal(got, wanted)


@both
def test_pairs_are_limited_before_biases_are_corrected(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What rounding moves the means by depends on the weights as they are rounded at last."""
    done = []
    for step in ("limit_pairs", "correct_biases", "speed_up"):
        known = getattr(export, step)

        def told(*args: object, _known=known, _step=step, **more: object) -> object:
            done.append(_step)
            return _known(*args, **more)

        monkeypatch.setattr(export, step, told)
    export.quantize(small_net(name), RECIPES[name], tmp_path / "a.int8.onnx", [noise(1)])
    assert done == ["limit_pairs", "correct_biases", "speed_up"]


def test_kept_convolutions_stay_float(tmp_path: Path) -> None:
    counts = []
    for keep in ((), ("/head/Conv",)):
        path = tmp_path / f"{len(keep)}.onnx"
        net, recipe = small_net("partnet"), RECIPES["partnet"]
        export.quantize(net, recipe, path, [noise(1)], keep_float=keep)
        model = onnx.load(path)
        counts.append(sum(t.data_type == onnx.TensorProto.INT8 for t in model.graph.initializer))
    assert counts[0] > counts[1] > 0


def test_calibration_pictures_are_what_the_net_sees(tmp_path: Path) -> None:
    task = loop.make_task(PARTS, write_world(tmp_path))
    batches = export.calibration_batches(task, PARTS, 2)
    size = PARTS.phases[-1].size_px
    assert [b.shape for b in batches] == [(2, 3, size, size)] * 2
    assert all(b.dtype == np.float32 and b.flags.c_contiguous for b in batches)
    assert not np.array_equal(*batches)


def test_checksums_of_all_nets(tmp_path: Path) -> None:
    (tmp_path / "b.onnx").write_bytes(b"b")
    (tmp_path / "a.int8.onnx").write_bytes(b"a")
    (tmp_path / "notes.txt").write_bytes(b"c")
    export.write_checksums(tmp_path)
    wanted = [
        f"{hashlib.sha256(data).hexdigest()}  {name}\n"
        for name, data in (("a.int8.onnx", b"a"), ("b.onnx", b"b"))
    ]
    assert (tmp_path / "SHA256SUMS").read_text() == "".join(wanted)
    assert not (tmp_path / "SHA256SUMS.tmp").exists()


def test_a_net_with_other_parts_keeps_its_own_head(files: dict[str, Path]) -> None:
    net = small_net("partnet", outputs=3)
    before = net.head.weight.clone()
    with torch.no_grad():
        net.stem[0].weight.zero_()
    assert export.load_initial(net, str(files["partnet"])) == ["head.weight", "head.bias"]
    assert torch.equal(net.head.weight, before)
    assert net.stem[0].weight.abs().sum() > 0


def test_files_of_other_nets(parser_file: Path, tmp_path: Path) -> None:
    net = small_net("headnet")
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(BadWeights, match=r"parser\.onnx: fits 0 of \d+ values of this net"):
        export.load_initial(net, str(parser_file))
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    foreign = tmp_path / "foreign.onnx"
    foreign.write_bytes(b"\xff\xffno net")
    with pytest.raises(BadWeights, match=r"foreign\.onnx: not an ONNX file"):
        export.load_initial(small_net("headnet"), str(foreign))
    with pytest.raises(BadWeights, match=r"gone\.onnx: no such weights file"):
        export.load_initial(small_net("headnet"), str(tmp_path / "gone.onnx"))


def test_training_starts_from_a_file(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partnet, "build", lambda parts: small_net("partnet", parts).train())
    state = loop.make_state(replace(RECIPES["partnet"], init=str(files["partnet"])), 19)
    plain = loop.make_state(RECIPES["partnet"], 19)
    stored = plain.net.stem[0].weight.half().float()
    torch.testing.assert_close(state.net.stem[0].weight, stored, rtol=0, atol=0)
    assert torch.equal(state.average.stem[0].weight, state.net.stem[0].weight)


@both
def test_as_many_outputs_as_the_task(name: str) -> None:
    assert export.outputs_of(RECIPES[name]) == {"partnet": 19, "headnet": 26}[name]
