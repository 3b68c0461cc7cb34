"""Pictures for a forest: padded to a square, shrunk, with labels in the recipe's order of parts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupShuffleSplit, train_test_split
from tqdm import tqdm

from faceparts import folder
from faceparts.crops import crop_head
from faceparts.errors import BadData
from faceparts.train import _forest_twins
from faceparts.types import IGNORE, Crop, Dataset, Head, HeadDetector, Image, LabelSet, Sample

Ids = NDArray[np.uint8]


@dataclass(frozen=True)
class ForestSource:
    """One dataset of a forest's recipe.

    Args:
        name: adapter in ``faceparts.datasets``.
        root: folder below the data root.
        split: split of the adapter.
        match: regular expression that a sample's key must contain; empty = all.
    """

    name: str
    root: str
    split: str
    match: str = ""


@dataclass(frozen=True)
class Pictures:
    """How samples become what a forest sees.

    Args:
        frame: ``"photo"``: the whole photo, scaled to ``frame_px`` and padded with black to a
            square; ``"head"``: the crop that `FaceParser` would cut around the largest head, with
            the card's margin; photos without a head are left out.
        frame_px: side of the square.
        work_px: the square is shrunk to this; ``frame_px`` must be a multiple of it.
        reduce: how labels are shrunk: ``"max"``: the highest id in each cell wins (what the
            notebook of the seed protocol does; later parts eat earlier ones), ``"most"``: the most
            frequent one.
        padding: what lies beyond the photo counts as: ``"background"`` or ``"ignore"``.
        unsure: pixels without a label get the nearest one (``"nearest"``), or stay unknown
            (``"ignore"``).
        sides: part to split -> part whose middle divides it, as in ``{eyes = "nose"}``: what lies
            to the right of it in the picture becomes the subject's left one, ``left_eye``.
        test_share: share of the pictures to test on.
        by: ``"picture"`` or ``"subject"``: what is kept together by the split.
        twins: near-identical photos (see `_forest_twins`): ``"drop"``: only the first counts;
            ``"keep"``: only those with the very same pixels are dropped.
        kin: photos of subjects that the data does not name count as one subject's if they share at
            least so many points (see `_forest_twins`); 0 = they are all different.
    """

    frame: str = "photo"
    frame_px: int = 600
    work_px: int = 150
    reduce: str = "most"
    padding: str = "ignore"
    unsure: str = "ignore"
    sides: dict[str, str] = field(default_factory=dict)
    test_share: float = 0.3
    by: str = "subject"
    twins: str = "drop"
    kin: int = 20


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture as a forest sees it.

    Args:
        key: dataset and sample.
        subject: who is on it; where the data does not say, the key, or that of another photo that
            shows the same.
        source: the photo itself, uint8 RGB.
        image: (W, W, 3) uint8 RGB working picture.
        labels: (W, W) uint8 in the recipe's order, `IGNORE` where unknown.
        truth: (S, S) uint8 the same at the size of the frame.
        source_set: what the dataset's own ids mean.
        crop: where the frame lies in the photo; ``None`` = the frame is the whole photo.
        is_named: whether the data says who is on it.
        unsure: share of the photo's pixels that have no label.
    """

    key: str
    subject: str
    source: Image
    image: Image
    labels: Ids
    truth: Ids
    source_set: LabelSet
    crop: Crop | None = None
    is_named: bool = False
    unsure: float = 0.0


def load_pictures(
    sources: Sequence[ForestSource],
    root: Path,
    how: Pictures,
    parts: Sequence[str],
    *,
    margin: float = 0.0,
    threads: int | None = None,
    quiet: bool = False,
) -> tuple[list[Picture], dict[str, str]]:
    """Read every source; also the samples that were left out, and why.

    Args:
        margin: around the head, for frames of heads.
        threads: processor threads of the head detector.

    Raises:
        BadData: a dataset is missing or damaged, no sample matches, a picture is there twice with
            different subjects, or a part of the recipe occurs nowhere.
    """
    pictures: list[Picture] = []
    left_out: dict[str, str] = {}
    known: dict[bytes, str] = {}
    detector: HeadDetector | None = None
    if how.frame == "head":
        detector = folder.load("faceparts.detect", "headnet").load(threads=threads)
    for source in sources:
        data: Dataset = folder.load("faceparts.datasets", source.name).load(
            root / source.root, source.split
        )
        for name, why in getattr(data, "left_out", {}).items():
            if re.search(source.match, str(name)):
                left_out[f"{source.name}:{source.split}/{name}"] = str(why)
        wanted = [i for i, key in enumerate(_keys(data)) if re.search(source.match, key)]
        for i in tqdm(wanted, desc=f"{source.name} {source.split}", disable=quiet, leave=False):
            sample = data[i]
            key = f"{source.name}:{source.split}/{sample.key}"
            content = sample.image.tobytes()
            if content in known:
                left_out[key] = f"the same photo as {known[content]}"
                continue
            known[content] = key
            crop = None
            if detector is not None:
                heads = detector.detect(sample.image)
                if not heads:
                    left_out[key] = "no head found"
                    continue
                crop = crop_head(sample.image, max(heads, key=_area), how.frame_px, margin)
            pictures.append(make_picture(sample, key, data.label_set, how, parts, crop))
    if how.twins == "drop":
        pictures = drop_twins(pictures, left_out)
    if how.kin and how.by == "subject":
        pictures = join_kin(pictures, how.kin, quiet=quiet)
    if not pictures:
        raise BadData("forest: no picture in any of the sources; look at name, split and match")
    absent = absent_parts([picture.labels for picture in pictures], parts)
    if absent:
        raise BadData(f"forest: no picture shows {', '.join(absent)}; take the part off the recipe")
    return pictures, left_out


