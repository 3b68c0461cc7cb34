"""A head detector whose answers another learns besides the labels.

Nobody marked every head of every photo, and boxes were drawn by different hands: a net that has
learnt from all of them is surer about both than one picture's labels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faceparts.weights import Net, open_net


class HeadTeacher:
    """A detector file that puts out what `detect.headnet` reads.

    Args:
        net: the opened file.
    """

    def __init__(self, net: Net) -> None:
        self.net = net

    def batch(self, images: NDArray[np.uint8]) -> Tensor:
        """(N, S, S, 3) RGB -> (N, 26, S/4, S/4): heat 0..1, four edges in pixels, seven points.

        Of each point dx and dy in pixels and its visibility 0..1.
        """
        maps = self.net.run(images)
        return torch.from_numpy(
            np.concatenate([maps["heat"], maps["box"], maps["points"]], axis=1, dtype=np.float32)
        )


def load_teacher(model: str, root: Path) -> HeadTeacher:
    """Open a teacher.

    Args:
        model: name of a shipped detector, or a path, below the data root or from here.
        root: data root.

    Raises:
        BadWeights: the file is missing or damaged, or is not a head detector's.
        UnknownName: no such detector is shipped.
    """
    path = root / model if (root / model).is_file() else Path(model)
    return HeadTeacher(open_net(path if path.is_file() else model, "detect", threads=1))
