"""Pasted occluders on a drawn face: what is covered is no longer face."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PilImage

from dataset_folders import draw, save
from faceparts.errors import BadData
from faceparts.labels import BARE_FACE, CELEBA19
from faceparts.train import occlude
from faceparts.train.occlude import Occluders
from faceparts.types import IGNORE

MAGENTA = (255, 0, 255)
GLASSES = CELEBA19.id("glasses")


def solid(h: int, w: int, alpha: int = 255) -> NDArray[np.uint8]:
    """A magenta piece."""
    piece = np.full((h, w, 4), alpha, np.uint8)
    piece[..., :3] = MAGENTA
    return piece


def only(kind: str) -> Occluders:
    """One magenta thing of one kind."""
    stock: dict[str, tuple[NDArray[np.uint8], ...]] = dict.fromkeys(
        ("hands", "masks", "sunglasses", "textures"), ()
    )
    piece = solid(20, 50) if kind == "sunglasses" else solid(40, 40)
    stock[kind] = (piece[..., :3] if kind == "textures" else piece,)
    return Occluders(**stock)


KINDS = pytest.mark.parametrize("kind", ["hands", "masks", "sunglasses", "textures"])


@KINDS
def test_covered_pixels_change_their_label_and_others_do_not(kind: str) -> None:
    one = draw()
    new = GLASSES if kind == "sunglasses" else 0
    changed = 0
    for seed in range(15):
        image, ids = only(kind).paste(one.image, one.ids, np.random.default_rng(seed), CELEBA19)
        assert image.shape == one.image.shape
        assert image.dtype == ids.dtype == np.uint8
        relabelled = ids != one.ids
        assert (ids[relabelled] == new).all()
        touched = (image != one.image).any(axis=2)
        assert touched[relabelled].all()
        if kind != "textures":  # which may end in a sliver thinner than a pixel
            rim = touched & (ids != new)  # soft, at most half covered
            grown = cv2.dilate(np.uint8(touched & (ids == new)), np.ones((5, 5), np.uint8))
            assert not (rim & (grown == 0)).any()
        changed += int(relabelled.any())
    assert changed >= 12


@KINDS
def test_the_inputs_stay_and_the_same_chance_gives_the_same(kind: str) -> None:
    one = draw()
    image, ids = one.image.copy(), one.ids.copy()
    first = only(kind).paste(image, ids, np.random.default_rng(3), CELEBA19)
    again = only(kind).paste(image, ids, np.random.default_rng(3), CELEBA19)
    assert np.array_equal(image, one.image)
    assert np.array_equal(ids, one.ids)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])


@KINDS
def test_unknown_stays_unknown(kind: str) -> None:
    one = draw()
    ids = one.ids.copy()
    ids[::2] = np.where(ids[::2] == CELEBA19.id("skin"), IGNORE, ids[::2])
    for seed in range(10):
        _, got = only(kind).paste(one.image, ids, np.random.default_rng(seed), CELEBA19)
        if kind == "sunglasses":  # certain, whatever was there before
            assert set(got[(ids == IGNORE)].tolist()) <= {IGNORE, GLASSES}
        else:
            assert (got[ids == IGNORE] == IGNORE).all()


@KINDS
@pytest.mark.parametrize("few", [0, 63])
def test_nothing_is_pasted_without_a_face(kind: str, few: int) -> None:
    one = draw()
    ids = np.where(one.ids == CELEBA19.id("hair"), one.ids, 0)
    ids.ravel()[:few] = CELEBA19.id("skin")
    for seed in range(5):
        image, got = only(kind).paste(one.image, ids, np.random.default_rng(seed), CELEBA19)
        assert np.array_equal(image, one.image)
        assert np.array_equal(got, ids)
        assert not np.shares_memory(image, one.image)


def centroid(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    ys, xs = np.nonzero(mask)
    return np.array([xs.mean(), ys.mean()])


def test_sunglasses_sit_on_the_eyes_and_masks_below_them() -> None:
    one = draw()
    eyes = centroid(np.isin(one.ids, [CELEBA19.id("left_eye"), CELEBA19.id("right_eye")]))
    at = {}
    for kind in ("sunglasses", "masks"):
        places = []
        for seed in range(30):
            image, _ = only(kind).paste(one.image, one.ids, np.random.default_rng(seed), CELEBA19)
            places.append(centroid((image != one.image).any(axis=2)))
        at[kind] = np.mean(places, axis=0)
    assert np.abs(at["sunglasses"] - eyes).max() < 3
    assert at["masks"][1] > eyes[1] + 8


def test_pieces_turn_with_the_face() -> None:
    upright, lying = draw(), draw()
    ids, image = np.rot90(lying.ids, -1).copy(), np.rot90(lying.image, -1).copy()
    seed = np.random.default_rng
    _, first = only("sunglasses").paste(upright.image, upright.ids, seed(1), CELEBA19)
    _, turned = only("sunglasses").paste(image, ids, seed(1), CELEBA19)
    spans = [np.ptp(np.nonzero(g == GLASSES), axis=1) for g in (first, turned)]
    assert spans[0][1] > 1.5 * spans[0][0]
    assert spans[1][0] > 1.5 * spans[1][1]


@pytest.mark.parametrize("hidden", [("left_eye",), ("left_eye", "right_eye")])
def test_faces_with_an_eye_or_none_are_upright(hidden: tuple[str, ...]) -> None:
    one = draw()
    ids = np.where(np.isin(one.ids, [CELEBA19.id(p) for p in hidden]), CELEBA19.id("skin"), one.ids)
    frame = occlude._face_frame(ids.astype(np.uint8), CELEBA19)
    assert frame is not None
    assert frame.angle_deg == 0
    parts = [CELEBA19.id(p) for p in BARE_FACE if p in CELEBA19.parts]
    face = centroid(np.isin(one.ids, parts))
    assert abs(frame.eyes[0] - face[0]) < 4
    assert frame.eyes[1] < face[1]


def test_half_transparent_pieces_mix() -> None:
    one = draw()
    things = Occluders((), (), (solid(20, 50, alpha=120),), ())
    image, ids = things.paste(one.image, one.ids, np.random.default_rng(0), CELEBA19)
    assert np.array_equal(ids, one.ids)  # less than half: what is behind is still seen
    touched = (image != one.image).any(axis=2)
    assert touched.any()
    expected = one.image * (1 - 120 / 255) + np.array(MAGENTA) * 120 / 255
    inner = cv2.erode(np.uint8(touched), np.ones((5, 5), np.uint8)) == 1
    assert np.abs(image[inner] - expected[inner]).max() < 1.5


def hand(size_px: int = 80) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A drawn hand of skin colour on a pale wall, and where it is."""
    shape = np.zeros((size_px, size_px), np.uint8)
    cv2.circle(shape, (40, 52), 18, 1, -1)
    for x in (26, 36, 46, 55):
        cv2.line(shape, (x, 12), (x, 50), 1, 6)
    noise = np.random.default_rng(0).integers(-4, 5, (size_px, size_px, 1))
    image = np.where(shape[..., None] == 1, (200, 140, 110), (225, 225, 220)) + noise
    image[2:5, 2:5] = (210, 120, 90)  # a speck of the same colour elsewhere
    return image.astype(np.uint8), shape == 1


