"""What ``faceparts data pseudolabel`` does."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import click
import numpy as np
from tqdm import tqdm

from faceparts import labels
from faceparts._headers import one_line
from faceparts.cli import _report
from faceparts.cli._data_earlier import REPORT, remove_listed
from faceparts.cli._data_folder import IMAGES, MASKS, pairs_toml
from faceparts.cli._data_sources import require_new
from faceparts.cli._parser import describe
from faceparts.cli._version import versions
from faceparts.cli.main import EXIT_FAILED, EXIT_INTERRUPTED
from faceparts.errors import UsageError
from faceparts.evaluate.pseudolabel import Filters, Labelled, Labeller
from faceparts.images import encode_picture, read_picture
from faceparts.parse import FaceParser
from faceparts.run import run
from faceparts.segment import files as segmenters
from faceparts.streams.files import InputFile, find_inputs, write_atomic
from faceparts.streams.results import classes_json, encode_labels
from faceparts.types import IGNORE, Frame, Head, Image, LabelSet
from faceparts.weights import find

CROPS = "crops"
"""Folder below the output for the ``facecrops`` layout, and its split."""

JPEG_QUALITY = 95


@dataclass(frozen=True)
class Models:
    """Which nets look; see the help texts of ``faceparts data pseudolabel``."""

    model: str = "partnet"
    agree_with: str | None = None
    detector: str = "headnet"
    min_score: float | None = None
    threads: int | None = None
    device: str = "cpu"
    precision: str = "auto"


def run_pseudolabel(
    photos: Sequence[str],
    out: Path,
    models: Models,
    filters: Filters,
    *,
    layout: str,
    force: bool,
    as_json: bool,
    progress: bool,
) -> int:
    """Label every head in the photos, keep what holds, and say why the rest is not kept.

    Returns:
        The exit code: 1 if a photo failed, 130 if interrupted.

    Raises:
        UsageError: nothing to label, nets that do not fit, or a folder that is not free.
        UnknownName, BadWeights: see `faceparts.segment.files.load`.
    """
    require_new(out, [Path(p) for p in photos if Path(p).is_dir()], force=force)
    options: dict[str, Any] = {
        "threads": models.threads,
        "device": models.device,
        "precision": models.precision,
    }
    segmenter = segmenters.load(models.model, **options)
    other = segmenters.load(models.agree_with, **options) if models.agree_with else None
    parser = FaceParser(models.detector, segmenter, min_score=models.min_score, **options)
    labeller = Labeller(segmenter, filters, other)
    writer = _Writer(out, segmenter.label_set, layout, force=force)
    items = find_inputs(list(photos), out_dir=out)
    crops: list[dict[str, Any]] = []
    failed: dict[str, str] = {}

    def read(item: InputFile) -> Frame:
        return Frame(item.key, read_picture(item.path or sys.stdin.buffer).image)

    def write(frame: Frame, image: Image, heads: Sequence[Head]) -> list[str]:
        written: list[str] = []
        for index, head in enumerate(heads):
            found = labeller.label(image, head)
            names = writer.add(frame.key, index, found) if found.kept else []
            written += names
            crops.append(_entry(frame.key, index, head, found, names))
        return written

    if force:
        remove_listed(out)
    interrupted = False
    with (
        tqdm(total=len(items), unit="photo", file=sys.stderr, disable=not progress) as bar,
        closing(run(items, read, parser.detect, None, write)) as results,
    ):
        try:
            for result in results:
                bar.update()
                if result.error is not None:
                    failed[result.key] = one_line(result.error)
                    bar.write(f"faceparts: FAILED {result.key}: {failed[result.key]}", sys.stderr)
        except KeyboardInterrupt:
            interrupted = True
    report = {
        "faceparts_data_pseudolabel": 1,
        "status": "interrupted" if interrupted else "failed" if failed else "done",
        "photos": len(items),
        "heads": len(crops),
        "kept": sum(bool(c["kept"]) for c in crops),
        "layout": writer.layout,
        "label_set": writer.label_set.name,
        "unknown_share": writer.unknown_share(),
        "settings": {**asdict(models), **asdict(filters)},
        "models": [
            describe(find(name, precision=models.precision, device=models.device))
            for name in (models.model, models.agree_with)
            if name is not None
        ],
        "versions": versions(),
        "failed": failed,
        "crops": crops,
    }
    writer.describe(report)
    text = _report.to_json(report) if as_json else "\n".join(_as_text(report, out)) + "\n"
    click.echo(text, nl=False)
    return EXIT_INTERRUPTED if interrupted else EXIT_FAILED if failed else 0


class _Writer:
    """Writes kept crops in the layout of ``facecrops`` or ``pairs``."""

    def __init__(self, out: Path, label_set: LabelSet, layout: str, *, force: bool) -> None:
        celeba = labels.CELEBA19
        is_celeba = set(label_set.parts) == set(celeba.parts)
        if layout == "auto":
            layout = "facecrops" if is_celeba else "pairs"
        if layout == "facecrops" and not is_celeba:
            raise UsageError(
                f"--layout facecrops holds CelebAMask parts; the model has {label_set.name}"
            )
        self.layout, self.out, self._force = layout, out, force
        self.label_set = celeba if layout == "facecrops" else label_set
        self._table = labels.table(label_set, self.label_set)
        self._names: set[str] = set()
        self._unknown_px = self._all_px = 0

    def add(self, key: str, index: int, found: Labelled) -> list[str]:
        """Write one crop; nothing stays if its second file cannot be written."""
        name = self._free_name(key, index)
        ids = self._table[found.labels]
        self._unknown_px += int(np.count_nonzero(ids == IGNORE))
        self._all_px += ids.size
        mask = encode_labels(ids, self.label_set)
        if self.layout == "facecrops":
            photo = encode_picture(found.image, format="JPEG", quality=JPEG_QUALITY)
            files = [(f"{CROPS}/{name}.jpg", photo), (f"{CROPS}/{name}.png", mask)]
        else:
            photo = encode_picture(found.image, format="PNG")
            files = [(f"{IMAGES}/{name}.png", photo), (f"{MASKS}/{name}.png", mask)]
        written: list[str] = []
        try:
            for file, data in files:
                write_atomic(self.out / file, data, force=self._force)
                written.append(file)
        except BaseException:
            for file in written:
                (self.out / file).unlink(missing_ok=True)
            raise
        return written

    def _free_name(self, key: str, index: int) -> str:
        """A flat name for a head of a photo, unlike all others, also where case is not told."""
        path = PurePosixPath("stdin" if key == "-" else key)
        stem = "_".join(path.with_suffix("").parts)
        names = (f"{stem}_{index:02}{end}" for end in ("", *(f"-{n}" for n in range(2, 10**6))))
        name = next(n for n in names if n.casefold() not in self._names)
        self._names.add(name.casefold())
        return name

    def unknown_share(self) -> float | None:
        """Share of the written pixels that are `IGNORE`."""
        return round(self._unknown_px / self._all_px, 4) if self._all_px else None

    def describe(self, report: dict[str, Any]) -> None:
        """Write what the ids mean, and the report."""
        texts = {"classes.json": classes_json(self.label_set), REPORT: _report.to_json(report)}
        if self.layout == "pairs":
            texts["pairs.toml"] = pairs_toml(self.label_set)
        for name, text in texts.items():
            write_atomic(self.out / name, text.encode(), force=self._force)


def _entry(key: str, index: int, head: Head, found: Labelled, names: list[str]) -> dict[str, Any]:
    return {
        "photo": key,
        "head": index,
        "box_xyxy": [round(v, 1) for v in head.box_xyxy],
        "score": round(head.score, 4),
        **found.scores,
        "kept": found.kept,
        "reasons": list(found.reasons),
        "files": names,
    }


def _as_text(report: dict[str, Any], out: Path) -> list[str]:
    lines = [
        f"{report['photos']} photos, {report['heads']} heads, {report['kept']} kept in {out} "
        f"({report['layout']}, {report['label_set']})"
    ]
    if report["unknown_share"] is not None:
        lines.append(f"  {100 * report['unknown_share']:.1f}% of their pixels are unknown (255)")
    kinds = {
        "head of": "too small",
        "no part": "no part found",
        "the mirrored": "the mirrored look differs",
        "the other": "the other net differs",
        "sure of": "too unsure",
    }
    counts = Counter(
        words
        for crop in report["crops"]
        for reason in crop["reasons"]
        for start, words in kinds.items()
        if reason.startswith(start)
    )
    lines += [f"  not kept: {words:<26}{count:>6}" for words, count in counts.most_common()]
    lines.append(f"{len(report['failed'])} photos failed; {out / REPORT} has every head")
    return lines
