"""Words for parts, and the shapes that are hidden beside their mask."""

from __future__ import annotations

import numpy as np
import pytest

from drawn import small_face
from faceparts import labels as label_sets
from faceparts.effects import _parts, _shapes
from faceparts.effects._region import hidden_region
from faceparts.errors import UnknownName

# --- shapes --------------------------------------------------------------------------------------


def test_oval_covers_every_pixel_it_touches() -> None:
    wanted = np.array([[0, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 0]], bool)
    got = _shapes.Oval((0.3, 0.3, 3.7, 3.7)).cover((0, 0, 4, 4))
    assert got[wanted].all()
    assert _shapes.Oval((1.2, 1.2, 1.4, 1.4)).cover((0, 0, 4, 4)).tolist() == [
        [False, False, False, False],
        [False, True, False, False],
        [False, False, False, False],
        [False, False, False, False],
    ]


def test_oval_scaled_keeps_its_centre() -> None:
    assert _shapes.Oval((10, 20, 30, 60)).scaled(1.5) == _shapes.Oval((5, 10, 35, 70))


def test_capsule_from_point_to_point() -> None:
    got = _shapes.Capsule((1.5, 2.5), (5.5, 2.5), 1.0).cover((0, 0, 7, 5))
    wanted = np.array(
        [
            [0, 0, 0, 0, 0, 0, 0],
            [1, 1, 1, 1, 1, 1, 1],
            [1, 1, 1, 1, 1, 1, 1],
            [1, 1, 1, 1, 1, 1, 1],
            [0, 0, 0, 0, 0, 0, 0],
        ],
        bool,
    )
    assert np.array_equal(got, wanted)
    assert _shapes.Capsule((1.5, 2.5), (5.5, 1.5), 1.0).bounds() == (0.5, 0.5, 6.5, 3.5)


@pytest.mark.parametrize(
    ("bounds", "wanted"),
    [
        ((1.2, 2.9, 3.1, 4.0), (1, 2, 4, 4)),
        ((-5, -5, 100, 100), (0, 0, 8, 6)),
        ((-9, 0, -1, 5), (0, 0, 0, 0)),
        ((3, 6, 5, 9), (0, 0, 0, 0)),
    ],
)
def test_clip_window(
    bounds: tuple[float, float, float, float], wanted: tuple[int, int, int, int]
) -> None:
    assert _shapes.clip_window(bounds, (6, 8)) == wanted


# --- words ---------------------------------------------------------------------------------------


def test_unknown_part_is_named_with_the_words_there_are() -> None:
    with pytest.raises(UnknownName, match=r"no part named 'hare'; there are: background|beard"):
        _parts.split_words("face,hare")


def test_part_that_the_label_set_lacks() -> None:
    face = small_face(label_set=label_sets.LFW3)
    with pytest.raises(UnknownName, match="no part named 'nose' in lfw3"):
        hidden_region(face, what="nose")


def test_group_without_parts_cannot_be_shown() -> None:
    face = small_face(label_set=label_sets.LFW3)
    with pytest.raises(UnknownName, match="label set lfw3 has none of 'lips'; there are: hair"):
        _parts.require_mask(face, "lips")
