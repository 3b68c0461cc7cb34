"""Scenes that the head detector learns from: boxes and points follow the picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drawn import drawn_face
from faceparts.labels import CELEBA19
from faceparts.train import scenes
from faceparts.train.occlude import Occluders
from faceparts.train.scenes import Scene
from faceparts.types import POINTS, Face, Image

NO_POINTS = np.full((1, 7, 3), np.nan, np.float32)


def upright() -> tuple[Image, NDArray[np.uint8], Face]:
    """A head of 60 x 80 pixels in the middle of 120 x 160: its box is 50, 20, 110, 100."""
    image, face = drawn_face((120, 160), (80, 60), (60, 80))
    ids = np.zeros((120, 160), np.uint8)
    x0, y0, x1, y1 = face.window_xyxy
    ids[y0:y1, x0:x1] = face.labels
    return image, ids, face


def crop() -> Scene:
    image, ids, _ = upright()
    head = scenes.head_from_labels(ids)
    assert head is not None
    return Scene(image, head[0][None], head[1][None], ids)


def repaint(ids: NDArray[np.uint8], old: str, new: str) -> NDArray[np.uint8]:
    return np.where(ids == CELEBA19.id(old), CELEBA19.id(new), ids).astype(np.uint8)


def test_head_of_a_drawn_face() -> None:
    _, ids, face = upright()
    head = scenes.head_from_labels(ids)
    assert head is not None
    box, points = head
    assert box.dtype == points.dtype == np.float32
    assert box.shape == (4,)
    assert np.abs(box - face.head.box_xyxy).max() < 3
    assert points.shape == (7, 3)
    assert (points[:, 2] == 1).all()
    assert np.linalg.norm(points[:, :2] - face.head.points[:, :2], axis=1).max() < 3


def test_head_of_blocks_by_hand() -> None:
    ids = np.zeros((40, 40), np.uint8)
    ids[10:20, 12:24] = CELEBA19.id("skin")
    ids[6:10, 10:26] = CELEBA19.id("hair")
    ids[20:35, 4:36] = CELEBA19.id("hair")  # long hair below the chin counts for nothing
    ids[13:15, 14:18] = CELEBA19.id("right_eye")
    ids[17:19, 14:22] = CELEBA19.id("upper_lip")
    head = scenes.head_from_labels(ids)
    assert head is not None
    assert head[0].tolist() == [10, 6, 26, 20]
    unseen = [np.nan, np.nan, 0]
    lip = [14.5, 18, 1], [21.5, 18, 1]
    np.testing.assert_array_equal(head[1], [[16, 14, 1], *[unseen] * 4, *lip])


def test_glasses_leave_the_eyes_open() -> None:
    _, ids, _ = upright()
    ids = repaint(repaint(ids, "left_eye", "glasses"), "left_brow", "glasses")
    head = scenes.head_from_labels(ids)
    assert head is not None
    assert head[1][POINTS.index("right_eye"), 2] == 1
    assert np.isnan(head[1][POINTS.index("left_eye")]).all()


def test_parts_of_a_few_pixels_are_not_seen() -> None:
    ids = np.zeros((20, 20), np.uint8)
    ids[4:16, 4:16] = CELEBA19.id("skin")
    ids[5, 5:12] = CELEBA19.id("nose")
    head = scenes.head_from_labels(ids)
    assert head is not None
    assert (head[1][:, 2] == 0).all()
    ids[5, 12] = CELEBA19.id("nose")
    head = scenes.head_from_labels(ids)
    assert head is not None
    assert head[1][POINTS.index("nose")].tolist() == [9, 5.5, 1]


def test_no_head_without_a_face() -> None:
    _, ids, _ = upright()
    assert scenes.head_from_labels(repaint(ids, "skin", "hair")) is None
    few = np.zeros((40, 40), np.uint8)
    few[:3, :5] = CELEBA19.id("skin")
    assert scenes.head_from_labels(few) is None
    thread = np.zeros((40, 40), np.uint8)
    thread[5:35, 7] = CELEBA19.id("skin")
    assert scenes.head_from_labels(thread) is None


def test_a_pasted_thing_hides_points() -> None:
    scene = crop()
    texture = np.full((30, 30, 3), 9, np.uint8)
    hidden = 0
    for seed in range(12):
        things = Occluders((), (), (), (texture,))
        got = scenes.occlude(scene, things, np.random.default_rng(seed))
        _, ids = things.paste(scene.image, scene.ids, np.random.default_rng(seed), CELEBA19)
        assert np.array_equal(got.boxes, scene.boxes)
        assert np.array_equal(got.points[..., :2], scene.points[..., :2])
        for x, y, seen in got.points[0]:
            assert seen == (ids[int(y), int(x)] != 0)
            hidden += not seen
    assert hidden > 5
    assert (scene.points[..., 2] == 1).all()


def test_a_scene_without_labels_is_left_alone() -> None:
    scene = crop()
    plain = Scene(scene.image, scene.boxes, scene.points)
    nothing = Occluders((), (), (), ())
    assert scenes.occlude(plain, nothing, np.random.default_rng(0)) is plain


def blob(hw: tuple[int, int], x: float, y: float, sigma: float = 4.0) -> Image:
    """A soft white spot on grey at a point given in edge coordinates."""
    rows, columns = np.mgrid[: hw[0], : hw[1]] + 0.5
    spot = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return np.uint8(np.rint(127 + 128 * spot))[..., None].repeat(3, axis=2)


def spot_at(image: Image) -> NDArray[np.float64]:
    """Centroid of what is brighter than grey, in edge coordinates."""
    weight = np.clip(image[..., 0].astype(float) - 127, 0, None)
    rows, columns = np.mgrid[: weight.shape[0], : weight.shape[1]] + 0.5
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("zoom", [2.0, 1.0, 0.7, 0.5, 0.3, 0.12])
@pytest.mark.parametrize("hw", [(128, 160), (131, 157)])
def test_transform_moves_picture_boxes_and_points_alike(zoom: float, hw: tuple[int, int]) -> None:
    x, y = 70.0, 61.0
    turn = np.radians(25)
    rotation = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = np.column_stack([rotation, np.array([40, 33]) - rotation @ (x, y)])
    points = NO_POINTS.copy()
    points[0, 2] = (x, y, 1)
    boxes = np.float32([[x - 10, y - 10, x + 10, y + 10]])
    got = scenes.transform(Scene(blob(hw, x, y), boxes, points), matrix, 80)
    np.testing.assert_allclose(got.points[0, 2], (40, 33, 1), atol=1e-4)
    reach = 10 * zoom
    np.testing.assert_allclose(
        got.boxes[0], (40 - reach, 33 - reach, 40 + reach, 33 + reach), atol=1e-4
    )
    assert np.isnan(got.points[0, [0, 1, 3, 4, 5, 6]]).all()
    assert np.abs(spot_at(got.image) - (40, 33)).max() < 0.25


def test_transform_by_nothing_and_outside_is_grey() -> None:
    image = np.random.default_rng(0).integers(0, 256, (10, 10, 3), dtype=np.uint8)
    scene = Scene(image, np.zeros((0, 4), np.float32), np.zeros((0, 7, 3), np.float32))
    got = scenes.transform(scene, np.eye(2, 3), 12)
    assert np.array_equal(got.image[:10, :10], image)
    assert (got.image[10:] == 127).all()
    assert got.boxes.shape == (0, 4)
    assert got.points.shape == (0, 7, 3)
    assert scenes.transform(scene, np.eye(2, 3) * 0.01, 12).image.shape == (12, 12, 3)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_a_turned_box_is_the_box_around_the_turned_ellipse(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(0, 1, (2, 3))
    matrix[:, :2] += np.eye(2)
    centre, half = rng.uniform(0, 20, 2), rng.uniform(1, 9, 2)
    boxes = np.concatenate([centre - half, centre + half])[None].astype(np.float32)
    image = np.zeros((8, 8, 3), np.uint8)
    got = scenes.transform(Scene(image, boxes, NO_POINTS), matrix, 16).boxes[0]
    turns = np.linspace(0, 2 * np.pi, 4001)
    outline = centre + half * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    moved = outline @ matrix[:, :2].T + matrix[:, 2]
    expected = np.concatenate([moved.min(axis=0), moved.max(axis=0)])
    np.testing.assert_allclose(got, expected, atol=1e-3)


def test_mirror_twice_is_nothing_and_once_swaps_the_sides() -> None:
    scene = crop()
    once = scenes.mirror(scene)
    twice = scenes.mirror(once)
    assert np.array_equal(once.image, scene.image[:, ::-1])
    assert np.array_equal(twice.image, scene.image)
    np.testing.assert_allclose(twice.boxes, scene.boxes, atol=1e-4)
    np.testing.assert_allclose(twice.points, scene.points, atol=1e-4)
    x0, y0, x1, y1 = scene.boxes[0]
    assert once.boxes[0].tolist() == [160 - x1, y0, 160 - x0, y1]
    left, right = POINTS.index("left_ear"), POINTS.index("right_ear")
    assert once.points[0, left, 0] == 160 - scene.points[0, right, 0]
    assert once.points[0, left, 0] > once.points[0, right, 0]


def spots(hw: tuple[int, int], places: list[tuple[float, float, float]]) -> Scene:
    """A photo with a white disk in the middle of every (square) head: x, y, side."""
    image = np.zeros((*hw, 3), np.uint8)
    rows, columns = np.mgrid[: hw[0], : hw[1]] + 0.5
    for x, y, side in places:
        image[(columns - x) ** 2 + (rows - y) ** 2 < (side / 3) ** 2] = 255
    boxes = [(x - s / 2, y - s / 2, x + s / 2, y + s / 2) for x, y, s in places]
    points = np.repeat(NO_POINTS, len(places), axis=0)
    return Scene(image, np.float32(boxes).reshape(-1, 4), points)


def assert_boxes_fit(scene: Scene) -> int:
    """Every head whose middle is well inside has its white disk there; how many those are."""
    size_px, count = scene.image.shape[0], 0
    for x0, y0, x1, y1 in scene.boxes:
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        if 2 <= x < size_px - 2 and 2 <= y < size_px - 2:
            assert scene.image[int(y), int(x)].min() > 100
            count += 1
    return count


def test_heads_lean_a_little_and_sometimes_much() -> None:
    rng = np.random.default_rng(3)
    turns = np.stack([scenes.lean(rng, often=0.15, by_deg=10) for _ in range(2000)])
    np.testing.assert_allclose(
        turns @ turns.transpose(0, 2, 1), np.tile(np.eye(2), (2000, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(turns), 1)  # never mirrored
    angles = np.degrees(np.arctan2(turns[:, 1, 0], turns[:, 0, 0]))
    quarter = np.isclose(np.abs(angles), 90) | np.isclose(np.abs(angles), 180)
    assert 0.025 < quarter.mean() < 0.055
    assert set(np.round(angles[quarter])) >= {90, -90}
    others = np.abs(angles[~quarter])
    assert 0.75 < (others < 20).mean() < 0.95
    assert (others > 40).mean() > 0.02
    steady = np.stack([scenes.lean(rng, often=0, by_deg=0) for _ in range(50)])
    assert np.isclose(steady[:, 0, 0], 1).mean() > 0.8


@pytest.mark.parametrize("hw", [(200, 300), (60, 50)])
def test_cuts_of_a_photo_hold_its_heads(hw: tuple[int, int]) -> None:
    h, w = hw
    photo = spots(hw, [(0.3 * w, 0.4 * h, 16), (0.7 * w, 0.6 * h, 22)])
    seen = 0
    for seed in range(25):
        got = scenes.cut_photo(photo, 64, np.random.default_rng(seed))
        again = scenes.cut_photo(photo, 64, np.random.default_rng(seed))
        assert got.image.shape == (64, 64, 3)
        assert np.array_equal(got.image, again.image)
        assert np.array_equal(got.boxes, again.boxes)
        assert len(got.boxes) == 2
        seen += assert_boxes_fit(got)
    assert seen > 15


def test_a_cut_of_a_photo_without_heads() -> None:
    got = scenes.cut_photo(spots((90, 70), []), 64, np.random.default_rng(0))
    assert got.image.shape == (64, 64, 3)
    assert got.boxes.shape == (0, 4)


@pytest.mark.parametrize("head_px", [9.0, 30.0, 70.0])
def test_a_head_is_placed_as_wanted(head_px: float) -> None:
    one = spots((60, 60), [(26, 31, 30)])
    centre = np.array([35.0, 22.0])
    shapes = []
    for seed in range(60):
        got = scenes.place_head(one, 64, head_px, centre, np.random.default_rng(seed))
        x0, y0, x1, y1 = got.boxes[0]
        np.testing.assert_allclose([(x0 + x1) / 2, (y0 + y1) / 2], centre, atol=1e-3)
        size = np.sqrt((x1 - x0) * (y1 - y0)) / head_px  # the box around a turned oval is larger
        assert 1 - 1e-4 < size < 1.3
        shapes.append(abs(np.log((x1 - x0) / (y1 - y0))))
        assert_boxes_fit(got)
    assert np.median(shapes) < 0.15
    assert max(shapes) > 0.3  # some are squeezed


def test_collages_hold_heads_in_their_cells() -> None:
    one = spots((60, 60), [(30, 30, 40)])
    background = np.full((7, 5, 3), 40, np.uint8)
    for seed in range(12):
        got = scenes.collage([one], background, 96, np.random.default_rng(seed))
        assert got.image.shape == (96, 96, 3)
        centres = (got.boxes[:, :2] + got.boxes[:, 2:]) / 2
        assert (centres > 0).all()
        assert (centres < 96).all()
        assert got.points.shape == (len(got.boxes), 7, 3)
        assert assert_boxes_fit(got) > 0.8 * len(got.boxes)
    assert (background == 40).all()


def test_some_collages_are_of_small_heads() -> None:
    one, background = spots((60, 60), [(30, 30, 40)]), np.full((7, 5, 3), 40, np.uint8)
    sizes = []
    for seed in range(60):
        boxes = scenes.collage([one], background, 512, np.random.default_rng(seed)).boxes
        assert len(boxes) <= 81
        sizes.append((boxes[:, 2:] - boxes[:, :2]).max() if len(boxes) else 512)
    assert min(sizes) < 50  # nine cells a side
    assert np.median(sizes) > 75  # but most of them are large


def test_stretching_keeps_the_area() -> None:
    rng = np.random.default_rng(0)
    shapes = np.array([np.diag(scenes.stretch(rng)) for _ in range(500)])
    np.testing.assert_allclose(shapes.prod(axis=1), 1)
    assert np.exp(-0.55) <= shapes.min()
    assert 0.01 < (np.abs(np.log(shapes[:, 0])) > 0.3).mean() < 0.08


class Low(np.random.Generator):
    """A generator whose chances are all 0: every cell stays empty."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))

    def random(self, *args: object, **kwargs: object) -> float:  # type: ignore[override]
        return 0.0


