"""Another segmenter on a recipe's pictures: translated, scored, its outlines moved."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from faceparts import labels
from faceparts.errors import FacePartsError
from faceparts.evaluate.outlines import move_outlines
from faceparts.segment.forest import label_set_of
from faceparts.train import _forest_compare, forest_data, forest_report, forest_run
from faceparts.train.forest_data import ForestSource, Pictures
from faceparts.types import IGNORE
from forest_world import PARTS, draw_portrait, write_fasseg

CELEBA = labels.CELEBA19
OWN = label_set_of("sides", PARTS)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_fasseg(folder / "f", 6)
    return folder


def table(**changed: Any) -> dict[str, Any]:
    pictures = {
        **{"frame_px": 60, "work_px": 30, "test_share": 0.4, "twins": "keep", "kin": 0},
        "sides": {"eyes": "nose"},
    }
    return {
        **{"name": "tiny", "task": "forest", "label_set": "sides", "parts": list(PARTS)},
        **{"input_px": 32, "examples": 0, "pictures": pictures},
        "data": [{"name": "fasseg", "root": "f", "split": "v2-test"}],
        "experiments": [
            {"name": "plain", "features": ["rgb", "xy"], "options": {"n_estimators": 2}}
        ],
        "card": {"margin": 0.2, "license": "Apache-2.0"},
        **changed,
    }


def run(root: Path, out: Path, **changed: Any) -> dict[str, Any]:
    forest_run.train(table(**changed), Path("t.toml"), root, out, threads=1, quiet=True)
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    return report


class Painter:
    """Says skin everywhere in the window, brow in a corner: hair in FASSEG's words."""

    def __init__(self, segmenter: Path, threads: int) -> None:
        assert threads == 1
        self.file = segmenter

    def parse(self, image: np.ndarray) -> list[Any]:
        height, width = image.shape[:2]
        ids = np.full((height - 10, width), CELEBA.id("skin"), np.uint8)
        ids[:4, :4] = CELEBA.id("left_brow")
        face = {"label_set": CELEBA, "labels": ids, "window_xyxy": (0, 10, width, height)}
        near, far = SimpleNamespace(size_wh=(20, 20)), SimpleNamespace(size_wh=(2, 2))
        return [
            SimpleNamespace(head=far, **{**face, "labels": ids * 0}),
            SimpleNamespace(head=near, **face),
        ]


