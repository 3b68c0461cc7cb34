"""From a Pillow picture to arrays for `images`: modes, colour profiles, orientation.

Everything is done in bands of about a million pixels, so that conversions cost no extra memory.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil
from PIL import ImageCms

from faceparts._icc import clean
from faceparts.errors import UnreadableImage

_BAND_PX = 1 << 20
_PLAIN_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "YCbCr")
_MODE_NOTES = {
    "1": "1-bit expanded to RGB",
    "L": "grey expanded to RGB",
    "LA": "grey expanded to RGB",
    "P": "palette expanded to RGB",
    "PA": "palette expanded to RGB",
    "YCbCr": "YCbCr converted to RGB",
}
_TURNS = {
    2: Pil.Transpose.FLIP_LEFT_RIGHT,
    3: Pil.Transpose.ROTATE_180,
    4: Pil.Transpose.FLIP_TOP_BOTTOM,
    5: Pil.Transpose.TRANSPOSE,
    6: Pil.Transpose.ROTATE_270,
    7: Pil.Transpose.TRANSVERSE,
    8: Pil.Transpose.ROTATE_90,
}
_SPACES = {"L": "GRAY", "LA": "GRAY", "1": "GRAY", "CMYK": "CMYK"}


@dataclass(frozen=True)
class Steps:
    """How the bands of one picture become RGB or RGBA.

    Args:
        convert: takes a band as it was decoded, gives it in mode RGB or RGBA.
        alpha: whether the result is RGBA.
        icc: the RGB profile of the result; ``None`` for sRGB or unknown.
        notes: what is converted.
    """

    convert: Callable[[Pil.Image], Pil.Image]
    alpha: bool
    icc: bytes | None
    notes: tuple[str, ...]


def plan(source: Pil.Image, name: str, *, bits: int = 8, inverted: bool = False) -> Steps:
    """Decide how a decoded picture becomes RGB.

    Args:
        source: an opened picture; its pixels are not looked at.
        name: what it is called in messages.
        bits: bits that each channel has in the file.
        inverted: 0 is white in a 16-bit grey picture (Pillow turns only 8-bit ones).

    Raises:
        UnreadableImage: a mode without a fixed range of brightness, such as 32-bit or float.
    """
    notes = []
    mode, alpha = source.mode, source.has_transparency_data
    narrow: Callable[[Pil.Image], Pil.Image] = _same
    key = source.info.get("transparency")
    if bits > 8:
        notes.append(f"{bits}-bit reduced to 8-bit")
    if mode.startswith("I;16"):
        narrow = _narrower(bits - 8, inverted, key if isinstance(key, int) else None)
        mode = "LA" if alpha else "L"
    elif bits > 8 and isinstance(key, tuple):  # Pillow has reduced the pixels, but not the key
        source.info["transparency"] = tuple(v >> (bits - 8) for v in key)
    elif mode == "L" and bits in (2, 4) and isinstance(key, int):  # the same the other way round
        source.info["transparency"] = key * 255 // (2**bits - 1)
    if mode in _MODE_NOTES:
        notes.append(_MODE_NOTES[mode])
    icc = source.info.get("icc_profile")
    transform, icc, note = _colours(mode, icc if isinstance(icc, bytes) else None)
    notes += [note] if note else []
    if transform is None and mode not in (*_PLAIN_MODES, "CMYK"):
        raise UnreadableImage(
            f"{name}: pixels of Pillow mode {source.mode}, which fix no black and white; "
            "save it with 8 or 16 bits a channel"
        )
    target = "RGBA" if alpha else "RGB"

    def convert(band: Pil.Image) -> Pil.Image:
        band = narrow(band)
        if transform is None:
            return band.convert(target)
        opaque = band.convert("L") if mode in ("1", "LA") else band
        colours = transform.apply(opaque)
        if alpha:
            colours.putalpha(band.convert("RGBA").getchannel("A"))
        return colours

    return Steps(convert, alpha, icc, tuple(notes))


def copy_pixels(
    source: Pil.Image, steps: Steps, orientation: int = 1
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Convert a picture band by band into upright (H, W, 3) RGB and (H, W) alpha or ``None``."""
    width, height = source.size
    hw = (width, height) if orientation in (5, 6, 7, 8) else (height, width)
    rgb = np.empty((*hw, 3), np.uint8)
    alpha = np.empty(hw, np.uint8) if steps.alpha else None
    turn = _TURNS.get(orientation)
    rows = max(1, _BAND_PX // max(1, width))
    for y in range(0, height, rows):
        end = min(y + rows, height)
        band = steps.convert(source.crop((0, y, width, end)))
        pixels = np.asarray(band if turn is None else band.transpose(turn))
        # stored rows become rows or columns, counted from either end
        place = slice(height - end, height - y) if orientation in (3, 4, 6, 7) else slice(y, end)
        where = (slice(None), place) if orientation in (5, 6, 7, 8) else (place, slice(None))
        rgb[where] = pixels[..., :3]
        if alpha is not None:
            alpha[where] = pixels[..., 3]
    return rgb, alpha


# ---- parts --------------------------------------------------------------------------------------


def _same(band: Pil.Image) -> Pil.Image:
    return band


def _narrower(
    shift: int, inverted: bool, transparent: int | None
) -> Callable[[Pil.Image], Pil.Image]:
    """Give the function that reduces a band of 16-bit grey to 8-bit L or LA."""

    def narrow(band: Pil.Image) -> Pil.Image:
        wide = np.asarray(band)
        grey = np.minimum(wide >> shift, 255).astype(np.uint8)
        result = Pil.fromarray(255 - grey if inverted else grey)
        if transparent is None:
            return result
        opaque = np.where(wide == transparent, 0, 255).astype(np.uint8)
        return Pil.merge("LA", (result, Pil.fromarray(opaque)))

    return narrow


def _colours(
    mode: str, icc: bytes | None
) -> tuple[ImageCms.ImageCmsTransform | None, bytes | None, str]:
    """Choose the colour transform of a mode: (transform to sRGB, profile that stays, note)."""
    if mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        return _to_srgb(ImageCms.ImageCmsProfile(lab), mode), None, "Lab converted to RGB"
    space = icc[16:20].decode("latin-1").strip() if icc and icc[36:40] == b"acsp" else None
    plain = "CMYK converted to RGB without a profile" if mode == "CMYK" else ""
    if not icc:
        return None, None, plain
    if space == "RGB" and mode != "CMYK":
        icc = clean(icc)
        return None, icc, plain if icc else "damaged colour profile left out"
    if space and space == _SPACES.get(mode):
        kind = "CMYK" if mode == "CMYK" else "grey"
        try:
            transform = _to_srgb(ImageCms.ImageCmsProfile(io.BytesIO(icc)), _opaque(mode))
            return transform, None, f"{kind} converted to RGB through its profile"
        except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
            return None, None, f"{plain or kind}, damaged colour profile left out".lstrip(", ")
    return None, None, (f"{plain}, " if plain else "") + "unfitting colour profile left out"


def _opaque(mode: str) -> str:
    return "L" if mode in ("1", "LA") else mode


def _to_srgb(profile: ImageCms.ImageCmsProfile, mode: str) -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        profile,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
