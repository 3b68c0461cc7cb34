"""Options that several verbs share, as one frozen dataclass, and the decorator that adds them."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click

from faceparts import folder
from faceparts.cli._ranges import NumberRange
from faceparts.errors import UsageError

STREAM = "-"
"""Stands for standard input or standard output."""

_FORMATS = ("jpg", "png", "webp", "tiff", "bmp")


@dataclass(frozen=True)
class Common:
    """What every verb that reads pictures is told; see the help texts below."""

    inputs: tuple[str, ...]
    out: str | None
    recursive: bool
    force: bool
    resume: bool
    max_megapixels: int
    detector: str
    detector_weights: str | None
    min_score: float | None
    model: str
    threads: int | None
    jobs: int
    device: str
    precision: str
    json: bool
    report: Path | None
    progress: bool | None
    quiet: bool
    tiles: bool | None = None
    head_rule: str | None = None
    box_px: float | None = None
    head_factor: float | None = None

    @property
    def detector_options(self) -> dict[str, object]:
        """Keywords of the detector's ``load`` that were given."""
        asked = {
            "tiles": self.tiles,
            "rule": self.head_rule,
            "box_px": self.box_px,
            "factor": self.head_factor,
        }
        return {name: value for name, value in asked.items() if value is not None}

    @property
    def out_dir(self) -> Path | None:
        """Folder to write to; ``None`` when the result goes to standard output or nowhere."""
        return None if self.out in (None, STREAM) else Path(str(self.out))

    @property
    def to_stdout(self) -> bool:
        """Whether the one result itself goes to standard output."""
        return self.out == STREAM


@dataclass(frozen=True)
class Writing:
    """How changed pictures are written."""

    format: str | None
    quality: int
    keep_exif: bool


def _detectors(ctx: click.Context, _: click.Parameter, name: str) -> str:
    folder_names = folder.names("faceparts.detect")
    for one in name.split("+"):
        if one not in folder_names and not ctx.resilient_parsing:
            raise click.BadParameter(
                f"{one!r} is not one of {', '.join(folder_names)}, or several joined by +"
            )
    return name


