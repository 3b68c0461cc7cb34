"""Features of part maps and the trees that tell yaw and pitch from them."""

from __future__ import annotations

import math
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drawn import drawn_face
from faceparts import _headpose, _layout, labels
from faceparts._headpose import KNOTS_DEG, PoseModel, Svr, Trees
from faceparts.errors import BadWeights

NAMES = _layout.column_names()
SKIN, NOSE, MOUTH, RIGHT_EYE, LEFT_EYE, HAIR, NONE = 0, 1, 2, 3, 4, 9, 10


def value(features: np.ndarray, name: str) -> float:
    return float(features[NAMES.index(name)]) / _layout.SCALE


def block_map() -> np.ndarray:
    """Hair 40 x 20 above skin 40 x 20; a nose of 4 x 5 in its left half."""
    ids = np.full((60, 80), NONE, np.uint8)
    ids[10:30, 20:60] = HAIR
    ids[30:50, 20:60] = SKIN
    ids[38:43, 24:28] = NOSE
    return ids


def test_features_of_a_map_by_hand() -> None:
    seen = _layout.describe(block_map())
    assert seen is not None
    assert seen.dtype == np.int16
    assert seen.shape == (len(NAMES),)
    unit = math.sqrt(1600)
    # 1 % of 1600 pixels is less than one column of 40: the ends lie inside the first and the last.
    assert value(seen, "aspect") == pytest.approx(1.0, abs=0.01)
    assert value(seen, "face_share") == pytest.approx(0.5, abs=1e-3)
    assert value(seen, "nose_size") == pytest.approx(math.sqrt(20) / unit, abs=1e-3)
    assert value(seen, "nose_x") == pytest.approx((26 - 40) / unit, abs=1e-3)
    assert value(seen, "nose_y") == pytest.approx((40.5 - 30) / unit, abs=1e-3)
    assert value(seen, "hair_y") == pytest.approx(-10 / unit, abs=1e-3)
    assert value(seen, "left_eye_size") == 0
    assert value(seen, "nose-face_x") == pytest.approx(-14 / unit, abs=1e-3)
    # Eight equal columns of the head, each with 20 x 5 pixels of face; edges are 1 % inside.
    face = [value(seen, f"column{i}_face") for i in range(8)]
    assert face == pytest.approx([1 / 16] * 8, abs=3e-3)
    assert sum(value(seen, f"column{i}_nose") for i in range(8)) == pytest.approx(
        20 / 1600, abs=3e-3
    )
    assert value(seen, "row3_face_right") == pytest.approx(-0.47, abs=0.02)
    assert value(seen, "row3_face_left") == pytest.approx(0.47, abs=0.02)


def turned_map() -> np.ndarray:
    """Eyes, nose and mouth on skin; from the eyes to the mouth 20 rows, the nose 4 columns off."""
    ids = np.full((80, 80), NONE, np.uint8)
    ids[10:30, 20:60] = HAIR
    ids[30:70, 20:60] = SKIN
    ids[38:42, 30:34] = RIGHT_EYE
    ids[38:42, 46:50] = LEFT_EYE
    ids[48:52, 34:38] = NOSE
    ids[58:62, 35:45] = MOUTH
    return ids


def test_the_face_in_its_own_unit_by_hand() -> None:
    seen = _layout.describe(turned_map())
    assert seen is not None
    root, head = math.sqrt(1600), math.sqrt(2400)
    assert value(seen, "inner_known") == 1
    assert value(seen, "inner_unit") == pytest.approx(20 / head, abs=1e-3)
    assert value(seen, "inner_unit_of_face") == pytest.approx(20 / root, abs=1e-3)
    assert value(seen, "inner_tall") == pytest.approx(40 / 20, abs=0.05)
    # Eyes and mouth lie at x = 40, the nose at 36, half way down.
    assert value(seen, "nose_off_axis") == pytest.approx(-4 / 20, abs=1e-3)
    assert value(seen, "nose_along_axis") == pytest.approx(0.5, abs=1e-3)
    assert value(seen, "mouth_to_nose_x") == pytest.approx(4 / 20, abs=1e-3)
    assert value(seen, "left_eye_to_nose_x") == pytest.approx(12 / 20, abs=1e-3)
    assert value(seen, "right_eye_to_nose_y") == pytest.approx(-10 / 20, abs=1e-3)
    assert value(seen, "mouth_to_nose_low") == pytest.approx(-0.7 / 20, abs=2e-3)
    assert value(seen, "mouth_to_nose_high") == pytest.approx(8.7 / 20, abs=2e-3)
    assert value(seen, "nose_in_units") == pytest.approx(4 / 20, abs=1e-3)
    assert value(seen, "right_ear_to_nose_x") == 0
    assert value(seen, "at_nose_right") == pytest.approx((21.2 - 36) / 20, abs=3e-3)
    assert value(seen, "at_nose_head_left") == pytest.approx((59.2 - 36) / 20, abs=3e-3)
    assert value(seen, "at_mouth_nose") == pytest.approx((36 - 21.2) / 37.6, abs=3e-3)
    assert value(seen, "eyes_across_face") == pytest.approx(0.5, abs=1e-3)
    assert value(seen, "face_balance") == pytest.approx((2 * 16 * 40 - 1600) / 1600, abs=1e-3)
    assert value(seen, "hair_balance") == pytest.approx(2 * 16 / 40 - 1, abs=1e-3)
    assert value(seen, "eye_balance") == 0
    assert value(seen, "nose_lean") == 0


