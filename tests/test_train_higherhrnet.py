"""HigherHRNet: size and names as published, weights by name, and the exported file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from faceparts.detect._pose_card import read_card
from faceparts.detect._pose_models import open_pose_model
from faceparts.errors import BadRecipe, BadWeights
from faceparts.train import pose_weights
from faceparts.train.export import load_initial
from faceparts.train.nets import higherhrnet
from faceparts.train.nets.higherhrnet import HigherHRNet, build
from train_world import one_thread

TINY: dict[str, Any] = {"width": 4, "stem": 8, "blocks": 1, "modules": (1, 1, 2)}


@pytest.fixture(autouse=True, scope="module")
def calm():
    with one_thread():
        yield


def tiny(seed: int = 0) -> HigherHRNet:
    """A net whose values all differ, with batch norm as after training and outputs of about 1."""
    torch.manual_seed(seed)
    net = build(**TINY)
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = 1.0
            nn.init.uniform_(norm.weight, 0.8, 1.2)
            nn.init.normal_(norm.bias, std=0.1)
    for layer in net.final_layers:
        nn.init.normal_(layer.weight, std=0.3)
    with torch.no_grad():
        net.train()(torch.randn(2, 3, 64, 64))
    return net.eval()


def published_names(width: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of ``pose_higher_hrnet_w*.pth``, from the description of the net."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv(name: str, inputs: int, outputs: int, size: int = 3) -> None:
        shapes[f"{name}.weight"] = (outputs, inputs, size, size)

    def norm(name: str, channels: int) -> None:
        for value in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{value}"] = (channels,)
        shapes[f"{name}.num_batches_tracked"] = ()

    def pair(name: str, inputs: int, outputs: int, size: int = 3) -> None:
        conv(f"{name}.0", inputs, outputs, size)
        norm(f"{name}.1", outputs)

    def basic(name: str, channels: int) -> None:
        for i in (1, 2):
            conv(f"{name}.conv{i}", channels, channels)
            norm(f"{name}.bn{i}", channels)

    for i, inputs in ((1, 3), (2, 64)):
        conv(f"conv{i}", inputs, 64)
        norm(f"bn{i}", 64)
    for block in range(4):
        sizes = ((64 if block == 0 else 256, 64, 1), (64, 64, 3), (64, 256, 1))
        for i, (a, b, size) in enumerate(sizes, start=1):
            conv(f"layer1.{block}.conv{i}", a, b, size)
            norm(f"layer1.{block}.bn{i}", b)
    pair("layer1.0.downsample", 64, 256, 1)
    widths = [width * 2**i for i in range(4)]
    pair("transition1.0", 256, widths[0])
    pair("transition1.1.0", 256, widths[1])
    pair("transition2.2.0", widths[1], widths[2])
    pair("transition3.3.0", widths[2], widths[3])
    for stage, modules in ((2, 1), (3, 4), (4, 3)):
        for module in range(modules):
            where = f"stage{stage}.{module}"
            for branch in range(stage):
                for block in range(4):
                    basic(f"{where}.branches.{branch}.{block}", widths[branch])
            last = stage == 4 and module == modules - 1
            for i in range(1 if last else stage):
                for j in range(stage):
                    if j > i:
                        pair(f"{where}.fuse_layers.{i}.{j}", widths[j], widths[i], 1)
                    for k in range(i - j):
                        out = widths[i] if k == i - j - 1 else widths[j]
                        pair(f"{where}.fuse_layers.{i}.{j}.{k}", widths[j], out)
    for i, channels in ((0, 34), (1, 17)):
        shapes[f"final_layers.{i}.weight"] = (channels, width, 1, 1)
        shapes[f"final_layers.{i}.bias"] = (channels,)
    shapes["deconv_layers.0.0.0.weight"] = (width + 34, width, 4, 4)
    norm("deconv_layers.0.0.1", width)
    for block in range(1, 5):
        basic(f"deconv_layers.0.{block}.0", width)
    return shapes


@pytest.mark.parametrize(("width", "millions"), [(32, 28.6), (48, 63.8)])
def test_names_shapes_and_size_as_published(width: int, millions: float) -> None:
    with torch.device("meta"):
        net = build(width=width)
    own = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    assert own == published_names(width)
    count = sum(p.numel() for p in net.parameters())
    assert count == pytest.approx(millions * 1e6, rel=0.005)


def test_stages_and_their_mean() -> None:
    net = tiny()
    x = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        coarse, fine = net.stages(x)
        got = net(x)
    assert coarse.shape == (2, 34, 16, 24)
    assert fine.shape == (2, 17, 32, 48)
    grown = nn.functional.interpolate(coarse, size=(32, 48), mode="bilinear")
    torch.testing.assert_close(got[:, :17], (grown[:, :17] + fine) / 2)
    torch.testing.assert_close(got[:, 17:], grown[:, 17:])


def test_every_branch_counts() -> None:
    net = tiny().train()
    sum(stage.square().sum() for stage in net.stages(torch.randn(1, 3, 64, 64))).backward()
    without = [name for name, p in net.named_parameters() if p.grad is None]
    assert without == []


def test_a_fresh_net_says_nobody() -> None:
    torch.manual_seed(0)
    net = build(**TINY).train()
    with torch.no_grad():
        heat = net(torch.randn(2, 3, 64, 64))[:, :17]
    assert heat.abs().max() < 0.1


def test_wrong_sizes() -> None:
    with pytest.raises(ValueError, match="higherhrnet: got 17 outputs, wanted 34"):
        build(17)
    for options in ({"width": 0}, {"modules": (1, 2)}, {"blocks": 0}, {"modules": (1, 0, 1)}):
        with pytest.raises(ValueError, match="wanted whole numbers of at least 1"):
            build(**options)


@pytest.mark.parametrize(
    ("prefix", "wrap"), [("", None), ("module.", None), ("1.", "state_dict"), ("", "model")]
)
def test_weights_by_name(prefix: str, wrap: str | None, tmp_path: Path) -> None:
    source, net = tiny(1), tiny(2)
    values: Mapping[str, Any] = {prefix + k: v for k, v in source.state_dict().items()}
    torch.save({wrap: values, "epoch": 3} if wrap else values, tmp_path / "w.pth")
    fit = pose_weights.load_pose_weights(net, tmp_path / "w.pth")
    assert fit.whole
    assert len(fit.loaded) == len(values)
    assert all(torch.equal(v, source.state_dict()[k]) for k, v in net.state_dict().items())


def test_old_files_lack_counters(tmp_path: Path) -> None:
    values = {k: v for k, v in tiny().state_dict().items() if "num_batches" not in k}
    torch.save(values, tmp_path / "w.pth")
    assert pose_weights.load_pose_weights(tiny(1), tmp_path / "w.pth").whole


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"conv1.weight": None, "bn1.bias": None}, "2 missing (conv1.weight, bn1.bias)"),
        ({"extra": torch.zeros(1)}, "1 unexpected (extra)"),
        ({"bn1.bias": torch.zeros(3)}, "1 misshapen (bn1.bias: got (3,), wanted (8,))"),
        ({f"extra{i}": torch.zeros(1) for i in range(9)}, "extra4 and 4 more)"),
    ],
)
def test_weights_that_do_not_fit(
    changes: dict[str, Tensor | None], what: str, tmp_path: Path
) -> None:
    net = tiny()
    values = {**net.state_dict(), **changes}
    torch.save({k: v for k, v in values.items() if v is not None}, tmp_path / "w.pth")
    other = tiny(3)
    before = {k: v.clone() for k, v in other.state_dict().items()}
    with pytest.raises(BadWeights, match=re.escape(what)):
        pose_weights.load_pose_weights(other, tmp_path / "w.pth")
    assert all(torch.equal(v, before[k]) for k, v in other.state_dict().items())


@pytest.mark.parametrize(
    ("stored", "what"),
    [
        (Path("x"), "not a file of plain tensors"),
        ([1, 2], "holds a list; wanted named tensors"),
        ({}, "holds a dict; wanted named tensors"),
        ({"a": 3}, "'a' is not a tensor"),
    ],
)
def test_files_of_something_else(stored: object, what: str, tmp_path: Path) -> None:
    torch.save(stored, tmp_path / "w.pth")
    with pytest.raises(BadWeights, match=what):
        pose_weights.read_values(tmp_path / "w.pth")


def test_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"no weights")
    with pytest.raises(BadWeights, match=r"w.pth: not a file of plain tensors"):
        pose_weights.read_values(tmp_path / "w.pth")


def backbone(net: HigherHRNet) -> dict[str, Tensor]:
    """What a classifier with this backbone has: no pose head, but others, and all exchanges."""
    values = {
        k: v for k, v in net.state_dict().items() if not k.startswith(("final_l", "deconv_l"))
    }
    values |= {"classifier.weight": torch.zeros(5, 5), "incre_modules.0.bias": torch.zeros(2)}
    return {**values, "stage4.1.fuse_layers.1.0.0.0.weight": torch.zeros(8, 4, 3, 3)}


def test_a_backbone_leaves_the_head_alone(tmp_path: Path) -> None:
    source, net = tiny(1), tiny(2)
    head = net.final_layers[0].weight.clone()
    torch.save(backbone(source), tmp_path / "w.pth")
    fit = pose_weights.load_backbone(net, tmp_path / "w.pth")
    assert torch.equal(net.conv1.weight, source.conv1.weight)
    assert torch.equal(net.final_layers[0].weight, head)
    assert len(fit.loaded) == len(backbone(source)) - 3


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"conv1.weight": None}, "1 missing (conv1.weight)"),
        ({"strange.weight": torch.zeros(1)}, "1 unexpected (strange.weight)"),
        ({"stage4.0.fuse_layers.9.weight": torch.zeros(1)}, "1 unexpected"),
    ],
)
def test_a_backbone_of_another_net(
    changes: dict[str, Tensor | None], what: str, tmp_path: Path
) -> None:
    values = {**backbone(tiny()), **changes}
    torch.save({k: v for k, v in values.items() if v is not None}, tmp_path / "w.pth")
    with pytest.raises(BadWeights, match=re.escape(what)):
        pose_weights.load_backbone(tiny(1), tmp_path / "w.pth")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("net") / "pose.onnx"
    notes = 'says "hello" \\ twice'
    pose_weights.export_pose(tiny(), path, name="tiny", license="Apache-2.0", notes=notes)
    return path


def test_the_file_gives_what_the_net_gives_at_any_size(exported: Path) -> None:
    net = tiny()
    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    assert [node.name for node in session.get_inputs()] == ["images"]
    for shape in ((1, 3, 64, 64), (2, 3, 96, 160), (3, 3, 32, 64)):
        x = torch.randn(shape)
        with torch.no_grad():
            wanted = net(x).numpy()
        heat, tags = session.run(["heatmaps", "tags"], {"images": x.numpy()})
        assert heat.shape == tags.shape == (shape[0], 17, shape[2] // 2, shape[3] // 2)
        assert 0.5 < np.abs(wanted).max() < 100
        np.testing.assert_allclose(heat, wanted[:, :17], atol=1e-4)
        np.testing.assert_allclose(tags, wanted[:, 17:], atol=1e-4)


def test_the_card_beside_the_file(exported: Path) -> None:
    card = read_card(exported)
    assert card is not None
    assert (card.kind, card.name, card.license) == ("bottom-up", "tiny", "Apache-2.0")
    assert (card.mean, card.std) == (higherhrnet.MEAN, higherhrnet.STD)
    assert (card.heatmaps, card.tags, card.pad) == ("heatmaps", "tags", 127)
    assert card.notes == 'says "hello" \\ twice'


def test_the_detector_runs_the_file(exported: Path) -> None:
    model = open_pose_model(exported, threads=1)
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    (people,) = model.find(image, [(0, 0, 120, 90)])
    assert all(person.keypoints.shape == (17, 3) for person in people)


def test_a_new_training_starts_from_the_file(exported: Path) -> None:
    net = tiny(5)
    assert load_initial(net, str(exported)) == []
    wanted = tiny().state_dict()
    for name, value in net.state_dict().items():
        if "num_batches" not in name:
            torch.testing.assert_close(value, wanted[name])


def test_a_card_on_two_lines(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match=r"pose.toml: "):
        pose_weights.export_pose(tiny(), tmp_path / "pose.onnx", name="a\nb", license="x")
    assert list(tmp_path.iterdir()) == []


def test_convert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(tiny(4).state_dict(), tmp_path / "w.pth")
    monkeypatch.setattr(pose_weights, "build", lambda width: build(**{**TINY, "width": width}))
    out = tmp_path / "made.onnx"
    assert pose_weights.convert(tmp_path / "w.pth", out, width=4, license="MIT").whole
    card = read_card(out)
    assert card is not None
    assert (card.name, card.license, card.pad) == ("made", "MIT", 0)
    with pytest.raises(BadWeights, match=r"does not fit this net: .*is it the same width"):
        pose_weights.convert(tmp_path / "w.pth", out, width=6)


def run_folder(path: Path, net: HigherHRNet, **changes: Any) -> Path:
    """What a training leaves behind, as far as the export looks at it."""
    path.mkdir()
    recipe = {
        **{"name": "tiny", "net": "higherhrnet", "task": "keypoints", "net_options": TINY},
        "phases": [{"until": 1.0, "size_px": 64, "batch": 2}],
        "data": [{"name": "coco_keypoints", "root": "c", "split": "train2017", "share": 1.0}],
        "card": {"license": "MIT", "notes": "none"},
    }
    (path / "recipe.json").write_text(json.dumps({**recipe, **changes}))
    state = {"average": net.state_dict(), "net": tiny(9).state_dict(), "step": 3}
    torch.save(state, path / "checkpoint.pt")
    return path


def test_a_training_becomes_a_file(tmp_path: Path) -> None:
    path = pose_weights.export_run(run_folder(tmp_path / "run", tiny(3)), tmp_path)
    assert path == tmp_path / "tiny.onnx"
    card = read_card(path)
    assert card is not None
    assert (card.license, card.notes, card.pad) == ("MIT", "none", 127)
    net = tiny(4)
    load_initial(net, str(path))
    torch.testing.assert_close(net.conv1.weight, tiny(3).conv1.weight)


def test_runs_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(BadRecipe, match=r"recipe.json: not the recipe of a training"):
        pose_weights.export_run(tmp_path, tmp_path)
    other = run_folder(tmp_path / "heads", tiny(), task="heads")
    with pytest.raises(BadRecipe, match="is for task 'heads', wanted 'keypoints'"):
        pose_weights.export_run(other, tmp_path)
    wide = run_folder(tmp_path / "wide", tiny(), net_options={**TINY, "width": 6})
    with pytest.raises(BadWeights, match=r"checkpoint.pt: does not fit its recipe: .*misshapen"):
        pose_weights.export_run(wide, tmp_path)
