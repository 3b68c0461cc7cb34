"""segformer: a transformer of four stages with a decoder of linear maps.

Xie et al., "SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers",
NeurIPS 2021. Modules are named as in Hugging Face's files of ``SegformerForSemanticSegmentation``,
which `train.imports` reads; dropout and stochastic depth are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HIDDEN = (32, 64, 160, 256)
DEPTHS = (2, 2, 2, 2)
HEADS = (1, 2, 5, 8)
REDUCTIONS = (8, 4, 2, 1)
DECODER = 256
STEPS = ((7, 4), (3, 2), (3, 2), (3, 2))
"""Kernel and stride of the patches of each stage."""


def to_map(tokens: Tensor, like: Tensor) -> Tensor:
    """(N, H * W, C) -> (N, C, H, W) with the height and width of another map."""
    shape = like.shape[0], tokens.shape[2], like.shape[2], like.shape[3]
    return tokens.transpose(1, 2).reshape(shape)


def to_tokens(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H * W, C)."""
    return x.flatten(2).transpose(1, 2)


class Patches(nn.Module):
    """Overlapping patches, each a vector."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(inputs, outputs, size, stride, size // 2)
        self.layer_norm = nn.LayerNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = self.proj(x)
        return to_map(self.layer_norm(to_tokens(y)), y)


class SelfAttention(nn.Module):
    """Attention whose keys and values come from a smaller map."""

    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.sr: nn.Module | None = None
        if reduction > 1:
            self.sr = nn.Conv2d(channels, channels, reduction, reduction)
            self.layer_norm = nn.LayerNorm(channels)

    def forward(self, tokens: Tensor, like: Tensor) -> Tensor:
        source = tokens
        if self.sr is not None:
            source = self.layer_norm(to_tokens(self.sr(to_map(tokens, like))))
        query = self._split(self.query(tokens))
        key, value = self._split(self.key(source)), self._split(self.value(source))
        scores: Tensor = query @ key.transpose(2, 3) / query.shape[3] ** 0.5
        mixed: Tensor = scores.softmax(dim=-1) @ value
        return mixed.transpose(1, 2).flatten(2)

    def _split(self, x: Tensor) -> Tensor:
        """(N, T, C) -> (N, heads, T, C / heads)."""
        shape = *x.shape[:2], self.heads, x.shape[2] // self.heads
        return x.reshape(shape).transpose(1, 2)


class Dense(nn.Module):
    """One linear map, under the name that the files give it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dense = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.dense(x)
        return y


class SelfAndOutput(nn.Module):
    """Self-attention and its linear map."""

    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.self = SelfAttention(channels, heads, reduction)
        self.output = Dense(channels)

    def forward(self, tokens: Tensor, like: Tensor) -> Tensor:
        y: Tensor = self.output(self.self(tokens, like))
        return y


class Depthwise(nn.Module):
    """A 3 x 3 convolution a channel, which tells tokens where they are."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels)

    def forward(self, tokens: Tensor, like: Tensor) -> Tensor:
        return to_tokens(self.dwconv(to_map(tokens, like)))


class MixFFN(nn.Module):
    """Two linear maps with a depthwise convolution between them."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.dense1 = nn.Linear(channels, inner)
        self.dwconv = Depthwise(inner)
        self.dense2 = nn.Linear(inner, channels)

    def forward(self, tokens: Tensor, like: Tensor) -> Tensor:
        y: Tensor = self.dense2(F.gelu(self.dwconv(self.dense1(tokens), like)))
        return y


class Layer(nn.Module):
    """Attention and mixing, each around a shortcut."""

    def __init__(self, channels: int, heads: int, reduction: int, inner: int) -> None:
        super().__init__()
        self.layer_norm_1 = nn.LayerNorm(channels)
        self.attention = SelfAndOutput(channels, heads, reduction)
        self.layer_norm_2 = nn.LayerNorm(channels)
        self.mlp = MixFFN(channels, inner)

    def forward(self, x: Tensor) -> Tensor:
        tokens = to_tokens(x)
        tokens = tokens + self.attention(self.layer_norm_1(tokens), x)
        return to_map(tokens + self.mlp(self.layer_norm_2(tokens), x), x)


