"""Our own head detector: heads from every side, from about 10 px to the whole picture.

An anchor-free net in the manner of CenterNet (Zhou et al., "Objects as Points", 2019) and FCOS
(Tian et al., 2019): at a quarter of its input's size it puts out

- ``heat`` (N, 1, H/4, W/4): 0..1, high in the middle of a head;
- ``box`` (N, 4, H/4, W/4): distances >= 0 from the cell's centre to the left, top, right and bottom
  of the head, in input pixels; the centre of cell (x, y) is ((x + 0.5) * 4, (y + 0.5) * 4);
- ``points`` (N, 21, H/4, W/4): for each of the seven `POINTS` dx and dy from the cell's centre in
  input pixels, and its visibility 0..1.

Where its card says so, pictures in poor or coloured light are evened out first (`_light`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts._light import evened
from faceparts._values import require_range
from faceparts.crops import check_image
from faceparts.detect._suppress import MAX_IOU, overlap, suppress
from faceparts.detect._tiles import (
    View,
    closer_views,
    far_views,
    framed_view,
    is_cut,
    stack_padded,
    views,
)
from faceparts.errors import BadWeights, UsageError
from faceparts.types import POINTS, Head, Image, ModelCard
from faceparts.weights import Net, open_net

STRIDE = 4
"""Input pixels from one cell to the next."""

MAX_CANDIDATES = 1000
"""Peaks looked at in one view; the best ones."""

SEEN = 0.3
"""Visibility from which a point counts as seen."""

FAR_FROM_PX = 40
"""Heads of at least this size in the far look count; smaller ones are the other looks' business."""

CLOSE_UP = 0.3
"""A head of at least this share of the picture's shorter side is a close-up."""

SURE = 0.6
"""Only where no close-up has at least this score is the picture looked at in a grey frame."""

SMALL_HEAD_PX = 64
"""Where a head of at most this size is suspected, the picture is looked at once more, enlarged."""

SUSPECT = 0.5
"""Share of the threshold from which a find is a suspicion."""

CLOSER_UP_TO_PX = 56
"""Heads up to this size are looked for in the closer look; larger ones are too large in it, and
what the first look says of them stands. Chosen on every fifth training photo of SCUT-HEAD."""

UNCONFIRMED = 0.6
"""What remains of the score of such a head from the first look, so that the closer one's box wins
and what only the first saw counts less, but is not lost."""

SAME_CLOSE_UP_IOU = 0.3
"""Overlap from which a close-up that two looks saw is taken for one head."""

CUT_INSIDE = 0.1
"""A head that a border cuts counts if at least this share of its box lies in the picture."""

CUT_SHARE = 0.7
"""Share of the threshold, `SUSPECT` or more, from which it counts for `hide`. With 0.7 (0.5) 3 (0)
of 100 quarters of faces and 2 (1) of 100 insides were missed, and boxes covered 16 (23) % of 39
photos of people."""

SOFT_FACTOR = 2 / 3
"""On scores of the blurred look: blurred textures look like heads more often than sharp ones."""

NEGATIVE_FACTOR = 0.5
"""On scores of the look at the negative: in `hide`, which halves the threshold, a find there counts
from the whole of it on. So 1 of 99 photos of people and of nobody had one."""

_CHANNELS = {"heat": 1, "box": 4, "points": 3 * len(POINTS)}
_BATCH = 4


@dataclass(frozen=True, eq=False)
class Candidates:
    """Heads found in one view: boxes (N, 4), scores (N,), points (N, 7, 3) x, y, visibility."""

    boxes_xyxy: NDArray[np.float64]
    scores: NDArray[np.float64]
    points: NDArray[np.float64]

    def take(self, chosen: NDArray[np.intp] | NDArray[np.bool_]) -> Candidates:
        """Some of the candidates."""
        return Candidates(self.boxes_xyxy[chosen], self.scores[chosen], self.points[chosen])

    def sizes_px(self) -> NDArray[np.float64]:
        """(N,) square roots of the boxes' areas."""
        sides = self.boxes_xyxy[:, 2:] - self.boxes_xyxy[:, :2]
        return np.asarray(np.sqrt(sides[:, 0] * sides[:, 1]))


