"""Photos on which it is known, pixel by pixel, what must be hidden."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.datasets import celebamask, fasseg, helen_landmarks, scut_head
from faceparts.labels import CELEBA19, FASSEG6
from faceparts.types import Image, LabelSet, Sample

FACE = (
    *("skin", "nose", "glasses", "left_eye", "right_eye", "left_brow", "right_brow"),
    *("mouth", "upper_lip", "lower_lip"),
)
COLLAGE_SIZES_PX = (16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256)
COLLAGES = 24
INNER_SHARES = (0.15, 0.25)
LEAST_CUT_PX = 400


@dataclass(frozen=True, eq=False)
class KnownFace:
    """Pixels that identify one person.

    Args:
        window_xyxy: whole pixels, inside the picture.
        mask: (h, w) bool inside the window.
        size_px: longer side of what the mask spans (SCUT-HEAD: of the head box).
    """

    window_xyxy: tuple[int, int, int, int]
    mask: NDArray[np.bool_]
    size_px: float


@dataclass(frozen=True, eq=False)
class Scene:
    """A photo and its known faces.

    Args:
        complete: there is no other face in the photo, so what is changed elsewhere is too much.
    """

    key: str
    image: Image
    faces: tuple[KnownFace, ...]
    complete: bool


def celebamask_scenes(data: Path, seed: int) -> Iterator[Scene]:
    """The val pictures, 512 px, one face each: skin, nose, eyes, brows, mouth, lips, glasses."""
    dataset = celebamask.load(data / "celebamask", "val")
    for i in range(len(dataset)):
        sample = dataset[i]
        mask = np.isin(sample.labels, _ids(CELEBA19, *FACE))
        yield Scene(sample.key, sample.image, faces_of(mask), complete=True)


def half_scenes(data: Path, seed: int) -> Iterator[Scene]:
    """The left, right, upper and lower half of each face, cut at the middle of what it spans."""
    for scene in celebamask_scenes(data, seed):
        x, y, width, height = _middle_and_size(scene)
        yield from _cut(scene, "left", (0, 0, x, height))
        yield from _cut(scene, "right", (x, 0, width, height))
        yield from _cut(scene, "upper", (0, 0, width, y))
        yield from _cut(scene, "lower", (0, y, width, height))


def quarter_scenes(data: Path, seed: int) -> Iterator[Scene]:
    """The four quarters of each face, in a corner of the picture."""
    for scene in celebamask_scenes(data, seed):
        x, y, width, height = _middle_and_size(scene)
        yield from _cut(scene, "upper left", (0, 0, x, y))
        yield from _cut(scene, "upper right", (x, 0, width, y))
        yield from _cut(scene, "lower left", (0, y, x, height))
        yield from _cut(scene, "lower right", (x, y, width, height))


def inner_scenes(data: Path, seed: int) -> Iterator[Scene]:
    """The inside of each face: a share of its width and height is left off on every side."""
    for scene in celebamask_scenes(data, seed):
        x0, y0, x1, y1 = scene.faces[0].window_xyxy
        for share in INNER_SHARES:
            dx, dy = int(share * (x1 - x0)), int(share * (y1 - y0))
            yield from _cut(scene, f"inner {share}", (x0 + dx, y0 + dy, x1 - dx, y1 - dy))


def _middle_and_size(scene: Scene) -> tuple[int, int, int, int]:
    """x and y of the middle of the one face; width and height of the picture, all in pixels."""
    x0, y0, x1, y1 = scene.faces[0].window_xyxy
    height, width = scene.image.shape[:2]
    return (x0 + x1) // 2, (y0 + y1) // 2, width, height


def _cut(scene: Scene, name: str, window_xyxy: tuple[int, int, int, int]) -> Iterator[Scene]:
    """What a window shows of a scene with one face; nothing where that is little."""
    mask = mask_of(scene)[_place(window_xyxy)]
    if mask.sum() >= LEAST_CUT_PX:
        image = np.ascontiguousarray(scene.image[_place(window_xyxy)])
        yield Scene(f"{scene.key} {name}", image, faces_of(mask), complete=True)


def _place(window_xyxy: tuple[int, int, int, int]) -> tuple[slice, slice]:
    x0, y0, x1, y1 = window_xyxy
    return slice(y0, y1), slice(x0, x1)


def collage_scenes(data: Path, seed: int) -> Iterator[Scene]:
    """Group photos: people cut out of the val pictures, shrunk, on photos without a person.

    The photos are enlarged to 1,280 px. Sizes are the longer side of the face, drawn from
    `COLLAGE_SIZES_PX` for each row; people stand in rows and do not overlap.
    """
    dataset = celebamask.load(data / "celebamask", "val")
    people = [dataset[i] for i in range(len(dataset))]
    chance = np.array(COLLAGE_SIZES_PX) / sum(COLLAGE_SIZES_PX)  # fewer fit in a row of large ones
    grounds = sorted((data / "no_people").glob("*.jpg"))
    for number in range(COLLAGES):
        rng = np.random.default_rng((seed, number))
        canvas = _ground(grounds[number % len(grounds)])
        mask = np.zeros(canvas.shape[:2], np.uint8)
        faces: list[KnownFace] = []
        y = 4
        while True:
            size_px = int(rng.choice(COLLAGE_SIZES_PX, p=chance))
            bottom, x = y, 4
            while True:
                person = _person(people[int(rng.integers(len(people)))], size_px, rng)
                h, w = person[1].shape
                if x + w > canvas.shape[1] or y + h > canvas.shape[0]:
                    break
                cut = canvas[y : y + h, x : x + w]
                alpha = person[1][..., None]
                cut[:] = (cut * (1 - alpha) + person[0] * alpha + 0.5).astype(np.uint8)
                face = person[2]
                mask[y : y + h, x : x + w] |= face.view(np.uint8)
                ys, xs = np.nonzero(face)
                window = (x + xs.min(), y + ys.min(), x + xs.max() + 1, y + ys.max() + 1)
                inside = face[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
                faces.append(KnownFace(tuple(map(int, window)), inside, float(max(inside.shape))))
                bottom, x = max(bottom, y + h), x + w + int(rng.integers(2, 12))
            y = bottom + 4 if bottom > y else canvas.shape[0]
            if y + 24 > canvas.shape[0]:
                break
        yield Scene(f"collage{number:02d}", canvas, tuple(faces), complete=True)


def scut_scenes(data: Path, seed: int) -> Iterator[Scene]:
    """SCUT-HEAD val: the ellipse in every head box, faces and backs of heads alike."""
    dataset = scut_head.load(data / "scut_head", "val")
    for i in range(len(dataset)):
        sample = dataset[i]
        faces = []
        for x0, y0, x1, y1 in sample.boxes_xyxy.tolist():
            full = np.zeros(sample.image.shape[:2], np.uint8)
            box = (((x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2), (x1 - x0, y1 - y0), 0.0)
            cv2.ellipse(full, box, 1, -1)
            found = faces_of(full > 0)
            if found:
                faces.append(KnownFace(found[0].window_xyxy, found[0].mask, max(x1 - x0, y1 - y0)))
        yield Scene(sample.key, sample.image, tuple(faces), complete=False)


def fasseg_scenes(data: Path, seed: int) -> Iterator[Scene]:
    """FASSEG V2 and V3 test, all yaws: the hull of eyes, nose and mouth."""
    for split in ("v2-test", "v3-test"):
        if not (data / "fasseg" / split[:2].upper()).is_dir():
            continue
        dataset = fasseg.load(data / "fasseg", split)
        for i in range(len(dataset)):
            sample = dataset[i]
            inner = np.isin(sample.labels, _ids(FASSEG6, "eyes", "nose", "mouth"))
            marks = np.argwhere(_largest(inner))[:, ::-1]
            hull = _hull(marks.astype(np.float32), sample.image.shape[:2])
            yield Scene(sample.key, sample.image, faces_of(hull), complete=False)


def helen_scenes(data: Path, seed: int) -> Iterator[Scene]:
    """Helen: the hull of the 68 points from jaw to brows. headnet was trained on these photos."""
    dataset = helen_landmarks.load(data / "helen_landmarks", "all")
    for i in range(0, len(dataset), 4):
        sample = dataset[i]
        marks = helen_landmarks.read_pts(dataset.pairs[i].labels)
        hull = _hull(marks, sample.image.shape[:2])
        yield Scene(sample.key, sample.image, faces_of(hull), complete=False)


def _ids(label_set: LabelSet, *parts: str) -> list[int]:
    return [label_set.id(part) for part in parts]


def mask_of(scene: Scene) -> NDArray[np.bool_]:
    """(H, W) bool of a scene with one face."""
    (face,) = scene.faces
    mask = np.zeros(scene.image.shape[:2], bool)
    mask[_place(face.window_xyxy)] = face.mask
    return mask


def faces_of(mask: NDArray[np.bool_]) -> tuple[KnownFace, ...]:
    """One face of a whole-picture mask; none when the mask is empty."""
    ys, xs = np.nonzero(mask)
    if not len(ys):
        return ()
    x0, y0, x1, y1 = int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1
    return (KnownFace((x0, y0, x1, y1), mask[y0:y1, x0:x1], float(max(x1 - x0, y1 - y0))),)


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without specks: regions of less than 5 % of the largest are dropped."""
    count, regions, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    keep = areas >= 0.05 * areas.max() if count > 1 else areas > 0
    keep[0] = False
    return np.asarray(keep[regions])


