"""Forest files: written and read back, walked like scikit-learn does, refused when damaged."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image as PilImage
from skimage.data import astronaut

from faceparts import labels
from faceparts.cli.main import main
from faceparts.errors import BadWeights, UsageError
from faceparts.parse import FaceParser
from faceparts.segment import _cleanup, _features, files, forest
from faceparts.segment._cleanup import Cleanup
from faceparts.segment._trees import Trees
from faceparts.segment.forest import Forest, Stage
from faceparts.types import ModelCard

CARD = ModelCard(
    name="tinyforest",
    task="segment",
    label_set="lfw3",
    input_px=32,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    margin=0.25,
    trained_on=("nothing",),
    license="Apache-2.0",
    data_license="none",
    commercial_ok=True,
    metrics={},
)
PARTS = ("background", "hair", "face")


def trees_of(*roots, kind="vote", feature, threshold, left, value, tree_part=(), baseline=()):
    return Trees(
        kind,
        np.array(roots, np.int32),
        np.array(feature, np.int16),
        np.array(threshold, np.float32),
        np.array(left, np.int32),
        np.array(value, np.float64 if kind == "boost" else np.float32),
        np.array(tree_part, np.int32),
        np.array(baseline, np.float64),
    )


def voting(**changed):
    """x > 2: left leaf (1, 0, 0); else y > 5 decides; the second tree is one leaf."""
    fields = {
        "feature": [0, -1, 1, -1, -1, -1],
        "threshold": [2, 0, 5, 0, 0, 0],
        "left": [1, 0, 3, 0, 0, 0],
        "value": [[1, 0, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]],
    }
    return trees_of(0, 5, **{**fields, **changed})


def boosting(**changed):
    fields = {
        "kind": "boost",
        "feature": [0, -1, -1, -1],
        "threshold": [2, 0, 0, 0],
        "left": [1, 0, 0, 0],
        "value": [1.0, -1.0, 0.5],
        "tree_part": [1, 2],
        "baseline": [0.0, 0.1, -1e4],
    }
    return trees_of(0, 3, **{**fields, **changed})


ROWS = np.float32([[2, 2.0001, 9, 3], [0, 5, 5.5, 4]])


def test_votes_are_the_mean_of_the_leaves() -> None:
    trees = voting()
    trees.check(2, 3)
    expected = [[0.5, 0, 0.5], [0, 0.5, 0.5], [0, 0.25, 0.75], [0, 0.5, 0.5]]
    assert_array_equal(trees.probs(ROWS), np.float32(expected))


def test_boosting_is_the_softmax_of_the_sums() -> None:
    trees = boosting()
    trees.check(2, 3)
    sums = np.array([[0, 1.1], [0, -0.9], [0, -0.9], [0, -0.9]])
    expected = np.exp(sums) / np.exp(sums).sum(axis=1, keepdims=True)
    got = trees.probs(ROWS)
    assert_allclose(got[:, :2], expected, atol=1e-7)
    assert_array_equal(got[:, 2], 0)


def test_a_deep_tree_ends() -> None:
    depth = 45
    feature = [0, -1] * depth + [-1]
    left = [i + 1 if f == 0 else 0 for i, f in enumerate(feature)]
    # right children are the next inner nodes: left leaf, then inner, so siblings lie together
    threshold = [i // 2 for i in range(len(feature))]
    value = np.eye(2)[np.arange(depth + 1) % 2]
    trees = trees_of(0, feature=feature, threshold=threshold, left=left, value=value)
    trees.check(1, 2)
    rows = np.arange(depth + 3, dtype=np.float32)[None] - 0.5
    expected = np.minimum(np.maximum(np.ceil(rows[0]), 0), depth).astype(int) % 2
    assert_array_equal(trees.probs(rows).argmax(axis=1), expected)


@pytest.mark.parametrize(
    ("trees", "columns", "message"),
    [
        (voting(), 1, "feature 1 is asked for, there are 1"),
        (voting(left=[1, 0, 2, 0, 0, 0]), 2, "a child lies before its parent"),
        (voting(left=[1, 0, 4, 0, 0, 0]), 2, "or in another tree"),
        (voting(left=[0, 0, 3, 0, 0, 0]), 2, "a child lies before its parent"),
        (voting(threshold=[2, 0, np.nan, 0, 0, 0]), 2, "threshold or value is not a number"),
        (voting(threshold=[2, 0, 5]), 2, r"threshold has shape \(3,\), wanted \(6,\)"),
        (voting(value=[[1, 0, 0]]), 2, r"value has shape \(1, 3\), wanted \(4, 3\)"),
        (voting(value=[[1, 0, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1]]), 2, "do not sum to 1"),
        (voting(baseline=[0.0]), 2, r"baseline has shape \(1,\), wanted \(0,\)"),
        (boosting(tree_part=[1, 3]), 2, "a tree speaks for part 3, there are 3"),
        (boosting(baseline=[0.0, np.inf, 0]), 2, "is not a number"),
        (replace(voting(), kind="guess"), 2, "trees of kind 'guess'; wanted 'vote' or 'boost'"),
        (replace(voting(), roots=np.int32([1, 5])), 2, "roots do not divide 6 nodes into trees"),
        (replace(voting(), roots=np.int32([0, 6])), 2, "roots do not divide"),
        (replace(voting(), roots=np.int32([])), 2, "roots do not divide"),
    ],
)
def test_trees_that_contradict_themselves_are_refused(trees, columns, message) -> None:
    with pytest.raises(ValueError, match=message):
        trees.check(columns, 3)


# --- forests ------------------------------------------------------------------------------------


def bright(limit: float, column: int = 0, parts=(0, 2)) -> Trees:
    """Grey above a limit is one part, below the other."""
    value = np.eye(3)[list(parts)]
    return trees_of(
        0, feature=[column, -1, -1], threshold=[limit, 0, 0], left=[1, 0, 0], value=value
    )


def tiny(**changed) -> Forest:
    stages = (Stage(("gray", "xy"), bright(0.5)),)
    return replace(Forest(CARD, PARTS, 16, stages), **changed)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "tiny.npz"
    path.write_bytes(forest.to_bytes(tiny()))
    return path


def test_a_file_brings_everything_back(tmp_path) -> None:
    stages = (
        Stage(("gray", "xy"), bright(0.5)),
        Stage(("gray", "probs:0"), boosting(feature=[2, -1, -1, -1])),
    )
    written = tiny(
        stages=stages,
        mirror=True,
        cleanup=Cleanup("guided", 3, 0.01),
        card=replace(CARD, label_set="me"),
    )
    path = tmp_path / "two.npz"
    path.write_bytes(forest.to_bytes(written))
    read = forest.read(path)
    assert forest.to_bytes(read) == path.read_bytes()
    assert (read.card, read.parts, read.work_px) == (written.card, PARTS, 16)
    assert (read.mirror, read.cleanup) == (True, written.cleanup)
    assert read.label_set == labels.make("me", *PARTS)
    image = np.ascontiguousarray(astronaut()[:40, :40])
    assert_array_equal(read.probs(image), written.probs(image))


def test_a_segmenter_of_crops(saved) -> None:
    segmenter = files.load(saved, threads=1)
    assert segmenter.label_set is labels.LFW3
    assert segmenter.card == CARD == files.read_card(saved)
    assert files.read_parts(saved) == ("hair", "face")
    crops = np.zeros((2, 32, 32, 3), np.uint8)
    crops[0, :, 16:] = 255
    crops.flags.writeable = False
    probs = segmenter.predict(crops)
    assert probs.shape == (2, 3, 32, 32)
    assert_allclose(probs.sum(axis=1), 1, atol=1e-6)
    assert_array_equal(probs[0, 2, :, [0, 14, 17, 31]].T[0], [0, 0, 1, 1])
    assert_array_equal(probs[1, 0], 1)
    assert segmenter.predict(crops[:0]).shape == (0, 3, 32, 32)


def test_threads_and_strips_change_nothing(monkeypatch) -> None:
    image = np.ascontiguousarray(astronaut()[:130, :140])
    one = tiny().probs(image)
    assert one.shape == (130, 140, 3)
    assert_array_equal(tiny().probs(image, threads=3), one)
    monkeypatch.setattr(_features, "MAX_BLOCK_VALUES", 5000)
    assert_array_equal(tiny().probs(image), one)


def test_a_further_stage_sees_the_one_before() -> None:
    """The second stage says hair where the first one says face, and nothing elsewhere."""
    second = Stage(("gray", "probs:0"), bright(0.5, column=3, parts=(0, 1)))
    image = np.zeros((16, 16, 3), np.uint8)
    image[:, 9:] = 200
    probs = tiny(stages=(*tiny().stages, second)).probs(image)
    assert_array_equal(probs.argmax(axis=2), np.where(np.arange(16) >= 9, 1, 0)[None].repeat(16, 0))


def test_the_mirror_image_counts_half() -> None:
    sides = ("background", "left_eye", "right_eye")
    card = replace(CARD, label_set="eyes")
    right = Stage(("xy",), bright(0.49, parts=(0, 2)))
    plain = tiny(stages=(right,), parts=sides, card=card)
    image = np.zeros((16, 16, 3), np.uint8)
    both = replace(plain, mirror=True).probs(image)
    assert_array_equal(plain.probs(image)[0, [0, 15]], [[1, 0, 0], [0, 0, 1]])
    assert_array_equal(both[0, [0, 15]], [[0.5, 0.5, 0], [0.5, 0, 0.5]])


def test_a_head_off_the_middle_is_mirrored_too() -> None:
    near = Stage(("head",), bright(0.1, column=0))
    plain = tiny(stages=(near,))
    image = np.zeros((16, 16, 3), np.uint8)
    one = plain.probs(image, head=(4.0, 8.0, 16.0))
    assert one[0, :, 2].tolist() == [0] * 6 + [1] * 10
    two = replace(plain, mirror=True).probs(image, head=(4.0, 8.0, 16.0))
    assert two[0, :, 2].tolist() == [0.5] * 2 + [0] * 4 + [0.5] * 10


# --- clean-up -----------------------------------------------------------------------------------


def test_the_guided_filter_follows_edges() -> None:
    image = np.zeros((24, 24, 3), np.uint8)
    image[:, 12:] = 255
    noisy = np.zeros((24, 24, 2), np.float32)
    noisy[:, :12, 0] = noisy[:, 12:, 1] = 1
    noisy[10, 4] = noisy[10, 4, ::-1]
    clean = Cleanup("guided", 2, 1e-4)(image, noisy)
    assert_allclose(clean.sum(axis=2), 1, atol=1e-6)
    assert_array_equal(clean.argmax(axis=2), (np.arange(24) >= 12)[None].repeat(24, 0))
    assert clean[5, 11, 0] > 0.95
    assert clean[5, 12, 1] > 0.95


def test_superpixels_share_their_mean() -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    image[:, 10:] = 200, 30, 30
    probs = np.random.default_rng(0).random((20, 20, 2)).astype(np.float32)
    probs /= probs.sum(axis=2, keepdims=True)
    segments = _cleanup.superpixels(image, 4)
    got = Cleanup("slic", segments=4)(image, probs)
    for number in np.unique(segments):
        inside = segments == number
        assert_allclose(
            got[inside], probs[inside].mean(axis=0)[None].repeat(inside.sum(), 0), atol=1e-5
        )
    assert len(np.unique(segments)) > 1


def test_superpixels_without_scikit_image(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "skimage.segmentation", None)
    with pytest.raises(UsageError, match=r"pip install 'faceparts\[train\]'"):
        _cleanup.superpixels(np.zeros((4, 4, 3), np.uint8), 2)


@pytest.mark.parametrize(
    ("cleanup", "message"),
    [
        (Cleanup("wipe"), "kind 'wipe'; wanted one of none, guided, slic"),
        (Cleanup("guided", 0), r"radius_px 0; wanted 1..64"),
        (Cleanup("guided", 2.5), r"radius_px 2.5; wanted 1..64"),
        (Cleanup("guided", 2, float("nan")), "softness nan; wanted"),
        (Cleanup("slic", segments=1), "segments 1; wanted 2"),
    ],
)
def test_a_wrong_cleanup_is_refused(cleanup, message) -> None:
    with pytest.raises(ValueError, match=message):
        cleanup.check()


# --- damaged files ------------------------------------------------------------------------------


def rewrite(path, **changed):
    """Replace arrays of a file; ``None`` takes one out, bytes go in as they are."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file) | changed
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            if isinstance(array, bytes):
                archive.writestr(f"{name}.npy", array)
            elif array is not None:
                member = io.BytesIO()
                np.lib.format.write_array(member, np.asarray(array), version=(1, 0))
                archive.writestr(f"{name}.npy", member.getvalue())
    path.write_bytes(buffer.getvalue())


