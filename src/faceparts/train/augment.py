"""Random changes of a labelled crop: geometry with labels, photometry without.

All functions are pure and take their chance from the `numpy.random.Generator` they are given.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.types import IGNORE, Image, LabelSet

GREY = (127, 127, 127)


def random_affine(
    source_hw: tuple[int, int],
    size_px: int,
    rng: np.random.Generator,
    *,
    scale: tuple[float, float] = (0.72, 1.35),
    shift: float = 0.1,
    turn_deg: float = 12.0,
    wild_turn: float = 0.08,
) -> NDArray[np.float64]:
    """(2, 3) map from source pixel centres to a square of ``size_px``.

    At scale 1 the longer side of the source fills the square. The angle is normal with
    ``turn_deg``; with probability ``wild_turn`` it is uniform in +-90 degrees.
    """
    h, w = source_hw
    zoom = np.exp(rng.uniform(*np.log(scale))) * size_px / max(h, w)
    stretch = np.exp(rng.normal(0, 0.05))
    angle = rng.uniform(-90, 90) if rng.random() < wild_turn else rng.normal(0, turn_deg)
    turn = np.radians(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = np.empty((2, 3))
    matrix[:, :2] = rotation @ np.diag([zoom * stretch, zoom / stretch])
    centre = (size_px - 1) / 2 + rng.uniform(-shift, shift, 2) * size_px
    matrix[:, 2] = centre - matrix[:, :2] @ ((w - 1) / 2, (h - 1) / 2)
    return matrix


def warp(
    image: Image, labels: NDArray[np.uint8], matrix: NDArray[np.float64], size_px: int
) -> tuple[Image, NDArray[np.uint8]]:
    """Apply an affine map; grey 127 and `IGNORE` outside. Shrinking is anti-aliased."""
    zoom = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    picture, to_square = image, matrix
    if zoom < 0.6:
        half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        picture = np.asarray(half, np.uint8)
        to_square = matrix.copy()
        to_square[:, :2] *= 2
        to_square[:, 2] += matrix[:, :2] @ (0.5, 0.5)
    size = (size_px, size_px)
    warped = cv2.warpAffine(picture, to_square, size, flags=cv2.INTER_LINEAR, borderValue=GREY)
    ids = cv2.warpAffine(labels, matrix, size, flags=cv2.INTER_NEAREST, borderValue=(IGNORE,))
    return np.asarray(warped, np.uint8), np.asarray(ids, np.uint8)


def warp_answers(
    answers: NDArray[np.uint8],
    source_hw: tuple[int, int],
    matrix: NDArray[np.float64],
    size_px: int,
    *,
    mirror: bool = False,
) -> NDArray[np.uint8]:
    """The same map for a picture's answers, which are smaller than it.

    Args:
        answers: (h, w, K) of a picture of ``source_hw``.
        source_hw: size of the picture that ``matrix`` maps.
        matrix: as in `warp`.
        size_px: side of the square.
        mirror: flip the square left-right afterwards; the sides of the parts stay.

    Returns:
        (S / 2, S / 2, K) uint8: the answers of the pixels in even rows and columns; 0 outside.
    """
    grow = np.array([source_hw[1] / answers.shape[1], source_hw[0] / answers.shape[0]])
    own = np.empty((2, 3))
    own[:, :2] = matrix[:, :2] * grow
    own[:, 2] = matrix[:, 2] + matrix[:, :2] @ ((grow - 1) / 2)  # pixel centres
    if mirror:
        own[0] *= -1
        own[0, 2] += size_px - 1
    half = size_px // 2
    warped = cv2.warpAffine(answers, own / 2, (half, half), flags=cv2.INTER_LINEAR)
    return np.asarray(warped, np.uint8).reshape(half, half, answers.shape[2])


def agreeing(answers: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Answers without those whose winner is not what the label says.

    Args:
        answers: (S / 2, S / 2, K) as `warp_answers` gives them.
        labels: (S, S) ids that are right where they are below K.
    """
    ids = labels[::2, ::2]
    contradicts = (ids < answers.shape[2]) & (answers.argmax(axis=2) != ids)
    return np.where(contradicts[..., None], np.uint8(0), answers)


