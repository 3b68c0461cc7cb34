"""``faceparts train``: a recipe and data in, a checkpoint out; goes on where it was stopped."""

from __future__ import annotations

import errno
import importlib
import os
import tempfile
from pathlib import Path
from typing import Any

import click

from faceparts.cli._ranges import NumberRange
from faceparts.errors import UnwritableOutput, UsageError


@click.command("train", short_help="Train a model by a recipe.")
@click.argument("recipe", metavar="RECIPE")
@click.option(
    "--data",
    required=True,
    envvar="FACEPARTS_DATA",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder that the recipe's datasets lie in (or FACEPARTS_DATA).",
)
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of this training. If it holds a checkpoint, the training goes on from there.",
)
@click.option("--minutes", type=NumberRange(0.05), help="Length by the clock.")
@click.option("--steps", type=click.IntRange(1), help="Length in steps.")
@click.option("--init", metavar="NAME|FILE", help="Exported net to start from.")
@click.option("--seed", type=click.IntRange(0), help="Another seed than the recipe's.")
@click.option("--threads", type=click.IntRange(1, 1024), help="Processor threads; all by default.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Threads that prepare batches.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to compute; auto takes a graphics card if PyTorch sees one.",
)
@click.option("--quiet", is_flag=True, help="No progress bar.")
def train(
    recipe: str,
    data: Path,
    out: Path,
    minutes: float | None,
    steps: int | None,
    init: str | None,
    seed: int | None,
    threads: int | None,
    workers: int,
    device: str,
    quiet: bool,
) -> int:
    """Train a model by RECIPE: a TOML file, or the name of a shipped recipe.

    The folder --out gets the checkpoints (checkpoint.pt to go on from, best.pt with the best score
    on the recipe's validation pictures), the log, curves, and what it was all made from. Several
    processes or machines: start it with torchrun.

    \b
    Example:
      faceparts train partnet --data data --out runs/partnet
      faceparts train headnet --data data --out runs/headnet --minutes 30 --threads 1
      torchrun --nproc-per-node 2 -m faceparts train partnet --data data --out runs/partnet
    """
    from dataclasses import replace

    from faceparts.train import config

    path = config.find_recipe(recipe)
    table = config.read_table(path)
    if minutes is not None and steps is not None:
        raise UsageError("--minutes and --steps exclude each other; give one of them")
    if table.get("task") == "forest":
        if minutes is not None or steps is not None or init is not None:
            raise UsageError(
                f"{recipe}: a forest has no steps; leave --minutes, --steps, --init out"
            )
        if seed is not None:
            table["seed"] = seed
        require_writable(out)
        _extra("forest_run").train(table, path, data, out, threads=threads, quiet=quiet)
        return 0
    if table.get("task") == "headpose":
        if minutes is not None or steps is not None or init is not None:
            raise UsageError(
                f"{recipe}: head pose has no steps; leave --minutes, --steps, --init out"
            )
        if seed is not None:
            table["seed"] = seed
        require_writable(out)
        _extra("headpose_run").train(table, path, data, out, threads=threads, quiet=quiet)
        return 0
    chosen = config.recipe_from_table(table, str(path))
    if minutes is not None:
        chosen = replace(chosen, minutes=minutes)
    if steps is not None:
        chosen = replace(chosen, minutes=0.0, steps=steps)
    if init is not None:
        chosen = replace(chosen, init=init)
    if seed is not None:
        chosen = replace(chosen, seed=seed)
    state = _extra("loop").train(
        chosen, data, out, threads=threads, workers=workers, device=device, quiet=quiet
    )
    click.echo(f"{out}: {state.step} steps in {state.elapsed_s / 60:.1f} minutes", err=True)
    return 0


def require_writable(out: Path) -> None:
    """Find out before the work whether its results can be written.

    Raises:
        UnwritableOutput: the folder is none, or cannot be made or written to.
    """
    place = next((p for p in (out, *out.parents) if os.path.lexists(p)), Path())
    try:
        if not place.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "not a folder")
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise UnwritableOutput(
            f"{place}: cannot be written ({error.strerror}); take another folder with -o"
        ) from error


def _extra(name: str) -> Any:
    """A module of ``faceparts.train``, or a line that says what to install."""
    try:
        return importlib.import_module(f"faceparts.train.{name}")
    except ImportError as error:
        raise UsageError(
            f"training needs more packages ({error}); pip install 'faceparts[train]'"
        ) from error


COMMAND = train
