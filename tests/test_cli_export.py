"""``faceparts export``: the right checkpoint in, its weights out, every refusal by name."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

from cli_world import Done, call, call_process
from faceparts import weights
from faceparts.train import loop
from faceparts.train.config import Phase
from faceparts.train.nets import partnet
from train_world import PARTS, one_thread, write_world

RECIPE = replace(PARTS, phases=(Phase(1.0, 32, 2),), steps=2, val_every=1)


class Tiny(nn.Module):
    """A parser of one layer."""

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, parts, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(x)
        return out


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(partnet, "build", Tiny)
    with one_thread():
        yield


def make_run(folder: Path, **steps: int) -> Path:
    """A folder of a training whose checkpoints have their own step in all averaged weights."""
    folder.mkdir()
    table = json.dumps(dataclasses.asdict(RECIPE))
    (folder / "recipe.json").write_text(table)
    for name, step in steps.items():
        state = loop.make_state(RECIPE, 19)
        state.step, state.best, state.best_step = step, step / 100, step
        with torch.no_grad():
            for value in state.average.parameters():
                value.fill_(step)
        loop.save_checkpoint(state, folder / f"{name}.pt")
    return folder


def head_of(path: Path) -> NDArray[np.float32]:
    """The layer's weights in an exported file."""
    (found,) = (
        numpy_helper.to_array(tensor)
        for tensor in onnx.load(path).graph.initializer
        if tensor.name.removesuffix(".half") == "net.head.weight"
    )
    return np.asarray(found, np.float32)


def export(run: Path, *arguments: object) -> Done:
    return call("export", run, "-o", run / "models", *arguments)


