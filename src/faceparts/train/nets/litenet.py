"""litenet: a parser whose encoder may start from what EfficientNet-Lite0 learnt on ImageNet.

The encoder is EfficientNet-Lite0 (Tan and Le, "EfficientNet", ICML 2019, and the Lite variant of
2020: ReLU6, no squeeze-and-excitation, so that it can be quantised) without its last stage and
classifier. The decoder adds skips on its way up and ends at half the picture's side: there a finer
picture is worth more than finer maps of it. A few thousand labelled faces teach what a pullover is
less well than a million photos of everything did; see docs/training.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceparts.errors import BadWeights
from faceparts.train.nets._blocks import Context, Residual, conv, init_weights


@dataclass(frozen=True)
class Stage:
    """Blocks of one width: channels, kernel, stride of the first, expansion, how many."""

    channels: int
    kernel: int
    stride: int
    expand: int
    count: int


STEM = 32
STAGES = (
    Stage(16, 3, 1, 1, 1),
    Stage(24, 3, 2, 6, 2),
    Stage(40, 5, 2, 6, 2),
    Stage(80, 3, 2, 6, 3),
    Stage(112, 5, 1, 6, 3),
    Stage(192, 5, 2, 6, 4),
)
SKIPS = (0, 1, 2, 4)
"""Stages whose output the decoder sees: the last ones at a half, 4th, 8th and 16th of the side."""

DECODER = (16, 48, 80, 96)
"""Channels of the decoder at those sizes."""

BLOCKS = (0, 0, 0, 0)
"""Residual pairs of the decoder at those sizes."""

_EPS, _MOMENTUM = 1e-3, 0.05
_NORM = ("weight", "bias", "running_mean", "running_var")


class Inverted(nn.Module):
    """Inverted residual (Sandler et al., "MobileNetV2", CVPR 2018): widen, filter, narrow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        inner = inputs * expand
        self.shortcut = stride == 1 and inputs == outputs
        self.full = kernel > 3 or stride > 1
        self.expand = _unit(inputs, inner, 1) if expand > 1 else nn.Identity()
        self.deep = _unit(inner, inner, kernel, stride, inner)
        self.project = _unit(inner, outputs, 1, act=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.expand(x)
        if self.full:  # on processors the bf16 gradient of these takes three times as long
            with torch.autocast(x.device.type, enabled=False):
                y = self.deep(y.float())
        else:
            y = self.deep(y)
        y = self.project(y)
        out: Tensor = x + y if self.shortcut else y
        return out


class LiteNet(nn.Module):
    """(N, 3, S, S) normalised RGB -> (N, parts, S, S) logits; S a multiple of 32.

    Args:
        parts: background included.
        stages: the encoder, see `STAGES`; the last one halves the picture a fifth time.
        decoder: channels of the decoder from the largest maps to the smallest.
        stem: channels of the first convolution.
        blocks: residual pairs of the decoder at each of its sizes; a fresh pair changes nothing.
    """

    def __init__(
        self,
        parts: int,
        stages: tuple[Stage, ...] = STAGES,
        decoder: tuple[int, ...] = DECODER,
        stem: int = STEM,
        blocks: Sequence[int] = BLOCKS,
    ) -> None:
        super().__init__()
        if len(blocks) != len(decoder):
            raise ValueError(f"litenet: blocks = {list(blocks)}; wanted {len(decoder)} of them")
        self.plan = stages
        self.stem = _unit(3, stem, 3, 2)
        widths = (stem, *(s.channels for s in stages))
        self.stages = nn.ModuleList(
            nn.Sequential(
                Inverted(before, s.channels, s.kernel, s.stride, s.expand),
                *(
                    Inverted(s.channels, s.channels, s.kernel, 1, s.expand)
                    for _ in range(s.count - 1)
                ),
            )
            for before, s in zip(widths, stages, strict=False)
        )
        self.context = Context(stages[-1].channels)
        above = (*decoder[1:], stages[-1].channels)
        self.laterals = nn.ModuleList(
            nn.Conv2d(b, a, 1) for a, b in zip(decoder, above, strict=True)
        )
        self.skips = nn.ModuleList(
            nn.Conv2d(stages[i].channels, a, 1) for a, i in zip(decoder, SKIPS, strict=True)
        )
        self.decode = nn.ModuleList(conv(a, a) for a in decoder)
        self.refine = nn.ModuleList(
            nn.Sequential(*(Residual(width) for _ in range(count)))
            for width, count in zip(decoder, blocks, strict=True)
        )
        self.head = nn.Conv2d(decoder[0], parts, 1)
        init_weights(self)
        nn.init.normal_(self.head.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.coarse(x), scale_factor=2.0, mode="bilinear", align_corners=False)

    def coarse(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, parts, S / 2, S / 2): the logits before they are enlarged."""
        x, found = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        y = self.context(torch.relu(x))
        steps = zip(self.laterals, self.skips, self.decode, self.refine, SKIPS, strict=True)
        for lateral, skip, decode, refine, i in reversed(list(steps)):
            y = F.interpolate(lateral(y), scale_factor=2.0, mode="bilinear", align_corners=False)
            y = refine(decode(y + skip(found[i])))
        logits: Tensor = self.head(y)
        return logits

    def load_encoder(self, stored: Mapping[str, Tensor]) -> int:
        """Fill the encoder from an EfficientNet-Lite0 by the names of its PyTorch port.

        Args:
            stored: values by name, such as ``_blocks.3._expand_conv.weight``; others are ignored.

        Returns:
            How many values were filled.

        Raises:
            BadWeights: a value is missing or has another shape.
        """
        own = self.state_dict()
        names = dict(_names(self.plan))
        for name, other in names.items():
            if other not in stored or stored[other].shape != own[name].shape:
                got = tuple(stored[other].shape) if other in stored else "nothing"
                raise BadWeights(
                    f"{other}: got {got}, wanted {tuple(own[name].shape)}; "
                    "give the weights of EfficientNet-Lite0"
                )
        for name, other in names.items():
            own[name].copy_(stored[other])
        return len(names)


def build(parts: int, blocks: Sequence[int] = BLOCKS) -> nn.Module:
    """litenet for a number of parts (background included); about 2.6 M parameters.

    Args:
        parts: background included.
        blocks: residual pairs of the decoder from the largest maps to the smallest.
    """
    return LiteNet(parts, blocks=blocks)


def _unit(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, *, act: bool = True
) -> nn.Sequential:
    """Convolution, batch norm and, if wanted, ReLU6."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=_EPS, momentum=_MOMENTUM),
    ]
    if act:
        layers.append(nn.ReLU6(inplace=True))
    return nn.Sequential(*layers)


def _names(plan: tuple[Stage, ...]) -> Iterator[tuple[str, str]]:
    """Names of the encoder's values here and in the port."""
    yield from _unit_names("stem", "_conv_stem", "_bn0")
    number = 0
    for i, stage in enumerate(plan):
        for j in range(stage.count):
            here, there = f"stages.{i}.{j}", f"_blocks.{number}"
            number += 1
            if stage.expand > 1:
                yield from _unit_names(f"{here}.expand", f"{there}._expand_conv", f"{there}._bn0")
            yield from _unit_names(f"{here}.deep", f"{there}._depthwise_conv", f"{there}._bn1")
            yield from _unit_names(f"{here}.project", f"{there}._project_conv", f"{there}._bn2")


def _unit_names(here: str, weight: str, norm: str) -> Iterator[tuple[str, str]]:
    yield f"{here}.0.weight", f"{weight}.weight"
    for value in _NORM:
        yield f"{here}.1.{value}", f"{norm}.{value}"