def join(some: Sequence[Candidates]) -> Candidates:
    """All candidates of at least one list of them."""
    return Candidates(
        np.concatenate([c.boxes_xyxy for c in some]),
        np.concatenate([c.scores for c in some]),
        np.concatenate([c.points for c in some]),
    )


def prefer_closer(first: Candidates, closer: Sequence[Candidates]) -> Candidates:
    """Join the first look with the closer one, whose word on small heads counts more.

    Without a closer look the first stays as it is.
    """
    if not closer:
        return first
    small = first.sizes_px() <= CLOSER_UP_TO_PX
    doubted = Candidates(
        first.boxes_xyxy, np.where(small, first.scores * UNCONFIRMED, first.scores), first.points
    )
    return join([doubted, *(c.take(c.sizes_px() <= CLOSER_UP_TO_PX) for c in closer)])


def prefer_far(first: Candidates, far: Candidates, close_up_px: float) -> Candidates:
    """Join the first look with the far ones, whose boxes of close-ups count more.

    A head that fills much of the picture is too large for the first look: it finds the face, and
    the hair around it lies beyond its view. Where a far look saw the same head its box stays,
    with the better of the scores. One far box replaces one head: of two cheek to cheek that a far
    look took for one, the other stays as the first look saw it.

    Args:
        first, far: what the looks found, in pixels of the picture; either may be empty.
        close_up_px: size (square root of the area) from which a head of the first look is a
            close-up.
    """
    near = overlap(first.boxes_xyxy, far.boxes_xyxy)
    same = (near >= SAME_CLOSE_UP_IOU) & (first.sizes_px() >= close_up_px)[:, None]
    if same.any():
        likest = np.where(same, near, -1).argmax(axis=0)
        same &= overlap(first.boxes_xyxy, first.boxes_xyxy[likest]) > MAX_IOU
    scores = far.scores.copy()
    seen_far = np.asarray(same.any(axis=1))
    for i in np.flatnonzero(seen_far):
        best = np.flatnonzero(same[i])[np.argmax(far.scores[same[i]])]
        scores[best] = max(scores[best], first.scores[i])
    return join([first.take(~seen_far), Candidates(far.boxes_xyxy, scores, far.points)])


def decode(
    heat: NDArray[np.float32],
    box: NDArray[np.float32],
    points: NDArray[np.float32],
    threshold: float,
) -> Candidates:
    """Read heads off the maps of one view; positions are in its pixels.

    A head is where the heat is the largest of its 3 x 3 cells and at least the threshold. Boxes
    without area or with values that are not finite are left out.

    Args:
        heat: (h, w); box: (4, h, w); points: (21, h, w); see the module.
    """
    peaks = (heat >= threshold) & (heat == cv2.dilate(heat, np.ones((3, 3), np.uint8)))
    rows, columns = np.nonzero(peaks)
    scores = heat[rows, columns].astype(np.float64)
    if scores.size > MAX_CANDIDATES:
        best = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
        rows, columns, scores = rows[best], columns[best], scores[best]
    centres = (np.stack([columns, rows], axis=1) + 0.5) * STRIDE
    sides = np.maximum(box[:, rows, columns].T.astype(np.float64), 0)
    boxes = np.concatenate([centres - sides[:, :2], centres + sides[:, 2:]], axis=1)
    marks = points[:, rows, columns].T.astype(np.float64).reshape(-1, len(POINTS), 3)
    marks[..., :2] += centres[:, None]
    marks[..., 2] = np.minimum(marks[..., 2], 1)
    marks[~(np.isfinite(marks).all(axis=2) & (marks[..., 2] >= SEEN))] = np.nan
    found = Candidates(boxes, np.minimum(scores, 1), marks)
    return found.take(np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1))


def to_picture(found: Candidates, view: View) -> Candidates:
    """Bring what was found in a view into the picture's coordinates; boxes it cuts are left out."""
    found = found.take(~is_cut(found.boxes_xyxy, view))
    ratio, origin = np.array(view.ratio_xy), np.array(view.origin_xy)
    points = found.points.copy()
    points[..., :2] = points[..., :2] * ratio + origin
    boxes = found.boxes_xyxy * np.tile(ratio, 2) + np.tile(origin, 2)
    return Candidates(boxes, found.scores, points)


