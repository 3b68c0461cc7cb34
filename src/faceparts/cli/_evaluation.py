"""What ``evaluate`` and ``audit`` share: the data, the model, the check before, the files after."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from faceparts import folder, weights
from faceparts.cli._parser import describe
from faceparts.errors import UnwritableOutput, UsageError
from faceparts.evaluate import held_out
from faceparts.evaluate.run_parts import file_hash, hash_pixels
from faceparts.segment import files
from faceparts.streams.files import write_atomic
from faceparts.types import HeadDetector, ModelCard, Segmenter

EXIT_DONE, EXIT_NOT_PROVEN = 0, 3


@dataclass(frozen=True)
class DataName:
    """``NAME:ROOT:SPLIT`` of the command line."""

    name: str
    root: Path
    split: str


@dataclass(frozen=True, eq=False)
class OpenedData:
    """A dataset that was opened.

    Args:
        of: how it was named.
        task: ``"parts"`` or ``"heads"``.
        dataset: a `faceparts.types.Dataset` or `HeadDataset`.
    """

    of: DataName
    task: str
    dataset: Any


def parse_data(written: str) -> DataName:
    """Split ``NAME:ROOT:SPLIT``; ROOT may hold colons.

    Raises:
        UsageError: it has fewer than three parts.
    """
    name, _, rest = written.partition(":")
    root, _, split = rest.rpartition(":")
    if not (name and root and split):
        raise UsageError(
            f"--data {written}: wanted NAME:ROOT:SPLIT, such as celebamask:data/celebamask:val"
        )
    return DataName(name, Path(root), split)


def open_data(written: str) -> OpenedData:
    """Open the data that ``--data`` names.

    Raises:
        UsageError: see `parse_data`; or it has neither part labels nor head boxes.
        UnknownName: there is no such adapter.
        BadData: no such split, or the folder is not what it should be.
    """
    name = parse_data(written)
    module = folder.load("faceparts.datasets", name.name)
    if module.TASK not in ("parts", "heads"):
        raise UsageError(
            f"--data {written}: has neither part labels nor head boxes; take another dataset"
        )
    return OpenedData(name, str(module.TASK), module.load(name.root, name.split))


@dataclass(frozen=True)
class Net:
    """How nets are opened."""

    threads: int | None
    device: str
    precision: str


@dataclass(frozen=True, eq=False)
class OpenedParser:
    """A parser, its card, and what the report says about it."""

    segmenter: Segmenter
    card: ModelCard
    about: dict[str, Any]


def is_detector(model: str) -> bool:
    """Whether a name or file is a detector: by its card, or as a file in ``faceparts/detect``."""
    path = Path(model)
    if path.suffix or len(path.parts) > 1:
        return files.read_card(weights.find(model)).task == "detect"
    if model in weights.shipped():
        return weights.read_card(weights.find(model)).task == "detect"
    return model in folder.names("faceparts.detect")


def open_parser(name: str, net: Net) -> OpenedParser:
    """Open a parser of any kind.

    Raises:
        UnknownName, BadWeights, UsageError: see `faceparts.segment.files.load`.
    """
    path = weights.find(name, precision=net.precision, device=net.device)
    segmenter = files.load(
        path if path.suffix == ".npz" else name,
        threads=net.threads,
        device=net.device,
        precision=net.precision,
    )
    return OpenedParser(segmenter, segmenter.card, about_model(path, segmenter.card))


def about_model(path: Path, card: ModelCard) -> dict[str, Any]:
    """A weights file in the protocol card."""
    return {
        **describe(path),
        "name": card.name,
        "label_set": card.label_set,
        "input_px": card.input_px,
        "margin": card.margin,
        "trained_on": list(card.trained_on),
        "data_license": card.data_license,
    }


def open_detector(
    name: str, net: Net, min_score: float | None = None
) -> tuple[HeadDetector, ModelCard | None, dict[str, Any]]:
    """Open a detector: it, its card if it has one, and what the report says about it.

    Args:
        name: of a file in ``faceparts/detect``, or a weights file for headnet.
        min_score: lowest score of a find; ``None`` = the detector's own.

    Raises:
        UnknownName, BadWeights, UsageError: see `faceparts.weights.open_net`.
    """
    is_file = Path(name).suffix != "" or len(Path(name).parts) > 1
    module = folder.load("faceparts.detect", "headnet" if is_file else name)
    path: Path | None = None
    if is_file or name in weights.shipped():
        path = weights.find(name, precision=net.precision, device=net.device)
    detector: HeadDetector = module.load(
        path, threads=net.threads, device=net.device, precision=net.precision, min_score=min_score
    )
    card: ModelCard | None = getattr(detector, "card", None)
    if path is None or card is None:
        return detector, card, {"name": name, "file": None, "sha256": None, "trained_on": []}
    used = card.threshold if min_score is None else min_score
    return detector, card, {**about_model(path, card), "min_score": used}


def check_held_out(
    card: ModelCard,
    data: OpenedData,
    lists: Sequence[Path],
    *,
    anyway: bool,
    limit: int | None,
    on_picture: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Refuse pictures that the model was trained on.

    Returns:
        For the protocol card: ``status``, ``reason``, ``is_test`` and the lists that were used.

    Raises:
        UsageError: they were trained on, and ``anyway`` is not given.
        BadData: a list holds no sha256, or a picture cannot be read.
    """
    known = held_out.read_lists(lists)
    check = held_out.check_by_name(card, data.of.name, data.of.split)
    if known.trained and check.status != "trained on":
        count = len(data.dataset) if limit is None else min(limit, len(data.dataset))
        hashes = _hashes(data.dataset, count, on_picture)
        check = held_out.check_by_hash(hashes, known, check, card)
    if check.status == "trained on" and not anyway:
        raise UsageError(
            f"{check.reason}; choose pictures that were held out, or --anyway to measure "
            "nevertheless (the report will say that it is no test)"
        )
    return {
        "status": check.status,
        "reason": check.reason,
        "is_test": check.status != "trained on",
        "lists": [describe_list(path) for path in lists],
    }


