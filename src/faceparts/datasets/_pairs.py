"""Pictures and label files that lie side by side: the part that most adapters share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts import labels as label_sets
from faceparts.errors import BadData
from faceparts.types import IGNORE, Image, LabelSet, Sample


@dataclass(frozen=True)
class Pair:
    """One picture file, its label file and who is on it."""

    key: str
    image: Path
    labels: Path
    subject: str | None = None


@dataclass(frozen=True)
class Gap:
    """A picture that cannot be listed because its other file is missing.

    Args:
        key: name of the picture, as far as it is known.
        reason: the line that loading refuses the set with.
    """

    key: str
    reason: str


def note_gap(gaps: list[Gap] | None, key: str, reason: str) -> None:
    """Refuse a set because of one picture, or, where a list is given, write it down and go on.

    Raises:
        BadData: there is no list.
    """
    if gaps is None:
        raise BadData(reason)
    gaps.append(Gap(key, reason))


@dataclass(frozen=True)
class PairDataset:
    """A list of pairs, decoded when asked for.

    Args:
        pairs: the files, in a stable order.
        source_set: label set of the ids in the files, after ``decode``.
        label_set: label set that samples are given in.
        decode: label file -> (H, W) uint8 ids of ``source_set``.
        rest: what a part becomes that ``label_set`` lacks; see `labels.table`.
        shrink: photos that are a whole multiple of their labels' size are shrunk to it.
        left_out: file -> why it is no sample.
    """

    pairs: tuple[Pair, ...]
    source_set: LabelSet
    label_set: LabelSet
    decode: Callable[[Path], NDArray[np.uint8]]
    rest: int = IGNORE
    shrink: bool = False
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, i: int) -> Sample:
        """Read one sample.

        Raises:
            BadData: a file is unreadable, the two differ in size, or an id is out of range.
        """
        pair = self.pairs[i]
        image = read_rgb(pair.image)
        ids = self.decode(pair.labels)
        if self.shrink:
            image = _shrink(image, ids.shape[0], ids.shape[1])
        if ids.shape != image.shape[:2]:
            raise BadData(
                f"{pair.labels}: {ids.shape[1]}x{ids.shape[0]} labels for a picture of "
                f"{image.shape[1]}x{image.shape[0]}; wanted the same size; get both files again"
            )
        check_ids(pair.labels, ids, self.source_set)
        ids = label_sets.convert(ids, self.source_set, self.label_set, self.rest)
        return Sample(pair.key, image, ids, pair.subject)


def check_ids(path: Path, ids: NDArray[np.uint8], label_set: LabelSet) -> None:
    """Refuse ids that a label set does not have; `IGNORE` may occur.

    Raises:
        BadData: the message gives the id and the range.
    """
    count = len(label_set.parts)
    seen = np.flatnonzero(np.bincount(ids.ravel(), minlength=256))
    wrong = seen[(seen >= count) & (seen != IGNORE)]
    if wrong.size:
        raise BadData(
            f"{path}: label {int(wrong[0])} is not in {label_set.name} "
            f"(0..{count - 1} or {IGNORE}); are these the published labels?"
        )


def _shrink(image: Image, height: int, width: int) -> Image:
    """The picture at the given size if it is a whole multiple of it, else the picture itself."""
    factor = image.shape[0] // height
    if factor > 1 and image.shape[:2] == (factor * height, factor * width):
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.uint8)
    return image


def read_rgb(path: Path) -> Image:
    """(H, W, 3) uint8 RGB of a dataset's picture file.

    Raises:
        BadData: the file is missing or not a picture.
    """
    data = np.frombuffer(path.read_bytes(), np.uint8) if path.is_file() else np.empty(0, np.uint8)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if data.size else None
    except cv2.error as error:  # more pixels than OpenCV decodes
        raise BadData(f"{path}: too large to decode; is it a picture of the dataset?") from error
    if image is None:
        raise BadData(f"{path}: missing or not a picture; is the dataset complete?")
    return np.asarray(image, np.uint8)


def read_ids(path: Path) -> NDArray[np.uint8]:
    """(H, W) uint8 ids of a palette or grey PNG, exactly as stored.

    Raises:
        BadData: the file is missing, not a picture, or not one byte a pixel.
    """
    from PIL import Image as PilImage

    try:
        with PilImage.open(path) as file:
            mode, ids = file.mode, np.asarray(file)
    except (OSError, SyntaxError, ValueError, PilImage.DecompressionBombError) as error:
        # Pillow raises all of these on damage
        raise BadData(f"{path}: not a readable label picture ({error})") from error
    if mode not in ("P", "L"):
        raise BadData(f"{path}: mode {mode}; wanted a palette or grey label picture")
    return np.asarray(ids, np.uint8)


def read_mask(path: Path) -> NDArray[np.uint8]:
    """(H, W) uint8 0 or 1 of a two-valued picture: 1-bit (white is 1), or bytes 0/255 or 0/1.

    Raises:
        BadData: the file is missing, not a picture, or has other values.
    """
    from PIL import Image as PilImage

    try:
        with PilImage.open(path) as file:
            mask = np.asarray(file.convert("L") if file.mode == "1" else file)
    except (OSError, SyntaxError, ValueError, PilImage.DecompressionBombError) as error:
        raise BadData(f"{path}: not a readable mask picture ({error})") from error
    values = (
        set(np.flatnonzero(np.bincount(mask.ravel(), minlength=2)).tolist())
        if (mask.ndim == 2 and mask.dtype == np.uint8)
        else {None}
    )
    if not (values <= {0, 255} or values <= {0, 1}):
        raise BadData(f"{path}: wanted one channel of 0 and 255 (or 0 and 1); is it a mask?")
    return np.asarray(mask != 0, np.uint8)


def find_pairs(
    images: Path,
    labels: Path,
    *,
    image_suffixes: tuple[str, ...] = (".jpg",),
    tail: str = ".png",
    gaps: list[Gap] | None = None,
) -> tuple[Pair, ...]:
    """Pair every picture of a folder with ``STEM + tail`` in the label folder, sorted.

    Args:
        gaps: takes the pictures without a label file; by default they are refused.

    Raises:
        BadData: a folder is missing or empty, or a picture has no label file.
    """
    if not images.is_dir() or not labels.is_dir():
        missing = images if not images.is_dir() else labels
        raise BadData(f"{missing}: no such folder; give the folder that holds the dataset")
    files = sorted(p for p in images.iterdir() if p.suffix.lower() in image_suffixes)
    if not files:
        raise BadData(f"{images}: no pictures ({', '.join(image_suffixes)}) in it")
    pairs = []
    for file in files:
        label = labels / (file.stem + tail)
        if not label.is_file():
            reason = (
                f"{file}: no label file {label.name} beside it in {labels}; get the labels again, "
                f"or move the picture away"
            )
            note_gap(gaps, file.stem, reason)
            continue
        pairs.append(Pair(file.stem, file, label))
    return tuple(pairs)


def check_split(split: str, splits: tuple[str, ...], name: str) -> None:
    """Refuse a split that a dataset does not have.

    Raises:
        BadData: the message lists the splits.
    """
    if split not in splits:
        raise BadData(f"{name}: no split {split!r}; there are: {', '.join(splits)}")
