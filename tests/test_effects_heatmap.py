"""The heat map: what it shows where, beside what all effects promise (contracts)."""

from __future__ import annotations

import numpy as np
import pytest

from drawn import face_of
from faceparts import labels as label_sets
from faceparts.effects.heatmap import Heatmap, colors, part_probability
from faceparts.errors import UnknownName, UsageError
from faceparts.types import Face, Head, Image


def two_class_face(probability: np.ndarray, box: tuple[float, float, float, float]) -> Face:
    """A face whose parser knows face and background, from P(face) of the whole picture."""
    labels = (probability > 0.5).astype(np.uint8)
    sure = np.where(labels == 1, probability, 1 - probability).astype(np.float32)
    image = np.zeros((*probability.shape, 3), np.uint8)
    return face_of(image, labels, Head(box, 0.9, Head.no_points()), sure, label_sets.FACE2)


def flat(level: int = 100) -> Image:
    return np.full((8, 8, 3), level, np.uint8)


RAMP = np.broadcast_to(np.linspace(0, 0.98, 8), (8, 8))


def test_with_two_classes_it_is_the_probability_of_the_face() -> None:
    face = two_class_face(RAMP, (0, 0, 8, 8))
    np.testing.assert_allclose(part_probability(face, "face"), RAMP, atol=1e-6)
    got = Heatmap(opacity=1, least=0)(flat(), [face])
    assert np.array_equal(got, colors(RAMP.astype(np.float32)))


def test_with_more_classes_only_pixels_of_wanted_parts_are_coloured() -> None:
    labels = np.zeros((8, 8), np.uint8)
    labels[2:4], labels[4:] = label_sets.LFW3.id("hair"), label_sets.LFW3.id("face")
    image, head = flat(), Head((0, 0, 8, 8), 0.9, Head.no_points())
    face = face_of(image, labels, head, 0.7, label_sets.LFW3)
    wanted = np.zeros((8, 8), np.float32)
    wanted[4:] = 0.7
    np.testing.assert_allclose(part_probability(face, "face"), wanted)
    got = Heatmap()(image, [face])
    assert np.array_equal(got[:4], image[:4]) and (got[4:] != 100).any(axis=2).all()


def test_blue_is_unlikely_and_red_is_sure() -> None:
    cold, warm, hot = colors(np.array([[0.1, 0.5, 0.95]], np.float32))[0].astype(int)
    assert cold[2] > cold[0] and hot[0] > hot[2] + 100
    assert warm[1] > warm[0] and warm[1] > warm[2]
    assert colors(np.array([[-1.0, 2.0]], np.float32)).shape == (1, 2, 3)


def test_below_the_least_probability_nothing_is_coloured() -> None:
    face = two_class_face(RAMP, (0, 0, 8, 8))
    got = Heatmap(least=0.5)(flat(), [face])
    assert np.array_equal(got[:, :4], flat()[:, :4])
    assert (got[:, 4:] != 100).any(axis=2).all()
    assert np.array_equal(Heatmap(opacity=0)(flat(), [face]), flat())


def test_half_opaque_is_half_way() -> None:
    face = two_class_face(np.full((8, 8), 0.9), (0, 0, 8, 8))
    got = Heatmap(opacity=0.5)(flat(), [face])
    wanted = (colors(np.full((1, 1), 0.9, np.float32))[0, 0] + 100.0) / 2
    np.testing.assert_allclose(got[3, 3], wanted, atol=1)


def test_where_faces_overlap_the_higher_probability_counts_once() -> None:
    low, high = np.full((8, 8), 0.2), np.full((8, 8), 0.8)
    faces = [two_class_face(high, (0, 0, 8, 8)), two_class_face(low, (0, 0, 8, 8))]
    one = Heatmap()(flat(), faces[:1])
    assert np.array_equal(Heatmap()(flat(), faces), one)
    assert np.array_equal(Heatmap()(flat(), faces[::-1]), one)


def test_words_and_ranges_are_checked() -> None:
    face = two_class_face(RAMP, (0, 0, 8, 8))
    with pytest.raises(UnknownName, match="no part named 'hair' in face2"):
        Heatmap(what="hair")(flat(), [face])
    with pytest.raises(UnknownName, match="no part named 'elbow'"):
        Heatmap(what="elbow")
    with pytest.raises(UsageError, match="what: got ''"):
        Heatmap(what="")
    with pytest.raises(UsageError, match="opacity: got 2, wanted 0 to 1"):
        Heatmap(opacity=2)
    with pytest.raises(UsageError, match="least: got -1, wanted 0 to 1"):
        Heatmap(least=-1)
