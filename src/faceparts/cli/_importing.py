"""What ``faceparts models import`` and ``import-caffe`` do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from faceparts.errors import UnwritableOutput, UsageError

if TYPE_CHECKING:
    from faceparts.train.imports import Imported

_SHARED = [
    click.option(
        "-o",
        "--out",
        required=True,
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder to write NAME.onnx (and NAME.safetensors) into.",
    ),
    click.option(
        "--card",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="TOML or JSON with fields of the card (name, label_set, input_px, mean, std, margin, "
        "license ...) and 'outputs': which output stands for which part.",
    ),
    click.option("--name", help="Name of the model; by default that of the file."),
    click.option("--input-px", type=click.IntRange(32, 4096), help="Side of the crops it gets."),
    click.option(
        "--shrink-px",
        type=click.IntRange(0, 4096),
        help="Scale crops down to this side and back first, for nets that were trained on small "
        "pictures enlarged; 0 = never.",
    ),
    click.option("--half", is_flag=True, help="Store weights as float16, in half the space."),
    click.option("--force", is_flag=True, help="Overwrite files of that name."),
]


def _shared(function: Callable[..., int]) -> Callable[..., int]:
    for option in reversed(_SHARED):
        function = option(function)
    return function


def _pair(_: click.Context, __: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    wrong = [v for v in values if len(v.split("=")) != 2 or not all(v.split("="))]
    if wrong:
        raise click.BadParameter(f"{wrong[0]!r}; wanted OLD=NEW")
    return dict(v.split("=") for v in values)


@click.command("import-caffe")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--net", type=click.Choice(["fcn8s"]), default="fcn8s", show_default=True, help="Kind of net."
)
@click.option(
    "--rename",
    multiple=True,
    callback=_pair,
    metavar="OLD=NEW",
    help="A layer that the file calls otherwise than fcn8s-atonce does; may be repeated.",
)
@_shared
def import_caffe(file: Path, net: str, rename: dict[str, str], **options: Any) -> int:
    """Turn a binary .caffemodel into ONNX and safetensors with a card; Caffe is not needed.

    21 outputs are taken for a binary face net whose face is output 15, 3 for background, hair and
    face, 2 for background and face; 'outputs' in a card file says otherwise.

    \b
    Example:
      faceparts models import-caffe face_seg_fcn8s.caffemodel --net fcn8s -o models
      faceparts models import-caffe face_seg_fcn8s_300_no_aug.caffemodel --input-px 300 -o models
      faceparts segment --model models/face_seg_fcn8s.onnx --input photos -o out
    """
    _need_training_packages()
    from faceparts.train import imports

    return _write(imports.import_caffe(file, renamed=rename), file, **options)


@click.command("import")
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--net",
    type=click.Choice(["onnx", "bisenet", "segformer"]),
    help="Kind of net; by default ONNX for *.onnx.",
)
@_shared
def import_other(file: Path, net: str | None, **options: Any) -> int:
    """Take over a parser from elsewhere: ONNX with a card file, BiSeNet, or SegFormer.

    \b
    BiSeNet: the layout of 79999_iter.pth. SegFormer: a folder as Hugging Face stores it. ONNX: the
    card file must say name, label_set, input_px, mean, std and output ('logits' or 'probs'), and
    may say channels ('rgb', 'bgr'), layout ('nchw', 'nhwc') and output_name.

    \b
    Example:
      faceparts models import 79999_iter.pth --net bisenet -o models
      faceparts models import face-parsing --net segformer -o models
      faceparts models import parser.onnx --card card.toml -o models
    """
    _need_training_packages()
    from faceparts.train import imports

    if (net or file.suffix.removeprefix(".")) == "onnx":
        return _write_onnx(file, **options)
    if net is None:
        raise UsageError(f"{file}: what is it? give --net bisenet or --net segformer")
    read = {"bisenet": imports.import_bisenet, "segformer": imports.import_segformer}[net]
    return _write(read(file), file, **options)


COMMANDS = {command.name: command for command in (import_caffe, import_other)}


def _need_training_packages() -> None:
    try:
        import_module("faceparts.train._import_onnx")
    except ImportError as error:
        raise UsageError(
            f"importing needs more packages ({error}); pip install 'faceparts[train]'"
        ) from error


def _said(card: Path | None, name: str | None, **sides: int | None) -> dict[str, Any]:
    """Everything that card file and options say; options win."""
    from faceparts.train import imports

    said = imports.read_card_file(card)
    if name is not None:
        said["name"] = name
    return said | {key: side for key, side in sides.items() if side is not None}


def _write(
    one: Imported,
    file: Path,
    out: Path,
    card: Path | None,
    name: str | None,
    input_px: int | None,
    shrink_px: int | None,
    half: bool,
    force: bool,
) -> int:
    from faceparts.train import _import_onnx, imports

    said = _said(card, name, input_px=input_px, shrink_px=shrink_px)
    if one.card.shrink_px >= said.get("input_px", one.card.input_px):
        one = replace(one, card=replace(one.card, shrink_px=0))
    one = imports.overlay(one, said, str(card or "options"))
    for suffix in (".safetensors", ".onnx"):
        _require_free(out / f"{one.card.name}{suffix}", file, force=force)
    paths, gap = _import_onnx.write_net(
        one, out, half=half, force=force, forbidden=_read_from(file)
    )
    _tell(paths)
    click.echo(f"largest difference of a probability between PyTorch and ONNX: {gap:.1e}")
    return 0


def _write_onnx(
    file: Path,
    out: Path,
    card: Path | None,
    name: str | None,
    input_px: int | None,
    shrink_px: int | None,
    half: bool,
    force: bool,
) -> int:
    from faceparts import weights
    from faceparts.train import _import_onnx, imports

    if half:
        raise UsageError("--half is for nets that are read as PyTorch; ONNX files stay as they are")
    said = _said(card, name, input_px=input_px, shrink_px=shrink_px)
    wiring = {key: said.pop(key) for key in _import_onnx.OWN_KEYS if key in said}
    where = str(card or file)
    base: dict[str, Any] = {
        "task": "segment",
        "margin": 0.25,
        "trained_on": [imports.UNKNOWN],
        "license": imports.UNKNOWN,
        "data_license": imports.UNKNOWN,
        "commercial_ok": False,
        "metrics": {},
    }
    if not said.keys() - {"input_px", "shrink_px", "name"}:
        base = asdict(weights.read_card(file))  # one of ours, to be changed
    else:
        base["name"] = file.stem
    made = imports.make_card({**base, **said}, where)
    _require_free(out / f"{made.name}.onnx", file, force=force)
    outputs = None
    if "outputs" in wiring:
        outputs = imports.outputs_of(wiring["outputs"], made.label_set, where)
    model = _import_onnx.rewire(file, wiring, outputs)
    _tell([_import_onnx.write_onnx(model, made, out, force=force, forbidden=[file])])
    return 0


def _read_from(file: Path) -> list[Path]:
    """The files that an import reads."""
    return [*file.iterdir()] if file.is_dir() else [file]


def _require_free(path: Path, file: Path, *, force: bool) -> None:
    """Refuse to write over what was read, or without ``--force`` over anything, before any work.

    Raises:
        UnwritableOutput: the message says what to do.
    """
    if not path.exists():
        return
    for other in _read_from(file):
        if path.samefile(other):
            raise UnwritableOutput(
                f"{path}: would overwrite the input {other}; choose another folder or --name"
            )
    if not force:
        raise UnwritableOutput(
            f"{path}: exists already; choose another folder, another --name, or give --force"
        )


def _tell(paths: Sequence[Path]) -> None:
    for path in paths:
        click.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
