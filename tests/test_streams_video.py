"""Videos: read frame by frame with everything checked, written whole or not at all."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceparts.errors import UnreadableVideo, UnwritableOutput
from faceparts.streams import video
from faceparts.streams.video import (
    VideoReader,
    VideoWriter,
    even_size,
    repeats,
    steady_fps,
)
from video_world import make_video, numbered, read_video, turn_header


def test_frames_are_as_they_were_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frames = [cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (64, 48)) for _ in range(5)]
    reader = VideoReader(make_video(tmp_path / "a.avi", frames, 20.0))
    assert (reader.info.size_wh, reader.info.fps, reader.info.frames) == ((64, 48), 20.0, 5)
    assert reader.info.duration_s == pytest.approx(0.25)
    assert reader.info.notes == ("sound, subtitles and metadata are not copied",)
    for _ in range(2):  # from the beginning each time
        read = list(reader)
        assert [frame.time_s for frame in read] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
        for frame, wanted in zip(read, frames, strict=True):
            assert np.abs(frame.image.astype(int) - wanted).max() <= 3  # another colour space
    assert np.array_equal(reader.first.image, read[0].image)


def test_frames_are_upright(tmp_path: Path) -> None:
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[:, :16] = 255  # a white strip on the left ...
    path = make_video(tmp_path / "a.mp4", [frame] * 3, codec="mp4v")
    turn_header(path)
    reader = VideoReader(path)
    assert reader.info.size_wh == (48, 64)
    assert reader.first.image[:12].min() > 200  # ... is on top after a turn clockwise
    assert reader.first.image[24:].max() < 50


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    frames = numbered(6, 49, 65)  # odd sides
    with VideoWriter(path, 12.5, (65, 49)) as writer:
        for i, frame in enumerate(frames):
            writer.write(frame, times=2 if i == 3 else 1)
    read = read_video(path)
    assert [image.shape for image in read] == [(48, 64, 3)] * 7
    levels = [float(image.mean()) for image in read]
    assert levels == pytest.approx([10, 14, 18, 22, 22, 26, 30], abs=4)
    assert VideoReader(path).info.fps == pytest.approx(12.5)
    assert even_size((65, 48)) == (64, 48)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("empty.mp4", b"", "empty file"),
        ("text.mp4", b"#EXTM3U\nhttp://127.0.0.1/a.ts\n", "no video; wanted MP4, MOV, Matroska"),
        ("short.mp4", b"\0\0\0\x18ftypmp42", "cannot be decoded"),
        ("short.mkv", b"\x1a\x45\xdf\xa3" + b"\0" * 50, "cannot be decoded"),
    ],
)
def test_what_is_no_video(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(UnreadableVideo, match=f"{name}: {message}"):
        VideoReader(path)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(UnreadableVideo, match=r"cannot be read \(No such file"):
        VideoReader(tmp_path / "a.mp4")
    with pytest.raises(UnreadableVideo, match=r"cannot be read \(Is a directory"):
        VideoReader(tmp_path)


@pytest.mark.parametrize(
    "head",
    [
        b"\x1a\x45\xdf\xa3",
        b"RIFF\0\0\0\0AVI LIST",
        b"RIFF\0\0\0\0AVIX",
        b"\0\0\0\x18ftypisom",
        b"\0\0\0\x08wide",
        b"\0\0\1\xba",
        b"\x30\x26\xb2\x75",
        b"FLV\1",
        b"OggS",
        (b"G" + b"\0" * 187) * 2,
        (b"\0\0\0\0G" + b"\0" * 187) * 2,
    ],
)
def test_containers_are_known_by_their_first_bytes(head: bytes) -> None:
    assert video._is_container(head)
    assert not video._is_container(b"\2" + head[1:4] + b"\2" * 3 + b"\2" * len(head[7:]))


def test_a_playlist_in_disguise_opens_no_address(tmp_path: Path) -> None:
    """FFmpeg looks for the kind itself: whatever it takes a file for, it may open no other."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
        text = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}\n#EXT-X-ENDLIST\n"
        path = tmp_path / "list.m3u8"
        path.write_text(text)
        with pytest.raises(UnreadableVideo), video._opened(path):
            pass
        with pytest.raises(TimeoutError):
            server.accept()


def test_the_environment_is_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENCV_FFMPEG_LOGLEVEL", "16")
    monkeypatch.delenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", raising=False)
    VideoReader(make_video(tmp_path / "a.avi", numbered(2)))
    assert os.environ["OPENCV_FFMPEG_LOGLEVEL"] == "16"
    assert "OPENCV_FFMPEG_CAPTURE_OPTIONS" not in os.environ


def test_a_video_that_was_cut_off(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    frames = [rng.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(100)]
    whole = make_video(tmp_path / "a.mkv", frames).read_bytes()
    path = tmp_path / "cut.mkv"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        UnreadableVideo, match=r"cut\.mkv: (cut off or damaged after \d\d of|cannot)"
    ):
        list(VideoReader(path))


def test_a_little_less_than_the_header_says_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = VideoReader(make_video(tmp_path / "a.avi", numbered(20)))
    for told, good in ((20, True), (30, True), (60, False)):  # half a second is forgiven
        told_info = video.VideoInfo((64, 48), 25.0, told)
        monkeypatch.setattr(reader, "info", told_info)
        if good:
            assert len(list(reader)) == 20
        else:
            with pytest.raises(UnreadableVideo, match=r"after 20 of 60 frames \(0\.8 of 2\.4 s\)"):
                list(reader)


