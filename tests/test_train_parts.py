"""The parsing task: batches from drawn faces, the loss against a slow one, what is left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dataset_folders import HW
from faceparts import labels
from faceparts.errors import BadData, BadRecipe, UnknownName
from faceparts.labels import CELEBA19
from faceparts.train import augment, parts
from faceparts.train.config import Source
from faceparts.train.parts import Batch, PartsTask
from faceparts.types import IGNORE
from train_world import PARTS, losses_of_learning, one_thread, write_world

K = len(CELEBA19.parts)
HAIR, SKIN = CELEBA19.id("hair"), CELEBA19.id("skin")
NOT_HAIR = 254
"""The first code that is given out: hair-only sources are the only partial ones here."""
MIXED = replace(
    PARTS,
    data=(
        Source("celebamask", "people", "train", 0.5),
        Source("facecrops", "noisy", "all", 0.3, weight=0.6, trust=0.3),
        Source("figaro", "hair", "all", 0.2),
    ),
    occluders="occluders",
    occlude=0.5,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def mixed(world: Path) -> PartsTask:
    return PartsTask(MIXED, world)


class Says(nn.Module):
    """A net that says the same whatever it sees."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits


def batch_of(ids: np.ndarray, weight: tuple[float, ...] = (), trusted: tuple[bool, ...] = ()):
    count = len(ids)
    return Batch(
        torch.zeros(count, 3, *ids.shape[1:]),
        torch.from_numpy(ids).long(),
        torch.tensor(weight or (1.0,) * count),
        torch.tensor(trusted or (True,) * count),
    )


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def slow_dice(probs: np.ndarray, ids: np.ndarray) -> float:
    """One minus the mean of (2 |a b| + 1) / (|a| + |b| + 1) over the parts that occur."""
    scores = []
    known = ids < K
    for part in range(K):
        where = ids == part
        if where.any():
            given = probs[:, part]
            scores.append((2 * given[where].sum() + 1) / (given[known].sum() + where.sum() + 1))
    return 1 - float(np.mean(scores))


def slow_loss(
    logits: np.ndarray, ids: np.ndarray, weight: np.ndarray, class_weight: np.ndarray
) -> float:
    probs = softmax(logits)
    total = norm = against = 0.0
    for n, row, column in np.ndindex(ids.shape):
        part = ids[n, row, column]
        if part == NOT_HAIR:
            against -= np.log(1 - probs[n, HAIR, row, column])
        elif part < K:
            factor = weight[n] * class_weight[part]
            total -= factor * np.log(probs[n, part, row, column])
            norm += factor
    return total / max(1, norm) + 0.5 * slow_dice(probs, ids) + against / ids.size


def random_case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (2, K, 6, 7)).astype(np.float32)
    ids = rng.choice([0, 1, 2, 13, HAIR, NOT_HAIR, IGNORE], (2, 6, 7)).astype(np.uint8)
    return logits, ids


@pytest.mark.parametrize("seed", range(3))
def test_loss_against_slow_loops(seed: int, mixed: PartsTask) -> None:
    logits, ids = random_case(seed)
    batch = batch_of(ids, (1.0, 0.6))
    total, shares = mixed.loss(Says(torch.from_numpy(logits)), batch, 0.0)
    slow = slow_loss(logits, ids, np.array([1.0, 0.6]), mixed.class_weight.numpy())
    assert total.item() == pytest.approx(slow, rel=1e-4)
    assert shares["dice"] == pytest.approx(slow_dice(softmax(logits), ids), rel=1e-4)


def test_a_batch_that_nobody_labelled_costs_nothing(mixed: PartsTask) -> None:
    net = Says(torch.randn(1, K, 4, 4))
    total, _ = mixed.loss(net, batch_of(np.full((1, 4, 4), IGNORE, np.uint8)), 0.0)
    torch.autograd.backward(total)
    assert total.item() == 0
    assert net.logits.grad is not None
    assert not net.logits.grad.any()


