"""What ``faceparts data answers`` does."""

from __future__ import annotations

import hashlib
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
from faceparts.errors import BadWeights, FacePartsError, UsageError
from faceparts.evaluate.run_parts import file_hash
from faceparts.streams.files import write_atomic
from faceparts.train import answers
from faceparts.train.codes import Codes, to_trained
from faceparts.train.distill import load_teacher
from faceparts.types import Dataset
from faceparts.weights import find

Hashes = dict[str, str | None]

TRIAL = 20
"""After so many pictures nets that contradict the labels are found out."""

LEAST_AGREEMENT = 0.5
"""Share of the labelled pixels; nets that know the parts have 0.9 and more."""


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
        BadWeights: a net's file is missing or damaged, or knows none of the parts; or it
            contradicts the labels so often that its card must be wrong.
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
        ids = own[sample.labels]
        try:
            each = panel.ask(sample.image, ids)
        finally:
            panels.put(panel)
        votes.append([answers.agreement(said, ids, label_set) for said in each])
        answers.write(path, answers.shrink(panel.settle(each)))
        return True

    failed: dict[str, str] = {}
    votes: list[list[tuple[int, int]]] = []  # appended to by all threads
    made = 0
    try:
        with ThreadPoolExecutor(asked.threads) as threads:
            waiting = {threads.submit(one, i): i for i in range(len(dataset))}
            bar = tqdm(
                as_completed(waiting),
                "answers",
                len(waiting),
                file=sys.stderr,
                disable=not progress,
            )
            try:
                for found in bar:
                    try:
                        made += found.result()
                        if made == TRIAL:
                            _require_sense(asked, votes)
                    except _Nonsense:
                        raise
                    except (FacePartsError, OSError) as error:
                        key = _key(dataset, waiting[found])
                        failed[key] = one_line(str(error))
                        click.echo(f"faceparts: FAILED {key}: {failed[key]}", err=True)
            except BaseException:  # Ctrl-C above all
                threads.shutdown(cancel_futures=True)
                raise
    except _Nonsense as error:  # nobody writes any more
        for i in range(len(dataset)):
            (out / f"{_key(dataset, i)}.png").unlink(missing_ok=True)
        raise BadWeights(str(error)) from None
    report = {
        "faceparts_data_answers": 1,
        "status": "failed" if failed else "done",
        **settings,
        "pictures": len(dataset),
        "made": made,
        "failed": failed,
        "agreement": _agreement(asked, votes),
        "versions": versions(),
        "sha256": seen,
    }
    write_atomic(out / answers.REPORT, _report.to_json(report).encode(), force=True)
    there_before = len(dataset) - made - len(failed)
    words = f"{made} answers written to {out}, {there_before} were there, {len(failed)} failed\n"
    for name, share in _agreement(asked, votes).items():
        words += (
            "" if share is None else f"{name}: as labelled in {100 * share:.1f} % of the pixels\n"
        )
    click.echo(_report.to_json(report) if as_json else words, nl=False)
    return EXIT_FAILED if failed else 0


def _agreement(asked: Asked, votes: Sequence[Sequence[tuple[int, int]]]) -> dict[str, float | None]:
    """Share of the labelled pixels that each net answers as the labels do; ``None``: no such."""
    shares: dict[str, float | None] = {}
    for k, (model, _) in enumerate(asked.nets):
        right, known = (sum(vote[k][j] for vote in list(votes)) for j in (0, 1))
        shares[Path(model).name] = round(right / known, 4) if known else None
    return shares


class _Nonsense(Exception):
    """A net contradicts most labels."""


def _require_sense(asked: Asked, votes: Sequence[Sequence[tuple[int, int]]]) -> None:
    """Refuse nets that contradict most labels.

    Raises:
        _Nonsense: a net does.
    """
    wrong = {n: s for n, s in _agreement(asked, votes).items() if s is not None}
    wrong = {name: share for name, share in wrong.items() if share < LEAST_AGREEMENT}
    if wrong:
        told = ", ".join(f"{n} agrees with {100 * share:.0f} %" for n, share in wrong.items())
        raise _Nonsense(
            f"{told} of the labelled pixels; nothing was kept. Is the card right (mean and std are "
            "of 0..255; label_set, output, tensor), and the dataset's label set?"
        )


def _hash(model: str) -> str:
    """What the net is, whatever it is called: another file of the same name answers otherwise.

    A card beside the file decides how it is asked, so it counts too.
    """
    path = Path(model) if Path(model).is_file() else find(model)
    digest, card = describe(path)["sha256"], path.with_suffix(".json")
    if path.suffix != ".tflite" or not card.is_file():
        return digest
    return hashlib.sha256(digest.encode() + card.read_bytes()).hexdigest()


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
