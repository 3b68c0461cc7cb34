"""Sources in the trained label set: what labels become, what stays in memory, what is drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dataset_folders import HW, draw
from faceparts import labels
from faceparts.errors import BadData
from faceparts.labels import CELEBA19, FACE2, HAIR2, LAPA11, LFW3
from faceparts.train import pools
from faceparts.train.codes import Codes, to_trained
from faceparts.train.config import Source
from faceparts.train.pools import read_pool
from faceparts.types import IGNORE, LabelSet, Sample
from train_world import write_world

K = len(CELEBA19.parts)
SKIN, HAIR, HAT = (CELEBA19.id(p) for p in ("skin", "hair", "hat"))
PEOPLE = Source("celebamask", "people", "train", 1.0)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


def allowed(source: LabelSet, trained: LabelSet, *, partial: bool) -> dict[str, set[str]]:
    """Part of the source -> parts of the trained set that it may be; empty = ignored."""
    codes = Codes(trained)
    table = to_trained(source, codes, partial=partial)
    found = {}
    for i, part in enumerate(source.parts):
        own = int(table[i])
        ids = codes.parts.get(own, {own} if own < len(trained.parts) else ())
        found[part] = {trained.parts[k] for k in ids}
    assert (table[len(source.parts) :] == IGNORE).all()
    return found


def test_coarse_labels_stand_for_several_parts() -> None:
    got = allowed(LFW3, CELEBA19, partial=True)
    assert got["hair"] == {"hair"}
    assert got["background"] == {"background", "hat", "earring", "necklace", "clothes"}
    assert got["face"] == set(CELEBA19.parts) - got["hair"] - got["background"]
    assert allowed(LFW3, CELEBA19, partial=False)["face"] == set()


def test_hair_only_sources_are_always_partial() -> None:
    for partial in (False, True):
        got = allowed(HAIR2, CELEBA19, partial=partial)
        assert got == {"background": set(CELEBA19.parts) - {"hair"}, "hair": {"hair"}}
    assert allowed(HAIR2, HAIR2, partial=True) == {"background": {"background"}, "hair": {"hair"}}
    assert allowed(HAIR2, FACE2, partial=True) == {"background": set(), "hair": set()}


def test_finer_labels_are_merged() -> None:
    assert allowed(CELEBA19, LFW3, partial=False)["left_eye"] == {"face"}
    got = allowed(CELEBA19, LFW3, partial=True)
    assert [got[p] for p in ("hair", "left_eye", "background")] == [
        *({"hair"}, {"face"}, {"background"})
    ]
    assert got["hat"] == set()  # LFW's labels do not say what a hat is


def test_a_background_that_knows_less_is_any_of_the_rest() -> None:
    got = allowed(LAPA11, CELEBA19, partial=True)
    assert got["left_eye"] == {"left_eye"}
    assert got["background"] >= {"background", "left_ear", "neck", "clothes", "hat"}
    assert allowed(LAPA11, CELEBA19, partial=False)["background"] == {"background"}


def test_codes_mirror_as_their_parts_do() -> None:
    codes = Codes(CELEBA19)
    left = frozenset((CELEBA19.id("left_eye"), CELEBA19.id("left_brow")))
    right = frozenset((CELEBA19.id("right_eye"), CELEBA19.id("right_brow")))
    both = left | right
    here, even = codes.of(left), codes.of(both)
    table = codes.mirrored()
    there = codes.of(right)
    assert [here, even, there] == [254, 253, 252]
    assert [table[c] for c in (here, there, even, IGNORE)] == [there, here, even, IGNORE]
    assert table[CELEBA19.id("left_eye")] == CELEBA19.id("right_eye")
    assert codes.of(frozenset(range(K))) == codes.of(frozenset()) == IGNORE


def test_what_does_not_fit_is_read_again(world: Path) -> None:
    whole = read_pool(PEOPLE, world, Codes(CELEBA19), 10**6)
    one = HW[0] * HW[1] * 4
    half = read_pool(PEOPLE, world, Codes(CELEBA19), one)
    none = read_pool(PEOPLE, world, Codes(CELEBA19), 0)
    assert [len(p.kept) for p in (whole, half, none)] == [2, 1, 0]
    assert len(whole) == len(half) == len(none) == 2
    for pool in (half, none):
        assert pool.keys == whole.keys
        np.testing.assert_array_equal(pool.odds, whole.odds)
        np.testing.assert_array_equal(pool.pixels, whole.pixels)
        for (image, ids), (again, same) in zip(whole, pool, strict=True):
            assert np.array_equal(image, again)
            assert np.array_equal(ids, same)
    with pytest.raises(IndexError):
        whole[2]


def test_sources_share_what_is_kept(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "KEEP_BYTES", 3 * HW[0] * HW[1] * 4)
    sources = (PEOPLE, replace(PEOPLE, split="val"))
    found = pools.read_pools(sources, world, Codes(CELEBA19))
    assert [len(p.kept) for p in found] == [2, 1]
    assert [p.source.split for p in found] == ["train", "val"]


def test_a_pool_names_its_pictures(world: Path) -> None:
    pool = read_pool(PEOPLE, world, Codes(CELEBA19), 0)
    assert all(key.startswith("people/") for key in pool.keys)
    assert len(set(pool.keys)) == 2
    assert pool.pixels.sum() == 2 * HW[0] * HW[1]


class Made:
    """A dataset of given pictures."""

    def __init__(self, label_set: LabelSet, *samples: Sample) -> None:
        self.label_set, self.samples = label_set, samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, i: int) -> Sample:
        return self.samples[i]


@pytest.mark.parametrize(
    ("made", "changed", "message"),
    [
        (Made(HAIR2), {}, "labels nothing that face2 knows; take it out of the recipe or train"),
        (Made(FACE2), {}, "celebamask split 'train' is empty; take it out"),
        (Made(LFW3), {"sort_sides": True}, "has no nose to sort sides by; leave sort_sides out"),
        (
            Made(FACE2, Sample("a/1", draw().image, np.zeros((3, 4), np.uint8))),
            {},
            r"a/1: labels 4x3 for a picture of \d+x\d+; wanted the same size",
        ),
    ],
)
def test_sources_that_cannot_be_used(
    made: Made, changed: dict[str, bool], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from faceparts.datasets import celebamask

    monkeypatch.setattr(celebamask, "load", lambda root, split: made)
    with pytest.raises(BadData, match=message):
        read_pool(replace(PEOPLE, **changed), Path("data"), Codes(FACE2), 0)


def test_a_source_of_heads_has_no_parts(world: Path) -> None:
    source = Source("scut_head", "rooms", "train", 1.0)
    with pytest.raises(BadData, match="has no part labels; use it with task = 'heads'"):
        read_pool(source, world, Codes(CELEBA19), 0)


def test_pictures_with_rare_parts_come_more_often() -> None:
    common = np.zeros(K, np.int64)
    common[SKIN] = 16
    rare, few = common.copy(), common.copy()
    rare[HAT] = 9  # 9 pixels count, 8 do not
    few[HAT] = 8
    odds = pools.draw_odds(np.stack([rare, *[common] * 38, few]))
    assert odds.sum() == pytest.approx(1)
    assert odds[0] / odds[1] == pytest.approx((0.15 / (1 / 40)) ** 0.75)
    assert odds[39] == odds[1]
    np.testing.assert_allclose(pools.draw_odds(np.stack([common] * 4)), 0.25)


def test_rare_parts_weigh_more() -> None:
    pixels = np.zeros(256, np.int64)
    pixels[[0, SKIN, HAIR, IGNORE]] = 8799, 200, 1, 1000
    weights = pools.class_weights(pixels, K, 0.25)
    assert weights.dtype == np.float32
    assert weights[0] == pytest.approx(0.6)
    assert weights[SKIN] == pytest.approx((0.02 / (200 / 9000)) ** 0.25)
    assert weights[HAIR] == pytest.approx((0.02 * 9000) ** 0.25)
    assert weights[HAT] == 4
    np.testing.assert_array_equal(pools.class_weights(pixels, K, 0.0), 1)
    np.testing.assert_array_equal(pools.class_weights(0 * pixels, K, 0.25), 4)


@pytest.mark.parametrize("name", labels.names())
@pytest.mark.parametrize("source", labels.names())
def test_every_set_into_every_other_set(source: str, name: str) -> None:
    """Every part is allowed by what the source would call it, and by nothing that it would not."""
    own, trained = labels.get(source), labels.get(name)
    codes = Codes(trained)
    table = to_trained(own, codes, partial=True)
    up, down = labels.table(own, trained), labels.table(trained, own)
    for i in range(len(own.parts)):
        single = {int(table[i])} - {IGNORE}
        for part in codes.parts.get(int(table[i]), single):
            assert down[part] in (i, IGNORE) or up[i] == part
            if down[part] == IGNORE and up[i] != part:
                assert i == 0  # only the background holds what the source does not know
    mirrored = codes.mirrored()
    for i in {*codes.parts, *range(len(trained.parts))}:
        assert mirrored[mirrored[i]] == i
