"""Heat maps and tag maps of a bottom-up pose model -> people, by associative embedding.

Newell et al., "Associative Embedding", NIPS 2017, as used by HigherHRNet (Cheng et al., CVPR
2020): peaks of every joint's heat map are joined to people whose tags agree, joint after joint.
Coordinates are heat-map pixels along edges (pixel i spans i..i + 1, its centre is i + 0.5), so a
map at half the picture's size gives picture coordinates by doubling them.

Where the published description leaves a choice, this is the rule; the first five differ from the
authors' code on purpose:

- Every peak that fits nobody opens a person of its own; there, a peak whose tag equals that of an
  earlier peak to the last bit overwrites it.
- Pairs of tags at least ``tag_threshold`` apart all cost the same and never join. There, a far
  person can push a peak away from the person that it fits.
- Ties in the rounded distance are broken by the squared distance, for high peaks first; there, by
  chance.
- Peaks of equal height within one suppression window are one peak (the first in reading order).
- A missing joint is looked for only where tags agree; there, another person's joint is taken when
  no pixel agrees. A peak whose two neighbours are equal is not moved; there, a quarter pixel left.
- Tags of a person are averaged over all joints joined so far; costs are ``100 * round(distance) -
  score`` with halves rounded to even; of equal heats the first in reading order wins.
"""

from __future__ import annotations

from typing import Protocol, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.errors import BadWeights, FacePartsError

Floats = NDArray[np.float32]

JOINTS = 17
"""COCO: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles; left before right."""
ORDER = (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16)
"""Order in which joints are joined to people: head, shoulders, hips, then the limbs outwards."""
WINDOW_PX = 5
"""A peak is the highest of a square of this side."""
FAR = 1e6
"""Cost of a pair that must not join; more than any number of others together."""
NEARER = 0.01
"""Weight of the squared distance, times the heat, beside the rounded one: it only breaks ties.
(Plain distances of single tags would tie again: two peaks below two people are as far from them
either way. Without the heat, so would two peaks with one tag.)"""
AGREE = 0.5
"""Tags that differ by at most this round to the same person."""
STRIP_PX = 16
"""Height of the upright strips that a search for missing joints looks at first."""
FIRST = 256
"""The search begins with the pixels that are as high as the highest of this many strips."""
MOST_PIXELS, MOST_STRIPS = 1 << 15, 1 << 17
"""Bounds on what is looked at at once, for memory's sake."""
TINY = np.nextafter(np.float32(0), np.float32(1))
"""The smallest heat above 0."""


class MissingExtra(FacePartsError, ImportError):
    """A package of an optional extra is not installed."""


class Solver(Protocol):
    """Type of SciPy's ``linear_sum_assignment``."""

    def __call__(self, cost: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]: ...


def group(
    heatmaps: Floats,
    tags: Floats,
    *,
    max_people: int = 30,
    threshold: float = 0.1,
    tag_threshold: float = 1.0,
    refine: bool = True,
) -> tuple[Floats, Floats]:
    """Join the peaks of heat maps to people.

    Args:
        heatmaps: (17, H, W) one map a joint, in COCO's order; about 0..1.
        tags: (17, H, W), or (17, H, W, T) where several passes give one tag each.
        max_people: most peaks a joint, and most people returned (those with the best scores).
        threshold: a peak must be higher; at least 0.
        tag_threshold: tags of one person differ by less from its mean; at most 100.
        refine: look for missing joints below the threshold too.

    Returns:
        people: (P, 17, 3) float32 x, y, heat; a missing joint is ``nan, nan, 0``. Best first.
        scores: (P,) float32 mean heat of the 17 joints before missing ones were looked for.

    Raises:
        ValueError: shapes do not fit, or a setting is out of range.
        BadWeights: a map holds values that are not finite.
        MissingExtra: SciPy is not installed.
    """
    heatmaps, tags = _checked(heatmaps, tags)
    if max_people < 1 or not threshold >= 0 or not 0 < tag_threshold <= 100:
        raise ValueError(
            f"group: got max_people {max_people}, threshold {threshold}, tag_threshold "
            f"{tag_threshold}; wanted at least 1, at least 0, and above 0 up to 100"
        )
    solve = assignment_solver()
    flat, scores = find_peaks(heatmaps, max_people, threshold)
    joined, means = match_tags(flat, scores, tags, tag_threshold, solve)
    people = _place(joined, heatmaps)
    mean = people[:, :, 2].mean(axis=1)
    best = np.argsort(-mean, kind="stable")[:max_people]
    people, mean, means = people[best], mean[best], means[best]
    if refine and len(people):
        add_missing(people, means, heatmaps, tags)
    return people, mean


def assignment_solver() -> Solver:
    """SciPy's Hungarian method.

    Raises:
        MissingExtra: SciPy is not installed; the message says how to install it.
    """
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise MissingExtra(
            "grouping of body keypoints needs SciPy: pip install 'faceparts[keypoints]'"
        ) from error
    return cast(Solver, linear_sum_assignment)


