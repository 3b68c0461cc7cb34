"""Which pixels get hidden: the rules of faceparts.effects._region, one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drawn import drawn_face, face_of, full_mask, small_face
from faceparts import labels as label_sets
from faceparts.effects import _region
from faceparts.effects._points import points_agree, seen_points
from faceparts.effects._region import hidden_region
from faceparts.errors import UsageError
from faceparts.types import Face, Head


def oval_centers(box: tuple[float, float, float, float], hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels whose centre lies in the ellipse of a box, computed pixel by pixel."""
    x0, y0, x1, y1 = box
    out = np.zeros(hw, bool)
    for r in range(hw[0]):
        for c in range(hw[1]):
            u = (c + 0.5 - (x0 + x1) / 2) / ((x1 - x0) / 2)
            v = (r + 0.5 - (y0 + y1) / 2) / ((y1 - y0) / 2)
            out[r, c] = u * u + v * v <= 1
    return out


def grown(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Brute force: pixels within a radius of any pixel of the mask."""
    rows, columns = np.nonzero(mask)
    r, c = np.mgrid[: mask.shape[0], : mask.shape[1]]
    d2 = (r[..., None] - rows) ** 2 + (c[..., None] - columns) ** 2
    return np.asarray((d2 <= radius * radius).any(axis=-1))


# --- rule 1: the mask, grown --------------------------------------------------------------------


def test_single_part_is_its_mask_grown_by_a_share_of_the_head() -> None:
    face = small_face(with_points=False)
    margin = 0.1
    wanted = grown(face.mask("nose"), margin * 24)
    assert np.array_equal(full_mask(face, what="nose", margin=margin), wanted)


def test_margin_scales_with_the_head() -> None:
    for scale in (1, 3):
        face = drawn_face(
            (40 * scale, 40 * scale),
            (20 * scale, 20 * scale),
            (18 * scale, 24 * scale),
            with_points=False,
        )[1]
        nose = face.mask("nose")
        rows = np.flatnonzero(full_mask(face, what="nose", margin=0.125).any(axis=1))
        own = np.flatnonzero(nose.any(axis=1))
        assert (own[0] - rows[0], rows[-1] - own[-1]) == (3 * scale, 3 * scale)


def test_mask_without_margin_is_the_mask() -> None:
    face = small_face(with_points=False)
    got = full_mask(face, what="upper_lip,lower_lip", margin=0.0)
    assert np.array_equal(got, face.mask("upper_lip", "lower_lip"))


# --- rule 2: never less than the oval -----------------------------------------------------------


def test_head_hides_the_whole_ellipse_of_the_box() -> None:
    face = small_face()
    oval = oval_centers(face.head.box_xyxy, (40, 40))
    assert full_mask(face, what="head", margin=0.0)[oval].all()


@pytest.mark.parametrize("margin", [0.0, 0.06, 0.25])
@pytest.mark.parametrize(("what", "times"), [("head", 2), ("face", 1), ("hair", 1)])
def test_ovals_grow_by_the_margin_where_the_face_is_not_seen(
    what: str, times: float, margin: float
) -> None:
    face = small_face(with_points=False)
    if what == "hair":
        bald = np.where(face.labels == face.label_set.id("hair"), 0, face.labels)
        face = replace(face, labels=bald.astype(np.uint8))
    x0, y0, x1, y1 = face.head.box_xyxy
    dx, dy = times * margin * (x1 - x0), times * margin * (y1 - y0)
    larger = oval_centers((x0 - dx, y0 - dy, x1 + dx, y1 + dy), face.source_hw)
    assert not (larger & ~full_mask(face, what=what, margin=margin)).any()


def test_the_oval_of_a_face_seen_from_the_front_does_not_grow() -> None:
    face = drawn_face()[1]
    assert _region.face_oval(face, 0.25).box_xyxy == _region.face_oval(face, 0).box_xyxy


def test_face_seen_from_the_front_leaves_the_top_of_the_hair() -> None:
    face = drawn_face()[1]
    x0, _, x1, y1 = face.head.box_xyxy
    # Eyes at 81.2, mouth corners at 117.2: 36 apart; 1.5 x 36 above the eyes is y = 27.2.
    assert _region.face_oval(face, 0.06).box_xyxy == pytest.approx((x0, 27.2, x1, y1))
    assert not full_mask(face, what="face")[21, 100]
    assert full_mask(face, what="head")[21, 100]


def test_face_oval_is_lowered_by_at_most_30_percent() -> None:
    face = drawn_face()[1]
    points = face.head.points.copy()
    points[:2, 1] = 110
    lowered = replace(face, head=replace(face.head, points=points))
    assert _region.face_oval(lowered, 0.06).box_xyxy[1] == pytest.approx(20 + 0.3 * 120)


def test_nose_alone_tells_where_the_mouth_would_be() -> None:
    face = drawn_face()[1]
    points = face.head.points.copy()
    points[5:] = np.nan
    only_nose = replace(face, head=replace(face.head, points=points))
    # Nose at 102.8: (102.8 - 81.2) / 0.6 = 36, as with the mouth.
    assert _region.face_oval(only_nose, 0.06).box_xyxy[1] == pytest.approx(27.2)


def hide_points(face: Face, *indexes: int) -> Face:
    points = face.head.points.copy()
    points[list(indexes)] = np.nan
    return replace(face, head=replace(face.head, points=points))


@pytest.mark.parametrize(
    "face",
    [
        drawn_face(with_points=False)[1],
        drawn_face(from_behind=True)[1],
        drawn_face(roll_deg=45)[1],
        drawn_face(roll_deg=180)[1],
        hide_points(drawn_face()[1], 0),
        hide_points(drawn_face()[1], 2, 5, 6),
    ],
    ids=["no points", "from behind", "tilted", "upside down", "one eye", "eyes only"],
)
def test_face_in_doubt_hides_the_ellipse_of_the_head(face: Face) -> None:
    assert _region.face_oval(face, 0).box_xyxy == face.head.box_xyxy
    oval = oval_centers(face.head.box_xyxy, face.source_hw)
    assert full_mask(face, what="face")[oval].all()


def test_parts_that_leave_the_oval_are_hidden_too() -> None:
    image, face = drawn_face((40, 40), (20, 20), (18, 24))
    labels = np.zeros((40, 40), np.uint8)
    labels[face.mask()] = label_sets.CELEBA19.id("skin")
    labels[30:34, 5:9] = label_sets.CELEBA19.id("skin")
    odd = face_of(image, labels, face.head)
    assert full_mask(odd, what="face", margin=0.0)[30:34, 5:9].all()


def test_oval_reaches_beyond_the_face_window() -> None:
    face = small_face()
    x0, y0, x1, y1 = 14, 14, 26, 26
    wx0, wy0, _, _ = face.window_xyxy
    cut = (slice(y0 - wy0, y1 - wy0), slice(x0 - wx0, x1 - wx0))
    tight = replace(
        face,
        labels=face.labels[cut],
        confidence=face.confidence[cut],
        window_xyxy=(x0, y0, x1, y1),
    )
    oval = oval_centers(face.head.box_xyxy, (40, 40))
    assert full_mask(tight, what="head")[oval].all()
    assert full_mask(tight, what="head")[9, 20]


# --- rule 3: points ------------------------------------------------------------------------------


def test_eyes_are_a_band_from_eye_to_eye() -> None:
    face = drawn_face()[1]
    got = full_mask(face, what="eyes")
    (rx, ry, _), (lx, _, _) = face.head.points[:2]
    assert got[int(ry), int(rx) : int(lx) + 1].all()
    assert got[int(ry), int((rx + lx) / 2)]
    assert not got[int(face.head.points[5, 1])].any()
    assert np.count_nonzero(got) < 0.25 * np.count_nonzero(full_mask(face, what="face"))


def test_one_seen_eye_is_a_disk() -> None:
    face = hide_points(drawn_face(label_set=label_sets.LFW3)[1], 1)
    got = full_mask(face, what="eyes")
    rows, columns = np.nonzero(got)
    x, y, _ = face.head.points[0]
    assert np.hypot(columns + 0.5 - x, rows + 0.5 - y).max() <= 0.14 * 120 + 1
    assert np.count_nonzero(got) == pytest.approx(np.pi * (0.14 * 120 + 0.7) ** 2, rel=0.05)


@pytest.mark.parametrize("score_or_place", ["low score", "far away"])
def test_points_that_cannot_be_trusted_do_not_count(score_or_place: str) -> None:
    face = drawn_face()[1]
    points = face.head.points.copy()
    if score_or_place == "low score":
        points[:, 2] = 0.4
    else:
        points[:, 0] += 500
    doubtful = replace(face, head=replace(face.head, points=points))
    assert seen_points(doubtful) == {}


def with_points_of(face: Face, other: Face) -> Face:
    return replace(face, head=replace(face.head, points=other.head.points))


UPSIDE_DOWN = with_points_of(drawn_face(roll_deg=180)[1], drawn_face()[1])
"""Stands on its head, and the detector puts its points upright."""


def without(face: Face, *parts: str) -> Face:
    """The parser took these parts for skin."""
    labels = face.labels.copy()
    labels[face.window_mask(*parts)] = face.label_set.id("skin")
    return replace(face, labels=labels)


@pytest.mark.parametrize("roll_deg", [0, 30, 90, 180])
def test_right_points_agree_with_the_parts(roll_deg: float) -> None:
    face = drawn_face(roll_deg=roll_deg)[1]
    assert points_agree(face)
    assert points_agree(hide_points(face, 5)) and points_agree(hide_points(face, 2, 5, 6))
    assert points_agree(drawn_face(roll_deg=roll_deg, with_points=False)[1])


@pytest.mark.parametrize(
    ("face", "agree"),
    [
        (UPSIDE_DOWN, False),
        (hide_points(UPSIDE_DOWN, 2), False),
        (hide_points(UPSIDE_DOWN, 5, 6), False),
        (hide_points(UPSIDE_DOWN, 2, 5, 6), True),
        (without(drawn_face()[1], "nose"), False),
        (without(drawn_face()[1], "mouth", "upper_lip", "lower_lip"), False),
        (without(drawn_face()[1], "mouth", "upper_lip"), True),
        (
            with_points_of(drawn_face(roll_deg=180, label_set=label_sets.LFW3)[1], drawn_face()[1]),
            True,
        ),
    ],
    ids=["turned", "mouth", "nose", "eyes", "no nose", "no lips", "one lip", "no such parts"],
)
def test_points_elsewhere_than_the_parts(face: Face, agree: bool) -> None:
    assert points_agree(face) is agree


@pytest.mark.parametrize("what", ["lips", "mouth", "nose", "right_eye", "left_ear"])
def test_points_in_doubt_hide_the_oval_too(what: str) -> None:
    oval = oval_centers(UPSIDE_DOWN.head.box_xyxy, UPSIDE_DOWN.source_hw)
    got = full_mask(UPSIDE_DOWN, what=what)
    parts = ("upper_lip", "lower_lip") if what == "lips" else (what,)
    assert got[oval].all() and got[UPSIDE_DOWN.mask(*parts)].all()
    right = full_mask(drawn_face(roll_deg=180)[1], what=what)
    assert np.count_nonzero(right) < 0.3 * np.count_nonzero(got)


def test_the_oval_of_a_face_with_points_in_doubt_is_not_lowered() -> None:
    box = UPSIDE_DOWN.head.box_xyxy
    assert _region.face_oval(drawn_face()[1], 0.06).box_xyxy[1] > box[1]
    assert _region.face_oval(UPSIDE_DOWN, 0.06).box_xyxy[1] < box[1]
    assert full_mask(UPSIDE_DOWN, what="face")[oval_centers(box, UPSIDE_DOWN.source_hw)].all()


def test_eyes_lie_in_the_middle_whichever_way_a_head_stands() -> None:
    got = full_mask(UPSIDE_DOWN, what="eyes")
    assert got[UPSIDE_DOWN.mask("left_eye", "right_eye")].all()
    assert np.count_nonzero(got) < 0.3 * np.count_nonzero(full_mask(UPSIDE_DOWN, what="face"))


# --- rule 4: nothing found -----------------------------------------------------------------------


@pytest.mark.parametrize("what", ["eyes", "nose", "left_brow", "lips", "mouth", "skin"])
def test_part_that_was_not_found_hides_the_oval(what: str) -> None:
    face = drawn_face(from_behind=True)[1]
    oval = oval_centers(face.head.box_xyxy, face.source_hw)
    assert full_mask(face, what=what)[oval].all()


def test_hair_that_was_not_found_hides_the_head_oval() -> None:
    image, face = drawn_face((40, 40), (20, 20), (18, 24))
    labels = np.where(face.mask(), label_sets.CELEBA19.id("skin"), 0).astype(np.uint8)
    bald = face_of(image, labels, face.head)
    assert full_mask(bald, what="hair")[oval_centers(face.head.box_xyxy, (40, 40))].all()


@pytest.mark.parametrize("what", ["glasses", "hat", "necklace", "clothes", "earring"])
def test_things_that_a_head_need_not_have_may_be_absent(what: str) -> None:
    assert not full_mask(drawn_face()[1], what=what).any()


def test_ears_under_hair_hide_nothing_unless_a_point_was_seen() -> None:
    face = drawn_face(from_behind=True)[1]
    assert not full_mask(face, what="ears").any()
    points = Head.no_points()
    points[3] = (90, 80, 0.8)
    seen = replace(face, head=replace(face.head, points=points))
    assert full_mask(seen, what="ears")[80, 90]


def test_a_speck_is_not_a_find() -> None:
    image, face = drawn_face((400, 400), (200, 200), (180, 240), from_behind=True)
    labels = face.mask().astype(np.uint8) * np.uint8(label_sets.CELEBA19.id("hair"))
    labels[200, 200] = label_sets.CELEBA19.id("nose")
    speck = face_of(image, labels, face.head)
    assert np.count_nonzero(full_mask(speck, what="nose")) > 0.7 * 180 * 240


# --- rule 5: unsure parser -----------------------------------------------------------------------


def test_sure_of_a_drawn_face() -> None:
    assert _region.is_parser_sure(drawn_face()[1])


def unsure_faces() -> list[Face]:
    image, face = drawn_face((60, 60), (30, 30), (30, 40))
    labels = np.zeros((60, 60), np.uint8)
    nothing = face_of(image, labels, face.head)
    labels[28:32, 25:35] = label_sets.CELEBA19.id("skin")
    little = face_of(image, labels, face.head)
    only_clothes = np.full((60, 60), label_sets.CELEBA19.id("clothes"), np.uint8)
    undefined = np.full((60, 60), np.nan, np.float32)
    return [
        face_of(image, face.mask().astype(np.uint8), face.head, 0.59),
        nothing,
        little,
        face_of(image, only_clothes, face.head),
        face_of(image, face.mask().astype(np.uint8), face.head, undefined),
    ]


@pytest.mark.parametrize(
    "face", unsure_faces(), ids=["confidence", "nothing", "little", "clothes", "nan"]
)
@pytest.mark.parametrize("what", ["face", "head", "eyes", "nose", "glasses"])
def test_unsure_parser_hides_a_larger_oval_whatever_was_asked(face: Face, what: str) -> None:
    assert not _region.is_parser_sure(face)
    # 30 x 40 around (30, 30), 1.3 x as large.
    larger = oval_centers((10.5, 4, 49.5, 56), (60, 60))
    assert full_mask(face, what=what, keep="skin")[larger].all()


def test_thresholds_of_the_unsure_parser() -> None:
    image, face = drawn_face((60, 60), (30, 30), (20, 40))
    x0, y0, x1, y1 = (int(v) for v in face.head.box_xyxy)
    labels = np.zeros((60, 60), np.uint8)
    labels[y0 : y0 + 6, x0:x1] = 1  # 6 of 40 rows: 15 %
    assert _region.is_parser_sure(face_of(image, labels, face.head, 0.6001))
    labels[y0 + 5, x0] = 0
    assert not _region.is_parser_sure(face_of(image, labels, face.head, 0.6001))
    assert (x1 - x0, y1 - y0) == (20, 40)


def test_share_is_measured_inside_the_picture() -> None:
    face = drawn_face((160, 200), (-20, 80), (90, 120))[1]
    assert _region.is_parser_sure(face)


# --- rule 6: holes -------------------------------------------------------------------------------


def ring(hole: slice) -> Face:
    """A face whose skin lies around pixels that the parser missed, below the oval."""
    image, face = drawn_face((60, 60), (30, 20), (24, 30), with_points=False)
    labels = np.zeros((60, 60), np.uint8)
    labels[10:50, 20:40] = label_sets.CELEBA19.id("skin")
    labels[37:41, hole] = 0
    return face_of(image, labels, face.head)


def test_what_a_face_encloses_is_hidden() -> None:
    for what, hidden in (("face", True), ("head", True), ("skin", False)):
        assert full_mask(ring(slice(27, 33)), what=what, margin=0)[37:41, 27:33].all() == hidden
    open_bay = full_mask(ring(slice(27, 40)), what="face", margin=0)[37:41]
    assert not open_bay[:, 27:].any()
    assert open_bay[:, 20:27].all()


# --- rule 7: keep --------------------------------------------------------------------------------


def test_keep_spares_the_inner_part() -> None:
    face = drawn_face()[1]
    hidden = full_mask(face, what="head", keep="hair")
    hair = face.mask("hair")
    inner = ~grown_fast(~hair, 1.2)
    assert np.array_equal(~hidden[hair], inner[hair])
    assert hidden[face.mask("skin")].all()


@pytest.mark.parametrize(
    ("what", "keep"), [("face", "face"), ("face", "head"), ("hair,hat", "hat,hair,skin")]
)
def test_keep_must_leave_something_to_hide(what: str, keep: str) -> None:
    with pytest.raises(UsageError, match=rf"keep: .* spares all that what={what} hides; keep less"):
        full_mask(drawn_face()[1], what=what, keep=keep)


def grown_fast(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """`grown` for a radius below 2, by shifting."""
    out = mask.copy()
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if dx * dx + dy * dy <= radius * radius:
                out |= np.roll(mask, (dy, dx), axis=(0, 1))
    return out


def test_what_is_kept_casts_no_shadow() -> None:
    image, face = drawn_face((60, 60), (30, 30), (20, 24))
    labels = np.zeros((60, 60), np.uint8)
    labels[face.mask("hair")] = label_sets.CELEBA19.id("hair")
    labels[face.mask("skin")] = label_sets.CELEBA19.id("skin")
    labels[25:40, 44:47] = label_sets.CELEBA19.id("hair")  # a strand outside the oval
    strand = face_of(image, labels, face.head)
    assert full_mask(strand, what="head", margin=0.05)[25:40, 43:48].all()
    kept = full_mask(strand, what="head", keep="hair", margin=0.05)
    rim = np.ones((15, 3), bool)
    rim[1:-1, 1] = False
    assert np.array_equal(kept[25:40, 44:47], rim)
    assert not kept[25:40, 43].any()
    assert not kept[25:40, 47].any()


def in_glasses(*, dark: bool) -> Face:
    """A face with glasses that reach the ears; through dark ones the parser sees no eyes."""
    face = drawn_face()[1]
    labels = face.labels.copy()
    eyes = face.window_mask("right_eye", "left_eye")
    glasses = grown(eyes, 8)
    row = int(face.head.points[0, 1]) - face.window_xyxy[1]
    glasses[row - 4 : row + 5] |= labels[row - 4 : row + 5] != 0
    labels[glasses if dark else glasses & ~eyes] = face.label_set.id("glasses")
    return replace(face, labels=labels)


def eye_band(face: Face) -> NDArray[np.bool_]:
    """Pixels within 0.4 x their distance of the line between the eyes, computed pixel by pixel."""
    (rx, ry, _), (lx, _, _) = face.head.points[:2]
    y, x = np.mgrid[: face.source_hw[0], : face.source_hw[1]] + 0.5
    away = np.hypot(x - np.clip(x, rx, lx), y - ry)
    return np.asarray(away <= max(0.4 * (lx - rx), 0.14 * 120))


@pytest.mark.parametrize("what", ["face", "head", "eyes", "right_eye", "left_eye,nose"])
def test_eyes_behind_glasses_that_are_kept_are_hidden_with_a_band(what: str) -> None:
    face = in_glasses(dark=False)
    got = full_mask(face, what=what, keep="glasses")
    band = eye_band(face)
    assert got[band].all()
    spared = face.mask("glasses") & ~band
    assert not got[spared & ~grown(band, 3)].all()


@pytest.mark.parametrize(
    ("face", "what"), [(in_glasses(dark=True), "face"), (in_glasses(dark=False), "skin")]
)
def test_dark_glasses_and_those_before_eyes_that_may_be_seen_are_kept(
    face: Face, what: str
) -> None:
    glasses = face.mask("glasses")
    assert np.count_nonzero(~full_mask(face, what=what, keep="glasses")[glasses]) > 0.4 * np.sum(
        glasses
    )


def test_keep_does_not_spare_the_rim_of_the_face_window() -> None:
    image, face = drawn_face((40, 40), (20, 20), (20, 20))
    hair = np.full((40, 40), label_sets.CELEBA19.id("hair"), np.uint8)
    full = face_of(image, hair, face.head)
    tight = replace(
        full,
        labels=full.labels[5:25, 5:25],
        confidence=full.confidence[5:25, 5:25],
        window_xyxy=(10, 10, 30, 30),
    )
    hidden = full_mask(tight, what="head", keep="hair", margin=0)
    inner = np.zeros((40, 40), bool)
    inner[11:29, 11:29] = True
    assert not hidden[inner].any()
    assert hidden[10, 10:30].all()
    assert hidden[10:30, 29].all()


def test_keep_does_not_spare_where_the_parser_doubts() -> None:
    image, face = drawn_face()
    doubt = np.full((160, 200), 0.95, np.float32)
    doubt[:, :100] = 0.5
    labels = np.zeros((160, 200), np.uint8)
    labels[face.mask("hair")] = label_sets.CELEBA19.id("hair")
    labels[face.mask("skin")] = label_sets.CELEBA19.id("skin")
    hidden = full_mask(face_of(image, labels, face.head, doubt), what="head", keep="hair")
    assert hidden[:, :100][labels[:, :100] == label_sets.CELEBA19.id("hair")].all()
    assert not hidden[:, 100:][labels[:, 100:] == label_sets.CELEBA19.id("hair")].all()


# --- everywhere ----------------------------------------------------------------------------------


def test_head_outside_the_picture_is_nothing() -> None:
    face = drawn_face((50, 50), (-200, 20), (40, 50))[1]
    assert hidden_region(face, what="head")[0] == (0, 0, 0, 0)


def test_head_box_without_area() -> None:
    face = drawn_face()[1]
    flat = replace(face, head=replace(face.head, box_xyxy=(10, 10, 10, 40)))
    with pytest.raises(ValueError, match=r"head box has no area: \(10.0, 10.0, 10.0, 40.0\)"):
        hidden_region(flat)


def test_window_is_tight() -> None:
    face = drawn_face((1000, 1000), (500, 500), (40, 60))[1]
    x0, y0, x1, y1 = hidden_region(face, what="head")[0]
    assert x1 - x0 <= 1.3 * 60
    assert y1 - y0 <= 1.3 * 60


heads = st.builds(
    drawn_face,
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.tuples(st.floats(-20, 80), st.floats(-20, 80)),
    st.tuples(st.floats(3, 60), st.floats(3, 60)),
    roll_deg=st.floats(-180, 180),
    confidence=st.floats(0.3, 1),
    from_behind=st.booleans(),
    with_points=st.booleans(),
    label_set=st.sampled_from([label_sets.get(n) for n in label_sets.names()]),
    crop_px=st.just(8),
)


@settings(max_examples=60, deadline=None)
@given(heads, st.sampled_from(["face", "head"]), st.floats(0, 0.3))
def test_part_mask_and_oval_are_always_hidden(
    drawn: tuple[NDArray[np.uint8], Face], what: str, margin: float
) -> None:
    face = drawn[1]
    got = full_mask(face, what=what, margin=margin)
    parts = tuple(p for p in label_sets.GROUPS[what] if p in face.label_set.parts)
    assert got[_as_full(face, parts)].all()
    least = face.head.box_xyxy if what == "head" else _region.face_oval(face, margin).box_xyxy
    assert got[oval_centers(least, face.source_hw)].all()


def _as_full(face: Face, parts: tuple[str, ...]) -> NDArray[np.bool_]:
    return face.mask(*parts) if parts else np.zeros(face.source_hw, bool)
