"""Recipes: one TOML file says all about one training."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faceparts.errors import BadRecipe

RECIPES = Path(__file__).parent.parent / "recipes"
"""Folder of the shipped recipes."""

RANGES: tuple[tuple[str, float, float], ...] = (
    ("seed", 0, 2**63),
    ("steps", 1, 10**9),
    ("minutes", 0, 10**6),
    ("lr", 1e-9, 10),
    ("weight_decay", 0, 10),
    ("warmup", 0, 0.999),
    ("ema", 0, 0.999999),
    ("clip", 1e-9, 10**9),
    ("val_every", 1, 10**9),
    ("save_every", 1, 10**9),
    ("occlude", 0, 1),
)
"""Key of a recipe, least and greatest value."""


@dataclass(frozen=True)
class Phase:
    """A stretch of the training at one picture size.

    Args:
        until: share of the whole training (0..1] at which the phase ends.
        size_px: side of the square input, a multiple of 32.
        batch: pictures in a step, at least 2.
    """

    until: float
    size_px: int
    batch: int


@dataclass(frozen=True)
class Source:
    """One dataset of the mixture.

    Args:
        name: adapter in ``faceparts.datasets``.
        root: folder below the data root.
        split: split of the adapter.
        share: share of the samples drawn from it (shares are normalised).
        weight: weight of its pixels in the loss; below 1 for noisy labels.
        sort_sides: mend left and right of paired parts, see `train.clean`.
        trust: 1 = labels are right; below 1 the net may overrule a label that it doubts strongly,
            after this share of the training.
    """

    name: str
    root: str
    split: str
    share: float
    weight: float = 1.0
    trust: float = 1.0
    sort_sides: bool = False


@dataclass(frozen=True)
class CardText:
    """What the exported model's card says besides what the recipe knows; see `types.ModelCard`."""

    margin: float = 0.25
    threshold: float = 0.5
    license: str = ""
    data_license: str = ""
    commercial_ok: bool = False
    trained_on: tuple[str, ...] = ()
    notes: str = ""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training.

    Args:
        name: name of the model; also of the files written.
        net: file in ``faceparts.train.nets``.
        task: ``"parts"`` or ``"heads"``.
        steps: number of optimiser steps, unless ``minutes`` is set.
        minutes: length by the clock instead of by steps; 0 = by steps. By the clock a run is not
            repeatable to the bit, but it ends when it must.
        lr: highest learning rate (AdamW; linear warm-up, cosine to a hundredth).
        ema: decay of the averaged weights, which are what is exported.
        occluders: folder below the data root with things to paste; empty = none.
        occlude: probability that a sample gets occluders.
        negatives: folder below the data root with pictures without people (heads only).
        init: shipped model or ONNX file to start from; empty = from scratch.
        val: what `Task.validate` looks at while training; never trained on.
        card: what the exported file says about itself.
    """

    name: str
    net: str
    task: str
    phases: tuple[Phase, ...]
    data: tuple[Source, ...]
    seed: int = 0
    steps: int = 1000
    minutes: float = 0.0
    lr: float = 2e-3
    weight_decay: float = 0.02
    warmup: float = 0.03
    ema: float = 0.998
    clip: float = 5.0
    bf16: bool = True
    val_every: int = 1000
    save_every: int = 250
    occluders: str = ""
    occlude: float = 0.0
    negatives: str = ""
    init: str = ""
    val: tuple[Source, ...] = ()
    card: CardText = field(default_factory=CardText)


def read_recipe(path: Path) -> Recipe:
    """Read and check a TOML recipe.

    Raises:
        BadRecipe: not TOML, an unknown key, a missing key, or a value out of range.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadRecipe(f"{path}: not a readable recipe ({error})") from error
    return recipe_from_table(table, str(path))


def find_recipe(name_or_path: str) -> Path:
    """The file of a shipped recipe, or the path as it was given.

    Raises:
        BadRecipe: neither a shipped name nor a file; the message lists the names.
    """
    shipped = {p.stem: p for p in sorted(RECIPES.glob("*.toml"))}
    path = shipped.get(name_or_path, Path(name_or_path))
    if not path.is_file():
        names = ", ".join(shipped)
        raise BadRecipe(f"{name_or_path}: no such recipe file; shipped recipes: {names}")
    return path


