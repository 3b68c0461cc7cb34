"""Bytes and files <-> RGB arrays: orientation, alpha, colour profiles, metadata, BGR.

Nothing else in faceparts decodes or encodes still pictures. What cannot be read faithfully is
refused by name; what had to be converted is said in `Picture.notes`.

Memory: pixels are copied out of the decoder in bands, so reading an RGB picture of N pixels peaks
at about 7 N bytes (the decoder's 4 and the array's 3; AVIF 10), whatever its orientation or colour
space.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil
from PIL import TiffImagePlugin

from faceparts._alpha import flatten
from faceparts._decoders import decoder_of
from faceparts._headers import (
    choose_tiff_page,
    clean_exif,
    exif_of,
    heif_notes,
    one_line,
    open_source,
    orientation_of,
    refuse_frames,
    sniff,
    tiff_layout,
)
from faceparts._pixels import copy_pixels, plan
from faceparts.errors import UnreadableImage, UnwritableOutput, UsageError
from faceparts.types import Image

SUFFIXES: dict[str, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
}
"""Formats that are read and written, and the file name endings of each; the first is preferred."""

READ_ONLY_SUFFIXES: dict[str, tuple[str, ...]] = {
    "HEIF": (".heic", ".heif", ".hif"),
    "AVIF": (".avif",),
}
"""Formats that are read only; `format_for` tells what a changed copy is written as."""

_ALPHA_FORMATS = ("PNG", "WEBP", "TIFF")
_MAX_SIDE_PX = {"JPEG": 65500, "WEBP": 16383}


@dataclass(frozen=True, eq=False)
class Picture:
    """One decoded still picture, upright, with what an encoder needs to be faithful to it.

    Args:
        image: (H, W, 3) uint8 RGB, EXIF orientation applied; held read-only.
        alpha: (H, W) uint8, 255 opaque; ``None`` where the file has no transparency; read-only.
        icc: the RGB colour profile that ``image`` is in, without what it says beside colours;
            ``None`` means sRGB or unknown.
        format: what the content is: a key of `SUFFIXES` or `READ_ONLY_SUFFIXES`.
        notes: what was converted on the way, one phrase each; empty for a plain RGB picture.
        exif: cleaned EXIF for `encode_picture` with ``keep_exif``: a fixed list of harmless tags
            (camera, lens, exposure, time, description, copyright); never the place, the
            thumbnail, maker notes, serial numbers or the orientation.
    """

    image: Image
    alpha: NDArray[np.uint8] | None = None
    icc: bytes | None = None
    format: str = "PNG"
    notes: tuple[str, ...] = ()
    exif: bytes | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "image", _locked(_checked_array(self.image, channels=(3,))))
        if self.alpha is not None:
            if self.alpha.shape != self.image.shape[:2] or self.alpha.dtype != np.uint8:
                raise ValueError(
                    f"Picture.alpha: got {self.alpha.dtype} {self.alpha.shape}, "
                    f"wanted uint8 {self.image.shape[:2]}"
                )
            object.__setattr__(self, "alpha", _locked(self.alpha))


def read_picture(
    source: Path | str | bytes | BinaryIO, *, name: str = "", max_pixels: int = 268_435_456
) -> Picture:
    """Decode one still picture; its content decides the format, never its file name.

    Handles grey, 16-bit, palette, 1-bit, CMYK and Lab pictures and transparency, applies the EXIF
    orientation, keeps an RGB colour profile. Of a phone's multi-picture JPEG the first picture is
    taken, of several in an HEIC file the one that it calls primary. 16-bit channels keep their high
    byte, which maps the whole range onto 0..255.

    Args:
        source: a path, the encoded bytes, or a binary file that is read to its end and left open.
        name: what the picture is called in messages; by default its path.
        max_pixels: larger pictures are refused before they are decoded.

    Raises:
        UnreadableImage: one line ``name: reason``; the only error for any content whatsoever.
        TypeError: ``source`` is none of the four kinds.
    """
    if source == "":
        raise UnreadableImage("picture: the file name is empty")
    path = Path(source) if isinstance(source, str | Path) else None
    if not name:
        name = str(path) if path else str(getattr(source, "name", "picture"))
    name = one_line(name)
    with open_source(source, name, max_pixels) as file, _decoder_errors(name):
        return _decode(file, name, path, max_pixels)


def to_rgb(source: object) -> Image:
    """Turn an array or a Pillow picture into an (H, W, 3) uint8 RGB array.

    Args:
        source: (H, W, 3) RGB, (H, W, 4) RGBA (alpha is left out), (H, W) or (H, W, 1) grey, all
            uint8; or a ``PIL.Image.Image``, whose EXIF orientation is applied.

    Returns:
        The same array where it is (H, W, 3) already, else a new one.

    Raises:
        TypeError: neither an array nor a Pillow picture, or an array that is not uint8.
        ValueError: an array of another shape, or a Pillow mode that has no colours (``"F"`` ...).

    Example:
        >>> to_rgb(np.zeros((2, 5), np.uint8)).shape
        (2, 5, 3)
    """
    if isinstance(source, Pil.Image):
        return from_pillow(source).image
    if not isinstance(source, np.ndarray):
        raise TypeError(
            f"got {type(source).__name__}, wanted an (H, W, 3) uint8 RGB array or a Pillow picture"
        )
    if source.ndim == 2:
        source = source[..., None]
    array = _checked_array(source, channels=(1, 3, 4))
    if array.shape[2] == 1:
        return np.repeat(array, 3, axis=2)
    return array if array.shape[2] == 3 else np.ascontiguousarray(array[..., :3])


def from_pillow(source: Pil.Image) -> Picture:
    """An opened Pillow picture upright: RGB, alpha and colour profile.

    Raises:
        UnreadableImage: its file is damaged.
        ValueError: a Pillow mode that has no colours (``"F"`` ...).
    """
    with _decoder_errors("Pillow picture"):
        source.load()
        with _quiet(0):
            orientation = orientation_of(source.getexif())
        if source.mode == "La":  # Pillow turns these into LA only
            source = source.convert("LA")
        bits = 16 if source.mode.startswith("I;16") else 8
        steps = plan(source, "Pillow picture", bits=bits)
        image, alpha = copy_pixels(source, steps, orientation)
    return Picture(image, alpha, steps.icc)


def encode_picture(
    image: Image,
    *,
    format: str,
    like: Picture | None = None,
    quality: int = 95,
    keep_exif: bool = False,
) -> bytes:
    """Encode a picture as an upright file that holds pixels, colour profile and nothing else.

    JPEG is written without colour subsampling (4:4:4), PNG and TIFF without loss, WebP without
    loss at quality 100.

    Args:
        image: (H, W, 3) uint8 RGB or (H, W, 4) RGBA.
        format: a key of `SUFFIXES` in any case; ``"jpg"`` and ``"tif"`` are understood.
        like: the picture that ``image`` was made from. Its colour profile goes along (BMP has no
            room for one); its alpha too, if ``image`` has none. A format that holds no alpha
            gets the picture laid on white: what was transparent does not come to light.
        quality: 1..100 for JPEG and WebP.
        keep_exif: attach ``like.exif``, the cleaned tags (BMP has no room for them; TIFF is then
            written without compression).

    Raises:
        ValueError: ``image`` is not such an array, or differs in size from the alpha of ``like``.
        UsageError: an unknown format, or a quality out of range.
        UnwritableOutput: the format has no alpha or no room for so many pixels.
    """
    kind = _format_of(format)
    if not 1 <= quality <= 100:
        raise UsageError(f"quality: got {quality}, wanted 1 to 100")
    image = _checked_array(image, channels=(3, 4))
    height, width, channels = image.shape
    if channels == 4 and kind not in _ALPHA_FORMATS:
        raise UnwritableOutput(
            f"{kind} holds no transparency; write {', '.join(_ALPHA_FORMATS)} instead"
        )
    if max(height, width) > _MAX_SIDE_PX.get(kind, 1 << 31):
        raise UnwritableOutput(
            f"{width} x {height} is too large for {kind}, which holds at most "
            f"{_MAX_SIDE_PX[kind]} pixels a side; write PNG or TIFF instead"
        )
    if like is not None and like.alpha is not None and channels == 3:
        if like.alpha.shape != (height, width):
            raise ValueError(f"image is {(height, width)}, the alpha of like {like.alpha.shape}")
        if kind in _ALPHA_FORMATS:
            image = np.concatenate([image, like.alpha[..., None]], axis=2)
        else:
            image = flatten(image, like.alpha, 255)
    options: dict[str, Any] = {}
    if like is not None and kind != "BMP":
        options |= {"icc_profile": like.icc} if like.icc else {}
        options |= {"exif": like.exif} if keep_exif and like.exif else {}
    if kind == "JPEG":
        options |= {"quality": quality, "subsampling": 0}
    elif kind == "WEBP":
        options |= {"quality": quality, "lossless": quality == 100}
    elif kind == "TIFF" and "exif" not in options:  # libtiff cannot write the EXIF folder
        options["compression"] = "tiff_adobe_deflate"
    elif kind == "TIFF":
        options["exif"] = exif_of(options["exif"])
    buffer = io.BytesIO()
    Pil.fromarray(np.ascontiguousarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def format_for(picture: Picture) -> str:
    """The format of a changed copy: the picture's own, or one like it if that is only read.

    Example:
        >>> format_for(Picture(np.zeros((2, 2, 3), np.uint8), format="HEIF"))
        'JPEG'
    """
    if picture.format in SUFFIXES:
        return picture.format
    return "JPEG" if picture.alpha is None else "PNG"


def rgb_to_bgr(image: Image) -> Image:
    """Reverse the channels of an (H, W, 3) or (N, H, W, 3) array, for networks that want BGR.

    Example:
        >>> rgb_to_bgr(np.array([[[1, 2, 3]]], np.uint8)).tolist()
        [[[3, 2, 1]]]
    """
    return np.ascontiguousarray(image[..., ::-1])


def bgr_to_rgb(image: Image) -> Image:
    """Reverse the channels of an OpenCV picture; the inverse of `rgb_to_bgr`."""
    return rgb_to_bgr(image)


# ---- parts --------------------------------------------------------------------------------------


@contextmanager
def _decoder_errors(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises on damaged bytes into one clear line."""
    try:
        yield
    except UnreadableImage:
        raise
    except MemoryError as error:
        raise UnreadableImage(f"{name}: decoding it needs more memory than there is") from error
    except Pil.DecompressionBombError as error:
        raise UnreadableImage(f"{name}: too many pixels to be decoded ({error})") from error
    except Exception as error:  # decoders raise nearly every builtin, also AssertionError
        detail = one_line(str(error).strip()) or type(error).__name__
        word = "truncated" if "truncated" in detail.lower() else "damaged or unsupported"
        raise UnreadableImage(f"{name}: {word} picture ({detail})") from error


