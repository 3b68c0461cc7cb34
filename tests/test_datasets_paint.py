"""Painted label pictures, lists and masks: what several adapters share, on tiny arrays."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image as PilImage

from dataset_folders import save
from faceparts.datasets import _lists, _pairs
from faceparts.datasets._paint import decode_paint, read_paint
from faceparts.errors import BadData
from faceparts.labels import LFW3
from faceparts.types import IGNORE

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def test_exact_colours_only() -> None:
    painted = np.uint8([[RED, GREEN, BLUE], [(254, 0, 0), (0, 0, 0), RED]])
    assert decode_paint(painted, [BLUE, RED, GREEN]).tolist() == [[1, 2, 0], [IGNORE, IGNORE, 1]]


def test_the_cap_is_a_distance_and_part_of_what_counts() -> None:
    painted = np.uint8([[(255, 30, 40), (255, 30, 41)]])
    assert decode_paint(painted, [GREEN, RED], 50.0).tolist() == [[1, IGNORE]]


def test_the_first_of_two_equally_near_paints_wins() -> None:
    painted = np.uint8([[(100, 0, 0)]])
    assert decode_paint(painted, [(90, 0, 0), (110, 0, 0)], 20).tolist() == [[0]]


@settings(max_examples=60, deadline=None)
@given(
    painted=arrays(np.uint8, (3, 4, 3), elements=st.integers(0, 255)),
    paints=st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=5, unique=True),
    cap=st.floats(0, 442),
)
def test_every_pixel_gets_the_nearest_paint(
    painted: np.ndarray, paints: list[tuple[int, int, int]], cap: float
) -> None:
    ids = decode_paint(painted, paints, cap)
    for y, x in np.ndindex(3, 4):
        gaps = [
            sum((int(a) - b) ** 2 for a, b in zip(painted[y, x], paint, strict=True)) ** 0.5
            for paint in paints
        ]
        if ids[y, x] == IGNORE:
            assert min(gaps) > cap or min(gaps) > 0 == cap
        else:
            assert gaps[ids[y, x]] == min(gaps) <= max(cap, 0)


def test_an_unknown_colour_names_file_pixel_and_nearest_paint(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.uint8([[RED, RED], [(9, 250, 0), (9, 250, 0)]]))
    with pytest.raises(
        BadData,
        match=r"a\.png: colour 9,250,0 at x 0, y 1 is none of the set's \(nearest 0,255,0; 2 such",
    ):
        read_paint(path, [RED, GREEN])
    assert read_paint(path, [RED, (9, 250, 0)]).tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize("values", [(0, 255), (0, 1), (0,), (255,), (1,)])
def test_masks_of_two_values(values: tuple[int, ...], tmp_path: Path) -> None:
    mask = np.resize(np.uint8(values), (2, 3))
    assert _pairs.read_mask(save(tmp_path / "a.png", mask)).tolist() == (mask > 0).tolist()


def test_one_bit_masks_are_white_where_they_are_1(tmp_path: Path) -> None:
    mask = np.array([[True, False, False], [False, True, True]])
    for name in ("a.pbm", "a.png"):
        PilImage.fromarray(mask).save(tmp_path / name)
        assert _pairs.read_mask(tmp_path / name).tolist() == mask.astype(int).tolist()


@pytest.mark.parametrize(
    "pixels",
    [
        np.uint8([[0, 128, 255]]),
        np.uint8([[0, 1, 255]]),
        np.zeros((2, 2, 3), np.uint8),
        np.zeros((2, 2), np.uint16),
    ],
)
def test_masks_that_are_none(pixels: np.ndarray, tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", pixels)
    with pytest.raises(BadData, match=r"a\.png: wanted one channel of 0 and 255 \(or 0 and 1\)"):
        _pairs.read_mask(path)


def test_masks_that_do_not_read(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"a\.png: not a readable mask picture"):
        _pairs.read_mask(tmp_path / "a.png")


def test_photos_are_shrunk_to_a_whole_part_only(tmp_path: Path) -> None:
    """2 x 3 labels: a 4 x 6 photo becomes the mean of its 2 x 2 blocks; 4 x 7 is refused."""
    ids = save(tmp_path / "ids.png", np.zeros((2, 3), np.uint8))
    blocks = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    for width in (6, 7):
        photo = np.pad(blocks, ((0, 0), (0, width - 6)))[..., None].repeat(3, axis=2)
        pair = _pairs.Pair("a", save(tmp_path / f"{width}.png", photo), ids)
        dataset = _pairs.PairDataset((pair,), LFW3, LFW3, _pairs.read_ids, shrink=True)
        if width == 6:
            expected = np.round(blocks.reshape(2, 2, 3, 2).mean(axis=(1, 3)))
            assert np.abs(dataset[0].image[..., 0] - expected).max() <= 1
        else:
            with pytest.raises(BadData, match=r"ids\.png: 3x2 labels for a picture of 7x4; wanted"):
                dataset[0]


def test_lists_are_rows_of_fields(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("Ann_Other   3\n\nBob\t12\n")
    assert _lists.read_rows(path, 2, "") == [["Ann_Other", "3"], ["Bob", "12"]]
    path.write_text("1 , a b\n2,c\n")
    assert _lists.read_rows(path, 2, "", separator=",") == [["1", "a b"], ["2", "c"]]


def test_lists_that_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    with pytest.raises(BadData, match=r"list\.txt: missing; get it there"):
        _lists.read_rows(path, 2, "get it there")
    path.write_text("\n \n")
    with pytest.raises(BadData, match=r"list\.txt: empty; get it again"):
        _lists.read_rows(path, 2, "")
    path.write_text("a 1\nb\n")
    with pytest.raises(BadData, match=r"list\.txt: row 2 has 1 fields; wanted 2"):
        _lists.read_rows(path, 2, "")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadData, match=r"list\.txt: not a text file"):
        _lists.read_rows(path, 2, "")
    with path.open("wb") as file:
        os.truncate(file.fileno(), _lists.MAX_BYTES + 1)
    with pytest.raises(BadData, match=r"list\.txt: over 64000000 bytes"):
        _lists.read_rows(path, 2, "")
