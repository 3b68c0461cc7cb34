"""Contact sheets."""

from __future__ import annotations

import numpy as np
import pytest

from faceparts.streams.sheets import CAPTION_PX, GAP_PX, choose, make_sheet, shrink


def flat(hw: tuple[int, int], level: int) -> np.ndarray:
    return np.full((*hw, 3), level, np.uint8)


def test_pictures_lie_in_rows_in_their_order_each_in_the_middle_of_its_cell() -> None:
    sheet = make_sheet([("", flat((20, 40), 10 * i)) for i in range(5)], columns=3, cell_px=40)
    step_x, step_y = 40 + GAP_PX, 40 + CAPTION_PX + GAP_PX
    assert sheet.shape == (2 * step_y + GAP_PX, 3 * step_x + GAP_PX, 3)
    for i in range(5):
        left, top = GAP_PX + i % 3 * step_x, GAP_PX + i // 3 * step_y
        cell = sheet[top : top + 40, left : left + 40, 0]
        assert (cell[10:30] == 10 * i).all()
        assert (cell[:10] == 255).all() and (cell[30:] == 255).all()
    assert (sheet[GAP_PX + step_y :, GAP_PX + 2 * step_x :] == 255).all()


def test_large_pictures_are_shrunk_and_small_ones_keep_their_size() -> None:
    assert shrink(flat((1, 3000), 9), 240).shape == (1, 240, 3)
    assert shrink(flat((1000, 500), 9), 100).shape == (100, 50, 3)
    small = flat((10, 20), 9)
    kept = shrink(small, 240)
    assert np.array_equal(kept, small) and not np.shares_memory(kept, small)
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 200
    assert shrink(stripes, 64).std() < 2  # no moire


def test_names_are_written_below_and_cut_from_the_left() -> None:
    plain = make_sheet([("", flat((40, 40), 9))], cell_px=40)
    named = make_sheet([("a.jpg", flat((40, 40), 9))], cell_px=40)
    assert np.array_equal(plain[: GAP_PX + 40], named[: GAP_PX + 40])
    assert (named[GAP_PX + 40 :] < 100).any()
    # the end of a long name is what tells pictures apart
    long, ending = ("x" * 90 + "abc", "é\n" * 20 + "abc")
    shown = [make_sheet([(name, flat((40, 40), 9))], cell_px=40) for name in (long, ending)]
    assert all((sheet[:, -GAP_PX + 1 :] == 255).all() for sheet in shown)


def test_a_square_sheet_by_default() -> None:
    assert make_sheet([("a", flat((4, 4), 1))] * 9, cell_px=20).shape[1] == 3 * 28 + 8


def test_many_pictures_are_chosen_evenly() -> None:
    assert choose(400) == list(range(400))
    got = choose(1001, 400)
    assert len(set(got)) == 400 and got[0] == 0 and got[-1] == 1000


def test_nothing_to_show() -> None:
    with pytest.raises(ValueError, match="needs at least one picture"):
        make_sheet([])
    with pytest.raises(ValueError, match="got 0 columns of 240 px"):
        make_sheet([("a", flat((4, 4), 1))], columns=0)
    with pytest.raises(ValueError, match="image: got"):
        make_sheet([("a", np.zeros((4, 4), np.uint8))])
