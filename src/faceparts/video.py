"""A video in, a video out in which the faces are hidden or changed: two passes over its frames.

First every frame is looked at for heads, and they are linked (`faceparts.track`). Then each frame
is read again, the heads that were found and those that must have been there between, before and
after are parsed, an effect is applied to them, and the frame is written. Memory is needed for the
heads, not for the frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

from faceparts.errors import UnreadableVideo
from faceparts.streams.video import VideoReader, VideoWriter, repeats, steady_fps
from faceparts.track.fill import SOURCE, fill
from faceparts.track.link import Track, link
from faceparts.types import Face, Head, Image

MEMORY_S = 2.0
"""A head that is missed so long and found again where it was is hidden in between."""

HOLD_S = 0.5
"""So long a head is hidden before it was first and after it was last seen."""

LOOKS_A_SECOND = 5.0
"""How often the thorough look is taken where there is a quicker one; gaps are filled anyway."""

DOUBT_SHARE = 0.75
"""Heads count if they reach this share of the sure score once; below it they are left out."""

Detect = Callable[[Image], Sequence[Head]]
Segment = Callable[[Image, Sequence[Head]], list[Face]]
Effect = Callable[[Image, Sequence[Face]], Image]
Each = Callable[[int], object]
"""Called with the number of each frame that is done."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What the first pass found.

    Args:
        times_s: of all frames.
        fps: frames a second, constant.
        tracks: the heads over time.
        sure_score: heads that reach it once count where they were missed, too.
        hold_s: so long they count before they were first and after they were last seen.
        left_out: how many tracks do not count because they never came near it.
    """

    times_s: tuple[float, ...]
    fps: float
    tracks: tuple[Track, ...]
    sure_score: float = 0.0
    hold_s: float = HOLD_S
    left_out: int = 0

    @cached_property
    def heads(self) -> list[tuple[Head, ...]]:
        """Heads of each frame, those that were not found included."""
        hold = math.ceil(self.hold_s * self.fps)
        count = len(self.times_s)
        return fill(self.tracks, count, hold=hold, sure_score=self.sure_score)

    @property
    def filled(self) -> int:
        """How many heads were put into frames in which nobody found them."""
        return sum(head.source == SOURCE for heads in self.heads for head in heads)

    def _bare(self) -> list[list[float]]:
        """From when to when no head is in the frames."""
        spans: list[list[float]] = []
        runs = groupby(zip(self.times_s, self.heads, strict=True), lambda one: not one[1])
        for is_bare, run in runs:
            times = [round(time, 3) for time, _ in run]
            spans += [[times[0], times[-1]]] if is_bare else []
        return spans

    def told(self) -> dict[str, Any]:
        """For a report: plain numbers, times in seconds."""
        times = self.times_s
        return {
            "frames": len(times),
            "fps": self.fps,
            "duration_s": round(len(times) / self.fps, 3),
            "frames_without_heads": sum(not heads for heads in self.heads),
            "without_heads_s": self._bare(),
            "heads_filled_in": self.filled,
            "tracks_left_out": self.left_out,
            "tracks": [
                {
                    "from_s": round(times[track.frames[0]], 3),
                    "to_s": round(times[track.frames[-1]], 3),
                    "frames": len(track.frames),
                    "best_score": round(track.best.score, 4),
                }
                for track in self.tracks
            ],
        }


def sure_score(least: object, share: float) -> float:
    """The detector's own threshold, of which ``least`` is a share: what `look` wants.

    Args:
        least: score 0..1 from which heads count; 0 comes back where it is not one number, as for
            detectors without a threshold, or several of them.
        share: above 0.
    """
    return least / share if isinstance(least, float) and share > 0 else 0.0


def look(
    reader: VideoReader,
    detect: Detect,
    *,
    between: Detect | None = None,
    sure_score: float = 0.0,
    hold_s: float = HOLD_S,
    each: Each = lambda _: None,
) -> Seen:
    """First pass: find the heads of all frames, and link them.

    Args:
        between: a quicker look, for all frames but `LOOKS_A_SECOND`; ``None`` = ``detect`` for all.
        sure_score: a track counts, with its weakest sights, if one of them comes near this score
            (`DOUBT_SHARE`), and is filled in if one reaches it: hysteresis, as in Canny, "A
            Computational Approach to Edge Detection", 1986.
        hold_s: see `Seen`.
        each: called after each frame.

    Raises:
        UnreadableVideo: see `VideoReader`.
    """
    found, times = list[Sequence[Head]](), list[float]()
    step = max(1, round(reader.info.fps / LOOKS_A_SECOND)) if between else 1
    for number, frame in enumerate(reader):
        one = between if between and number % step else detect
        found.append(tuple(one(frame.image)))
        times.append(frame.time_s)
        each(number)
    fps = steady_fps(times, reader.info.fps)
    tracks = link(found, memory=math.ceil(MEMORY_S * fps))
    counted = tuple(t for t in tracks if t.best.score >= DOUBT_SHARE * sure_score)
    return Seen(tuple(times), fps, counted, sure_score, hold_s, len(tracks) - len(counted))


def changed(
    reader: VideoReader, seen: Seen, segment: Segment, effect: Effect
) -> Iterator[tuple[Image, tuple[Face, ...]]]:
    """Second pass: every (H, W, 3) uint8 frame after the effect, and the faces it was applied to.

    Args:
        segment: picture + heads -> faces, in their order.
        effect: picture + faces -> (H, W, 3) picture.

    Raises:
        UnreadableVideo: the file has another number of frames than before, or see `VideoReader`.
    """
    number = 0
    for number, frame in enumerate(reader, 1):
        if number > len(seen.heads):
            break
        faces = tuple(segment(frame.image, seen.heads[number - 1]))
        yield effect(frame.image, faces), faces
    if number != len(seen.heads):
        raise UnreadableVideo(
            f"{reader.path}: {number} frames, {len(seen.heads)} a moment ago; is it being written?"
        )


def write(
    path: Path,
    seen: Seen,
    images: Iterable[Image],
    size_wh: tuple[int, int],
    each: Each = lambda _: None,
) -> None:
    """Write the frames at their times into a new file; see `VideoWriter`.

    Args:
        path: where to; overwritten.
        seen: of the first pass: times and rate.
        images: (H, W, 3) uint8 RGB, as many as there are times.
        size_wh: their width and height in pixels.
        each: called after each frame.

    Raises:
        UnwritableOutput: see `VideoWriter`.
    """
    times = repeats(seen.times_s, seen.fps)
    with VideoWriter(path, seen.fps, size_wh) as writer:
        for number, (image, count) in enumerate(zip(images, times, strict=True)):
            writer.write(image, count)
            each(number)
