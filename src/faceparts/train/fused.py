"""Cross entropy, Dice, kept answers and a union of parts in one pass, gradient written out.

Soft-max over 19 full-resolution maps and the tape that autograd keeps of it took more than half of
a training step on a CPU. Here the probabilities are computed once, and the gradient with respect to
the logits is a closed formula on them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from faceparts.train.losses import jaccard


class _Losses(torch.autograd.Function):
    """See `fused_losses`; all values are differentiable, with different factors."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        target: Tensor,
        pixel_weight: Tensor,
        known: Tensor,
        answers: Tensor | None,
        union: Tensor | None,
        pictures: int,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        probs = torch.softmax(logits, dim=1, dtype=torch.float32)
        rows = torch.arange(len(target))
        picked = probs[rows, target]
        total_weight = pixel_weight.sum().clamp_min(1)
        entropy = -(picked.clamp_min(1e-30).log() * pixel_weight).sum() / total_weight
        count = probs.shape[1]
        inside = known.to(torch.float32)
        area = torch.zeros(count).index_add_(0, target, inside)
        overlap = torch.zeros(count).index_add_(0, target, picked * inside)
        spread = inside @ probs
        occurs = area > 0
        below = spread + area + 1
        score = (2 * overlap + 1) / below
        dice = 1 - score[occurs].mean() if bool(occurs.any()) else logits.new_zeros(()).float()
        distill, ctx.aim = logits.new_zeros(()).float(), None
        if answers is not None:
            distill, ctx.aim = _aim(_every_second(probs, answers), answers)
        together, ctx.union = logits.new_zeros(()).float(), None
        if union is not None:
            members = union.to(torch.float32)
            share = probs @ members
            together, pull = _together(share, members[target], inside, pictures)
            ctx.union = members, share, pull
        ctx.save_for_backward(probs, target, pixel_weight / total_weight, inside, picked)
        share = occurs / occurs.sum().clamp_min(1)
        ctx.per_class = (share * score / below, share * 2 / below)
        ctx.dtype = logits.dtype
        return entropy, dice, distill, together

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        by_entropy, by_dice, by_distill, by_union = grads
        probs, target, pixel_weight, inside, picked = ctx.saved_tensors
        everywhere, at_target = ctx.per_class
        # d dice / d p[m, k] = inside[m] * (everywhere[k] - [k == target[m]] * at_target[k])
        hit = at_target[target] * picked
        mean = probs @ everywhere - hit
        weight = by_entropy * pixel_weight
        push = by_dice * inside
        scale = everywhere[None] * push[:, None]
        scale += (weight - push * mean)[:, None]
        if ctx.union is not None:
            members, share, pull = ctx.union
            pull = by_union * pull
            scale.addr_(pull, members).sub_((pull * share)[:, None])
        scale *= probs  # = probs, used up: backward runs once
        scale[torch.arange(len(target)), target] -= weight + push * hit
        if ctx.aim is not None:
            aim, share = ctx.aim
            apart = _every_second(probs, aim) - aim
            _every_second(scale, aim).addcmul_(apart, (by_distill * share)[..., None])
        return scale.to(ctx.dtype), *[None] * 6


def _together(share: Tensor, truth: Tensor, inside: Tensor, pictures: int) -> tuple[Tensor, Tensor]:
    """1 - Jaccard index of a mask, mean over the pictures that show it, and its gradient.

    Args:
        share: (N * H * W,) probability of the mask.
        truth: the same, 0 or 1.
        inside: the same, 1 where the truth is known.
        pictures: N.
    """
    share, truth, inside = (x.view(pictures, -1) for x in (share, truth, inside))
    scores, shown = jaccard(share, truth, inside)
    count = shown.sum().clamp_min(1)
    both, area = (share * truth * inside).sum(1), (truth * inside).sum(1)
    whole = (share * inside).sum(1) + area - both + 1
    # d I / d share = truth, d U / d share = 1 - truth
    slope = inside * (truth / whole[:, None] - (1 - truth) * (scores / whole)[:, None])
    loss = ((1 - scores) * shown).sum() / count
    return loss, (slope * (-shown / count)[:, None]).flatten()


def _every_second(maps: Tensor, answers: Tensor) -> Tensor:
    """(N, h, w, K) view of (N * 2h * 2w, K): the pixels that answers speak of."""
    count, height, width, parts = answers.shape
    return maps.view(count, 2 * height, 2 * width, parts)[:, ::2, ::2]


def _aim(probs: Tensor, answers: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Mean cross entropy of the answers; what they are, and each pixel's share of that mean."""
    aim = answers.to(torch.float32)
    total = aim.sum(-1)
    says = total > 0
    aim *= torch.where(says, 1 / total.clamp_min(1), 0)[..., None]
    entropy = -(aim * probs.clamp_min(1e-30).log()).sum()
    count = says.sum().clamp_min(1)
    return entropy / count, (aim, says / count)


def fused_losses(
    logits: Tensor,
    target: Tensor,
    pixel_weight: Tensor,
    known: Tensor,
    answers: Tensor | None = None,
    union: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weighted mean cross entropy, 1 - soft Dice over the whole batch, what answers say, and 1 -
    soft Jaccard of some parts taken as one.

    Dice (Milletari et al., "V-Net", 3DV 2016) is one value a part, mean over the parts that occur
    among the known pixels; 0 if no pixel is known.

    Args:
        logits: (N, K, H, W), any float type; fastest if channels last in memory.
        target: (N, H, W) int64 in 0..K-1, also where unknown.
        pixel_weight: (N, H, W) float32 >= 0; the entropy is divided by its sum (at least 1).
        known: (N, H, W) bool; other pixels are outside the Dice term.
        answers: (N, H / 2, W / 2, K) uint8, in proportion, of the pixels in even rows and columns;
            those that are 0 throughout are silent.
        union: (K,) bool, the parts that are taken as one, such as the face's; see `losses.jaccard`.

    Returns:
        Four float32 scalars; the third is the mean cross entropy of the answers, scaled to sum to
        1, over pixels that are not silent, 0 without any; the fourth a mean over the pictures that
        show a part of the union, 0 without any.
    """
    flat = logits.permute(0, 2, 3, 1).reshape(-1, logits.shape[1])
    truth = (x.reshape(-1) for x in (target, pixel_weight, known))
    entropy, dice, distill, together = _Losses.apply(  # type: ignore[no-untyped-call]  # torch's
        flat, *truth, answers, union, len(logits)
    )
    return entropy, dice, distill, together
