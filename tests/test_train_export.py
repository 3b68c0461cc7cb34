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
    session = weights.session(path, threads=1)
    return session.run(None, {"image": x})


def torch_outputs(name: str, net: nn.Module, x: np.ndarray) -> list[np.ndarray]:
    wrapped = export.PartsExport(net) if name == "partnet" else HeadNetExport(net)
    with torch.no_grad():
        got: Any = wrapped.eval()(torch.from_numpy(x))
    return [g.numpy() for g in (got if isinstance(got, tuple) else (got,))]


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
            np.testing.assert_allclose(got, wanted, atol=1e-4, rtol=1e-4)


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
    for got, wanted in zip(run(path, x), run(files[name], x), strict=True):
        assert got.shape == wanted.shape
        assert np.corrcoef(got.ravel(), wanted.ravel())[0, 1] > 0.9
        assert not np.array_equal(got, wanted)


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
