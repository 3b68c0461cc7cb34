"""What ``faceparts data check`` does."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from faceparts import folder
from faceparts.cli import _report
from faceparts.cli._data_sources import Source, each_split, is_absent, load_left_out, load_source
from faceparts.cli.main import EXIT_FAILED
from faceparts.datasets._pairs import Gap
from faceparts.errors import BadData, UsageError
from faceparts.evaluate import data_check
from faceparts.evaluate.contact_sheet import Tile, box_tile, label_tile, sheet
from faceparts.images import encode_picture
from faceparts.streams.files import write_atomic
from faceparts.types import Dataset, HeadDataset, HeadSample, LabelSet, Sample

LISTED = 40
"""Lines of one kind that are printed; the rest are in ``--json``."""


def run_check(
    sources: Sequence[Source],
    *,
    contact_sheet: Path | None,
    pictures: int,
    as_json: bool,
    strict: bool,
    force: bool,
    progress: bool,
) -> int:
    """Check every split of every source and say what is wrong.

    Returns:
        The exit code: 1 if anything is wrong.

    Raises:
        UsageError: a source has neither part labels nor head boxes; or the contact sheet exists.
        UnwritableOutput: the contact sheet cannot be written.
    """
    for source in sources:
        if folder.load("faceparts.datasets", source.name).TASK not in ("parts", "heads"):
            raise UsageError(
                f"{source.name}: has neither part labels nor head boxes; take another dataset"
            )
    if contact_sheet is not None and contact_sheet.exists() and not force:
        raise UsageError(f"{contact_sheet}: exists already; choose another name or give --force")
    checks: list[data_check.SetCheck] = []
    failed: list[str] = []
    absent: list[str] = []
    tiles: list[Tile] = []
    legend: LabelSet | None = None
    for source in (one for given in sources for one in each_split(given)):
        gaps: list[Gap] = []
        try:
            dataset = load_source(source, clean=False, gaps=gaps)
            left_out = load_left_out(source)
        except BadData as error:
            missing = source not in sources and is_absent(source, error)
            (absent if missing else failed).append(f"{source.where}: {error}")
            failed += [f"{source.where}/{gap.key}: {gap.reason}" for gap in gaps]
            continue
        check, drawn = _check_one(source.where, dataset, pictures, progress=progress)
        check.bad[:0] = [data_check.Bad(gap.key, gap.reason) for gap in gaps]
        check.pictures += len({gap.key for gap in gaps})
        check.left_out = left_out
        checks.append(check)
        tiles += drawn
        legend = check.label_set or legend
    if not checks and not failed:
        failed = absent
    twins = data_check.find_twins([look for check in checks for look in check.looks])
    errors = [*failed, *data_check.errors_of(checks, twins)]
    warnings = [f"not checked: {line}" for line in absent if line not in failed]
    warnings += data_check.warnings_of(checks, twins)
    if contact_sheet is not None:
        data = encode_picture(sheet(tiles, legend), format="PNG")
        write_atomic(contact_sheet, data, force=force)
    wrong = bool(errors) or (strict and bool(warnings))
    if as_json:
        report = _as_report(checks, twins, errors, warnings, wrong=wrong)
        click.echo(_report.to_json(report), nl=False)
    else:
        click.echo("\n".join(_as_text(checks, errors, warnings)))
    return EXIT_FAILED if wrong else 0


def _check_one(
    where: str, dataset: Dataset | HeadDataset, pictures: int, *, progress: bool
) -> tuple[data_check.SetCheck, list[Tile]]:
    """Check one split; tiles come from pictures spread evenly over it."""
    step = max(1, -(-len(dataset) // pictures)) if pictures else 0
    label_set: LabelSet | None = getattr(dataset, "label_set", None)
    tiles: list[Tile] = []
    with tqdm(
        total=len(dataset), desc=where, unit="picture", file=sys.stderr, disable=not progress
    ) as bar:

        def take(i: int, sample: Sample | HeadSample | None) -> None:
            bar.update()
            if not step or i % step or sample is None:
                return
            caption = f"{where} {sample.key}"
            if isinstance(sample, HeadSample):
                tiles.append(box_tile(sample.image, sample.boxes_xyxy, caption))
            elif label_set is not None:
                tiles.append(label_tile(sample.image, sample.labels, label_set, caption))

        return data_check.check_set(where, dataset, take), tiles


# --- report --------------------------------------------------------------------------------------


def _as_report(
    checks: Sequence[data_check.SetCheck],
    twins: Sequence[data_check.Twins],
    errors: Sequence[str],
    warnings: Sequence[str],
    *,
    wrong: bool,
) -> dict[str, Any]:
    return {
        "faceparts_data_check": 1,
        "status": "wrong" if wrong else "ok",
        "errors": list(errors),
        "warnings": list(warnings),
        "sets": [_set_entry(check) for check in checks],
        "twins": [
            {
                "kind": twin.kind,
                "pictures": list(twin.names),
                "splits": list(twin.splits),
                "likeness": twin.likeness,
                "same_labels": twin.same_labels,
            }
            for twin in twins
        ],
    }


def _set_entry(check: data_check.SetCheck) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "where": check.where,
        "label_set": check.label_set.name if check.label_set else None,
        "pictures": check.pictures,
        "good": len(check.looks),
        "bad": [{"key": bad.key, "reason": bad.reason} for bad in check.bad],
        "left_out": check.left_out,
        "subjects": len(check.subjects) or None,
    }
    if check.label_set is None:
        return entry | {"heads": check.heads}
    total = int(check.pixels.sum())
    return entry | {
        "unknown_share": _share(check.ignored_px, total + check.ignored_px),
        "parts": {
            part: {
                "pixels": int(pixels),
                "pixel_share": _share(int(pixels), total),
                "pictures": int(count),
                "picture_share": _share(int(count), len(check.looks)),
            }
            for part, pixels, count in zip(
                check.label_set.parts, check.pixels, check.with_part, strict=True
            )
        },
        "sides": {
            pair: {"right_way": right, "swapped": wrong, "share": _share(right, right + wrong)}
            for pair, (right, wrong) in check.sides.items()
        },
        "swapped": check.swapped,
        "empty": check.empty,
    }


def _share(some: int, total: int) -> float | None:
    return round(some / total, 6) if total else None


def _as_text(
    checks: Sequence[data_check.SetCheck], errors: Sequence[str], warnings: Sequence[str]
) -> list[str]:
    lines: list[str] = []
    for check in checks:
        lines += [*_set_lines(check), ""]
    for word, found in (("warning", warnings), ("WRONG", errors)):
        lines += [f"{word}: {line}" for line in found[:LISTED]]
        if len(found) > LISTED:
            lines.append(f"{word}: and {len(found) - LISTED} more; --json lists them all")
    lines.append(f"{len(errors)} wrong, {len(warnings)} warnings")
    return lines


def _set_lines(check: data_check.SetCheck) -> list[str]:
    people = f", {len(check.subjects)} people" if check.subjects else ""
    label_set = check.label_set.name if check.label_set else f"{check.heads} heads"
    lines = [
        f"{check.where}: {check.pictures} pictures, {len(check.looks)} good, {len(check.bad)} bad, "
        f"{len(check.left_out)} left out{people}; {label_set}"
    ]
    if check.label_set is None or not check.looks:
        return lines
    total = max(int(check.pixels.sum()), 1)
    unknown = 100 * check.ignored_px / (total + check.ignored_px)
    lines.append(f"  {'part':<16}{'pixels':>9}{'pictures':>10}")
    lines += [
        f"  {part:<16}{100 * int(pixels) / total:>8.2f}%{100 * int(n) / len(check.looks):>9.1f}%"
        for part, pixels, n in zip(
            check.label_set.parts, check.pixels, check.with_part, strict=True
        )
    ]
    lines.append(f"  {'(unknown)':<16}{unknown:>8.2f}%")
    lines += [
        f"  left_{pair} on the subject's left in {right} of {right + wrong} pictures "
        f"({100 * right / (right + wrong):.1f}%)"
        for pair, (right, wrong) in check.sides.items()
    ]
    return lines
