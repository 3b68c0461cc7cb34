"""What a pose model's file does not say about itself: a small TOML file beside it.

``movenet.tflite`` is described by ``movenet.toml``. All keys but ``kind`` may be left out; MoveNet
and models with the outputs of YOLO-pose need no card at all, their shapes tell.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from faceparts.detect._people import KEYPOINTS
from faceparts.errors import BadWeights

KINDS = ("single-person", "top-down", "yolo-pose", "bottom-up")
MAX_CARD_BYTES = 65_536

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class PoseCard:
    """How to run a pose model and read what it puts out.

    Args:
        kind: ``"single-person"``: one person's keypoints as numbers; ``"top-down"``: one heat map
            a keypoint of one person; ``"yolo-pose"``: one row a person with box and keypoints;
            ``"bottom-up"``: heat maps of all people and tags that tell them apart.
        name: what reports call it; the file's name by default.
        input_wh: width and height of the input; (0, 0): what the file says, else 640 x 640 for
            ``"yolo-pose"`` and 512 x 512 for ``"bottom-up"``, which take any multiple of 32.
        channels: ``"rgb"`` or ``"bgr"``.
        mean, std: in RGB order on the 0..255 scale: (value - mean) / std goes in; integer inputs
            get the values themselves.
        pad: grey level 0..255 of what lies beside the picture.
        keypoints: what the keypoints are, in the model's order; those that COCO does not have are
            left out.
        order: of the numbers of a keypoint: ``"yxs"`` or ``"xys"`` (``"single-person"`` only).
        unit: of the coordinates: ``"share"`` of the input's sides or ``"pixel"`` of the input
            (``"single-person"`` only).
        rows: what stands before the keypoints in a row of ``"yolo-pose"``: ``"box+score"``
            (versions 8 and 11: middle, width, height, score), ``"box+object+class"`` (versions 5
            and 7), or ``"corners+score+class"`` (end to end: no duplicates are left in it).
        scores: ``"probs"`` or ``"logits"``: whether scores are 0..1 already.
        heatmaps, tags: names of the outputs; by default the first and the second one.
        threshold: score from which a keypoint counts.
        person_threshold: score from which a person counts (``"yolo-pose"``), or a peak of a heat
            map (``"bottom-up"``).
        body: side of the square around a person in head sizes, for the crops around heads.
        head_scale: factor on the size of heads, for models that place keypoints too close.
        license, notes: in words.
    """

    kind: str
    name: str = ""
    input_wh: tuple[int, int] = (0, 0)
    channels: str = "rgb"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    pad: int = 0
    keypoints: tuple[str, ...] = KEYPOINTS
    order: str = "xys"
    unit: str = "share"
    rows: str = "box+score"
    scores: str = "probs"
    heatmaps: str = ""
    tags: str = ""
    threshold: float = 0.3
    person_threshold: float = 0.25
    body: float = 2.5
    head_scale: float = 1.0
    license: str = ""
    notes: str = ""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _between(low: float, high: float) -> tuple[Callable[[Any], bool], str]:
    return (lambda v: _is_number(v) and low <= v <= high), f"a number {low:g}..{high:g}"


def _one_of(*values: str) -> tuple[Callable[[Any], bool], str]:
    return (lambda v: isinstance(v, str) and v in values), "one of " + ", ".join(values)


def _numbers(count: int, good: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda v: (
        isinstance(v, list) and len(v) == count and all(_is_number(x) and good(x) for x in v)
    )


def _are_names(value: object) -> bool:
    return (
        isinstance(value, list)
        and all(isinstance(v, str) for v in value)
        and len(set(value)) == len(value) <= 1000
        and any(v in KEYPOINTS[:5] for v in value)
    )


_TEXT = (lambda v: isinstance(v, str) and v.isprintable()), "a text on one line"
_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "kind": _one_of(*KINDS),
    "name": _TEXT,
    "input_wh": (
        _numbers(2, lambda x: isinstance(x, int) and 0 <= x <= 4096),
        "two whole numbers 0..4096",
    ),
    "channels": _one_of("rgb", "bgr"),
    "mean": (_numbers(3, lambda x: True), "three numbers"),
    "std": (_numbers(3, lambda x: x > 0), "three numbers above 0"),
    "pad": (lambda v: type(v) is int and 0 <= v <= 255, "a whole number 0..255"),
    "keypoints": (_are_names, f"different names, one of {', '.join(KEYPOINTS[:5])} among them"),
    "order": _one_of("yxs", "xys"),
    "unit": _one_of("share", "pixel"),
    "rows": _one_of("box+score", "box+object+class", "corners+score+class"),
    "scores": _one_of("probs", "logits"),
    "heatmaps": _TEXT,
    "tags": _TEXT,
    "threshold": _between(0, 1),
    "person_threshold": _between(0, 1),
    "body": _between(1, 20),
    "head_scale": _between(0.1, 10),
    "license": _TEXT,
    "notes": _TEXT,
}


def card_path(model: Path) -> Path:
    """Where the card of a model lies: beside it, with the ending ``.toml``."""
    return model.with_suffix(".toml")


def parse_card(text: str, where: str) -> PoseCard:
    """Read a card.

    Args:
        text: TOML.
        where: what the text belongs to, for messages.

    Raises:
        BadWeights: not TOML, a key that is not known, a missing kind, or a value out of range.

    Example:
        >>> parse_card('kind = "top-down"\\nthreshold = 0.4', "a.toml").threshold
        0.4
    """
    try:
        values: dict[str, Any] = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadWeights(f"{where}: not TOML: {' '.join(str(error).split())[:200]}") from None
    if "kind" not in values:
        raise BadWeights(f"{where}: the card has no 'kind'; wanted one of {', '.join(KINDS)}")
    return make_card(values, where)


def make_card(values: Mapping[str, Any], where: str) -> PoseCard:
    """A card from checked values.

    Raises:
        BadWeights: a key that is not known, or a value out of range.
    """
    known = [f.name for f in fields(PoseCard)]
    for key, value in values.items():
        if key not in known:
            raise BadWeights(f"{where}: no key {key!r:.60}; there are: {', '.join(known)}")
        good, wanted = _CHECKS[key]
        if not good(value):
            raise BadWeights(f"{where}: {key}: got {value!r:.60}, wanted {wanted}")
    if (
        len(values.get("input_wh", ())) == 2
        and (0 in values["input_wh"])
        and any(values["input_wh"])
    ):
        raise BadWeights(f"{where}: input_wh: got {values['input_wh']}, wanted both sides or none")
    plain: dict[str, Any] = {
        key: tuple(v) if isinstance(v, list) else v for key, v in values.items()
    }
    return PoseCard(**plain)


def read_card(model: Path) -> PoseCard | None:
    """The card beside a model's file; ``None`` if there is none.

    Raises:
        BadWeights: it cannot be read, is too large or wrong.
    """
    path = card_path(model)
    if not path.exists():
        return None
    try:
        if path.stat().st_size > MAX_CARD_BYTES:
            raise BadWeights(f"{path}: larger than {MAX_CARD_BYTES} bytes; wanted a card")
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadWeights(f"{path}: cannot be read as text: {error}") from None
    return parse_card(text, str(path))


def guess_card(input_shape: Shape, output_shapes: Mapping[str, Shape]) -> PoseCard | None:
    """The card of a model whose shapes tell what it is; ``None`` if they do not.

    MoveNet takes one square of 192 or 256 pixels and puts out (1, 1, 17, 3): y, x, score. YOLO-pose
    puts out (N, 56, rows) (versions 8 and 11) or (N, rows, 57) (versions 5 and 7).

    Example:
        >>> guess_card((1, 192, 192, 3), {"y": (1, 1, 17, 3)}).kind
        'single-person'
    """
    if len(output_shapes) != 1:
        return None
    (shape,) = output_shapes.values()
    if shape == (1, 1, 17, 3) and input_shape in ((1, 192, 192, 3), (1, 256, 256, 3)):
        return PoseCard(
            "single-person", name="movenet", order="yxs", threshold=0.4, license="Apache-2.0"
        )
    if len(shape) == 3 and len(input_shape) == 4 and input_shape[1] == 3:
        rows = {(True, False): "box+score", (False, True): "box+object+class"}.get(
            (shape[1] == 56, shape[2] == 57)
        )
        if rows is not None:
            white = (255.0, 255.0, 255.0)
            return PoseCard("yolo-pose", name="yolo-pose", std=white, pad=114, rows=rows)
    return None
