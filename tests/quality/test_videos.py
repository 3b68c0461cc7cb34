"""Videos of people: the head is followed from the first frame to the last, and hidden in each."""

import numpy as np
import pytest

import faceparts
from faceparts.streams.video import VideoReader


@pytest.mark.parametrize("name", ["asl_gestures_eat.mkv", "asl_gestures_thanks.mkv"])
def test_a_signing_person_stays_hidden(data, parser, tmp_path, name):
    """Hands pass before the face."""
    source, target = data / "videos" / name, tmp_path / "hidden.mp4"
    told = faceparts.hide_video(source, target, color="#00ff00")
    assert told["frames_without_heads"] == 0
    longest = max(told["tracks"], key=lambda track: track["frames"])
    assert longest["frames"] == told["frames"]  # one track all the way
    assert longest["best_score"] > 0.6
    pairs = list(zip(VideoReader(source), VideoReader(target), strict=True))
    assert len(pairs) == told["frames"]
    shares = []
    for before, after in pairs[::6]:
        x0, y0, x1, y1 = parser.detect(before.image)[0].box_xyxy
        left, right = round(0.7 * x0 + 0.3 * x1), round(0.3 * x0 + 0.7 * x1)
        top, bottom = round(0.6 * y0 + 0.4 * y1), round(0.2 * y0 + 0.8 * y1)
        face = after.image[top:bottom, left:right].astype(int)
        assert (face[..., 1] - face[..., [0, 2]].max(axis=-1)).min() > 120  # green throughout
        shares.append((np.abs(after.image.astype(int) - before.image).max(axis=-1) > 60).mean())
    assert max(shares) < 0.4  # and not everything is
