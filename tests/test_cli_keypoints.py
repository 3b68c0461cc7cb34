"""The keypoint road on the command line: rows, hiding, the published experiment, who saw what."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cli_world import call, call_process, decode, encode, make_card, make_photo
from faceparts import cards
from faceparts.types import ModelCard

SIDE_PX = 400
MEAN_RGB = (122.67891434, 116.66876762, 104.00698793)
"""The published mean, there in the order B, G, R."""


@pytest.fixture(scope="module")
def pose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like MoveNet: the same person in every region, nose in its middle, eyes and ears."""
    answer = np.zeros((1, 1, 17, 3), np.float32)
    answer[0, 0, :5] = [
        *([0.5, 0.5, 0.9], [0.45, 0.55, 0.8], [0.45, 0.45, 0.8]),
        *([0.47, 0.62, 0.7], [0.47, 0.38, 0.7]),
    ]
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["f"], ["m"], keepdims=0),
        helper.make_node("Mul", ["m", "zero"], ["none"]),
        helper.make_node("Add", ["answer", "none"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "pose",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 192, 192, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 17, 3])],
        [
            numpy_helper.from_array(answer, "answer"),
            numpy_helper.from_array(np.zeros((), np.float32), "zero"),
        ],
    )
    path = tmp_path_factory.mktemp("pose") / "pose.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A parser of 400 px squares less the published mean: red beyond it by 50 is face."""
    weight = np.zeros((2, 3, 1, 1), np.float32)
    weight[1, 0] = 1
    card: ModelCard = make_card(
        name="fcn8s", label_set="face2", input_px=SIDE_PX, margin=0.0, mean=MEAN_RGB, std=(1, 1, 1)
    )
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w", "b"], ["y"])],
        "fcn8s",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, SIDE_PX, SIDE_PX])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2, SIDE_PX, SIDE_PX])],
        [
            numpy_helper.from_array(weight, "w"),
            numpy_helper.from_array(np.array([50, 0], np.float32), "b"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    entry = model.metadata_props.add()
    entry.key, entry.value = cards.KEY, cards.to_json(card)
    path = tmp_path_factory.mktemp("fcn") / "fcn8s.onnx"
    onnx.save(model, str(path))
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").write_bytes(encode(make_photo(80, 80)))
    (folder / "b.png").write_bytes(encode(make_photo(80, 100)))
    return folder


def rows_of(text: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.decode())))


def test_heads_from_keypoints_as_rows(photos: Path, pose: Path) -> None:
    where = ("--detector", "keypoints", "--weights", pose, "--no-tiles", "--threads", 1)
    done = call("detect", photos / "a.png", *where)
    assert done.code == 0, done.err
    best, *_ = rows_of(done.out)
    assert float(best["nose_x_px"]) == pytest.approx(40)
    assert float(best["left_eye_x_px"]) == pytest.approx(44)
    assert best["left_mouth_corner_x_px"] == ""
    assert float(best["left_px"]) < 34 and float(best["right_px"]) > 46


def test_the_published_rule_and_fixed_boxes(photos: Path, pose: Path) -> None:
    where = ("--detector", "keypoints", "--weights", pose, "--no-tiles", "--threads", 1)
    # mean of the five points (40, 37.44), ears 19.2 px apart
    first = rows_of(call("detect", photos / "a.png", *where, "--head-rule", "s0").out)[0]
    assert [float(first[k]) for k in ("left_px", "top_px", "right_px", "bottom_px")] == [
        pytest.approx(v, abs=0.02) for v in (40 - 57.6, 37.44 - 57.6, 40 + 57.6, 37.44 + 57.6)
    ]
    wide = ("--head-rule", "s0", "--head-factor", "1")
    first = rows_of(call("detect", photos / "a.png", *where, *wide).out)[0]
    assert float(first["right_px"]) == pytest.approx(40 + 20)  # at least 20 px
    first = rows_of(call("detect", photos / "a.png", *where, "--box-px", "30").out)[0]
    assert float(first["left_px"]) == pytest.approx(25)


def test_hide_counts_keypoints_from_half_the_threshold(
    photos: Path, pose: Path, net: Path, tmp_path: Path
) -> None:
    where = ("--detector", "keypoints", "--weights", pose, "--no-tiles", "--model", net)
    out = tmp_path / "hidden"
    done = call("hide", photos, "-o", out, *where, "--threads", 1)
    assert done.code == 0, done.err
    report = json.loads((out / "faceparts-report.json").read_text())
    assert report["settings"]["min_score"] == pytest.approx(0.2)
    assert [m["name"] for m in report["models"]] == ["pose", "headnet", "colours"]
    assert report["settings"]["tiles"] is False
    image = decode(out / "a.png")
    assert (image[30:50, 30:50] == 0).mean() > 0.5
    assert "seen_by" not in report["pictures"][0]["heads"][0]
    done = call("segment", photos / "a.png", "-o", tmp_path / "parts", *where, "--threads", 1)
    assert done.code == 0, done.err


