"""Pose models of every kind: tiny ONNX files with known outputs, and MoveNet-like TFLite."""

from __future__ import annotations

import math
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from faceparts.detect import _pose_card, _pose_run, keypoints
from faceparts.detect import _pose_models as models
from faceparts.detect._grouping import MissingExtra
from faceparts.detect._people import KEYPOINTS
from faceparts.detect._pose_card import PoseCard, guess_card, parse_card
from faceparts.detect._regions import body_around, cut, tiles, touches
from faceparts.errors import BadWeights, UsageError
from faceparts.types import POINTS, Head

KINDS = {np.float32: TensorProto.FLOAT, np.uint8: TensorProto.UINT8, np.int32: TensorProto.INT32}


def save(
    path: Path,
    shape: list[Any],
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    outputs: dict[str, list[Any]],
    dtype: Any = np.float32,
    card: str | None = None,
) -> Path:
    """Write an ONNX file with one input ``x``, and its card beside it."""
    graph = helper.make_graph(
        nodes,
        "pose",
        [helper.make_tensor_value_info("x", KINDS[dtype], shape)],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in outputs.items()],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    if card is not None:
        path.with_suffix(".toml").write_text(card)
    return path


def constant(
    path: Path, shape: list[Any], output: np.ndarray, dtype: Any = np.float32, card: str = ""
) -> Path:
    """A model that always answers the same, whatever it sees."""
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["f"], ["m"], keepdims=0),
        helper.make_node("Mul", ["m", "zero"], ["none"]),
        helper.make_node("Add", ["answer", "none"], ["y"]),
    ]
    constants = {"answer": output.astype(np.float32), "zero": np.zeros((), np.float32)}
    return save(path, shape, nodes, constants, {"y": list(output.shape)}, dtype, card or None)


# --- the card ---------------------------------------------------------------------------------


def test_a_card_is_read_and_defaults_are_filled_in() -> None:
    card = parse_card('kind = "top-down"\ninput_wh = [192, 256]\nmean = [1, 2.5, 3]', "a.toml")
    assert card == PoseCard("top-down", input_wh=(192, 256), mean=(1, 2.5, 3))
    assert card.keypoints == KEYPOINTS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind = ", r"a.toml: not TOML"),
        ("threshold = 0.5", r"the card has no 'kind'; wanted one of single-person, top-down"),
        ('kind = "hand"', r"kind: got 'hand', wanted one of single-person"),
        ('kind = "top-down"\nsize = 3', r"no key 'size'; there are: kind, name, input_wh"),
        ('kind = "top-down"\nstd = [1, 0, 1]', r"std: got \[1, 0, 1\], wanted three numbers above"),
        ('kind = "top-down"\nmean = [1, nan, 1]', r"mean: got .* wanted three numbers"),
        ('kind = "top-down"\npad = 300', r"pad: got 300, wanted a whole number 0..255"),
        ('kind = "top-down"\nthreshold = true', r"threshold: got True, wanted a number 0..1"),
        ('kind = "top-down"\ninput_wh = [192, 0]', r"got \[192, 0\], wanted both sides or none"),
        ('kind = "top-down"\nkeypoints = ["neck"]', r"keypoints: got \['neck'\], wanted different"),
        ('kind = "top-down"\nname = 3', r"name: got 3, wanted a text on one line"),
    ],
)
def test_wrong_cards_say_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(BadWeights, match=message):
        parse_card(text, "a.toml")


def test_cards_that_cannot_be_read(tmp_path: Path) -> None:
    model = tmp_path / "a.onnx"
    assert _pose_card.read_card(model) is None
    (tmp_path / "a.toml").write_bytes(b"\xff")
    with pytest.raises(BadWeights, match=r"a.toml: cannot be read as text"):
        _pose_card.read_card(model)
    (tmp_path / "a.toml").write_bytes(b"#" * 70_000)
    with pytest.raises(BadWeights, match=r"a.toml: larger than 65536 bytes"):
        _pose_card.read_card(model)


