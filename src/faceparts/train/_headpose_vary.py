"""More than seven persons and one room to learn from: altered photos, and varied part maps.

`alter_photo` changes what a camera could have done, so that the maps of training photos have faults
as those of other photos have. `vary_map` makes other people's maps of those that there are: what
differs between people and hardly depends on where they look is changed at random: how much hair
there is, how far it grows into the face and below it, whether ears are covered, how large eyes,
nose and mouth are, and the proportions and tilt of the head.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts import _layout
from faceparts.types import Image

Ids = NDArray[np.uint8]

_GROUPS = tuple(_layout.GROUPS)
_SKIN, _HAIR, _NONE = _GROUPS.index("skin"), _GROUPS.index("hair"), len(_GROUPS)
_SMALL = tuple(i for i, name in enumerate(_GROUPS) if name not in ("skin", "hair"))
_EARS = (_GROUPS.index("right_ear"), _GROUPS.index("left_ear"))
_FACE = tuple(i for i, name in enumerate(_GROUPS) if name in _layout.UNIONS["face"])


def vary_map(ids: Ids, rng: np.random.Generator, strength: float = 1.0) -> Ids:
    """A map of groups (`faceparts._layout.GROUPS`) of somebody else with the same pose.

    Args:
        ids: (h, w) groups; the result is larger, so that nothing is cut off.
        strength: how different; 0 = only larger.
    """
    out = _bend(ids, rng, strength)
    head_px = math.sqrt(max(int(np.count_nonzero(out != _NONE)), 1))
    _move_border(out, _HAIR, _NONE, rng.normal(0, 0.04 * strength) * head_px)
    _move_border(out, _HAIR, _SKIN, rng.normal(0, 0.024 * strength) * head_px)
    if rng.random() < 0.3 * strength:
        _cut_below(out, rng.uniform(0.55, 1.1))
    for ear in _EARS:
        if rng.random() < 0.2 * strength:
            out[out == ear] = _HAIR if rng.random() < 0.5 else _SKIN
    for group in _SMALL:
        _move_border(out, group, _SKIN, rng.normal(0, 0.012 * strength) * head_px)
    return out


def alter_photos(image: Image, count: int, rng: np.random.Generator) -> list[tuple[Image, bool]]:
    """So many altered photos, and whether they are mirror images.

    Every second one is, the first one among them; and that is all that is changed in it.
    """
    out = []
    for number in range(count):
        other = alter_photo(image, rng) if number else image
        mirrored = number % 2 == 0
        out.append((np.ascontiguousarray(other[:, ::-1]) if mirrored else other, mirrored))
    return out


def alter_photo(image: Image, rng: np.random.Generator) -> Image:
    """The photo smaller, tilted and shifted a little, in other light, less sharp, with noise."""
    h, w = image.shape[:2]
    scale = rng.uniform(0.35, 1.0)
    size_wh = (max(8, round(w * scale)), max(8, round(h * scale)))
    matrix = cv2.getRotationMatrix2D((w / 2, h / 2), rng.normal(0, 5), scale)
    shift = rng.normal(0, 0.03, 2) * size_wh
    matrix[:, 2] += ((size_wh[0] - w) / 2 + shift[0], (size_wh[1] - h) / 2 + shift[1])
    smooth = cv2.GaussianBlur(image, (0, 0), 0.45 / scale) if scale < 0.8 else image
    out = cv2.warpAffine(smooth, matrix, size_wh, borderMode=cv2.BORDER_REPLICATE) / 255.0
    out = out ** np.exp(rng.normal(0, 0.3)) * (1 + rng.normal(0, 0.06, 3))
    out *= 1 + np.linspace(-1, 1, size_wh[0])[:, None] * rng.normal(0, 0.15)
    if rng.random() < 0.5:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.3, 1.5))
    out = out + rng.normal(0, rng.uniform(0, 0.03), out.shape)
    return np.asarray(np.clip(np.rint(out * 255), 0, 255), np.uint8)


def _bend(ids: Ids, rng: np.random.Generator, strength: float) -> Ids:
    """Stretch, shear and tilt a little."""
    wide, high = np.exp(rng.normal(0, 0.07 * strength, 2))
    tilt, shear = math.radians(rng.normal(0, 5 * strength)), rng.normal(0, 0.04 * strength)
    turn = np.array([[math.cos(tilt), -math.sin(tilt)], [math.sin(tilt), math.cos(tilt)]])
    matrix = turn @ np.array([[wide, shear], [0, high]])
    h, w = ids.shape
    pad = math.ceil(0.2 * max(h, w))
    middle = np.array([(w - 1) / 2, (h - 1) / 2])
    moved = np.column_stack([matrix, middle + pad - matrix @ middle])
    size_wh = (w + 2 * pad, h + 2 * pad)
    bent = cv2.warpAffine(ids, moved, size_wh, flags=cv2.INTER_NEAREST, borderValue=(_NONE,) * 4)
    return np.asarray(bent, np.uint8)


def _move_border(ids: Ids, group: int, other: int, radius_px: float) -> None:
    """Let a group grow into another one, or the other one into it if negative; in place."""
    if abs(radius_px) < 0.7:
        return
    grower, loser = (group, other) if radius_px > 0 else (other, group)
    mask = (ids == grower).astype(np.uint8)
    if not mask.any():
        return
    r = max(1, round(abs(radius_px)))
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * r + 1, 2 * r + 1))
    lost = (cv2.dilate(mask, disk) > 0) & (ids == loser)
    if np.count_nonzero(ids == loser) - np.count_nonzero(lost) >= 3:
        ids[lost] = grower


def _cut_below(ids: Ids, share: float) -> None:
    """No hair below a share of the face's height; in place."""
    rows = np.flatnonzero(np.isin(ids, _FACE).any(axis=1))
    if len(rows) > 4:
        below = ids[int(rows[0] + (rows[-1] - rows[0]) * share) :]
        below[below == _HAIR] = _NONE
