"""Random changes of labelled crops: exact where they can be, lawful where they are random."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dataset_folders import draw
from faceparts.labels import CELEBA19
from faceparts.train import augment
from faceparts.types import IGNORE

GREY = augment.GREY[0]


def pictures(hw: tuple[int, int], seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A noise picture and noise labels of celeba19 with some ignored."""
    rng = np.random.default_rng(seed)
    ids = rng.choice([*range(19), IGNORE], hw).astype(np.uint8)
    return rng.integers(0, 256, (*hw, 3), dtype=np.uint8), ids


def slow_warp(
    image: NDArray[np.uint8], ids: NDArray[np.uint8], matrix: NDArray[np.float64], size_px: int
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Bilinear and nearest by definition, pixel by pixel."""
    h, w = ids.shape
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    out = np.full((size_px, size_px, 3), float(GREY))
    out_ids = np.full((size_px, size_px), IGNORE, np.uint8)

    def colour(x: int, y: int) -> NDArray[np.float64]:
        inside = 0 <= x < w and 0 <= y < h
        return image[y, x].astype(float) if inside else np.full(3, float(GREY))

    for row in range(size_px):
        for column in range(size_px):
            x, y, _ = back @ (column, row, 1)
            left, top = int(np.floor(x)), int(np.floor(y))
            a, b = x - left, y - top
            out[row, column] = (1 - b) * (
                (1 - a) * colour(left, top) + a * colour(left + 1, top)
            ) + b * ((1 - a) * colour(left, top + 1) + a * colour(left + 1, top + 1))
            near_x, near_y = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
            if 0 <= near_x < w and 0 <= near_y < h:
                out_ids[row, column] = ids[near_y, near_x]
    return out, out_ids


def test_warp_by_nothing_changes_nothing() -> None:
    image, ids = pictures((24, 24))
    got, got_ids = augment.warp(image, ids, np.eye(2, 3), 24)
    assert np.array_equal(got, image)
    assert np.array_equal(got_ids, ids)


def test_warp_shift_leaves_grey_and_ignore() -> None:
    image, ids = pictures((6, 6))
    got, got_ids = augment.warp(image, ids, np.array([[1.0, 0, 2], [0, 1, -1]]), 6)
    assert np.array_equal(got[:5, 2:], image[1:, :4])
    assert np.array_equal(got_ids[:5, 2:], ids[1:, :4])
    assert (got[5] == GREY).all()
    assert (got[:, :2] == GREY).all()
    assert (got_ids[5] == IGNORE).all()
    assert (got_ids[:, :2] == IGNORE).all()


def test_warp_quarter_turn() -> None:
    image, ids = pictures((8, 8))
    got, got_ids = augment.warp(image, ids, np.array([[0.0, -1, 7], [1, 0, 0]]), 8)
    assert np.array_equal(got, np.rot90(image, -1))
    assert np.array_equal(got_ids, np.rot90(ids, -1))


@pytest.mark.parametrize("seed", range(6))
def test_warp_against_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    smooth = cv2.GaussianBlur(pictures((22, 30), seed)[0], (0, 0), 2)
    ids = pictures((22, 30), seed)[1]
    matrix = augment.random_affine((22, 30), 28, rng)
    got, got_ids = augment.warp(smooth, ids, matrix, 28)
    slow, slow_ids = slow_warp(smooth, ids, matrix, 28)
    # OpenCV rounds positions to a 32nd of a pixel: the steps to the grey outside differ most.
    assert np.abs(got - slow).mean() < 1
    assert np.abs(got - slow).max() < 8
    assert (got_ids != slow_ids).mean() < 0.03


def test_warp_that_shrinks_takes_means() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, ::2] = 200  # stripes of one pixel: sampling would give 0 or 200
    ids = pictures((64, 64))[1]
    matrix = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25]])
    got, got_ids = augment.warp(image, ids, matrix, 32)
    assert (got == 100).all()
    assert np.isin(got_ids, ids).all()


def test_warp_that_shrinks_keeps_its_place() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[20:28, 36:44] = 255
    zoom = 0.5
    matrix = np.array([[zoom, 0, (zoom - 1) / 2], [0, zoom, (zoom - 1) / 2]])
    got, _ = augment.warp(image, image[..., 0], matrix, 32)
    expected = np.zeros((32, 32), np.uint8)
    expected[10:14, 18:22] = 255
    assert np.array_equal(got[..., 0], expected)


def test_random_affine_without_chance_fits_the_longer_side() -> None:
    matrix = augment.random_affine(
        (40, 80), 160, Fixed(), scale=(1, 1), shift=0, turn_deg=0, wild_turn=0
    )
    np.testing.assert_allclose(matrix, [[2, 0, 0.5], [0, 2, 40.5]], atol=1e-12)


class Fixed(np.random.Generator):
    """A generator whose normal numbers are all 0."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))

    def normal(self, *args: object, **kwargs: object) -> float:  # type: ignore[override]
        return 0.0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(4, 300), st.integers(4, 300))
