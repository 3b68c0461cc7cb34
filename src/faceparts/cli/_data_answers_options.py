"""``faceparts data answers``: its options. What it does is in `_data_answers`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from faceparts.errors import UsageError


@click.command("answers", short_help="Keep what nets say of a dataset, to be learnt from.")
@click.argument("source", metavar="NAME:ROOT:SPLIT")
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--net",
    "nets",
    multiple=True,
    required=True,
    metavar="NAME|FILE[=SHARE]",
    help="Net to ask, and its share of the answer; may be given again. The first decides left and "
    "right, and what covers a face.",
)
@click.option(
    "--label-set", default="celeba19", show_default=True, metavar="NAME", help="Parts to ask for."
)
@click.option("--closer", is_flag=True, help="Look closer at the head too; twice the time.")
@click.option("--threads", type=click.IntRange(1, 256), help="Processor threads; all by default.")
@click.option("--force", is_flag=True, help="Ask again, and overwrite answers that exist.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option(
    "--progress/--no-progress",
    default=None,
    help="Progress bar on standard error; by default only on a terminal.",
)
def answers(
    source: str,
    out: Path,
    nets: tuple[str, ...],
    label_set: str,
    closer: bool,
    threads: int | None,
    force: bool,
    as_json: bool,
    progress: bool | None,
) -> int:
    """Keep in OUT what nets say of every picture of a dataset: probabilities, not labels.

    A recipe names OUT as the answers of that dataset. Every picture is looked at straight and
    mirrored. Pictures that have an answer are left out, so an interrupted run goes on.

    \b
    Example:
      faceparts data answers celebamask:data/celebamask:train data/answers/celebamask --net partnet
      faceparts data answers facecrops:data/crops:all answers --net partnet=0.3 --net other.onnx=0.7
    """
    try:
        from faceparts.cli._data_answers import Asked, parse_net, run_answers
    except ImportError as error:
        raise UsageError(
            f"asking nets needs more packages ({error}); pip install 'faceparts[train]'"
        ) from error
    from faceparts.cli._data_sources import parse_source
    from faceparts.weights import available_cores

    asked = Asked(
        tuple(parse_net(n) for n in nets), label_set, closer, threads or available_cores()
    )
    return run_answers(
        parse_source(source, with_split=True),
        out,
        asked,
        force=force,
        as_json=as_json,
        progress=sys.stderr.isatty() if progress is None else progress,
    )
