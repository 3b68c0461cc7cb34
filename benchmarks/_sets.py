"""Names of the sets of photos on which it is known what must be hidden."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import _overlaid
import _scenes

SETS: dict[str, Callable[[Path, int], Iterator[_scenes.Scene]]] = {
    "celebamask": _scenes.celebamask_scenes,
    "collages": _scenes.collage_scenes,
    "fasseg": _scenes.fasseg_scenes,
    "helen": _scenes.helen_scenes,
    "scut_head": _scenes.scut_scenes,
    "halves": _scenes.half_scenes,
    "quarters": _scenes.quarter_scenes,
    "inner": _scenes.inner_scenes,
    "barred": _overlaid.barred_scenes,
    "written": _overlaid.written_scenes,
    "tinted": _overlaid.tinted_scenes,
}
"""Each takes the data folder and a seed."""
