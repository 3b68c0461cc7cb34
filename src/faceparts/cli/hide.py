"""``faceparts hide``: copies of photos and videos in which no face can be recognised."""

from __future__ import annotations

from collections.abc import Mapping

import click

from faceparts.cli._effects import EffectCommand
from faceparts.cli._options import Common, Writing, common_options, writing_options
from faceparts.effects import HIDING


@click.command("hide", cls=EffectCommand, effects=HIDING)
@click.option(
    "--effect",
    type=click.Choice(HIDING),
    default=HIDING[0],
    show_default=True,
    help="How faces are hidden; only 'solid' cannot be undone or matched.",
)
@common_options(out_required=True)
@writing_options
@click.option(
    "--turned/--no-turned",
    default=True,
    help="Where no head is sure, look at the photo turned by quarter turns too (default): it may "
    "not stand upright. Takes four times as long for such photos.",
)
def hide(
    common: Common, writing: Writing, effect: str, turned: bool, chosen: Mapping[str, object]
) -> int:
    """Hide every face in photos and videos.

    INPUT are photos, videos, folders, patterns such as 'photos/*.jpg', or '-' for standard input.
    Folders are mirrored into the output folder. Photos without a face are written too, so that the
    output folder is complete. Unless --min-score is given, heads count from half the detector's
    usual score on.

    Videos become MP4 files without sound. Heads count there that come near the usual score once;
    --min-score takes all. A head that is missed for up to two seconds is hidden in between too, and
    half a second before it was first and after it was last seen.

    \b
    Example:
      faceparts hide photos -o hidden
      faceparts hide group.jpg -o hidden --what head --color white
      faceparts hide 'photos/*.png' -o hidden --format jpg --keep-exif
      faceparts hide - -o - < group.jpg > hidden.jpg
      faceparts hide interview.mov -o hidden --what head
    """
    from faceparts.api import HIDE_SCORE_SHARE
    from faceparts.cli._change import change
    from faceparts.video import HOLD_S

    return change(
        "hide",
        common,
        writing,
        effect,
        chosen,
        min_score_share=HIDE_SCORE_SHARE,
        turned=turned,
        cut=True,
        hold_s=HOLD_S,
    )


COMMAND = hide
