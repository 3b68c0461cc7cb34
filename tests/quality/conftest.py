"""The quality suite guards the shipped nets on the data that ``FACEPARTS_DATA`` names.

Without it nothing here is collected: the data is not part of the project.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
collect_ignore_glob = ["test_*.py"]
if os.environ.get("FACEPARTS_DATA"):
    collect_ignore_glob = []
    sys.path.insert(0, str(ROOT / "benchmarks"))  # the photos with known faces are made there


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with the data sets."""
    return Path(os.environ["FACEPARTS_DATA"])


@pytest.fixture(scope="session")
def parser():
    """The product with its defaults."""
    from faceparts.parse import FaceParser

    return FaceParser()


@pytest.fixture(scope="session")
def val_samples(data):
    """30 pictures of CelebAMask val."""
    from faceparts.datasets import celebamask

    dataset = celebamask.load(data / "celebamask", "val")
    return [dataset[i] for i in range(0, 90, 3)]


@pytest.fixture(scope="session")
def label_square(parser) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    """(S, S, 3) picture -> (S, S) labels: shrink by area, enlarge the probabilities, arg max."""
    segmenter = parser.segmenter

    def label(square: NDArray[np.uint8]) -> NDArray[np.uint8]:
        side = segmenter.card.input_px
        small = cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA)
        probs = segmenter.predict(small[None])[0]
        large = [cv2.resize(plane, square.shape[1::-1]) for plane in probs]
        return np.argmax(large, axis=0).astype(np.uint8)

    return label
