"""Faces -> bytes and rows: label maps, masks, cut-outs, COCO, npz, tables.

Nothing here touches the disk: whoever calls writes what comes back (see `streams.files`).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from faceparts._alpha import veil
from faceparts.types import IGNORE, POINTS, Face, Head, Image, LabelSet

Row = Mapping[str, str | int | float | None]
"""One line of a table; ``None`` is an empty cell."""

NOT_CUT_OUT = ("clothes",)
"""Parts that a cut-out of a face leaves out (where the label set has them)."""


def merge_labels(
    faces: Sequence[Face], source_hw: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Lay all faces of a picture into one label map.

    Where two faces claim a pixel, the one that is surer of it gets it.

    Returns:
        labels: (H, W) uint8 part ids, 0 where there is no face.
        owners: (H, W) uint16, 1 + the index of the face that a pixel belongs to, 0 for none.
    """
    labels = np.zeros(source_hw, np.uint8)
    owners = np.zeros(source_hw, np.uint16)
    surest = np.zeros(source_hw, np.float32)
    for number, face in enumerate(faces, start=1):
        x0, y0, x1, y1 = face.window_xyxy
        window = slice(y0, y1), slice(x0, x1)
        wins = (face.labels != 0) & ((labels[window] == 0) | (face.confidence > surest[window]))
        labels[window][wins] = face.labels[wins]
        owners[window][wins] = number
        surest[window][wins] = face.confidence[wins]
    return labels, owners


def encode_labels(labels: NDArray[np.uint8], label_set: LabelSet) -> bytes:
    """(H, W) part ids as a palette PNG: the pixel value is the id, shown in the set's colours.

    `IGNORE` is white. Always 8 bits a pixel: all 256 colours are written, because Pillow stores a
    palette of up to 16 colours in fewer bits, which would cut 255 down to 15 or less.
    """
    colors = np.zeros((256, 3), np.uint8)
    colors[: len(label_set.parts)] = label_set.colors
    colors[IGNORE] = 255
    picture = PillowImage.fromarray(labels)
    picture.putpalette(colors.tobytes())
    return _png(picture)


def encode_mask(mask: NDArray[np.bool_]) -> bytes:
    """(H, W) bool as a grey PNG: 255 where true, 0 elsewhere."""
    return _png(PillowImage.fromarray(mask.astype(np.uint8) * 255))


def encode_cutout(image: Image, face: Face, alpha: NDArray[np.uint8] | None = None) -> bytes | None:
    """One face as an RGBA PNG, cut to the rectangle its parts span; ``None`` if it has no parts.

    Hidden pixels are black, so that the background cannot be brought back. Where ``alpha`` (H, W)
    says that the picture is transparent, the cut-out is too.
    """
    parts = [p for p in face.label_set.parts[1:] if p not in NOT_CUT_OUT]
    mask = face.window_mask(*parts)
    left, top, right, bottom = _extent(mask)
    if not right:
        return None
    x0, y0, _, _ = face.window_xyxy
    mask = mask[top:bottom, left:right]
    where = slice(y0 + top, y0 + bottom), slice(x0 + left, x0 + right)
    rgba = np.dstack([image[where] * mask[..., None], mask.astype(np.uint8) * 255])
    return _png(PillowImage.fromarray(rgba if alpha is None else veil(rgba, alpha[where])))


MASK, CUTOUT = (8, 0), (8, 6)
"""`png_layout` of what `encode_mask` and `encode_cutout` write: grey and RGBA."""


def png_layout(head: bytes) -> tuple[int, int] | None:
    """Bits and colour type from the first 26 bytes of a PNG; ``None`` for any other file."""
    if len(head) < 26 or head[:8] != b"\x89PNG\r\n\x1a\n" or head[12:16] != b"IHDR":
        return None
    return head[24], head[25]


def parts_of_classes(text: str | bytes) -> tuple[str, ...]:
    """Names of the parts in a text from `classes_json`; none if it is not one."""
    try:
        return tuple(str(part["name"]) for part in json.loads(text)["parts"])
    except (ValueError, TypeError, KeyError):
        return ()


