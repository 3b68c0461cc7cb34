"""CelebAMask-HQ as published: merging, splits, people, every refusal; on tiny masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dataset_folders import save
from faceparts.datasets import celebamask
from faceparts.errors import BadData
from faceparts.labels import CELEBA19

HEAD = "idx            orig_idx      orig_file"


def add(root: Path, number: int, **masks: object) -> Path:
    """A 4 x 6 photo and 2 x 3 masks given as rows of 0 and 1."""
    photo = np.full((4, 6, 3), number % 256, np.uint8)
    save(root / "CelebA-HQ-img" / f"{number}.jpg", photo)
    folder = root / "CelebAMask-HQ-mask-anno" / str(number // 2000)
    folder.mkdir(parents=True, exist_ok=True)
    for part, rows in masks.items():
        white = np.uint8(rows)[..., None].repeat(3, axis=2) * np.uint8(255)
        save(folder / f"{number:05d}_{part}.png", white)
    return folder


def lists(root: Path, *numbers_and_flags: tuple[int, int]) -> None:
    rows = [f"{n}  {n + 5}  {n + 5:06d}.jpg" for n, _ in numbers_and_flags]
    (root / "CelebA-HQ-to-CelebA-mapping.txt").write_text("\n".join([HEAD, *rows]))
    flags = [f"{n + 5:06d}.jpg {flag}" for n, flag in numbers_and_flags]
    (root / "list_eval_partition.txt").write_text("\n".join(flags))


def test_later_masks_lie_on_top(tmp_path: Path) -> None:
    """Skin everywhere, hair in the left column, a hat on its upper pixel, the nose under hair."""
    folder = add(
        tmp_path,
        7,
        skin=[[1, 1, 1], [1, 1, 1]],
        hair=[[1, 0, 0], [1, 0, 0]],
        hat=[[1, 0, 0], [0, 0, 0]],
        nose=[[0, 1, 0], [1, 1, 0]],
    )
    skin, nose, hair, hat = (CELEBA19.id(p) for p in ("skin", "nose", "hair", "hat"))
    expected = [[hat, nose, skin], [hair, nose, skin]]
    assert celebamask.merge_masks(folder / "00007").tolist() == expected
    (sample,) = [celebamask.load(tmp_path, "all")[0]]
    assert sample.labels.tolist() == expected
    assert (sample.key, sample.image.shape) == ("7", (2, 3, 3))


def test_the_official_order_is_the_order_of_ids() -> None:
    ours = {"eye_g": "glasses", "ear_r": "earring", "neck_l": "necklace", "cloth": "clothes"}
    ours |= {"u_lip": "upper_lip", "l_lip": "lower_lip"}
    for part in ("eye", "brow", "ear"):
        ours |= {f"l_{part}": f"left_{part}", f"r_{part}": f"right_{part}"}
    assert ("background", *(ours.get(p, p) for p in celebamask.PARTS)) == CELEBA19.parts


def test_faint_grey_counts_as_mask(tmp_path: Path) -> None:
    folder = add(tmp_path, 1)
    save(folder / "00001_skin.png", np.uint8([[1, 0, 255]]))
    assert celebamask.merge_masks(folder / "00001").tolist() == [[1, 0, 1]]


def test_splits_follow_celeba(tmp_path: Path) -> None:
    for number in (0, 3, 2001, 10):
        add(tmp_path, number, skin=[[1, 1, 1], [1, 1, 1]])
    lists(tmp_path, (0, 0), (3, 1), (2001, 2), (10, 0))
    keys = {s: [p.key for p in celebamask.load(tmp_path, s).pairs] for s in celebamask.SPLITS}
    assert keys == {
        "train": ["0", "10"],
        "val": ["3"],
        "test": ["2001"],
        "all": ["0", "3", "10", "2001"],
    }


def test_people_are_named_if_celebas_identities_are_there(tmp_path: Path) -> None:
    for number in (0, 1):
        add(tmp_path, number, skin=[[1, 1, 1], [1, 1, 1]])
    lists(tmp_path, (0, 0), (1, 0))
    assert [p.subject for p in celebamask.load(tmp_path, "train").pairs] == [None, None]
    (tmp_path / "identity_CelebA.txt").write_text("000005.jpg 2880\n")
    assert [p.subject for p in celebamask.load(tmp_path, "train").pairs] == ["2880", None]


def test_split_files_that_are_missing(tmp_path: Path) -> None:
    add(tmp_path, 0, skin=[[1, 1, 1], [1, 1, 1]])
    with pytest.raises(BadData, match=r"list_eval_partition\.txt: missing; it comes with CelebA"):
        celebamask.load(tmp_path, "train")
    lists(tmp_path, (0, 0))
    (tmp_path / "CelebA-HQ-to-CelebA-mapping.txt").unlink()
    with pytest.raises(BadData, match=r"mapping\.txt: missing; .* split 'all' does without"):
        celebamask.load(tmp_path, "train")
    assert len(celebamask.load(tmp_path, "all")) == 1


@pytest.mark.parametrize(
    ("mapping", "flags", "message"),
    [
        ("a b c\n0 5 000005.jpg", "000005.jpg 0", r"mapping\.txt: the first row is .*wanted idx"),
        (f"{HEAD}\nx 5 000005.jpg", "000005.jpg 0", r"mapping\.txt: an idx is no number"),
        (f"{HEAD}\n0 5 000005.jpg", "000005.jpg 3", r"partition\.txt: split '3'; wanted 0, 1 or 2"),
        (f"{HEAD}\n0 5 000005.jpg", "000005.jpg 1", r"CelebA-HQ-img: no photos of train"),
        (f"{HEAD}\n0 5 000005.jpg", "000006.jpg 0", r"CelebA-HQ-img: no photos of train"),
    ],
)
def test_split_files_that_do_not_fit(
    mapping: str, flags: str, message: str, tmp_path: Path
) -> None:
    add(tmp_path, 0, skin=[[1, 1, 1], [1, 1, 1]])
    (tmp_path / "CelebA-HQ-to-CelebA-mapping.txt").write_text(mapping)
    (tmp_path / "list_eval_partition.txt").write_text(flags)
    with pytest.raises(BadData, match=message):
        celebamask.load(tmp_path, "train")


def test_a_photo_without_masks_and_masks_in_the_wrong_folder(tmp_path: Path) -> None:
    folder = add(tmp_path, 2)
    with pytest.raises(BadData, match=r"2\.jpg: no 00002_\*\.png in .*/0; unpack"):
        celebamask.load(tmp_path, "all")
    save(folder.parent / "1" / "00002_skin.png", np.zeros((2, 3), np.uint8))
    save(folder / "00002_chin.png", np.zeros((2, 3), np.uint8))
    with pytest.raises(BadData, match=r"2\.jpg: no 00002_\*\.png"):
        celebamask.load(tmp_path, "all")


def test_masks_that_went_away(tmp_path: Path) -> None:
    folder = add(tmp_path, 2, skin=[[1, 1, 1], [1, 1, 1]])
    dataset = celebamask.load(tmp_path, "all")
    (folder / "00002_skin.png").unlink()
    with pytest.raises(BadData, match=r"00002: no mask 00002_\*\.png; unpack"):
        dataset[0]


def test_masks_of_two_sizes_and_a_photo_of_another(tmp_path: Path) -> None:
    folder = add(tmp_path, 2, skin=[[1, 1, 1], [1, 1, 1]])
    save(folder / "00002_hair.png", np.zeros((3, 3), np.uint8))
    with pytest.raises(BadData, match=r"00002_hair\.png: mask of 3x3 pixels; the others .* 3x2"):
        celebamask.load(tmp_path, "all")[0]
    (folder / "00002_hair.png").unlink()
    save(tmp_path / "CelebA-HQ-img" / "2.jpg", np.zeros((4, 5, 3), np.uint8))
    with pytest.raises(BadData, match=r"00002: 3x2 labels for a picture of 5x4"):
        celebamask.load(tmp_path, "all")[0]


@pytest.mark.parametrize("gone", ["CelebA-HQ-img", "CelebAMask-HQ-mask-anno"])
def test_half_of_the_archive(gone: str, tmp_path: Path) -> None:
    kept = {"CelebA-HQ-img", "CelebAMask-HQ-mask-anno"} - {gone}
    (tmp_path / kept.pop()).mkdir()
    with pytest.raises(BadData, match=rf"{gone}: no such folder; unpack CelebAMask-HQ\.zip again"):
        celebamask.load(tmp_path, "all")


def test_neither_form(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="neither CelebA-HQ-img nor train, val, test in it"):
        celebamask.load(tmp_path, "all")


def test_the_packed_form_all_together(tmp_path: Path) -> None:
    for split in ("train", "test"):
        save(tmp_path / split / "images" / "1.jpg", np.zeros((2, 3, 3), np.uint8))
        save(tmp_path / split / "masks" / "1.png", np.zeros((2, 3), np.uint8))
    assert [p.key for p in celebamask.load(tmp_path, "all").pairs] == ["train/1", "test/1"]
