"""Heads of several detectors -> one list: weighted box fusion that loses nobody.

After Solovyev et al., "Weighted boxes fusion", 2021: heads that overlap form a cluster, whose box
is the mean of their boxes weighted by score and by how far each detector's boxes are trusted. Three
things differ, so that no head is lost and none counts twice: a cluster holds one box of a
detector; a head from keypoints that lie in another detector's box belongs to it even where its own
box is too small or too large; and the score is that at least one of them is right (1 - product of
1 - score) instead of falling where one detector alone saw the head.
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

LEAST_NESTED = 0.2
"""Share of the outer box's area that the inner one has at least."""

POINTS_INSIDE = 0.5
"""Share of a head's seen points that must lie in a box for the head to belong to it."""

BOX_TRUST = {"headnet": 1.0, "yunet": 0.5, "keypoints": 0.01}
"""Weight of a detector's boxes. Those from keypoints are rough: every second one overlaps the
marked head by half (SCUT-HEAD, MoveNet)."""

FROM_POINTS = frozenset(("keypoints",))
"""Detectors whose boxes are laid around points: where those lie counts more than the box."""

SCORE_TRUST = {"keypoints": 0.5}
"""Factor on a detector's scores. A keypoint's score is not the probability of a head: of MoveNet's
at 0.4 to 0.8 about half are on heads (SCUT-HEAD)."""


def same_head(one: Box, other: Box) -> bool:
    """Whether two boxes are one head's; the order does not matter.

    Example:
        >>> same_head((0, 0, 10, 10), (2, 0, 12, 10)), same_head((0, 0, 10, 10), (6, 0, 16, 10))
        (True, False)
        >>> same_head((0, 0, 10, 10), (3, 3, 8, 8)), same_head((0, 0, 10, 10), (0, 0, 4, 4))
        (True, False)
    """
    if _iou(one, other) >= SAME_IOU:
        return True
    shared, areas = _shared(one, other), (_area(one), _area(other))
    if min(areas) < LEAST_NESTED * max(areas):
        return False
    outer = one if areas[0] >= areas[1] else other
    apart_x = abs(one[0] + one[2] - other[0] - other[2]) / 2 / (outer[2] - outer[0])
    apart_y = abs(one[1] + one[3] - other[1] - other[3]) / 2 / (outer[3] - outer[1])
    return shared >= NESTED * min(areas) and max(apart_x, apart_y) <= NEAR_MIDDLE


def points_inside(head: Head, box: Box) -> float:
    """Share of a head's seen points that lie in a box; 0 if it has none.

    Example:
        >>> points = Head.no_points()
        >>> points[:2] = [[1, 1, 0.9], [9, 1, 0.9]]
        >>> points_inside(Head((0, 0, 10, 10), 0.9, points), (0, 0, 5, 5))
        0.5
    """
    xy = head.points[np.isfinite(head.points[:, 0]), :2]
    if not len(xy):
        return 0.0
    return float(((xy >= box[:2]) & (xy <= box[2:])).all(axis=1).mean())


def belongs(name: str, head: Head, box: Box) -> bool:
    """Whether a detector's head is the one in a box: by its own box, or by most of its points."""
    by_points = name in FROM_POINTS and points_inside(head, box) >= POINTS_INSIDE
    return by_points or same_head(head.box_xyxy, box)


@dataclass(frozen=True, eq=False)
class Cluster:
    """Heads that are one person's.

    Args:
        boxes: name of the detector -> its head whose box counts; one a detector.
        others: further heads that belong to the box: nested, or by their points.
        box: the fused one.
    """

    boxes: Mapping[str, Head]
    box: Box
    others: tuple[tuple[str, Head], ...] = ()

    def members(self) -> list[tuple[str, Head]]:
        """All heads with the names of their detectors, the most trusted first."""
        everyone = [*self.boxes.items(), *self.others]
        return sorted(everyone, key=lambda one: (-_trust(one[0]), -one[1].score))