def test_a_collage_may_be_empty() -> None:
    background = np.full((7, 5, 3), 40, np.uint8)
    got = scenes.collage([crop()], background, 64, Low())
    assert (got.image == 40).all()
    assert got.boxes.shape == (0, 4)
    assert got.points.shape == (0, 7, 3)


def disk(px: int = 120, radius: float = 30.0) -> Scene:
    """A red head of ``radius`` on white, an eye in its middle and a nose left and right of it."""
    ys, xs = np.mgrid[:px, :px] + 0.5 - px / 2
    inside = xs**2 + ys**2 <= radius**2
    image = np.where(inside[..., None], (200, 0, 0), (255, 255, 255)).astype(np.uint8)
    points = np.full((1, 7, 3), np.nan, np.float32)
    points[..., 2] = 0
    points[0, 0] = (px / 2, px / 2, 1)
    points[0, 2] = (px / 2 - 25, px / 2, 1)
    points[0, 3] = (px / 2 + 25, px / 2, 1)
    low, high = px / 2 - radius, px / 2 + radius
    return Scene(image, np.array([[low, low, high, high]], np.float32), points)


@pytest.mark.parametrize("size_px", [96, 384, 512])
def test_framed_pictures_cut_heads_and_know_where_they_go_on(size_px: int) -> None:
    background = np.full((50, 70, 3), (0, 0, 250), np.uint8)
    heads = empty = beyond = hidden = 0
    for seed in range(12):
        got = scenes.framed([disk()], [background], size_px, np.random.default_rng(seed))
        assert got.image.shape == (size_px, size_px, 3)
        assert got.points.shape == (len(got.boxes), 7, 3)
        grey = (got.image == 127).all(axis=-1)
        assert grey.mean() > 0.5 and grey[0].all() and grey[:, 0].all()
        heads += len(got.boxes)
        empty += (got.image[..., 2] == 250).any()
        centres = (got.boxes[:, :2] + got.boxes[:, 2:]) / 2
        assert ((centres > 0) & (centres < size_px)).all()
        for (x0, y0, x1, y1), centre, points in zip(got.boxes, centres, got.points, strict=True):
            rows, columns = np.mgrid[:size_px, :size_px] + 0.5
            ellipse = ((columns - centre[0]) * 2 / (x1 - x0)) ** 2
            ellipse += ((rows - centre[1]) * 2 / (y1 - y0)) ** 2
            shown = got.image[(ellipse < 0.7) & ~grey]
            assert (np.abs(shown.astype(int) - (200, 0, 0)).max(axis=1) < 60).mean() > 0.9
            beyond += bool(grey[ellipse < 0.8].any())
            for x, y, _ in points[points[:, 2] == 1]:
                assert not grey[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3].all()
            hidden += int((points[[0, 2, 3], 2] == 0).sum())
        assert (got.points[..., 2] == 1).any(axis=1).all()
        np.testing.assert_array_equal(
            scenes.framed([disk()], [background], size_px, np.random.default_rng(seed)).image,
            got.image,
        )
    assert heads > 25 and empty > 6 and beyond > heads / 2 and hidden > heads / 4


