"""What an audit groups: pictures that a parser was run on, heads that a detector looked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.crops import crop_head
from faceparts.evaluate import groups, heads
from faceparts.evaluate.audit import Units
from faceparts.evaluate.groups import AXES, UNKNOWN, Measures, group_of
from faceparts.evaluate.run_parts import PartsResult, evaluate_parts, len_within
from faceparts.types import (
    IGNORE,
    Dataset,
    Head,
    HeadDataset,
    HeadDetector,
    Image,
    LabelSet,
    Sample,
    Segmenter,
)

MIN_SKIN_SHARE = 0.15
"""Share of a head box that must be found to be skin before its tone and pose are measured."""

SIZE_NAMES = tuple(heads.size_name(b) + " px" for b in heads.SIZE_BINS_PX)
_TONE, _SIZE = "skin tone (ITA, degrees)", "head size"


def of_parser(result: PartsResult, *, sides_corrected: bool = True) -> Units:
    """One unit a picture; the background is not rated.

    Args:
        result: of `run_parts.evaluate_parts`.
        sides_corrected: put swapped sides of labels right first (`run_parts.are_sides_swapped`):
            they would burden whatever group has more mirrored photos.
    """
    mirror = list(result.protocol.label_set.mirror)
    counts = []
    for picture in result.pictures:
        turned = sides_corrected and picture.swapped
        matrix = picture.matrix[mirror] if turned else picture.matrix
        counts.append(np.stack([np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)], axis=1))
    classes = result.protocol.label_set.parts[1:]
    stacked = np.array(counts, np.int64).reshape(-1, len(classes) + 1, 3)[:, 1:]
    measures = [p.measures for p in result.pictures]
    return Units(classes, np.arange(len(counts)), stacked, _grouped(measures), _orders())


def _grouped(measures: Sequence[Measures]) -> dict[str, list[str]]:
    return {
        axis: [group_of(value(m), bins) for m in measures] for axis, (value, bins) in AXES.items()
    }


def _orders() -> dict[str, list[str]]:
    return {axis: [name for name, _ in bins] for axis, (_, bins) in AXES.items()}


@dataclass(frozen=True, eq=False)
class Shrunk:
    """A dataset whose pictures lost detail: shrunk (area) until the head is so large, then enlarged
    (bilinear) to their own size, so that labels stay as they are.

    Pictures without a labelled head, or with a smaller one, have nothing to score.

    Args:
        dataset: the pictures.
        head_px: longer side of the labelled head.
    """

    dataset: Dataset
    head_px: int

    @property
    def label_set(self) -> LabelSet:
        """That of the pictures."""
        return self.dataset.label_set

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, i: int) -> Sample:
        sample = self.dataset[i]
        box = groups.head_box(sample.labels, self.label_set)
        longer = 0.0 if box is None else max(box[2] - box[0], box[3] - box[1])
        if longer <= self.head_px:
            return replace(sample, labels=np.full_like(sample.labels, IGNORE))
        height, width = sample.labels.shape
        scale = self.head_px / longer
        small_wh = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(sample.image, small_wh, interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
        return replace(sample, image=np.asarray(image, np.uint8))


SHRUNK_AXIS = "head size, the same pictures shrunk"


def of_parser_shrunk(
    segmenter: Segmenter,
    dataset: Dataset,
    whole: PartsResult,
    sizes_px: Sequence[int],
    *,
    detector: HeadDetector | None = None,
    limit: int | None = None,
    on_picture: Callable[[], object] = lambda: None,
) -> Units:
    """One unit a picture and size, the picture as it is being one of them.

    All sizes hold the same people, so that groups differ in size alone: pictures whose head is not
    larger than every size are left out (a size that no head is larger than counts for nothing). A
    picture and its shrunk copies are drawn together.

    Args:
        whole: the result on the pictures as they are, see `run_parts.evaluate_parts`.
        sizes_px: longer sides of the head.
    """
    names, runs = ["as it is"], [of_parser(whole)]
    for size_px in sorted(set(sizes_px), reverse=True):
        result = evaluate_parts(
            *(segmenter, Shrunk(dataset, size_px), whole.protocol),
            detector=detector,
            limit=limit,
            on_picture=on_picture,
        )
        swapped = [p.swapped for p in whole.pictures]
        pictures = [replace(p, swapped=s) for p, s in zip(result.pictures, swapped, strict=True)]
        names.append(f"{size_px} px")
        runs.append(of_parser(replace(result, pictures=pictures)))
    counts = np.concatenate([run.counts for run in runs])
    every = [{p for p, n in zip(r.picture, _labelled(r.counts), strict=True) if n} for r in runs]
    shared = set.intersection(*(one for one in every if one))
    scored = np.array([p in shared for run in runs for p in run.picture], bool)
    scored &= _labelled(counts) > 0
    group = [name for name, run in zip(names, runs, strict=True) for _ in run.picture]
    return Units(
        runs[0].classes,
        np.concatenate([run.picture for run in runs])[scored],
        counts[scored],
        {SHRUNK_AXIS: [name for name, keep in zip(group, scored, strict=True) if keep]},
        {SHRUNK_AXIS: names},
    )


def _labelled(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Labelled pixels that count of each unit."""
    return np.asarray(counts[..., 1].sum(axis=1), np.int64)


