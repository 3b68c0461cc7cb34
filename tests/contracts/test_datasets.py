"""What every dataset promises; a new file in faceparts/datasets is tested here at once."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from dataset_folders import HW, LOSES, SPLITS_OF, WRITERS, draw
from faceparts import folder, labels
from faceparts.datasets._pairs import Gap
from faceparts.errors import BadData
from faceparts.types import IGNORE, POINTS, POINTS_MIRROR, LabelSet

PACKAGE = "faceparts.datasets"
NAMES = folder.names(PACKAGE)


def module_of(name: str) -> ModuleType:
    """The adapter of ``"adapter"`` or ``"adapter/layout"``."""
    return folder.load(PACKAGE, name.partition("/")[0])


SPLITS = [
    (name, split) for name in WRITERS for split in SPLITS_OF.get(name, module_of(name).SPLITS)
]
of_task = {
    task: pytest.mark.parametrize(
        ("name", "split"), [s for s in SPLITS if task == module_of(s[0]).TASK]
    )
    for task in ("parts", "heads")
}


def load(root: Path, name: str, split: str, *, mirrored: bool = False) -> Any:
    """Two drawn pictures, written in the dataset's own layout and read again."""
    for key, seed in (("1", 5), ("2", 6)):
        WRITERS[name](root, split, key, draw(seed, mirrored=mirrored))
    return module_of(name).load(root, split)


def test_every_dataset_can_be_drawn() -> None:
    missing = set(NAMES) - set(WRITERS)
    assert not missing, f"write a drawn picture of {missing} in tests/dataset_folders.py"
    assert {name.partition("/")[0] for name in WRITERS} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_module(name: str) -> None:
    module = folder.load(PACKAGE, name)
    assert module.TASK in ("parts", "heads", "keypoints")
    assert isinstance(module.SPLITS, tuple)
    assert module.SPLITS
    assert len(set(module.SPLITS)) == len(module.SPLITS)
    assert list(inspect.signature(module.load).parameters)[:2] == ["root", "split"]
    assert "ROOT" in module.__doc__, "the layout on disk belongs into the docstring"


@pytest.mark.parametrize(("name", "split"), SPLITS)
def test_length_keys_and_pictures(name: str, split: str, tmp_path: Path) -> None:
    dataset = load(tmp_path, name, split)
    assert len(dataset) == 2
    keys = [dataset[i].key for i in range(2)]
    assert len(set(keys)) == 2
    assert keys == [module_of(name).load(tmp_path, split)[i].key for i in range(2)]
    for i, seed in enumerate((5, 6)):
        image = dataset[i].image
        assert image.dtype == np.uint8
        assert image.shape == (*HW, 3)
        assert np.abs(image.astype(int) - draw(seed).image).mean() < 3  # JPEG loses some
    with pytest.raises(IndexError):
        dataset[2]


@pytest.mark.parametrize(("name", "split"), SPLITS)
def test_reading_twice_gives_the_same_from_fresh_arrays(
    name: str, split: str, tmp_path: Path
) -> None:
    dataset = load(tmp_path, name, split)
    first, again = vars(dataset[0]), vars(dataset[0])
    for field, value in first.items():
        if isinstance(value, np.ndarray):
            assert np.array_equal(value, again[field], equal_nan=value.dtype.kind == "f")
            assert not np.shares_memory(value, again[field])


@of_task["parts"]
def test_labels_are_what_was_drawn(name: str, split: str, tmp_path: Path) -> None:
    dataset = load(tmp_path, name, split)
    assert isinstance(dataset.label_set, LabelSet)
    assert labels.get(dataset.label_set.name) is dataset.label_set
    for i, seed in enumerate((5, 6)):
        sample = dataset[i]
        assert sample.labels.dtype == np.uint8
        assert sample.labels.shape == sample.image.shape[:2]
        known = {*range(len(dataset.label_set.parts)), IGNORE}
        assert set(np.unique(sample.labels).tolist()) <= known
        assert sample.subject is None or isinstance(sample.subject, str)
        drawn = labels.convert(draw(seed).ids, labels.CELEBA19, dataset.label_set, rest=0)
        assert np.array_equal(sample.labels, drawn)


@of_task["parts"]
def test_left_is_the_subjects_left(name: str, split: str, tmp_path: Path) -> None:
    dataset = load(tmp_path, name, split)
    sample, names = dataset[0], dataset.label_set.parts
    for part in names:
        if part.startswith("left_"):
            left = np.nonzero(sample.labels == names.index(part))[1]
            right = np.nonzero(sample.labels == names.index(part.replace("left", "right")))[1]
            assert left.mean() > right.mean(), part


@of_task["parts"]
def test_a_mirrored_picture_has_mirrored_labels(name: str, split: str, tmp_path: Path) -> None:
    plain = load(tmp_path / "plain", name, split)
    turned = load(tmp_path / "turned", name, split, mirrored=True)
    mirror = np.uint8(plain.label_set.mirror)
    assert np.array_equal(turned[0].labels, mirror[plain[0].labels[:, ::-1]])
    assert not np.array_equal(turned[0].labels, plain[0].labels)


