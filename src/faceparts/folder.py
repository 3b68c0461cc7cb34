"""A folder is its own registry: one new file, nothing else to edit."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from faceparts.errors import UnknownName


def names(package: str) -> list[str]:
    """List the public modules of a package, sorted; a leading ``_`` hides one.

    Args:
        package: dotted name, such as ``"faceparts.effects"``.

    Example:
        >>> "solid" in names("faceparts.effects")
        True
    """
    paths = importlib.import_module(package).__path__
    return sorted(m.name for m in pkgutil.iter_modules(paths) if not m.name.startswith("_"))


def load(package: str, name: str) -> ModuleType:
    """Import one module of a package by its short name.

    Raises:
        UnknownName: there is no such module; the message lists those that exist.
    """
    known = names(package)
    if name not in known:
        noun = package.rsplit(".", 1)[-1].removesuffix("s")
        noun = "detector" if noun == "detect" else noun
        raise UnknownName(f"no {noun} named {name!r}; there are: {', '.join(known)}")
    return importlib.import_module(f"{package}.{name}")
