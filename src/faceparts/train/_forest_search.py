"""A recipe's experiment -> an estimator, and the grid search over its settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.model_selection import GroupKFold, ParameterGrid
from tqdm import tqdm

from faceparts.errors import BadRecipe
from faceparts.train.forest import PixelForest
from faceparts.train.forest_data import Picture, absent_parts
from faceparts.train.forest_recipe import Experiment, ForestRecipe


def make_forest(
    recipe: ForestRecipe, experiment: Experiment, *, threads: int, quiet: bool
) -> PixelForest:
    """The estimator of an experiment, not fitted yet."""
    return PixelForest(
        experiment.features,
        experiment.model,
        experiment.options,
        rounds=experiment.rounds,
        context=experiment.context,
        folds=experiment.folds,
        per_class=experiment.per_class,
        class_power=experiment.class_power,
        margin=recipe.card.margin,
        parts=len(recipe.parts),
        seed=recipe.seed,
        threads=threads,
        quiet=quiet,
    )


def fit(estimator: PixelForest, pictures: Sequence[Picture]) -> PixelForest:
    """Fit to pictures, folds by subject."""
    images, ids = [p.image for p in pictures], [p.labels for p in pictures]
    return estimator.fit(images, ids, [p.subject for p in pictures])


def run_search(
    recipe: ForestRecipe, learn: Sequence[Picture], *, threads: int, quiet: bool
) -> tuple[ForestRecipe, dict[str, Any]]:
    """Try every setting of the grid by folds of subjects; the best goes into the recipe.

    Returns:
        The recipe with the experiment's settings replaced; all scores (mean macro F1), and which
        parts a fold lacks: to learn from, or among the pictures left out (where a part that is
        absent counts only if it is found all the same, as wrong).

    Raises:
        BadRecipe: the grid names a setting that an experiment does not have.
    """
    search = recipe.search
    if search is None:
        raise BadRecipe(f"{recipe.name}: no [search] table")
    start = recipe.experiment(search.experiment)
    subjects = [p.subject for p in learn]
    folds = min(search.folds, len(set(subjects)))
    if folds < 2:
        raise BadRecipe(f"{recipe.name}: search needs training pictures of at least two subjects")
    splits = list(GroupKFold(folds).split(subjects, groups=subjects))
    absent = [
        {
            "fold": number,
            "to_learn": absent_parts([learn[i].labels for i in inside], recipe.parts),
            "left_out": absent_parts([learn[i].labels for i in outside], recipe.parts),
        }
        for number, (inside, outside) in enumerate(splits, start=1)
    ]
    grid = list(ParameterGrid({key: list(values) for key, values in search.grid.items()}))
    tried = []
    with tqdm(total=len(grid) * folds, desc="grid search", disable=quiet) as bar:
        for settings in grid:
            experiment = with_settings(start, settings, recipe.name)
            scores = []
            for inside, outside in splits:
                estimator = make_forest(recipe, experiment, threads=threads, quiet=True)
                fit(estimator, [learn[i] for i in inside])
                left = [learn[i] for i in outside]
                scores.append(estimator.score([p.image for p in left], [p.labels for p in left]))
                bar.update()
            mean = round(float(np.mean(scores)), 4)
            tried.append(
                {"settings": settings, "macro_f1": mean, "folds": np.round(scores, 4).tolist()}
            )
    best = max(tried, key=lambda row: row["macro_f1"])
    chosen = with_settings(start, best["settings"], recipe.name)
    experiments = tuple(chosen if e.name == start.name else e for e in recipe.experiments)
    found = {
        "tried": tried,
        "best": best["settings"],
        "absent": [row for row in absent if row["to_learn"] or row["left_out"]],
    }
    return replace(recipe, experiments=experiments), found


def with_settings(experiment: Experiment, settings: dict[str, Any], where: str) -> Experiment:
    """An experiment with some settings replaced; ``options.NAME`` reaches into the options.

    Raises:
        BadRecipe: there is no such setting.
    """
    changed: dict[str, Any] = {"options": dict(experiment.options)}
    for key, value in settings.items():
        kept = tuple(value) if isinstance(value, list) else value
        if key.startswith("options."):
            changed["options"][key.removeprefix("options.")] = kept
        elif key != "name" and key in vars(experiment):
            changed[key] = kept
        else:
            known = ", ".join(k for k in vars(experiment) if k != "name")
            raise BadRecipe(
                f"{where}: search: no setting {key!r}; there are: {known}, options.NAME"
            )
    return replace(experiment, **changed)
