"""The table of face-segmentation sets: open and commercial, with or without an adapter here."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from typing import Any

from faceparts.errors import BadData

FILE = "catalogue.toml"


@dataclass(frozen=True)
class Entry:
    """One dataset. ``None`` means: not published, or not known.

    Args:
        name: what the set calls itself.
        adapter: module of `faceparts.datasets` that reads it; ``None`` if there is none.
        pictures: how many labelled pictures it has.
        classes: how many classes, the background included; ``None`` for points or boxes.
        size_px: width x height in pixels, or in words.
        terms: licence or terms of use, in words.
        commercial_ok: whether the terms allow commercial use; ``None`` where they do not say.
        home: page of its makers, where it is to be had.
        note: what a user should know beforehand.
    """

    name: str
    adapter: str | None
    pictures: int | None
    classes: int | None
    size_px: str
    terms: str
    commercial_ok: bool | None
    home: str
    note: str


@cache
def read_catalogue() -> tuple[Entry, ...]:
    """All entries, in the order of ``catalogue.toml``: first those with an adapter.

    Raises:
        BadData: the table is damaged; the message names the entry and the key.
    """
    text = resources.files("faceparts.datasets").joinpath(FILE).read_text("utf-8")
    return parse_catalogue(text)


def parse_catalogue(text: str) -> tuple[Entry, ...]:
    """Entries of a catalogue written as TOML: one ``[[set]]`` each.

    Raises:
        BadData: not TOML, an unknown or missing key, a value of the wrong kind, a name twice.
    """
    try:
        rows = tomllib.loads(text).get("set", [])
    except tomllib.TOMLDecodeError as error:
        raise BadData(f"{FILE}: not TOML ({error})") from error
    if not isinstance(rows, list):
        raise BadData(f"{FILE}: set is {rows!r}; wanted tables [[set]]")
    entries = tuple(_entry(row) for row in rows)
    names = [entry.name for entry in entries]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadData(f"{FILE}: {twice[0]!r} is listed twice; wanted one entry a set")
    return entries


_KINDS: dict[str, type] = {
    **dict.fromkeys(("name", "adapter", "size_px", "terms", "home", "note"), str),
    **dict.fromkeys(("pictures", "classes"), int),
    "commercial_ok": bool,
}
_MAY_LACK = ("adapter", "pictures", "classes", "commercial_ok")


def _entry(row: Any) -> Entry:
    if not isinstance(row, dict):
        raise BadData(f"{FILE}: entry {row!r}; wanted a table [[set]]")
    name = row.get("name", "?")
    values: dict[str, Any] = dict.fromkeys(_MAY_LACK)
    for key, value in row.items():
        if key not in _KINDS:
            raise BadData(f"{FILE}: {name}: unknown key {key!r}; known: {', '.join(_KINDS)}")
        if type(value) is not _KINDS[key]:
            raise BadData(f"{FILE}: {name}: {key} is {value!r}; wanted {_KINDS[key].__name__}")
        values[key] = value
    missing = [field.name for field in fields(Entry) if field.name not in values]
    if missing:
        raise BadData(f"{FILE}: {name}: no {missing[0]}; wanted one")
    return Entry(**values)