class Knower(Painter):
    """Knows the drawn faces, but for eyes that are one pixel too narrow on every side."""

    def parse(self, image: np.ndarray) -> list[Any]:
        for seed in range(1, 7):
            drawn, six = draw_portrait(seed)
            if np.array_equal(drawn, image):
                break
        else:
            return []
        eyes = six == labels.FASSEG6.id("eyes")
        thin = cv2.erode(eyes.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
        ids = np.zeros(six.shape, np.uint8)
        for part in ("mouth", "skin", "hair", "nose"):
            ids[six == labels.FASSEG6.id(part)] = CELEBA.id(part)
        ids[eyes] = CELEBA.id("skin")
        ids[thin] = CELEBA.id("left_eye")
        head = SimpleNamespace(size_wh=(40, 40))
        window = (0, 0, *six.shape[::-1])
        return [SimpleNamespace(head=head, label_set=CELEBA, labels=ids, window_xyxy=window)]


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Weights of somebody else."""
    path = tmp_path / "far" / "other.onnx"
    path.parent.mkdir()
    path.write_bytes(b"weights")
    return path


@pytest.mark.parametrize("score", ["work", "frame"])
def test_another_segmenter_looks_at_the_same_pictures(
    root, tmp_path, monkeypatch, other, score
) -> None:
    monkeypatch.setattr(_forest_compare, "FaceParser", Painter)
    report = run(root, tmp_path, compare=[str(other)], score=score)
    assert list(report["compared"]) == ["other"]
    result = report["compared"]["other"]
    assert result["file"] == f"other.onnx {hashlib.sha256(b'weights').hexdigest()[:12]}"
    assert f"Weights: {result['file']}." in (tmp_path / "report.html").read_text()
    assert result["no_head_found"] == []
    assert result["parts"]["skin"]["recall"] == 1
    assert result["parts"]["nose"]["recall"] == 0
    named = dict(zip(PARTS, np.array(result["confusion"]).sum(axis=0), strict=True))
    assert named["hair"] > 0
    assert named["mouth"] == 0
    assert result["pixels"] == report["experiments"]["plain"]["pixels"]
    assert set(result["pictures"]) == set(report["protocol"]["test"])
    assert (tmp_path / "confusion-other.png").exists()


def test_outlines_are_learnt_from_the_training_pictures(root, tmp_path, monkeypatch, other) -> None:
    monkeypatch.setattr(_forest_compare, "FaceParser", Knower)
    monkeypatch.setattr(_forest_compare, "MOVES", (-0.02, 0.0, 0.02, 0.05, 0.1))
    report = run(root, tmp_path, compare=[str(other)], outlines=["right_eye", "left_eye", "nose"])
    plain, moved = report["compared"]["other"], report["compared"]["other-moved"]
    assert moved["moves"] == {"right_eye": 0.05, "left_eye": 0.05, "nose": 0.0}
    for part in ("right_eye", "left_eye"):
        assert plain["parts"][part]["f1"] < 0.65
        assert moved["parts"][part]["f1"] > 0.9
        assert plain["parts"][part]["precision"] == 1
    for part in ("hair", "mouth", "nose"):
        assert plain["parts"][part]["f1"] == moved["parts"][part]["f1"] == 1
    page = (tmp_path / "report.html").read_text()
    assert "<th>IoU</th><th>plain</th><th>other</th><th>other-moved</th>" in page
    assert "right_eye +5.0%, left_eye +5.0%, nose +0.0%" in page


def test_nobody_found_is_background_and_said(root, tmp_path, monkeypatch, other) -> None:
    class Blind(Painter):
        def parse(self, image: np.ndarray) -> list[Any]:
            return []

    monkeypatch.setattr(_forest_compare, "FaceParser", Blind)
    drawn: dict[str, Any] = {}
    plain = forest_report.draw_examples
    monkeypatch.setattr(
        forest_report, "draw_examples", lambda *a, **k: (drawn.update(a[2]), plain(*a, **k))[1]
    )
    report = run(root, tmp_path, compare=[str(other)], outlines=["nose"], examples=2)
    assert {name: [ids.shape for ids in seen] for name, seen in drawn.items()} == {
        "other": [(60, 60)] * 2,
        "other-moved": [(60, 60)] * 2,
    }
    assert (tmp_path / "examples.png").exists()
    result = report["compared"]["other"]
    page = (tmp_path / "report.html").read_text()
    assert f"No head found, all background: {', '.join(result['no_head_found'])}." in page
    assert sorted(result["no_head_found"]) == sorted(report["protocol"]["test"])
    assert result["parts"]["background"]["recall"] == 1
    assert result["parts"]["skin"]["recall"] == 0
    how = Pictures(frame_px=64, work_px=32, sides={"eyes": "nose"}, twins="keep", kin=0)
    source = ForestSource("fasseg", "f", "v2-test", "^v2/1$")
    pictures, _ = forest_data.load_pictures([source], root, how, PARTS, quiet=True)
    blind: Any = Blind(other, 1)
    ids, has_face = _forest_compare.parse_picture(blind, pictures[0], how, PARTS)
    assert not has_face
    assert_array_equal(ids, 0)


def test_a_missing_model_is_missed_before_training(root, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(forest_run, "load_pictures", lambda *a, **k: pytest.fail("too late"))
    with pytest.raises(FacePartsError, match="nowhere"):
        run(root, tmp_path, compare=["nowhere.onnx"])


@pytest.mark.parametrize("share", _forest_compare.MOVES)
def test_outlines_are_learnt_as_they_are_moved(share) -> None:
    """Thresholds of the distances are what `move_outlines` does."""
    y, x = np.mgrid[:90, :90]
    ids = np.zeros((90, 90), np.uint8)
    ids[5:85, 5:85] = OWN.id("skin")
    ids[(y - 40) ** 2 + (x - 30) ** 2 < 120] = OWN.id("right_eye")
    moved = move_outlines(ids, OWN, {"right_eye": share}) == OWN.id("right_eye")
    out_px = _forest_compare.outside(ids == OWN.id("right_eye"))
    assert_array_equal(out_px <= share * 80, moved)
    truth = np.where(moved, OWN.id("right_eye"), ids).astype(np.uint8)
    truth[(ids == OWN.id("right_eye")) & ~moved] = OWN.id("skin")
    truth[:20] = IGNORE
    learnt = _forest_compare.learn_moves([(ids, truth)], OWN, ["right_eye", "nose"])
    again = move_outlines(ids, OWN, {"right_eye": learnt["right_eye"]}) == OWN.id("right_eye")
    assert_array_equal(again, moved)
    assert learnt["nose"] == 0
