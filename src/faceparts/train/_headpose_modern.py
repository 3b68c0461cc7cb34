"""The modern road to head pose: a parser's part maps, with pseudo-labels from a face mesh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from faceparts import _layout
from faceparts._headpose import KINDS, PoseModel, Svr, Trees
from faceparts.datasets._pairs import read_rgb
from faceparts.errors import BadData, BadRecipe
from faceparts.parse import FaceParser
from faceparts.train import _headpose_fit as fit
from faceparts.train import headpose as pose
from faceparts.train._headpose_recipe import HeadposeRecipe, Pseudo
from faceparts.train._headpose_teacher import open_teacher
from faceparts.train._headpose_vary import alter_photos
from faceparts.types import Face, Image

FACE_PARTS = ("skin", "nose", "mouth", "upper_lip", "lower_lip")
"""What a picture is cut to before the mesh looks at it."""


class MapReader:
    """The part map of the largest face of a picture; of the whole picture where none is found."""

    def __init__(self, recipe: HeadposeRecipe, threads: int) -> None:
        self.found, self.whole = (
            FaceParser(detector, recipe.parser, threads=threads, flip=recipe.flip, long_hair=False)
            for detector in ("headnet", "whole")
        )
        self.missed: list[str] = []

    def __call__(self, key: str, image: Image) -> Face:
        faces = self.found.parse(image)
        if not faces:
            self.missed.append(key)
            faces = self.whole.parse(image)
        return max(faces, key=lambda face: face.area_px())


def run_modern(
    recipe: HeadposeRecipe, root: Path, threads: int, quiet: bool
) -> tuple[dict[str, Any], PoseModel]:
    """Learn yaw and pitch from part maps: scores, and the model, whose card is still empty.

    Raises:
        BadRecipe: the parser knows too few parts.
        BadData: photos or the teacher are missing or damaged.
    """
    reader = MapReader(recipe, threads)
    label_set = reader.found.label_set
    if _layout.kind_of(label_set) != _layout.SIDED:
        raise BadRecipe(
            f"{recipe.name}: parser {recipe.parser!r} has the parts of {label_set.name}; wanted "
            "one with skin, nose, mouth, hair and both eyes, brows and ears"
        )
    v3 = {part: read_v3(root / recipe.fasseg, part, reader, quiet) for part in ("Train", "Test")}
    report: dict[str, Any] = {"missed_by_detector": list(reader.missed)}
    altered = read_altered(v3["Train"][0], reader, recipe, quiet)
    extra = read_pseudo(recipe, root, reader, v3["Train"], quiet)
    if extra is not None:
        report["pseudo"] = {
            "photos": len(extra.faces),
            "held_out": extra.held_out,
            "yaw_factor": round(extra.slope, 4),
            "level_pitch_deg": round(extra.level_deg, 2),
        }
    trees: dict[tuple[str, str], Trees] = {}
    svrs: dict[str, Svr] = {}
    knots: dict[str, NDArray[np.float32]] = {}
    tests: dict[str, fit.Rows] = {}
    for kind, how in zip(KINDS, (recipe.trees, recipe.plain_trees), strict=True):
        learn, test = (rows_of(*v3[part], kind) for part in ("Train", "Test"))
        sources = [
            [
                ids
                for one, mirrored in ((face, False), *others)
                for ids in pose.source_of(one.labels, label_set, kind, mirrored)
            ]
            for face, others in zip(v3["Train"][1], altered, strict=True)
        ]
        varied = pose.vary_rows(learn, sources, kind, recipe.seed)
        more, held = split_pseudo(extra, kind, recipe)
        report[kind], models, svr, knots[kind] = learn_kind(
            recipe, how, learn, varied, more, held, threads
        )
        trees |= {(kind, angle): fit.to_trees(model) for angle, model in models.items()}
        svrs |= {kind: svr} if svr else {}
        tests[kind] = test
    model = PoseModel("", trees, knots, svrs)
    for kind, test in tests.items():
        told = [model.angles(kind, both)[0] for both in _whole_numbers(test)]
        report[kind]["test"] = pose.score(np.array(told), test.yaw_deg)
        report[kind]["test_photos"] = {
            photo.key: round(yaw, 1) for photo, yaw in zip(v3["Test"][0], told, strict=True)
        }
    return report, model


def _whole_numbers(rows: fit.Rows) -> list[tuple[NDArray[np.int16], NDArray[np.int16]]]:
    """Features as `measure` computes them."""
    return list(zip(rows.first.astype(np.int16), rows.second.astype(np.int16), strict=True))


def rows_of(photos: Sequence[pose.Photo], faces: Sequence[Face], kind: str) -> fit.Rows:
    """Features and labels of V3 photos."""
    seen = [pose.features_of(f.labels, f.label_set, kind) for f in faces]
    return fit.Rows(
        np.array([s[0] for s in seen], np.float32),
        np.array([s[1] for s in seen], np.float32),
        np.array([p.yaw_deg for p in photos], np.float64),
        np.full(len(photos), np.nan),
        np.array([p.person for p in photos], np.int64),
    )


def read_altered(
    photos: Sequence[pose.Photo], reader: MapReader, recipe: HeadposeRecipe, quiet: bool
) -> list[list[tuple[Face, bool]]]:
    """For each photo the faces of its altered ones, and whether those are mirror images."""
    out = []
    for i, photo in enumerate(tqdm(photos, desc="altered", disable=quiet, leave=False)):
        rng = np.random.default_rng((recipe.seed, i))
        others = alter_photos(read_rgb(photo.path), recipe.altered, rng)
        out.append([(reader(photo.key, image), mirrored) for image, mirrored in others])
    return out


@dataclass(frozen=True, eq=False)
class PseudoPhotos:
    """Faces with the teacher's yaw and pitch, in V3's degrees; the last ones are held out."""

    faces: list[Face]
    yaw_deg: NDArray[np.float64]
    pitch_deg: NDArray[np.float64]
    held_out: int
    slope: float
    level_deg: float


def read_pseudo(
    recipe: HeadposeRecipe,
    root: Path,
    reader: MapReader,
    train: tuple[list[pose.Photo], list[Face]],
    quiet: bool,
) -> PseudoPhotos | None:
    """Parse the extra photos and ask the teacher; ``None`` if the recipe names none.

    The teacher's angles are brought to V3's: yaw by one factor, fitted on the training persons up
    to 45 degrees; pitch by the median of their photos up to 15 degrees, which counts as level.
    """
    how = recipe.pseudo
    if not how.teacher:
        return None
    teacher = open_teacher(root / how.teacher)
    known = []
    for photo, face in tqdm(
        zip(*train, strict=True), total=len(train[0]), desc="teacher", disable=quiet, leave=False
    ):
        mask = face.mask(*FACE_PARTS)
        if abs(photo.yaw_deg) <= 45 and mask.any():
            seen = teacher(read_rgb(photo.path), mask.astype(np.uint8))
            known.append((photo.yaw_deg, *seen))
    table = np.array([row for row in known if row[3] >= how.min_probability])
    if len(table) < 10:
        raise BadData(f"{how.teacher}: sees a face on {len(table)} photos of V3; wanted 10 or more")
    slope = float(table[:, 0] @ table[:, 1] / (table[:, 1] @ table[:, 1]))
    level = float(np.median(table[np.abs(table[:, 0]) <= 15, 2]))
    faces, rows = [], []
    for path in tqdm(
        list_pictures(how, root, recipe.seed), desc="photos", disable=quiet, leave=False
    ):
        image = read_rgb(path)
        face = reader(path.name, image)
        mask = face.mask(*FACE_PARTS)
        if not mask.any() or pose.features_of(face.labels, face.label_set, "plain")[0].max() == 0:
            continue
        yaw, pitch, probability = teacher(image, mask.astype(np.uint8))
        if probability >= how.min_probability and abs(yaw) <= how.max_yaw_deg:
            faces.append(face)
            rows.append((yaw * slope, pitch - level))
    if len(rows) < 10:
        raise BadData(f"pseudo: {len(rows)} photos with a sure face; wanted 10 or more")
    angles = np.array(rows)
    held = round(len(rows) * how.held_out)
    return PseudoPhotos(faces, angles[:, 0], angles[:, 1], held, slope, level)


def list_pictures(how: Pseudo, root: Path, seed: int) -> list[Path]:
    """The chosen photos of all folders, shuffled.

    Raises:
        BadData: a folder holds no .jpg file.
    """
    chosen = []
    for name in how.folders:
        paths = sorted((root / name).glob("*.jpg"))
        if not paths:
            raise BadData(f"{root / name}: no .jpg file; wanted a folder of photos")
        places = np.linspace(0, len(paths) - 1, min(how.per_folder, len(paths)))
        chosen += [paths[i] for i in places.astype(int)]
    return [chosen[i] for i in np.random.default_rng(seed).permutation(len(chosen))]


def pseudo_rows(extra: PseudoPhotos, kind: str) -> fit.Rows:
    """Features and pseudo-labels; owners below 0 so that they are nobody of V3."""
    seen = [pose.features_of(f.labels, f.label_set, kind) for f in extra.faces]
    return fit.Rows(
        np.array([s[0] for s in seen], np.float32),
        np.array([s[1] for s in seen], np.float32),
        extra.yaw_deg,
        extra.pitch_deg,
        -1 - np.arange(len(seen)),
    )


def read_others(recipe: HeadposeRecipe, root: Path, threads: int, quiet: bool) -> fit.Rows | None:
    """All photos with pseudo-labels, seen as FASSEG's parts; ``None`` if the recipe names none.

    Raises:
        BadData: photos or the teacher are missing or damaged.
    """
    if not recipe.pseudo.teacher:
        return None
    reader = MapReader(recipe, threads)
    train = read_v3(root / recipe.fasseg, "Train", reader, quiet)
    extra = read_pseudo(recipe, root, reader, train, quiet)
    return None if extra is None else pseudo_rows(extra, _layout.PLAIN)


def read_v3(
    fasseg_root: Path, part: str, reader: MapReader, quiet: bool
) -> tuple[list[pose.Photo], list[Face]]:
    """The photos of a part of V3 and the largest face of each."""
    photos = pose.list_v3(fasseg_root, part)
    bar = tqdm(photos, desc=f"V3 {part}", disable=quiet, leave=False)
    return photos, [reader(photo.key, read_rgb(photo.path)) for photo in bar]


def split_pseudo(
    extra: PseudoPhotos | None, kind: str, recipe: HeadposeRecipe
) -> tuple[fit.Rows | None, fit.Rows | None]:
    """Varied rows to learn from, rows held out."""
    if extra is None:
        return None, None
    rows = pseudo_rows(extra, kind)
    cut = len(extra.faces) - extra.held_out
    sources = [
        pose.source_of(face.labels, face.label_set, kind, mirrored=False) * recipe.pseudo.copies
        for face in extra.faces[:cut]
    ]
    varied = pose.vary_rows(rows.take(np.arange(cut)), sources, kind, recipe.seed + 1)
    return varied, rows.take(np.arange(cut, len(extra.faces)))


def learn_kind(
    recipe: HeadposeRecipe,
    how: fit.TreeSettings,
    learn: fit.Rows,
    varied: fit.Rows,
    more: fit.Rows | None,
    held: fit.Rows | None,
    threads: int,
) -> tuple[dict[str, Any], dict[str, Any], Svr | None, NDArray[np.float32]]:
    """Fit one kind of map: scores, trees by angle, support vectors of the yaw, knots."""
    yaw = pose.learn_yaw(
        learn, varied, more, how, even_out=recipe.even_out, seed=recipe.seed, threads=threads
    )
    result, models = yaw.report, {"yaw": yaw.model.trees}
    if more is None or held is None:  # nothing tells the pitch
        return result, models, yaw.model.svr, yaw.knots
    models["pitch"] = fit.fit_angle(more, "pitch", how, recipe.seed, threads)
    for angle, truth in (("yaw", held.yaw_deg), ("pitch", held.pitch_deg)):
        if len(truth) < 3:
            continue
        told = yaw.tell(held) if angle == "yaw" else fit.predict_angle(models[angle], held, angle)
        result[f"{angle}_against_teacher"] = {
            "photos": len(truth),
            "mae_deg": round(float(np.abs(told - truth).mean()), 2),
            "median_deg": round(float(np.median(np.abs(told - truth))), 2),
            "guessing_the_median_mae_deg": round(float(np.abs(truth - np.median(truth)).mean()), 2),
            "correlation": round(float(np.corrcoef(told, truth)[0, 1]), 3),
        }
    return result, models, yaw.model.svr, yaw.knots
