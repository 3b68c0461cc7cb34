"""The mean of two nets' weights: of a training, and of what it started from.

Wortsman et al., "Model soups: averaging weights of multiple fine-tuned models improves accuracy
without increasing inference time", ICML 2022; of a net and its start: "Robust fine-tuning of
zero-shot models", CVPR 2022. It works where a training stays near what it started from (``init``).
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from faceparts.errors import BadWeights
from faceparts.train.export import load_initial


def mix(net: nn.Module, name_or_path: str, share: float) -> None:
    """Move a net's weights towards those of an exported file, in place.

    Args:
        net: weights and running statistics of batch norms are mixed; counters stay.
        name_or_path: a shipped model or an ONNX file written by `faceparts.train.export.export`.
        share: 0..1, what the file counts.

    Raises:
        BadWeights: the file is not ONNX, or is not of the same net.
    """
    other = copy.deepcopy(net)
    left = load_initial(other, name_or_path)
    if left:
        raise BadWeights(
            f"{name_or_path}: has no {left[0]} of this net's shape ({len(left)} such values); "
            "only weights of the same net can be mixed"
        )
    with torch.no_grad():
        for own, others in zip(net.state_dict().values(), other.state_dict().values(), strict=True):
            if own.is_floating_point():
                own.lerp_(others, share)