def test_a_face_without_eyes_has_the_usual_unit() -> None:
    seen = _layout.describe(block_map())
    assert seen is not None
    # Without eyes and mouth the unit is the usual share of the root of the face's 800 pixels.
    unit = 0.45 * math.sqrt(800)
    assert value(seen, "inner_known") == 0
    assert value(seen, "inner_unit_of_face") == pytest.approx(0.45, abs=1e-3)
    assert value(seen, "inner_unit") == pytest.approx(unit / 40, abs=1e-3)
    assert value(seen, "nose_in_units") == pytest.approx(math.sqrt(20) / unit, abs=1e-3)
    assert value(seen, "nose_to_nose_x") == 0
    assert value(seen, "nose_off_axis") == 0
    assert value(seen, "face_to_nose_x") == pytest.approx((40 - 26) / unit, abs=1e-3)
    assert value(seen, "hair_to_nose_y") == pytest.approx((20 - 40.5) / unit, abs=1e-3)
    assert value(seen, "hair_to_nose_low") == pytest.approx((21.2 - 26) / unit, abs=2e-3)
    assert value(seen, "left_eye_in_units") == 0
    assert value(seen, "eyes_across_face") == 0.5
    assert value(seen, "face_balance") == pytest.approx(2 * 6 / 40 - 1, abs=1e-3)


def test_every_feature_has_its_own_name() -> None:
    assert len(set(NAMES)) == len(NAMES)


def test_too_little_head_or_face() -> None:
    assert _layout.describe(np.full((60, 80), NONE, np.uint8)) is None
    assert _layout.describe(np.where(block_map() == HAIR, HAIR, NONE).astype(np.uint8)) is None
    small = np.full((60, 80), NONE, np.uint8)
    small[:10, :10] = SKIN
    assert _layout.describe(small) is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("celeba19", "sided"),
        ("bisenet19", "sided"),
        ("facesynthetics19", "sided"),
        ("lapa11", "plain"),
        ("fasseg6", "plain"),
        ("nprportrait15", "plain"),
        ("lfw3", None),
        ("face2", None),
        ("easyportrait9", None),
    ],
)
def test_what_a_label_set_lets_one_see(name: str, kind: str | None) -> None:
    assert _layout.kind_of(labels.get(name)) == kind


def test_sides_are_exchanged_in_the_mirror() -> None:
    ids = np.zeros((1, 3), np.uint8)
    ids[0, 0] = labels.CELEBA19.id("right_eye")
    ids[0, 1] = labels.CELEBA19.id("left_brow")
    first, second = _layout.group_ids(ids, labels.CELEBA19, "sided")
    groups = list(_layout.GROUPS)
    assert first.tolist() == [[groups.index("right_eye"), groups.index("left_brow"), NONE]]
    assert second.tolist() == [[NONE, groups.index("right_brow"), groups.index("left_eye")]]
    plain, _ = _layout.group_ids(ids, labels.CELEBA19, "plain")
    assert plain.tolist() == [[groups.index("right_eye"), SKIN, NONE]]


def test_large_maps_are_thinned() -> None:
    ids = np.zeros((960, 640), np.uint8)
    assert _layout.group_ids(ids, labels.CELEBA19, "sided")[0].shape == (240, 160)


