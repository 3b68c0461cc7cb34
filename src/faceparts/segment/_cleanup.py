"""Makes probabilities follow the picture's edges: guided filter, or a vote in superpixels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.errors import UsageError
from faceparts.types import Image

Array = NDArray[np.float32]
KINDS = ("none", "guided", "slic")


@dataclass(frozen=True)
class Cleanup:
    """What to do with the probabilities of the last stage.

    Args:
        kind: ``"none"``; ``"guided"``: He, Sun and Tang, "Guided image filtering", ECCV 2010, with
            the lightness as guide; ``"slic"``: every superpixel gets its mean probabilities, as in
            Khan et al., ICME 2017 (needs scikit-image).
        radius_px: guided: half the window's side, in pixels of the working picture.
        softness: guided: squared contrast, on a scale of 0..1, below which edges do not count.
        segments: slic: number of superpixels.
    """

    kind: str = "none"
    radius_px: int = 2
    softness: float = 1e-3
    segments: int = 600

    def check(self) -> None:
        """Refuse values out of range.

        Raises:
            ValueError: the message names the field, the value and the range.
        """
        if self.kind not in KINDS:
            raise ValueError(f"cleanup: kind {self.kind!r}; wanted one of {', '.join(KINDS)}")
        for name, low, high in (
            ("radius_px", 1, 64),
            ("softness", 1e-8, 1.0),
            ("segments", 2, 100_000),
        ):
            value = getattr(self, name)
            if type(value) not in (int, type(low)) or not low <= value <= high:
                raise ValueError(f"cleanup: {name} {value!r}; wanted {low}..{high}")

    def __call__(self, image: Image, probs: Array) -> Array:
        """(H, W, 3) picture and (H, W, K) probabilities -> (H, W, K) that sum to 1.

        Raises:
            UsageError: superpixels are asked for and scikit-image is not installed.
        """
        if self.kind == "guided":
            return filter_guided(image, probs, self.radius_px, self.softness)
        if self.kind == "slic":
            return mean_by_segment(probs, superpixels(image, self.segments))
        return probs


def filter_guided(image: Image, probs: Array, radius_px: int, softness: float) -> Array:
    """Smooth each plane of probabilities within the picture's edges."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    guide = gray.astype(np.float32) / np.float32(255)
    side = (2 * radius_px + 1, 2 * radius_px + 1)

    def mean(values: Array) -> Array:
        blurred = cv2.boxFilter(values, -1, side, borderType=cv2.BORDER_REFLECT_101)
        return np.asarray(blurred, np.float32)

    middle = mean(guide)
    spread = mean(guide * guide) - middle * middle + np.float32(softness)
    out = np.empty_like(probs)
    for k in range(probs.shape[2]):
        plane = np.ascontiguousarray(probs[..., k])
        level = mean(plane)
        slope = np.asarray((mean(guide * plane) - middle * level) / spread, np.float32)
        out[..., k] = mean(slope) * guide + mean(np.asarray(level - slope * middle, np.float32))
    np.clip(out, 1e-7, 1, out=out)
    return np.asarray(out / out.sum(axis=2, keepdims=True), np.float32)


def superpixels(image: Image, segments: int) -> NDArray[np.intp]:
    """(H, W) numbers 0.. of SLIC superpixels.

    Raises:
        UsageError: scikit-image is not installed.
    """
    try:
        from skimage.segmentation import slic
    except ImportError as error:
        raise UsageError("superpixels need scikit-image; pip install 'faceparts[train]'") from error
    return np.asarray(slic(image, n_segments=segments, compactness=10, start_label=0), np.intp)


def mean_by_segment(values: Array, segments: NDArray[np.intp]) -> Array:
    """Give every pixel the mean of its segment.

    Args:
        values: (H, W, C).
        segments: (H, W) numbers from 0 on.
    """
    where = segments.reshape(-1)
    sizes = np.maximum(np.bincount(where), 1)
    means = np.stack(
        [np.bincount(where, values[..., c].reshape(-1)) / sizes for c in range(values.shape[2])],
        axis=1,
    )
    return np.asarray(means[segments], np.float32)