class HeadNet:
    """Finds heads with a net in an ONNX file; see the module for what it must put out.

    Args:
        net: the opened file.
        min_score: score from which a find counts; ``None`` = the card's threshold.
        tiles: look at big pictures in tiles too, and once more enlarged where small heads are
            suspected; slower, finds small heads.
        max_side_px: longer side of the whole view.

    Raises:
        BadWeights: the net's inputs or outputs are not as wanted.
        UsageError: an option is out of range.
    """

    def __init__(
        self,
        net: Net,
        *,
        min_score: float | None = None,
        tiles: bool = True,
        max_side_px: int = 1024,
    ) -> None:
        batch, _, *input_hw = net.input_shape
        if batch not in (None, 1) or any(n is not None for n in input_hw):
            raise BadWeights(f"{net.path}: input is {net.input_shape}; wanted free N, H and W")
        for name, count in _CHANNELS.items():
            shape = net.output_shapes.get(name)
            if shape is None or len(shape) != 4 or shape[1] not in (None, count):
                raise BadWeights(
                    f"{net.path}: output {name!r} is {shape}, wanted (N, {count}, H/4, W/4)"
                )
        threshold = net.card.threshold if min_score is None else min_score
        threshold = require_range("min_score", threshold, 0, 1)
        if max_side_px < 32:
            raise UsageError(f"max_side_px: got {max_side_px}, wanted at least 32")
        self._net = net
        self._batch = batch or _BATCH
        self._threshold = threshold
        self._tiles = tiles
        self._max_side_px = max_side_px

    @property
    def card(self) -> ModelCard:
        """What the file says about itself."""
        return self._net.card

    def detect(self, image: Image) -> list[Head]:
        """Heads in an (H, W, 3) RGB picture, best first; ``[]`` is a normal answer.

        Raises:
            ValueError: the picture is not (H, W, 3) uint8.
            BadWeights: the net puts out maps of another size than a quarter of its input, or a
                heat above 1.
        """
        image = self._shown(image)
        seen = views(image, whole_px=self._max_side_px, tiles=self._tiles, batch=self._batch)
        found = join([found for some in seen for found in self._look(some)])
        if self._tiles and (found.sizes_px() <= SMALL_HEAD_PX).any():
            closer = closer_views(image, whole_px=self._max_side_px, batch=self._batch)
            found = prefer_closer(found, [c for some in closer for c in self._look(some)])
        far = join([self._look_far(view) for view in far_views(image)])
        close_up_px = CLOSE_UP * min(image.shape[:2])
        both = join([found, far])
        if not (both.scores[both.sizes_px() >= close_up_px] >= SURE).any():
            far = join([far, self._look_far(framed_view(image))])
        found = prefer_far(found, far, close_up_px)
        found = found.take(found.scores >= self._threshold)
        best = found.take(suppress(found.boxes_xyxy, found.scores))
        return _heads(best)

    def detect_cut(self, image: Image) -> list[Head]:
        """Heads that a border of the picture cuts, best first, for `hide`: one more look.

        Of a large head of which the picture shows a half, a quarter or the inside, nobody can say
        just where it ends: many cells are a little sure. So what the framed look says counts more
        than its score: that is divided by `CUT_SHARE`.

        Raises:
            ValueError, BadWeights: see `detect`.
        """
        image = self._shown(image)
        found = self._look_far(framed_view(image))
        found = replace(found, scores=np.minimum(found.scores / CUT_SHARE, 1.0))
        found = found.take(found.scores >= self._threshold)
        found = found.take(_reach_in(found.boxes_xyxy, image.shape[1], image.shape[0]))
        return _heads(found.take(suppress(found.boxes_xyxy, found.scores)))

    def detect_changed(self, image: Image) -> list[Head]:
        """Large heads that only a changed copy shows, best first, for `hide`: two more looks.

        What is thin and sharp (bars, a fence, writing) disappears in a blurred picture, where a
        face that fills a third of it can still be told; a negative becomes a photo again.

        Raises:
            ValueError, BadWeights: see `detect`.
        """
        image = self._shown(image)
        framed = framed_view(image)
        looks = (
            (framed_view(image, soft=True), SOFT_FACTOR),
            (replace(framed, image=255 - framed.image), NEGATIVE_FACTOR),
        )
        some = [(self._look_far(view), factor) for view, factor in looks]
        found = join([replace(one, scores=one.scores * factor) for one, factor in some])
        found = found.take(found.scores >= self._threshold)
        return _heads(found.take(suppress(found.boxes_xyxy, found.scores)))

    def _shown(self, image: Image) -> Image:
        """What the net sees of a picture, see `ModelCard.even_light`; checks it."""
        check_image(image)
        return evened(image) if self.card.even_light else image

    def _look_far(self, far: View) -> Candidates:
        """What is large in a view that shows the whole picture small."""
        found = self._look([far])[0]
        return found.take(found.sizes_px() >= FAR_FROM_PX * max(far.ratio_xy))

    def _look(self, some: list[View]) -> list[Candidates]:
        """Run the net on views of one size."""
        pictures = stack_padded(some)
        maps = self._net.run(pictures)
        count, height, width, _ = pictures.shape
        for name, channels in _CHANNELS.items():
            wanted = (count, channels, height // STRIDE, width // STRIDE)
            if maps[name].shape != wanted:
                raise BadWeights(
                    f"{self._net.path}: output {name!r}: got {maps[name].shape}, wanted {wanted}"
                )
        if (maps["heat"] > 1).any():
            raise BadWeights(
                f"{self._net.path}: output 'heat' reaches {maps['heat'].max():.3g}, wanted 0..1; "
                "export it with its sigmoid"
            )
        view_h, view_w = (-(-n // STRIDE) for n in some[0].image.shape[:2])
        return [
            to_picture(
                decode(
                    maps["heat"][i, 0, :view_h, :view_w],
                    maps["box"][i, :, :view_h, :view_w],
                    maps["points"][i, :, :view_h, :view_w],
                    self._threshold * SUSPECT,
                ),
                view,
            )
            for i, view in enumerate(some)
        ]


def _heads(found: Candidates) -> list[Head]:
    return [
        Head((float(x0), float(y0), float(x1), float(y1)), score, marks, "headnet")
        for (x0, y0, x1, y1), score, marks in zip(
            found.boxes_xyxy, found.scores, found.points.astype(np.float32), strict=True
        )
    ]


def _reach_in(boxes_xyxy: NDArray[np.float64], width: int, height: int) -> NDArray[np.bool_]:
    """Which boxes (N, 4) a border of the picture cuts, `CUT_INSIDE` of them or more inside."""
    limits = np.array([width, height, width, height], np.float64)
    inside = np.clip(boxes_xyxy, 0, limits)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (inside, boxes_xyxy)]
    cut = (inside != boxes_xyxy).any(axis=1)
    return np.asarray(cut & (areas[0] >= CUT_INSIDE * areas[1]))


def load(
    weights: str | Path | None = None,
    *,
    threads: int | None = None,
    device: str = "cpu",
    precision: str = "auto",
    min_score: float | None = None,
    tiles: bool = True,
    max_side_px: int = 1024,
) -> HeadNet:
    """Open the head detector.

    Args:
        weights: name of a shipped net or a path; ``None`` = the shipped ``headnet``.
        threads: processor threads; ``None`` = all cores that the process may use.
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``.
        precision: ``"int8"``, ``"fp32"`` or ``"auto"``; for shipped names only.
        min_score, tiles, max_side_px: see `HeadNet`.

    Raises:
        UnknownName: no such name is shipped in this precision.
        BadWeights: the file is missing, damaged, or not a head detector.
        UsageError: the device is not there, or an option is out of range.
    """
    net = open_net(
        weights or "headnet", "detect", threads=threads, device=device, precision=precision
    )
    return HeadNet(net, min_score=min_score, tiles=tiles, max_side_px=max_side_px)
