"""Every loss against a slow or an independent version of it, and sums that add up."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import jaccard_score, log_loss
from torch import Tensor
from torch.nn import functional as F

from faceparts.train import losses
from faceparts.train.fused import fused_losses
from faceparts.train.losses import Truth, coarse_sums, distill_sums, lovasz_part, sums, values

ALL = ("ce", "ce_sum", "dice", "focal", "lovasz", "boundary", "face")
FACE = torch.tensor([False, True, False, True])


def case(seed: int, pictures: int = 3) -> tuple[Tensor, Truth]:
    gen = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(pictures, 4, 6, 7, generator=gen)
    target = torch.randint(0, 3, (pictures, 6, 7), generator=gen)  # part 3 never occurs
    known = torch.rand(pictures, 6, 7, generator=gen) > 0.2
    weight = (torch.rand(pictures, 6, 7, generator=gen) + 0.5) * known
    return logits, Truth(target, known, weight)


def loss_of(name: str, logits: Tensor, truth: Truth, gamma: float = 2.0) -> Tensor:
    return values([name], sums([name], logits, truth, gamma=gamma, face=FACE))[name]


@pytest.mark.parametrize("seed", range(3))
def test_cross_entropy_is_the_log_loss_of_scikit_learn(seed: int) -> None:
    logits, truth = case(seed)
    probs = logits.softmax(1).permute(0, 2, 3, 1)[truth.known].double().numpy()
    probs /= probs.sum(1, keepdims=True)
    labels, weight = truth.target[truth.known].numpy(), truth.weight[truth.known].numpy()
    mean = log_loss(labels, probs, sample_weight=weight, labels=range(4))
    assert loss_of("ce", logits, truth).item() == pytest.approx(mean, rel=1e-5)
    summed = mean * weight.sum() / len(logits)
    assert loss_of("ce_sum", logits, truth).item() == pytest.approx(summed, rel=1e-5)


def test_the_sum_is_the_mean_times_the_pixels_in_one_picture() -> None:
    logits, truth = case(1, pictures=1)
    whole = Truth(truth.target, truth.known | True, torch.ones(1, 6, 7))
    leaf, other = (logits.clone().requires_grad_() for _ in range(2))
    torch.autograd.backward(loss_of("ce", leaf, whole))
    torch.autograd.backward(loss_of("ce_sum", other, whole))
    torch.testing.assert_close(leaf.grad * 42, other.grad)
    torch.testing.assert_close(other.grad, _entropy_gradient(logits, truth.target))


def _entropy_gradient(logits: Tensor, target: Tensor) -> Tensor:
    """Probability minus one-hot, the textbook's."""
    return logits.softmax(1) - F.one_hot(target, 4).permute(0, 3, 1, 2)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_focal_pixel_by_pixel(gamma: float) -> None:
    logits, truth = case(2)
    probs = logits.softmax(1).double().numpy()
    total = 0.0
    for n, y, x in zip(*np.nonzero(truth.known.numpy()), strict=True):
        p = probs[n, truth.target[n, y, x], y, x]
        total -= truth.weight[n, y, x].item() * (1 - p) ** gamma * np.log(p)
    got = loss_of("focal", logits, truth, gamma=gamma)
    assert got.item() == pytest.approx(total / truth.weight.sum().item(), rel=1e-5)
    if gamma == 0:
        torch.testing.assert_close(got, loss_of("ce", logits, truth))


@pytest.mark.parametrize("seed", range(3))
def test_cross_entropy_dice_and_face_are_those_of_the_fused_loss(seed: int) -> None:
    logits, truth = case(seed)
    mine, theirs = (logits.clone().requires_grad_() for _ in range(2))
    names = ["ce", "dice", "face"]
    found = values(names, sums(names, mine, truth, face=FACE))
    fused = fused_losses(theirs, truth.target, truth.weight, truth.known, None, FACE)
    torch.testing.assert_close((found["ce"], found["dice"], found["face"]), (*fused[:2], fused[3]))
    torch.autograd.backward(found["ce"] + 0.5 * found["dice"] + found["face"])
    torch.autograd.backward(fused[0] + 0.5 * fused[1] + fused[3])
    torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-7)


def test_dice_of_right_and_wrong_answers() -> None:
    target = torch.tensor([[[0, 0, 1]]])
    truth = Truth(target, target >= 0, torch.ones(1, 1, 3))
    right = 50 * F.one_hot(target, 4).permute(0, 3, 1, 2).float()
    assert loss_of("dice", right, truth).item() == pytest.approx(0, abs=1e-6)
    wrong = right.roll(2, dims=1)  # parts 2 and 3 instead of 0 and 1
    assert loss_of("dice", wrong, truth).item() == pytest.approx(1 - (1 / 3 + 1 / 2) / 2)


