"""``data.json``: content hashes of the pictures that a training saw.

With it ``faceparts evaluate`` and ``audit --trained-on-list`` can tell, picture by picture, whether
a model was trained on what it is measured on. Pictures are named as their dataset names them, and
folders as the recipe does; where they lie on a machine is not told.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Protocol

from faceparts import folder
from faceparts.errors import BadData
from faceparts.evaluate.run_parts import file_hash, hash_pixels
from faceparts.streams.files import write_atomic
from faceparts.train import answers
from faceparts.train.config import Recipe, Source

FILE = "data.json"
PICTURES = (".jpg", ".png")
"""Files that count in a folder of negatives."""

Row = dict[str, str]
"""``source``, ``key`` and ``sha256`` of one picture."""


class Place(Protocol):
    """A dataset of a recipe, of whatever kind."""

    @property
    def name(self) -> str:
        """Adapter in ``faceparts.datasets``."""
        ...

    @property
    def root(self) -> str:
        """Folder below the data root."""
        ...

    @property
    def split(self) -> str:
        """Split of the adapter."""
        ...


@dataclass(frozen=True)
class Used:
    """What a training is made from, as far as pictures go.

    Args:
        name: of the model.
        learnt: sources whose pictures are learnt from.
        chose: sources whose pictures choose the checkpoint.
        negatives: folder of pictures without people that are learnt from; empty = none.
        init: exported net that the training starts from: it has learnt from pictures before.
        taught_by: nets whose answers are learnt from (`distill`, `vote`): the same is true of them,
            as of those whose ``answers`` a source has.
    """

    name: str
    learnt: Sequence[Source]
    chose: Sequence[Source] = ()
    negatives: str = ""
    init: str = ""
    taught_by: Sequence[str] = ()


def used_by(recipe: Recipe) -> Used:
    """What a recipe uses. Occluders are left out: nothing is measured on them."""
    voters = [model for source in recipe.data for model in source.vote]
    taught_by = [*voters, *([recipe.distill.model] if recipe.distill.model else ())]
    return Used(recipe.name, recipe.data, recipe.val, recipe.negatives, recipe.init, taught_by)


def write_data(used: Used, root: Path, path: Path, *, resumed: bool = False) -> None:
    """Write ``data.json``; `evaluate.held_out.read_lists` reads it.

    Args:
        used: what is learnt from.
        root: data root.
        path: file to write.
        resumed: the training goes on from a checkpoint: what it has learnt from before stays in
            the list, whether it is still in the recipe or not.

    Raises:
        BadData: a source cannot be opened, a picture cannot be read, or the file that a resumed
            training would add to is damaged.
        UnwritableOutput: the system refuses.
    """
    pictures = [row for source in used.learnt for row in _rows_of(source, root)]
    pictures += _rows_of_negatives(root / used.negatives) if used.negatives else ()
    chose = [row for source in used.chose for row in _rows_of(source, root)]
    answered = [net for source in used.learnt for net in _nets_of(source, root)]
    before_it = (used.init, *used.taught_by, *answered)
    began = [PurePath(model).name.partition(".")[0] for model in before_it if model]
    if resumed and path.exists():
        before = _read(path)
        pictures, chose = before["pictures"] + pictures, before["chose"] + chose
        began = before["started_from"] + began
    _write(path, used.name, began, pictures, chose)


def write_some(
    name: str, sources: Sequence[Place], keys: Collection[str], root: Path, path: Path
) -> None:
    """`write_data` of a model that learns from some pictures of its sources and from nothing else.

    Args:
        name: of the model.
        sources: adapters and where they find their data.
        keys: ``ADAPTER:SPLIT/KEY`` of the pictures that are learnt from.
        root: data root.
        path: file to write.

    Raises:
        BadData: a source cannot be opened, or a picture cannot be read.
        UnwritableOutput: the system refuses.
    """
    rows = [
        row
        for source in sources
        for row in _rows_of(source, root)
        if f"{source.name}:{source.split}/{row['key']}" in keys
    ]
    _write(path, name, (), rows, ())


def _write(
    path: Path, name: str, began: Iterable[str], pictures: Sequence[Row], chose: Sequence[Row]
) -> None:
    found = {
        "faceparts_training_data": 1,
        "name": name,
        "started_from": list(dict.fromkeys(began)),
        "pictures": _each_once(pictures),
        "chose": _each_once(chose),
    }
    write_atomic(path, (json.dumps(found, indent=1) + "\n").encode(), force=True)


def _nets_of(source: Source, root: Path) -> list[str]:
    """The nets whose answers a source has, as the report beside them says."""
    if not source.answers:
        return []
    path = root / source.answers / answers.REPORT
    try:
        return [str(net["net"]) for net in json.loads(path.read_text(encoding="utf-8"))["nets"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadData(
            f"{path}: does not say whose answers these are ({type(error).__name__}); write them "
            "with 'faceparts data answers'"
        ) from error


def _rows_of(source: Place, root: Path) -> Iterator[Row]:
    place = PurePath(source.root)
    told = f"{source.name}:{place.name if place.is_absolute() else place}:{source.split}"
    dataset = folder.load("faceparts.datasets", source.name).load(root / place, source.split)
    for i in range(len(dataset)):
        sha256 = file_hash(dataset, i)
        if sha256 is not None:
            yield {"source": told, "key": dataset.pairs[i].key, "sha256": sha256}
            continue
        sample = dataset[i]
        yield {"source": told, "key": sample.key, "sha256": hash_pixels(sample.image)}


def _rows_of_negatives(place: Path) -> Iterator[Row]:
    if not place.is_dir():
        raise BadData(f"{place}: no such folder; it should hold pictures without people")
    for path in sorted(p for p in place.iterdir() if p.suffix.lower() in PICTURES):
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        yield {"source": place.name, "key": path.name, "sha256": sha256}


def _each_once(rows: Sequence[Row]) -> list[Row]:
    return list({tuple(row.items()): row for row in rows}.values())


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        rows = [row for key in ("pictures", "chose") for row in found[key]]
        texts = [*found["started_from"], *(row[k] for row in rows for k in row)]
        if all(isinstance(text, str) for text in texts):
            return dict(found)
        reason = "not all are texts"
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
    raise BadData(
        f"{path}: not the list of this training's pictures ({' '.join(reason.split())}); move it "
        "away, and the new list will hold only what is learnt from now on"
    )
