"""``faceparts segment``: label maps and, on request, masks, cut-outs, overlays, COCO, tables."""

from __future__ import annotations

from pathlib import Path

import click

from faceparts.cli._options import Common, common_options, long_hair_option


class _WithInput(click.Command):
    """A command whose inputs may be given as ``--input INPUT`` too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take every ``--input`` before ``--`` for what it introduces."""
        end = args.index("--") if "--" in args else len(args)
        plain = [a.removeprefix("--input=") for a in args[:end] if a != "--input"]
        if end and args[end - 1] == "--input":
            raise click.BadOptionUsage("--input", "Option '--input' requires an argument.", ctx)
        return super().parse_args(ctx, plain + args[end:])


@click.command("segment", cls=_WithInput)
@click.option(
    "--input",
    "introduced",
    metavar="INPUT",
    expose_value=False,
    help="A picture or folder, the same as INPUT without it.",
)
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
@long_hair_option
@common_options(out_required=True)
def segment(
    common: Common,
    masks: bool,
    cutouts: bool,
    overlay: bool,
    npz: bool,
    coco: bool,
    table: Path | None,
    long_hair: bool,
) -> int:
    """Segment every face in photos into parts.

    Writes one palette PNG a photo at the photo's own size: the pixel value is the part's id, which
    classes.json explains.

    \b
    Example:
      faceparts segment photos -o parts --overlay
      faceparts segment photos -o parts --masks --coco --table faces.csv
      faceparts segment - -o - < group.jpg > labels.png
    """
    from faceparts.cli._segmenting import Wanted, run_segment

    wanted = Wanted(masks, cutouts, overlay, npz, coco)
    return run_segment(common, wanted, table, long_hair=long_hair)


COMMAND = segment