def test_shapes_tell_what_some_models_are() -> None:
    movenet = guess_card((1, 256, 256, 3), {"y": (1, 1, 17, 3)})
    assert movenet is not None and (movenet.kind, movenet.order) == ("single-person", "yxs")
    new = guess_card((1, 3, 640, 640), {"y": (1, 56, 8400)})
    old = guess_card((None, 3, None, None), {"y": (None, None, 57)})
    assert new is not None and (new.kind, new.rows) == ("yolo-pose", "box+score")
    assert old is not None and old.rows == "box+object+class"
    assert guess_card((1, 3, 256, 192), {"y": (1, 17, 64, 48)}) is None
    assert guess_card((1, 192, 192, 3), {"y": (1, 1, 17, 3), "z": (1,)}) is None


# --- single person ----------------------------------------------------------------------------


def movenet_answer() -> np.ndarray:
    """y, x, score of 17 keypoints in shares of the input: the head upright in its middle."""
    answer = np.zeros((1, 1, 17, 3))
    answer[0, 0, :5] = [
        *([0.5, 0.5, 0.9], [0.45, 0.55, 0.8], [0.45, 0.45, 0.8]),
        *([0.47, 0.62, 0.7], [0.47, 0.38, 0.7]),
    ]
    answer[0, 0, 5:, 2] = 0.1
    return answer


def test_movenets_shapes_need_no_card(tmp_path: Path) -> None:
    path = constant(tmp_path / "m.onnx", [1, 192, 192, 3], movenet_answer(), np.uint8)
    model = models.open_pose_model(path, threads=1)
    assert (model.card.kind, model.card.input_wh) == ("single-person", (192, 192))
    image = np.zeros((100, 300, 3), np.uint8)
    ((person,), (near,)) = model.find(image, [(0, 0, 300, 100), (200, 20, 296, 116)])
    # the whole picture: a square of 300 px around it, from y = -100 on
    assert person.keypoints[0] == pytest.approx([150, 50, 0.9])
    assert person.keypoints[1] == pytest.approx([165, 35, 0.8])
    assert near.keypoints[0] == pytest.approx([248, 68, 0.9], abs=0.5)
    assert person.score == pytest.approx((0.9 + 1.6 + 1.4 + 1.2) / 17)
    (head,) = keypoints.Keypoints(model, tiles=False).detect(image)
    assert head.points[POINTS.index("left_eye")] == pytest.approx([165, 35, 0.8])


def test_single_person_in_pixels_x_first_and_as_logits(tmp_path: Path) -> None:
    answer = np.zeros((1, 2, 3))
    answer[0] = [[10, 40, 0], [20, 60, math.log(9)]]
    text = (
        'kind = "single-person"\nunit = "pixel"\nscores = "logits"\npad = 7\n'
        'keypoints = ["nose", "left_ear"]'
    )
    path = constant(tmp_path / "m.onnx", [1, 3, 80, 40], answer, card=text)
    model = models.open_pose_model(path, threads=1)
    ((person,),) = model.find(np.zeros((160, 80, 3), np.uint8), [(0, 0, 80, 160)])
    assert person.keypoints[0] == pytest.approx([20, 80, 0.5])
    assert person.keypoints[3] == pytest.approx([40, 120, 0.9])
    assert np.isnan(person.keypoints[[1, 2, 4]]).all()


def test_other_numbers_of_keypoints_are_refused(tmp_path: Path) -> None:
    path = constant(tmp_path / "m.onnx", [1, 3, 32, 32], np.zeros((1, 16, 3)), card=SINGLE)
    with pytest.raises(BadWeights, match=r"m.onnx: output is \(1, 16, 3\), wanted \(N, 17, 3\)"):
        models.open_pose_model(path).find(np.zeros((9, 9, 3), np.uint8), [(0, 0, 9, 9)])


SINGLE = 'kind = "single-person"\n'