@settings(max_examples=25, deadline=None)
@given(
    st.floats(-40, 40),
    st.tuples(st.floats(40, 120), st.floats(50, 140)),
    st.sampled_from(["sided", "plain"]),
)
def test_a_mirrored_map_has_the_features_of_the_mirror(roll_deg, size_wh, kind) -> None:
    ids = drawn_face(size_wh=size_wh, roll_deg=roll_deg)[1].labels
    mirror = np.array(labels.CELEBA19.mirror, np.uint8)
    one = _layout.see(ids, labels.CELEBA19, kind)
    other = _layout.see(np.ascontiguousarray(mirror[ids[:, ::-1]]), labels.CELEBA19, kind)
    assert one is not None
    assert other is not None
    assert np.array_equal(one[0], other[1])
    assert np.array_equal(one[1], other[0])


def test_features_do_not_depend_on_scale_or_place() -> None:
    small = drawn_face((200, 200), (80, 90), (90, 120))[1].labels
    large = drawn_face((400, 400), (220, 210), (180, 240))[1].labels
    one = _layout.see(small, labels.CELEBA19, "sided")
    other = _layout.see(large, labels.CELEBA19, "sided")
    assert one is not None
    assert other is not None
    assert np.abs(one[0].astype(int) - other[0]).max() < 0.06 * _layout.SCALE


def test_tilted_heads_are_turned_back() -> None:
    groups = [
        _layout.upright(
            _layout.group_ids(drawn_face(roll_deg=r)[1].labels, labels.CELEBA19, "sided")[0]
        )
        for r in (_layout.FREE_TILT_DEG, 50.0)
    ]
    one, other = map(_layout.describe, groups)
    assert one is not None
    assert other is not None
    assert np.abs(one.astype(int) - other).max() < 0.1 * _layout.SCALE


def test_an_upright_head_is_left_as_it_is() -> None:
    ids = _layout.group_ids(drawn_face(roll_deg=10)[1].labels, labels.CELEBA19, "sided")[0]
    assert _layout.upright(ids) is ids
    assert _layout.upright(block_map()).tolist() == block_map().tolist()


# --- the trees and their file ---------------------------------------------------------------------


def stumps() -> Trees:
    """Two trees: feature 3 above 10 -> 40 degrees, else -8; and a leaf that says 4."""
    per = _headpose.PER_DEGREE
    return Trees(
        np.array([0, 3], np.int32),
        np.array([3, -1, -1, -1], np.int16),
        np.array([10, -8 * per, 40 * per, 4 * per], np.int16),
        np.array([1, 0, 0, 0], np.uint16),
    )


def model(**more: dict[str, Svr]) -> PoseModel:
    trees = {(k, a): stumps() for k in _headpose.KINDS for a in _headpose.ANGLES}
    knots = {k: np.arange(0, 91, 15, dtype=np.float32) for k in _headpose.KINDS}
    return PoseModel("a card", trees, knots, **more)


def features(third: int) -> np.ndarray:
    out = np.zeros(len(NAMES), np.int16)
    out[3] = third
    return out


def test_trees_by_hand() -> None:
    trees = stumps()
    trees.check(len(NAMES))
    assert trees.predict(features(10)) == (-8 + 4) / 2
    assert trees.predict(features(11)) == (40 + 4) / 2
    assert model().angles("sided", (features(11), features(0))) == (12, 10)
    assert model().angles("sided", (features(0), features(11))) == (-12, 10)


def test_knots_stretch_the_yaw_alone() -> None:
    knots = np.array([0, 6, 20, 30, 40, 50, 60], np.float32)
    stretched = PoseModel("", model().trees, {"plain": knots})
    yaw, pitch = stretched.angles("plain", (features(11), features(0)))
    assert yaw == pytest.approx(15 + 15 * 6 / 14)
    assert pitch == 10


def one_vector(share: float = 0.25) -> Svr:
    """Remembers feature 3 = 11, others 0: 80 degrees there and less around it, 8 far away."""
    spread = np.ones(len(NAMES), np.float32)
    spread[3] = 2
    return Svr(
        features(11)[None],
        np.array([72], np.float32),
        np.zeros(len(NAMES), np.float32),
        spread,
        np.array([0.5, 8, share], np.float32),
    )


def test_support_vectors_by_hand() -> None:
    svr = one_vector()
    svr.check(len(NAMES))
    told = svr.predict(np.stack([features(11), features(13), features(-99)]))
    assert told == pytest.approx([80, 8 + 72 * math.exp(-0.5), 8])
    knots = np.arange(0, 91, 15, dtype=np.float32)
    both = PoseModel("", model().trees, {"sided": knots}, {"sided": svr})
    yaw, _ = both.angles("sided", (features(11), features(-99)))
    assert yaw == pytest.approx(0.75 * 12 + 0.25 * 36)
    mirrored, _ = both.angles("sided", (features(-99), features(11)))
    assert mirrored == pytest.approx(-yaw)


