"""Boundary F against a slow version that looks at every pair of pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from faceparts.evaluate import boundary


def slow_edges(ids, number):
    """Boundary pixels of a class, neighbour by neighbour."""
    height, width = ids.shape
    found = []
    for y in range(height):
        for x in range(width):
            if ids[y, x] != number:
                continue
            for ny, nx in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                inside = 0 <= ny < height and 0 <= nx < width
                if inside and ids[ny, nx] not in (number, 255):
                    found.append((y, x))
                    break
    return found


def slow_count(truth, found, classes, reach):
    """All pairs of boundary pixels."""
    seen = np.where(truth == 255, 255, found)
    rows = []
    for number in range(classes):
        true, said = slow_edges(truth, number), slow_edges(seen, number)

        def near(some, others):
            return sum(
                any((a - c) ** 2 + (b - d) ** 2 <= reach**2 for c, d in others) for a, b in some
            )

        rows.append([near(said, true), len(said), near(true, said), len(true)])
    return np.array(rows)


maps = arrays(np.uint8, (9, 11), elements=st.sampled_from([0, 1, 2]))
truths = arrays(np.uint8, (9, 11), elements=st.sampled_from([0, 0, 0, 1, 1, 2, 255]))


@settings(deadline=None)
@given(truths, maps, st.sampled_from([1.0, 1.5, 2.3, 3.0, 9.0]))
def test_equals_all_pairs(truth, found, reach):
    expected = slow_count(truth, found, 3, reach)
    np.testing.assert_array_equal(boundary.count(truth, found, 3, reach), expected)


def test_a_shifted_square_by_hand():
    truth, found = np.zeros((12, 12), np.uint8), np.zeros((12, 12), np.uint8)
    truth[3:7, 3:7] = 1
    found[3:7, 4:8] = 1
    counts = boundary.count(truth, found, 2, 1.0)
    # the ring of a 4 x 4 square has 12 pixels; shifted by one, every one lies within 1 px
    np.testing.assert_array_equal(counts[1], [12, 12, 12, 12])
    assert boundary.f_measure(counts)[1] == 1
    found[:] = 0
    found[3:7, 6:10] = 1
    # columns 6 and 9 were 3 and 6: of the found ring the column 6 (4) and 7 at top and bottom (2)
    np.testing.assert_array_equal(boundary.count(truth, found, 2, 1.0)[1], [6, 12, 6, 12])


def test_f_measure_of_what_is_not_there():
    f = boundary.f_measure(np.array([[0, 0, 0, 0], [0, 5, 0, 0], [0, 0, 0, 5], [1, 2, 2, 4]]))
    assert np.isnan(f[0])
    np.testing.assert_allclose(f[1:], [0, 0, 0.5])


def test_the_picture_edge_is_no_boundary():
    ids = np.zeros((5, 5), np.uint8)
    ids[:, 3:] = 1
    np.testing.assert_array_equal(
        boundary.edges(ids, np.ones((5, 5), bool)), np.isin(np.arange(5), (2, 3))[None].repeat(5, 0)
    )


def test_tolerance_grows_with_the_picture():
    assert boundary.tolerance_px((100, 100)) == 1
    assert boundary.tolerance_px((3000, 4000)) == pytest.approx(15)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"truth \(2, 2\), prediction \(2, 3\)"):
        boundary.count(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8), 2)
