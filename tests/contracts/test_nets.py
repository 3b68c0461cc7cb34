"""What every net promises; a new file in faceparts/train/nets is tested here at once."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from faceparts import folder
from faceparts.train.nets import headnet, partnet
from train_world import one_thread

PACKAGE = "faceparts.train.nets"
NAMES = folder.names(PACKAGE)
nets = pytest.mark.parametrize("name", NAMES)


class Wanted(NamedTuple):
    """Output channels, input pixels a side, output stride, most parameters, options; how well two
    pictures of that side are learnt by heart."""

    outputs: int
    size_px: int
    stride: int
    most: float
    options: Mapping[str, Any] = MappingProxyType({})
    right: float = 0.97


COMPACT = {"width": 8, "stem": 16, "blocks": 1, "modules": (1, 1, 1)}
WANTED = {
    "bisenet": Wanted(5, 64, 1, 4e5, {"stem": 8, "head": 16}, 0.93),
    "fcn8s": Wanted(5, 128, 1, 1e6, {"width": 1 / 16, "skip_scales": (1, 1)}, 0.9),
    "headnet": Wanted(26, 64, 4, 1.3e6),
    "higherhrnet": Wanted(34, 64, 2, 4e5, COMPACT),
    "litenet": Wanted(5, 64, 1, 3e6, right=0.8),
    "partnet": Wanted(19, 32, 1, 3e6),
    "segformer": Wanted(5, 64, 1, 1.7e5, {"hidden": (8, 16, 20, 32), "decoder": 32}),
}


@pytest.fixture(autouse=True, scope="module")
def calm():
    with one_thread():
        torch.manual_seed(0)
        yield


def build(name: str) -> nn.Module:
    torch.manual_seed(1)
    wanted = WANTED[name]
    net: nn.Module = folder.load(PACKAGE, name).build(wanted.outputs, **wanted.options)
    return net


def test_every_net_is_known_here() -> None:
    missing = set(NAMES) - set(WANTED)
    assert not missing, f"say in WANTED what {missing} must be"


@nets
def test_size(name: str) -> None:
    net = build(name)
    assert 0.5 * WANTED[name].most < partnet.count_parameters(net) <= WANTED[name].most
    assert folder.load(PACKAGE, name).__doc__


@nets
def test_shapes_of_any_multiple(name: str) -> None:
    outputs, size, stride = WANTED[name][:3]
    net = build(name).eval()
    with torch.no_grad():
        for h, w in ((size, size), (size, 2 * size), (64, 128)):
            got = net(torch.zeros(1, 3, h, w))
            assert got.shape == (1, outputs, h // stride, w // stride)
            assert torch.isfinite(got).all()
        assert net(torch.zeros(0, 3, size, size)).shape[:2] == (0, outputs)


@nets
def test_a_batch_gives_what_single_pictures_give(name: str) -> None:
    size = WANTED[name].size_px
    net = build(name).eval()
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        both = net(x)
        for i in range(2):
            torch.testing.assert_close(both[i], net(x[i : i + 1])[0], rtol=1e-4, atol=1e-4)


@nets
def test_the_seed_decides_the_weights(name: str) -> None:
    a, b = build(name).state_dict(), build(name).state_dict()
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)


def pictures(name: str) -> tuple[Tensor, Tensor]:
    """Two pictures of coloured blocks, and the colour's number at the net's stride."""
    size, stride = WANTED[name].size_px, WANTED[name].stride
    block = size // 4
    ids = torch.randint(0, 4, (2, 4, 4))
    colours = torch.tensor([[-1.0, -1, -1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    x = colours[ids].permute(0, 3, 1, 2)
    x = x.repeat_interleave(block, 2).repeat_interleave(block, 3)
    small = block // stride
    return x, ids.repeat_interleave(small, 1).repeat_interleave(small, 2)


@nets
def test_two_pictures_are_learnt_by_heart(name: str) -> None:
    net = build(name).train()
    x, ids = pictures(name)
    optimizer = torch.optim.AdamW(net.parameters(), lr=4e-3)
    right = 0.0
    for _ in range(60):
        logits = net(x)[:, :4]
        right = float((logits.argmax(1) == ids).float().mean())
        if right > WANTED[name].right:
            break
        loss = nn.functional.cross_entropy(logits, ids)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        assert all(p.grad is not None for p in net.parameters())
        optimizer.step()
    assert right > WANTED[name].right


def test_headnet_has_fixed_outputs() -> None:
    with pytest.raises(ValueError, match="headnet: got 19 outputs, wanted 26"):
        headnet.build(19)


def test_headnet_starts_without_heads() -> None:
    net = build("headnet").eval()
    with torch.no_grad():
        heat = net(torch.randn(1, 3, 64, 64))[:, 0].sigmoid()
    assert heat.max() < 0.2


def test_headnet_export_says_it_in_pixels() -> None:
    class Raw(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    raw = torch.zeros(1, 26, 1, 1)
    raw[0, 0] = 3
    raw[0, 1:5, 0, 0] = torch.tensor([0.0, 1, 9, -9])
    raw[0, 5:8, 0, 0] = torch.tensor([0.5, -2, 1])
    heat, box, points = headnet.HeadNetExport(Raw())(raw)
    assert heat.item() == pytest.approx(1 / (1 + torch.e**-3))
    e = torch.e
    assert box.flatten().tolist() == pytest.approx([16, 16 * e, 16 * e**6, 16 * e**-6], rel=1e-5)
    assert points.flatten()[:3].tolist() == pytest.approx([8, -32, 1 / (1 + 1 / e)])
    assert points.flatten()[3:6].tolist() == [0, 0, 0.5]


def test_further_blocks_of_partnet_change_nothing_at_first() -> None:
    """Weights of fewer blocks can be the start of a deeper net."""
    few, more = partnet.build(5).eval(), partnet.build(5, depths=[1, 2, 3, 1]).eval()
    assert (partnet.count_parameters(few), partnet.count_parameters(more)) == (2_427_860, 2_967_956)
    left = more.load_state_dict(few.state_dict(), strict=False)
    assert not left.unexpected_keys
    assert {k.rsplit(".", 3)[0] for k in left.missing_keys} >= {"stages.1.2", "stages.2.3"}
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(more(x), few(x))


@pytest.mark.parametrize("depths", [[1, 1, 2], [1, 1, 2, -1]])
def test_partnet_has_four_depths(depths: list[int]) -> None:
    with pytest.raises(ValueError, match=r"depths: got \[.*\], wanted 4 numbers from 0 up"):
        partnet.build(5, depths=depths)
