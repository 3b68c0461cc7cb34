"""``pairs.toml``: what the masks of a folder mean, written by the person who made them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faceparts import labels
from faceparts.errors import BadData
from faceparts.types import IGNORE, LabelSet

FILE = "pairs.toml"
UNKNOWN = "unknown"
"""A name in ``[parts]`` for what is neither trained on nor scored."""

MAX_BYTES = 1_000_000

Rgb = tuple[int, int, int]


@dataclass(frozen=True)
class Description:
    """The content of ``pairs.toml``; every key may be left out.

    Args:
        kind: ``"masks"``, ``"cvat"``, ``"labelme"``, or ``""``: look what lies in the folder.
        name: name of the label set that the parts make.
        images: folder of the pictures, below the root.
        masks: folder of the masks, below the root.
        mask_tail: end of a mask's name after the picture's name.
        max_distance: RGB distance up to which a mask's colour counts as a part's.
        left: ``"subject"`` or ``"viewer"``: whose left the part names mean.
        label_set: name of the label set to give samples in; ``""``: the folder's own.
        rest: ``"unknown"`` or ``"background"``: what a part becomes that ``label_set`` lacks.
        parts: part -> ids or colours in the masks.
        rename: name in the files -> part.
        splits: split -> list of names, a file below the root.
    """

    kind: str = ""
    name: str = ""
    images: str = "images"
    masks: str = "masks"
    mask_tail: str = ".png"
    max_distance: float = 0.0
    left: str = "subject"
    label_set: str = ""
    rest: str = UNKNOWN
    parts: Mapping[str, tuple[int, ...] | tuple[Rgb, ...]] = field(default_factory=dict)
    rename: Mapping[str, str] = field(default_factory=dict)
    splits: Mapping[str, str] = field(default_factory=dict)


_WORDS = {
    "kind": ("masks", "cvat", "labelme"),
    "left": ("subject", "viewer"),
    "rest": (UNKNOWN, "background"),
}
_TABLES = ("parts", "rename", "splits")


def read_description(root: Path) -> Description:
    """The folder's ``pairs.toml``, or the defaults if there is none.

    Raises:
        BadData: not TOML, an unknown key, or a value of the wrong kind; the message names the key.
    """
    path = root / FILE
    if not path.is_file():
        return Description()
    if path.stat().st_size > MAX_BYTES:
        raise BadData(f"{path}: over {MAX_BYTES} bytes; is it the right file?")
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadData(f"{path}: not TOML ({error})") from error
    values = {key: _value(path, key, value) for key, value in raw.items()}
    return Description(**values)


def _value(path: Path, key: str, value: Any) -> Any:
    known = {f: type(v) for f, v in vars(Description()).items()}
    if key not in known:
        raise BadData(f"{path}: unknown key {key!r}; known: {', '.join(known)}")
    if key in _TABLES:
        if not isinstance(value, dict):
            raise BadData(f"{path}: {key} is {value!r}; wanted a table [{key}]")
        if key == "parts":
            return {part: _marks(path, part, marks) for part, marks in value.items()}
        for name, word in value.items():
            if not isinstance(word, str):
                raise BadData(f"{path}: {key}.{name} is {word!r}; wanted text")
        return value
    if key == "max_distance" and type(value) in (int, float) and 0 <= value <= 442:
        return float(value)
    if type(value) is not known[key] or value not in _WORDS.get(key, (value,)):
        wanted = " or ".join(map(repr, _WORDS.get(key, ()))) or (
            "a number from 0 to 442" if key == "max_distance" else "text"
        )
        raise BadData(f"{path}: {key} is {value!r}; wanted {wanted}")
    return value


def _marks(path: Path, part: str, marks: Any) -> tuple[int, ...] | tuple[Rgb, ...]:
    """One id, one RGB colour, or a list of colours."""
    if type(marks) is int and 0 <= marks <= 255:
        return (marks,)
    if _is_rgb(marks):
        return (tuple(marks),)
    if isinstance(marks, list) and marks and all(_is_rgb(m) for m in marks):
        return tuple(tuple(m) for m in marks)
    raise BadData(
        f"{path}: parts.{part} is {marks!r}; wanted an id 0..255, a colour [r, g, b] or a list of "
        f"colours"
    )


def _is_rgb(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(type(v) is int and 0 <= v <= 255 for v in value)
    )


@dataclass(frozen=True)
class Meaning:
    """What the names of a folder mean: the set of the files and the set of the samples."""

    source: LabelSet
    target: LabelSet
    rest: int


def number_parts(
    path: Path, described: Description, names: Iterable[str]
) -> tuple[tuple[str, ...], dict[str, int]]:
    """Parts in the order of their ids, and the id of every name that the files use.

    Background comes first; names that ``[rename]`` gives one part share its id.

    Raises:
        BadData: none of the names is the background, one is empty or holds a control character, or
            there are more than 255.
    """
    part_of = {name: described.rename.get(name, name) for name in names}
    odd = [part for part in part_of.values() if not part.strip() or not part.isprintable()]
    if odd:
        raise BadData(f"{path}: the part name {odd[0]!r} is no plain text; give it another")
    if "background" not in part_of.values():
        raise BadData(
            f"{path}: no 'background' among {', '.join(part_of) or 'no names'}; name one so, or "
            f"with [rename] in {FILE}"
        )
    parts = tuple(dict.fromkeys(("background", *part_of.values())))
    if len(parts) > IGNORE:
        raise BadData(f"{path}: {len(parts)} parts; wanted at most {IGNORE}")
    return parts, {name: parts.index(part) for name, part in part_of.items()}


def understand(path: Path, described: Description, parts: tuple[str, ...]) -> Meaning:
    """Label sets of a folder; parts of a known set in its order become that set.

    Args:
        path: file that the names come from, for messages.
        parts: in the order of their ids.

    Raises:
        BadData: an unknown ``label_set``, or a ``name`` that belongs to another set.
    """
    own = next((s for s in map(labels.get, labels.names()) if s.parts == parts), None)
    if own is None:
        name = described.name or path.parent.name or "pairs"
        if name in labels.names():
            raise BadData(
                f"{path}: the name {name!r} belongs to another label set; give another in {FILE}"
            )
        own = labels.make(name, *parts)
    target = own
    if described.label_set:
        if described.label_set not in labels.names():
            raise BadData(
                f"{path.parent / FILE}: no label set {described.label_set!r}; there are: "
                f"{', '.join(labels.names())}"
            )
        target = labels.get(described.label_set)
    source = labels.viewers(own) if described.left == "viewer" else own
    return Meaning(source, target, 0 if described.rest == "background" else IGNORE)
