"""Crops -> probabilities. One file a kind of weights file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from faceparts.types import Segmenter


def maps_of(segmenter: Segmenter) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """What gives a segmenter's probabilities in the size it works them out: (N, K, s, s).

    That is its ``maps``, or `Segmenter.predict` where it has none.
    """
    own: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    own = getattr(segmenter, "maps", segmenter.predict)
    return own
