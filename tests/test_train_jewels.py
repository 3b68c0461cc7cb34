"""Drawn jewellery: where it hangs, what it covers, when nothing is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from faceparts.labels import CELEBA19 as C
from faceparts.train.jewels import adorn

SIDE = 160
RING, CHAIN = C.id("earring"), C.id("necklace")
Labelled = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def face() -> Labelled:
    """Skin, eyes at (60, 60) and (100, 60), ears that end at row 85, neck, clothes, hair on top."""
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[10:40, 40:121] = C.id("hair")
    labels[40:110, 44:117] = C.id("skin")
    labels[57:64, 56:65] = C.id("right_eye")
    labels[57:64, 96:105] = C.id("left_eye")
    labels[60:86, 34:44] = C.id("right_ear")
    labels[60:86, 117:127] = C.id("left_ear")
    labels[110:135, 60:101] = C.id("neck")
    labels[135:, 20:141] = C.id("clothes")
    return np.full((SIDE, SIDE, 3), 110, np.uint8), labels


def adorned(count: int, start: Labelled) -> list[Labelled]:
    return [adorn(*start, np.random.default_rng(seed), C) for seed in range(count)]


def test_earrings_hang_from_the_lobes() -> None:
    image, labels = face()
    hung = 0
    for _, ids in adorned(60, (image, labels)):
        ys, xs = np.nonzero(ids == RING)
        if not len(ys):
            continue
        hung += 1
        for side, lobe in (((xs < 80), 38.5), ((xs >= 80), 121.5)):
            if side.any():
                assert ys[side].min() >= 85 - 12, "from the end of the ear down"
                assert np.abs(xs[side] - lobe).max() <= 30
                assert ys[side].min() <= 92
    assert 25 < hung < 55


def test_both_ears_wear_the_same() -> None:
    image, labels = face()
    pairs = 0
    for _, ids in adorned(60, (image, labels)):
        right, left = ids[:, :80] == RING, ids[:, 80:][:, ::-1] == RING
        if right.any() and left.any():
            pairs += 1
            assert abs(int(right.sum()) - int(left.sum())) <= 0.2 * right.sum() + 6
    assert pairs > 15


def test_necklaces_lie_on_neck_skin_and_clothes_only() -> None:
    image, labels = face()
    worn = np.isin(labels, [C.id(p) for p in ("neck", "skin", "clothes")])
    count = 0
    for _, ids in adorned(60, (image, labels)):
        chain = ids == CHAIN
        count += bool(chain.any())
        assert not (chain & ~worn).any()
        if chain.any():
            assert np.nonzero(chain)[0].min() >= 108
    assert 15 < count < 45


def test_labels_say_what_was_drawn() -> None:
    image, labels = face()
    for out, ids in adorned(40, (image, labels)):
        new = ids != labels
        assert set(np.unique(ids[new])) <= {RING, CHAIN}
        touched = (out != image).any(axis=2)
        far = touched & ~new
        assert far.sum() <= 2.5 * new.sum() + 40, "only a soft edge beyond the label"
        if new.sum() > 30:
            assert touched[new].mean() > 0.9


def test_arrays_that_are_given_stay() -> None:
    image, labels = face()
    before = image.copy(), labels.copy()
    adorned(10, (image, labels))
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(labels, before[1])


def test_the_same_seed_draws_the_same() -> None:
    for one, two in zip(adorned(10, face()), adorned(10, face()), strict=True):
        np.testing.assert_array_equal(one[0], two[0])
        np.testing.assert_array_equal(one[1], two[1])


def test_a_second_pair_is_not_put_on() -> None:
    image, labels = face()
    labels[86:90, 36:40] = RING
    labels[120:122, 60:100] = CHAIN
    for out, ids in adorned(30, (image, labels)):
        np.testing.assert_array_equal(ids, labels)
        np.testing.assert_array_equal(out, image)


@pytest.mark.parametrize("hidden", ["left_eye", "right_eye"])
def test_faces_that_miss_an_eye_stay(hidden: str) -> None:
    image, labels = face()
    labels[labels == C.id(hidden)] = C.id("skin")
    for out, ids in adorned(20, (image, labels)):
        np.testing.assert_array_equal(out, image)
        np.testing.assert_array_equal(ids, labels)


def test_tiny_faces_stay() -> None:
    image, labels = face()
    image, labels = image[::4, ::4].copy(), labels[::4, ::4].copy()
    for _, ids in adorned(20, (image, labels)):
        np.testing.assert_array_equal(ids, labels)


def test_without_ears_and_neck_nothing_hangs_unless_in_hair() -> None:
    image, labels = face()
    labels[np.isin(labels, [C.id(p) for p in ("left_ear", "right_ear", "neck")])] = 0
    for _, ids in adorned(30, (image, labels)):
        np.testing.assert_array_equal(ids, labels)
    labels[40:110, 10:44] = labels[40:110, 117:150] = C.id("hair")
    found = [np.argwhere(ids == RING) for _, ids in adorned(80, (image, labels))]
    drawn = [points for points in found if len(points)]
    assert 5 < len(drawn) < 50, "sometimes one shows in the hair over an ear"


def test_a_tilted_face_has_its_jewellery_tilted() -> None:
    """Turned by a quarter, what is drawn is below the ears and the neck in the face's own frame."""
    image, labels = face()
    turned = np.rot90(image).copy(), np.rot90(labels).copy()
    for _, ids in adorned(40, turned):
        back = np.rot90(ids, -1)
        ys, _ = np.nonzero(back == RING)
        if len(ys):
            assert ys.min() >= 85 - 14
        ys, _ = np.nonzero(back == CHAIN)
        if len(ys):
            assert ys.min() >= 106