def drop_twins(pictures: Sequence[Picture], left_out: dict[str, str]) -> list[Picture]:
    """The pictures without near-identical later ones, which are added to ``left_out``."""
    twins = _forest_twins.find_twins([picture.source for picture in pictures])
    for j, (i, score, is_mirrored) in twins.items():
        how = "the mirror image of" if is_mirrored else "near-identical to"
        left_out[pictures[j].key] = f"{how} {pictures[i].key} (likeness {score:.3f})"
    return [picture for i, picture in enumerate(pictures) if i not in twins]


def join_kin(pictures: Sequence[Picture], least: int, *, quiet: bool = True) -> list[Picture]:
    """The pictures with one subject for those that show the same; see `_forest_twins.join`."""
    subjects = _forest_twins.join(
        [p.source for p in pictures],
        [p.subject for p in pictures],
        [p.is_named for p in pictures],
        least,
        quiet=quiet,
    )
    return [replace(p, subject=s) for p, s in zip(pictures, subjects, strict=True)]


def found_kin(pictures: Sequence[Picture]) -> list[list[str]]:
    """Keys of the pictures that `join_kin` put together, subject by subject."""
    groups: dict[str, list[Picture]] = {}
    for picture in pictures:
        groups.setdefault(picture.subject, []).append(picture)
    found = [g for g in groups.values() if len(g) > 1 and not all(p.is_named for p in g)]
    return [[p.key for p in group] for group in found]


def _area(head: Head) -> float:
    return head.size_wh[0] * head.size_wh[1]


def _keys(data: Dataset) -> list[str]:
    """Keys of the samples, without decoding them where the dataset lists its files."""
    pairs = getattr(data, "pairs", None)
    if pairs is not None:
        return [pair.key for pair in pairs]
    return [data[i].key for i in range(len(data))]


