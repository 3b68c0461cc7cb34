"""``faceparts audit``: does a model serve everybody alike? Rates by group and the gaps between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from faceparts.cli._ranges import NumberRange


@click.command("audit", short_help="Rates by skin tone, head size, pose and brightness.")
@click.argument("model", metavar="MODEL")
@click.option(
    "--data",
    required=True,
    metavar="NAME:ROOT:SPLIT",
    help="Pictures with part labels, or with head boxes for a detector.",
)
@click.option(
    "--tone-by",
    metavar="MODEL",
    help="For head boxes: a parser that finds the skin whose tone is measured.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder for audit.json and audit.html.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the audit to standard output.")
@click.option(
    "--alignment",
    type=click.Choice(["whole", "detector", "labels"]),
    help="How faces are cut out for a parser, instead of the protocol's way.",
)
@click.option(
    "--shrink",
    metavar="PX,PX...",
    help="For a parser: the same pictures again, shrunk until the head has so many pixels.",
)
@click.option("--detector", default="headnet", show_default=True, metavar="NAME")
@click.option(
    "--min-score",
    type=NumberRange(0, 1),
    help="Score from which a head counts; by default what the detector's card says.",
)
@click.option(
    "--small",
    type=click.IntRange(2),
    default=10,
    show_default=True,
    help="Groups of fewer pictures (or heads) are marked and not compared.",
)
@click.option("--limit", type=click.IntRange(1), help="Only the first so many pictures.")
@click.option(
    "--trained-on-list",
    "lists",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="data.json of the training, or another list of its pictures' sha256; see 'faceparts "
    "evaluate'.",
)
@click.option(
    "--anyway", is_flag=True, help="Measure on training data too; the audit says: not a test."
)
@click.option(
    "--prove",
    is_flag=True,
    help="Exit code 3 unless it is known that no picture was trained on.",
)
@click.option(
    "--resamples",
    type=click.IntRange(100, 1_000_000),
    default=2000,
    show_default=True,
    help="How often the pictures are drawn for intervals.",
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
@click.option("--force", is_flag=True, help="Overwrite an audit that exists.")
@click.option(
    "--progress/--no-progress",
    default=None,
    help="Progress bar on standard error; by default only on a terminal.",
)
@click.option("--quiet", is_flag=True, help="Print failures only.")
def audit(model: str, **options: Any) -> int:
    """Rates by skin tone, head size, pose and brightness, and the gaps between groups.

    A parser: F1 of parts. A detector: recall of heads. Skin tone is the individual typology angle
    of the skin's pixels: a proxy that light and camera move, see docs/evaluation.md.

    \b
    Example:
      faceparts audit partnet --data celebamask:data/celebamask:val -o audit
      faceparts audit partnet --data celebamask:data/celebamask:val --shrink 128,64,32
      faceparts audit headnet --data scut_head:data/scut_head:val --tone-by partnet
    """
    from faceparts.cli._auditing import Asked, run_audit

    return run_audit(Asked(model=model, **options))


COMMAND = audit
