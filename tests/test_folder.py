"""A folder is its own registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from faceparts import folder
from faceparts.errors import UnknownName


@pytest.fixture
def things(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of two modules and a hidden one."""
    home = tmp_path / "drawnthings"
    home.mkdir()
    for name in ("__init__", "pear", "apple", "_hidden"):
        (home / f"{name}.py").write_text(f"NAME = {name!r}\n")
    (home / "notes.txt").write_text("no module")
    monkeypatch.syspath_prepend(tmp_path)
    return "drawnthings"


def test_names_are_sorted_and_an_underscore_hides(things: str) -> None:
    assert folder.names(things) == ["apple", "pear"]


def test_the_module_asked_for_is_loaded(things: str) -> None:
    assert folder.load(things, "pear").NAME == "pear"


@pytest.mark.parametrize("name", ["plum", "_hidden", "", "apple.pear", "../apple"])
def test_an_unknown_name_lists_what_there_is(things: str, name: str) -> None:
    with pytest.raises(UnknownName, match=r"^no drawnthing named '.*'; there are: apple, pear$"):
        folder.load(things, name)


def test_the_folders_of_the_package() -> None:
    assert "celebamask" in folder.names("faceparts.datasets")
    assert {"headnet", "partnet"} <= set(folder.names("faceparts.train.nets"))
