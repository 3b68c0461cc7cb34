"""The fused loss against what autograd makes of the definition."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from faceparts.train.fused import fused_losses


def plain(logits: Tensor, target: Tensor, weight: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """The definition, term by term."""
    log_probs = F.log_softmax(logits.float(), dim=1)
    entropy = F.nll_loss(log_probs, target, reduction="none") * weight
    scores = []
    for part in range(logits.shape[1]):
        here = (target == part) & known
        if here.any():
            probs = log_probs[:, part].exp()
            scores.append((2 * probs[here].sum() + 1) / (probs[known].sum() + here.sum() + 1))
    dice = 1 - torch.stack(scores).mean() if scores else logits.sum() * 0
    return entropy.sum() / weight.sum().clamp_min(1), dice


def scene(seed: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    gen = torch.Generator().manual_seed(seed)
    logits = (3 * torch.randn(2, 5, 6, 7, generator=gen)).to(dtype)
    target = torch.randint(0, 4, (2, 6, 7), generator=gen)  # part 4 never occurs
    known = torch.rand(2, 6, 7, generator=gen) > 0.3
    weight = torch.rand(2, 6, 7, generator=gen) * known
    return logits.contiguous(memory_format=torch.channels_last), target, weight, known


@pytest.mark.parametrize("factors", [(1.0, 0.0), (0.0, 1.0), (1.0, 0.5), (0.3, 2.0)])
@pytest.mark.parametrize("seed", range(3))
def test_values_and_gradients(seed: int, factors: tuple[float, float]) -> None:
    logits, target, weight, known = scene(seed, torch.float32)
    mine, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    a = fused_losses(mine, target, weight, known)
    b = plain(theirs, target, weight, known)
    torch.testing.assert_close(a[:2], b)
    assert a[2].item() == 0
    torch.autograd.backward(factors[0] * a[0] + factors[1] * a[1])
    torch.autograd.backward(factors[0] * b[0] + factors[1] * b[1])
    torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-7)


def test_dice_by_hand() -> None:
    logits = torch.full((1, 4, 1, 2), -30.0)
    logits[0, :2] = 0  # parts 0 and 1 share each of the two pixels
    target = torch.tensor([[[0, 1]]])
    # Either part: overlap 0.5, area 1, probability 1.
    _, dice, _, _ = fused_losses(logits, target, torch.ones(1, 1, 2), target < 4)
    assert dice.item() == pytest.approx(1 - (2 * 0.5 + 1) / (1 + 1 + 1))


def test_half_precision_logits() -> None:
    logits, target, weight, known = scene(1, torch.bfloat16)
    leaf = logits.requires_grad_()
    entropy, dice, _, _ = fused_losses(leaf, target, weight, known)
    assert entropy.dtype == dice.dtype == torch.float32
    torch.testing.assert_close((entropy, dice), plain(logits, target, weight, known))
    torch.autograd.backward(entropy + dice)
    assert leaf.grad is not None and leaf.grad.dtype == torch.bfloat16


def test_nothing_known() -> None:
    logits, target, weight, known = scene(1, torch.float32)
    leaf = logits.requires_grad_()
    entropy, dice, _, _ = fused_losses(leaf, target, weight * 0, known & False)
    assert entropy.item() == dice.item() == 0
    torch.autograd.backward(entropy + dice)
    assert leaf.grad is not None and not leaf.grad.any()


@pytest.mark.parametrize("seed", range(3))
def test_answers_against_their_definition(seed: int) -> None:
    gen = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, 5, 6, 8, generator=gen)
    target = torch.randint(0, 5, (2, 6, 8), generator=gen)
    ones = torch.ones(2, 6, 8)
    answers = torch.randint(0, 60, (2, 3, 4, 5), generator=gen).to(torch.uint8)
    mine, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    answers[0, 1:, :2] = 0
    got = fused_losses(mine, target, ones, ones > 0, answers)
    total = answers.sum(-1)
    says = total > 0
    aim = answers / total.clamp_min(1)[..., None]
    log_probs = F.log_softmax(theirs[..., ::2, ::2], dim=1).permute(0, 2, 3, 1)
    wanted = -(aim * log_probs).sum(-1)[says].mean()
    torch.testing.assert_close(got[2], wanted)
    plainly = plain(theirs, target, ones, ones > 0)
    torch.autograd.backward(got[0] + 0.5 * got[1] + 0.7 * got[2])
    torch.autograd.backward(plainly[0] + 0.5 * plainly[1] + 0.7 * wanted)
    torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-7)


def plain_union(logits: Tensor, target: Tensor, known: Tensor, union: Tensor) -> Tensor:
    """1 - (I + 1) / (U + 1), picture by picture."""
    scores = []
    for one, ids, sure in zip(logits, target, known, strict=True):
        share, truth = one.softmax(0)[union].sum(0)[sure], union[ids][sure].float()
        if truth.any():
            both = (share * truth).sum()
            scores.append((both + 1) / ((share + truth - share * truth).sum() + 1))
    return 1 - torch.stack(scores).mean()


@pytest.mark.parametrize("seed", range(3))
def test_parts_taken_as_one_against_the_definition(seed: int) -> None:
    logits, target, weight, known = scene(seed, torch.float32)
    target[1] = 0  # a picture that does not show them
    union = torch.tensor([False, True, False, True, True])
    mine, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    got = fused_losses(mine, target, weight, known, None, union)
    plainly = plain(theirs, target, weight, known)
    wanted = plain_union(theirs, target, known, union)
    torch.testing.assert_close(got[3], wanted)
    torch.autograd.backward(got[0] + 0.5 * got[1] + 3 * got[3])
    torch.autograd.backward(plainly[0] + 0.5 * plainly[1] + 3 * wanted)
    torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-7)


def test_parts_taken_as_one_that_no_picture_shows() -> None:
    logits, target, weight, known = scene(1, torch.float32)
    leaf = logits.clone().requires_grad_()
    union = torch.tensor([False] * 4 + [True])  # part 4 never occurs
    got = fused_losses(leaf, target, weight, known, None, union)
    assert got[3].item() == 0
    torch.autograd.backward(got[3])
    assert leaf.grad is not None and not leaf.grad.any()


def test_silent_answers() -> None:
    logits, target, weight, known = scene(1, torch.float32)
    leaf = logits[..., :6].clone().requires_grad_()
    silent = torch.zeros(2, 3, 3, 5, dtype=torch.uint8)
    got = fused_losses(leaf, target[..., :6], weight[..., :6], known[..., :6], silent)
    assert got[2].item() == 0
    torch.autograd.backward(got[2])
    assert leaf.grad is not None and not leaf.grad.any()
