"""Building blocks that the nets share: convolution + batch norm + ReLU, and the residual pair."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def conv(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU; keeps height and width at stride 1."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def separable(inputs: int, outputs: int) -> nn.Sequential:
    """`conv` in two steps: 3 x 3 a channel, then 1 x 1 (Howard et al., "MobileNets", 2017).

    Without an activation between them (Chollet, "Xception", CVPR 2017).
    """
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, 1, 1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """Two 3 x 3 convolutions around a shortcut (He et al., CVPR 2016).

    Args:
        channels: of the input and the output.
        unit: makes a convolution with norm and ReLU of numbers of channels: `conv`, `separable`.
    """

    def __init__(self, channels: int, unit: Callable[[int, int], nn.Sequential] = conv) -> None:
        super().__init__()
        self.first = unit(channels, channels)
        self.second = unit(channels, channels)
        del self.second[-1]  # the ReLU follows the shortcut
        norm = self.second[-1]
        assert isinstance(norm, nn.BatchNorm2d)
        nn.init.zeros_(norm.weight)  # a fresh pair hands its input on

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(self.first(x)))


class Context(nn.Module):
    """Add what the whole picture says: global mean, one linear map, broadcast."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.map = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.map(x.mean((2, 3), keepdim=True)))


def init_weights(net: nn.Module) -> None:
    """He initialisation for every convolution that a ReLU follows."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
