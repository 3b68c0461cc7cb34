"""Trains the forests of a recipe, measures them, and writes them down with a report.

The folder holds, for every experiment, ``NAME-EXPERIMENT.npz`` (a segmenter for
`faceparts.segment.files`), and ``recipe.json`` (all settings, versions, hashes of the pictures),
``data.json`` (hashes of the pictures that were learnt from, for ``faceparts evaluate``),
``report.json``, ``report.html`` and the figures as PNG.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from faceparts import weights
from faceparts._headers import one_line
from faceparts.errors import BadRecipe
from faceparts.evaluate import confusion
from faceparts.segment._cleanup import Cleanup
from faceparts.segment._features import column_families, column_names, parse_spec
from faceparts.segment.forest import Forest, Stage, to_bytes
from faceparts.streams.files import write_atomic
from faceparts.train import _forest_measure as measure
from faceparts.train import data_list, forest_report
from faceparts.train._forest_compare import compare, open_others
from faceparts.train._forest_search import fit, make_forest, run_search
from faceparts.train._forest_twins import HASH_BITS, LIKENESS
from faceparts.train._kept import Kept, require_own
from faceparts.train.forest import PixelForest, make_model
from faceparts.train.forest_data import (
    Picture,
    absent_parts,
    found_kin,
    load_pictures,
    split_pictures,
)
from faceparts.train.forest_recipe import Experiment, ForestRecipe, recipe_from_table
from faceparts.types import ModelCard

PACKAGES = ("numpy", "scikit-learn", "opencv-python-headless")
UNSURE_SHARE = 0.05
"""Photos with a larger share of pixels without a label are named: colours nobody knows, perhaps."""


def train(
    table: dict[str, Any],
    recipe_path: Path,
    root: Path,
    out: Path,
    *,
    threads: int | None,
    quiet: bool,
) -> None:
    """Train, measure, export and report.

    Args:
        table: a recipe with ``task = "forest"``, see `ForestRecipe`.
        recipe_path: where it was read, for messages.
        root: folder that the recipe's datasets lie in.
        out: folder for the results; files of an earlier run are replaced.
        threads: processor threads; ``None`` = all cores that the process may use.
        quiet: no progress bars.

    Raises:
        BadRecipe: a key or value is wrong.
        BadData: a dataset is missing or damaged, or too small for what is asked.
        UnwritableOutput: a result cannot be written.
        UsageError: ``out`` holds another training.
    """
    recipe = recipe_from_table(table, str(recipe_path))
    require_own(out, Kept(recipe.task, recipe.name))
    for experiment in recipe.experiments:
        try_options(experiment, f"{recipe_path}: experiment {experiment.name!r}")
    threads = threads or weights.available_cores()
    others = open_others(recipe, threads=threads)
    with clock() as reading:
        pictures, left_out = load_pictures(
            recipe.data,
            root,
            recipe.pictures,
            recipe.parts,
            margin=recipe.card.margin,
            threads=threads,
            quiet=quiet,
        )
    chosen, held_out = split_pictures(pictures, recipe.pictures, recipe.seed)
    learn, test = [pictures[i] for i in chosen], [pictures[i] for i in held_out]
    searched = None
    if recipe.search is not None:
        recipe, searched = run_search(recipe, learn, threads=threads, quiet=quiet)
    report: dict[str, Any] = {
        "name": recipe.name,
        "protocol": describe_protocol(recipe, learn, test, left_out),
        "reading": reading,
        "search": searched,
        "experiments": {},
    }
    tallies: dict[str, measure.Tally] = {}
    forests: dict[str, Forest] = {}
    for experiment in recipe.experiments:
        forest, fitted, result = run_experiment(
            recipe, experiment, learn, test, tallies, threads=threads, quiet=quiet
        )
        result |= explain(forest, fitted, test, recipe.seed)
        path = out / f"{recipe.name}-{experiment.name}.npz"
        write_atomic(path, to_bytes(forest), force=True)
        result["file"], result["file_bytes"] = path.name, path.stat().st_size
        report["experiments"][experiment.name] = result
        forests[experiment.name] = forest
    report["compared"] = {}
    seen: dict[str, list[NDArray[np.uint8]]] = {}
    for name, other in others.items():
        results, ids = compare(recipe, name, other, learn, test, tallies, quiet=quiet)
        report["compared"] |= results
        seen |= ids
    report["curve"] = run_curve(recipe, learn, test, threads=threads, quiet=quiet)
    report["peak_memory_mib"] = peak_memory_mib()
    write_atomic(out / "recipe.json", to_json(resolved(recipe, pictures)), force=True)
    learnt = with_twins([picture.key for picture in learn], left_out)
    data_list.write_some(recipe.name, recipe.data, learnt, root, out / data_list.FILE)
    shown = test[: recipe.examples]
    pictured = {name: ids[: recipe.examples] for name, ids in seen.items()}
    forest_report.write(report, recipe, tallies, forests, shown, pictured, out, threads=threads)


def try_options(experiment: Experiment, where: str) -> None:
    """Let scikit-learn check an experiment's options on four pixels, before minutes of reading.

    Raises:
        BadRecipe: an option has a wrong value; scikit-learn's own words follow.
        BadData: there is no such option.
    """
    model = make_model(experiment.model, experiment.options, seed=0, threads=1)
    try:
        model.fit(np.zeros((4, 2), np.float32), np.array([0, 1, 0, 1]))
    except (ValueError, TypeError) as error:
        if type(error).__name__ == "InvalidParameterError":  # others may come from the four pixels
            raise BadRecipe(f"{where}: options: {one_line(str(error))}") from None


def with_twins(keys: Sequence[str], left_out: Mapping[str, str]) -> set[str]:
    """Keys of pictures, and of those that were left out for being the same or nearly so.

    Args:
        left_out: key -> why, as `load_pictures` gives them.

    Example:
        >>> sorted(with_twins(["a/1"], {"a/2": "the same photo as a/1", "a/3": "no head found"}))
        ['a/1', 'a/2']
    """
    ends = tuple(f" {key}" for key in keys)
    whys = {key: why.partition(" (likeness ")[0] for key, why in left_out.items()}
    return {*keys, *(key for key, why in whys.items() if why.endswith(ends))}


def peak_memory_mib() -> float | None:
    """Most memory that this process held, where the system tells.

    On Linux ``ru_maxrss`` would count its parent's.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        lines = dict(line.split(":", 1) for line in status.read_text("ascii").splitlines())
        return round(int(lines["VmHWM"].split()[0]) / 2**10, 1)
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


