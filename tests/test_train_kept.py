"""Folders of trainings: none is mixed up with another, none exported that is no net's."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from cli_world import call
from faceparts.errors import UsageError
from faceparts.train import config, forest_run, headpose_run, loop
from faceparts.train._kept import Kept, kept_in, require_own
from faceparts.train.config import RECIPES, Recipe
from train_world import HEADS, PARTS

FOREST = config.read_table(RECIPES / "forest-fasseg-seed.toml")
HEADPOSE = config.read_table(RECIPES / "headpose-fasseg.toml")


def folder_of(where: Path, kind: str) -> Path:
    """What the trainings of each kind write about themselves."""
    where.mkdir()
    texts: dict[str, tuple[str, Any]] = {
        "parts": ("recipe.json", asdict(PARTS)),
        "forest": ("recipe.json", {"recipe": FOREST, "versions": {}, "pictures": {}}),
        "headpose": ("report.json", {"name": "headpose-fasseg", "recipe": HEADPOSE}),
    }
    name, values = texts[kind]
    (where / name).write_text(json.dumps(values))
    return where


def test_each_kind_is_known(tmp_path: Path) -> None:
    found = [kept_in(folder_of(tmp_path / k, k)) for k in ("parts", "forest", "headpose")]
    assert found == [
        Kept("parts", "tiny", "partnet", "celeba19"),
        Kept("forest", "forest-fasseg-seed"),
        Kept("headpose", HEADPOSE["name"]),
    ]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"recipe": 3}', '{"name": "a"}'])
def test_what_does_not_say_is_nobodys(text: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(text)
    (tmp_path / "report.json").write_text(text)
    assert kept_in(tmp_path) is None
    require_own(tmp_path, Kept("parts", "tiny"))
    assert kept_in(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("recipe", "what"),
    [
        (HEADS, "task 'parts'; this recipe, 'tiny', has 'heads'"),
        (replace(PARTS, name="other"), "name 'tiny'; this recipe, 'other', has 'other'"),
        (replace(PARTS, net="litenet"), "net 'partnet'; this recipe, 'tiny', has 'litenet'"),
        (replace(PARTS, label_set="lfw3"), "label_set 'celeba19'; this recipe, 'tiny', has 'lfw3'"),
    ],
)
def test_a_net_does_not_go_on_in_another_nets_folder(
    recipe: Recipe, what: str, tmp_path: Path
) -> None:
    out = folder_of(tmp_path / "run", "parts")
    with pytest.raises(UsageError) as refused:
        loop.train(recipe, tmp_path, out, quiet=True)
    assert what in str(refused.value) and str(out) in str(refused.value)
    assert [p.name for p in out.iterdir()] == ["recipe.json"]


@pytest.mark.parametrize("kind", ["forest", "headpose"])
def test_a_net_does_not_go_into_what_is_no_nets_folder(kind: str, tmp_path: Path) -> None:
    out = folder_of(tmp_path / "run", kind)
    before = {p: p.read_bytes() for p in out.iterdir()}
    done = call("train", "partnet", "--data", tmp_path, "-o", out, "--quiet")
    assert done.code == 2
    assert f"(task '{kind}'; this recipe, 'partnet', has 'parts'); choose another" in done.err
    assert {p: p.read_bytes() for p in out.iterdir()} == before


@pytest.mark.parametrize(
    ("run", "table"), [(forest_run, FOREST), (headpose_run, HEADPOSE)], ids=["forest", "headpose"]
)
def test_no_other_kind_goes_into_a_nets_folder(
    run: Any, table: dict[str, Any], tmp_path: Path
) -> None:
    out = folder_of(tmp_path / "run", "parts")
    with pytest.raises(UsageError, match=f"task 'parts'; this .* has '{table['task']}'"):
        run.train(table, Path("a.toml"), tmp_path, out, threads=1, quiet=True)
    assert [p.name for p in out.iterdir()] == ["recipe.json"]


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [("forest", "its .npz files are models as they are"), ("headpose", "its headpose.npz is the")],
)
def test_what_is_no_net_is_not_exported(kind: str, remedy: str, tmp_path: Path) -> None:
    run = folder_of(tmp_path / "run", kind)
    done = call("export", run, "-o", tmp_path / "models")
    assert done.code == 2
    assert f"{run}: a training of task '{kind}', not of a net; nothing to export: " in done.err
    assert remedy in done.err
    assert not (tmp_path / "models").exists()