def seeing(path: Path, card: str, dtype: Any = np.float32, last: bool = False) -> Path:
    """A model whose nose lies at (mean of its first channel, of its last) with score 1."""
    axes = numpy_helper.from_array(np.array([1, 2] if last else [2, 3]))
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Constant", [], ["axes"], value=axes),
        helper.make_node("ReduceMean", ["f"], ["rgb"], axes=[1, 2] if last else [2, 3], keepdims=0),
        helper.make_node("Gather", ["rgb", "pick"], ["two"], axis=1),
        helper.make_node("Reshape", ["two", "shape"], ["row"]),
        helper.make_node("Pad", ["row", "pads", "one"], ["nose"]),
        helper.make_node("Pad", ["nose", "more"], ["y"]),
    ]
    constants = {
        "pick": np.array([0, 2]),
        "shape": np.array([-1, 1, 2]),
        "pads": np.array([0, 0, 0, 0, 0, 1]),
        "one": np.ones((), np.float32),
        "more": np.array([0, 0, 0, 0, 16, 0]),
    }
    shape = ["n", 16, 16, 3] if last else ["n", 3, 16, 16]
    return save(path, shape, nodes, constants, {"y": ["n", 17, 3]}, dtype, card)


@pytest.mark.parametrize(
    ("card", "dtype", "last", "wanted"),
    [
        ("", np.uint8, False, (10, 30)),
        ("", np.uint8, True, (10, 30)),
        ("", np.int32, True, (10, 30)),
        ('channels = "bgr"\n', np.uint8, False, (30, 10)),
        ("mean = [4, 0, 10]\nstd = [2, 1, 4]\n", np.float32, False, (3, 5)),
        ('channels = "bgr"\nmean = [4, 0, 10]\nstd = [2, 1, 4]\n', np.float32, True, (5, 3)),
    ],
)
def test_the_input_is_what_the_card_says(
    card: str, dtype: Any, last: bool, wanted: tuple[float, float], tmp_path: Path
) -> None:
    path = seeing(tmp_path / "m.onnx", SINGLE + 'unit = "pixel"\n' + card, dtype, last)
    image = np.empty((16, 16, 3), np.uint8)
    image[:] = 10, 20, 30
    found = models.open_pose_model(path).find(image, [(0, 0, 16, 16)] * 11)  # two batches
    assert [tuple(people[0].keypoints[0]) for people in found] == [pytest.approx((*wanted, 1))] * 11


# --- top-down ---------------------------------------------------------------------------------


def test_the_highest_place_of_each_heat_map(tmp_path: Path) -> None:
    maps = np.zeros((1, 17, 6, 4))
    maps[0, 0, 2, 1], maps[0, 0, 2, 2], maps[0, 0, 1, 1] = 0.9, 0.5, 0.4  # right, above
    maps[0, 1, 0, 3] = 0.8  # in a corner: no neighbour on two sides
    maps[0, 2, 5, 0], maps[0, 2, 4, 0] = 0.7, 0.2  # at the border it is not moved
    path = constant(tmp_path / "t.onnx", [1, 3, 24, 16], maps, card='kind = "top-down"\n')
    model = models.open_pose_model(path, threads=1)
    assert model.card.input_wh == (16, 24) and not model.sees_many
    ((person,),) = model.find(np.zeros((48, 32, 3), np.uint8), [(0, 0, 32, 48)])
    # 4 input pixels a cell, 2 picture pixels an input pixel
    assert person.keypoints[0] == pytest.approx([8 * 1.75, 8 * 2.25, 0.9])
    assert person.keypoints[1] == pytest.approx([8 * 3.5, 8 * 0.5, 0.8])
    assert person.keypoints[2] == pytest.approx([8 * 0.5, 8 * 5.5, 0.7])
    wrong = constant(tmp_path / "w.onnx", [1, 3, 24, 16], maps[:, 1:], card='kind = "top-down"\n')
    with pytest.raises(BadWeights, match=r"heat maps are \(1, 16, 6, 4\), wanted \(N, 17, h, w\)"):
        models.open_pose_model(wrong).find(np.zeros((9, 9, 3), np.uint8), [(0, 0, 9, 9)])


# --- YOLO-pose --------------------------------------------------------------------------------


def yolo_rows() -> np.ndarray:
    """(4, 51): keypoints of four anchors; the nose of each is its own."""
    points = np.zeros((4, 17, 3))
    points[:, 0] = [[30, 20, 0.9], [31, 21, 0.8], [90, 24, 0.7], [5, 5, 0.6]]
    return points.reshape(4, 51)


BOXES = np.array([[30, 40, 20, 60], [31, 40, 20, 60], [90, 40, 20, 50], [60, 40, 9, 9]], float)
SCORES = np.array([0.9, 0.8, 0.6, 0.1])


