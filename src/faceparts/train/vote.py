"""Labels by vote: nets and the given labels decide together what a pixel is.

Labels that another net made are wrong in its own ways: glasses not seen, dark clothes lost, hair
called background. Nets that learnt from people's labels mend much of that (the self-training of
Xie et al., "Self-training with Noisy Student", CVPR 2020), the given label outvotes their doubts,
and what nobody is sure of is left out. A net looks at the whole picture and, closer, at the head,
both times straight and mirrored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceparts.crops import GREY
from faceparts.evaluate.groups import head_box
from faceparts.evaluate.pseudolabel import look
from faceparts.train.distill import Teacher, load_teacher
from faceparts.types import IGNORE, Crop, Head, Image, LabelSet

CLOSE = 0.65
"""Share of the closer look in a net's answer, where it reaches."""

LEAST = 0.45
"""A pixel keeps no label if the winner has less than this."""

_FLAT = 5
"""Padding may differ from grey by so much: it went through JPEG."""

Probs = NDArray[np.float32]


@dataclass(frozen=True)
class Voters:
    """Nets that share a say in the labels of a source.

    Args:
        nets: at least one; see `load_teacher`.
        label_set: the trained parts.
        given: weight of a given label against the nets' mean answer, 0..1.
        codes: given ids that stand for several parts; such a label is never outvoted.
    """

    nets: tuple[Teacher, ...]
    label_set: LabelSet
    given: float
    codes: Mapping[int, frozenset[int]]

    def vote(self, image: Image, ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """New ids of a picture; `IGNORE` where nobody is sure, and on grey padding stays.

        Args:
            image: (H, W, 3) RGB with one face.
            ids: (H, W) given ids of the trained set, codes of several parts, or `IGNORE`.
        """
        each = (answer(net, image, ids, self.label_set) for net in self.nets)
        probs = np.asarray(sum(each), np.float32) / np.float32(len(self.nets))
        return decide(probs, image, ids, self.given, self.codes)


def answer(
    net: Teacher,
    image: Image,
    ids: NDArray[np.uint8],
    label_set: LabelSet,
    *,
    closer: bool = True,
) -> Probs:
    """What a net says of a picture: (K, H, W) probabilities, straight and mirrored, far and near.

    Args:
        net: the parser.
        image: (H, W, 3) RGB with one face.
        ids: (H, W) what is known of it: the closer look is at the head in it, if there is one.
        label_set: what the ids and K stand for.
        closer: look closer too, which takes twice the time.
    """
    height, width = ids.shape
    side, margin = max(height, width), net.segmenter.card.margin
    inset = side * (1 - 1 / (1 + 2 * margin)) / 2  # with its margin the cut is the whole picture
    inner = (width / 2 - side / 2 + inset, height / 2 - side / 2 + inset)
    box = (*inner, width - inner[0], height - inner[1])
    probs, _ = _look_twice(net, image, Head(box, 1, Head.no_points()))
    known = np.where(ids < len(label_set.parts), ids, 0)
    head = head_box(known, label_set) if closer else None
    if head is not None:
        close, seen = _look_twice(net, image, Head(head, 1, Head.no_points()))
        share = np.where(seen, np.float32(CLOSE), np.float32(0))
        probs += share * (close - probs)
    return probs


def load_voters(
    models: Sequence[str],
    root: Path,
    label_set: LabelSet,
    given: float,
    codes: Mapping[int, frozenset[int]],
) -> Voters:
    """Open the nets by name or file, below the data root or from here; see `load_teacher`.

    Raises:
        BadWeights: a file is missing or damaged, or knows none of the trained parts.
        UsageError: a TFLite file, but its runtime is not installed.
    """
    nets = tuple(load_teacher(model, root, label_set) for model in models)
    return Voters(nets, label_set, given, codes)


def decide(
    probs: Probs,
    image: Image,
    ids: NDArray[np.uint8],
    given: float,
    codes: Mapping[int, frozenset[int]],
) -> NDArray[np.uint8]:
    """The ids that most speaks for.

    Args:
        probs: (K, H, W) the nets' mean answer; sums to at most 1, to less where they are silent.
        image: (H, W, 3) RGB.
        ids: (H, W) given ids, codes, or `IGNORE`.
        given: weight of a given id, 0..1.
        codes: parts that a code stands for: only these can win there, else the code stays.

    Example:
        >>> probs = np.float32([[[0.4, 0.1]], [[0.6, 0.9]]])
        >>> decide(probs, np.zeros((1, 2, 3), np.uint8), np.uint8([[0, 0]]), 0.25, {})
        array([[0, 1]], dtype=uint8)
    """
    count = len(probs)
    weighed = probs.copy()
    known = ids < count
    weighed[:, known] *= 1 - given
    rows, columns = np.nonzero(known)
    weighed[ids[known], rows, columns] += given
    for code, parts in codes.items():
        weighed[:, ids == code] *= np.isin(np.arange(count), list(parts))[:, None]
    found = np.asarray(weighed.argmax(axis=0), np.uint8)
    unsure = weighed.max(axis=0) < LEAST
    coarse = np.isin(ids, list(codes))
    found[unsure] = np.where(coarse, ids, IGNORE)[unsure]
    flat = (np.abs(image.astype(np.int16) - GREY) <= _FLAT).all(axis=2)
    found[flat & (ids == IGNORE)] = IGNORE
    return found


def _look_twice(net: Teacher, image: Image, head: Head) -> tuple[Probs, NDArray[np.bool_]]:
    """(K, H, W) mean answer of a straight and a mirrored look; (H, W) what they have seen."""
    height, width = image.shape[:2]
    side = max(height, width)
    grid = np.array([[1, 0, 0], [0, 1, 0]], np.float64)
    blank = Crop(np.empty((side, side, 3), np.uint8), grid, (height, width))
    both = [look(net.segmenter, image, head, blank, mirror=m) for m in (False, True)]
    mean = (both[0][0] + both[1][0])[:, :height, :width] / 2
    own = np.tensordot(net.table, mean, (0, 0))
    return np.asarray(own, np.float32), both[0][1][:height, :width]
