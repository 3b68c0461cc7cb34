"""solid, mosaic and blur: nothing of the region stays, nothing beside it changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drawn import drawn_face, full_mask
from faceparts import effects, folder
from faceparts.effects._check import parse_color
from faceparts.effects._region import Hiding
from faceparts.effects.blur import Blur
from faceparts.effects.mosaic import Mosaic
from faceparts.effects.solid import Solid
from faceparts.errors import UnknownName, UsageError
from faceparts.types import Face, Image

HIDING: list[type[Hiding]] = [Solid, Mosaic, Blur]


def test_all_that_hide_are_listed() -> None:
    kinds = {
        n: folder.load("faceparts.effects", n).EFFECT for n in folder.names("faceparts.effects")
    }
    assert {name for name, kind in kinds.items() if issubclass(kind, Hiding)} == set(effects.HIDING)
    assert effects.HIDING[0] == "solid"


def mask_of(face: Face, effect: Hiding) -> NDArray[np.bool_]:
    return full_mask(face, what=effect.what, keep=effect.keep, margin=effect.margin)


heads = st.builds(
    drawn_face,
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
    st.tuples(st.floats(-20, 90), st.floats(-20, 90)),
    st.tuples(st.floats(3, 80), st.floats(3, 80)),
    roll_deg=st.floats(-180, 180),
    confidence=st.sampled_from([0.4, 0.9]),
    from_behind=st.booleans(),
    crop_px=st.just(8),
    seed=st.integers(0, 99),
)
words = st.sampled_from(["face", "head", "eyes", "nose,hair", "clothes"])
kept = st.sampled_from(["", "hair", "left_eye,lips"])


@settings(max_examples=60, deadline=None)
@given(heads, words, kept)
def test_solid_fills_all_of_the_region_and_nothing_else(
    drawn: tuple[Image, Face], what: str, keep: str
) -> None:
    image, face = drawn
    effect = Solid(what=what, keep=keep, color="#ff00fe")
    mask = mask_of(face, effect)
    wanted = image.copy()
    wanted[mask] = (255, 0, 254)
    assert np.array_equal(effect(image, [face]), wanted)


@pytest.mark.parametrize("kind", [Mosaic, Blur])
@settings(max_examples=40, deadline=None)
@given(drawn=heads, what=words, keep=kept)
def test_soft_effects_read_and_write_the_region_alone(
    kind: type[Hiding], drawn: tuple[Image, Face], what: str, keep: str
) -> None:
    image, face = drawn
    effect = kind(what=what, keep=keep)
    mask = mask_of(face, effect)
    got = effect(image, [face])
    assert np.array_equal(got[~mask], image[~mask])
    other = image.copy()
    other[~mask] = 255 - other[~mask]
    assert np.array_equal(effect(other, [face])[mask], got[mask])


@pytest.mark.parametrize("kind", HIDING)
def test_one_colour_stays_one_colour(kind: type[Hiding]) -> None:
    image, face = drawn_face()
    flat = np.full_like(image, (10, 130, 250))
    got = kind(what="head")(flat, [face])
    hidden = mask_of(face, kind(what="head"))
    wanted = (0, 0, 0) if kind is Solid else (10, 130, 250)
    assert (got[hidden] == wanted).all()


def test_mosaic_means_by_hand() -> None:
    cut = np.arange(16, dtype=np.uint8).reshape(4, 4)[..., None].repeat(3, axis=2).copy()
    mask = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0]], bool)
    Mosaic(cells=2)._fill(cut, mask, 4.0)
    # Cells of 2 x 2: means of 0 1 4 5, of 2 3 6 7, of 8 9 12 13, and of 10 alone.
    wanted = [[2, 2, 4, 4], [2, 2, 4, 4], [10, 10, 10, 11], [10, 10, 14, 15]]
    assert cut[..., 0].tolist() == wanted


def test_mosaic_merges_cells_with_few_pixels() -> None:
    cut = np.zeros((3, 9, 3), np.uint8)
    cut[:, :6] = 100
    cut[1, 6] = 240
    mask = np.zeros((3, 9), bool)
    mask[:, :6] = True
    mask[1, 6] = True  # one of nine pixels of its cell
    Mosaic(cells=3)._fill(cut, mask, 9.0)
    # With its neighbour: (9 x 100 + 240) / 10.
    assert cut[1, 6, 0] == 114
    assert (cut[:, :6] == 100).all()


def test_mosaic_has_as_many_levels_at_any_size() -> None:
    colors = []
    for scale in (1, 4):
        image, face = drawn_face(
            (100 * scale, 100 * scale), (50 * scale, 50 * scale), (60 * scale, 72 * scale)
        )
        got = Mosaic(what="head", margin=0, cells=4)(image, [face])
        colors.append(len(np.unique(got[mask_of(face, Mosaic(what="head", margin=0))], axis=0)))
    # 4 rows of cells, 60 / (72 / 4) = 3.3 columns: at most 4 or 5 a side with the rim.
    assert all(12 <= count <= 25 for count in colors)


def test_blur_equals_a_direct_normalised_convolution() -> None:
    rng = np.random.default_rng(3)
    cut = rng.integers(0, 256, (14, 17, 3), dtype=np.uint8)
    mask = rng.random((14, 17)) < 0.6
    sigma = 3.0
    rows, columns = np.nonzero(mask)
    values = cut[mask].astype(float)
    wanted = cut.copy()
    for r, c in zip(rows, columns, strict=True):
        weights = np.exp(-((rows - r) ** 2 + (columns - c) ** 2) / (2 * sigma**2))
        wanted[r, c] = np.rint(weights @ values / weights.sum())
    got = cut.copy()
    Blur(strength=0.1)._fill(got, mask, 30.0)
    assert np.abs(got.astype(int) - wanted).max() <= 1


def test_blur_of_a_large_head_equals_the_direct_one() -> None:
    """Sums over blocks stand for pixels from sigma 12 on; a step edge must come out the same."""
    cut = np.zeros((200, 240, 3), np.uint8)
    cut[:, 120:] = 200
    mask = np.ones((200, 240), bool)
    Blur(strength=0.1)._fill(cut, mask, 300.0)
    x = np.arange(240)
    direct = [200 * (g := np.exp(-((x - c) ** 2) / (2 * 30**2)))[120:].sum() / g.sum() for c in x]
    assert np.abs(cut[100, :, 0] - np.array(direct)).max() < 3


@pytest.mark.parametrize(("kind", "left"), [(Mosaic, 0.35), (Blur, 0.25)])
def test_detail_is_gone(kind: type[Hiding], left: float) -> None:
    for size in (30, 60, 240):
        image, face = drawn_face((2 * size, 2 * size), (size, size), (0.8 * size, size))
        mask = mask_of(face, kind(margin=0))
        got = kind(margin=0)(image, [face]).astype(float)

        def detail(picture: NDArray[np.float64], mask: NDArray[np.bool_] = mask) -> float:
            both = mask[:, 1:] & mask[:, :-1]
            return float(np.abs(np.diff(picture.mean(axis=2), axis=1))[both].mean())

        assert detail(got) < left * detail(image.astype(float))


@pytest.mark.parametrize("kind", [Mosaic, Blur])
def test_a_small_head_inside_a_large_one_brings_nothing_back(kind: type[Hiding]) -> None:
    image, large = drawn_face((120, 120), (60, 60), (90, 110))
    small = drawn_face((120, 120), (60, 50), (16, 20))[1]
    alone = kind(what="head")(image, [large])
    both = kind(what="head")(image, [large, small])
    mask = mask_of(small, kind(what="head"))
    spread = np.ptp(alone[mask].astype(int), axis=0)
    assert (np.ptp(both[mask].astype(int), axis=0) <= spread).all()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Solid(color="blurple"), UsageError, "color: got 'blurple', wanted a colour name"),
        (lambda: Solid(color="#11223344"), UsageError, "color: got '#11223344', wanted"),
        (lambda: Solid(what=""), UsageError, "what: got '', wanted part names such as 'face'"),
        (lambda: Solid(what=","), UsageError, "what: got ',', wanted"),
        (lambda: Solid(what="fase"), UnknownName, "no part named 'fase'; there are: .*face"),
        (lambda: Solid(keep="hare"), UnknownName, "no part named 'hare'"),
        (lambda: Solid(margin=-0.1), UsageError, "margin: got -0.1, wanted 0 to 1"),
        (lambda: Mosaic(margin=float("nan")), UsageError, "margin: got nan, wanted 0 to 1"),
        (lambda: Mosaic(cells=0), UsageError, "cells: got 0, wanted 1 to 32"),
        (lambda: Mosaic(cells=33), UsageError, "cells: got 33"),
        (lambda: Blur(strength=0), UsageError, r"strength: got 0, wanted 0.02 to 1"),
        (lambda: Blur(what="hed"), UnknownName, "no part named 'hed'"),
    ],
)
def test_bad_fields(make: type[Hiding], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_colours() -> None:
    assert parse_color("color", "Black") == (0, 0, 0)
    assert parse_color("color", "#fff") == (255, 255, 255)
    for text in ("rgb(300,0,0)", "hsl(0,500%,50%)", "#ff00ff80"):
        with pytest.raises(UsageError, match="wanted a colour name or #rrggbb"):
            parse_color("color", text)


@pytest.mark.parametrize("kind", HIDING)
def test_picture_must_fit(kind: type[Hiding]) -> None:
    image, face = drawn_face()
    with pytest.raises(ValueError, match=r"face 0 was found in a picture of \(160, 200\)"):
        kind()(image[:100], [face])
    with pytest.raises(ValueError, match=r"image: got uint8 of shape \(160, 200\), wanted"):
        kind()(image[..., 0], [])
    with pytest.raises(ValueError, match="image: got float64"):
        kind()(image / 255, [])  # type: ignore[arg-type]  # wrong on purpose


def test_read_only_and_strided_pictures_work() -> None:
    image, face = drawn_face()
    wanted = Solid()(image, [face])
    frozen = image.copy()
    frozen.flags.writeable = False
    assert np.array_equal(Solid()(frozen, [face]), wanted)
    strided = np.repeat(image, 2, axis=1)[:, ::2]
    assert np.array_equal(Solid()(strided, [face]), wanted)


def test_faces_that_overlap_are_both_hidden() -> None:
    image, left = drawn_face(center_xy=(80, 80))
    right = drawn_face(center_xy=(120, 80))[1]
    effect = Solid(what="head", keep="hair")
    got = effect(image, [left, right])
    mask = mask_of(left, effect) | mask_of(right, effect)
    assert (got[mask] == 0).all()
    assert np.array_equal(got[~mask], image[~mask])


def test_unsure_face_is_hidden_whatever_is_to_be_kept() -> None:
    image, face = drawn_face(confidence=0.5)
    got = Solid(what="nose", keep="eyes,hair")(image, [face])
    assert (got[face.mask()] == 0).all()
