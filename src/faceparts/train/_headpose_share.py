"""How much of the yaw support vectors tell on the classical road: chosen without the test persons.

Two kinds of people are asked. Training persons, told by what did not see them, cover all poses, but
they are seven, and where they really looked differs from their labels by up to 14 degrees. Photos
of several hundred other people, with a face mesh's yaw, are many and agree with each other, but
reach 42 degrees only. Their errors are of unlike size, so the least product counts, not the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from faceparts.train import headpose as pose
from faceparts.train._headpose_fit import Array, Halves


def errors_by_share(
    shares: Sequence[float],
    left_out: Sequence[Halves],
    truth_deg: Array,
    others: Sequence[Halves],
    others_deg: Array | None,
) -> list[dict[str, float]]:
    """Mean absolute error of the runs' mean answer at each share, in degrees.

    Args:
        shares: to look at.
        left_out: what each run tells of left-out training persons; their labels give its knots.
        truth_deg: (N,) those labels.
        others: what each run tells of other people; empty if there are none.
        others_deg: (M,) their pseudo-labels.

    Example:
        >>> truth = np.array([-30.0, 0.0, 30.0])
        >>> run = Halves(truth + 4, truth + 1)
        >>> errors_by_share([0, 1], [run], truth, [run], truth)[0]
        {'share': 0, 'left_out_mae_deg': 4.0, 'others_mae_deg': 4.0}
    """
    rows = []
    for share in shares:
        knots = [pose.find_knots(one.at(share), truth_deg) for one in left_out]
        row = {"share": share, "left_out_mae_deg": _mae(share, left_out, knots, truth_deg)}
        if others_deg is not None:
            row["others_mae_deg"] = _mae(share, others, knots, others_deg)
        rows.append(row)
    return rows


def best_share(rows: Sequence[dict[str, float]]) -> float:
    """The share with the least product of errors; the smallest one if there are several.

    Example:
        >>> few = {"share": 0.0, "left_out_mae_deg": 6.0, "others_mae_deg": 4.0}
        >>> best_share([few, {"share": 0.5, "left_out_mae_deg": 7.0, "others_mae_deg": 3.0}])
        0.5
    """
    best = min(rows, key=lambda row: row["left_out_mae_deg"] * row.get("others_mae_deg", 1))
    return best["share"]


def _mae(share: float, told: Sequence[Halves], knots: Sequence[Any], truth_deg: Array) -> float:
    mean = np.mean(
        [pose.stretch_all(t.at(share), k) for t, k in zip(told, knots, strict=True)], axis=0
    )
    return round(float(np.abs(mean - truth_deg).mean()), 3)
