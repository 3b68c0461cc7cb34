"""The parsing task: labelled crops -> batches, loss and validation of a net for any label set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from faceparts import labels
from faceparts._light import evened_crops
from faceparts.errors import BadRecipe
from faceparts.evaluate import confusion
from faceparts.train import augment, jewels, losses, pools
from faceparts.train.codes import Codes
from faceparts.train.config import Phase, Recipe
from faceparts.train.distill import Teacher, load_teacher
from faceparts.train.fused import fused_losses
from faceparts.train.graft import ODDS, Grafts, collect
from faceparts.train.inputs import device_of, to_input
from faceparts.train.occlude import Occluders, load_occluders
from faceparts.train.restyle import restyle
from faceparts.types import IGNORE, Image, LabelSet

LOSS = {"ce": 1.0, "dice": 0.5}
"""What is learnt by if the recipe does not say."""

FUSED = {"ce", "dice", "face"}
"""Losses that `train.fused` works out in one pass."""

DOUBT = 0.9
"""A label that is not fully trusted is ignored where the net gives another part more than this."""

DYE = 0.4
"""Share of pasted masks in the pattern of a texture: there are few masks to learn from."""

NEEDED = {
    "occluders": ("left_eye", "right_eye", "glasses"),
    "graft": (*ODDS, "left_eye", "right_eye", "left_ear", "right_ear"),
    "jewels": jewels.NEEDED,
}
"""Parts that the trained set must have for a key of the recipe."""


@dataclass(frozen=True)
class Batch:
    """What one step needs.

    Args:
        images: (N, 3, S, S) normalised pictures.
        labels: (N, S, S) int64 parts, codes of several parts (`codes.Codes`), or `IGNORE`.
        weight: (N,) weight of a picture's labels in the loss.
        trusted: (N,) bool: labels are right.
        keys: names of the pictures.
        teacher: (N, K, s, s) probabilities by a teacher; all 0 where it says nothing.
        answers: (N, S / 2, S / 2, K) uint8 kept answers, in proportion, of the pixels in even rows
            and columns; all 0 where there are none.
    """

    images: Tensor
    labels: Tensor
    weight: Tensor
    trusted: Tensor
    keys: tuple[str, ...] = ()
    teacher: Tensor | None = None
    answers: Tensor | None = None


def make_task(recipe: Recipe, root: Path, *, quiet: bool = False) -> PartsTask:
    """The task of recipes with ``task = "parts"``; see `PartsTask`."""
    return PartsTask(recipe, root, quiet=quiet)


def outputs_of(recipe: Recipe) -> int:
    """Number of output channels that the recipe's net must have."""
    return len(labels.get(recipe.label_set).parts)


