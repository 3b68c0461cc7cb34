"""Heads of several detectors -> one list: weighted box fusion that loses nobody.

After Solovyev et al., "Weighted boxes fusion", 2021: heads that overlap form a cluster, whose box
is the mean of their boxes weighted by score and by how far each detector's boxes are trusted. Two
things differ, so that no head is lost: a cluster holds at most one head of a detector, and the
score is that at least one of them is right (1 - product of 1 - score) instead of falling where
one detector alone saw the head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faceparts.types import Head

Box = tuple[float, float, float, float]

SAME_IOU = 0.5
"""Boxes that overlap by at least this are one head's."""

NESTED = 0.85
"""So are two of which one lies inside the other by this share of its area, near its middle."""

NEAR_MIDDLE = 0.25
"""Share of the outer box's sides that the middles may lie apart then."""

TRUST = {"headnet": 1.0}
OTHER_TRUST = 0.25
"""Weight of a detector's boxes; headnet was trained on boxes, others derive them from points."""


def same_head(one: Box, other: Box) -> bool:
    """Whether two boxes are one head's; the order does not matter.

    Example:
        >>> same_head((0, 0, 10, 10), (2, 0, 12, 10)), same_head((0, 0, 10, 10), (6, 0, 16, 10))
        (True, False)
        >>> same_head((0, 0, 10, 10), (3, 3, 7, 7)), same_head((0, 0, 10, 10), (0, 0, 4, 4))
        (True, False)
    """
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (one, other)]
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    if shared <= 0:
        return False
    if shared >= SAME_IOU * (sum(areas) - shared):
        return True
    outer = one if areas[0] >= areas[1] else other
    apart_x = abs(one[0] + one[2] - other[0] - other[2]) / 2 / (outer[2] - outer[0])
    apart_y = abs(one[1] + one[3] - other[1] - other[3]) / 2 / (outer[3] - outer[1])
    return shared >= NESTED * min(areas) and max(apart_x, apart_y) <= NEAR_MIDDLE


@dataclass(frozen=True, eq=False)
class Cluster:
    """Heads of different detectors that are one person's.

    Args:
        members: name of the detector -> its head, in the order in which they joined.
        box: the fused one.
    """

    members: Mapping[str, Head]
    box: Box


def fuse_boxes(members: Mapping[str, Head]) -> Box:
    """Mean of the boxes, weighted by score and trust."""
    boxes = np.array([head.box_xyxy for head in members.values()], np.float64)
    weights = [
        max(head.score, 1e-3) * TRUST.get(name, OTHER_TRUST) for name, head in members.items()
    ]
    x0, y0, x1, y1 = np.average(boxes, axis=0, weights=weights).tolist()
    return x0, y0, x1, y1


def cluster(found: Mapping[str, Sequence[Head]]) -> list[Cluster]:
    """Join the heads of several detectors, best first.

    A head joins the cluster that it overlaps most among those in which its detector has no head
    yet, if all members, it among them, are still the same head as the fused box; else it opens a
    cluster of its own. So every head is the same head as its cluster's box.
    """
    everyone = [(name, head) for name, heads in found.items() for head in heads]
    everyone.sort(key=lambda one: (-TRUST.get(one[0], OTHER_TRUST), -one[1].score))
    clusters: list[Cluster] = []
    for name, head in everyone:
        free = [
            (_iou(head.box_xyxy, c.box), i)
            for i, c in enumerate(clusters)
            if name not in c.members and same_head(head.box_xyxy, c.box)
        ]
        for _, i in sorted(free, reverse=True):
            members = {**clusters[i].members, name: head}
            box = fuse_boxes(members)
            if all(same_head(member.box_xyxy, box) for member in members.values()):
                clusters[i] = Cluster(members, box)
                break
        else:
            clusters.append(Cluster({name: head}, head.box_xyxy))
    return clusters


def fuse_scores(scores: Sequence[float]) -> float:
    """Probability that at least one of several independent finds is right.

    Example:
        >>> fuse_scores([0.5, 0.5]), fuse_scores([0.7])
        (0.75, 0.7)
    """
    if len(scores) == 1:
        return scores[0]
    return float(1 - np.prod([1 - score for score in scores]))


def fuse_points(members: Mapping[str, Head]) -> NDArray[np.float32]:
    """(7, 3): each point from the most trusted detector that saw it, then from the surest head."""
    order = sorted(
        members.items(), key=lambda one: (-TRUST.get(one[0], OTHER_TRUST), -one[1].score)
    )
    points = Head.no_points()
    for _, head in order:
        unseen = np.isnan(points[:, 0])
        points[unseen] = head.points[unseen]
    return points


def fuse(found: Mapping[str, Sequence[Head]]) -> list[Head]:
    """Heads that any of several detectors found, each once, best first.

    Args:
        found: name of the detector -> its heads.

    Returns:
        Heads whose ``seen_by`` names the detectors that saw them, in the order of ``found``.
    """
    source = "+".join(found)
    heads = [
        Head(
            one.box,
            fuse_scores([head.score for head in one.members.values()]),
            fuse_points(one.members),
            source,
            tuple(name for name in found if name in one.members),
        )
        for one in cluster(found)
    ]
    return sorted(heads, key=lambda head: -head.score)


def _iou(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    areas = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (one, other))
    return shared / (areas - shared) if shared > 0 else 0.0
