"""docs/effects.md says exactly what the effects say about themselves."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from faceparts import folder
from faceparts.labels import GROUPS

PAGE = (Path(__file__).parents[1] / "docs" / "effects.md").read_text("utf-8")
NAMES = folder.names("faceparts.effects")


def sections(page: str) -> dict[str, str]:
    """Title -> text of every third-level heading; a heading of a higher level ends it."""
    pieces = re.split(r"^(#{1,3}) (.+)\n", page, flags=re.MULTILINE)[1:]
    found = zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True)
    return {title.strip("`"): text for level, title, text in found if level == "###"}


def rows(text: str) -> list[str]:
    """Lines of the tables in a text, without heads and rulers."""
    return [line for line in text.splitlines() if line.startswith("| `")]


def wanted_rows(name: str) -> list[str]:
    """What the table of an effect must say: one row a field, as the command line tells it."""
    kind = folder.load("faceparts.effects", name).EFFECT
    lines = []
    for field in dataclasses.fields(kind):
        flag = field.name.replace("_", "-")
        flags = f"`--{flag}`, `--no-{flag}`" if isinstance(field.default, bool) else f"`--{flag}`"
        default = "" if field.default == "" else f"`{field.default}`"
        lines.append(f"| `{field.name}` | {flags} | {default} | {field.metadata['help']} |")
    return lines


def test_every_effect_has_a_section_and_no_other() -> None:
    assert sorted(sections(PAGE)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_section_says_what_the_effect_says(name: str) -> None:
    text = sections(PAGE)[name]
    kind = folder.load("faceparts.effects", name).EFFECT
    assert text.strip().splitlines()[0] == kind.__doc__
    assert rows(text) == wanted_rows(name)


def test_groups_are_listed_with_their_parts() -> None:
    _, _, text = PAGE.partition("## Names of parts\n")
    shown = {}
    for line in rows(text):
        name, parts = (cell.strip() for cell in line.strip("|").split("|"))
        shown[name.strip("`")] = tuple(parts.replace("`", "").split(", "))
    assert shown == GROUPS


def test_sections_end_at_the_next_heading_of_any_level() -> None:
    page = "# a\n### `b`\nc\n### d\ne\n## f\ng\n#### h\n"
    assert sections(page) == {"b": "c\n", "d": "e\n"}
