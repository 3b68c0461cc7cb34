"""Opens a detector by its name, or several joined by ``+``: ``headnet+keypoints``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from faceparts import folder, weights
from faceparts.crops import check_image
from faceparts.detect._cut import CutToo
from faceparts.detect._fuse import fuse
from faceparts.detect.headnet import HeadNet
from faceparts.detect.turned import TurnedIfUnsure
from faceparts.errors import UsageError
from faceparts.types import Head, HeadDetector, Image

PACKAGE = "faceparts.detect"
JOIN = "+"

COMPLETE = ("whole", "turned")
"""Detectors that need no weights of their own."""

TURNS = "headnet"
"""The detector that may look at turned pictures too."""

Scores = float | dict[str, float | None] | None


@runtime_checkable
class LooksNearHeads(Protocol):
    """A detector that looks closer where others found heads."""

    def detect_with(self, image: Image, heads: Sequence[Head]) -> list[Head]: ...


class Union:
    """Several detectors as one: what any of them sees, each head once.

    Args:
        parts: name -> detector, at least one.
    """

    def __init__(self, parts: Mapping[str, HeadDetector]) -> None:
        self._parts = dict(parts)

    def detect(self, image: Image) -> list[Head]:
        """Heads in an (H, W, 3) RGB picture, best first; ``seen_by`` says who saw them.

        Raises:
            ValueError: the picture is not (H, W, 3) uint8.
        """
        check_image(image)
        found: dict[str, list[Head]] = {}
        for name, part in self._parts.items():
            if not isinstance(part, LooksNearHeads):
                found[name] = part.detect(image)
        known = [head for heads in found.values() for head in heads]
        for name, part in self._parts.items():
            if isinstance(part, LooksNearHeads):
                found[name] = part.detect_with(image, known)
        return fuse({name: found[name] for name in self._parts})


@dataclass(frozen=True, eq=False)
class OpenedDetector:
    """A detector and what reports say about it.

    Args:
        detector: ready to use.
        min_score: score from which heads (of ``keypoints``: keypoints) count; ``None`` = the
            detector's own rule; by name for several detectors.
        files: the weights in use.
    """

    detector: HeadDetector
    min_score: Scores
    files: tuple[Path, ...]


def split_names(name: str) -> list[str]:
    """Names of the detectors that a name stands for.

    Raises:
        UnknownName: there is no such detector; the message lists those that exist.
        UsageError: one is named twice.

    Example:
        >>> split_names("headnet+keypoints")
        ['headnet', 'keypoints']
    """
    names = name.split(JOIN)
    for one in names:
        folder.load(PACKAGE, one)
    if len(set(names)) < len(names):
        raise UsageError(f"detector {name!r}: a name occurs twice; give each once")
    return names


def split_weights(given: str | Path | None, names: Sequence[str]) -> dict[str, str | Path]:
    """Which detector gets which weights.

    One detector gets all that was given. For several, ``keypoints=FILE,headnet=FILE`` says whose
    they are; a plain name or path is for the one that comes without weights.

    Raises:
        UsageError: it is not clear whose they are.

    Example:
        >>> split_weights("keypoints=a.tflite", ["headnet", "keypoints"])
        {'keypoints': 'a.tflite'}
    """
    if given is None:
        return {}
    if len(names) == 1:
        text = str(given)
        own = text.removeprefix(f"{names[0]}=")
        return {names[0]: own if own != text else given}
    pieces = str(given).split(",")
    named = [piece.partition("=") for piece in pieces]
    if all(name in names for name, _, _ in named):
        files: dict[str, str | Path] = {name: file for name, _, file in named}
        if len(files) == len(pieces) and all(files.values()):
            return files
        raise UsageError(f"weights: got {str(given)!r}, wanted one file for each detector")
    bare = [name for name in names if name not in (*weights.shipped(), *COMPLETE)]
    if len(bare) != 1:
        raise UsageError(
            f"weights: got {str(given)!r} for {JOIN.join(names)}; "
            f"say whose they are: {names[0]}=FILE,{names[1]}=FILE"
        )
    return {bare[0]: given}


def open_detector(
    name: str,
    detector_weights: str | Path | None = None,
    *,
    threads: int | None = None,
    device: str = "cpu",
    precision: str = "auto",
    min_score: float | None = None,
    min_score_share: float = 1.0,
    turned: bool = False,
    cut: bool = False,
    options: Mapping[str, object] | None = None,
) -> OpenedDetector:
    """Open a detector by name, or several joined by ``+``.

    Args:
        detector_weights: see `split_weights`; ``None`` = those that each comes with.
        min_score: score from which heads count; ``None`` = what each detector's card says.
        min_score_share: factor on the cards' thresholds where ``min_score`` is not given; a
            detector without a card keeps its own.
        turned: where ``headnet`` is sure of no head it also looks at the picture turned by quarter
            turns; heads in those count from its whole threshold on.
        cut: ``headnet`` also looks for large heads that the borders of the picture cut, or that
            are behind bars or writing or in a negative.
        options: further keywords of ``load``; each goes to all detectors that have it.

    Raises:
        UnknownName: there is no such detector, or no such weights are shipped.
        UsageError: an option that none of them has, or that is out of range.
        BadWeights: a file is missing, damaged or of the wrong kind.
    """
    names = split_names(name)
    files = split_weights(detector_weights, names)
    chosen = dict(options or {})
    for key in chosen:
        if not any(key in _parameters(one) for one in names):
            raise UsageError(f"detector {name!r} has no option {key!r}")
    parts: dict[str, HeadDetector] = {}
    scores: dict[str, float | None] = {}
    used: list[Path] = []
    for one in names:
        own = {key: value for key, value in chosen.items() if key in _parameters(one)}
        if len(names) > 1 and "near" in _parameters(one):
            own.setdefault("near", "")  # the others' heads are there
        path = _find(one, files.get(one), precision, device)
        used += [path] if isinstance(path, Path) else []
        load = folder.load(PACKAGE, one).load
        common = {"threads": threads, "device": device, "precision": precision}
        part = load(path, min_score=min_score, **common, **own)
        scores[one] = min_score
        card = getattr(part, "card", None)
        if min_score is None and card is not None:
            scores[one] = min_score_share * card.threshold
            if min_score_share != 1:
                part = load(path, min_score=scores[one], **common, **own)
        net = part
        if turned and one == TURNS and "turned" not in names and card is not None:
            part = TurnedIfUnsure(
                part, min_score=card.threshold if min_score is None else min_score
            )
        parts[one] = CutToo(part, net) if cut and isinstance(net, HeadNet) else part
        used += getattr(part, "further_files", ())
    files_used = tuple(dict.fromkeys(used))
    if len(names) == 1:
        return OpenedDetector(parts[name], scores[name], files_used)
    return OpenedDetector(Union(parts), scores, files_used)


def _parameters(name: str) -> Sequence[str]:
    """Keywords of a detector's ``load``."""
    return list(inspect.signature(folder.load(PACKAGE, name).load).parameters)


def _find(name: str, given: str | Path | None, precision: str, device: str) -> str | Path | None:
    """The file of a detector: the one given, the one shipped under its name, or none."""
    if given is None and name not in weights.shipped():
        return None
    return weights.find(given or name, precision=precision, device=device)
