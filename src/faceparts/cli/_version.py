"""What is installed, for reports."""

from __future__ import annotations

import platform
from importlib import metadata

import faceparts

_LIBRARIES = ("numpy", "opencv-python-headless", "pillow", "onnxruntime")


def versions() -> dict[str, str]:
    """Versions of everything that can change a result."""
    found = {"faceparts": faceparts.__version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # such as onnxruntime-gpu in its place
            found[name] = "unknown"
    return found | {"platform": platform.platform()}
