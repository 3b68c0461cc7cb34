"""Which pixels must be hidden: the part mask, grown, and never less than an oval in the head box.

The rules, in the order in which they are applied. All lengths are shares of the head size (the
longer side of the head box), never pixels.

1. **Mask.** All pixels of the wanted parts, grown by ``margin`` x head size.
2. **Oval.** For ``head``: the ellipse that fills the head box, grown on each side by twice the
   ``margin``, for a box is rarely right to the pixel and mostly all there is to go by. (With once
   the margin 24 % of the heads of SCUT-HEAD val were covered by less than 95 %, with twice 12 %.)
   For ``face``: the ellipse that fills the box with its top lowered when the face is seen upright.
   A head box spans hair, hat, ears and chin from every side, so without further knowledge the face
   may be anywhere in it; only if both eyes and the nose or a mouth corner are seen, and the head
   is tilted less than 30 degrees, is the top lowered to 1.5 x the distance from eyes to mouth
   above the eyes, and never by more than 30 % of the box. (The hairline is about one such distance
   above the eyes; an ellipse is narrow at its top.) A head seen from behind, in profile or lying
   down therefore loses its whole ellipse, which is then grown by ``margin`` like the mask.
3. **Points.** For ``eyes``: a band from eye to eye. For eyes, nose, ears, mouth and lips: a disk
   around the detector's point, where it saw one. Where the parser found nose or mouth elsewhere, or
   not at all, the points may be those of a head that stands the other way round (`_points`): the
   oval of a face is then not lowered, and for all but ``eyes``, which lie in the middle, the grown
   ellipse of the box is hidden too.
4. **Nothing found.** A wanted part of which the parser found (almost) nothing and the detector saw
   no point is hidden by the face oval, or by the head oval if it is hair. Only parts that a head
   need not show (glasses, hat, earring, necklace, beard, facewear, ears, neck, clothes) may be
   absent. Hair is not among them: shorn hair looks just like hair that the parser missed.
5. **Unsure parser.** If the mean confidence of the head's pixels is below 0.6, or if they cover
   less than 15 % of the box, the head oval, 1.3 x as large, is hidden whatever was asked for.
6. **Holes.** For ``face`` and ``head`` whatever the region encloses on all sides is hidden too: an
   island between mask and oval shows skin that the parser missed.
7. **Keep.** Pixels of the parts to keep are spared, unless the parser is unsure: their mask with
   1 % of the head size (at least one pixel) taken off its edge, where the confidence is at least
   0.6. What is kept does not grow: hair that is kept casts no shadow on the background. Through
   glasses that are kept eyes may be seen: where the parser found an eye, and eyes are to be hidden,
   the band from eye to eye is hidden all the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts._values import require_range
from faceparts.effects._check import copy_picture
from faceparts.effects._parts import Wanted, parts_mask, require_words, resolve, split_words
from faceparts.effects._points import (
    MOUTH_POINTS,
    head_size_px,
    is_found,
    points_agree,
    seen_points,
)
from faceparts.effects._shapes import Capsule, Oval, Shape, WindowXyxy, clip_window
from faceparts.errors import UsageError
from faceparts.labels import GROUPS
from faceparts.types import Face, Image

SURE_CONFIDENCE = 0.6
SURE_SHARE = 0.15
UNSURE_SCALE = 1.3
_DISK_SHARE = 0.14  # radius around a point, of the head size
_KEEP_INSET_SHARE = 0.01
_UPRIGHT_TAN = 0.577  # 30 degrees

_WHOLE = frozenset(("face", "head"))
_ANCHORS: dict[str, tuple[str, ...]] = {
    "eyes": ("right_eye", "left_eye"),
    "right_eye": ("right_eye",),
    "left_eye": ("left_eye",),
    "nose": ("nose",),
    "ears": ("right_ear", "left_ear"),
    "right_ear": ("right_ear",),
    "left_ear": ("left_ear",),
    **dict.fromkeys(("lips", "mouth", "upper_lip", "lower_lip"), MOUTH_POINTS),
}
_MAY_BE_ABSENT = frozenset(
    (
        *("glasses", "hat", "earring", "necklace", "beard", "facewear", "neck", "clothes"),
        *("ears", "left_ear", "right_ear"),
    )
)


def is_parser_sure(face: Face) -> bool:
    """Whether the part mask can be trusted; see rule 5 above."""
    head = parts_mask(face, tuple(p for p in GROUPS["head"] if p in face.label_set.parts))
    bx0, by0, bx1, by1 = clip_window(face.head.box_xyxy, face.source_hw)
    wx0, wy0, _, _ = face.window_xyxy
    rows = slice(max(by0 - wy0, 0), max(by1 - wy0, 0))
    columns = slice(max(bx0 - wx0, 0), max(bx1 - wx0, 0))
    inside = head[rows, columns]
    area_px = np.count_nonzero(inside)
    if not area_px or area_px < SURE_SHARE * (bx1 - bx0) * (by1 - by0):
        return False
    mean = face.confidence[rows, columns].mean(where=inside, dtype=np.float64)
    return bool(mean >= SURE_CONFIDENCE)


def face_oval(face: Face, margin: float) -> Oval:
    """The ellipse that is hidden at least when the face is to be hidden; see rule 2 above."""
    whole = Oval(face.head.box_xyxy).scaled(1 + 2 * margin)
    x0, y0, x1, y1 = face.head.box_xyxy
    points = seen_points(face)
    right, left = points.get("right_eye"), points.get("left_eye")
    mouths = [points[name] for name in MOUTH_POINTS if name in points]
    if right is None or left is None or not (mouths or "nose" in points):
        return whole
    if not points_agree(face):
        return whole
    eyes = np.add(right, left) / 2
    # The tip of the nose is about 60 % of the way from the eyes to the mouth.
    down = np.mean(mouths, axis=0) - eyes if mouths else (np.array(points["nose"]) - eyes) / 0.6
    across = np.subtract(left, right)
    upright = (
        abs(across[1]) <= _UPRIGHT_TAN * abs(across[0])
        and abs(down[0]) <= _UPRIGHT_TAN * down[1]
        and float(np.hypot(*across)) >= 0.15 * (x1 - x0)
    )
    if not upright:
        return whole
    top = float(np.clip(eyes[1] - 1.5 * down[1], y0, y0 + 0.3 * (y1 - y0)))
    return Oval((x0, top, x1, y1))


def _point_shapes(face: Face, word: str) -> list[Shape]:
    """What is hidden around the detector's points for one word; see rule 3 above."""
    points = seen_points(face)
    seen = [points[name] for name in _ANCHORS.get(word, ()) if name in points]
    radius_px = _DISK_SHARE * head_size_px(face)
    if len(seen) == 2 and word != "ears":
        between_px = float(np.hypot(*np.subtract(seen[0], seen[1])))
        return [Capsule(seen[0], seen[1], max(radius_px, 0.4 * between_px))]
    return [Capsule(xy, xy, radius_px) for xy in seen]


