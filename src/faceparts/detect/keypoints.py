"""Heads from body keypoints: any nose, eye or ear of any person is enough.

The road of "Robust Face Segmentation" (2020): a pose model finds people with COCO's 17 keypoints,
and a box is laid around the head's. Any pose model in an ONNX or TFLite file will do; a small card
beside it says how it is used (`faceparts.detect._pose_card`). None is shipped.

A model that sees one person at a time looks at the whole picture, at tiles of it, and at the upper
bodies below heads that another detector found.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from faceparts import folder
from faceparts._values import require_range
from faceparts.crops import check_image
from faceparts.detect._head_rules import (
    S0_FACTOR,
    S0_LEAST_RADIUS_PX,
    Box,
    fixed_box,
    head_box,
    s0_box,
    seen_rows,
)
from faceparts.detect._people import HEAD, Array, Person, head_points
from faceparts.detect._pose_card import PoseCard
from faceparts.detect._pose_models import PoseModel, open_pose_model
from faceparts.detect._regions import heads_worth_looking, tiles, touches, whole
from faceparts.detect._suppress import suppress
from faceparts.errors import UsageError
from faceparts.types import Head, HeadDetector, Image
from faceparts.weights import find

RULES = ("head", "s0")
"""``"head"``: a box around the head; ``"s0"``: the published rule, a generous square."""

SAME_HEAD_IOU = 0.4
"""Heads found in several regions that overlap by more count once."""

MAX_BOX_PX = 100_000


def heads_from_people(
    people: Iterable[Person],
    threshold: float,
    *,
    rule: str = "head",
    box_px: float | None = None,
    factor: float = S0_FACTOR,
    least_radius_px: float = S0_LEAST_RADIUS_PX,
    scale: float = 1.0,
    known: Sequence[Head] = (),
    image: Image | None = None,
) -> list[Head]:
    """Heads of people, best first; each head once.

    Args:
        threshold: score from which a keypoint counts.
        rule: see `RULES`.
        box_px: side of every box, in place of a rule.
        factor, least_radius_px: of the rule ``"s0"``.
        scale: factor on the sizes of the rule ``"head"``.
        known: heads that another detector found; they give a person its size of whom a single
            head keypoint is seen and nothing else.
        image: heads that lie beside it are left out.

    Returns:
        Heads whose score is the mean score of the head keypoints that count. A person without any
        has no head; one whose size is unknown has none by the rule ``"head"``.
    """
    heads: list[Head] = []
    cores: list[Box] = []
    for person in people:
        seen = person.seen(threshold)
        points = seen[:HEAD]
        core = head_box(seen, scale, _known_size(points, known))
        box = core
        if box_px is not None:
            box = fixed_box(points, box_px)
        elif rule == "s0":
            box = s0_box(points, factor, least_radius_px)
        if box is None or (image is not None and not touches(core or box, image)):
            continue
        score = float(np.mean(seen_rows(points)[:, 2]))
        heads.append(Head(box, score, head_points(seen), "keypoints"))
        cores.append(core or box)
    boxes = np.array(cores, np.float64).reshape(-1, 4)
    scores = np.array([head.score for head in heads], np.float64)
    return [heads[i] for i in suppress(boxes, scores, max_iou=SAME_HEAD_IOU)]


def _known_size(points: Array, known: Sequence[Head]) -> float:
    """Size of the smallest known head that holds all the points; ``nan`` if none does."""
    rows = seen_rows(points)
    sizes = [
        math.sqrt(math.prod(head.size_wh))
        for head in known
        if (rows[:, :2] >= head.box_xyxy[:2]).all() and (rows[:, :2] <= head.box_xyxy[2:]).all()
    ]
    return min(sizes, default=math.nan)


class Keypoints:
    """Finds heads with a pose model.

    Args:
        model: the opened pose model.
        min_score: score from which a keypoint counts; ``None`` = the card's threshold.
        rule, box_px, factor: see `heads_from_people`.
        tiles: look at tiles too, not only at the whole picture; slower, finds small people.
        finder: detector whose heads are looked at closely, for models that see one person at a
            time; ``None`` = nobody.
        further_files: weights of the finder, for reports.

    Raises:
        UsageError: an option is out of range.
    """

    def __init__(
        self,
        model: PoseModel,
        *,
        min_score: float | None = None,
        rule: str = "head",
        box_px: float | None = None,
        factor: float = S0_FACTOR,
        tiles: bool = True,
        finder: HeadDetector | None = None,
        further_files: tuple[Path, ...] = (),
    ) -> None:
        threshold = model.card.threshold if min_score is None else min_score
        threshold = require_range("min_score", threshold, 0, 1)
        if rule not in RULES:
            raise UsageError(f"head rule: got {rule!r}, wanted one of {', '.join(RULES)}")
        if box_px is not None and not 1 <= box_px <= MAX_BOX_PX:
            raise UsageError(f"box_px: got {box_px}, wanted 1 to {MAX_BOX_PX}")
        if not 0.1 <= factor <= 100:
            raise UsageError(f"factor: got {factor}, wanted 0.1 to 100")
        self._model = model
        self._threshold = threshold
        self._rule = rule
        self._box_px = box_px
        self._factor = factor
        self._tiles = tiles
        self._finder = None if model.sees_many else finder
        self.further_files = further_files

    @property
    def card(self) -> PoseCard:
        """How the model is used."""
        return self._model.card

    def detect(self, image: Image) -> list[Head]:
        """Heads in an (H, W, 3) RGB picture, best first; ``[]`` is a normal answer.

        Raises:
            ValueError: the picture is not (H, W, 3) uint8.
            BadWeights: the model's outputs are not what its card promises.
        """
        check_image(image)
        return self.detect_with(image, [] if self._finder is None else self._finder.detect(image))

    def detect_with(self, image: Image, heads: Sequence[Head]) -> list[Head]:
        """The same where heads that another detector found are known already.

        A model that sees one person at a time looks at their bodies; the answer holds only heads
        that the keypoints tell.
        """
        check_image(image)
        return heads_from_people(
            self.find_people(image, heads),
            self._threshold,
            rule=self._rule,
            box_px=self._box_px,
            factor=self._factor,
            scale=self.card.head_scale,
            known=heads,
            image=image,
        )

    def find_people(self, image: Image, heads: Sequence[Head] = ()) -> list[Person]:
        """People with their keypoints; one who lies in several regions is there several times."""
        # whoever sees many people sees more in tiles only where these are larger than its input
        closer = not self._model.sees_many or min(image.shape[:2]) >= 2 * self._model.view_px
        regions = [whole(image), *(tiles(image) if self._tiles and closer else ())]
        if not self._model.sees_many:
            regions += heads_worth_looking(heads, image, self.card.body)
        return [person for people in self._model.find(image, regions) for person in people]


def load(
    weights: str | Path | None = None,
    *,
    threads: int | None = None,
    device: str = "cpu",
    precision: str = "auto",
    min_score: float | None = None,
    rule: str = "head",
    box_px: float | None = None,
    factor: float = S0_FACTOR,
    tiles: bool = True,
    near: str = "headnet",
) -> Keypoints:
    """Open a pose model as a head detector.

    Args:
        weights: an ``.onnx`` or ``.tflite`` file, with its card beside it unless its shapes tell.
        threads: processor threads; ``None`` = all cores that the process may use.
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``; TFLite files run on ``"cpu"`` only.
        precision: of the detector ``near``.
        min_score: score from which a keypoint counts; ``None`` = the card's threshold.
        rule, box_px, factor, tiles: see `Keypoints`.
        near: name of a shipped detector whose heads are looked at closely; ``""`` = none.

    Raises:
        UsageError: no weights, an option out of range, or the device is not there.
        UnknownName: no detector of the name ``near`` is shipped.
        BadWeights: the file or its card is missing, damaged or wrong.
        MissingExtra: the file needs LiteRT or SciPy: ``pip install 'faceparts[keypoints]'``.
    """
    if weights is None:
        raise UsageError(
            "detector 'keypoints' ships no weights; pass a pose model (.onnx or .tflite), such as "
            "MoveNet, by --detector-weights, in Python by detector_weights"
        )
    model = open_pose_model(Path(weights), threads=threads, device=device)
    finder: HeadDetector | None = None
    files: tuple[Path, ...] = ()
    if near and not model.sees_many:
        files = (find(near, precision=precision, device=device),)
        load_finder = folder.load("faceparts.detect", near).load
        finder = load_finder(files[0], threads=threads, device=device, precision=precision)
    return Keypoints(
        model,
        min_score=min_score,
        rule=rule,
        box_px=box_px,
        factor=factor,
        tiles=tiles,
        finder=finder,
        further_files=files,
    )
