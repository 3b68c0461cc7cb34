"""What nets are fed with, against numbers by hand."""

from __future__ import annotations

import numpy as np
import torch

from faceparts.train.inputs import to_input


def test_by_hand() -> None:
    images = np.array([[[[0, 255, 51], [102, 153, 204]]]], np.uint8)
    x = to_input(images)
    wanted = torch.tensor([[[[-1.0, -0.2]], [[1.0, 0.2]], [[-0.6, 0.6]]]])
    torch.testing.assert_close(x, wanted)
    assert x.dtype == torch.float32
    assert images.tolist() == [[[[0, 255, 51], [102, 153, 204]]]]


def test_channels_lie_last_in_memory() -> None:
    x = to_input(np.zeros((2, 4, 5, 3), np.uint8))
    assert x.shape == (2, 3, 4, 5)
    assert x.is_contiguous(memory_format=torch.channels_last)