def header(**changed):
    text = {
        "version": 1,
        "parts": PARTS,
        "work_px": 16,
        "mirror": False,
        "cleanup": {},
        "stages": [{"features": ["gray", "xy"], "kind": "vote"}],
    }
    return np.array(json.dumps(text | changed))


def array_header(shape):
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        member, {"descr": "<i4", "fortran_order": False, "shape": shape}
    )
    return member.getvalue()


STAGE = {"features": ["gray", "xy"], "kind": "vote"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"card": None}, "not a forest file: 'card' is missing"),
        ({"card": np.array("{}")}, "the card has no 'name'"),
        ({"forest": np.array("[")}, "not a usable forest file"),
        ({"forest": np.array("[]")}, "the header is not of version 1"),
        ({"forest": header(version=2)}, "the header is not of version 1"),
        ({"forest": header(parts=["background"])}, r"1 parts; wanted 2..250 names"),
        ({"forest": header(parts=["background", "x", "y"])}, "not those of label set 'lfw3'"),
        ({"forest": header(work_px=5)}, r"work_px 5; wanted 8..1024"),
        ({"forest": header(stages=[])}, r"0 stages; wanted 1..8"),
        ({"forest": header(stages=[STAGE, STAGE])}, "'s1_roots' is missing"),
        ({"forest": header(stages=[{**STAGE, "features": ["x"]}])}, "no family 'x'"),
        ({"forest": header(stages=[{**STAGE, "kind": "boost"}])}, "s0_value holds float32, wanted"),
        ({"forest": header(cleanup={"kind": "wipe"})}, "kind 'wipe'"),
        ({"s0_left": None}, "'s0_left' is missing"),
        ({"s0_left": np.zeros(3)}, "s0_left holds float64, wanted int32"),
        ({"s0_left": np.zeros((3, 1), np.int32)}, r"s0_left has shape \(3, 1\), wanted one row"),
        ({"s0_left": np.int32([0, 0, 0])}, "a child lies before its parent"),
        ({"s0_left": array_header((10**12,))}, r"\(1000000000000,\) int32 does not fit its"),
        ({"s0_left": b"\x93NUMPY\x02\x00"}, r"array format \(2, 0\), wanted \(1, 0\)"),
        ({"s0_left": b"nothing"}, "not a usable forest file"),
    ],
)
def test_damage_is_named_in_one_line(changed, message, saved) -> None:
    rewrite(saved, **changed)
    with pytest.raises(BadWeights, match=message) as error:
        forest.read(saved)
    assert str(error.value).startswith(str(saved))
    assert "\n" not in str(error.value)


