"""Small data and models for tests of evaluation: every number can be worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cli_world import make_card
from dataset_folders import Drawn, save
from drawn import drawn_face
from faceparts import labels
from faceparts.types import Head, HeadSample, LabelSet, ModelCard, Sample

Ids = NDArray[np.uint8]


@dataclass(frozen=True)
class ListOf:
    """Samples as a dataset."""

    samples: Sequence[Any]
    label_set: LabelSet = labels.CELEBA19

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, i: int) -> Any:
        return self.samples[i]


@dataclass
class Codebook:
    """A parser that reads part ids from the red channel: ``id * 10``, noise in green and blue.

    Args:
        label_set: what it puts out.
        sure: probability of the part that wins; the rest is shared by the others.
        mistakes: id seen -> id said.
    """

    label_set: LabelSet = labels.CELEBA19
    side_px: int = 32
    sure: float = 0.9
    mistakes: dict[int, int] = field(default_factory=dict)
    calls: int = 0

    @property
    def card(self) -> ModelCard:
        return replace(make_card(), input_px=self.side_px, label_set=self.label_set.name)

    def predict(self, crops: Ids) -> NDArray[np.float32]:
        self.calls += 1
        count = len(self.label_set.parts)
        seen = np.clip(np.rint(crops[..., 0] / 10), 0, count - 1).astype(int)
        table = np.array([self.mistakes.get(i, i) for i in range(count)])
        said = table[seen]
        probs = np.full((len(crops), count, *crops.shape[1:3]), (1 - self.sure) / (count - 1))
        np.put_along_axis(probs, said[:, None], self.sure, axis=1)
        return probs.astype(np.float32)


@dataclass(frozen=True)
class Boxes:
    """A detector that finds the same boxes in every picture."""

    boxes: Sequence[tuple[float, float, float, float]]

    def detect(self, image: Any) -> list[Head]:
        return [Head(b, 0.9 - 0.01 * i, Head.no_points()) for i, b in enumerate(self.boxes)]


def coded(ids: Ids, seed: int = 0) -> Ids:
    """A picture whose red channel holds the ids."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*ids.shape, 3), dtype=np.uint8)
    image[..., 0] = np.where(ids == 255, 0, ids) * 10
    return image


def sample(ids: Any, key: str = "a", seed: int = 0) -> Sample:
    ids = np.asarray(ids, np.uint8)
    return Sample(key, coded(ids, seed), ids)


def drawn_sample(seed: int = 0, side: int = 64, *, mirrored: bool = False) -> Sample:
    """A drawn face on a square, CelebAMask ids."""
    image, face = drawn_face(
        (side, side), (side / 2, side / 2), (0.6 * side, 0.8 * side), seed=seed
    )
    ids = np.zeros((side, side), np.uint8)
    x0, y0, x1, y1 = face.window_xyxy
    ids[y0:y1, x0:x1] = face.labels
    if mirrored:
        image, ids = np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(ids[:, ::-1])
    return Sample(f"drawn{seed}", image, ids)


def head_sample(
    boxes: Any, key: str = "a", seed: int = 0, hw: tuple[int, int] = (80, 100)
) -> HeadSample:
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    image = np.random.default_rng(seed).integers(0, 256, (*hw, 3), dtype=np.uint8)
    return HeadSample(key, image, boxes, np.full((len(boxes), 7, 3), np.nan, np.float32))


def write_packed(root: Path, split: str, key: str, one: Drawn) -> None:
    """A drawn face in the packed CelebAMask layout."""
    save(root / split / "images" / f"{key}.jpg", one.image)
    save(root / split / "masks" / f"{key}.png", one.ids)


# --- pages ---

EVIL = "<script>alert('x')</script>\"'&<img src=http://evil>"
VOID = {"img", "meta", "br", "hr", "link"}


class Outline(HTMLParser):
    """What is in a page; complains about tags that do not close."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.text, self.ids = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if "id" in dict(attrs):
            self.ids.append(dict(attrs)["id"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def named(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


def outline(text):
    seen = Outline()
    seen.feed(text)
    seen.close()
    assert not seen.open
    return seen


def assert_safe(text):
    """No script, no event, nothing that a browser would fetch or follow out of the page."""
    seen = outline(text)
    assert not {tag for tag, _ in seen.tags} & {
        "script",
        "iframe",
        "object",
        "link",
        "base",
        "form",
    }
    for _, attributes in seen.tags:
        assert not [key for key in attributes if key.startswith("on")]
        assert attributes.get("href", "#").startswith("#")
        assert attributes.get("src", "data:image/jpeg;base64,").startswith(
            "data:image/jpeg;base64,"
        )
    assert "url(" not in text and "@import" not in text
    policy = next(a["content"] for a in seen.named("meta") if "http-equiv" in a)
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    for attributes in seen.named("a"):
        assert attributes["href"][1:] in seen.ids
    return seen
