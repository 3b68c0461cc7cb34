"""``data.json``: the pictures that a training saw, by content, and who reads it."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from cli_world import call, make_card, make_net
from dataset_folders import draw, write_coco_keypoints
from evaluate_world import write_packed
from faceparts.errors import BadData
from faceparts.evaluate import held_out
from faceparts.train.config import Distill, Source
from faceparts.train.data_list import Used, used_by, write_data
from train_world import HEADS, PARTS, write_world

TRAIN, VAL = PARTS.data[0], PARTS.val[0]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("data"))


def sha(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def written(used: Used, root: Path, path: Path, *, resumed: bool = False) -> Any:
    write_data(used, root, path, resumed=resumed)
    return json.loads(path.read_text())


def test_every_picture_by_its_content(world: Path, tmp_path: Path) -> None:
    found = written(used_by(HEADS), world, tmp_path / "data.json")
    assert found["name"] == "tiny"
    assert found["started_from"] == []
    images = world / "rooms" / "train" / "images"
    assert found["pictures"][:2] == [
        {"source": "scut_head:rooms:train", "key": key, "sha256": sha(images / f"{key}.jpg")}
        for key in ("0", "1")
    ]
    faces = world / "people" / "train" / "images"
    empty = [sha(path) for path in sorted((world / "empty").iterdir())]
    wanted = [sha(images / "0.jpg"), sha(images / "1.jpg")]
    wanted += [sha(faces / "0.jpg"), sha(faces / "1.jpg"), *empty]
    assert [row["sha256"] for row in found["pictures"]] == wanted
    assert [row["source"] for row in found["pictures"][-3:]] == ["empty"] * 3
    assert [row["key"] for row in found["chose"]] == ["0", "1"]
    assert str(tmp_path) not in json.dumps(found)
    assert str(world) not in json.dumps(found)


def test_places_outside_the_data_root_are_not_told(world: Path, tmp_path: Path) -> None:
    source = replace(TRAIN, root=str(world / "people"))
    init = str(tmp_path / "models" / "partnet.int8.onnx")
    used = Used("mine", [source], init=init)
    found = written(used, tmp_path, tmp_path / "data.json")
    assert {row["source"] for row in found["pictures"]} == {"celebamask:people:train"}
    assert found["started_from"] == ["partnet"]
    assert str(tmp_path) not in json.dumps(found)


def test_a_picture_of_two_sources_is_listed_for_each(world: Path, tmp_path: Path) -> None:
    again = replace(TRAIN, share=0.2)
    found = written(Used("x", [TRAIN, again, VAL]), world, tmp_path / "data.json")
    assert len(found["pictures"]) == 4


def test_pictures_that_a_file_describes_together(tmp_path: Path) -> None:
    for key in ("1", "2"):
        write_coco_keypoints(tmp_path, "val2017", key, draw(int(key)))
    source = Source("coco_keypoints", ".", "val2017", 1.0)
    found = written(Used("x", [source]), tmp_path, tmp_path / "data.json")
    wanted = [sha(tmp_path / "val2017" / f"{key}.png") for key in ("1", "2")]
    assert [row["sha256"] for row in found["pictures"]] == wanted


def test_a_resumed_training_keeps_what_it_has_seen(world: Path, tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    first = written(Used("x", [TRAIN], [VAL], init="a"), world, path)
    other = Source("facecrops", "noisy", "all", 1.0)
    resumed = written(Used("x", [TRAIN, other], init="b"), world, path, resumed=True)
    assert resumed["pictures"][:2] == first["pictures"]
    assert len(resumed["pictures"]) == 4
    assert resumed["chose"] == first["chose"]
    assert resumed["started_from"] == ["a", "b"]
    anew = written(Used("x", [other]), world, path)
    assert len(anew["pictures"]) == 2
    assert anew["chose"] == anew["started_from"] == []


def test_a_resumed_training_without_a_list_begins_one(world: Path, tmp_path: Path) -> None:
    assert len(written(Used("x", [TRAIN]), world, tmp_path / "a", resumed=True)["pictures"]) == 2


@pytest.mark.parametrize(
    "text", ["", "[]", '{"pictures": [], "chose": []}', '{"pictures": [{"sha256": 3}]}']
)
def test_a_damaged_list_is_not_added_to(text: str, world: Path, tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text(text)
    with pytest.raises(BadData, match=r"data\.json: not the list of this training's pictures"):
        write_data(Used("x", [TRAIN]), world, path, resumed=True)
    assert path.read_text() == text
    assert len(written(Used("x", [TRAIN]), world, path)["pictures"]) == 2


def test_values_that_are_no_text(world: Path, tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text('{"pictures": [{"sha256": 3}], "chose": [], "started_from": []}')
    with pytest.raises(BadData, match="not all are texts"):
        write_data(Used("x", [TRAIN]), world, path, resumed=True)


def test_negatives_that_are_gone(world: Path, tmp_path: Path) -> None:
    with pytest.raises(BadData, match="none: no such folder; it should hold pictures without"):
        write_data(Used("x", [TRAIN], negatives="none"), world, tmp_path / "data.json")


def test_an_evaluation_reads_it(world: Path, tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    write_data(Used("x", [TRAIN], [VAL]), world, path)
    lists = held_out.read_lists([path])
    assert lists.trained == {
        bytes.fromhex(sha(p)) for p in (world / "people/train/images").iterdir()
    }
    assert len(lists.chose) == 2
    assert lists.began == ()


def test_audit_proves_or_refuses_with_it(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    for seed, split in enumerate(("train", "train", "val", "val")):
        one = draw(seed)
        square = replace(one, image=one.image[:, :90], ids=one.ids[:, :90])
        write_packed(tmp_path / "people", split, f"p{seed}", square)
    net = make_net(tmp_path / "net.onnx", make_card(trained_on=("CelebAMask-HQ",)))
    fast = ("--resamples", 100, "--threads", 1, "--small", 2, "--quiet", "--prove")
    audit = ("audit", net, "--data", f"celebamask:{tmp_path}/people:val", *fast)
    assert call(*audit).code == 3
    write_data(Used("x", [TRAIN], init="partnet"), tmp_path, path)
    assert call(*audit, "--trained-on-list", path).code == 3
    write_data(Used("x", [TRAIN]), tmp_path, path)
    of_another = call(*audit, "--trained-on-list", path)
    assert of_another.code == 3 and "these are of x, not of colours" in of_another.err
    write_data(Used("colours", [TRAIN]), tmp_path, path)
    done = call(*audit, "--trained-on-list", path)
    assert done.code == 0, done.err
    write_data(Used("x", [VAL]), tmp_path, path)
    refused = call(*audit, "--trained-on-list", path)
    assert refused.code == 2
    assert "2 of these pictures are in the list of training pictures" in refused.err


def test_nets_that_taught_are_named(world: Path, tmp_path: Path) -> None:
    voted = replace(TRAIN, vote=("partnet", "runs/other.int8.onnx"))
    recipe = replace(PARTS, data=(voted,), distill=Distill("teachers/big.tflite", 0.5), init="a")
    found = written(used_by(recipe), world, tmp_path / "data.json")
    assert found["started_from"] == ["a", "partnet", "other", "big"]
