"""Associative-embedding grouping written down directly, and drawn scenes to compare with.

Slow on purpose and without the package's own code: every window, every pixel and every assignment
is gone through, following Newell et al., "Associative Embedding", NIPS 2017, section 3, and the
rules at the top of ``faceparts.detect._grouping``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HEAD_TO_FEET = (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16)


@dataclass
class Person:
    """Joined peaks as joint -> (row, column), and their tags."""

    pixels: dict[int, tuple[int, int]]
    tags: list[NDArray[np.float64]]

    def mean(self) -> NDArray[np.float64]:
        return np.mean(self.tags, axis=0)


def group(
    heatmaps: NDArray[np.float32],
    tags: NDArray[np.float32],
    *,
    max_people: int = 30,
    threshold: float = 0.1,
    tag_threshold: float = 1.0,
    refine: bool = True,
    as_published: bool = False,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(P, 17, 3) people and (P,) scores; see ``faceparts.detect._grouping.group``.

    ``as_published`` joins with the costs of the authors' code: distances are not capped, and ties
    are broken by whichever assignment comes first.
    """
    tags = tags if tags.ndim == 4 else tags[..., None]
    people: list[Person] = []
    for joint in HEAD_TO_FEET:
        peaks = peaks_of(heatmaps[joint], threshold)[:max_people]
        own = [tags[joint, r, c].astype(np.float64) for r, c in peaks]
        cost = []
        for (r, c), tag in zip(peaks, own, strict=True):
            line = []
            for person in people:
                gap = distance(tag, person.mean())
                heat = float(heatmaps[joint, r, c])
                near = 100 * round(gap) - heat
                if not as_published:
                    near = near + 0.01 * heat * gap**2 if gap < tag_threshold else 1e6
                line.append(near)
            cost.append(line)
        partner = assign(cost) if people and peaks else [None] * len(peaks)
        before = list(people)
        for i, at in enumerate(partner):
            person = before[at] if at is not None else None
            if person is None or distance(own[i], person.mean()) >= tag_threshold:
                person = Person({}, [])
                people.append(person)
            person.pixels[joint] = peaks[i]
            person.tags.append(own[i])
    found = []
    for person in people:
        rows = [[math.nan, math.nan, 0.0]] * 17
        for joint, at in person.pixels.items():
            rows[joint] = placed(heatmaps[joint], *at)
        score = float(np.mean([row[2] for row in rows]))
        found.append((score, rows, person))
    found = sorted(found, key=lambda one: -one[0])[:max_people]
    for _, rows, person in found if refine else []:
        for joint in set(range(17)) - set(person.pixels):
            best = best_pixel(heatmaps[joint], tags[joint], person.mean())
            if best is not None:
                rows[joint] = placed(heatmaps[joint], *best)
    everyone = np.array([rows for _, rows, _ in found], np.float32).reshape(-1, 17, 3)
    return everyone, np.array([score for score, _, _ in found], np.float32)


def distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return math.sqrt(sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True)))


def peaks_of(heat: NDArray[np.float32], threshold: float) -> list[tuple[int, int]]:
    """(row, column) of pixels that nothing in their 5 x 5 window exceeds; highest first."""
    width = heat.shape[1]
    ranked = []
    for r, c in zip(*np.nonzero(heat > threshold), strict=True):
        window = heat[max(0, r - 2) : r + 3, max(0, c - 2) : c + 3]
        if not (window > heat[r, c]).any():
            ranked.append((-float(heat[r, c]), int(r) * width + int(c)))
    kept: list[tuple[int, int]] = []
    for _, flat in sorted(ranked):
        r, c = divmod(flat, width)
        if all(max(abs(r - a), abs(c - b)) > 2 for a, b in kept):
            kept.append((r, c))
    return kept


def placed(heat: NDArray[np.float32], r: int, c: int) -> list[float]:
    """x, y, heat of a pixel: its centre, a quarter pixel towards the higher neighbour."""
    h, w = heat.shape

    def lean(after: np.float32, before: np.float32) -> float:
        return 0.25 if after > before else -0.25 if after < before else 0.0

    dx = lean(heat[r, min(c + 1, w - 1)], heat[r, max(c - 1, 0)])
    dy = lean(heat[min(r + 1, h - 1), c], heat[max(r - 1, 0), c])
    return [c + 0.5 + dx, r + 0.5 + dy, float(heat[r, c])]


def best_pixel(
    heat: NDArray[np.float32], tag: NDArray[np.float32], mean: NDArray[np.float64]
) -> tuple[int, int] | None:
    """(row, column) of the highest heat above 0 where the tag is at most 0.5 off, if any."""
    off = np.sqrt(((tag.astype(np.float64) - mean) ** 2).sum(axis=2))
    best, where = 0.0, None
    for r, c in zip(*np.nonzero((off <= 0.5) & (heat > 0)), strict=True):
        if heat[r, c] > best:
            best, where = float(heat[r, c]), (int(r), int(c))
    return where


