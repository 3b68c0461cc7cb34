"""The functions for a person with a photo or a video: `parse`, `hide` and `hide_video`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import lru_cache, partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack, get_type_hints, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil

from faceparts import folder, video
from faceparts._values import require_range
from faceparts.detect._union import open_detector
from faceparts.effects import HIDING
from faceparts.errors import UsageError
from faceparts.images import (
    Picture,
    encode_picture,
    format_for,
    from_pillow,
    read_picture,
    to_rgb,
)
from faceparts.parse import FaceParser, parse_translucent
from faceparts.streams.files import path_atomic
from faceparts.streams.video import OUT_SUFFIX, VideoReader
from faceparts.types import Face, HeadDetector, Image, Segmenter

Source = NDArray[np.uint8] | Pil.Image | bytes | str | Path
"""An array, a Pillow picture, the bytes of a picture file, or its path."""

HIDE_SCORE_SHARE = 0.5
"""Share of the detector's threshold from which `hide` takes a head: better one box too many."""

RGBA_CHANNELS = 4
_OPENING = threading.Lock()

SameT = TypeVar("SameT", NDArray[np.uint8], Pil.Image, bytes)


class ParserOptions(TypedDict, total=False):
    """Options of `FaceParser`; see there."""

    detector: HeadDetector | str
    segmenter: Segmenter | str | Path
    detector_weights: str | Path | None
    min_score: float | None
    min_score_share: float
    turned: bool
    cut: bool
    threads: int | None
    device: str
    precision: str
    flip: bool
    batch: int
    long_hair: bool


@lru_cache(maxsize=4)
def _made_parser(options: tuple[tuple[str, Any], ...]) -> FaceParser:
    return FaceParser(**dict(options))


def _cached_parser(options: tuple[tuple[str, Any], ...]) -> FaceParser:
    """One parser for the same options, whichever thread asks first."""
    with _OPENING:
        return _made_parser(options)


def parse(source: Source, **options: Unpack[ParserOptions]) -> list[Face]:
    """Find every face in a picture and its parts, at the picture's own resolution.

    The nets are loaded at the first call and kept for further calls with the same options.

    Args:
        source: (H, W, 3) uint8 RGB (grey and RGBA too), a Pillow picture, the bytes of a picture
            file, or its path. The EXIF orientation is applied. Where it is transparent in part,
            faces are looked for in its colours and in what a viewer shows of it.
        options: see `FaceParser`.

    Raises:
        UnreadableImage: the file is missing, damaged, or no picture.
        TypeError, ValueError: ``source`` is none of these.
        UnknownName, BadWeights, UsageError: see `FaceParser`.

    Example::

        for face in faceparts.parse("group.jpg"):
            print(face.head.score, face.area_px("skin"))
    """
    known = tuple(sorted(options.items()))
    try:
        hash(known)
    except TypeError:  # somebody's own detector or segmenter: made anew each time
        parser = FaceParser(**options)
    else:
        parser = _cached_parser(known)
    picture = _read(source)
    return parse_translucent(parser.parse, picture.image, picture.alpha)


@overload
def hide(
    source: SameT,
    faces: Sequence[Face] | None = None,
    *,
    effect: str = "solid",
    what: str = "face",
    keep: str = "",
    min_score: float | None = None,
    turned: bool = True,
    detector: HeadDetector | str = "headnet",
    detector_weights: str | Path | None = None,
    **effect_fields: Any,
) -> SameT: ...


@overload
def hide(
    source: str | Path,
    faces: Sequence[Face] | None = None,
    *,
    effect: str = "solid",
    what: str = "face",
    keep: str = "",
    min_score: float | None = None,
    turned: bool = True,
    detector: HeadDetector | str = "headnet",
    detector_weights: str | Path | None = None,
    **effect_fields: Any,
) -> Pil.Image: ...


def hide(
    source: Source,
    faces: Sequence[Face] | None = None,
    *,
    effect: str = "solid",
    what: str = "face",
    keep: str = "",
    min_score: float | None = None,
    turned: bool = True,
    detector: HeadDetector | str = "headnet",
    detector_weights: str | Path | None = None,
    **effect_fields: Any,
) -> NDArray[np.uint8] | Pil.Image | bytes:
    """Hide every face in a picture; by default under one colour, which cannot be undone.

    Args:
        source: see `parse`.
        faces: what `parse` found in this very picture; ``None`` = look now, for more than `parse`
            does by default: at half of its threshold, turned, beyond the borders, through bars.
        effect: ``"solid"``, ``"mosaic"`` or ``"blur"``.
        what: ``"face"``, ``"head"``, ``"eyes"`` or part names with commas between.
        keep: parts to leave visible.
        min_score: only hide heads that score at least this; ``None`` = all of the faces given, or
            `HIDE_SCORE_SHARE` of the detector's own threshold.
        turned: where ``headnet`` is sure of no head, look at the picture turned by quarter turns
            too: it may not stand upright. Finding heads takes four times as long there.
        detector, detector_weights: how heads are found if no faces are given, see `FaceParser`:
            ``"headnet+turned"`` turns every picture.
        effect_fields: further fields of the effect, such as ``color="#ff0000"``.

    Returns:
        The same type as given: array -> array (grey becomes RGB), Pillow -> Pillow (RGB or RGBA,
        upright), bytes -> bytes in the same format (JPEG for HEIC and AVIF) without metadata but
        with the colour profile; a path -> a Pillow picture. Alpha is kept outside the hidden
        regions, which become opaque.

    Raises:
        UsageError: the effect does not hide, or has no such field, or a value is out of range.
        UnknownName: there is no such effect or part.
        UnreadableImage, TypeError, ValueError, BadWeights: see `parse`.

    Example::

        faceparts.hide("group.jpg", what="head").save("hidden.png")
    """
    hiding = _make_effect(effect, what=what, keep=keep, **effect_fields)
    if min_score is not None:
        min_score = require_range("min_score", min_score, 0, 1)
    picture = _read(source)
    if faces is None:
        look = partial(
            parse,
            detector=detector,
            detector_weights=detector_weights,
            min_score=min_score,
            min_score_share=HIDE_SCORE_SHARE,
            turned=turned,
            cut=True,
            long_hair=False,
        )
        faces = parse_translucent(look, picture.image, picture.alpha)
    faces = tuple(faces)  # looked at more than once
    if min_score is not None:
        faces = tuple(face for face in faces if not face.head.score < min_score)
    hidden: Image = hiding(picture.image, faces)
    if picture.alpha is not None:
        hidden = hiding.hide_translucent(hidden, picture.alpha, faces)
    if isinstance(source, bytes | bytearray | memoryview):
        if hidden.shape[2] == RGBA_CHANNELS:  # a format without transparency gets it on white
            hidden, picture = hidden[..., :3], replace(picture, alpha=hidden[..., 3])
        return encode_picture(hidden, format=format_for(picture), like=picture)
    if isinstance(source, np.ndarray):
        return hidden
    drawn = Pil.fromarray(hidden)
    if picture.icc:
        drawn.info["icc_profile"] = picture.icc
    return drawn


