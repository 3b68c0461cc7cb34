"""The keypoint task: pictures with people -> heat maps and tags; loss and validation.

Cheng et al., "HigherHRNet", CVPR 2020. The net is one with ``stages`` (heat and tags at stride 4,
heat at stride 2), such as `nets.higherhrnet`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from faceparts import folder
from faceparts.datasets.coco_keypoints import CocoKeypoints, PeopleSample
from faceparts.detect._grouping import group
from faceparts.detect._pose_aggregate import look
from faceparts.errors import BadData, BadRecipe
from faceparts.evaluate import keypoints as evaluation
from faceparts.train import coco_targets as targets
from faceparts.train.config import Phase, Recipe, Source
from faceparts.train.inputs import device_of
from faceparts.train.nets.higherhrnet import JOINTS, MEAN, STD
from faceparts.types import Image

Floats = NDArray[np.float32]

TAG_WEIGHT = 1e-3
"""Weight of the tags' two losses beside the heat's."""
VAL_PICTURES = 500
"""Most pictures of each source that a validation looks at."""


class Staged(Protocol):
    """What the task asks of a net besides being one."""

    def stages(self, x: Tensor) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class Batch:
    """What one step needs: pictures (N, 3, S, S); heat and care at S/4 and S/2; places of tags.

    ``places`` (N, P, 17) point into the flattened (17, S/4, S/4) tags; -1 = none. ``keys`` name
    the pictures.
    """

    images: Tensor
    coarse: Tensor
    fine: Tensor
    care_coarse: Tensor
    care_fine: Tensor
    places: Tensor
    keys: tuple[str, ...] = ()


class KeypointsTask:
    """Data, losses and validation of a bottom-up pose net.

    Args:
        recipe: its sources are adapters of task ``keypoints``.
        root: data root.
        augmented: pictures are turned, scaled, shifted and mirrored by chance, and validation
            looks at whole pictures at the last phase's size; without, both see every picture in
            the middle of a square, as it is.

    Raises:
        BadData: a source is missing or damaged.
        BadRecipe: a source is of another task.
    """

    outputs = 2 * JOINTS

    def __init__(self, recipe: Recipe, root: Path, *, augmented: bool = True) -> None:
        self.recipe = recipe
        self.augmented = augmented
        self.data = [_read(source, root) for source in recipe.data]
        shares = np.array([source.share for source in recipe.data])
        self.odds = shares / shares.sum()
        self.drawn = [_with_people(data) for data in self.data]
        self.val = [_read(source, root) for source in recipe.val]

    def batch(self, step: int, phase: Phase) -> Batch:
        """The batch of a step; the same step gives the same batch, whatever came before."""
        rng = np.random.default_rng((self.recipe.seed, step))
        keys, rows = zip(*(self._row(phase.size_px, rng) for _ in range(phase.batch)), strict=True)
        images, *maps = (np.stack(row) for row in zip(*rows, strict=True))
        coarse, fine, care_coarse, care_fine, places = (torch.from_numpy(m) for m in maps)
        return Batch(to_input(images), coarse, fine, care_coarse, care_fine, places, keys)

    def _row(
        self, size_px: int, rng: np.random.Generator
    ) -> tuple[str, tuple[NDArray[np.generic], ...]]:
        """Key of one picture; the picture and its targets, in the order of `Batch`."""
        source = int(rng.choice(len(self.data), p=self.odds))
        drawn = self.drawn[source]
        sample = self.data[source][int(drawn[rng.integers(len(drawn))])]
        hw = sample.image.shape[:2]
        matrix = targets.whole_affine(hw, size_px)
        if self.augmented:
            matrix = targets.random_affine(hw, size_px, rng)
        scene = targets.transform(sample.image, sample.people, sample.ignore, matrix, size_px)
        if self.augmented and rng.random() < 0.5:
            scene = targets.mirror(scene)
        return sample.key, (
            scene.image,
            targets.heat_target(scene.people, size_px // 4, 4),
            targets.heat_target(scene.people, size_px // 2, 2),
            targets.care_target(scene.ignore, size_px // 4)[None],
            targets.care_target(scene.ignore, size_px // 2)[None],
            targets.tag_places(scene.people, size_px // 4, 4),
        )

    def loss(
        self, net: nn.Module, batch: Batch, progress: float
    ) -> tuple[Tensor, dict[str, float]]:
        """Squared error of the heat at both resolutions, and push and pull of the tags."""
        device = device_of(net)
        coarse, fine = cast(Staged, net).stages(batch.images.to(device))
        coarse, fine = coarse.float(), fine.float()
        quarter = heat_loss(
            coarse[:, :JOINTS], batch.coarse.to(device), batch.care_coarse.to(device)
        )
        half = heat_loss(fine, batch.fine.to(device), batch.care_fine.to(device))
        push, pull = tag_losses(coarse[:, JOINTS:], batch.places.to(device))
        total = quarter + half + TAG_WEIGHT * (push + pull)
        parts = {"heat4": quarter, "heat2": half, "push": push, "pull": pull}
        return total, {name: value.item() for name, value in parts.items()}

    @torch.no_grad()
    def validate(self, net: nn.Module) -> dict[str, float]:
        """COCO's AP and AR on the first pictures of the validation sources.

        Several sources are averaged.
        """
        net.eval()
        size_px = self.recipe.phases[-1].size_px
        scores = []
        for data in self.val:
            samples = [data[i] for i in range(min(len(data), VAL_PICTURES))]
            results = [
                row
                for sample in samples
                for row in evaluation.to_results(
                    sample.image_id, *find_people(net, sample, size_px, square=not self.augmented)
                )
            ]
            ids = [sample.image_id for sample in samples]
            scores.append(evaluation.score(data.annotations, results, image_ids=ids))
        names = ("AP", "AP50", "AR", "AR50")
        return {n: float(np.mean([s[n] for s in scores])) for n in names} if scores else {}


def make_task(recipe: Recipe, root: Path, *, quiet: bool = False) -> KeypointsTask:
    """The task of recipes with ``task = "keypoints"``; it reads its data without a bar anyway.

    Raises:
        BadRecipe: a source is of another task, or the recipe asks for losses of the parts task.
        BadData: a source is missing or damaged.
    """
    if recipe.loss:
        raise BadRecipe(
            f"{recipe.name}: 'loss' is for task 'parts'; keypoints have losses of their own"
        )
    return KeypointsTask(recipe, root)


def _read(source: Source, root: Path) -> CocoKeypoints:
    """The data of a source."""
    module = folder.load("faceparts.datasets", source.name)
    if module.TASK != "keypoints":
        raise BadRecipe(
            f"data {source.name!r}: is for task {module.TASK!r}; wanted one for 'keypoints', "
            "such as 'coco_keypoints'"
        )
    data: CocoKeypoints = module.load(root / source.root, source.split)
    return data


def _with_people(data: CocoKeypoints) -> NDArray[np.intp]:
    """Numbers of the pictures that somebody is on: what is trained on, as in the paper.

    Raises:
        BadData: there is none.
    """
    drawn = [i for i, image in enumerate(data.images) if data.objects.get(int(image["id"]))]
    if not drawn:
        raise BadData(f"{data.annotations}: no person on any picture; nothing to train on")
    return np.array(drawn, np.intp)


def to_input(images: NDArray[np.generic]) -> Tensor:
    """(N, H, W, 3) uint8 RGB -> (N, 3, H, W) float32 normalised as the published weights want."""
    chw = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return ((chw - mean) / std).contiguous(memory_format=torch.channels_last)


def heat_loss(heat: Tensor, target: Tensor, care: Tensor) -> Tensor:
    """Mean squared error where it is cared for, over all cells; care is (N, 1, h, w)."""
    return ((heat - target) ** 2 * care).mean()


def tag_losses(tags: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Push between people and pull within them; Newell et al., "Associative Embedding", 2017.

    With the mean tag of a person as its reference: pull is the mean squared distance of its joints
    from it, push half the mean of ``exp(-d^2)`` over pairs of people.

    Args:
        tags: (N, 17, h, w).
        places: (N, P, 17) places in the flattened tags, -1 = none.

    Returns:
        Push and pull, means over the pictures; 0 for pictures without pairs or people.
    """
    count, people, _ = places.shape
    there = (places >= 0).float()
    own = tags.flatten(1).gather(1, places.clamp_min(0).flatten(1)).view_as(there)
    joints = there.sum(dim=2)
    mean = (own * there).sum(dim=2) / joints.clamp_min(1)
    spread = ((own - mean[:, :, None]) ** 2 * there).sum(dim=2) / joints.clamp_min(1)
    real = (joints > 0).float()
    number = real.sum(dim=1)
    pull = spread.sum(dim=1) / number.clamp_min(1)
    alike = torch.exp(-((mean[:, :, None] - mean[:, None]) ** 2))
    pairs = real[:, :, None] * real[:, None] * (1 - torch.eye(people, device=tags.device))
    push = 0.5 * (alike * pairs).sum(dim=(1, 2)) / (number * (number - 1)).clamp_min(1)
    return push.sum() / max(1, count), pull.sum() / max(1, count)


