"""Finds every head in a photo, segments every face into parts, and hides faces.

Everything is loaded on first use: ``import faceparts`` alone is fast and loads neither NumPy nor
OpenCV nor onnxruntime.

Example::

    faces = faceparts.parse("group.jpg")
    faceparts.hide("group.jpg", faces).save("hidden.png")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faceparts.api import hide, hide_video, parse
    from faceparts.errors import FacePartsError
    from faceparts.parse import FaceParser
    from faceparts.types import (
        Crop,
        Face,
        Head,
        HeadDetector,
        Image,
        LabelSet,
        ModelCard,
        Segmenter,
    )

__version__ = "0.1.0"

__all__ = [
    "Crop",
    "Face",
    "FaceParser",
    "FacePartsError",
    "Head",
    "HeadDetector",
    "Image",
    "LabelSet",
    "ModelCard",
    "Segmenter",
    "__version__",
    "hide",
    "hide_video",
    "parse",
]

_HOMES = {"FaceParser": "parse", "FacePartsError": "errors", "hide": "api", "hide_video": "api"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'faceparts' has no attribute {name!r}")
    module = import_module(f"faceparts.{_HOMES.get(name, 'parse' if name == 'parse' else 'types')}")
    value = module if name == "parse" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
