"""Means of weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from faceparts.errors import BadWeights
from faceparts.train import export
from faceparts.train.mixing import mix
from train_world import PARTS


class Normed(nn.Module):
    """A convolution and a batch norm; all values differ, equal ones are stored once."""

    def __init__(self, seed: int, parts: int = 19) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, parts, 1)
        self.norm = nn.BatchNorm2d(parts)
        chance = torch.Generator().manual_seed(seed)
        for value in self.state_dict().values():
            if value.is_floating_point():  # halves, as they are stored
                value.copy_(torch.rand(value.shape, generator=chance).half())
        self.norm.num_batches_tracked.fill_(seed)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.norm(self.conv(x))
        return out


@pytest.fixture
def other(tmp_path: Path) -> Path:
    export.export(Normed(4).eval(), PARTS, tmp_path / "other.onnx")
    return tmp_path / "other.onnx"


def all_equal(one: nn.Module, another: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), another.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_weights_and_statistics_are_the_weighted_mean(share: float, other: Path) -> None:
    net, own, others = Normed(8), Normed(8).state_dict(), Normed(4).state_dict()
    mix(net, str(other), share)
    for name, value in net.state_dict().items():
        if name.endswith("num_batches_tracked"):
            assert value == 8
        else:
            wanted = (1 - share) * own[name] + share * others[name]
            torch.testing.assert_close(value, wanted, msg=name)


def test_a_net_of_other_parts_is_refused_unchanged(other: Path) -> None:
    net = Normed(8, parts=3)
    with pytest.raises(BadWeights, match=r"other\.onnx: fits 0 of 6 values"):
        mix(net, str(other), 0.5)
    assert all_equal(net, Normed(8, parts=3))


def test_a_net_that_lacks_one_value_is_refused_unchanged(other: Path) -> None:
    net, before = Normed(8), Normed(8)
    for one in (net, before):
        one.extra = nn.Parameter(torch.zeros(2))
    with pytest.raises(BadWeights, match=r"has no extra of this net's shape \(1 such values\)"):
        mix(net, str(other), 0.5)
    assert all_equal(net, before)