def test_a_hand_is_cut_out() -> None:
    image, where = hand()
    piece = occlude.cut_out_hand(image)
    assert piece.shape == (80, 80, 4)
    assert np.array_equal(piece[..., :3], image)
    found = piece[..., 3] > 127
    assert (found & where).sum() / (found | where).sum() > 0.8
    assert not (found & ~cv2.dilate(np.uint8(where), np.ones((7, 7))).astype(bool)).any()
    assert not found[:8, :8].any()


def test_a_plain_picture_has_no_hand() -> None:
    piece = occlude.cut_out_hand(np.full((30, 30, 3), 200, np.uint8))
    assert piece[..., 3].max() == 0


def test_a_hand_takes_the_colour_of_the_face() -> None:
    one = draw()
    frame = occlude._face_frame(one.ids, CELEBA19)
    assert frame is not None
    grey = solid(10, 10)
    grey[..., :3] = 100
    seen = {
        tuple(occlude._relit(grey, one.image, frame, np.random.default_rng(s))[0, 0, :3].tolist())
        for s in range(20)
    }
    assert (100, 100, 100) in seen
    assert any(r > g > b for r, g, b in seen)
    clear = solid(10, 10, alpha=0)
    for seed in range(8):
        kept = occlude._relit(clear, one.image, frame, np.random.default_rng(seed))
        assert np.array_equal(kept, clear)


