"""Training pictures for the head detector: cuts of photos, collages of face crops, single heads.

Everything is made from (image, boxes, points) triples; coordinates are picture pixels (edges).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.crops import GREY
from faceparts.labels import CELEBA19
from faceparts.train.occlude import Occluders
from faceparts.types import POINTS, POINTS_MIRROR, Image

HEAD_PARTS = (
    *("skin", "nose", "glasses", "left_eye", "right_eye", "left_brow", "right_brow", "left_ear"),
    *("right_ear", "mouth", "upper_lip", "lower_lip", "hair", "hat"),
)

LEAST_SEEN = 0.2
"""A head in a small framed picture shows this share of itself or fills this share of it, and shows
an eye, the nose, an ear or a corner of the mouth where the crop does."""

_TRIES = 50

Boxes = NDArray[np.float32]
Points = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture with its heads: (H, W, 3) RGB, (N, 4) boxes, (N, 7, 3) points.

    ``ids`` are CelebAMask part labels (H, W) where a crop has them.
    """

    image: Image
    boxes: Boxes
    points: Points
    ids: NDArray[np.uint8] | None = None


def head_from_labels(ids: NDArray[np.uint8]) -> tuple[Boxes, Points] | None:
    """Head box (4,) and points (7, 3) from CelebAMask part labels; ``None`` without a face.

    The box spans skin, hair, hat, ears and glasses down to the chin: long hair below the chin
    does not make a head longer, and hair counts sideways only above the chin.
    Visibility is 1 where the part is there, 0 where it is not, ``nan`` for eyes behind glasses.
    """
    where = {p: np.nonzero(ids == CELEBA19.id(p)) for p in HEAD_PARTS}
    ys = where["skin"][0]
    if len(ys) < 0.01 * ids.size:
        return None
    chin = float(np.percentile(ys, 99.7)) + 1
    head = np.isin(ids, [CELEBA19.id(p) for p in HEAD_PARTS])
    head[int(np.ceil(chin)) :] = False
    rows, columns = np.nonzero(head.sum(1) > 1)[0], np.nonzero(head.sum(0) > 1)[0]
    if not len(rows) or not len(columns):
        return None
    box = np.array([columns[0], rows[0], columns[-1] + 1, chin], np.float32)
    points = np.full((len(POINTS), 3), np.nan, np.float32)
    points[:, 2] = 0
    for i, part in enumerate(("right_eye", "left_eye", "nose", "right_ear", "left_ear")):
        py, px = where[part]
        if len(py) >= 8:
            y = np.percentile(py, 75) if part == "nose" else py.mean()
            points[i] = (px.mean() + 0.5, y + 0.5, 1)
    lips = [np.concatenate(v) for v in zip(where["upper_lip"], where["lower_lip"], strict=True)]
    if len(lips[0]) >= 16:
        for i, at in ((5, lips[1].min()), (6, lips[1].max())):
            points[i] = (at + 0.5, lips[0][np.abs(lips[1] - at) <= 1].mean() + 0.5, 1)
    if len(where["glasses"][0]) > 30:
        points[:2][points[:2, 2] == 0] = np.nan
    return box, points


def occlude(scene: Scene, occluders: Occluders, rng: np.random.Generator) -> Scene:
    """Paste something before a labelled face: its box stays, covered points become hidden."""
    if scene.ids is None:
        return scene
    image, ids = occluders.paste(scene.image, scene.ids, rng, CELEBA19)
    points = scene.points.copy()
    seen = points[..., 2] == 1
    columns = np.clip(points[seen][:, 0].astype(int), 0, ids.shape[1] - 1)
    rows = np.clip(points[seen][:, 1].astype(int), 0, ids.shape[0] - 1)
    points[seen, 2] = ids[rows, columns] != 0
    return Scene(image, scene.boxes, points)


