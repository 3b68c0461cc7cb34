"""What ``faceparts audit`` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from faceparts._headers import one_line
from faceparts.cli import _evaluation as shared
from faceparts.cli._report import to_json
from faceparts.cli._version import versions
from faceparts.errors import UsageError
from faceparts.evaluate import audit, audit_units, page, page_audit, protocols, run_parts
from faceparts.evaluate.protocols import Protocol
from faceparts.types import LabelSet


@dataclass(frozen=True)
class Asked:
    """The command line, see the help texts in ``cli/audit.py``."""

    model: str
    data: str
    tone_by: str | None
    out: Path | None
    as_json: bool
    alignment: str | None
    shrink: str | None
    detector: str
    min_score: float | None
    small: int
    limit: int | None
    lists: tuple[Path, ...]
    anyway: bool
    prove: bool
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


def run_audit(asked: Asked) -> int:
    """Audit a parser or a detector.

    Returns:
        The exit code.

    Raises:
        UsageError: model and data do not go together, or the data was trained on.
    """
    names = [] if asked.out is None else [asked.out / f"audit.{k}" for k in ("html", "json")]
    shared.require_free(names, force=asked.force)
    data = shared.open_data(asked.data)
    sizes_px = parse_sizes(asked.shrink)
    if asked.tone_by is not None and data.task != "heads":
        raise UsageError(
            f"--tone-by {asked.tone_by} is for data with head boxes only; "
            f"{data.of.name} has part labels, and tone is measured on them"
        )
    total = run_parts.len_within(data.dataset, asked.limit)
    more: audit.Units | None = None
    if not shared.is_detector(asked.model):
        units, more, card = _of_parser(asked, data, total, sizes_px)
    elif sizes_px:
        raise UsageError(f"--shrink is for parsers, and {asked.model} is a detector")
    else:
        units, card = _of_detector(asked, data, total)
    if not units.picture.size:
        raise UsageError(f"--data {asked.data}: no labelled head in it; nothing to audit")
    settings = audit.Settings(asked.small, asked.resamples, asked.seed)
    found = {"faceparts_audit": 1, "card": card, **audit.audit(units, settings)}
    if more is not None:
        found["by"] = {**found["by"], **audit.audit(more, settings)["by"]}
    if names:
        contents = {names[0]: page_audit.render(found), names[1]: to_json(found)}
        shared.write_all(contents, force=asked.force)
    if asked.as_json:
        click.echo(to_json(found), nl=False)
    elif not asked.quiet:
        click.echo(audit_as_text(found))
    return shared.exit_code(card["held_out"], asked.prove)


def parse_sizes(written: str | None) -> list[int]:
    """``128,64`` -> [128, 64]; none for ``None``.

    Raises:
        UsageError: a part is no whole number 4..2048.
    """
    words = [] if written is None else [word.strip() for word in written.split(",")]
    wrong = [word for word in words if not (word.isdecimal() and 4 <= int(word) <= 2048)]
    if wrong:
        raise UsageError(f"--shrink {written}: got {wrong[0]!r}, wanted pixels 4 to 2048")
    return [int(word) for word in words]


def protocol_for(source: LabelSet, parser: LabelSet) -> Protocol:
    """The protocol with the most classes that data and model both have.

    Raises:
        UsageError: none fits.
    """
    for protocol in sorted(
        protocols.PROTOCOLS.values(), key=lambda p: (p.shrink, -len(p.label_set.parts))
    ):
        try:
            protocols.check_fit(protocol, source, "the dataset", truth=True)
            protocols.check_fit(protocol, parser, "the model", truth=False)
        except UsageError:
            continue
        return protocol
    raise UsageError(
        f"no protocol fits both the dataset ({source.name}) and the model ({parser.name}); "
        f"protocols are: {', '.join(protocols.names())}"
    )


def _of_parser(
    asked: Asked, data: shared.OpenedData, total: int, sizes_px: Sequence[int]
) -> tuple[audit.Units, audit.Units | None, dict[str, Any]]:
    if data.task != "parts":
        raise UsageError(
            f"{asked.model} is a parser, but {data.of.name} has head boxes only; "
            "give a detector such as headnet, or data with part labels"
        )
    parser = shared.open_parser(asked.model, asked.net)
    source = data.dataset.label_set
    protocol = protocol_for(source, parser.segmenter.label_set).with_alignment(asked.alignment)
    check = _check(asked, data, parser.card, total)
    detector, about = None, None
    if protocol.alignment == "detector":
        detector, _, about = shared.open_detector(asked.detector, asked.net, asked.min_score)
    looks = total * (1 + len(set(sizes_px)))
    shrunk = None
    with shared.bar(parser.card.name, looks, progress=asked.progress, quiet=asked.quiet) as shown:
        result = run_parts.evaluate_parts(
            *(parser.segmenter, data.dataset, protocol),
            detector=detector,
            limit=asked.limit,
            on_picture=shown.update,
        )
        if sizes_px and result.pictures:
            shrunk = audit_units.of_parser_shrunk(
                *(parser.segmenter, data.dataset, result, sizes_px),
                detector=detector,
                limit=asked.limit,
                on_picture=shown.update,
            )
    card = _card(asked, data, parser.about, check, total)
    card["protocol"] = {
        **protocol.describe(),
        "sides": "swapped sides of labels were put right",
    }
    card["detector"] = about
    return audit_units.of_parser(result), shrunk, card


def _of_detector(
    asked: Asked, data: shared.OpenedData, total: int
) -> tuple[audit.Units, dict[str, Any]]:
    detector, of, about = shared.open_detector(asked.model, asked.net, asked.min_score)
    if of is None:
        check = {
            "status": "not proven",
            "reason": f"{asked.model} has no card that says what it was trained on",
            "is_test": True,
            "lists": [],
        }
    else:
        check = _check(asked, data, of, total)
    tone = None
    if asked.tone_by is not None:
        tone = shared.open_parser(asked.tone_by, asked.net)
    with shared.bar(asked.model, total, progress=asked.progress, quiet=asked.quiet) as shown:
        if data.task == "heads":
            units = audit_units.of_detector(
                *(detector, data.dataset),
                tone_by=None if tone is None else tone.segmenter,
                limit=asked.limit,
                on_picture=shown.update,
            )
        else:
            units = audit_units.of_detector_on_parts(
                detector, data.dataset, limit=asked.limit, on_picture=shown.update
            )
    card = _card(asked, data, about, check, total)
    card["protocol"] = {
        "name": "recall of heads",
        "found": "a find with an IoU of at least 0.5 with the marked head, best score first",
        "marked": "box that the labelled head spans"
        if data.task == "parts"
        else "the data's boxes",
        "tone_and_pose": "not measured"
        if data.task == "heads" and tone is None
        else "on the labels"
        if tone is None
        else "on the parts that the parser below finds in the marked boxes",
    }
    card["parser"] = None if tone is None else tone.about
    return units, card


def _check(asked: Asked, data: shared.OpenedData, card: Any, total: int) -> dict[str, Any]:
    with shared.bar(
        "hash", total, progress=asked.progress, quiet=asked.quiet or not asked.lists
    ) as shown:
        return shared.check_held_out(
            *(card, data, asked.lists),
            anyway=asked.anyway,
            limit=asked.limit,
            on_picture=shown.update,
        )


def _card(
    asked: Asked,
    data: shared.OpenedData,
    model: Mapping[str, Any],
    check: Mapping[str, Any],
    total: int,
) -> dict[str, Any]:
    return {
        "data": {
            "dataset": data.of.name,
            "split": data.of.split,
            "pictures": total,
            "only_first": asked.limit,
        },
        "model": dict(model),
        "held_out": dict(check),
        "versions": versions(),
    }


def audit_as_text(found: Mapping[str, Any]) -> str:
    """The audit for a terminal."""
    card, overall = found["card"], found["overall"]
    lines = [
        f"{card['model']['name']} on {card['data']['dataset']} {card['data']['split']}: "
        f"{page_audit.metric_name(found)} {page.percent(overall['value'])} "
        f"({page_audit.span(overall)}), {page_audit.counted(found, overall)}",
    ]
    if card["held_out"]["status"] != "held out":
        lines.append(f"{card['held_out']['status']}: {card['held_out']['reason']}")
    for axis, one in found["by"].items():
        rows = [
            (
                page_audit.marked(r),
                r["units"],
                page.percent(r["value"]),
                page_audit.span(r),
            )
            for r in one["groups"]
        ]
        unit = "heads" if found["metric"] == "recall" else "pictures"
        lines += [
            "",
            shared.rows_as_text((axis, unit, "value", "95 % interval"), rows),
            one_line(page_audit.gap_words(one["gap"])),
        ]
        if found["metric"] != "recall":
            lines.append(page_audit.classes_words(one))
    return "\n".join(lines)
