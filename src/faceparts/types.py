"""The nouns and the contracts of faceparts. Read this file first.

A picture is *read* to an array, heads are *detected*, each head is *cropped*, each crop is
*segmented* into a `Face`; *effects* turn picture + faces into a picture; a *sink* writes it.

Coordinates: x to the right, y down. ``box_xyxy`` and points are in picture pixels measured along
**edges** (the first pixel spans 0..1, its centre is 0.5). ``Crop.to_source`` maps pixel **centres**
(OpenCV's convention for ``warpAffine``). All arrays held by these types are read-only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from faceparts.errors import UnknownName

Image = NDArray[np.uint8]
"""(H, W, 3) uint8 RGB; only the last effect of a chain may return (H, W, 4) RGBA."""

IGNORE = 255
"""Label of pixels that are never trained on and never scored."""

POINTS = (
    *("right_eye", "left_eye", "nose", "right_ear", "left_ear"),
    *("right_mouth_corner", "left_mouth_corner"),
)
"""Order of `Head.points`; right and left are the subject's."""

POINTS_MIRROR = (1, 0, 2, 4, 3, 6, 5)
"""Order of the points after the picture was mirrored."""


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array itself when it is read-only already, else a read-only copy."""
    if array.flags.writeable:
        array = array.copy()
        array.flags.writeable = False
    return array


@dataclass(frozen=True)
class LabelSet:
    """The names, colours and mirror pairs of the parts that a model or dataset knows.

    Args:
        name: short name such as ``"celeba19"``.
        parts: part names; ``parts[0] == "background"``; left and right are the subject's.
        colors: one RGB triple 0..255 a part, for palettes and overlays.
        mirror: ``mirror[left_eye] == right_eye``: the id a part gets when the picture flips.

    Raises:
        ValueError: the tuples differ in length, the first part is not the background,
            a name occurs twice, or ``mirror`` is not its own inverse.
    """

    name: str
    parts: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    mirror: tuple[int, ...]

    def __post_init__(self) -> None:
        count = len(self.parts)
        if not count or self.parts[0] != "background":
            raise ValueError(f"label set {self.name!r}: the first part must be 'background'")
        if len(set(self.parts)) != count:
            raise ValueError(f"label set {self.name!r}: a part name occurs twice")
        if len(self.colors) != count or len(self.mirror) != count:
            raise ValueError(
                f"label set {self.name!r}: {count} parts, {len(self.colors)} colors and "
                f"{len(self.mirror)} mirror ids; wanted as many of each"
            )
        if sorted(self.mirror) != list(range(count)) or any(
            self.mirror[self.mirror[i]] != i for i in range(count)
        ):
            raise ValueError(f"label set {self.name!r}: mirror must pair ids both ways")

    def id(self, part: str) -> int:
        """Number of a part.

        Raises:
            UnknownName: the label set has no such part; the message lists its parts.
        """
        try:
            return self.parts.index(part)
        except ValueError:
            raise UnknownName(
                f"no part named {part!r} in {self.name}; there are: {', '.join(self.parts)}"
            ) from None


class _Held:
    """Arrays stay read-only in copies and after pickling."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            held = _frozen(value) if isinstance(value, np.ndarray) else value
            object.__setattr__(self, name, held)


@dataclass(frozen=True, eq=False)
class Head(_Held):
    """One head found in a picture.

    Args:
        box_xyxy: left, top, right, bottom in picture pixels (edges); may leave the picture.
        score: 0..1, how sure the detector is.
        points: (7, 3) float32 x, y, score in the order of `POINTS`; ``nan`` where unseen.
        source: name of the detector that found it.
        seen_by: where several detectors looked: the names of those that saw it.
    """

    box_xyxy: tuple[float, float, float, float]
    score: float
    points: NDArray[np.float32]
    source: str = ""
    seen_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if np.shape(self.box_xyxy) != (4,) or not 0 <= self.score <= 1:
            raise ValueError(
                f"Head: got box {self.box_xyxy}, score {self.score}; wanted 4 sides and 0..1"
            )
        points = np.asarray(self.points, np.float32)
        if points.shape != (len(POINTS), 3):
            raise ValueError(f"Head.points: got shape {points.shape}, wanted ({len(POINTS)}, 3)")
        if not all(np.isfinite(self.box_xyxy)):
            raise ValueError(f"Head.box_xyxy: not finite: {self.box_xyxy}")
        object.__setattr__(self, "points", _frozen(points))
        object.__setattr__(self, "box_xyxy", tuple(float(v) for v in self.box_xyxy))
        object.__setattr__(self, "score", float(self.score))

    @staticmethod
    def no_points() -> NDArray[np.float32]:
        """A (7, 3) array of ``nan``: no point was seen."""
        return np.full((len(POINTS), 3), np.nan, np.float32)

    @property
    def size_wh(self) -> tuple[float, float]:
        """Width and height of the box in picture pixels."""
        x0, y0, x1, y1 = self.box_xyxy
        return x1 - x0, y1 - y0