@contextmanager
def clock() -> Iterator[dict[str, float]]:
    """Wall and processor seconds of a block, filled in at its end."""
    spent: dict[str, float] = {}
    wall, cpu = time.perf_counter(), time.process_time()
    yield spent
    spent["wall_s"] = round(time.perf_counter() - wall, 2)
    spent["cpu_s"] = round(time.process_time() - cpu, 2)


def run_experiment(
    recipe: ForestRecipe,
    experiment: Experiment,
    learn: Sequence[Picture],
    test: Sequence[Picture],
    tallies: dict[str, measure.Tally],
    *,
    threads: int,
    quiet: bool,
) -> tuple[Forest, PixelForest, dict[str, Any]]:
    """Fit one forest and measure it, as it will run, on the test pictures."""
    with clock() as fitting:
        fitted = fit(make_forest(recipe, experiment, threads=threads, quiet=quiet), learn)
    forest = to_forest(recipe, experiment, fitted, {})
    tally = measure.Tally.empty(len(recipe.parts))
    per_picture = {}
    with clock() as evaluating:
        for picture in tqdm(test, desc=f"test {experiment.name}", disable=quiet, leave=False):
            truth = measure.truth_of(picture, recipe.score)
            probs = forest.probs(picture.image, threads=threads)
            one = measure.Tally.empty(len(recipe.parts))
            one.add(truth, measure.enlarge(probs, truth.shape[0]))
            tally.join(one)
            per_picture[picture.key] = {
                "accuracy": measure.plain(confusion.pixel_accuracy(one.matrix)),
                "mean_f1": measure.plain(confusion.mean_f1(one.matrix)),
            }
    tallies[experiment.name] = tally
    result = measure.rates(tally, recipe.parts)
    metrics = {
        f"{recipe.name} {key}": result[key]
        for key in ("accuracy", "macro_f1", "mean_iou")
        if result[key] is not None
    }
    forest = to_forest(recipe, experiment, fitted, metrics)
    result |= {
        "settings": asdict(experiment),
        "fitting": fitting,
        "evaluating": evaluating,
        "pictures": per_picture,
        "nodes": [len(stage.trees.feature) for stage in forest.stages],
        "absent_in_training": absent_parts([p.labels for p in learn], recipe.parts),
        "absent_in_test": absent_parts([p.labels for p in test], recipe.parts),
        "absent_in_folds": [[recipe.parts[k] for k in ids] for ids in fitted.absent_in_folds_],
    }
    return forest, fitted, result


