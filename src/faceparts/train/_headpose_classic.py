"""The classical road to head pose: forest over pixels, part maps, and what tells the yaw from them.

After Khan, Mauro, Benini and Leonardi, "Head pose estimation through multi-class face
segmentation", ICME 2017, with the maps as they are or averaged in superpixels. Nothing but FASSEG's
training persons is learnt from; one number, the share of support vectors, is chosen with photos of
other people besides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from faceparts import _layout
from faceparts._layout_inner import inner_names
from faceparts.datasets import fasseg
from faceparts.datasets._pairs import read_rgb
from faceparts.labels import FASSEG6
from faceparts.segment._cleanup import mean_by_segment, superpixels
from faceparts.train import _headpose_fit as fit
from faceparts.train import headpose as pose
from faceparts.train._headpose_pixels import ClassicSettings, Ids, Map, make_maps
from faceparts.train._headpose_share import best_share, errors_by_share
from faceparts.train._headpose_vary import alter_photos
from faceparts.types import IGNORE, Image


def shrink_photo(image: Image, height_px: int) -> Image:
    """The photo at another height."""
    width = max(1, round(image.shape[1] * height_px / image.shape[0]))
    return np.asarray(cv2.resize(image, (width, height_px), interpolation=cv2.INTER_AREA), np.uint8)


def shrink_ids(ids: Ids, like: Image) -> Ids:
    """Labels at the size of a shrunk photo."""
    size_wh = (like.shape[1], like.shape[0])
    return np.asarray(cv2.resize(ids, size_wh, interpolation=cv2.INTER_NEAREST), np.uint8)


def smooth_by_superpixels(image: Image, probs: Map, segments: int) -> Map:
    """Every superpixel gets its mean probabilities."""
    return mean_by_segment(probs, superpixels(image, segments))


ROADS = ("pixels", "superpixels")


def run_classical(
    how: ClassicSettings,
    fasseg_root: Path,
    others: fit.Rows | None,
    seed: int,
    threads: int,
    quiet: bool,
) -> dict[str, Any]:
    """Pixel forests, part maps, yaw; with pixels and with superpixels.

    The road is taken ``how.repeats`` times and the answers are averaged: one run's error on the
    same photos differs from the next one's by half a degree.

    Args:
        fasseg_root: the folder that holds V3.
        others: maps of other people with pseudo-labels, which nothing is learnt from: they are
            asked what share of the answer support vectors shall have (`_headpose_share`).

    Returns:
        Scores of both ways; the same test photos as on the modern road, with labels or without.

    Raises:
        BadData: photos or labels are missing or damaged.
    """
    learn, test = (read_photos(fasseg_root, part, how.work_px, quiet) for part in ("Train", "Test"))
    learn = [photo for photo in learn if photo.ids is not None]
    fits = (how.rounds + 1) * (min(how.folds, len({p.person for p in learn})) + 1)
    with tqdm(total=fits * how.repeats, desc="pixel forests", disable=quiet, leave=False) as bar:
        runs = [
            _take(how, learn, test, others, seed + repeat, threads, bar.update)
            for repeat in range(how.repeats)
        ]
    report: dict[str, Any] = {"photos": {"train": len(learn), "test": len(test)}}
    if others is not None:
        report["photos"]["others"] = len(others.owner)
    asked = None if others is None else others.yaw_deg
    for road in ROADS:
        report[road] = _join(how, [run[road] for run in runs], asked)
    return report


@dataclass(frozen=True, eq=False)
class _Told:
    """What one run of a road tells of left-out persons, test persons and others; no knots yet."""

    rows: fit.Rows
    left_out: fit.Halves
    asked: fit.Rows
    test: fit.Halves
    others: fit.Halves | None
    accuracy: dict[str, float]


def _join(how: ClassicSettings, runs: Sequence[_Told], others_deg: fit.Array | None) -> Any:
    """Scores of the runs' mean answer, and beside them those of each run."""
    truth, wanted = runs[0].rows.yaw_deg, runs[0].asked.yaw_deg
    table = errors_by_share(
        how.pose_svr_shares,
        [run.left_out for run in runs],
        truth,
        [run.others for run in runs if run.others is not None],
        others_deg,
    )
    share = best_share(table)
    knots, reports = zip(
        *(pose.report_left_out(run.rows, run.left_out.at(share)) for run in runs), strict=True
    )
    told = [
        [pose.stretch_all(one.at(share), k) for one, k in zip(answers, knots, strict=True)]
        for answers in ([run.left_out for run in runs], [run.test for run in runs])
    ]
    mean = {
        "segmentation_accuracy": {
            name: round(float(np.mean([run.accuracy[name] for run in runs])), 4)
            for name in runs[0].accuracy
        },
        "svr_share": share,
        "errors_by_svr_share": table,
        **reports[0],
        "left_out_persons": pose.score(np.mean(told[0], axis=0), truth),
        "test": pose.score(np.mean(told[1], axis=0), wanted),
    }
    single = {
        "left_out_persons": [r["left_out_persons"]["pose_mae_deg"] for r in reports],
        "test": [pose.score(one, wanted)["pose_mae_deg"] for one in told[1]],
    }
    return mean | {"pose_mae_deg_of_each_run": single}