def test_objects_are_never_unpickled(saved) -> None:
    member = io.BytesIO()
    np.lib.format.write_array(member, np.array([{}, 1], object), allow_pickle=True)
    rewrite(saved, s0_left=member.getvalue())
    with pytest.raises(BadWeights, match="not a plain array"):
        forest.read(saved)


def test_a_file_that_would_fill_the_memory_is_refused(saved, monkeypatch) -> None:
    monkeypatch.setattr(forest, "MAX_BYTES", 100)
    with pytest.raises(BadWeights, match="bytes unpacked, wanted at most 100"):
        forest.read(saved)


def test_a_forest_for_another_task_is_refused(tmp_path) -> None:
    path = tmp_path / "heads.npz"
    card = replace(CARD, task="detect", label_set="own")
    path.write_bytes(forest.to_bytes(tiny(card=card)))
    with pytest.raises(BadWeights, match="is a model for 'detect', wanted one for 'segment'"):
        forest.read(path)


def test_half_a_file_is_refused(saved) -> None:
    saved.write_bytes(saved.read_bytes()[:-200])
    with pytest.raises(BadWeights, match="not a usable forest file"):
        forest.read(saved)


def test_wrong_crops_and_options(saved) -> None:
    segmenter = files.load(saved)
    with pytest.raises(ValueError, match=r"wanted uint8 \(N, 32, 32, 3\)"):
        segmenter.predict(np.zeros((1, 16, 16, 3), np.uint8))
    with pytest.raises(UsageError, match="threads: got 0"):
        files.load(saved, threads=0)
    with pytest.raises(UsageError, match="a forest runs on the processor"):
        files.load(saved, device="cuda")
    with pytest.raises(BadWeights, match="no such weights file"):
        files.load(saved.with_name("none.npz"))


