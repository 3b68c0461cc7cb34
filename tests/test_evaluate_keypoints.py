"""Object keypoint similarity and COCO's AP, against numbers worked out by hand."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dataset_folders import draw, write_coco_keypoints
from faceparts.datasets import coco_keypoints
from faceparts.detect._grouping import MissingExtra
from faceparts.errors import BadData
from faceparts.evaluate import keypoints as evaluation

Floats = NDArray[np.float32]
AREA = 10000.0


def person(x: float = 100, y: float = 200) -> Floats:
    """All 17 joints in two rows, in picture coordinates."""
    grid = [(x + 8 * (i % 6), y + 20 * (i // 6), 2.0) for i in range(17)]
    return np.array(grid, np.float32)


def shifted(one: Floats, similarity: float, area: float = AREA) -> Floats:
    """Every joint moved so that it alone is that similar."""
    reach = np.array(evaluation.SIGMAS) * 2 * math.sqrt(-2 * area * math.log(similarity))
    moved = one.copy()
    moved[:, 0] += reach.astype(np.float32)
    return moved


def annotations(*people: tuple[int, Floats], area: float = AREA, ids: int = 1) -> dict[str, Any]:
    rows = []
    for i, (image, one) in enumerate(people):
        joints = one.astype(float)
        joints[:, :2] -= 0.5
        joints[one[:, 2] == 0] = 0
        rows.append(
            {
                "id": i + 1,
                "image_id": image,
                "category_id": 1,
                "iscrowd": 0,
                "area": area,
                "num_keypoints": int((one[:, 2] > 0).sum()),
                "bbox": [90, 190, 100, 100],
                "keypoints": joints.ravel().tolist(),
            }
        )
    return {
        "images": [{"id": i + 1, "height": 400, "width": 600} for i in range(ids)],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": rows,
    }


def test_similarity_by_hand() -> None:
    one, other = person(), person()
    assert evaluation.oks(one, other, AREA) == 1
    other[0, 0] += 5.2  # the nose: k = 0.052, s^2 = 10000: exp(-0.5) for 5.2 pixels
    wanted = (16 + math.exp(-0.5)) / 17
    assert evaluation.oks(one, other, AREA) == pytest.approx(wanted, rel=1e-5)
    other[1] = np.nan
    assert evaluation.oks(one, other, AREA) == pytest.approx(wanted - 1 / 17, rel=1e-5)
    one[2:, 2] = 0
    assert evaluation.oks(one, other, AREA) == pytest.approx(math.exp(-0.5) / 2, rel=1e-4)
    assert evaluation.oks(person(), shifted(person(), 0.7), AREA) == pytest.approx(0.7, rel=1e-4)


def test_similarity_of_nothing() -> None:
    hidden = person()
    hidden[:, 2] = 0
    with pytest.raises(ValueError, match=r"oks: 0 marked joints and area 1\.0"):
        evaluation.oks(hidden, person(), 1.0)
    with pytest.raises(ValueError, match="oks: 17 marked joints and area 0"):
        evaluation.oks(person(), person(), 0)


def test_rows_by_hand() -> None:
    one = np.full((17, 3), np.nan, np.float32)
    one[0], one[5] = (10.5, 20.5, 0.9), (14.5, 30.5, 0.25)
    one[6] = (3, np.inf, 0.5)
    (row,) = evaluation.to_results(7, one[None], np.float32([0.5]))
    assert row["keypoints"][:6] == pytest.approx([10, 20, 0.9, 0, 0, 0])
    assert row["keypoints"][15:21] == pytest.approx([14, 30, 0.25, 0, 0, 0])
    assert {k: row[k] for k in ("image_id", "category_id", "score", "bbox")} == {
        **{"image_id": 7, "category_id": 1},
        **{"score": 0.5, "bbox": [10, 20, 4, 10]},
    }
    json.dumps(row, allow_nan=False)


def test_a_person_without_joints_or_score() -> None:
    (row,) = evaluation.to_results(1, np.full((1, 17, 3), np.nan, np.float32), np.float32([np.nan]))
    assert row["score"] == 0
    assert row["bbox"] == [0, 0, 0, 0]
    assert not any(row["keypoints"])


def test_people_of_a_wrong_shape() -> None:
    with pytest.raises(ValueError, match=r"people: got shape \(1, 16, 3\) and 1 scores"):
        evaluation.to_results(1, np.zeros((1, 16, 3), np.float32), np.ones(1, np.float32))


@pytest.mark.parametrize(
    ("similarity", "wanted"),
    [(1.0, 1.0), (0.81, 0.7), (0.51, 0.1), (0.49, 0.0)],
)
def test_precision_follows_the_similarity(similarity: float, wanted: float) -> None:
    """0.81 passes the thresholds 0.50, 0.55 .. 0.80: 7 of 10."""
    found = shifted(person(), similarity)
    rows = evaluation.to_results(1, found[None], np.float32([0.9]))
    got = evaluation.score(annotations((1, person())), rows)
    assert got["AP"] == got["AR"] == got["AP_large"] == pytest.approx(wanted)
    assert got["AP50"] == (similarity > 0.5)
    assert got["AP75"] == (similarity > 0.75)
    assert math.isnan(got["AP_medium"])
    assert set(got) == set(evaluation.NAMES)


def test_half_of_two_people_found() -> None:
    """Two marked, one found: precision 1 up to recall 0.5, that is 51 of 101 steps."""
    truth = annotations((1, person()), (1, person(400, 100)))
    rows = evaluation.to_results(1, person()[None], np.float32([0.9]))
    got = evaluation.score(truth, rows)
    assert got["AR"] == pytest.approx(0.5)
    assert got["AP"] == pytest.approx(51 / 101)


def test_a_better_stranger_halves_the_precision() -> None:
    both = np.stack([person(), person(400, 300)])
    rows = evaluation.to_results(1, both, np.float32([0.5, 0.9]))
    got = evaluation.score(annotations((1, person())), rows)
    assert got["AP"] == pytest.approx(0.5)
    assert got["AR"] == 1


def test_nobody_found_and_nobody_there() -> None:
    got = evaluation.score(annotations((1, person())), [])
    assert got["AP"] == got["AR"] == 0
    got = evaluation.score(annotations(), [])
    assert all(math.isnan(v) for v in got.values())


def test_some_pictures_count() -> None:
    truth = annotations((1, person()), (2, person()), ids=3)
    rows = evaluation.to_results(1, person()[None], np.float32([0.9]))
    assert evaluation.score(truth, rows)["AR"] == 0.5
    assert evaluation.score(truth, rows, image_ids=[1, 3])["AR"] == 1
    assert evaluation.score(truth, rows, image_ids=[2])["AR"] == 0
    assert truth == annotations((1, person()), (2, person()), ids=3), "the input is left alone"


@pytest.mark.parametrize(("ids", "what"), [([9], "picture 9 is not in them"), ([], "no picture")])
def test_pictures_that_are_not_there(ids: list[int], what: str) -> None:
    with pytest.raises(BadData, match=f"annotations: {what}"):
        evaluation.score(annotations((1, person())), [], image_ids=ids)


def test_results_for_another_picture() -> None:
    rows = evaluation.to_results(5, person()[None], np.float32([0.9]))
    with pytest.raises(BadData, match="picture 5 is not in them; they hold 1 pictures"):
        evaluation.score(annotations((1, person())), rows)


@pytest.mark.parametrize(
    ("text", "what"),
    [("{", "JSONDecodeError"), ("[]", "TypeError"), ('{"images": []}', "KeyError")],
)
def test_a_file_that_is_none(text: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(BadData, match=f"a.json: not annotations in COCO's layout .{what}"):
        evaluation.score(tmp_path / "a.json", [])
    with pytest.raises(BadData, match="FileNotFoundError"):
        evaluation.score(tmp_path / "b.json", [])
    (tmp_path / "c.json").write_text('{"images": 3, "annotations": [], "categories": []}')
    with pytest.raises(BadData, match="must be lists"):
        evaluation.score(tmp_path / "c.json", [])


def test_a_whole_dataset(tmp_path: Path) -> None:
    """What is marked, found again, scores 1."""
    for key in ("1", "2"):
        write_coco_keypoints(tmp_path, "val2017", key, draw(int(key)))
    file = tmp_path / "annotations" / "person_keypoints_val2017.json"
    table = json.loads(file.read_text())
    file.write_text(json.dumps({**table, "categories": [{"id": 1, "name": "person"}]}))
    data = coco_keypoints.load(tmp_path, "val2017")
    people = iter([data[0].people, data[1].people])

    def find(image: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        found = next(people)
        return found, np.ones(len(found), np.float32)

    rows = [row for some in evaluation.find_all(data, find) for row in some]
    got = evaluation.score(data.annotations, rows)
    assert got["AP"] == got["AR"] == 1


def test_without_the_evaluator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(MissingExtra, match=r"pip install 'faceparts\[train\]'"):
        evaluation.score(annotations((1, person())), [])
