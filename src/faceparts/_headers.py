"""A picture file before its pixels are decoded, for `images`: opening, format, pages, EXIF."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from PIL import ExifTags, TiffImagePlugin
from PIL import Image as Pil

from faceparts.errors import UnreadableImage

_B = ExifTags.Base
_WANTED = "not a JPEG, PNG, WebP, TIFF, BMP, HEIC or AVIF"
_FOREIGN = (
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF", "PDF"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"PK\3\4", "zip"),
    (4, b"ftypcrx ", "camera raw (CR3)"),
    (4, b"ftyp", "video"),
    (4, b"moov", "video"),
    (4, b"wide", "video"),
    (0, b"\x1a\x45\xdf\xa3", "video"),
    (8, b"AVI", "video"),
    (0, b"\0\0\1\xba", "video"),
    (0, b"FLV\1", "video"),
    (0, b"\x30\x26\xb2\x75", "video"),
    (0, b"FUJIFILMCCD-RAW", "camera raw (RAF)"),
    (0, b"IIU\0", "camera raw (RW2)"),
    (0, b"IIRO", "camera raw (ORF)"),
    (0, b"IIRS", "camera raw (ORF)"),
    (0, b"MMOR", "camera raw (ORF)"),
)
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {
    *(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"),
    *(b"mif1", b"msf1"),  # of AVIF files too
}
_DIB_HEADER_BYTES = (12, 40, 52, 56, 64, 108, 124)


@contextmanager
def open_source(source: object, name: str, max_pixels: int) -> Iterator[BinaryIO]:
    """Open the source as a seekable file; a path's file is closed again, a stream is not.

    Raises:
        UnreadableImage: it cannot be opened or read, or a stream has more bytes than a picture of
            ``max_pixels`` could need.
        TypeError: not a path, bytes or a binary file.
    """
    limit = read_limit(max_pixels)
    if isinstance(source, str | Path):
        try:
            file = open(source, "rb")  # noqa: SIM115 - closed by the with below
        except (OSError, ValueError) as error:
            raise UnreadableImage(f"{name}: {_why_closed(source, error)}") from error
        with file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                yield file
            else:
                yield _slurp(file, name, limit)
    elif isinstance(source, bytes):
        yield io.BytesIO(source)
    elif hasattr(source, "read"):
        yield _slurp(source, name, limit)
    else:
        raise TypeError(f"got {type(source).__name__}, wanted a path, bytes or an open binary file")


def read_limit(max_pixels: int) -> int:
    """Bytes from which a stream can be no picture of so many pixels."""
    return 8 * max_pixels + (1 << 24)


def sniff(head: bytes, name: str) -> str:
    """Tell the format from the first 64 bytes or more: a Pillow format name, or ``"GIF"``.

    Raises:
        UnreadableImage: none of them; the message names other formats that it knows.
    """
    if not head:
        raise UnreadableImage(f"{name}: empty file (0 bytes)")
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _DIB_HEADER_BYTES:
        return "BMP"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if brands := _brands(head):
        return "AVIF" if brands & _AVIF_BRANDS else "HEIF"
    found = next((what for at, magic, what in _FOREIGN if head.startswith(magic, at)), None)
    remedy = "only 'hide' and 'apply' take videos" if found == "video" else "convert it first"
    hint = f" but a {found} file; {remedy}" if found else ""
    raise UnreadableImage(f"{name}: {_WANTED}{hint}")


def refuse_frames(name: str, kind: str, frames: int) -> None:
    """Raise for animations; of a GIF there is no other use.

    Raises:
        UnreadableImage: ``frames`` > 1, or a GIF; the message gives the number.
    """
    if frames > 1:
        label = {"WEBP": "WebP"}.get(kind, kind)
        raise UnreadableImage(
            f"{name}: animated {label} with {frames} frames; give its frames as single pictures"
        )
    if kind == "GIF":
        raise UnreadableImage(f"{name}: {_WANTED} but a GIF with one frame; convert it to PNG")


def heif_notes(opened: Pil.Image) -> list[str]:
    """What of an HEIC file is not in the picture that is read."""
    pictures, bits = getattr(opened, "n_frames", 1), opened.info.get("bit_depth", 8)
    notes = [f"primary picture of {pictures} in the file"] if pictures > 1 else []
    return notes + ([f"{bits}-bit reduced to 8-bit"] if bits > 8 else [])


def choose_tiff_page(tiff: TiffImagePlugin.TiffImageFile, name: str) -> list[str]:
    """Go to the only full-size page of a TIFF; give notes on what is passed over.

    Raises:
        UnreadableImage: several full pages, or a camera's raw file, which opens as its thumbnail.
    """
    if _DNG_VERSION in tiff.tag_v2:
        raise UnreadableImage(f"{name}: a camera raw file (DNG); develop it to JPEG or TIFF first")
    pages, full = tiff.n_frames, []
    for page in range(pages):
        tiff.seek(page)
        kind = tiff.tag_v2.get(_NEW_SUBFILE_TYPE, 0)
        if not (isinstance(kind, int) and kind & 1):  # bit 0: a smaller copy of another page
            full.append(page)
    if len(full) > 1:
        raise UnreadableImage(
            f"{name}: multi-page TIFF with {len(full)} pages; split it into single pictures"
        )
    if not full and (pages > 1 or _SUB_IFDS in tiff.tag_v2):
        raise UnreadableImage(
            f"{name}: a TIFF of previews only, as camera raw files are; "
            "develop it to JPEG or TIFF first"
        )
    tiff.seek(full[0] if full else 0)
    return [f"{pages - 1} preview pages left out"] if pages > 1 else []


def tiff_layout(tiff: TiffImagePlugin.TiffImageFile, name: str) -> tuple[int, bool]:
    """Bits a channel of the current page, and whether 0 is white in 16-bit grey.

    Raises:
        UnreadableImage: 16-bit separate planes without compression: Pillow would take the bytes
            of two pixels for two pixels of 8 bits.
    """
    tags = tiff.tag_v2
    sizes = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
    bits = max(sizes if isinstance(sizes, tuple) else (sizes,))
    raw = any(tile.codec_name == "raw" for tile in tiff.tile)
    if bits > 8 and raw and tags.get(TiffImagePlugin.PLANAR_CONFIGURATION) == 2:
        raise UnreadableImage(
            f"{name}: {bits}-bit TIFF with separate colour planes and no compression; "
            "save it with interleaved channels"
        )
    return bits, tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0


def one_line(text: str) -> str:
    """Escape what would break a line or a terminal: control characters, undecodable bytes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def orientation_of(exif: Pil.Exif) -> int:
    """The EXIF orientation 1..8; 1 where it is missing or makes no sense."""
    value = exif.get(ExifTags.Base.Orientation, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def clean_exif(exif: Pil.Exif) -> bytes | None:
    """Copy the harmless tags of a picture's EXIF; ``None`` if there are none.

    Only tags on a fixed list are taken, so place, thumbnail, maker notes, serial numbers, owner,
    free comments, sizes and the orientation cannot slip through.
    """
    kept = Pil.Exif()
    for tag in _KEPT_TAGS:
        if _is_plain(exif.get(tag)):
            kept[tag] = _writable(exif[tag])
    photo = exif.get_ifd(ExifTags.IFD.Exif)
    photo = {tag: photo[tag] for tag in _KEPT_PHOTO_TAGS if _is_plain(photo.get(tag))}
    if photo:
        kept[ExifTags.IFD.Exif] = photo
    return kept.tobytes() if len(kept) else None


def exif_of(data: bytes) -> Pil.Exif:
    """What `clean_exif` gave, with texts that Pillow can write into a TIFF."""
    exif = Pil.Exif()
    exif.load(data)
    for tag, value in list(exif.items()):
        exif[tag] = _writable(value)
    return exif


# ---- parts --------------------------------------------------------------------------------------


def _brands(head: bytes) -> set[bytes]:
    """The brands of an HEIF or AVIF file, the own one first in the file; empty for other files."""
    if head[4:8] != b"ftyp" or head[8:12] not in _AVIF_BRANDS | _HEIF_BRANDS:
        return set()
    listed = head[16 : min(len(head), int.from_bytes(head[:4], "big"))]
    return {head[8:12], *(listed[i : i + 4] for i in range(0, len(listed), 4))}


_NEW_SUBFILE_TYPE, _SUB_IFDS, _DNG_VERSION = 254, 330, 50706
_KEPT_TAGS = (_B.ImageDescription, _B.Make, _B.Model, _B.DateTime, _B.Artist, _B.Copyright)
_KEPT_PHOTO_TAGS = (
    *(_B.ExposureTime, _B.FNumber, _B.ExposureProgram, _B.ISOSpeedRatings, _B.DateTimeOriginal),
    *(_B.DateTimeDigitized, _B.OffsetTime, _B.OffsetTimeOriginal, _B.OffsetTimeDigitized),
    *(_B.ShutterSpeedValue, _B.ApertureValue, _B.BrightnessValue, _B.ExposureBiasValue),
    *(_B.MaxApertureValue, _B.SubjectDistance, _B.MeteringMode, _B.LightSource, _B.Flash),
    *(_B.FocalLength, _B.SubsecTime, _B.SubsecTimeOriginal, _B.SubsecTimeDigitized),
    *(_B.ExposureMode, _B.WhiteBalance, _B.DigitalZoomRatio, _B.FocalLengthIn35mmFilm),
    *(_B.SceneCaptureType, _B.LensSpecification, _B.LensMake, _B.LensModel),
)
_MAX_EXIF_TEXT = 4096


def _writable(value: Any) -> Any:
    """A text beyond ASCII as the bytes that Pillow read it from: it would write "?" for letters."""
    if isinstance(value, str) and not value.isascii():
        return value.encode("latin-1", "replace")
    return value


def _is_plain(value: Any) -> bool:
    """Whether an EXIF value can be written again: a number, a short text, a few numbers."""
    if isinstance(value, str):
        return len(value) <= _MAX_EXIF_TEXT
    if isinstance(value, tuple):
        return len(value) <= 8 and all(_is_plain(v) and not isinstance(v, tuple) for v in value)
    return value is not None and not isinstance(value, bytes | dict) and value == value


def _why_closed(path: str | Path, error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if os.path.isdir(os.fspath(path).replace("\0", "")):
        return "a folder, not a picture"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    return f"cannot be opened ({getattr(error, 'strerror', None) or error})"


def _slurp(stream: Any, name: str, limit: int) -> io.BytesIO:
    """Read a stream to its end, at most ``limit`` bytes."""
    buffer = io.BytesIO()
    try:
        while chunk := stream.read(1 << 20):
            if isinstance(chunk, str):
                raise TypeError(f"{name}: opened as text; open it in binary mode")
            buffer.write(chunk)
            if buffer.tell() > limit:
                raise UnreadableImage(f"{name}: more than {limit} bytes; no picture is that large")
    except OSError as error:
        raise UnreadableImage(f"{name}: cannot be read ({error.strerror or error})") from error
    buffer.seek(0)
    return buffer