def test_files_open_nets_too(parser_file) -> None:
    assert files.load(parser_file, threads=1).card == files.read_card(parser_file)
    assert files.read_parts(parser_file) == ("hair", "face")
    assert files.read_parts("src/faceparts/models/headnet.onnx") == ()


def test_a_forest_parses_pictures_like_any_other_model(saved, tmp_path) -> None:
    parser = FaceParser("whole", saved, threads=1)
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, 20:] = 255
    (face,) = parser.parse(image)
    assert face.label_set is labels.LFW3
    mask = face.mask("face")
    assert mask[20, 25:38].all()
    assert not mask[:, :15].any()


def test_the_command_line_takes_a_forest(saved, tmp_path, capsys) -> None:
    photo = np.zeros((40, 40, 3), np.uint8)
    photo[:, 20:] = 255
    PilImage.fromarray(photo).save(tmp_path / "photo.png")
    own = tmp_path / "own.npz"
    own.write_bytes(forest.to_bytes(tiny(card=replace(CARD, label_set="mine"))))
    line = ["segment", str(tmp_path / "photo.png"), "-o", str(tmp_path / "out"), "--quiet"]
    for model in (saved, own):
        done = run([*line, "--detector", "whole", "--model", str(model), "--force"])
        assert done == 0, capsys.readouterr().err
    assert any(path.suffix == ".png" for path in (tmp_path / "out").rglob("*"))
    assert run(["models", str(own)]) == 0
    assert "hair, face" in capsys.readouterr().out


def run(line: list[str]) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["faceparts", *line])
        with pytest.raises(SystemExit) as end:
            main()
    return int(end.value.code or 0)
