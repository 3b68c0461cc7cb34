"""All that changes while training: made from a recipe, kept in a checkpoint."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from faceparts import folder
from faceparts._headers import one_line
from faceparts.errors import BadRecipe, FacePartsError
from faceparts.streams.files import open_atomic
from faceparts.train import pretrained
from faceparts.train._misfit import misfits, some
from faceparts.train.config import Recipe, checked


class TrainingFailed(FacePartsError, RuntimeError):
    """The loss stopped being a number, or a checkpoint does not fit."""


@dataclasses.dataclass
class State:
    """What a checkpoint holds.

    Args:
        net: the net that learns.
        average: the same with averaged weights: what is validated and exported.
        optimizer: with its memory of past gradients.
        step: optimiser steps done.
        elapsed_s: seconds of training so far, over all interruptions.
        best: best score on the validation data; ``None`` before the first validation.
        best_step: where that was.
        stale: validations since then.
        validated: step of the last validation; -1 before the first.
    """

    net: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    elapsed_s: float = 0.0
    best: float | None = None
    best_step: int = 0
    stale: int = 0
    validated: int = -1


LONGEST_REASON = 200
"""Characters of what PyTorch says about a checkpoint: it lists everything."""

_PLAIN = ("step", "elapsed_s", "best", "best_step", "stale", "validated")


def options_of(recipe: Recipe) -> dict[str, Any]:
    """What the recipe's net is built with.

    Raises:
        BadRecipe: the net does not take one of ``net_options``, or takes another type.
    """
    signature = inspect.signature(folder.load("faceparts.train.nets", recipe.net).build)
    try:
        signature.bind(0, **recipe.net_options)
    except TypeError as error:
        known = ", ".join([*signature.parameters][1:]) or "none"
        raise BadRecipe(
            f"{recipe.name}: net_options of {recipe.net}: {error}; its options: {known}"
        ) from error
    kinds = {name: str(one.annotation) for name, one in signature.parameters.items()}
    where = f"{recipe.name}: net_options of {recipe.net}"
    given = recipe.net_options.items()
    return {k: checked(v, kinds.get(k, ""), f"{where}: {k}") for k, v in given}


def make_net(recipe: Recipe, outputs: int, tell: Callable[[str], None] | None = None) -> nn.Module:
    """A fresh net from the recipe's seed, or filled from ``init``.

    Args:
        recipe: what to make.
        outputs: number of output channels.
        tell: takes a line if ``init`` does not fill all of the net.

    Raises:
        BadRecipe: see `options_of`; or the net needs larger batches.
    """
    torch.manual_seed(recipe.seed)
    build = folder.load("faceparts.train.nets", recipe.net).build
    net: nn.Module = build(outputs, **options_of(recipe))
    if batch_norms(net) and any(p.batch < 2 for p in recipe.phases):
        raise BadRecipe(
            f"{recipe.name}: batch = 1, but {recipe.net} has batch norm; take a batch of at least 2"
        )
    if recipe.init in pretrained.ENCODERS:
        pretrained.fill(net, recipe.init)
    elif recipe.init:
        from faceparts.train.export import load_initial

        fresh = load_initial(net, recipe.init)
        if fresh and tell is not None:
            tell(
                f"init {recipe.init}: {len(fresh)} of the net's values are not in it and stay "
                f"fresh: {some(fresh)}"
            )
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's stub
    return net


def batch_norms(net: nn.Module) -> list[_BatchNorm]:
    """The batch-norm layers of a net."""
    return [m for m in net.modules() if isinstance(m, _BatchNorm)]


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


def make_state(
    recipe: Recipe,
    outputs: int,
    device: torch.device | None = None,
    tell: Callable[[str], None] | None = None,
) -> State:
    """Fresh net, averaged copy and optimiser, on the processor unless a device is given.

    Raises:
        BadRecipe: see `make_net`, which ``tell`` is for.
    """
    net = make_net(recipe, outputs, tell).to(device or torch.device("cpu"))
    return State(net, copy.deepcopy(net).eval(), make_optimizer(recipe, net))


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


def save_checkpoint(state: State, path: Path) -> None:
    """Write next to the old one, then replace it: an interruption never leaves half a file.

    Raises:
        UnwritableOutput: the system refuses; the message says what to do.
    """
    values = {
        "net": state.net.state_dict(),
        "average": state.average.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        **{name: getattr(state, name) for name in _PLAIN},
    }
    with open_atomic(path, force=True) as file:
        torch.save(values, file)


def load_checkpoint(state: State, path: Path) -> None:
    """Fill a state from a checkpoint, ``checkpoint.pt`` or ``best.pt``.

    Raises:
        TrainingFailed: the file is damaged or belongs to another net.
    """
    try:
        saved = torch.load(path, weights_only=True, map_location="cpu")
        if wrong := misfits(state.net.state_dict(), saved["net"]):
            raise ValueError(f"another net, {len(wrong)} values differ: {some(wrong)}")
        state.net.load_state_dict(saved["net"])
        state.average.load_state_dict(saved["average"])
        state.optimizer.load_state_dict(saved["optimizer"])
        state.step, state.elapsed_s = int(saved["step"]), float(saved["elapsed_s"])
        for name in _PLAIN:
            setattr(state, name, saved.get(name, getattr(state, name)))
    except Exception as error:  # damage shows in a dozen ways, the reader's own errors among them
        reason = textwrap.shorten(one_line(str(error)), LONGEST_REASON, placeholder=" ...")
        raise TrainingFailed(
            f"{path}: not a checkpoint of this recipe ({reason}); move it away to start anew"
        ) from error
