"""The classical road to head pose: forest over pixels, probability maps, forest over 13 poses.

Khan, Mauro, Benini and Leonardi, "Head pose estimation through multi-class face segmentation",
ICME 2017. Maps of the people that are learnt from come from forests that did not see them
(`left_out_maps`): the pose forest would else trust maps that are better than any it meets later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GroupKFold
from tqdm import tqdm

from faceparts import _layout
from faceparts.datasets import fasseg
from faceparts.datasets._pairs import read_rgb
from faceparts.labels import FASSEG6
from faceparts.segment._cleanup import mean_by_segment, superpixels
from faceparts.train.forest import PixelForest
from faceparts.train.headpose import POSES_DEG, features_of, list_v3, score
from faceparts.types import IGNORE, Image

Map = NDArray[np.float32]
Ids = NDArray[np.uint8]

_HEAD = tuple(FASSEG6.id(p) for p in ("mouth", "skin", "hair", "nose", "eyes"))


@dataclass(frozen=True)
class ClassicSettings:
    """Both forests.

    Args:
        work_px: height that photos are shrunk to.
        features: what the pixel forest sees, see `faceparts.segment._features`.
        trees, min_leaf, per_class: of the pixel forest; pixels drawn of each part and photo.
        folds: groups of people that take turns in being left out.
        segments: superpixels of a photo.
        grid: side of the grid of cells that probability maps become.
        pose_trees: trees of the pose forest.
    """

    work_px: int = 80
    features: tuple[str, ...] = ("lab", "xy", "blur:2,4", "ring:6,12", "hog:9,17")
    trees: int = 16
    min_leaf: int = 2
    per_class: int = 40
    folds: int = 7
    segments: int = 400
    grid: int = 10
    pose_trees: int = 120


def shrink_photo(image: Image, height_px: int) -> Image:
    """The photo at another height."""
    width = max(1, round(image.shape[1] * height_px / image.shape[0]))
    return np.asarray(cv2.resize(image, (width, height_px), interpolation=cv2.INTER_AREA), np.uint8)


def shrink_ids(ids: Ids, like: Image) -> Ids:
    """Labels at the size of a shrunk photo."""
    size_wh = (like.shape[1], like.shape[0])
    return np.asarray(cv2.resize(ids, size_wh, interpolation=cv2.INTER_NEAREST), np.uint8)


def make_forest(how: ClassicSettings, seed: int, threads: int) -> PixelForest:
    """The pixel forest before it has learnt."""
    return PixelForest(
        how.features,
        "extra_trees",
        {"n_estimators": how.trees, "min_samples_leaf": how.min_leaf},
        per_class=how.per_class,
        parts=len(FASSEG6.parts),
        seed=seed,
        threads=threads,
    )


def left_out_maps(
    images: Sequence[Image],
    ids: Sequence[Ids],
    persons: Sequence[int],
    how: ClassicSettings,
    *,
    seed: int,
    threads: int,
    tick: Any = None,
) -> list[Map]:
    """(H, W, 6) probabilities of every photo by a forest that saw nobody of its fold."""
    owner = np.asarray(persons)
    out: dict[int, Map] = {}
    folds = min(how.folds, len(np.unique(owner)))
    for learnt, left in GroupKFold(folds).split(owner, groups=owner):
        forest = make_forest(how, seed, threads)
        forest.fit([images[i] for i in learnt], [ids[i] for i in learnt])
        found = forest.predict_proba([images[i] for i in left])
        out.update(zip(map(int, left), found, strict=True))
        if tick is not None:
            tick()
    return [out[i] for i in range(len(images))]


def smooth_by_superpixels(image: Image, probs: Map, segments: int) -> Map:
    """Every superpixel gets its mean probabilities."""
    return mean_by_segment(probs, superpixels(image, segments))


def describe_map(probs: Map, grid: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Features of a probability map and of its mirror image.

    The layout of the winning parts, and each part's probabilities in a grid of cells around the
    head, which is as wide and tall as twice the root of the head's area.
    """
    winners = np.asarray(probs.argmax(axis=2), np.uint8)
    first, second = features_of(winners, FASSEG6, _layout.PLAIN)
    cells = _grid(probs, grid)
    mirrored = _grid(np.ascontiguousarray(probs[:, ::-1]), grid)
    scale = np.float32(1 / _layout.SCALE)
    return (
        np.concatenate([first * scale, cells]).astype(np.float32),
        np.concatenate([second * scale, mirrored]).astype(np.float32),
    )


def _grid(probs: Map, grid: int) -> NDArray[np.float32]:
    head = probs[..., list(_HEAD)].sum(axis=2)
    total = max(float(head.sum()), 1.0)
    ys, xs = np.indices(head.shape)
    x, y = float((head * xs).sum()) / total, float((head * ys).sum()) / total
    scale = grid / (2 * total**0.5)
    matrix = np.array(
        [[scale, 0, grid / 2 - 0.5 - x * scale], [0, scale, grid / 2 - 0.5 - y * scale]]
    )
    sigma = max(0.4 / scale, 0.1)
    planes = [
        cv2.warpAffine(
            cv2.GaussianBlur(np.ascontiguousarray(probs[..., k]), (0, 0), sigma),
            matrix,
            (grid, grid),
            flags=cv2.INTER_LINEAR,
        ).ravel()
        for k in _HEAD
    ]
    return np.concatenate(planes).astype(np.float32)


