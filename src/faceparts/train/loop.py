"""The training loop: one for all nets, readable from top to bottom."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO, runtime_checkable

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from faceparts import folder
from faceparts.errors import BadRecipe
from faceparts.streams.files import write_atomic
from faceparts.train import pretrained
from faceparts.train._kept import Kept, require_own
from faceparts.train.config import Phase, Recipe
from faceparts.train.curves import write_curves
from faceparts.train.data_list import FILE as DATA
from faceparts.train.data_list import used_by, write_data
from faceparts.train.distributed import Group, join
from faceparts.train.feed import Feed
from faceparts.train.precision import exactness, uses_bf16
from faceparts.train.provenance import write_run
from faceparts.train.state import (
    State,
    TrainingFailed,
    batch_norms,
    load_checkpoint,
    make_net,
    make_optimizer,
    make_state,
    options_of,
    save_checkpoint,
    update_average,
)

__all__ = [
    "State",
    "Summing",
    "Task",
    "TrainingFailed",
    "load_checkpoint",
    "make_net",
    "make_optimizer",
    "make_state",
    "make_task",
    "save_checkpoint",
    "train",
]

LOG_EVERY = 20
"""Steps between two lines of the log."""


class Task(Protocol):
    """Data, loss and validation of one kind of net.

    ``batch`` gives the same for the same number, from any thread; a dataclass of tensors whose
    ``keys``, if it has them, name its pictures. ``validate`` runs where the net's weights are.
    """

    @property
    def outputs(self) -> int: ...

    def batch(self, step: int, phase: Phase) -> Any: ...

    def loss(
        self, net: nn.Module, batch: Any, progress: float
    ) -> tuple[Tensor, dict[str, float]]: ...

    def validate(self, net: nn.Module) -> dict[str, float]: ...


@runtime_checkable
class Summing(Protocol):
    """A task whose loss is made of sums over pictures (`train.losses`).

    A step that is cut into pieces, in time or over processes, is then exactly the whole step. For
    other tasks it is the mean of the pieces' losses.
    """

    def sums(self, net: nn.Module, batch: Any, progress: float) -> dict[str, Tensor]: ...

    def total(self, sums: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]: ...


def make_task(recipe: Recipe, root: Path, *, quiet: bool = False) -> Task:
    """The task that a recipe names, with its data read; see `config.tasks`."""
    task: Task = folder.load("faceparts.train", recipe.task).make_task(recipe, root, quiet=quiet)
    return task


def train(
    recipe: Recipe,
    root: Path,
    out: Path,
    *,
    threads: int | None = None,
    workers: int = 1,
    device: str = "auto",
    quiet: bool = False,
) -> State:
    """Train to the end, or go on from the checkpoint in ``out``.

    Writes into ``out``: ``recipe.json`` (resolved), ``run.json`` (versions, data hashes) and
    ``data.json`` (the pictures' hashes), ``log.jsonl``, ``checkpoint.pt``, and at each validation
    ``best.pt`` and ``curves.{png,svg}``.
    Under ``torchrun`` all processes must see the same ``out``; the first one writes.

    Args:
        recipe: what to train.
        root: folder that the recipe's data lies in.
        out: folder of this training.
        threads: processor threads; ``None`` = PyTorch's own choice.
        workers: threads that prepare batches.
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``.
        quiet: no progress bars.

    Raises:
        TrainingFailed: the loss is not finite; the message names step and pictures.
        BadData: a source is missing or damaged.
        UnwritableOutput: a checkpoint cannot be written.
        UsageError: the device is not there, or ``out`` holds another training.
    """
    require_own(out, Kept(recipe.task, recipe.name, recipe.net, recipe.label_set))
    options_of(recipe)  # said at once, not after minutes of reading data
    out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    if threads is not None:
        torch.set_num_threads(threads)
    with join(device) as group:
        if recipe.init in pretrained.ENCODERS:  # at once too
            pretrained.find(recipe.init)
        task = make_task(recipe, root, quiet=quiet or not group.first)
        checkpoint = out / "checkpoint.pt"
        tell = say if group.first and not checkpoint.exists() else None
        state = make_state(recipe, task.outputs, group.device, tell)
        if checkpoint.exists():
            load_checkpoint(state, checkpoint)
        if group.first:
            write_atomic(out / "recipe.json", recipe_json(recipe), force=True)
            about = {"device": str(group.device), "processes": group.size, "workers": workers}
            about["bf16"] = uses_bf16(recipe, group.device)
            write_run(recipe, root, out / "run.json", **about)
            write_data(used_by(recipe), root, out / DATA, resumed=checkpoint.exists())
        began = time.monotonic() - state.elapsed_s
        with (
            Feed(task, recipe, group, workers) as feed,
            open_log(out / "log.jsonl", group) as log,
            progress_bar(recipe, state, quiet or not group.first) as bar,
        ):
            logged = time.monotonic()
            while (progress := progress_of(recipe, state)) < 1 and not is_stale(recipe, state):
                batches = feed.take(state.step, lambda n: progress_of(recipe, state, ahead=n))
                rate = set_rate(recipe, state.optimizer, progress)
                loss, parts = take_step(recipe, state, task, batches, progress, group)
                state.elapsed_s = group.tell(time.monotonic() - began)
                if state.step % LOG_EVERY == 0:
                    took_s, logged = time.monotonic() - logged, time.monotonic()
                    row = {"step": state.step, "loss": loss, "lr": rate}
                    row |= {"s": round(state.elapsed_s, 1), **parts}
                    row["wait"] = round(feed.waited_s / max(1e-9, took_s), 4)
                    feed.waited_s = 0.0
                    write_row(log, row)
                    bar.n = 100 * progress
                    bar.set_postfix_str(f"step {state.step} loss {loss:.3f} wait {row['wait']:.0%}")
                if state.step % recipe.val_every == 0:
                    validate(recipe, state, task, group, out, log)
                if state.step % recipe.save_every == 0 and group.first:
                    save_checkpoint(state, checkpoint)
            if state.validated != state.step:
                validate(recipe, state, task, group, out, log)
        if group.first:
            save_checkpoint(state, checkpoint)
    return state


def progress_of(recipe: Recipe, state: State, *, ahead: int = 0) -> float:
    """Share of the training that is done, by the clock or by steps."""
    if recipe.minutes:
        return state.elapsed_s / (60 * recipe.minutes)
    return (state.step + ahead) / recipe.steps


def is_stale(recipe: Recipe, state: State) -> bool:
    """Whether the validation score has not become better for too long."""
    return 0 < recipe.patience <= state.stale


def set_rate(recipe: Recipe, optimizer: torch.optim.Optimizer, progress: float) -> float:
    """Linear warm-up, then cosine down to a hundredth or constant; the rate set is returned."""
    share = 1.0
    if progress < recipe.warmup:
        share = 0.02 + 0.98 * progress / recipe.warmup
    elif recipe.schedule == "cosine":
        done = (progress - recipe.warmup) / (1 - recipe.warmup)
        share = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    for group in optimizer.param_groups:
        group["lr"] = recipe.lr * share * group.get("share", 1.0)
    return recipe.lr * share


def take_step(
    recipe: Recipe, state: State, task: Task, batches: list[Any], progress: float, group: Group
) -> tuple[float, dict[str, float]]:
    """One optimiser step over the pieces of a batch, and one step of the averaged weights.

    Raises:
        TrainingFailed: the loss is not finite; the weights are as before the step.
    """
    state.net.train()
    state.optimizer.zero_grad(set_to_none=True)
    in_pieces = len(batches) > 1 or group.size > 1
    learn = learn_from_sums if in_pieces and isinstance(task, Summing) else learn_from_means
    loss, parts = learn(recipe, state, task, batches, progress, group)
    if not math.isfinite(loss):
        keys = [key for batch in batches for key in getattr(batch, "keys", ())]
        raise TrainingFailed(
            f"step {state.step}: the loss is {loss}; pictures of the step: "
            f"{', '.join(keys) or 'not known'}; look at their labels, lower lr ({recipe.lr}), or "
            "set bf16 = false, and go on from the checkpoint"
        )
    group.add_gradients(state.net)
    if recipe.clip:
        torch.nn.utils.clip_grad_norm_(state.net.parameters(), recipe.clip)
    state.optimizer.step()
    state.step += 1
    update_average(recipe, state)
    return loss, parts


def learn_from_means(
    recipe: Recipe, state: State, task: Task, batches: list[Any], progress: float, group: Group
) -> tuple[float, dict[str, float]]:
    """Gradient of the mean of the pieces' losses; also what a step in one piece does."""
    share = 1 / (len(batches) * group.size)
    values: dict[str, float] = {}
    for i, batch in enumerate(batches):
        seed_chance(recipe, state, group, i)
        with exactness(recipe, group.device):
            loss, parts = task.loss(state.net, batch, progress)
        torch.autograd.backward(loss * share)
        for name, value in {"loss": loss.item(), **parts}.items():
            values[name] = values.get(name, 0.0) + share * value
    told = {name: torch.tensor(v, dtype=torch.float64) for name, v in values.items()}
    if group.size > 1:
        values = {name: float(v) for name, v in group.add(told).items()}
    return values.pop("loss"), values


def learn_from_sums(
    recipe: Recipe, state: State, task: Any, batches: list[Any], progress: float, group: Group
) -> tuple[float, dict[str, float]]:
    """Gradient of the whole step's loss, piece by piece.

    The loss is a function of sums over all pictures. So the sums of all pieces come first (for
    several pieces in one process: by a forward pass of its own), and then each piece's share of
    the gradient, with the sums of all others as constants.
    """

    def sums(i: int) -> dict[str, Tensor]:
        seed_chance(recipe, state, group, i)
        with exactness(recipe, group.device):
            found: dict[str, Tensor] = task.sums(state.net, batches[i], progress)
        return found

    whole: dict[str, Tensor] | None = None
    if len(batches) > 1:
        with torch.no_grad(), norms_at_rest(state.net):
            pieces = [sums(i) for i in range(len(batches))]
        whole = group.add({n: torch.stack([p[n] for p in pieces]).sum(0) for n in pieces[0]})
    loss, parts = torch.tensor(math.nan), {}
    for i in range(len(batches)):
        own = sums(i)
        whole = whole or group.add(own)
        loss, parts = task.total({n: whole[n] + (v - v.detach()) for n, v in own.items()})
        torch.autograd.backward(loss)
    return loss.item(), parts


def seed_chance(recipe: Recipe, state: State, group: Group, piece: int) -> None:
    """Seed what nets draw (dropout) by step and piece: a resumed training draws the same."""
    number = (recipe.seed, state.step, group.rank, piece)
    torch.manual_seed(int(np.random.SeedSequence(number).generate_state(1, np.uint64)[0] >> 1))


@contextmanager
def norms_at_rest(net: nn.Module) -> Iterator[None]:
    """Batch norms work as in training, but do not remember what they see."""
    norms = batch_norms(net)
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def validate(
    recipe: Recipe, state: State, task: Task, group: Group, out: Path, log: TextIO | None
) -> None:
    """Score the averaged weights, as exactly as they are trained; keep the best as ``best.pt``.

    Only pictures of the recipe's ``[[val]]`` are looked at; without any, nothing is done.

    Raises:
        BadRecipe: ``best`` is none of the task's scores.
    """
    state.validated = state.step
    if not recipe.val:
        return
    if group.first:
        with exactness(recipe, group.device):
            scores = task.validate(state.average)
        chosen = recipe.best or next(iter(scores))
        if chosen not in scores:
            raise BadRecipe(
                f"{recipe.name}: best = {chosen!r} is no score of task {recipe.task!r}; "
                f"there are: {', '.join(scores)}"
            )
        better = state.best is None or scores[chosen] > state.best
        if better:
            state.best, state.best_step, state.stale = scores[chosen], state.step, 0
            save_checkpoint(state, out / "best.pt")
        else:
            state.stale += 1
        row = {"step": state.step, "s": round(state.elapsed_s, 1), "val": scores, "best": better}
        write_row(log, row)
        write_curves(out / "log.jsonl", recipe.name, state.best_step)
    state.stale = int(group.tell(state.stale))


def say(line: str) -> None:
    """A line on standard error, above the bars."""
    tqdm.write(line, file=sys.stderr)


def progress_bar(recipe: Recipe, state: State, quiet: bool) -> Any:
    """Share of the training that is done, with the time left."""
    bar = tqdm(total=100.0, initial=100 * progress_of(recipe, state), disable=quiet, unit="%")
    bar.bar_format = "{l_bar}{bar}| {n:.1f}% [{elapsed}<{remaining}] {postfix}"
    return bar


@contextmanager
def open_log(path: Path, group: Group) -> Iterator[TextIO | None]:
    """Open a log to add lines to; a last line that a kill has cut off is ended first."""
    if not group.first:
        yield None
        return
    cut = path.exists() and path.read_bytes()[-1:] not in (b"", b"\n")
    with path.open("a", encoding="utf-8") as log:
        if cut:
            log.write("\n")
        yield log


def write_row(log: TextIO | None, row: dict[str, Any]) -> None:
    """Add one line to the log, if this process has it."""
    if log is not None:
        log.write(json.dumps(row) + "\n")
        log.flush()


def recipe_json(recipe: Recipe) -> bytes:
    """All that decided a training, defaults included."""
    return json.dumps(dataclasses.asdict(recipe), indent=1).encode()
