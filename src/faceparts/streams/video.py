"""Videos, frame by frame: reading with everything checked, writing whole or not at all.

Decoding and encoding are OpenCV's (its wheels bring an FFmpeg under the LGPL). It knows pictures
alone: sound, subtitles and metadata are not copied. What is written is MPEG-4 Part 2 in an MP4
file, at a constant rate: frames of a video whose rate varies are repeated or left out, so that
each is seen when it was seen in the original.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from faceparts._headers import one_line
from faceparts.errors import UnreadableVideo, UnwritableOutput
from faceparts.types import Image

OUT_SUFFIX = ".mp4"

MAX_PIXELS = 268_435_456
"""Larger frames are refused, unless told otherwise."""

_CODEC = "mp4v"
_FPS_RANGE = (0.1, 240.0)
_USUAL_FPS = 25.0
_HEAD_BYTES = 400
_TS_PACKETS = ((0, 188), (4, 192))
_SHORT_S, _SHORT_SHARE = 0.5, 0.05
"""A video may end so much earlier than its header says; headers round, and count wrongly."""

_LONGEST_STILL_S = 10.0
"""No frame is shown longer than this, whatever the times in the file say."""

_SILENT = 0
_OPENING = threading.Lock()
_QUIET = {
    # No file may make the decoder open another one, or an address: a playlist can look like a video
    "OPENCV_FFMPEG_CAPTURE_OPTIONS": "protocol_whitelist;file",
    "OPENCV_FFMPEG_LOGLEVEL": "-8",
}


@dataclass(frozen=True)
class VideoFrame:
    """One frame.

    Args:
        image: (H, W, 3) uint8 RGB, upright.
        time_s: when it is shown, in seconds from the beginning; what the file says.
    """

    image: Image
    time_s: float


@dataclass(frozen=True)
class VideoInfo:
    """What the header of a video says, and its first frame shows.

    Args:
        size_wh: width and height of the upright frames in pixels.
        fps: frames a second; 0 if unknown.
        frames: how many there should be, an estimate; 0 if unknown.
        notes: what a person should know about how it was read.
    """

    size_wh: tuple[int, int]
    fps: float
    frames: int
    notes: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        """Length as the header tells it; 0 if unknown."""
        return self.frames / self.fps if self.fps > 0 else 0.0


class VideoReader:
    """A video file, opened; iterating gives its frames, from the beginning each time.

    Args:
        path: a file on this machine.
        max_pixels: larger frames are refused.

    Attributes:
        info: what the header says.
        first: the first frame.

    Raises:
        UnreadableVideo: missing, empty, no video, damaged at its beginning, or too large; while
            iterating: cut off, damaged, or frames of different sizes.

    Example::

        for frame in VideoReader(Path("clip.mp4")):
            print(frame.time_s, frame.image.shape)
    """

    def __init__(self, path: Path, *, max_pixels: int = MAX_PIXELS) -> None:
        self.path, self._max_pixels = path, max_pixels
        _require_container(path)
        with _opened(path) as capture:
            size = _size_of(capture)
            self._check_size(size)
            fps = _sound(capture.get(cv2.CAP_PROP_FPS))
            frames = int(_sound(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
            first = self._next(capture)
            across = _sound(capture.get(cv2.CAP_PROP_SAR_NUM)) or 1.0
            down = _sound(capture.get(cv2.CAP_PROP_SAR_DEN)) or 1.0
        if first is None:
            raise UnreadableVideo(f"{path}: no frame can be decoded; is the file damaged?")
        self.first = first
        height, width = first.image.shape[:2]
        notes = ["sound, subtitles and metadata are not copied"]
        if across != down:
            notes.append(
                f"its pixels are not square ({across:g}:{down:g}); written as if they were"
            )
        self.info = VideoInfo((width, height), fps, frames, tuple(notes))

    def __iter__(self) -> Iterator[VideoFrame]:
        width, height = self.info.size_wh
        count, last_s = 0, 0.0
        with _opened(self.path) as capture:
            while (frame := self._next(capture)) is not None:
                if frame.image.shape[:2] != (height, width):
                    got = f"{frame.image.shape[1]} x {frame.image.shape[0]}"
                    raise UnreadableVideo(
                        f"{self.path}: frame {count} has {got} pixels, the first {width} x {height}"
                        "; cut the video where its size changes"
                    )
                count, last_s = count + 1, max(last_s, frame.time_s)
                yield frame
        self._require_whole(count, last_s)

    def _require_whole(self, count: int, last_s: float) -> None:
        """A video that ends long before its header says so was cut off or is damaged there."""
        wanted = self.info.frames
        slack_s = max(_SHORT_S, _SHORT_SHARE * self.info.duration_s)
        slack = max(_SHORT_S * self.info.fps, _SHORT_SHARE * wanted)
        if count < wanted - slack and last_s < self.info.duration_s - slack_s:
            raise UnreadableVideo(
                f"{self.path}: cut off or damaged after {count} of {wanted} frames "
                f"({last_s:.1f} of {self.info.duration_s:.1f} s); get a whole copy of it"
            )

    def _next(self, capture: cv2.VideoCapture) -> VideoFrame | None:
        try:
            good, bgr = capture.read()
        except cv2.error as error:
            raise UnreadableVideo(f"{self.path}: {one_line(str(error))}") from None
        if not good or bgr is None:
            return None
        if bgr.ndim == 2:
            bgr = cv2.cvtColor(bgr, cv2.COLOR_GRAY2BGR)
        self._check_size((bgr.shape[1], bgr.shape[0]))
        time_s = _sound(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
        return VideoFrame(np.ascontiguousarray(bgr[..., 2::-1]), time_s)

    def _check_size(self, size_wh: tuple[int, int]) -> None:
        width, height = size_wh
        if width * height > self._max_pixels:
            raise UnreadableVideo(
                f"{self.path}: frames of {width} x {height} pixels, wanted at most "
                f"{self._max_pixels / 1e6:.0f} megapixels; see --max-megapixels"
            )


class VideoWriter:
    """Writes frames of one size at a constant rate.

    Args:
        path: a name that ends with `OUT_SUFFIX`; overwritten, so give a temporary one.
        fps: frames a second.
        size_wh: of the frames; odd sides lose their last column or row, for the format's sake.

    Raises:
        UnwritableOutput: the encoder cannot be opened; on leaving the block: frames are missing in
            what was written, as they are when the disk is full.

    Example::

        with VideoWriter(Path("a.mp4"), 25.0, (640, 480)) as writer:
            writer.write(image)
    """

    def __init__(self, path: Path, fps: float, size_wh: tuple[int, int]) -> None:
        width, height = even_size(size_wh)
        self._path, self._size, self._count = path, (width, height), 0
        fourcc = cv2.VideoWriter.fourcc(*_CODEC)
        with _quiet():
            self._writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, fps, (width, height))
        if not width or not height or not self._writer.isOpened():
            raise UnwritableOutput(
                f"{path.name}: a video of {size_wh[0]} x {size_wh[1]} pixels and {fps:g} frames a "
                "second cannot be encoded; make it smaller"
            )

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.release()
        if kind is None:
            self._require_written()

    def write(self, image: Image, times: int = 1) -> None:
        """Append an (H, W, 3) uint8 RGB frame ``times`` times."""
        width, height = self._size
        bgr = np.ascontiguousarray(image[:height, :width, ::-1])
        for _ in range(times):
            self._writer.write(bgr)
        self._count += times

    def _require_written(self) -> None:
        """Count what can be read back: the encoder does not say when the disk is full."""
        count = 0
        try:
            with _opened(self._path) as capture:
                while capture.grab():
                    count += 1
                size = _size_of(capture)
        except UnreadableVideo:
            size = self._size
        if count != self._count or size != self._size:
            raise UnwritableOutput(
                f"only {count} of {self._count} frames can be read back from what was written; "
                "free some space or choose another folder"
            )


def even_size(size_wh: tuple[int, int]) -> tuple[int, int]:
    """The size that a frame has in a file: both sides even."""
    return size_wh[0] // 2 * 2, size_wh[1] // 2 * 2


def steady_fps(times_s: Sequence[float], told: float) -> float:
    """The rate that fits the times of frames best.

    The mean step of those that are like the median one; the rate of the header if it is as good as
    that, or if the times do not tell.

    Args:
        times_s: of all frames, in order.
        told: what the header says; 0 if unknown.

    Example:
        >>> steady_fps([0.0, 0.033, 0.067, 0.1, 0.2], 27.3)
        30.0
    """
    steps = np.diff(np.asarray(times_s, np.float64))
    steps = steps[steps > 0]
    fps = told if told > 0 else _USUAL_FPS
    if steps.size:
        usual = np.median(steps)
        mean = float(steps[np.abs(steps - usual) <= 0.2 * usual].mean())
        if abs(fps * mean - 1) > 0.005:
            fps = round(1 / mean, 3)
    return float(np.clip(fps, *_FPS_RANGE))


def repeats(times_s: Sequence[float], fps: float) -> list[int]:
    """How often each frame is written, so that it is seen at its time at a constant rate.

    0 for a frame that is followed by another within the same step. Times that do not grow are those
    of a file that does not know them: 1 for each frame.

    Example:
        >>> repeats([0.0, 0.04, 0.08, 0.2], 25.0)
        [1, 1, 3, 1]
    """
    if any(after <= before for before, after in pairwise(times_s)):
        return [1] * len(times_s)
    places = [round((time - times_s[0]) * fps) for time in times_s]
    most = math.ceil(_LONGEST_STILL_S * fps)
    steps = [min(b - a, most) for a, b in pairwise(places)]
    return [*steps, 1] if times_s else []


# ---- parts --------------------------------------------------------------------------------------


def _sound(value: float) -> float:
    """What OpenCV says of a property; 0 where it says nonsense."""
    return float(value) if math.isfinite(value) and 0 < value < 2**31 else 0.0


def _size_of(capture: cv2.VideoCapture) -> tuple[int, int]:
    width, height = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    return int(_sound(capture.get(width))), int(_sound(capture.get(height)))


def _set_log_level(level: int) -> int:
    """How much OpenCV says itself; the level before."""
    logging: Any = getattr(cv2.utils, "logging", cv2)  # moved there in OpenCV 5
    return int(logging.setLogLevel(level))


@contextmanager
def _quiet() -> Iterator[None]:
    """Set what FFmpeg reads from the environment; a file decides no more than its own pixels."""
    with _OPENING:
        before = {name: os.environ.get(name) for name in _QUIET}
        level = _set_log_level(_SILENT)
        os.environ.update(_QUIET)
        try:
            yield
        finally:
            _set_log_level(level)
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


@contextmanager
def _opened(path: Path) -> Iterator[cv2.VideoCapture]:
    with _quiet():
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise UnreadableVideo(
                f"{path}: cannot be decoded; it is damaged or cut off, or holds no pictures or "
                "pictures of an unknown kind"
            )
        yield capture
    finally:
        capture.release()


def _require_container(path: Path) -> None:
    """Refuse what is no video by its first bytes: decoders try everything, playlists too."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise UnreadableVideo(f"{path}: cannot be read ({error.strerror or error})") from error
    if not head:
        raise UnreadableVideo(f"{path}: empty file")
    if not _is_container(head):
        raise UnreadableVideo(
            f"{path}: no video; wanted MP4, MOV, Matroska, WebM, AVI, MPEG, ASF, FLV or Ogg"
        )


def _is_container(head: bytes) -> bool:
    begins = (
        b"\x1a\x45\xdf\xa3",
        b"\0\0\1\xba",
        b"\0\0\1\xb3",
        b"\x30\x26\xb2\x75",
        b"FLV\1",
        b"OggS",
    )
    if head.startswith(begins):
        return True
    if head[:4] == b"RIFF" and head[8:11] == b"AVI":
        return True
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return True
    return any(
        len(head) > at + size and head[at] == 0x47 == head[at + size] for at, size in _TS_PACKETS
    )