def _shapes(face: Face, wanted: Wanted, margin: float) -> list[Shape]:
    """Everything but the part mask that one word hides, for a parser that is sure."""
    if wanted.word == "head":
        return [Oval(face.head.box_xyxy).scaled(1 + 4 * margin)]
    if wanted.word == "face":
        return [face_oval(face, margin)]
    shapes = _point_shapes(face, wanted.word)
    whole = Oval(face.head.box_xyxy).scaled(1 + 2 * margin)
    if shapes and wanted.word != "eyes" and not points_agree(face):
        return [*shapes, whole]
    if shapes or is_found(face, wanted.parts) or wanted.word in _MAY_BE_ABSENT:
        return shapes
    return [whole if wanted.word == "hair" else face_oval(face, margin)]


def hidden_region(
    face: Face, *, what: str = "face", keep: str = "", margin: float = 0.06
) -> tuple[WindowXyxy, NDArray[np.bool_]]:
    """The pixels that must not stay recognisable, by the rules at the top of this file.

    Args:
        what: ``"face"``, ``"head"``, ``"eyes"`` or comma-separated parts.
        keep: comma-separated parts to spare.
        margin: share of the head size by which the part mask, and for ``head`` the oval, is grown.

    Returns:
        A window in whole picture pixels, inside the picture and just large enough, and its (h, w)
        bool mask; ((0, 0, 0, 0), (0, 0)) where nothing of the head is inside the picture.

    Raises:
        UnknownName: the face's label set has no such part.
        UsageError: ``keep`` spares all that ``what`` hides.
        ValueError: the head box has no area.
    """
    size_px = head_size_px(face)
    words = resolve(face.label_set, what)
    sure = is_parser_sure(face)
    shapes: list[Shape] = [s for wanted in words for s in _shapes(face, wanted, margin)]
    if not sure:
        shapes.append(Oval(face.head.box_xyxy).scaled(UNSURE_SCALE))
    parts = parts_mask(face, tuple(p for wanted in words for p in wanted.parts))
    spared = resolve(face.label_set, keep)
    _refuse_nothing(words, spared)
    behind_glasses = _behind_glasses(face, words, spared)
    shapes += behind_glasses

    radius_px = margin * size_px
    bounds = [s.bounds() for s in shapes]
    rows, columns = np.flatnonzero(parts.any(axis=1)), np.flatnonzero(parts.any(axis=0))
    wx0, wy0, _, _ = face.window_xyxy
    if rows.size:
        x0, x1 = int(columns[0]) + wx0, int(columns[-1]) + 1 + wx0
        y0, y1 = int(rows[0]) + wy0, int(rows[-1]) + 1 + wy0
        bounds.append((x0 - radius_px, y0 - radius_px, x1 + radius_px, y1 + radius_px))
    if not bounds:
        return (0, 0, 0, 0), np.zeros((0, 0), bool)
    sides = np.array(bounds)
    window = clip_window(
        (sides[:, 0].min(), sides[:, 1].min(), sides[:, 2].max(), sides[:, 3].max()),
        face.source_hw,
    )
    kept = parts_mask(face, tuple(p for wanted in spared for p in wanted.parts if sure))
    mask = _grow(_paste(parts & ~kept, face.window_xyxy, window), radius_px)
    mask |= _paste(parts, face.window_xyxy, window)
    for shape in shapes:
        mask |= shape.cover(window)
    if any(wanted.word in _WHOLE for wanted in words):
        mask = _fill_holes(mask)
    inner = _shrink(
        kept & (face.confidence >= SURE_CONFIDENCE), max(_KEEP_INSET_SHARE * size_px, 1)
    )
    mask &= ~_paste(inner, face.window_xyxy, window)
    for shape in behind_glasses:
        mask |= shape.cover(window)
    return window, mask


