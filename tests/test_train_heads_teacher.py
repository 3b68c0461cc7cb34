"""A teacher of heads: what it says, what differing from it costs, and who learns it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from faceparts.errors import BadRecipe, BadWeights, UnknownName
from faceparts.train import export, heads
from faceparts.train._head_losses import FOUND, giou_loss, points_loss, taught_loss
from faceparts.train._heads_teacher import load_teacher
from faceparts.train.config import CardText, Distill, Recipe, Source
from faceparts.train.inputs import to_input
from faceparts.train.nets.headnet import UNIT_PX, HeadNet, HeadNetExport
from train_world import HEADS, PARTS, losses_of_learning, one_thread, write_world

CARD = CardText(threshold=0.4)
TEACHER = "teachers/wide.onnx"
LEARNER = replace(HEADS, distill=Distill(TEACHER, 0.7))
WIDTHS = (8, 8, 8, 8, 8, 8)


@pytest.fixture(autouse=True)
def calm() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_world(tmp_path_factory.mktemp("world"))
    (root / "teachers").mkdir()
    export.export(wide(), replace(HEADS, name="wide", card=CARD), root / TEACHER)
    return root


def wide() -> HeadNet:
    torch.manual_seed(5)
    net = HeadNet((8, 8, 16, 16, 16, 16), (0, 0, 0, 0, 0))
    with torch.no_grad():
        net.out.weight *= 30  # answers that differ from place to place
    return net.eval()


def as_raw(taught: Tensor) -> Tensor:
    """Outputs of a net that says what the teacher says."""
    n, _, h, w = taught.shape
    points = taught[:, 5:].reshape(n, 7, 3, h, w).clone()
    points[:, :, :2] /= UNIT_PX
    points[:, :, 2] = points[:, :, 2].logit()
    edges = (taught[:, 1:5] / UNIT_PX).log()
    return torch.cat([taught[:, :1].logit(), edges, points.reshape(n, 21, h, w)], 1)


def says(seed: int = 0) -> Tensor:
    """A teacher's word: a head in the middle of 3 x 4 cells, doubts elsewhere."""
    rng = np.random.default_rng(seed)
    taught = torch.from_numpy(rng.uniform(0.01, 0.25, (1, 26, 3, 4)))
    taught[:, 1:5] = torch.from_numpy(rng.uniform(4, 40, (1, 4, 3, 4)))
    taught[:, 5::3] = torch.from_numpy(rng.uniform(-20, 20, (1, 7, 3, 4)))
    taught[0, 0, 1, 1], taught[0, 0, 1, 2] = 0.9, 0.4
    taught[0, 7::3, 1, 1] = torch.tensor([0.99, 0.6, 0.4, 0.01, 0.99, 0.99, 0.99]).double()
    return taught


def test_a_teacher_says_what_its_net_says(world: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 128, 3)).astype(np.uint8)
    got = load_teacher(TEACHER, world).batch(pictures)
    with torch.no_grad():
        wanted = torch.cat(HeadNetExport(wide())(to_input(pictures)), dim=1)
    assert got.shape == (2, 26, 16, 32)
    assert got.dtype == torch.float32
    assert wanted[:, 0].std() > 0.001
    # Weights are stored as float16: half a pixel of 16 is much, and heats are near another.
    torch.testing.assert_close(got[:, :1], wanted[:, :1], rtol=0.02, atol=1e-4)
    torch.testing.assert_close(got[:, 1:5], wanted[:, 1:5], rtol=0.02, atol=0)
    torch.testing.assert_close(got[:, 5:], wanted[:, 5:], rtol=0.02, atol=0.2)


def test_a_shipped_detector_may_teach(tmp_path: Path) -> None:
    taught = load_teacher("headnet", tmp_path).batch(np.zeros((1, 64, 64, 3), np.uint8))
    assert taught.shape == (1, 26, 16, 16)
    assert 0 <= taught[:, :1].min() <= taught[:, :1].max() <= 0.1


def test_who_cannot_teach(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match="is a net for 'segment', wanted one for 'detect'"):
        load_teacher("partnet", tmp_path)
    with pytest.raises(UnknownName, match="no weights named 'nobody'"):
        load_teacher("nobody", tmp_path)


def test_saying_the_same_costs_least() -> None:
    taught = says()
    same = as_raw(taught)
    least = taught_loss(same, taught).item()
    for channels, shift in ((slice(0, 1), 1.0), (slice(1, 5), 0.5), (slice(5, 26), 1.0)):
        for sign in (-1, 1):
            other = same.clone()
            other[:, channels] += sign * shift
            assert taught_loss(other, taught).item() > least + 0.01
    at_best = taught_loss(same.requires_grad_(), taught)
    torch.autograd.backward(at_best)
    assert same.grad is not None
    assert same.grad.abs().max() < 1e-3


def test_the_loss_against_a_slow_one() -> None:
    taught = says(1)
    raw = as_raw(says(2)) * 0.7
    heat, strength = 0.0, np.zeros((1, 1, 3, 4))
    for row in range(3):
        for column in range(4):
            z, q = float(raw[0, 0, row, column]), float(taught[0, 0, row, column])
            p = 1 / (1 + np.exp(-z))
            heat -= (p - q) ** 2 * (q * np.log(p) + (1 - q) * np.log(1 - p))
            strength[0, 0, row, column] = q if q >= FOUND else 0
    assert np.count_nonzero(strength) == 2
    weight = torch.from_numpy(strength)
    count = max(1.0, strength.sum())
    own = torch.exp(raw[:, 1:5]) * UNIT_PX
    box = float((giou_loss(own, taught[:, 1:5]) * weight[:, 0]).sum()) / count
    points = float(points_loss(raw[:, 5:], taught[:, 5:], taught[:, 1:5], weight))
    got = taught_loss(raw, taught).item()
    assert got == pytest.approx(heat / count + 2 * box + 0.5 * points)


