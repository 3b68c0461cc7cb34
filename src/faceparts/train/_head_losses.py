"""Losses of the detection task: heat, boxes, points; what is labelled and what a teacher says."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from faceparts.train.nets.headnet import UNIT_PX

FOUND = 0.3
"""Heat of a teacher from which it says where a box and its points are."""


def focal(logits: Tensor, target: Tensor, care: Tensor) -> Tensor:
    """Penalty-reduced focal loss of CornerNet/CenterNet, a head's mean."""
    probs = logits.sigmoid().clamp(1e-4, 1 - 1e-4)
    centre = (target == 1).float()
    wanted = -torch.log(probs) * (1 - probs) ** 2 * centre
    unwanted = -torch.log(1 - probs) * probs**2 * (1 - target) ** 4 * (1 - centre)
    return ((wanted + unwanted) * care).sum() / centre.sum().clamp_min(1)


def giou_loss(edges: Tensor, target: Tensor) -> Tensor:
    """1 - generalised IoU of boxes given by edge distances, (N, 4, h, w) -> (N, h, w)."""
    left, top, right, bottom = edges.unbind(1)
    tl, tt, tr, tb = target.unbind(1)
    inner = (torch.minimum(left, tl) + torch.minimum(right, tr)).clamp_min(0) * (
        torch.minimum(top, tt) + torch.minimum(bottom, tb)
    ).clamp_min(0)
    outer = (torch.maximum(left, tl) + torch.maximum(right, tr)) * (
        torch.maximum(top, tt) + torch.maximum(bottom, tb)
    )
    union = (left + right) * (top + bottom) + (tl + tr) * (tt + tb) - inner
    return 1 - inner / union.clamp_min(1e-6) + (outer - union) / outer.clamp_min(1e-6)


def points_loss(raw: Tensor, target: Tensor, box: Tensor, strength: Tensor) -> Tensor:
    """Distance of seen points relative to the head + cross entropy of the visibility."""
    n, _, h, w = raw.shape
    raw, target = raw.view(n, 7, 3, h, w), target.view(n, 7, 3, h, w)
    size = ((box[:, 0] + box[:, 2]) * (box[:, 1] + box[:, 3])).clamp_min(1).sqrt()
    seen = (target[:, :, 2] >= 0.5).float() * strength
    aim = torch.nan_to_num(target[:, :, :2])
    off = F.smooth_l1_loss(
        raw[:, :, :2] * UNIT_PX / size[:, None, None],
        aim / size[:, None, None],
        reduction="none",
        beta=0.05,
    ).sum(2)
    known = (~torch.isnan(target[:, :, 2])).float() * strength
    visible = F.binary_cross_entropy_with_logits(
        raw[:, :, 2], torch.nan_to_num(target[:, :, 2]), reduction="none"
    )
    return (off * seen).sum() * 4 / seen.sum().clamp_min(1) + (
        visible * known
    ).sum() / known.sum().clamp_min(1)


def taught_loss(raw: Tensor, taught: Tensor) -> Tensor:
    """How far a net is from its teacher; heat, boxes and points weighed as those of labels.

    The heat by the quality focal loss (Li et al., "Generalized Focal Loss", NeurIPS 2020), boxes
    and points as labels where the teacher's heat is `FOUND`.

    Args:
        raw: (N, 26, h, w) outputs of the net.
        taught: (N, 26, h, w) from `_heads_teacher.HeadTeacher.batch`.
    """
    heat, edges, points = taught[:, :1], taught[:, 1:5], taught[:, 5:]
    strength = torch.where(heat >= FOUND, heat, 0)
    count = strength.sum().clamp_min(1)
    entropy = F.binary_cross_entropy_with_logits(raw[:, :1], heat, reduction="none")
    by_heat = (entropy * (raw[:, :1].sigmoid() - heat) ** 2).sum() / count
    by_box = (giou_loss(edges_of(raw), edges) * strength[:, 0]).sum() / count
    return by_heat + 2 * by_box + 0.5 * points_loss(raw[:, 5:], points, edges, strength)


def edges_of(raw: Tensor) -> Tensor:
    """(N, 26, h, w) outputs of the net -> (N, 4, h, w) distances of the edges in pixels."""
    return torch.exp(raw[:, 1:5].clamp(-6, 6)) * UNIT_PX