def fuse_boxes(boxes: Mapping[str, Head]) -> Box:
    """Mean of the boxes, weighted by score and trust."""
    sides = np.array([head.box_xyxy for head in boxes.values()], np.float64)
    weights = [max(head.score, 1e-3) * _trust(name) for name, head in boxes.items()]
    x0, y0, x1, y1 = np.average(sides, axis=0, weights=weights).tolist()
    return x0, y0, x1, y1


def cluster(found: Mapping[str, Sequence[Head]]) -> list[Cluster]:
    """Join the heads of several detectors, those with the most trusted boxes first.

    A head joins the cluster that it overlaps most, by at least `SAME_IOU`, among those that hold no
    head of its detector, if all members still belong to the new mean box. Else it joins one with
    whose box it is nested, and leaves that box alone. Else, if it comes from points, it joins one
    of another detector whose box holds most of them (all, if there is a head of its own detector).
    Else it opens a cluster of its own. So every head belongs to the box of its cluster.
    """
    everyone = [(name, head) for name, heads in found.items() for head in heads]
    everyone.sort(key=lambda one: (-_trust(one[0]), -one[1].score))
    clusters: list[Cluster] = []
    for name, head in everyone:
        if not (_join_box(clusters, name, head) or _join_points(clusters, name, head)):
            clusters.append(Cluster({name: head}, head.box_xyxy))
    return clusters


def _join_box(clusters: list[Cluster], name: str, head: Head) -> bool:
    free = [
        (_iou(head.box_xyxy, c.box), i)
        for i, c in enumerate(clusters)
        if same_head(head.box_xyxy, c.box) and all(name != own for own, _ in c.members())
    ]
    for iou, i in sorted(free, reverse=True):
        old = clusters[i]
        if iou < SAME_IOU:
            clusters[i] = Cluster(old.boxes, old.box, (*old.others, (name, head)))
            return True
        boxes = {**old.boxes, name: head}
        joined = Cluster(boxes, fuse_boxes(boxes), old.others)
        if all(belongs(*own, joined.box) for own in joined.members()):
            clusters[i] = joined
            return True
    return False


def _join_points(clusters: list[Cluster], name: str, head: Head) -> bool:
    if name not in FROM_POINTS:
        return False
    inside = [
        (points_inside(head, c.box), _iou(head.box_xyxy, c.box), i)
        for i, c in enumerate(clusters)
        if set(c.boxes) != {name}
    ]
    for share, _, i in sorted(inside, reverse=True):
        old = clusters[i]
        has_own = any(name == own for own, _ in old.members())
        if share >= (1 if has_own else POINTS_INSIDE):
            clusters[i] = Cluster(old.boxes, old.box, (*old.others, (name, head)))
            return True
    return False


def fuse_scores(members: Sequence[tuple[str, float]]) -> float:
    """Probability that at least one of several independent finds is right.

    Args:
        members: name of the detector and score; of several of one detector the best counts.

    Example:
        >>> fuse_scores([("headnet", 0.5), ("yunet", 0.5)]), fuse_scores([("keypoints", 0.8)])
        (0.75, 0.4)
    """
    best: dict[str, float] = {}
    for name, score in members:
        best[name] = max(best.get(name, 0.0), score * SCORE_TRUST.get(name, 1.0))
    if len(best) == 1:
        return best.popitem()[1]
    return float(1 - np.prod([1 - score for score in best.values()]))


def fuse_points(members: Sequence[tuple[str, Head]]) -> NDArray[np.float32]:
    """(7, 3): each point from the first of the heads that saw it."""
    points = Head.no_points()
    for _, head in members:
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
    heads = []
    for one in cluster(found):
        members = one.members()
        names = {name for name, _ in members}
        score = fuse_scores([(name, head.score) for name, head in members])
        seen_by = tuple(name for name in found if name in names)
        heads.append(Head(one.box, score, fuse_points(members), "+".join(found), seen_by))
    return sorted(heads, key=lambda head: -head.score)


def _trust(name: str) -> float:
    return BOX_TRUST.get(name, 1.0)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _shared(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0.0) * max(height, 0.0)


def _iou(one: Box, other: Box) -> float:
    shared = _shared(one, other)
    return shared / (_area(one) + _area(other) - shared) if shared > 0 else 0.0
