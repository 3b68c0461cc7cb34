"""Ids that stand for several parts: what a source with coarser labels says about the trained ones.

A source whose labels are coarser than the trained set is *partial*: a pixel that it calls no hair
may be any part but hair. Such pixels get a code (254 and down) that stands for a set of parts, and
the loss asks only that the net's answer lies in it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faceparts import labels
from faceparts.train.augment import mirror_table
from faceparts.types import IGNORE, LabelSet


class Codes:
    """Label codes that stand for several parts.

    Args:
        label_set: the trained parts; codes are given out from 254 downwards.

    Example:
        >>> codes = Codes(labels.LFW3)
        >>> codes.of(frozenset((0, 2))), codes.of(frozenset((0, 2))), codes.of(frozenset((1,)))
        (254, 254, 1)
    """

    def __init__(self, label_set: LabelSet) -> None:
        self.label_set = label_set
        self.parts: dict[int, frozenset[int]] = {}

    def of(self, parts: frozenset[int]) -> int:
        """The id of one part, `IGNORE` for none and for all, else the code of the set."""
        if len(parts) == 1:
            return next(iter(parts))
        if len(parts) in (0, len(self.label_set.parts)):
            return IGNORE
        for code, known in self.parts.items():
            if known == parts:
                return code
        code = IGNORE - 1 - len(self.parts)
        self.parts[code] = parts
        return code

    def mirrored(self) -> NDArray[np.uint8]:
        """(256,) uint8: what every id and code becomes when the picture flips."""
        table, mirror = mirror_table(self.label_set), self.label_set.mirror
        for code, parts in list(self.parts.items()):
            other = self.of(frozenset(mirror[i] for i in parts))
            table[code], table[other] = other, code
        return table


def to_trained(source: LabelSet, codes: Codes, *, partial: bool) -> NDArray[np.uint8]:
    """(256,) uint8: trained id or code of every id of a source.

    With ``partial`` a part stands for all trained parts that the source merges into it, and its
    background for all that it does not know. Hair-only sources are always partial. Otherwise
    parts that the trained set lacks are ignored; see `labels.table`.
    """
    trained = codes.label_set
    if not partial and source.name != "hair2":
        return labels.table(source, trained)
    up = labels.table(source, trained)[: len(source.parts)]
    down = labels.table(trained, source)[: len(trained.parts)]
    table = np.full(256, IGNORE, np.uint8)
    for i in range(len(source.parts)):
        parts = set(np.flatnonzero(down == i).tolist()) | {int(up[i])} - {IGNORE}
        if i == 0:  # also what no part of the source stands for
            parts |= set(np.flatnonzero(down == IGNORE).tolist()) - set(up.tolist())
        table[i] = codes.of(frozenset(parts))
    return table