@pytest.mark.parametrize("kind", ["box+score", "box+object+class", "corners+score+class"])
@pytest.mark.parametrize("anchors_last", [True, False])
def test_rows_become_people_each_once(kind: str, anchors_last: bool, tmp_path: Path) -> None:
    boxes, scores = BOXES, SCORES[:, None]
    if kind == "corners+score+class":  # end to end: what is in it counts
        boxes = np.concatenate(
            [BOXES[:, :2] - BOXES[:, 2:] / 2, BOXES[:, :2] + BOXES[:, 2:] / 2], 1
        )
        scores = np.concatenate([scores, np.zeros((4, 1))], axis=1)
    elif kind == "box+object+class":
        scores = np.concatenate([scores * 2 / 3, np.full((4, 1), 1.5)], axis=1)
    rows = np.concatenate([boxes, scores, yolo_rows()], axis=1)[None]
    rows = rows.transpose(0, 2, 1) if anchors_last else rows
    text = f'kind = "yolo-pose"\nrows = "{kind}"\nstd = [255, 255, 255]\npad = 114\n'
    path = constant(tmp_path / "y.onnx", [1, 3, 64, 128], rows, card=text)
    model = models.open_pose_model(path, threads=1)
    assert model.sees_many
    (people,) = model.find(np.zeros((128, 256, 3), np.uint8), [(0, 0, 256, 128)])
    noses = [(60, 40), (180, 48)]
    if kind == "corners+score+class":
        noses.insert(1, (62, 42))
    np.testing.assert_allclose([p.keypoints[0, :2] for p in people], noses, rtol=1e-5)
    assert people[0].score == pytest.approx(0.9)


def test_yolos_shapes_need_no_card_and_free_inputs_follow_the_picture(tmp_path: Path) -> None:
    rows = np.concatenate([BOXES, SCORES[:, None], yolo_rows()], axis=1)[None].transpose(0, 2, 1)
    path = constant(tmp_path / "y.onnx", [1, 3, "h", "w"], rows)
    model = models.open_pose_model(path, threads=1)
    assert (model.card.rows, model.card.input_wh) == ("box+score", (0, 0))
    (people,) = model.find(np.zeros((320, 640, 3), np.uint8), [(0, 0, 640, 320)])
    assert len(people) == 2
    assert people[0].keypoints[0] == pytest.approx([30, 20, 0.9])


def test_rows_that_are_no_numbers_or_of_another_length(tmp_path: Path) -> None:
    rows = np.concatenate([BOXES, SCORES[:, None], yolo_rows()], axis=1)
    rows[0, 2], rows[1, 4], rows[2, 3] = np.nan, np.nan, 0
    (found,) = models.read_rows(rows[None].astype(np.float32), PoseCard("yolo-pose"))
    assert found[0].shape == (0, 17, 3) and found[1].shape == (0,)
    with pytest.raises(BadWeights, match=r"output is \(1, 4, 55\), wanted \(N, 56, anchors\)"):
        list(models.read_rows(np.zeros((1, 4, 55), np.float32), PoseCard("yolo-pose")))


# --- bottom-up --------------------------------------------------------------------------------


def two_people() -> tuple[np.ndarray, np.ndarray]:
    """Heat maps and tags (1, 17, 32, 64) of two people with noses, eyes and a shoulder each."""
    heat, tags = np.zeros((1, 17, 32, 64), np.float32), np.zeros((1, 17, 32, 64), np.float32)
    for x, tag in ((12, 1.0), (44, 9.0)):
        for joint, (dx, dy) in {0: (0, 0), 1: (3, -2), 2: (-3, -2), 5: (8, 9)}.items():
            heat[0, joint, 12 + dy, x + dx] = 0.9
            tags[0, joint, 12 + dy, x + dx] = tag
    return heat, tags


