"""A folder of pictures and masks as the ``pairs`` adapter reads it back."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from faceparts.cli import _report
from faceparts.cli._data_earlier import REPORT, interrupted, remove_listed
from faceparts.datasets._pairs import read_rgb
from faceparts.errors import BadData, UnwritableOutput
from faceparts.images import encode_picture
from faceparts.streams.files import write_atomic
from faceparts.streams.results import classes_json, encode_labels
from faceparts.types import Image, LabelSet

IMAGES, MASKS = "images", "masks"

_KEPT_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


class PairsFolder:
    """Writes ``images/``, ``masks/``, ``pairs.toml``, ``classes.json`` and ``report.json``.

    As a context it begins with what an earlier run left (``force``), and leaves a list of its own
    files where it is interrupted.

    Args:
        out: the folder.
        label_set: what the ids in the masks mean.
        force: replace what an earlier run wrote.
    """

    def __init__(self, out: Path, label_set: LabelSet, *, force: bool) -> None:
        self.out, self.label_set, self._force = out, label_set, force
        self._taken: set[Path] = set()
        self._pairs: list[list[str]] = []

    def __enter__(self) -> Self:
        if self._force:
            remove_listed(self.out)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None and self._pairs:
            text = _report.to_json(interrupted(self._pairs))
            with suppress(UnwritableOutput):  # what went wrong first is told
                write_atomic(self.out / REPORT, text.encode(), force=True)

    def add(
        self,
        key: str,
        labels: NDArray[np.uint8],
        image: Image | None = None,
        file: Path | None = None,
    ) -> list[str]:
        """Write one pair; nothing stays if its second file cannot be written.

        Args:
            key: relative path without a suffix.
            labels: (H, W) ids.
            image: (H, W, 3) picture; ``None`` = the mask alone.
            file: where the picture came from: copied as it is if it holds just these pixels.

        Returns:
            What was written, relative to the folder.

        Raises:
            BadData: the key would leave the folder.
            UnwritableOutput: see `write_atomic`; also if a pair of this run has that name.
        """
        parts = PurePosixPath(key).parts
        if not parts or ".." in parts or PurePosixPath(key).is_absolute():
            raise BadData(f"{key!r}: not a name below a folder")
        mask = self.out / MASKS / f"{key}.png"
        files = [(mask, encode_labels(labels, self.label_set))]
        if image is not None:
            suffix, data = picture_bytes(image, file)
            files.append((self.out / IMAGES / f"{key}{suffix}", data))
        if mask in self._taken:
            raise UnwritableOutput(
                f"{mask}: another file of this run has that name but for its ending; rename one"
            )
        written: list[Path] = []
        try:
            for path, content in files:
                write_atomic(path, content, force=self._force)
                written.append(path)
        except BaseException:
            for path in written:
                path.unlink(missing_ok=True)
            raise
        self._taken.add(mask)
        self._pairs.append([path.relative_to(self.out).as_posix() for path in written])
        return self._pairs[-1]

    def describe(self, report: dict[str, Any]) -> None:
        """Write what the masks mean, and the report.

        Raises:
            UnwritableOutput: see `write_atomic`.
        """
        for name, text in (
            ("pairs.toml", pairs_toml(self.label_set)),
            ("classes.json", classes_json(self.label_set)),
            (REPORT, _report.to_json(report)),
        ):
            write_atomic(self.out / name, text.encode(), force=self._force)


def picture_bytes(image: Image, file: Path | None) -> tuple[str, bytes]:
    """Suffix and content of a picture file: the original if it holds these pixels, else PNG."""
    if file is not None and file.suffix.lower() in _KEPT_SUFFIXES and file.is_file():
        same = read_rgb(file)
        if same.shape == image.shape and np.array_equal(same, image):
            return file.suffix.lower(), file.read_bytes()
    return ".png", encode_picture(image, format="PNG")


def pairs_toml(label_set: LabelSet) -> str:
    """What the ids mean, for `faceparts.datasets.pairs`."""
    rows = [f"{json.dumps(part)} = {i}" for i, part in enumerate(label_set.parts)]
    head = [
        'kind = "masks"',
        f"name = {json.dumps(label_set.name)}",
        'left = "subject"',
        "",
        "[parts]  # 255 is unknown",
    ]
    return "\n".join([*head, *rows]) + "\n"
