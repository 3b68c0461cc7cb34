"""``faceparts evaluate``: how good a parser is under a named protocol, and two of them compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

PROTOCOLS = (
    *("celebamask18", "lapa10", "helen-overall", "ibugmask", "lfw-pixel", "lfw-superpixel"),
    *("fasseg-seed", "fasseg-clean", "visible-face", "nprportrait10"),
)
"""Known before NumPy is loaded; a test holds it against `faceparts.evaluate.protocols`."""


@click.command("evaluate")
@click.argument("model", metavar="[MODEL]", required=False)
@click.option(
    "--data",
    metavar="NAME:ROOT:SPLIT",
    help="Labelled pictures: an adapter ('faceparts data list'), its folder and split.",
)
@click.option(
    "--protocol",
    type=click.Choice(PROTOCOLS),
    help="What is scored and how; docs/evaluation.md describes each.",
)
@click.option(
    "--compare",
    nargs=2,
    metavar="A B",
    help="Paired differences B - A with intervals: two folders that 'evaluate -o' wrote, or two "
    "models (then with --data and --protocol).",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder for report.json and report.html (comparison.json and comparison.html).",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report to standard output.")
@click.option(
    "--alignment",
    type=click.Choice(["whole", "detector", "labels"]),
    help="How the face is cut out, instead of the protocol's way; the report says so.",
)
@click.option("--detector", default="headnet", show_default=True, metavar="NAME")
@click.option("--limit", type=click.IntRange(1), help="Only the first so many pictures.")
@click.option(
    "--trained-on-list",
    "lists",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="data.json of the training, or sha256 of its pictures, one a line as sha256sum writes "
    "them: refuses the data if one of them is in it. May be given several times.",
)
@click.option(
    "--anyway", is_flag=True, help="Measure on training data too; the report says: not a test."
)
@click.option(
    "--prove",
    is_flag=True,
    help="Exit code 3 unless it is known that no picture was trained on.",
)
@click.option("--no-pictures", is_flag=True, help="Leave the pictures out of report.html.")
@click.option(
    "--resamples",
    type=click.IntRange(100, 1_000_000),
    default=2000,
    show_default=True,
    help="How often --compare draws the pictures.",
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option("--threads", type=click.IntRange(1, 1024), help="Processor threads; all by default.")
@click.option(
    "--device", type=click.Choice(["cpu", "cuda", "auto"]), default="cpu", show_default=True
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "int8", "fp32"]),
    default="auto",
    show_default=True,
    help="Which variant of shipped nets to use.",
)
@click.option("--force", is_flag=True, help="Overwrite reports that exist.")
@click.option(
    "--progress/--no-progress",
    default=None,
    help="Progress bar on standard error; by default only on a terminal.",
)
@click.option("--quiet", is_flag=True, help="Print failures only.")
def evaluate(model: str | None, **options: Any) -> int:
    """Measure a parser on labelled pictures under a named protocol.

    MODEL is a name from 'faceparts models' or a weights file.

    \b
    Example:
      faceparts evaluate partnet --data celebamask:data/celebamask:val \\
        --protocol celebamask18 -o report
      faceparts evaluate --compare report-a report-b
    """
    from faceparts.cli._evaluating import Asked, run_evaluate

    return run_evaluate(Asked(model=model, **options))


COMMAND = evaluate