def _behind_glasses(face: Face, words: Sequence[Wanted], spared: Sequence[Wanted]) -> list[Shape]:
    """The band from eye to eye where eyes to be hidden are seen through glasses to be kept."""
    wanted = {part for one in words for part in one.parts}
    eyes = tuple(part for part in GROUPS["eyes"] if part in wanted and part != "glasses")
    kept = any("glasses" in one.parts for one in spared)
    return _point_shapes(face, "eyes") if kept and eyes and is_found(face, eyes) else []


def _refuse_nothing(words: Sequence[Wanted], spared: Sequence[Wanted]) -> None:
    """Raise if every part to be hidden is one to be spared: nothing but edges would be hidden."""
    wanted = {part for one in words for part in one.parts}
    if wanted and wanted <= {part for one in spared for part in one.parts}:
        raise UsageError(
            f"keep: {', '.join(one.word for one in spared)} spares all that what="
            f"{','.join(one.word for one in words)} hides; keep less or hide more"
        )


def _paste(mask: NDArray[np.bool_], source: WindowXyxy, target: WindowXyxy) -> NDArray[np.bool_]:
    """Cut a mask that lives in one window to another window; False where they do not overlap."""
    out = np.zeros((target[3] - target[1], target[2] - target[0]), bool)
    x0, y0 = max(source[0], target[0]), max(source[1], target[1])
    x1, y1 = min(source[2], target[2]), min(source[3], target[3])
    if x0 < x1 and y0 < y1:
        out[y0 - target[1] : y1 - target[1], x0 - target[0] : x1 - target[0]] = mask[
            y0 - source[1] : y1 - source[1], x0 - source[0] : x1 - source[0]
        ]
    return out