class PartsTask:
    """Data, loss and validation of a parser.

    Args:
        recipe: what to train.
        root: data root; sources are folders below it.
        quiet: no bar while labels are decided anew.

    Raises:
        BadRecipe: occluders or grafts need parts that the label set lacks.
        BadData: a source is missing or damaged.
    """

    def __init__(self, recipe: Recipe, root: Path, *, quiet: bool = False) -> None:
        self.recipe = recipe
        self.label_set = labels.get(recipe.label_set)
        self.outputs = len(self.label_set.parts)
        _check_parts(recipe, self.label_set)
        codes = Codes(self.label_set)
        every = pools.read_pools((*recipe.data, *recipe.val), root, codes, quiet=quiet)
        self.pools, self.val = every[: len(recipe.data)], every[len(recipe.data) :]
        self.mirror = codes.mirrored()
        self.codes = {c: _mask(parts, self.outputs) for c, parts in codes.parts.items()}
        shares = np.array([p.source.share for p in self.pools])
        self.shares = shares / shares.sum()
        first = self.pools[0]
        self.class_weight = torch.from_numpy(
            pools.class_weights(first.pixels, self.outputs, recipe.balance)
        )
        self.occluders: Occluders | None = None
        if recipe.occluders:
            found = load_occluders(root / recipe.occluders, held_back=False)
            self.occluders = replace(found, dye=DYE)
        textures = self.occluders.textures if self.occluders else ()
        others = tuple(image for image, _ in first.kept.values())
        self.stuff = {"clothes": textures, "background": (*textures, *others)}
        self.grafts: Grafts | None = collect(first, self.label_set) if recipe.graft else None
        self.teacher: Teacher | None = None
        self.taught = bool(recipe.distill.weight) and not recipe.distill.model
        self.sharpen = augment.sharpener(recipe.distill.temperature)
        if recipe.distill.model:
            self.teacher = load_teacher(recipe.distill.model, root, self.label_set)
        self.names = recipe.loss or LOSS
        self.face: Tensor | None = None
        if "face" in self.names:
            self.face = torch.tensor([part in labels.BARE_FACE for part in self.label_set.parts])

    def batch(self, step: int, phase: Phase) -> Batch:
        """The batch of a step; the same step gives the same batch, whatever came before.

        Pictures are numbered through: batch 3 of 2 pictures holds pictures 6 and 7, as does the
        second half of batch 1 of 4.
        """
        count, size = phase.batch, phase.size_px
        images, ids = np.empty((count, size, size, 3), np.uint8), np.empty((count, size, size), int)
        bare = np.empty_like(images)
        covered = np.zeros((count, size, size), bool)
        half = (count, size // 2, size // 2, self.outputs)
        said = np.zeros(half, np.uint8) if self.taught else None
        weight, trusted, keys = np.empty(count, np.float32), np.empty(count, bool), []
        for i in range(count):
            rng = np.random.default_rng((self.recipe.seed, size, step * count + i))
            pool = self.pools[int(rng.choice(len(self.pools), p=self.shares))]
            pick = int(rng.choice(len(pool), p=pool.odds))
            answers = pool.answers(pick) if self.taught else None
            bare[i], image, ids[i], answers = self._augment(*pool[pick], answers, size, rng)
            covered[i] = (bare[i] != image).any(-1)
            if said is not None and answers is not None:
                if pool.source.given >= 1:
                    answers = augment.agreeing(answers, ids[i])
                silent = covered[i, ::2, ::2] | (answers.sum(-1) <= 127)
                said[i] = np.where(silent[..., None], 0, self.sharpen[answers])
            images[i] = augment.photometric(image, rng)
            weight[i], trusted[i] = pool.source.weight, pool.source.trust >= 1
            keys.append(pool.keys[pick])
        return Batch(
            to_input(self._shown(images)),
            torch.from_numpy(ids),
            torch.from_numpy(weight),
            torch.from_numpy(trusted),
            tuple(keys),
            self.teacher.batch(bare, covered) if self.teacher else None,
            torch.from_numpy(said) if said is not None else None,
        )

    def _shown(self, crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What the net sees of (N, S, S, 3) crops, as at run time."""
        return evened_crops(crops) if self.recipe.card.even_light else crops

    def _augment(
        self,
        image: Image,
        ids: NDArray[np.uint8],
        answers: NDArray[np.uint8] | None,
        size_px: int,
        rng: np.random.Generator,
    ) -> tuple[Image, Image, NDArray[np.uint8], NDArray[np.uint8] | None]:
        """All that changes labels too: the picture before and after pasting, ids, and answers."""
        given = ids
        if self.grafts is not None and rng.random() < self.recipe.graft:
            image, ids = self.grafts.graft(image, ids, rng, self.label_set)
        if rng.random() < self.recipe.jewels:
            image, ids = jewels.adorn(image, ids, rng, self.label_set)
        matrix = augment.random_affine(image.shape[:2], size_px, rng)
        changed = ids != given
        image, ids = augment.warp(image, ids, matrix, size_px)
        flip = rng.random() < 0.5
        if answers is not None:
            answers = augment.silence(answers, changed)
            answers = augment.warp_answers(answers, given.shape, matrix, size_px, mirror=flip)
        if flip:
            image, ids = augment.mirror(image, ids, self.mirror)
            if answers is not None:
                answers = answers[..., self.label_set.mirror]
        if rng.random() < self.recipe.restyle:
            image = restyle(image, ids, self.stuff, rng, self.label_set)
        bare = image
        if self.occluders is not None and rng.random() < self.recipe.occlude:
            image, ids = self.occluders.paste(image, ids, rng, self.label_set)
        return bare, image, ids, answers

    def loss(
        self, net: nn.Module, batch: Batch, progress: float
    ) -> tuple[Tensor, dict[str, float]]:
        """The recipe's mixture of losses, and the value of each."""
        if self.teacher or set(self.names) - FUSED or batch.images.is_cuda:
            return self.total(self.sums(net, batch, progress))
        if self.recipe.noisy != "drop" and self._doubting(batch, progress):
            return self.total(self.sums(net, batch, progress))
        logits = net(batch.images)  # on the processor one pass for both losses is twice as fast
        truth, ids = self._truth(logits, batch, progress)
        sure = (truth.target, truth.weight, truth.known)
        every = fused_losses(logits, *sure, batch.answers, self.face)
        coarse = losses.coarse_sums(logits, ids, self.codes)
        found = dict(zip(("ce", "dice", "distill", "face"), every, strict=True))
        if batch.answers is None:
            del found["distill"]
        if self.face is None:
            del found["face"]
        return self._weigh(found, coarse)

    def sums(self, net: nn.Module, batch: Batch, progress: float) -> losses.Sums:
        """What the losses are made of; sums of several batches add up to those of their union."""
        logits = net(batch.images)
        truth, ids = self._truth(logits, batch, progress)
        face = None if self.face is None else self.face.to(logits.device)
        found = losses.sums(self.names, logits, truth, gamma=self.recipe.gamma, face=face)
        found |= losses.coarse_sums(logits, ids, self.codes)
        if batch.teacher is not None:
            found |= losses.distill_sums(logits, batch.teacher, self.recipe.distill.temperature)
        if batch.answers is not None:
            found |= losses.answer_sums(logits, batch.answers)
        return found

    def total(self, sums: losses.Sums) -> tuple[Tensor, dict[str, float]]:
        """The loss that the sums of a whole step give, and the value of each of its terms."""
        return self._weigh(losses.values(self.names, sums), sums)

    def _weigh(
        self, found: dict[str, Tensor], sums: losses.Sums
    ) -> tuple[Tensor, dict[str, float]]:
        total = sum((self.names.get(n, 0.0) * v for n, v in found.items()), torch.zeros(()))
        if self.codes:
            by_picture = self.names.get("ce_sum", 0.0)
            found["coarse"] = sums["coarse"] / sums["pictures" if by_picture else "pixels"]
            total = total + (by_picture or 1.0) * found["coarse"]
        if "distill" in sums:
            found["distill"] = sums["distill"] / sums["taught"].clamp_min(1)
        if "distill" in found:
            total = total + self.recipe.distill.weight * found["distill"]
        return total, {name: value.item() for name, value in found.items()}

    def _truth(self, logits: Tensor, batch: Batch, progress: float) -> tuple[losses.Truth, Tensor]:
        """What is known of a batch at this stage of the training, and its labels with codes."""
        ids, noisy = batch.labels, None
        if self._doubting(batch, progress):
            if self.recipe.noisy == "drop":
                ids = drop_doubted(logits.detach(), ids, batch.trusted)
            else:
                noisy = ~batch.trusted
        known = (ids < self.outputs) & (batch.weight > 0)[:, None, None]
        target = torch.where(known, ids, 0)
        weight = self.class_weight.to(ids.device)[target] * batch.weight[:, None, None] * known
        recipe = self.recipe
        return losses.Truth(target, known, weight, noisy, recipe.noisy, recipe.beta), ids

    def _doubting(self, batch: Batch, progress: float) -> bool:
        """Whether the net has a say in labels of this batch by now."""
        start = min(p.source.trust for p in self.pools)
        return progress >= start and not bool(batch.trusted.all())

    @torch.no_grad()
    def validate(self, net: nn.Module) -> dict[str, float]:
        """Mean F1 over the foreground parts, whole pictures at the last phase's size.

        One confusion matrix is pooled over the set; logits are scaled up to the labels. A part that
        does not occur counts as 0, so that the mean is always over all parts.
        """
        size, device = self.recipe.phases[-1].size_px, device_of(net)
        matrix = np.zeros((self.outputs, self.outputs), np.int64)
        for pool in self.val:
            for image, ids in pool:
                small = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
                shown = self._shown(np.asarray(small[None], np.uint8))
                logits = net(to_input(shown).to(device)).float()
                big = F.interpolate(logits, ids.shape, mode="bilinear", align_corners=False)
                found = big.argmax(1)[0].cpu().numpy().astype(np.uint8)
                truth = np.where(ids < self.outputs, ids, IGNORE).astype(np.uint8)
                matrix += confusion.count(truth, found, self.outputs)
        f1 = np.nan_to_num(confusion.f1(matrix))
        report = {f"f1_{p}": float(v) for p, v in zip(self.label_set.parts, f1, strict=True)}
        return {"mean_f1": float(f1[1:].mean()), **report}


def drop_doubted(logits: Tensor, ids: Tensor, trusted: Tensor) -> Tensor:
    """Ignore noisy labels that the net contradicts strongly: bootstrapping by omission.

    Args:
        logits: (N, K, H, W), without gradient.
        ids: (N, H, W) labels.
        trusted: (N,) bool: pictures whose labels stay.
    """
    noisy = ~trusted
    best, winner = torch.softmax(logits[noisy], dim=1, dtype=torch.float32).max(dim=1)
    doubted = (winner != ids[noisy]) & (best > DOUBT)
    kept = ids.clone()
    kept[noisy] = torch.where(doubted, IGNORE, ids[noisy])
    return kept


def _check_parts(recipe: Recipe, label_set: LabelSet) -> None:
    if recipe.loss.get("face") and not set(labels.BARE_FACE) & set(label_set.parts):
        raise BadRecipe(
            f"{recipe.name}: the loss face needs parts of the face, such as skin; "
            f"{label_set.name} has none: leave it out"
        )
    for key, parts in NEEDED.items():
        missing = [p for p in parts if p not in label_set.parts]
        if getattr(recipe, key) and missing:
            raise BadRecipe(
                f"{recipe.name}: {key} needs a label set with {', '.join(parts)}; "
                f"{label_set.name} has no {missing[0]}: leave {key} out"
            )


def _mask(parts: frozenset[int], count: int) -> Tensor:
    allowed = torch.zeros(count, dtype=torch.bool)
    allowed[sorted(parts)] = True
    return allowed
