"""``faceparts models``: what the shipped nets, or given files, say about themselves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from faceparts.cli._importing import COMMANDS


class _WithImports(click.Command):
    """A command whose first word may also be one of `_importing.COMMANDS`.

    Not a group: names and files follow ``models`` directly.
    """

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """The context of this command, or of the import that the first word names."""
        command = COMMANDS.get(args[0]) if args else None
        if command is None:
            return super().make_context(info_name, args, parent, **extra)
        return command.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)


@click.command("models", cls=_WithImports)
@click.argument("names", metavar="[NAME|FILE]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Everything on the cards, as JSON.")
def models(names: Sequence[str], as_json: bool) -> int:
    """List the nets with their parts, terms and measured results.

    Without arguments all nets that come with faceparts; else those named, or ONNX files.

    \b
    Example:
      faceparts models
      faceparts models partnet --json

    \b
    Weights of others become ONNX files with a card by
      faceparts models import-caffe --help
      faceparts models import --help
    """
    from faceparts import weights

    files = [weights.find(name) for name in names] or sorted(weights.MODELS.glob("*.onnx"))
    rows = [model_row(path) for path in files]
    if as_json:
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False, allow_nan=False))
    elif not rows:
        click.echo("no nets are shipped with this installation; name an ONNX file", err=True)
    else:
        click.echo("\n\n".join(_as_text(row) for row in rows))
    return 0


def model_row(path: Path) -> dict[str, Any]:
    """The card of a weights file with its parts by name, its size and its checksum.

    Raises:
        BadWeights: the file is missing, damaged or has no card.
    """
    from faceparts.cli._parser import describe
    from faceparts.segment import files

    card = files.read_card(path)
    return {
        **asdict(card),
        "parts": list(files.read_parts(path)),
        **describe(path),
        "name": card.name,
        "size_bytes": path.stat().st_size,
    }


def _as_text(row: dict[str, Any]) -> str:
    side = row["input_px"]
    lines = {
        "task": row["task"],
        "file": f"{row['file']}, {row['size_bytes'] / 1e6:.1f} MB, sha256 {row['sha256'][:16]}...",
        "input": f"{side} x {side} px" if side else "any size",
        "parts": ", ".join(row["parts"]) or "none (heads and seven points)",
        "licence": row["license"],
        "data": f"{', '.join(row['trained_on'])}: {row['data_license']}",
        "commercial": "yes" if row["commercial_ok"] else "no",
        "metrics": ", ".join(f"{k} {v:g}" for k, v in row["metrics"].items()) or "none",
    }
    return "\n".join([str(row["name"]), *(f"  {key:<11}{value}" for key, value in lines.items())])


COMMAND = models
