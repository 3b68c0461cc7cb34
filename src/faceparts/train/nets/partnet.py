"""partnet: our face parser, a U-Net with additive skips made for two CPU cores.

Ronneberger et al., "U-Net", MICCAI 2015, with: stride-2 stem, residual stages, skips that are
added rather than concatenated, the picture's global mean as context, and the last step up as a
pixel shuffle (Shi et al., CVPR 2016), so that nothing is computed at full resolution but logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from faceparts.train.nets._blocks import Context, Residual, conv, init_weights

WIDTHS = (24, 48, 96, 144, 192)
DEPTHS = (1, 1, 2, 1)


class PartNet(nn.Module):
    """(N, 3, S, S) normalised RGB -> (N, parts, S, S) logits; S a multiple of 32."""

    def __init__(
        self,
        parts: int,
        widths: tuple[int, ...] = WIDTHS,
        depths: tuple[int, ...] = DEPTHS,
    ) -> None:
        super().__init__()
        self.stem = conv(3, widths[0], 3, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(conv(a, b, 3, 2), *(Residual(b) for _ in range(n)))
            for a, b, n in zip(widths, widths[1:], depths, strict=False)
        )
        self.context = Context(widths[-1])
        self.laterals = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(widths))
        self.decode = nn.ModuleList(conv(a, a) for a in widths[:-1])
        self.head = nn.Conv2d(widths[0], parts * 4, 1)
        init_weights(self)
        nn.init.normal_(self.head.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.maps(x), 2)

    def maps(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, parts * 4, S / 2, S / 2): the logits before the pixel shuffle."""
        skips = [self.stem(x)]
        for stage in self.stages:
            skips.append(stage(skips[-1]))
        y = self.context(skips.pop())
        for lateral, decode in zip(reversed(self.laterals), reversed(self.decode), strict=True):
            y = F.interpolate(lateral(y), scale_factor=2.0, mode="bilinear", align_corners=False)
            y = decode(y + skips.pop())
        maps: Tensor = self.head(y)
        return maps


def build(parts: int, depths: Sequence[int] = DEPTHS) -> nn.Module:
    """partnet for a number of parts (background included); 2.4 M parameters as it ships.

    Args:
        parts: background included.
        depths: residual blocks of the four stages (``net_options`` of a recipe). Further ones
            hand their input on at first, so that weights of fewer blocks can be the start.

    Raises:
        ValueError: not four numbers from 0 up.
    """
    if len(depths) != len(DEPTHS) or min(depths) < 0:
        raise ValueError(f"depths: got {list(depths)}, wanted {len(DEPTHS)} numbers from 0 up")
    return PartNet(parts, depths=tuple(depths))


def count_parameters(net: nn.Module) -> int:
    """Number of trained values."""
    return sum(p.numel() for p in net.parameters() if p.requires_grad)
