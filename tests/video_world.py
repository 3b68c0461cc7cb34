"""Tiny videos for tests, written by OpenCV, and ways to spoil them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Frames = Sequence[NDArray[np.uint8]]


def make_video(path: Path, frames: Frames, fps: float = 25.0, codec: str = "FFV1") -> Path:
    """Write RGB frames; ``FFV1`` in ``.mkv`` and ``.avi`` loses nothing."""
    height, width = frames[0].shape[:2]
    fourcc = cv2.VideoWriter.fourcc(*codec)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, fps, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return path


def read_video(path: Path) -> list[NDArray[np.uint8]]:
    """All RGB frames, read by OpenCV alone."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    frames = []
    while True:
        good, frame = capture.read()
        if not good:
            return frames
        frames.append(np.ascontiguousarray(frame[..., ::-1]))


def numbered(count: int, height: int = 48, width: int = 64) -> list[NDArray[np.uint8]]:
    """Grey frames, each a little brighter than the one before."""
    return [np.full((height, width, 3), 10 + 4 * i, np.uint8) for i in range(count)]


def turn_header(path: Path) -> None:
    """Let the header of an MP4 file say that its frames are to be turned by a quarter."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    turned = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    data[at : at + 36] = b"".join(v.to_bytes(4, "big", signed=True) for v in turned)
    path.write_bytes(data)
