"""Pasted occluders: hands, medical masks, sunglasses and textures in front of a face.

What is pasted becomes background in the labels (sunglasses become ``glasses``), so a model learns
the *visible* face. The idea is that of Voo et al., "Delving into High-Quality Synthetic Face
Occlusion Segmentation Datasets", CVPRW 2022: realistic occluders are worth more than capacity.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faceparts.errors import BadData
from faceparts.labels import BARE_FACE
from faceparts.types import IGNORE, Image, LabelSet

HELD_BACK_EVERY = 5
"""Every fifth file of each folder, in sorted order, is kept for measuring."""

Rgba = NDArray[np.uint8]


@dataclass(frozen=True)
class Occluders:
    """Things to paste: lists of (h, w, 4) uint8 RGBA, textures (h, w, 3) RGB.

    ``dye`` is the share of masks that are seen in the pattern of a random texture instead of their
    own; 0 for measuring.
    """

    hands: tuple[Rgba, ...]
    masks: tuple[Rgba, ...]
    sunglasses: tuple[Rgba, ...]
    textures: tuple[Image, ...]
    dye: float = 0.0

    def paste(
        self,
        image: Image,
        labels: NDArray[np.uint8],
        rng: np.random.Generator,
        label_set: LabelSet,
    ) -> tuple[Image, NDArray[np.uint8]]:
        """Put one or two random occluders before the face; new arrays come back.

        Args:
            image: (H, W, 3) RGB.
            labels: (H, W) ids of ``label_set``; without face pixels nothing is pasted.
            rng: the only source of chance.
            label_set: must hold both eyes and ``glasses``; its face is what it has of
                `labels.BARE_FACE`.
        """
        frame = _face_frame(labels, label_set)
        if frame is None:
            return image.copy(), labels.copy()
        image, labels = image.copy(), labels.copy()
        kinds = [k for k in ("hands", "masks", "sunglasses", "textures") if getattr(self, k)]
        weights = np.array(
            [{"hands": 5, "masks": 3, "sunglasses": 1, "textures": 3}[k] for k in kinds]
        )
        for _ in range(1 + (rng.random() < 0.35)):
            kind = str(rng.choice(kinds, p=weights / weights.sum()))
            stock = getattr(self, kind)
            piece = stock[int(rng.integers(len(stock)))]
            if kind == "masks" and self.dye and self.textures and rng.random() < self.dye:
                piece = dyed(piece, self.textures[int(rng.integers(len(self.textures)))], rng)
            if kind == "textures":
                layer = _texture_layer(piece, image.shape[:2], frame, rng)
            else:
                layer = _placed_layer(piece, kind, image, frame, rng)
            alpha = layer[..., 3:].astype(np.float32) / 255
            image[:] = (image * (1 - alpha) + layer[..., :3] * alpha + 0.5).astype(np.uint8)
            new = label_set.id("glasses") if kind == "sunglasses" else 0
            covered = layer[..., 3] > 127
            labels[covered & ((labels != IGNORE) | (kind == "sunglasses"))] = new
        return image, labels


@dataclass(frozen=True)
class _FaceFrame:
    """Where the face lies: centre, size and axes in pixels."""

    centre: NDArray[np.float64]
    width_px: float
    height_px: float
    angle_deg: float
    eyes: NDArray[np.float64]


def _face_frame(labels: NDArray[np.uint8], label_set: LabelSet) -> _FaceFrame | None:
    ids = [label_set.id(p) for p in BARE_FACE if p in label_set.parts]
    ys, xs = np.nonzero(np.isin(labels, ids))
    if len(ys) < 64:
        return None
    x0, x1 = np.percentile(xs, (1, 99))
    y0, y1 = np.percentile(ys, (1, 99))
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    found = []
    for part in ("right_eye", "left_eye"):
        py, px = np.nonzero(labels == label_set.id(part))
        if len(py) > 3:
            found.append((px.mean(), py.mean()))
    angle = 0.0
    eyes = np.array([centre[0], y0 + 0.4 * (y1 - y0)])
    if len(found) == 2:
        (rx, ry), (lx, ly) = found
        angle = float(np.degrees(np.arctan2(ly - ry, lx - rx)))
        if abs(angle) > 100:  # labels with swapped sides
            angle -= float(np.copysign(180, angle))
        eyes = np.array([(rx + lx) / 2, (ry + ly) / 2])
    elif found:
        eyes = np.array([centre[0], found[0][1]])
    return _FaceFrame(centre, float(x1 - x0) + 1, float(y1 - y0) + 1, angle, eyes)


def _placed_layer(
    piece: Rgba, kind: str, image: Image, frame: _FaceFrame, rng: np.random.Generator
) -> Rgba:
    """Warp one RGBA piece into a transparent layer of the picture's size."""
    h, w = piece.shape[:2]
    jitter = rng.normal(0, 0.04, 2) * (frame.width_px, frame.height_px)
    axis = np.radians(frame.angle_deg)
    down = np.array([-np.sin(axis), np.cos(axis)])
    if kind == "masks":
        target = frame.width_px * rng.uniform(0.9, 1.2)
        scale_x, scale_y = target / w, frame.height_px * rng.uniform(0.5, 0.75) / h
        centre = frame.eyes + down * frame.height_px * rng.uniform(0.36, 0.5) + jitter
        angle = frame.angle_deg + rng.normal(0, 5)
    elif kind == "sunglasses":
        scale_x = scale_y = frame.width_px * rng.uniform(0.85, 1.1) / w
        centre = frame.eyes + jitter * 0.5
        angle = frame.angle_deg + rng.normal(0, 3)
    else:
        side = max(frame.width_px, frame.height_px) * rng.uniform(0.45, 1.1)
        scale_x = side / max(h, w) * (1 if rng.random() < 0.5 else -1)
        scale_y = abs(scale_x) * rng.uniform(0.85, 1.15)
        reach = rng.uniform(-0.6, 0.6, 2) * (frame.width_px, frame.height_px)
        centre = frame.centre + reach
        angle = float(rng.uniform(0, 360))
        piece = _relit(piece, image, frame, rng)
    turn = np.radians(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = np.empty((2, 3))
    matrix[:, :2] = rotation * (scale_x, scale_y)
    matrix[:, 2] = centre - matrix[:, :2] @ ((w - 1) / 2, (h - 1) / 2)
    size_wh = (image.shape[1], image.shape[0])
    layer = cv2.warpAffine(piece, matrix, size_wh, flags=cv2.INTER_LINEAR)
    if kind == "masks" and rng.random() < 0.5:
        gain = rng.uniform(0.4, 1.25, 3) if rng.random() < 0.4 else rng.uniform(0.5, 1.15)
        layer[..., :3] = np.clip(layer[..., :3] * gain, 0, 255).astype(np.uint8)
    return np.asarray(layer, np.uint8)


def dyed(piece: Rgba, texture: Image, rng: np.random.Generator) -> Rgba:
    """A cut-out in the colours of a texture, with its own folds: light relative to its mean.

    Args:
        piece: (h, w, 4) RGBA.
        texture: (H, W, 3) RGB of any size; a random part of it is taken.
        rng: the only source of chance.
    """
    h, w = piece.shape[:2]
    share = rng.uniform(0.3, 1.0)
    rows, columns = (max(1, round(share * n)) for n in texture.shape[:2])
    top = int(rng.integers(texture.shape[0] - rows + 1))
    left = int(rng.integers(texture.shape[1] - columns + 1))
    part = cv2.resize(texture[top : top + rows, left : left + columns], (w, h))
    light = cv2.cvtColor(piece[..., :3], cv2.COLOR_RGB2GRAY).astype(np.float32)
    solid = piece[..., 3] > 127
    folds = light / max(1.0, float(light[solid].mean()) if solid.any() else 1.0)
    colours = part * folds[..., None] * rng.uniform(0.6, 1.2)
    return np.dstack([np.clip(colours, 0, 255).astype(np.uint8), piece[..., 3]])


def _relit(piece: Rgba, image: Image, frame: _FaceFrame, rng: np.random.Generator) -> Rgba:
    """Half of the time give a hand the colour of the face that it hides."""
    if rng.random() < 0.4:
        return piece
    x, y = frame.centre.astype(int)
    r = max(2, int(frame.width_px / 8))
    patch = image[max(0, y - r) : y + r, max(0, x - r) : x + r].reshape(-1, 3)
    own = piece[piece[..., 3] > 127][:, :3]
    if not len(patch) or not len(own):
        return piece
    gain = (patch.mean(axis=0) + 1) / (own.mean(axis=0) + 1) * rng.uniform(0.8, 1.2)
    relit = piece.copy()
    relit[..., :3] = np.clip(piece[..., :3] * gain, 0, 255).astype(np.uint8)
    return relit


def _texture_layer(
    texture: Image, image_hw: tuple[int, ...], frame: _FaceFrame, rng: np.random.Generator
) -> Rgba:
    """A texture seen through a random blob, box or ellipse over part of the face."""
    h, w = image_hw
    centre = frame.centre + rng.uniform(-0.55, 0.55, 2) * (frame.width_px, frame.height_px)
    radii = rng.uniform(0.15, 0.45, 2) * max(frame.width_px, frame.height_px)
    shape = np.zeros((h, w), np.uint8)
    corners = int(rng.integers(3, 12))
    turns = np.sort(rng.uniform(0, 2 * np.pi, corners))
    reach = rng.uniform(0.6, 1.1, corners)[:, None] * radii
    outline = centre + reach * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    if rng.random() < 0.4:
        angle = float(rng.uniform(0, 180))
        box = (tuple(map(float, centre)), tuple(map(float, 2 * radii)), angle)
        if rng.random() < 0.5:
            cv2.ellipse(shape, box, 255, -1)
        else:
            cv2.fillPoly(shape, [cv2.boxPoints(box).astype(np.int32)], 255)
    else:
        cv2.fillPoly(shape, [outline.astype(np.int32)], 255)
    scale = rng.uniform(0.7, 2.0) * max(h, w) / min(texture.shape[:2])
    scaled = cv2.resize(texture, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    top = int(rng.integers(0, max(1, scaled.shape[0] - h + 1)))
    left = int(rng.integers(0, max(1, scaled.shape[1] - w + 1)))
    cut = scaled[top : top + h, left : left + w]
    if cut.shape[:2] != (h, w):
        cut = cv2.resize(cut, (w, h))
    gain = rng.uniform(0.5, 1.2)
    layer = np.empty((h, w, 4), np.uint8)
    layer[..., :3] = np.clip(cut * gain, 0, 255)
    layer[..., 3] = cv2.GaussianBlur(shape, (3, 3), 0)
    return layer


def cut_out_hand(image: Image) -> Rgba:
    """RGBA of a hand on a plain, paler background: Otsu on skin chroma, largest region."""
    ycrcb = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)
    chroma = cv2.GaussianBlur(cv2.subtract(ycrcb[..., 1], ycrcb[..., 2]), (5, 5), 0)
    _, mask = cv2.threshold(chroma, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    count, regions, stats, _ = cv2.connectedComponentsWithStats(mask)
    if count > 1:
        largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
        mask = np.where(regions == largest, 255, 0).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    mask = cv2.GaussianBlur(cv2.erode(mask, np.ones((3, 3), np.uint8)), (3, 3), 0)
    return np.dstack([image, mask])


def load_occluders(root: Path, *, held_back: bool) -> Occluders:
    """Read ``root/{hands,masks,mask_fabrics,sunglasses,textures}``.

    Args:
        root: the folder; folders that are missing count as empty.
        held_back: the files kept for measuring, or the others.

    Raises:
        BadData: nothing at all was found, or a file is not a picture.
    """
    root = Path(root)
    hands = [cut_out_hand(_read(p)[..., :3]) for p in _files(root / "hands", held_back)]
    pasted = [_read(p) for p in _files(root / "masks", held_back)]
    masks = [_trim(p) for p in pasted if p.shape[2] == 4 and p[..., 3].min() < 128]
    masks = [p for p in masks if _is_solid(p)]
    sunglasses = [_trim(_keyed(_read(p))) for p in _files(root / "sunglasses", held_back)]
    textures = [_read(p)[..., :3] for p in _files(root / "textures", held_back)]
    textures += [_read(p)[..., :3] for p in _files(root / "mask_fabrics", held_back)]
    textures += [p[..., :3] for p in pasted if p.shape[2] == 3 or p[..., 3].min() >= 128]
    glasses = [p for p in sunglasses if p.shape[2] == 4]
    if not (hands or masks or glasses or textures):
        raise BadData(f"{root}: no occluders in hands/, masks/, sunglasses/ or textures/")
    return Occluders(tuple(hands), tuple(masks), tuple(glasses), tuple(textures))


def _files(folder: Path, held_back: bool) -> list[Path]:
    if not folder.is_dir():
        return []
    files = sorted(
        p for p in folder.iterdir() if p.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp")
    )
    return [p for i, p in enumerate(files) if (i % HELD_BACK_EVERY == 0) == held_back]


def _read(path: Path) -> NDArray[np.uint8]:
    data = np.frombuffer(path.read_bytes(), np.uint8)
    piece = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if piece is None or piece.dtype != np.uint8:
        raise BadData(f"{path}: not an 8-bit picture; convert it or take it away")
    if piece.ndim == 2:
        piece = cv2.cvtColor(piece, cv2.COLOR_GRAY2BGR)
    order = (2, 1, 0, 3)[: piece.shape[2]]
    return np.ascontiguousarray(piece[..., order])


def _keyed(piece: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Make the plain surroundings of an opaque RGBA cut-out transparent, from its borders in."""
    if piece.shape[2] != 4 or piece[..., 3].min() < 128:
        return piece
    difference = np.abs(piece[..., :3].astype(int) - piece[0, 0, :3]).max(axis=2)
    _, regions = cv2.connectedComponents((difference <= 12).astype(np.uint8), connectivity=4)
    border = np.unique(np.r_[regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    outside = np.isin(regions, border[border > 0])
    return np.dstack([piece[..., :3], np.where(outside, 0, piece[..., 3]).astype(np.uint8)])


def _is_solid(piece: Rgba) -> bool:
    """Whether a cut-out is one thing rather than a pattern with holes."""
    shape = (piece[..., 3] > 127).astype(np.uint8)
    contours, _ = cv2.findContours(shape, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    largest = max(map(cv2.contourArea, contours), default=0.0)
    return largest > 0.85 * float(shape.sum()) and float(shape.sum()) > 0.85 * largest


def _trim(piece: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut away transparent borders."""
    if piece.shape[2] != 4:
        return piece
    ys, xs = np.nonzero(piece[..., 3] > 127)
    if not len(ys):
        return piece
    return np.ascontiguousarray(piece[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1])