@dataclass(frozen=True, eq=False)
class Crop(_Held):
    """A square cut of a picture and the way back.

    Args:
        image: (S, S, 3) uint8 RGB.
        to_source: (2, 3) float64 affine map from crop pixel centres to picture pixel centres.
        source_hw: height and width of the picture.
    """

    image: Image
    to_source: NDArray[np.float64]
    source_hw: tuple[int, int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "image", _frozen(self.image))
        object.__setattr__(self, "to_source", _frozen(np.asarray(self.to_source, np.float64)))


@dataclass(frozen=True, eq=False)
class Face(_Held):
    """One head with its parts: the only result type.

    The part maps live in a *window* of the picture, at the picture's own resolution: probabilities
    were warped back before the arg max, so edges are smooth at any size. `labels` and `confidence`
    cover ``window_xyxy``; everything outside the window is background.

    Args:
        head: the detected head.
        crop: the square that the segmenter saw.
        labels: (h, w) uint8 part ids inside the window, at picture resolution; pixels that belong
            to another, overlapping face are background here.
        confidence: (h, w) float32 0..1: probability of the winning part.
        window_xyxy: left, top, right, bottom of the window in whole pixels; inside the picture.
        label_set: what the ids mean.
    """

    head: Head
    crop: Crop
    labels: NDArray[np.uint8]
    confidence: NDArray[np.float32]
    window_xyxy: tuple[int, int, int, int]
    label_set: LabelSet

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.window_xyxy
        if self.labels.shape != (y1 - y0, x1 - x0) or self.confidence.shape != self.labels.shape:
            raise ValueError(
                f"Face: labels {self.labels.shape} and confidence {self.confidence.shape} must "
                f"both have the window's shape {(y1 - y0, x1 - x0)}"
            )
        object.__setattr__(self, "labels", _frozen(self.labels))
        object.__setattr__(self, "confidence", _frozen(self.confidence))

    def __repr__(self) -> str:
        """In one line where it is and what it has; the arrays would fill a screen."""
        box = ", ".join(f"{side:.0f}" for side in self.head.box_xyxy)
        names = dict(enumerate(self.label_set.parts))
        found = ", ".join(names.get(i, str(i)) for i in np.unique(self.labels).tolist() if i)
        return f"<Face at ({box}), score {self.head.score:.2f}: {found or 'no parts'}>"

    @cached_property
    def source_hw(self) -> tuple[int, int]:
        """Height and width of the picture."""
        return self.crop.source_hw

    def window_mask(self, *parts: str) -> NDArray[np.bool_]:
        """(h, w) bool inside the window: pixels of any of the parts; no part = all but background.

        Raises:
            UnknownName: a part is not in the label set.
        """
        if not parts:
            return np.asarray(self.labels != 0)
        table = np.zeros(256, bool)
        table[[self.label_set.id(p) for p in parts]] = True
        chosen: NDArray[np.bool_] = table[self.labels]
        return chosen

    def mask(self, *parts: str) -> NDArray[np.bool_]:
        """(H, W) bool over the whole picture; no part = everything but the background."""
        full = np.zeros(self.source_hw, bool)
        x0, y0, x1, y1 = self.window_xyxy
        full[y0:y1, x0:x1] = self.window_mask(*parts)
        return full

    def alpha(self, *parts: str) -> NDArray[np.float32]:
        """(H, W) float32 0..1: how sure the mask is; 0 outside it."""
        full = np.zeros(self.source_hw, np.float32)
        x0, y0, x1, y1 = self.window_xyxy
        full[y0:y1, x0:x1] = np.where(self.window_mask(*parts), self.confidence, 0)
        return full

    def area_px(self, *parts: str) -> int:
        """Number of picture pixels of the parts; no part = everything but the background."""
        return int(np.count_nonzero(self.window_mask(*parts)))


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture on its way through `faceparts.run`.

    Args:
        key: what the picture is called in reports: a relative path, or ``clip.mp4#12``.
        image: (H, W, 3) uint8 RGB.
        time_s: presentation time in seconds (pts x time base); ``None`` for still pictures.
    """

    key: str
    image: Image
    time_s: float | None = None


@dataclass(frozen=True, eq=False)
class Sample:
    """One labelled picture.

    Args:
        key: stable name inside its dataset.
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8 part ids, `IGNORE` where unknown.
        subject: who is on it, so that no split has one person on both sides; ``None`` if unknown.
    """

    key: str
    image: Image
    labels: NDArray[np.uint8]
    subject: str | None = None


@dataclass(frozen=True, eq=False)
class HeadSample:
    """One picture with all its heads marked.

    Args:
        key: stable name inside its dataset.
        image: (H, W, 3) uint8 RGB.
        boxes_xyxy: (N, 4) float32 head boxes in picture pixels (edges).
        points: (N, 7, 3) float32 x, y, visibility (1 seen, 0 hidden) in the order of `POINTS`;
            ``nan`` where nobody marked the point.
    """

    key: str
    image: Image
    boxes_xyxy: NDArray[np.float32]
    points: NDArray[np.float32]


@dataclass(frozen=True)
class ModelCard:
    """What a weights file says about itself; travels inside the file.

    Args:
        name: name of the model, such as ``"partnet"``.
        task: ``"segment"`` or ``"detect"``.
        label_set: name of the label set (``""`` for detectors).
        input_px: side of the square input; 0 where any multiple of 32 is taken.
        mean, std: RGB mean, subtracted first, and divisor, on the 0..255 scale.
        margin: share of the longer head-box side added on every side when cropping.
        trained_on: names of the data, in words.
        license: licence of the weights file (SPDX).
        data_license: terms of the training data, in words.
        commercial_ok: whether the data's terms allow commercial use.
        metrics: measured results; the keys name protocol and unit.
        output: what a parser's file puts out: ``"probs"`` or ``"logits"``.
        threshold: score from which a detector's find counts by default.
        notes: anything else a user must know.
        shrink_px: side to which crops are first scaled down, and back; 0 = never.
        mixed_with: nets whose weights were mixed into these; they have learnt from pictures too.
        even_light: pictures in poor or coloured light are evened out before the net sees them.
    """

    name: str
    task: str
    label_set: str
    input_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    margin: float
    trained_on: tuple[str, ...]
    license: str
    data_license: str
    commercial_ok: bool
    metrics: dict[str, float]
    output: str = "probs"
    threshold: float = 0.5
    notes: str = ""
    shrink_px: int = 0
    mixed_with: tuple[str, ...] = ()
    even_light: bool = False


class HeadDetector(Protocol):
    """Finds heads in a picture."""

    def detect(self, image: Image) -> list[Head]:
        """Heads in the picture, best first; ``[]`` is a normal answer."""
        ...


class Segmenter(Protocol):
    """Gives every pixel of a crop a probability for each part.

    One may also have ``maps``, which is `predict` without the last enlarging: (N, S, S, 3) ->
    (N, K, s, s). `FaceParser` takes it where it is there.
    """

    @property
    def card(self) -> ModelCard: ...

    @property
    def label_set(self) -> LabelSet: ...

    def predict(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, S, S, 3) uint8 RGB -> (N, K, S, S) float32 that sums to 1 over K; N >= 0."""
        ...


class Dataset(Protocol):
    """A folder of labelled pictures."""

    @property
    def label_set(self) -> LabelSet: ...

    def __len__(self) -> int: ...

    def __getitem__(self, i: int) -> Sample: ...


class HeadDataset(Protocol):
    """A folder of pictures with head boxes."""

    def __len__(self) -> int: ...

    def __getitem__(self, i: int) -> HeadSample: ...


class Effect(Protocol):
    """Turns picture + faces into a picture; pure: a new array, never in place."""

    def __call__(self, image: Image, faces: Sequence[Face]) -> Image: ...


class Sink(Protocol):
    """Takes results; on error no half-written file stays."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...

    def write(self, frame: Frame, image: Image, faces: Sequence[Face]) -> None: ...
