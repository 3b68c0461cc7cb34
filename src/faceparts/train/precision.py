"""How exactly a step is computed: bf16 where the recipe wants it and the hardware has it."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from faceparts.train.config import Recipe

BF16_FEATURES = ("avx512_bf16", "amx_bf16")
"""What a processor of the x86 family needs; without, PyTorch imitates bf16 ten times slower."""


def exactness(recipe: Recipe, device: torch.device) -> torch.autocast:
    """bf16 for what can bear it, if the recipe says so and the device is made for it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=uses_bf16(recipe, device))


def uses_bf16(recipe: Recipe, device: torch.device) -> bool:
    """Whether a training computes in bf16; else it does in float32."""
    return recipe.bf16 and has_bf16(device)


def has_bf16(device: torch.device) -> bool:
    """Whether bf16 is faster than float32 on a device; taken for granted where nobody can say."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    features: Mapping[str, object] = getattr(
        torch.cpu, "get_capabilities", dict
    )()  # from PyTorch 2.10 on
    if features.get("architecture") != "x86_64":
        return True
    return any(features.get(name) for name in BF16_FEATURES)
