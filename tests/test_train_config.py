"""Recipes: the shipped ones read, everything odd is refused by name."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from faceparts import folder
from faceparts.cli.main import main
from faceparts.cli.train import require_writable
from faceparts.errors import BadRecipe, UnwritableOutput, UsageError
from faceparts.train import config

SHIPPED = sorted(
    p.stem for p in config.RECIPES.glob("*.toml") if not p.stem.startswith(("forest-", "headpose-"))
)


def table(**changed: Any) -> dict[str, Any]:
    """The smallest recipe, with changes; ``None`` takes a key away."""
    rows = {
        "name": "a",
        "net": "partnet",
        "task": "parts",
        "phases": [{"until": 1.0, "size_px": 32, "batch": 2}],
        "data": [{"name": "celebamask", "root": "c", "split": "train", "share": 1}],
        **changed,
    }
    return {k: v for k, v in rows.items() if v is not None}


def read(**changed: Any) -> config.Recipe:
    return config.recipe_from_table(table(**changed), "a.toml")


def phase(**changed: Any) -> dict[str, Any]:
    return {"until": 1.0, "size_px": 32, "batch": 2, **changed}


def source(**changed: Any) -> dict[str, Any]:
    return {"name": "celebamask", "root": "c", "split": "train", "share": 1.0, **changed}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipes_read_and_name_what_exists(name: str) -> None:
    recipe = config.read_recipe(config.find_recipe(name))
    assert recipe.name == name
    assert recipe.net in folder.names("faceparts.train.nets")
    for one in (*recipe.data, *recipe.val):
        module = folder.load("faceparts.datasets", one.name)
        assert one.split in module.SPLITS
    assert recipe.card.license
    assert recipe.card.trained_on
    trained = {(s.name, s.split) for s in recipe.data}
    assert not trained & {(s.name, s.split) for s in recipe.val}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_recipe_survives_json(name: str) -> None:
    recipe = config.read_recipe(config.find_recipe(name))
    text = json.dumps(dataclasses.asdict(recipe))
    assert config.recipe_from_table(json.loads(text), "recipe.json") == recipe


def test_there_are_shipped_recipes() -> None:
    assert {"partnet", "headnet"} <= set(SHIPPED)


def test_a_small_recipe_and_its_defaults() -> None:
    recipe = read(lr=1)
    assert recipe.phases == (config.Phase(1.0, 32, 2),)
    assert recipe.data == (config.Source("celebamask", "c", "train", 1.0),)
    assert recipe.val == ()
    assert recipe.card == config.CardText()
    assert type(recipe.lr) is float
    assert type(recipe.data[0].share) is float


def test_a_recipe_is_a_file_or_a_shipped_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("")
    assert config.find_recipe(str(path)) == path
    with pytest.raises(
        UsageError, match=r"^nope: no such recipe file; shipped recipes: .*headnet, "
    ):
        config.find_recipe("nope")


@pytest.mark.parametrize(
    "data", [None, b"name = ", b"\xff\xfe", b"a = 1\na = 2", b"a = " + b"[" * 5000]
)
def test_a_file_that_does_not_read(data: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(BadRecipe, match=r"a\.toml: not a readable recipe \("):
        config.read_recipe(path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"net": None}, "a.toml: key 'net' is missing"),
        ({"nett": "x"}, "a.toml: unknown key 'nett'; there are: name, net, task"),
        ({"steps": 1.5}, "a.toml: steps = 1.5; wanted a value of type int"),
        ({"steps": True}, "a.toml: steps = True; wanted a value of type int"),
        ({"lr": "high"}, "a.toml: lr = 'high'; wanted a value of type float"),
        ({"lr": True}, "a.toml: lr = True; wanted a value of type float"),
        ({"bf16": 1}, "a.toml: bf16 = 1; wanted a value of type bool"),
        ({"name": 3}, "a.toml: name = 3; wanted a value of type str"),
        ({"phases": {}}, r"a.toml: phases must be a list of tables \(\[\[phases\]\]\)"),
        ({"val": "x"}, "a.toml: val must be a list of tables"),
        ({"phases": [7]}, "a.toml: phases: got 7; wanted a table"),
        ({"data": ["x"]}, "a.toml: data: got 'x'; wanted a table"),
        ({"data": [source(shar=1)]}, "a.toml: data: unknown key 'shar'"),
        ({"phases": [{"until": 1.0}]}, "a.toml: phases: key 'size_px' is missing"),
        ({"card": []}, r"a.toml: card must be a table \(\[card\]\)"),
        ({"card": {"trained_on": "x"}}, "a.toml: card: trained_on must be a list"),
        ({"card": {"x": 1}}, "a.toml: card: unknown key 'x'"),
        ({"task": "hair"}, "a.toml: task = 'hair'; there are: .*heads.*parts"),
        ({"task": "loop"}, "a.toml: task = 'loop'; there are: "),
        ({"label_set": "mine"}, "a.toml: label_set = 'mine'; there are: bisenet19, celeba19"),
        ({"optimizer": "adam"}, "a.toml: optimizer = 'adam'; wanted one of adamw, sgd"),
        ({"schedule": "step"}, "a.toml: schedule = 'step'; wanted one of cosine, constant"),
        ({"momentum": 1}, "a.toml: momentum = 1.0; wanted 0..0.9999"),
        ({"bias_rate": -1}, "a.toml: bias_rate = -1.0; wanted 0..100"),
        ({"net_options": 3}, "a.toml: net_options = 3; wanted a value of type"),
        ({"loss": "dice"}, "a.toml: loss = 'dice'; wanted a table of names and numbers"),
        ({"loss": {"ce": "much"}}, "a.toml: loss: ce = 'much'; wanted a value of type float"),
        ({"loss": {"cd": 1}}, "a.toml: loss: cd = 1.0; wanted a weight of at least 0 for one of"),
        ({"loss": {"ce": -1}}, "a.toml: loss: ce = -1.0; wanted a weight of at least 0"),
        ({"loss": {"ce": 0}}, "a.toml: loss: every weight is 0"),
        ({"phases": []}, "a.toml: the last phase must have until = 1.0"),
        ({"phases": [phase(until=0.9)]}, "a.toml: the last phase must have until = 1.0"),
        ({"phases": [phase(), phase()]}, r"until must rise from phase to phase; got \[1.0, 1.0\]"),
        ({"phases": [phase(until=0), phase()]}, r"until must rise from phase to phase; got \[0.0"),
        ({"phases": [phase(size_px=33)]}, "size_px = 33, batch = 2; wanted a multiple of 32"),
        ({"phases": [phase(size_px=0)]}, "size_px = 0, batch = 2"),
        ({"phases": [phase(batch=0)]}, "size_px = 32, batch = 0"),
        ({"data": []}, r"at least one \[\[data\]\] is needed, each with share > 0"),
        ({"data": [source(share=0)]}, r"each with share > 0"),
        ({"data": [source(weight=-1)]}, "data 'celebamask': weight = -1.0, trust = 1.0"),
        ({"data": [source(trust=1.5)]}, "data 'celebamask': weight = 1.0, trust = 1.5"),
        ({"data": [source(weight=float("nan"))]}, "data: weight = nan; wanted a finite number"),
        ({"minutes": float("inf")}, "minutes = inf; wanted a finite number"),
        ({"seed": -1}, "a.toml: seed = -1; wanted 0.."),
        ({"steps": 0}, "a.toml: steps = 0; wanted 1.."),
        ({"minutes": -1}, "a.toml: minutes = -1.0; wanted 0.."),
        ({"name": "../a"}, "a.toml: name = '../a'; wanted a plain file name"),
        ({"name": ""}, "a.toml: name = ''; wanted a plain file name"),
        ({"lr": 10**400}, "a.toml: lr = inf; wanted a finite number"),
        ({"lr": 0}, "a.toml: lr = 0.0; wanted 1e-15..10"),
        ({"weight_decay": -0.1}, "a.toml: weight_decay = -0.1; wanted 0..10"),
        ({"warmup": 1}, "a.toml: warmup = 1.0; wanted 0..0.999"),
        ({"ema": 1}, "a.toml: ema = 1.0; wanted 0..0.999999"),
        ({"clip": -1}, "a.toml: clip = -1.0; wanted 0.."),
        ({"val_every": 0}, "a.toml: val_every = 0; wanted 1.."),
        ({"save_every": 0}, "a.toml: save_every = 0; wanted 1.."),
        ({"occlude": 1.1}, "a.toml: occlude = 1.1; wanted 0..1"),
    ],
)
def test_recipes_that_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRecipe, match=message) as caught:
        read(**changed)
    assert "\n" not in str(caught.value)


def test_every_range_names_a_key() -> None:
    keys = {f.name for f in dataclasses.fields(config.Recipe)}
    assert {name for name, _, _ in config.RANGES} <= keys
    assert {name for name, _ in config.CHOICES} <= keys


def test_what_the_optimiser_and_the_loss_may_be() -> None:
    recipe = read(
        label_set="lfw3",
        net_options={"width": 0.25, "deep": True},
        optimizer="sgd",
        momentum=0.99,
        bias_rate=2,
        lr=1e-12,
        schedule="constant",
        clip=0,
        loss={"ce_sum": 1},
    )
    assert recipe.net_options == {"width": 0.25, "deep": True}
    assert (recipe.optimizer, recipe.momentum, recipe.bias_rate) == ("sgd", 0.99, 2.0)
    assert recipe.loss == {"ce_sum": 1.0}
    assert type(recipe.loss["ce_sum"]) is float
    again = json.loads(json.dumps(dataclasses.asdict(recipe)))
    assert config.recipe_from_table(again, "recipe.json") == recipe


def test_tasks_are_files_that_make_one() -> None:
    assert {"heads", "parts"} <= set(config.tasks())
    assert "loop" not in config.tasks()
    for name in set(config.tasks()) - {"parts"}:
        assert callable(folder.load("faceparts.train", name).make_task)


def run(line: list[str]) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["faceparts", *line])
        with pytest.raises(SystemExit) as end:
            main()
    return int(end.value.code or 0)


def test_a_forest_goes_to_its_own_module_without_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.toml").write_text('task = "forest"\ntrees = 3\nseed = 1\n')
    seen: list[Any] = []
    module = ModuleType("faceparts.train.forest_run")
    module.train = lambda *args, **options: seen.append((args, options))  # type: ignore[attr-defined]  # a made-up module
    monkeypatch.setitem(sys.modules, "faceparts.train.forest_run", module)
    line = ["train", str(tmp_path / "a.toml"), "--data", str(tmp_path), "-o", str(tmp_path / "out")]
    assert run(line) == 0
    assert run([*line, "--seed", "5", "--threads", "2", "--quiet"]) == 0
    (first, options), (second, more) = seen
    table = {"task": "forest", "trees": 3, "seed": 1}
    assert first == (table, tmp_path / "a.toml", tmp_path, tmp_path / "out")
    assert options == {"threads": None, "quiet": False}
    assert second[0] == {**table, "seed": 5}
    assert more == {"threads": 2, "quiet": True}


@pytest.mark.parametrize("flags", [["--steps", "3"], ["--minutes", "3"], ["--init", "partnet"]])
def test_a_forest_has_no_steps(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.toml").write_text('task = "forest"\n')
    line = ["train", str(tmp_path / "a.toml"), "--data", str(tmp_path), "-o", str(tmp_path / "out")]
    assert run([*line, *flags]) == 2
    assert "a forest has no steps; leave --minutes, --steps, --init out" in capsys.readouterr().err


def test_the_way_to_a_forest_loads_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom faceparts.train import config\n"
        "config.read_recipe(config.find_recipe('partnet'))\nprint('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_phases_follow_each_other() -> None:
    recipe = read(phases=[phase(until=0.25, batch=8), phase(until=0.5, batch=4), phase()])
    at = {p: config.phase_at(recipe, p).batch for p in (0.0, 0.2499, 0.25, 0.49, 0.5, 0.99, 1, 7)}
    assert at == {0.0: 8, 0.2499: 8, 0.25: 4, 0.49: 4, 0.5: 2, 0.99: 2, 1: 2, 7: 2}


def test_a_folder_that_cannot_be_written_is_noticed_before_the_work(tmp_path: Path) -> None:
    recipe, loop, file = tmp_path / "f.toml", tmp_path / "loop", tmp_path / "file"
    loop.symlink_to(loop)
    file.write_text("")
    for task in ("forest", "headpose"):
        recipe.write_text(f'task = "{task}"')
        for out in (loop, file, file / "below"):
            assert run(["train", str(recipe), "--data", str(tmp_path), "-o", str(out)]) in (1, 2)
    for out in (loop, file, file / "below"):
        with pytest.raises(UnwritableOutput, match=r"cannot be written \(not a folder\)"):
            require_writable(out)
    require_writable(tmp_path / "new" / "folder")
    assert not (tmp_path / "new").exists()
