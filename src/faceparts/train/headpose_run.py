"""Runs a recipe with ``task = "headpose"``: learns, tests, and writes the model and a report.

The folder gets ``headpose.npz`` (for ``models/`` of the package), ``report.json`` (all scores,
settings and choices) and ``report.md`` (the tables).
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from faceparts import weights
from faceparts._headpose import KINDS, to_bytes
from faceparts.streams.files import write_atomic
from faceparts.train._headpose_classic import run_classical
from faceparts.train._headpose_modern import read_others, run_modern
from faceparts.train._headpose_recipe import HeadposeRecipe, recipe_from_table
from faceparts.train._kept import Kept, require_own


def train(
    table: dict[str, Any],
    recipe_path: Path,
    root: Path,
    out: Path,
    *,
    threads: int | None,
    quiet: bool,
) -> None:
    """Take the roads of a recipe and write down what came of it.

    Args:
        table: a recipe with ``task = "headpose"``, see `HeadposeRecipe`.
        recipe_path: where it was read, for messages.
        root: folder that the data lies in.
        out: folder for the results; files of an earlier run are replaced.
        threads: processor threads; ``None`` = all cores that the process may use.
        quiet: no progress bars.

    Raises:
        BadRecipe: a key or value is wrong.
        BadData: photos, labels or the teacher are missing or damaged.
        UnwritableOutput: a result cannot be written.
        UsageError: ``out`` holds another training.
    """
    recipe = recipe_from_table(table, str(recipe_path))
    require_own(out, Kept(recipe.task, recipe.name))
    threads = threads or weights.available_cores()
    report: dict[str, Any] = {"name": recipe.name, "recipe": asdict(recipe)}
    started = time.process_time()
    if "modern" in recipe.roads:
        report["modern"], model = run_modern(recipe, root, threads, quiet)
        model = replace(model, card=card_of(recipe, report["modern"]))
        write_atomic(out / "headpose.npz", to_bytes(model), force=True)
    if "classical" in recipe.roads:
        report["classical"] = run_classical(
            recipe.classical,
            root / recipe.fasseg,
            read_others(recipe, root, threads, quiet),
            recipe.seed,
            threads,
            quiet,
        )
    report["cpu_s"] = round(time.process_time() - started, 1)
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomic(out / "report.json", text.encode(), force=True)
    write_atomic(out / "report.md", to_markdown(report).encode(), force=True)
    tqdm.write(to_markdown(report), file=sys.stderr)


def card_of(recipe: HeadposeRecipe, report: dict[str, Any]) -> str:
    """What the file says about itself."""
    kept = {
        k: {n: v for n, v in report["sided"][k].items() if n != "confusion"}
        for k in ("test", "yaw_against_teacher", "pitch_against_teacher")
        if k in report["sided"]
    }
    return json.dumps(
        {
            "name": "headpose",
            "angles": "yaw > 0: subject turns to its own right; pitch > 0: looks up; degrees",
            "trained_on": ["FASSEG V3 persons 01-07", *recipe.pseudo.folders],
            "pseudo_labels": "3-D face mesh" if recipe.pseudo.teacher else "",
            "pitch_known": bool(recipe.pseudo.teacher),
            "parser": recipe.parser,
            "license": "Apache-2.0",
            "data_license": "FASSEG: research, cite Khan et al. 2015 and 2017; photos: research",
            "commercial_ok": False,
            "scores": kept,
        },
        sort_keys=True,
    )


def _share_table(rows: list[dict[str, float]]) -> list[str]:
    names = {
        "share": "share",
        "left_out_mae_deg": "left-out persons, degrees",
        "others_mae_deg": "other people, degrees",
    }
    names = {k: v for k, v in names.items() if k in rows[0]}
    head = ["| " + " | ".join(names.values()) + " |", "| --- " * len(names) + "|"]
    return head + ["| " + " | ".join(f"{row[k]:g}" for k in names) + " |" for row in rows]


def to_markdown(report: dict[str, Any]) -> str:
    """The scores as tables."""
    rows = []
    for road, names in (("modern", KINDS), ("classical", ("pixels", "superpixels"))):
        for name in names if road in report else ():
            for split in ("left_out_persons", "test"):
                one = report[road][name][split]
                rows.append(
                    f"| {road}: {name} | {split.replace('_', ' ')} | {one['photos']} | "
                    f"{one['pose_mae_deg']:.2f} | {one['pose_accuracy']:.3f} | "
                    f"{one['within_15_deg']:.3f} | {one['mae_deg']:.2f} |"
                )
    lines = [
        "| road | photos of | number | error of the nearest pose, degrees | accuracy of 13 poses | "
        "within 15 degrees | error as measured, degrees |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *rows,
    ]
    for road, one in report.get("classical", {}).items():
        runs = one.get("pose_mae_deg_of_each_run", {}) if isinstance(one, dict) else {}
        if len(runs.get("test", ())) > 1:
            lines.append(f"\nclassical {road}, error of the nearest pose of each run alone: {runs}")
        if isinstance(one, dict) and len(one.get("errors_by_svr_share", ())) > 1:
            lines.append(f"\nclassical {road}, share of support vectors: {one['svr_share']} of")
            lines += ["", *_share_table(one["errors_by_svr_share"])]
    for kind in KINDS if "modern" in report else ():
        for angle in ("yaw", "pitch"):
            one = report["modern"][kind].get(f"{angle}_against_teacher")
            if one:
                lines.append(f"\n{kind} {angle} against the teacher, held-out photos: {one}")
    return "\n".join(lines) + "\n"
