"""Checks that all effects share: the picture fits the faces, colours are sensible."""

from __future__ import annotations

from collections.abc import Iterable

from PIL import ImageColor

from faceparts.crops import check_image
from faceparts.errors import UsageError
from faceparts.types import Face, Image


def copy_picture(image: Image, faces: Iterable[Face]) -> tuple[Image, tuple[Face, ...]]:
    """A writable copy of the picture, and the faces, which were found in one of its size.

    Effects go through the faces more than once; a generator is used up here, not half-way.

    Raises:
        ValueError: the picture is not (H, W, 3) uint8, or a face comes from another picture size.
    """
    check_image(image)
    faces = tuple(faces)
    for i, face in enumerate(faces):
        if face.source_hw != image.shape[:2]:
            raise ValueError(
                f"face {i} was found in a picture of {face.source_hw} (height, width), "
                f"this one has {image.shape[:2]}; parse this picture first"
            )
    return image.copy(), faces


def parse_color(field: str, text: str) -> tuple[int, int, int]:
    """RGB 0..255 of a colour name or of ``#rrggbb``.

    Raises:
        UsageError: it is neither.

    Example:
        >>> parse_color("color", "#ff8000")
        (255, 128, 0)
    """
    rgb: tuple[int, ...]
    try:
        rgb = ImageColor.getrgb(text)
    except ValueError:
        rgb = ()
    if len(rgb) != 3 or not all(0 <= value <= 255 for value in rgb):
        raise UsageError(f"{field}: got {text!r}, wanted a colour name or #rrggbb")
    return rgb[0], rgb[1], rgb[2]