def test_random_affine_keeps_the_middle_near_and_never_flips(seed: int, h: int, w: int) -> None:
    matrix = augment.random_affine((h, w), 64, np.random.default_rng(seed))
    middle = matrix @ ((w - 1) / 2, (h - 1) / 2, 1)
    assert np.abs(middle - 31.5).max() <= 0.1 * 64 + 1e-9
    zoom = np.sqrt(np.linalg.det(matrix[:, :2])) * max(h, w) / 64
    assert 0.72 - 1e-9 <= zoom <= 1.35 + 1e-9


SIDES = augment.mirror_table(CELEBA19)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 20), st.integers(1, 20))
def test_mirror_twice_is_nothing(seed: int, h: int, w: int) -> None:
    image, ids = pictures((h, w), seed)
    once, once_ids = augment.mirror(image, ids, SIDES)
    again, again_ids = augment.mirror(once, once_ids, SIDES)
    assert np.array_equal(again, image)
    assert np.array_equal(again_ids, ids)
    assert np.array_equal(once, image[:, ::-1])
    for part in CELEBA19.parts:
        turned = part.replace("left_", "?").replace("right_", "left_").replace("?", "right_")
        where = ids == CELEBA19.id(part)
        assert np.array_equal(once_ids == CELEBA19.id(turned), where[:, ::-1])


def test_mirror_of_a_drawn_face() -> None:
    plain, turned = draw(), draw(mirrored=True)
    image, ids = augment.mirror(plain.image, plain.ids, SIDES)
    assert np.array_equal(image, turned.image)
    assert np.array_equal(ids, turned.ids)


def test_mirror_ignores_ids_out_of_range() -> None:
    _, ids = augment.mirror(np.zeros((1, 2, 3), np.uint8), np.uint8([[19, 255]]), SIDES)
    assert ids.tolist() == [[255, 255]]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(9, 40), st.integers(9, 40))
def test_photometric_is_decided_by_its_generator(seed: int, h: int, w: int) -> None:
    image = pictures((h, w), seed)[0]
    before = image.copy()
    first = augment.photometric(image, np.random.default_rng(seed))
    again = augment.photometric(image, np.random.default_rng(seed))
    assert first.shape == image.shape
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert np.array_equal(image, before)


def test_photometric_varies_but_mostly_keeps_the_picture() -> None:
    image = draw().image
    rng = np.random.default_rng(4)
    many = [augment.photometric(image, rng).astype(float) for _ in range(60)]
    means = [m.mean() for m in many]
    assert max(means) - min(means) > 60
    alike = [np.corrcoef(m.ravel(), image.ravel())[0, 1] for m in many]
    assert np.median(alike) > 0.8


def steepest(smallest: float) -> float:
    """Least steepness of an edge over many chances: its largest step as a share of its height."""
    edge = np.zeros((64, 64, 3), np.uint8)
    edge[:, 32:] = 255
    least = 1.0
    for seed in range(150):
        row = augment.photometric(edge, np.random.default_rng(seed), smallest=smallest)[32, :, 0]
        row = row.astype(float)
        if np.ptp(row) > 60:
            least = min(least, float(np.abs(np.diff(row)).max() / np.ptp(row)))
    return least


def test_photometric_shrinks_as_far_as_was_asked_for() -> None:
    assert steepest(0.74) > 0.2
    assert steepest(0.1) < 0.15
