"""Hair beyond the cut around a head: seen when there is some, and nothing else is added."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli_world import call, decode, encode
from faceparts import _long_hair
from faceparts._long_hair import join, leaves_cut, wider_cut
from faceparts.crops import crop_head
from faceparts.labels import CELEBA19
from faceparts.measure import _near_head, measure
from faceparts.parse import FaceParser
from faceparts.types import Face, Head, Image, ModelCard

K = len(CELEBA19.parts)
SKIN, HAIR, NECK, CLOTHES = (CELEBA19.id(p) for p in ("skin", "hair", "neck", "clothes"))
SIDE = 32


def head(*box: float) -> Head:
    return Head((box[0], box[1], box[2], box[3]), 0.9, Head.no_points())


def certain(ids: np.ndarray) -> np.ndarray:
    return np.eye(K, dtype=np.float32)[ids].transpose(2, 0, 1)


BORDERS = {
    "left": (slice(10, 20), slice(0, 3)),
    "right": (slice(10, 20), slice(-3, None)),
    "top": (slice(0, 3), slice(10, 20)),
    "bottom": (slice(-3, None), slice(10, 20)),
}


@pytest.mark.parametrize("border", BORDERS)
def test_hair_leaves_where_there_is_more_of_the_picture(border: str) -> None:
    ids = np.zeros((SIDE, SIDE), int)
    ids[BORDERS[border]] = HAIR
    image = np.zeros((200, 200, 3), np.uint8)
    crop = crop_head(image, head(80, 80, 120, 120), SIDE, 0.2)
    assert leaves_cut(certain(ids), crop, HAIR)
    assert not leaves_cut(certain(np.where(ids, NECK, 0)), crop, HAIR)
    assert not leaves_cut(
        certain(np.where(ids, HAIR, 0) * (np.indices(ids.shape)[0] > 99)), crop, HAIR
    )
    tight = crop_head(image[72:128, 72:128], head(8, 8, 48, 48), SIDE, 0.2)
    assert not leaves_cut(certain(ids), tight, HAIR)  # the cut is the whole picture


def test_hair_in_the_middle_does_not_leave() -> None:
    ids = np.zeros((SIDE, SIDE), int)
    ids[4:-4, 4:-4] = HAIR
    crop = crop_head(np.zeros((200, 200, 3), np.uint8), head(80, 80, 120, 120), SIDE, 0.2)
    assert not leaves_cut(certain(ids), crop, HAIR)


@given(st.integers(8, 64), st.floats(0, 0.5), st.floats(20, 90))
def test_the_first_cut_lies_on_the_wider_ones_pixels(size: int, margin: float, box: float) -> None:
    image = np.zeros((150, 190, 3), np.uint8)
    face = head(50, 40, 50 + box, 45 + box)
    close = crop_head(image, face, size, margin)
    coarse, fine = wider_cut(image, face, size, margin)
    side = fine.image.shape[0]
    rim = (side - size) // 2
    assert coarse.image.shape[0] == size and side == size + 2 * rim
    assert abs(side / size - _long_hair.WIDER) <= 1 / size + 1e-9
    at = fine.to_source @ np.array([[rim, rim, 1], [rim + size - 1, rim + size - 1, 1.0]]).T
    wanted = close.to_source @ np.array([[0, 0, 1], [size - 1, size - 1, 1.0]]).T
    np.testing.assert_allclose(at, wanted, atol=1e-6)
    corner = coarse.to_source @ [-0.5, -0.5, 1], fine.to_source @ [-0.5, -0.5, 1]
    np.testing.assert_allclose(*corner, atol=1e-6)


def test_join_adds_connected_hair_and_no_faces() -> None:
    side = 56
    close = np.zeros((SIDE, SIDE), int)
    close[8:20, 8:24], close[8:, 2:6] = SKIN, HAIR
    wide = np.zeros((side, side), int)
    wide[20:50, 14:18] = HAIR  # goes on below
    wide[30:50, 50:54] = HAIR  # a neighbour's
    wide[2:8, 40:50] = SKIN  # another's face
    coarse = wide[np.ix_(np.arange(SIDE) * side // SIDE, np.arange(SIDE) * side // SIDE)]
    joined = join(certain(close), certain(coarse), side, CELEBA19)
    assert joined.shape == (K, side, side) and joined.dtype == np.float32
    np.testing.assert_allclose(joined.sum(0), 1, atol=1e-5)
    ids = joined.argmax(0)
    np.testing.assert_array_equal(ids[13:-13, 13:-13], close[1:-1, 1:-1])
    assert (ids[45:49, 14:18] == HAIR).mean() > 0.5
    assert not (ids[:, 49:] != 0).any() and not (ids[:11] != 0).any()
    assert set(np.unique(ids)) == {0, SKIN, HAIR}


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_join_always_gives_probabilities(seed: int) -> None:
    rng = np.random.default_rng(seed)
    close, wide = (
        rng.dirichlet(np.full(K, 0.1), (16, 16)).astype(np.float32).transpose(2, 0, 1)
        for _ in range(2)
    )
    joined = join(close, wide, 28, CELEBA19)
    assert joined.min() >= -1e-6
    np.testing.assert_allclose(joined.sum(0), 1, atol=1e-4)
    beyond = np.ones((28, 28), bool)
    beyond[6:-6, 6:-6] = False
    allowed = [CELEBA19.id(p) for p in _long_hair.BEYOND]
    assert set(np.unique(joined.argmax(0)[beyond])) <= {0, *allowed}
    np.testing.assert_array_equal(joined[:, 7:-7, 7:-7].argmax(0), close[:, 1:-1, 1:-1].argmax(0))


class Colours:
    """Red is skin, blue hair, green clothes; counts what it is shown."""

    label_set = CELEBA19

    def __init__(self, *, any_cut: bool = True) -> None:
        self.any_cut, self.shown = any_cut, 0
        nothing = ((0.0,) * 3, (1.0,) * 3)
        self.card = ModelCard(
            *("colours", "segment", "celeba19", SIDE, *nothing, 0.2, (), "", "", True), {}
        )

    def predict(self, crops: np.ndarray) -> np.ndarray:
        self.shown += len(crops)
        probs = np.zeros((len(crops), K, SIDE, SIDE), np.float32)
        for channel, part in ((0, SKIN), (2, HAIR), (1, CLOTHES)):
            alone = crops[..., channel].astype(int) - np.delete(crops, channel, 3).max(3)
            probs[:, part] = alone > 60
        probs[:, 0] = 1 - probs.sum(1)
        return probs


class Halved(Colours):
    """The same, but puts out maps of half the side."""

    def maps(self, crops: np.ndarray) -> np.ndarray:
        fine = super().predict(crops)
        return fine.reshape(len(crops), K, SIDE // 2, 2, SIDE // 2, 2).mean((3, 5))

    def predict(self, crops: np.ndarray) -> np.ndarray:
        raise AssertionError("maps are there")


class Fixed:
    def __init__(self, *heads: Head) -> None:
        self.heads = list(heads)

    def detect(self, image: Image) -> list[Head]:
        return self.heads


HEADS = (head(60, 40, 100, 80),)


def draw(hair_to: int) -> Image:
    image = np.zeros((200, 160, 3), np.uint8)
    image[40:hair_to, 56:104] = (0, 0, 200)
    image[50:80, 66:94] = (200, 0, 0)
    return image


def parsed(image: Image, *, heads: tuple[Head, ...] = HEADS, **options: bool) -> list[Face]:
    return FaceParser(Fixed(*heads), Colours(), **options).parse(image)


def lowest(face: Face) -> int:
    return int(np.flatnonzero(face.mask("hair").any(1)).max()) + 1


def test_hair_is_followed() -> None:
    image = draw(hair_to=104)
    (short,), (whole,) = parsed(image, long_hair=False), parsed(image)
    assert lowest(short) == short.window_xyxy[3] == 88
    assert abs(lowest(whole) - 104) <= 2
    assert whole.area_px("skin") == short.area_px("skin")
    for name in ("yaw_deg", "pitch_deg"):
        np.testing.assert_equal(measure(whole)[name], measure(short)[name])


@pytest.mark.parametrize("flip", [False, True])
def test_maps_smaller_than_the_crop_say_the_same(flip: bool) -> None:
    """With and without a wider look; borders may differ by a cell, two pixels of the crop."""
    for hair_to, options in ((104, {}), (104, {"long_hair": False}), (82, {})):
        image = draw(hair_to)
        fine, coarse = (
            FaceParser(Fixed(*HEADS), net, flip=flip, **options).parse(image)[0]
            for net in (Colours(), Halved())
        )
        assert fine.window_xyxy == coarse.window_xyxy
        for part in ("skin", "hair"):
            one, other = fine.mask(part), coarse.mask(part)
            assert (one & other).sum() > 0.9 * (one | other).sum() > 0
        assert abs(lowest(fine) - lowest(coarse)) <= 4


def test_head_pose_sees_the_square_around_the_head() -> None:
    face = parsed(draw(hair_to=104))[0]
    near = _near_head(face)
    x0, y0, x1, y1 = face.window_xyxy
    assert (x0, y0) < (54, 34) and x1 > 106 and y1 > 86
    np.testing.assert_array_equal(near, face.labels[34 - y0 : 86 - y0, 54 - x0 : 106 - x0])


def test_short_hair_costs_nothing() -> None:
    net = Colours()
    FaceParser(Fixed(*HEADS), net).parse(draw(hair_to=82))
    assert net.shown == 1
    FaceParser(Fixed(*HEADS), net).parse(draw(hair_to=104))
    assert net.shown == 3
    FaceParser(Fixed(*HEADS), net, long_hair=False).parse(draw(hair_to=104))
    assert net.shown == 4
    rigid = Colours(any_cut=False)
    FaceParser(Fixed(*HEADS), rigid).parse(draw(hair_to=104))
    assert rigid.shown == 1


def test_only_those_who_need_it_are_looked_at_again() -> None:
    image = np.concatenate([draw(hair_to=82), draw(hair_to=104)], axis=1)
    both = (HEADS[0], head(220, 40, 260, 80))
    net = Colours()
    faces = FaceParser(Fixed(*both), net).parse(image)
    assert net.shown == 3
    assert [face.crop.image.shape[0] for face in faces] == [SIDE, SIDE + 2 * 11]
    assert all(abs(lowest(face) - end) <= 2 for face, end in zip(faces, (82, 104), strict=True))


def test_command_line(net: Path, tmp_path: Path) -> None:
    photo = tmp_path / "a.png"
    photo.write_bytes(encode(draw(hair_to=104)))
    for arguments, wide in (((), True), (("--no-long-hair",), False)):
        out = tmp_path / f"out{wide}"
        options = ("--detector", "whole", "--model", net, "-o", out)
        assert call("segment", photo, *options, *arguments).code == 0
        assert decode(out / "a.png.labels.png").shape[:2] == (200, 160)
        assert f'"long_hair": {str(wide).lower()}' in (out / "faceparts-report.json").read_text()
    out = tmp_path / "hidden"
    assert call("hide", photo, "--detector", "whole", "--model", net, "-o", out).code == 0
    assert '"long_hair": false' in (out / "faceparts-report.json").read_text()
