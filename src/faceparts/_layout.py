"""How the parts of a face lie to each other, as numbers that tell where the head looks.

A part map is thinned, translated into a few groups of parts, turned upright if it is strongly
tilted, and described by sizes, places, spreads and outlines. All numbers are relative: places from
the middle of the head, lengths in units of the root of the head's area; then again from the nose,
in units of the distance from the eyes to the mouth (`faceparts._layout_inner`). So they do not
depend on the picture's scale, on where the head is in it, or on the detector's box: the part map
alone decides, and a mirrored map gives exactly the features of the mirror image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts._layout_inner import describe_inner, inner_names
from faceparts.types import LabelSet

GROUPS: dict[str, tuple[str, ...]] = {
    "skin": ("skin", "glasses", "beard", "bare_skin"),
    "nose": ("nose",),
    "mouth": ("mouth", "upper_lip", "lower_lip", "lips", "teeth", "mouth_cavity"),
    "right_eye": ("right_eye",),
    "left_eye": ("left_eye",),
    "right_brow": ("right_brow",),
    "left_brow": ("left_brow",),
    "right_ear": ("right_ear",),
    "left_ear": ("left_ear",),
    "hair": ("hair", "hat"),
}
"""Group -> the parts that count as it; clothes, neck and jewellery do not belong to the head."""

_NAMES = tuple(GROUPS)
_NONE = len(_NAMES)
_MIRROR = (0, 1, 2, 4, 3, 6, 5, 8, 7, 9)
_FACE_IDS = 7  # the first so many groups are the face

UNIONS: dict[str, tuple[str, ...]] = {
    "eyes": ("right_eye", "left_eye"),
    "brows": ("right_brow", "left_brow"),
    "ears": ("right_ear", "left_ear"),
    "face": _NAMES[:_FACE_IDS],
    "head": _NAMES,
}

SIDED = "sided"
PLAIN = "plain"
_PLAIN = {
    **dict.fromkeys(("eyes", "left_eye", "right_eye"), 3),
    **dict.fromkeys(("brows", "left_brow", "right_brow"), 0),
    **dict.fromkeys(("ears", "left_ear", "right_ear"), _NONE),
}
"""Part -> group in a map without sides."""

SAMPLE_PX = 160
"""The shorter side of a map is thinned to about this."""

MIN_HEAD_SAMPLES = 200
"""Below so many samples of head, nothing is said."""

MIN_FACE_SHARE = 0.05
"""Least share of the head that must be face; below it the head is seen from behind."""

SCALE = 1024
"""Features are whole multiples of 1 / `SCALE`."""

FREE_TILT_DEG = 12.0
"""Heads that are tilted more than this are turned back to it first."""

BANDS = 8


def kind_of(label_set: LabelSet) -> str | None:
    """What a label set lets one see of the layout.

    Returns:
        `SIDED`: both eyes, brows and ears, skin, nose, mouth and hair. `PLAIN`: skin, nose, mouth,
        hair and the eyes, which may be one part. ``None``: less than that.

    Example:
        >>> from faceparts import labels
        >>> [kind_of(labels.get(n)) for n in ("celeba19", "lapa11", "fasseg6", "lfw3")]
        ['sided', 'plain', 'plain', None]
    """
    parts = set(label_set.parts)
    seen = {group for group, names in GROUPS.items() if parts & set(names)}
    if seen == set(GROUPS):
        return SIDED
    eyes = "eyes" in parts or {"right_eye", "left_eye"} <= parts
    return PLAIN if eyes and {"skin", "nose", "mouth", "hair"} <= seen else None


def group_ids(
    labels: NDArray[np.uint8], label_set: LabelSet, kind: str
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The thinned map in ids of `GROUPS`, and its mirror image with sides exchanged.

    A map of kind `PLAIN` knows no sides, brows or ears: all eyes count as ``right_eye``, brows as
    skin, ears as nothing.
    """
    table = np.full(256, _NONE, np.uint8)
    for i, names in enumerate(GROUPS.values()):
        table[[label_set.id(p) for p in names if p in label_set.parts]] = i
    if kind == PLAIN:
        for part, group in _PLAIN.items():
            if part in label_set.parts:
                table[label_set.id(part)] = group
    step = max(1, min(labels.shape) // SAMPLE_PX)
    turned = labels[:, ::-1]
    second = exchange_sides(table[turned[::step, ::step]], kind)
    return table[labels[::step, ::step]], second


def exchange_sides(ids: NDArray[np.uint8], kind: str) -> NDArray[np.uint8]:
    """Groups as they are called in the mirror image; the pixels stay where they are."""
    swap = np.array([*(range(_NONE) if kind == PLAIN else _MIRROR), _NONE], np.uint8)
    return swap[ids]


def upright(ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn a strongly tilted head back to `FREE_TILT_DEG`, by the line between its eyes."""
    eyes = [np.argwhere(ids == _NAMES.index(n)) for n in UNIONS["eyes"]]
    if min(map(len, eyes)) < 4:
        return ids
    dy, dx = eyes[1].mean(axis=0) - eyes[0].mean(axis=0)
    tilt = math.degrees(math.atan2(dy, dx))
    excess = tilt - min(max(tilt, -FREE_TILT_DEG), FREE_TILT_DEG)
    if not excess or math.hypot(dx, dy) < 0.1 * math.sqrt(np.count_nonzero(ids != _NONE)):
        return ids
    h, w = ids.shape
    side = math.ceil(math.hypot(h, w))
    matrix = cv2.getRotationMatrix2D(((w - 1) / 2, (h - 1) / 2), excess, 1.0)
    matrix[:, 2] += ((side - w) / 2, (side - h) / 2)
    turned = cv2.warpAffine(
        ids, matrix, (side, side), flags=cv2.INTER_NEAREST, borderValue=(_NONE,) * 4
    )
    return np.asarray(turned, np.uint8)


def column_names() -> list[str]:
    """Names of the features of `describe`, in its order."""
    names = ["aspect", "skew", "face_share", "face_width", "face_height"]
    for group in (*_NAMES, *UNIONS):
        names += [f"{group}_{k}" for k in _PER_GROUP]
    for a, b in _PAIRS:
        names += [f"{a}-{b}_x", f"{a}-{b}_y"]
    names += [f"balance_{k}" for k in ("eye", "brow", "ear")]
    for group in ("face", "hair", "ears", "nose", "head"):
        names += [f"column{i}_{group}" for i in range(BANDS)]
    for i in range(BANDS):
        names += [f"row{i}_{k}" for k in ("face_right", "face_left", "head_right", "head_left")]
        names += [f"row{i}_{k}" for k in ("from_nose_right", "from_nose_left", "share")]
    return names + inner_names()


_PER_GROUP = ("size", "x", "y", "x_in_face", "y_in_face", "spread_x", "spread_y", "low", "high")
_PAIRS = (
    ("nose", "eyes"),
    ("nose", "mouth"),
    ("eyes", "mouth"),
    ("nose", "face"),
    ("hair", "face"),
    ("ears", "nose"),
    ("left_eye", "right_eye"),
    ("left_brow", "right_brow"),
    ("left_ear", "nose"),
    ("right_ear", "nose"),
    ("left_eye", "nose"),
    ("right_eye", "nose"),
)


def see(
    labels: NDArray[np.uint8], label_set: LabelSet, kind: str
) -> tuple[NDArray[np.int16], NDArray[np.int16]] | None:
    """Features of a part map and of its mirror image; ``None`` where there is too little to see.

    Args:
        labels: (h, w) part ids.
        kind: what `kind_of` gives for the label set, or `PLAIN` to see less.
    """
    first, second = (
        describe(upright(ids)) if ids.size else None for ids in group_ids(labels, label_set, kind)
    )
    return None if first is None or second is None else (first, second)


def describe(ids: NDArray[np.uint8]) -> NDArray[np.int16] | None:
    """(F,) features of a map of `GROUPS`, in 1 / `SCALE`; ``None`` without enough head and face.

    What is absent has size 0 and lies in the middle.
    """
    h, w = ids.shape
    count = _NONE + 1
    xs, ys = np.arange(w, dtype=np.intp), np.arange(h, dtype=np.intp)
    per_column = np.bincount((ids.astype(np.intp) * w + xs).ravel(), minlength=count * w)
    per_row = np.bincount((ids.astype(np.intp) * h + ys[:, None]).ravel(), minlength=count * h)
    columns = dict(zip(_NAMES, per_column.reshape(count, w)[:_NONE], strict=True))
    rows = dict(zip(_NAMES, per_row.reshape(count, h)[:_NONE], strict=True))
    for name, members in UNIONS.items():
        columns[name] = np.sum([columns[m] for m in members], axis=0)
        rows[name] = np.sum([rows[m] for m in members], axis=0)
    at_x, at_y = xs + 0.5, ys + 0.5
    area, face_area = int(columns["head"].sum()), int(columns["face"].sum())
    if area < MIN_HEAD_SAMPLES or face_area < MIN_FACE_SHARE * area:
        return None
    unit = math.sqrt(area)
    x0, x1 = _quantiles(columns["head"], (0.01, 0.99))
    y0, y1 = _quantiles(rows["head"], (0.01, 0.99))
    fx0, fx1 = _quantiles(columns["face"], (0.01, 0.99))
    fy0, fy1 = _quantiles(rows["face"], (0.01, 0.99))
    middle, face_middle = ((x0 + x1) / 2, (y0 + y1) / 2), ((fx0 + fx1) / 2, (fy0 + fy1) / 2)
    wide, tall = max(fx1 - fx0, 1.0), max(fy1 - fy0, 1.0)
    out = [
        (x1 - x0) / max(y1 - y0, 1.0),
        (face_middle[0] - middle[0]) / unit,
        face_area / area,
        wide / unit,
        tall / unit,
    ]
    place: dict[str, tuple[float, float]] = {}
    for name in (*_NAMES, *UNIONS):
        n = int(columns[name].sum())
        if n < 3:
            out += [0.0] * len(_PER_GROUP)
            continue
        x, y = float(columns[name] @ at_x) / n, float(rows[name] @ at_y) / n
        place[name] = x, y
        low, high = _quantiles(columns[name], (0.05, 0.95))
        out += [
            math.sqrt(n) / unit,
            (x - middle[0]) / unit,
            (y - middle[1]) / unit,
            (x - face_middle[0]) / wide,
            (y - face_middle[1]) / tall,
            math.sqrt(max(float(columns[name] @ (at_x - x) ** 2) / n, 0)) / unit,
            math.sqrt(max(float(rows[name] @ (at_y - y) ** 2) / n, 0)) / unit,
            (low - face_middle[0]) / unit,
            (high - face_middle[0]) / unit,
        ]
    for a, b in _PAIRS:
        if a in place and b in place:
            out += [(place[a][i] - place[b][i]) / unit for i in (0, 1)]
        else:
            out += [0.0, 0.0]
    for kind in ("eye", "brow", "ear"):
        right, left = (int(columns[f"{side}_{kind}"].sum()) for side in ("right", "left"))
        out.append((left - right) / (left + right + 1e-3 * area))
    edges = np.linspace(x0, x1, BANDS + 1)
    for name in ("face", "hair", "ears", "nose", "head"):
        out += [b / area for b in _between(columns[name], edges)]
    out += _outline(ids, place, middle, unit, (fy0, fy1))
    out += describe_inner(ids, _FACE_IDS, _NONE, columns, rows, place, _quantiles)
    return np.asarray(np.rint(np.clip(np.multiply(out, SCALE), -32000, 32000)), np.int16)


def _outline(
    ids: NDArray[np.uint8],
    place: dict[str, tuple[float, float]],
    middle: tuple[float, float],
    unit: float,
    span: tuple[float, float],
) -> list[float]:
    """Ends of face and head in bands of rows from the top to the bottom of the face."""
    face, head = ids < _FACE_IDS, ids < _NONE
    nose = place.get("nose", middle)[0]
    out = []
    edges = np.linspace(*span, BANDS + 1)
    for top, bottom in pairwise(edges):
        rows = slice(int(top), max(int(bottom), int(top) + 1))
        face_columns, head_columns = face[rows].sum(axis=0), head[rows].sum(axis=0)
        ends = _quantiles(face_columns, (0.03, 0.97))
        head_ends = _quantiles(head_columns, (0.02, 0.98))
        seen = bool(face_columns.any())
        out += [(x - middle[0]) / unit if seen else 0.0 for x in ends]
        out += [(x - middle[0]) / unit for x in head_ends]
        out += [(x - nose) / unit if seen else 0.0 for x in ends]
        out.append(float(face_columns.sum()) / max(float(head_columns.sum()), 1.0))
    return out


def _quantiles(counts: NDArray[np.int64], shares: Sequence[float]) -> list[float]:
    """Positions below which those shares of the counts lie; between two cells by proportion."""
    total = np.concatenate([[0], np.cumsum(counts)])
    if not total[-1]:
        return [0.0] * len(shares)
    return [float(v) for v in np.interp(np.multiply(shares, total[-1]), total, _steps(len(total)))]


def _between(counts: NDArray[np.int64], edges: NDArray[np.float64]) -> list[float]:
    """Counts between neighbouring edges; cells that an edge divides count in part."""
    total = np.concatenate([[0], np.cumsum(counts)])
    return [float(v) for v in np.diff(np.interp(edges, _steps(len(total)), total))]


def _steps(count: int) -> NDArray[np.float64]:
    return np.arange(count, dtype=np.float64)
