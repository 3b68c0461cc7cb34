"""``faceparts data ...``: look at labelled pictures, mend them, translate them, make them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from faceparts.cli._data_answers_options import answers
from faceparts.cli._ranges import NumberRange

_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)

_json = click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
_force = click.option("--force", is_flag=True, help="Replace an earlier run's results; no inputs.")
_progress = click.option(
    "--progress/--no-progress",
    default=None,
    help="Progress bar on standard error; by default only on a terminal.",
)


def _shows(progress: bool | None) -> bool:
    return sys.stderr.isatty() if progress is None else progress


@click.group("data")
def data() -> None:
    """Look at labelled pictures, mend them, translate them, make them.

    \b
    Example:
      faceparts data check celebamask:data/celebamask
      faceparts data clean --help
    """


@data.command("list", short_help="List face-segmentation sets and their terms.")
@click.option("--commercial", is_flag=True, help="Only sets whose terms allow commercial use.")
@click.option("--readable", is_flag=True, help="Only sets that faceparts reads.")
@_json
def list_sets(commercial: bool, readable: bool, as_json: bool) -> int:
    """List face-segmentation sets: size, classes, terms, and where they are to be had.

    Nothing is downloaded. Terms change: read them on the maker's page.

    \b
    Example:
      faceparts data list --readable
    """
    from faceparts.cli._data_list import run_list

    return run_list(commercial=commercial, readable=readable, as_json=as_json)


@data.command("check")
@click.argument("sources", metavar="NAME:ROOT[:SPLIT]...", nargs=-1, required=True)
@click.option(
    "--contact-sheet",
    type=_FILE,
    metavar="FILE.png",
    help="Draw pictures of every split under the colours of their labels.",
)
@click.option(
    "--pictures",
    type=click.IntRange(1, 400),
    default=24,
    show_default=True,
    help="Pictures of each split on the contact sheet.",
)
@click.option("--strict", is_flag=True, help="Warnings count as wrong too.")
@click.option("--force", is_flag=True, help="Overwrite the contact sheet.")
@_json
@_progress
def check(
    sources: tuple[str, ...],
    contact_sheet: Path | None,
    pictures: int,
    strict: bool,
    force: bool,
    as_json: bool,
    progress: bool | None,
) -> int:
    """Read every pair of a dataset and say what is wrong.

    NAME is a dataset of 'faceparts data list', ROOT its folder as published. Without a SPLIT every
    split that is there is checked, and all splits against each other.

    Wrong (exit code 1): a pair that cannot be read, differs in size or holds an unknown id; one
    photo in two splits, by file, by pixels, rescaled, recompressed or mirrored; left and right
    swapped throughout. Warnings: the same within a split, single swapped pictures, people in two
    splits, parts that never occur, what the adapter leaves out.

    \b
    Example:
      faceparts data check celebamask:data/celebamask
      faceparts data check fasseg:fasseg:v2-train fasseg:fasseg:v2-test --contact-sheet look.png
    """
    from faceparts.cli._data_check import run_check
    from faceparts.cli._data_sources import parse_source

    return run_check(
        [parse_source(text) for text in sources],
        contact_sheet=contact_sheet,
        pictures=pictures if contact_sheet is not None else 0,
        as_json=as_json,
        strict=strict,
        force=force,
        progress=_shows(progress),
    )


@data.command("convert", short_help="Write a dataset in another label set.")
@click.argument("source", metavar="NAME:ROOT:SPLIT")
@click.argument("out", type=_FOLDER)
@click.option("--label-set", required=True, metavar="NAME", help="Label set to write.")
@click.option(
    "--rest",
    type=click.Choice(["unknown", "background"]),
    default="unknown",
    show_default=True,
    help="What parts become that the label set lacks; unknown is 255.",
)
@click.option(
    "--partial",
    is_flag=True,
    help="Go on where parts of the label set are missing in the data; the background, which may "
    "hold them, becomes unknown.",
)
@click.option("--keep-background", is_flag=True, help="With --partial: keep it all the same.")
@_force
@_json
@_progress
def convert(
    source: str,
    out: Path,
    label_set: str,
    rest: str,
    partial: bool,
    keep_background: bool,
    force: bool,
    as_json: bool,
    progress: bool | None,
) -> int:
    """Write a dataset in another label set, into the new folder OUT.

    OUT gets images/, masks/ (palette PNG), pairs.toml and classes.json, so that pairs:OUT is a
    dataset, and report.json with what was merged, lost and absent.

    \b
    Example:
      faceparts data convert celebamask:data/celebamask:val lapa-style --label-set lapa11
    """
    from faceparts.cli._data_convert import run_convert
    from faceparts.cli._data_sources import parse_source

    return run_convert(
        parse_source(source, with_split=True),
        out,
        label_set,
        rest=rest,
        partial=partial,
        keep_background=keep_background,
        force=force,
        as_json=as_json,
        progress=_shows(progress),
    )


@data.command("clean", short_help="Turn colour-coded masks into clean palette PNGs.")
@click.argument("masks", metavar="IN", type=click.Path(exists=True, path_type=Path))
@click.argument("out", type=_FOLDER)
@click.option(
    "--palette",
    default="discover",
    show_default=True,
    metavar="NAME|FILE|discover[:K]",
    help="Colours of the parts: a dataset with painted masks (fasseg), a label set, a pairs.toml "
    "or classes.json with colours, or found in the masks (K of them, or as many as there are).",
)
@click.option(
    "--discover-by",
    type=click.Choice(["modes", "kmeans"]),
    default="modes",
    show_default=True,
    help="How colours are found: peaks among flat areas, or k-means over all pixels.",
)
@click.option(
    "--method",
    type=click.Choice(["nearest", "grey-kmeans"]),
    default="nearest",
    show_default=True,
    help="Nearest colour, or (for comparison) k-means on grey levels.",
)
@click.option(
    "--cap",
    type=NumberRange(0, 442),
    help="RGB distance up to which a pixel is sure, farther ones become 255; by default just under "
    "half the distance of the two closest colours; 442 leaves nothing in doubt.",
)
@click.option(
    "--split-sides",
    "split",
    multiple=True,
    metavar="PART",
    help="Tell left and right of a part apart: eyes becomes left_eye and right_eye.",
)
@click.option(
    "--nose", default="nose", show_default=True, metavar="PART", help="Part that marks the middle."
)
@click.option(
    "--size",
    "size_px",
    type=click.IntRange(1, 16384),
    help="Fit masks (and photos) into squares of this side; the border is 255 (grey).",
)
@click.option(
    "--images",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Photos of the masks, of the same names; they come along into OUT/images.",
)
@click.option(
    "--sheet", "before_after", type=_FILE, metavar="FILE.png", help="Draw masks before and after."
)
@_force
@_json
@_progress
def clean(
    masks: Path,
    out: Path,
    palette: str,
    discover_by: str,
    method: str,
    cap: float | None,
    split: tuple[str, ...],
    nose: str,
    size_px: int | None,
    images: Path | None,
    before_after: Path | None,
    force: bool,
    as_json: bool,
    progress: bool | None,
) -> int:
    """Turn colour-coded masks IN into clean palette PNGs in the new folder OUT.

    Every pixel gets the part of the nearest colour; pixels near none are 255, unknown. The report
    says how many pixels moved. Rename found colours in OUT/classes.json, give it as --palette, and
    run again.

    \b
    Example:
      faceparts data clean masks clean --palette discover:6 --sheet before-after.png
      faceparts data clean V2/Test_Labels clean --palette fasseg --split-sides eyes --size 600
    """
    from faceparts.cli._data_clean import Wanted, run_clean

    return run_clean(
        masks,
        out,
        Wanted(palette, discover_by, method, cap, split, nose, size_px),
        images=images,
        before_after=before_after,
        force=force,
        as_json=as_json,
        progress=_shows(progress),
    )


@data.command("pseudolabel", short_help="Label heads in photos with a net.")
@click.argument("photos", metavar="PHOTOS...", nargs=-1, required=True)
@click.argument("out", type=_FOLDER)
@click.option(
    "--model",
    default="partnet",
    show_default=True,
    metavar="NAME|FILE",
    help="Net whose labels are kept: a name from 'faceparts models' or a weights file.",
)
@click.option(
    "--agree-with",
    metavar="NAME|FILE",
    help="A second net that must find the same; its label set may be another one.",
)
@click.option("--mirror", is_flag=True, help="The mirrored crop must give the mirrored labels.")
@click.option(
    "--min-agreement",
    type=NumberRange(0, 1),
    default=0.9,
    show_default=True,
    help="Share of a head's pixels on which two looks must agree.",
)
@click.option(
    "--min-confidence",
    type=NumberRange(0, 1),
    default=0.5,
    show_default=True,
    help="Probability from which a pixel keeps its label; others are 255.",
)
@click.option(
    "--min-sure",
    type=NumberRange(0, 1),
    default=0.8,
    show_default=True,
    help="Share of a head's pixels that must keep their label.",
)
@click.option(
    "--min-head-px",
    type=click.IntRange(1),
    default=48,
    show_default=True,
    help="Smallest head, longer side in pixels of the photo.",
)
@click.option(
    "--max-px",
    type=click.IntRange(16, 4096),
    default=512,
    show_default=True,
    help="Largest side of a crop; smaller heads are not enlarged.",
)
@click.option(
    "--layout",
    type=click.Choice(["auto", "facecrops", "pairs"]),
    default="auto",
    show_default=True,
    help="Dataset that the result is: facecrops (CelebAMask parts) or pairs (any).",
)
@click.option(
    "--detector", default="headnet", show_default=True, metavar="NAME", help="How heads are found."
)
@click.option("--min-score", type=NumberRange(0, 1), help="Score from which a head counts.")
@click.option("--threads", type=click.IntRange(1, 1024), help="Processor threads; all by default.")
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda", "auto"]),
    default="cpu",
    show_default=True,
    help="Where nets run; 'cuda' never falls back to the processor.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "int8", "fp32"]),
    default="auto",
    show_default=True,
    help="Which variant of shipped nets to use.",
)
@_force
@_json
@_progress
def pseudolabel(
    photos: tuple[str, ...],
    out: Path,
    model: str,
    agree_with: str | None,
    mirror: bool,
    min_agreement: float,
    min_confidence: float,
    min_sure: float,
    min_head_px: int,
    max_px: int,
    layout: str,
    detector: str,
    min_score: float | None,
    threads: int | None,
    device: str,
    precision: str,
    force: bool,
    as_json: bool,
    progress: bool | None,
) -> int:
    """Label the heads in PHOTOS with a net, into the new folder OUT, and keep what holds.

    Every head is cut out and labelled. Pixels are 255 where the net is unsure, where two looks
    differ, and beyond the photo; crops in which too much differs are left out. OUT/report.json says
    for every head what was measured and why it was not kept.

    \b
    Example:
      faceparts data pseudolabel photos labelled --mirror
      faceparts data pseudolabel photos labelled --agree-with other.onnx --min-agreement 0.95
    """
    from faceparts.cli._data_pseudolabel import Models, run_pseudolabel
    from faceparts.evaluate.pseudolabel import Filters

    return run_pseudolabel(
        photos,
        out,
        Models(model, agree_with, detector, min_score, threads, device, precision),
        Filters(min_agreement, min_confidence, min_sure, min_head_px, mirror, max_px),
        layout=layout,
        force=force,
        as_json=as_json,
        progress=_shows(progress),
    )


data.add_command(answers)
COMMAND = data