def hide_video(
    source: str | Path,
    target: str | Path,
    *,
    effect: str = "solid",
    what: str = "face",
    keep: str = "",
    min_score: float | None = None,
    turned: bool = True,
    detector: HeadDetector | str = "headnet",
    detector_weights: str | Path | None = None,
    force: bool = False,
    **effect_fields: Any,
) -> dict[str, Any]:
    """Hide every face in a video; what is written has no sound.

    A head counts in every frame in which it scores half of the detector's threshold, if it comes
    near the whole of it (`faceparts.video.DOUBT_SHARE`) in one of them. If it reaches it, it is
    hidden in frames in between in which it was missed for up to `faceparts.video.MEMORY_S` seconds,
    and `faceparts.video.HOLD_S` seconds before and after.

    Args:
        source: a video file.
        target: a name that ends with ``.mp4``; there whole or not at all.
        effect, what, keep, turned, detector, detector_weights, effect_fields: see `hide`.
        min_score: heads count from this score on, whatever they score in other frames.
        force: replace a file of that name.

    Returns:
        Frames, rate, and what was seen when, as the command line's report tells it.

    Raises:
        UnreadableVideo: the file is missing, damaged, cut off, or no video.
        UnwritableOutput: the target is the source, exists without ``force``, or cannot be written.
        UsageError, UnknownName, BadWeights: see `hide`.

    Example::

        faceparts.hide_video("interview.mov", "hidden.mp4", what="head")
    """
    source, target = Path(source), Path(target)
    if target.suffix.lower() != OUT_SUFFIX:
        raise UsageError(f"{target}: videos are written as MP4; give a name that ends with .mp4")
    hiding = _make_effect(effect, what=what, keep=keep, **effect_fields)
    sure, between = 0.0, None
    if isinstance(detector, str):
        if min_score is not None:
            min_score = require_range("min_score", min_score, 0, 1)
        thorough, quick = (
            open_detector(
                detector,
                detector_weights,
                threads=None,
                device="cpu",
                precision="auto",
                min_score=min_score,
                min_score_share=HIDE_SCORE_SHARE,
                turned=turns,
                cut=True,
            )
            for turns in (turned, False)
        )
        if min_score is None:
            sure = video.sure_score(thorough.min_score, HIDE_SCORE_SHARE)
        between = quick.detector.detect if turned else None
        parser = FaceParser(thorough.detector, long_hair=False)
    else:
        parser = FaceParser(
            detector, detector_weights=detector_weights, min_score=min_score, long_hair=False
        )
    with path_atomic(target, force=force, forbidden=[source], suffix=OUT_SUFFIX) as temporary:
        reader = VideoReader(source)
        seen = video.look(reader, parser.detect, between=between, sure_score=sure)
        frames = (image for image, _ in video.changed(reader, seen, parser.segment, hiding))
        video.write(temporary, seen, frames, reader.info.size_wh)
    return seen.told()


def _make_effect(name: str, **values: Any) -> Any:
    kind = folder.load("faceparts.effects", name).EFFECT
    known = [field.name for field in fields(kind)]
    if name not in HIDING:
        raise UsageError(f"effect {name!r} does not hide; take one of: {', '.join(HIDING)}")
    for key in values:
        if key not in known:
            raise UsageError(f"effect {name!r} has no field {key!r}; there are: {', '.join(known)}")
    types = get_type_hints(kind)
    for key, value in values.items():
        wanted = types[key]
        kinds = {float: Real, int: Integral}.get(wanted, wanted)
        if not isinstance(value, kinds) or isinstance(value, bool) is not (wanted is bool):
            raise UsageError(f"{key}: got {value!r}, wanted a value of type {wanted.__name__}")
        values[key] = wanted(value)
    return kind(**values)


def _read(source: object) -> Picture:
    """Whatever holds a picture -> its upright RGB pixels, alpha and colour profile."""
    if isinstance(source, np.ndarray):
        has_alpha = source.ndim == 3 and source.shape[2] == 4
        return Picture(to_rgb(source), source[..., 3] if has_alpha else None)
    if isinstance(source, Pil.Image):
        return from_pillow(source)
    if isinstance(source, str | Path | bytes | bytearray | memoryview):
        return read_picture(source if isinstance(source, str | Path) else bytes(source))
    raise TypeError(
        f"got {type(source).__name__}, wanted an array, a Pillow picture, bytes or a path"
    )
