"""Is a dataset what it should be? Every pair read, twins found, parts and sides counted.

What is looked at, and why:

- *pairs*: both files decode to their end, have one size, and hold only ids of the label set;
- *twins* (`evaluate._similar`): one photo on both sides of a split makes a result worthless; found
  by file, by pixels, by look, and mirrored;
- *parts*: shares of pixels and of pictures show a class that is missing or painted elsewhere;
- *sides*: in the face's own frame the subject's left lies on the image right. A set where it does
  not has the viewer's left, or photos that were mirrored without their labels.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from faceparts.errors import FacePartsError
from faceparts.evaluate import _similar
from faceparts.types import IGNORE, Dataset, HeadDataset, HeadSample, Image, LabelSet, Sample

MIN_PART_PX = 6
"""A part with fewer pixels has no place."""

UPPER = ("left_eye", "right_eye", "left_brow", "right_brow", "eyes", "brows")
LOWER = ("nose", "mouth", "upper_lip", "lower_lip", "lips", "teeth")
"""Parts whose middles give a face's up and down."""

_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, PilImage.DecompressionBombError)
"""What Pillow raises for files that are damaged or end too early."""


@dataclass(frozen=True)
class Bad:
    """A pair that cannot be used, and why."""

    key: str
    reason: str


@dataclass(frozen=True, eq=False)
class Look:
    """What is kept of one picture to compare it with all others.

    Args:
        where: name of the set and split.
        key: its name there.
        file_sha256: of the picture's file; ``None`` where the dataset does not tell the file.
        pixels_sha256: of its size and pixels.
        labels_sha256: of its labels (or boxes).
        thumb: (48, 48) grey copy.
    """

    where: str
    key: str
    file_sha256: str | None
    pixels_sha256: str
    labels_sha256: str
    thumb: NDArray[np.uint8]

    @property
    def name(self) -> str:
        """Set, split and key."""
        return f"{self.where}/{self.key}"


@dataclass(eq=False)
class SetCheck:
    """What one split of one dataset holds.

    Args:
        where: name of the set and split, such as ``"fasseg:v2-test"``.
        label_set: ``None`` for datasets of heads.
        pictures: how many the dataset lists.
        left_out: what the adapter leaves out, and why.
        bad: pairs that cannot be used.
        looks: the others.
        pixels: (K,) labelled pixels of each part.
        ignored_px: pixels labelled `IGNORE`.
        with_part: (K,) pictures that show each part.
        empty: pictures whose labels hold no part at all.
        sides: pair of parts (``"eye"``) -> pictures with left on the image right, on the left.
        swapped: pictures whose parts lie on the wrong sides, taken together.
        subjects: people on them, where the set tells.
        heads: marked heads (datasets of heads).
    """

    where: str
    label_set: LabelSet | None
    pictures: int
    left_out: dict[str, str]
    bad: list[Bad] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    with_part: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    ignored_px: int = 0
    empty: list[str] = field(default_factory=list)
    sides: dict[str, list[int]] = field(default_factory=dict)
    swapped: list[str] = field(default_factory=list)
    subjects: set[str] = field(default_factory=set)
    heads: int = 0


@dataclass(frozen=True)
class Twins:
    """One photo several times.

    Args:
        kind: ``"same file"``, ``"same pixels"``, ``"near-identical"`` or ``"mirrored"``.
        names: two or more pictures (set, split and key).
        splits: the splits they lie in.
        likeness: 0..1; 1 for the same pixels.
        same_labels: whether their labels are the same; ``None`` for mirrored and near ones.
    """

    kind: str
    names: tuple[str, ...]
    splits: tuple[str, ...]
    likeness: float
    same_labels: bool | None

    @property
    def across(self) -> bool:
        """Whether they lie in different splits."""
        return len(self.splits) > 1


def check_set(
    where: str,
    dataset: Dataset | HeadDataset,
    on_sample: Callable[[int, Sample | HeadSample | None], object] = lambda i, sample: None,
) -> SetCheck:
    """Read every pair of a dataset; a bad one is noted and the next one is read.

    Args:
        where: name of set and split, for the report.
        dataset: labelled pictures, or pictures with head boxes.
        on_sample: called after each pair with its index and the sample, ``None`` if it is bad.
    """
    label_set: LabelSet | None = getattr(dataset, "label_set", None)
    check = SetCheck(where, label_set, len(dataset), dict(getattr(dataset, "left_out", {})))
    count = len(label_set.parts) if label_set else 0
    check.pixels, check.with_part = np.zeros(count, np.int64), np.zeros(count, np.int64)
    pairs: Sequence[object] = getattr(dataset, "pairs", ())
    for i in range(len(dataset)):
        files = _files_of(pairs[i]) if i < len(pairs) else []
        sample: Sample | HeadSample | None = None
        try:
            sample = dataset[i]
            for path in files:
                _read_to_the_end(path)
            if isinstance(sample, Sample) and label_set is not None:
                _count_parts(check, sample, label_set)
            elif isinstance(sample, HeadSample):
                _count_heads(check, sample)
            check.looks.append(_look(where, sample, files[0] if files else None))
        except (FacePartsError, *_DAMAGED) as error:
            key = str(getattr(pairs[i], "key", i)) if i < len(pairs) else str(i)
            check.bad.append(Bad(key, str(error)))
            sample = None
        on_sample(i, sample)
    return check