def _grow(mask: NDArray[np.bool_], radius_px: float) -> NDArray[np.bool_]:
    """All pixels whose centre is within a radius of a pixel of the mask."""
    if not mask.any() or radius_px <= 0:
        return mask
    distance = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance <= radius_px)


def _fill_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask and everything that cannot be reached from outside without crossing it."""
    outside = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    cv2.floodFill(outside, None, (0, 0), 2)
    return np.asarray(outside[1:-1, 1:-1] != 2)


def _shrink(mask: NDArray[np.bool_], radius_px: float) -> NDArray[np.bool_]:
    """Only pixels farther than a radius from everything else; beyond the array all is else."""
    if not mask.any():
        return mask
    padded = np.pad(mask, 1).view(np.uint8)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance[1:-1, 1:-1] > radius_px)


@dataclass(frozen=True)
class Hiding(ABC):
    """What all hiding effects have in common: which pixels, and one at a time over the faces.

    Each face is hidden in the result of the one before, so where a small head lies in the region
    of a large one, nothing of the large one comes back in finer detail.
    """

    what: str = field(
        default="face",
        metadata={"help": "what to hide: face, head, eyes or comma-separated parts"},
    )
    keep: str = field(
        default="", metadata={"help": "comma-separated parts to spare where the parser is sure"}
    )
    margin: float = field(
        default=0.06,
        metadata={"help": "growth of the hidden parts as a share of the head size, 0 to 1"},
    )

    def __post_init__(self) -> None:
        require_words("what", self.what)
        split_words(self.keep)
        require_range("margin", self.margin, 0, 1)

    def __call__(self, image: Image, faces: Sequence[Face]) -> Image:
        """Hide every face in a copy of the picture.

        Raises:
            UnknownName: a face's label set has no such part.
            ValueError: the picture is not (H, W, 3) uint8 or a face comes from another size.
        """
        out, faces = copy_picture(image, faces)
        for face in faces:
            window, mask = hidden_region(face, what=self.what, keep=self.keep, margin=self.margin)
            if mask.any():
                x0, y0, x1, y1 = window
                self._fill(out[y0:y1, x0:x1], mask, head_size_px(face))
        return out

    def hide_translucent(
        self, hidden: Image, alpha: NDArray[np.uint8], faces: Sequence[Face]
    ) -> NDArray[np.uint8]:
        """Give a picture in which the faces are hidden already its transparency back, as RGBA.

        The hidden regions become opaque, because alpha can show a face too; elsewhere colours of
        fully transparent pixels become black, because nobody sees what is left there.

        Args:
            hidden: (H, W, 3), what the effect made of the picture.
            alpha: (H, W) uint8 of the picture.

        Raises:
            UnknownName, ValueError: see `hidden_region`.
        """
        out = np.dstack((hidden, alpha))
        for face in faces:
            window, mask = hidden_region(face, what=self.what, keep=self.keep, margin=self.margin)
            x0, y0, x1, y1 = window
            out[y0:y1, x0:x1, 3][mask] = 255
        out[out[..., 3] == 0] = 0
        return out

    @abstractmethod
    def _fill(self, cut: Image, mask: NDArray[np.bool_], size_px: float) -> None:
        """Write the pixels of the mask, and only them; must read no other pixel.

        Args:
            cut: (h, w, 3) part of the picture, changed in place.
            mask: (h, w) bool with at least one pixel.
            size_px: head size in picture pixels.
        """