def forward_maps(net: nn.Module, image: Image) -> tuple[Floats, Floats]:
    """(17, h, w) heat maps and tags of one (H, W, 3) uint8 RGB picture."""
    with torch.no_grad():
        out = net(to_input(image[None]).to(device_of(net)))[0].float().cpu().numpy()
    return out[:JOINTS], out[JOINTS:]


def find_people(
    net: nn.Module,
    sample: PeopleSample,
    size_px: int,
    *,
    square: bool = False,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
) -> tuple[Floats, Floats]:
    """People on a picture: (P, 17, 3) x, y, heat in picture pixels (edges), and (P,) scores.

    Args:
        size_px: what the shorter side becomes; or with ``square`` the side of the square that the
            whole picture is put into, and is seen once.
        scales, flip: looks at several scales and mirrored, see `detect._pose_aggregate.look`.
    """
    image = sample.image
    matrix = targets.whole_affine(image.shape[:2], size_px)
    if square:
        scene = targets.transform(image, sample.people, sample.ignore, matrix, size_px)
        heat, tags = forward_maps(net, scene.image)
        people, scores = group(heat, tags)
        scale = size_px / heat.shape[1]
        people[..., :2] = (people[..., :2] * scale - matrix[:, 2]) / matrix[0, 0]
        return people, scores
    heat, tags = look(
        lambda seen: forward_maps(net, seen), image, short_px=size_px, scales=scales, flip=flip
    )
    people, scores = group(heat, tags)
    h, w = image.shape[:2]
    people[..., :2] *= np.array([w / heat.shape[2], h / heat.shape[1]], np.float32)
    return people, scores
