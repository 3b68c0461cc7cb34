"""The HRNet backbone: parallel branches at strides 4 to 32 that exchange what they see.

Sun et al., "Deep High-Resolution Representation Learning for Human Pose Estimation", CVPR 2019.
Modules are named as in the authors' published weights, so that those load by name.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut (He et al., CVPR 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(x + self.bn2(self.conv2(y)))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions around a shortcut; puts out 4 x ``width`` channels."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = _conv(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.downsample(x) + self.bn3(self.conv3(y)))


class Fusion(nn.Module):
    """Blocks on every branch, then each branch becomes the sum of all, brought to its stride.

    Args:
        widths: channels of the branches; each has half the resolution of the one before.
        blocks: basic blocks on a branch.
        first_only: put out the first branch alone.
    """

    def __init__(self, widths: tuple[int, ...], blocks: int, *, first_only: bool = False) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(w) for _ in range(blocks))) for w in widths
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_exchange(widths, j, i) for j in range(len(widths)))
            for i in range(1 if first_only else len(widths))
        )

    def forward(self, xs: list[Tensor]) -> list[Tensor]:
        xs = [branch(x) for branch, x in zip(self.branches, xs, strict=True)]
        fused = []
        for layers in self.fuse_layers:
            parts = [f(x) for f, x in zip(cast(nn.ModuleList, layers), xs, strict=True)]
            fused.append(F.relu(sum(parts[1:], parts[0])))
        return fused


def _conv(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution and batch norm."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs)
    )


def _conv_relu(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3 x 3 convolution, batch norm, ReLU."""
    return _conv(inputs, outputs, 3, stride).append(nn.ReLU(inplace=True))


def _exchange(widths: tuple[int, ...], source: int, target: int) -> nn.Module:
    """What takes a branch to the stride and channels of another."""
    if source == target:
        return nn.Identity()
    if source > target:
        up = nn.Upsample(scale_factor=float(2 ** (source - target)), mode="nearest")
        return _conv(widths[source], widths[target], 1).append(up)
    steps = [_conv_relu(widths[source], widths[source], 2) for _ in range(target - source - 1)]
    return nn.Sequential(*steps, _conv(widths[source], widths[target], 3, 2))


def _transition(before: tuple[int, ...], widths: tuple[int, ...]) -> nn.ModuleList:
    """What begins the branches of a stage; those that go on as they are need nothing."""
    layers: list[nn.Module] = []
    for i, width in enumerate(widths):
        if i >= len(before):
            steps = i - len(before)
            down = [_conv_relu(before[-1], before[-1], 2) for _ in range(steps)]
            layers.append(nn.Sequential(*down, _conv_relu(before[-1], width, 2)))
        elif before[i] != width:
            layers.append(_conv_relu(before[i], width))
        else:
            layers.append(nn.Identity())
    return nn.ModuleList(layers)


class HRNet(nn.Module):
    """(N, 3, H, W) -> (N, width, H/4, W/4) features; H and W multiples of 32.

    Args:
        width: channels of the first branch: 32 in W32; the others have 2, 4 and 8 times as many.
        stem: channels of the two convolutions that the net begins with.
        blocks: basic blocks on every branch of a module.
        modules: exchanges in the second, third and fourth stage.
    """

    def __init__(self, width: int, stem: int, blocks: int, modules: tuple[int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, stem, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.conv2 = nn.Conv2d(stem, stem, 3, 2, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(stem)
        first = [Bottleneck(stem if not i else 4 * stem, stem) for i in range(4)]
        self.layer1 = nn.Sequential(*first)
        widths = (width, 2 * width, 4 * width, 8 * width)
        before: tuple[int, ...] = (4 * stem,)
        for stage, count in enumerate(modules, start=2):
            now = widths[:stage]
            self.add_module(f"transition{stage - 1}", _transition(before, now))
            exchanges = [
                Fusion(now, blocks, first_only=stage == 4 and i == count - 1) for i in range(count)
            ]
            self.add_module(f"stage{stage}", nn.ModuleList(exchanges))
            before = now

    def features(self, x: Tensor) -> Tensor:
        """The first branch behind the last stage."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        xs = [self.layer1(x)]
        for stage in (2, 3, 4):
            begins = cast(nn.ModuleList, self.get_submodule(f"transition{stage - 1}"))
            xs = [begin(xs[min(i, len(xs) - 1)]) for i, begin in enumerate(begins)]
            for exchange in cast(nn.ModuleList, self.get_submodule(f"stage{stage}")):
                xs = exchange(xs)
        first: Tensor = xs[0]
        return first

    def reset(self) -> None:
        """He initialisation of every convolution."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    torch.nn.init.zeros_(module.bias)