@pytest.mark.parametrize("named", [False, True])
def test_heat_maps_and_tags_become_people(named: bool, tmp_path: Path) -> None:
    heat, tags = two_people()
    first, second = ("tags", "heatmaps") if named else ("heat", "tag")
    arrays = {first: tags if named else heat, second: heat if named else tags}
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
        helper.make_node("Mul", ["m", "zero"], ["none"]),
        *(helper.make_node("Add", [f"c_{k}", "none"], [k]) for k in arrays),
    ]
    constants = {f"c_{k}": v for k, v in arrays.items()} | {"zero": np.zeros((), np.float32)}
    text = 'kind = "bottom-up"\n' + ('heatmaps = "heatmaps"\ntags = "tags"\n' if named else "")
    path = save(
        tmp_path / "b.onnx",
        [1, 3, 64, 128],
        nodes,
        constants,
        {k: list(heat.shape) for k in arrays},
        card=text,
    )
    model = models.open_pose_model(path, threads=1)
    (people,) = model.find(np.zeros((128, 256, 3), np.uint8), [(0, 0, 256, 128)])
    noses = sorted(tuple(p.keypoints[0]) for p in people)
    assert noses == [pytest.approx((50, 50, 0.9)), pytest.approx((178, 50, 0.9))]
    heads = keypoints.Keypoints(model, tiles=False).detect(np.zeros((128, 256, 3), np.uint8))
    assert len(heads) == 2


def test_maps_that_do_not_fit(tmp_path: Path) -> None:
    heat, tags = two_people()
    card = PoseCard("bottom-up")
    with pytest.raises(BadWeights, match=r"heat maps are .* and tags \(1, 17, 32, 63\), wanted"):
        list(models.read_groups(heat, tags[..., 1:], card, (128, 64)))
    heat[0, 0, 0, 0] = np.nan
    with pytest.raises(BadWeights, match="values are not finite"):
        list(models.read_groups(heat, tags, card, (128, 64)))
    wrong = constant(
        tmp_path / "b.onnx", [1, 3, 64, 128], tags, card='kind = "bottom-up"\nheatmaps = "h"\n'
    )
    with pytest.raises(BadWeights, match=r"b.onnx: no output 'h'; there are: y"):
        models.open_pose_model(wrong).find(np.zeros((9, 9, 3), np.uint8), [(0, 0, 9, 9)])


def test_free_sizes_are_multiples_and_bounded() -> None:
    assert models.free_size((0, 0, 640, 480), "yolo-pose") == (640, 480)
    assert models.free_size((0, 0, 640, 480), "bottom-up") == (704, 512)
    assert models.free_size((0, 0, 5000, 1), "bottom-up") == (1536, 32)
    assert models.free_size((0, 0, 1, 1), "yolo-pose") == (640, 640)


@pytest.mark.parametrize("hw", [(1, 1), (1, 700), (300, 2), (96, 128)])
@pytest.mark.parametrize("kind", ["single-person", "top-down", "yolo-pose", "bottom-up"])
def test_pictures_of_any_size_and_heads_that_are_well_formed(
    kind: str, hw: tuple[int, int], tmp_path: Path
) -> None:
    heat, _ = two_people()
    rows = np.concatenate([BOXES, SCORES[:, None], yolo_rows()], axis=1)[None]
    answers = {
        "single-person": (movenet_answer(), [1, 192, 192, 3], ""),
        "top-down": (heat, [1, 3, 64, 128], 'kind = "top-down"\n'),
        "yolo-pose": (rows, [1, 3, "h", "w"], 'kind = "yolo-pose"\n'),
        "bottom-up": (heat, [1, 3, 64, 128], 'kind = "bottom-up"\nperson_threshold = 0.1\n'),
    }
    answer, shape, card = answers[kind]
    path = constant(tmp_path / "m.onnx", shape, answer, card=card)
    detector = keypoints.load(path, threads=1, near="")
    image = np.random.default_rng(1).integers(0, 256, (*hw, 3), dtype=np.uint8)
    image.flags.writeable = False
    heads = detector.detect(image)
    assert [h.score for h in heads] == sorted((h.score for h in heads), reverse=True)
    for head in heads:
        x0, y0, x1, y1 = head.box_xyxy
        assert x0 < x1 and y0 < y1 and 0 <= head.score <= 1
    again = detector.detect(image)
    assert [h.box_xyxy for h in heads] == [h.box_xyxy for h in again]


# --- opening ----------------------------------------------------------------------------------


