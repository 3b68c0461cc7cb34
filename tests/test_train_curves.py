"""The log as curves: which rows count, and pictures that need no display."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from faceparts.train import curves
from faceparts.train.curves import read_log, smooth, write_curves


def loss_row(step: int, loss: float, **more: float) -> dict[str, Any]:
    return {"step": step, "loss": loss, "lr": 1e-3, "s": 1.0, "wait": 0.01, **more}


def write_log(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rows_of_a_resumed_training_count_once(tmp_path: Path) -> None:
    log = write_log(
        tmp_path / "log.jsonl",
        loss_row(20, 3.0),
        loss_row(40, 2.0),
        {"step": 40, "s": 1, "val": {"f1": 0.1}},
        loss_row(20, 2.5),
    )
    with log.open("a") as file:
        file.write('{"step": 60, "lo\n[1, 2]\n{"other": 1}\n')
    rows = read_log(log)
    assert [(r["step"], r.get("loss")) for r in rows] == [(20, 2.5), (40, 2.0), (40, None)]
    assert read_log(tmp_path / "none.jsonl") == []


def test_smooth_by_hand() -> None:
    assert smooth([4.0, 2.0, 0.0, 8.0], width=3) == pytest.approx([4, 3, 2, 10 / 3])
    assert smooth([]) == []


def test_png_and_svg_hold_what_was_logged(tmp_path: Path) -> None:
    log = write_log(
        tmp_path / "log.jsonl",
        *(loss_row(20 * i, 3.0 / i, ce=2.0 / i, dice=1.0 / i) for i in range(1, 30)),
        {"step": 300, "s": 1, "val": {"mean_f1": 0.5, "f1_hair": 0.7}},
        {"step": 600, "s": 2, "val": {"mean_f1": 0.6, "f1_hair": 0.8}},
    )
    write_curves(log, "tiny <net>", 600)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["curves.png", "curves.svg", "log.jsonl"]
    picture = cv2.imread(str(tmp_path / "curves.png"))
    assert picture is not None and picture.shape[1] > 800
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10
    svg = (tmp_path / "curves.svg").read_text("utf-8")
    for word in ("tiny &lt;net&gt;", "ce", "dice", "mean_f1", "f1_hair", "best: 600"):
        assert f"<!-- {word} -->" in svg
    write_curves(log, "tiny <net>", 600)
    assert (tmp_path / "curves.svg").read_text("utf-8") == svg  # no date, no random ids


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [loss_row(20, 0.0)],
        [loss_row(20, -1.0, ce=2.0), loss_row(40, 1.0)],
        [{"step": 3, "s": 1, "val": {"f1": float("nan")}}],
        [{"step": 3, "s": 1, "val": {}}],
    ],
    ids=["none", "zero", "negative", "nan", "no score"],
)
def test_odd_logs_draw_too(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.jsonl", *rows)
    write_curves(log, "odd")
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_only_so_many_scores_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "MOST_SCORES", 2)
    scores = {"mean_f1": 0.5, "f1_a": 0.4, "f1_b": 0.3}
    write_curves(write_log(tmp_path / "log.jsonl", {"step": 1, "val": scores}), "many")
    svg = (tmp_path / "curves.svg").read_text("utf-8")
    assert re.findall(r"<!-- (f1_\w|mean_f1) -->", svg) == ["mean_f1", "f1_a"]
