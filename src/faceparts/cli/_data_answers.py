"""What ``faceparts data answers`` does."""

from __future__ import annotations

import json
import queue
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from faceparts import labels
from faceparts._headers import one_line
from faceparts.cli import _report
from faceparts.cli._data_sources import Source, load_parts
from faceparts.cli._parser import describe
from faceparts.cli._shares import parse_share
from faceparts.cli._version import versions
from faceparts.cli.main import EXIT_FAILED
from faceparts.errors import FacePartsError, UsageError
from faceparts.evaluate.run_parts import file_hash
from faceparts.streams.files import write_atomic
from faceparts.train import answers
from faceparts.train.codes import Codes, to_trained
from faceparts.train.distill import load_teacher
from faceparts.types import Dataset
from faceparts.weights import find

Hashes = dict[str, str | None]


@dataclass(frozen=True)
class Asked:
    """Who is asked, and how; see the help texts of ``faceparts data answers``."""

    nets: tuple[tuple[str, float], ...]
    label_set: str
    closer: bool
    threads: int


def parse_net(text: str) -> tuple[str, float]:
    """``NAME|FILE[=SHARE]`` -> the net and its share.

    Raises:
        UsageError: the share is not a number above 0.

    Example:
        >>> parse_net("partnet"), parse_net("a=b.onnx=0.5")
        (('partnet', 1.0), ('a=b.onnx', 0.5))
    """
    if "=" not in text or Path(text).suffix in (".onnx", ".tflite", ".npz"):
        return text, 1.0
    return parse_share(text, "--net", below=1e6)


def run_answers(
    source: Source, out: Path, asked: Asked, *, force: bool, as_json: bool, progress: bool
) -> int:
    """Keep what nets say of every picture of a dataset; what is there already is left as it is.

    Returns:
        The exit code: 1 if a picture could not be read or its answer not be written.

    Raises:
        UsageError: the folder holds answers of other nets or of other pictures, or lies in or
            around the dataset.
        BadData: the dataset cannot be opened.
        BadWeights: a net's file is missing or damaged, or knows none of the parts.
    """
    here, there = out.resolve(), source.root.resolve()
    if here.is_relative_to(there) or there.is_relative_to(here):
        raise UsageError(
            f"{out}: is, holds or lies in the dataset {source.root}; choose another folder"
        )
    label_set = labels.get(asked.label_set)
    dataset = load_parts(source)
    own = to_trained(dataset.label_set, Codes(label_set), partial=True)
    panels: queue.SimpleQueue[answers.Panel] = queue.SimpleQueue()
    for _ in range(asked.threads):
        nets = tuple(load_teacher(model, Path(), label_set) for model, _ in asked.nets)
        shares = tuple(share for _, share in asked.nets)
        panels.put(answers.Panel(nets, shares, label_set, closer=asked.closer))
    settings = {
        "nets": [{"net": Path(m).name, "share": s, "sha256": _hash(m)} for m, s in asked.nets],
        "label_set": label_set.name,
        "closer": asked.closer,
        "source": source.where,
    }
    seen = _claim(out, settings, _hashes(dataset), force=force)

    def one(i: int) -> bool:
        path = out / f"{_key(dataset, i)}.png"
        if path.exists() and not force:
            return False
        sample, panel = dataset[i], panels.get()
        try:
            said = panel.ask(sample.image, own[sample.labels])
        finally:
            panels.put(panel)
        answers.write(path, answers.shrink(said))
        return True

    failed: dict[str, str] = {}
    made = 0
    with ThreadPoolExecutor(asked.threads) as threads:
        waiting = {threads.submit(one, i): i for i in range(len(dataset))}
        bar = tqdm(
            as_completed(waiting), "answers", len(waiting), file=sys.stderr, disable=not progress
        )
        try:
            for found in bar:
                try:
                    made += found.result()
                except (FacePartsError, OSError) as error:
                    key = _key(dataset, waiting[found])
                    failed[key] = one_line(str(error))
                    click.echo(f"faceparts: FAILED {key}: {failed[key]}", err=True)
        except BaseException:  # Ctrl-C above all
            threads.shutdown(cancel_futures=True)
            raise
    report = {
        "faceparts_data_answers": 1,
        "status": "failed" if failed else "done",
        **settings,
        "pictures": len(dataset),
        "made": made,
        "failed": failed,
        "versions": versions(),
        "sha256": seen,
    }
    write_atomic(out / answers.REPORT, _report.to_json(report).encode(), force=True)
    there_before = len(dataset) - made - len(failed)
    words = f"{made} answers written to {out}, {there_before} were there, {len(failed)} failed\n"
    click.echo(_report.to_json(report) if as_json else words, nl=False)
    return EXIT_FAILED if failed else 0


def _hash(model: str) -> str:
    """What the net is, whatever it is called: another file of the same name answers otherwise."""
    return describe(Path(model) if Path(model).is_file() else find(model))["sha256"]


def _key(dataset: Dataset, i: int) -> str:
    pairs: Sequence[Any] = getattr(dataset, "pairs", ())
    return str(pairs[i].key) if i < len(pairs) else dataset[i].key


def _hashes(dataset: Dataset) -> Hashes:
    """Key -> sha256 of the picture's file; ``None`` where it cannot be told."""
    found: Hashes = {}
    for i in range(len(dataset)):
        try:
            found[_key(dataset, i)] = file_hash(dataset, i)
        except OSError:  # told when the picture is read
            found[_key(dataset, i)] = None
    return found


def _claim(out: Path, settings: dict[str, Any], now: Hashes, *, force: bool) -> Hashes:
    """Refuse a folder with answers of others, or about others; say before the first whose they are.

    Args:
        now: the pictures, see `_hashes`. Those without an answer may have changed.

    Returns:
        Those that there are answers about, and will be.
    """
    path = out / answers.REPORT
    about, ours, reason = dict(now), False, ""
    if path.exists():
        try:
            before = json.loads(path.read_text("utf-8"))
            ours = before["faceparts_data_answers"] == 1
            reason = _difference(out, settings, now, before)
            about = {**before["sha256"], **now}
        except (OSError, ValueError, TypeError, KeyError):
            reason = f"{path.name} does not say whose they are"
        if reason and not force:
            raise UsageError(
                f"{out}: holds something else than answers of these nets about these pictures "
                f"({reason}); choose another folder or give --force"
            )
        if reason and ours:  # if this run does not come to an end, none may look like its own
            about = dict(now)
            for answer in sorted(out.rglob("*.png")):
                answer.unlink()
    elif out.is_dir() and any(out.iterdir()) and not force:
        raise UsageError(f"{out}: not empty; choose another folder or give --force")
    text = {"faceparts_data_answers": 1, "status": "running", **settings, "sha256": about}
    write_atomic(path, _report.to_json(text).encode(), force=True)
    return about


def _difference(out: Path, settings: dict[str, Any], now: Hashes, before: dict[str, Any]) -> str:
    """What the answers in a folder do not share with those to be given; empty if nothing."""
    other = [key for key, value in settings.items() if before[key] != value]
    if other:
        return f"not the same: {', '.join(other)}"
    was = before["sha256"]
    changed = [k for k in now if (out / f"{k}.png").exists() and was[k] != now[k]]
    return f"{changed[0]}: was another picture" if changed else ""