def test_files_that_are_no_pose_models(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match=r"none.onnx: no such weights file"):
        models.open_pose_model(tmp_path / "none.onnx")
    path = constant(tmp_path / "a.onnx", [1, 3, 32, 32], np.zeros((1, 5)))
    with pytest.raises(BadWeights, match=r"do not tell what kind .* describe it in a.toml beside"):
        models.open_pose_model(path)
    constant(path, [1, 3, 32, 32], np.zeros((1, 5)), card=SINGLE + "input_wh = [16, 32]\n")
    with pytest.raises(BadWeights, match=r"the input is 32 x 32, its card says 16 x 32"):
        models.open_pose_model(path)
    constant(path, [1, 3, "h", "w"], np.zeros((1, 5)), card=SINGLE)
    with pytest.raises(BadWeights, match=r"takes any input size; say input_wh in its card"):
        models.open_pose_model(path)
    constant(path, [1, 4, 32, 32], np.zeros((1, 5)), card=SINGLE)
    with pytest.raises(BadWeights, match=r"input is \(1, 4, 32, 32\); wanted \(N, 3, H, W\)"):
        models.open_pose_model(path)
    path.write_bytes(b"nothing")
    with pytest.raises(BadWeights, match=r"a.onnx: not a usable ONNX file"):
        models.open_pose_model(path)


def test_two_inputs_or_a_size_that_does_not_run(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "z"], ["y"])],
        "two",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 8, 8]) for n in "xz"],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 8, 8])],
    )
    path = tmp_path / "two.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    with pytest.raises(BadWeights, match=r"inputs are tensor\(float\).*; wanted one picture"):
        models.open_pose_model(path)
    path = constant(tmp_path / "b.onnx", [1, 3, 32, 32], np.zeros((1, 17, 3)), card=SINGLE)
    opened = _pose_run.open_model(path)
    with pytest.raises(BadWeights, match=r"b.onnx: cannot run on input \(1, 3, 9, 9\)"):
        opened.run(np.zeros((1, 3, 9, 9), np.float32))


def test_a_fixed_batch_is_filled_up(tmp_path: Path) -> None:
    answer = np.repeat(movenet_answer()[0], 4, axis=0)
    answer[:, 0, 1] = [0.1, 0.2, 0.3, 0.4]
    path = constant(tmp_path / "m.onnx", [4, 3, 32, 32], answer, card=SINGLE + 'order = "yxs"\n')
    found = models.open_pose_model(path).find(np.zeros((32, 32, 3), np.uint8), [(0, 0, 32, 32)] * 6)
    assert [p[0].keypoints[0, 0] / 32 for p in found] == pytest.approx(
        [0.1, 0.2, 0.3, 0.4, 0.1, 0.2]
    )


# --- TFLite -----------------------------------------------------------------------------------


class FakeInterpreter:
    """LiteRT's interface, answering like MoveNet."""

    def __init__(self, model_content: bytes, num_threads: int) -> None:
        if model_content != b"good":
            raise ValueError("Model provided has model identifier 'noth'")
        self.seen: np.ndarray | None = None

    def allocate_tensors(self) -> None:
        pass

    def get_input_details(self) -> list[dict[str, Any]]:
        return [{"index": 0, "shape": np.array([1, 192, 192, 3]), "dtype": np.uint8}]

    def get_output_details(self) -> list[dict[str, Any]]:
        return [{"index": 9, "name": "out", "shape": np.array([1, 1, 17, 3])}]

    def set_tensor(self, index: int, values: np.ndarray) -> None:
        assert (index, values.shape, values.dtype) == (0, (1, 192, 192, 3), np.uint8)

    def invoke(self) -> None:
        pass

    def get_tensor(self, index: int) -> np.ndarray:
        assert index == 9
        return movenet_answer()


@pytest.fixture
def litert(monkeypatch: pytest.MonkeyPatch) -> None:
    package, module = types.ModuleType("ai_edge_litert"), types.ModuleType("interpreter")
    module.Interpreter = FakeInterpreter  # type: ignore[attr-defined]  # a stand-in
    monkeypatch.setitem(sys.modules, "ai_edge_litert", package)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", module)


