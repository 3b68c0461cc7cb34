"""fcn8s: FCN-8s "at once" as published, the net of the first face and hair segmenters.

Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015, in
the form that its authors train in one go: VGG-16 with 100 pixels of padding, its classifier as
7 x 7 and 1 x 1 convolutions, and scores of three strides summed after fixed bilinear upsampling.
Modules carry the names of the Caffe layers, so a caffemodel fits by name (`train.caffe`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PADDING_PX = 100
CROP_POOL4, CROP_POOL3, CROP_SCORE = 5, 9, 31
"""Where the sums and the result are cut out, in cells of stride 16, of stride 8 and in pixels."""

SCALE_POOL4, SCALE_POOL3 = 0.01, 0.0001
"""Factors on the two skips; they fit the sizes of activations that ImageNet's VGG-16 has."""

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
HIDDEN = 4096
MEAN_BGR = (104.00698793, 116.66876762, 122.67891434)
"""Mean blue, green, red 0..255 that the published nets subtract; nothing is divided."""


def bilinear_kernel(channels: int, size: int) -> Tensor:
    """(channels, channels, size, size) that enlarges each channel ``size // 2`` times bilinearly.

    Example:
        >>> bilinear_kernel(1, 4)[0, 0, 1].tolist()
        [0.1875, 0.5625, 0.5625, 0.1875]
    """
    middle = (size - 1) / 2
    row = 1 - (torch.arange(size) - middle).abs() / ((size + 1) // 2)
    kernel = torch.zeros(channels, channels, size, size)
    kernel[range(channels), range(channels)] = row[:, None] * row[None]
    return kernel


class Upscore(nn.Module):
    """Transposed convolution with fixed weights: bilinear unless a file says otherwise."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.stride = size // 2
        self.weight: Tensor
        self.register_buffer("weight", bilinear_kernel(channels, size))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, self.weight, stride=self.stride)


class Scale(nn.Module):
    """A fixed factor a channel."""

    def __init__(self, channels: int, factor: float) -> None:
        super().__init__()
        self.weight: Tensor
        self.register_buffer("weight", torch.full((channels,), factor))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight[:, None, None]


class FCN8s(nn.Module):
    """(N, 3, H, W) -> (N, parts, H, W) logits; any H and W from 1 on.

    Args:
        parts: number of outputs; the published net has 21.
        width: factor on all inner channels; 1 = as published, 134 M parameters.
        caffe_units: the input is RGB -1..1, as our trainer gives it, and is turned into what the
            published nets take: BGR 0..255 minus `MEAN_BGR`.
        skip_scales: factors on pool4 and pool3. A net from scratch, whose activations are all of
            one size, learns with ``(1, 1)``; the functions that the net can stand for are the same.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        parts: int,
        width: float = 1.0,
        *,
        caffe_units: bool = False,
        skip_scales: Sequence[float] = (SCALE_POOL4, SCALE_POOL3),
    ) -> None:
        super().__init__()
        if parts < 1:
            raise ValueError(f"fcn8s: got {parts} parts, wanted at least 1")
        if not 1 / 64 <= width <= 4:
            raise ValueError(f"fcn8s: got width {width}, wanted 1/64..4")
        if len(skip_scales) != 2 or min(skip_scales) <= 0:
            raise ValueError(f"fcn8s: got skip_scales {skip_scales}, wanted two numbers above 0")
        self.caffe_units = caffe_units
        channels, padding = 3, PADDING_PX
        for stage, widths in enumerate(STAGES, 1):
            for i, full in enumerate(widths, 1):
                conv = nn.Conv2d(channels, round(full * width), 3, padding=padding)
                self.add_module(f"conv{stage}_{i}", conv)
                channels, padding = conv.out_channels, 1
        hidden = round(HIDDEN * width)
        self.fc6 = nn.Conv2d(channels, hidden, 7)
        self.fc7 = nn.Conv2d(hidden, hidden, 1)
        self.score_fr = nn.Conv2d(hidden, parts, 1)
        self.upscore2 = Upscore(parts, 4)
        pool4, pool3 = round(STAGES[3][-1] * width), round(STAGES[2][-1] * width)
        self.scale_pool4 = Scale(pool4, skip_scales[0])
        self.score_pool4 = nn.Conv2d(pool4, parts, 1)
        self.upscore_pool4 = Upscore(parts, 4)
        self.scale_pool3 = Scale(pool3, skip_scales[1])
        self.score_pool3 = nn.Conv2d(pool3, parts, 1)
        self.upscore8 = Upscore(parts, 16)
        self._init_weights()

    def _init_weights(self) -> None:
        """He et al., ICCV 2015, for what a ReLU follows; the scores start at 0, as published."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d):
                if name.startswith("score_"):
                    nn.init.zeros_(module.weight)
                else:
                    nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        y = to_caffe_units(x) if self.caffe_units else x
        pools = []
        for stage, widths in enumerate(STAGES, 1):
            for i in range(1, len(widths) + 1):
                y = F.relu(self.get_submodule(f"conv{stage}_{i}")(y), inplace=True)
            y = F.max_pool2d(y, 2, ceil_mode=True)  # Caffe rounds up
            pools.append(y)
        y = F.dropout(F.relu(self.fc6(y), inplace=True), 0.5, self.training)
        y = F.dropout(F.relu(self.fc7(y), inplace=True), 0.5, self.training)
        y = self.upscore2(self.score_fr(y))
        y = y + _cut(self.score_pool4(self.scale_pool4(pools[3])), CROP_POOL4, y)
        y = self.upscore_pool4(y)
        y = y + _cut(self.score_pool3(self.scale_pool3(pools[2])), CROP_POOL3, y)
        return _cut(self.upscore8(y), CROP_SCORE, x)


def _cut(x: Tensor, offset: int, like: Tensor) -> Tensor:
    """The rows and columns from an offset on, as many as another map has."""
    height, width = like.shape[2:]
    return x[:, :, offset : offset + height, offset : offset + width]


def to_caffe_units(x: Tensor) -> Tensor:
    """(N, 3, H, W) RGB -1..1 -> BGR 0..255 minus `MEAN_BGR`."""
    mean = torch.tensor(MEAN_BGR, dtype=x.dtype, device=x.device)
    units: Tensor = x.flip(1) * 127.5 + (127.5 - mean)[:, None, None]
    return units


def build(
    parts: int,
    *,
    width: float = 1.0,
    caffe_units: bool = False,
    skip_scales: Sequence[float] = (SCALE_POOL4, SCALE_POOL3),
) -> nn.Module:
    """fcn8s for a number of parts (background included); see `FCN8s` for the options."""
    return FCN8s(parts, width, caffe_units=caffe_units, skip_scales=skip_scales)
