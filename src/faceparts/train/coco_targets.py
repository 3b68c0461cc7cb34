"""What a bottom-up net should put out: heat maps, a mask, and where to read tags.

Cheng et al., "HigherHRNet", CVPR 2020: Gaussians of 2 cells at both resolutions; here they stand
at the exact place of a joint and not in the middle of its cell (Zhang et al., "Distribution-Aware
Coordinate Representation", CVPR 2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.detect._pose_aggregate import MIRROR
from faceparts.types import Image

JOINTS = 17
SIGMA = 2.0
"""Standard deviation of the heat around a joint, in cells."""
MAX_PEOPLE = 30
"""Most people of a picture whose tags are learnt."""
MAX_TURN_DEG, MAX_SHIFT_PX = 30.0, 40.0
SCALE = (0.75, 1.5)


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture as a net sees it: (S, S, 3) RGB, (P, 17, 3) people, (S, S) pixels to ignore.

    People are x, y in pixels along edges and visibility; see `datasets.coco_keypoints`.
    """

    image: Image
    people: NDArray[np.float32]
    ignore: NDArray[np.bool_]


def heat_target(people: NDArray[np.float32], cells: int, stride: float) -> NDArray[np.float32]:
    """(17, cells, cells) heat: a Gaussian of `SIGMA` cells on every marked joint; 0 far away.

    Where joints of one kind come close the higher heat counts, not the sum.
    """
    heat = np.zeros((JOINTS, cells, cells), np.float32)
    reach = int(np.ceil(3 * SIGMA))
    for person in people:
        for joint, (x, y, seen) in enumerate(person):
            if not seen > 0:
                continue
            cx, cy = float(x) / stride, float(y) / stride
            if not (0 <= cx < cells and 0 <= cy < cells):
                continue
            x0, y0 = max(0, int(cx) - reach), max(0, int(cy) - reach)
            columns = np.arange(x0, min(cells, int(cx) + reach + 1))
            rows = np.arange(y0, min(cells, int(cy) + reach + 1))
            bump = (
                np.exp(-((columns + 0.5 - cx) ** 2) / (2 * SIGMA**2))
                * np.exp(-((rows + 0.5 - cy) ** 2) / (2 * SIGMA**2))[:, None]
            )
            window = heat[joint, y0 : rows[-1] + 1, x0 : columns[-1] + 1]
            np.maximum(window, bump.astype(np.float32), out=window)
    return heat


def care_target(ignore: NDArray[np.bool_], cells: int) -> NDArray[np.float32]:
    """(cells, cells) 1 where the heat is asked for; 0 where half of a cell is to be ignored."""
    share = cv2.resize(ignore.astype(np.float32), (cells, cells), interpolation=cv2.INTER_AREA)
    return (share < 0.5).astype(np.float32)


def tag_places(people: NDArray[np.float32], cells: int, stride: float) -> NDArray[np.int64]:
    """(`MAX_PEOPLE`, 17) place of every joint in the flattened (17, cells, cells) tags; -1 = none.

    Of more people the first `MAX_PEOPLE` that have a joint in the picture are taken.
    """
    places = np.full((MAX_PEOPLE, JOINTS), -1, np.int64)
    count = 0
    for person in people:
        with np.errstate(invalid="ignore"):
            xy = np.floor(person[:, :2] / stride)
            inside = (person[:, 2] > 0) & (xy >= 0).all(axis=1) & (xy < cells).all(axis=1)
        if not inside.any() or count == MAX_PEOPLE:
            continue
        joints = np.flatnonzero(inside)
        column, row = xy[joints].astype(np.int64).T
        places[count, joints] = (joints * cells + row) * cells + column
        count += 1
    return places


def whole_affine(hw: tuple[int, ...], size_px: int) -> NDArray[np.float64]:
    """(2, 3) map (edges) that fits a whole picture into the middle of a square."""
    zoom = size_px / max(hw)
    shift = [(size_px - zoom * hw[1]) / 2, (size_px - zoom * hw[0]) / 2]
    return np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])


def random_affine(
    hw: tuple[int, ...], size_px: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(2, 3) map (edges) from a picture to a square, as the paper draws it.

    At scale 1 the shorter side fills the square; scales of 0.75 to 1.5, turns of 30 degrees either
    way and shifts of 40 pixels either way are equally likely.
    """
    zoom = size_px / min(hw) / rng.uniform(*SCALE)
    turn = np.radians(rng.uniform(-MAX_TURN_DEG, MAX_TURN_DEG))
    linear = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = size_px / 2 + rng.uniform(-MAX_SHIFT_PX, MAX_SHIFT_PX, 2) * size_px / 512
    return np.column_stack([linear, middle - linear @ (hw[1] / 2, hw[0] / 2)])


def transform(
    image: Image,
    people: NDArray[np.float32],
    ignore: NDArray[np.bool_],
    matrix: NDArray[np.float64],
    size_px: int,
) -> Scene:
    """Apply an affine map (edges); grey and not ignored outside the picture."""
    zoom = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    picture, to_square = image, matrix.copy()
    if zoom < 0.6:
        half = (max(1, image.shape[1] // 2), max(1, image.shape[0] // 2))
        picture = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA), np.uint8)
        to_square[:, :2] *= (image.shape[1] / half[0], image.shape[0] / half[1])
    warped = cv2.warpAffine(
        picture,
        _centres(to_square),
        (size_px, size_px),
        flags=cv2.INTER_LINEAR,
        borderValue=(127, 127, 127),
    )
    left_out = cv2.warpAffine(
        ignore.astype(np.uint8), _centres(matrix), (size_px, size_px), flags=cv2.INTER_NEAREST
    )
    moved = people.copy()
    moved[..., :2] = people[..., :2] @ matrix[:, :2].T + matrix[:, 2]
    return Scene(np.asarray(warped, np.uint8), moved.astype(np.float32), left_out > 0)


def _centres(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same map between pixel centres, as OpenCV counts."""
    out = matrix.copy()
    out[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    return out


def mirror(scene: Scene) -> Scene:
    """Flip left-right; the sides of the joints swap."""
    people = scene.people[:, list(MIRROR)].copy()
    people[..., 0] = scene.image.shape[1] - people[..., 0]
    image, ignore = (np.ascontiguousarray(a[:, ::-1]) for a in (scene.image, scene.ignore))
    return Scene(np.asarray(image, np.uint8), people, np.asarray(ignore, bool))
