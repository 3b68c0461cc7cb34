"""Checks of options that are numbers."""

from __future__ import annotations

import math
import operator
from numbers import Real

from faceparts.errors import UsageError


def require_whole(name: str, value: object, least: int) -> int:
    """The value as ``int``; NumPy's whole numbers are welcome, truth values are not.

    Raises:
        UsageError: it is no whole number of at least ``least``.
    """
    try:
        whole = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        whole = least - 1
    if isinstance(value, bool) or whole < least:
        raise UsageError(f"{name}: got {value!r}, wanted a whole number of at least {least}")
    return whole


def require_range(name: str, value: object, low: float, high: float) -> float:
    """The value as ``float``.

    Raises:
        UsageError: it is no number from ``low`` to ``high``; truth values are none.
    """
    number = float(value) if isinstance(value, Real) else math.nan
    if isinstance(value, bool) or not low <= number <= high:
        raise UsageError(f"{name}: got {value!r}, wanted {low} to {high}")
    return number
