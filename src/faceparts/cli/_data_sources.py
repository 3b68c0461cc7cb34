"""``NAME:ROOT[:SPLIT]`` on the command line -> datasets; folders that results may go to."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from faceparts import folder
from faceparts.cli._data_earlier import require_listed
from faceparts.datasets._pairs import Gap
from faceparts.errors import BadData, UsageError
from faceparts.types import Dataset, HeadDataset

WHOLE = "all"
"""Name that many adapters give to all their splits together."""


@dataclass(frozen=True)
class Source:
    """One split of one dataset.

    Args:
        name: of the adapter.
        root: folder that holds the set.
        split: ``None`` = every split that is there.
    """

    name: str
    root: Path
    split: str | None

    @property
    def where(self) -> str:
        """Name and split, as reports call it."""
        return f"{self.name}:{self.split}"


def parse_source(text: str, *, with_split: bool = False) -> Source:
    """Read ``NAME:ROOT[:SPLIT]``; a root may contain colons if it exists.

    Args:
        with_split: the split must be named, except where the adapter knows one alone.

    Raises:
        UsageError: not of this form, the folder is missing, or the split is not named.
        UnknownName: no such adapter; the message lists those that exist.
    """
    name, _, rest = text.partition(":")
    if not rest:
        raise UsageError(f"{text!r}: wanted NAME:ROOT or NAME:ROOT:SPLIT, such as celebamask:data")
    module = folder.load("faceparts.datasets", name)
    split: str | None = None
    if not Path(rest).is_dir():
        rest, _, split = rest.rpartition(":")
        if not rest or not split or not Path(rest).is_dir():
            raise UsageError(
                f"{text!r}: no such folder {rest or split!r}; wanted NAME:ROOT[:SPLIT]"
            )
    if split is None and with_split:
        if len(module.SPLITS) > 1:
            raise UsageError(f"{text!r}: name a split: {', '.join(module.SPLITS)}")
        split = module.SPLITS[0]
    return Source(name, Path(rest), split)


def load_source(
    source: Source, *, clean: bool = True, gaps: list[Gap] | None = None
) -> Dataset | HeadDataset:
    """Open one split.

    Args:
        clean: False asks adapters that leave out known faults (repeated photos) for everything.
        gaps: takes the pictures whose other file is missing; by default they are refused.

    Raises:
        BadData: no such split, or the folder does not follow the published layout.
    """
    load = folder.load("faceparts.datasets", source.name).load
    options: dict[str, Any] = {}
    known = inspect.signature(load).parameters
    if not clean and "clean" in known:
        options["clean"] = False
    if gaps is not None and "gaps" in known:
        options["gaps"] = gaps
    dataset: Dataset | HeadDataset = load(source.root, source.split or WHOLE, **options)
    return dataset


def load_parts(source: Source) -> Dataset:
    """Open one split of a dataset with part labels.

    Raises:
        UsageError: the set has head boxes only.
        BadData: as `load_source`.
    """
    if folder.load("faceparts.datasets", source.name).TASK != "parts":
        raise UsageError(f"{source.name}: has head boxes, no part labels; take another dataset")
    return cast(Dataset, load_source(source))


def load_left_out(source: Source) -> dict[str, str]:
    """What the adapter leaves out of a split when nothing else is asked for, and why.

    Raises:
        BadData: as `load_source`.
    """
    return dict(getattr(load_source(source, gaps=[]), "left_out", {}))


def each_split(source: Source) -> list[Source]:
    """The source itself, or one for every split that its adapter knows.

    ``all`` counts only where there is nothing else: it repeats the others.
    """
    if source.split is not None:
        return [source]
    splits = folder.load("faceparts.datasets", source.name).SPLITS
    chosen = [split for split in splits if split != WHOLE] or list(splits)
    return [Source(source.name, source.root, split) for split in chosen]


def is_absent(source: Source, error: BadData) -> bool:
    """Whether a split is not there at all: the folder that the error names does not exist."""
    named = Path(str(error).partition(": ")[0])
    return named != source.root and not named.suffix and not named.exists()


def require_new(out: Path, inputs: Iterator[Path] | list[Path], *, force: bool) -> None:
    """Refuse a folder for results that holds something, or that lies in what is read.

    With ``force`` it may hold the results of an earlier run, see `require_listed`.

    Raises:
        UsageError: the message says what to do.
    """
    here = out.resolve()
    for path in inputs:
        there = path.resolve()
        if here == there or here.is_relative_to(there) or there.is_relative_to(here):
            raise UsageError(f"{out}: inside or around the input {path}; choose another folder")
    if out.is_dir() and any(out.iterdir()) and not force:
        raise UsageError(f"{out}: not empty; choose another folder or give --force")
    require_listed(out)
