"""A video through both passes: heads found, linked, filled in, hidden in every frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from faceparts import labels
from faceparts.errors import UnreadableVideo
from faceparts.streams.video import VideoReader
from faceparts.track.fill import SOURCE
from faceparts.types import Crop, Face, Head, Image
from faceparts.video import Seen, changed, look, write
from video_world import make_video, numbered, read_video

FPS = 10.0


def detect_but_not(missed: Sequence[int]) -> object:
    """A detector that sees one head moving right, and nothing in some frames."""
    calls = iter(range(1000))

    def detect(_: Image) -> list[Head]:
        number = next(calls)
        if number in missed:
            return []
        return [Head((2.0 * number, 10, 2.0 * number + 20, 30), 0.8, Head.no_points())]

    return detect


def segment(image: Image, heads: Sequence[Head]) -> list[Face]:
    """Faces without parts: the boxes say it all."""
    crop = Crop(np.zeros((1, 1, 3), np.uint8), np.eye(2, 3), (image.shape[0], image.shape[1]))
    empty = np.zeros((0, 0), np.uint8), np.zeros((0, 0), np.float32), (0, 0, 0, 0)
    return [Face(head, crop, *empty, labels.FACE2) for head in heads]


def whiten(image: Image, faces: Sequence[Face]) -> Image:
    changed = image.copy()
    for face in faces:
        x0, y0, x1, y1 = (max(0, round(v)) for v in face.head.box_xyxy)
        changed[y0:y1, x0:x1] = 255
    return changed


def test_a_head_that_was_missed_is_hidden_too(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.avi", numbered(20), FPS)
    reader, done = VideoReader(path), list[int]()
    missed = [0, 1, 9, 10, 11, 12, 18, 19]
    seen = look(reader, detect_but_not(missed), each=done.append)  # type: ignore[arg-type]
    assert done == list(range(20))
    assert [track.frames for track in seen.tracks] == [tuple(sorted(set(range(20)) - set(missed)))]
    assert [len(heads) for heads in seen.heads] == [1] * 20
    assert seen.filled == len(missed)
    assert seen.heads[10][0].source == SOURCE
    told = seen.told()
    assert (told["frames"], told["fps"], told["duration_s"]) == (20, FPS, 2.0)
    assert (told["frames_without_heads"], told["heads_filled_in"]) == (0, 8)
    assert told["tracks"] == [{"from_s": 0.2, "to_s": 1.7, "frames": 12, "best_score": 0.8}]

    out, written = tmp_path / "out.mp4", list[int]()
    frames = (image for image, _ in changed(reader, seen, segment, whiten))
    write(out, seen, frames, reader.info.size_wh, written.append)
    assert written == done
    hidden = read_video(out)
    assert len(hidden) == 20
    for number, image in enumerate(hidden):
        assert image[14:26, 2 * number + 4 : 2 * number + 16].min() > 220, number
        assert image[40:].max() < 120  # the rest is as it was


def test_nobody_for_too_long_is_not_filled_in(tmp_path: Path) -> None:
    reader = VideoReader(make_video(tmp_path / "a.avi", numbered(30), FPS))
    seen = look(reader, detect_but_not(range(1, 30)))  # type: ignore[arg-type]
    assert [len(heads) for heads in seen.heads] == [1] * 6 + [0] * 24  # half a second more
    seen = look(reader, detect_but_not(range(1, 30)), hold_s=0.2)  # type: ignore[arg-type]
    assert [len(heads) for heads in seen.heads] == [1] * 3 + [0] * 27
    assert seen.told()["frames_without_heads"] == 27
    assert seen.told()["without_heads_s"] == [[0.3, 2.9]]


def test_a_rate_that_varies_is_made_constant(tmp_path: Path) -> None:
    reader = VideoReader(make_video(tmp_path / "a.avi", numbered(4), FPS))
    seen = Seen((0.0, 0.1, 0.4, 0.5), FPS, ())
    frames = (image for image, _ in changed(reader, seen, segment, whiten))
    write(tmp_path / "out.mp4", seen, frames, reader.info.size_wh, lambda _: None)
    levels = [float(image.mean()) for image in read_video(tmp_path / "out.mp4")]
    assert levels == pytest.approx([10, 14, 14, 14, 18, 22], abs=4)


@pytest.mark.parametrize("count", [3, 5])
def test_a_file_that_grows_or_shrinks_meanwhile(tmp_path: Path, count: int) -> None:
    reader = VideoReader(make_video(tmp_path / "a.avi", numbered(4), FPS))
    seen = Seen(tuple(i / FPS for i in range(count)), FPS, ())
    wanted = rf"a\.avi: 4 frames, {count} a moment ago; is it being written"
    with pytest.raises(UnreadableVideo, match=wanted):
        list(changed(reader, seen, segment, whiten))


def test_a_track_that_never_was_sure_does_not_count(tmp_path: Path) -> None:
    """A weak sight counts where the same head is sure at another time, before or after."""
    scores = iter([0.2, 0.3, 0.45, 0.2] + [0.0] * 4)

    def detect(_: Image) -> list[Head]:
        score = next(scores)
        weak = Head((40, 0, 50, 10), 0.29, Head.no_points())
        return [Head((5, 5, 25, 25), score, Head.no_points()), weak] if score else [weak]

    reader = VideoReader(make_video(tmp_path / "a.avi", numbered(4), FPS))
    seen = look(reader, detect, sure_score=0.4)
    assert [track.frames for track in seen.tracks] == [(0, 1, 2, 3)]
    assert seen.told()["tracks_left_out"] == 1
    assert seen.sure_score == 0.4
    scores = iter([0.2] * 4)
    everything = look(reader, detect)
    assert (len(everything.tracks), everything.left_out) == (2, 0)


def test_a_quicker_look_in_between(tmp_path: Path) -> None:
    """Ten frames a second, five thorough looks: every second frame."""
    thorough, quick = list[int](), list[int]()

    def count(looks: list[int]) -> Callable[[Image], list[Head]]:
        def detect(image: Image) -> list[Head]:
            looks.append(round((float(image.mean()) - 10) / 4))
            return []

        return detect

    reader = VideoReader(make_video(tmp_path / "a.avi", numbered(7), FPS))
    look(reader, count(thorough), between=count(quick))
    assert (thorough, quick) == ([0, 2, 4, 6], [1, 3, 5])
