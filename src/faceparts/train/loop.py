"""The training loop: one for all nets, readable from top to bottom."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import math
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TextIO

import cv2
import torch
from torch import Tensor, nn
from tqdm import tqdm

from faceparts import folder
from faceparts.errors import BadRecipe, FacePartsError
from faceparts.streams.files import open_atomic, write_atomic
from faceparts.train.config import Phase, Recipe, phase_at


class Task(Protocol):
    """Data, loss and validation of one kind of net."""

    @property
    def outputs(self) -> int: ...

    def batch(self, step: int, phase: Phase) -> Any: ...

    def loss(
        self, net: nn.Module, batch: Any, progress: float
    ) -> tuple[Tensor, dict[str, float]]: ...

    def validate(self, net: nn.Module) -> dict[str, float]: ...


class TrainingFailed(FacePartsError, RuntimeError):
    """The loss stopped being a number, or a checkpoint does not fit."""


@dataclasses.dataclass
class State:
    """All that changes while training; what a checkpoint holds."""

    net: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    elapsed_s: float = 0.0


def make_task(recipe: Recipe, root: Path) -> Task:
    """The task that a recipe names, with its data read; see `config.tasks`."""
    task: Task = folder.load("faceparts.train", recipe.task).make_task(recipe, root)
    return task


def make_net(recipe: Recipe, outputs: int) -> nn.Module:
    """A fresh net from the recipe's seed, or filled from ``init``.

    Raises:
        BadRecipe: the net does not take one of ``net_options``, or needs larger batches.
    """
    torch.manual_seed(recipe.seed)
    build = folder.load("faceparts.train.nets", recipe.net).build
    try:
        inspect.signature(build).bind(outputs, **recipe.net_options)
    except TypeError as error:
        known = ", ".join([*inspect.signature(build).parameters][1:]) or "none"
        raise BadRecipe(
            f"{recipe.name}: net_options of {recipe.net}: {error}; its options: {known}"
        ) from error
    net: nn.Module = build(outputs, **recipe.net_options)
    normed = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in net.modules())
    if normed and any(p.batch < 2 for p in recipe.phases):
        raise BadRecipe(
            f"{recipe.name}: batch = 1, but {recipe.net} has batch norm; take a batch of at least 2"
        )
    if recipe.init:
        from faceparts.train.export import load_initial

        load_initial(net, recipe.init)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's stub
    return net


def make_optimizer(recipe: Recipe, net: nn.Module) -> torch.optim.Optimizer:
    """AdamW or SGD; biases and norms do not decay, biases may have another rate."""
    learnt = [(name, p) for name, p in net.named_parameters() if p.requires_grad]
    decayed = [p for _, p in learnt if p.ndim > 1]
    rest = [(name, p) for name, p in learnt if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": [p for _, p in rest], "weight_decay": 0.0},
    ]
    if recipe.bias_rate != 1:
        biases = [p for name, p in rest if name.rpartition(".")[2] == "bias"]
        groups[1]["params"] = [p for name, p in rest if name.rpartition(".")[2] != "bias"]
        groups.append({"params": biases, "weight_decay": 0.0, "share": recipe.bias_rate})
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum)
    return torch.optim.AdamW(groups, lr=recipe.lr)


def make_state(recipe: Recipe, outputs: int) -> State:
    """Fresh net, averaged copy and optimiser."""
    net = make_net(recipe, outputs)
    return State(net, copy.deepcopy(net).eval(), make_optimizer(recipe, net))


def train(
    recipe: Recipe, root: Path, out: Path, *, threads: int | None = None, quiet: bool = False
) -> State:
    """Train to the end, or go on from the checkpoint in ``out``.

    Writes ``out/{recipe.json,log.jsonl,checkpoint.pt}``; the checkpoint is replaced atomically.

    Args:
        recipe: what to train.
        root: folder that the recipe's data lies in.
        out: folder of this training.
        threads: processor threads; ``None`` = PyTorch's own choice.
        quiet: no progress bar.

    Raises:
        TrainingFailed: the loss is not finite; the message names the step.
        BadData: a source is missing or damaged.
        UnwritableOutput: a checkpoint cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    if threads is not None:
        torch.set_num_threads(threads)
    task = make_task(recipe, root)
    state = make_state(recipe, task.outputs)
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        load_checkpoint(state, checkpoint)
    table = json.dumps(dataclasses.asdict(recipe), indent=1)
    write_atomic(out / "recipe.json", table.encode(), force=True)
    bar = tqdm(total=100.0, initial=100 * progress_of(recipe, state), disable=quiet, unit="%")
    bar.bar_format = "{l_bar}{bar}| {n:.1f}% [{elapsed}<{remaining}] {postfix}"
    began = time.monotonic() - state.elapsed_s
    with ThreadPoolExecutor(1) as pool, open_log(out / "log.jsonl") as log:
        coming: Future[Any] | None = None
        while (progress := progress_of(recipe, state)) < 1.0:
            batch = (
                coming.result() if coming else task.batch(state.step, phase_at(recipe, progress))
            )
            ahead = min(1.0, progress_of(recipe, state, ahead=1))
            coming = pool.submit(task.batch, state.step + 1, phase_at(recipe, ahead))
            rate = set_rate(recipe, state.optimizer, progress)
            loss, parts = take_step(recipe, state, task, batch, progress)
            state.elapsed_s = time.monotonic() - began
            if state.step % 20 == 0:
                row = {"step": state.step, "loss": loss, "lr": rate, "s": round(state.elapsed_s, 1)}
                log.write(json.dumps({**row, **parts}) + "\n")
                log.flush()
                bar.n = 100 * progress
                bar.set_postfix_str(f"step {state.step} loss {loss:.3f}")
            if state.step % recipe.val_every == 0:
                note(log, recipe, state, task)
            if state.step % recipe.save_every == 0:
                save_checkpoint(state, checkpoint)
        note(log, recipe, state, task)
    save_checkpoint(state, checkpoint)
    bar.close()
    return state


