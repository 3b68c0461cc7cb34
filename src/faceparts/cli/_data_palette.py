"""Which colour of a mask means which part: from a dataset, a label set, a file, or the masks."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceparts import folder, labels
from faceparts._palette import MAX_COLOURS, as_palette, colour_name, discover_palette
from faceparts.errors import BadData, UsageError
from faceparts.types import Image, LabelSet

DISCOVER = re.compile(r"discover(?::(\d{1,2}))?")
MAX_BYTES = 1_000_000


@dataclass(frozen=True, eq=False)
class Paints:
    """Part names and their colours; the background comes first.

    Args:
        parts: (K,) names.
        colours: (K, 3) uint8.
    """

    parts: tuple[str, ...]
    colours: NDArray[np.uint8]

    @classmethod
    def of(cls, where: str, table: Mapping[str, Any]) -> Paints:
        """From a table of names and RGB triples.

        Raises:
            BadData: none of them is the background, or see `as_palette`.
        """
        if "background" not in table:
            raise BadData(
                f"{where}: no part named background among {', '.join(table) or 'none'}; name one so"
            )
        names = ("background", *(name for name in table if name != "background"))
        try:
            return cls(names, as_palette([list(table[name]) for name in names]))
        except (BadData, TypeError, ValueError) as error:
            raise BadData(f"{where}: {error}; wanted name = [red, green, blue]") from error


def find_paints(text: str, masks: Callable[[], Iterable[Image]], method: str) -> Paints:
    """The palette that the command line names.

    Args:
        text: ``discover``, ``discover:K``, a file (``pairs.toml`` or ``classes.json``), a dataset
            whose masks are painted, or a label set.
        masks: reads the masks, for ``discover``.
        method: ``"modes"`` or ``"kmeans"``, for ``discover``.

    Raises:
        UsageError: none of these.
        BadData: a damaged file, or too few colours in the masks.
    """
    asked = DISCOVER.fullmatch(text)
    if asked:
        count = int(asked[1]) if asked[1] else None
        if method == "kmeans" and count is None:
            raise UsageError("--discover-by kmeans needs the number: --palette discover:6")
        if count is not None and not 1 <= count <= MAX_COLOURS:
            raise UsageError(f"--palette {text}: wanted 1..{MAX_COLOURS} colours")
        found = discover_palette(masks(), count, method=method)
        return Paints(("background", *(colour_name(c) for c in found[1:])), found)
    if Path(text).is_file():
        return read_paints(Path(text))
    if text in folder.names("faceparts.datasets"):
        paint = getattr(folder.load("faceparts.datasets", text), "PAINT", None)
        if paint:
            return Paints.of(text, paint)
    if text in labels.names():
        label_set = labels.get(text)
        return Paints.of(text, dict(zip(label_set.parts, label_set.colors, strict=True)))
    raise UsageError(
        f"--palette {text}: wanted discover, discover:K, a .toml or .json file that is there, "
        f"a dataset with painted masks, or a label set: {', '.join(labels.names())}"
    )


def read_paints(path: Path) -> Paints:
    """A ``[parts]`` table of TOML with colours, or a ``classes.json``.

    Raises:
        BadData: too large, neither, or without colours.
    """
    if path.stat().st_size > MAX_BYTES:
        raise BadData(f"{path}: over {MAX_BYTES} bytes; is it the right file?")
    try:
        text = path.read_text("utf-8")
        if path.suffix.lower() == ".json":
            table = {part["name"]: part["color_rgb"] for part in json.loads(text)["parts"]}
        else:
            table = tomllib.loads(text)["parts"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadData(
            f"{path}: {type(error).__name__}: {error}; wanted TOML with [parts] name = [r, g, b], "
            "or a classes.json"
        ) from error
    if not isinstance(table, dict):
        raise BadData(f"{path}: parts is {type(table).__name__}; wanted a table [parts]")
    return Paints.of(str(path), table)


def split_names(part: str) -> tuple[str, str]:
    """Names of the two sides of a part that shares one.

    Example:
        >>> split_names("eyes")
        ('left_eye', 'right_eye')
    """
    stem = part.removesuffix("s")
    return f"left_{stem}", f"right_{stem}"


def cleaned_set(paints: Paints, split: Iterable[str]) -> LabelSet:
    """The label set of cleaned masks: split parts give way to their two sides.

    A known label set of the same parts in the same order is taken; otherwise colours are those of
    the masks.

    Raises:
        UsageError: a part to be split is not in the palette, or a side is there already.
    """
    wanted = list(split)
    parts: list[str] = []
    for part in paints.parts:
        parts += split_names(part) if part in wanted else (part,)
    for part in wanted:
        if part not in paints.parts[1:]:
            raise UsageError(
                f"--split-sides {part}: no such part; there are: {', '.join(paints.parts[1:])}"
            )
        if parts.count(split_names(part)[0]) > 1 or parts.count(split_names(part)[1]) > 1:
            raise UsageError(f"--split-sides {part}: the masks have its sides already")
    known = [s for s in map(labels.get, labels.names()) if s.parts == tuple(parts)]
    if known:
        return known[0]
    made = labels.make("cleaned", *parts)
    own = dict(zip(paints.parts, paints.colours.tolist(), strict=True))
    colors = [tuple(own[p]) if p in own else made.colors[i] for i, p in enumerate(parts)]
    return LabelSet(made.name, made.parts, tuple(colors), made.mirror)
