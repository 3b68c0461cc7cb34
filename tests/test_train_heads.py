"""The detection task: targets by hand, losses against slow ones, batches from drawn photos."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dataset_folders import draw, save
from faceparts.errors import BadData
from faceparts.train import heads
from faceparts.train._head_losses import focal, giou_loss, points_loss
from faceparts.train.config import Source
from faceparts.train.heads import HeadsTask, targets
from faceparts.train.nets.headnet import UNIT_PX
from faceparts.train.scenes import Scene
from faceparts.types import Image
from train_world import HEADS, losses_of_learning, one_thread, write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


def scene(*boxes: tuple[float, float, float, float]) -> Scene:
    points = np.full((len(boxes), 7, 3), np.nan, np.float32)
    return Scene(np.zeros((16, 16, 3), np.uint8), np.float32(boxes).reshape(-1, 4), points)


def test_targets_of_one_head_by_hand() -> None:
    one = scene((4, 4, 12, 12))
    one.points[0, 2] = (9, 7, 1)
    one.points[0, 3, 2] = 0
    heat, care, box, strength, points = targets(one, 16)
    assert [m.shape for m in (heat, care, box, strength, points)] == [
        (c, 4, 4) for c in (1, 1, 4, 1, 21)
    ]
    assert all(m.dtype == np.float32 for m in (heat, care, box, strength, points))
    # Width of the bump: 0.09 * 8 + 0.35 * 4 = 2.12 px; cells have their middle at 2, 6, 10, 14.
    near, far = np.exp(-4 / (2 * 2.12**2)), np.exp(-36 / (2 * 2.12**2))
    expected = np.outer((far, near, near, far), (far, near, near, far))
    expected[expected < 0.02] = 0
    expected[2, 2] = 1  # the cell that the centre (8, 8) falls into
    np.testing.assert_allclose(heat[0], expected, rtol=1e-5)
    assert (care == 1).all()
    assert box[:, 2, 2].tolist() == [6, 6, 2, 2]
    assert box[:, 1, 2].tolist() == [6, 2, 2, 6]
    assert strength[0].tolist() == [[0] * 4, [0] * 4, [0, 0, 1, 0], [0] * 4]
    assert points[6:9, 2, 2].tolist() == [-1, -3, 1]
    assert points[6:9, 1, 1].tolist() == [3, 1, 1]
    assert points[11, 2, 2] == 0
    assert np.isnan(points[9:11, 2, 2]).all()
    assert np.isnan(points[:, 0, 0]).all()


def test_targets_without_heads() -> None:
    heat, care, _, strength, points = targets(scene(), 32)
    assert not heat.any()
    assert (care == 1).all()
    assert not strength.any()
    assert np.isnan(points).all()


def test_a_cell_belongs_to_the_head_that_is_strongest_there() -> None:
    _, _, box, strength, _ = targets(scene((0, 0, 40, 40), (18, 18, 30, 30)), 64)
    assert box[:, 6, 6].tolist() == [8, 8, 4, 4]  # the small head's centre, though inside the large
    assert box[:, 4, 4].tolist() == [18, 18, 22, 22]
    assert strength[0, 6, 6] == 1
    both = targets(scene((18, 18, 30, 30), (0, 0, 40, 40)), 64)
    assert np.array_equal(both[2], box)


def test_the_smaller_of_two_heads_in_one_cell_wins() -> None:
    _, _, box, _, _ = targets(scene((4, 4, 36, 36), (14, 14, 26, 26)), 64)
    assert box[:, 5, 5].tolist() == [8, 8, 4, 4]


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((9, 17, 14, 22), slice(4, 6), slice(2, 4)),  # tiny: 5 px
        ((-20, 8, 12, 24), slice(2, 7), slice(0, 4)),  # its middle lies left of the picture
        ((50, 50, 100, 90), slice(12, 16), slice(12, 16)),  # its middle lies right and below
        ((30, -50, 40, 10), slice(0, 3), slice(7, 11)),
    ],
)
def test_what_is_not_cared_about(
    box: tuple[float, float, float, float], rows: slice, columns: slice
) -> None:
    heat, care, _, strength, _ = targets(scene(box), 64)
    expected = np.ones((16, 16))
    expected[rows, columns] = 0
    assert np.array_equal(care[0], expected)
    assert not heat.any()
    assert not strength.any()


@pytest.mark.parametrize(
    "box", [(-30, 0, 0, 20), (64, 0, 90, 20), (0, -9, 20, 0), (0, 64, 20, 80), (70, 70, 99, 99)]
)
def test_heads_outside_are_nothing(box: tuple[float, float, float, float]) -> None:
    heat, care, _, _, _ = targets(scene(box), 64)
    assert (care == 1).all()
    assert not heat.any()


def test_a_head_is_cared_about_beside_a_tiny_one() -> None:
    heat, care, _, _, _ = targets(scene((20, 20, 44, 44), (30, 30, 35, 35)), 64)
    assert (care[heat > 0.02] == 1).all()


def test_focal_against_the_papers_formula() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (2, 1, 5, 6))
    heat = rng.uniform(0, 0.99, (2, 1, 5, 6))
    heat[0, 0, 1, 2] = heat[1, 0, 4, 4] = heat[1, 0, 0, 0] = 1
    care = (rng.random((2, 1, 5, 6)) < 0.8).astype(float)
    total = 0.0
    for raw, y, asked in zip(logits.ravel(), heat.ravel(), care.ravel(), strict=True):
        p = 1 / (1 + np.exp(-raw))
        if y == 1:
            total += asked * (1 - p) ** 2 * np.log(p)
        else:
            total += asked * (1 - y) ** 4 * p**2 * np.log(1 - p)
    got = focal(*(torch.tensor(a) for a in (logits, heat, care)))
    assert got.item() == pytest.approx(-total / 3, rel=1e-6)


def test_focal_without_heads_is_finite() -> None:
    none = torch.zeros(1, 1, 2, 2)
    assert focal(none + 100, none, none + 1).item() == pytest.approx(4 * -np.log(1e-4), rel=1e-2)
    assert focal(none, none, none).item() == 0


def loss_of(edges: tuple[float, ...], target: tuple[float, ...]) -> float:
    shaped = [torch.tensor(v, dtype=torch.float64).view(1, 4, 1, 1) for v in (edges, target)]
    return float(giou_loss(*shaped))


@pytest.mark.parametrize(
    ("edges", "target", "loss"),
    [
        ((1, 2, 3, 4), (1, 2, 3, 4), 0),
        ((1, 1, 1, 1), (2, 2, 2, 2), 1 - 4 / 16),
        ((2, 1, 0, 1), (0, 1, 2, 1), 1),  # side by side, nothing between
        ((4, 1, -2, 1), (-2, 1, 4, 1), 1 + 8 / 16),  # a gap: 4 of 8 wide
        ((1, 1, 1, 1), (2, 1, 0, 1), 1 - 2 / 6),
    ],
)
def test_giou_by_hand(edges: tuple[float, ...], target: tuple[float, ...], loss: float) -> None:
    assert loss_of(edges, target) == pytest.approx(loss)
    assert loss_of(target, edges) == pytest.approx(loss)


def slow_giou_loss(a: np.ndarray, b: np.ndarray) -> float:
    """By corners: boxes as x0, y0, x1, y1."""
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    inner = wide * high
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return float(1 - (inner / union - (hull - union) / hull))


def test_giou_against_corners() -> None:
    rng = np.random.default_rng(1)
    edges, target = rng.uniform(0.1, 9, (2, 3, 4, 2, 5))
    got = giou_loss(torch.tensor(edges), torch.tensor(target)).numpy()
    assert got.shape == (3, 2, 5)
    sign = np.array([-1, -1, 1, 1])
    for n, row, column in np.ndindex(got.shape):
        slow = slow_giou_loss(sign * edges[n, :, row, column], sign * target[n, :, row, column])
        assert got[n, row, column] == pytest.approx(slow)


def slow_points_loss(
    raw: np.ndarray, target: np.ndarray, box: np.ndarray, strength: np.ndarray
) -> float:
    off = visible = seen = known = 0.0
    for n, row, column in np.ndindex(raw.shape[0], *raw.shape[2:]):
        left, top, right, bottom = box[n, :, row, column]
        side, weight = np.sqrt((left + right) * (top + bottom)), strength[n, 0, row, column]
        for p in range(7):
            dx, dy, is_seen = target[n, 3 * p : 3 * p + 3, row, column]
            found = raw[n, 3 * p : 3 * p + 3, row, column]
            if is_seen == 1:
                for gap in (found[:2] * UNIT_PX - (dx, dy)) / side:
                    small = abs(gap) < 0.05
                    off += weight * (0.5 * gap**2 / 0.05 if small else abs(gap) - 0.025)
                seen += weight
            if not np.isnan(is_seen):
                chance = 1 / (1 + np.exp(-found[2]))
                visible -= weight * np.log(chance if is_seen else 1 - chance)
                known += weight
    return 4 * off / max(1, seen) + visible / max(1, known)


def test_points_loss_against_slow_loops() -> None:
    rng = np.random.default_rng(2)
    raw = rng.normal(0, 1, (2, 21, 3, 4))
    target = rng.normal(0, 16, (2, 21, 3, 4))
    target[:, 2::3] = rng.choice([0, 1, np.nan], (2, 7, 3, 4))
    target[:, 0::3][np.isnan(target[:, 2::3])] = np.nan
    target[0, :2, 0, 0] = raw[0, :2, 0, 0] * UNIT_PX + 0.1  # the smooth part
    target[0, 2, 0, 0] = 1
    box, strength = rng.uniform(2, 9, (2, 4, 3, 4)), rng.uniform(0, 1, (2, 1, 3, 4))
    strength[strength < 0.3] = 0
    strength[0, 0, 0, 0] = 1
    got = points_loss(*(torch.tensor(a) for a in (raw, target, box, strength)))
    assert got.item() == pytest.approx(slow_points_loss(raw, target, box, strength))


def test_points_that_nobody_marked_cost_nothing() -> None:
    raw = torch.randn(1, 21, 2, 2, requires_grad=True)
    nowhere = torch.full((1, 21, 2, 2), torch.nan)
    loss = points_loss(raw, nowhere, torch.ones(1, 4, 2, 2), torch.ones(1, 1, 2, 2))
    torch.autograd.backward(loss)
    assert loss.item() == 0
    assert raw.grad is not None
    assert not raw.grad.any()


def test_sources_become_photos_and_crops(world: Path) -> None:
    task = HeadsTask(HEADS, world)
    assert task.outputs == 26
    ((first, second),), ((one, _),) = task.photos, task.crops
    assert (len(first.boxes), len(second.boxes)) == (2, 2)
    assert len(one.boxes) == 1
    assert one.ids is not None
    assert (one.points[0, :, 2] == 1).all()
    assert len(task.val) == 2
    assert len(task.empty) == 2  # the first of three is kept for measuring


def test_the_same_step_gives_the_same_batch(world: Path) -> None:
    phase = HEADS.phases[0]
    task, other = HeadsTask(HEADS, world), HeadsTask(HEADS, world)
    for step in (0, 1, 5, 77):
        a, b = task.batch(step, phase), other.batch(step, phase)
        for name, shape in (
            ("images", (2, 3, 64, 64)),
            ("heat", (2, 1, 16, 16)),
            ("care", (2, 1, 16, 16)),
            ("box", (2, 4, 16, 16)),
            ("strength", (2, 1, 16, 16)),
            ("points", (2, 21, 16, 16)),
        ):
            first, second = getattr(a, name), getattr(b, name)
            assert first.shape == shape
            assert first.dtype == torch.float32
            assert torch.equal(first.nan_to_num(9), second.nan_to_num(9))
        assert a.images.abs().max() <= 1
    assert not torch.equal(task.batch(0, phase).images, task.batch(1, phase).images)


def test_every_kind_of_scene_comes_up(world: Path) -> None:
    task = HeadsTask(HEADS, world)
    counts = {len(task._scene(64, np.random.default_rng(s), []).boxes) for s in range(40)}
    assert {1, 2} < counts  # single heads, photos, collages
    only_crops = HeadsTask(replace(HEADS, data=HEADS.data[1:], negatives="", occluders=""), world)
    only_photos = HeadsTask(replace(HEADS, data=HEADS.data[:1], negatives=""), world)
    for seed in range(8):
        assert only_crops._scene(64, np.random.default_rng(seed), []).image.shape == (64, 64, 3)
        assert len(only_photos._scene(64, np.random.default_rng(seed), []).boxes) == 2


def test_pictures_of_nobody_come_from_photos_too(world: Path) -> None:
    task = HeadsTask(HEADS, world)
    keys: list[str] = []
    seen = [task._nobody(np.random.default_rng(seed), keys) for seed in range(40)]
    whole = sum(any(one is empty.image for empty in task.empty) for one in seen)
    assert len(keys) == len(seen) - whole and 8 < whole < 32
    assert set(keys) <= {task.keys[id(photo)] for photo in task.photos[0]}
    blank = replace(task.photos[0][0], boxes=np.array([[-9, -9, 999, 999]], np.float32))
    task.keys[id(blank)] = "blank"
    task.photos = [[blank]]
    for seed in range(8):  # heads everywhere: only pictures without people are left
        one = task._nobody(np.random.default_rng(seed), keys)
        assert any(one is empty.image for empty in task.empty)
    assert "blank" not in keys


class Knows(nn.Module):
    """Raw outputs that are right for a batch; every wrong ``shift`` makes the loss higher."""

    def __init__(self, batch: heads.Batch, shift: float) -> None:
        super().__init__()
        heat = torch.where(batch.heat == 1, 8.0, -8.0 + 0 * batch.heat)
        edges = (batch.box.clamp_min(0.1) / UNIT_PX).log()
        points = batch.points.nan_to_num(0).view(2, 7, 3, 16, 16).clone()
        points[:, :, :2] /= UNIT_PX
        points[:, :, 2] = points[:, :, 2] * 16 - 8
        self.raw = torch.cat([heat, edges, points.view(2, 21, 16, 16)], dim=1) + shift

    def forward(self, x: Tensor) -> Tensor:
        return self.raw


def test_the_right_answer_costs_least(world: Path) -> None:
    task = HeadsTask(HEADS, world)
    batch = task.batch(2, HEADS.phases[0])
    assert batch.strength.sum() > 0
    right, parts = task.loss(Knows(batch, 0), batch, 0.0)
    assert set(parts) == {"heat", "box", "points"}
    assert right.item() < 0.1
    wrong, _ = task.loss(Knows(batch, 1.0), batch, 0.0)
    assert wrong.item() > right.item() + 0.3
    assert right.item() == pytest.approx(parts["heat"] + 2 * parts["box"] + 0.5 * parts["points"])


class Peaks(nn.Module):
    """A heat map with given hot cells (row, column)."""

    def __init__(self, *cells: tuple[int, int]) -> None:
        super().__init__()
        self.cells = cells

    def forward(self, x: Tensor) -> Tensor:
        raw = torch.full((1, 26, x.shape[2] // 4, x.shape[3] // 4), -9.0)
        for row, column in self.cells:
            raw[0, 0, row, column] = 9
        return raw


def test_validate_counts_peaks_near_heads(world: Path) -> None:
    task = HeadsTask(HEADS, world)
    boxes = task.val[0].boxes
    cells = [
        (int((y0 + y1) / 8), int((x0 + x1) / 8)) for x0, y0, x1, y1 in boxes
    ]  # middles at stride 4
    far = (1, 1)
    assert task.validate(Peaks(*cells)) == {"f1": 1, "recall": 1, "precision": 1}
    assert task.validate(Peaks(cells[0], far)) == {"f1": 0.5, "recall": 0.5, "precision": 0.5}
    nothing = {"f1": 0, "recall": 0, "precision": 0}
    assert task.validate(Peaks()) == nothing
    assert HeadsTask(replace(HEADS, val=()), world).validate(Peaks()) == nothing


def test_the_net_learns_from_what_it_will_see(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Sees(Peaks):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return super().forward(x)

    seen: list[Tensor] = []
    shown = replace(HEADS.card, even_light=True)
    monkeypatch.setattr(heads, "evened", lambda image: np.full_like(image, 255))
    task = HeadsTask(replace(HEADS, card=shown), world)
    assert (task.batch(0, HEADS.phases[0]).images == 1).all()
    task.validate(Sees())
    assert all((one > 0.99).float().mean() > 0.2 for one in seen)  # the rest is padding
    plain = HeadsTask(HEADS, world)
    assert not (plain.batch(0, HEADS.phases[0]).images == 1).all()


def test_some_scenes_are_spoilt(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoilt = 0

    def count(image: Image, _: np.random.Generator) -> Image:
        nonlocal spoilt
        spoilt += 1
        return image

    monkeypatch.setattr(heads, "wear", count)
    task, phase = HeadsTask(HEADS, world), replace(HEADS.phases[0], batch=200)
    task.batch(0, phase)
    assert 0.5 * heads.WORN < spoilt / 200 < 1.7 * heads.WORN


def test_a_batch_names_its_pictures(world: Path) -> None:
    task = HeadsTask(HEADS, world)
    phase = HEADS.phases[0]
    keys = {key for step in range(12) for key in task.batch(step, phase).keys}
    assert keys == {f"{root}/{i}" for root in ("people", "rooms") for i in range(2)}


def test_two_batches_are_the_halves_of_one(world: Path) -> None:
    task, phase = HeadsTask(HEADS, world), HEADS.phases[0]
    whole = task.batch(3, replace(phase, batch=4)).images
    halves = [task.batch(n, phase).images for n in (6, 7)]
    assert torch.equal(whole, torch.cat(halves))


def test_peaks_are_local_maxima() -> None:
    heat = np.zeros((4, 5), np.float32)
    heat[1, 1], heat[1, 2], heat[3, 4], heat[0, 4] = 0.9, 0.8, 0.5, 0.29
    assert heads._peaks(heat, 0.3).tolist() == [[6, 6], [18, 14]]


def test_a_net_learns_a_step(world: Path) -> None:
    from faceparts.train.nets.headnet import HeadNet

    with one_thread():
        torch.manual_seed(0)
        task, net = HeadsTask(HEADS, world), HeadNet(widths=(8, 8, 8, 8, 8, 8))
        batch = task.batch(2, HEADS.phases[0])
        losses = losses_of_learning(task, net, batch, lr=3e-3, steps=8)
    assert losses[-1] < 0.9 * losses[0]


def test_missing_things(world: Path, tmp_path: Path) -> None:
    with pytest.raises(BadData, match="nobody: no such folder; it should hold pictures without"):
        HeadsTask(replace(HEADS, negatives="nobody"), world)
    with pytest.raises(BadData, match="no occluders"):
        HeadsTask(replace(HEADS, occluders="nothing"), world)
    faceless = replace(draw(), ids=0 * draw().ids)
    save(tmp_path / "people" / "train" / "images" / "a.jpg", faceless.image)
    save(tmp_path / "people" / "train" / "masks" / "a.png", faceless.ids)
    source = Source("celebamask", "people", "train", 1.0)
    with pytest.raises(BadData, match="people: no head in celebamask split 'train'"):
        HeadsTask(replace(HEADS, data=(source,), val=()), tmp_path)
