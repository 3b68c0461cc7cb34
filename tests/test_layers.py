"""Who may import whom: a file's folder tells what it may touch."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "faceparts"

LAYERS = (
    ("types", "labels", "folder", "errors"),
    ("cards", "images", "weights", "crops"),
    ("detect", "segment", "effects", "measure", "streams", "track", "datasets"),
    ("parse", "video", "api", "run", "evaluate"),
    ("train",),
    ("cli", "serve", "cluster"),
)
LAYER_OF = {name: layer for layer, names in enumerate(LAYERS) for name in names}
OUTSIDE = ("__init__", "__main__", "models", "recipes")
"""The package's own front and the folders that hold data: no layer of their own."""

FILES = sorted(SOURCE.rglob("*.py"))


def unit_of(path: Path) -> str:
    """Name of a file's module or folder directly below the package."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def layer_of(unit: str) -> int:
    """Layer of a module or folder; private modules (``_pixels``) belong to layer 1."""
    return 1 if unit.startswith("_") else LAYER_OF[unit]


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Dotted names that a file imports, wherever in it, with the line."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the whole name of the module"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno


def forbidden(path: Path) -> list[str]:
    """What is wrong with the imports of one file."""
    unit, wrong = unit_of(path), []
    for name, line in imported(path):
        top, _, rest = name.partition(".")
        where = f"{path.name}:{line}: {name}"
        if top == "av" and path != SOURCE / "streams" / "video.py":
            wrong.append(f"{where}: PyAV is for streams/video.py only")
        if top in ("torch", "sklearn") and unit != "train":
            wrong.append(f"{where}: torch and scikit-learn are for train/ only")
        if top in ("pickle", "joblib", "cloudpickle", "dill", "shelve", "marshal"):
            wrong.append(f"{where}: files of this kind can run code when read")
        if top != "faceparts" or unit in OUTSIDE or not rest:
            continue
        other = rest.split(".")[0]
        if other == unit or other in OUTSIDE:
            continue
        mine, theirs = layer_of(unit), layer_of(other)
        if theirs > mine:
            wrong.append(f"{where}: {unit} (layer {mine}) must not know layer {theirs}")
        elif theirs == mine == 2:
            wrong.append(f"{where}: siblings never import each other")
    return wrong


def unsafe_loads(path: Path) -> list[int]:
    """Lines with a ``torch.load`` without ``weights_only=True`` or an array load that unpickles."""
    lines = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        options = {k.arg: ast.unparse(k.value) for k in node.keywords}
        if name == "torch.load" and options.get("weights_only") != "True":
            lines.append(node.lineno)
        if name in ("np.load", "numpy.load") and options.get("allow_pickle", "False") != "False":
            lines.append(node.lineno)
    return lines


def test_every_module_has_a_layer() -> None:
    units = {unit_of(path) for path in FILES}
    assert units >= {"types", "run", "cli", "__main__"}
    assert {u for u in units if not u.startswith("_")} <= {*LAYER_OF, *OUTSIDE}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(SOURCE).as_posix())
def test_imports_go_down_only(path: Path) -> None:
    assert forbidden(path) == []


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(SOURCE).as_posix())
def test_nothing_is_loaded_that_could_run_code(path: Path) -> None:
    assert unsafe_loads(path) == []


@pytest.mark.parametrize(
    ("file", "code", "what"),
    [
        ("types.py", "from faceparts.images import read_picture", "must not know layer 1"),
        ("types.py", "from faceparts import run", "must not know layer 3"),
        ("effects/a.py", "import faceparts.detect.whole", "siblings never"),
        ("streams/files.py", "from faceparts.effects import _check", "siblings never"),
        ("streams/files.py", "def f():\n    import av", "PyAV"),
        ("parse.py", "import torch.nn", "torch and scikit-learn"),
        ("cli/a.py", "import pickle", "can run code"),
        ("train/a.py", "from faceparts.cli import main", "must not know layer 5"),
    ],
)
def test_the_rules_notice(
    file: str, code: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "SOURCE", tmp_path)
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(code)
    (wrong,) = forbidden(path)
    assert what in wrong


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("torch.load(p)", [1]),
        ("torch.load(p, weights_only=False)", [1]),
        ("torch.load(p, weights_only=True)", []),
        ("\nnp.load(p, allow_pickle=True)", [2]),
        ("np.load(p)", []),
    ],
)
def test_unsafe_loads_are_noticed(code: str, lines: list[int], tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(code)
    assert unsafe_loads(path) == lines