@pytest.mark.usefixtures("litert")
def test_movenet_as_a_tflite_file(tmp_path: Path) -> None:
    path = tmp_path / "movenet.tflite"
    path.write_bytes(b"good")
    model = models.open_pose_model(path)
    ((person,),) = model.find(np.zeros((300, 300, 3), np.uint8), [(0, 0, 300, 300)])
    assert person.keypoints[1] == pytest.approx([165, 135, 0.8])
    with pytest.raises(UsageError, match=r"'cuda': movenet.tflite is a .tflite file"):
        models.open_pose_model(path, device="cuda")
    path.write_bytes(b"nothing")
    with pytest.raises(BadWeights, match=r"movenet.tflite: not a usable TFLite file: Model prov"):
        models.open_pose_model(path)


@pytest.mark.usefixtures("litert")
def test_tflite_files_with_other_inputs_or_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tflite"
    path.write_bytes(b"good")
    monkeypatch.setattr(
        FakeInterpreter,
        "get_input_details",
        lambda self: [{"index": 0, "shape": np.array([1, 9]), "dtype": np.int64}],
    )
    with pytest.raises(BadWeights, match=r"inputs are int64 \[1, 9\]; wanted one picture"):
        models.open_pose_model(path)
    monkeypatch.setattr(_pose_run.weights, "MAX_FILE_BYTES", 3)
    with pytest.raises(BadWeights, match=r"a.tflite: larger than 3 bytes"):
        models.open_pose_model(path)


def test_without_litert_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    path = tmp_path / "a.tflite"
    path.write_bytes(b"good")
    with pytest.raises(MissingExtra, match=r"pip install 'faceparts\[keypoints\]'"):
        models.open_pose_model(path)


# --- regions ----------------------------------------------------------------------------------


def test_tiles_cover_the_picture_and_overlap_by_half() -> None:
    image = np.zeros((400, 480, 3), np.uint8)
    got = tiles(image)
    sides = {round(x1 - x0) for x0, _, x1, _ in got}
    assert sides == {200}
    for side in sides:
        level = [t for t in got if round(t[2] - t[0]) == side]
        covered = np.zeros((400, 480), int)
        for x0, y0, x1, y1 in level:
            covered[round(y0) : round(y1), round(x0) : round(x1)] += 1
        assert covered.min() >= 1 and covered[100:300, 100:380].min() >= 4
    assert tiles(np.zeros((90, 600, 3), np.uint8)) == []
    assert tiles(np.zeros((200, 20_000, 3), np.uint8)) == []


def test_a_body_lies_below_its_head() -> None:
    head = Head((100, 50, 120, 70), 0.9, Head.no_points())
    assert body_around(head, 4) == pytest.approx((70, 42, 150, 122))


def test_regions_that_touch() -> None:
    image = np.zeros((50, 80, 3), np.uint8)
    for box, wanted in (
        ((-10, -10, 1, 1), True),
        ((-10, -10, 0.5, 9), False),
        ((79, 49, 99, 99), True),
        ((80, 0, 90, 9), False),
        ((9e30, 0, 9.1e30, 9), False),
    ):
        assert touches(box, image) is wanted


@settings(max_examples=100, deadline=None)
@given(
    st.floats(-60, 90),
    st.floats(-60, 60),
    st.floats(2, 200),
    st.floats(2, 200),
    st.sampled_from([(32, 32), (24, 48), (192, 192)]),
)
def test_a_cut_knows_where_its_pixels_come_from(
    x: float, y: float, width: float, height: float, size_wh: tuple[int, int]
) -> None:
    row, column = np.mgrid[:60, :90]
    image = np.stack([column * 2, row * 4, np.full_like(row, 255)], axis=2).astype(np.uint8)
    region = (x, y, x + width, y + height)
    if not touches(region, image):
        return
    seen = cut(image, region, size_wh, 0)
    assert seen.image.shape == (size_wh[1], size_wh[0], 3)
    inside = np.argwhere(seen.image[..., 2] == 255)
    assert len(inside)
    at = seen.to_picture(inside[:, ::-1] + 0.5) - 0.5  # picture pixel centres
    got = seen.image[inside[:, 0], inside[:, 1], :2] / [2, 4]
    assert np.abs(got - at).max() <= 1.5 + 0.5 * max(seen.ratio_xy)