@dataclass(frozen=True, eq=False)
class _Marked:
    """Marked heads of one picture and whether they were found."""

    found: NDArray[np.bool_]
    sizes: list[str]
    measures: list[Measures]


def of_detector_on_parts(
    detector: HeadDetector,
    dataset: Dataset,
    *,
    limit: int | None = None,
    on_picture: Callable[[], object] = lambda: None,
) -> Units:
    """One unit a labelled head: was it found where the labels lie?

    Found: a find with an IoU of at least 0.5 with `groups.head_box`. Pictures without a labelled
    face have no unit.
    """
    rows: list[_Marked] = []
    for i in range(len_within(dataset, limit)):
        sample = dataset[i]
        box = groups.head_box(sample.labels, dataset.label_set)
        if box is None:
            rows.append(_Marked(np.zeros(0, bool), [], []))
        else:
            found = _found(detector, sample.image, np.array([box]))
            measures = groups.measure(sample.image, sample.labels, dataset.label_set)
            rows.append(_Marked(found, [group_of(measures.head_px, groups.SIZES)], [measures]))
        on_picture()
    return _of_heads(rows, tuple(name for name, _ in groups.SIZES), with_tone=True)


def of_detector(
    detector: HeadDetector,
    dataset: HeadDataset,
    *,
    tone_by: Segmenter | None = None,
    limit: int | None = None,
    on_picture: Callable[[], object] = lambda: None,
) -> Units:
    """One unit a marked head.

    Found: matched as in `heads.match`. Sizes are sqrt(width x height). Pose comes from the marked
    points where there are any. With a parser, skin tone and, without points, pose are measured on
    the parts that it finds in the marked box, where at least `MIN_SKIN_SHARE` of the box is skin:
    a proxy of a proxy.
    """
    rows: list[_Marked] = []
    for i in range(len_within(dataset, limit)):
        sample = dataset[i]
        boxes = np.asarray(sample.boxes_xyxy, np.float64).reshape(-1, 4)
        sizes = [
            group_of(float(np.sqrt(max(0.0, (x1 - x0) * (y1 - y0)))), _SIZE_BINS)
            for x0, y0, x1, y1 in boxes
        ]
        measures = [
            _measure_head(sample.image, box, points, tone_by)
            for box, points in zip(boxes, sample.points, strict=True)
        ]
        rows.append(_Marked(_found(detector, sample.image, boxes), sizes, measures))
        on_picture()
    return _of_heads(rows, SIZE_NAMES, with_tone=tone_by is not None)


_SIZE_BINS = tuple(
    (heads.size_name(b) + " px", b[0] if b[0] > 0 else -np.inf) for b in heads.SIZE_BINS_PX[::-1]
)


def _found(detector: HeadDetector, image: Image, boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    finds = detector.detect(image)
    found_xyxy = heads.within([h.box_xyxy for h in finds], image.shape)
    taken = heads.assign(found_xyxy, [h.score for h in finds], boxes)
    found = np.zeros(len(boxes), bool)
    found[taken[taken >= 0]] = True
    return found


def _measure_head(
    image: Image,
    box: NDArray[np.float64],
    points: NDArray[np.float32],
    tone_by: Segmenter | None,
) -> Measures:
    x0, y0, x1, y1 = (float(v) for v in box)
    light = groups.lightness(image, (x0, y0, x1, y1))
    yaw, ita = groups.yaw_of_points(points), None
    if tone_by is not None and x1 > x0 and y1 > y0:
        card = tone_by.card
        crop = crop_head(
            image, Head((x0, y0, x1, y1), 1, Head.no_points()), card.input_px, card.margin
        )
        ids = tone_by.predict(crop.image[None])[0].argmax(axis=0).astype(np.uint8)
        skin = groups.skin_mask(ids, tone_by.label_set)
        scale = float(crop.to_source[0, 0])
        if skin.sum() * scale**2 >= MIN_SKIN_SHARE * (x1 - x0) * (y1 - y0):
            ita = groups.ita_deg(crop.image, skin)
            yaw = groups.yaw_of_labels(ids, tone_by.label_set) if yaw is None else yaw
    return Measures(max(x1 - x0, y1 - y0), yaw, light, ita)


def _of_heads(rows: Sequence[_Marked], sizes: Sequence[str], *, with_tone: bool) -> Units:
    measures = [m for row in rows for m in row.measures]
    found = np.concatenate([np.zeros(0, bool), *(row.found for row in rows)]).astype(np.int64)
    picture = np.repeat(np.arange(len(rows)), [len(row.sizes) for row in rows])
    ones = np.ones_like(found)
    grouped, orders = _grouped(measures), _orders()
    grouped[_SIZE] = [size for row in rows for size in row.sizes]
    orders[_SIZE] = list(sizes)
    if not with_tone:
        del grouped[_TONE], orders[_TONE]
    known = {a: g for a, g in grouped.items() if any(name != UNKNOWN for name in g)}
    counts = np.stack([found, ones, ones], axis=1)[:, None]
    return Units(("heads",), picture, counts, known, orders, is_recall=True)
