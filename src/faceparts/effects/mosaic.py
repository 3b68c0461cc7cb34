"""Replace the hidden region by coarse cells of mean colour.

The cells are sized by the head, so a face looks the same at 480p and at 12 megapixels. A mosaic
keeps colours and coarse shape and can be matched against other photos of the same person: use
``solid`` where people must not be recognised.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts._values import require_range
from faceparts.effects._region import Hiding
from faceparts.types import Image

_MIN_CELL_PX = 2.0
_MIN_FILL = 0.25


@dataclass(frozen=True)
class Mosaic(Hiding):
    """Hide faces under coarse cells; people who know a face may still recognise it."""

    cells: int = field(
        default=6, metadata={"help": "cells across the head, 1 to 32; fewer hide more"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range("cells", self.cells, 1, 32)

    def _fill(self, cut: Image, mask: NDArray[np.bool_], size_px: float) -> None:
        h, w = mask.shape
        side_px = max(size_px / self.cells, _MIN_CELL_PX)
        row_of = (np.arange(h) / side_px).astype(np.intp)
        column_of = (np.arange(w) / side_px).astype(np.intp)
        counts = _sum_cells(mask, row_of, column_of)
        # A cell with a few pixels of the region would show them nearly as they are.
        thin = counts < _MIN_FILL * side_px * side_px
        for c in range(3):
            sums = _sum_cells(np.where(mask, cut[..., c], 0), row_of, column_of)
            wide = _sum_neighbours(sums) / np.maximum(_sum_neighbours(counts), 1)
            means = np.where(thin, wide, sums / np.maximum(counts, 1))
            levels = np.rint(means).astype(np.uint8)
            np.copyto(cut[..., c], levels[row_of][:, column_of], where=mask)


def _sum_cells(
    values: NDArray[np.uint8] | NDArray[np.bool_],
    row_of: NDArray[np.intp],
    column_of: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Sum the values of each cell; rows and columns are given by the cell that they belong to."""
    rows = np.flatnonzero(np.diff(row_of, prepend=-1))
    columns = np.flatnonzero(np.diff(column_of, prepend=-1))
    tall = np.add.reduceat(values, rows, axis=0, dtype=np.uint32)
    return np.add.reduceat(tall, columns, axis=1, dtype=np.float64)


def _sum_neighbours(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of each cell and the eight around it."""
    return np.asarray(
        cv2.boxFilter(cells, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    )


EFFECT = Mosaic
