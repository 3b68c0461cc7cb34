"""Answers: what a panel says, how it is kept, and what training makes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_folders import draw
from faceparts.errors import BadData, BadRecipe
from faceparts.labels import CELEBA19
from faceparts.train import answers, augment, config, loop
from faceparts.train.answers import Panel
from faceparts.train.codes import Codes
from faceparts.train.config import Distill, Phase, Source
from faceparts.train.distill import Teacher
from faceparts.train.parts import PartsTask
from faceparts.train.pools import read_pool
from faceparts.types import IGNORE, LabelSet, ModelCard
from train_world import PARTS, one_thread, write_world

K = len(CELEBA19.parts)
SIDES = [(CELEBA19.id(f"left_{p}"), CELEBA19.id(f"right_{p}")) for p in ("eye", "brow", "ear")]
SKIN, GLASSES, HAIR = (CELEBA19.id(p) for p in ("skin", "glasses", "hair"))
SIZE = 16


class Says:
    """A parser whose answer is drawn beforehand, whatever the picture; mirrors with it."""

    label_set: LabelSet = CELEBA19

    def __init__(self, probs: np.ndarray) -> None:
        self.probs = probs
        self.looks = 0
        self.card = ModelCard(
            *("says", "segment", "celeba19", SIZE, (0.0,) * 3, (1.0,) * 3, 0.3, (), "", "", True),
            {},
        )

    def predict(self, crops: np.ndarray) -> np.ndarray:
        self.looks += len(crops)
        if self.looks % 2 == 0:  # the second look is at the mirrored picture
            return self.probs[None][:, list(CELEBA19.mirror), :, ::-1]
        return self.probs[None]


def maps(**parts: np.ndarray) -> np.ndarray:
    """(K, 16, 16) probabilities; what no part claims is background."""
    probs = np.zeros((K, SIZE, SIZE), np.float32)
    for part, where in parts.items():
        probs[CELEBA19.id(part)] += where
    probs[0] += 1 - probs.sum(0)
    return probs


def teacher(probs: np.ndarray) -> Teacher:
    return Teacher(Says(probs), np.eye(K, dtype=np.float32))


LEFT = np.zeros((SIZE, SIZE), np.float32)
LEFT[4:8, :6] = 1
RIGHT = LEFT[:, ::-1]
PICTURE = np.full((SIZE, SIZE, 3), 60, np.uint8)
NOBODY = np.zeros((SIZE, SIZE), np.uint8)


def test_one_net_answers_what_it_sees_in_the_whole_picture() -> None:
    probs = maps(right_eye=0.7 * LEFT, left_eye=0.9 * RIGHT)
    net = teacher(probs)
    panel = Panel((net,), (3.0,), CELEBA19)
    got = panel.settle(panel.ask(PICTURE, NOBODY))
    np.testing.assert_allclose(got, probs, atol=1e-5)  # its margin is taken off again
    assert net.segmenter.looks == 2


def test_shares_weigh_and_the_first_net_decides_the_sides() -> None:
    first = maps(right_eye=0.6 * LEFT, left_eye=0.6 * RIGHT)
    guessing = maps(right_eye=0.4 * (LEFT + RIGHT), left_eye=0.6 * (LEFT + RIGHT))
    panel = Panel((teacher(first), teacher(guessing)), (1.0, 3.0), CELEBA19)
    got = panel.settle(panel.ask(PICTURE, NOBODY))
    right, left = CELEBA19.id("right_eye"), CELEBA19.id("left_eye")
    assert got[right, 5, 2] == pytest.approx(0.25 * 0.6 + 0.75 * 1.0, abs=1e-3)
    assert got[left, 5, 2] == pytest.approx(0, abs=1e-3)
    assert got[left, 5, -3] == pytest.approx(0.9, abs=1e-3)
    np.testing.assert_allclose(got.sum(0), 1, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_sorting_sides_keeps_what_is_said_of_a_pair(seed: int) -> None:
    rng = np.random.default_rng(seed)
    probs, guide = (
        rng.dirichlet(np.ones(K), (9, 7)).astype(np.float32).transpose(2, 0, 1) for _ in range(2)
    )
    got = answers.sort_sides(probs, guide, CELEBA19)
    for pair in SIDES:
        np.testing.assert_allclose(got[list(pair)].sum(0), probs[list(pair)].sum(0), atol=1e-6)
    alone = [k for k, other in enumerate(CELEBA19.mirror) if k == other]
    np.testing.assert_array_equal(got[alone], probs[alone])
    mirrored = answers.sort_sides(
        *(np.ascontiguousarray(p[list(CELEBA19.mirror), :, ::-1]) for p in (probs, guide)), CELEBA19
    )
    np.testing.assert_allclose(mirrored[list(CELEBA19.mirror), :, ::-1], got, atol=1e-5)


def test_what_covers_skin_is_the_first_nets_word_but_not_its_lines() -> None:
    hand = np.zeros((SIZE, SIZE), np.float32)
    hand[2:9, 2:9] = 1
    line = np.zeros_like(hand)
    line[13] = 1
    face = np.ones_like(hand)
    first = maps(skin=0.8 * (face - hand - line), glasses=0.0 * face)
    others = maps(skin=0.95 * face)
    mean = 0.3 * first + 0.7 * others
    got = answers.uncover(mean, [first, others], CELEBA19)
    assert got[0, 5, 5] == first[0, 5, 5] == 1 and got[SKIN, 5, 5] == 0
    assert got[SKIN, 13, 5] == mean[SKIN, 13, 5]
    doubtful = maps(skin=0.5 * hand + 0.9 * (1 - hand))
    np.testing.assert_array_equal(answers.uncover(mean, [doubtful, others], CELEBA19), mean)
    hairy = maps(hair=0.9 * hand)
    np.testing.assert_array_equal(answers.uncover(mean, [first, hairy], CELEBA19)[HAIR], mean[HAIR])


def test_kept_answers_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(K), (40, 30)).astype(np.float32).transpose(2, 0, 1)
    kept = answers.shrink(probs)
    assert kept.shape == (20, 15, K) and kept.dtype == np.uint8
    path = tmp_path / "a" / "b.png"
    answers.write(path, kept)
    np.testing.assert_array_equal(answers.read(path, K, (40, 30)), kept)
    large = answers.enlarge(kept, (40, 30))
    assert large.shape == (K, 40, 30)
    assert np.abs(large.sum(0) - 1).max() < 0.05  # every map is rounded
    assert answers.shrink(np.zeros((2, 1000, 900), np.float32)).shape == (256, 230, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no answers there"),
        (b"", "not a readable label picture"),
        (np.zeros((K * 20, 15, 3), np.uint8), "wanted a palette or grey"),
        (np.zeros((K * 20, 15), np.uint16), "wanted a palette or grey"),
        (np.zeros((K * 20, 14), np.uint8), r"14x380; wanted 15x380 \(19 maps .* 30x40\)"),
        (np.zeros((K * 20 + 1, 15), np.uint8), "wanted 15x380"),
    ],
)
def test_bad_files_are_refused(
    tmp_path: Path, content: np.ndarray | bytes | None, message: str
) -> None:
    path = tmp_path / "a.png"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        assert cv2.imwrite(str(path), content)
    with pytest.raises(BadData, match=message):
        answers.read(path, K, (40, 30))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_answers_move_with_the_labels(seed: int, flip: bool) -> None:
    rng = np.random.default_rng(seed)
    ids = np.zeros((120, 100), np.uint8)
    cv2.ellipse(ids, (50, 60), (30, 40), 0, 0, 360, 1, -1)
    cv2.rectangle(ids, (55, 70), (95, 90), 2, -1)
    kept = answers.shrink(np.eye(3, dtype=np.float32)[ids].transpose(2, 0, 1))
    matrix = augment.random_affine(ids.shape, 64, rng)
    moved = augment.warp(np.zeros((*ids.shape, 3), np.uint8), ids, matrix, 64)[1]
    if flip:
        moved = moved[:, ::-1]
    got = augment.warp_answers(kept, ids.shape, matrix, 64, mirror=flip)
    assert got.shape == (32, 32, 3)
    here = moved[::2, ::2]
    says = got.sum(-1) > 127
    assert (says == (here != IGNORE)).mean() > 0.97
    both = says & (here != IGNORE)
    assert (got.argmax(-1) == here)[both].mean() > 0.97


def test_what_has_changed_is_silent() -> None:
    kept = np.full((4, 4, 3), 85, np.uint8)
    changed = np.zeros((8, 8), bool)
    assert augment.silence(kept, changed) is kept
    changed[0, 7] = True
    got = augment.silence(kept, changed)
    assert not got[0, 3].any() and (got.sum(-1) > 0).sum() == 15


def test_answers_that_contradict_a_label_are_left_out() -> None:
    kept = np.zeros((1, 3, 2), np.uint8)
    kept[0, :, 0], kept[0, :, 1] = 200, 55
    labels = np.full((2, 6), 9, np.uint8)
    labels[0, ::2] = 0, 1, IGNORE
    got = augment.agreeing(kept, labels)
    assert got[0].tolist() == [[200, 55], [0, 0], [200, 55]]


def test_with_given_labels_only_what_agrees_is_learnt(tmp_path: Path) -> None:
    hair = np.zeros((K, *draw(0).ids.shape), np.float32)
    hair[HAIR], hair[SKIN] = 0.7, 0.3
    world = with_answers(tmp_path, hair)
    shares = []
    for share in (1.0, 0.0):
        task = PartsTask(replace(LEARNS, data=(replace(PEOPLE, given=share),)), world)
        batch = task.batch(0, Phase(1.0, 64, 4))
        assert batch.answers is not None
        says = batch.answers.float().sum(-1) > 0
        assert says.any() and (batch.labels[:, ::2, ::2][says] == HAIR).float().mean() > 0.97
        shares.append(says.float().mean().item())
    assert shares[0] < 0.7 * shares[1]


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.0])
def test_sharpening_by_hand(temperature: float) -> None:
    table = augment.sharpener(temperature).astype(float)
    assert table[0] == 0 and table[255] == 255 and table[1:].min() >= 1
    assert (np.diff(table) >= 0).all()
    probs = np.array([0.6, 0.3, 0.1])
    sharp = probs ** (1 / temperature)
    got = table[np.rint(probs * 255).astype(int)]
    np.testing.assert_allclose(got / got.sum(), sharp / sharp.sum(), atol=0.01)


def with_answers(root: Path, probs: np.ndarray | None = None) -> Path:
    """`write_world` with answers for ``people``: what is drawn, or the same map everywhere."""
    world = write_world(root)
    for seed in range(2):
        one = draw(seed, mirrored=bool(seed))
        said = np.eye(K, dtype=np.float32)[one.ids].transpose(2, 0, 1) if probs is None else probs
        answers.write(world / "said" / f"{seed}.png", answers.shrink(said))
    (world / "said" / answers.REPORT).write_text('{"nets": [{"net": "big.tflite"}]}', "utf-8")
    return world


PEOPLE = Source("celebamask", "people", "train", 1.0, answers="said", given=0.0)
LEARNS = replace(
    PARTS, data=(PEOPLE,), distill=Distill(weight=1.0), phases=(Phase(1.0, 64, 4),), steps=3
)


def test_answers_decide_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = draw(0)
    hair = np.zeros((K, *one.ids.shape), np.float32)
    hair[HAIR] = 1
    world = with_answers(tmp_path, hair)
    codes = Codes(CELEBA19)
    pool = read_pool(PEOPLE, world, codes, 1 << 30)
    assert all((ids == HAIR).all() for _, ids in pool)
    assert "answers for people" in capsys.readouterr().err
    read_pool(PEOPLE, world, codes, 0, quiet=True)
    assert not capsys.readouterr().err
    human = read_pool(replace(PEOPLE, given=1.0), world, codes, 1 << 30)
    np.testing.assert_array_equal(human[0][1], one.ids)
    said = pool.answers(1)
    assert said is not None and (said[..., HAIR] == 255).all()
    assert read_pool(replace(PEOPLE, answers=""), world, codes, 0).answers(0) is None
    (world / "said" / "1.png").unlink()
    with pytest.raises(BadData, match="no answers there"):
        read_pool(PEOPLE, world, codes, 0)


def test_batches_carry_answers_that_fit_their_labels(tmp_path: Path) -> None:
    world = with_answers(tmp_path)
    task = PartsTask(replace(LEARNS, occluders="occluders", occlude=1.0, graft=0.5), world)
    seen, silent = 0, 0
    for step in range(4):
        batch = task.batch(step, Phase(1.0, 64, 4))
        assert batch.answers is not None and batch.answers.shape == (4, 32, 32, K)
        ids = batch.labels[:, ::2, ::2]
        says = batch.answers.float().sum(-1) > 0
        assert (batch.answers.argmax(-1) == ids)[says].float().mean() > 0.93
        seen, silent = seen + int(says.sum()), silent + int((~says & (ids == 0)).sum())
    assert seen and silent  # pasted things are background that nobody was asked about
    plain = PartsTask(replace(LEARNS, distill=Distill()), world).batch(0, Phase(1.0, 64, 4))
    assert plain.answers is None


def test_the_fast_and_the_plain_loss_agree(tmp_path: Path) -> None:
    world = with_answers(tmp_path)
    with one_thread():
        task = PartsTask(LEARNS, world)
        net = torch.nn.Conv2d(3, K, 1)
        batch = task.batch(0, Phase(1.0, 64, 4))
        fast, shares = task.loss(net, batch, 0.0)
        plain, others = task.total(task.sums(net, batch, 0.0))
    assert fast.item() == pytest.approx(plain.item(), rel=1e-4)
    assert shares["distill"] == pytest.approx(others["distill"], rel=1e-4) and shares["distill"] > 0
    heavy = replace(LEARNS, distill=Distill(weight=3.0))
    task.recipe = heavy
    assert task.loss(net, batch, 0.0)[0].item() == pytest.approx(
        fast.item() + 2 * shares["distill"], rel=1e-4
    )


def test_a_training_with_answers_runs(tmp_path: Path) -> None:
    world = with_answers(tmp_path)
    with one_thread():
        loop.train(LEARNS, world, tmp_path / "out")
    listed = json.loads((tmp_path / "out" / "data.json").read_text("utf-8"))
    assert listed["started_from"] == ["big"]
    (world / "said" / answers.REPORT).write_text("{}", "utf-8")
    with pytest.raises(BadData, match="does not say whose answers these are"):
        loop.train(LEARNS, world, tmp_path / "other")


TABLE = {
    "name": "a",
    "net": "partnet",
    "task": "parts",
    "phases": [{"until": 1.0, "size_px": 32, "batch": 2}],
}


@pytest.mark.parametrize(
    ("row", "distilled", "message"),
    [
        ({"answers": "a", "vote": ["partnet"]}, {}, "leave vote out"),
        ({"answers": "a"}, {"model": "partnet", "weight": 1.0}, "no model where sources have"),
        ({}, {"weight": 1.0}, "wanted a model"),
        ({"answers": 3}, {}, "answers"),
    ],
)
def test_recipe_refuses(row: dict[str, object], distilled: dict[str, object], message: str) -> None:
    source = {"name": "facecrops", "root": "noisy", "split": "all", "share": 1.0}
    table = {**TABLE, "data": [{**source, **row}], "distill": distilled}
    with pytest.raises(BadRecipe, match=message):
        config.recipe_from_table(table, "here")


def test_recipe_takes_answers_with_and_without_learning_them() -> None:
    row = {"name": "facecrops", "root": "noisy", "split": "all", "share": 1.0, "answers": "said"}
    for distilled in ({}, {"weight": 0.5}):
        recipe = config.recipe_from_table({**TABLE, "data": [row], "distill": distilled}, "here")
        assert recipe.data[0].answers == "said"


def test_agreement_with_labels() -> None:
    """Sides do not count, nor pixels without a label or without an answer."""
    skin, left, right = (CELEBA19.id(part) for part in ("skin", "left_eye", "right_eye"))
    ids = np.array([[skin, left, skin, IGNORE, skin]], np.uint8)
    probs = np.zeros((len(CELEBA19.parts), 1, 5), np.float32)
    for column, said in enumerate((skin, right, left, skin)):
        probs[said, 0, column] = 1
    assert answers.agreement(probs, ids, CELEBA19) == (2, 3)
