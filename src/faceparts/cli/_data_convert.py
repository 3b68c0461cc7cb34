"""What ``faceparts data convert`` does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
from tqdm import tqdm

from faceparts import labels
from faceparts._headers import one_line
from faceparts.cli import _report
from faceparts.cli._data_folder import PairsFolder
from faceparts.cli._data_sources import Source, load_parts, require_new
from faceparts.cli.main import EXIT_FAILED
from faceparts.errors import FacePartsError
from faceparts.evaluate.data_convert import Plan, plan_conversion
from faceparts.types import IGNORE


def run_convert(
    source: Source,
    out: Path,
    target: str,
    *,
    rest: str,
    partial: bool,
    keep_background: bool,
    force: bool,
    as_json: bool,
    progress: bool,
) -> int:
    """Write a dataset in another label set.

    Returns:
        The exit code: 1 if a pair could not be read or written; the others are there.

    Raises:
        UsageError: the conversion is impossible, or the folder is not free.
        BadData: the dataset cannot be opened.
    """
    wanted = labels.get(target)
    require_new(out, [source.root], force=force)
    dataset = load_parts(source)
    plan = plan_conversion(
        dataset.label_set,
        wanted,
        rest=0 if rest == "background" else IGNORE,
        partial=partial,
        keep_background=keep_background,
    )
    folder = PairsFolder(out, wanted, force=force)
    pairs = getattr(dataset, "pairs", ())
    before, after = np.zeros(256, np.int64), np.zeros(256, np.int64)
    written: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    numbers = tqdm(
        range(len(dataset)), unit="picture", file=sys.stderr, disable=not progress, desc="convert"
    )
    with folder:
        for i in numbers:
            pair = pairs[i] if i < len(pairs) else None
            try:
                sample = dataset[i]
                ids = plan.table[sample.labels]
                file = getattr(pair, "image", None)
                names = folder.add(sample.key, ids, sample.image, file)
            except (FacePartsError, OSError) as error:
                key = str(getattr(pair, "key", i))
                failed[key] = one_line(str(error))
                click.echo(f"faceparts: FAILED {failed[key]}", err=True)
                continue
            before += np.bincount(sample.labels.ravel(), minlength=256)
            after += np.bincount(ids.ravel(), minlength=256)
            written[sample.key] = {"files": names, "subject": sample.subject}
    report = _as_report(source, plan, before, after, written, failed)
    folder.describe(report)
    click.echo(
        _report.to_json(report) if as_json else "\n".join(_as_text(report, out)) + "\n", nl=False
    )
    return EXIT_FAILED if failed else 0


def _as_report(
    source: Source,
    plan: Plan,
    before: np.ndarray[Any, np.dtype[np.int64]],
    after: np.ndarray[Any, np.dtype[np.int64]],
    written: dict[str, dict[str, Any]],
    failed: dict[str, str],
) -> dict[str, Any]:
    total = max(int(before.sum()), 1)
    return {
        "faceparts_data_convert": 1,
        "source": source.where,
        "from": plan.source.name,
        "to": plan.target.name,
        "merged": {part: list(parts) for part, parts in plan.merged.items()},
        "lost": {part: round(int(before[plan.source.id(part)]) / total, 6) for part in plan.lost},
        "absent": list(plan.absent),
        "background": "unknown" if plan.table[0] == IGNORE else "background",
        "pixel_share": {
            **{part: round(int(after[i]) / total, 6) for i, part in enumerate(plan.target.parts)},
            "unknown": round(int(after[IGNORE]) / total, 6),
        },
        "pictures": written,
        "failed": failed,
    }


def _as_text(report: dict[str, Any], out: Path) -> list[str]:
    lines = [f"{report['source']}: {report['from']} -> {report['to']}, {out}"]
    lines += [
        f"  merged  {' + '.join(parts)} -> {part}" for part, parts in report["merged"].items()
    ]
    lines += [
        f"  lost    {part} ({100 * share:.2f}% of the pixels)"
        for part, share in report["lost"].items()
    ]
    if report["absent"]:
        lines.append(f"  absent  {', '.join(report['absent'])}; background: {report['background']}")
    shares = report["pixel_share"]
    lines += [f"  {part:<16}{100 * share:>8.2f}%" for part, share in shares.items()]
    lines.append(f"{len(report['pictures'])} pictures written, {len(report['failed'])} failed")
    return lines