def to_forest(
    recipe: ForestRecipe, experiment: Experiment, fitted: PixelForest, metrics: dict[str, float]
) -> Forest:
    """A fitted estimator as it is saved."""
    text = recipe.card
    card = ModelCard(
        name=f"{recipe.name}-{experiment.name}",
        task="segment",
        label_set=recipe.label_set,
        input_px=recipe.input_px,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        margin=text.margin,
        trained_on=text.trained_on,
        license=text.license,
        data_license=text.data_license,
        commercial_ok=text.commercial_ok,
        metrics=metrics,
        notes=text.notes,
    )
    stages = tuple(Stage(spec, trees) for spec, trees in fitted.stages_)
    cleanup = Cleanup(**experiment.cleanup)
    work_px = recipe.pictures.work_px
    return Forest(card, recipe.parts, work_px, stages, experiment.mirror, cleanup)


def explain(
    forest: Forest, fitted: PixelForest, test: Sequence[Picture], seed: int
) -> dict[str, Any]:
    """Which features matter in the last stage: by impurity or gain, and by permutation."""
    last = len(forest.stages) - 1
    before = forest.parts if last else ()
    terms = parse_spec(forest.stages[last].features, before)
    families, names = column_families(terms, before), column_names(terms, before)
    gained = measure.impurity_importance(fitted.estimators_[last], len(names))
    rows, ids, _ = measure.draw_pixels(forest, test, seed)
    order = np.argsort(-gained)[:20]
    return {
        "importance": {
            "impurity": measure.by_family(gained, families),
            "impurity_columns": {names[i]: round(float(gained[i]), 5) for i in order},
            "permutation": measure.permutation_importance(
                forest.stages[last].trees, rows, ids, families, seed
            ),
        }
    }


def run_curve(
    recipe: ForestRecipe,
    learn: Sequence[Picture],
    test: Sequence[Picture],
    *,
    threads: int,
    quiet: bool,
) -> dict[str, Any] | None:
    """Rates by number of training pictures; the first so many of the shuffled ones."""
    if not recipe.curve:
        return None
    experiment = recipe.experiment(recipe.curve_experiment)
    points = []
    sizes = sorted({min(n, len(learn)) for n in recipe.curve})
    for size in tqdm(sizes, desc="curve", disable=quiet, leave=False):
        estimator = make_forest(recipe, experiment, threads=threads, quiet=True)
        forest = to_forest(recipe, experiment, fit(estimator, learn[:size]), {})
        tally = measure.Tally.empty(len(recipe.parts))
        for picture in test:
            truth = measure.truth_of(picture, recipe.score)
            probs = forest.probs(picture.image, threads=threads)
            tally.add(truth, measure.enlarge(probs, truth.shape[0]))
        known = measure.rates(tally, recipe.parts)
        points.append({"pictures": size} | {k: known[k] for k in ("accuracy", "macro_f1")})
    return {"experiment": experiment.name, "points": points}


# --- what was done ------------------------------------------------------------------------------


def describe_protocol(
    recipe: ForestRecipe,
    learn: Sequence[Picture],
    test: Sequence[Picture],
    left_out: dict[str, str],
) -> dict[str, Any]:
    """Which pictures were on which side, and how they were counted."""
    shared = {p.subject for p in learn} & {p.subject for p in test}
    everyone = [*learn, *test]
    return {
        "pictures": asdict(recipe.pictures),
        "score": recipe.score,
        "seed": recipe.seed,
        "train": [p.key for p in learn],
        "test": [p.key for p in test],
        "subjects": len({p.subject for p in everyone}),
        "subjects_on_both_sides": len(shared),
        "near_identical_from": {"likeness": LIKENESS, "of_64_bits_at_most": HASH_BITS},
        "same_subject_by_look": found_kin(everyone),
        "unlabelled": {p.key: round(p.unsure, 4) for p in everyone if p.unsure > UNSURE_SHARE},
        "left_out": left_out,
    }


def resolved(recipe: ForestRecipe, pictures: Sequence[Picture]) -> dict[str, Any]:
    """The recipe as it was run, the versions, and a hash of every picture."""
    return {
        "recipe": asdict(recipe),
        "versions": {
            "python": sys.version.split()[0],
            **{name: importlib.metadata.version(name) for name in PACKAGES},
        },
        "pictures": {p.key: _digest(p.image, p.labels) for p in pictures},
    }


def _digest(*arrays: NDArray[np.uint8]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def to_json(value: object) -> bytes:
    """Readable JSON."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
