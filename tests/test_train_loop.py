"""The training loop: interrupted or not the same weights, whole checkpoints, plain logs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import torch
from torch import nn

from dataset_folders import save
from faceparts.errors import BadData, BadRecipe
from faceparts.train import loop, precision
from faceparts.train.config import Phase, Recipe, Source, recipe_from_table
from faceparts.train.distributed import Group
from faceparts.train.loop import State, TrainingFailed
from faceparts.train.nets import partnet
from faceparts.train.state import update_average
from train_world import HEADS, PARTS, one_thread, state_of, write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One thread, and a partnet of a few thousand values."""
    widths, depths = (4, 8, 8, 8, 8), (1, 0, 0, 0)

    def build(parts: int, *, wide: int = 1) -> nn.Module:
        return partnet.PartNet(parts, tuple(wide * w for w in widths), depths)

    monkeypatch.setattr(partnet, "build", build)
    monkeypatch.setattr(loop, "write_curves", lambda *_: None)  # half a second each
    with one_thread():
        yield


def rows_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text("utf-8").splitlines()]


def assert_same(a: State, b: State) -> None:
    assert a.step == b.step
    for one, other in ((a.net, b.net), (a.average, b.average)):
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name
    first, second = a.optimizer.state_dict()["state"], b.optimizer.state_dict()["state"]
    assert first.keys() == second.keys()
    for key, values in first.items():
        for name, value in values.items():
            assert torch.equal(value, second[key][name]), name


