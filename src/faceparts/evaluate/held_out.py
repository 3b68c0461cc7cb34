"""Was the model trained on these pictures? What its card and lists of hashes can say about it.

Two checks, both made before any number is shown:

1. *By name.* The card lists its training data in words. If they name the dataset and the split is
   no held-out one, the evaluation is refused. If they name it and the split is held out by its
   name, the card alone proves nothing; nor does one that names no known dataset at all ("my
   photos"): those pictures may be anybody's.
2. *By picture.* Lists of sha256 of training pictures (files, or pixels as `run_parts.hash_pixels`
   makes them): one picture of the evaluation in a list is enough to refuse. A training writes its
   own, ``data.json``, which also tells what the model was before: without the list of that one
   nothing is proven.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faceparts import folder
from faceparts.errors import BadData
from faceparts.types import ModelCard

ALIASES: dict[str, tuple[str, ...]] = {
    "celebamask": ("celebamask hq", "celebamaskhq", "celebamask", "celeba hq", "celebahq"),
    "scut_head": ("scut head", "scuthead"),
    "facesynthetics": ("facesynthetics", "face synthetics"),
    "figaro": ("figaro 1k", "figaro1k", "figaro"),
    "lfw_parts": ("lfw part labels", "lfw parts", "lfw"),
    "lfw_crops": ("lfw crops", "lfw"),
    "helen": ("helen",),
    "helen_original": ("helen",),
    "cofw_masks": ("cofw masks", "cofw"),
    "coco_keypoints": ("coco keypoints", "coco"),
    "nprportrait": ("nprportrait", "nprportrait 1 0", "npr portrait"),
    "helen_landmarks": ("helen", "300 w"),
    "facecrops": ("face crops", "facecrops"),
}
"""Adapter -> what cards call its data; others are called by their own name."""

FORMATS = ("pairs",)
"""Adapters of a layout that any pictures may have: no card can name them."""

HELD_OUT = re.compile(r"(^|[^a-z])(test|val|valid|validation|heldout|held out)([^a-z]|$)")
"""Names of splits that are made for measuring."""

MAX_LIST_BYTES = 256 * 2**20
_HASH = re.compile("[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class Check:
    """What is known about training on the evaluated pictures.

    Args:
        status: ``"held out"``, ``"not proven"`` or ``"trained on"``.
        reason: one sentence.
    """

    status: str
    reason: str


@dataclass(frozen=True)
class Lists:
    """What lists of training pictures say together.

    Args:
        trained: sha256 of the pictures that were learnt from.
        chose: sha256 of those that chose the checkpoint.
        began: models that a listed training started from and whose own list is not among them.
        names: models that the lists are of; empty if none of them says.
    """

    trained: frozenset[bytes] = frozenset()
    chose: frozenset[bytes] = frozenset()
    began: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


def named_on_card(card: ModelCard, dataset: str) -> str | None:
    """The line of a card's training data that names a dataset; ``None`` if there is none."""
    calls = ALIASES.get(dataset, (dataset.replace("_", " "), dataset.replace("_", "")))
    for line in card.trained_on:
        plain = f" {re.sub('[^a-z0-9]+', ' ', line.lower()).strip()} "
        if any(f" {name} " in plain for name in calls):
            return line
    return None


def is_held_out_name(split: str) -> bool:
    """Whether a split's name says that it is made for measuring.

    Example:
        >>> is_held_out_name("v2-test"), is_held_out_name("train"), is_held_out_name("all")
        (True, False, False)
    """
    return HELD_OUT.search(split.lower().replace("_", "-")) is not None


def check_by_name(card: ModelCard, dataset: str, split: str) -> Check:
    """What the card's words say."""
    if not card.trained_on:
        return Check("not proven", f"the card of {card.name} does not say what it was trained on")
    if dataset in FORMATS:
        return Check(
            "not proven",
            f"{dataset} is a layout of folders, no dataset that the card of {card.name} could "
            "name; a list of the training pictures' sha256 would settle it (--trained-on-list)",
        )
    known = [name for name in folder.names("faceparts.datasets") if name not in FORMATS]
    if not any(named_on_card(card, name) for name in known):
        return Check(
            "not proven",
            f"the card of {card.name} names no dataset that is known here "
            f"({card.trained_on[0]!r}); "
            "a list of the training pictures' sha256 would settle it (--trained-on-list)",
        )
    line = named_on_card(card, dataset)
    if line is None:
        return Check("held out", f"the card of {card.name} does not name {dataset}")
    if is_held_out_name(split):
        return Check(
            "not proven",
            f"the card of {card.name} names this dataset ({line!r}) but not the split {split!r}; "
            "a list of the training pictures' sha256 would settle it (--trained-on-list)",
        )
    return Check(
        "trained on", f"the card of {card.name} says it was trained on this dataset ({line!r})"
    )


