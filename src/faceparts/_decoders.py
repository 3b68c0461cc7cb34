"""Which of Pillow's decoders opens a format, for `images`.

HEIC is what phones write; its decoder is a package of its own (``pip install 'faceparts[heif]'``)
and is loaded when the first such file is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from faceparts.errors import UnreadableImage

Decoder = Callable[[Any], ImageFile.ImageFile]
"""Takes an open file, gives its picture with the header read and the pixels not."""

_DECODERS: dict[str, Decoder] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "GIF": GifImagePlugin.GifImageFile,  # only to count its frames and refuse it
}


def decoder_of(kind: str, name: str) -> Decoder:
    """The decoder of a format that `sniff` told.

    Raises:
        UnreadableImage: it is not installed; the message says how to.
    """
    if kind == "HEIF":
        return _heif(name)
    if kind == "AVIF" and not AvifImagePlugin.SUPPORTED:
        raise UnreadableImage(
            f"{name}: an AVIF file, which this build of Pillow cannot read; "
            "install Pillow from PyPI, or convert it"
        )
    return _DECODERS[kind]


def _heif(name: str) -> Decoder:
    """libheif's decoder, which turns pictures upright itself."""
    try:
        import pi_heif
    except ImportError as error:
        raise UnreadableImage(
            f"{name}: a HEIC file; pip install 'faceparts[heif]' to read it, or convert it"
        ) from error
    decoder: Decoder = pi_heif.HeifImageFile
    return decoder