def test_several_detectors_say_who_saw_what(photos: Path, pose: Path, tmp_path: Path) -> None:
    where = ("--detector", "whole+keypoints", "--weights", pose, "--no-tiles", "--threads", 1)
    out = tmp_path / "heads"
    done = call("detect", photos / "b.png", "-o", out, *where)
    assert done.code == 0, done.err
    report = json.loads((out / "faceparts-report.json").read_text())
    assert report["settings"]["min_score"] == {"whole": None, "keypoints": 0.4}
    heads = report["pictures"][0]["heads"]
    seen = {tuple(h["seen_by"]) for h in heads}
    assert {name for names in seen for name in names} == {"whole", "keypoints"}
    assert {h["source"] for h in heads} == {"whole+keypoints"}
    rows = rows_of((out / "heads.csv").read_bytes())
    assert {r["seen_by"] for r in rows} == {"+".join(names) for names in seen}


def test_the_published_experiment_is_one_command(
    photos: Path, pose: Path, segmenter: Path, tmp_path: Path
) -> None:
    where = ("--detector", "keypoints", "--weights", pose, "--head-rule", "s0", "--no-tiles")
    how = ("--model", segmenter, "--threads", 1)
    sheet = tmp_path / "sheets" / "all.png"
    sheet.parent.mkdir()
    out = tmp_path / "maps"
    done = call("apply", "heatmap", photos, "-o", out, *where, *how, "--contact-sheet", sheet)
    assert done.code == 0, done.err
    image, photo = decode(out / "a.png"), make_photo(80, 80)
    red = (photo[..., 0] > 122.7 + 50) & (photo[..., 2] == 0)
    changed = (image != photo).any(axis=2)
    assert changed[red].all()  # the face, hot
    assert (image[red][:, 0] > 150).mean() > 0.9
    assert not changed[photo[..., 1] == 200].any()  # green is no face
    shown = decode(sheet)
    assert shown.shape == (240 + 20 + 2 * 8, 2 * 248 + 8, 3)
    assert np.array_equal(shown[8 + 80 : 8 + 160, 8 + 80 : 8 + 160], image)
    report = json.loads((out / "faceparts-report.json").read_text())
    assert report["settings"]["contact_sheet"] == str(sheet)
    overlay = call("apply", "overlay", photos, "-o", tmp_path / "seen", *where, *how)
    assert overlay.code == 0, overlay.err


def test_the_crop_is_the_published_square_at_400_px(
    photos: Path, pose: Path, segmenter: Path
) -> None:
    from faceparts.parse import FaceParser

    parser = FaceParser("keypoints", segmenter, detector_weights=pose, threads=1)
    parser.detector._rule = "s0"  # type: ignore[attr-defined]  # as --head-rule sets it
    face = parser.parse(np.zeros((80, 80, 3), np.uint8))[0]
    assert face.crop.image.shape == (400, 400, 3)
    x0, y0, x1, _ = face.head.box_xyxy
    scale = (x1 - x0) / 400
    np.testing.assert_allclose(
        face.crop.to_source,
        [[scale, 0, x0 + scale / 2 - 0.5], [0, scale, y0 + scale / 2 - 0.5]],
    )


def test_a_contact_sheet_shows_nothing_that_was_transparent(net: Path, tmp_path: Path) -> None:
    rgba = np.dstack([make_photo(), np.zeros((48, 40), np.uint8)])
    (tmp_path / "a.png").write_bytes(encode(rgba))
    sheet = tmp_path / "sheet.png"
    where = ("-o", tmp_path / "out", "--detector", "whole", "--model", net)
    done = call("apply", "overlay", tmp_path / "a.png", *where, "--contact-sheet", sheet)
    assert done.code == 0, done.err
    assert (decode(sheet)[8:248] == 255).all()


def test_what_cannot_be_done_is_said_before_any_work(
    photos: Path, pose: Path, net: Path, tmp_path: Path
) -> None:
    out = ("-o", tmp_path / "out", "--model", net)
    sheet = ("--detector", "whole", "--contact-sheet")
    for arguments, message in (
        (("--detector", "keypoints"), "'keypoints' ships no weights; pass a pose model"),
        (("--detector", "whole", "--box-px", "9"), "detector 'whole' has no option 'box_px'"),
        (("--detector", "whole+"), "'' is not one of headnet, keypoints"),
        (("--detector", "whole+whole"), "a name occurs twice"),
        ((*sheet, tmp_path / "a.txt"), "wanted a name that ends with one of .jpg"),
        ((*sheet, photos / "a.png"), "would overwrite the input"),
    ):
        done = call("apply", "overlay", photos, *out, *arguments)
        assert done.code == 2, done.err
        assert message in done.err
        assert not (tmp_path / "out").exists()
    (tmp_path / "old.png").write_bytes(b"")
    done = call("apply", "overlay", photos, *out, *sheet, tmp_path / "old.png")
    assert done.code == 2 and "old.png: exists already" in done.err


def test_detecting_as_a_process(photos: Path, pose: Path) -> None:
    done = call_process("detect", photos / "a.png", "--detector", "keypoints", "--weights", pose)
    assert done.code == 0, done.err
    assert len(rows_of(done.out)) >= 1