def check_by_hash(
    pictures: Iterable[tuple[str, str, str]],
    lists: Lists,
    by_name: Check,
    card: ModelCard | None = None,
) -> Check:
    """Settle it by the pictures themselves.

    Args:
        pictures: key, sha256 of the file and sha256 of the pixels of each.
        lists: from `read_lists`; no trained picture = no list was given.
        by_name: what `check_by_name` said.
        card: of the model: lists that name other models alone prove nothing about it, and what was
            mixed into it has learnt from pictures too. ``None`` = a model without a card.
    """
    if not lists.trained:
        return by_name
    names, choosing = [], 0
    for key, *written in pictures:
        hashes = {bytes.fromhex(value) for value in written}
        if not hashes.isdisjoint(lists.trained):
            names.append(key)
        choosing += not hashes.isdisjoint(lists.chose)
    if names:
        return Check(
            "trained on",
            f"{len(names)} of these pictures are in the list of training pictures, such as "
            f"{names[0]}",
        )
    reason = f"no picture is among the {len(lists.trained)} listed training pictures"
    if card is not None and lists.names and card.name not in lists.names:
        return Check(
            "not proven",
            f"{reason}, but these are of {' and '.join(lists.names)}, not of {card.name}",
        )
    mixed = card.mixed_with if card is not None else ()
    began = (*lists.began, *(name for name in mixed if name not in lists.names))
    if began:
        return Check(
            "not proven",
            f"{reason}, but the training started from {' and '.join(began)}, whose own list "
            "is not among those given (--trained-on-list)",
        )
    if choosing:
        reason += f"; {choosing} of them chose the checkpoint"
    return Check("held out", reason)


def read_lists(paths: Iterable[Path]) -> Lists:
    """Every sha256 in the given lists of training pictures.

    A list is what ``sha256sum`` writes (one picture a line, its hash first), or JSON: an array of
    hashes, or an object whose ``pictures`` are hashes or objects with ``sha256``, such as
    ``data.json`` of a training or the report of an evaluation. Anything else is refused: a hash of
    a whole folder among them would prove nothing and look like proof.

    Raises:
        BadData: a file is missing, larger than `MAX_LIST_BYTES`, or no such list.
    """
    trained: set[bytes] = set()
    chose: set[bytes] = set()
    named: list[tuple[str, list[Any]]] = []
    seen: set[str] = set()
    for path in paths:
        try:
            if path.stat().st_size > MAX_LIST_BYTES:
                raise BadData(f"{path}: larger than {MAX_LIST_BYTES} bytes; not a list of sha256")
            written = path.read_bytes().decode("utf-8", "replace")
        except OSError as error:
            raise BadData(f"{path}: cannot be read ({error.strerror})") from error
        if written in seen:  # a list cannot vouch for itself by being given twice
            continue
        seen.add(written)
        value = _parse(written) if path.suffix.lower() == ".json" else _from_lines(written)
        words = _hashes_in(value, "pictures")
        chosen = _hashes_in(value, "chose") if isinstance(value, dict) else []
        wrong = [
            word
            for word in (*words, *chosen)
            if not (isinstance(word, str) and _HASH.fullmatch(word))
        ]
        if wrong or not words:
            got = f"got {str(wrong[0])[:40]!r}" if wrong else "there is none in it"
            raise BadData(
                f"{path}: not a list of the training pictures' sha256 ({got}); wanted one a line, "
                "as sha256sum writes them, or a JSON array"
            )
        trained.update(bytes.fromhex(word) for word in words)
        chose.update(bytes.fromhex(word) for word in chosen)
        if isinstance(value, dict):
            named.append((str(value.get("name", "")), _rows(value, "started_from")))
    names = tuple(dict.fromkeys(name for name, _ in named if name))
    return Lists(frozenset(trained), frozenset(chose), _unlisted(named), names)


def _unlisted(named: Sequence[tuple[str, Sequence[Any]]]) -> tuple[str, ...]:
    """Models that a list says its training started from, and that no other list is of.

    Args:
        named: of each list its name and what its training started from.

    Example:
        >>> _unlisted([("b", ["a"]), ("a", ["a"])]), _unlisted([("b", ["a"]), ("a", [])])
        (('a',), ())

    Lists of two trainings that started from each other leave the first one open.
    """
    known: set[str] = set()
    left = list(named)
    while grown := [one for one in left if known.issuperset(map(str, one[1]))]:
        known.update(name for name, _ in grown)
        left = [one for one in left if one not in grown]
    return tuple(dict.fromkeys(str(m) for _, began in left for m in began if m not in known))


def _from_lines(written: str) -> list[Any]:
    lines = (line.strip() for line in written.splitlines())
    written_lines = [line.lstrip("\\") for line in lines if not line.startswith("#")]
    return [line.split()[0] for line in written_lines if line.strip()]


def _parse(written: str) -> Any:
    try:
        return json.loads(written)
    except (ValueError, RecursionError):
        return None


def _rows(value: Any, key: str) -> list[Any]:
    rows = value.get(key) if isinstance(value, dict) else value
    return rows if isinstance(rows, list) else []


def _hashes_in(value: Any, key: str) -> list[Any]:
    return [row.get("sha256") if isinstance(row, dict) else row for row in _rows(value, key)]