def test_framed_heads_without_points_are_cut_too() -> None:
    one = Scene(disk().image, disk().boxes, np.full((1, 7, 3), np.nan, np.float32))
    got = scenes.framed([one], [one.image], 96, np.random.default_rng(1))
    assert len(got.boxes) and np.isnan(got.points[..., :2]).all()


def test_a_head_that_no_try_shows_stands_in_the_middle() -> None:
    class Far(Low):
        """Always the farthest corner."""

        def uniform(self, low: float = 0, high: float = 1, size: object = None) -> object:  # type: ignore[override]
            return np.full(2, high) if size else high

    placed = scenes._cut_head(disk(), 100, (40, 30, 60, 70), Far())
    np.testing.assert_allclose(placed.boxes[0].reshape(2, 2).mean(axis=0), (50, 50), atol=1e-4)


def classroom(*boxes: tuple[int, int, int, int], wh: tuple[int, int] = (160, 120)) -> Scene:
    """Red heads in front of a blue wall."""
    image = np.full((*wh[::-1], 3), (0, 0, 250), np.uint8)
    for x0, y0, x1, y1 in boxes:
        image[y0:y1, x0:x1] = (250, 0, 0)
    return Scene(
        image,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.full((len(boxes), 7, 3), np.nan, np.float32),
    )


