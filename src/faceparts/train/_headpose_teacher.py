"""Pseudo-labels for head pose: the angles of a mesh of 478 points in space."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.errors import BadData, UsageError
from faceparts.types import Image

PAIRS = ((33, 263), (133, 362), (61, 291), (234, 454), (129, 358), (70, 300), (172, 397))
"""Points of the 478-point face mesh that lie opposite each other: subject's right, left."""

TOP, CHIN = 10, 152
TEACHER_PX = 192


def pose_of_points(points: NDArray[np.floating[Any]]) -> tuple[float, float, float]:
    """Yaw, pitch, roll in degrees of a face mesh.

    The x axis is the mean of lines from the right to the left side, the y axis the line from the
    top of the forehead to the chin made square to it.

    Args:
        points: (478, 3) x, y, z; x to the right, y down, z away from the camera, one scale.

    Example:
        >>> points = np.zeros((478, 3))
        >>> points[[b for _, b in PAIRS], 0] = 1
        >>> points[CHIN, 1] = 1
        >>> pose_of_points(points)
        (0.0, 0.0, 0.0)
    """
    across = np.mean([points[left] - points[right] for right, left in PAIRS], axis=0)
    x = across / np.linalg.norm(across)
    down = points[CHIN] - points[TOP]
    y = down - (down @ x) * x
    z = np.cross(x, y / np.linalg.norm(y))
    return (
        math.degrees(math.atan2(z[0], z[2])),
        math.degrees(math.asin(min(max(float(z[1]), -1.0), 1.0))),
        math.degrees(math.atan2(x[1], x[0])),
    )


def open_teacher(path: Path) -> Callable[[Image, NDArray[np.uint8]], tuple[float, float, float]]:
    """A face-mesh net (TFLite) as a function of picture and face mask -> yaw, pitch, probability.

    Raises:
        BadData: no such file, or not a net of 478 points.
        UsageError: ai-edge-litert is not installed.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise UsageError(
            "pseudo-labels need ai-edge-litert; pip install 'faceparts[keypoints]'"
        ) from error
    try:
        net = Interpreter(str(path), num_threads=1)
        net.allocate_tensors()
    except (OSError, ValueError, RuntimeError) as error:
        raise BadData(f"{path}: not a usable TFLite net ({error})") from None
    wanted, outputs = net.get_input_details()[0], net.get_output_details()
    if sorted(int(np.prod(o["shape"])) for o in outputs)[-1] != 478 * 3:
        raise BadData(f"{path}: wanted a net that gives 478 points")

    def look(image: Image, face: NDArray[np.uint8]) -> tuple[float, float, float]:
        cut = _cut_face(image, face)
        net.set_tensor(wanted["index"], (cut[None] / 255).astype(np.float32))
        net.invoke()
        found = [np.asarray(net.get_tensor(o["index"])).ravel() for o in outputs]
        points = next(f for f in found if f.size == 478 * 3).reshape(478, 3)
        logit = float(next(f for f in found if f.size == 1)[0])
        yaw, pitch, _ = pose_of_points(points)
        return yaw, pitch, 1 / (1 + math.exp(-min(max(logit, -50.0), 50.0)))

    return look


def _cut_face(image: Image, face: NDArray[np.uint8]) -> Image:
    """A square of 1.5 times the face's longer side around it; grey outside the picture."""
    ys, xs = np.nonzero(face)
    (x0, x1), (y0, y1) = np.percentile(xs, (1, 99)), np.percentile(ys, (1, 99))
    side = max(x1 - x0, y1 - y0, 8.0) * 1.5
    scale = TEACHER_PX / side
    middle = ((x0 + x1) / 2, (y0 + y1) / 2)
    matrix = np.array([[scale, 0, TEACHER_PX / 2 - middle[0] * scale]] * 2)
    matrix[1] = 0, scale, TEACHER_PX / 2 - middle[1] * scale
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    size_wh = (TEACHER_PX, TEACHER_PX)
    cut = cv2.warpAffine(image, matrix, size_wh, flags=how, borderValue=(127, 127, 127))
    return np.asarray(cut, np.uint8)
