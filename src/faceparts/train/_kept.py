"""Whose training a folder holds, as its files say."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from faceparts.errors import UsageError


@dataclass(frozen=True)
class Kept:
    """What a training is known by.

    Args:
        task: of the recipe: ``"forest"``, ``"headpose"``, or a net's.
        name: of the model.
        net, label_set: of a net's training.
    """

    task: str
    name: str
    net: str = ""
    label_set: str = ""


def kept_in(out: Path) -> Kept | None:
    """The training that a folder holds; ``None`` where its files do not say."""
    recipe = _table(out / "recipe.json")
    inner = recipe.get("recipe")  # a forest's
    table = inner if isinstance(inner, dict) else recipe
    if "task" not in table:
        inner = _table(out / "report.json").get("recipe")  # head pose has this alone
        table = inner if isinstance(inner, dict) else {}
    told = [str(table.get(key, "")) for key in ("task", "name", "net", "label_set")]
    if not told[0]:
        return None
    return Kept(*told) if told[2] else Kept(*told[:2])


def require_own(out: Path, wanted: Kept) -> None:
    """Refuse the folder of another training: what it holds would be mixed up with the new.

    Raises:
        UsageError: the message names what differs.
    """
    there = kept_in(out)
    if there is None or there == wanted:
        return
    before, now = asdict(there), asdict(wanted)
    key = next(key for key in before if before[key] != now[key])
    raise UsageError(
        f"{out}: holds another training, of {there.name!r} ({key} {before[key]!r}; this recipe, "
        f"{wanted.name!r}, has {now[key]!r}); choose another folder with -o, or move it away"
    )


def _table(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
