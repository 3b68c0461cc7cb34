"""What ``hide`` and ``apply`` have in common: an effect over all pictures, written as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceparts._alpha import flatten, veil
from faceparts.cli._effects import effect_class, make_effect, try_out
from faceparts.cli._options import STREAM, Common, Writing
from faceparts.cli._parser import open_detector, open_parser
from faceparts.cli._session import PictureFrame, emit, open_session, refuse_among
from faceparts.cli._videos import Videos
from faceparts.effects._region import Hiding
from faceparts.errors import UsageError
from faceparts.images import READ_ONLY_SUFFIXES, SUFFIXES, encode_picture, format_for
from faceparts.parse import parse_translucent
from faceparts.streams import sheets
from faceparts.streams.files import InputFile, is_video
from faceparts.streams.video import OUT_SUFFIX
from faceparts.types import Face, Image
from faceparts.video import sure_score

_RGBA_CHANNELS = 4
_FORMAT_OF = {suffix: name for name, suffixes in SUFFIXES.items() for suffix in suffixes}
_READ_ONLY = tuple(suffix for suffixes in READ_ONLY_SUFFIXES.values() for suffix in suffixes)
_WITH_ALPHA = tuple(suffix for name in ("PNG", "WEBP", "TIFF") for suffix in SUFFIXES[name])


def change(
    verb: str,
    common: Common,
    writing: Writing,
    effect_name: str,
    chosen: Mapping[str, object],
    *,
    min_score_share: float = 1.0,
    turned: bool = False,
    cut: bool = False,
    long_hair: bool = True,
    contact_sheet: Path | None = None,
    hold_s: float = 0.0,
) -> int:
    """Apply an effect to every picture and write the results.

    Args:
        chosen: the effect's fields that were given.
        long_hair: see `FaceParser`; what hides faces never looks for it.
        contact_sheet: file for all results small on one picture.
        min_score_share: factor on the detector's own threshold where ``--min-score`` is not given.
        turned, cut: see `FaceParser`.
        hold_s: see `faceparts.video.look`.

    Returns:
        The exit code.
    """
    if contact_sheet is not None and contact_sheet.suffix.lower() not in _FORMAT_OF:
        raise UsageError(
            f"--contact-sheet {contact_sheet}: wanted a name that ends with one of "
            f"{', '.join(_FORMAT_OF)}"
        )
    effect = make_effect(effect_name, chosen)
    long_hair = long_hair and not isinstance(effect, Hiding)
    parser = open_parser(
        common, min_score_share=min_score_share, turned=turned, cut=cut, long_hair=long_hair
    )
    has_alpha = try_out(effect, parser.label_set) == _RGBA_CHANNELS
    if has_alpha and writing.format is not None and f".{writing.format}" not in _WITH_ALPHA:
        raise UsageError(
            f"--format {writing.format}: cannot hold what {effect_name} makes transparent; "
            "wanted png, webp or tiff"
        )
    videos = not has_alpha  # which a video cannot hold
    settings = {
        **asdict(writing),
        "effect": effect_name,
        **{f.name: getattr(effect, f.name) for f in fields(effect_class(effect_name))},
        "min_score": parser.min_score,
        "turned": turned,
        "long_hair": long_hair,
    }
    if contact_sheet is not None:
        settings["contact_sheet"] = str(contact_sheet)
    session = open_session(verb, common, settings, parser.models, videos=videos)
    if contact_sheet is not None:
        session.require_free([contact_sheet])
        require_apart(contact_sheet, common)
    on_sheet: set[str] = set()
    if contact_sheet is not None:
        stills = [item.key for item in session.items if not is_video(item.path)]
        on_sheet = {stills[i] for i in sheets.choose(len(stills))}
    small: list[tuple[str, Image]] = []

    def suffix_of(item: InputFile) -> str:
        if videos and is_video(item.path):
            return OUT_SUFFIX
        if writing.format is not None:
            return SUFFIXES[writing.format.upper().replace("JPG", "JPEG")][0]
        own = "" if item.path is None else item.path.suffix.lower()
        own = ".jpg" if own in _READ_ONLY else own
        return own if own in _FORMAT_OF and not (has_alpha and own not in _WITH_ALPHA) else ".png"

    targets = session.name_outputs(suffix_of)
    planned = {key: [target] for key, target in targets.items()}
    if contact_sheet is not None:
        refuse_among(f"--contact-sheet {contact_sheet}", contact_sheet, planned)

    def find(frame: PictureFrame) -> list[Face]:
        alpha = frame.picture.alpha if isinstance(effect, Hiding) else None
        return parse_translucent(parser.parse, frame.image, alpha)

    def write(frame: PictureFrame, image: Image, faces: Sequence[Face]) -> list[str]:
        target = targets.get(frame.key)
        if target is not None:
            kind = _FORMAT_OF[target.suffix.lower()]
        else:
            kind = writing.format or ("PNG" if has_alpha else format_for(frame.picture))
        like = frame.picture
        if like.alpha is not None and isinstance(effect, Hiding):
            rgba = effect.hide_translucent(image, like.alpha, faces)
            image, like = rgba[..., :3], replace(like, alpha=rgba[..., 3])
        elif like.alpha is not None and image.shape[2] == _RGBA_CHANNELS:
            image = veil(image, like.alpha)
        data = encode_picture(
            image,
            format=kind,
            like=like,
            quality=writing.quality,
            keep_exif=writing.keep_exif,
        )
        written = emit(data) if target is None else session.results.write([(target, data)])
        if frame.key in on_sheet:
            small.append((frame.key, sheets.shrink(_shown(image, like.alpha))))
        return written

    def finish() -> None:
        if contact_sheet is not None and small:
            kind = _FORMAT_OF[contact_sheet.suffix.lower()]
            session.results.write(
                [(contact_sheet, encode_picture(sheets.make_sheet(small), format=kind))]
            )

    steps = None
    if videos and any(is_video(item.path) for item in session.items):
        own, between = common.min_score is None, None
        sure = sure_score(parser.min_score, min_score_share) if own else 0.0
        if turned:  # takes long, and how a video stands does not change from frame to frame
            between = open_detector(common, min_score_share=min_score_share, cut=cut)[0].detect
        steps = Videos(parser, effect, session, targets, between, sure, hold_s)
    return session.process(parser.parse, effect, planned, write, finish, find=find, videos=steps)


def require_apart(sheet: Path, common: Common) -> None:
    """Keep a picture of results out of the folders with photos: a later run would take it for one.

    Raises:
        UsageError: it would lie in or below an input folder, and not in the output folder.
    """
    place = sheet.resolve()
    if common.out_dir is not None and place.is_relative_to(common.out_dir.resolve()):
        return
    for name in common.inputs:
        if name != STREAM and Path(name).is_dir() and place.is_relative_to(Path(name).resolve()):
            raise UsageError(
                f"--contact-sheet {sheet}: lies among the photos of {name}, and a later run would "
                "take it for one; name another folder, or the output folder"
            )


def _shown(image: Image, alpha: NDArray[np.uint8] | None) -> Image:
    """(H, W, 3): a result as it looks on white; what is transparent does not come to light."""
    if image.shape[2] == _RGBA_CHANNELS:
        image, alpha = np.ascontiguousarray(image[..., :3]), image[..., 3]
    return image if alpha is None else flatten(image, alpha, 255)
