"""Your own pictures and masks: any folder ROOT with ``pairs.toml``, from CVAT, or from labelme.

*Masks*: ``ROOT/images/**`` + ``ROOT/masks/**`` (same name, ``.png``) and ``ROOT/pairs.toml``, whose
table ``[parts]`` says which id or colour is which part (``hair = [255, 0, 0]``, ``hair = 13``); the
other keys are listed in `_description.Description`. *CVAT*, "Segmentation mask 1.1":
``ROOT/labelmap.txt``, ``SegmentationClass/*.png``, ``JPEGImages/*``, lists of names in
``ImageSets/Segmentation``. *labelme*: ``.json`` files with polygons, rectangles or circles beside
the pictures, the names in ``labels.txt`` or as they come. ``pairs.toml`` may add to the last two:
``[rename]``, ``left``, ``label_set``, ``[splits]``.

The split is ``all`` or a name from ``[splits]`` (or of a CVAT list). Part names that are a known
label set's in its order become that set; others make one of their own, with left and right as
``left`` says. Masks are taken exactly; ``max_distance`` allows soft colours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceparts.datasets import _labelme
from faceparts.datasets._description import (
    FILE,
    UNKNOWN,
    Description,
    Meaning,
    Rgb,
    number_parts,
    read_description,
    understand,
)
from faceparts.datasets._lists import read_rows
from faceparts.datasets._paint import decode_paint, refuse_unknown
from faceparts.datasets._pairs import (
    Gap,
    Pair,
    PairDataset,
    check_split,
    note_gap,
    read_ids,
    read_rgb,
)
from faceparts.errors import BadData
from faceparts.types import IGNORE

TASK = "parts"
SPLITS = ("all",)
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")

Decode = Callable[[Path], NDArray[np.uint8]]


def load(root: Path, split: str, *, gaps: list[Gap] | None = None) -> PairDataset:
    """The folder in whichever of the three forms it is.

    Raises:
        BadData: no such split or folder, no description, a picture or mask without the other, or a
            name, id or colour that nothing explains.
    """
    root = Path(root)
    described = read_description(root)
    lists = {name: root / file for name, file in described.splits.items()}
    if described.kind == "cvat" or (not described.kind and (root / "labelmap.txt").is_file()):
        folder = root / "ImageSets" / "Segmentation"
        lists = {p.stem: p for p in sorted(folder.glob("*.txt"))} | lists
        check_split(split, ("all", *sorted(lists.keys() - {"all"})), "pairs")
        pairs, decode, meaning = _cvat(root, described, gaps)
    else:
        check_split(split, ("all", *lists), "pairs")
        if described.kind == "labelme" or (not described.parts and not described.kind):
            pairs, decode, meaning = _labelme_folder(root, described, gaps)
        else:
            pairs, decode, meaning = _masks(root, described, gaps)
    if split != "all":
        pairs = _chosen(pairs, lists[split], gaps)
    if not pairs and not gaps:
        raise BadData(f"{root}: no pairs in it; see the docstring of faceparts.datasets.pairs")
    return PairDataset(tuple(pairs), meaning.source, meaning.target, decode, meaning.rest)


def _masks(
    root: Path, described: Description, gaps: list[Gap] | None
) -> tuple[list[Pair], Decode, Meaning]:
    path, parts = root / FILE, dict(described.parts)
    if not parts:
        raise BadData(f"{path}: no [parts]; wanted part names with their ids or colours")
    ignored = parts.pop(UNKNOWN, ())
    numbered, ids = number_parts(path, described, parts)
    meaning = understand(path, described, numbered)
    marks = {mark: ids[name] for name, own in parts.items() for mark in own}
    marks |= dict.fromkeys(ignored, IGNORE)
    if len(marks) < len(ignored) + sum(map(len, parts.values())):
        raise BadData(f"{path}: two of the [parts] share an id or a colour")
    decode = _decoder(path, marks, described.max_distance)
    images, masks = root / described.images, root / described.masks
    for folder in (images, masks):
        if not folder.is_dir():
            raise BadData(f"{folder}: no such folder; say in {FILE} where images and masks are")
    pairs = []
    for image in _pictures(images):
        if images == masks and image.name.endswith(described.mask_tail):
            continue
        name = image.relative_to(images).with_suffix("")
        mask = masks / name.with_name(name.name + described.mask_tail)
        if not mask.is_file():
            reason = f"{image}: no mask {mask}; make one, or move the picture away"
            note_gap(gaps, name.as_posix(), reason)
            continue
        pairs.append(Pair(name.as_posix(), image, mask))
    return pairs, decode, meaning


def _decoder(path: Path, marks: dict[int | Rgb, int], max_distance: float) -> Decode:
    """Mask file -> ids, from ids or colours in the masks."""
    colours = [mark for mark in marks if isinstance(mark, tuple)]
    if colours and len(colours) < len(marks):
        raise BadData(f"{path}: [parts] mixes ids and colours; wanted one kind")
    if len(colours) > IGNORE:
        raise BadData(f"{path}: {len(colours)} colours; wanted at most {IGNORE}")
    table = np.full(256, IGNORE, np.uint8)
    if colours:
        table[: len(colours)] = list(marks.values())
        return _FromColours(tuple(colours), table, max_distance)
    known = np.zeros(256, bool)
    for mark, i in marks.items():
        if isinstance(mark, int):
            table[mark], known[mark] = i, True
    known[IGNORE] = True
    return _FromIds(table, known)


@dataclass(frozen=True)
class _FromColours:
    colours: tuple[Rgb, ...]
    table: NDArray[np.uint8]
    max_distance: float

    def __call__(self, path: Path) -> NDArray[np.uint8]:
        painted = read_rgb(path)
        found = decode_paint(painted, self.colours, self.max_distance)
        if not self.max_distance:
            refuse_unknown(path, painted, found, self.colours)
        return np.asarray(self.table[found])


@dataclass(frozen=True)
class _FromIds:
    table: NDArray[np.uint8]
    known: NDArray[np.bool_]

    def __call__(self, path: Path) -> NDArray[np.uint8]:
        ids = read_ids(path)
        seen = np.flatnonzero(np.bincount(ids.ravel(), minlength=256))
        wrong = seen[~self.known[seen]]
        if wrong.size:
            wanted = ", ".join(str(v) for v in np.flatnonzero(self.known))
            raise BadData(
                f"{path}: id {int(wrong[0])} is none of {wanted}; add it to [parts] in {FILE}"
            )
        return np.asarray(self.table[ids])


def _cvat(
    root: Path, described: Description, gaps: list[Gap] | None
) -> tuple[list[Pair], Decode, Meaning]:
    path = root / "labelmap.txt"
    colours: dict[str, Rgb] = {}
    for row in read_rows(path, 4, "CVAT writes it; export again", separator=":"):
        if row[0].startswith("#"):
            continue
        try:
            red, green, blue = (int(v) for v in row[1].split(","))
        except ValueError as error:
            raise BadData(f"{path}: colour {row[1]!r} of {row[0]}: wanted r,g,b") from error
        colours[row[0]] = (red, green, blue)
    parts, ids = number_parts(path, described, colours)
    meaning = understand(path, described, parts)
    marks: dict[int | Rgb, int] = {colour: ids[name] for name, colour in colours.items()}
    if len(marks) < len(colours):
        raise BadData(f"{path}: two labels share a colour; give them others in CVAT")
    masks, images = root / "SegmentationClass", root / "JPEGImages"
    pictures = {p.relative_to(images).with_suffix(""): p for p in _pictures(images)}
    if not pictures:
        raise BadData(f"{images}: no pictures in it; export from CVAT with 'Save images'")
    pairs = []
    for mask in sorted(masks.rglob("*.png")):
        name = mask.relative_to(masks).with_suffix("")
        if name not in pictures:
            reason = f"{mask}: no picture {name} in {images}; export with 'Save images'"
            note_gap(gaps, name.as_posix(), reason)
            continue
        pairs.append(Pair(name.as_posix(), pictures[name], mask))
    return pairs, _decoder(path, marks, described.max_distance), meaning


def _labelme_folder(
    root: Path, described: Description, gaps: list[Gap] | None
) -> tuple[list[Pair], Decode, Meaning]:
    files = [p for p in sorted(root.rglob("*.json")) if not p.name.startswith(".")]
    if not files:
        raise BadData(
            f"{root}: no {FILE} with [parts], no labelmap.txt of CVAT and no .json of labelme in it"
        )
    listed = root / "labels.txt"
    if listed.is_file():
        names = [row[0] for row in read_rows(listed, 1, "", separator="\n")]
    else:
        names = sorted({label for path in files for label in _labels_of(path, gaps)})
        listed = root / "*.json"
    named = replace(described, rename={"_background_": "background", **described.rename})
    used = [name for name in names if name != _labelme.IGNORED]
    parts, ids = number_parts(listed, named, ("background", *used))
    meaning = understand(listed, named, parts)
    pairs = []
    for path in files:
        key, picture = path.relative_to(root).with_suffix("").as_posix(), _picture_of(path)
        if picture is None:
            reason = f"{path}: no picture {path.stem}.jpg, .png ... beside it; copy it there"
            note_gap(gaps, key, reason)
        else:
            pairs.append(Pair(key, picture, path))
    return pairs, _FromShapes(ids), meaning


@dataclass(frozen=True)
class _FromShapes:
    ids: dict[str, int]

    def __call__(self, path: Path) -> NDArray[np.uint8]:
        return _labelme.draw_shapes(path, self.ids)


def _labels_of(path: Path, gaps: list[Gap] | None) -> set[str]:
    """Names that a labelme file uses; a damaged one that is checked is told when it is read."""
    try:
        return {shape["label"] for shape in _labelme.read_shapes(path)["shapes"]}
    except BadData:
        if gaps is None:
            raise
        return set()


def _picture_of(path: Path) -> Path | None:
    """The picture beside a labelme file; its ``imagePath`` may be of another machine."""
    for suffix in SUFFIXES:
        for end in (suffix, suffix.upper()):
            if (picture := path.with_suffix(end)).is_file():
                return picture
    return None


def _pictures(folder: Path) -> Iterable[Path]:
    return (p for p in sorted(folder.rglob("*")) if p.suffix.lower() in SUFFIXES)


def _chosen(pairs: list[Pair], path: Path, gaps: list[Gap] | None) -> list[Pair]:
    """The pairs that a list names, in its order; a picture's suffix may be given or not."""
    by_name = {pair.key: pair for pair in pairs}
    told = {gap.key for gap in gaps or ()}
    chosen = []
    for (line,) in read_rows(path, 1, f"it is named in {FILE}", separator="\n"):
        known, suffix = by_name.get(line), Path(line).suffix.lower()
        if known is None and suffix in SUFFIXES:
            known = by_name.get(Path(line).with_suffix("").as_posix())
        if known is not None:
            chosen.append(known)
        elif told.isdisjoint((line, Path(line).with_suffix("").as_posix())):
            reason = f"{path}: {line!r} is no picture of the folder; wanted names as {FILE} has"
            note_gap(gaps, line, reason)
    return chosen
