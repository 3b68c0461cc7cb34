"""Does a model serve everybody alike? Rates by group, gaps between groups, and how sure they are.

A *unit* is what is grouped: a picture of a parser, a head of a detector. Rates are pooled over the
units of a group. Intervals come from drawing pictures again, so that the heads of one picture stand
or fall together. The gap is between the best and the worst group that is not small; its interval
is that of these two groups, and as they were picked for being the extremes, a second number guards
against finding a gap in chance alone: how often groups of the same sizes that are filled at random
lie at least as far apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceparts.evaluate import bootstrap
from faceparts.evaluate.groups import UNKNOWN
from faceparts.evaluate.report import plain

SHUFFLES = 1000
MIN_CLASS_PICTURES = 3
"""A class counts in a comparison if every compared group has it on so many pictures."""

Counts = NDArray[np.int64]
Rates = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Units:
    """What is grouped.

    Args:
        classes: names of the rated classes; one, ``"heads"``, for a detector.
        picture: (M,) which picture each unit is on, from 0.
        counts: (M, K, 3) hits, labelled, predicted pixels of a parser; for a detector (M, 1, 3)
            found, marked, marked: its F1 formula is then recall x 2 / (1 + 1).
        groups: what is grouped by -> name of every unit's group.
        order: what is grouped by -> all group names, as they are listed.
    """

    classes: tuple[str, ...]
    picture: NDArray[np.int64]
    counts: Counts
    groups: Mapping[str, Sequence[str]]
    order: Mapping[str, Sequence[str]]
    is_recall: bool = False

    @property
    def pictures(self) -> int:
        """Number of pictures; those without a unit count if a later one has some."""
        return int(self.picture.max()) + 1 if self.picture.size else 0

    def rates(self, counts: Counts | Rates) -> Rates:
        """(..., K) rates of (..., K, 3) pooled counts."""
        if not self.is_recall:
            return bootstrap.f1(counts)
        found, marked = np.asarray(counts, np.float64)[..., 0], np.asarray(counts)[..., 1]
        out = np.full(found.shape, np.nan)
        return np.asarray(np.divide(found, marked, out=out, where=marked > 0))


@dataclass(frozen=True)
class Settings:
    """How groups are compared.

    Args:
        small: groups with fewer units are marked and not compared.
        resamples: how often pictures are drawn.
        seed: of all draws.
    """

    small: int = 10
    resamples: int = bootstrap.RESAMPLES
    seed: int = 1


def audit(units: Units, settings: Settings) -> dict[str, Any]:
    """Rates by group and gaps, for everything that units are grouped by.

    Raises:
        ValueError: there are no units.
    """
    if not units.picture.size:
        raise ValueError("audit: there is nothing to audit; the data holds no labelled head")
    everyone = np.zeros(len(units.picture), np.int64)
    drawn = _drawn(units, everyone, 1, settings)
    whole = units.counts.sum(axis=0)
    present = np.flatnonzero(whole[:, 1] > 0)
    return {
        "metric": "recall" if units.is_recall else "f1",
        "overall": {
            "units": len(units.picture),
            "pictures": len(np.unique(units.picture)),
            **_estimate(units, whole, drawn[:, 0], present),
        },
        "by": {axis: _axis(units, axis, settings) for axis in units.groups},
        "method": {
            "intervals": "pictures drawn with replacement; rates pooled; percentile interval; of a "
            "group's recall the wider of it and Wilson's",
            "resamples": settings.resamples,
            "level": bootstrap.LEVEL,
            "shuffles": SHUFFLES,
            "seed": settings.seed,
            "small_group": f"fewer than {settings.small}",
            "compared_classes": f"labelled on {MIN_CLASS_PICTURES} pictures of every compared "
            "group",
        },
    }


def _axis(units: Units, axis: str, settings: Settings) -> dict[str, Any]:
    names = [name for name in (*units.order[axis], UNKNOWN) if name in set(units.groups[axis])]
    number = {name: i for i, name in enumerate(names)}
    member = np.array([number[name] for name in units.groups[axis]], np.int64)
    sizes = np.bincount(member, minlength=len(names))
    compared = [i for i, name in enumerate(names) if sizes[i] >= settings.small and name != UNKNOWN]
    classes = _common_classes(units, member, compared)
    sums = _sums(units.counts, member, len(names))
    drawn = _drawn(units, member, len(names), settings)
    rows = [
        {
            "group": name,
            "units": int(sizes[i]),
            "pictures": len(np.unique(units.picture[member == i])),
            "small": bool(sizes[i] < settings.small),
            "compared": i in compared,
            **_estimate(units, sums[i], drawn[:, i], classes),
        }
        for i, name in enumerate(names)
    ]
    result: dict[str, Any] = {
        "groups": rows,
        "classes": [units.classes[c] for c in classes],
        "gap": None,
        "gaps_of_classes": {},
    }
    if len(compared) > 1 and classes.size:
        result["gap"] = _gap(units, sums, drawn, compared, classes, names)
        result["gap"]["by_chance"] = _by_chance(units, member, compared, classes, settings)
        if not units.is_recall:
            result["gaps_of_classes"] = {
                units.classes[c]: _gap(units, sums, drawn, compared, np.array([c]), names)
                for c in classes
            }
    return result


def _common_classes(
    units: Units, member: NDArray[np.int64], compared: Sequence[int]
) -> NDArray[np.int64]:
    """Classes that every compared group has on enough pictures; all that occur if none is."""
    labelled = units.counts[..., 1] > 0
    if units.is_recall or not compared:
        return np.flatnonzero(labelled.any(axis=0))
    enough = [labelled[member == i].sum(axis=0) >= MIN_CLASS_PICTURES for i in compared]
    return np.flatnonzero(np.all(enough, axis=0))


def _estimate(
    units: Units, counts: Counts, drawn: Rates, classes: NDArray[np.int64]
) -> dict[str, Any]:
    """Mean rate of some classes with its interval, and the rates of all classes.

    Args:
        counts: (K, 3) of the group.
        drawn: (B, K, 3) of its resamples.
    """
    rates = units.rates(counts)
    low, high = bootstrap.interval(_mean_rate(units, drawn, classes))
    if units.is_recall:  # drawing again sees no doubt where every head was found
        least, most = bootstrap.wilson(int(counts[0, 0]), int(counts[0, 1]))
        low, high = min(low, least), max(high, most)
    return {
        "value": plain(float(_mean_rate(units, counts[None], classes)[0])),
        "low": plain(low),
        "high": plain(high),
        "classes": {name: plain(rates[i]) for i, name in enumerate(units.classes)},
    }


def _mean_rate(units: Units, counts: Counts | Rates, classes: NDArray[np.int64]) -> Rates:
    """(...) mean rate over classes of (..., K, 3) counts."""
    return bootstrap.mean(units.rates(counts)[..., classes])


def _gap(
    units: Units,
    sums: Counts,
    drawn: Rates,
    compared: Sequence[int],
    classes: NDArray[np.int64],
    names: Sequence[str],
) -> dict[str, Any]:
    """Best minus worst of the compared groups."""
    values = _mean_rate(units, sums[list(compared)], classes)
    best, worst = compared[int(np.argmax(values))], compared[int(np.argmin(values))]
    spread = _mean_rate(units, drawn[:, best], classes) - _mean_rate(
        units, drawn[:, worst], classes
    )
    low, high = bootstrap.interval(spread)
    return {
        "best": names[best],
        "worst": names[worst],
        "difference": plain(float(values.max() - values.min())),
        "low": plain(low),
        "high": plain(high),
        "excludes_zero": bool(np.isfinite(low) and low > 0),
    }


def _by_chance(
    units: Units,
    member: NDArray[np.int64],
    compared: Sequence[int],
    classes: NDArray[np.int64],
    settings: Settings,
) -> float:
    """Share of random fillings of the compared groups that lie at least as far apart."""
    inside = np.isin(member, compared)
    counts = units.counts[inside]
    position = np.searchsorted(compared, member[inside])
    rng = np.random.default_rng((settings.seed, 1))

    def spread(filling: NDArray[np.int64]) -> float:
        values = _mean_rate(units, _sums(counts, filling, len(compared)), classes)
        known = values[np.isfinite(values)]
        return float(known.max() - known.min()) if known.size else 0.0

    observed = spread(position)
    reached = sum(spread(rng.permutation(position)) >= observed - 1e-12 for _ in range(SHUFFLES))
    return round((reached + 1) / (SHUFFLES + 1), 4)


def _sums(counts: Counts, member: NDArray[np.int64], groups: int) -> Counts:
    """(G, K, 3) sums of the units of every group."""
    which = np.zeros((groups, len(member)))
    which[member, np.arange(len(member))] = 1
    flat = which @ counts.reshape(len(counts), -1)
    return np.asarray(np.rint(flat).astype(np.int64).reshape(groups, *counts.shape[1:]))


def _drawn(units: Units, member: NDArray[np.int64], groups: int, settings: Settings) -> Rates:
    """(B, G, K, 3) counts of every group after pictures were drawn again."""
    pictures, where = np.unique(units.picture, return_inverse=True)
    cells = np.zeros((len(pictures), groups, *units.counts.shape[1:]), np.int64)
    np.add.at(cells, (where, member), units.counts)
    return np.concatenate(
        [
            bootstrap.pooled(chunk, cells)
            for chunk in bootstrap.weights(len(pictures), settings.resamples, settings.seed)
        ]
    )
