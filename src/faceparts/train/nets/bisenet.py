"""bisenet: BiSeNet with ResNet-18, the net of the most used open face parsers.

Yu et al., "BiSeNet: Bilateral Segmentation Network for Real-time Semantic Segmentation", ECCV
2018, in the form that face parsers share: features of stride 8 serve as the spatial path. Modules
are named as in the published ``79999_iter.pth``, whose two auxiliary heads serve training only and
are left out. The import is in `train.imports`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceparts.train.nets._blocks import init_weights

STEM, HEAD = 64, 128


class ConvNorm(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, size: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class Block(nn.Module):
    """Two 3 x 3 convolutions around a shortcut (He et al., CVPR 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Sequential | None = None
        if stride > 1 or inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    """Features of stride 8, 16 and 32."""

    def __init__(self, stem: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, stem, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.layer1 = nn.Sequential(Block(stem, stem, 1), Block(stem, stem, 1))
        self.layer2 = nn.Sequential(Block(stem, 2 * stem, 2), Block(2 * stem, 2 * stem, 1))
        self.layer3 = nn.Sequential(Block(2 * stem, 4 * stem, 2), Block(4 * stem, 4 * stem, 1))
        self.layer4 = nn.Sequential(Block(4 * stem, 8 * stem, 2), Block(8 * stem, 8 * stem, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        feature8 = self.layer2(self.layer1(x))
        feature16 = self.layer3(feature8)
        return feature8, feature16, self.layer4(feature16)


class Attention(nn.Module):
    """Channels weighed by what the whole picture says."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = ConvNorm(inputs, outputs)
        self.conv_atten = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        weights: Tensor = self.bn_atten(self.conv_atten(y.mean((2, 3), keepdim=True)))
        return y * weights.sigmoid()


class ContextPath(nn.Module):
    """Features of stride 8, as they are and with context of strides 16, 32 and the whole."""

    def __init__(self, stem: int, head: int) -> None:
        super().__init__()
        self.resnet = ResNet18(stem)
        self.arm16 = Attention(4 * stem, head)
        self.arm32 = Attention(8 * stem, head)
        self.conv_head32 = ConvNorm(head, head)
        self.conv_head16 = ConvNorm(head, head)
        self.conv_avg = ConvNorm(8 * stem, head, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        feature8, feature16, feature32 = self.resnet(x)
        y = self.arm32(feature32) + self.conv_avg(feature32.mean((2, 3), keepdim=True))
        y = self.conv_head32(F.interpolate(y, feature16.shape[2:], mode="nearest"))
        y = self.arm16(feature16) + y
        return feature8, self.conv_head16(F.interpolate(y, feature8.shape[2:], mode="nearest"))


class Fusion(nn.Module):
    """Both paths joined, then channels weighed by what the whole picture says."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convblk = ConvNorm(inputs, outputs, 1)
        self.conv1 = nn.Conv2d(outputs, outputs // 4, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs // 4, outputs, 1, bias=False)

    def forward(self, spatial: Tensor, context: Tensor) -> Tensor:
        y: Tensor = self.convblk(torch.cat([spatial, context], dim=1))
        weights: Tensor = self.conv2(F.relu(self.conv1(y.mean((2, 3), keepdim=True))))
        return y + y * weights.sigmoid()


class Output(nn.Module):
    """Scores at stride 8."""

    def __init__(self, inputs: int, parts: int) -> None:
        super().__init__()
        self.conv = ConvNorm(inputs, inputs)
        self.conv_out = nn.Conv2d(inputs, parts, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.conv_out(self.conv(x))
        return scores


class BiSeNet(nn.Module):
    """(N, 3, H, W) normalised RGB -> (N, parts, H, W) logits; H and W from 32 on.

    Args:
        parts: number of outputs; the published face parsers have 19.
        stem: channels of the first stage; 64 = ResNet-18.
        head: channels of the context path; 128 as published.
    """

    def __init__(self, parts: int, stem: int = STEM, head: int = HEAD) -> None:
        super().__init__()
        self.cp = ContextPath(stem, head)
        self.ffm = Fusion(2 * stem + head, 2 * head)
        self.conv_out = Output(2 * head, parts)
        init_weights(self)
        nn.init.normal_(self.conv_out.conv_out.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv_out(self.ffm(*self.cp(x)))
        return F.interpolate(y, x.shape[2:], mode="bilinear", align_corners=True)


def build(parts: int, *, stem: int = STEM, head: int = HEAD) -> nn.Module:
    """bisenet for a number of parts (background included); 13 M parameters as published."""
    return BiSeNet(parts, stem, head)