def transform(scene: Scene, matrix: NDArray[np.float64], size_px: int) -> Scene:
    """Apply an affine map (edge coordinates) into a square; grey outside, anti-aliased.

    A turned box becomes the box around the turned ellipse.
    """
    to_centres = matrix.copy()
    to_centres[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    zoom = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    picture = scene.image
    while zoom < 0.6:
        h, w = picture.shape[:2]
        if min(h, w) < 4:
            break
        half = (max(1, w // 2), max(1, h // 2))
        step = np.array([w / half[0], h / half[1]])
        picture = np.asarray(cv2.resize(picture, half, interpolation=cv2.INTER_AREA), np.uint8)
        to_centres[:, 2] += to_centres[:, :2] @ (step / 2 - 0.5)
        to_centres[:, :2] *= step
        zoom *= 2
    size = (size_px, size_px)
    image = cv2.warpAffine(
        picture, to_centres, size, flags=cv2.INTER_LINEAR, borderValue=(127, 127, 127)
    )
    boxes = scene.boxes
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 @ matrix[:, :2].T + matrix[:, 2]
    half_wh = (boxes[:, 2:] - boxes[:, :2]) / 2
    reach = np.sqrt((half_wh**2) @ (matrix[:, :2] ** 2).T)
    points = scene.points.copy()
    points[..., :2] = points[..., :2] @ matrix[:, :2].T + matrix[:, 2]
    return Scene(
        np.asarray(image, np.uint8),
        np.concatenate([centres - reach, centres + reach], axis=1).astype(np.float32),
        points.astype(np.float32),
    )


def mirror(scene: Scene) -> Scene:
    """Flip left-right; the sides of the points swap."""
    w = scene.image.shape[1]
    boxes = scene.boxes.copy()
    boxes[:, 0], boxes[:, 2] = w - scene.boxes[:, 2], w - scene.boxes[:, 0]
    points = scene.points[:, list(POINTS_MIRROR)].copy()
    points[..., 0] = w - points[..., 0]
    return Scene(np.ascontiguousarray(scene.image[:, ::-1]), boxes, points)


def lean(rng: np.random.Generator, *, often: float, by_deg: float) -> NDArray[np.float64]:
    """(2, 2) turn: most often a little, with probability ``often`` more, sometimes a quarter."""
    chance = rng.random()
    if chance < 0.04:
        angle = float(rng.choice([90, 180, 270]))
    else:
        angle = rng.normal(0, 35 if chance < 0.04 + often else by_deg)
    turn = np.radians(angle)
    return np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])


def stretch(rng: np.random.Generator) -> NDArray[np.float64]:
    """(2, 2) change of the shape: a little most often, up to 1 : 3 in 6 of 100 times."""
    by = rng.uniform(-0.55, 0.55) if rng.random() < 0.06 else rng.normal(0, 0.06)
    return np.diag([float(np.exp(by)), float(np.exp(-by))])


def cut_photo(photo: Scene, size_px: int, rng: np.random.Generator) -> Scene:
    """A random square of a photo at a random scale, most often around one of its heads.

    That head gets a size of 8 px to almost half of the square, small ones more often.
    """
    h, w = photo.image.shape[:2]
    if len(photo.boxes) and rng.random() < 0.9:
        box = photo.boxes[int(rng.integers(len(photo.boxes)))]
        centre = (box[:2] + box[2:]) / 2
        side = float(np.sqrt(np.prod(box[2:] - box[:2])))
        wanted = np.exp(rng.uniform(np.log(8), np.log(0.45 * size_px)))
        zoom = float(np.clip(wanted / side, 0.35, 3.0))
    else:
        centre, zoom = rng.uniform(0, 1, 2) * (w, h), float(np.exp(rng.uniform(-0.7, 0.7)))
    low = size_px / 2 / zoom
    spread = rng.uniform(-0.45, 0.45, 2) * size_px / zoom
    middle = centre + spread
    for axis, length in ((0, w), (1, h)):
        if length > 2 * low:
            middle[axis] = np.clip(middle[axis], low, length - low)
        else:
            middle[axis] = length / 2
    scale = zoom * stretch(rng)
    if rng.random() < 0.3:
        scale = lean(rng, often=0.1, by_deg=8) @ scale
    matrix = np.column_stack([scale, size_px / 2 - scale @ middle])
    return transform(photo, matrix, size_px)


def place_head(
    crop: Scene, size_px: int, head_px: float, centre: NDArray[np.float64], rng: np.random.Generator
) -> Scene:
    """Put a crop so that its head has a wanted size and centre; it is turned by `lean`."""
    box = crop.boxes[0]
    zoom = head_px / float(np.sqrt(np.prod(box[2:] - box[:2])))
    rotation = lean(rng, often=0.15, by_deg=12) @ stretch(rng) * zoom
    middle = (box[:2] + box[2:]) / 2
    matrix = np.column_stack([rotation, centre - rotation @ middle])
    return transform(crop, matrix, size_px)


def collage(crops: list[Scene], background: Image, size_px: int, rng: np.random.Generator) -> Scene:
    """A grid of 2 x 2 to 9 x 9 cells, few more often, with one crop each, over a background.

    Some cells stay empty.
    """
    cells = int(np.exp(rng.uniform(np.log(2), np.log(10))))
    cell = size_px / cells
    image = np.array(
        cv2.resize(background, (size_px, size_px), interpolation=cv2.INTER_AREA), np.uint8
    )
    boxes, points = [], []
    for row in range(cells):
        for column in range(cells):
            if rng.random() < 0.25:
                continue
            crop = crops[int(rng.integers(len(crops)))]
            if rng.random() < 0.5:
                crop = mirror(crop)
            side = int(np.ceil(cell))
            head_px = cell * rng.uniform(0.3, 0.85)
            placed = place_head(
                crop,
                side,
                head_px,
                np.array([side / 2, side / 2]) + rng.normal(0, 0.06 * cell, 2),
                rng,
            )
            x, y = int(column * cell), int(row * cell)
            x1, y1 = min(size_px, x + side), min(size_px, y + side)
            image[y:y1, x:x1] = placed.image[: y1 - y, : x1 - x]
            boxes.append(placed.boxes + np.array([x, y, x, y], np.float32))
            points.append(placed.points + np.array([x, y, 0], np.float32))
    if not boxes:
        return Scene(image, np.zeros((0, 4), np.float32), np.zeros((0, len(POINTS), 3), np.float32))
    return Scene(image, np.concatenate(boxes), np.concatenate(points))


def headless(photo: Scene, rng: np.random.Generator, least_px: int = 32) -> Image | None:
    """A random part of a photo that no head's box touches: desks, walls, shoulders, hands.

    Shown as a picture of its own, it teaches that a torso that fills a frame is not a head, so
    half of them are looked for below a head.

    Args:
        photo: every head in it is known.
        rng: the only source of chance.
        least_px: the smallest side.

    Returns:
        (h, w, 3) RGB, or ``None`` where 50 tries found no such part.
    """
    wh = np.array(photo.image.shape[1::-1], np.float64)
    if wh.min() < least_px:
        return None
    for _ in range(_TRIES):
        if len(photo.boxes) and rng.random() < 0.5:
            box = photo.boxes[int(rng.integers(len(photo.boxes)))].astype(np.float64)
            head_px = float(np.sqrt(np.prod(box[2:] - box[:2])))
            side = head_px * np.exp(rng.uniform(-0.2, 1.2))
            middle = np.array([box[[0, 2]].mean(), box[3] + side / 2])
            middle += rng.normal(0, 0.4, 2) * (side, head_px)
        else:
            side = np.exp(rng.uniform(np.log(least_px), np.log(wh.min())))
            middle = rng.uniform(0, 1, 2) * wh
        part = np.clip(side * np.exp(rng.uniform(-0.5, 0.5, 2)), least_px, wh).astype(int)
        low = np.clip(middle - part / 2, 0, wh - part).astype(int)
        high = low + part
        if not ((photo.boxes[:, :2] < high) & (photo.boxes[:, 2:] > low)).all(axis=1).any():
            return photo.image[low[1] : high[1], low[0] : high[0]]
    return None


def framed(
    crops: list[Scene], backgrounds: list[Image], size_px: int, rng: np.random.Generator
) -> Scene:
    """Small pictures in grey, as in the detector's framed look; their borders cut most heads.

    A half of a face, a quarter or its inside must be found as well as the whole of it. A cell in
    three shows a background only: a border alone is no reason to see a head.

    Args:
        crops: pictures with one head each.
        backgrounds: pictures without a head.
    """
    cells = 2 if size_px < 512 or rng.random() < 0.6 else 3
    side = size_px // cells
    image = np.full((size_px, size_px, 3), GREY, np.uint8)
    boxes, points = [np.zeros((0, 4), np.float32)], [np.zeros((0, len(POINTS), 3), np.float32)]
    for row in range(cells):
        for column in range(cells):
            x, y = column * side, row * side
            window = _frame(side, rng)
            place = np.s_[y + window[1] : y + window[3], x + window[0] : x + window[2]]
            if rng.random() < 1 / 3:
                background = backgrounds[int(rng.integers(len(backgrounds)))]
                image[place] = _piece(background, image[place].shape[:2], rng)
                continue
            crop = crops[int(rng.integers(len(crops)))]
            placed = _cut_head(mirror(crop) if rng.random() < 0.5 else crop, side, window, rng)
            inside = placed.image[window[1] : window[3], window[0] : window[2]]
            image[place] = inside
            boxes.append(placed.boxes + np.array([x, y, x, y], np.float32))
            points.append(placed.points + np.array([x, y, 0], np.float32))
    return Scene(image, np.concatenate(boxes), np.concatenate(points))


def _frame(side: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Where a picture of about half the side lies in a cell: x0, y0, x1, y1."""
    longer, shorter = rng.uniform(0.4, 0.6) * side, float(np.exp(rng.uniform(-0.7, 0)))
    wh = np.array([longer, longer * shorter][:: int(rng.choice([-1, 1]))]).astype(int)
    x0, y0 = (side - wh) // 2
    return int(x0), int(y0), int(x0 + wh[0]), int(y0 + wh[1])


def _cut_head(
    crop: Scene, side: int, window: tuple[int, int, int, int], rng: np.random.Generator
) -> Scene:
    """A head of which the window shows enough, with its centre anywhere in the cell."""
    low, high = np.array(window[:2], np.float64), np.array(window[2:], np.float64)
    wh = high - low
    for tries in range(_TRIES):
        head_px = float(np.sqrt(wh.prod()) * np.exp(rng.uniform(np.log(0.6), np.log(1.9))))
        centre = np.clip(low + rng.uniform(-0.4, 1.4, 2) * wh, 2, side - 2)
        if tries == _TRIES - 1:
            centre = (low + high) / 2
        seen = np.minimum(centre + head_px / 2, high) - np.maximum(centre - head_px / 2, low)
        if min(seen) <= 0 or seen.prod() < LEAST_SEEN * min(head_px**2, float(wh.prod())):
            continue
        placed = place_head(crop, side, head_px, centre, rng)
        points = placed.points.copy()
        points[((points[..., :2] < low) | (points[..., :2] > high)).any(axis=-1), 2] = 0
        if (points[..., 2] == 1).any() or not (crop.points[..., 2] == 1).any():
            break
    return Scene(placed.image, placed.boxes, points)


def _piece(image: Image, hw: tuple[int, ...], rng: np.random.Generator) -> Image:
    """A random part of a picture, a quarter of it or more, in the shape that is wanted."""
    h, w = (max(1, int(n * rng.uniform(0.5, 1))) for n in image.shape[:2])
    y, x = (int(rng.integers(n - m + 1)) for n, m in zip(image.shape[:2], (h, w), strict=True))
    part = image[y : y + h, x : x + w]
    return np.asarray(cv2.resize(part, hw[::-1], interpolation=cv2.INTER_AREA), np.uint8)