def test_points_count_where_the_teacher_sees_them() -> None:
    taught = says()
    raw = as_raw(taught)
    moved = raw.clone()
    moved[0, 5 + 6 : 5 + 8, 1, 1] += 3  # the third point, seen with 0.4
    assert taught_loss(moved, taught).item() == pytest.approx(taught_loss(raw, taught).item())
    moved[0, 5 + 3 : 5 + 5, 1, 1] += 3  # the second, seen with 0.6
    assert taught_loss(moved, taught).item() > taught_loss(raw, taught).item() + 0.1


def test_a_teacher_that_finds_nothing() -> None:
    taught = says()
    taught[:, :1] = 0.01
    raw = as_raw(taught)
    assert taught_loss(raw, taught).item() == pytest.approx(0, abs=1e-9)
    raw[:, 1:] += 5
    assert taught_loss(raw, taught).item() == pytest.approx(0, abs=1e-9)
    raw[:, :1] += 5
    assert taught_loss(raw, taught).item() > 1


class Fixed(nn.Module):
    def __init__(self, raw: Tensor) -> None:
        super().__init__()
        self.raw = raw

    def forward(self, x: Tensor) -> Tensor:
        return self.raw


def test_the_task_asks_its_teacher(world: Path) -> None:
    task, alone = heads.make_task(LEARNER, world), heads.make_task(HEADS, world)
    phase = LEARNER.phases[0]
    batch, plain = task.batch(2, phase), alone.batch(2, phase)
    assert plain.taught is None
    assert torch.equal(batch.images, plain.images)
    assert batch.taught is not None
    pictures = ((batch.images.permute(0, 2, 3, 1) + 1) * 127.5).round().numpy().astype(np.uint8)
    assert torch.equal(batch.taught, load_teacher(TEACHER, world).batch(pictures))
    net = Fixed(torch.randn(2, 26, 16, 16))
    total, parts = task.loss(net, batch, 0.0)
    before, labelled = alone.loss(net, plain, 0.0)
    assert set(parts) == {*labelled, "distill"}
    assert parts["distill"] == pytest.approx(taught_loss(net.raw, batch.taught).item())
    assert total.item() == pytest.approx(before.item() + 0.7 * parts["distill"], rel=1e-5)


def test_a_net_learns_from_its_teacher(world: Path) -> None:
    torch.manual_seed(0)
    task, net = heads.make_task(LEARNER, world), HeadNet(widths=WIDTHS, light=3)
    batches = [task.batch(step, LEARNER.phases[0]) for step in range(24)]
    batch = max(batches, key=lambda b: task.loss(net, b, 0.0)[1]["distill"])
    said = [task.loss(net, batch, 0.0)[1]["distill"]]
    losses_of_learning(task, net, batch, lr=3e-3, steps=8)
    said.append(task.loss(net, batch, 0.0)[1]["distill"])
    assert said[1] < 0.9 * said[0]


@pytest.mark.parametrize(
    ("recipe", "text"),
    [
        (replace(LEARNER, distill=Distill(TEACHER, 1.0, 3.0)), "temperature is for task 'parts'"),
        (
            replace(HEADS, data=(replace(HEADS.data[0], vote=("partnet",)), HEADS.data[1])),
            "'vote' and 'answers' are for task 'parts'",
        ),
        (
            replace(HEADS, val=(Source("scut_head", "rooms", "val", 1.0, answers="kept"),)),
            "'vote' and 'answers' are for task 'parts'",
        ),
        (replace(HEADS, loss={"ce": 1.0}), "'loss' is for task 'parts'"),
    ],
)
def test_what_is_for_parts_only(world: Path, recipe: Recipe, text: str) -> None:
    with pytest.raises(BadRecipe, match=f"^tiny: .*{text}"):
        heads.make_task(recipe, world)
    assert PARTS.distill == Distill()


def test_a_light_net_starts_from_the_other(tmp_path: Path) -> None:
    """What both have is taken over; pairs that only the light one has change nothing."""
    torch.manual_seed(3)
    heavy = HeadNet(WIDTHS).eval()
    for value in heavy.state_dict().values():
        if value.is_floating_point():  # equal values are stored once, under one name
            value.copy_(torch.rand_like(value) + 0.5)
    path = tmp_path / "heavy.onnx"
    export.export(heavy, replace(HEADS, name="heavy", card=CARD), path)
    light = HeadNet(WIDTHS, (0, 1, 2, 1, 0), light=1).eval()
    left = export.load_initial(light, str(path))
    assert {name.split(".")[0] for name in left} == {"decode", "head", "stages"}
    assert {name for name in left if name.startswith(("decode", "head"))} <= {
        f"{at}.{i}.{what}"
        for at in ("decode.0", "head")
        for i in range(4)
        for what in ("weight", "bias", "running_mean", "running_var")
    }
    assert all(name.startswith("stages.2.2.") for name in left if name.startswith("stages"))
    norm = light.decode[0][1]  # the other's stands behind another convolution
    assert {f"decode.0.1.{name}" for name in ("weight", "running_mean")} <= {*left}
    assert (norm.weight == 1).all() and (norm.running_mean == 0).all()
    x = torch.randn(1, heavy.stages[1][0][0].out_channels, 8, 8).relu()
    assert torch.equal(light.stages[2][2](x), x)
    torch.testing.assert_close(light.stages[2][1](x), heavy.stages[2][1](x), rtol=2e-3, atol=0)