def _files_of(pair: object) -> list[Path]:
    paths = [getattr(pair, name, None) for name in ("image", "labels")]
    return [p for p in paths if isinstance(p, Path) and p.is_file()]


def _read_to_the_end(path: Path) -> None:
    """Decode a picture file to its last row: OpenCV fills what is missing with grey and is silent.

    Raises:
        ValueError: it ends too early or is damaged; files that are no pictures pass.
    """
    if path.suffix.lower() not in (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"):
        return
    try:
        with PilImage.open(path) as file:
            file.load()
    except _DAMAGED as error:
        raise ValueError(f"{path}: damaged picture ({error}); get the file again") from error


def _count_parts(check: SetCheck, sample: Sample, label_set: LabelSet) -> None:
    ids, count = sample.labels, len(label_set.parts)
    if ids.shape != sample.image.shape[:2]:
        raise ValueError(
            f"{sample.key}: labels {ids.shape[1]}x{ids.shape[0]}, picture "
            f"{sample.image.shape[1]}x{sample.image.shape[0]}; wanted the same size"
        )
    pixels = np.bincount(ids.ravel(), minlength=256)
    wrong = [i for i in np.flatnonzero(pixels).tolist() if count <= i < IGNORE]
    if wrong:
        raise ValueError(f"{sample.key}: id {wrong[0]}; wanted 0..{count - 1} or {IGNORE}")
    check.pixels += pixels[:count]
    check.with_part += pixels[:count] > 0
    check.ignored_px += int(pixels[IGNORE])
    if not pixels[1:count].any():
        check.empty.append(sample.key)
    if sample.subject is not None:
        check.subjects.add(sample.subject)
    votes = side_votes(ids, label_set)
    for pair, vote in votes.items():
        check.sides.setdefault(pair, [0, 0])[vote < 0] += 1
    if sum(votes.values()) < 0:
        check.swapped.append(sample.key)


def _count_heads(check: SetCheck, sample: HeadSample) -> None:
    boxes = sample.boxes_xyxy
    if not np.isfinite(boxes).all() or (boxes[:, 2:] <= boxes[:, :2]).any():
        raise ValueError(f"{sample.key}: a head box without area or with numbers that are none")
    check.heads += len(boxes)


def side_votes(ids: NDArray[np.uint8], label_set: LabelSet) -> dict[str, int]:
    """For each pair of parts that both show: 1 if left is the subject's, -1 if it is swapped.

    Judged in the frame of the face (from mouth and nose up to eyes and brows), so a tilted or
    upside-down head is judged rightly; without them, the picture's own up.

    Example:
        >>> from faceparts.labels import LAPA11 as s
        >>> ids = np.zeros((30, 30), np.uint8)
        >>> ids[5:8, 4:9], ids[5:8, 20:25] = s.id("right_eye"), s.id("left_eye")
        >>> side_votes(ids, s), side_votes(ids[:, ::-1], s)
        ({'eye': 1}, {'eye': -1})
    """
    top, bottom = (_middle(ids, label_set, parts) for parts in (UPPER, LOWER))
    up = np.array([0.0, -1.0]) if top is None or bottom is None else top - bottom
    votes = {}
    for part in label_set.parts:
        if not part.startswith("left_"):
            continue
        pair = part.removeprefix("left_")
        left = _middle(ids, label_set, (part,))
        right = _middle(ids, label_set, (f"right_{pair}",))
        if left is not None and right is not None:
            across = left - right
            turn = up[0] * across[1] - up[1] * across[0]
            if turn != 0:
                votes[pair] = 1 if turn > 0 else -1
    return votes


def _middle(
    ids: NDArray[np.uint8], label_set: LabelSet, parts: Sequence[str]
) -> NDArray[np.float64] | None:
    """Mean x, y of the parts' pixels; ``None`` if there are too few."""
    table = np.zeros(256, bool)
    table[[label_set.id(p) for p in parts if p in label_set.parts]] = True
    ys, xs = np.nonzero(table[ids])
    return np.array([xs.mean(), ys.mean()]) if len(xs) >= MIN_PART_PX else None


def _look(where: str, sample: Sample | HeadSample, file: Path | None) -> Look:
    marks = sample.labels if isinstance(sample, Sample) else sample.boxes_xyxy
    digest = None
    if file is not None:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Look(
        where,
        sample.key,
        digest,
        hash_array(sample.image),
        hash_array(marks),
        _similar.thumb(sample.image),
    )


def hash_array(array: NDArray[np.generic] | Image) -> str:
    """sha256 of an array's type, shape and values."""
    digest = hashlib.sha256(f"{array.dtype} {array.shape} ".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


# --- twins -------------------------------------------------------------------------------------


def find_twins(looks: Sequence[Look]) -> list[Twins]:
    """One photo several times, in any of the splits; those across splits first."""
    same: dict[str, list[Look]] = defaultdict(list)
    for look in looks:
        same[look.pixels_sha256].append(look)
    twins = [_exact(group) for group in same.values() if len(group) > 1]
    firsts = [group[0] for group in same.values()]
    if firsts:
        thumbs = np.stack([look.thumb for look in firsts])
        for i, j, score, is_mirrored in _similar.find_alike(thumbs):
            groups = same[firsts[i].pixels_sha256], same[firsts[j].pixels_sha256]
            splits = tuple(dict.fromkeys(look.where for group in groups for look in group))
            kind = "mirrored" if is_mirrored else "near-identical"
            names = firsts[i].name, firsts[j].name
            twins.append(Twins(kind, names, splits, round(score, 3), None))
    return sorted(twins, key=lambda t: not t.across)


def _exact(group: Sequence[Look]) -> Twins:
    files = {look.file_sha256 for look in group}
    return Twins(
        "same file" if len(files) == 1 and None not in files else "same pixels",
        tuple(look.name for look in group),
        tuple(dict.fromkeys(look.where for look in group)),
        1.0,
        len({look.labels_sha256 for look in group}) == 1,
    )


# --- verdict -----------------------------------------------------------------------------------


def errors_of(checks: Sequence[SetCheck], twins: Sequence[Twins]) -> Iterator[str]:
    """What must be mended before the data is trained on or scored with, one line each."""
    for check in checks:
        for bad in check.bad:
            yield f"{check.where}/{bad.key}: {bad.reason}"
        if not check.pictures:
            yield f"{check.where}: no pictures"
        for pair, (right, wrong) in check.sides.items():
            if wrong > right:
                yield (
                    f"{check.where}: left_{pair} lies on the subject's right in {wrong} of "
                    f"{right + wrong} pictures; the set means the viewer's left, or was mirrored"
                )
    for twin in twins:
        if twin.across:
            yield f"{_told(twin)}: one photo in {' and '.join(twin.splits)}"


def warnings_of(checks: Sequence[SetCheck], twins: Sequence[Twins]) -> Iterator[str]:
    """What to know, one line each."""
    for twin in twins:
        if not twin.across:
            different = "; their labels differ" if twin.same_labels is False else ""
            yield f"{_told(twin)}: one photo twice in {twin.splits[0]}{different}"
    for i, one in enumerate(checks):
        for other in checks[i + 1 :]:
            shared = sorted(one.subjects & other.subjects)
            if shared and _same_set(one, other):
                yield (
                    f"{one.where} and {other.where}: {len(shared)} people in both, such as "
                    f"{shared[0]}"
                )
    for check in checks:
        for name, reason in check.left_out.items():
            yield f"{check.where}/{name}: left out by the adapter: {reason}"
        for key in check.swapped:
            yield f"{check.where}/{key}: left and right swapped"
        for key in check.empty:
            yield f"{check.where}/{key}: no part in its labels"
        if check.label_set is not None and check.looks:
            never = [
                p for p, n in zip(check.label_set.parts, check.with_part, strict=True) if not n
            ]
            if never:
                yield f"{check.where}: never seen: {', '.join(never)}"


def _same_set(one: SetCheck, other: SetCheck) -> bool:
    """Whether two splits are of one dataset: names of people mean nothing beyond it."""
    return one.where.split(":")[0] == other.where.split(":")[0]


def _told(twin: Twins) -> str:
    sure = "" if twin.likeness == 1 else f" ({twin.likeness:.2f})"
    return f"{twin.kind}{sure}: {' = '.join(twin.names)}"
