"""Part names and groups of parts as a person writes them: ``face``, ``hair,hat``, ``eyes,nose``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faceparts import labels
from faceparts.errors import UnknownName, UsageError
from faceparts.types import Face, LabelSet


@dataclass(frozen=True)
class Wanted:
    """One word that a person wrote and the parts of a label set that it stands for."""

    word: str
    parts: tuple[str, ...]


def known_words() -> list[str]:
    """Every word that some label set understands, sorted."""
    parts = {p for name in labels.names() for p in labels.get(name).parts[1:]}
    return sorted(parts | set(labels.GROUPS))


def split_words(text: str) -> tuple[str, ...]:
    """Split a comma-separated list and check every word; an empty text gives ``()``.

    Raises:
        UnknownName: no label set has such a part; the message lists all words.
        TypeError: not a text.

    Example:
        >>> split_words("hair, hat")
        ('hair', 'hat')
    """
    if not isinstance(text, str):
        raise TypeError(f"parts: got {text!r}, wanted one text with commas, such as 'hair,hat'")
    words = tuple(w for w in (word.strip() for word in text.split(",")) if w)
    known = known_words()
    for word in words:
        if word not in known:
            raise UnknownName(f"no part named {word!r}; there are: {', '.join(known)}")
    return words


def require_words(field: str, text: str) -> tuple[str, ...]:
    """Split a list that must not be empty.

    Raises:
        UsageError: the list is empty.
        UnknownName: no label set has such a part.
    """
    words = split_words(text)
    if not words:
        raise UsageError(f"{field}: got {text!r}, wanted part names such as 'face' or 'hair,hat'")
    return words


def resolve(label_set: LabelSet, text: str) -> tuple[Wanted, ...]:
    """The parts that each word means in a label set; a group may come out empty.

    Raises:
        UnknownName: a single part is missing from the label set.

    Example:
        >>> resolve(labels.LFW3, "head")
        (Wanted(word='head', parts=('face', 'hair')),)
    """
    wanted = []
    for word in split_words(text):
        if word not in labels.GROUPS:
            label_set.id(word)
        group = labels.GROUPS.get(word, (word,))
        wanted.append(Wanted(word, tuple(p for p in group if p in label_set.parts)))
    return tuple(wanted)


def parts_mask(face: Face, parts: tuple[str, ...]) -> NDArray[np.bool_]:
    """(h, w) bool inside the face's window; unlike `Face.window_mask`, no part means no pixel."""
    return face.window_mask(*parts) if parts else np.zeros(face.labels.shape, bool)


def require_mask(face: Face, text: str) -> NDArray[np.bool_]:
    """(h, w) bool inside the face's window: pixels of any of the words.

    Raises:
        UnknownName: the face's label set has nothing of a word.
    """
    parts: list[str] = []
    for wanted in resolve(face.label_set, text):
        if not wanted.parts:
            raise UnknownName(
                f"label set {face.label_set.name} has none of {wanted.word!r}; "
                f"there are: {', '.join(face.label_set.parts[1:])}"
            )
        parts += wanted.parts
    return parts_mask(face, tuple(parts))