def _checked(heatmaps: Floats, tags: Floats) -> tuple[Floats, Floats]:
    """Both maps as float32, tags with their last axis; see `group` for what is refused."""
    heatmaps = np.ascontiguousarray(heatmaps, np.float32)
    tags = np.asarray(tags, np.float32)
    if heatmaps.ndim != 3 or heatmaps.shape[0] != JOINTS or not heatmaps.size:
        raise ValueError(f"heatmaps: got shape {heatmaps.shape}, wanted ({JOINTS}, H, W)")
    if tags.shape[:3] != heatmaps.shape or tags.ndim not in (3, 4) or not tags.size:
        raise ValueError(f"tags: got shape {tags.shape}, wanted {heatmaps.shape} or one axis more")
    for name, maps in (("heatmaps", heatmaps), ("tags", tags)):
        wrong = maps.size - int(np.count_nonzero(np.isfinite(maps)))
        if wrong:
            raise BadWeights(
                f"{name}: {wrong} of {maps.size} values are not finite numbers; "
                "the pose model is damaged or its input was"
            )
    return heatmaps, tags if tags.ndim == 4 else tags[..., None]


def find_peaks(
    heatmaps: Floats, count: int, threshold: float
) -> tuple[list[NDArray[np.intp]], list[Floats]]:
    """Highest peaks of every joint: positions in the flattened map, and heats; best first."""
    window = np.ones((WINDOW_PX, WINDOW_PX), np.uint8)
    positions, heats = [], []
    for heat in heatmaps:
        top = np.flatnonzero((heat >= cv2.dilate(heat, window)) & (heat > threshold))
        values = heat.ravel()[top]
        order = np.argsort(-values, kind="stable")
        top, values = top[order], values[order]
        if np.any(values[1:] == values[:-1]):
            kept = _one_a_window(top, heat.shape[1], count)
            top, values = top[kept], values[kept]
        positions.append(top[:count])
        heats.append(values[:count])
    return positions, heats


