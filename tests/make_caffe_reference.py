"""Writes caffe_reference.npz: what OpenCV 4's Caffe importer makes of the nets of `caffe_files`.

Run it where OpenCV still has that importer (5 has not), from the project's root:

    pip install numpy 'opencv-python-headless==4.10.*'
    python tests/make_caffe_reference.py
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import caffe_files

CASES = {
    # name: (outputs, width, seed, height, width in pixels, step between the kept pixels)
    "500": (21, 1 / 32, 0, 500, 500, 25),
    "300": (3, 1 / 32, 1, 300, 300, 15),
    "odd": (21, 1 / 16, 2, 131, 77, 7),
    "flat": (3, 1 / 32, 3, 33, 250, 5),
    "one": (2, 1 / 32, 4, 1, 1, 1),
}
PATH = Path(__file__).with_name("caffe_reference.npz")


def picture(seed: int, height: int, width: int) -> NDArray[np.float32]:
    """(3, H, W): what a net gets, blue, green, red 0..255 less their means."""
    values = np.random.RandomState(seed + 100).uniform(-120, 140, (3, height, width))
    return values.astype(np.float32)


def run_opencv(
    layers: Sequence[caffe_files.Layer], image: NDArray[np.float32], **options: bool
) -> NDArray[np.float32]:
    """(3, H, W) -> (K, H, W) by OpenCV's importer, which OpenCV 4 has."""
    text = caffe_files.prototxt(layers, *image.shape[1:])
    net = cv2.dnn.readNetFromCaffe(
        np.frombuffer(text.encode(), np.uint8),
        np.frombuffer(caffe_files.caffemodel(layers, **options), np.uint8),
    )
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    net.setInput(image[None])
    out: NDArray[np.float32] = net.forward()[0]
    return out


def main() -> None:
    found = {"opencv": np.array(cv2.__version__)}
    for name, (outputs, width, seed, rows, columns, step) in CASES.items():
        layers = caffe_files.fcn8s(outputs, width, seed)
        scores = run_opencv(layers, picture(seed, rows, columns))
        found[name] = scores[:, ::step, ::step]
        print(name, scores.shape, f"std {scores.std():.2f}, largest {np.abs(scores).max():.1f}")
    data = io.BytesIO()
    np.savez_compressed(data, **found)
    PATH.write_bytes(data.getvalue())


if __name__ == "__main__":
    main()
