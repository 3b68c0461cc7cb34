"""Colour-coded masks -> ids: the nearest paint, found palettes, sides, squares."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from faceparts import _cleaning, _palette
from faceparts.errors import BadData
from faceparts.types import IGNORE

RED, YELLOW, BLUE, BROWN = (255, 0, 0), (255, 255, 0), (0, 0, 255), (127, 0, 0)
PAINT = np.uint8([RED, YELLOW, BLUE, BROWN])


def painted(*, soft: bool = True, shift: int = 0) -> NDArray[np.uint8]:
    """A red picture with a yellow face that has two small blue eyes, under a brown stripe."""
    ids = np.zeros((120, 100), np.uint8)
    ids[20:110, 20 + shift : 80 + shift] = 1
    ids[50:60, 32 + shift : 42 + shift] = ids[50:60, 58 + shift : 68 + shift] = 2
    ids[8:22, 18 + shift : 82 + shift] = 3
    image = PAINT[ids]
    return cv2.GaussianBlur(image, (5, 5), 1.2) if soft else image


# --- the nearest colour -------------------------------------------------------------------------


def test_every_pixel_gets_the_nearest_paint() -> None:
    image = np.uint8([[RED, (250, 4, 3), (255, 128, 0)], [BROWN, (191, 0, 0), (5, 6, 250)]])
    assert _palette.nearest_palette(image, PAINT).tolist() == [[0, 0, 255], [3, 255, 2]]
    assert _palette.nearest_palette(image, PAINT, 442).tolist() == [[0, 0, 1], [3, 0, 2]]
    assert _palette.nearest_palette(image, PAINT, 0).tolist() == [[0, 255, 255], [3, 255, 255]]


@settings(deadline=None)
@given(
    arrays(np.uint8, (4, 5, 3)),
    st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=5, unique=True),
    st.integers(0, 450),
)
def test_nearest_equals_a_loop_over_pixels(
    image: NDArray[np.uint8], colours: list[tuple[int, int, int]], cap: int
) -> None:
    ids = _palette.nearest_palette(image, _palette.as_palette(colours), cap)
    for y, x in itertools.product(range(4), range(5)):
        far = [sum((int(a) - b) ** 2 for a, b in zip(image[y, x], c, strict=True)) for c in colours]
        assert ids[y, x] == (far.index(min(far)) if min(far) <= cap**2 else IGNORE)


def test_the_safe_cap_leaves_half_mixtures_in_doubt() -> None:
    assert _palette.safe_cap(PAINT) == 63
    assert _palette.safe_cap(PAINT[:1]) == 220
    assert _palette.safe_cap(np.uint8([[9, 9, 9], [9, 9, 10]])) == 0
    for one, other in itertools.combinations(PAINT.astype(int), 2):
        half = ((one + other) // 2).astype(np.uint8)[None, None]
        found = _palette.nearest_palette(half, np.uint8([one, other]))
        assert found.tolist() == [[IGNORE]]


def test_moves_add_up() -> None:
    image = painted()
    ids = _palette.nearest_palette(image, PAINT)
    kept, moved, doubtful = _palette.count_moves(image, ids, PAINT)
    assert kept.sum() + moved.sum() + doubtful == ids.size
    assert kept[0] == np.count_nonzero((image == RED).all(axis=2))
    assert moved.min() > 0
    assert doubtful > 0


@pytest.mark.parametrize(
    ("colours", "what"),
    [
        ([1, 2, 3], "shape"),
        ([], "shape"),
        ([[0, 0, 0]] * 256, "shape"),
        ([[0, 0, 256]], "whole numbers 0..255"),
        ([[0.5, 0, 0]], "whole numbers"),
        ([RED, RED], "occurs twice"),
    ],
)
def test_wrong_palettes_are_refused(colours: object, what: str) -> None:
    with pytest.raises(BadData, match=what):
        _palette.as_palette(colours)


def test_wrong_masks_and_caps_are_refused() -> None:
    with pytest.raises(ValueError, match=r"uint8 of shape \(2, 2\), wanted \(H, W, 3\)"):
        _palette.nearest_palette(np.zeros((2, 2), np.uint8), PAINT)
    with pytest.raises(ValueError, match="cap: got -1"):
        _palette.nearest_palette(painted(), PAINT, -1)


# --- palettes that nobody wrote down -------------------------------------------------------------


@pytest.mark.parametrize("count", [4, None])
def test_modes_find_the_exact_paints_in_soft_masks(count: int | None) -> None:
    found = _palette.discover_palette([painted(), painted(shift=3)], count)
    assert found.tolist() == [list(RED), list(BLUE), list(BROWN), list(YELLOW)]


def test_modes_survive_jpeg() -> None:
    done, data = cv2.imencode(".jpg", painted()[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert done
    image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1], np.uint8)
    found = _palette.discover_palette([image], 4).astype(int)
    wanted = np.array([RED, BLUE, BROWN, YELLOW])
    assert np.abs(found - wanted).max() <= 24


def test_the_order_does_not_hang_on_the_pictures_order() -> None:
    images = [painted(), painted(shift=9), PAINT[[[0, 2], [3, 0]]].repeat(40, 0).repeat(40, 1)]
    orders = [
        _palette.discover_palette(some, 4).tolist()
        for some in (images, images[::-1], images[1:], images[:1])
    ]
    assert all(order == orders[0] for order in orders)


def test_kmeans_finds_hard_paints_and_spends_centres_on_mixtures() -> None:
    hard = _palette.discover_palette([painted(soft=False)], 4, method="kmeans")
    assert hard.tolist() == [list(RED), list(BLUE), list(BROWN), list(YELLOW)]
    soft = _palette.discover_palette([painted()], 4, method="kmeans")
    assert soft.tolist() != hard.tolist()


def test_masks_without_any_flat_area_still_have_colours() -> None:
    checkers = PAINT[np.indices((8, 8)).sum(axis=0) % 2]
    assert _palette.discover_palette([checkers], 2).tolist() == [list(RED), list(YELLOW)]


def test_what_cannot_be_found_is_said() -> None:
    with pytest.raises(BadData, match="found 1 colours, wanted 3"):
        _palette.discover_palette([np.zeros((4, 4, 3), np.uint8)], 3)
    with pytest.raises(BadData, match="no pictures"):
        _palette.discover_palette([], 2)
    with pytest.raises(ValueError, match="wanted 'modes' or 'kmeans'"):
        _palette.discover_palette([painted()], 2, method="magic")
    with pytest.raises(ValueError, match="k-means needs"):
        _palette.discover_palette([painted()], method="kmeans")
    with pytest.raises(ValueError, match=r"got 65, wanted 1\.\.64"):
        _palette.discover_palette([painted()], 65)


def test_large_masks_take_a_table_and_give_the_same() -> None:
    image = np.tile(painted(), (4, 4, 1))  # above the size where sorting is quicker
    assert image[..., 0].size > _palette._FEW_PIXELS
    ids = _palette.nearest_palette(image, PAINT)
    assert np.array_equal(ids, np.tile(_palette.nearest_palette(painted(), PAINT), (4, 4)))
    found = _palette.grey_clusters(image, 4)
    assert np.array_equal(found, np.tile(_palette.grey_clusters(painted(), 4), (4, 4)))


def test_names_of_colours() -> None:
    assert _palette.colour_name(np.uint8(BROWN)) == "color_7f0000"


# --- grey levels ---------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.integers(0, 255), min_size=1, max_size=9), st.integers(1, 4))
def test_grey_clusters_are_the_best_of_all(levels: list[int], count: int) -> None:
    image = np.uint8([[[v, v, v] for v in levels]])
    ids = _palette.grey_clusters(image, count)[0]
    got = _spread(levels, ids.tolist())
    distinct = sorted(set(levels))
    best = min(
        _spread(levels, [sum(v >= distinct[c] for c in cuts) for v in levels])
        for n in range(min(count, len(distinct)))
        for cuts in itertools.combinations(range(1, len(distinct)), n)
    )
    assert got == pytest.approx(best, abs=1e-6)
    order = np.argsort(levels, kind="stable")
    assert (np.diff(ids[order].astype(int)) >= 0).all()


def _spread(levels: list[int], ids: list[int]) -> float:
    groups = [[v for v, i in zip(levels, ids, strict=True) if i == k] for k in set(ids)]
    return float(sum(sum((v - np.mean(g)) ** 2 for v in g) for g in groups))


def test_grey_levels_confuse_what_colours_tell_apart() -> None:
    teal = (0, 76, 0)  # as bright as red
    paint = np.uint8([RED, teal, YELLOW])
    image = paint[[[0, 0, 1, 2]]]
    assert _palette.nearest_palette(image, paint).tolist() == [[0, 0, 1, 2]]
    assert _palette.grey_palette(image, paint).tolist() == [[0, 0, 0, 2]]


def test_grey_palette_without_a_known_colour_is_all_doubt() -> None:
    image = np.full((2, 3, 3), 77, np.uint8)
    assert (_palette.grey_palette(image, PAINT) == IGNORE).all()
    with pytest.raises(ValueError, match="count: got 0"):
        _palette.grey_clusters(image, 0)


# --- left and right ------------------------------------------------------------------------------

NOSE, EYES, LEFT, RIGHT = 4, 5, 7, 8


def split(rows: list[str]) -> list[str]:
    """``e`` eyes, ``n`` nose, ``.`` background -> ``l``, ``r``."""
    ids = {".": 0, "e": EYES, "n": NOSE, "l": LEFT, "r": RIGHT}
    names = {i: c for c, i in ids.items()}
    labels = np.uint8([[ids[c] for c in row] for row in rows])
    out = _cleaning.split_sides(labels, EYES, LEFT, RIGHT, NOSE)
    return ["".join(names[i] for i in row) for row in out.tolist()]


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        (["..ee..ee.......", "..ee..ee......."], ["..rr..ll.......", "..rr..ll......."]),
        (["........ee.....", "..nnnn........."] * 6, ["........ll.....", "..nnnn........."] * 6),
        (["..ee...........", "........nnnn..."] * 6, ["..rr...........", "........nnnn..."] * 6),
        ([".eeeeeee......."], [".rrrrrrr......."]),
        (["....eeeeeeeeee.", "...e.........e."], ["....rrrrllllll.", "...r.........l."]),
        (["eeeeee.e.eeeeee"], ["rrrrrr.r.llllll"]),
        (["...............", "...n..........."], ["...............", "...n..........."]),
    ],
    ids=["two", "left only", "right only", "no nose", "glasses", "crumb", "none"],
)
def test_sides(rows: list[str], wanted: list[str]) -> None:
    assert split(rows) == wanted


def test_a_mirrored_face_gets_mirrored_sides() -> None:
    rows = ["..ee....ee..", ".....nn.....", ".....nn....."] * 9
    mirrored = [row[::-1] for row in split([row[::-1] for row in rows])]
    swapped = [row.translate(str.maketrans("lr", "rl")) for row in mirrored]
    assert swapped == split(rows)


# --- squares -------------------------------------------------------------------------------------


def test_padding_is_even_and_ignored() -> None:
    image = np.full((2, 4, 3), 9, np.uint8)
    labels = np.uint8([[1, 1, 2, 2], [1, 1, 2, 2]])
    square, ids = _cleaning.pad_resize(image, labels, 4)
    assert ids.tolist() == [[255] * 4, [1, 1, 2, 2], [1, 1, 2, 2], [255] * 4]
    assert square[..., 0].tolist() == [[127] * 4, [9] * 4, [9] * 4, [127] * 4]
    square, ids = _cleaning.pad_resize(image, labels, 2, fill=0)
    assert ids.tolist() == [[1, 2], [255, 255]]
    assert square[..., 1].tolist() == [[9, 9], [0, 0]]


@settings(deadline=None)
@given(arrays(np.uint8, (6, 4), elements=st.sampled_from([0, 3, 255])), st.integers(1, 13))
def test_ids_are_never_mixed(labels: NDArray[np.uint8], size_px: int) -> None:
    ids = _cleaning.pad_labels(labels, size_px)
    assert ids.shape == (size_px, size_px)
    assert set(np.unique(ids)) <= {*np.unique(labels).tolist(), IGNORE}
    if size_px == 6:
        assert np.array_equal(ids[:, 1:5], labels)


def test_shrinking_takes_the_majority() -> None:
    labels = np.zeros((6, 6), np.uint8)
    labels[:, 1] = 3  # a third of every 3 x 3 block of the left half
    labels[3:, 3:] = 2
    assert _cleaning.resize_labels(labels, (2, 2)).tolist() == [[0, 0], [0, 2]]
    labels[:, 2] = 3
    assert _cleaning.resize_labels(labels, (2, 2)).tolist() == [[3, 0], [3, 2]]


def test_an_extreme_shape_keeps_a_row() -> None:
    square, ids = _cleaning.pad_resize(
        np.zeros((1, 300, 3), np.uint8), np.ones((1, 300), np.uint8), 8
    )
    assert square.shape == (8, 8, 3)
    assert np.count_nonzero(ids == 1) == 8


def test_squares_that_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"\(2, 2\) and labels \(2, 3\) differ in size"):
        _cleaning.pad_resize(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 3), np.uint8), 4)
    with pytest.raises(ValueError, match="size_px: got 0"):
        _cleaning.pad_labels(np.zeros((2, 2), np.uint8), 0)
