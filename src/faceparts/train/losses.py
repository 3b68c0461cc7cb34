"""Losses of a parser, written as sums over pixels or pictures and what is made of the sums.

Every loss here is a function of sums that add up over the pictures of a batch: of weighted
surprises, of overlaps, of counts. So a batch that is cut into pieces, over time or over processes,
gives exactly the loss and the gradient of the whole: add the sums of all pieces, then call
`values`.

==========  =====================================================================================
``ce``        weighted mean cross entropy; Reed et al., ICLR 2015 workshop, for noisy labels
``ce_sum``    cross entropy summed over a picture's pixels, mean over pictures (Caffe's
              ``normalize: false``; the learning rate must be smaller by the number of pixels)
``dice``      1 - soft Dice a part over the batch, mean over the parts that occur; Milletari et
              al., "V-Net", 3DV 2016
``focal``     weighted mean of (1 - p)^gamma times the cross entropy; Lin et al., ICCV 2017
``lovasz``    Lovasz-softmax a picture, mean over the parts that occur on it, then over pictures;
              Berman et al., CVPR 2018
``boundary``  mean over known pixels of probability times signed distance to the part's true
              border, as a share of the picture's longer side; Kervadec et al., MIDL 2019
``face``      1 - soft Jaccard index of all parts of the face (`labels.BARE_FACE`) taken as one,
              mean over the pictures that show any; Rahman and Wang, ISVC 2016
==========  =====================================================================================
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Sums = dict[str, Tensor]
"""Names and float32 sums that add up over pictures."""

_COUNTS = {"lovasz": "lovasz_pictures", "boundary": "known", "face": "face_pictures"}
"""The sum that a loss is divided by where it is not the weight of the pixels."""


@dataclass(frozen=True)
class Truth:
    """What is known about a batch.

    Args:
        target: (N, H, W) int64 parts in 0..K-1, also where unknown.
        known: (N, H, W) bool: where ``target`` says something.
        weight: (N, H, W) float32 >= 0; 0 where unknown.
        noisy: (N,) bool: pictures whose labels are blended with what the net says (``ce`` only).
        bootstrap: ``"soft"`` blends with the net's probabilities, ``"hard"`` with its answer.
        beta: share of the given label in the blend.
    """

    target: Tensor
    known: Tensor
    weight: Tensor
    noisy: Tensor | None = None
    bootstrap: str = "soft"
    beta: float = 0.8


def sums(
    names: Collection[str],
    logits: Tensor,
    truth: Truth,
    *,
    gamma: float = 2.0,
    face: Tensor | None = None,
) -> Sums:
    """The sums that the named losses are made of.

    Args:
        names: some of ``ce``, ``ce_sum``, ``dice``, ``focal``, ``lovasz``, ``boundary``, ``face``.
        logits: (N, K, H, W), any float type.
        truth: labels and weights.
        gamma: exponent of the focal loss; 0 makes it the cross entropy.
        face: (K,) bool, the parts of the face; needed for the loss of that name alone.
    """
    log_probs = F.log_softmax(logits.float(), dim=1)
    picked = log_probs.gather(1, truth.target[:, None])[:, 0]
    found: Sums = {}
    if "ce" in names or "ce_sum" in names:
        surprise = _surprise(log_probs, picked, truth)
        found["ce"] = (surprise * truth.weight).sum()
    if "focal" in names:
        found["focal"] = -((1 - picked.exp()) ** gamma * picked * truth.weight).sum()
    if {"ce", "focal"} & set(names):
        found["weight"] = truth.weight.sum()
    if "ce_sum" in names:
        found["pictures"] = logits.new_tensor(len(logits), dtype=torch.float32)
    if "dice" in names:
        found |= _dice_sums(log_probs, picked, truth)
    if "lovasz" in names:
        found |= _lovasz_sums(log_probs, truth)
    if "boundary" in names:
        found |= _boundary_sums(log_probs, truth)
    if "face" in names and face is not None:
        share, inside = log_probs[:, face].exp().sum(1), truth.known.float()
        scores, shown = jaccard(share, face[truth.target].float(), inside)
        found |= {"face": ((1 - scores) * shown).sum(), "face_pictures": shown.sum()}
    return found


def values(names: Collection[str], sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every named loss from its sums."""
    found = {}
    for name in names:
        if name == "dice":
            found[name] = _dice(sums)
        elif name == "ce_sum":
            found[name] = sums["ce"] / sums["pictures"]
        else:
            count = _COUNTS.get(name, "weight")
            found[name] = sums[name] / sums[count].clamp_min(1)
    return found