def test_interrupted_and_resumed_is_the_same_to_the_bit(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = loop.train(PARTS, world, tmp_path / "whole", quiet=True)
    assert whole.step == 6

    real = loop.take_step

    def stop_at_five(recipe: Recipe, state: State, *rest: Any) -> Any:
        if state.step == 5:
            raise KeyboardInterrupt
        return real(recipe, state, *rest)

    monkeypatch.setattr(loop, "take_step", stop_at_five)
    out = tmp_path / "twice"
    with pytest.raises(KeyboardInterrupt):
        loop.train(PARTS, world, out, quiet=True)
    monkeypatch.setattr(loop, "take_step", real)
    saved = torch.load(out / "checkpoint.pt", weights_only=True)
    assert saved["step"] == 3  # save_every
    resumed = loop.train(PARTS, world, out, quiet=True)
    assert_same(whole, resumed)
    assert_same(whole, loop.train(PARTS, world, out, quiet=True))  # nothing left to do


def test_the_seed_decides(world: Path, tmp_path: Path) -> None:
    recipe = replace(PARTS, steps=2, val=())
    first = loop.train(recipe, world, tmp_path / "a", quiet=True)
    again = loop.train(recipe, world, tmp_path / "b", quiet=True)
    other = loop.train(replace(recipe, seed=4), world, tmp_path / "c", quiet=True)
    assert_same(first, again)
    assert not torch.equal(first.net.head.weight, other.net.head.weight)


def test_what_a_training_leaves(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[Any, ...]] = []
    monkeypatch.setattr(loop, "write_curves", lambda *args: drawn.append(args))
    recipe = replace(PARTS, steps=41, val_every=30, phases=(Phase(1.0, 32, 2),))
    out = tmp_path / "new" / "run"
    state = loop.train(recipe, world, out, quiet=True)
    assert sorted(p.name for p in out.iterdir()) == [
        *("best.pt", "checkpoint.pt", "data.json", "log.jsonl", "recipe.json", "run.json")
    ]
    assert drawn == [(out / "log.jsonl", "tiny", step) for step in (30, state.best_step)]
    assert recipe_from_table(json.loads((out / "recipe.json").read_text()), "x") == recipe
    rows = rows_of(out)
    assert [r["step"] for r in rows if "loss" in r] == [20, 40]
    assert [r["step"] for r in rows if "val" in r] == [30, 41]
    for row in rows:
        assert row["s"] >= 0
        if "loss" in row:
            assert set(row) == {"step", "loss", "lr", "s", "wait", "ce", "dice"}
            assert 0 <= row["wait"] <= 1
            assert 0 < row["lr"] <= recipe.lr
        else:
            assert 0 <= row["val"]["mean_f1"] <= 1
    saved = torch.load(out / "checkpoint.pt", weights_only=True)
    assert saved["step"] == state.step == 41
    assert saved["elapsed_s"] == state.elapsed_s > 0


def test_by_the_clock(world: Path, tmp_path: Path) -> None:
    recipe = replace(PARTS, minutes=0.01, val=())
    state = loop.train(recipe, world, tmp_path, quiet=True)
    assert state.step >= 1
    assert state.elapsed_s >= 0.6


def test_heads_train_too(world: Path, tmp_path: Path) -> None:
    state = loop.train(replace(HEADS, steps=2, save_every=5), world, tmp_path, quiet=True)
    assert state.step == 2
    (row,) = rows_of(tmp_path)
    assert list(row["val"]) == ["f1", "recall", "precision"]


def test_a_loss_that_is_no_number(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = loop.make_task(replace(PARTS, val=()), world)
    real = task.loss

    def breaks(net: nn.Module, batch: Any, progress: float) -> Any:
        loss, shares = real(net, batch, progress)
        return (loss * float("nan") if progress > 0.4 else loss), shares

    monkeypatch.setattr(task, "loss", breaks)
    monkeypatch.setattr(loop, "make_task", lambda recipe, root, quiet: task)
    with pytest.raises(
        TrainingFailed,
        match=r"step 3: the loss is nan; pictures of the step: people/\d, people/\d; look at "
        r"their labels, lower lr \(0\.002\)",
    ):
        loop.train(PARTS, world, tmp_path, quiet=True)
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert saved["step"] == 3
    assert all(torch.isfinite(v).all() for v in saved["net"].values())


def fresh() -> State:
    return loop.make_state(PARTS, 19)


def test_a_checkpoint_there_and_back(tmp_path: Path) -> None:
    state = fresh()
    state.step, state.elapsed_s = 7, 1.5
    with torch.no_grad():
        state.average.head.weight += 1
    loop.save_checkpoint(state, tmp_path / "checkpoint.pt")
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]
    other = loop.make_state(replace(PARTS, seed=9), 19)
    loop.load_checkpoint(other, tmp_path / "checkpoint.pt")
    assert_same(state, other)
    assert other.elapsed_s == 1.5
    assert not torch.equal(other.average.head.weight, other.net.head.weight)


def test_a_checkpoint_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.pt"
    state = fresh()
    loop.save_checkpoint(state, path)
    before = path.read_bytes()

    def half(values: Any, file: BinaryIO) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(KeyboardInterrupt):
        loop.save_checkpoint(state, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize("how", ["empty", "text", "cut", "flipped", "other net", "other things"])
def test_a_damaged_checkpoint(how: str, world: Path, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    loop.save_checkpoint(fresh(), path)
    data = bytearray(path.read_bytes())
    if how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "flipped":
        at = data.index(b"archive/data.pkl") + 60
        data[at : at + 200] = bytes(b ^ 0x5A for b in data[at : at + 200])
        path.write_bytes(data)
    elif how == "other net":
        loop.save_checkpoint(loop.make_state(PARTS, 3), path)
    elif how == "other things":
        torch.save([1, 2], path)
    else:
        path.write_bytes(b"" if how == "empty" else b"no checkpoint")
    with pytest.raises(TrainingFailed, match=r"checkpoint\.pt: not a checkpoint of this recipe"):
        loop.train(PARTS, world, tmp_path, quiet=True)


def rate(progress: float, **changed: Any) -> float:
    recipe = replace(PARTS, lr=0.1, **changed)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=9)
    optimizer.add_param_group({"params": [torch.zeros(1, requires_grad=True)]})
    got = loop.set_rate(recipe, optimizer, progress)
    assert [g["lr"] for g in optimizer.param_groups] == [got, got]
    return got


def test_the_learning_rate_rises_and_falls() -> None:
    assert rate(0, warmup=0.2) == pytest.approx(0.1 * 0.02)
    assert rate(0.1, warmup=0.2) == pytest.approx(0.1 * 0.51)
    assert rate(0.2, warmup=0.2) == pytest.approx(0.1)
    assert rate(0.6, warmup=0.2) == pytest.approx(0.1 * (0.01 + 0.99 / 2))
    assert rate(1.0, warmup=0.2) == pytest.approx(0.1 * 0.01)
    assert rate(1.3, warmup=0.2) == pytest.approx(0.1 * 0.01)
    assert rate(0, warmup=0) == pytest.approx(0.1)
    falling = [rate(p) for p in np.linspace(0.03, 1, 50)]
    assert falling == sorted(falling, reverse=True)


def test_a_constant_rate_and_another_one_for_biases() -> None:
    assert rate(0.1, schedule="constant", warmup=0.2) == pytest.approx(0.1 * 0.51)
    assert rate(0.2, schedule="constant", warmup=0.2) == 0.1
    assert rate(1.0, schedule="constant", warmup=0.0) == 0.1
    recipe = replace(PARTS, optimizer="sgd", momentum=0.99, bias_rate=2.0, lr=0.1, warmup=0.0)
    state = loop.make_state(recipe, 19)
    assert isinstance(state.optimizer, torch.optim.SGD)
    assert loop.set_rate(recipe, state.optimizer, 0.0) == pytest.approx(0.1)
    matrices, norms, biases = state.optimizer.param_groups
    assert [g["lr"] for g in (matrices, norms, biases)] == pytest.approx([0.1, 0.1, 0.2])
    assert [g["weight_decay"] for g in (matrices, norms, biases)] == [recipe.weight_decay, 0, 0]
    assert {g["momentum"] for g in (matrices, norms, biases)} == {0.99}
    named = dict(state.net.named_parameters())
    assert {id(p) for p in biases["params"]} == {
        id(p) for n, p in named.items() if n.endswith(".bias")
    }
    assert sum(len(g["params"]) for g in (matrices, norms, biases)) == len(named)


def test_two_steps_of_sgd_by_hand() -> None:
    recipe = replace(PARTS, optimizer="sgd", momentum=0.5, weight_decay=0.1, bias_rate=2.0, lr=0.1)
    net = nn.Linear(1, 1)
    with torch.no_grad():
        net.weight.fill_(2.0)
        net.bias.fill_(3.0)
    optimizer = loop.make_optimizer(recipe, net)
    loop.set_rate(replace(recipe, schedule="constant", warmup=0.0), optimizer, 0.5)
    for _ in range(2):
        optimizer.zero_grad()
        torch.autograd.backward(net(torch.ones(1, 1)).sum())  # gradient 1 for both
        optimizer.step()
    # v = 0.5 v + (1 + 0.1 w): 1.2, then 0.6 + 1.188; the bias does not decay and is twice as quick
    assert net.weight.item() == pytest.approx(2 - 0.12 - 0.1788)
    assert net.bias.item() == pytest.approx(3 - 0.2 * 1 - 0.2 * 1.5)


def test_options_of_the_net() -> None:
    wide = loop.make_net(replace(PARTS, net_options={"wide": 2}), 19)
    assert wide.state_dict()["stem.0.weight"].shape[0] == 8
    with pytest.raises(BadRecipe, match=r"tiny: net_options of partnet: .*'deep'; its options: wi"):
        loop.make_net(replace(PARTS, net_options={"deep": 2}), 19)


def test_batch_norm_needs_more_than_one_picture() -> None:
    with pytest.raises(BadRecipe, match="batch = 1, but partnet has batch norm"):
        loop.make_net(replace(PARTS, phases=(Phase(1.0, 32, 1),)), 19)


def test_progress_by_steps_and_by_the_clock() -> None:
    state = fresh()
    state.step, state.elapsed_s = 3, 30.0
    assert loop.progress_of(PARTS, state) == 0.5
    assert loop.progress_of(PARTS, state, ahead=1) == pytest.approx(4 / 6)
    assert loop.progress_of(replace(PARTS, minutes=2), state) == 0.25
    assert loop.progress_of(replace(PARTS, minutes=2), state, ahead=1) == 0.25


def test_the_average_follows_quickly_at_first_and_slowly_then() -> None:
    state = fresh()
    start, was = state_of(state.net), state_of(state.average)
    with torch.no_grad():
        for value in state.net.state_dict().values():
            value.add_(1)
    state.step = 1
    update_average(replace(PARTS, ema=0.9), state)  # 2 / 11 of the old
    name = "head.weight"
    torch.testing.assert_close(state.average.state_dict()[name], was[name] + 9 / 11)
    counter = "stem.1.num_batches_tracked"
    assert state.average.state_dict()[counter] == start[counter] + 1
    state.step = 10_000
    update_average(replace(PARTS, ema=0.9), state)
    torch.testing.assert_close(
        state.average.state_dict()[name], was[name] + 9 / 11 + 0.1 * (1 - 9 / 11)
    )


def test_only_matrices_decay() -> None:
    decayed, plain = fresh().optimizer.param_groups
    assert decayed["weight_decay"] == PARTS.weight_decay
    assert plain["weight_decay"] == 0
    assert all(p.ndim > 1 for p in decayed["params"])
    assert all(p.ndim <= 1 for p in plain["params"])
    count = sum(1 for _ in fresh().net.parameters())
    assert len(decayed["params"]) + len(plain["params"]) == count


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "new\n"),
        ("", "new\n"),
        ('{"step": 20}\n', '{"step": 20}\nnew\n'),
        ('{"step": 20}\n{"st', '{"step": 20}\n{"st\nnew\n'),
    ],
)
def test_a_log_goes_on_in_a_fresh_line(before: str | None, after: str, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    if before is not None:
        path.write_text(before)
    with loop.open_log(path, Group()) as log:
        assert log is not None
        log.write("new\n")
    assert path.read_text() == after
    with loop.open_log(tmp_path / "other", Group(rank=1, size=2)) as log:
        loop.write_row(log, {"step": 1})
    assert [p.name for p in tmp_path.iterdir()] == ["log.jsonl"]


class Scores:
    """A task that says what its validations give."""

    outputs = 19

    def __init__(self, *found: dict[str, float]) -> None:
        self.found = iter(found)
        self.exact: list[bool] = []

    def batch(self, step: int, phase: Phase) -> None: ...

    def loss(self, net: nn.Module, batch: Any, progress: float) -> Any:
        return sum(p.float().pow(2).sum() for p in net.parameters()), {}

    def validate(self, net: nn.Module) -> dict[str, float]:
        assert not net.training
        self.exact.append(not torch.is_autocast_enabled("cpu"))
        return next(self.found)


def trained_with(
    task: Scores, recipe: Recipe, out: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[State, list[dict[str, Any]]]:
    monkeypatch.setattr(loop, "make_task", lambda recipe, root, quiet: task)
    monkeypatch.setattr(loop, "write_data", lambda *args, **kwargs: None)
    state = loop.train(recipe, out, out, quiet=True)
    return state, [row for row in rows_of(out) if "val" in row]


EACH = replace(PARTS, val_every=1, save_every=1, data=(), occluders="")


@pytest.mark.parametrize("bf16", [True, False])
def test_validation_is_as_exact_as_training(
    bf16: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_bf16", lambda device: True)
    task = Scores({"mean_f1": 0.5})
    recipe = replace(EACH, bf16=bf16, steps=1)
    state, rows = trained_with(task, recipe, tmp_path, monkeypatch)
    assert task.exact == [not bf16]
    assert rows == [
        {"step": 1, "s": round(state.elapsed_s, 1), "val": {"mean_f1": 0.5}, "best": True}
    ]


def test_the_best_checkpoint_is_the_best_on_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Scores(*({"f1": v, "loss": -v} for v in (0.2, float("nan"), 0.5, 0.5, 0.4)))
    state, rows = trained_with(task, replace(EACH, steps=5), tmp_path, monkeypatch)
    assert (state.best, state.best_step, state.stale) == (0.5, 3, 2)
    assert [r["best"] for r in rows] == [True, False, True, False, False]
    saved = torch.load(tmp_path / "best.pt", weights_only=True)
    last = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert saved.keys() == last.keys()
    assert (saved["step"], last["step"]) == (3, 5)
    other = fresh()
    loop.load_checkpoint(other, tmp_path / "best.pt")
    assert other.step == 3
    assert not torch.equal(other.average.head.weight, state.average.head.weight)


def test_the_recipe_names_the_score_that_chooses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [{"f1": v, "iou": 1 - v} for v in (0.2, 0.5, 0.4)]
    recipe = replace(EACH, steps=3, best="iou")
    state, _ = trained_with(Scores(*found), recipe, tmp_path / "a", monkeypatch)
    assert (state.best, state.best_step) == (0.8, 1)
    with pytest.raises(BadRecipe, match="best = 'fq' is no score of task 'parts'; there are: f1, "):
        trained_with(Scores(*found), replace(recipe, best="fq"), tmp_path / "b", monkeypatch)


def test_training_ends_when_nothing_gets_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [{"f1": v} for v in (0.2, 0.5, 0.4, 0.5, 0.1, 0.9)]
    recipe = replace(EACH, steps=6, patience=2)
    state, rows = trained_with(Scores(*found), recipe, tmp_path, monkeypatch)
    assert state.step == len(rows) == 4
    again, rows = trained_with(Scores(), recipe, tmp_path, monkeypatch)  # nothing left to do
    assert again.step == len(rows) == 4
    state, rows = trained_with(
        Scores(*found[4:]), replace(recipe, patience=0), tmp_path, monkeypatch
    )
    assert state.step == len(rows) == 6
    assert (state.best, state.best_step) == (0.9, 6)


def test_without_validation_pictures_nothing_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, rows = trained_with(Scores(), replace(EACH, val=(), steps=2), tmp_path, monkeypatch)
    assert state.best is None
    assert not rows
    assert not (tmp_path / "best.pt").exists()


def test_a_checkpoint_of_an_older_version(tmp_path: Path) -> None:
    """It has the net, the average, the optimiser, the step and the time."""
    state = fresh()
    state.step, state.elapsed_s = 7, 1.5
    path = tmp_path / "checkpoint.pt"
    loop.save_checkpoint(state, path)
    saved = torch.load(path, weights_only=True)
    old = ("net", "average", "optimizer", "step", "elapsed_s")
    torch.save({key: saved[key] for key in old}, path)
    other = fresh()
    loop.load_checkpoint(other, path)
    assert (other.step, other.elapsed_s, other.best, other.validated) == (7, 1.5, None, -1)


class Spotted(nn.Module):
    """A net without batch norm, with dropout if wanted."""

    def __init__(self, parts: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 5, 4, 2)
        self.drop = nn.Dropout(dropout)
        self.last = nn.Conv2d(6, parts * 16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.drop(torch.relu(self.first(x)))
        return nn.functional.pixel_shuffle(self.last(y), 4)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partnet, "build", lambda parts, dropout=0.0: Spotted(parts, dropout))


ALL = {"ce": 0.5, "ce_sum": 1e-4, "dice": 0.5, "focal": 0.3, "lovasz": 0.4, "boundary": 0.2}
MIXED = replace(
    PARTS,
    data=(
        Source("celebamask", "people", "train", 0.5),
        Source("facecrops", "noisy", "all", 0.3, weight=0.6, trust=0.3),
        Source("figaro", "hair", "all", 0.2),
    ),
    phases=(Phase(0.5, 32, 4), Phase(1.0, 64, 4)),
    optimizer="sgd",
    lr=0.05,
    steps=4,
    bf16=False,
    val=(),
)


@pytest.mark.parametrize("loss", [{}, ALL], ids=["default", "all"])
@pytest.mark.parametrize("noisy", ["drop", "soft"])
def test_accumulated_pieces_are_the_large_batch(
    loss: dict[str, float], noisy: str, world: Path, tmp_path: Path, plain: None
) -> None:
    recipe = replace(MIXED, loss=loss, noisy=noisy)
    whole = loop.train(recipe, world, tmp_path / "whole", quiet=True)
    phases = tuple(replace(p, batch=1) for p in recipe.phases)
    cut = replace(recipe, phases=phases, accumulate=4)
    pieces = loop.train(cut, world, tmp_path / "pieces", quiet=True)
    start = loop.make_state(recipe, 19).net.state_dict()
    for name, value in whole.net.state_dict().items():
        torch.testing.assert_close(pieces.net.state_dict()[name], value, rtol=0, atol=1e-6)
        assert (value - start[name]).abs().max() > 1e-3, name


def test_batch_norm_remembers_each_piece_once(world: Path, tmp_path: Path) -> None:
    recipe = replace(MIXED, phases=(Phase(1.0, 32, 2),), accumulate=2, steps=3)
    net = loop.train(recipe, world, tmp_path, quiet=True).net
    assert net.state_dict()["stem.1.num_batches_tracked"] == 6
    assert all(m.track_running_stats for m in loop.batch_norms(net))


def test_tasks_without_sums_take_the_mean_of_the_pieces(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    class Counts(Scores):
        def batch(self, step: int, phase: Phase) -> int:
            return step

        def loss(self, net: nn.Module, batch: int, progress: float) -> Any:
            seen.append(batch)
            return batch * net.head.bias.sum(), {"batch": float(batch)}

    recipe = replace(EACH, steps=20, accumulate=3, val=(), optimizer="sgd", momentum=0.0, clip=0.0)
    recipe = replace(recipe, lr=1e-3, schedule="constant", warmup=0.0)
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    state, _ = trained_with(Counts(), recipe, tmp_path, monkeypatch)
    assert seen == list(range(60))
    (row,) = [r for r in rows_of(tmp_path) if r["step"] == 20]
    assert row["batch"] == pytest.approx(58)  # mean of 57, 58, 59
    moved = loop.make_state(recipe, 19).net.head.bias - state.net.head.bias
    torch.testing.assert_close(moved, torch.full_like(moved, 1e-3 * sum(range(60)) / 3))


def test_chance_in_the_net_is_resumed_too(
    world: Path, tmp_path: Path, plain: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(MIXED, net_options={"dropout": 0.5}, save_every=1)
    whole = loop.train(recipe, world, tmp_path / "whole", quiet=True)
    real = loop.take_step

    def stop_at_two(recipe: Recipe, state: State, *rest: Any) -> Any:
        if state.step == 2:
            raise KeyboardInterrupt
        return real(recipe, state, *rest)

    monkeypatch.setattr(loop, "take_step", stop_at_two)
    with pytest.raises(KeyboardInterrupt):
        loop.train(recipe, world, tmp_path / "twice", quiet=True)
    monkeypatch.setattr(loop, "take_step", real)
    torch.manual_seed(99)
    assert_same(whole, loop.train(recipe, world, tmp_path / "twice", quiet=True))


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_change_nothing(workers: int, world: Path, tmp_path: Path) -> None:
    one = loop.train(replace(PARTS, val=()), world, tmp_path / "1", quiet=True)
    more = loop.train(replace(PARTS, val=()), world, tmp_path / "n", quiet=True, workers=workers)
    assert_same(one, more)


def test_a_picture_that_is_damaged_while_training(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from faceparts.train import pools

    monkeypatch.setattr(pools, "KEEP_BYTES", 0)
    copied = tmp_path / "data"
    shutil.copytree(world / "people", copied / "people")
    task = loop.make_task(PARTS, copied)
    monkeypatch.setattr(loop, "make_task", lambda recipe, root, quiet: task)
    loop.train(replace(PARTS, steps=1), copied, tmp_path / "out", quiet=True)
    for path in (copied / "people" / "train" / "masks").iterdir():
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(BadData, match=r"step 1: .*train/masks/\d\.png: not a readable label"):
        loop.train(PARTS, copied, tmp_path / "out", quiet=True)
    for path in (copied / "people" / "train" / "masks").iterdir():
        save(path, np.zeros((4, 5), np.uint8))
    with pytest.raises(BadData, match=r"step 1: .*train/masks/\d\.png: 5x4 labels for a picture"):
        loop.train(PARTS, copied, tmp_path / "out", quiet=True)


def test_the_bar_is_shown_unless_quiet(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = replace(PARTS, steps=1, val=())
    loop.train(recipe, world, tmp_path / "a", quiet=True)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
    loop.train(recipe, world, tmp_path / "b")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "%" in captured.err
