"""headnet: our head detector, an anchor-free feature pyramid with one output at stride 4.

Every cell says whether a head's centre lies there (Zhou et al., "Objects as Points", 2019), how
far the four edges of the head are (Tian et al., "FCOS", ICCV 2019) and where seven points are.
Features come from strides 4 to 64 and are added on the way up (Lin et al., "FPN", CVPR 2017).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceparts.train.nets._blocks import Residual, conv, init_weights, separable

STRIDE = 4
UNIT_PX = 16.0
"""Edge distances are ``UNIT_PX * exp(raw)`` input pixels."""
WIDTHS = (16, 32, 64, 96, 128, 128)
DEPTHS = (0, 1, 1, 1, 0)
LIGHT_DEPTHS = (0, 1, 2, 1, 0)
LIGHT_LEVELS = 3
"""Levels, from the largest maps, whose 3 x 3 convolutions are separable in a light net: there is
most of the arithmetic, and least of the weights."""

POINT_CHANNELS = 21


class HeadNet(nn.Module):
    """(N, 3, H, W) normalised RGB -> (N, 26, H/4, W/4) raw outputs; H and W multiples of 64.

    Channels: heat logit, four log edge distances, then dx, dy (in `UNIT_PX`), visibility logit for
    each of the seven points.

    Args:
        widths: channels of the stem and of the stages.
        depths: residual pairs of each stage.
        light: levels, from the largest maps, whose convolutions at stride 1 are separable.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = WIDTHS,
        depths: tuple[int, ...] = DEPTHS,
        light: int = 0,
    ) -> None:
        super().__init__()
        units = [separable if level < light else conv for level in range(len(depths))]
        self.stem = conv(3, widths[0], 3, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(conv(a, b, 3, 2), *(Residual(b, unit) for _ in range(n)))
            for a, b, n, unit in zip(widths[:-1], widths[1:], depths, units, strict=True)
        )
        self.laterals = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(widths[1:]))
        self.decode = nn.ModuleList(
            unit(a, a) for a, unit in zip(widths[1:-1], units[:-1], strict=True)
        )
        self.head = units[0](widths[1], 48)
        self.out = nn.Conv2d(48, 5 + POINT_CHANNELS, 1)
        init_weights(self)
        nn.init.normal_(self.out.weight, std=0.01)
        bias = torch.zeros(5 + POINT_CHANNELS)
        bias[0] = -4.0  # heads are rare
        self.out.bias = nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        skips = []
        for stage in self.stages:
            y = stage(y)
            skips.append(y)
        y = skips.pop()
        for lateral, decode in zip(reversed(self.laterals), reversed(self.decode), strict=True):
            skip = skips.pop()
            y = F.interpolate(lateral(y), size=skip.shape[2:], mode="nearest")
            y = decode(y + skip)
        raw: Tensor = self.out(self.head(y))
        return raw


class HeadNetExport(nn.Module):
    """The same net with the outputs that the run time reads: heat, box, points (see DESIGN)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, 1, h, w) 0..1; (N, 4, h, w) pixels; (N, 21, h, w) dx, dy pixels, visibility 0..1."""
        raw = self.net(x)
        heat = torch.sigmoid(raw[:, :1])
        box = torch.exp(raw[:, 1:5].clamp(-6, 6)) * UNIT_PX
        points = raw[:, 5:]
        columns = []
        for i in range(0, POINT_CHANNELS, 3):
            columns += [points[:, i : i + 2] * UNIT_PX, torch.sigmoid(points[:, i + 2 : i + 3])]
        return heat, box, torch.cat(columns, dim=1)


def build(outputs: int, light: bool = False) -> nn.Module:
    """headnet; ``light`` takes about half of the time.

    Raises:
        ValueError: ``outputs`` is not 26 (heat, 4 edges, 7 points of 3).
    """
    if outputs != 5 + POINT_CHANNELS:
        raise ValueError(f"headnet: got {outputs} outputs, wanted {5 + POINT_CHANNELS}")
    return HeadNet(depths=LIGHT_DEPTHS, light=LIGHT_LEVELS) if light else HeadNet()