def _hashes(
    dataset: Any, count: int, on_picture: Callable[[], object]
) -> Iterator[tuple[str, str, str]]:
    for i in range(count):
        sample = dataset[i]
        pixels = hash_pixels(sample.image)
        yield sample.key, file_hash(dataset, i) or pixels, pixels
        on_picture()


def describe_list(path: Path) -> dict[str, str]:
    """File name and sha256 of a list."""
    return {k: v for k, v in describe(path).items() if k != "name"}


def exit_code(check: Mapping[str, Any], prove: bool) -> int:
    """0, or 3 where ``--prove`` was given and nothing is proven."""
    if not prove or check["status"] == "held out":
        return EXIT_DONE
    click.echo(f"faceparts: not proven: {check['reason']}", err=True)
    return EXIT_NOT_PROVEN


@contextmanager
def bar(what: str, total: int, *, progress: bool | None, quiet: bool) -> Iterator[Any]:
    """A progress bar on standard error; by default only on a terminal."""
    hidden = True if quiet else None if progress is None else not progress
    with tqdm(
        total=total, desc=what, unit="picture", disable=hidden, file=sys.stderr, dynamic_ncols=True
    ) as shown:
        yield shown


def require_free(paths: Sequence[Path], *, force: bool) -> None:
    """Refuse to overwrite, before any work.

    Raises:
        UnwritableOutput: a file exists and ``force`` is not given.
    """
    there = [path for path in paths if path.exists()]
    if there and not force:
        raise UnwritableOutput(f"{there[0]}: exists already; choose another folder or give --force")


def write_all(contents: Mapping[Path, str], *, force: bool) -> None:
    """Write all files or none of those that were not there before.

    Raises:
        UnwritableOutput: see `faceparts.streams.files.write_atomic`.
    """
    new: list[Path] = []
    try:
        for path, words in contents.items():
            was_there = path.exists()
            write_atomic(path, words.encode("utf-8", "surrogateescape"), force=force)
            if not was_there:
                new.append(path)
    except BaseException:
        for path in new:
            with suppress(OSError):
                path.unlink()
        raise


def rows_as_text(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table for a terminal: the first column to the left, numbers to the right."""
    cells = [[str(c) for c in row] for row in (header, *rows)]
    wide = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(wide[i]) if i == 0 else cell.rjust(wide[i]) for i, cell in enumerate(row)
        ).rstrip()
        for row in cells
    ]
    return "\n".join(lines)
