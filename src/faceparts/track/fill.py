"""Heads in every frame of their track: no face shows itself in the one frame that was missed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from faceparts.track.link import Track
from faceparts.types import Head

SOURCE = "track"
"""`Head.source` of those that no detector found."""

GROWN = 0.25
"""Boxes of heads that were not found are so much wider and higher: nobody knows how they moved."""


def fill(
    tracks: Sequence[Track], count: int, *, hold: int, sure_score: float = 0.0
) -> list[tuple[Head, ...]]:
    """The heads of every frame: those found, and those that must have been there.

    Between two sights of a head its box moves evenly. Before the first and after the last of them
    it stays where it was, for some frames. What is filled in has no points, the lower score of its
    neighbours, and boxes grown by `GROWN`.

    Args:
        tracks: from `link`.
        count: number of frames.
        hold: how many frames a head stays before and after it was seen.
        sure_score: nothing is filled in for tracks of which no sight has this score.

    Returns:
        ``count`` tuples; found heads come first, in the order of the tracks.
    """
    found: list[list[Head]] = [[] for _ in range(count)]
    filled: list[list[Head]] = [[] for _ in range(count)]
    for track in tracks:
        for number, head in zip(track.frames, track.heads, strict=True):
            found[number].append(head)
        if track.best.score < sure_score:
            continue
        for (before, start), (after, end) in pairwise(zip(track.frames, track.heads, strict=True)):
            for number in range(before + 1, after):
                filled[number].append(_between(start, end, (number - before) / (after - before)))
        first, last = track.frames[0], track.frames[-1]
        for number in range(max(first - hold, 0), first):
            filled[number].append(_between(track.heads[0], track.heads[0], 0))
        for number in range(last + 1, min(last + 1 + hold, count)):
            filled[number].append(_between(track.heads[-1], track.heads[-1], 0))
    return [tuple(seen + more) for seen, more in zip(found, filled, strict=True)]


def _between(start: Head, end: Head, share: float) -> Head:
    """A head that nobody saw, ``share`` of the way from one to the other."""
    x0, y0, x1, y1 = (
        (1 - share) * a + share * b for a, b in zip(start.box_xyxy, end.box_xyxy, strict=True)
    )
    wide, high = GROWN / 2 * (x1 - x0), GROWN / 2 * (y1 - y0)
    return Head(
        (x0 - wide, y0 - high, x1 + wide, y1 + high),
        min(start.score, end.score),
        Head.no_points(),
        SOURCE,
    )
