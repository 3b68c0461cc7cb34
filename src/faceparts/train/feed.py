"""Batches of coming steps, prepared by threads while the net works."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Protocol, Self

import torch

from faceparts.errors import BadData, FacePartsError
from faceparts.train.config import Phase, Recipe, phase_at
from faceparts.train.distributed import Group


class Source(Protocol):
    """What gives batches by number."""

    def batch(self, step: int, phase: Phase) -> Any: ...


class Feed:
    """The batches of this process, in order, a few steps ahead.

    A step consists of ``recipe.accumulate`` batches in each process. Batches are numbered through
    all of them, so the pictures of a step are the same however it is cut.

    Args:
        task: what makes a batch out of its number and phase.
        recipe: phases and pieces of a step.
        group: the processes.
        workers: threads; as many steps are prepared ahead.
    """

    def __init__(self, task: Source, recipe: Recipe, group: Group, workers: int) -> None:
        self.task, self.recipe, self.group, self.workers = task, recipe, group, workers
        self.waited_s = 0.0
        self._pool = ThreadPoolExecutor(workers, "feed")
        self._coming: dict[int, list[Future[Any]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def take(self, step: int, progress: Callable[[int], float]) -> list[Any]:
        """The batches of a step; the coming steps are begun.

        Args:
            step: number of the step.
            progress: share of the training (0..1) that is done so many steps later.

        Raises:
            BadData: a picture cannot be read any more; the message names step and file.
        """
        for ahead in range(self.workers + 1):
            share = progress(ahead)
            if step + ahead not in self._coming and (ahead == 0 or share < 1):
                self._coming[step + ahead] = self._begin(step + ahead, share)
        began = time.monotonic()
        try:
            batches = [to_device(f.result(), self.group.device) for f in self._coming.pop(step)]
        except FacePartsError as error:
            raise type(error)(f"step {step}: {error}") from error
        except OSError as error:
            raise BadData(f"step {step}: {error}; is the data still there?") from error
        self.waited_s += time.monotonic() - began
        return batches

    def numbers(self, step: int) -> list[int]:
        """Numbers of this process's batches of a step."""
        pieces = self.recipe.accumulate
        start = (step * self.group.size + self.group.rank) * pieces
        return list(range(start, start + pieces))

    def _begin(self, step: int, share: float) -> list[Future[Any]]:
        phase = phase_at(self.recipe, min(1.0, share))
        return [self._pool.submit(self.task.batch, n, phase) for n in self.numbers(step)]


def to_device(batch: Any, device: torch.device) -> Any:
    """A batch (a dataclass) with all its tensors on a device."""
    if device.type == "cpu" or not dataclasses.is_dataclass(batch) or isinstance(batch, type):
        return batch
    values = {f.name: getattr(batch, f.name) for f in dataclasses.fields(batch)}
    moved = {k: v.to(device) for k, v in values.items() if isinstance(v, torch.Tensor)}
    return dataclasses.replace(batch, **moved)