def _take(
    how: ClassicSettings,
    learn: Sequence[SmallPhoto],
    test: Sequence[SmallPhoto],
    others: fit.Rows | None,
    seed: int,
    threads: int,
    tick: Callable[[], object],
) -> dict[str, _Told]:
    """The whole road once: pixel forests, maps, and the trees that tell the yaw from them."""
    altered = [
        (i, image, mirrored)
        for i, photo in enumerate(learn)
        for image, mirrored in alter_photos(
            photo.image, how.altered, np.random.default_rng((seed, i))
        )
    ]
    images = [p.image for p in learn] + [image for _, image, _ in altered]
    maps, test_maps = make_maps(
        images,
        [*(p.ids for p in learn), *[None] * len(altered)],
        [*(p.person for p in learn), *(learn[i].person for i, _, _ in altered)],
        [p.image for p in test],
        how,
        seed=seed,
        threads=threads,
        tick=tick,
    )
    trees = fit.TreeSettings(
        how.pose_trees,
        1,
        how.pose_min_leaf,
        how.pose_max_features,
        max(how.pose_svr_shares),
        how.pose_svr_c,
        how.pose_svr_gamma,
    )
    told: dict[str, _Told] = {}
    for road in ROADS:
        if road == "superpixels":
            maps = _smooth(images, maps, how.segments)
            test_maps = _smooth([p.image for p in test], test_maps, how.segments)
        rows, asked = rows_of(learn, maps[: len(learn)]), rows_of(test, test_maps)
        sources = [_source(probs, mirrored=False) * how.copies for probs in maps[: len(learn)]]
        for (i, _, mirrored), probs in zip(altered, maps[len(learn) :], strict=True):
            sources[i] += _source(probs, mirrored=mirrored) * how.copies
        varied = pose.vary_rows(rows, sources, _layout.PLAIN, seed)
        rows, asked, varied = map(inner_part, (rows, asked, varied))
        yaw = pose.learn_yaw(
            rows, varied, None, trees, even_out=how.even_out, seed=seed, threads=threads
        )
        told[road] = _Told(
            rows,
            yaw.left_out,
            asked,
            fit.predict_halves(yaw.model, asked),
            None if others is None else fit.predict_halves(yaw.model, inner_part(others)),
            {
                "left_out_persons": _accuracy(maps[: len(learn)], learn),
                "test": _accuracy(test_maps, test),
            },
        )
    return told


def _smooth(images: Sequence[Image], maps: Sequence[Map], segments: int) -> list[Map]:
    return [
        smooth_by_superpixels(image, probs, segments)
        for image, probs in zip(images, maps, strict=True)
    ]


def _source(probs: Map, *, mirrored: bool) -> list[Ids]:
    return pose.source_of(_winners(probs), FASSEG6, _layout.PLAIN, mirrored)


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
    photos = pose.list_v3(fasseg_root, part)
    for photo in tqdm(photos, desc=part, disable=quiet, leave=False):
        place = places.get(photo.key)
        sample = None if place is None else labelled[place]
        image = shrink_photo(read_rgb(photo.path) if sample is None else sample.image, work_px)
        ids = None if sample is None else shrink_ids(sample.labels, image)
        out.append(SmallPhoto(image, ids, photo.person, photo.yaw_deg))
    return out


def rows_of(photos: Sequence[SmallPhoto], maps: Sequence[Map]) -> fit.Rows:
    """Features of the winning parts of each map, and labels."""
    seen = [pose.features_of(_winners(probs), FASSEG6, _layout.PLAIN) for probs in maps]
    return fit.Rows(
        np.array([s[0] for s in seen], np.float32),
        np.array([s[1] for s in seen], np.float32),
        np.array([p.yaw_deg for p in photos], np.float64),
        np.full(len(photos), np.nan),
        np.array([p.person for p in photos], np.int64),
    )


def inner_part(rows: fit.Rows) -> fit.Rows:
    """The features in the face's own unit alone: hair that pixels took for walls spoils others."""
    start = -len(inner_names())
    return replace(rows, first=rows.first[:, start:], second=rows.second[:, start:])


def _winners(probs: Map) -> Ids:
    return np.asarray(probs.argmax(axis=2), np.uint8)


def _accuracy(maps: Sequence[Map], photos: Sequence[SmallPhoto]) -> float:
    """Share of right pixels over all photos that have labels."""
    right = total = 0
    for probs, photo in zip(maps, photos, strict=True):
        if photo.ids is None:
            continue
        known = photo.ids != IGNORE
        right += int(np.count_nonzero((_winners(probs) == photo.ids) & known))
        total += int(np.count_nonzero(known))
    return round(right / max(total, 1), 4)
