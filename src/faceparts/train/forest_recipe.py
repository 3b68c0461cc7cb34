"""Recipes with ``task = "forest"``: one TOML file says all about some forests over one data set."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faceparts import folder
from faceparts.errors import BadRecipe
from faceparts.segment import _features
from faceparts.segment._cleanup import Cleanup
from faceparts.segment.forest import MAX_PARTS, WORK_PX, label_set_of
from faceparts.train._names import check_name
from faceparts.train.config import CardText, _build
from faceparts.train.forest_data import ForestSource, Pictures

MODELS = ("random_forest", "extra_trees", "boosting")


@dataclass(frozen=True)
class Experiment:
    """One forest; see `forest.PixelForest` for all that is not said here.

    Args:
        name: of the experiment; with the recipe's name that of the file.
        mirror: the forest looks at every picture's mirror image too.
        cleanup: fields of `Cleanup`.
    """

    name: str
    features: tuple[str, ...]
    model: str = "random_forest"
    options: dict[str, Any] = field(default_factory=dict)
    rounds: int = 0
    context: tuple[str, ...] = ()
    folds: int = 4
    per_class: int = 0
    class_power: float = 0.0
    mirror: bool = False
    cleanup: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Search:
    """A grid search over pictures before the experiments.

    Args:
        experiment: name of the experiment that it starts from and whose settings it replaces.
        grid: setting -> values to try; ``"options.max_depth"`` reaches into ``options``.
        folds: by subject.
    """

    experiment: str
    grid: dict[str, Any]
    folds: int = 3


@dataclass(frozen=True)
class ForestRecipe:
    """Everything that decides what forests come out.

    Args:
        parts: names in the order of the ids; the first is the background. Parts of the data that
            are not named count as background.
        label_set: name of these parts on the card; may be a name of their own.
        input_px: side of the crops that the file takes as a segmenter.
        score: ``"work"``: rates are counted on the working pictures; ``"frame"``: on the frames,
            with the probabilities enlarged.
        compare: names or files of other segmenters that look at the same test pictures.
        outlines: parts of the compared segmenters that are scored a second time with their outlines
            moved as the training pictures draw them; wants a part ``skin``.
        curve: numbers of training pictures for the training-set-size curve.
        curve_experiment: the experiment that the curve is made with; empty = the first.
        examples: test pictures shown in the report.
    """

    name: str
    task: str
    parts: tuple[str, ...]
    data: tuple[ForestSource, ...]
    experiments: tuple[Experiment, ...]
    label_set: str = "own"
    seed: int = 0
    input_px: int = 256
    score: str = "frame"
    compare: tuple[str, ...] = ()
    outlines: tuple[str, ...] = ()
    curve: tuple[int, ...] = ()
    curve_experiment: str = ""
    examples: int = 4
    pictures: Pictures = field(default_factory=Pictures)
    search: Search | None = None
    card: CardText = field(default_factory=CardText)

    def experiment(self, name: str) -> Experiment:
        """The experiment of that name; the first for ``""``.

        Raises:
            BadRecipe: there is none.
        """
        if not name:
            return self.experiments[0]
        for experiment in self.experiments:
            if experiment.name == name:
                return experiment
        names = ", ".join(e.name for e in self.experiments)
        raise BadRecipe(f"{self.name}: no experiment {name!r}; there are: {names}")


def name_of(model: str) -> str:
    """What a compared model is called: a file's stem, or the shipped name.

    Example:
        >>> name_of("runs/mine/best.onnx"), name_of("partnet")
        ('best', 'partnet')
    """
    return Path(model).stem if Path(model).suffix else model


def recipe_from_table(table: dict[str, Any], where: str) -> ForestRecipe:
    """Build and check a recipe from plain values, as TOML or JSON give them.

    Raises:
        BadRecipe: an unknown key, a missing key, or a value of the wrong type or out of range.
    """
    table = dict(table)
    for key, kind in (("data", ForestSource), ("experiments", Experiment)):
        rows = table.get(key, [])
        if not isinstance(rows, list | tuple) or not rows:
            raise BadRecipe(f"{where}: {key} must be a list of tables ([[{key}]]), at least one")
        table[key] = tuple(_build(kind, _lists(row), f"{where}: {key}") for row in rows)
    for key, only in (("pictures", Pictures), ("card", CardText), ("search", Search)):
        if table.get(key) is not None:
            table[key] = _build(only, _lists(table[key]), f"{where}: {key}")
    recipe: ForestRecipe = _build(ForestRecipe, _lists(table), where)
    check(recipe, where)
    return recipe


def _lists(table: Any) -> Any:
    """TOML's lists as tuples, one level deep."""
    if not isinstance(table, dict):
        return table
    return {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}