def _add(options: list[Callable[[Any], Any]], function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(options):
        function = option(function)
    return function


def common_options(*, out_required: bool) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a verb the options of `Common`; it is called with them as ``common=``."""
    options = [
        click.argument("inputs", metavar="INPUT...", nargs=-1, required=True),
        click.option(
            "-o",
            "--out",
            required=out_required,
            metavar="DIR",
            help="Folder for results, made if need be; '-' writes the result of one picture to "
            "standard output.",
        ),
        click.option(
            "--recursive/--no-recursive",
            default=True,
            help="Take folders with everything below them (default) or only their own files.",
        ),
        click.option("--force", is_flag=True, help="Overwrite results that exist; never inputs."),
        click.option(
            "--resume",
            is_flag=True,
            help="Go on with an interrupted run in the same folder and with the same options: what "
            "its report tells is done is not done again.",
        ),
        click.option(
            "--max-megapixels",
            type=click.IntRange(1, 4000),
            default=268,
            show_default=True,
            help="Refuse larger pictures before they are decoded.",
        ),
        click.option(
            "--detector",
            default="headnet",
            show_default=True,
            metavar="NAME",
            callback=_detectors,
            help=f"How heads are found: {', '.join(folder.names('faceparts.detect'))}, or several "
            "joined by +: headnet+turned for photos that do not stand upright, headnet+keypoints.",
        ),
        click.option(
            "--detector-weights",
            "--weights",
            "detector_weights",
            metavar="NAME|FILE",
            help="Weights of the detector instead of those that it comes with; for several "
            "detectors NAME=FILE,NAME=FILE.",
        ),
        click.option(
            "--tiles/--no-tiles",
            default=None,
            help="Look at large photos in tiles too (default) or only as a whole.",
        ),
        click.option(
            "--head-rule",
            type=click.Choice(["head", "s0"]),
            help="[keypoints] Box around the head (default), or the square of the published rule: "
            "the middle of nose, eyes and ears, radius 3 times their largest distance.",
        ),
        click.option(
            "--head-factor",
            type=NumberRange(0.1, 100),
            help="[keypoints] The 3 of --head-rule s0.",
        ),
        click.option(
            "--box-px",
            type=NumberRange(1, 100_000),
            help="[keypoints] Side of every head's box, where all people are equally far away.",
        ),
        click.option(
            "--min-score",
            type=NumberRange(0, 1),
            help="Score from which a head counts; by default what the detector's card says.",
        ),
        click.option(
            "--model",
            default="partnet",
            show_default=True,
            metavar="NAME|FILE",
            help="Net that segments faces: a name from 'faceparts models' or an ONNX file.",
        ),
        click.option(
            "--threads", type=click.IntRange(1, 1024), help="Processor threads; all by default."
        ),
        click.option(
            "--jobs",
            type=click.IntRange(1, 64),
            default=1,
            show_default=True,
            metavar="N",
            help="Photos that are worked on at once and share the threads; takes more memory, and "
            "less time for a folder.",
        ),
        click.option(
            "--device",
            type=click.Choice(["cpu", "cuda", "auto"]),
            default="cpu",
            show_default=True,
            help="Where nets run; 'cuda' never falls back to the processor.",
        ),
        click.option(
            "--precision",
            type=click.Choice(["auto", "int8", "fp32"]),
            default="auto",
            show_default=True,
            help="Which variant of shipped nets to use.",
        ),
        click.option("--json", is_flag=True, help="Print the report to standard output."),
        click.option(
            "--report",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="Write the report to FILE too, not only into the output folder.",
        ),
        click.option(
            "--progress/--no-progress",
            default=None,
            help="Progress bar on standard error; by default only on a terminal.",
        ),
        click.option("--quiet", is_flag=True, help="Print failures only."),
    ]
    return lambda function: _add(options, _bundled(function, Common, "common"))


def writing_options(function: Callable[..., int]) -> Callable[..., int]:
    """Give a verb the options of `Writing`; it is called with them as ``writing=``."""
    options = [
        click.option(
            "--format",
            type=click.Choice(_FORMATS),
            help="Format of the results; by default what each input's name ends in, and PNG for "
            "standard input, pipes and files without such an ending; with -o - the input's own.",
        ),
        click.option(
            "--quality",
            type=click.IntRange(1, 100),
            default=95,
            show_default=True,
            help="Of JPEG and WebP.",
        ),
        click.option(
            "--keep-exif",
            is_flag=True,
            help="Keep camera, exposure, time and copyright; place, thumbnail, serial numbers and "
            "maker notes are dropped in any case.",
        ),
    ]
    return _add(options, _bundled(function, Writing, "writing"))


def long_hair_option(function: Callable[..., int]) -> Callable[..., int]:
    """Give a verb ``--long-hair/--no-long-hair``; it is called with ``long_hair=``."""
    return click.option(
        "--long-hair/--no-long-hair",
        default=True,
        help="Look wider where hair leaves the cut around a head (default), or end there.",
    )(function)


def _bundled(function: Callable[..., int], kind: type[Any], name: str) -> Callable[..., int]:
    """Hand a command's flat values on as one dataclass."""

    @functools.wraps(function)
    def command(**values: Any) -> int:
        bundle = kind(**{f.name: values.pop(f.name) for f in fields(kind)})
        return function(**values, **{name: bundle})

    return command


def check(common: Common) -> None:
    """Refuse combinations that cannot be served, before any work.

    Raises:
        UsageError: standard output is asked for twice, or standard input twice, or one that is
            closed; or the output folder is a file, or the report is none; or there is nothing to
            resume.
    """
    if (common.to_stdout or common.json) and sys.stdout is None:
        raise UsageError("there is no standard output (-o -, --json); use -o DIR or --report FILE")
    if common.report == Path(STREAM):
        raise UsageError(
            f"--report {STREAM}: got standard output, wanted a file; --json prints the report there"
        )
    if common.out == "":
        raise UsageError("-o: got an empty name; name a folder, '.' for this one")
    for folder_path in (common.out_dir, *(common.out_dir.parents if common.out_dir else ())):
        if folder_path is not None and folder_path.exists() and not folder_path.is_dir():
            raise UsageError(f"-o {common.out}: {folder_path} is a file; name a folder")
    if common.to_stdout and common.json:
        raise UsageError("-o - and --json both want standard output; send the report to --report")
    if STREAM in common.inputs and sys.stdin is None:
        raise UsageError("there is no standard input (-); name a file")
    if common.resume and (common.out_dir is None or common.force):
        other = "needs -o DIR" if common.out_dir is None else "and --force exclude each other"
        raise UsageError(f"--resume {other}; an interrupted run is known by its folder's report")
    if common.inputs.count(STREAM) > 1:
        raise UsageError("standard input (-) can be read only once; give it once")
    if common.to_stdout and len(common.inputs) != 1:
        raise UsageError(f"-o - takes one picture, got {len(common.inputs)} inputs; use -o DIR")
