"""The detection task: scenes -> heat maps, boxes and points; loss and validation for headnet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from faceparts import folder, labels
from faceparts._light import evened
from faceparts.datasets._pairs import read_rgb
from faceparts.errors import BadData, BadRecipe
from faceparts.train import augment, clutter, scenes
from faceparts.train._head_losses import edges_of, focal, giou_loss, points_loss, taught_loss
from faceparts.train._heads_teacher import HeadTeacher, load_teacher
from faceparts.train.clean import sort_sides
from faceparts.train.config import Distill, Phase, Recipe, Source
from faceparts.train.inputs import device_of, to_input
from faceparts.train.nets.headnet import POINT_CHANNELS, STRIDE
from faceparts.train.occlude import Occluders, load_occluders
from faceparts.train.scenes import Scene
from faceparts.train.wear import wear
from faceparts.types import Image

TINY_PX = 6.0
"""Heads smaller than this are neither wanted nor punished."""

EMPTY = 0.08
"""Share of the photos' scenes that come from pictures without people."""

HEADLESS = 0.5
"""Share of the pictures without people that are parts, between the heads, of photos with people."""

COLLAGES = 0.45
FRAMED = 0.3
"""Shares of the crops' scenes; the others show one head."""

CLUTTER = 0.15
TINTED = 0.06
WORN = 0.1
"""Shares of all scenes over which something is drawn, which lose their colours, and are spoilt."""


NOBODY = np.zeros((0, 4), np.float32), np.zeros((0, 7, 3), np.float32)
"""Boxes and points of a picture without heads."""


@dataclass(frozen=True)
class Batch:
    """What one step needs; all maps are (N, C, h, w) at stride 4.

    ``heat`` is the target heat; ``care`` is 0 where nothing is asked; ``box`` the four edge
    distances in pixels, ``strength`` how much a cell's box counts; ``points`` dx, dy in pixels and
    visibility, ``nan`` where unknown; ``keys`` the pictures that the scenes are made of; ``taught``
    (N, 26, h, w) what the teacher says, if there is one.
    """

    images: Tensor
    heat: Tensor
    care: Tensor
    box: Tensor
    strength: Tensor
    points: Tensor
    keys: tuple[str, ...] = ()
    taught: Tensor | None = None


def make_task(recipe: Recipe, root: Path, *, quiet: bool = False) -> HeadsTask:
    """The task of recipes with ``task = "heads"``; it reads its data without a bar anyway.

    Raises:
        BadRecipe: the recipe asks for what only the parts task has: losses, votes, answers, a
            temperature.
        BadData: a source is missing or damaged.
    """
    if recipe.loss:
        raise BadRecipe(
            f"{recipe.name}: 'loss' is for task 'parts'; heads have a loss of their own"
        )
    if any(s.vote or s.answers for s in (*recipe.data, *recipe.val)):
        raise BadRecipe(f"{recipe.name}: 'vote' and 'answers' are for task 'parts'; take them out")
    if recipe.distill.temperature != Distill().temperature:
        raise BadRecipe(f"{recipe.name}: distill: temperature is for task 'parts'; take it out")
    return HeadsTask(recipe, root)


def outputs_of(recipe: Recipe) -> int:
    """Number of output channels that the recipe's net must have."""
    return HeadsTask.outputs