def _surprise(log_probs: Tensor, picked: Tensor, truth: Truth) -> Tensor:
    """(N, H, W) cross entropy; noisy pictures against a blend of label and net."""
    if truth.noisy is None or not bool(truth.noisy.any()):
        return -picked
    if truth.bootstrap == "soft":
        own = -(log_probs.exp() * log_probs).sum(1)
    else:
        own = -log_probs.max(1).values
    blended = -truth.beta * picked + (1 - truth.beta) * own
    return torch.where(truth.noisy[:, None, None], blended, -picked)


def _dice_sums(log_probs: Tensor, picked: Tensor, truth: Truth) -> Sums:
    """For every part: shared, probability and true pixels."""
    count = log_probs.shape[1]
    inside = truth.known.float()
    zeros = torch.zeros(count, device=log_probs.device)
    flat = truth.target.flatten()
    return {
        "overlap": zeros.index_add(0, flat, (picked.exp() * inside).flatten()),
        "spread": (log_probs.exp() * inside[:, None]).sum((0, 2, 3)),
        "area": zeros.index_add(0, flat, inside.flatten()),
    }


def _dice(sums: Mapping[str, Tensor]) -> Tensor:
    overlap, spread, area = (sums[n] for n in ("overlap", "spread", "area"))
    occurs = area > 0
    if not bool(occurs.any()):
        return spread.sum() * 0
    return 1 - ((2 * overlap + 1) / (spread + area + 1))[occurs].mean()


def _lovasz_sums(log_probs: Tensor, truth: Truth) -> Sums:
    """Sum over pictures of the Lovasz extension of the Jaccard loss, and how many there are."""
    zero = log_probs.sum() * 0
    total, count = zero, 0
    for one, target, known in zip(log_probs, truth.target, truth.known, strict=True):
        if not bool(known.any()):
            continue
        probs, ids = one[:, known].exp(), target[known]
        parts = ids.unique()
        total = total + torch.stack([lovasz_part(ids == k, probs[k]) for k in parts]).mean()
        count += 1
    return {"lovasz": total, "lovasz_pictures": zero.detach() + count}


def lovasz_part(truth: Tensor, probs: Tensor) -> Tensor:
    """Lovasz extension of 1 - Jaccard at the errors of one part.

    Args:
        truth: (P,) bool, at least one true.
        probs: (P,) the part's probability.
    """
    errors, order = (truth.to(probs.dtype) - probs).abs().sort(descending=True)
    hit = truth[order].to(probs.dtype)
    union = hit.sum() + (1 - hit).cumsum(0)
    jaccard = 1 - (hit.sum() - hit.cumsum(0)) / union
    return errors @ jaccard.diff(prepend=jaccard.new_zeros(1))