def recipe_from_table(table: dict[str, Any], where: str) -> Recipe:
    """Build and check a recipe from plain values, as TOML or JSON give them.

    Raises:
        BadRecipe: an unknown key, a missing key, or a value of the wrong type or out of range.
    """
    table = dict(table)
    for key, kind in (("phases", Phase), ("data", Source), ("val", Source)):
        rows = table.get(key, [])
        if not isinstance(rows, list):
            raise BadRecipe(f"{where}: {key} must be a list of tables ([[{key}]])")
        table[key] = tuple(_build(kind, row, f"{where}: {key}") for row in rows)
    card = table.get("card", {})
    if not isinstance(card, dict):
        raise BadRecipe(f"{where}: card must be a table ([card])")
    if not isinstance(card.get("trained_on", []), list):
        raise BadRecipe(f"{where}: card: trained_on must be a list of texts")
    card = {**card, "trained_on": tuple(map(str, card.get("trained_on", ())))}
    table["card"] = _build(CardText, card, f"{where}: card")
    recipe: Recipe = _build(Recipe, table, where)
    check(recipe, where)
    return recipe


def _build(kind: type[Any], table: Any, where: str) -> Any:
    if not isinstance(table, dict):
        raise BadRecipe(f"{where}: got {table!r}; wanted a table of keys and values")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    unknown = sorted(set(table) - set(fields))
    if unknown:
        raise BadRecipe(f"{where}: unknown key {unknown[0]!r}; there are: {', '.join(fields)}")
    needed = [
        n
        for n, f in fields.items()
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    missing = [n for n in needed if n not in table]
    if missing:
        raise BadRecipe(f"{where}: key {missing[0]!r} is missing")
    values = {k: _checked(v, str(fields[k].type), f"{where}: {k}") for k, v in table.items()}
    return kind(**values)


def _checked(value: Any, wanted: str, where: str) -> Any:
    """The value, whole numbers as float where a float is wanted."""
    if wanted == "float" and type(value) is int:
        return float(value)
    plain = {"str": str, "int": int, "bool": bool, "float": float}.get(wanted)
    if plain is not None and type(value) is not plain:
        raise BadRecipe(f"{where} = {value!r}; wanted a value of type {wanted}")
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRecipe(f"{where} = {value!r}; wanted a finite number")
    return value


def check(recipe: Recipe, where: str) -> None:
    """Refuse values out of range.

    Raises:
        BadRecipe: the message names the key, the value and the range.
    """
    if recipe.task not in ("parts", "heads"):
        raise BadRecipe(f"{where}: task = {recipe.task!r}; wanted 'parts' or 'heads'")
    if not recipe.phases or recipe.phases[-1].until != 1.0:
        raise BadRecipe(f"{where}: the last phase must have until = 1.0")
    untils = [p.until for p in recipe.phases]
    if untils != sorted(set(untils)) or untils[0] <= 0:
        raise BadRecipe(f"{where}: until must rise from phase to phase; got {untils}")
    for phase in recipe.phases:
        if phase.size_px < 32 or phase.size_px % 32 or phase.batch < 2:
            raise BadRecipe(
                f"{where}: size_px = {phase.size_px}, batch = {phase.batch}; "
                "wanted a multiple of 32 and at least 2 (batch norm needs more than one picture)"
            )
    if not recipe.data or any(s.share <= 0 for s in recipe.data):
        raise BadRecipe(f"{where}: at least one [[data]] is needed, each with share > 0")
    for name, low, high in RANGES:
        value = getattr(recipe, name)
        if not low <= value <= high:
            raise BadRecipe(f"{where}: {name} = {value}; wanted {low}..{high}")
    for source in recipe.data:
        if source.weight < 0 or not 0 <= source.trust <= 1:
            raise BadRecipe(
                f"{where}: data {source.name!r}: weight = {source.weight}, trust = {source.trust}; "
                "wanted at least 0 and 0..1"
            )


def phase_at(recipe: Recipe, progress: float) -> Phase:
    """The phase that a share of the training (0..1) falls into."""
    return next((p for p in recipe.phases if progress < p.until), recipe.phases[-1])
