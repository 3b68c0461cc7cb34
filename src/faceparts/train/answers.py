"""Answers: what parsers say of the pictures of a source, kept in files and learnt besides labels.

A net that saw many more labelled faces than there are here is worth more asked for probabilities
than for labels: its second thoughts say how parts differ (Hinton et al., "Distilling the Knowledge
in a Neural Network", NIPS 2014 workshop). Asked once, straight and mirrored, the whole picture and
closer at the head, it costs a training nothing.

Nets of the BiSeNet family that were trained with flips which did not swap the sides guess left and
right, and call hands skin. So the first net of a panel decides two things alone: the sides, and
what covers a face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.datasets._pairs import read_ids
from faceparts.errors import BadData
from faceparts.streams.files import write_atomic
from faceparts.train.distill import Teacher
from faceparts.train.vote import answer
from faceparts.types import Image, LabelSet

SMALLER = 2
"""Answers are kept at half the picture's size."""

LARGEST_PX = 256
"""Longest side of a kept answer."""

REPORT = "report.json"
"""File beside the answers that says who gave them."""

COVERS = ("background", "glasses", "hat")
"""What the first net may see in front of what others call skin."""

SURE = 0.6
"""How sure it must be of that."""

_SIDE_BLUR = 0.025
"""Sides are decided by surroundings of this share of the picture's longer side."""

Probs = NDArray[np.float32]


@dataclass(frozen=True)
class Panel:
    """Parsers that answer together.

    Args:
        nets: at least one; the first decides sides and what covers a face.
        shares: weight of each net's answer, above 0.
        label_set: the parts of the answer.
        closer: look closer at the head too, which takes twice the time; crops need it less.
    """

    nets: tuple[Teacher, ...]
    shares: tuple[float, ...]
    label_set: LabelSet
    closer: bool = True

    def ask(self, image: Image, ids: NDArray[np.uint8]) -> list[Probs]:
        """What each net says: (K, H, W) float32 probabilities; 0 throughout where it cannot know.

        Args:
            image: (H, W, 3) RGB with one face.
            ids: (H, W) what is known of it; says where the head is.
        """
        how = {"closer": self.closer}
        return [answer(net, image, ids, self.label_set, **how) for net in self.nets]

    def settle(self, each: Sequence[Probs]) -> Probs:
        """One answer of what `ask` gave: (K, H, W); 0 throughout where nobody knows the part."""
        weights = np.array(self.shares, np.float32) / np.float32(sum(self.shares))
        mean = np.asarray(sum(w * p for w, p in zip(weights, each, strict=True)), np.float32)
        if len(each) > 1:
            mean = uncover(sort_sides(mean, each[0], self.label_set), each, self.label_set)
        total = mean.sum(axis=0)
        return np.asarray(np.where(total > 0.5, mean / np.maximum(total, 1e-6), 0), np.float32)


def agreement(probs: Probs, ids: NDArray[np.uint8], label_set: LabelSet) -> tuple[int, int]:
    """How many labelled pixels a net answers as the label does, and of how many.

    Left and right are not told apart, for neither nets nor labels always can. Pixels that the net
    says nothing about do not count.

    Args:
        probs: (K, H, W).
        ids: (H, W) part ids, `IGNORE` where unknown.
    """
    known = (ids < len(label_set.parts)) & (probs.sum(axis=0) > 0.5)
    said, told = probs.argmax(axis=0)[known], ids[known]
    alike = (said == told) | (np.asarray(label_set.mirror)[said] == told)
    return int(np.count_nonzero(alike)), int(np.count_nonzero(known))