def test_the_face_at_hard_answers_is_the_jaccard_index_of_scikit_learn() -> None:
    target = torch.tensor([[[0, 1, 3, 3, 2, 1]], [[0, 0, 2, 2, 0, 0]]])  # the second shows none
    answer = torch.tensor([[[0, 3, 1, 0, 1, 2]], [[1, 0, 2, 2, 0, 0]]])
    known = torch.tensor([[[True, True, True, True, True, False]], [[True] * 6]])
    logits = 50 * F.one_hot(answer, 4).permute(0, 3, 1, 2).float()
    hit, said = (FACE[ids[0, 0, :5]].numpy() for ids in (target, answer))
    index = jaccard_score(hit, said)
    assert index == 2 / 4
    wanted = 1 - (2 + 1) / (4 + 1)
    got = loss_of("face", logits, Truth(target, known, known.float()))
    assert got.item() == pytest.approx(wanted, abs=1e-6)


# --- Lovasz -----------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12))
def test_lovasz_at_hard_answers_is_one_minus_jaccard(pairs: list[tuple[bool, bool]]) -> None:
    """The Lovasz extension meets the set function at the corners (Berman et al., proposition 1)."""
    truth, answer = (torch.tensor(column) for column in zip(*pairs, strict=True))
    if not truth.any():
        return
    got = lovasz_part(truth, answer.float()).item()
    assert got == pytest.approx(1 - jaccard_score(truth.numpy(), answer.numpy()), abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 9))
def test_lovasz_is_the_mean_over_thresholds(seed: int, count: int) -> None:
    """As the Choquet integral: Jaccard loss of {error > t}, t from 0 to 1."""
    rng = np.random.default_rng(seed)
    truth, probs = rng.random(count) < 0.5, rng.random(count)
    truth[0] = True
    errors = np.abs(truth - probs)
    steps = np.unique([0.0, 1.0, *errors])
    integral = 0.0
    for low, high in pairwise(steps):
        wrong = errors > (low + high) / 2
        integral += (high - low) * wrong.sum() / (truth | wrong).sum()
    got = lovasz_part(torch.from_numpy(truth), torch.from_numpy(probs)).item()
    assert got == pytest.approx(integral, abs=1e-6)


def test_lovasz_softmax_is_a_mean_of_pictures() -> None:
    logits, truth = case(4)
    probs = logits.softmax(1)
    singles = []
    for n in range(3):
        known = truth.known[n]
        parts = [
            lovasz_part(truth.target[n][known] == k, probs[n, k][known])
            for k in truth.target[n][known].unique()
        ]
        singles.append(torch.stack(parts).mean())
    torch.testing.assert_close(loss_of("lovasz", logits, truth), torch.stack(singles).mean())
    unknown = Truth(
        truth.target, truth.known & torch.tensor([True, False, True])[:, None, None], truth.weight
    )
    torch.testing.assert_close(loss_of("lovasz", logits, unknown), (singles[0] + singles[2]) / 2)


def test_lovasz_gradient() -> None:
    logits, truth = case(5)
    leaf = logits.double().requires_grad_()
    small = torch.autograd.functional.jacobian(lambda x: loss_of("lovasz", x, truth), leaf)
    step = torch.zeros_like(leaf)
    step[0, 1, 2, 3] = 1e-3
    with torch.no_grad():
        change = loss_of("lovasz", leaf + step, truth) - loss_of("lovasz", leaf - step, truth)
    assert change.item() / 2e-3 == pytest.approx(small[0, 1, 2, 3].item(), rel=0.02, abs=1e-5)


# --- boundary ---------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(1, 12))
def test_distances_are_those_of_scipy(seed: int, h: int, w: int) -> None:
    mask = np.random.default_rng(seed).random((h, w)) < 0.4
    got = losses.signed_distance(mask) * max(h, w)
    if mask.all() or not mask.any():
        assert not got.any()
        return
    inside, outside = (ndimage.distance_transform_edt(m) for m in (mask, ~mask))
    np.testing.assert_allclose(got, np.where(mask, 0.5 - inside, outside - 0.5), atol=1e-4)


def test_boundary_by_hand() -> None:
    target = torch.tensor([[[0, 0, 1, 1]]])
    truth = Truth(target, target >= 0, torch.ones(1, 1, 4))
    logits = torch.full((1, 4, 1, 4), -50.0)
    logits[0, 1] = 50  # all is called part 1: distances 1.5, 0.5, -0.5, -1.5 of 4
    assert loss_of("boundary", logits, truth).item() == pytest.approx(0, abs=1e-6)
    right = 50 * F.one_hot(target, 4).permute(0, 3, 1, 2).float()
    assert loss_of("boundary", right, truth).item() == pytest.approx(-1 / 4)
    absent = torch.full((1, 4, 1, 4), -50.0)
    absent[0, 3] = 50  # a part that is not there has no border
    assert loss_of("boundary", absent, truth).item() == pytest.approx(0, abs=1e-6)