def _one_a_window(flat: NDArray[np.intp], width: int, count: int) -> list[int]:
    """Indices of the first ``count`` peaks with none before them in the same window."""
    rows, columns = np.divmod(flat, width)
    left = np.arange(len(flat))
    kept: list[int] = []
    while len(left) and len(kept) < count:
        first = int(left[0])
        kept.append(first)
        apart = np.maximum(np.abs(rows[left] - rows[first]), np.abs(columns[left] - columns[first]))
        left = left[apart > WINDOW_PX // 2]
    return kept


def match_tags(
    positions: list[NDArray[np.intp]],
    heats: list[Floats],
    tags: Floats,
    tag_threshold: float,
    solve: Solver,
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Join peaks to people, joint after joint in `ORDER`.

    Returns:
        joined: (P, 17) position in the flattened map, -1 where a joint is missing.
        means: (P, T) mean tag of every person.
    """
    depth = tags.shape[3]
    joined = np.full((sum(map(len, positions)), JOINTS), -1, np.intp)
    sums = np.zeros((len(joined), depth))
    counts = np.zeros(len(joined))
    people = 0
    for joint in ORDER:
        peaks = positions[joint]
        if not len(peaks):
            continue
        own = tags[joint].reshape(-1, depth)[peaks].astype(np.float64)
        person = np.full(len(peaks), -1)
        if people:
            mean = sums[:people] / counts[:people, None]
            gap = _gap(own[:, None], mean[None])
            heat = heats[joint][:, None].astype(np.float64)
            cost = 100 * np.rint(gap) - heat + NEARER * heat * gap**2
            cost[gap >= tag_threshold] = FAR
            rows, columns = solve(cost)
            near = gap[rows, columns] < tag_threshold
            person[rows[near]] = columns[near]
        fresh = person < 0
        born = int(np.count_nonzero(fresh))
        person[fresh] = np.arange(people, people + born)
        people += born
        joined[person, joint] = peaks
        sums[person] += own
        counts[person] += 1
    return joined[:people], sums[:people] / counts[:people, None]


def _place(joined: NDArray[np.intp], heatmaps: Floats) -> Floats:
    """(P, 17, 3) x, y, heat of joined peaks; ``nan, nan, 0`` where a joint is missing."""
    people = np.full((*joined.shape, 3), np.nan, np.float32)
    people[..., 2] = 0
    who, joint = np.nonzero(joined >= 0)
    if len(who):
        people[who, joint] = locate(heatmaps, joint, joined[who, joint])
    return people


def locate(heatmaps: Floats, joint: NDArray[np.intp], flat: NDArray[np.intp]) -> Floats:
    """(N, 3) x, y, heat of pixels; the centre moves a quarter pixel to the higher neighbour."""
    _, h, w = heatmaps.shape
    row, column = np.divmod(flat, w)
    right = heatmaps[joint, row, np.minimum(column + 1, w - 1)]
    left = heatmaps[joint, row, np.maximum(column - 1, 0)]
    below = heatmaps[joint, np.minimum(row + 1, h - 1), column]
    above = heatmaps[joint, np.maximum(row - 1, 0), column]
    x = column + 0.5 + 0.25 * np.sign(right - left)
    y = row + 0.5 + 0.25 * np.sign(below - above)
    return np.stack([x, y, heatmaps[joint, row, column]], axis=1).astype(np.float32)


def add_missing(people: Floats, means: NDArray[np.float64], heatmaps: Floats, tags: Floats) -> None:
    """Fill missing joints in place: the highest heat above 0 where tags agree with the person's."""
    for joint in range(JOINTS):
        who = np.flatnonzero(people[:, joint, 2] <= 0)
        if not len(who):
            continue
        flat = _best_agreeing(heatmaps[joint], tags[joint], means[who])
        hit = flat >= 0
        where = np.full(int(np.count_nonzero(hit)), joint, np.intp)
        people[who[hit], joint] = locate(heatmaps, where, flat[hit])


def _best_agreeing(heat: Floats, tag: Floats, means: NDArray[np.float64]) -> NDArray[np.intp]:
    """(N,) flat position of the highest heat above 0 among pixels that agree; -1 = none.

    Exact, without looking at every pixel for everyone: most people find theirs among the highest
    pixels; for the others, upright strips whose range of tags is off are left out.
    """
    best = np.full(len(means), -1, np.intp)
    tops = _strips(np.maximum, heat, -np.inf).ravel()
    warm = tops > 0
    if not warm.any():
        return best
    rank = max(0, tops.size - FIRST)
    high = np.flatnonzero(heat >= max(np.partition(tops, rank)[rank], TINY))
    high = high[np.argsort(-heat.ravel()[high], kind="stable")][:MOST_PIXELS]
    agrees = _gap(tag.reshape(heat.size, -1)[high], means[:, None]) <= AGREE
    found = agrees.any(axis=1)
    best[found] = high[agrees[found].argmax(axis=1)]
    if found.all():
        return best
    slack = AGREE + 1e-5 * (1 + np.abs(means).max())  # more than single precision rounds off
    low, up = (means - slack).astype(np.float32), (means + slack).astype(np.float32)
    least = _strips(np.minimum, tag, np.inf).reshape(len(tops), -1)
    most = _strips(np.maximum, tag, -np.inf).reshape(len(tops), -1)
    pending = np.flatnonzero(~found)
    some = max(1, MOST_STRIPS // len(tops))
    for lost in np.split(pending, range(some, len(pending), some)):
        near = np.repeat(warm[None], len(lost), axis=0)
        for t in range(tag.shape[2]):
            near &= least[:, t] <= up[lost, t, None]
            near &= most[:, t] >= low[lost, t, None]
        who, strip = np.nonzero(near)
        who, best_of_who = _best_in_strips(heat, tag, means[lost], who, strip)
        best[lost[who]] = best_of_who
    return best


def _best_in_strips(
    heat: Floats,
    tag: Floats,
    means: NDArray[np.float64],
    who: NDArray[np.intp],
    strip: NDArray[np.intp],
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """`_best_agreeing` over the pixels of strips given for each person; ``who`` rises.

    Returns:
        Those who have an agreeing pixel, and its flat position.
    """
    h, w = heat.shape
    band, column = np.divmod(strip, w)
    rows = band[:, None] * STRIP_PX + np.arange(STRIP_PX)
    inside = rows < h
    flat = (rows * w + column[:, None])[inside]
    who = np.repeat(who, STRIP_PX)[inside.ravel()]
    agrees = _gap(tag.reshape(heat.size, -1)[flat], means[who]) <= AGREE
    agrees &= heat.ravel()[flat] > 0
    flat, who = flat[agrees], who[agrees]
    if not len(who):
        return who, flat
    values = heat.ravel()[flat]
    people, start, count = np.unique(who, return_index=True, return_counts=True)
    top = values == np.repeat(np.maximum.reduceat(values, start), count)
    return people, np.minimum.reduceat(np.where(top, flat, heat.size), start)


def _gap(tags: Floats, means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of tags (..., T) from means (..., T)."""
    away = tags[..., 0] - means[..., 0]
    if tags.shape[-1] == 1:
        return np.abs(away)
    square = away * away
    for t in range(1, tags.shape[-1]):
        away = tags[..., t] - means[..., t]
        square += away * away
    return np.asarray(np.sqrt(square))


def _strips(reduce: np.ufunc, maps: Floats, filling: float) -> Floats:
    """Highest or lowest values of upright strips of `STRIP_PX` pixels: (H, W, ..) -> (S, W, ..)."""
    short = -maps.shape[0] % STRIP_PX
    if short:
        rest = np.full((short, *maps.shape[1:]), filling, np.float32)
        maps = np.concatenate([maps, rest])
    cut = maps.reshape(-1, STRIP_PX, *maps.shape[1:])
    return np.asarray(reduce.reduce(cut, axis=1))