def sort_sides(probs: Probs, guide: Probs, label_set: LabelSet) -> Probs:
    """Share what is said of both parts of a pair out between them as the guide does around there.

    Args:
        probs: (K, H, W) whose sides may be guessed.
        guide: (K, H, W) whose sides are right.
        label_set: what K stands for.
    """
    sorted_ = probs.copy()
    spread = max(1.0, _SIDE_BLUR * max(probs.shape[1:]))
    for one, other in enumerate(label_set.mirror):
        if one >= other:
            continue
        near = [cv2.GaussianBlur(guide[k], (0, 0), spread) + 1e-6 for k in (one, other)]
        share = near[0] / (near[0] + near[1])
        both = probs[one] + probs[other]
        sorted_[one], sorted_[other] = both * share, both * (1 - share)
    return sorted_


def uncover(probs: Probs, each: Sequence[Probs], label_set: LabelSet) -> Probs:
    """The first net's answer where it is sure that something covers what others call skin.

    Lines are not taken over: outlines are where nets differ, and there the first is not better.

    Args:
        probs: (K, H, W) the answer so far.
        each: (K, H, W) of every net.
        label_set: what K stands for.
    """
    parts = label_set.parts
    if "skin" not in parts:
        return probs
    first, skin = each[0], parts.index("skin")
    covers = [parts.index(part) for part in COVERS if part in parts]
    others = np.asarray(sum(each[1:]), np.float32).argmax(axis=0)
    above = (first[covers].max(axis=0) >= SURE) & (others == skin)
    size = max(3, round(0.02 * max(above.shape))) | 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    above = cv2.morphologyEx(above.astype(np.uint8), cv2.MORPH_OPEN, disc) > 0
    return np.asarray(np.where(above, first, probs), np.float32)


def shrink(probs: Probs) -> NDArray[np.uint8]:
    """(K, H, W) probabilities -> (h, w, K) uint8, 255 = certain, at the size that is kept."""
    height, width = probs.shape[1:]
    factor = min(1 / SMALLER, LARGEST_PX / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    planes = [cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in probs]
    return np.asarray(np.rint(np.stack(planes, axis=2) * 255), np.uint8)


def write(path: Path, answers: NDArray[np.uint8]) -> None:
    """Keep (h, w, K) answers as a grey PNG, the K maps one below the other; folders are made.

    Raises:
        UnwritableOutput: the system refuses.
    """
    height, width, count = answers.shape
    column = np.ascontiguousarray(answers.transpose(2, 0, 1)).reshape(count * height, width)
    data = cv2.imencode(".png", column)[1]
    write_atomic(path, data.tobytes(), force=True)


def read(path: Path, count: int, picture_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """(h, w, K) answers as `write` kept them.

    Args:
        path: the file.
        count: K, the number of parts.
        picture_hw: size of the picture that was asked about.

    Raises:
        BadData: no such file, not a grey PNG, or not K maps of the picture's shape.
    """
    if not path.is_file():
        raise BadData(f"{path}: no answers there; 'faceparts data answers' writes them")
    column = read_ids(path)
    height, width = column.shape[0] / count, column.shape[1]
    factor = min(1 / SMALLER, LARGEST_PX / max(picture_hw))
    wanted = [max(1, round(side * factor)) for side in picture_hw]
    if [height, width] != wanted:
        raise BadData(
            f"{path}: {column.shape[1]}x{column.shape[0]}; wanted {wanted[1]}x{count * wanted[0]} "
            f"({count} maps for a picture of {picture_hw[1]}x{picture_hw[0]})"
        )
    maps = column.reshape(count, wanted[0], wanted[1]).transpose(1, 2, 0)
    return np.ascontiguousarray(maps, np.uint8)


def enlarge(answers: NDArray[np.uint8], picture_hw: tuple[int, int]) -> Probs:
    """(h, w, K) answers -> (K, H, W) probabilities at the picture's size."""
    size = (picture_hw[1], picture_hw[0])
    planes = [
        cv2.resize(np.ascontiguousarray(answers[..., k]), size, interpolation=cv2.INTER_LINEAR)
        for k in range(answers.shape[2])
    ]
    return np.asarray(np.stack(planes), np.float32) / np.float32(255)
