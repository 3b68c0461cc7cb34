"""THE loop: read, parse, change, write, one picture after the other.

One bad picture never stops the rest: what goes wrong with it becomes its `Result`. The next
picture is read in the background while the current one is worked on; there are never more than
two pictures in memory, and only one while it is a large one. On request several pictures are parsed
and changed at once; they are read and written one after the other all the same.
"""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Generic, Literal, Protocol, TypeVar

from faceparts.errors import FacePartsError
from faceparts.types import Face, Frame, Head, Image

LARGE_PX = 25_000_000
"""While a picture with more pixels is worked on, the next one is not read yet."""


class Keyed(Protocol):
    """Something that can be read and has a name in reports."""

    @property
    def key(self) -> str: ...


ItemT = TypeVar("ItemT", bound=Keyed)
FrameT = TypeVar("FrameT", bound=Frame)
FoundT = TypeVar("FoundT", Head, Face)


@dataclass(frozen=True, eq=False)
class Result(Generic[FoundT]):
    """What became of one picture.

    Args:
        key: the item's name.
        status: ``"ok"``, ``"no_faces"`` (nothing was found, that is no failure) or ``"failed"``.
        seconds: time that the loop spent on it, waiting for it to be read included; waiting for its
            turn to be written is not.
        source_hw: height and width of the picture; ``None`` if it could not be read.
        found: heads or faces, best first; empty if it failed.
        outputs: what was written, as the writer names it.
        error: one line ``Kind: what went wrong`` if it failed, else ``None``.
        trace: the stack trace if the error is one that nobody foresaw, else ``None``.
    """

    key: str
    status: Literal["ok", "no_faces", "failed"]
    seconds: float
    source_hw: tuple[int, int] | None = None
    found: Sequence[FoundT] = ()
    outputs: tuple[str, ...] = ()
    error: str | None = None
    trace: str | None = None


@dataclass(frozen=True, eq=False)
class _Looked(Generic[FrameT, FoundT]):
    """A picture on its way: what was read and found, or why not, and how long it took so far."""

    seconds: float
    frame: FrameT | None = None
    found: Sequence[FoundT] = ()
    image: Image | None = None
    error: str | None = None
    trace: str | None = None


def run(
    items: Iterable[ItemT],
    read: Callable[[ItemT], FrameT],
    parse: Callable[[Image], Sequence[FoundT]],
    effect: Callable[[Image, Sequence[FoundT]], Image] | None,
    write: Callable[[FrameT, Image, Sequence[FoundT]], Sequence[str] | None],
    *,
    find: Callable[[FrameT], Sequence[FoundT]] | None = None,
    jobs: int = 1,
) -> Generator[Result[FoundT], None, None]:
    """Take every item through the same four steps and tell what became of it, in order.

    An exception in a step makes that item's result ``"failed"``; only ``KeyboardInterrupt`` and
    its like leave the loop. Closing the iterator stops the background work.

    Args:
        read: item -> picture; runs in a background thread, so it must not use the other steps'
            things. Checks that can refuse an item cheaply belong at its beginning.
        parse: (H, W, 3) -> heads or faces.
        find: the same from the whole read picture, where its colours alone do not tell enough;
            called in place of ``parse``.
        effect: picture + what was found -> picture; ``None`` passes the picture on.
        write: takes the read picture, the changed one and what was found, returns the names of
            what it wrote. Must leave nothing half-written when it raises. Called in the caller's
            thread.
        jobs: pictures that are parsed and changed at once; with several that happens in background
            threads, and up to ``jobs`` + 2 pictures are in memory, of which one may be large.
    """
    look = partial(_look, find or (lambda frame: parse(frame.image)), effect)
    if jobs == 1:
        for item, reading in _read_ahead(items, read):
            yield _finish(item.key, look(reading), write)
            del reading  # holds the picture; the next one may be large
        return
    pool = ThreadPoolExecutor(jobs, "faceparts-work")
    waiting: deque[tuple[str, Future[_Looked[FrameT, FoundT]]]] = deque()
    try:
        for item, reading in _read_ahead(items, read):
            waiting.append((item.key, pool.submit(look, reading)))
            most = 0 if _is_large(reading) else jobs
            del reading
            while len(waiting) > most:
                yield _finish_next(waiting, write)
        while waiting:
            yield _finish_next(waiting, write)
    finally:
        pool.shutdown(cancel_futures=True)


def _read_ahead(
    items: Iterable[ItemT], read: Callable[[ItemT], FrameT]
) -> Iterator[tuple[ItemT, Future[FrameT]]]:
    """Items with their finished reading; the next is read while the caller works on this one."""
    with ThreadPoolExecutor(1, "faceparts-read") as pool:
        readings = ((item, pool.submit(read, item)) for item in items)
        current = next(readings, None)
        while current is not None:
            wait([current[1]])
            following = None if _is_large(current[1]) else next(readings, None)
            yield current
            del current
            current = following or next(readings, None)


def _is_large(reading: Future[FrameT]) -> bool:
    if reading.exception() is not None:
        return False
    height, width = reading.result().image.shape[:2]
    return bool(height * width > LARGE_PX)


def _look(
    find: Callable[[FrameT], Sequence[FoundT]],
    effect: Callable[[Image, Sequence[FoundT]], Image] | None,
    reading: Future[FrameT],
) -> _Looked[FrameT, FoundT]:
    start = time.perf_counter()
    frame = None
    try:
        frame = reading.result()
        found = find(frame)
        image = effect(frame.image, found) if effect else frame.image
        return _Looked(time.perf_counter() - start, frame, found, image)
    except Exception as error:
        text, trace = _told(error)
        return _Looked(time.perf_counter() - start, frame, error=text, trace=trace)


def _finish_next(
    waiting: deque[tuple[str, Future[_Looked[FrameT, FoundT]]]],
    write: Callable[[FrameT, Image, Sequence[FoundT]], Sequence[str] | None],
) -> Result[FoundT]:
    key, looking = waiting.popleft()
    return _finish(key, looking.result(), write)


def _finish(
    key: str,
    looked: _Looked[FrameT, FoundT],
    write: Callable[[FrameT, Image, Sequence[FoundT]], Sequence[str] | None],
) -> Result[FoundT]:
    start = time.perf_counter()
    frame, found, text, trace = looked.frame, looked.found, looked.error, looked.trace
    source_hw = None if frame is None else (frame.image.shape[0], frame.image.shape[1])
    if frame is not None and looked.image is not None:
        try:
            outputs = tuple(write(frame, looked.image, found) or ())
            seconds = looked.seconds + time.perf_counter() - start
            status: Literal["ok", "no_faces"] = "ok" if found else "no_faces"
            return Result(key, status, seconds, source_hw, found, outputs)
        except Exception as error:
            text, trace = _told(error)
    seconds = looked.seconds + time.perf_counter() - start
    return Result(key, "failed", seconds, source_hw, error=text, trace=trace)


def _told(error: Exception) -> tuple[str, str | None]:
    """One line for people and, if nobody foresaw the error that is being handled, its trace."""
    if isinstance(error, FacePartsError | OSError):
        return _one_line(error), None
    if isinstance(error, MemoryError):
        return (
            "MemoryError: not enough memory for this picture; make it smaller or free memory",
            None,
        )
    text = f"{_one_line(error)} (not foreseen: the report has the trace; please tell us)"
    return text, traceback.format_exc()


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
