"""``faceparts segment``: label maps and, on request, masks, cut-outs, overlays, COCO, tables."""

from __future__ import annotations

from pathlib import Path

import click

from faceparts.cli._options import Common, common_options


@click.command("segment")
@click.option("--masks", is_flag=True, help="One black and white PNG a face and part.")
@click.option("--cutouts", is_flag=True, help="One transparent PNG (RGBA) a face.")
@click.option("--overlay", is_flag=True, help="The picture with part colours, boxes and points.")
@click.option("--npz", is_flag=True, help="Labels, confidence, boxes and points as NumPy arrays.")
@click.option("--coco", is_flag=True, help="coco.json: all parts of the run as COCO masks (RLE).")
@click.option(
    "--table",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.csv",
    help="One row of measurements a face.",
)
@common_options(out_required=True)
def segment(
    common: Common,
    masks: bool,
    cutouts: bool,
    overlay: bool,
    npz: bool,
    coco: bool,
    table: Path | None,
) -> int:
    """Segment every face in photos into parts.

    Writes one palette PNG a photo at the photo's own size: the pixel value is the part's id, which
    classes.json explains.
    """
    from faceparts.cli._segmenting import Wanted, run_segment

    return run_segment(common, Wanted(masks, cutouts, overlay, npz, coco), table)


COMMAND = segment