def fit_poses(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    yaw_deg: NDArray[np.int64],
    trees: int,
    seed: int,
) -> Any:
    """The forest over 13 poses, from maps and mirror images."""
    model = RandomForestClassifier(trees, random_state=seed, n_jobs=1)
    return model.fit(np.concatenate([first, second]), np.concatenate([yaw_deg, -yaw_deg]))


def predict_poses(
    model: Any, first: NDArray[np.float32], second: NDArray[np.float32]
) -> NDArray[np.float64]:
    """(N,) yaw in degrees: the median of the probabilities over the poses, both images together."""
    probs = np.zeros((len(first), len(POSES_DEG)))
    places = [POSES_DEG.index(int(c)) for c in model.classes_]
    probs[:, places] += model.predict_proba(first)
    mirrored = np.zeros_like(probs)
    mirrored[:, places] = model.predict_proba(second)
    probs = (probs + mirrored[:, ::-1]) / 2
    below = np.cumsum(probs, axis=1) - probs
    # the median inside the pose's interval of 15 degrees
    at = (np.cumsum(probs, axis=1) >= 0.5 - 1e-12).argmax(axis=1)
    row = np.arange(len(at))
    inside = (0.5 - below[row, at]) / np.maximum(probs[row, at], 1e-12) - 0.5
    return np.asarray(np.array(POSES_DEG)[at] + 15 * inside * 0.999, np.float64)


def run_classical(
    how: ClassicSettings, fasseg_root: Path, seed: int, threads: int, quiet: bool
) -> dict[str, Any]:
    """Pixel forest, probability maps, pose forest; with pixels and with superpixels.

    Args:
        fasseg_root: the folder that holds V3.

    Returns:
        Scores of both ways; the same test photos as on the modern road, with labels or without.

    Raises:
        BadData: photos or labels are missing or damaged.
    """
    learn, test = (read_photos(fasseg_root, part, how.work_px, quiet) for part in ("Train", "Test"))
    learn = [photo for photo in learn if photo.ids is not None]
    images, ids = [p.image for p in learn], [p.ids for p in learn if p.ids is not None]
    yaws, owner = (np.array([getattr(p, n) for p in learn]) for n in ("yaw_deg", "person"))
    with tqdm(total=how.folds + 1, desc="pixel forests", disable=quiet, leave=False) as bar:
        maps = left_out_maps(
            images, ids, owner.tolist(), how, seed=seed, threads=threads, tick=bar.update
        )
        forest = make_forest(how, seed, threads).fit(images, ids)
        test_maps = forest.predict_proba([p.image for p in test])
    report: dict[str, Any] = {"photos": {"train": len(learn), "test": len(test)}}
    for road in ("pixels", "superpixels"):
        if road == "superpixels":
            maps, test_maps = (
                [
                    smooth_by_superpixels(photo.image, probs, how.segments)
                    for photo, probs in zip(photos, those, strict=True)
                ]
                for photos, those in ((learn, maps), (test, test_maps))
            )
        first, second = _described(maps, how.grid)
        left_out = np.zeros(len(yaws))
        for person in np.unique(owner):
            out = owner == person
            model = fit_poses(first[~out], second[~out], yaws[~out], how.pose_trees, seed)
            left_out[out] = predict_poses(model, first[out], second[out])
        model = fit_poses(first, second, yaws, how.pose_trees, seed)
        report[road] = {
            "segmentation_accuracy": {
                "left_out_persons": _accuracy(maps, learn),
                "test": _accuracy(test_maps, test),
            },
            "left_out_persons": score(left_out, yaws),
            "test": score(
                predict_poses(model, *_described(test_maps, how.grid)),
                np.array([p.yaw_deg for p in test]),
            ),
        }
    return report


@dataclass(frozen=True, eq=False)
class SmallPhoto:
    """A shrunk photo of V3; ``ids`` is ``None`` where there is no label of its size."""

    image: Image
    ids: Ids | None
    person: int
    yaw_deg: int


def read_photos(fasseg_root: Path, part: str, work_px: int, quiet: bool) -> list[SmallPhoto]:
    """All photos of a part of V3, shrunk, with their labels where they have some."""
    labelled = fasseg.load(fasseg_root, f"v3-{part.lower()}")
    places = {pair.key.removeprefix("v3/"): i for i, pair in enumerate(labelled.pairs)}
    out = []
    for photo in tqdm(list_v3(fasseg_root, part), desc=part, disable=quiet, leave=False):
        place = places.get(photo.key)
        sample = None if place is None else labelled[place]
        image = shrink_photo(read_rgb(photo.path) if sample is None else sample.image, work_px)
        ids = None if sample is None else shrink_ids(sample.labels, image)
        out.append(SmallPhoto(image, ids, photo.person, photo.yaw_deg))
    return out


def _described(maps: Sequence[Map], grid: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    both = [describe_map(probs, grid) for probs in maps]
    return np.array([b[0] for b in both]), np.array([b[1] for b in both])


def _accuracy(maps: Sequence[Map], photos: Sequence[SmallPhoto]) -> float:
    """Share of right pixels over all photos that have labels."""
    right = total = 0
    for probs, photo in zip(maps, photos, strict=True):
        if photo.ids is None:
            continue
        known = photo.ids != IGNORE
        right += int(np.count_nonzero((probs.argmax(axis=2) == photo.ids) & known))
        total += int(np.count_nonzero(known))
    return round(right / max(total, 1), 4)