def test_parts_between_heads_show_no_head() -> None:
    photo = classroom((20, 10, 45, 40), (100, 30, 130, 62))
    below = 0
    rows = np.arange(120)[:, None] * np.ones((1, 160), int)
    photo.image[..., 1] = rows  # the green channel says which row a pixel is from
    sizes = []
    for seed in range(60):
        part = scenes.headless(photo, np.random.default_rng(seed))
        assert part is not None
        assert min(part.shape[:2]) >= 32
        assert (part[..., 0] == 0).all()
        below += bool(part[0, 0, 1] >= 38)
        sizes.append(part.shape[:2])
        again = scenes.headless(photo, np.random.default_rng(seed))
        assert again is not None
        np.testing.assert_array_equal(part, again)
    assert below > 20 and len(set(sizes)) > 20


def test_a_photo_without_heads_is_cut_anywhere() -> None:
    part = scenes.headless(classroom(), np.random.default_rng(0), least_px=100)
    assert part is not None and min(part.shape[:2]) >= 100


@pytest.mark.parametrize(
    "photo",
    [classroom((0, 0, 160, 120)), classroom(wh=(160, 30)), classroom((30, 20, 130, 100))],
    ids=["full", "flat", "no room"],
)
def test_where_nothing_is_left_there_is_no_part(photo: Scene) -> None:
    assert scenes.headless(photo, np.random.default_rng(1)) is None