class Encoder(nn.Module):
    """Maps of stride 4, 8, 16 and 32."""

    def __init__(
        self,
        hidden: Sequence[int],
        depths: Sequence[int],
        heads: Sequence[int],
        reductions: Sequence[int],
        inner: Sequence[int],
    ) -> None:
        super().__init__()
        rows = zip((3, *hidden), hidden, STEPS, strict=False)
        self.patch_embeddings = nn.ModuleList(Patches(a, b, *step) for a, b, step in rows)
        stages = zip(hidden, depths, heads, reductions, inner, strict=True)
        self.block = nn.ModuleList(
            nn.ModuleList(Layer(c, h, r, i) for _ in range(depth)) for c, depth, h, r, i in stages
        )
        self.layer_norm = nn.ModuleList(nn.LayerNorm(c) for c in hidden)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        stages = zip(self.patch_embeddings, self.block, self.layer_norm, strict=True)
        for patches, layers, norm in stages:
            x = patches(x)
            for layer in layers if isinstance(layers, nn.ModuleList) else ():
                x = layer(x)
            x = to_map(norm(to_tokens(x)), x)
            maps.append(x)
        return maps


class Backbone(nn.Module):
    """The encoder, under the name that the files give it."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.encoder(x)
        return maps


class Linear(nn.Module):
    """One stage's linear map into the decoder."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.proj = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return to_map(self.proj(to_tokens(x)), x)


class DecodeHead(nn.Module):
    """All stages at stride 4, joined from the coarsest to the finest."""

    def __init__(self, parts: int, hidden: Sequence[int], decoder: int) -> None:
        super().__init__()
        self.linear_c = nn.ModuleList(Linear(c, decoder) for c in hidden)
        self.linear_fuse = nn.Conv2d(4 * decoder, decoder, 1, bias=False)
        self.batch_norm = nn.BatchNorm2d(decoder)
        self.classifier = nn.Conv2d(decoder, parts, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        size = maps[0].shape[2:]
        same = [linear(x) for linear, x in zip(self.linear_c, maps, strict=True)]
        same = [F.interpolate(x, size, mode="bilinear", align_corners=False) for x in same]
        y = self.batch_norm(self.linear_fuse(torch.cat(same[::-1], dim=1)))
        scores: Tensor = self.classifier(F.relu(y))
        return scores


class SegFormer(nn.Module):
    """(N, 3, H, W) normalised RGB -> (N, parts, H, W) logits; H and W from 32 on.

    Args:
        parts: number of outputs.
        hidden: channels of the four stages; the default is B0, ``(64, 128, 320, 512)`` B1 to B5.
        depths: layers of the stages.
        heads: attention heads of the stages; they divide ``hidden``.
        decoder: channels of the decoder.
        reductions: how much smaller the maps of keys and values are.
        inner: channels inside the mixing layers; ``None`` = four times ``hidden``.

    Raises:
        ValueError: the lists do not have four entries, or heads do not divide channels.
    """

    def __init__(
        self,
        parts: int,
        hidden: Sequence[int] = HIDDEN,
        depths: Sequence[int] = DEPTHS,
        heads: Sequence[int] = HEADS,
        decoder: int = DECODER,
        *,
        reductions: Sequence[int] = REDUCTIONS,
        inner: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        inner = inner or [4 * c for c in hidden]
        if {len(hidden), len(depths), len(heads), len(reductions), len(inner)} != {4}:
            raise ValueError("segformer: hidden, depths, heads and reductions: wanted four of each")
        if any(c % h for c, h in zip(hidden, heads, strict=True)):
            raise ValueError(f"segformer: heads {heads} do not divide the channels {hidden}")
        self.segformer = Backbone(Encoder(hidden, depths, heads, reductions, inner))
        self.decode_head = DecodeHead(parts, hidden, decoder)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        y = self.decode_head(self.segformer(x))
        return F.interpolate(y, x.shape[2:], mode="bilinear", align_corners=False)


def build(
    parts: int,
    *,
    hidden: Sequence[int] = HIDDEN,
    depths: Sequence[int] = DEPTHS,
    heads: Sequence[int] = HEADS,
    decoder: int = DECODER,
) -> nn.Module:
    """segformer for a number of parts (background included); 3.7 M parameters as B0."""
    return SegFormer(parts, hidden, depths, heads, decoder)
