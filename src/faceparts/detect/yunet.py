"""YuNet, a face detector that OpenCV runs; its weights are not shipped.

Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023. It finds faces, not heads: nobody
from behind.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts._values import require_range
from faceparts.crops import check_image
from faceparts.detect._tiles import scale_image
from faceparts.errors import BadWeights, MissingWeights, UsageError
from faceparts.images import rgb_to_bgr
from faceparts.types import POINTS, Head, Image

HEAD_FROM_FACE = (0.30, 0.40, 0.30, 0.06)
"""Share of the face's width (left, right) and height (top, bottom) that a head reaches beyond it.

Medians over 1,749 faces of SCUT-HEAD (human head boxes: 0.31, 0.48, 0.26, 0.06) and 150 of
CelebAMask-HQ (skin, hair, hat, ears and glasses; tops cut by the picture: 0.29, 0.24, 0.31, 0.06).
"""

_POINT_IDS = [
    POINTS.index(name)
    for name in ("right_eye", "left_eye", "nose", "right_mouth_corner", "left_mouth_corner")
]
_OVERLAP = 0.3
_TOP = 5000


def head_from_row(row: NDArray[np.float32], ratio_xy: tuple[float, float] = (1.0, 1.0)) -> Head:
    """One line of OpenCV's result -> head.

    Args:
        row: (15,) x, y, width, height, five points x, y (right eye, left eye, nose, right and left
            mouth corner; the subject's sides), score; in pixels of the picture it ran on.
        ratio_xy: picture pixels that one of those spans.
    """
    x, y, width, height = (float(v) for v in row[:4])
    left, top, right, bottom = HEAD_FROM_FACE
    ratio_x, ratio_y = ratio_xy
    box = (
        (x - left * width) * ratio_x,
        (y - top * height) * ratio_y,
        (x + (1 + right) * width) * ratio_x,
        (y + (1 + bottom) * height) * ratio_y,
    )
    points = Head.no_points()
    points[_POINT_IDS, :2] = row[4:14].reshape(5, 2) * np.array(ratio_xy, np.float32)
    points[_POINT_IDS, 2] = row[14]
    return Head(box, float(np.clip(row[14], 0, 1)), points, "yunet")


class YuNet:
    """Finds faces with OpenCV's YuNet; not to be used by several threads at once.

    Args:
        path: the ONNX file.
        min_score: 0..1, score from which a face counts.
        max_side_px: larger pictures are scaled down to this longer side.
    """

    def __init__(self, path: Path, *, min_score: float = 0.6, max_side_px: int = 1280) -> None:
        min_score = require_range("min_score", min_score, 0, 1)
        if max_side_px < 32:
            raise UsageError(f"max_side_px: got {max_side_px}, wanted at least 32")
        if not path.is_file():
            raise MissingWeights(f"{path}: no such weights file; check the spelling")
        self._max_side_px = max_side_px
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            self._net = cv2.FaceDetectorYN.create(
                str(path), "", (32, 32), min_score, _OVERLAP, _TOP
            )
            self._net.detect(np.zeros((32, 32, 3), np.uint8))  # another net fails only here
        except cv2.error as error:
            reason = " ".join(str(error).split())[:200]
            raise BadWeights(f"{path}: OpenCV cannot use it as YuNet: {reason}") from None
        finally:
            cv2.utils.logging.setLogLevel(level)

    def detect(self, image: Image) -> list[Head]:
        """Heads around the faces in an (H, W, 3) RGB picture, best first.

        Raises:
            ValueError: the picture is not (H, W, 3) uint8.
        """
        height, width = check_image(image).shape[:2]
        scale = min(1.0, self._max_side_px / max(height, width))
        size_wh = max(1, round(width * scale)), max(1, round(height * scale))
        bgr = rgb_to_bgr(scale_image(image, size_wh))
        self._net.setInputSize(size_wh)
        _, rows = self._net.detect(bgr)
        if rows is None:
            return []
        ratio_xy = (width / size_wh[0], height / size_wh[1])
        rows = np.asarray(rows, np.float32)
        good = rows[np.isfinite(rows).all(axis=1) & (rows[:, 2:4] > 0).all(axis=1)]
        heads = [head_from_row(row, ratio_xy) for row in good]
        return sorted(heads, key=lambda head: -head.score)


def load(
    weights: str | Path | None = None,
    *,
    threads: int | None = None,
    device: str = "cpu",
    precision: str = "auto",
    min_score: float | None = None,
    max_side_px: int = 1280,
) -> YuNet:
    """Open YuNet; OpenCV decides about threads, and the file's precision is what it is.

    Args:
        weights: path of ``face_detection_yunet_2023mar.onnx`` from OpenCV's model zoo, or another
            release of it.
        device: only ``"cpu"`` and ``"auto"``: OpenCV's wheels have no CUDA.
        min_score: score from which a face counts; ``None`` = 0.6.

    Raises:
        UsageError: no weights, a device that is not there, or an option out of range.
        BadWeights: the file is missing or OpenCV cannot use it.
    """
    if weights is None:
        raise UsageError(
            "detector 'yunet' ships no weights; pass the path of face_detection_yunet_2023mar.onnx "
            "(from OpenCV's model zoo) by --detector-weights, in Python by detector_weights"
        )
    if device not in ("cpu", "auto"):
        raise UsageError(f"device: got {device!r}, detector 'yunet' runs on 'cpu' only")
    return YuNet(
        Path(weights),
        min_score=0.6 if min_score is None else min_score,
        max_side_px=max_side_px,
    )