def assign(cost: list[list[float]]) -> list[int | None]:
    """Column of each row in the cheapest assignment of as many rows as possible.

    Kuhn's Hungarian method with potentials; rows and columns may differ in number.
    """
    if len(cost) > len(cost[0]):
        turned = assign([list(line) for line in zip(*cost, strict=True)])
        back: list[int | None] = [None] * len(cost)
        for column, row in enumerate(turned):
            assert row is not None
            back[row] = column
        return back
    n, m = len(cost), len(cost[0])
    u, v = [0.0] * (n + 1), [0.0] * (m + 1)
    row_of = [0] * (m + 1)
    for i in range(1, n + 1):
        row_of[0], j0 = i, 0
        least, came, used = [math.inf] * (m + 1), [0] * (m + 1), [False] * (m + 1)
        while row_of[j0]:
            used[j0] = True
            i0, delta, j1 = row_of[j0], math.inf, 0
            for j in range(1, m + 1):
                if not used[j]:
                    reduced = cost[i0 - 1][j - 1] - u[i0] - v[j]
                    if reduced < least[j]:
                        least[j], came[j] = reduced, j0
                    if least[j] < delta:
                        delta, j1 = least[j], j
            for j in range(m + 1):
                if used[j]:
                    u[row_of[j]] += delta
                    v[j] -= delta
                else:
                    least[j] -= delta
            j0 = j1
        while j0:
            row_of[j0] = row_of[came[j0]]
            j0 = came[j0]
    found: list[int | None] = [None] * n
    for j in range(1, m + 1):
        if row_of[j]:
            found[row_of[j] - 1] = j - 1
    return found


BODY = np.array(
    [
        *((0.0, -0.42), (0.03, -0.45), (-0.03, -0.45), (0.07, -0.43), (-0.07, -0.43)),
        *((0.13, -0.28), (-0.13, -0.28), (0.17, -0.12), (-0.17, -0.12), (0.18, 0.02)),
        *((-0.18, 0.02), (0.09, 0.02), (-0.09, 0.02), (0.1, 0.24), (-0.1, 0.24)),
        *((0.1, 0.45), (-0.1, 0.45)),
    ]
)
"""A standing person of height 1 around (0, 0), seen from the front."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Maps of some people, and where their joints were drawn: (P, 17, 3) x, y, 1 = drawn."""

    heatmaps: NDArray[np.float32]
    tags: NDArray[np.float32]
    people: NDArray[np.float64]


def draw_scene(
    rng: np.random.Generator,
    people: int,
    size_px: int,
    *,
    hidden: float = 0.3,
    spread: float = 0.15,
    noise: float = 0.01,
    depth: int = 1,
    clear_px: float = 0.0,
) -> Drawn:
    """Draw people that stand, turn and cross; heat is a Gaussian of 2 pixels.

    Args:
        rng: chance.
        people: how many.
        size_px: side of the maps.
        hidden: share of the joints that leave no trace.
        spread: deviation of a joint's tag from its person's; the people's are 1.5 apart.
        noise: deviation of the heat's background.
        depth: number of tags a joint.
        clear_px: joints of one kind that are closer than this to one drawn before are hidden.
    """
    heat = rng.normal(0, noise, (17, size_px, size_px))
    tags = smooth_noise(rng, (17, size_px, size_px, depth))
    own = 1.5 * (rng.permutation(people) - people / 2)
    at = np.arange(size_px) + 0.5
    truth = np.zeros((people, 17, 3))
    nearest = np.full((17, size_px, size_px), 4.0)
    for p in range(people):
        height = size_px * rng.uniform(0.15, 0.7)
        body = BODY * (rng.choice([-1, 1]), 1) + rng.normal(0, 0.04, BODY.shape)
        body = body * height + rng.uniform(0.05, 0.95, 2) * size_px
        for joint, (x, y) in enumerate(body):
            close = truth[:p, joint, 2] == 1
            gap = np.linalg.norm(truth[:p, joint, :2] - (x, y), axis=1)[close]
            inside = 0 <= x < size_px and 0 <= y < size_px
            if not inside or rng.random() < hidden or (gap < clear_px).any():
                continue
            away = (at[None] - x) ** 2 + (at[:, None] - y) ** 2
            heat[joint] = np.maximum(heat[joint], rng.uniform(0.3, 1) * np.exp(-away / 8))
            mine = np.sqrt(away) < nearest[joint]
            nearest[joint][mine] = np.sqrt(away)[mine]
            tags[joint][mine] = own[p] + rng.normal(0, spread, depth)
            truth[p, joint] = x, y, 1
    return Drawn(heat.astype(np.float32), tags.astype(np.float32), truth)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Slow waves with a little noise: tags where nobody is."""
    rows = np.sin(np.linspace(0, rng.uniform(2, 12), shape[1]))[:, None, None]
    columns = np.sin(np.linspace(0, rng.uniform(2, 12), shape[2]))[:, None]
    return np.asarray(6 * rows * columns + rng.normal(0, 0.2, shape))