def check(recipe: ForestRecipe, where: str) -> None:
    """Refuse values out of range.

    Raises:
        BadRecipe: the message names the key, the value and what is wanted.
    """
    check_name(recipe.name, where)
    for key in ("parts", "compare", "outlines"):
        texts = getattr(recipe, key)
        if not isinstance(texts, tuple) or not all(isinstance(t, str) and t for t in texts):
            raise BadRecipe(f"{where}: {key} must be a list of names")
    how = recipe.pictures
    for name, value, low, high in (
        ("parts", len(recipe.parts), 2, MAX_PARTS),
        ("input_px", recipe.input_px, 16, 4096),
        ("examples", recipe.examples, 0, 100),
        ("pictures: work_px", how.work_px, *WORK_PX),
        ("pictures: frame_px", how.frame_px, how.work_px, 8192),
        ("pictures: test_share", how.test_share, 0.01, 0.99),
        ("pictures: kin", how.kin, 0, 500),
    ):
        if not low <= value <= high:
            raise BadRecipe(f"{where}: {name} = {value}; wanted {low}..{high}")
    if how.frame_px % how.work_px:
        raise BadRecipe(
            f"{where}: pictures: frame_px = {how.frame_px}; wanted a multiple of work_px "
            f"({how.work_px})"
        )
    for name, word, words in (
        ("score", recipe.score, ("work", "frame")),
        ("pictures: frame", how.frame, ("photo", "head")),
        ("pictures: reduce", how.reduce, ("max", "most")),
        ("pictures: padding", how.padding, ("background", "ignore")),
        ("pictures: unsure", how.unsure, ("nearest", "ignore")),
        ("pictures: by", how.by, ("picture", "subject")),
        ("pictures: twins", how.twins, ("drop", "keep")),
    ):
        if word not in words:
            raise BadRecipe(f"{where}: {name} = {word!r}; wanted one of {', '.join(words)}")
    try:
        label_set_of(recipe.label_set, recipe.parts)
    except ValueError as error:
        raise BadRecipe(f"{where}: parts: {error}") from None
    for source in recipe.data:
        _check_source(source, where)
    strange = [part for part in recipe.outlines if part not in recipe.parts[1:]]
    if strange or (recipe.outlines and "skin" not in recipe.parts):
        raise BadRecipe(
            f"{where}: outlines = {list(recipe.outlines)}; wanted parts of the recipe, which needs "
            "one named skin"
        )
    names = [e.name for e in recipe.experiments]
    compared = [name_of(model) for model in recipe.compare]
    compared += [f"{name}-moved" for name in compared if recipe.outlines]
    twice = sorted(n for n in {*names, *compared} if [*names, *compared].count(n) > 1)
    if compared and twice:
        raise BadRecipe(
            f"{where}: compare: {twice[0]!r} would be there twice among experiments and models"
        )
    if len(set(names)) != len(names) or not all(re.fullmatch(r"[\w-]+", n) for n in names):
        raise BadRecipe(f"{where}: experiments are named {names}; wanted different plain names")
    for experiment in recipe.experiments:
        _check_experiment(experiment, recipe.parts, f"{where}: experiment {experiment.name!r}")
    recipe.experiment(recipe.curve_experiment)
    if any(type(n) is not int or n < 2 for n in recipe.curve):
        raise BadRecipe(f"{where}: curve = {list(recipe.curve)}; wanted whole numbers from 2 on")
    if recipe.search is not None:
        recipe.experiment(recipe.search.experiment)
        grid = recipe.search.grid
        if not grid or any(not isinstance(v, list | tuple) or not v for v in grid.values()):
            raise BadRecipe(f"{where}: search: grid must give a list of values for each setting")
        if recipe.search.folds < 2:
            raise BadRecipe(f"{where}: search: folds = {recipe.search.folds}; wanted at least 2")


def _check_source(source: ForestSource, where: str) -> None:
    if source.name not in folder.names("faceparts.datasets"):
        known = ", ".join(folder.names("faceparts.datasets"))
        raise BadRecipe(f"{where}: data: no dataset {source.name!r}; there are: {known}")
    try:
        re.compile(source.match)
    except re.error as error:
        raise BadRecipe(f"{where}: data: match = {source.match!r}: {error}") from None


def _check_experiment(experiment: Experiment, parts: tuple[str, ...], where: str) -> None:
    if experiment.model not in MODELS:
        raise BadRecipe(f"{where}: model = {experiment.model!r}; wanted one of {', '.join(MODELS)}")
    for name, value, low, high in (
        ("rounds", experiment.rounds, 0, 7),
        ("folds", experiment.folds, 2, 100),
        ("per_class", experiment.per_class, 0, 10**9),
        ("class_power", experiment.class_power, 0, 1),
    ):
        if not low <= value <= high:
            raise BadRecipe(f"{where}: {name} = {value}; wanted {low}..{high}")
    try:
        _features.parse_spec(experiment.features)
        if experiment.rounds:
            _features.parse_spec((*experiment.features, *experiment.context), parts)
        Cleanup(**experiment.cleanup).check()
    except (TypeError, ValueError) as error:
        raise BadRecipe(f"{where}: {error}") from None
