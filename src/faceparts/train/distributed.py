"""Several processes that train one net: ``torchrun --nproc-per-node 2 -m faceparts train ...``.

Every process works on its own pictures of a step. Sums (`train.losses`) and gradients are added up
over all of them, so a step is what one process would do with all the pictures at once; only batch
norm looks at each process's pictures by themselves. The first process alone writes files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import torch
from torch import Tensor, nn
from torch import distributed as dist

from faceparts.errors import UsageError

PATIENCE = timedelta(hours=4)
"""How long processes wait for each other; the first one validates while the others wait."""


@dataclass(frozen=True)
class Group:
    """The processes of a training; by default there is one.

    Args:
        rank: number of this process.
        size: how many there are.
        device: where this process computes.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def add(self, sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Totals over all processes of float32 values, without gradients."""
        values = {name: value.detach().float() for name, value in sums.items()}
        if self.size == 1:
            return values
        flat = torch.cat([v.flatten().to(self.device) for v in values.values()])
        dist.all_reduce(flat)
        pieces = torch.split(flat, [v.numel() for v in values.values()])
        return {n: p.view_as(v) for (n, v), p in zip(values.items(), pieces, strict=True)}

    def add_gradients(self, net: nn.Module) -> None:
        """Replace every gradient by its total over all processes."""
        if self.size == 1:
            return
        learnt = [p for p in net.parameters() if p.requires_grad]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in learnt]
        flat = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(flat)
        pieces = torch.split(flat, [p.numel() for p in learnt])
        for value, total in zip(learnt, pieces, strict=True):
            value.grad = total.view_as(value)

    def tell(self, value: float) -> float:
        """The first process's value, in all processes."""
        if self.size == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.broadcast(told, 0)
        return float(told.item())


@contextmanager
def join(device: str) -> Iterator[Group]:
    """The group that ``torchrun`` started this process in, or a group of one.

    Args:
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``: a graphics card if there is one.

    Raises:
        UsageError: the device is not there, or there are more processes than graphics cards.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    chosen = pick_device(device, int(os.environ.get("LOCAL_RANK", "0")))
    if size == 1:
        yield Group(device=chosen)
        return
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Group(rank, size, chosen)
    finally:
        dist.destroy_process_group()


def pick_device(device: str, number: int = 0) -> torch.device:
    """The processor, or the graphics card of that number.

    Raises:
        UsageError: unknown word, or no such graphics card.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device {device!r}: wanted auto, cpu or cuda")
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "cpu" or (device == "auto" and not cards):
        return torch.device("cpu")
    if number >= cards:
        raise UsageError(
            f"device {device!r}: process {number} wants graphics card {number}, PyTorch sees "
            f"{cards}; use --device cpu, or start fewer processes"
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)