def test_boundary_leaves_out_what_is_unknown() -> None:
    logits, truth = case(6)
    changed = torch.where(truth.known, truth.target, (truth.target + 1) % 3)
    torch.testing.assert_close(
        loss_of("boundary", logits, truth),
        loss_of("boundary", logits, Truth(changed, truth.known, truth.weight)),
    )


# --- noisy and partial labels -------------------------------------------------------------------


@pytest.mark.parametrize("how", ["soft", "hard"])
def test_bootstrapping_blends_label_and_answer(how: str) -> None:
    logits, truth = case(7)
    noisy = torch.tensor([True, False, True])
    blended = Truth(truth.target, truth.known, truth.weight, noisy, how, 0.8)
    probs = logits.softmax(1).double().numpy()
    total = 0.0
    for n, y, x in zip(*np.nonzero(truth.known.numpy()), strict=True):
        p = probs[n, :, y, x]
        aim = np.eye(4)[truth.target[n, y, x]]
        if noisy[n]:
            aim = 0.8 * aim + 0.2 * (p if how == "soft" else np.eye(4)[p.argmax()])
        total -= truth.weight[n, y, x].item() * (aim * np.log(p)).sum()
    got = loss_of("ce", logits, blended).item()
    assert got == pytest.approx(total / truth.weight.sum().item(), rel=1e-5)
    none = Truth(truth.target, truth.known, truth.weight, noisy & False, how, 0.8)
    torch.testing.assert_close(loss_of("ce", logits, none), loss_of("ce", logits, truth))


def test_a_label_that_allows_several_parts() -> None:
    logits, _ = case(8, pictures=2)
    ids = torch.zeros(2, 6, 7, dtype=torch.int64)
    ids[0, 0, :3], ids[1, 1, 1] = 254, 253
    codes = {
        254: torch.tensor([True, False, True, False]),
        253: torch.tensor([False, True, True, True]),
        252: torch.tensor([True, True, False, False]),
    }
    probs = logits.softmax(1)
    wanted = -(probs[0, [0, 2], 0, :3].sum(0).log().sum() + probs[1, 1:, 1, 1].sum().log())
    got = coarse_sums(logits, ids, codes)
    torch.testing.assert_close(got["coarse"], wanted)
    assert got["pixels"] == 84


# --- teachers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_divergence_from_a_teacher(temperature: float) -> None:
    logits, _ = case(9)
    teacher = case(10)[0].softmax(1)
    teacher[0, :, 0] = 0  # nothing to say
    got = distill_sums(logits, teacher, temperature)
    total = 0.0
    for n, y, x in np.ndindex(3, 6, 7):
        if n == 0 and y == 0:
            continue
        p = teacher[n, :, y, x].double().numpy() ** (1 / temperature)
        p /= p.sum()
        q = (logits[n, :, y, x].double() / temperature).softmax(0).numpy()
        total += (p * np.log(p / q)).sum() * temperature**2
    assert got["distill"].item() == pytest.approx(total, rel=1e-4)
    assert got["taught"] == 3 * 42 - 7


def test_a_net_that_says_what_its_teacher_says() -> None:
    logits, _ = case(11)
    got = distill_sums(logits, logits.softmax(1), 2.0)["distill"]
    assert got.item() == pytest.approx(0, abs=1e-4)
    smaller = F.interpolate(logits, (3, 4), mode="bilinear").softmax(1)
    assert distill_sums(logits, smaller, 2.0)["distill"].item() > 1


# --- pieces -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_sums_of_pieces_are_those_of_the_whole(name: str) -> None:
    logits, truth = case(12)
    whole = sums([name], logits, truth, face=FACE)
    pieces = [
        sums(
            [name],
            logits[i : i + 1],
            Truth(truth.target[i : i + 1], truth.known[i : i + 1], truth.weight[i : i + 1]),
            face=FACE,
        )
        for i in range(3)
    ]
    for key, value in whole.items():
        torch.testing.assert_close(sum(p[key] for p in pieces), value)


@pytest.mark.parametrize("name", ALL)
def test_nothing_known_costs_nothing(name: str) -> None:
    logits, truth = case(13)
    leaf = logits.requires_grad_()
    loss = loss_of(name, leaf, Truth(truth.target, truth.known & False, 0 * truth.weight))
    torch.autograd.backward(loss)
    assert loss.item() == 0
    assert leaf.grad is not None and not leaf.grad.any()
