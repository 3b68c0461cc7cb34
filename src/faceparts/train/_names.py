"""Names of models in recipes: they become names of files."""

from __future__ import annotations

import re

from faceparts.errors import BadRecipe

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


def check_name(name: str, where: str) -> None:
    """Refuse a name that would not be a file in the folder of the results.

    Raises:
        BadRecipe: it holds anything but letters, digits, ``.``, ``_`` and ``-``.
    """
    if not _NAME.fullmatch(name):
        raise BadRecipe(
            f"{where}: name = {name!r}; wanted a plain file name of letters, digits, '.', '_' "
            "and '-'"
        )
