"""bf16 only where the processor is made for it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from faceparts.train import precision
from train_world import PARTS

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("features", "wanted"),
    [
        ({"architecture": "x86_64", "avx2": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"architecture": "x86_64", "avx512_bf16": True, "amx_bf16": False}, True),
        ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": True}, True),
        ({"architecture": "x86_64"}, False),
        ({"architecture": "aarch64"}, True),
        ({}, True),
    ],
)
def test_what_a_processor_says(
    features: dict[str, object], wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
    assert precision.has_bf16(CPU) is wanted
    recipe = replace(PARTS, bf16=True)
    assert precision.uses_bf16(recipe, CPU) is wanted
    assert precision.uses_bf16(replace(recipe, bf16=False), CPU) is False
    with precision.exactness(recipe, CPU):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if wanted else torch.float32)


def test_an_older_pytorch_cannot_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert precision.has_bf16(CPU) is True


@pytest.mark.parametrize("answer", [True, False])
def test_a_gpu_is_asked(answer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: answer)
    assert precision.has_bf16(torch.device("cuda")) is answer
