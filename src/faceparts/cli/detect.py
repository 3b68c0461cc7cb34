"""``faceparts detect``: head boxes and points as rows."""

from __future__ import annotations

import click

from faceparts.cli._options import Common, common_options


@click.command("detect")
@click.option(
    "--rows",
    type=click.Choice(["csv", "json"]),
    default="csv",
    show_default=True,
    help="Form of the rows: heads.csv or heads.json in the output folder, or on standard output.",
)
@click.option("--draw", is_flag=True, help="Also write each picture with boxes and points (PNG).")
@common_options(out_required=False)
def detect(common: Common, rows: str, draw: bool) -> int:
    """Find every head in photos.

    One row a head: picture, box and points in pixels, scores. Without -o the rows go to standard
    output (unless --json asks for the report there).

    \b
    Example:
      faceparts detect photos > heads.csv
      faceparts detect photos --rows json --min-score 0.6
      faceparts detect photos -o heads --draw
    """
    from faceparts.cli._detecting import run_detect

    return run_detect(common, rows=rows, draw=draw)


COMMAND = detect
