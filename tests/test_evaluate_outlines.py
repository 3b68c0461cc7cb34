"""Outlines moved out and in, by hand and by properties."""

from __future__ import annotations

import numpy as np
import pytest

from faceparts.errors import UnknownName
from faceparts.evaluate.outlines import FASSEG_V2, move_outlines
from faceparts.labels import FASSEG6 as F
from faceparts.types import IGNORE

SKIN, EYES, NOSE, HAIR = (F.id(p) for p in ("skin", "eyes", "nose", "hair"))


def drawn() -> np.ndarray:
    labels = np.zeros((20, 20), np.uint8)
    labels[2:18, 2:18] = SKIN  # skin, eyes and nose together: 16 x 16
    labels[5:7, 5:7] = EYES
    labels[10:14, 8:12] = NOSE
    return labels


def test_one_pixel_out_and_one_pixel_in() -> None:
    moved = move_outlines(drawn(), F, {"eyes": 1 / 16, "nose": -1 / 16})
    wanted = np.zeros((20, 20), np.uint8)
    wanted[2:18, 2:18] = SKIN
    wanted[4:8, 4:8] = EYES
    wanted[11:13, 9:11] = NOSE
    np.testing.assert_array_equal(moved, wanted)


def test_nothing_moves() -> None:
    labels = drawn()
    np.testing.assert_array_equal(move_outlines(labels, F, {"eyes": 0.0, "nose": 0.02}), labels)
    empty = np.zeros((4, 4), np.uint8)
    np.testing.assert_array_equal(move_outlines(empty, F, FASSEG_V2), empty)


def test_ignored_pixels_stay_and_others_are_covered() -> None:
    labels = drawn()
    labels[4, 5:7] = IGNORE
    labels[7, 5:7] = HAIR
    before = labels.copy()
    moved = move_outlines(labels, F, {"eyes": 1.1 / 16})
    np.testing.assert_array_equal(labels, before)
    assert (moved[4, 5:7] == IGNORE).all()
    assert (moved[7, 5:7] == EYES).all()


def test_size_follows_the_face_not_the_picture() -> None:
    big = np.kron(drawn(), np.ones((8, 8), np.uint8))
    small_px = (move_outlines(drawn(), F, {"nose": 1 / 16}) == NOSE).sum()
    big_px = (move_outlines(big, F, {"nose": 1 / 16}) == NOSE).sum()
    assert big_px / 64 == pytest.approx(small_px, rel=0.1)


def test_unknown_part() -> None:
    with pytest.raises(UnknownName, match="brow"):
        move_outlines(drawn(), F, {"brow": 0.1})
