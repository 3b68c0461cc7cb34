"""Was the model trained on these pictures? What its card and lists of hashes can say about it.

Two checks, both made before any number is shown:

1. *By name.* The card lists its training data in words. If they name the dataset and the split is
   no held-out one, the evaluation is refused. If they name it and the split is held out by its
   name, the card alone proves nothing.
2. *By picture.* Lists of sha256 of training pictures (files, or pixels as `run_parts.hash_pixels`
   makes them): one picture of the evaluation in a list is enough to refuse.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faceparts.errors import BadData
from faceparts.types import ModelCard

ALIASES: dict[str, tuple[str, ...]] = {
    "celebamask": ("celebamask hq", "celebamaskhq", "celebamask", "celeba hq", "celebahq"),
    "scut_head": ("scut head", "scuthead"),
    "facesynthetics": ("facesynthetics", "face synthetics"),
    "figaro": ("figaro 1k", "figaro1k", "figaro"),
    "lfw_parts": ("lfw part labels", "lfw parts", "lfw"),
    "helen": ("helen",),
    "helen_landmarks": ("helen", "300 w"),
    "facecrops": ("face crops", "facecrops"),
}
"""Adapter -> what cards call its data; others are called by their own name."""

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
    pictures: Iterable[tuple[str, str, str]], trained: Collection[bytes], by_name: Check
) -> Check:
    """Settle it by the pictures themselves.

    Args:
        pictures: key, sha256 of the file and sha256 of the pixels of each.
        trained: from `read_lists`; empty = no list was given.
        by_name: what `check_by_name` said.
    """
    if not trained:
        return by_name
    names = [
        key for key, *hashes in pictures if any(bytes.fromhex(value) in trained for value in hashes)
    ]
    if names:
        return Check(
            "trained on",
            f"{len(names)} of these pictures are in the list of training pictures, such as "
            f"{names[0]}",
        )
    return Check("held out", f"no picture is among the {len(trained)} listed training pictures")


def read_lists(paths: Iterable[Path]) -> frozenset[bytes]:
    """Every sha256 in the given lists of training pictures.

    A list is what ``sha256sum`` writes (one picture a line, its hash first), or JSON: an array of
    hashes, or an object whose ``pictures`` are hashes or objects with ``sha256``, such as the
    report of an evaluation. Anything else is refused: a hash of a whole folder among them would
    prove nothing and look like proof.

    Raises:
        BadData: a file is missing, larger than `MAX_LIST_BYTES`, or no such list.
    """
    found: set[bytes] = set()
    for path in paths:
        try:
            if path.stat().st_size > MAX_LIST_BYTES:
                raise BadData(f"{path}: larger than {MAX_LIST_BYTES} bytes; not a list of sha256")
            written = path.read_bytes().decode("utf-8", "replace")
        except OSError as error:
            raise BadData(f"{path}: cannot be read ({error.strerror})") from error
        words = _from_json(written) if path.suffix.lower() == ".json" else _from_lines(written)
        wrong = [word for word in words if not (isinstance(word, str) and _HASH.fullmatch(word))]
        if wrong or not words:
            got = f"got {str(wrong[0])[:40]!r}" if wrong else "there is none in it"
            raise BadData(
                f"{path}: not a list of the training pictures' sha256 ({got}); wanted one a line, "
                "as sha256sum writes them, or a JSON array"
            )
        found.update(bytes.fromhex(word) for word in words)
    return frozenset(found)


def _from_lines(written: str) -> list[Any]:
    lines = (line.strip() for line in written.splitlines())
    return [line.lstrip("\\").split()[0] for line in lines if line and not line.startswith("#")]


def _from_json(written: str) -> list[Any]:
    try:
        value = json.loads(written)
    except (ValueError, RecursionError):
        return []
    rows = value.get("pictures") if isinstance(value, dict) else value
    if not isinstance(rows, list):
        return []
    return [row.get("sha256") if isinstance(row, dict) else row for row in rows]