def test_not_hair_pushes_hair_down_and_nothing_else_up(mixed: PartsTask) -> None:
    net = Says(torch.zeros(1, K, 2, 2))
    total, shares = mixed.loss(net, batch_of(np.full((1, 2, 2), NOT_HAIR, np.uint8)), 0.0)
    assert total.item() == pytest.approx(-np.log(1 - 1 / K), rel=1e-5)
    assert shares["ce"] == 0
    torch.autograd.backward(total)
    assert net.logits.grad is not None
    assert (net.logits.grad[:, HAIR] > 0).all()
    others = [i for i in range(K) if i != HAIR]
    assert net.logits.grad[:, others].std() < 1e-9  # whatever else it is, all gain alike


def sure_of(part: int, hw: tuple[int, int] = (2, 2), count: int = 1) -> Tensor:
    logits = torch.zeros(count, K, *hw)
    logits[:, part] = 9
    return logits


def test_doubted_labels_are_left_out_only_where_the_net_is_sure(mixed: PartsTask) -> None:
    log_probs = torch.log_softmax(sure_of(SKIN, (1, 3)), dim=1)
    log_probs[0, :, 0, 2] = torch.log_softmax(torch.zeros(K), dim=0)  # not sure there
    ids = torch.tensor([[[SKIN, HAIR, HAIR]]])
    noisy, right = torch.tensor([False]), torch.tensor([True])
    drop = parts.drop_doubted
    assert drop(log_probs, ids, noisy).tolist() == [[[SKIN, IGNORE, HAIR]]]
    assert drop(log_probs, ids, right).tolist() == ids.tolist()
    both = drop(log_probs.repeat(2, 1, 1, 1), ids.repeat(2, 1, 1), torch.tensor([True, False]))
    assert both.tolist() == [[[SKIN, HAIR, HAIR]], [[SKIN, IGNORE, HAIR]]]


def test_doubt_takes_labels_out_of_the_loss(mixed: PartsTask) -> None:
    ids = np.full((1, 2, 2), SKIN, np.uint8)
    ids[0, 0, 0] = HAIR
    batch = batch_of(ids, trusted=(False,))
    early, _ = mixed.loss(Says(sure_of(SKIN)), batch, 0.1)
    late, _ = mixed.loss(Says(sure_of(SKIN)), batch, 0.5)
    assert early.item() > 1
    assert late.item() < 0.1


def test_sources_in_our_label_set(mixed: PartsTask) -> None:
    people, noisy, hair = mixed.pools
    assert mixed.outputs == K
    assert len(people) == len(noisy) == len(hair) == 2
    assert np.array_equal(people[0][1], noisy[0][1])
    assert set(np.unique(hair[0][1]).tolist()) == {HAIR, NOT_HAIR}
    assert np.array_equal(hair[0][1] == HAIR, people[0][1] == HAIR)
    assert {k: v.nonzero().flatten().tolist() for k, v in mixed.codes.items()} == {
        NOT_HAIR: [i for i in range(K) if i != HAIR]
    }
    np.testing.assert_allclose(mixed.shares, [0.5, 0.3, 0.2])


def test_the_same_step_gives_the_same_batch(world: Path, mixed: PartsTask) -> None:
    other = PartsTask(MIXED, world)
    for phase in MIXED.phases:
        size = phase.size_px
        for step in (0, 3, 11):
            a, b = mixed.batch(step, phase), other.batch(step, phase)
            assert a.images.shape == (2, 3, size, size)
            assert a.labels.shape == (2, size, size)
            assert a.labels.dtype == torch.int64
            assert a.images.abs().max() <= 1
            assert set(a.labels.unique().tolist()) <= {*range(K), NOT_HAIR, IGNORE}
            for name in ("images", "labels", "weight", "trusted"):
                assert torch.equal(getattr(a, name), getattr(b, name))
    first, second = (mixed.batch(s, MIXED.phases[0]).images for s in (0, 1))
    assert not torch.equal(first, second)


