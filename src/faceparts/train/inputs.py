"""Pictures -> what a net takes: the one place that knows how training normalises."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

MEAN, STD = 127.5, 127.5
"""Subtracted from, and divided by, values of 0..255; the exported card says the same."""


def to_input(images: NDArray[np.uint8]) -> Tensor:
    """(N, S, S, 3) uint8 RGB -> (N, 3, S, S) float32 -1..1, channels last in memory."""
    chw = torch.from_numpy(images).permute(0, 3, 1, 2)
    return chw.float().sub_(MEAN).div_(STD).contiguous(memory_format=torch.channels_last)


def device_of(net: nn.Module) -> torch.device:
    """Where a net's values lie; the processor for a net without values."""
    value = next(iter(net.parameters()), None)
    return torch.device("cpu") if value is None else value.device