def progress_of(recipe: Recipe, state: State, *, ahead: int = 0) -> float:
    """Share of the training that is done, by the clock or by steps."""
    if recipe.minutes:
        return state.elapsed_s / (60 * recipe.minutes)
    return (state.step + ahead) / recipe.steps


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
    recipe: Recipe, state: State, task: Task, batch: Any, progress: float
) -> tuple[float, dict[str, float]]:
    """One optimiser step and one step of the averaged weights."""
    state.net.train()
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
        loss, parts = task.loss(state.net, batch, progress)
    value = float(loss.item())
    if not math.isfinite(value):
        raise TrainingFailed(
            f"step {state.step}: the loss is {value}; lower lr ({recipe.lr}) or set bf16 = false"
        )
    state.optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    if recipe.clip:
        torch.nn.utils.clip_grad_norm_(state.net.parameters(), recipe.clip)
    state.optimizer.step()
    state.step += 1
    update_average(recipe, state)
    return value, parts


@torch.no_grad()
def update_average(recipe: Recipe, state: State) -> None:
    """Exponential moving average of weights and batch statistics; quick at the start."""
    decay = min(recipe.ema, (1 + state.step) / (10 + state.step))
    for mean, now in zip(
        state.average.state_dict().values(), state.net.state_dict().values(), strict=True
    ):
        if mean.dtype.is_floating_point:
            mean.lerp_(now, 1 - decay)
        else:
            mean.copy_(now)


def open_log(path: Path) -> TextIO:
    """Open a log to add lines to; a last line that a kill has cut off is ended first."""
    cut = path.exists() and path.read_bytes()[-1:] not in (b"", b"\n")
    log = path.open("a", encoding="utf-8")
    if cut:
        log.write("\n")
    return log


def note(log: TextIO, recipe: Recipe, state: State, task: Task) -> None:
    """Validate the averaged weights, as exactly as they are trained, and write one line."""
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
        scores = task.validate(state.average)
    log.write(
        json.dumps({"step": state.step, "s": round(state.elapsed_s, 1), "val": scores}) + "\n"
    )
    log.flush()


def save_checkpoint(state: State, path: Path) -> None:
    """Write next to the old one, then replace it: an interruption never leaves half a file.

    Raises:
        UnwritableOutput: the system refuses; the message says what to do.
    """
    values = {
        "net": state.net.state_dict(),
        "average": state.average.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "step": state.step,
        "elapsed_s": state.elapsed_s,
    }
    with open_atomic(path, force=True) as file:
        torch.save(values, file)


def load_checkpoint(state: State, path: Path) -> None:
    """Fill a state from a checkpoint.

    Raises:
        TrainingFailed: the file is damaged or belongs to another net.
    """
    try:
        saved = torch.load(path, weights_only=True)
        state.net.load_state_dict(saved["net"])
        state.average.load_state_dict(saved["average"])
        state.optimizer.load_state_dict(saved["optimizer"])
        state.step, state.elapsed_s = int(saved["step"]), float(saved["elapsed_s"])
    except Exception as error:  # damage shows in a dozen ways, the reader's own errors among them
        raise TrainingFailed(
            f"{path}: not a checkpoint of this recipe ({error}); move it away to start anew"
        ) from error