_pillow_globals = threading.Lock()


@contextmanager
def _quiet(max_pixels: int) -> Iterator[None]:
    """Silence Pillow's warnings and let pass pictures that `read_picture` has allowed.

    Both are process-wide settings, so they are changed under a lock and only while headers and
    metadata are read (TIFF: also while decoding, where Pillow checks again).
    """
    with _pillow_globals, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = Pil.MAX_IMAGE_PIXELS
        if before is not None:
            Pil.MAX_IMAGE_PIXELS = max(before, max_pixels)
        try:
            yield
        finally:
            Pil.MAX_IMAGE_PIXELS = before


def _locked(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A read-only view; no pixel is copied."""
    view = array.view()
    view.flags.writeable = False
    return view


def _checked_array(array: NDArray[Any], channels: tuple[int, ...]) -> Image:
    if array.dtype != np.uint8:
        raise TypeError(f"got an array of {array.dtype}, wanted uint8 0..255")
    if array.ndim != 3 or array.shape[2] not in channels or not array.size:
        wanted = " or ".join(f"(H, W, {c})" for c in channels)
        raise ValueError(f"got an array of shape {array.shape}, wanted {wanted}")
    return array


def _format_of(text: str) -> str:
    kind = {"JPG": "JPEG", "TIF": "TIFF"}.get(text.upper(), text.upper())
    if kind not in SUFFIXES:
        raise UsageError(f"no picture format {text!r}; there are: {', '.join(SUFFIXES)}")
    return kind


# ---- decoding -----------------------------------------------------------------------------------


def _decode(file: BinaryIO, name: str, path: Path | None, max_pixels: int) -> Picture:
    """Decode an opened file; raises whatever the decoder raises."""
    head = file.read(64)
    kind = sniff(head, name)
    notes = []
    endings = (SUFFIXES | READ_ONLY_SUFFIXES).get(kind, ())
    if path and path.suffix and path.suffix.lower() not in endings:
        notes.append(f"content is {kind} though the name ends in {one_line(path.suffix)}")
    file.seek(0)
    with ExitStack() as stack:
        bits, inverted, turned = head[24] if kind == "PNG" else 8, False, 1
        with _quiet(max_pixels):
            opened = stack.enter_context(closing(decoder_of(kind, name)(file)))
            if isinstance(opened, TiffImagePlugin.TiffImageFile):
                notes += choose_tiff_page(opened, name)
                bits, inverted = tiff_layout(opened, name)
                turned = orientation_of(opened.getexif())
            elif kind == "HEIF":
                notes += heif_notes(opened)
            elif kind != "JPEG":
                refuse_frames(name, kind, getattr(opened, "n_frames", 1))
            elif "mp" in opened.info:
                notes.append("first picture of a multi-picture JPEG")
            _check_size(opened.size, name, max_pixels)
            if kind == "TIFF":
                opened.load()  # warns, and turns the picture upright itself
        opened.load()
        _check_size(opened.size, name, max_pixels)  # what libheif tells before is not binding
        orientation, exif, note = _read_exif(opened, max_pixels)
        if max(turned, orientation) > 1:
            notes.append(f"turned upright from EXIF orientation {max(turned, orientation)}")
        steps = plan(opened, name, bits=bits, inverted=inverted)
        image, alpha = copy_pixels(opened, steps, orientation)
        if kind == "BMP" and alpha is not None and not alpha.any():
            alpha = None
            notes.append("empty alpha channel left out")
    return Picture(image, alpha, steps.icc, kind, (*notes, *note, *steps.notes), exif)


def _check_size(size_wh: tuple[int, int], name: str, max_pixels: int) -> None:
    width, height = size_wh
    if width * height > max_pixels:
        raise UnreadableImage(
            f"{name}: {width} x {height} pixels are more than the {max_pixels} allowed; "
            "make it smaller, or raise the limit if the file can be trusted"
        )


def _read_exif(opened: Pil.Image, max_pixels: int) -> tuple[int, bytes | None, list[str]]:
    """Orientation, cleaned EXIF and notes; damage in there never costs the picture."""
    orientation = 1
    with _quiet(max_pixels):
        try:
            exif = opened.getexif()
            orientation = orientation_of(exif)
            return orientation, clean_exif(exif), []
        except Exception:  # Pillow lets pass nearly every builtin; said in the notes
            return orientation, None, ["damaged EXIF left out"]
