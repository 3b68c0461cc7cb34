"""Recipes: one TOML file says all about one training."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faceparts import folder, labels
from faceparts.errors import BadRecipe, MissingRecipe
from faceparts.train._names import check_name
from faceparts.train._teaching import check_teaching

RECIPES = Path(__file__).parent.parent / "recipes"
"""Folder of the shipped recipes."""

RANGES: tuple[tuple[str, float, float], ...] = (
    ("seed", 0, 2**63),
    ("steps", 1, 10**9),
    ("minutes", 0, 10**6),
    ("lr", 1e-15, 10),
    ("momentum", 0, 0.9999),
    ("bias_rate", 0, 100),
    ("weight_decay", 0, 10),
    ("warmup", 0, 0.999),
    ("ema", 0, 0.999999),
    ("clip", 0, 10**9),
    ("val_every", 1, 10**9),
    ("save_every", 1, 10**9),
    ("occlude", 0, 1),
    ("graft", 0, 1),
    ("jewels", 0, 1),
    ("restyle", 0, 1),
    ("balance", 0, 1),
    ("accumulate", 1, 10**6),
    ("patience", 0, 10**6),
    ("beta", 0, 1),
    ("gamma", 0, 100),
)
"""Key of a recipe, least and greatest value."""

CHOICES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("optimizer", ("adamw", "sgd")),
    ("schedule", ("cosine", "constant")),
    ("noisy", ("drop", "soft", "hard")),
)
"""Key of a recipe and the words it may hold."""

LOSSES = ("ce", "ce_sum", "dice", "focal", "lovasz", "boundary", "face")
"""Losses of the parts task that ``loss`` may weigh; see `train.losses`."""


@dataclass(frozen=True)
class Phase:
    """A stretch of the training at one picture size.

    Args:
        until: share of the whole training (0..1] at which the phase ends.
        size_px: side of the square input, a multiple of 32.
        batch: pictures in a step; a net with batch norm needs at least 2.
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
        trust: 1 = labels are right; below 1 the net has a say in them (see ``Recipe.noisy``) after
            this share of the training.
        partial: labels are coarser than the trained parts: a label stands for all parts that the
            source merges into it, its background for all that it does not know.
        vote: parsers (shipped names or weights files) that decide together with the labels what a
            pixel is, see `train.vote`; looking at all pictures takes minutes at every start.
        given: weight of the given label against theirs, 0..1.
        answers: folder below the data root with what parsers said of its pictures ('faceparts data
            answers'): they decide the labels as `vote` does, without looking again, and are learnt
            besides where ``distill`` has a weight. With ``given = 1`` the labels are right, and
            answers that contradict them are left out.
    """

    name: str
    root: str
    split: str
    share: float
    weight: float = 1.0
    trust: float = 1.0
    sort_sides: bool = False
    partial: bool = False
    vote: tuple[str, ...] = ()
    given: float = 0.25
    answers: str = ""


@dataclass(frozen=True)
class Distill:
    """A teacher whose answers are learnt besides the labels.

    Args:
        model: shipped name or weights file (ONNX, forest, or TFLite with a card beside it); a
            path is taken from the data root on. Empty: the ``answers`` of the sources.
        weight: weight of the divergence in the loss; 0 = nothing is learnt besides the labels.
        temperature: above 1 the teacher's second thoughts count more, below 1 less; a net that
            doubts itself too much needs less.
    """

    model: str = ""
    weight: float = 0.0
    temperature: float = 2.0


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
    mixed_with: tuple[str, ...] = ()
    even_light: bool = False


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training.

    Args:
        name: name of the model; also of the files written.
        net: file in ``faceparts.train.nets``.
        task: file in ``faceparts.train`` that defines ``make_task(recipe, root, *, quiet)``.
        label_set: name of the parts that a parser learns; sources are translated into it.
        net_options: passed on to the net's ``build``.
        steps: number of optimiser steps, unless ``minutes`` is set.
        minutes: length by the clock instead of by steps; 0 = by steps. By the clock a run is not
            repeatable to the bit, but it ends when it must.
        optimizer: ``"adamw"``, or ``"sgd"`` with ``momentum`` (a running sum of gradients, as in
            Caffe: the steady step is ``lr / (1 - momentum)`` times the gradient).
        lr: highest learning rate.
        accumulate: pieces that a step is cut into; a step sees ``accumulate * batch`` pictures,
            with the memory of ``batch``.
        bias_rate: factor on the rate of biases. Biases and norms never decay.
        schedule: after a linear warm-up ``"cosine"`` falls to a hundredth, ``"constant"`` stays.
        loss: weight of each of `LOSSES`; empty = the task's own (parts: ce 1, dice 0.5).
        gamma: exponent of the focal loss.
        noisy: what a source with ``trust`` below 1 gets: ``"drop"`` leaves labels out that the net
            contradicts strongly, ``"soft"`` and ``"hard"`` blend them with the net's own answer
            (Reed et al., 2015), of which ``beta`` is the label's share.
        clip: largest length of the gradient; 0 = any.
        patience: validations without a better score after which the training ends; 0 = never.
        best: score that chooses ``best.pt``; empty = the first one that the task reports.
        ema: decay of the averaged weights, which are what is exported.
        occluders: folder below the data root with things to paste; empty = none.
        occlude: probability that a sample gets occluders.
        graft: probability that a sample gets a rare part of another face, see `train.graft`
            (parts only; pieces come from the first source).
        jewels: probability that a sample gets drawn earrings or a necklace, see `train.jewels`
            (parts only).
        restyle: probability that clothes, hair, hat and background of a sample may change their
            looks, see `train.restyle` (parts only; fabrics are the textures of ``occluders``).
        balance: exponent of the inverse pixel share in the class weights; 0 = all classes alike
            (parts only).
        negatives: folder below the data root with pictures without people (heads only).
        init: shipped model or ONNX file to start from, or published weights of an encoder
            (``"efficientnet_lite0"``, see `train.pretrained`); empty = from scratch.
        distill: a teacher (parts; heads, without a temperature).
        val: what `Task.validate` looks at while training; never trained on.
        card: what the exported file says about itself.
    """

    name: str
    net: str
    task: str
    phases: tuple[Phase, ...]
    data: tuple[Source, ...]
    label_set: str = "celeba19"
    net_options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    steps: int = 1000
    minutes: float = 0.0
    optimizer: str = "adamw"
    lr: float = 2e-3
    momentum: float = 0.9
    bias_rate: float = 1.0
    weight_decay: float = 0.02
    schedule: str = "cosine"
    warmup: float = 0.03
    accumulate: int = 1
    loss: dict[str, float] = field(default_factory=dict)
    gamma: float = 2.0
    noisy: str = "drop"
    beta: float = 0.8
    ema: float = 0.998
    clip: float = 5.0
    bf16: bool = True
    val_every: int = 1000
    save_every: int = 250
    patience: int = 0
    best: str = ""
    occluders: str = ""
    occlude: float = 0.0
    graft: float = 0.0
    jewels: float = 0.0
    restyle: float = 0.0
    balance: float = 0.25
    negatives: str = ""
    init: str = ""
    val: tuple[Source, ...] = ()
    distill: Distill = field(default_factory=Distill)
    card: CardText = field(default_factory=CardText)


def read_recipe(path: Path) -> Recipe:
    """Read and check a TOML recipe.

    Raises:
        BadRecipe: not TOML, an unknown key, a missing key, or a value out of range.
    """
    return recipe_from_table(read_table(path), str(path))


def read_table(path: Path) -> dict[str, Any]:
    """The plain values of a TOML recipe, unchecked.

    Raises:
        BadRecipe: the file cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadRecipe(f"{path}: not a readable recipe ({error})") from error


def tasks() -> list[str]:
    """Names of the files beside this one that define ``make_task``: what ``task`` may say.

    They are read, not imported: a recipe is checked without PyTorch.
    """
    here = Path(__file__).parent
    known = [n for n in folder.names("faceparts.train") if (here / f"{n}.py").is_file()]
    text = {n: (here / f"{n}.py").read_text(encoding="utf-8") for n in known if n != "loop"}
    return [name for name, code in text.items() if "\ndef make_task(" in code]


def find_recipe(name_or_path: str) -> Path:
    """The file of a shipped recipe, or the path as it was given.

    Raises:
        MissingRecipe: neither a shipped name nor a file; the message lists the names.
    """
    shipped = {p.stem: p for p in sorted(RECIPES.glob("*.toml"))}
    path = shipped.get(name_or_path, Path(name_or_path))
    if not path.is_file():
        names = ", ".join(shipped)
        raise MissingRecipe(f"{name_or_path}: no such recipe file; shipped recipes: {names}")
    return path


def recipe_from_table(table: dict[str, Any], where: str) -> Recipe:
    """Build and check a recipe from plain values, as TOML or JSON give them.

    Raises:
        BadRecipe: an unknown key, a missing key, or a value of the wrong type or out of range.
    """
    if not isinstance(table, dict):
        raise BadRecipe(f"{where}: got {type(table).__name__}; wanted a table of keys and values")
    table = dict(table)
    for key, kind in (("phases", Phase), ("data", Source), ("val", Source)):
        rows = table.get(key, [])
        if not isinstance(rows, list):
            raise BadRecipe(f"{where}: {key} must be a list of tables ([[{key}]])")
        table[key] = tuple(_build(kind, _frozen(row, where), f"{where}: {key}") for row in rows)
    card = table.get("card", {})
    if not isinstance(card, dict):
        raise BadRecipe(f"{where}: card must be a table ([card])")
    for key in ("trained_on", "mixed_with"):
        if not isinstance(card.get(key, []), list):
            raise BadRecipe(f"{where}: card: {key} must be a list of texts")
        card = {**card, key: tuple(map(str, card.get(key, ())))}
    table["card"] = _build(CardText, card, f"{where}: card")
    table["distill"] = _build(Distill, table.get("distill", {}), f"{where}: distill")
    recipe: Recipe = _build(Recipe, table, where)
    check(recipe, where)
    return recipe


def _frozen(row: Any, where: str) -> Any:
    """A source's row with its list of voters as a tuple."""
    if not isinstance(row, dict) or "vote" not in row:
        return row
    names = row["vote"]
    if not isinstance(names, list | tuple) or not all(isinstance(n, str) and n for n in names):
        raise BadRecipe(f"{where}: data: vote = {names!r}; wanted a list of model names")
    return {**row, "vote": tuple(names)}


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
    values = {k: checked(v, str(fields[k].type), f"{where}: {k}") for k, v in table.items()}
    return kind(**values)


def checked(value: Any, wanted: str, where: str) -> Any:
    """The value, whole numbers as float where a float is wanted."""
    if wanted == "float" and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            value = math.inf
    if wanted == "dict[str, float]":
        if type(value) is not dict:
            raise BadRecipe(f"{where} = {value!r}; wanted a table of names and numbers")
        return {k: checked(v, "float", f"{where}: {k}") for k, v in value.items()}
    kinds = {"str": str, "int": int, "bool": bool, "float": float, "dict[str, Any]": dict}
    plain = kinds.get(wanted)
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
    check_name(recipe.name, where)
    if recipe.task not in tasks():
        raise BadRecipe(f"{where}: task = {recipe.task!r}; there are: {', '.join(tasks())}")
    if recipe.label_set not in labels.names():
        raise BadRecipe(
            f"{where}: label_set = {recipe.label_set!r}; there are: {', '.join(labels.names())}"
        )
    for name, words in CHOICES:
        if getattr(recipe, name) not in words:
            raise BadRecipe(
                f"{where}: {name} = {getattr(recipe, name)!r}; wanted one of {', '.join(words)}"
            )
    for name, weight in recipe.loss.items():
        if name not in LOSSES or weight < 0:
            raise BadRecipe(
                f"{where}: loss: {name} = {weight}; wanted a weight of at least 0 for one of "
                f"{', '.join(LOSSES)}"
            )
    if recipe.loss and not any(recipe.loss.values()):
        raise BadRecipe(f"{where}: loss: every weight is 0; nothing would be learnt")
    if not recipe.phases or recipe.phases[-1].until != 1.0:
        raise BadRecipe(f"{where}: the last phase must have until = 1.0")
    untils = [p.until for p in recipe.phases]
    if untils != sorted(set(untils)) or untils[0] <= 0:
        raise BadRecipe(f"{where}: until must rise from phase to phase; got {untils}")
    for phase in recipe.phases:
        if phase.size_px < 32 or phase.size_px % 32 or phase.batch < 1:
            raise BadRecipe(
                f"{where}: size_px = {phase.size_px}, batch = {phase.batch}; "
                "wanted a multiple of 32 and at least 1"
            )
    if not recipe.data or any(s.share <= 0 for s in recipe.data):
        raise BadRecipe(f"{where}: at least one [[data]] is needed, each with share > 0")
    for name, low, high in RANGES:
        value = getattr(recipe, name)
        if not low <= value <= high:
            raise BadRecipe(f"{where}: {name} = {value}; wanted {low}..{high}")
    check_teaching(recipe, where)


def phase_at(recipe: Recipe, progress: float) -> Phase:
    """The phase that a share of the training (0..1) falls into."""
    return next((p for p in recipe.phases if progress < p.until), recipe.phases[-1])
