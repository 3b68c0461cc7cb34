"""Labels by vote: what the nets, the given label and chance neighbours weigh against each other."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dataset_folders import draw, write_facecrops
from faceparts.errors import BadRecipe, BadWeights
from faceparts.labels import CELEBA19
from faceparts.train import config, vote
from faceparts.train.codes import Codes
from faceparts.train.config import Source
from faceparts.train.distill import Teacher
from faceparts.train.pools import read_pool
from faceparts.train.vote import Voters, decide
from faceparts.types import IGNORE, Image, LabelSet, ModelCard
from train_world import write_world

K = len(CELEBA19.parts)
SKIN, HAIR, HAT, GLASSES = (CELEBA19.id(p) for p in ("skin", "hair", "hat", "glasses"))
DARK = np.zeros((1, 4, 3), np.uint8)


def maps(*winners: tuple[int, float]) -> np.ndarray:
    """(K, 1, N): each pixel's part with its probability, the rest is background's."""
    probs = np.zeros((K, 1, len(winners)), np.float32)
    for i, (part, share) in enumerate(winners):
        probs[0, 0, i] = 1 - share
        probs[part, 0, i] += share
    return probs


def test_the_given_label_breaks_a_tie_and_no_more() -> None:
    probs = maps((GLASSES, 0.6), (GLASSES, 0.95), (SKIN, 0.9), (HAIR, 0.6))
    ids = np.uint8([[0, 0, SKIN, IGNORE]])
    assert decide(probs, DARK, ids, 0.25, {}).tolist() == [[0, GLASSES, SKIN, HAIR]]
    assert decide(probs, DARK, ids, 0.0, {}).tolist() == [[GLASSES, GLASSES, SKIN, HAIR]]
    assert decide(probs, DARK, ids, 1.0, {}).tolist() == [[0, 0, SKIN, HAIR]]


def test_what_nobody_is_sure_of_has_no_label() -> None:
    probs = np.full((K, 1, 2), 1 / K, np.float32)
    ids = np.uint8([[IGNORE, SKIN]])
    got = decide(probs, np.zeros((1, 2, 3), np.uint8), ids, 0.25, {})
    assert got.tolist() == [[IGNORE, IGNORE]]
    sure = decide(probs, np.zeros((1, 2, 3), np.uint8), ids, 0.6, {})
    assert sure.tolist() == [[IGNORE, SKIN]]


def test_padding_stays_without_label() -> None:
    image = np.uint8([[[127] * 3, [130, 124, 127], [127, 127, 140], [127] * 3]])
    probs = maps((HAIR, 1.0), (HAIR, 1.0), (HAIR, 1.0), (HAIR, 1.0))
    got = decide(probs, image, np.uint8([[IGNORE, IGNORE, IGNORE, SKIN]]), 0.25, {})
    assert got.tolist() == [[IGNORE, IGNORE, HAIR, HAIR]]


def test_a_coarse_label_is_never_outvoted() -> None:
    codes = Codes(CELEBA19)
    no_hair = codes.of(frozenset(range(K)) - {HAIR})
    probs = maps((HAIR, 0.9), (HAT, 0.9), (HAIR, 0.5), (HAIR, 1.0))
    got = decide(probs, DARK, np.full((1, 4), no_hair, np.uint8), 0.25, codes.parts)
    assert got.tolist() == [[no_hair, HAT, 0, no_hair]]


@settings(deadline=None, max_examples=40)
@given(
    hnp.arrays(np.uint8, (3, 4), elements=st.sampled_from([0, 1, 2, 254, IGNORE])),
    st.integers(0, 2**32 - 1),
    st.floats(0, 1),
)
def test_decide_against_one_pixel_at_a_time(ids: np.ndarray, seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(3, 0.4), ids.shape).astype(np.float32).transpose(2, 0, 1)
    image = rng.choice(np.uint8([90, 127]), (*ids.shape, 1)).repeat(3, axis=2)
    codes = {254: frozenset({0, 2})}
    got = decide(probs, image, ids, share, codes)
    for y, x in np.ndindex(ids.shape):
        one, own = probs[:, y, x].astype(np.float64), int(ids[y, x])
        if own < 3:
            one = one * (1 - share)
            one[own] += share
        if own in codes:
            one[1] = 0
        if own == IGNORE and image[y, x, 0] == 127:
            assert got[y, x] == IGNORE
        elif abs(one.max() - vote.LEAST) > 1e-5 and np.sort(one)[-1] - np.sort(one)[-2] > 1e-5:
            other = 254 if own == 254 else IGNORE
            assert got[y, x] == (one.argmax() if one.max() >= vote.LEAST else other)


class Sided:
    """Calls the left half of a picture right eye, the other left eye; notes what it saw."""

    label_set: LabelSet = CELEBA19

    def __init__(self) -> None:
        self.seen: list[Image] = []
        self.card = ModelCard(
            *("sided", "segment", "celeba19", 16, (0.0,) * 3, (1.0,) * 3, 0.0, (), "", "", True),
            {},
        )

    def predict(self, crops: np.ndarray) -> np.ndarray:
        self.seen += list(crops)
        probs = np.zeros((len(crops), K, 16, 16), np.float32)
        probs[:, CELEBA19.id("right_eye"), :, :8] = 1
        probs[:, CELEBA19.id("left_eye"), :, 8:] = 1
        return probs


def test_a_net_looks_twice_at_the_whole_and_twice_at_the_head() -> None:
    net = Sided()
    one = draw(0)
    voters = Voters((Teacher(net, np.eye(K, dtype=np.float32)),), CELEBA19, 0.0, {})
    got = voters.vote(one.image, one.ids)
    assert got.shape == one.ids.shape and len(net.seen) == 4
    np.testing.assert_array_equal(net.seen[0], net.seen[1][:, ::-1])
    np.testing.assert_array_equal(net.seen[2], net.seen[3][:, ::-1])
    assert not np.array_equal(net.seen[0], net.seen[2])
    # sides stay where they are: the mirrored look was turned back, sides and all
    assert set(np.unique(got[:, 0])) <= {CELEBA19.id("right_eye"), IGNORE}
    assert set(np.unique(got[:, -1])) <= {CELEBA19.id("left_eye"), IGNORE}
    nobody = voters.vote(one.image, np.zeros_like(one.ids))
    assert len(net.seen) == 6 and set(np.unique(nobody)) == {
        CELEBA19.id("left_eye"),
        CELEBA19.id("right_eye"),
    }


def test_a_source_with_voters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = write_world(tmp_path)
    plain = Source("facecrops", "noisy", "all", 1.0)
    codes = Codes(CELEBA19)
    before = read_pool(plain, world, codes, 0)
    assert "vote" not in capsys.readouterr().err
    all_given = read_pool(replace(plain, vote=("partnet",), given=1.0), world, codes, 1 << 30)
    assert "vote on noisy" in capsys.readouterr().err
    none_given = read_pool(replace(plain, vote=("partnet",), given=0.0), world, codes, 0)
    for i in range(len(before)):
        known = before[i][1] != IGNORE
        np.testing.assert_array_equal(before[i][1][known], all_given[i][1][known])
        assert (before[i][1] != none_given[i][1])[known].any()
        np.testing.assert_array_equal(before[i][0], none_given[i][0])
    with pytest.raises(BadWeights, match="nobody"):
        read_pool(replace(plain, vote=("nobody.onnx",)), world, codes, 0)


def test_ctrl_c_does_not_wait_for_all_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = write_world(tmp_path)
    for seed in range(2, 40):
        write_facecrops(world / "noisy", "all", f"{seed}", draw(seed))
    asked: list[int] = []

    def vote_once(self: Voters, image: Image, ids: np.ndarray) -> np.ndarray:
        asked.append(1)
        if len(asked) == 3:
            raise KeyboardInterrupt
        time.sleep(0.02)
        return ids

    monkeypatch.setattr(Voters, "vote", vote_once)
    source = Source("facecrops", "noisy", "all", 1.0, vote=("partnet",))
    with pytest.raises(KeyboardInterrupt):
        read_pool(source, world, Codes(CELEBA19), 0)
    assert len(asked) < 20


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("vote", "partnet", "wanted a list of model names"),
        ("vote", [3], "wanted a list of model names"),
        ("vote", [""], "wanted a list of model names"),
        ("given", 1.5, "wanted 0..1"),
        ("given", -0.1, "wanted 0..1"),
    ],
)
def test_recipe_refuses(key: str, value: object, message: str) -> None:
    row = {"name": "facecrops", "root": "noisy", "split": "all", "share": 1.0}
    table = {
        "name": "a",
        "net": "partnet",
        "task": "parts",
        "phases": [{"until": 1.0, "size_px": 32, "batch": 2}],
    }
    ok = config.recipe_from_table({**table, "data": [{**row, "vote": ["partnet"]}]}, "here")
    assert ok.data[0].vote == ("partnet",) and ok.data[0].given == 0.25
    with pytest.raises(BadRecipe, match=message):
        config.recipe_from_table({**table, "data": [{**row, key: value}]}, "here")
