"""What ``faceparts data clean`` does."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from faceparts._cleaning import pad_image, pad_labels, split_sides
from faceparts._headers import one_line
from faceparts._palette import count_moves, grey_palette, nearest_palette, safe_cap
from faceparts.cli import _report
from faceparts.cli._data_folder import PairsFolder
from faceparts.cli._data_palette import Paints, cleaned_set, find_paints, split_names
from faceparts.cli._data_sources import require_new
from faceparts.cli.main import EXIT_FAILED
from faceparts.errors import BadData, FacePartsError, UsageError
from faceparts.evaluate.contact_sheet import TILE_PX, Tile, label_tile, sheet
from faceparts.images import SUFFIXES, encode_picture, read_picture
from faceparts.streams.files import find_inputs, write_atomic
from faceparts.types import IGNORE, Image, LabelSet

SHOWN = 12
"""Masks on the before/after sheet."""


@dataclass(frozen=True)
class Wanted:
    """How masks are cleaned; see the help texts of ``faceparts data clean``."""

    palette: str = "discover"
    discover_by: str = "modes"
    method: str = "nearest"
    cap: float | None = None
    split: tuple[str, ...] = ()
    nose: str = "nose"
    size_px: int | None = None


@dataclass(frozen=True, eq=False)
class Cleaned:
    """One clean mask and what it took.

    Args:
        labels: (H, W) ids of the cleaned set.
        kept: (K,) pixels that had exactly their paint, by palette id.
        moved: (K,) pixels that had another colour.
        doubtful: pixels that became unknown.
        sided: pixels given to a side.
    """

    labels: NDArray[np.uint8]
    kept: NDArray[np.int64]
    moved: NDArray[np.int64]
    doubtful: int
    sided: int


def clean_mask(image: Image, paints: Paints, target: LabelSet, wanted: Wanted) -> Cleaned:
    """Colours -> ids -> sides; the size stays."""
    if wanted.method == "nearest":
        ids = nearest_palette(image, paints.colours, wanted.cap)
    else:
        ids = grey_palette(image, paints.colours)
    kept, moved, doubtful = count_moves(image, ids, paints.colours)
    table = np.full(256, IGNORE, np.uint8)
    for i, part in enumerate(paints.parts):  # a split part waits under its right side's id
        table[i] = target.id(split_names(part)[1] if part in wanted.split else part)
    out = np.asarray(table[ids])
    nose = target.id(wanted.nose) if wanted.nose in target.parts else None
    sided = 0
    for part in wanted.split:
        left, right = (target.id(name) for name in split_names(part))
        sided += int(np.count_nonzero(out == right))
        out = split_sides(out, right, left, right, nose)
    return Cleaned(out, kept, moved, doubtful, sided)


def run_clean(
    masks: Path,
    out: Path,
    wanted: Wanted,
    *,
    images: Path | None,
    before_after: Path | None,
    force: bool,
    as_json: bool,
    progress: bool,
) -> int:
    """Clean every mask of a folder.

    Returns:
        The exit code: 1 if a mask failed; the others are written.

    Raises:
        UsageError: nothing to clean, a wrong palette, or a folder that is not free.
        BadData: the palette cannot be read or found.
    """
    folders = [p for p in (masks, images) if p is not None and p.is_dir()]
    require_new(out, folders, force=force)
    if before_after is not None:
        for path in folders:
            if before_after.resolve().is_relative_to(path.resolve()):
                raise UsageError(
                    f"--sheet {before_after}: lies among the inputs of {path}; name another folder"
                )
    items = [
        (item.key, item.path)
        for item in find_inputs([str(masks)], out_dir=out)
        if item.path is not None
    ]
    paints = find_paints(wanted.palette, lambda: _readable(items), wanted.discover_by)
    target = cleaned_set(paints, wanted.split)
    folder = PairsFolder(out, target, force=force)
    none = np.zeros(len(paints.parts), np.int64)
    total = Cleaned(np.zeros((0, 0), np.uint8), none, none, 0, 0)
    pictures: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    tiles: list[Tile] = []
    step = max(1, -(-len(items) // SHOWN))
    bar = tqdm(items, unit="mask", desc="clean", file=sys.stderr, disable=not progress)
    with folder:
        for i, (key, path) in enumerate(bar):
            try:
                painted = read_mask(path)
                cleaned = clean_mask(painted, paints, target, wanted)
                photo, file = _photo_of(key, images, painted)
                ids = cleaned.labels
                if wanted.size_px is not None:
                    ids = pad_labels(ids, wanted.size_px)
                    photo = None if photo is None else pad_image(photo, wanted.size_px)
                names = folder.add(PurePosixPath(key).with_suffix("").as_posix(), ids, photo, file)
            except (FacePartsError, OSError) as error:
                failed[key] = one_line(str(error))
                click.echo(f"faceparts: FAILED {failed[key]}", err=True)
                continue
            pictures[key] = {
                "files": names,
                "moved_px": int(cleaned.moved.sum()),
                "doubtful_px": cleaned.doubtful,
                "sided_px": cleaned.sided,
            }
            total = Cleaned(
                total.labels,
                total.kept + cleaned.kept,
                total.moved + cleaned.moved,
                total.doubtful + cleaned.doubtful,
                total.sided + cleaned.sided,
            )
            if before_after is not None and i % step == 0:
                tiles += _before_after(painted, cleaned.labels, target, key)
    report = _as_report(masks, wanted, paints, target, total, pictures, failed)
    folder.describe(report)
    if before_after is not None:
        data = encode_picture(sheet(tiles, target), format="PNG")
        write_atomic(before_after, data, force=force)
    text = _report.to_json(report) if as_json else "\n".join(_as_text(report, out)) + "\n"
    click.echo(text, nl=False)
    return EXIT_FAILED if failed else 0


def read_mask(path: Path) -> Image:
    """(H, W, 3) RGB of a mask file, its colours as they are.

    Raises:
        UnreadableImage: the file is damaged or no picture.
    """
    return read_picture(path).image


def _readable(items: Sequence[tuple[str, Path]]) -> Iterator[Image]:
    """Masks that can be read; the others fail later, by name."""
    for _, path in items:
        try:
            yield read_mask(path)
        except FacePartsError:
            continue


def _photo_of(key: str, images: Path | None, painted: Image) -> tuple[Image | None, Path | None]:
    """The photo of a mask: the same name in the folder of photos, with any suffix."""
    if images is None:
        return None, None
    stem = images / PurePosixPath(key).with_suffix("")
    suffixes = [suffix for known in SUFFIXES.values() for suffix in known]
    found = [p for s in suffixes for p in [stem.with_name(stem.name + s)] if p.is_file()]
    if not found:
        raise BadData(f"{key}: no photo {stem}.jpg, .png ...; wanted one of the mask's name")
    photo = read_picture(found[0]).image
    if photo.shape != painted.shape:
        raise BadData(
            f"{found[0]}: {photo.shape[1]}x{photo.shape[0]} pixels, its mask "
            f"{painted.shape[1]}x{painted.shape[0]}; wanted the same size"
        )
    return photo, found[0]


def _before_after(painted: Image, ids: NDArray[np.uint8], target: LabelSet, key: str) -> list[Tile]:
    return [
        Tile(pad_image(painted, TILE_PX, 250), f"{key}, before"),
        label_tile(painted, ids, target, "after; striped: unknown", opacity=1.0),
    ]


# --- report --------------------------------------------------------------------------------------


def _as_report(
    masks: Path,
    wanted: Wanted,
    paints: Paints,
    target: LabelSet,
    total: Cleaned,
    pictures: dict[str, dict[str, Any]],
    failed: dict[str, str],
) -> dict[str, Any]:
    cap = safe_cap(paints.colours) if wanted.cap is None else wanted.cap
    return {
        "faceparts_data_clean": 1,
        "masks": str(masks),
        "method": wanted.method,
        "cap": round(cap, 2) if wanted.method == "nearest" else None,
        "palette": {
            part: colour for part, colour in zip(paints.parts, paints.colours.tolist(), strict=True)
        },
        "parts": list(target.parts),
        "split": list(wanted.split),
        "size_px": wanted.size_px,
        "pixels": {
            part: {"kept": int(kept), "moved": int(moved)}
            for part, kept, moved in zip(paints.parts, total.kept, total.moved, strict=True)
        },
        "doubtful_px": total.doubtful,
        "sided_px": total.sided,
        "pictures": pictures,
        "failed": failed,
    }


def _as_text(report: dict[str, Any], out: Path) -> list[str]:
    counts = report["pixels"]
    every = sum(c["kept"] + c["moved"] for c in counts.values()) + report["doubtful_px"]
    every = max(every, 1)
    cap = "" if report["cap"] is None else f", cap {report['cap']:g}"
    lines = [
        f"{report['masks']}: {report['method']}{cap} -> {out}",
        f"  {'part':<16}{'colour':>13}{'exact':>9}{'moved':>9}",
    ]
    for part, colour in report["palette"].items():
        kept, moved = (100 * counts[part][k] / every for k in ("kept", "moved"))
        rgb = ",".join(map(str, colour))
        lines.append(f"  {part:<16}{rgb:>13}{kept:>8.2f}%{moved:>8.2f}%")
    lines.append(f"  {'(unknown)':<16}{'':>13}{'':>9}{100 * report['doubtful_px'] / every:>8.2f}%")
    if report["split"]:
        lines.append(f"  {report['sided_px']} pixels of {', '.join(report['split'])} got a side")
    lines.append(f"{len(report['pictures'])} masks cleaned, {len(report['failed'])} failed")
    return lines
