"""Adapters: what a pose model of any kind puts out -> people in picture coordinates.

Each ``read_*`` is a pure function from the outputs to keypoints in pixels of the input (edges).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from dataclasses import replace as changed
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceparts.detect._grouping import group
from faceparts.detect._people import Array, Person, to_coco
from faceparts.detect._pose_card import PoseCard, card_path, guess_card, read_card
from faceparts.detect._pose_run import Opened, Outputs, open_model
from faceparts.detect._regions import Box, Cut, cut
from faceparts.detect._suppress import suppress
from faceparts.errors import BadWeights
from faceparts.images import rgb_to_bgr
from faceparts.types import Image

BATCH = 8
"""Regions that a model with a free batch size sees at once."""

YOLO_PX = 640
BOTTOM_UP_PX = 512
MULTIPLE = 32
"""Sides of a free input are multiples of this."""

LONGEST = 3
"""A free input is at most this many times as long as wide; longer pictures are seen smaller."""

SAME_PERSON_IOU = 0.65

Found = tuple[Array, Array]
"""(P, K, 3) keypoints in pixels of the input and (P,) scores of the people."""


@dataclass(frozen=True, eq=False)
class PoseModel:
    """A pose model with its card.

    Args:
        opened: the file.
        card: how to use it.
    """

    opened: Opened
    card: PoseCard

    @property
    def sees_many(self) -> bool:
        """Whether one look finds all people of a region, not just one of them."""
        return self.card.kind in ("yolo-pose", "bottom-up")

    @property
    def view_px(self) -> int:
        """Shorter side of what it sees of a square region."""
        return min(self._input_wh((0, 0, 1, 1)))

    def find(self, image: Image, regions: Sequence[Box]) -> list[list[Person]]:
        """People in each region, in picture coordinates.

        Args:
            image: (H, W, 3) uint8 RGB.
            regions: each must touch the picture.

        Raises:
            BadWeights: the outputs are not what the card promises.
        """
        batch = self.opened.input_shape[0] or (1 if self._is_free else BATCH)
        found: list[list[Person]] = []
        queue = iter(regions)
        while some := list(islice(queue, batch)):
            cuts = [cut(image, region, self._input_wh(region), self.card.pad) for region in some]
            blobs = np.stack([c.image for c in cuts])
            if len(cuts) < (self.opened.input_shape[0] or 0):
                blobs = np.concatenate([blobs, blobs[:1].repeat(batch - len(cuts), axis=0)])
            read = self._read(self.opened.run(self._blob(blobs)), blobs.shape[2:0:-1])
            found += [_to_people(one, c, self.card) for one, c in zip(read, cuts, strict=False)]
        return found

    @property
    def _is_free(self) -> bool:
        return self.card.input_wh == (0, 0)

    def _input_wh(self, region: Box) -> tuple[int, int]:
        return free_size(region, self.card.kind) if self._is_free else self.card.input_wh

    def _blob(self, images: NDArray[np.uint8]) -> NDArray[np.generic]:
        """(N, H, W, 3) RGB -> what the model takes."""
        mean, std = np.array(self.card.mean, np.float32), np.array(self.card.std, np.float32)
        if self.card.channels == "bgr":
            images = np.stack([rgb_to_bgr(image) for image in images])
            mean, std = mean[::-1], std[::-1]
        blob: NDArray[np.generic] = images
        if self.opened.dtype == np.float32:
            blob = (images.astype(np.float32) - mean) / std
        elif self.opened.dtype != np.uint8:
            blob = images.astype(self.opened.dtype)
        if self.opened.channels_last:
            return np.ascontiguousarray(blob)
        return np.ascontiguousarray(blob.transpose(0, 3, 1, 2))

    def _read(self, outputs: Outputs, input_wh: tuple[int, ...]) -> Iterator[Found]:
        """What was found in each picture of the batch."""
        path, card = self.opened.path, self.card
        width, height = input_wh
        names = list(outputs)
        first = self._named(outputs, card.heatmaps, names[0])
        if card.kind == "single-person":
            yield from read_single(first, card, (width, height), str(path))
        elif card.kind == "top-down":
            yield from read_heatmaps(first, card, (width, height), str(path))
        elif card.kind == "yolo-pose":
            yield from read_rows(first, card, str(path))
        else:
            tags = self._named(outputs, card.tags, names[-1])
            yield from read_groups(first, tags, card, (width, height), str(path))

    def _named(self, outputs: Outputs, name: str, default: str) -> NDArray[np.float32]:
        if (name or default) not in outputs:
            raise BadWeights(
                f"{self.opened.path}: no output {name!r}; there are: {', '.join(outputs)}"
            )
        return outputs[name or default]


def _to_people(found: Found, seen: Cut, card: PoseCard) -> list[Person]:
    keypoints, scores = found
    keypoints = keypoints.copy()
    keypoints[..., :2] = seen.to_picture(keypoints[..., :2])
    return [
        Person(points, float(score))
        for points, score in zip(to_coco(keypoints, card.keypoints), scores, strict=True)
    ]


def free_size(region: Box, kind: str) -> tuple[int, int]:
    """Width and height of the input for a region where the model takes any size.

    YOLO sees the longer side at 640 pixels, bottom-up models the shorter one at 512.

    Example:
        >>> free_size((0, 0, 1000, 500), "yolo-pose"), free_size((0, 0, 1000, 500), "bottom-up")
        ((640, 320), (1024, 512))
    """
    width, height = region[2] - region[0], region[3] - region[1]
    longer, shorter = max(width, height), max(min(width, height), max(width, height) / LONGEST)
    scale = YOLO_PX / longer if kind == "yolo-pose" else BOTTOM_UP_PX / shorter
    wide, high = (
        max(MULTIPLE, -(-round(n * scale) // MULTIPLE) * MULTIPLE) for n in (width, height)
    )
    return wide, high


# --- reading the outputs ----------------------------------------------------------------------


def _probs(values: Array, card: PoseCard) -> Array:
    if card.scores == "probs":
        return values
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-values)))


def read_single(
    output: NDArray[np.float32], card: PoseCard, input_wh: tuple[int, int], where: str = "model"
) -> Iterator[Found]:
    """(N, ..., K, 3) numbers, such as MoveNet's (1, 1, 17, 3) -> one person a picture.

    Raises:
        BadWeights: another shape.
    """
    count = len(card.keypoints)
    if output.ndim < 3 or output.shape[-2:] != (count, 3) or output.size != len(output) * count * 3:
        raise BadWeights(f"{where}: output is {output.shape}, wanted (N, {count}, 3)")
    values = output.reshape(-1, count, 3).astype(np.float64)
    if card.order == "yxs":
        values = values[..., [1, 0, 2]]
    if card.unit == "share":
        values = values * np.array([*input_wh, 1.0])
    values[..., 2] = _probs(values[..., 2], card)
    for person in values:
        yield person[None], person[:, 2].mean(keepdims=True)


def read_heatmaps(
    maps: NDArray[np.float32], card: PoseCard, input_wh: tuple[int, int], where: str = "model"
) -> Iterator[Found]:
    """(N, K, h, w) heat maps of one person each -> the highest place of every map.

    The place is the middle of the pixel, moved a quarter pixel towards the higher neighbour on
    each axis (Newell et al., "Stacked Hourglass Networks", 2016), not at a border; its heat is the
    score.

    Raises:
        BadWeights: another shape.
    """
    count = len(card.keypoints)
    if maps.ndim != 4 or maps.shape[1] != count or min(maps.shape) < 1 or min(maps.shape[2:]) < 2:
        raise BadWeights(f"{where}: heat maps are {maps.shape}, wanted (N, {count}, h, w)")
    height, width = maps.shape[2:]
    ratio = np.array([input_wh[0] / width, input_wh[1] / height])
    for person in maps.astype(np.float64):
        flat = person.reshape(count, -1).argmax(axis=1)
        rows, columns = np.divmod(flat, width)
        each = np.arange(count)
        around = np.pad(person, ((0, 0), (1, 1), (1, 1)), mode="reflect")  # no step at a border
        right, left = around[each, rows + 1, columns + 2], around[each, rows + 1, columns]
        below, above = around[each, rows + 2, columns + 1], around[each, rows, columns + 1]
        x = columns + 0.5 + 0.25 * np.sign(right - left)
        y = rows + 0.5 + 0.25 * np.sign(below - above)
        scores = _probs(person[each, rows, columns], card)
        xy = np.stack([x, y], axis=1) * ratio
        yield np.concatenate([xy, scores[:, None]], axis=1)[None], scores.mean(keepdims=True)


def read_rows(output: NDArray[np.float32], card: PoseCard, where: str = "model") -> Iterator[Found]:
    """Rows of YOLO-pose, (N, row, anchors) or (N, anchors, row) -> people without duplicates.

    A row is a box and its scores (see `PoseCard.rows`), then x, y, score of each keypoint, in
    pixels of the input.

    Raises:
        BadWeights: neither axis has a row's length.
    """
    before = 5 if card.rows == "box+score" else 6
    length = before + 3 * len(card.keypoints)
    if output.ndim != 3 or length not in output.shape[1:]:
        raise BadWeights(
            f"{where}: output is {output.shape}, wanted (N, {length}, anchors) or "
            f"(N, anchors, {length}) for rows of {card.rows!r}"
        )
    table = output.astype(np.float64)
    if table.shape[2] != length:
        table = table.transpose(0, 2, 1)
    for rows in table:
        yield _people_in_rows(rows, card, before)


def _people_in_rows(rows: Array, card: PoseCard, before: int) -> Found:
    """The rows (anchors, row) that are sure enough; of several for one person the best."""
    scores = _probs(rows[:, 4], card)
    if card.rows == "box+object+class":
        scores = scores * _probs(rows[:, 5], card)
    boxes = rows[:, :4]
    if card.rows != "corners+score+class":
        half = boxes[:, 2:] / 2
        boxes = np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
    good = (scores >= card.person_threshold) & np.isfinite(boxes).all(axis=1)
    good &= (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    kept = np.flatnonzero(good)
    if card.rows != "corners+score+class":
        kept = kept[suppress(boxes[kept], scores[kept], max_iou=SAME_PERSON_IOU, max_inside=1)]
    keypoints = rows[kept, before:].reshape(len(kept), len(card.keypoints), 3)
    keypoints[..., 2] = _probs(keypoints[..., 2], card)
    return keypoints, scores[kept]


def read_groups(
    heatmaps: NDArray[np.float32],
    tags: NDArray[np.float32],
    card: PoseCard,
    input_wh: tuple[int, int],
    where: str = "model",
) -> Iterator[Found]:
    """(N, 17, h, w) heat maps of everybody and tags -> people by associative embedding.

    Args:
        tags: (N, 17, h, w) or (N, 17, h, w, T).

    Raises:
        BadWeights: shapes that do not fit, or values that are not finite.
    """
    shape = heatmaps.shape
    if len(shape) != 4 or shape[1] != 17 or tags.shape[:4] != shape or tags.ndim not in (4, 5):
        raise BadWeights(
            f"{where}: heat maps are {shape} and tags {tags.shape}, wanted (N, 17, h, w) both"
        )
    ratio = np.array([input_wh[0] / shape[3], input_wh[1] / shape[2], 1.0])
    for one, own_tags in zip(heatmaps, tags, strict=True):
        people, scores = group(one, own_tags, threshold=card.person_threshold)
        keypoints = people.astype(np.float64) * ratio
        keypoints[..., 2] = _probs(keypoints[..., 2], card)
        yield keypoints, scores.astype(np.float64)


# --- opening ----------------------------------------------------------------------------------


def open_pose_model(
    path: Path, *, threads: int | None = None, device: str = "cpu", card: PoseCard | None = None
) -> PoseModel:
    """Open a pose model with the card beside it, or with what its shapes tell.

    Args:
        card: to use in place of the one beside the file.

    Raises:
        BadWeights: the file or its card is missing, damaged or wrong.
        UsageError: the device is not there.
        MissingExtra: LiteRT or SciPy is needed and not installed.
    """
    opened = open_model(path, threads=threads, device=device)
    card = card or read_card(path) or guess_card(opened.input_shape, opened.output_shapes)
    if card is None:
        shapes = ", ".join(f"{name} {shape}" for name, shape in opened.output_shapes.items())
        raise BadWeights(
            f"{path}: its shapes (input {opened.input_shape}, outputs {shapes}) do not tell what "
            f"kind of pose model it is; describe it in {card_path(path).name} beside it"
        )
    return PoseModel(opened, _settled(card, opened))


def _settled(card: PoseCard, opened: Opened) -> PoseCard:
    """The card with name and input size filled in from the file."""
    card = card if card.name else changed(card, name=opened.path.stem)
    last = opened.channels_last
    height, width = opened.input_shape[1:3] if last else opened.input_shape[2:]
    if width is not None and height is not None:
        if card.input_wh not in ((0, 0), (width, height)):
            raise BadWeights(
                f"{opened.path}: the input is {width} x {height}, its card says "
                f"{card.input_wh[0]} x {card.input_wh[1]}"
            )
        return changed(card, input_wh=(width, height))
    if card.input_wh == (0, 0) and card.kind in ("single-person", "top-down"):
        raise BadWeights(f"{opened.path}: takes any input size; say input_wh in its card")
    return card
