"""What ``faceparts segment`` does."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from faceparts import labels
from faceparts.cli._effects import effect_class
from faceparts.cli._options import Common
from faceparts.cli._parser import open_parser
from faceparts.cli._session import PictureFrame, emit, open_session, refuse_among
from faceparts.errors import UsageError
from faceparts.images import encode_picture
from faceparts.measure import measure
from faceparts.streams import results
from faceparts.types import Crop, Face, Head, Image, LabelSet

LABELS, MASKS, CUTOUTS = ".labels.png", ".masks", ".cutouts"
OVERLAY, NPZ = ".overlay.png", ".npz"
"""Endings of the results: ``a.jpg`` gives ``a.jpg.labels.png`` and so on."""


@dataclass(frozen=True)
class Wanted:
    """What is written beside the label maps."""

    masks: bool = False
    cutouts: bool = False
    overlay: bool = False
    npz: bool = False
    coco: bool = False

    def endings(self) -> list[str]:
        """Endings of all files and folders of one picture."""
        asked = {MASKS: self.masks, CUTOUTS: self.cutouts, OVERLAY: self.overlay, NPZ: self.npz}
        return [LABELS, *(ending for ending, on in asked.items() if on)]


def run_segment(
    common: Common, wanted: Wanted, table: Path | None, *, long_hair: bool = True
) -> int:
    """Segment the faces in every picture and write the results.

    Returns:
        The exit code.
    """
    if common.to_stdout and any(asdict(wanted).values()):
        raise UsageError("-o - writes the label map alone; use -o DIR for masks and the like")
    parser = open_parser(common, long_hair=long_hair)
    settings = {
        **asdict(wanted),
        "long_hair": long_hair,
        "table": str(table) if table else None,
        "min_score": parser.min_score,
    }
    session = open_session("segment", common, settings, parser.models)
    named = {ending: session.name_outputs(ending) for ending in wanted.endings()}
    whole_run = _WholeRun(common.out_dir, parser.label_set, wanted.coco, table)
    planned = {
        item.key: [paths[item.key] for paths in named.values() if paths] for item in session.items
    }
    if table is not None:
        refuse_among(f"--table {table}", table, planned)
    session.require_free(whole_run.paths(), there=whole_run.there())
    folders = _results_in_folders(whole_run.part_names())

    def write(frame: PictureFrame, image: Image, faces: Sequence[Face]) -> list[str]:
        if common.to_stdout:
            ids, _ = results.merge_labels(faces, (image.shape[0], image.shape[1]))
            written = emit(results.encode_labels(ids, parser.label_set))
        else:
            paths = {ending: paths[frame.key] for ending, paths in named.items()}
            written = session.results.write(_files(frame, faces, parser.label_set, paths))
            for ending in paths.keys() & folders.keys():
                session.results.drop_others(paths[ending], folders[ending], written)
        whole_run.add(frame.key, image, faces)
        return written

    def finish() -> None:
        for file in whole_run.files():  # one that cannot be written leaves the others
            session.attempt(partial(session.results.write, [file]))

    return session.process(parser.parse, None, planned, write, finish)


def _results_in_folders(part_names: Collection[str]) -> dict[str, Callable[[Path], bool]]:
    """For each kind of result that is a folder, whether a file in it is one of the results."""
    number, parts = "(?:[0-9]{3}|[1-9][0-9]{3,})", "|".join(map(re.escape, part_names))
    kinds = {
        MASKS: (f"{number}_(?:{parts})[.]png", results.MASK),
        CUTOUTS: (f"{number}[.]png", results.CUTOUT),
    }
    return {ending: partial(_is_result, re.compile(n), kind) for ending, (n, kind) in kinds.items()}


def _is_result(names: re.Pattern[str], layout: tuple[int, int], path: Path) -> bool:
    """Whether a file has a result's name, and is a PNG as results are."""
    if not names.fullmatch(path.name):
        return False
    try:
        with path.open("rb") as file:
            return results.png_layout(file.read(26)) == layout
    except OSError:
        return False


