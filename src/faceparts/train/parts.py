"""The parsing task: labelled crops -> batches, loss and validation for a 19-part net."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from faceparts import folder, labels
from faceparts.evaluate import confusion
from faceparts.train import augment
from faceparts.train.clean import sort_sides
from faceparts.train.config import Phase, Recipe, Source
from faceparts.train.fused import entropy_and_dice
from faceparts.train.graft import Grafts, collect
from faceparts.train.inputs import to_input
from faceparts.train.occlude import Occluders, load_occluders
from faceparts.types import IGNORE, Image

LABEL_SET = labels.CELEBA19
NOT_HAIR = 254
"""Label of pixels of which only this is known: no hair (hair-only datasets)."""

DOUBT = 0.9
"""A label that is not fully trusted is ignored where the net gives another part more than this."""


@dataclass(frozen=True)
class _Pool:
    """One source in memory, with the probability of every picture."""

    source: Source
    images: tuple[Image, ...]
    labels: tuple[NDArray[np.uint8], ...]
    odds: NDArray[np.float64]


@dataclass(frozen=True)
class Batch:
    """What one step needs; ``weight`` is per picture, ``trusted`` says whose labels are right."""

    images: Tensor
    labels: Tensor
    weight: Tensor
    trusted: Tensor


class PartsTask:
    """Data, loss and validation of the parser.

    Args:
        recipe: what to train.
        root: data root; sources are folders below it.

    Raises:
        BadData: a source is missing or damaged.
    """

    outputs = len(LABEL_SET.parts)

    def __init__(self, recipe: Recipe, root: Path) -> None:
        self.recipe = recipe
        self.pools = [_read_pool(s, root) for s in recipe.data]
        self.val = [_read_pool(s, root) for s in recipe.val]
        shares = np.array([p.source.share for p in self.pools])
        self.shares = shares / shares.sum()
        self.occluders: Occluders | None = None
        if recipe.occluders:
            self.occluders = load_occluders(root / recipe.occluders, held_back=False)
        self.grafts: Grafts | None = None
        if recipe.graft:
            first = self.pools[0]
            self.grafts = collect(zip(first.images, first.labels, strict=True), LABEL_SET)
        self.class_weight = torch.from_numpy(_class_weights(self.pools[0], recipe.balance))

    def batch(self, step: int, phase: Phase) -> Batch:
        """The batch of a step; the same step gives the same batch, whatever came before."""
        rng = np.random.default_rng((self.recipe.seed, step))
        images = np.empty((phase.batch, phase.size_px, phase.size_px, 3), np.uint8)
        ids = np.empty((phase.batch, phase.size_px, phase.size_px), np.uint8)
        weight, trusted = np.empty(phase.batch, np.float32), np.empty(phase.batch, bool)
        for i in range(phase.batch):
            pool = self.pools[int(rng.choice(len(self.pools), p=self.shares))]
            pick = int(rng.choice(len(pool.images), p=pool.odds))
            images[i], ids[i] = self._augment(pool.images[pick], pool.labels[pick], phase, rng)
            weight[i], trusted[i] = pool.source.weight, pool.source.trust >= 1
        return Batch(
            to_input(images),
            torch.from_numpy(ids).long(),
            torch.from_numpy(weight),
            torch.from_numpy(trusted),
        )

    def _augment(
        self, image: Image, ids: NDArray[np.uint8], phase: Phase, rng: np.random.Generator
    ) -> tuple[Image, NDArray[np.uint8]]:
        if self.grafts is not None and rng.random() < self.recipe.graft:
            image, ids = self.grafts.graft(image, ids, rng, LABEL_SET)
        matrix = augment.random_affine(image.shape[:2], phase.size_px, rng)
        image, ids = augment.warp(image, ids, matrix, phase.size_px)
        if rng.random() < 0.5:
            image, ids = _mirror(image, ids)
        if self.occluders is not None and rng.random() < self.recipe.occlude:
            image, ids = self.occluders.paste(image, ids, rng, LABEL_SET)
        return augment.photometric(image, rng), ids

    def loss(
        self, net: nn.Module, batch: Batch, progress: float
    ) -> tuple[Tensor, dict[str, float]]:
        """Weighted cross entropy + half a Dice loss; doubted labels are left out."""
        logits = net(batch.images)
        ids = self._drop_doubted(logits.detach(), batch.labels, batch.trusted, progress)
        known = ids < len(LABEL_SET.parts)
        target = torch.where(known, ids, 0)
        pixel_weight = self.class_weight[target] * batch.weight[:, None, None] * known
        entropy, dice = entropy_and_dice(logits, target, pixel_weight, known)
        total = entropy + 0.5 * dice + _hair_where_none_is(logits, ids)
        return total, {"entropy": entropy.item(), "dice": dice.item()}

    def _drop_doubted(
        self, logits: Tensor, ids: Tensor, trusted: Tensor, progress: float
    ) -> Tensor:
        """Ignore noisy labels that the net contradicts strongly (bootstrapping by omission)."""
        start = min((p.source.trust for p in self.pools), default=1.0)
        if progress < start or bool(trusted.all()):
            return ids
        noisy = ~trusted
        best, winner = torch.softmax(logits[noisy], dim=1, dtype=torch.float32).max(dim=1)
        doubted = (winner != ids[noisy]) & (best > DOUBT)
        kept = ids.clone()
        kept[noisy] = torch.where(doubted, IGNORE, ids[noisy])
        return kept

    @torch.no_grad()
    def validate(self, net: nn.Module) -> dict[str, float]:
        """Mean F1 over the foreground parts, whole pictures at the last phase's size.

        One confusion matrix is pooled over the set; logits are scaled up to the labels. A part that
        does not occur counts as 0, so that the mean is always over all parts.
        """
        count = len(LABEL_SET.parts)
        size = self.recipe.phases[-1].size_px
        matrix = np.zeros((count, count), np.int64)
        for pool in self.val:
            for image, ids in zip(pool.images, pool.labels, strict=True):
                small = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
                logits = net(to_input(np.asarray(small[None], np.uint8))).float()
                big = F.interpolate(logits, ids.shape, mode="bilinear", align_corners=False)
                found = big.argmax(1)[0].numpy().astype(np.uint8)
                truth = np.where(ids == NOT_HAIR, IGNORE, ids).astype(np.uint8)
                matrix += confusion.count(truth, found, count)
        f1 = np.nan_to_num(confusion.f1(matrix))
        report = {f"f1_{p}": float(v) for p, v in zip(LABEL_SET.parts, f1, strict=True)}
        return {"mean_f1": float(f1[1:].mean()), **report}


def _mirror(image: Image, ids: NDArray[np.uint8]) -> tuple[Image, NDArray[np.uint8]]:
    flipped, swapped = augment.mirror(image, ids, LABEL_SET)
    swapped[ids[:, ::-1] == NOT_HAIR] = NOT_HAIR
    return flipped, swapped


def _read_pool(source: Source, root: Path) -> _Pool:
    """Decode a whole source into memory, in our label set."""
    module = folder.load("faceparts.datasets", source.name)
    dataset = module.load(root / source.root, source.split)
    hair_only = dataset.label_set.name == "hair2"
    to_ours = labels.table(dataset.label_set, LABEL_SET)
    if hair_only:
        to_ours[0] = NOT_HAIR
    images, ids = [], []
    for i in range(len(dataset)):
        sample = dataset[i]
        images.append(sample.image)
        known = to_ours[sample.labels]
        ids.append(sort_sides(known, LABEL_SET) if source.sort_sides else known)
    return _Pool(source, tuple(images), tuple(ids), _odds(ids))


def _odds(ids: list[NDArray[np.uint8]], often: float = 0.15) -> NDArray[np.float64]:
    """Probability of each picture: those with a rare part come more often.

    Repeat factors as in Gupta et al., "LVIS", CVPR 2019, with the exponent 0.75.
    """
    count = len(LABEL_SET.parts)
    has = np.array([np.bincount(i.ravel(), minlength=256)[:count] > 8 for i in ids])
    share = np.maximum(has.mean(axis=0), 1 / len(ids))
    factor = np.maximum(1.0, (often / share) ** 0.75)
    repeat = np.where(has, factor, 1.0).max(axis=1)
    return np.asarray(repeat / repeat.sum())


def _class_weights(pool: _Pool, balance: float) -> NDArray[np.float32]:
    """Inverse pixel share to the power ``balance``, between 0.6 and 4."""
    count = len(LABEL_SET.parts)
    pixels = np.zeros(256)
    for ids in pool.labels:
        pixels += np.bincount(ids.ravel(), minlength=256)
    share = np.maximum(pixels[:count] / pixels[:count].sum(), 1e-6)
    return np.asarray(np.clip((0.02 / share) ** balance, 0.6, 4), np.float32)


def _hair_where_none_is(logits: Tensor, ids: Tensor) -> Tensor:
    """Mean of -log(1 - probability of hair) over the pixels known to be no hair."""
    not_hair = ids == NOT_HAIR
    pictures = not_hair.flatten(1).any(dim=1)
    if not bool(pictures.any()):
        return logits.new_zeros((), dtype=torch.float32)
    hair = torch.softmax(logits[pictures], dim=1, dtype=torch.float32)[:, LABEL_SET.id("hair")]
    against = -torch.log1p(-hair.clamp_max(0.999)) * not_hair[pictures]
    return against.sum() / ids.numel()
