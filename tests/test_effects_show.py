"""cutout, recolor and overlay: showing and changing what was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from drawn import drawn_face, face_of
from faceparts import labels as label_sets
from faceparts.effects._edge import soft_alpha
from faceparts.effects.cutout import Cutout
from faceparts.effects.overlay import Overlay
from faceparts.effects.recolor import Recolor
from faceparts.errors import UnknownName, UsageError
from faceparts.types import Head, Image


def lab(image: Image) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB))


# --- soft edges ----------------------------------------------------------------------------------


def test_alpha_without_feather_is_the_mask() -> None:
    face = drawn_face()[1]
    _, alpha = soft_alpha(face, "hair", 0)
    assert np.array_equal(alpha, face.window_mask("hair").astype(np.float32))


def test_alpha_is_opaque_inside_where_two_parts_meet_in_doubt() -> None:
    image, face = drawn_face()
    doubt = np.full((160, 200), 0.9, np.float32)
    doubt[:, 95:105] = 0.5  # a seam through the middle of the face
    labels = np.zeros((160, 200), np.uint8)
    labels[face.mask()] = 1
    labels[:, 100:][face.mask()[:, 100:]] = label_sets.CELEBA19.id("nose")
    split = face_of(image, labels, face.head, doubt)
    (x0, y0, _, _), alpha = soft_alpha(split, "face", 0.01)
    assert alpha[80 - y0, 95 - x0 : 105 - x0].min() > 0.999


def test_alpha_follows_the_confidence_across_the_outline() -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    labels = np.zeros((20, 20), np.uint8)
    labels[:, 10:] = label_sets.CELEBA19.id("hair")
    ramp = np.clip(np.abs(np.arange(20) - 9.5) / 10 + 0.5, 0, 1).astype(np.float32)
    head = Head((0, 0, 20, 20), 0.9, Head.no_points())
    face = face_of(image, labels, head, np.tile(ramp, (20, 1)))
    _, alpha = soft_alpha(face, "hair", 0.2)
    assert (np.diff(alpha[10]) >= -1e-6).all()
    assert alpha[10, 0] == pytest.approx(0, abs=1e-3)
    assert alpha[10, 19] == pytest.approx(1, abs=1e-3)
    assert alpha[10, 9] == pytest.approx(1 - alpha[10, 10], abs=1e-5)


def test_alpha_of_a_part_that_fills_the_window() -> None:
    image = np.zeros((12, 12, 3), np.uint8)
    full = np.full((12, 12), label_sets.CELEBA19.id("hair"), np.uint8)
    face = face_of(image, full, Head((0, 0, 12, 12), 0.9, Head.no_points()))
    assert (soft_alpha(face, "hair", 0.1)[1] == 1).all()


# --- cutout --------------------------------------------------------------------------------------


def test_cutout_by_hand() -> None:
    image, face = drawn_face()
    got = Cutout(what="hair", feather=0)(image, [face])
    hair = face.mask("hair")
    assert got.shape == (160, 200, 4)
    assert np.array_equal(got[..., 3], np.where(hair, 255, 0))
    assert np.array_equal(got[..., :3], np.where(hair[..., None], image, 0))


def test_cutout_leaves_no_colour_under_transparent_pixels() -> None:
    image, face = drawn_face()
    got = Cutout(feather=0.05)(image, [face])
    assert not got[got[..., 3] == 0].any()
    assert np.array_equal(got[got[..., 3] > 0][:, :3], image[got[..., 3] > 0])
    assert ((got[..., 3] > 0) & (got[..., 3] < 255)).any()


def test_cutout_of_two_faces_shows_both() -> None:
    image, left = drawn_face(center_xy=(60, 80))
    right = drawn_face(center_xy=(140, 80))[1]
    got = Cutout(feather=0)(image, [left, right])
    assert np.array_equal(got[..., 3] > 0, left.mask() | right.mask())


def test_cutout_without_the_part_is_empty() -> None:
    image, face = drawn_face()
    assert not Cutout(what="hat")(image, [face]).any()


# --- recolor -------------------------------------------------------------------------------------


def test_recolor_moves_the_colour_and_keeps_the_texture() -> None:
    image, face = drawn_face()
    got = Recolor(color="#3050c0", amount=1, lightness=0, feather=0)(image, [face])
    hair = face.mask("hair")
    before, after = lab(image)[hair], lab(got)[hair]
    wanted = lab(np.array([[[0x30, 0x50, 0xC0]]], np.uint8))[0, 0]
    # Dark pixels cannot hold the full saturation; the hue must be the wanted one.
    hue = np.degrees(np.arctan2(after[:, 2].mean(), after[:, 1].mean()))
    assert hue == pytest.approx(np.degrees(np.arctan2(wanted[2], wanted[1])), abs=12)
    assert np.corrcoef(before[:, 0], after[:, 0])[0, 1] > 0.9
    assert np.array_equal(got[~hair], image[~hair])


def test_recolor_reaches_the_colour_where_the_gamut_allows() -> None:
    image, face = drawn_face()
    grey = np.full_like(image, 120)
    got = Recolor(color="#906070", amount=1, lightness=1, feather=0)(grey, [face])
    assert np.abs(got[face.mask("hair")].astype(int) - (0x90, 0x60, 0x70)).max() <= 1


def test_recolor_by_half_of_a_soft_alpha() -> None:
    image, face = drawn_face()
    full = Recolor(color="red", feather=0)(image, [face]).astype(int)
    none = Recolor(color="red", amount=0, lightness=0)(image, [face])
    assert np.array_equal(none, image)
    soft = Recolor(color="red", feather=0.03)(image, [face]).astype(int)
    (x0, y0, x1, y1), alpha = soft_alpha(face, "hair", 0.03)
    assert np.array_equal(soft[y0:y1, x0:x1][alpha == 0], image[y0:y1, x0:x1][alpha == 0])
    inner = alpha > 0.999
    assert np.abs(soft[y0:y1, x0:x1][inner] - full[y0:y1, x0:x1][inner]).max() <= 6


def test_recolor_in_strips_equals_recolor_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    image, face = drawn_face()
    wanted = Recolor()(image, [face])
    monkeypatch.setattr("faceparts.effects.recolor._STRIP_PX", 500)
    assert np.array_equal(Recolor()(image, [face]), wanted)


def test_recolor_of_lips_touches_lips_alone() -> None:
    image, face = drawn_face()
    got = Recolor(part="lips", color="purple", feather=0)(image, [face])
    changed = (got != image).any(axis=2)
    assert changed.any()
    assert not (changed & ~face.mask("upper_lip", "lower_lip")).any()


# --- overlay -------------------------------------------------------------------------------------


def test_overlay_colours_by_hand() -> None:
    image, face = drawn_face()
    got = Overlay(opacity=1, boxes=False, points=False)(image, [face])
    for part in ("skin", "hair", "left_eye"):
        color = face.label_set.colors[face.label_set.id(part)]
        assert (got[face.mask(part)] == color).all()
    assert np.array_equal(got[~face.mask()], image[~face.mask()])


def test_overlay_mixes_half_and_half() -> None:
    image, face = drawn_face()
    got = Overlay(boxes=False, points=False)(image, [face]).astype(int)
    color = np.array(face.label_set.colors[face.label_set.id("hair")])
    hair = face.mask("hair")
    assert np.abs(got[hair] - (image[hair] + color) / 2).max() <= 0.5


def test_overlay_leaves_unknown_labels_alone() -> None:
    image = np.full((20, 20, 3), 99, np.uint8)
    face = face_of(
        image, np.full((20, 20), 255, np.uint8), Head((2, 2, 18, 18), 0.9, Head.no_points())
    )
    assert np.array_equal(Overlay(boxes=False)(image, [face]), image)


def test_box_lies_on_the_outermost_pixels_of_the_head() -> None:
    image = np.full((60, 80, 3), 99, np.uint8)
    face = face_of(
        image, np.zeros((60, 80), np.uint8), Head((20, 10, 60, 50), 0.9, Head.no_points())
    )
    got = Overlay()(image, [face])
    yellow = (got == (255, 214, 0)).all(axis=2)
    rows, columns = np.nonzero(yellow)
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (20, 10, 59, 49)
    assert yellow[10, 20:60].all()
    assert not yellow[11:49, 21:59].any()


@pytest.mark.parametrize(("side_px", "line_px"), [(200, 1), (1400, 4), (3000, 9)])
def test_lines_scale_with_the_picture(side_px: int, line_px: int) -> None:
    image = np.full((side_px, side_px, 3), 99, np.uint8)
    quarter = side_px / 4
    head = Head((quarter, quarter, 3 * quarter, 3 * quarter), 0.9, Head.no_points())
    face = face_of(image, np.zeros((side_px, side_px), np.uint8), head)
    row = Overlay()(image, [face])[side_px // 2]
    yellow = np.flatnonzero((row == (255, 214, 0)).all(axis=1))
    assert np.count_nonzero(yellow < side_px // 2) == pytest.approx(line_px, abs=2)


def test_lines_do_not_hide_small_heads() -> None:
    image = np.full((1500, 1500, 3), 99, np.uint8)
    face = drawn_face((1500, 1500), (700, 700), (30, 40))[1]
    got = Overlay(opacity=0)(image, [face])
    changed = (got != 99).any(axis=2)[680:720, 685:715]
    assert changed.mean() < 0.35


def test_points_show_sides_by_colour() -> None:
    image, face = drawn_face()
    got = Overlay(opacity=0, boxes=False)(image, [face])
    for index, rgb in ((0, (255, 64, 64)), (1, (64, 160, 255)), (2, (255, 255, 255))):
        x, y, _ = face.head.points[index]
        assert tuple(got[int(y), int(x)]) == rgb


def test_points_far_outside_do_no_harm() -> None:
    image, face = drawn_face()
    points = Head.no_points()
    points[0] = (1e30, -1e30, 1)
    odd = replace(face, head=replace(face.head, points=points, box_xyxy=(-1e20, -1e20, 1e20, 1e20)))
    assert Overlay()(image, [odd]).shape == image.shape


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Cutout(what=""), UsageError, "what: got ''"),
        (lambda: Cutout(what="hed"), UnknownName, "no part named 'hed'"),
        (lambda: Cutout(feather=0.3), UsageError, "feather: got 0.3, wanted 0 to 0.2"),
        (lambda: Recolor(part=" "), UsageError, "part: got ' '"),
        (lambda: Recolor(color="redd"), UsageError, "color: got 'redd'"),
        (lambda: Recolor(amount=2), UsageError, "amount: got 2, wanted 0 to 1"),
        (lambda: Recolor(lightness=-1), UsageError, "lightness: got -1, wanted 0 to 1"),
        (lambda: Recolor(feather=-1), UsageError, "feather: got -1"),
        (lambda: Overlay(opacity=1.1), UsageError, "opacity: got 1.1, wanted 0 to 1"),
    ],
)
def test_bad_fields(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("effect", [Cutout(what="lips"), Recolor(part="lips")])
def test_label_set_without_the_part(effect: Cutout | Recolor) -> None:
    image, face = drawn_face(label_set=label_sets.LFW3)
    with pytest.raises(UnknownName, match="label set lfw3 has none of 'lips'"):
        effect(image, [face])
