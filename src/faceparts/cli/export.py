"""``faceparts export``: a finished training in, ONNX files with their cards out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from faceparts import weights
from faceparts.cli._shares import parse_share
from faceparts.errors import BadRecipe, MissingRecipe, UsageError
from faceparts.streams.files import write_atomic

if TYPE_CHECKING:
    from faceparts.train.config import Recipe

CHECKPOINTS = {"best": "best.pt", "last": "checkpoint.pt"}
"""What ``faceparts train`` leaves: the best validation (recipes with ``[[val]]``), and the end."""


@click.command("export", short_help="Write a trained net as ONNX with its card.")
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write NAME.onnx (and NAME.int8.onnx) and SHA256SUMS into.",
)
@click.option(
    "--int8",
    is_flag=True,
    help="Write an int8 sibling too; its ranges are measured on training pictures (--data).",
)
@click.option(
    "--data",
    envvar="FACEPARTS_DATA",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder that the recipe's datasets lie in; only for --int8.",
)
@click.option(
    "--metrics",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON object of measured results for the card.",
)
@click.option(
    "--mix",
    metavar="NAME|FILE=SHARE",
    help="Mix in the weights of an exported net, such as the one the training started from, "
    "by this share (0..1).",
)
@click.option(
    "--checkpoint",
    type=click.Choice(sorted(CHECKPOINTS)),
    help="best: the best validation (best.pt); last: the end (checkpoint.pt). By default best "
    "where the training has one.",
)
@click.option(
    "--force", is_flag=True, help="Replace NAME.onnx and NAME.int8.onnx of an earlier export."
)
def export(
    run: Path,
    out: Path,
    int8: bool,
    data: Path | None,
    metrics: Path | None,
    mix: str | None,
    checkpoint: str | None,
    force: bool,
) -> int:
    """Write the averaged net of a training (folder RUN) as ONNX with its card.

    Which checkpoint was taken is said on standard error.

    \b
    Example:
      faceparts export runs/partnet --out models --int8 --data data
      faceparts export runs/partnet --out models --checkpoint last
      faceparts export runs/partnet --out models --mix partnet=0.5
    """
    from faceparts.train import config

    if int8 and data is None:
        raise UsageError("--int8 needs --data: the folder that the recipe's datasets lie in")
    require_net(run)
    table = _read_table(run / "recipe.json")
    recipe = config.recipe_from_table(table, str(run / "recipe.json"))
    results = read_metrics(metrics) if metrics else {}
    mixed = parse_share(mix, "--mix", below=1) if mix is not None else None
    chosen = find_checkpoint(run, checkpoint)
    try:
        from faceparts.train import export as exporting
        from faceparts.train import loop, mixing
    except ImportError as error:
        raise UsageError(
            f"exporting needs more packages ({error}); pip install 'faceparts[train]'"
        ) from error
    written = [out / f"{recipe.name}.onnx", out / f"{recipe.name}.int8.onnx"]
    require_free(written, force=force)
    state = loop.make_state(recipe, exporting.outputs_of(recipe))
    loop.load_checkpoint(state, chosen)
    score = "" if state.best is None or chosen.name != "best.pt" else f", score {state.best:.4f}"
    click.echo(f"{chosen}: step {state.step}{score}", err=True)
    net = state.average
    if mixed:
        mixing.mix(net, *mixed)
        recipe = note_mix(recipe, *mixed)
    with TemporaryDirectory() as folder:  # all is made before anything is replaced
        made = [Path(folder) / path.name for path in written]
        exporting.export(net, recipe, made[0], results)
        if int8 and data is not None:
            batches = exporting.calibration_batches(loop.make_task(recipe, data), recipe, 8)
            exporting.quantize(net, recipe, made[1], batches, results)
        replace_files(made, written)
    exporting.write_checksums(out)
    for path in written[: 2 if int8 else 1]:
        click.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return 0


def require_net(run: Path) -> None:
    """Refuse the folder of a training whose result needs no export.

    Raises:
        UsageError: the message says what to do with it.
    """
    from faceparts.train._kept import kept_in

    kept = kept_in(run)
    remedies = {
        "forest": "its .npz files are models as they are: give one to 'faceparts segment --model'",
        "headpose": "its headpose.npz is the model as it is: put it into the package's folder "
        "models",
    }
    if kept is not None and kept.task in remedies:
        raise UsageError(
            f"{run}: a training of task {kept.task!r}, not of a net; nothing to export: "
            f"{remedies[kept.task]}"
        )


def _read_table(path: Path) -> dict[str, Any]:
    """The recipe that a training has kept in its folder, unchecked.

    Raises:
        MissingRecipe: there is none.
        BadRecipe: not readable as JSON.
    """
    try:
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingRecipe(
            f"{path.parent}: not the folder of a net's training, it has no {path.name}; give the "
            "one that 'faceparts train -o' wrote (a forest or headpose.npz needs no export)"
        ) from error
    except (OSError, ValueError) as error:
        raise BadRecipe(
            f"{path}: not readable ({error}); give the folder that 'faceparts train -o' wrote"
        ) from error
    return table


def require_free(paths: Sequence[Path], *, force: bool) -> None:
    """Refuse to replace files without ``--force``.

    Raises:
        UsageError: one of them exists.
    """
    for path in paths:
        if path.exists() and not force:
            raise UsageError(f"{path}: exists already; choose another folder with -o or --force")


def replace_files(made: Sequence[Path], written: Sequence[Path]) -> None:
    """Put new files in the place of old ones; an old one without a new one goes.

    Raises:
        UnwritableOutput: the system refuses; the message says what to do.
    """
    for new, old in zip(made, written, strict=True):
        if new.exists():
            write_atomic(old, new.read_bytes(), force=True)
        else:
            old.unlink(missing_ok=True)


def find_checkpoint(run: Path, wanted: str | None) -> Path:
    """The file to export: by default that of the best validation where there is one.

    Args:
        run: folder of a training.
        wanted: a key of `CHECKPOINTS`.

    Raises:
        UsageError: it is not there.
    """
    names = [CHECKPOINTS[wanted]] if wanted else [CHECKPOINTS["best"], CHECKPOINTS["last"]]
    for name in names:
        if (run / name).is_file():
            return run / name
    other = next((key for key, name in CHECKPOINTS.items() if (run / name).is_file()), None)
    remedy = f"give --checkpoint {other}" if other else "train it first"
    raise UsageError(f"{run / names[-1]}: no such checkpoint; {remedy}")


def note_mix(recipe: Recipe, name_or_path: str, share: float) -> Recipe:
    """The recipe with what was mixed in on its card, and what that has learnt from.

    Raises:
        BadWeights, UnknownName: there is no such file, or it has no card.
    """
    path = weights.find(name_or_path, precision="fp32")
    other, card = weights.read_card(path), recipe.card
    said = f"weights: {1 - share:g} of this training, {share:g} of {Path(name_or_path).name}"
    silent = f"mixed in: {other.name}, whose card does not say what it was trained on"
    lines = dict.fromkeys((*card.trained_on, *(other.trained_on or (silent,))))
    card = replace(
        card,
        notes="; ".join(n for n in (card.notes, said) if n),
        trained_on=tuple(lines),
        mixed_with=tuple(dict.fromkeys((*card.mixed_with, other.name, *other.mixed_with))),
    )
    return replace(recipe, card=card)


def read_metrics(path: Path) -> dict[str, float]:
    """A flat JSON object of numbers.

    Raises:
        UsageError: the file holds something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return {str(key): float(value) for key, value in values.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f'{path}: not a JSON object of numbers ({error}); wanted {{"name": 0.5}}'
        ) from error


COMMAND = export
