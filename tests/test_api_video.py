"""`faceparts.hide_video`: a video in, a video out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import skimage.data

import faceparts
from faceparts.errors import UnknownName, UnreadableVideo, UnwritableOutput, UsageError
from faceparts.types import Head, Image
from video_world import make_video, numbered, read_video

EYES = (slice(96, 116), slice(200, 240))


@pytest.fixture(scope="module")
def astronaut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    photo = skimage.data.astronaut()
    frames = [np.roll(photo, 2 * i, axis=1) for i in range(4)]
    return make_video(tmp_path_factory.mktemp("video") / "a.avi", frames, codec="MJPG")


def test_the_face_is_gone_from_every_frame(astronaut: Path, tmp_path: Path) -> None:
    told = faceparts.hide_video(astronaut, tmp_path / "out.mp4")
    assert (told["frames"], told["frames_without_heads"]) == (4, 0)
    assert max(track["best_score"] for track in told["tracks"]) > 0.6
    frames = read_video(tmp_path / "out.mp4")
    assert len(frames) == 4
    for frame in frames:
        assert frame[EYES].max() < 40
    assert frames[0][:60, 300:].std() > 20  # not everything is
    with pytest.raises(UnwritableOutput, match="exists already"):
        faceparts.hide_video(astronaut, tmp_path / "out.mp4")
    faceparts.hide_video(astronaut, tmp_path / "out.mp4", color="white", force=True)
    assert read_video(tmp_path / "out.mp4")[0][EYES].min() > 220


def test_a_video_that_does_not_stand_upright(tmp_path: Path) -> None:
    """It is turned five times a second; what lies between is found weakly or filled in."""
    photo = np.ascontiguousarray(np.rot90(skimage.data.astronaut(), 1))
    path = make_video(tmp_path / "a.avi", [photo] * 12, codec="MJPG")
    told = faceparts.hide_video(path, tmp_path / "out.mp4")
    assert (told["frames"], told["frames_without_heads"]) == (12, 0)
    for frame in read_video(tmp_path / "out.mp4"):
        assert np.rot90(frame, -1)[EYES].max() < 40


class Somewhere:
    """Somebody's own detector."""

    def detect(self, image: Image) -> Sequence[Head]:
        return [Head((10, 10, 40, 40), 0.3, Head.no_points())]


def test_somebodys_own_detector(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.avi", numbered(3, 96, 96))
    told = faceparts.hide_video(path, tmp_path / "out.mp4", detector=Somewhere(), color="white")
    assert told["tracks"] == [{"from_s": 0.0, "to_s": 0.08, "frames": 3, "best_score": 0.3}]
    assert read_video(tmp_path / "out.mp4")[2][25, 25].min() > 220
    told = faceparts.hide_video(
        path, tmp_path / "none.mp4", detector=Somewhere(), min_score=0.4, what="head"
    )
    assert told["frames_without_heads"] == 3


def test_what_is_refused(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", numbered(2), codec="mp4v")
    with pytest.raises(UsageError, match=r"out\.webm: videos are written as MP4"):
        faceparts.hide_video(path, tmp_path / "out.webm")
    with pytest.raises(UsageError, match="does not hide"):
        faceparts.hide_video(path, tmp_path / "out.mp4", effect="overlay")
    with pytest.raises(UsageError, match="min_score"):
        faceparts.hide_video(path, tmp_path / "out.mp4", min_score=2.0)
    with pytest.raises(UnknownName):
        faceparts.hide_video(path, tmp_path / "out.mp4", detector="nobody")
    with pytest.raises(UnwritableOutput, match="would overwrite the input"):
        faceparts.hide_video(path, path, force=True)
    (tmp_path / "b.mp4").write_bytes(b"text")
    with pytest.raises(UnreadableVideo, match="no video"):
        faceparts.hide_video(tmp_path / "b.mp4", tmp_path / "out.mp4")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]
