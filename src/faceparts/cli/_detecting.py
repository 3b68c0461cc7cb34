"""What ``faceparts detect`` does."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from faceparts import labels
from faceparts.cli._effects import effect_class
from faceparts.cli._options import Common
from faceparts.cli._parser import open_detector
from faceparts.cli._report import read_head, to_json
from faceparts.cli._session import PictureFrame, emit, open_session
from faceparts.errors import UsageError
from faceparts.images import encode_picture
from faceparts.streams import results
from faceparts.types import Crop, Face, Head, Image


def run_detect(common: Common, *, rows: str, draw: bool) -> int:
    """Find the heads in every picture; rows to a file or to standard output.

    Returns:
        The exit code.
    """
    if draw and common.out_dir is None:
        raise UsageError("--draw needs a folder for the pictures: add -o DIR")
    if common.out_dir is None and not common.json and sys.stdout is None:
        raise UsageError("there is no standard output for the rows; use -o DIR")
    detector, min_score, models = open_detector(common)
    settings = {"rows": rows, "draw": draw, "min_score": min_score}
    session = open_session("detect", common, settings, models)
    table = common.out_dir / f"heads.{rows}" if common.out_dir is not None else None
    if table is not None:
        session.require_free([table])
    targets = session.name_outputs(".heads.png") if draw else {}
    rows_of = {
        entry["input"]: _rows(entry["input"], map(read_head, entry["heads"]))
        for entry in session.earlier.entries
    }

    def write(frame: PictureFrame, image: Image, heads: Sequence[Head]) -> list[str]:
        written: list[str] = []
        if frame.key in targets:
            drawn = encode_picture(_draw(image, heads), format="PNG", like=frame.picture)
            written = session.results.write([(targets[frame.key], drawn)])
        rows_of[frame.key] = _rows(frame.key, heads)
        return written

    def finish() -> None:
        seen_by = ("",) if "+" in common.detector else ()
        nobody = results.head_row("", 0, Head((0, 0, 1, 1), 0, Head.no_points(), seen_by=seen_by))
        found_rows = [row for item in session.items for row in rows_of.get(item.key, ())]
        text = to_json(found_rows) if rows == "json" else results.csv_text(found_rows, nobody)
        data = text.encode("utf-8", "surrogateescape")
        if table is not None:
            session.results.write([(table, data)])
        elif not common.json:
            emit(data)

    planned: dict[str, list[Path]] = {key: [path] for key, path in targets.items()}
    return session.process(detector.detect, None, planned, write, finish)


def _rows(key: str, heads: Iterable[Head]) -> list[results.Row]:
    return [results.head_row(key, i, head) for i, head in enumerate(heads)]


def _draw(image: Image, heads: Sequence[Head]) -> Image:
    """The picture with boxes and points: the overlay of faces that have no parts."""
    label_set = labels.FACE2
    crop = Crop(np.zeros((1, 1, 3), np.uint8), np.eye(2, 3), (image.shape[0], image.shape[1]))
    nothing = np.zeros((0, 0), np.uint8), np.zeros((0, 0), np.float32), (0, 0, 0, 0)
    drawn: Image = effect_class("overlay")()(
        image, [Face(head, crop, *nothing, label_set) for head in heads]
    )
    return drawn