def test_two_batches_are_the_halves_of_one(mixed: PartsTask) -> None:
    phase = MIXED.phases[0]
    whole = mixed.batch(3, replace(phase, batch=4))
    halves = [mixed.batch(n, phase) for n in (6, 7)]
    for name in ("images", "labels", "weight", "trusted"):
        assert torch.equal(getattr(whole, name), torch.cat([getattr(h, name) for h in halves]))
    assert whole.keys == (*halves[0].keys, *halves[1].keys)
    assert {key.partition("/")[0] for key in whole.keys} <= {"people", "noisy", "hair"}


@pytest.mark.parametrize("name", ["lfw3", "fasseg6", "face2", "hair2", "lapa11"])
def test_any_label_set_can_be_trained(name: str, world: Path) -> None:
    sources = (PARTS.data[0], Source("figaro", "hair", "all", 0.2))
    sources = sources[: 1 if name == "face2" else 2]  # hair says nothing about a bare face
    task = PartsTask(replace(PARTS, label_set=name, data=sources), world)
    count = len(labels.get(name).parts)
    assert task.outputs == parts.outputs_of(task.recipe) == count
    batch = task.batch(0, PARTS.phases[0])
    assert set(batch.labels.unique().tolist()) <= {*range(count), *task.codes, IGNORE}
    net = Says(torch.zeros(1, count, 32, 32).repeat(2, 1, 1, 1))
    loss, _ = task.loss(net, batch, 0.0)
    torch.autograd.backward(loss)
    assert net.logits.grad is not None and net.logits.grad.abs().sum() > 0
    scores = task.validate(Paints(np.zeros((4, 4), np.uint8), count))
    assert list(scores) == ["mean_f1", *(f"f1_{p}" for p in labels.get(name).parts)]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"occlude": 0.5, "occluders": "occluders"}, "occluders needs a label set with left_eye"),
        ({"graft": 0.5}, "graft needs a label set with .*; lfw3 has no"),
        ({"jewels": 0.5}, "jewels needs a label set with .*; lfw3 has no"),
    ],
)
def test_parts_that_pasting_needs(changed: dict[str, Any], message: str, world: Path) -> None:
    with pytest.raises(BadRecipe, match=message):
        PartsTask(replace(PARTS, label_set="lfw3", **changed), world)


def test_a_loss_of_the_face_needs_a_face(world: Path) -> None:
    with pytest.raises(BadRecipe, match=r"the loss face needs parts of the face.*hair2 has none"):
        PartsTask(replace(PARTS, label_set="hair2", loss={"face": 1.0}), world)


@pytest.mark.parametrize("name", ["ce_sum", "focal", "lovasz", "boundary", "face"])
def test_the_recipe_chooses_the_loss(name: str, world: Path, mixed: PartsTask) -> None:
    logits, ids = random_case(5)
    one, two = (
        PartsTask(replace(MIXED, loss=loss), world)
        for loss in ({name: 1.0}, {"dice": 0.0, name: 3.0})
    )
    batch, net = batch_of(ids), Says(torch.from_numpy(logits))
    first, shares = one.loss(net, batch, 0.0)
    coarse = shares["coarse"]
    assert first.item() == pytest.approx(shares[name] + coarse, rel=1e-5)
    second, shares = two.loss(net, batch, 0.0)
    times = 3 if name == "ce_sum" else 1  # summed over a picture, as what is certain is
    assert second.item() == pytest.approx(3 * shares[name] + times * coarse, rel=1e-5)
    fused = {"ce"} if name == "face" else set()  # one pass works out all that it can
    assert set(shares) == {"dice", name, "coarse"} | fused


def test_the_fused_loss_is_the_plain_one(mixed: PartsTask) -> None:
    logits, ids = random_case(6)
    batch, net = batch_of(ids, (1.0, 0.6)), Says(torch.from_numpy(logits))
    fused, shares = mixed.loss(net, batch, 0.0)
    plain, others = mixed.total(mixed.sums(net, batch, 0.0))
    torch.testing.assert_close(fused, plain)
    assert shares == pytest.approx(others, rel=1e-4)