def write_stock(root: Path, count: int = 12) -> None:
    """Pieces whose red value says which file they are."""
    for i in range(count):
        piece = solid(60, 60)
        piece[:, :, 0] = 10 * i
        save(root / "masks" / f"{i:02}.png", piece)
        save(root / "sunglasses" / f"{i:02}.png", piece)
        save(root / "textures" / f"{i:02}.png", piece[..., :3])
        save(root / "mask_fabrics" / f"{i:02}.webp", piece[:50, :, :3])
        image = hand()[0]
        image[:, :2, 2] = 5 * i
        save(root / "hands" / f"{i:02}.png", image)
    for path in (root / "masks").iterdir():
        bordered = np.zeros((70, 70, 4), np.uint8)
        bordered[5:65, 5:65] = np.asarray(PilImage.open(path))
        save(path, bordered)


def test_held_back_files_are_apart_and_none_is_lost(tmp_path: Path) -> None:
    write_stock(tmp_path)
    kept = occlude.load_occluders(tmp_path, held_back=True)
    used = occlude.load_occluders(tmp_path, held_back=False)
    for kind, count in (("hands", 12), ("masks", 12), ("sunglasses", 12), ("textures", 24)):
        first = [p.tobytes() for p in getattr(kept, kind)]
        second = [p.tobytes() for p in getattr(used, kind)]
        assert len(first) + len(second) == count
        assert len(first) == -(-count // occlude.HELD_BACK_EVERY) or kind == "textures"
        assert not set(first) & set(second)
        assert len(set(first) | set(second)) == count, kind
    assert [p[0, 0, 0] for p in kept.masks] == [0, 50, 100]
    assert {p.shape for p in (*kept.masks, *used.masks)} == {(60, 60, 4)}  # borders cut away


def test_masks_that_are_patterns_become_textures_or_nothing(tmp_path: Path) -> None:
    save(tmp_path / "masks" / "0.png", np.full((40, 40, 3), 9, np.uint8))  # held back
    save(tmp_path / "masks" / "1.png", np.full((40, 40, 3), 9, np.uint8))  # no alpha
    save(tmp_path / "masks" / "2.png", solid(40, 40))  # nothing see-through
    holes = solid(40, 40)
    holes[::4, :, 3] = 0
    save(tmp_path / "masks" / "3.png", holes)
    found = occlude.load_occluders(tmp_path, held_back=False)
    assert found.masks == ()
    assert len(found.textures) == 2
    assert {t.shape for t in found.textures} == {(40, 40, 3)}


def test_colours_of_pieces_are_rgb(tmp_path: Path) -> None:
    for i in range(2):
        save(tmp_path / "textures" / f"{i}.png", np.full((9, 9, 3), (1, 2, 3), np.uint8))
        save(tmp_path / "mask_fabrics" / f"{i}.png", np.full((9, 9), 7, np.uint8))
    first, second = occlude.load_occluders(tmp_path, held_back=False).textures
    assert first[0, 0].tolist() == [1, 2, 3]
    assert second[0, 0].tolist() == [7, 7, 7]


def test_a_folder_without_occluders(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="no occluders in hands/"):
        occlude.load_occluders(tmp_path / "none", held_back=False)
    for i in range(2):  # sunglasses that cover the whole picture are of no use
        save(tmp_path / "sunglasses" / f"{i}.png", np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(BadData, match="no occluders in hands/"):
        occlude.load_occluders(tmp_path, held_back=False)


@pytest.mark.parametrize("how", ["empty", "text", "16 bit"])
def test_a_piece_that_is_no_picture(how: str, tmp_path: Path) -> None:
    folder = tmp_path / "textures"
    save(folder / "0.png", np.zeros((9, 9, 3), np.uint8))
    path = folder / "1.png"
    if how == "16 bit":
        save(path, np.zeros((9, 9), np.uint16))  # type: ignore[arg-type]  # on purpose
    else:
        path.write_bytes(b"" if how == "empty" else b"text")
    with pytest.raises(BadData, match=r"1\.png: not an 8-bit picture"):
        occlude.load_occluders(tmp_path, held_back=False)


def test_trim_keeps_what_is_all_clear() -> None:
    clear = solid(4, 4, alpha=0)
    assert np.array_equal(occlude._trim(clear), clear)


def test_swapped_eyes_do_not_turn_the_frame() -> None:
    one = draw()
    swapped = np.uint8(CELEBA19.mirror)[one.ids]
    right, wrong = (occlude._face_frame(ids, CELEBA19) for ids in (one.ids, swapped))
    assert right is not None
    assert wrong is not None
    assert 5 < right.angle_deg < 13  # drawn at 9 degrees
    assert wrong.angle_deg == pytest.approx(right.angle_deg)


def test_opaque_sunglasses_lose_their_plain_surroundings(tmp_path: Path) -> None:
    """A cut-out on black whose alpha says nothing: black around it goes, black inside stays."""
    piece = np.zeros((30, 60, 4), np.uint8)
    piece[..., 3] = 255
    piece[5:25, 4:56, :3] = 200
    piece[10:20, 10:25, :3] = 0
    (tmp_path / "sunglasses").mkdir()
    for i in range(2):
        PilImage.fromarray(piece).save(tmp_path / "sunglasses" / f"{i}.png")
    (got,) = occlude.load_occluders(tmp_path, held_back=False).sunglasses
    assert got.shape == (20, 52, 4)
    assert (got[..., 3] == 255).all()
    transparent = piece.copy()
    transparent[0, 0, 3] = 0
    np.testing.assert_array_equal(occlude._keyed(transparent), transparent)
    np.testing.assert_array_equal(occlude._keyed(piece[..., :3]), piece[..., :3])


def test_dyed_pieces_keep_shape_and_folds() -> None:
    """Flat where it was flat, darker where it was darker, in the texture's colour."""
    piece = solid(20, 30)
    piece[..., :3] = 120
    piece[:, 10:20, :3] = 60
    piece[:5, :, 3] = 0
    texture = np.full((7, 90, 3), (200, 40, 10), np.uint8)
    got = occlude.dyed(piece, texture, np.random.default_rng(0))
    assert got.shape == piece.shape and got.dtype == np.uint8
    np.testing.assert_array_equal(got[..., 3], piece[..., 3])
    light, dark = got[10, 2, :3].astype(float), got[10, 15, :3].astype(float)
    np.testing.assert_allclose(dark, light / 2, atol=1)
    np.testing.assert_allclose(light / light[0], np.array([200, 40, 10]) / 200, atol=0.02)
    clear = occlude.dyed(solid(4, 4, alpha=0), texture, np.random.default_rng(0))
    assert not clear[..., 3].any()


def test_masks_are_dyed_as_often_as_asked() -> None:
    one, green = draw(), np.full((9, 9, 3), (0, 255, 0), np.uint8)
    stock = only("masks")
    for share in (0.0, 1.0):
        things = Occluders(stock.hands, stock.masks, (), (green,), dye=share)
        magenta = 0
        for seed in range(40):
            image, ids = things.paste(one.image, one.ids, np.random.default_rng(seed), CELEBA19)
            here = image[(ids == 0) & (one.ids != 0)].astype(int)
            magenta += int((here[:, 0] > here[:, 1] + 60).sum() > 30)
        assert (magenta > 10) if share == 0 else (magenta == 0)
