"""Which values of a net another one does not have, in words that fit a line."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

SHOWN = 3
"""Names that a message holds."""


def some(names: Sequence[str]) -> str:
    """The first names, and how many more there are.

    Example:
        >>> some(["a", "b", "c", "d", "e"])
        'a, b, c and 2 more'
    """
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def misfits(own: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> list[str]:
    """Names of the values that only one of two nets has, or that differ in shape."""
    names = [*own, *(name for name in saved if name not in own)]
    return [
        name
        for name in names
        if name not in own or name not in saved or own[name].shape != saved[name].shape
    ]


def norms_after(net: nn.Module, fresh: Collection[str]) -> set[str]:
    """Values of the batch norms behind convolutions whose weights are fresh.

    They were learnt for what another convolution puts out.

    Args:
        fresh: names of values that another net did not have.
    """
    found: set[str] = set()
    before = ""
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            before = f"{name}.weight"
        elif isinstance(module, _BatchNorm) and before in fresh:
            found.update(f"{name}.{value}" for value in module.state_dict())
    return found