def test_the_fused_loss_of_the_face_is_the_plain_one(world: Path) -> None:
    task = PartsTask(replace(MIXED, loss={"ce": 1.0, "dice": 0.5, "face": 0.7}), world)
    logits, ids = random_case(8)
    ids[0, 0, 0] = SKIN
    batch, net = batch_of(ids, (1.0, 0.6)), Says(torch.from_numpy(logits))
    fused, shares = task.loss(net, batch, 0.0)
    plain, others = task.total(task.sums(net, batch, 0.0))
    torch.testing.assert_close(fused, plain)
    assert shares == pytest.approx(others, rel=1e-4) and 0 < shares["face"] < 1


def test_a_loss_of_the_face_without_weight_changes_nothing(world: Path) -> None:
    logits, ids = random_case(9)
    batch, net = batch_of(ids), Says(torch.from_numpy(logits))
    for other in ("focal", "ce"):  # one pass over sums, one fused
        plain, _ = PartsTask(replace(MIXED, loss={other: 1.0}), world).loss(net, batch, 0.0)
        task = PartsTask(replace(MIXED, loss={other: 1.0, "face": 0.0}), world)
        loss, shares = task.loss(net, batch, 0.0)
        torch.testing.assert_close(loss, plain)
        assert 0 <= shares["face"] <= 1


@pytest.mark.parametrize("how", ["soft", "hard"])
def test_noisy_labels_may_be_blended(how: str, world: Path) -> None:
    task = PartsTask(replace(MIXED, noisy=how), world)
    ids = np.full((1, 2, 2), SKIN, np.uint8)
    ids[0, 0, 0] = HAIR
    net = Says(sure_of(SKIN))
    early, _ = task.loss(net, batch_of(ids, trusted=(False,)), 0.1)
    late, shares = task.loss(net, batch_of(ids, trusted=(False,)), 0.5)
    right, _ = task.loss(net, batch_of(ids), 0.5)
    assert late.item() < early.item() == right.item()
    assert shares["ce"] > 0.5  # still there, unlike with "drop"


def test_a_source_without_weight_says_nothing(mixed: PartsTask) -> None:
    _, ids = random_case(7)
    ids[ids == NOT_HAIR] = IGNORE
    net = Says(torch.randn(2, K, 6, 7))
    loss, _ = mixed.loss(net, batch_of(ids, (0.0, 0.0)), 0.0)
    assert loss.item() == 0


def test_grafts_come_from_the_first_source(world: Path, mixed: PartsTask) -> None:
    assert mixed.grafts is None
    task = PartsTask(replace(PARTS, graft=1.0), world)
    assert task.grafts is not None
    image, ids = task.pools[0][0]
    put_on = [
        task.grafts.graft(image, ids, np.random.default_rng(i), CELEBA19)[1] for i in range(20)
    ]
    assert all(i.shape == ids.shape for i in put_on)


@pytest.mark.parametrize("key", ["jewels", "restyle"])
def test_the_recipe_says_what_is_drawn_on(key: str, world: Path) -> None:
    """Of the same chance, with and without: other pictures, and labels unless only looks change."""
    plain = replace(PARTS, occlude=0.0, occluders="", graft=0.0)
    without, with_it = PartsTask(plain, world), PartsTask(replace(plain, **{key: 1.0}), world)
    pictures, ids = 0, 0
    for seed in range(25):
        one, two = (
            t._augment(*t.pools[0][0], None, 64, np.random.default_rng(seed))
            for t in (without, with_it)
        )
        assert one[1].shape == two[1].shape
        pictures += bool((one[1] != two[1]).any())
        ids += bool((one[2] != two[2]).any())
    assert pictures > 3
    assert (ids == 0) == (key == "restyle")


def test_weights_and_trust_follow_the_source(mixed: PartsTask) -> None:
    seen = set()
    for step in range(30):
        batch = mixed.batch(step, MIXED.phases[0])
        for ids, weight, trusted in zip(batch.labels, batch.weight, batch.trusted, strict=True):
            kind = "hair" if (ids == NOT_HAIR).any() else "parts"
            seen.add((kind, round(float(weight), 3), bool(trusted)))
    assert seen == {("parts", 1.0, True), ("parts", 0.6, False), ("hair", 1.0, True)}


