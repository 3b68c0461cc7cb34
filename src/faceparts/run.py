"""THE loop: read, parse, change, write, one picture after the other.

One bad picture never stops the rest: what goes wrong with it becomes its `Result`. The next
picture is read in the background while the current one is worked on; there are never more than
two pictures in memory, and only one while it is a large one.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
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
        seconds: time that the loop spent on it, waiting for it to be read included.
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


def run(
    items: Iterable[ItemT],
    read: Callable[[ItemT], FrameT],
    parse: Callable[[Image], Sequence[FoundT]],
    effect: Callable[[Image, Sequence[FoundT]], Image] | None,
    write: Callable[[FrameT, Image, Sequence[FoundT]], Sequence[str] | None],
    *,
    find: Callable[[FrameT], Sequence[FoundT]] | None = None,
) -> Generator[Result[FoundT], None, None]:
    """Take every item through the same four steps and tell what became of it, in order.

    An exception in a step makes that item's result ``"failed"``; only ``KeyboardInterrupt`` and
    its like leave the loop. Closing the iterator stops the background reading.

    Args:
        read: item -> picture; runs in a background thread, so it must not use the other steps'
            things. Checks that can refuse an item cheaply belong at its beginning.
        parse: (H, W, 3) -> heads or faces.
        find: the same from the whole read picture, where its colours alone do not tell enough;
            called in place of ``parse``.
        effect: picture + what was found -> picture; ``None`` passes the picture on.
        write: takes the read picture, the changed one and what was found, returns the names of
            what it wrote. Must leave nothing half-written when it raises.
    """
    for item, reading in _read_ahead(items, read):
        yield _work(item.key, reading, find or (lambda frame: parse(frame.image)), effect, write)
        del reading  # holds the picture; the next one may be large


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


def _work(
    key: str,
    reading: Future[FrameT],
    find: Callable[[FrameT], Sequence[FoundT]],
    effect: Callable[[Image, Sequence[FoundT]], Image] | None,
    write: Callable[[FrameT, Image, Sequence[FoundT]], Sequence[str] | None],
) -> Result[FoundT]:
    start = time.perf_counter()
    source_hw: tuple[int, int] | None = None
    trace = None
    try:
        frame = reading.result()
        source_hw = (frame.image.shape[0], frame.image.shape[1])
        found = find(frame)
        image = effect(frame.image, found) if effect else frame.image
        outputs = tuple(write(frame, image, found) or ())
        seconds = time.perf_counter() - start
        status: Literal["ok", "no_faces"] = "ok" if found else "no_faces"
        return Result(key, status, seconds, source_hw, found, outputs)
    except (FacePartsError, OSError) as error:
        text = _one_line(error)
    except MemoryError:
        text = "MemoryError: not enough memory for this picture; make it smaller or free memory"
    except Exception as error:
        text = f"{_one_line(error)} (not foreseen: the report has the trace; please tell us)"
        trace = traceback.format_exc()
    return Result(key, "failed", time.perf_counter() - start, source_hw, error=text, trace=trace)


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
