"""Grafting rare parts onto other faces: where they land, what they change, when nothing happens."""

from __future__ import annotations

import numpy as np
import pytest

from faceparts.labels import CELEBA19 as C
from faceparts.train.graft import Grafts, Piece, _mirror, _similarity, collect
from faceparts.types import IGNORE

SIDE = 96


def face(**extra: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray]:
    """A drawn face: skin, eyes at (36, 40) and (60, 40), ears, neck; extra parts by name."""
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[20:76, 24:73] = C.id("skin")
    labels[38:43, 33:40] = C.id("right_eye")
    labels[38:43, 57:64] = C.id("left_eye")
    labels[36:50, 16:24] = C.id("right_ear")
    labels[36:50, 73:81] = C.id("left_ear")
    labels[76:90, 36:60] = C.id("neck")
    for part, where in extra.items():
        labels[where] = C.id(part)
    image = np.repeat(labels[..., None] * 12, 3, axis=2).astype(np.uint8)
    return image, labels


GLASSES = {"glasses": (slice(35, 46), slice(40, 57))}
RING = {"earring": (slice(50, 58), slice(76, 80))}
CHAIN = {"necklace": (slice(80, 84), slice(30, 66))}
HAT = {"hat": (slice(6, 24), slice(20, 77))}


def only(**extra: tuple[slice, slice]) -> Grafts:
    return collect([face(**extra)], C)


def test_pieces_are_cut_by_part() -> None:
    found = collect([face(**GLASSES), face(**RING), face(**CHAIN), face(**HAT), face()], C).pieces
    assert {kind: len(pieces) for kind, pieces in found.items()} == dict.fromkeys(
        ("earring", "necklace", "hat", "glasses"), 1
    )
    ring = found["earring"][0]
    assert ring.side == "left"
    assert set(np.unique(ring.labels)) == {C.id("earring"), IGNORE}
    assert (ring.labels == C.id("earring")).sum() == 8 * 4
    np.testing.assert_allclose(ring.ear - ring.anchors[1], (76.5 - 60, 42.5 - 40))
    glasses = found["glasses"][0]
    assert set(np.unique(glasses.labels)) == {
        C.id(p) for p in ("glasses", "left_eye", "right_eye")
    } | {IGNORE}


def test_crumbs_and_faces_without_eyes_give_no_piece() -> None:
    crumb = face(earring=(slice(50, 54), slice(76, 80)))
    image, blind = face(**HAT)
    blind[blind == C.id("left_eye")] = C.id("skin")
    image2, deaf = face(**RING)
    deaf[deaf == C.id("left_ear")] = 0
    assert not any(collect([crumb, (image, blind), (image2, deaf)], C).pieces.values())


@pytest.mark.parametrize("extra", [GLASSES, CHAIN, HAT, RING])
def test_a_piece_lands_where_it_was(extra: dict[str, tuple[slice, slice]]) -> None:
    """Same face geometry: unmirrored pieces return to the same pixels, inputs stay as they were."""
    (part,) = extra
    grafts, (image, labels) = only(**extra), face()
    before = image.copy(), labels.copy()
    seen = 0
    for seed in range(12):
        out, ids = grafts.graft(image, labels, np.random.default_rng(seed), C)
        assert (image == before[0]).all() and (labels == before[1]).all()
        changed = ids != labels
        assert changed.any()
        assert set(np.unique(ids[changed])) == {C.id(part)}
        wanted = face(**extra)
        if part == "necklace":  # nothing to hang on beside the neck
            wanted[1][(labels == 0) & (wanted[1] == C.id(part))] = 0
        if (ids == wanted[1]).all():
            seen += 1
            inner = np.zeros_like(changed)
            inner[1:-1, 1:-1] = changed[1:-1, 1:-1]
            middle = tuple(np.argwhere(inner).mean(axis=0).astype(int))
            assert out[middle].tolist() == [12 * C.id(part)] * 3
        else:
            assert part == "earring" or abs(changed.mean(axis=0) @ np.arange(SIDE)) > 0
    assert seen > 0


def test_an_earring_follows_its_ear() -> None:
    image, labels = face()
    moved = labels.copy()
    moved[labels == C.id("left_ear")] = 0
    moved[46:60, 75:83] = C.id("left_ear")
    moved[labels == C.id("right_ear")] = 0  # a mirrored piece finds no ear
    grafts, offsets = only(**RING), []
    for seed in range(10):
        _, ids = grafts.graft(image, moved, np.random.default_rng(seed), C)
        if (ids != moved).any():
            ys, xs = np.nonzero(ids == C.id("earring"))
            offsets.append((xs.mean() - 78.5, ys.mean() - 52.5))
    assert 0 < len(offsets) < 10
    np.testing.assert_allclose(offsets, [(77.5 - 76.5, 53.5 - 42.5)] * len(offsets), atol=0.6)


def test_nothing_happens_without_place_or_pieces() -> None:
    rng = np.random.default_rng(0)
    image, labels = face()
    blind = labels.copy()
    blind[blind == C.id("right_eye")] = 0
    bearded = labels.copy()  # nothing that a necklace could lie on
    bearded[np.isin(labels, [C.id("skin"), C.id("neck")])] = C.id("hair")
    for grafts, ids in (
        (Grafts({}), labels),
        (only(), labels),
        (only(**HAT), blind),
        (only(**HAT), face(**HAT)[1]),
        (only(**CHAIN), bearded),
    ):
        out, after = grafts.graft(image, ids, rng, C)
        np.testing.assert_array_equal(after, ids)
        np.testing.assert_array_equal(out, image)
        assert out is not image and after is not ids


def test_ignored_pixels_stay_ignored() -> None:
    image, labels = face()
    labels[:20] = IGNORE
    _, ids = only(**HAT).graft(image, labels, np.random.default_rng(1), C)
    assert (ids[:20] == IGNORE).all()
    assert (ids[20:] == C.id("hat")).any()


def test_mirror_swaps_sides_and_is_its_own_inverse() -> None:
    piece = only(**RING).pieces["earring"][0]
    flipped = _mirror(piece, C)
    assert flipped.side == "right"
    assert flipped.anchors[0, 0] < flipped.anchors[1, 0]
    again = _mirror(flipped, C)
    for name in Piece.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(again, name), getattr(piece, name))


def test_similarity_takes_points_to_points() -> None:
    a, b = np.array([[0.0, 0], [10, 0]]), np.array([[5.0, 5], [5, 25]])
    matrix = _similarity(a, b)
    assert matrix is not None
    np.testing.assert_allclose(a @ matrix[:, :2].T + matrix[:, 2], b)
    assert _similarity(a, b * 0.05) is None
    assert _similarity(a, b * 4) is None
    assert _similarity(a * 0.1, b) is None