def _files(
    frame: PictureFrame, faces: Sequence[Face], label_set: LabelSet, paths: Mapping[str, Path]
) -> Iterator[tuple[Path, bytes]]:
    """Everything that is written for one picture, encoded one after the other."""
    hw = frame.image.shape[0], frame.image.shape[1]
    ids, _ = results.merge_labels(faces, hw)
    yield paths[LABELS], results.encode_labels(ids, label_set)
    for index, face in enumerate(faces):
        if MASKS in paths:
            for part in results.part_areas(face):
                mask = results.encode_mask(face.mask(part))
                yield paths[MASKS] / f"{index:03}_{part}.png", mask
        if CUTOUTS in paths:
            cutout = results.encode_cutout(frame.image, face, frame.picture.alpha)
            if cutout is not None:
                yield paths[CUTOUTS] / f"{index:03}.png", cutout
    if OVERLAY in paths:
        drawn = effect_class("overlay")()(frame.image, faces)
        yield paths[OVERLAY], encode_picture(drawn, format="PNG", like=frame.picture)
    if NPZ in paths:
        yield paths[NPZ], results.encode_npz(faces, hw, label_set)


class _WholeRun:
    """Files that belong to the run as a whole: classes.json, coco.json and the table."""

    def __init__(
        self, out_dir: Path | None, label_set: LabelSet, coco: bool, table: Path | None
    ) -> None:
        self._label_set = label_set
        self._classes = None if out_dir is None else out_dir / "classes.json"
        self._coco = None if out_dir is None or not coco else out_dir / "coco.json"
        self._table = table
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._rows: list[results.Row] = []

    def paths(self) -> list[Path]:
        """Where the files go."""
        return [p for p in (self._classes, self._coco, self._table) if p is not None]

    def there(self) -> list[Path]:
        """The classes.json if there is one already that says the same: it stays."""
        text = results.classes_json(self._label_set).encode()
        path = self._classes
        return [path] if path and path.is_file() and path.read_bytes() == text else []

    def add(self, key: str, image: Image, faces: Sequence[Face]) -> None:
        """Take up one picture."""
        if self._coco is not None:
            height, width = image.shape[:2]
            number = len(self._images) + 1
            self._images.append({"id": number, "file_name": key, "width": width, "height": height})
            self._annotations += results.coco_annotations(
                faces, number, first_id=len(self._annotations) + 1
            )
        if self._table is not None:
            for index, face in enumerate(faces):
                row = {name: round(value, 4) for name, value in measure(face).items()}
                self._rows.append({"picture": key, "face": index, **row})

    def part_names(self) -> set[str]:
        """Parts that masks may be called after: also other nets', and those of the last run here.

        Nets may have parts of their own with any names.
        """
        known = {part for name in labels.names() for part in labels.get(name).parts}
        known |= set(self._label_set.parts)
        if self._classes is not None and self._classes.is_file():
            known |= set(results.parts_of_classes(self._classes.read_bytes()))
        return known

    def files(self) -> Iterator[tuple[Path, bytes]]:
        """The files with their contents, but for what is there already."""
        if self._classes is not None and not self.there():
            yield self._classes, results.classes_json(self._label_set).encode()
        if self._coco is not None:
            text = results.coco_json(self._images, self._annotations, self._label_set)
            yield self._coco, text.encode()
        if self._table is not None:
            columns = ["picture", "face", *measure(_nobody(self._label_set))]
            text = results.csv_text(self._rows, columns)
            yield self._table, text.encode("utf-8", "surrogateescape")


def _nobody(label_set: LabelSet) -> Face:
    """A face without parts: what can be measured is the same for all of a label set."""
    crop = Crop(np.zeros((1, 1, 3), np.uint8), np.eye(2, 3), (1, 1))
    ids, confidence = np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.float32)
    head = Head((0, 0, 1, 1), 0, Head.no_points())
    return Face(head, crop, ids, confidence, (0, 0, 1, 1), label_set)