def _hull(marks_xy: NDArray[np.float32], image_hw: tuple[int, ...]) -> NDArray[np.bool_]:
    full = np.zeros(image_hw[:2], np.uint8)
    if len(marks_xy) >= 3:
        cv2.fillConvexPoly(full, cv2.convexHull(np.round(marks_xy).astype(np.int32)), 1)
    return full > 0


def _ground(path: Path) -> Image:
    """A photo without people, 1,280 px on its longer side."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise SystemExit(f"{path}: not a picture")
    scale = 1280 / max(image.shape[:2])
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale), np.uint8)


def _person(
    sample: Sample, size_px: int, rng: np.random.Generator
) -> tuple[Image, NDArray[np.float32], NDArray[np.bool_]]:
    """Picture, alpha and face mask of one person, shrunk so that the face has this longer side."""
    image, ids = sample.image, sample.labels
    if rng.random() < 0.5:
        image, ids = image[:, ::-1], ids[:, ::-1]
    body = (ids != 0).astype(np.float32)
    face = np.isin(ids, _ids(CELEBA19, *FACE)).astype(np.float32)
    ys, xs = np.nonzero(face)
    scale = size_px / max(np.ptp(ys) + 1, np.ptp(xs) + 1)
    rows = np.flatnonzero(body.any(axis=1))
    columns = np.flatnonzero(body.any(axis=0))
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    shrink = [
        cv2.resize(np.ascontiguousarray(a[window]), None, fx=scale, fy=scale, interpolation=how)
        for a in (image, body, face)
    ]
    return shrink[0], shrink[1], shrink[2] > 0.5