def sharpener(temperature: float) -> NDArray[np.uint8]:
    """(256,) uint8: what probabilities (255 = 1) become at a temperature, but for their sum.

    Below 1 the likely becomes likelier, above 1 less so. What is not 0 stays at least 1.
    """
    ramp = np.arange(256) / 255
    table = np.rint(255 * ramp ** (1 / temperature)).astype(np.uint8)
    table[1:] = np.maximum(table[1:], 1)
    return table


def silence(answers: NDArray[np.uint8], changed: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(h, w, K) answers without what was said of pixels that have changed since: (H, W) bool."""
    if not changed.any():
        return answers
    size = (answers.shape[1], answers.shape[0])
    share = cv2.resize(changed.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.where(share[..., None] > 0, np.uint8(0), answers)


def mirror_table(label_set: LabelSet) -> NDArray[np.uint8]:
    """(256,) uint8: what every id becomes when the picture flips; `IGNORE` stays `IGNORE`."""
    table = np.full(256, IGNORE, np.uint8)
    table[: len(label_set.mirror)] = label_set.mirror
    return table


def mirror(
    image: Image, labels: NDArray[np.uint8], table: NDArray[np.uint8]
) -> tuple[Image, NDArray[np.uint8]]:
    """Flip left-right; the sides of the parts swap with it, see `mirror_table`."""
    return np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(table[labels[:, ::-1]])


def photometric(image: Image, rng: np.random.Generator, *, smallest: float = 0.035) -> Image:
    """Light, colour, sharpness and compression as they vary between cameras.

    ``smallest`` is the strongest shrinking (share of the side) before growing back.
    """
    if rng.random() < 0.8:
        image = _tone(image, rng)
    if rng.random() < 0.1:
        image = _grey(image)
    if rng.random() < 0.06:
        image = _low_light(image, rng)
    if rng.random() < 0.3:
        image = _shrink_and_grow(image, rng, smallest)
    elif rng.random() < 0.12:
        sigma = rng.uniform(0.4, 1.6)
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)
    if rng.random() < 0.1:
        noise = rng.normal(0, rng.uniform(2, 14), image.shape).astype(np.float32)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        quality = int(rng.integers(20, 85))
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return image


def _tone(image: Image, rng: np.random.Generator) -> Image:
    """Gain, offset, gamma and colour temperature through one table a channel; saturation."""
    ramp = np.arange(256, dtype=np.float32) / 255
    gamma = np.exp(rng.uniform(-0.4, 0.4))
    gain = np.exp(rng.uniform(-0.3, 0.3)) * np.exp(rng.normal(0, 0.06, 3))
    offset = rng.uniform(-0.12, 0.12)
    tables = np.clip((ramp[:, None] ** gamma - 0.5) * gain + 0.5 + offset, 0, 1) * 255
    toned = np.asarray(cv2.LUT(image, tables.astype(np.uint8)[None]), np.uint8)
    if rng.random() < 0.5:
        amount = rng.uniform(0.3, 1.4)
        mixed = cv2.addWeighted(toned, amount, _grey(toned), 1 - amount, 0)
        toned = np.asarray(mixed, np.uint8)
    return toned


def _grey(image: Image) -> Image:
    """Colour taken away; still three channels."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)


def _low_light(image: Image, rng: np.random.Generator) -> Image:
    dark = image.astype(np.float32) * rng.uniform(0.12, 0.4)
    dark += rng.normal(0, rng.uniform(1, 6), image.shape)
    return np.asarray(np.clip(dark, 0, 255), np.uint8)


def _shrink_and_grow(image: Image, rng: np.random.Generator, smallest: float) -> Image:
    """What a small face looks like after it was scaled up."""
    h, w = image.shape[:2]
    side = int(np.exp(rng.uniform(np.log(smallest), np.log(0.75))) * max(h, w))
    small = cv2.resize(image, (max(8, side), max(8, side)), interpolation=cv2.INTER_AREA)
    how = cv2.INTER_LINEAR if rng.random() < 0.7 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(small, (w, h), interpolation=how), np.uint8)
