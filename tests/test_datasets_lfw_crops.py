"""Crops of named people: what the parts become, and that nobody is in two splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dataset_folders import save
from faceparts.datasets import lfw_crops
from faceparts.datasets._pairs import Gap
from faceparts.errors import BadData
from faceparts.labels import CELEBA19, LFW3
from faceparts.types import IGNORE


def write(root: Path, stem: str, ids: np.ndarray | None = None) -> None:
    save(root / f"{stem}.jpg", np.zeros((4, 5, 3), np.uint8))
    save(root / f"{stem}.png", np.zeros((4, 5), np.uint8) if ids is None else ids)


def test_clothes_and_hats_are_background_and_necks_face(tmp_path: Path) -> None:
    names = ("background", "clothes", "hat", "earring", "necklace", "hair", "neck", "left_ear")
    ids = np.full((4, 5), IGNORE, np.uint8)
    ids.flat[: len(names)] = [CELEBA19.id(n) for n in names]
    write(tmp_path, "A_B_0001", ids)
    (pair,) = lfw_crops.load(tmp_path, "all").pairs
    assert pair.subject == "A_B"
    got = lfw_crops.load(tmp_path, "all")[0].labels.ravel()
    wanted = [0] * 5 + [LFW3.id("hair"), LFW3.id("face"), LFW3.id("face")]
    assert got.tolist() == wanted + [IGNORE] * 12


def test_nobody_is_in_two_splits(tmp_path: Path) -> None:
    for person in range(60):
        for picture in range(2):
            write(tmp_path, f"Some_One{person}_{picture:04}")
    people = {
        split: [str(p.subject) for p in lfw_crops.load(tmp_path, split).pairs]
        for split in lfw_crops.SPLITS
    }
    assert all(len(p) == 2 * len(set(p)) for p in people.values())
    three = [set(people[s]) for s in ("train", "val", "test")]
    assert sum(map(len, three)) == len(set.union(*three)) == len(set(people["all"])) == 60
    assert len(three[0]) > len(three[2]) > len(three[1]) > 0


def test_a_person_keeps_the_split_for_good() -> None:
    # by sha256sum: 4, 2 and 1 modulo 10
    names = ("Aaron_Peirsol", "Zinedine_Zidane", "Bill_Gates")
    assert [lfw_crops.split_of(n) for n in names] == ["train", "val", "test"]
    shares = [lfw_crops.split_of(str(i)) for i in range(2000)]
    assert 0.17 < shares.count("test") / 2000 < 0.23
    assert 0.08 < shares.count("val") / 2000 < 0.12


@pytest.mark.parametrize(
    ("stem", "person"), [("A_B_0001", "A_B"), ("alone", "alone"), ("_7", "_7"), ("a_b", "a_b")]
)
def test_names_of_people(stem: str, person: str) -> None:
    assert lfw_crops.person_of(stem) == person


def test_a_split_without_people(tmp_path: Path) -> None:
    write(tmp_path, "Aaron_Peirsol_0001")
    with pytest.raises(BadData, match="nobody of 1 pictures is in split 'test'; add people"):
        lfw_crops.load(tmp_path, "test")


def test_a_check_of_a_split_names_the_missing_labels_of_its_own_people(tmp_path: Path) -> None:
    for name in ("Aaron_Peirsol_0001", "Zinedine_Zidane_0001", "Bill_Gates_0001"):
        write(tmp_path, name)
        (tmp_path / f"{name}.png").unlink()
    found: dict[str, list[Gap]] = {split: [] for split in lfw_crops.SPLITS}
    for split, gaps in found.items():
        assert len(lfw_crops.load(tmp_path, split, gaps=gaps)) == 0
    assert [gap.key for gap in found["val"]] == ["Zinedine_Zidane_0001"]
    assert {split: len(gaps) for split, gaps in found.items()} == {
        **{"train": 1, "val": 1, "test": 1},
        "all": 3,
    }
