"""The parsing task with the augmentation that the first face and hair FCN was trained with.

As its author describes it: pictures are resized to 600 x 600, mirrored with probability 0.5, get
with probability 0.5 a black border of 0 to 250 pixels, are enlarged by a factor of 1 to 1.4, and a
random 512 x 512 cut is what the net sees. No photometric changes. A recipe says
``task = "crop_s1"``; at other input sizes all lengths shrink alike.

The border is labelled background, as the author's zero padding of the labels makes it. Pictures
are scaled bilinearly, labels to the nearest.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from faceparts.errors import BadRecipe
from faceparts.train import augment, parts
from faceparts.train.config import Phase, Recipe
from faceparts.train.inputs import to_input
from faceparts.train.parts import Batch, PartsTask
from faceparts.types import Image

RESIZE_PX, PAD_PX, CROP_PX = 600, 250, 512
SCALE = (1.0, 1.4)
CHANCE = 0.5
UNUSED = ("occluders", "occlude", "graft", "jewels", "restyle")
"""Keys of a recipe that change pictures in other ways; they must be left out."""


@dataclass(frozen=True)
class Change:
    """What happens to one picture; lengths in pixels, before the step that they belong to.

    Args:
        side_px: side that the picture is resized to, whatever its shape.
        mirrored: whether it is flipped left-right.
        border_px: black border added on every side.
        scale: factor of the enlargement after that.
        left_top: column and row of the cut in the enlarged picture.
        cut_px: side of the cut.
    """

    side_px: int
    mirrored: bool
    border_px: int
    scale: float
    left_top: tuple[int, int]
    cut_px: int

    @property
    def scaled_px(self) -> int:
        """Side of the picture that is cut from."""
        return round((self.side_px + 2 * self.border_px) * self.scale)


def draw_change(size_px: int, rng: np.random.Generator) -> Change:
    """Draw one change for nets that see ``size_px``; at 512 the published lengths."""
    side, most = (round(n * size_px / CROP_PX) for n in (RESIZE_PX, PAD_PX))
    mirrored = bool(rng.random() < CHANCE)
    border = int(rng.integers(0, most, endpoint=True)) if rng.random() < CHANCE else 0
    scale = float(rng.uniform(*SCALE))
    free = Change(side, mirrored, border, scale, (0, 0), size_px).scaled_px - size_px
    left, top = (int(n) for n in rng.integers(0, free, 2, endpoint=True))
    return Change(side, mirrored, border, scale, (left, top), size_px)


def apply_change(
    image: Image, labels: NDArray[np.uint8], change: Change, table: NDArray[np.uint8]
) -> tuple[Image, NDArray[np.uint8]]:
    """Change a picture and its labels alike; new arrays come back.

    Args:
        image: (H, W, 3) uint8.
        labels: (H, W) ids; the border gets 0.
        table: ids after a flip, see `augment.mirror_table`.

    Returns:
        (S, S, 3) picture and (S, S) ids.
    """
    image, labels = _resize(image, labels, change.side_px)
    if change.mirrored:
        image, labels = augment.mirror(image, labels, table)
    border = ((change.border_px,) * 2,) * 2
    image, labels = np.pad(image, (*border, (0, 0))), np.pad(labels, border)
    image, labels = _resize(image, labels, change.scaled_px)
    left, top = change.left_top
    rows, columns = slice(top, top + change.cut_px), slice(left, left + change.cut_px)
    return image[rows, columns].copy(), labels[rows, columns].copy()


def _resize(
    image: Image, labels: NDArray[np.uint8], side_px: int
) -> tuple[Image, NDArray[np.uint8]]:
    size = (side_px, side_px)
    return (
        np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8),
        np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8),
    )


class CropTask(PartsTask):
    """`PartsTask` whose pictures are changed as above and in no other way."""

    def batch(self, step: int, phase: Phase) -> Batch:
        """The batch of a step; the same step gives the same batch, whatever came before."""
        count, size = phase.batch, phase.size_px
        images, ids = np.empty((count, size, size, 3), np.uint8), np.empty((count, size, size), int)
        weight, trusted, keys = np.empty(count, np.float32), np.empty(count, bool), []
        for i in range(count):
            rng = np.random.default_rng((self.recipe.seed, size, step * count + i))
            pool = self.pools[int(rng.choice(len(self.pools), p=self.shares))]
            pick = int(rng.choice(len(pool), p=pool.odds))
            images[i], ids[i] = apply_change(*pool[pick], draw_change(size, rng), self.mirror)
            weight[i], trusted[i] = pool.source.weight, pool.source.trust >= 1
            keys.append(pool.keys[pick])
        return Batch(
            to_input(images),
            torch.from_numpy(ids),
            torch.from_numpy(weight),
            torch.from_numpy(trusted),
            tuple(keys),
            self.teacher.batch(images, np.zeros(ids.shape, bool)) if self.teacher else None,
        )


def make_task(recipe: Recipe, root: Path, *, quiet: bool = False) -> CropTask:
    """The task of recipes with ``task = "crop_s1"``.

    Raises:
        BadRecipe: the recipe asks for other changes too.
        BadData: a source is missing or damaged.
    """
    for key in UNUSED:
        if getattr(recipe, key):
            raise BadRecipe(
                f"{recipe.name}: {key} does nothing with task = 'crop_s1'; leave it out"
            )
    return CropTask(recipe, root, quiet=quiet)


outputs_of = parts.outputs_of
