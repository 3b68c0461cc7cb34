"""Superpixels and what most of their pixels say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faceparts.errors import UsageError
from faceparts.types import IGNORE, Image

SEGMENTS = 250
"""About as many as LFW Part Labels has a picture."""

COMPACTNESS = 10.0


def segment(image: Image) -> NDArray[np.int64]:
    """(H, W) number of each pixel's superpixel, by SLIC (Achanta et al., TPAMI 2012).

    Raises:
        UsageError: scikit-image is not installed.
    """
    try:
        from skimage.segmentation import slic
    except ImportError as error:
        raise UsageError(
            "superpixels need scikit-image; pip install 'faceparts[train]', or use a dataset that "
            "comes with its superpixels"
        ) from error
    found = slic(image, n_segments=SEGMENTS, compactness=COMPACTNESS, start_label=0)
    return np.asarray(found, np.int64)


def count(
    truth: NDArray[np.uint8], found: NDArray[np.uint8], superpixels: NDArray[np.int64], classes: int
) -> tuple[int, int]:
    """Superpixels whose majority is right, and all that hold a scored pixel.

    Args:
        truth: (H, W) class ids; `IGNORE` where nothing is scored.
        found: (H, W) class ids.
        superpixels: (H, W) numbers from 0 on.
        classes: number of classes; of equally frequent ones the first counts.

    Raises:
        ValueError: the shapes differ, or a number is negative.

    Example:
        >>> ids = np.uint8([[0, 1, 1, 255]])
        >>> count(ids, np.uint8([[0, 1, 0, 0]]), np.array([[0, 1, 1, 2]]), 2)
        (1, 2)
    """
    if not truth.shape == found.shape == superpixels.shape:
        raise ValueError(
            f"superpixels: truth {truth.shape}, prediction {found.shape}, superpixels "
            f"{superpixels.shape}; wanted one (H, W)"
        )
    if superpixels.size and superpixels.min() < 0:
        raise ValueError(f"superpixels: number {superpixels.min()}; wanted 0 and above")
    scored = truth != IGNORE
    at = superpixels[scored]
    total = int(at.max()) + 1 if at.size else 0

    def majority(ids: NDArray[np.uint8]) -> NDArray[np.int64]:
        votes = np.bincount(at * classes + ids[scored], minlength=total * classes)
        return np.asarray(votes.reshape(total, classes).argmax(axis=1))

    there = np.bincount(at, minlength=total) > 0
    right = (majority(truth) == majority(found)) & there
    return int(right.sum()), int(there.sum())