def encode_npz(faces: Sequence[Face], source_hw: tuple[int, int], label_set: LabelSet) -> bytes:
    """Everything about a picture's N faces as a compressed ``.npz`` (no Python objects inside).

    Arrays: ``labels`` (H, W) uint8, ``owners`` (H, W) uint16 (1 + face index), ``confidence``
    (H, W) float16, ``boxes_xyxy`` (N, 4) float32, ``scores`` (N,) float32, ``points`` (N, 7, 3)
    float32, ``windows_xyxy`` (N, 4) int32, ``parts`` (K,) and ``point_names`` (7,) text.
    """
    labels, owners = merge_labels(faces, source_hw)
    confidence = np.zeros(source_hw, np.float16)
    for number, face in enumerate(faces, start=1):
        x0, y0, x1, y1 = face.window_xyxy
        own = owners[y0:y1, x0:x1] == number
        confidence[y0:y1, x0:x1][own] = face.confidence[own]
    heads = [face.head for face in faces]
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        labels=labels,
        owners=owners,
        confidence=confidence,
        boxes_xyxy=np.array([h.box_xyxy for h in heads], np.float32).reshape(-1, 4),
        scores=np.array([h.score for h in heads], np.float32),
        points=np.array([h.points for h in heads], np.float32).reshape(-1, len(POINTS), 3),
        windows_xyxy=np.array([f.window_xyxy for f in faces], np.int32).reshape(-1, 4),
        parts=np.array(label_set.parts),
        point_names=np.array(POINTS),
    )
    return buffer.getvalue()


def classes_json(label_set: LabelSet) -> str:
    """What the pixel values of a label map mean, as JSON text."""
    parts = [
        {"id": i, "name": name, "color_rgb": list(color), "mirror": label_set.parts[mirror]}
        for i, (name, color, mirror) in enumerate(
            zip(label_set.parts, label_set.colors, label_set.mirror, strict=True)
        )
    ]
    return json.dumps({"label_set": label_set.name, "parts": parts}, indent=1) + "\n"


# COCO ------------------------------------------------------------------------------------------


def rle_counts(
    mask: NDArray[np.bool_],
    origin_xy: tuple[int, int] = (0, 0),
    source_hw: tuple[int, int] | None = None,
) -> list[int]:
    """Run lengths of a mask in COCO's order: down the columns, the first run counts zeros.

    Args:
        mask: (h, w) bool, a window of the picture.
        origin_xy: picture pixel of the window's left top corner.
        source_hw: height and width of the picture; the window itself by default.

    Example:
        >>> rle_counts(np.array([[0, 1], [1, 1]], bool))
        [1, 3]
        >>> rle_counts(np.array([[1]], bool), origin_xy=(1, 0), source_hw=(2, 2))
        [2, 1, 1]
    """
    height, width = source_hw or mask.shape
    steps = np.diff(np.pad(mask.T.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    column, row = np.nonzero(steps == 1)
    first = (column + origin_xy[0]) * height + row + origin_xy[1]
    column, row = np.nonzero(steps == -1)
    after = (column + origin_xy[0]) * height + row + origin_xy[1]
    if not first.size:
        return [height * width]
    ends = first[1:] != after[:-1]  # a run may go on in the next column
    first, after = first[np.append(True, ends)], after[np.append(ends, True)]
    edges = np.empty(2 * first.size + 2, np.int64)
    edges[0], edges[-1] = 0, height * width
    edges[1:-1:2], edges[2:-1:2] = first, after
    counts: list[int] = np.diff(edges).tolist()
    return counts if counts[-1] else counts[:-1]


def rle_string(counts: Sequence[int]) -> str:
    """COCO's compressed form of run lengths: from the 4th on the difference to the run two before,
    in little-endian groups of 5 bits with a continuation bit, as characters from ``0`` on.

    Source: ``rleToString`` in the COCO API (maskApi.c).

    Example:
        >>> rle_string([1, 3])
        '13'
    """
    rest = np.asarray(counts, np.int64)
    if rest.size > 3:
        rest = np.concatenate([rest[:3], rest[3:] - rest[1:-2]])
    groups, used = [], []
    more = np.ones(rest.size, bool)
    while more.any():
        used.append(more)
        group = rest & 31
        rest = rest >> 5
        more = more & np.where(group & 16, rest != -1, rest != 0)
        groups.append(group + 32 * more + 48)
    if not groups:
        return ""
    characters = np.stack(groups, 1)[np.stack(used, 1)].astype(np.uint8)
    return bytes(characters).decode("ascii")


def coco_annotations(
    faces: Sequence[Face], image_id: int, first_id: int, compressed: bool = True
) -> list[dict[str, Any]]:
    """One COCO annotation a face and part that it has.

    Beside COCO's own keys each has ``face`` (index in the picture), ``head_xyxy`` and ``score``.

    Args:
        image_id: ``id`` of the picture in the file's ``images``.
        first_id: ``id`` of the first annotation; the others count on.
        compressed: run lengths as COCO's string, otherwise as a list of numbers.
    """
    annotations: list[dict[str, Any]] = []
    for index, face in enumerate(faces):
        x0, y0, _, _ = face.window_xyxy
        for part, area_px in part_areas(face).items():
            mask = face.window_mask(part)
            left, top, right, bottom = _extent(mask)
            counts = rle_counts(mask, (x0, y0), face.source_hw)
            annotations.append(
                {
                    "id": first_id + len(annotations),
                    "image_id": image_id,
                    "category_id": face.label_set.id(part),
                    "segmentation": {
                        "size": list(face.source_hw),
                        "counts": rle_string(counts) if compressed else counts,
                    },
                    "area": area_px,
                    "bbox": [x0 + left, y0 + top, right - left, bottom - top],
                    "iscrowd": 0,
                    "face": index,
                    "head_xyxy": [round(v, 2) for v in face.head.box_xyxy],
                    "score": round(face.head.score, 4),
                }
            )
    return annotations


def coco_json(
    images: Sequence[Mapping[str, Any]],
    annotations: Sequence[Mapping[str, Any]],
    label_set: LabelSet,
) -> str:
    """A COCO file: pictures (``id, file_name, width, height``), annotations, a category a part."""
    categories = [
        {"id": i, "name": name, "supercategory": "head"}
        for i, name in enumerate(label_set.parts)
        if i
    ]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories})


