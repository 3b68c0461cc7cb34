"""labelme's JSON files: polygons, rectangles and circles -> ids."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceparts.errors import BadData
from faceparts.types import IGNORE

MAX_BYTES = 256_000_000
"""labelme may keep the whole photo in the file."""

MAX_PIXELS = 178_000_000
IGNORED = "__ignore__"
"""labelme's own name for what is neither trained on nor scored."""


def read_shapes(path: Path) -> dict[str, Any]:
    """The file's content: ``shapes``, ``imagePath``, ``imageHeight``, ``imageWidth``.

    Raises:
        BadData: missing, too large, not JSON, or no labelme file.
    """
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise BadData(f"{path}: missing, or over {MAX_BYTES} bytes")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BadData(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise BadData(f"{path}: no list 'shapes' in it; is it a file of labelme?")
    for number, shape in enumerate(content["shapes"], 1):
        if not isinstance(shape, dict) or not isinstance(shape.get("label"), str):
            raise BadData(f"{path}: shape {number} has no label; open and save it in labelme")
    return content


def draw_shapes(path: Path, ids: Mapping[str, int]) -> NDArray[np.uint8]:
    """(H, W) ids of a labelme file; later shapes lie on top, what no shape covers is 0.

    A pixel belongs to a shape if its centre lies inside.

    Args:
        ids: label -> id; `IGNORED` becomes `IGNORE` in any case.

    Raises:
        BadData: no size, an unknown label, a shape without area (point, line) or with bad points.
    """
    content = read_shapes(path)
    drawn = np.zeros(_size_hw(path, content), np.uint8)
    for number, shape in enumerate(content["shapes"], 1):
        label = shape["label"]
        if label != IGNORED and label not in ids:
            raise BadData(
                f"{path}: label {label!r} of shape {number} is none of {', '.join(ids)}; add it to "
                f"labels.txt, or rename it in pairs.toml"
            )
        outline = _outline(path, number, shape)
        fill_polygon(drawn, outline, IGNORE if label == IGNORED else ids[label])
    return drawn


def _size_hw(path: Path, content: dict[str, Any]) -> tuple[int, int]:
    height: Any = content.get("imageHeight")
    width: Any = content.get("imageWidth")
    whole = type(height) is int and type(width) is int  # labelme writes null where it did not look
    if whole and min(height, width) > 0 and height * width <= MAX_PIXELS:
        return int(height), int(width)
    raise BadData(
        f"{path}: imageHeight {height}, imageWidth {width}; wanted whole numbers of at most "
        f"{MAX_PIXELS} pixels together; open and save it in labelme"
    )


def _outline(path: Path, number: int, shape: dict[str, Any]) -> NDArray[np.float64]:
    """(N, 2) x, y along pixel edges."""
    kind = shape.get("shape_type", "polygon")
    try:
        points: NDArray[np.float64] = np.array(shape.get("points"), np.float64).reshape(-1, 2)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadData(f"{path}: points of shape {number} do not read ({error})") from error
    if not np.isfinite(points).all() or np.abs(points).max(initial=0) > 1e6:
        raise BadData(f"{path}: a point of shape {number} is far outside the picture or no number")
    if kind == "polygon" and len(points) >= 3:
        return points
    if kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    if kind == "circle" and len(points) == 2:
        radius = float(np.hypot(*(points[1] - points[0])))
        turn = np.arange(720) * math.tau / 720
        around = np.stack([np.cos(turn), np.sin(turn)], axis=1)
        return np.asarray(points[0] + radius * around, np.float64)
    raise BadData(
        f"{path}: shape {number} is a {kind} of {len(points)} points; wanted a polygon of at least "
        f"3, a rectangle or a circle; redraw or delete it in labelme"
    )


def fill_polygon(ids: NDArray[np.uint8], points: NDArray[np.float64], value: int) -> None:
    """Paint every pixel whose centre lies inside, in place; crossing edges take turns (even-odd).

    Args:
        points: (N, 2) x, y along pixel edges: pixel i spans i to i + 1.

    Example:
        >>> ids = np.zeros((3, 4), np.uint8)
        >>> fill_polygon(ids, np.array([(1, 0), (3, 0), (3, 2), (1, 2)], float), 7)
        >>> ids.tolist()
        [[0, 7, 7, 0], [0, 7, 7, 0], [0, 0, 0, 0]]
    """
    height, width = ids.shape
    x0, y0 = points.T
    x1, y1 = np.roll(points, -1, axis=0).T
    first = max(0, math.floor(y0.min() - 0.5))
    for row in range(first, min(height, math.ceil(y0.max() + 0.5))):
        y = row + 0.5
        cut = (y0 <= y) != (y1 <= y)
        crossings = np.sort(x0[cut] + (y - y0[cut]) / (y1[cut] - y0[cut]) * (x1[cut] - x0[cut]))
        edges = np.clip(np.ceil(crossings - 0.5), 0, width).astype(int)
        for left, right in zip(edges[::2], edges[1::2], strict=True):
            ids[row, left:right] = value