def test_pitch_is_unknown_in_profile() -> None:
    knots = np.array([0, 1, 2, 3, 4, 5, 6], np.float32)
    yaw, pitch = PoseModel("", model().trees, {"sided": knots}).angles(
        "sided", (features(11), features(0))
    )
    assert yaw == 90
    assert math.isnan(pitch)


def test_a_file_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "pose.npz"
    path.write_bytes(_headpose.to_bytes(model(svrs={"plain": one_vector()})))
    back = _headpose.read(path)
    assert list(back.svrs) == ["plain"]
    assert back.svrs["plain"].predict(features(11)[None]) == pytest.approx([80])
    assert back.card == "a card"
    assert _headpose.to_bytes(back) == path.read_bytes()
    assert back.trees["plain", "pitch"].predict(features(11)) == 22


def changed(tmp_path: Path, **arrays: object) -> Path:
    path = tmp_path / "changed.npz"
    path.write_bytes(_headpose.to_bytes(model(svrs={"plain": one_vector()})))
    with np.load(path, allow_pickle=False) as file:
        kept = {name: file[name] for name in file.files}
    kept |= arrays
    np.savez(path, allow_pickle=False, **{k: v for k, v in kept.items() if v is not None})
    return path


I2, U2, I4 = np.int16, np.uint16, np.int32


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"card": None}, "not a head pose file: .*card.* is missing"),
        ({"columns": np.array(["a"])}, "made for other features than this program has"),
        ({"sided_yaw_left": np.zeros(4, np.int64)}, "sided_yaw_left holds int64"),
        ({"sided_yaw_left": np.zeros(3, U2)}, "arrays of different lengths"),
        ({"sided_yaw_left": np.array([0, 0, 0, 0], U2)}, "a child lies before its parent"),
        ({"sided_yaw_left": np.array([2, 0, 0, 0], U2)}, "or in another tree"),
        ({"plain_yaw_roots": np.array([1, 3], I4)}, "roots do not divide 4 nodes"),
        ({"plain_yaw_feature": np.array([999, -1, -1, -1], I2)}, "feature 999 is asked for"),
        ({"plain_knots": np.array([0, 1, 2, 3, 4, 5, 5.0], np.float32)}, "do not rise from 0"),
        ({"plain_knots": np.array([0, 1.0], np.float32)}, "do not rise from 0"),
        ({"plain_svr_weights": None}, "not a head pose file: .*plain_svr_weights.* is missing"),
        ({"plain_svr_weights": np.zeros(1)}, "plain_svr_weights holds float64; wanted float32"),
        ({"plain_svr_weights": np.zeros(2, np.float32)}, "support vectors of shapes"),
        ({"plain_svr_middle": np.zeros(3, np.float32)}, "support vectors of shapes"),
        ({"plain_svr_middle": np.full(len(NAMES), np.nan, np.float32)}, "not finite"),
        ({"plain_svr_spread": np.zeros(len(NAMES), np.float32)}, "features without spread"),
        ({"plain_svr_numbers": np.array([0, 0, 0.5], np.float32)}, "gamma, bias, share"),
        ({"plain_svr_numbers": np.array([1, 0, 1.5], np.float32)}, "gamma, bias, share"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, arrays, message: str) -> None:
    with pytest.raises(BadWeights, match=message):
        _headpose.read(changed(tmp_path, **arrays))


def test_files_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pose.npz"
    with pytest.raises(BadWeights, match=r"pose.npz: no such file, or it cannot be read"):
        _headpose.read(path)
    path.write_bytes(b"something else")
    with pytest.raises(
        BadWeights, match=r"pose.npz: not a usable head pose file: File is not a zip"
    ):
        _headpose.read(path)
    whole = bytearray(_headpose.to_bytes(model()))
    with zipfile.ZipFile(BytesIO(whole)) as archive:
        inside = archive.getinfo("columns.npy")
    whole[inside.header_offset + 60 + inside.compress_size // 2] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(BadWeights, match="not a usable head pose file"):
        _headpose.read(path)
    path.write_bytes(_headpose.to_bytes(model()))
    monkeypatch.setattr(_headpose, "MAX_FILE_BYTES", 100)
    with pytest.raises(BadWeights, match="bytes unpacked, wanted at most 100"):
        _headpose.read(path)


def test_the_shipped_file_is_small_and_sound() -> None:
    assert _headpose.MODEL.stat().st_size < 3_200_000
    shipped = _headpose.read(_headpose.MODEL)
    assert "FASSEG" in shipped.card
    assert len(KNOTS_DEG) == 7