def jaccard(share: Tensor, truth: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Soft Jaccard index of one mask in every picture.

    Args:
        share: (N, H, W) or (N, P) float32 0..1, probability of the mask.
        truth: the same shape, 0 or 1.
        inside: the same shape, 1 where the truth is known, else 0.

    Returns:
        (N,) of (I + 1) / (U + 1), I and U in pixels; (N,) 1 where the picture shows the mask,
        else 0.
    """
    share, truth = (share * inside).flatten(1), (truth * inside).flatten(1)
    both, area = (share * truth).sum(1), truth.sum(1)
    return (both + 1) / (share.sum(1) + area - both + 1), (area > 0).to(share.dtype)


def _boundary_sums(log_probs: Tensor, truth: Truth) -> Sums:
    distance = torch.zeros_like(log_probs)
    for i, (target, known) in enumerate(zip(truth.target.cpu(), truth.known.cpu(), strict=True)):
        ids = np.where(known.numpy(), target.numpy(), -1)
        for part in np.unique(ids[ids >= 0]).tolist():
            far = signed_distance(ids == part)
            distance[i, part] = torch.from_numpy(far).to(distance.device)
    reach = (log_probs.exp() * distance).sum(1) * truth.known
    return {"boundary": reach.sum(), "known": truth.known.sum().float()}


def signed_distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(H, W) distance of pixel centres to the border of a mask, negative inside, as a share of the
    longer side of the picture; 0 everywhere if the mask is empty or full.

    Example:
        >>> signed_distance(np.array([[False, True, True, False, False]])) * 5
        array([[ 0.5, -0.5, -0.5,  0.5,  1.5]], dtype=float32)
    """
    if mask.all() or not mask.any():
        return np.zeros(mask.shape, np.float32)
    here = mask.astype(np.uint8)
    outside = cv2.distanceTransform(1 - here, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    inside = cv2.distanceTransform(here, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(np.where(mask, 0.5 - inside, outside - 0.5) / max(mask.shape), np.float32)


def coarse_sums(logits: Tensor, ids: Tensor, codes: Mapping[int, Tensor]) -> Sums:
    """Surprise at pixels of which only a set of parts is known, and the number of all pixels.

    Args:
        logits: (N, K, H, W).
        ids: (N, H, W) labels and codes.
        codes: code -> (K,) bool: the parts that it allows.
    """
    total = torch.zeros((), device=logits.device)
    for code, allowed in codes.items():
        here = ids == code
        pictures = here.flatten(1).any(1)
        if bool(pictures.any()):
            log_probs = F.log_softmax(logits[pictures].float(), dim=1)
            within = torch.logsumexp(log_probs[:, allowed], dim=1)
            total = total - (within * here[pictures]).sum()
    return {"coarse": total, "pixels": torch.tensor(float(ids.numel()), device=logits.device)}


def distill_sums(logits: Tensor, teacher: Tensor, temperature: float) -> Sums:
    """Divergence of the net from a teacher; Hinton et al., NIPS 2014 workshop.

    Kullback-Leibler of both at ``temperature``, times its square so that the gradient keeps its
    size, summed over pixels where the teacher says something.

    Args:
        logits: (N, K, H, W) of the net.
        teacher: (N, K, h, w) probabilities; all 0 where the teacher has nothing to say.
    """
    aim = teacher
    if teacher.shape[2:] != logits.shape[2:]:
        aim = F.interpolate(teacher.float(), logits.shape[2:], mode="bilinear", align_corners=False)
    says = aim.sum(1) > 0.5
    log_aim = F.log_softmax(aim.clamp_min(1e-8).log() / temperature, dim=1)
    log_own = F.log_softmax(logits.float() / temperature, dim=1)
    apart = (log_aim.exp() * (log_aim - log_own)).sum(1) * says
    return {"distill": apart.sum() * temperature**2, "taught": says.sum().float()}


def answer_sums(logits: Tensor, answers: Tensor) -> Sums:
    """Cross entropy of the net against kept answers, as `fused.fused_losses` has it.

    Args:
        logits: (N, K, H, W) of the net.
        answers: (N, H / 2, W / 2, K) uint8, in proportion, of the pixels in even rows and columns;
            those that are 0 throughout are silent.
    """
    aim = answers.permute(0, 3, 1, 2).float()
    total = aim.sum(1)
    says = total > 0
    log_own = F.log_softmax(logits[..., ::2, ::2].float(), dim=1)
    entropy = -(aim * log_own).sum(1) / total.clamp_min(1) * says
    return {"distill": entropy.sum(), "taught": says.sum().float()}
