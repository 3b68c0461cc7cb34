"""A drawn data root and small recipes for the tests of training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dataset_folders import (
    Drawn,
    draw,
    save,
    write_facecrops,
    write_figaro,
    write_scut_head,
)
from faceparts.train.config import Phase, Recipe, Source
from faceparts.train.loop import Task

PARTS = Recipe(
    name="tiny",
    net="partnet",
    task="parts",
    phases=(Phase(0.5, 32, 2), Phase(1.0, 64, 2)),
    data=(Source("celebamask", "people", "train", 1.0),),
    val=(Source("celebamask", "people", "val", 1.0),),
    seed=3,
    steps=6,
    val_every=4,
    save_every=3,
)
HEADS = replace(
    PARTS,
    net="headnet",
    task="heads",
    phases=(Phase(1.0, 64, 2),),
    data=(Source("scut_head", "rooms", "train", 0.5), Source("celebamask", "people", "train", 0.5)),
    val=(Source("scut_head", "rooms", "val", 1.0),),
    negatives="empty",
    occluders="occluders",
    occlude=0.5,
)


def write_world(root: Path) -> Path:
    """A data root: ``people``, ``noisy``, ``hair``, ``rooms`` (two heads), ``empty``, occluders."""
    for split in ("train", "val"):
        for seed in range(2):
            one = draw(seed, mirrored=bool(seed))
            save(root / "people" / split / "images" / f"{seed}.jpg", one.image)
            save(root / "people" / split / "masks" / f"{seed}.png", one.ids)
            write_facecrops(root / "noisy", "all", f"{seed}", one)
            write_figaro(root / "hair", "all", f"{seed}", one)
            write_scut_head(root / "rooms", split, f"{seed}", two(one, draw(seed + 7)))
            xml = root / "rooms" / split / "annotations" / f"{seed}.xml"
            x0, y0, x1, y1 = draw(seed + 7).box_xyxy + np.float32([120, 0, 120, 0])
            box = f"<xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
            other = f"<object><bndbox>{box}</bndbox></object></annotation>"
            xml.write_text(xml.read_text().replace("</annotation>", other))
    rng = np.random.default_rng(0)
    for i in range(3):
        save(root / "empty" / f"{i}.png", rng.integers(0, 256, (40, 50, 3), dtype=np.uint8))
        save(root / "occluders" / "textures" / f"{i}.png", np.full((30, 30, 3), 99, np.uint8))
    return root


def two(one: Drawn, other: Drawn) -> Drawn:
    """Two pictures side by side; what is marked is the first one's."""
    return replace(one, image=np.concatenate([one.image, other.image], axis=1))


@contextmanager
def one_thread() -> Iterator[None]:
    """torch on one thread, so that sums come in one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def state_of(module: torch.nn.Module) -> dict[str, Any]:
    """Copies of all values of a net."""
    return {k: v.clone() for k, v in module.state_dict().items()}


def losses_of_learning(
    task: Task, net: nn.Module, batch: Any, *, lr: float, steps: int
) -> list[float]:
    """Train on one batch over and over; the loss before each step."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        loss, _ = task.loss(net, batch, 0.0)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    return losses