def test_frames_that_are_too_large(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.avi", numbered(2))
    with pytest.raises(UnreadableVideo, match="frames of 64 x 48 pixels, wanted at most 0 megapix"):
        VideoReader(path, max_pixels=1000)


class _Odd:
    """A capture whose second frame is larger than its first, and which ends badly."""

    def __init__(self, *_: object) -> None:
        self.count = 0

    def isOpened(self) -> bool:  # noqa: N802  # OpenCV's name
        return True

    def get(self, what: int) -> float:
        return {cv2.CAP_PROP_FRAME_WIDTH: 4.0, cv2.CAP_PROP_FRAME_HEIGHT: 2.0}.get(
            what, float("nan")
        )

    def release(self) -> None:
        pass

    def read(self) -> tuple[bool, object]:
        self.count += 1
        if self.count == 3:
            raise cv2.error("decoder\nfell over")
        shape = (2, 4) if self.count == 1 else (2, 4, 3) if self.fine else (4, 8, 3)
        return True, np.zeros(shape, np.uint8)

    fine = False


@pytest.mark.parametrize(
    ("fine", "message"),
    [(False, "frame 1 has 8 x 4 pixels, the first 4 x 2"), (True, r"a\.avi: decoder\\nfell over")],
)
def test_odd_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fine: bool, message: str
) -> None:
    path = make_video(tmp_path / "a.avi", numbered(2))
    monkeypatch.setattr(cv2, "VideoCapture", _Odd)
    monkeypatch.setattr(_Odd, "fine", fine)
    reader = VideoReader(path)
    assert (reader.info.fps, reader.info.frames, reader.info.duration_s) == (0.0, 0, 0.0)
    assert reader.first.image.shape == (2, 4, 3)  # grey became colour
    with pytest.raises(UnreadableVideo, match=message):
        list(reader)


def test_a_video_without_a_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video(tmp_path / "a.avi", numbered(2))
    monkeypatch.setattr(_Odd, "read", lambda _: (False, None))
    monkeypatch.setattr(cv2, "VideoCapture", _Odd)
    with pytest.raises(UnreadableVideo, match="no frame can be decoded"):
        VideoReader(path)


def test_pixels_that_are_not_square_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video(tmp_path / "a.avi", numbered(2))
    real = cv2.VideoCapture

    class Wide:
        def __init__(self, *arguments: object) -> None:
            self.capture = real(*arguments)

        def __getattr__(self, name: str) -> object:
            return getattr(self.capture, name)

        def get(self, what: int) -> float:
            return 16.0 if what == cv2.CAP_PROP_SAR_NUM else float(self.capture.get(what))

    monkeypatch.setattr(cv2, "VideoCapture", Wide)
    assert "not square (16:1)" in VideoReader(path).info.notes[1]


def test_frames_that_did_not_reach_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mp4"
    writer = VideoWriter(path, 25.0, (64, 48))
    writer.write(numbered(1)[0])
    monkeypatch.setattr(writer, "_count", 2)
    with pytest.raises(UnwritableOutput, match="only 1 of 2 frames can be read back"), writer:
        pass
    with (
        pytest.raises(UnwritableOutput, match="only 0 of 3 frames"),
        VideoWriter(path, 25.0, (64, 48)) as writer,
    ):
        writer.write(numbered(1)[0], times=3)
        monkeypatch.setattr(video, "_opened", _refuse)


def _refuse(_: Path) -> None:
    raise UnreadableVideo("gone")


def test_an_error_in_the_block_comes_out(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), VideoWriter(tmp_path / "a.mp4", 25.0, (64, 48)):
        raise ZeroDivisionError


def test_sizes_that_cannot_be_encoded(tmp_path: Path) -> None:
    with pytest.raises(UnwritableOutput, match=r"a video of 1 x 8 pixels and 25 frames a second"):
        VideoWriter(tmp_path / "a.mp4", 25.0, (1, 8))


@pytest.mark.parametrize(
    ("times", "told", "fps"),
    [
        ([0.0, 0.04, 0.08], 25.0, 25.0),
        ([0.0, 0.033, 0.067, 0.1], 30.0, 30.0),  # whole milliseconds
        ([0.0, 0.1, 0.2, 0.9, 1.0], 5.0, 10.0),  # a gap does not count
        ([0.0, 0.0, 0.0], 12.0, 12.0),  # no times
        ([0.0], 0.0, 25.0),
        ([], 0.0, 25.0),
        ([0.0, 0.001, 0.002], 90000.0, 240.0),
    ],
)
def test_the_rate_that_fits(times: list[float], told: float, fps: float) -> None:
    assert steady_fps(times, told) == pytest.approx(fps)


@given(
    st.lists(st.floats(0.001, 2.0), min_size=1, max_size=40),
    st.floats(1.0, 60.0),
)
def test_each_frame_is_seen_at_its_time(steps: list[float], fps: float) -> None:
    times = [float(t) for t in np.cumsum([0.0, *steps])]
    counts = repeats(times, fps)
    assert len(counts) == len(times)
    shown = np.cumsum([0, *counts])[:-1] / fps
    assert np.abs(shown - times).max() <= 0.5 / fps + 1e-6


def test_times_that_lie() -> None:
    assert repeats([], 25.0) == []
    assert repeats([0.0, 0.1, 0.1, 0.2], 25.0) == [1, 1, 1, 1]
    assert repeats([0.0, 1e9], 25.0) == [250, 1]  # ten seconds at most
