"""HigherHRNet: body keypoints of everybody in a picture, bottom-up.

Cheng et al., "HigherHRNet: Scale-Aware Representation Learning for Bottom-Up Human Pose
Estimation", CVPR 2020. HRNet features at stride 4 give heat maps and tag maps; a deconvolution
gives heat maps at stride 2. ``build(34)`` is W32 (28.6 M parameters), ``build(34, width=48)`` W48
(63.8 M); names and shapes of the values are those of ``pose_higher_hrnet_*.pth``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceparts.train.nets._hrnet import BasicBlock, HRNet

JOINTS = 17
STRIDE = 2
"""Of the output; tags are made at stride 4 and grown."""
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""RGB on the 0..255 scale, as the published weights want: ImageNet's."""


class HigherHRNet(HRNet):
    """(N, 3, H, W) normalised RGB -> (N, 34, H/2, W/2); H and W multiples of 32.

    Channels: heat of the 17 joints, the mean of both resolutions, then their tags. `stages` gives
    what the loss sees.
    """

    def __init__(self, width: int, stem: int, blocks: int, modules: tuple[int, int, int]) -> None:
        super().__init__(width, stem, blocks, modules)
        coarse, fine = nn.Conv2d(width, 2 * JOINTS, 1), nn.Conv2d(width, JOINTS, 1)
        self.final_layers = nn.ModuleList([coarse, fine])
        grow = nn.Sequential(
            nn.ConvTranspose2d(width + 2 * JOINTS, width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        refine = [nn.Sequential(BasicBlock(width)) for _ in range(4)]
        self.deconv_layers = nn.ModuleList([nn.Sequential(grow, *refine)])
        self.reset()
        for layer in (coarse, fine):
            nn.init.normal_(layer.weight, std=0.001)

    def stages(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 34, H/4, W/4) heat and tags, (N, 17, H/2, W/2) heat."""
        x = self.features(x)
        coarse = self.final_layers[0](x)
        fine = self.final_layers[1](self.deconv_layers[0](torch.cat([x, coarse], dim=1)))
        return coarse, fine

    def forward(self, x: Tensor) -> Tensor:
        coarse, fine = self.stages(x)
        grown = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        return torch.cat([(grown[:, :JOINTS] + fine) / 2, grown[:, JOINTS:]], dim=1)


class HigherHRNetExport(nn.Module):
    """The same net with the two outputs that the run time reads: heat maps and tags."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) -> (N, 17, H/2, W/2) heat and (N, 17, H/2, W/2) tags."""
        y = self.net(x)
        return y[:, :JOINTS], y[:, JOINTS:]


def build(
    outputs: int = 2 * JOINTS,
    *,
    width: int = 32,
    stem: int = 64,
    blocks: int = 4,
    modules: Sequence[int] = (1, 4, 3),
) -> HigherHRNet:
    """HigherHRNet; the defaults are W32 as published.

    Args:
        outputs: 34: heat and tag of 17 joints.
        width: channels at stride 4: 32 (W32), 48 (W48); 16 makes a compact student.
        stem: channels of the first two convolutions.
        blocks: residual blocks on every branch of a module.
        modules: exchanges between the branches in the stages of two, three and four branches.

    Raises:
        ValueError: other outputs, or a size that makes no net.
    """
    if outputs != 2 * JOINTS:
        raise ValueError(f"higherhrnet: got {outputs} outputs, wanted {2 * JOINTS}")
    if len(modules) != 3 or min(width, stem, blocks, *modules) < 1:
        raise ValueError(
            f"higherhrnet: got width {width}, stem {stem}, blocks {blocks}, modules {modules}; "
            "wanted whole numbers of at least 1, three of them for modules"
        )
    return HigherHRNet(width, stem, blocks, (modules[0], modules[1], modules[2]))