# Rows ------------------------------------------------------------------------------------------


def part_areas(face: Face) -> dict[str, int]:
    """Picture pixels of each part that a face has any of, in the label set's order."""
    counts = np.bincount(face.labels.ravel(), minlength=256).tolist()
    return {part: counts[i] for i, part in enumerate(face.label_set.parts) if i and counts[i]}


def _extent(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a mask's pixels inside its window; all 0 if it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def head_row(key: str, index: int, head: Head) -> Row:
    """One head as a line of a table; points that were not seen are empty cells.

    Pixels have two decimals and scores four, as in the report: a run that goes on takes rows from
    there.

    Heads that several detectors looked for have a column ``seen_by`` more: ``headnet+keypoints``.
    """
    x0, y0, x1, y1 = (round(v, 2) for v in head.box_xyxy)
    row: dict[str, str | int | float | None] = {
        "picture": key,
        "head": index,
        "score": round(head.score, 4),
        **{"left_px": x0, "top_px": y0, "right_px": x1, "bottom_px": y1},
    }
    columns = (("x_px", 2), ("y_px", 2), ("score", 4))  # decimals as in the report
    for name, point in zip(POINTS, head.points.tolist(), strict=True):
        seen = point[0] == point[0]  # nan != nan
        for (column, decimals), value in zip(columns, point, strict=True):
            told = seen and value == value
            row[f"{name}_{column}"] = round(value, decimals) if told else None
    return row | ({"seen_by": "+".join(head.seen_by)} if head.seen_by else {})


def csv_text(rows: Iterable[Row], columns: Iterable[str] = ()) -> str:
    """Rows as CSV text with a header line; ``nan`` becomes an empty cell.

    Args:
        columns: header of a table without rows; otherwise the columns are those of the first row.

    Raises:
        ValueError: a row has a column that the first one lacks.
    """
    text = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(text, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow({k: None if v != v else v for k, v in row.items()})
    if writer is None and (names := list(columns)):
        csv.DictWriter(text, names, lineterminator="\n").writeheader()
    return text.getvalue()


def _png(picture: PillowImage.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
