"""How much of a training step is spent waiting for data, and how many pictures a second it does.

The recipe is trained for a number of steps at each of its sizes, from a fresh net, on the given
data, with the loop that ``faceparts train`` runs. "wait" is the share of the wall time that the
loop stood still because the next batch was not ready; the first steps of every size are left out
(threads start, memory is fetched). "prepare" is the processor time that one thread needs to make a
batch when nothing else runs, and "step" the time of one optimiser step.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import replace
from typing import Any

import cv2
import torch

from _report import ROOT, arguments, data_folder, progress, publish, table
from faceparts.errors import FacePartsError
from faceparts.train import loop
from faceparts.train.config import Phase, Recipe, find_recipe, read_recipe
from faceparts.train.distributed import join
from faceparts.train.feed import Feed

LEFT_OUT = 3
"""First steps of a size that are not counted."""


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--recipe", default="partnet", help="shipped name or TOML file")
    parser.add_argument("--steps", type=int, default=25, help="counted steps a size")
    parser.add_argument("--workers", type=int, default=1, help="threads that prepare batches")
    parser.add_argument("--device", default="auto")
    parser.set_defaults(page=ROOT / "docs" / "trainer.md")
    args = parser.parse_args()
    try:
        rows = _measure(args)
    except FacePartsError as error:
        sys.exit(str(error))
    about = {"recipe": args.recipe, "workers": args.workers, "steps": args.steps}
    publish("train", args, __doc__ or "", {**about, "sizes": rows}, _markdown(rows))


def _measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    recipe = read_recipe(find_recipe(args.recipe))
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    with join(args.device) as group:
        progress(f"{args.recipe}: reading the data")
        task = loop.make_task(recipe, data_folder(args))
        rows = []
        for phase in recipe.phases:
            progress(f"{args.recipe}: {phase.size_px} px")
            one = replace(recipe, phases=(replace(phase, until=1.0),), minutes=0.0)
            one = replace(one, steps=LEFT_OUT + args.steps)
            rows.append(_measure_phase(one, phase, task, group, args.workers))
        return rows


def _measure_phase(
    recipe: Recipe, phase: Phase, task: loop.Task, group: Any, workers: int
) -> dict[str, Any]:
    """One size: wait, pictures a second, and both halves of the work alone."""
    began = time.thread_time()
    task.batch(10**6, phase)
    prepare_s = time.thread_time() - began
    state = loop.make_state(recipe, task.outputs, group.device)
    steps, waits = [], []
    with Feed(task, recipe, group, workers) as feed:
        while state.step < recipe.steps:
            feed.waited_s, began = 0.0, time.monotonic()
            batches = feed.take(state.step, lambda n: loop.progress_of(recipe, state, ahead=n))
            loop.take_step(recipe, state, task, batches, 0.5, group)
            steps.append(time.monotonic() - began)
            waits.append(feed.waited_s)
    steps, waits = steps[LEFT_OUT:], waits[LEFT_OUT:]
    pictures = phase.batch * recipe.accumulate
    return {
        "size_px": phase.size_px,
        "batch": pictures,
        "wait": sum(waits) / sum(steps),
        "pictures_s": pictures * len(steps) / sum(steps),
        "step_ms": 1000 * statistics.median(steps),
        "prepare_ms": 1000 * prepare_s,
    }


def _markdown(rows: list[dict[str, Any]]) -> str:
    head = ["size, px", "batch", "wait", "pictures/s", "step, ms", "prepare, ms"]
    body = [
        [
            f"{r['size_px']}",
            f"{r['batch']}",
            f"{r['wait']:.1%}",
            f"{r['pictures_s']:.1f}",
            f"{r['step_ms']:.0f}",
            f"{r['prepare_ms']:.0f}",
        ]
        for r in rows
    ]
    return table(head, body)


if __name__ == "__main__":
    main()
