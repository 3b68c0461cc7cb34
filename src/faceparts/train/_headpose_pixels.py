"""Probability maps of the classical road, for people to learn from and for people to test on.

Maps of the people that are learnt from come from forests that did not see them: the pose would else
be learnt from maps that are better than any it meets later. A further stage sees what the stage
before found around every pixel (auto-context: Tu and Bai, PAMI 2010).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier

from faceparts.errors import BadData
from faceparts.labels import FASSEG6
from faceparts.segment._features import Term, compute, parse_spec
from faceparts.types import IGNORE, Image

Map = NDArray[np.float32]
Ids = NDArray[np.uint8]

PARTS = len(FASSEG6.parts)


@dataclass(frozen=True)
class ClassicSettings:
    """The forests over pixels, and the trees that tell the yaw from their maps.

    Args:
        work_px: height that photos are shrunk to.
        features: what a pixel forest sees, see `faceparts.segment._features`.
        rounds: stages after the first.
        context: what those see besides.
        trees, min_leaf, per_class: of a pixel forest; pixels drawn of each part and photo.
        folds: groups of people that take turns in being left out.
        segments: superpixels of a photo.
        altered: altered photos of each, whose maps are looked at besides.
        copies: varied copies of each of these maps, that the yaw is learnt from.
        pose_trees, pose_min_leaf, pose_max_features: of the trees for the yaw.
        pose_svr_shares: shares of support vectors in the answer that are looked at; the best on
            training persons and other people is taken (`_headpose_share`).
        pose_svr_c, pose_svr_gamma: of the support vectors.
        even_out: as in `HeadposeRecipe`.
        repeats: whole roads with seeds of their own, whose answers are averaged.
    """

    work_px: int = 96
    features: tuple[str, ...] = ("lab", "xy", "blur:2,4", "ring:5,10,20", "hog:9,17,31", "std:7")
    rounds: int = 1
    context: tuple[str, ...] = ("probs:0,3", "probring:6,14,28", "centers")
    trees: int = 12
    min_leaf: int = 3
    per_class: int = 60
    folds: int = 7
    segments: int = 400
    altered: int = 3
    copies: int = 2
    pose_trees: int = 100
    pose_min_leaf: int = 2
    pose_max_features: float = 0.3
    pose_svr_shares: tuple[float, ...] = (0.0,)
    pose_svr_c: float = 100.0
    pose_svr_gamma: float = 1e-3
    even_out: bool = False
    repeats: int = 1


def make_maps(
    images: Sequence[Image],
    ids: Sequence[Ids | None],
    persons: Sequence[int],
    others: Sequence[Image],
    how: ClassicSettings,
    *,
    seed: int,
    threads: int,
    tick: Callable[[], object] | None = None,
) -> tuple[list[Map], list[Map]]:
    """(H, W, 6) probabilities of photos to learn from, and of others.

    Args:
        images, ids, persons: photos, labels and who is on them; the photos of each fold of people
            are told by forests that saw nobody of it. Nothing is learnt from photos without labels.
        others: photos of other people; told by forests that saw all of ``images``.
        tick: called after each fit.

    Raises:
        BadData: fewer than two people.
    """
    owner = np.asarray(persons)
    people = np.unique(owner)
    folds = [people[i :: min(how.folds, len(people))] for i in range(min(how.folds, len(people)))]
    if len(folds) < 2:
        raise BadData("headpose: photos of one person; wanted two or more people to learn from")
    before: list[Map | None] = [None] * len(images)
    others_before: list[Map | None] = [None] * len(others)
    maps: list[Map] = []
    others_maps: list[Map] = []
    for number in range(how.rounds + 1):
        spec = how.features + (how.context if number else ())
        terms = parse_spec(spec, FASSEG6.parts if number else ())
        drawn = [
            _draw(image, labels, probs, terms, how.per_class, seed + i)
            if labels is not None
            else None
            for i, (image, labels, probs) in enumerate(zip(images, ids, before, strict=True))
        ]
        found: dict[int, Map] = {}
        for fold in folds:
            left = np.isin(owner, fold)
            learnt = [d for d, out in zip(drawn, left, strict=True) if not out and d is not None]
            forest = _fit(learnt, how, seed, threads)
            for i in np.flatnonzero(left).tolist():
                found[i] = _look(forest, images[i], before[i], terms)
            if tick is not None:
                tick()
        forest = _fit([d for d in drawn if d is not None], how, seed, threads)
        others_maps = [
            _look(forest, image, probs, terms)
            for image, probs in zip(others, others_before, strict=True)
        ]
        if tick is not None:
            tick()
        maps = [found[i] for i in range(len(images))]
        before, others_before = list(maps), list(others_maps)
    return maps, others_maps


Drawn = tuple[Map, Ids, NDArray[np.float64]]


def _draw(
    image: Image, ids: Ids, probs: Map | None, terms: Sequence[Term], per_class: int, seed: int
) -> Drawn:
    """Features, parts and weights of at most so many pixels of each part."""
    rng = np.random.default_rng(seed)
    flat = ids.reshape(-1)
    picked, weight = [np.empty(0, np.intp)], [np.empty(0)]
    for part in np.unique(flat[flat != IGNORE]):
        there = np.flatnonzero(flat == part)
        some = there if len(there) <= per_class else rng.choice(there, per_class, replace=False)
        picked.append(np.sort(some))
        weight.append(np.full(len(some), len(there) / len(some)))
    where = np.concatenate(picked)
    features = compute(image, terms, probs=probs)
    rows = features.reshape(-1, features.shape[2])[where]
    return rows, flat[where], np.concatenate(weight)


def _fit(
    drawn: Sequence[Drawn], how: ClassicSettings, seed: int, threads: int
) -> ExtraTreesClassifier:
    rows, ids, weight = (np.concatenate([d[i] for d in drawn]) for i in range(3))
    model = ExtraTreesClassifier(
        how.trees, min_samples_leaf=how.min_leaf, random_state=seed, n_jobs=threads
    )
    model.fit(rows, ids, sample_weight=np.sqrt(weight / weight.mean()))
    return model.set_params(
        n_jobs=1
    )  # threads would wait for each other on hundreds of small photos


def _look(
    forest: ExtraTreesClassifier, image: Image, probs: Map | None, terms: Sequence[Term]
) -> Map:
    features = compute(image, terms, probs=probs)
    told = forest.predict_proba(features.reshape(-1, features.shape[2]))
    out = np.zeros((len(told), PARTS), np.float32)
    out[:, forest.classes_.astype(np.intp)] = told
    return out.reshape(*image.shape[:2], PARTS)
