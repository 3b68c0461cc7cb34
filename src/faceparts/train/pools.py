"""Sources of the parts task: labelled pictures in the trained label set, ready to be drawn from."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from faceparts import folder
from faceparts.errors import BadData
from faceparts.train import answers
from faceparts.train.clean import sort_sides
from faceparts.train.codes import Codes, to_trained
from faceparts.train.config import Source
from faceparts.train.vote import Voters, decide, load_voters
from faceparts.types import IGNORE, Image, LabelSet
from faceparts.weights import available_cores

KEEP_BYTES = 6 << 30
"""Decoded pictures and labels that a task keeps in memory; further ones are read when drawn."""

Labelled = tuple[Image, NDArray[np.uint8]]


@dataclass
class Pool:
    """One source, with the probability of every picture.

    Args:
        source: where it comes from.
        keys: what the pictures are called in messages.
        read: number of a picture -> picture and (H, W) ids, codes or `IGNORE`.
        kept: pictures that stay in memory, by number.
        odds: (N,) probability of every picture; sums to 1.
        pixels: (256,) number of pixels of every id over all pictures.
        answers: number of a picture -> (h, w, K) uint8 of `answers.read`, or `None`.
    """

    source: Source
    keys: tuple[str, ...]
    read: Callable[[int], Labelled]
    odds: NDArray[np.float64]
    pixels: NDArray[np.int64]
    kept: dict[int, Labelled] = field(default_factory=dict)
    answers: Callable[[int], NDArray[np.uint8] | None] = lambda _: None

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, i: int) -> Labelled:
        if not 0 <= i < len(self.keys):
            raise IndexError(i)
        return self.kept[i] if i in self.kept else self.read(i)

    @property
    def bytes(self) -> int:
        """Memory of what is kept."""
        return sum(image.nbytes + ids.nbytes for image, ids in self.kept.values())

    def __iter__(self) -> Iterator[Labelled]:
        return (self[i] for i in range(len(self)))


def read_pools(
    sources: Sequence[Source], root: Path, codes: Codes, *, quiet: bool = False
) -> list[Pool]:
    """All sources of a task; together they keep at most `KEEP_BYTES`. See `read_pool`."""
    found: list[Pool] = []
    left = KEEP_BYTES
    for source in sources:
        found.append(read_pool(source, root, codes, left, quiet=quiet))
        left -= found[-1].bytes
    return found


def read_pool(
    source: Source, root: Path, codes: Codes, keep_bytes: int, *, quiet: bool = False
) -> Pool:
    """Read every picture of a source once, and keep as many decoded as fit into ``keep_bytes``.

    With ``vote`` in the source its labels are decided anew, with ``answers`` by what was said
    before; a bar on stderr follows both unless it shall be ``quiet``.

    Raises:
        BadData: a file is missing or damaged, also of the answers, or the source says nothing about
            the trained parts.
        BadWeights: a voter's file is missing or damaged, or knows none of the trained parts.
    """
    module = folder.load("faceparts.datasets", source.name)
    where = f"{root / source.root}: {source.name} split {source.split!r}"
    if module.TASK != "parts":
        raise BadData(f"{where} has no part labels; use it with task = {module.TASK!r}")
    dataset = module.load(root / source.root, source.split)
    own: LabelSet = dataset.label_set
    table = to_trained(own, codes, partial=source.partial)
    if (table[: len(own.parts)] == IGNORE).all():
        raise BadData(
            f"{where} ({own.name}) labels nothing that {codes.label_set.name} knows; "
            "take it out of the recipe or train another label_set"
        )
    if source.sort_sides and "nose" not in own.parts:
        raise BadData(f"{where} ({own.name}) has no nose to sort sides by; leave sort_sides out")

    def read(i: int) -> Labelled:
        sample = dataset[i]
        ids = sort_sides(sample.labels, own) if source.sort_sides else sample.labels
        if sample.image.shape[:2] != ids.shape:
            raise BadData(
                f"{where}: {sample.key}: labels {ids.shape[1]}x{ids.shape[0]} for a picture of "
                f"{sample.image.shape[1]}x{sample.image.shape[0]}; wanted the same size"
            )
        keys[i] = f"{source.root}/{sample.key}"
        files[i] = root / source.answers / f"{sample.key}.png", ids.shape
        ids = table[ids]
        if source.answers:
            said = asked(i)
            if source.given >= 1 and (ids < said.shape[2]).all():
                return sample.image, ids
            probs = answers.enlarge(said, ids.shape)
            return sample.image, decide(probs, sample.image, ids, source.given, codes.parts)
        return sample.image, voters.vote(sample.image, ids) if voters else ids

    def asked(i: int) -> NDArray[np.uint8]:
        path, picture_hw = files[i]
        return answers.read(path, len(codes.label_set.parts), picture_hw)

    voters: Voters | None = None
    if source.vote:
        voters = load_voters(source.vote, root, codes.label_set, source.given, codes.parts)
    keys = [""] * len(dataset)
    files: dict[int, tuple[Path, tuple[int, int]]] = {}
    kept: dict[int, Labelled] = {}
    counts = np.zeros((len(dataset), 256), np.int64)
    with ThreadPoolExecutor(available_cores() if voters else 1) as threads:
        found = threads.map(read, range(len(dataset))) if voters else map(read, range(len(dataset)))
        words = f"{'answers for' if source.answers else 'vote on'} {source.root}"
        silent = quiet or not (voters or source.answers)
        bar = tqdm(found, words, len(dataset), file=sys.stderr, disable=silent, mininterval=1)
        try:
            for i, (image, ids) in enumerate(bar):
                counts[i] = np.bincount(ids.ravel(), minlength=256)
                keep_bytes -= image.nbytes + ids.nbytes
                if keep_bytes >= 0:
                    kept[i] = image, ids
        except BaseException:  # Ctrl-C above all: what waits is not looked at
            threads.shutdown(cancel_futures=True)
            raise
    if not len(dataset):
        raise BadData(f"{where} is empty; take it out of the recipe")
    odds = draw_odds(counts[:, : len(codes.label_set.parts)])
    found_answers = asked if source.answers else lambda _: None
    return Pool(source, tuple(keys), read, odds, counts.sum(axis=0), kept, found_answers)


def draw_odds(counts: NDArray[np.int64], often: float = 0.15) -> NDArray[np.float64]:
    """(N,) probability of each picture: those with a rare part come more often.

    Repeat factors as in Gupta et al., "LVIS", CVPR 2019, with the exponent 0.75.

    Args:
        counts: (N, K) pixels of every part; a part is there from 9 pixels on.
        often: parts on at least this share of the pictures are not rare.
    """
    has = counts > 8
    share = np.maximum(has.mean(axis=0), 1 / len(counts))
    factor = np.maximum(1.0, (often / share) ** 0.75)
    repeat = np.where(has, factor, 1.0).max(axis=1)
    return np.asarray(repeat / repeat.sum())


def class_weights(pixels: NDArray[np.int64], parts: int, balance: float) -> NDArray[np.float32]:
    """(K,) inverse pixel share to the power ``balance``, between 0.6 and 4; 0 = all alike."""
    share = np.maximum(pixels[:parts] / max(1, pixels[:parts].sum()), 1e-6)
    return np.asarray(np.clip((0.02 / share) ** balance, 0.6, 4), np.float32)
