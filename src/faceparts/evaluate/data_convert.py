"""Can one label set be written as another, and what is lost or merged on the way?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faceparts import labels
from faceparts.errors import UsageError
from faceparts.types import IGNORE, LabelSet


@dataclass(frozen=True, eq=False)
class Plan:
    """How ids are translated.

    Args:
        source: label set of the data.
        target: label set to be written.
        table: (256,) target id of every source id.
        merged: part of the target -> the parts of the source that become it, where there are
            several or it has another name.
        lost: parts of the source that the target neither has nor merges.
        absent: parts of the target that nothing in the source becomes.
    """

    source: LabelSet
    target: LabelSet
    table: NDArray[np.uint8]
    merged: dict[str, tuple[str, ...]]
    lost: tuple[str, ...]
    absent: tuple[str, ...]


def plan_conversion(
    source: LabelSet,
    target: LabelSet,
    *,
    rest: int = IGNORE,
    partial: bool = False,
    keep_background: bool = False,
) -> Plan:
    """Work out a conversion, or refuse it with the names of the parts that stand in its way.

    Where the target has parts that the source does not know, the source's background may hold
    them: calling it background would teach a net something wrong, so it becomes unknown.

    Args:
        rest: what the lost parts become: `IGNORE` or 0.
        partial: go on although parts of the target are absent.
        keep_background: with ``partial``: keep the source's background all the same.

    Raises:
        UsageError: no part of the target can be had, or some cannot and ``partial`` is not given.

    Example:
        >>> plan = plan_conversion(labels.CELEBA19, labels.LFW3)
        >>> plan.merged["face"][:3], plan.lost
        (('skin', 'nose', 'glasses'), ('hat', 'earring', 'necklace', 'clothes'))
    """
    table = labels.table(source, target, IGNORE).copy()
    origins: dict[str, list[str]] = {part: [] for part in target.parts}
    for i, part in enumerate(source.parts):
        if table[i] != IGNORE:
            origins[target.parts[table[i]]].append(part)
    lost = tuple(p for i, p in enumerate(source.parts) if table[i] == IGNORE)
    absent = tuple(part for part, found in origins.items() if not found)
    if len(absent) == len(target.parts) - 1:
        raise UsageError(
            f"{source.name} cannot be written as {target.name}: none of {_list(absent)} can be "
            f"made from {_list(source.parts[1:])}"
        )
    if absent and not partial:
        raise UsageError(
            f"{source.name} cannot be written as {target.name}: it does not tell "
            f"{_list(absent)}{_hint(source, absent)}; --partial writes the rest, with the "
            "background unknown"
        )
    table[[source.id(part) for part in lost]] = rest
    if absent and not keep_background:
        table[0] = IGNORE
    merged = {part: tuple(found) for part, found in origins.items() if found and found != [part]}
    return Plan(source, target, table, merged, lost, absent)


def _hint(source: LabelSet, absent: tuple[str, ...]) -> str:
    """Which absent sides hide in one part of the source."""
    stems = {part.partition("_")[2] for part in absent if part.startswith(("left_", "right_"))}
    whole = [f"{stem}s" for stem in sorted(stems) if f"{stem}s" in source.parts]
    return f" ('faceparts data clean --split-sides' tells {_list(whole)} apart)" if whole else ""


def _list(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names)
