"""A `ModelCard` as text, as it travels inside every weights file: one line of JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any

from faceparts import labels
from faceparts.errors import BadWeights
from faceparts.types import ModelCard

KEY = "faceparts.card"
"""Key of the card in the ``metadata_props`` of an ONNX file."""

MAX_CHARS = 65_536


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_triple(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) == 3 and all(map(_is_number, value))


def _between(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: _is_number(value) and low <= value <= high


_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (lambda v: _is_text(v) and bool(v) and v.isprintable(), "a name on one line"),
    "task": (lambda v: v in ("segment", "detect"), "'segment' or 'detect'"),
    "label_set": (_is_text, "the name of a label set, '' for detectors"),
    "input_px": (lambda v: type(v) is int and 0 <= v <= 4096, "a whole number 0..4096"),
    "mean": (_is_triple, "three numbers"),
    "std": (lambda v: _is_triple(v) and min(v) > 0, "three numbers above 0"),
    "margin": (_between(0, 4), "a number 0..4"),
    "trained_on": (lambda v: isinstance(v, list | tuple) and all(map(_is_text, v)), "texts"),
    "license": (_is_text, "a text"),
    "data_license": (_is_text, "a text"),
    "commercial_ok": (lambda v: isinstance(v, bool), "true or false"),
    "metrics": (lambda v: isinstance(v, dict) and all(map(_is_number, v.values())), "numbers"),
    "output": (lambda v: v in ("probs", "logits"), "'probs' or 'logits'"),
    "threshold": (_between(0, 1), "a number 0..1"),
    "notes": (_is_text, "a text"),
    "shrink_px": (lambda v: type(v) is int and 0 <= v <= 4096, "a whole number 0..4096"),
    "mixed_with": (lambda v: isinstance(v, list | tuple) and all(map(_is_text, v)), "texts"),
    "even_light": (lambda v: isinstance(v, bool), "true or false"),
}
_REQUIRED = tuple(f.name for f in fields(ModelCard))[:12]


def _check_card(values: Mapping[str, Any], where: str, own_set: bool = False) -> None:
    for key in _REQUIRED:
        if key not in values:
            raise BadWeights(f"{where}: the card has no {key!r}; export the file again")
    for key, (good, wanted) in _CHECKS.items():
        if key in values and not good(values[key]):
            got = repr(values[key])[:60]
            raise BadWeights(f"{where}: card key {key!r}: got {got}, wanted {wanted}")
    if values["task"] == "segment":
        if not values["input_px"]:
            raise BadWeights(
                f"{where}: card key 'input_px': got 0, wanted the fixed size of a parser"
            )
        if not values["label_set"] or not (own_set or values["label_set"] in labels.names()):
            raise BadWeights(
                f"{where}: card key 'label_set': got {values['label_set'][:60]!r}, "
                f"wanted one of {', '.join(labels.names())}"
            )


def to_json(card: ModelCard, *, own_set: bool = False) -> str:
    """Write a card as one line of JSON.

    Args:
        own_set: the file brings its parts' names along, so any name of a label set will do.

    Raises:
        BadWeights: a field is of the wrong type or out of range.
    """
    values = asdict(card)
    _check_card(values, f"card of {card.name!r}", own_set)
    return json.dumps(values, sort_keys=True, allow_nan=False)


def from_json(text: str, where: str = "card", *, own_set: bool = False) -> ModelCard:
    """Read a card; keys that this version does not know are left out.

    Args:
        text: a JSON object of at most `MAX_CHARS` characters.
        where: what the text belongs to, for messages.
        own_set: as in `to_json`.

    Raises:
        BadWeights: too long, not JSON, a key is missing, or a value is of the wrong type or range.
    """
    if len(text) > MAX_CHARS:
        raise BadWeights(f"{where}: card of {len(text)} characters, wanted at most {MAX_CHARS}")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise BadWeights(f"{where}: the card is not JSON; export the file again") from None
    if not isinstance(values, dict):
        raise BadWeights(f"{where}: the card is {type(values).__name__}, wanted a JSON object")
    known = {key: values[key] for key in _CHECKS if key in values}
    _check_card(known, where, own_set)
    known["metrics"] = {key: float(value) for key, value in known["metrics"].items()}
    known |= {key: tuple(float(v) for v in known[key]) for key in ("mean", "std")}
    known |= {key: tuple(known.get(key, ())) for key in ("trained_on", "mixed_with")}
    return ModelCard(**known)
