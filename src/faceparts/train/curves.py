"""The log of a training as curves: loss, scores on the validation data, learning rate."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faceparts.streams.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = dict[str, Any]
SMOOTH = 15
"""Loss rows that a point of the thick line averages."""
MOST_SCORES = 24
"""Scores that are drawn; further ones would only be a tangle."""


def read_log(path: Path) -> list[Row]:
    """Rows of ``log.jsonl``; lines that a kill has cut off are left out.

    Where a training was resumed from an older checkpoint, steps occur twice: the later row counts.
    """
    rows: dict[tuple[int, bool], Row] = {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "step" in row:
            rows[int(row["step"]), "val" in row] = row
    return [rows[key] for key in sorted(rows)]


def smooth(values: list[float], width: int = SMOOTH) -> list[float]:
    """Mean of each value and up to ``width - 1`` before it.

    Example:
        >>> smooth([2.0, 4.0, 6.0], width=2)
        [2.0, 3.0, 5.0]
    """
    windows = [values[max(0, i + 1 - width) : i + 1] for i in range(len(values))]
    return [sum(w) / len(w) for w in windows]


def write_curves(log: Path, name: str, best_step: int | None = None) -> None:
    """Draw ``curves.png`` and ``curves.svg`` beside a log; no display is needed.

    Args:
        log: path of ``log.jsonl``.
        name: title.
        best_step: step to mark: where ``best.pt`` comes from.

    Raises:
        UnwritableOutput: the system refuses; the message says what to do.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = read_log(log)
    losses, validated = [r for r in rows if "loss" in r], [r for r in rows if "val" in r]
    with rc_context({"svg.hashsalt": "faceparts"}):
        figure = Figure(figsize=(11, 4.2), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)
        _draw_losses(left, losses)
        _draw_scores(right, validated)
        if best_step is not None:
            right.axvline(best_step, color="0.5", linestyle=":", label=f"best: {best_step}")
        if right.get_legend_handles_labels()[0]:
            right.legend(fontsize=6, ncols=2)
        figure.suptitle(name)
        for kind, metadata in (("png", {}), ("svg", {"Date": None})):
            data = io.BytesIO()
            figure.savefig(data, format=kind, dpi=110, metadata=metadata)
            write_atomic(log.with_name(f"curves.{kind}"), data.getvalue(), force=True)


def _draw_losses(axes: Axes, rows: list[Row]) -> None:
    """Every loss of the log, smoothed, and the whole one as it is; the rate on a second axis."""
    axes.set(title="loss", xlabel="step")
    if not rows:
        return
    steps = [r["step"] for r in rows]
    axes.plot(steps, [r["loss"] for r in rows], color="0.8", linewidth=0.8)
    for key in [k for k in rows[-1] if k not in ("step", "lr", "s", "wait")]:
        known = [(r["step"], r[key]) for r in rows if key in r]
        values = smooth([value for _, value in known])
        axes.plot([step for step, _ in known], values, label=key)
    if min(r["loss"] for r in rows) > 0:
        axes.set_yscale("log")
    axes.legend(fontsize=7)
    rate = axes.twinx()
    rate.plot(steps, [r["lr"] for r in rows], color="tab:red", linewidth=0.7, linestyle="--")
    rate.set_ylabel("learning rate", color="tab:red")


def _draw_scores(axes: Axes, rows: list[Row]) -> None:
    """The first score thick, the others thin."""
    axes.set(title="validation", xlabel="step")
    for i, key in enumerate(list(rows[-1]["val"])[:MOST_SCORES] if rows else []):
        known = [(r["step"], r["val"][key]) for r in rows if key in r["val"]]
        axes.plot(
            [step for step, _ in known],
            [value for _, value in known],
            marker="o",
            markersize=2.5,
            linewidth=2.2 if i == 0 else 0.7,
            label=key,
        )