def test_mirror_keeps_what_is_not_hair(mixed: PartsTask) -> None:
    image = np.zeros((1, 3, 3), np.uint8)
    ids = np.uint8([[CELEBA19.id("left_ear"), NOT_HAIR, IGNORE]])
    _, got = augment.mirror(image, ids, mixed.mirror)
    assert got.tolist() == [[IGNORE, NOT_HAIR, CELEBA19.id("right_ear")]]


class Paints(nn.Module):
    """A net that always finds the labels given, whatever the size asked for."""

    def __init__(self, ids: np.ndarray, count: int = K) -> None:
        super().__init__()
        self.ids, self.count = torch.from_numpy(ids), count

    def forward(self, x: Tensor) -> Tensor:
        known = torch.where(self.ids < self.count, self.ids, 0).long()
        logits = nn.functional.one_hot(known, self.count).permute(2, 0, 1)[None].float()
        return nn.functional.interpolate(logits, x.shape[2:], mode="nearest")


def test_validate_pools_one_matrix(world: Path) -> None:
    task = PartsTask(replace(PARTS, phases=(replace(PARTS.phases[1], size_px=96),)), world)
    image, right = task.val[0][0]
    task.val = [replace(task.val[0], keys=("one",), kept={0: (image, right)})]
    whole = task.validate(Paints(right))
    assert set(whole) == {"mean_f1", *(f"f1_{p}" for p in CELEBA19.parts)}
    assert whole["f1_hair"] > 0.9
    assert whole["f1_hat"] == 0  # there is none: it counts as not found
    nothing = task.validate(Paints(0 * right))
    background = int((right == 0).sum())
    assert nothing["f1_background"] == pytest.approx(2 * background / (background + right.size))
    assert nothing["mean_f1"] == 0
    half = right.copy()
    half[:, : HW[1] // 2] = IGNORE
    task.val = [replace(task.val[0], kept={0: (image, half)})]
    seen = (half == 0).sum()
    assert task.validate(Paints(0 * right))["f1_background"] == pytest.approx(
        2 * seen / (seen + (half < K).sum())
    )


def test_validate_without_pictures(world: Path) -> None:
    task = PartsTask(replace(PARTS, val=()), world)
    assert task.validate(Paints(np.zeros((4, 4), np.uint8)))["mean_f1"] == 0


def test_the_net_learns_from_what_it_will_see(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Sees(Paints):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return super().forward(x)

    seen: list[Tensor] = []
    monkeypatch.setattr(parts, "evened_crops", lambda crops: np.full_like(crops, 255))
    task = PartsTask(replace(PARTS, card=replace(PARTS.card, even_light=True)), world)
    assert (task.batch(0, PARTS.phases[0]).images == 1).all()
    task.validate(Sees(np.zeros((8, 8), np.uint8)))
    assert seen and all((one == 1).all() for one in seen)
    assert not (PartsTask(PARTS, world).batch(0, PARTS.phases[0]).images == 1).all()


def test_a_net_learns_a_batch(world: Path) -> None:
    from faceparts.train.nets.partnet import PartNet

    with one_thread():
        torch.manual_seed(0)
        task, net = PartsTask(PARTS, world), PartNet(K, (8, 8, 8, 8, 8), (1, 0, 0, 0))
        batch = task.batch(0, PARTS.phases[0])
        losses = losses_of_learning(task, net, batch, lr=1e-2, steps=10)
    assert losses[-1] < 0.9 * losses[0]


def test_missing_sources(world: Path) -> None:
    with pytest.raises(BadData, match="gone"):
        PartsTask(replace(PARTS, data=(Source("celebamask", "gone", "train", 1.0),)), world)
    with pytest.raises(BadData, match="no occluders"):
        PartsTask(replace(PARTS, occluders="nothing"), world)
    with pytest.raises(UnknownName, match="no dataset named 'celeb'"):
        PartsTask(replace(PARTS, data=(Source("celeb", "people", "train", 1.0),)), world)