def make_picture(
    sample: Sample,
    key: str,
    source_set: LabelSet,
    how: Pictures,
    parts: Sequence[str],
    crop: Crop | None = None,
) -> Picture:
    """Frame, shrink and translate one sample; ``crop`` as in `Picture`.

    Raises:
        BadData: labels of another size than the photo, or a part that is asked for does not follow
            from the dataset's parts.
    """
    if sample.labels.shape != sample.image.shape[:2]:
        raise BadData(
            f"{key}: labels {sample.labels.shape} for a photo {sample.image.shape[:2]}; "
            "wanted the same size"
        )
    ids = sample.labels
    if how.unsure == "nearest":
        ids = fill_unsure(ids)
    ids = translate(ids, source_set, how.sides, parts)
    truth = frame_ids(ids, crop, how.frame_px, 0 if how.padding == "background" else IGNORE)
    image = crop.image if crop is not None else pad_to_square(sample.image, how.frame_px, 0)
    side = how.work_px
    small = np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    reduced = reduce_labels(truth, how.frame_px // side, how.reduce, len(parts))
    return Picture(
        key,
        sample.subject or key,
        sample.image,
        small,
        reduced,
        truth,
        source_set,
        crop,
        sample.subject is not None,
        float(np.mean(sample.labels == IGNORE)),
    )


def fill_unsure(ids: Ids) -> Ids:
    """Give every unknown pixel the label of the nearest known one.

    Example:
        >>> fill_unsure(np.uint8([[3, 255, 255, 255, 5]]))[0, [1, 3]].tolist()
        [3, 5]
    """
    unknown = ids == IGNORE
    if not unknown.any() or unknown.all():
        return ids
    _, nearest = cv2.distanceTransformWithLabels(
        unknown.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_pixel = np.zeros(int(nearest.max()) + 1, np.uint8)
    of_pixel[nearest[~unknown]] = ids[~unknown]
    return np.asarray(of_pixel[nearest])


def translate(ids: Ids, source_set: LabelSet, sides: dict[str, str], parts: Sequence[str]) -> Ids:
    """Ids of a dataset -> ids in the recipe's order; parts it does not name become background.

    Raises:
        BadData: a part to split or to split by is not in the dataset, or the recipe names a part
            that does not come from it.
    """
    given: dict[str, NDArray[np.bool_]] = {}
    for part in source_set.parts:
        mask = ids == source_set.id(part)
        if part not in sides:
            given[part] = mask
            continue
        if sides[part] not in source_set.parts:
            raise BadData(f"forest: sides: no part {sides[part]!r} in {source_set.name}")
        left, right = split_sides(mask, ids == source_set.id(sides[part]))
        single = part.removesuffix("s")
        given[f"left_{single}"], given[f"right_{single}"] = left, right
    for part in [*sides, *parts]:
        if part not in given and part not in source_set.parts:
            raise BadData(
                f"forest: no part {part!r} in {source_set.name}; there are: {', '.join(given)}"
            )
    out = np.where(ids == IGNORE, IGNORE, 0).astype(np.uint8)
    for i, part in enumerate(parts[1:], start=1):
        out[given[part]] = i
    return out


def split_sides(
    mask: NDArray[np.bool_], middle: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Divide a mask at the median column of another one: the subject's left and right.

    Without the other one its own middle divides it.
    """
    columns = np.nonzero(middle if middle.any() else mask)[1]
    line = float(np.median(columns)) if columns.size else 0.0
    on_image_right = np.arange(mask.shape[1])[None] > line
    return mask & on_image_right, mask & ~on_image_right


def pad_to_square(values: NDArray[np.uint8], side_px: int, fill: int) -> NDArray[np.uint8]:
    """Scale to the longer side and pad both ends of the shorter one equally (odd: first more).

    Args:
        values: (H, W, 3) picture, or (H, W) ids, which are never mixed.
        fill: value of the padding.
    """
    height, width = values.shape[:2]
    scale = side_px / max(height, width)
    size_wh = max(1, int(width * scale)), max(1, int(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(
        values, size_wh, interpolation=how if values.ndim == 3 else cv2.INTER_NEAREST
    )
    left, top = (side_px - size_wh[0] + 1) // 2, (side_px - size_wh[1] + 1) // 2
    out = np.full((side_px, side_px, *values.shape[2:]), fill, np.uint8)
    out[top : top + size_wh[1], left : left + size_wh[0]] = scaled
    return out


def frame_ids(ids: Ids, crop: Crop | None, side_px: int, fill: int) -> Ids:
    """Labels of a photo -> labels of its frame; ``fill`` beyond the photo."""
    if crop is None:
        return pad_to_square(ids, side_px, fill)
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(
        ids, crop.to_source, (side_px, side_px), flags=flags, borderValue=float(fill)
    )
    return np.asarray(warped, np.uint8)


def reduce_labels(ids: Ids, factor: int, how: str, parts: int) -> Ids:
    """Shrink labels by a whole factor; cells where nothing is known stay `IGNORE`.

    Example:
        >>> reduce_labels(np.uint8([[1, 2], [1, 1]]), 2, "max", 3).tolist()
        [[2]]
        >>> reduce_labels(np.uint8([[1, 2], [1, 255]]), 2, "most", 3).tolist()
        [[1]]
    """
    height, width = ids.shape[0] // factor, ids.shape[1] // factor
    cells = ids.reshape(height, factor, width, factor)
    known = cells != IGNORE
    if how == "max":
        out = np.where(known, cells, 0).max(axis=(1, 3))
    else:
        votes = np.stack([np.sum(cells == k, axis=(1, 3)) for k in range(parts)])
        out = votes.argmax(axis=0)
    return np.where(known.any(axis=(1, 3)), out, IGNORE).astype(np.uint8)


def split_pictures(
    pictures: Sequence[Picture], how: Pictures, seed: int
) -> tuple[list[int], list[int]]:
    """Numbers of the pictures to train and to test on, as scikit-learn shuffles them.

    Raises:
        BadData: too few pictures or subjects for two sides.
    """
    numbers = list(range(len(pictures)))
    subjects = [picture.subject for picture in pictures]
    try:
        if how.by == "picture":
            train, test = train_test_split(numbers, test_size=how.test_share, random_state=seed)
        else:
            splitter = GroupShuffleSplit(1, test_size=how.test_share, random_state=seed)
            train, test = next(splitter.split(numbers, groups=subjects))
    except ValueError as error:
        raise BadData(
            f"forest: {len(numbers)} pictures of {len(set(subjects))} subjects cannot be split "
            f"({error}); give more pictures or another test_share"
        ) from None
    return [int(i) for i in train], [int(i) for i in test]


def absent_parts(chosen: Sequence[Ids], parts: Sequence[str]) -> list[str]:
    """Names of the parts that none of the label maps shows."""
    seen = np.zeros(256, bool)
    for ids in chosen:
        seen[np.unique(ids)] = True
    return [part for i, part in enumerate(parts) if not seen[i]]