@of_task["heads"]
def test_boxes_and_points(name: str, split: str, tmp_path: Path) -> None:
    sample = load(tmp_path, name, split)[0]
    boxes, points = sample.boxes_xyxy, sample.points
    assert boxes.dtype == points.dtype == np.float32
    assert boxes.shape == (1, 4)
    assert points.shape == (1, len(POINTS), 3)
    drawn = draw(5)
    x0, y0, x1, y1 = boxes[0]
    assert x0 < x1
    assert y0 < y1
    width, height = drawn.box_xyxy[2:] - drawn.box_xyxy[:2]
    assert np.abs(boxes[0] - drawn.box_xyxy).max() < 0.25 * max(width, height)
    marked = ~np.isnan(points[0, :, 0])
    assert np.array_equal(marked, ~np.isnan(points[0, :, 1]))
    assert set(points[0, marked, 2].tolist()) <= {0.0, 1.0}
    gap = np.linalg.norm(points[0, marked, :2] - drawn.points[marked, :2], axis=1)
    assert (gap < 3).all()


@of_task["heads"]
def test_a_mirrored_picture_has_mirrored_boxes(name: str, split: str, tmp_path: Path) -> None:
    plain = load(tmp_path / "plain", name, split)[0]
    turned = load(tmp_path / "turned", name, split, mirrored=True)[0]
    x0, y0, x1, y1 = plain.boxes_xyxy[0]
    w = HW[1]
    assert turned.boxes_xyxy[0] == pytest.approx([w - x1, y0, w - x0, y1], abs=1e-3)
    points = plain.points[0, list(POINTS_MIRROR)]
    points[:, 0] = w - points[:, 0]
    np.testing.assert_allclose(turned.points[0], points, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_split_lists_the_splits(name: str, tmp_path: Path) -> None:
    module = folder.load(PACKAGE, name)
    with pytest.raises(
        BadData, match=rf"^{name}: no split 'nope'; there are: .*{module.SPLITS[0]}"
    ):
        module.load(tmp_path, "nope")


@pytest.mark.parametrize(("name", "split"), SPLITS)
def test_a_missing_and_an_empty_folder(name: str, split: str, tmp_path: Path) -> None:
    module = module_of(name)
    for root in (tmp_path / "missing", tmp_path):
        with pytest.raises(BadData) as caught:
            module.load(root, split)
        assert str(root) in str(caught.value)
        assert "\n" not in str(caught.value)


def lose_two(root: Path, name: str, split: str) -> set[str]:
    """Five drawn pictures, two of which then lose a file; the keys of those two."""
    written: set[Path] = set()
    for number in range(1, 6):
        WRITERS[name](root, split, str(number), draw(number))
        if number == 3:
            written = {p for p in root.rglob("*") if p.is_file()}
            kept = {sample.key for sample in module_of(name).load(root, split)}
    every = {sample.key for sample in module_of(name).load(root, split)}
    for path in [p for p in root.rglob("*") if p.is_file() and p not in written]:
        if re.search(LOSES[name], path.as_posix()):
            path.unlink()
            if not any(path.parent.iterdir()):
                path.parent.rmdir()
    return every - kept


@pytest.mark.parametrize(("name", "split"), [s for s in SPLITS if s[0] in LOSES])
def test_all_pictures_without_their_other_file_are_named_to_a_check(
    name: str, split: str, tmp_path: Path
) -> None:
    lost, gaps = lose_two(tmp_path, name, split), list[Gap]()
    dataset = module_of(name).load(tmp_path, split, gaps=gaps)
    assert len(dataset) == 3
    assert {sample.key for sample in dataset}.isdisjoint(lost)
    assert sorted(gap.key.rpartition("/")[2] for gap in gaps) == sorted(
        key.rpartition("/")[2] for key in lost
    )
    assert all(gap.reason.startswith(str(tmp_path)) for gap in gaps)
    with pytest.raises(BadData, match=f"^{re.escape(gaps[0].reason)}$"):
        module_of(name).load(tmp_path, split)


def test_every_dataset_of_pairs_can_be_checked_though_files_are_missing() -> None:
    assert set(WRITERS) - set(LOSES) == {"fasseg", "coco_keypoints"}, (
        "FASSEG leaves such pictures out, COCO's are missed when they are read"
    )


@pytest.mark.parametrize(("name", "split"), SPLITS)
def test_a_picture_that_is_none(name: str, split: str, tmp_path: Path) -> None:
    dataset = load(tmp_path, name, split)
    files = sorted(p for p in tmp_path.rglob("*") if p.is_file())
    for path in files:
        path.write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    with pytest.raises(BadData, match=str(tmp_path)):
        dataset[0]