@pytest.mark.parametrize(
    ("there", "asked", "step"),
    [
        ({"best": 4, "checkpoint": 9}, None, 4),
        ({"best": 4, "checkpoint": 9}, "best", 4),
        ({"best": 4, "checkpoint": 9}, "last", 9),
        ({"checkpoint": 9}, None, 9),
        ({"checkpoint": 9}, "last", 9),
        ({"best": 4}, None, 4),
    ],
)
def test_the_best_checkpoint_is_taken_unless_the_last_is_asked_for(
    there: dict[str, int], asked: str | None, step: int, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", **there)
    done = export(run, *([] if asked is None else ["--checkpoint", asked]))
    assert done.code == 0, done.err
    name = "best.pt" if step == 4 else "checkpoint.pt"
    score = ", score 0.0400" if step == 4 else ""
    assert done.err.strip().splitlines()[-1] == f"{run / name}: step {step}{score}"
    path = run / "models" / "tiny.onnx"
    assert done.out.decode().startswith(f"{path}: ")
    assert (head_of(path) == step).all()
    assert weights.read_card(path).name == "tiny"
    assert "tiny.onnx" in (run / "models" / "SHA256SUMS").read_text()


def test_weights_are_mixed_with_those_of_a_file(tmp_path: Path) -> None:
    start = make_run(tmp_path / "start", checkpoint=2)
    assert export(start).code == 0
    run, other = make_run(tmp_path / "run", checkpoint=10), start / "models" / "tiny.onnx"
    done = export(run, "--mix", f"{other}=0.25")
    assert done.code == 0, done.err
    path = run / "models" / "tiny.onnx"
    assert (head_of(path) == 8).all()  # 0.75 * 10 + 0.25 * 2
    card = weights.read_card(path)
    assert card.notes == "weights: 0.75 of this training, 0.25 of tiny.onnx"
    assert card.mixed_with == ("tiny",)
    assert card.trained_on[-1] == "mixed in: tiny, whose card does not say what it was trained on"
    assert weights.read_card(other).notes == ""


def test_what_was_mixed_in_brings_what_it_learnt_from(tmp_path: Path) -> None:
    start = make_run(tmp_path / "start", checkpoint=2)
    table = json.loads((start / "recipe.json").read_text())
    table["card"]["trained_on"] = ["CelebAMask-HQ", "own photos"]
    (start / "recipe.json").write_text(json.dumps(table))
    assert export(start).code == 0
    run = make_run(tmp_path / "run", checkpoint=10)
    assert export(run, "--mix", f"{start / 'models' / 'tiny.onnx'}=0.5").code == 0
    card = weights.read_card(run / "models" / "tiny.onnx")
    assert card.trained_on == (*RECIPE.card.trained_on, "CelebAMask-HQ", "own photos")
    again = make_run(tmp_path / "again", checkpoint=4)
    assert export(again, "--mix", f"{run / 'models' / 'tiny.onnx'}=0.5").code == 0
    assert weights.read_card(again / "models" / "tiny.onnx").mixed_with == ("tiny",)


def test_what_is_there_is_replaced_with_force_only(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", checkpoint=3)
    folder = run / "models"
    folder.mkdir()
    for name in ("tiny.onnx", "tiny.int8.onnx"):
        (folder / name).write_bytes(b"mine")
        done = export(run)
        assert done.code == 2 and f"{folder / name}: exists already" in done.err
        assert [p.read_bytes() for p in folder.iterdir()] == [b"mine"]
        if name == "tiny.onnx":
            (folder / name).unlink()
    done = export(run, "--force")
    assert done.code == 0, done.err
    assert [line.split(": ")[0] for line in done.out.decode().splitlines()] == [
        str(folder / "tiny.onnx")
    ]
    assert sorted(p.name for p in folder.iterdir()) == ["SHA256SUMS", "tiny.onnx"]
    assert "int8" not in (folder / "SHA256SUMS").read_text()


def test_a_damaged_recipe_is_one_line(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", checkpoint=3)
    (run / "recipe.json").write_text("[1]")
    done = export(run)
    assert done.code == 1 and "recipe.json: got list; wanted a table" in done.err
    table = dataclasses.asdict(RECIPE) | {"name": "../esc"}
    (run / "recipe.json").write_text(json.dumps(table))
    done = export(run)
    assert done.code == 1 and "name = '../esc'; wanted a plain file name" in done.err
    assert not (run / "esc.onnx").exists() and not (run / "models").exists()


@pytest.mark.parametrize("text", ["", "tiny.onnx", "tiny.onnx=", "x=0", "a=1", "a=nan", "=0.5"])
def test_shares_that_mean_nothing(text: str, tmp_path: Path) -> None:
    done = export(make_run(tmp_path / "run", checkpoint=1), "--mix", text)
    assert done.code == 2
    share = text.rpartition("=")[2]
    assert f"--mix {text}: share {share!r}; wanted a number above 0 and below 1" in done.err
    assert not (tmp_path / "run" / "models").exists()


def test_only_the_same_net_is_mixed(tmp_path: Path) -> None:
    done = export(make_run(tmp_path / "run", checkpoint=1), "--mix", "headnet=0.5")
    assert done.code == 1
    assert "headnet.onnx: fits 0 of" in done.err
    assert not (tmp_path / "run" / "models").exists()


def test_help_and_a_refusal_as_a_process(tmp_path: Path) -> None:
    done = call_process("export", "--help")
    assert done.code == 0
    assert "--checkpoint [best|last]" in done.out.decode()
    refused = call_process("export", tmp_path, "-o", tmp_path / "models")
    assert refused.code == 2
    assert "not the folder of a net's training, it has no recipe.json" in refused.err
    assert "Traceback" not in refused.err
    (tmp_path / "recipe.json").write_text("{")
    damaged = call_process("export", tmp_path, "-o", tmp_path / "models")
    assert damaged.code == 1
    assert "BadRecipe" in damaged.err
    assert "recipe.json: not readable (" in damaged.err


def test_int8_and_metrics(tmp_path: Path) -> None:
    run, data = make_run(tmp_path / "run", checkpoint=1), write_world(tmp_path / "data")
    (tmp_path / "metrics.json").write_text('{"mean_f1": 0.5}')
    done = export(run, "--int8", "--data", data, "--metrics", tmp_path / "metrics.json")
    assert done.code == 0, done.err
    for name in ("tiny.onnx", "tiny.int8.onnx"):
        assert weights.read_card(run / "models" / name).metrics == {"mean_f1": 0.5}


def test_an_export_that_fails_leaves_the_earlier_one_whole(tmp_path: Path) -> None:
    run, data = make_run(tmp_path / "run", checkpoint=1), write_world(tmp_path / "data")
    assert export(run, "--int8", "--data", data).code == 0
    before = {p: p.read_bytes() for p in (run / "models").iterdir()}
    assert len(before) == 3
    again, empty = make_run(tmp_path / "again", checkpoint=2), tmp_path / "empty"
    empty.mkdir()
    done = call("export", again, "-o", run / "models", "--force", "--int8", "--data", empty)
    assert done.code == 1, done.err
    assert {p: p.read_bytes() for p in (run / "models").iterdir()} == before
    fresh = call("export", again, "-o", tmp_path / "new", "--int8", "--data", empty)
    assert fresh.code == 1 and not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("there", "arguments", "code", "what"),
    [
        ({"checkpoint": 1}, ["--checkpoint", "best"], 2, "best.pt: no such checkpoint; give --ch"),
        ({"best": 1}, ["--checkpoint", "last"], 2, "checkpoint.pt: no such checkpoint; give --ch"),
        ({}, [], 2, "checkpoint.pt: no such checkpoint; train it first"),
        ({"checkpoint": 1}, ["--checkpoint", "worst"], 2, "'worst' is not one of 'best', 'last'"),
        ({"checkpoint": 1}, ["--int8"], 2, "--int8 needs --data"),
    ],
)
def test_what_cannot_be_exported(
    there: dict[str, int],
    arguments: list[str],
    code: int,
    what: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FACEPARTS_DATA", raising=False)
    run = make_run(tmp_path / "run", **there)
    done = export(run, *arguments)
    assert done.code == code
    assert what in done.err
    assert not (run / "models").exists()


@pytest.mark.parametrize("text", ["[1]", '{"f1": "high"}', "{"])
def test_metrics_that_are_no_numbers(text: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", checkpoint=1)
    (tmp_path / "m.json").write_text(text)
    done = export(run, "--metrics", tmp_path / "m.json")
    assert done.code == 2
    assert "not a JSON object of numbers" in done.err
    assert not (run / "models").exists()


def test_without_the_packages_for_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faceparts.train.export", None)
    monkeypatch.delattr("faceparts.train.export")
    done = export(make_run(tmp_path / "run", checkpoint=1))
    assert done.code == 2
    assert "pip install 'faceparts[train]'" in done.err


def test_a_checkpoint_of_another_net(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", checkpoint=1)
    (run / "best.pt").write_bytes(b"no checkpoint")
    done = export(run)
    assert done.code == 1
    assert f"{run / 'best.pt'}: not a checkpoint of this recipe" in done.err
