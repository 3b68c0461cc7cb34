"""``faceparts apply EFFECT``: any effect of the ``effects`` folder over photos and videos."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import cleandoc
from pathlib import Path

import click

from faceparts import folder
from faceparts.cli._effects import EffectCommand, effect_class
from faceparts.cli._options import (
    Common,
    Writing,
    common_options,
    long_hair_option,
    writing_options,
)


class Effects(click.Group):
    """Every file of ``faceparts.effects`` is a command with its fields as flags."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return folder.names("faceparts.effects")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _command(cmd_name) if cmd_name in self.list_commands(ctx) else None


def _command(name: str) -> click.Command:
    told = cleandoc(effect_class(name).__doc__ or "")

    @click.command(
        name,
        cls=EffectCommand,
        effects=(name,),
        help=f"{told}\n\n\b\nExample:\n  faceparts apply {name} photos -o out",
    )
    @click.option(
        "--contact-sheet",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Also lay all results small on one picture, with their names; of more than 400 "
        "evenly chosen ones.",
    )
    @long_hair_option
    @common_options(out_required=True)
    @writing_options
    def command(
        common: Common,
        writing: Writing,
        chosen: Mapping[str, object],
        contact_sheet: Path | None,
        long_hair: bool,
    ) -> int:
        from faceparts.cli._change import change

        return change(
            "apply",
            common,
            writing,
            name,
            chosen,
            long_hair=long_hair,
            contact_sheet=contact_sheet,
        )

    return command


@click.command("apply", cls=Effects)
def apply() -> None:
    """Apply an effect to faces in photos and videos.

    Every effect has its own --help.

    \b
    Example:
      faceparts apply recolor group.jpg -o out --part hair --color '#8b2635'
      faceparts apply overlay photos -o out --contact-sheet sheet.jpg
      faceparts apply overlay clip.mp4 -o out
      faceparts apply recolor --help
    """


COMMAND = apply