class HeadsTask:
    """Data, loss and validation of the head detector.

    Args:
        recipe: sources whose adapter is of task ``heads`` with many heads give photos; those with
            one head, or with part labels, give crops for collages.
        root: data root.

    Raises:
        BadData: a source is missing or damaged.
    """

    outputs = 5 + POINT_CHANNELS

    def __init__(self, recipe: Recipe, root: Path) -> None:
        self.recipe = recipe
        self.photos: list[list[Scene]] = []
        self.crops: list[list[Scene]] = []
        self.keys: dict[int, str] = {}
        self.photo_share: list[float] = []
        self.crop_share: list[float] = []
        for source in recipe.data:
            found, names = _read_scenes(source, root)
            self.keys |= {id(s): n for s, n in zip(found, names, strict=True)}
            many = max((len(s.boxes) for s in found), default=0) > 1
            (self.photos if many else self.crops).append(found)
            (self.photo_share if many else self.crop_share).append(source.share)
        self.val = [s for source in recipe.val for s in _read_scenes(source, root)[0]]
        self.empty = _read_negatives(root / recipe.negatives) if recipe.negatives else []
        self.occluders: Occluders | None = None
        if recipe.occluders:
            self.occluders = load_occluders(root / recipe.occluders, held_back=False)
        self.teacher: HeadTeacher | None = None
        if recipe.distill.model:
            self.teacher = load_teacher(recipe.distill.model, root)

    def batch(self, step: int, phase: Phase) -> Batch:
        """The batch of a step; the same step gives the same batch, whatever came before.

        Scenes are numbered through as in `parts.PartsTask.batch`.
        """
        images, maps, keys = [], [], list[str]()
        for i in range(phase.batch):
            rng = np.random.default_rng((self.recipe.seed, phase.size_px, step * phase.batch + i))
            scene = self._scene(phase.size_px, rng, keys)
            if rng.random() < 0.5:
                scene = scenes.mirror(scene)
            image = scene.image
            if rng.random() < CLUTTER:
                image = clutter.cover(image, scene.boxes, rng)
            if rng.random() < TINTED:
                image = clutter.tint(image, rng)
            if rng.random() < WORN:
                image = wear(image, rng)
            image = augment.photometric(image, rng, smallest=0.45)
            images.append(self._shown(image))
            maps.append(targets(scene, phase.size_px))
        heat, care, box, strength, points = (
            torch.from_numpy(np.stack(m)) for m in zip(*maps, strict=True)
        )
        pictures = np.stack(images)
        taught = self.teacher.batch(pictures) if self.teacher else None
        return Batch(to_input(pictures), heat, care, box, strength, points, tuple(keys), taught)

    def _shown(self, image: Image) -> Image:
        """What the net sees of a picture, as at run time."""
        return evened(image) if self.recipe.card.even_light else image

    def _scene(self, size_px: int, rng: np.random.Generator, keys: list[str]) -> Scene:
        """One scene; the names of the pictures in it are added to ``keys``."""
        photo, crop = sum(self.photo_share), sum(self.crop_share)
        chance = rng.random() * (photo + crop)
        if self.photos and chance < photo:
            if self.empty and rng.random() < EMPTY:
                empty = Scene(self._nobody(rng, keys), *NOBODY)
                return scenes.cut_photo(empty, size_px, rng)
            whole = _pick(self.photos, self.photo_share, rng)
            keys.append(self.keys[id(whole)])
            return scenes.cut_photo(whole, size_px, rng)
        crops = [self._crop(rng, keys) for _ in range(6)]
        kind = rng.random()
        if kind < COLLAGES:
            return scenes.collage(crops, self._background(rng, keys), size_px, rng)
        if kind < COLLAGES + FRAMED:
            behind = [self._background(rng, keys) for _ in range(3)]
            return scenes.framed(crops, behind, size_px, rng)
        head_px = size_px * float(np.exp(rng.uniform(np.log(0.15), np.log(1.05))))
        slack = max(0.1 * size_px, (size_px - head_px) / 2)
        centre = size_px / 2 + rng.uniform(-slack, slack, 2)
        return scenes.place_head(crops[0], size_px, head_px, centre, rng)

    def _crop(self, rng: np.random.Generator, keys: list[str]) -> Scene:
        crop = _pick(self.crops, self.crop_share, rng)
        keys.append(self.keys[id(crop)])
        if self.occluders is not None and rng.random() < self.recipe.occlude:
            return scenes.occlude(crop, self.occluders, rng)
        return crop

    def _background(self, rng: np.random.Generator, keys: list[str]) -> Image:
        if self.empty and rng.random() < 0.7:
            return self._nobody(rng, keys)
        return rng.integers(0, 256, (2, 2, 3)).astype(np.uint8)

    def _nobody(self, rng: np.random.Generator, keys: list[str]) -> Image:
        """A picture without people, or a part without a head of one with people."""
        if self.photos and rng.random() < HEADLESS:
            whole = _pick(self.photos, self.photo_share, rng)
            part = scenes.headless(whole, rng)
            if part is not None:
                keys.append(self.keys[id(whole)])
                return part
        return self.empty[int(rng.integers(len(self.empty)))].image

    def loss(
        self, net: nn.Module, batch: Batch, progress: float
    ) -> tuple[Tensor, dict[str, float]]:
        """Focal heat loss + GIoU of the boxes + points; Zhou 2019, Rezatofighi 2019."""
        raw = net(batch.images).float()
        heat = focal(raw[:, :1], batch.heat, batch.care)
        count = batch.strength.sum().clamp_min(1)
        box = (giou_loss(edges_of(raw), batch.box) * batch.strength[:, 0]).sum() / count
        points = points_loss(raw[:, 5:], batch.points, batch.box, batch.strength)
        total = heat + 2 * box + 0.5 * points
        found = {"heat": heat.item(), "box": box.item(), "points": points.item()}
        if batch.taught is not None:
            distill = taught_loss(raw, batch.taught)
            total = total + self.recipe.distill.weight * distill
            found["distill"] = distill.item()
        return total, found

    @torch.no_grad()
    def validate(self, net: nn.Module) -> dict[str, float]:
        """Share of heads with a peak of at least 0.3 near the centre, and how many peaks have none.

        A quick look while training; ``benchmarks/heads.py`` measures precision and recall.
        """
        hits = heads = peaks = right = 0
        device = device_of(net)
        for scene in self.val[::4]:
            h, w = (-(-n // 64) * 64 for n in scene.image.shape[:2])
            canvas = np.full((h, w, 3), 127, np.uint8)
            canvas[: scene.image.shape[0], : scene.image.shape[1]] = self._shown(scene.image)
            heat = net(to_input(canvas[None]).to(device))[0, 0].float().sigmoid()
            found = _peaks(heat.cpu().numpy(), 0.3)
            centres = (scene.boxes[:, :2] + scene.boxes[:, 2:]) / 2
            size = np.sqrt(np.prod(scene.boxes[:, 2:] - scene.boxes[:, :2], axis=1))
            gap = np.linalg.norm(found[:, None] - centres[None], axis=2) / np.maximum(size, 1)
            near = gap < 0.25
            hits += int(near.any(axis=0).sum())
            right += int(near.any(axis=1).sum())
            heads += len(centres)
            peaks += len(found)
        recall, precision = hits / max(1, heads), right / max(1, peaks)
        f1 = 2 * recall * precision / max(1e-9, recall + precision)
        return {"f1": f1, "recall": recall, "precision": precision}


def _pick(stocks: list[list[Scene]], shares: list[float], rng: np.random.Generator) -> Scene:
    odds = np.array(shares) / sum(shares)
    stock = stocks[int(rng.choice(len(stocks), p=odds))]
    return stock[int(rng.integers(len(stock)))]


def _read_scenes(source: Source, root: Path) -> tuple[list[Scene], list[str]]:
    """A source as scenes, and their names; part labels become a head box and points."""
    module = folder.load("faceparts.datasets", source.name)
    dataset = module.load(root / source.root, source.split)
    found, names = [], []
    for i in range(len(dataset)):
        sample = dataset[i]
        name = f"{source.root}/{sample.key}"
        if module.TASK == "heads":
            found.append(Scene(sample.image, sample.boxes_xyxy, sample.points))
            names.append(name)
            continue
        ids = labels.convert(sample.labels, dataset.label_set, labels.CELEBA19)
        if source.sort_sides:
            ids = sort_sides(ids, labels.CELEBA19)
        head = scenes.head_from_labels(ids)
        if head is not None:
            found.append(Scene(sample.image, head[0][None], head[1][None], ids))
            names.append(name)
    if not found:
        raise BadData(
            f"{root / source.root}: no head in {source.name} split {source.split!r}; "
            "take it out of the recipe"
        )
    return found, names


def _read_negatives(path: Path) -> list[Scene]:
    """Pictures without people; every third, in sorted order, is kept for measuring."""
    if not path.is_dir():
        raise BadData(f"{path}: no such folder; it should hold pictures without people")
    files = sorted(p for p in path.iterdir() if p.suffix.lower() in (".jpg", ".png"))
    return [Scene(read_rgb(p), *NOBODY) for i, p in enumerate(files) if i % 3]


def targets(scene: Scene, size_px: int) -> tuple[NDArray[np.float32], ...]:
    """Heat (1), care (1), box (4), strength (1), points (21) maps of one scene at stride 4.

    Heat is a Gaussian whose width follows the head; a cell belongs to the head that is strongest
    there. Heads that are tiny, or whose centre lies outside, are not cared about.
    """
    cells = size_px // STRIDE
    heat, care = np.zeros((1, cells, cells), np.float32), np.ones((1, cells, cells), np.float32)
    box = np.ones((4, cells, cells), np.float32)
    points = np.full((POINT_CHANNELS, cells, cells), np.nan, np.float32)
    at = (np.arange(cells, dtype=np.float32) + 0.5) * STRIDE
    order = np.argsort(-np.prod(scene.boxes[:, 2:] - scene.boxes[:, :2], axis=1))
    for i in order:
        x0, y0, x1, y1 = scene.boxes[i]
        cx, cy, w, h = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0
        if x1 <= 0 or y1 <= 0 or x0 >= size_px or y0 >= size_px:
            continue
        inside = 0 <= cx < size_px and 0 <= cy < size_px
        if not inside or min(w, h) < TINY_PX:
            a, b = max(0, int(y0 // STRIDE)), max(0, int(x0 // STRIDE))
            care[0, a : int(y1 // STRIDE) + 1, b : int(x1 // STRIDE) + 1] = 0
            continue
        sx, sy = 0.09 * w + 0.35 * STRIDE, 0.09 * h + 0.35 * STRIDE
        column, row = int(cx // STRIDE), int(cy // STRIDE)
        bump = np.exp(-((at - cy) ** 2) / (2 * sy**2))[:, None] * np.exp(
            -((at - cx) ** 2) / (2 * sx**2)
        )
        bump[row, column] = 1.0
        wins = bump >= np.maximum(heat[0], 0.02)
        heat[0][wins] = bump[wins]
        edges = (at[None] - x0, at[:, None] - y0, x1 - at[None], y1 - at[:, None])
        for c, edge in enumerate(edges):
            box[c][wins] = np.broadcast_to(edge, (cells, cells))[wins]
        for p in range(POINT_CHANNELS // 3):
            px, py, seen = scene.points[i, p]
            points[3 * p][wins] = np.broadcast_to(px - at[None], (cells, cells))[wins]
            points[3 * p + 1][wins] = np.broadcast_to(py - at[:, None], (cells, cells))[wins]
            points[3 * p + 2][wins] = seen
    care = np.where(heat > 0.02, 1, care).astype(np.float32)
    inside_box = (box > 0.5).all(axis=0, keepdims=True)
    strength = np.where((heat > 0.5) & inside_box, heat, 0).astype(np.float32)
    return heat, care, box, strength, points


def _peaks(heat: NDArray[np.float32], least: float) -> NDArray[np.float64]:
    """(N, 2) pixel positions of local maxima of at least ``least``."""
    top = cv2.dilate(heat, np.ones((3, 3), np.uint8))
    rows, columns = np.nonzero((heat == top) & (heat >= least))
    return np.asarray((np.stack([columns, rows], axis=1) + 0.5) * STRIDE, np.float64)
