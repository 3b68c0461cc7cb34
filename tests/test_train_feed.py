"""Batches ahead of time: numbers, order, waiting, devices, errors, and an end without leftovers."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from faceparts.errors import BadData, FacePartsError, UnreadableImage
from faceparts.train.config import Phase
from faceparts.train.distributed import Group
from faceparts.train.feed import Feed, to_device
from train_world import PARTS


class Numbers:
    """A source whose batches are their numbers and sizes."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.takes_s = takes_s
        self.begun: list[int] = []
        self.threads: set[str] = set()

    def batch(self, step: int, phase: Phase) -> tuple[int, int]:
        self.begun.append(step)
        self.threads.add(threading.current_thread().name)
        time.sleep(self.takes_s)
        return step, phase.size_px


def taken(source: Any, steps: int, **changed: Any) -> list[list[Any]]:
    recipe = replace(PARTS, steps=steps, accumulate=changed.pop("accumulate", 1))
    group = Group(changed.pop("rank", 0), changed.pop("size", 1))
    with Feed(source, recipe, group, changed.pop("workers", 1)) as feed:
        return [feed.take(step, lambda n, step=step: (step + n) / steps) for step in range(steps)]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_batches_come_in_order_at_the_size_of_their_phase(workers: int) -> None:
    source = Numbers()
    assert taken(source, 4, workers=workers) == [[(0, 32)], [(1, 32)], [(2, 64)], [(3, 64)]]
    assert sorted(source.begun) == [0, 1, 2, 3]  # none twice, none beyond the end
    assert all(name.startswith("feed") for name in source.threads)


def test_numbers_go_through_pieces_and_processes() -> None:
    whole = [[n for n, _ in step] for step in taken(Numbers(), 2, accumulate=4)]
    halves = [
        [[n for n, _ in step] for step in taken(Numbers(), 2, accumulate=2, rank=r, size=2)]
        for r in (0, 1)
    ]
    assert whole == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert halves == [[[0, 1], [4, 5]], [[2, 3], [6, 7]]]


def test_waiting_is_measured() -> None:
    with Feed(Numbers(0.15), replace(PARTS, steps=9), Group(), 1) as feed:
        feed.take(0, lambda n: n / 9)
        assert feed.waited_s >= 0.14
        feed.waited_s = 0.0
        time.sleep(0.4)  # the net is busy: the next one is ready by then
        feed.take(1, lambda n: (1 + n) / 9)
        assert feed.waited_s < 0.1


def test_leaving_early_leaves_nothing_behind() -> None:
    source = Numbers(0.05)
    recipe = replace(PARTS, steps=10**6, accumulate=50)
    with pytest.raises(KeyboardInterrupt), Feed(source, recipe, Group(), 1) as feed:
        feed.take(0, lambda n: 0.0)
        raise KeyboardInterrupt
    assert len(source.begun) < 60  # the second step was begun, and given up
    assert not [t for t in threading.enumerate() if t.name.startswith("feed")]


@pytest.mark.parametrize(
    ("error", "wanted", "message"),
    [
        (BadData("a/1.png: cut"), BadData, r"^step 0: a/1\.png: cut$"),
        (UnreadableImage("a.heic: no"), UnreadableImage, r"^step 0: a\.heic: no$"),
        (FileNotFoundError("a.jpg"), BadData, r"^step 0: a\.jpg; is the data still there\?$"),
    ],
)
def test_errors_name_the_step(error: Exception, wanted: type[FacePartsError], message: str) -> None:
    class Breaks:
        def batch(self, step: int, phase: Phase) -> None:
            raise error

    with pytest.raises(wanted, match=message) as caught:
        taken(Breaks(), 2)
    assert caught.value.__cause__ is error


class Recorded(torch.Tensor):
    """A tensor that notes where it was sent, as no graphics card is needed for that."""

    sent_to: torch.device | None = None

    def to(self, device: torch.device) -> Recorded:  # type: ignore[override]  # all that is used
        moved = self.clone().as_subclass(Recorded)
        moved.sent_to = device
        return moved


@dataclass(frozen=True)
class Two:
    images: torch.Tensor
    keys: tuple[str, ...]
    teacher: torch.Tensor | None = None


def test_all_tensors_of_a_batch_move() -> None:
    batch = Two(torch.zeros(2).as_subclass(Recorded), ("a",))
    assert to_device(batch, torch.device("cpu")) is batch
    moved = to_device(batch, torch.device("cuda", 1))
    assert moved.images.sent_to == torch.device("cuda", 1)
    assert (moved.keys, moved.teacher) == (("a",), None)
    taught = to_device(replace(batch, teacher=batch.images), torch.device("cuda", 1))
    assert taught.teacher.sent_to == torch.device("cuda", 1)
    assert to_device((1, 2), torch.device("cuda", 1)) == (1, 2)
