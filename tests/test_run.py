"""faceparts.run: the loop goes on after a bad picture and never holds more than it must."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from faceparts import run as loop
from faceparts.errors import UnreadableImage
from faceparts.types import Frame, Head, Image


@dataclass(frozen=True)
class Item:
    key: str


HEAD = Head((0, 0, 2, 2), 0.5, Head.no_points())


def read(item: Item) -> Frame:
    if item.key == "broken":
        raise UnreadableImage("broken: not a\npicture")
    if item.key == "missing":
        raise FileNotFoundError(2, "No such file", "missing")
    return Frame(item.key, np.full((2, 3, 3), ord(item.key[0]), np.uint8))


def parse(image: Image) -> list[Head]:
    if image[0, 0, 0] == ord("m"):
        raise MemoryError
    if image[0, 0, 0] == ord("z"):
        raise ZeroDivisionError("division by zero")
    return [] if image[0, 0, 0] == ord("e") else [HEAD]


def run_all(
    keys: list[str], jobs: int = 1
) -> tuple[list[loop.Result[Head]], list[tuple[str, int]]]:
    written: list[tuple[str, int]] = []

    def write(frame: Frame, image: Image, found: Sequence[Head]) -> list[str]:
        written.append((frame.key, int(image[0, 0, 0])))
        return [f"{frame.key}.out"]

    items = [Item(k) for k in keys]
    return list(loop.run(items, read, parse, lambda image, _: image + 1, write, jobs=jobs)), written


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_every_item_gets_its_result_in_order(jobs: int) -> None:
    results, written = run_all(["a", "empty", "c"], jobs)
    assert [(r.key, r.status, len(r.found)) for r in results] == [
        ("a", "ok", 1),
        ("empty", "no_faces", 0),
        ("c", "ok", 1),
    ]
    assert [r.outputs for r in results] == [("a.out",), ("empty.out",), ("c.out",)]
    assert written == [("a", ord("a") + 1), ("empty", ord("e") + 1), ("c", ord("c") + 1)]
    assert all(r.source_hw == (2, 3) and r.error is None and r.seconds >= 0 for r in results)


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_bad_pictures_do_not_stop_the_rest(jobs: int) -> None:
    results, written = run_all(["broken", "a", "missing", "mem", "zero", "b"], jobs)
    assert [r.status for r in results] == ["failed", "ok", "failed", "failed", "failed", "ok"]
    assert [key for key, _ in written] == ["a", "b"]
    broken, _, missing, memory, zero, _ = results
    assert broken.error == "UnreadableImage: broken: not a picture"
    assert broken.source_hw is None
    assert missing.error is not None and missing.error.startswith("FileNotFoundError: ")
    assert memory.error is not None and memory.error.startswith("MemoryError: not enough memory")
    assert memory.source_hw == (2, 3)
    assert memory.trace is None
    assert zero.error is not None and "ZeroDivisionError: division by zero" in zero.error
    assert zero.trace is not None and "in parse" in zero.trace


def test_without_an_effect_the_picture_is_passed_on() -> None:
    seen: list[bool] = []

    def write(frame: Frame, image: Image, found: Sequence[Head]) -> None:
        seen.append(image is frame.image)

    (result,) = loop.run([Item("a")], read, parse, None, write)
    assert seen == [True]
    assert result.outputs == ()


def test_no_items() -> None:
    assert run_all([]) == run_all([], 2) == ([], [])


@pytest.mark.parametrize("jobs", [1, 2])
def test_interruption_leaves_the_loop_and_its_threads_end(jobs: int) -> None:
    def stop(image: Image) -> list[Head]:
        if image[0, 0, 0] == ord("b"):
            raise KeyboardInterrupt
        return [HEAD]

    got = []
    with pytest.raises(KeyboardInterrupt):
        for result in loop.run(map(Item, "abc"), read, stop, None, lambda *_: None, jobs=jobs):
            got.append(result.key)
    assert got == ["a"]
    assert not [t for t in threading.enumerate() if t.name.startswith("faceparts-")]


def test_closing_ends_the_threads_and_leaves_the_rest_undone() -> None:
    seen: list[int] = []

    def noting(image: Image) -> list[Head]:
        seen.append(int(image[0, 0, 0]))
        return [HEAD]

    results = loop.run(map(Item, "abcdefgh"), read, noting, None, lambda *_: None, jobs=2)
    assert next(results).key == "a"
    results.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("faceparts-")]
    assert set(seen) <= set(b"abcd")


def test_an_error_while_writing_is_that_pictures_own() -> None:
    def write(frame: Frame, image: Image, found: Sequence[Head]) -> list[str]:
        if frame.key == "b":
            raise PermissionError(13, "no", "b.out")
        if frame.key == "c":
            raise ZeroDivisionError
        return [frame.key]

    for jobs in (1, 2):
        a, b, c, d = loop.run(map(Item, "abcd"), read, parse, None, write, jobs=jobs)
        assert (a.outputs, d.outputs) == (("a",), ("d",))
        assert b.error is not None and b.error.startswith("PermissionError") and b.trace is None
        assert c.trace is not None and "in write" in c.trace
        assert b.found == c.found == ()


def test_jobs_work_side_by_side_and_write_one_after_the_other() -> None:
    together = threading.Barrier(2)
    main, writers = threading.current_thread(), set()

    def parse_together(image: Image) -> list[Head]:
        together.wait(10)  # breaks unless two are here at once
        return [HEAD]

    def write(frame: Frame, image: Image, found: Sequence[Head]) -> list[str]:
        writers.add(threading.current_thread())
        return [frame.key]

    results = list(loop.run(map(Item, "abcdef"), read, parse_together, None, write, jobs=2))
    assert [r.outputs for r in results] == [(key,) for key in "abcdef"]
    assert writers == {main}


def test_a_slow_picture_does_not_change_the_order() -> None:
    others = threading.Semaphore(0)

    def uneven(image: Image) -> list[Head]:
        if image[0, 0, 0] == ord("a"):
            assert others.acquire(timeout=10)  # ends after b
        others.release()
        return [HEAD]

    results = loop.run(map(Item, "abcd"), read, uneven, None, lambda *_: None, jobs=2)
    assert [r.key for r in results] == list("abcd")


@pytest.mark.parametrize(
    ("limit_px", "jobs", "most"), [(100, 1, 2), (1, 1, 1), (100, 2, 4), (100, 3, 5), (1, 3, 1)]
)
def test_pictures_in_memory_are_bounded(
    monkeypatch: pytest.MonkeyPatch, limit_px: int, jobs: int, most: int
) -> None:
    monkeypatch.setattr(loop, "LARGE_PX", limit_px)
    alive: weakref.WeakSet[Frame] = weakref.WeakSet()
    peak = 0

    def read_counted(item: Item) -> Frame:
        nonlocal peak
        frame = read(item)
        alive.add(frame)
        peak = max(peak, len(alive))
        return frame

    for _ in loop.run(
        map(Item, "abcdefghij"), read_counted, parse, None, lambda *_: None, jobs=jobs
    ):
        pass
    assert 1 <= peak <= most


def test_the_next_picture_is_read_while_one_is_worked_on() -> None:
    second_is_read = threading.Event()

    def read_signalling(item: Item) -> Frame:
        if item.key == "b":
            second_is_read.set()
        return read(item)

    waited: list[bool] = []

    def parse_waiting(image: Image) -> list[Head]:
        waited.append(second_is_read.wait(5))
        return [HEAD]

    list(loop.run(map(Item, "ab"), read_signalling, parse_waiting, None, lambda *_: None))
    assert waited == [True, True]


def test_items_are_taken_one_ahead_only() -> None:
    taken: list[str] = []

    def items() -> Iterator[Item]:
        for key in "abcd":
            taken.append(key)
            yield Item(key)

    results = loop.run(items(), read, parse, None, lambda *_: None)
    assert next(results).key == "a"
    assert taken == ["a", "b"]
