"""Other segmenters on the pictures of a forest's recipe, in the recipe's parts.

A net that learnt from other data draws other outlines: FASSEG paints eyes with their lids. With
``outlines`` in the recipe its parts are scored a second time with outlines moved as the *training*
pictures draw them (`faceparts.evaluate.outlines`), which a forest learns by itself.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from faceparts import labels, weights
from faceparts.evaluate import confusion
from faceparts.evaluate.outlines import move_outlines
from faceparts.parse import FaceParser
from faceparts.segment.forest import label_set_of
from faceparts.train._forest_measure import Tally, plain, rates, truth_of
from faceparts.train.forest_data import Picture, Pictures, frame_ids, reduce_labels, translate
from faceparts.train.forest_recipe import ForestRecipe, name_of
from faceparts.types import IGNORE, LabelSet

Ids = NDArray[np.uint8]

MOVES = tuple(round(0.002 * step, 3) for step in range(-9, 10))
"""How far an outline is moved at most, and in what steps; see `move_outlines`."""


@dataclass(frozen=True, eq=False)
class Other:
    """A segmenter to compare with, behind the usual head detector.

    Args:
        parser: runs it.
        file: name and first 12 digits of the SHA-256 of its file.
    """

    parser: FaceParser
    file: str


def open_others(recipe: ForestRecipe, *, threads: int) -> dict[str, Other]:
    """The recipe's other segmenters, opened before hours of training rather than after them.

    Raises:
        BadWeights, UnknownName: there is no such model.
    """
    found = {}
    for model in recipe.compare:
        path = weights.find(model)
        parser = FaceParser(segmenter=path, threads=threads)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        found[name_of(model)] = Other(parser, f"{path.name} {digest[:12]}")
    return found


def compare(
    recipe: ForestRecipe,
    name: str,
    other: Other,
    learn: Sequence[Picture],
    test: Sequence[Picture],
    tallies: dict[str, Tally],
    *,
    quiet: bool,
) -> tuple[dict[str, dict[str, Any]], dict[str, list[Ids]]]:
    """Rates of a segmenter, behind the usual head detector, on the test pictures.

    Returns:
        One result by its name, with the recipe's ``outlines`` another one, ``NAME-moved``; and
        under the same names the ids of each test picture's frame.
    """
    seen: list[Ids] = []
    nobody: list[str] = []
    parser = other.parser
    spent, cpu = time.perf_counter(), time.process_time()
    for picture in tqdm(test, desc=f"test {name}", disable=quiet, leave=False):
        ids, has_face = parse_picture(parser, picture, recipe.pictures, recipe.parts)
        seen.append(ids)
        nobody += [] if has_face else [picture.key]
    evaluating = {
        "wall_s": round(time.perf_counter() - spent, 2),
        "cpu_s": round(time.process_time() - cpu, 2),
    }
    about = {"file": other.file, "no_head_found": nobody, "evaluating": evaluating}
    results = {name: _score(recipe, seen, test, tallies, name) | about}
    pictured = {name: seen}
    if recipe.outlines:
        own = label_set_of(recipe.label_set, recipe.parts)
        pairs = [
            (parse_picture(parser, picture, recipe.pictures, recipe.parts)[0], picture.truth)
            for picture in tqdm(learn, desc=f"outlines {name}", disable=quiet, leave=False)
        ]
        moves = learn_moves(pairs, own, recipe.outlines)
        moved = [move_outlines(ids, own, moves) for ids in seen]
        result = _score(recipe, moved, test, tallies, f"{name}-moved")
        results[f"{name}-moved"] = result | about | {"moves": moves}
        pictured[f"{name}-moved"] = moved
    return results, pictured


def _score(
    recipe: ForestRecipe,
    seen: Sequence[Ids],
    test: Sequence[Picture],
    tallies: dict[str, Tally],
    name: str,
) -> dict[str, Any]:
    tally = Tally.empty(len(recipe.parts))
    per_picture = {}
    how, count = recipe.pictures, len(recipe.parts)
    factor = how.frame_px // how.work_px if recipe.score == "work" else 1
    for picture, ids in zip(test, seen, strict=True):
        one = Tally.empty(count)
        sure = np.eye(count, dtype=np.float32)[reduce_labels(ids, factor, how.reduce, count)]
        one.add(truth_of(picture, recipe.score), sure)
        tally.join(one)
        per_picture[picture.key] = {
            "accuracy": plain(confusion.pixel_accuracy(one.matrix)),
            "mean_f1": plain(confusion.mean_f1(one.matrix)),
        }
    tallies[name] = tally
    return rates(tally, recipe.parts) | {"pictures": per_picture}


def parse_picture(
    parser: FaceParser, picture: Picture, how: Pictures, parts: Sequence[str]
) -> tuple[Ids, bool]:
    """What a face parser sees in a photo, in the recipe's parts, in the frame.

    The largest head counts. Its parts become those of the dataset (`labels.table`), whatever the
    dataset lacks becomes background, then sides are split as in the truth.

    Returns:
        (S, S) ids, and whether a head was found; all is background where none was.
    """
    height, width = picture.source.shape[:2]
    ids = np.zeros((height, width), np.uint8)
    faces = parser.parse(picture.source)
    if faces:
        face = max(faces, key=lambda f: f.head.size_wh[0] * f.head.size_wh[1])
        x0, y0, x1, y1 = face.window_xyxy
        table = labels.table(face.label_set, picture.source_set, rest=0)
        ids[y0:y1, x0:x1] = table[face.labels]
    ids = translate(ids, picture.source_set, how.sides, parts)
    return frame_ids(ids, picture.crop, how.frame_px, 0), bool(faces)


def learn_moves(
    pairs: Sequence[tuple[Ids, Ids]], own: LabelSet, parts: Sequence[str]
) -> dict[str, float]:
    """How far each part's outline is to be moved to fit best: the pooled F1 of `MOVES` decides.

    Args:
        pairs: (predicted, true) ids; `IGNORE` in the truth does not count.
        own: what the ids mean.
        parts: the parts, each looked at as if the others stayed.
    """
    every = [own.id(part) for part in (*parts, "skin")]
    hits, sizes = (np.zeros((len(parts), len(MOVES)), np.int64) for _ in range(2))
    for ids, truth in pairs:
        known = truth != IGNORE
        size_px = float(np.sqrt(np.isin(ids, every).sum()))
        for row, part in enumerate(parts):
            out_px = outside(ids == own.id(part))[known]
            there = truth[known] == own.id(part)
            for column, share in enumerate(MOVES):
                found = out_px <= share * size_px
                hits[row, column] += np.count_nonzero(found & there)
                sizes[row, column] += np.count_nonzero(found) + np.count_nonzero(there)
    f1 = 2 * hits / np.maximum(sizes, 1)
    return {
        part: max(zip(f1[row].tolist(), (-abs(m) for m in MOVES), MOVES, strict=True))[2]
        for row, part in enumerate(parts)
    }


def outside(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """How far each pixel's centre lies outside a mask's outline in pixels; inside it is negative.

    The outline runs half a pixel from the centres on both of its sides, as in `move_outlines`.
    """
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    beyond, within = (
        cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for side in (~mask, mask)
    )
    return np.where(mask, 0.5 - within, beyond - 0.5).astype(np.float32)
