"""What ``faceparts evaluate`` does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from faceparts._headers import one_line
from faceparts.cli import _evaluation as shared
from faceparts.cli._report import to_json
from faceparts.cli._version import versions
from faceparts.errors import UsageError
from faceparts.evaluate import compare, page, page_compare, protocols, report, run_parts
from faceparts.evaluate.protocols import Protocol
from faceparts.types import HeadDetector


@dataclass(frozen=True)
class Asked:
    """The command line, see the help texts in ``cli/evaluate.py``."""

    model: str | None
    data: str | None
    protocol: str | None
    compare: tuple[str, str] | None
    out: Path | None
    as_json: bool
    alignment: str | None
    detector: str
    limit: int | None
    lists: tuple[Path, ...]
    anyway: bool
    prove: bool
    no_pictures: bool
    resamples: int
    seed: int
    threads: int | None
    device: str
    precision: str
    force: bool
    progress: bool | None
    quiet: bool

    @property
    def net(self) -> shared.Net:
        """How nets are opened."""
        return shared.Net(self.threads, self.device, self.precision)


@dataclass(frozen=True, eq=False)
class Measured:
    """One evaluation and what a gallery needs to look again."""

    report: dict[str, Any]
    result: run_parts.PartsResult
    parser: shared.OpenedParser
    data: shared.OpenedData
    detector: HeadDetector | None


def run_evaluate(asked: Asked) -> int:
    """Measure one model, or compare two.

    Returns:
        The exit code.

    Raises:
        UsageError: options are missing or do not go together, or the data was trained on.
    """
    if asked.compare:
        if asked.model is not None:
            raise UsageError("--compare names its two models itself; leave MODEL out")
        return _run_compare(asked, asked.compare)
    if asked.model is None:
        raise UsageError("name a MODEL ('faceparts models' lists those shipped), or use --compare")
    files = _files(asked.out, "report")
    shared.require_free(list(files.values()), force=asked.force)
    done = _measure(asked, asked.model)
    if asked.out is not None:
        shown = {} if asked.no_pictures else _gallery(asked, done)
        contents = {
            files["html"]: page.render(done.report, done.result.protocol.label_set, shown),
            files["json"]: to_json(done.report),
        }
        shared.write_all(contents, force=asked.force)
    _tell(asked, done.report, report_as_text(done.report))
    return shared.exit_code(done.report["card"]["held_out"], asked.prove)


def _files(out: Path | None, stem: str) -> dict[str, Path]:
    return {} if out is None else {kind: out / f"{stem}.{kind}" for kind in ("html", "json")}


def _tell(asked: Asked, found: Mapping[str, Any], words: str) -> None:
    if asked.as_json:
        click.echo(to_json(found), nl=False)
    elif not asked.quiet:
        click.echo(words)


def _protocol(asked: Asked) -> Protocol:
    given = {"--data NAME:ROOT:SPLIT": asked.data, "--protocol NAME": asked.protocol}
    missing = [option for option, value in given.items() if value is None]
    if missing:
        raise UsageError(
            f"give {' and '.join(missing)}; protocols are: {', '.join(protocols.names())}"
        )
    return protocols.get(str(asked.protocol)).with_alignment(asked.alignment)


def _measure(asked: Asked, model: str) -> Measured:
    protocol = _protocol(asked)
    data = shared.open_data(str(asked.data))
    if data.task != "parts":
        raise UsageError(
            f"{data.of.name} has head boxes, no part labels; "
            "'faceparts audit' measures how heads are found"
        )
    if shared.is_detector(model):
        raise UsageError(f"{model} finds heads; 'faceparts audit' measures how, by group")
    parser = shared.open_parser(model, asked.net)
    source = data.dataset.label_set
    protocols.check_fit(protocol, source, "the dataset", truth=True)
    protocols.check_fit(protocol, parser.segmenter.label_set, "the model", truth=False)
    total = run_parts.len_within(data.dataset, asked.limit)
    hide = asked.quiet or not asked.lists
    with shared.bar("hash", total, progress=asked.progress, quiet=hide) as shown:
        check = shared.check_held_out(
            *(parser.card, data, asked.lists),
            anyway=asked.anyway,
            limit=asked.limit,
            on_picture=shown.update,
        )
    detector, about = None, None
    if protocol.alignment == "detector":
        detector, _, about = shared.open_detector(asked.detector, asked.net)
    with shared.bar(parser.card.name, total, progress=asked.progress, quiet=asked.quiet) as shown:
        result = run_parts.evaluate_parts(
            *(parser.segmenter, data.dataset, protocol),
            detector=detector,
            limit=asked.limit,
            on_picture=shown.update,
        )
    card = report.protocol_card(
        result,
        dataset=data.of.name,
        split=data.of.split,
        label_set=source,
        limit=asked.limit,
        model=parser.about,
        detector=about,
        versions=versions(),
        check=check,
    )
    return Measured(report.build(result, card), result, parser, data, detector)


def _gallery(asked: Asked, done: Measured) -> dict[str, list[page.Shown]]:
    """Look at the best, median and worst pictures once more: maps of all were not kept."""
    shown: dict[str, list[page.Shown]] = {}
    for kind, indices in run_parts.extremes(done.result):
        shown[kind] = []
        for i in indices:
            sample = done.data.dataset[i]
            prepared, found, _ = run_parts.look(
                *(done.parser.segmenter, sample, done.data.dataset.label_set),
                *(done.result.protocol, done.detector),
            )
            score = report.plain(done.result.pictures[i].score)
            shown[kind].append(
                page.Shown(sample.key, score, prepared.image, prepared.truth, found.classes)
            )
    return shown


def report_as_text(found: Mapping[str, Any]) -> str:
    """The report in a screenful."""
    card, scores = found["card"], found["scores"]
    headline = card["protocol"]["headline"]
    check = card["held_out"]
    start = {"held out": "held out", "not proven": "held out? not proven"}
    rows = [
        (
            name,
            *(page.percent(rates[k]) for k in ("precision", "recall", "f1", "iou", "boundary_f")),
        )
        for name, rates in found["classes"].items()
    ]
    lines = [
        f"{card['model']['name']} on {card['data']['dataset']} {card['data']['split']} "
        f"({card['data']['pictures']} pictures), protocol {card['protocol']['name']}",
        f"{start.get(check['status'], 'NOT A TEST')}: {check['reason']}",
        "",
        shared.rows_as_text(("class", "precision", "recall", "F1", "IoU", "boundary F"), rows),
        "",
        *(f"{page.TITLES.get(k, k)}: {page.percent(v, 2)}" for k, v in scores.items()),
        "",
        f"{page.TITLES.get(headline, headline)}: {page.percent(scores.get(headline))}",
    ]
    return "\n".join(one_line(line) if "\n" not in line else line for line in lines)


def _run_compare(asked: Asked, names: tuple[str, str]) -> int:
    files = _files(asked.out, "comparison")
    shared.require_free(list(files.values()), force=asked.force)
    both = [_report_of(asked, name) for name in names]
    found = compare.compare(both[0], both[1], resamples=asked.resamples, seed=asked.seed)
    found["versions"] = versions()
    if asked.out is not None:
        contents = {files["html"]: page_compare.render(found), files["json"]: to_json(found)}
        shared.write_all(contents, force=asked.force)
    _tell(asked, found, comparison_as_text(found))
    return max(shared.exit_code(r["card"]["held_out"], asked.prove) for r in both)


def _report_of(asked: Asked, name: str) -> dict[str, Any]:
    """A report that is there, or a model that is measured now."""
    path = Path(name)
    if path.is_dir() or path.suffix == ".json":
        return compare.read_report(path)
    if asked.data is None:
        raise UsageError(
            f"--compare {name}: no folder of a report; "
            "to measure a model of that name now, give --data NAME:ROOT:SPLIT and --protocol NAME"
        )
    return _measure(asked, name).report


def comparison_as_text(found: Mapping[str, Any]) -> str:
    """The comparison in a screenful; differences in percentage points."""
    rows = [
        (page_compare.name_of(name), *page_compare.cells(row))
        for name, row in (*found["scores"].items(), *found["classes"].items())
    ]
    names = page_compare.model_names(found)
    return "\n".join(
        (
            f"A {names[0]}, B {names[1]}, protocol {found['protocol']['name']}, "
            f"{found['data']['pictures']} pictures",
            "",
            shared.rows_as_text(("", "A", "B", "B - A", "95 % interval", "differ"), rows),
            "",
            page_compare.MANY,
            page_compare.verdict(found),
        )
    )
