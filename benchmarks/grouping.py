"""Grouping of keypoints: equal to the slow reference on random scenes, and how long it takes.

Scenes have 0 to 30 people that stand, turn and cross, 0 to 60 % of their joints hidden, tags that
scatter by up to half of what two people differ, on maps of 32 to 72 pixels; every scene is grouped
by the package and by ``tests/grouping_reference.py``, and must come out the same to the last bit.
Also counted, on the first 300: scenes on which the costs of the authors' code join peaks otherwise,
and of the joints that were drawn, those that either rule gives to somebody else. Times are for 30
people on 17 maps of 256 x 256, one thread: least and median of processor and wall time.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from _report import arguments, machine, progress

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import grouping_reference as reference
from faceparts.detect._grouping import group

Floats = NDArray[np.float32]
BOTH_RULES = 300


def main() -> None:
    args = _arguments().parse_args()
    cv2.setNumThreads(1)
    results = {
        "machine": machine(1),
        "scenes": compare(args.scenes, args.seed),
        "times": [
            measure(args.seed, args.rounds, depth, noise)
            for depth in (1, 2)
            for noise in (0.01, 0.0)
        ],
    }
    text = json.dumps(results, indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + "\n", encoding="utf-8")
    if results["scenes"]["different"]:
        sys.exit("grouping differs from its reference")


def _arguments() -> argparse.ArgumentParser:
    parser = arguments(__doc__)
    parser.add_argument("--scenes", type=int, default=1000, help="random scenes (default: 1000)")
    parser.add_argument("--rounds", type=int, default=50, help="groupings timed (default: 50)")
    return parser


def compare(scenes: int, seed: int) -> dict[str, Any]:
    """Scenes that come out differently, and mistakes of both rules against what was drawn."""
    different, published, joints, wrong, wrong_published, people = 0, 0, 0, 0, 0, 0
    for number in range(scenes):
        if number and number % 100 == 0:
            progress(f"{number} scenes, {different} different")
        rng = np.random.default_rng((seed, number))
        drawn = reference.draw_scene(
            rng,
            int(rng.integers(0, 31)),
            int(rng.integers(32, 73)),
            hidden=rng.uniform(0, 0.6),
            spread=rng.uniform(0, 0.5),
            depth=int(rng.integers(1, 3)),
        )
        ours = group(drawn.heatmaps, drawn.tags)
        theirs = reference.group(drawn.heatmaps, drawn.tags)
        different += not _same(ours, theirs)
        people += len(ours[0])
        if number >= BOTH_RULES:
            continue
        plain = reference.group(drawn.heatmaps, drawn.tags, refine=False)
        paper = reference.group(drawn.heatmaps, drawn.tags, refine=False, as_published=True)
        published += not _same(plain, paper)
        joints += int((drawn.people[..., 2] > 0).sum())
        wrong += strangers(drawn.people, plain[0])
        wrong_published += strangers(drawn.people, paper[0])
    return {
        "scenes": scenes,
        "people": people,
        "different": different,
        "scenes_by_both_rules": min(scenes, BOTH_RULES),
        "joined_otherwise_as_published": published,
        "joints_drawn": joints,
        "joints_with_strangers": wrong,
        "joints_with_strangers_as_published": wrong_published,
    }


def _same(a: tuple[Floats, Floats], b: tuple[Floats, Floats]) -> bool:
    return np.array_equal(a[0], b[0], equal_nan=True) and np.allclose(a[1], b[1], rtol=1e-6)


def strangers(drawn: NDArray[np.float64], found: Floats) -> int:
    """Joints found within 1.5 pixels of a drawn one whose person has most joints of another."""
    wrong = 0
    for person in found:
        owners = []
        for joint in np.flatnonzero(person[:, 2] > 0):
            gap = np.linalg.norm(drawn[:, joint, :2] - person[joint, :2], axis=1)
            gap[drawn[:, joint, 2] == 0] = np.inf
            if len(gap) and gap.min() < 1.5:
                owners.append(int(gap.argmin()))
        if owners:
            wrong += len(owners) - int(np.bincount(owners).max())
    return wrong


def measure(seed: int, rounds: int, depth: int, noise: float) -> dict[str, Any]:
    """Times of one scene of 30 people at 256 x 256, in milliseconds."""
    drawn = reference.draw_scene(np.random.default_rng(seed), 30, 256, depth=depth, noise=noise)
    wall, processor = [], []
    for _ in range(rounds + 3):
        begun = time.perf_counter(), time.process_time()
        people, _ = group(drawn.heatmaps, drawn.tags)
        wall.append(1000 * (time.perf_counter() - begun[0]))
        processor.append(1000 * (time.process_time() - begun[1]))
    return {
        "tags_a_joint": depth,
        "noise": noise,
        "people": len(people),
        "processor_ms": {"least": round(min(processor[3:]), 1), "median": _median(processor)},
        "wall_ms": {"least": round(min(wall[3:]), 1), "median": _median(wall)},
    }


def _median(values: list[float]) -> float:
    return round(float(np.median(values[3:])), 1)


if __name__ == "__main__":
    main()
