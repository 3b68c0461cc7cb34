"""COCO's person keypoints on hand-written annotations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset_folders import save
from faceparts.datasets import coco_keypoints
from faceparts.errors import BadData

JOINTS = [7, 9, 2, 0, 0, 0, 3, 4, 1, *[0] * 42]
SQUARE = [[2, 3, 6, 3, 6, 8, 2, 8]]


def person(**changes: Any) -> dict[str, Any]:
    one = {
        **{"id": 1, "image_id": 4, "category_id": 1, "iscrowd": 0, "num_keypoints": 2},
        **{"keypoints": JOINTS, "segmentation": SQUARE, "area": 20, "bbox": [2, 3, 4, 5]},
    }
    return {**one, **changes}


def write(root: Path, *people: dict[str, Any], **changes: Any) -> Path:
    save(root / "val2017" / "a.png", np.full((12, 20, 3), 50, np.uint8))
    image = {"id": 4, "file_name": "a.png", "height": 12, "width": 20, **changes}
    table = {"images": [image], "annotations": list(people)}
    (root / "person_keypoints_val2017.json").write_text(json.dumps(table))
    return root


def test_joints_are_in_the_middle_of_their_pixels(tmp_path: Path) -> None:
    sample = coco_keypoints.load(write(tmp_path, person()), "val2017")[0]
    assert (sample.key, sample.image_id) == ("a", 4)
    assert sample.people.shape == (1, 17, 3)
    assert sample.people[0, 0].tolist() == [7.5, 9.5, 2]
    assert sample.people[0, 2].tolist() == [3.5, 4.5, 1]
    unmarked = sample.people[0, [1, *range(3, 17)]]
    assert np.isnan(unmarked[:, :2]).all()
    assert not unmarked[:, 2].any()
    assert not sample.ignore.any()


def test_people_without_joints_and_crowds_are_ignored(tmp_path: Path) -> None:
    nobody = person(keypoints=[0] * 51, num_keypoints=0)
    runs = [0, 3, 12 * 20 - 5, 2]
    crowd = person(iscrowd=1, segmentation={"size": [12, 20], "counts": runs})
    sample = coco_keypoints.load(write(tmp_path, nobody, crowd), "val2017")[0]
    assert sample.people.shape == (0, 17, 3)
    inner, outer = np.zeros((2, 12, 20), bool)
    inner[3:8, 2:6] = outer[2:9, 1:7] = True  # the outline itself may be filled too
    inner[:3, 0] = outer[:3, 0] = True
    inner[10:, 19] = outer[10:, 19] = True
    assert sample.ignore[inner].all()
    assert not sample.ignore[~outer].any()


def test_a_picture_without_people(tmp_path: Path) -> None:
    sample = coco_keypoints.load(write(tmp_path), "val2017")[0]
    assert sample.people.shape == (0, 17, 3)
    assert sample.people.dtype == np.float32
    assert not sample.ignore.any()


def test_the_folders_of_the_published_code(tmp_path: Path) -> None:
    write(tmp_path, person())
    (tmp_path / "annotations").mkdir()
    (tmp_path / "person_keypoints_val2017.json").rename(
        tmp_path / "annotations" / "person_keypoints_val2017.json"
    )
    (tmp_path / "images").mkdir()
    (tmp_path / "val2017").rename(tmp_path / "images" / "val2017")
    assert len(coco_keypoints.load(tmp_path, "val2017")[0].people) == 1


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"keypoints": [1, 2, 3]}, "ValueError: cannot reshape"),
        ({"keypoints": [float("inf"), 1, 2, *[0] * 48]}, "a joint is not a finite number"),
        ({"keypoints": None}, "person 1 cannot be read"),
        ({"iscrowd": 1, "segmentation": [[1, 2, 3]]}, "ValueError: cannot reshape"),
        ({"iscrowd": 1, "segmentation": [[1, float("nan"), 3, 4]]}, "not made of finite numbers"),
        ({"iscrowd": 1, "segmentation": 5}, "TypeError"),
        ({"iscrowd": 1, "segmentation": {"counts": [1, 2]}}, "KeyError: 'size'"),
        (
            {"iscrowd": 1, "segmentation": {"size": [12, 20], "counts": "abc"}},
            "run lengths must be a list",
        ),
        (
            {"iscrowd": 1, "segmentation": {"size": [20, 12], "counts": [240]}},
            "run lengths must be a list, and their size the picture's",
        ),
        (
            {"iscrowd": 1, "segmentation": {"size": [12, 20], "counts": [239]}},
            "run lengths fill 239 pixels of 240",
        ),
        (
            {"iscrowd": 1, "segmentation": {"size": [12, 20], "counts": [300, -60]}},
            "run lengths fill 240 pixels of 240",
        ),
    ],
)
def test_people_that_cannot_be_read(changes: dict[str, Any], what: str, tmp_path: Path) -> None:
    data = coco_keypoints.load(write(tmp_path, person(**changes)), "val2017")
    with pytest.raises(BadData, match=what) as caught:
        data[0]
    assert "person_keypoints_val2017.json: picture 4: person 1" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "JSONDecodeError"),
        ("[]", "TypeError"),
        ("{}", "KeyError: 'images'"),
        ('{"images": [], "annotations": []}', "no pictures in it"),
        ('{"images": [{"id": "x"}], "annotations": []}', "ValueError"),
        ('{"images": [{"id": 1, "file_name": "../a"}], "annotations": []}', "with a folder in it"),
        (
            '{"images": [{"id": 1, "file_name": "a", "height": "1", "width": 2}], '
            '"annotations": []}',
            "not a whole number",
        ),
    ],
)
def test_files_that_are_not_cocos(text: str, what: str, tmp_path: Path) -> None:
    (write(tmp_path) / "person_keypoints_val2017.json").write_text(text)
    with pytest.raises(BadData, match=f"not annotations in COCO's layout .*{what}"):
        coco_keypoints.load(tmp_path, "val2017")


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coco_keypoints, "MAX_JSON_BYTES", 10)
    with pytest.raises(BadData, match="larger than 10 bytes"):
        coco_keypoints.load(write(tmp_path), "val2017")


def test_missing_pictures_and_sizes(tmp_path: Path) -> None:
    data = coco_keypoints.load(write(tmp_path, height=13), "val2017")
    with pytest.raises(BadData, match=r"a.png: 20x12 pixels, .*json says 20x13"):
        data[0]
    (tmp_path / "val2017" / "a.png").unlink()
    with pytest.raises(BadData, match=r"a.png: missing or not a picture"):
        data[0]
    (tmp_path / "val2017").rmdir()
    with pytest.raises(BadData, match=r"val2017: no such folder"):
        coco_keypoints.load(tmp_path, "val2017")
