"""Looks at several scales and mirrored, averaged to one set of heat maps."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from faceparts.detect import _pose_aggregate as aggregate
from faceparts.detect._grouping import group
from faceparts.detect._people import KEYPOINTS
from faceparts.errors import BadWeights
from faceparts.types import Image

Floats = NDArray[np.float32]


def test_the_mirror_swaps_left_and_right() -> None:
    for i, j in enumerate(aggregate.MIRROR):
        name = KEYPOINTS[i]
        side, _, rest = name.partition("_")
        swapped = {"left": f"right_{rest}", "right": f"left_{rest}"}.get(side, name)
        assert KEYPOINTS[j] == swapped


def test_unflip() -> None:
    maps = np.zeros((17, 2, 3), np.float32)
    maps[1, 0] = (1, 2, 3)
    turned = aggregate.unflip(maps)
    assert turned[2, 0].tolist() == [3, 2, 1]
    assert turned[1].max() == 0
    np.testing.assert_array_equal(aggregate.unflip(turned), maps)


def test_resize_is_bilinear_between_centres() -> None:
    maps = np.float32([[[0, 4]], [[8, 0]]])
    assert aggregate.resize(maps, (1, 4)).tolist() == [[[0, 1, 3, 4]], [[8, 6, 2, 0]]]
    assert aggregate.resize(maps, (1, 2)) is maps


@pytest.mark.parametrize(
    ("hw", "short", "scale", "least", "wanted"),
    [
        ((100, 100), 512, 1.0, 1.0, (512, 512)),
        ((427, 640), 512, 1.0, 1.0, (512, 768)),
        ((640, 427), 512, 1.0, 1.0, (768, 512)),
        ((427, 640), 512, 0.5, 0.5, (256, 384)),
        ((427, 640), 512, 2.0, 0.5, (1024, 1536)),
        ((100, 1000), 100, 1.0, 1.0, (128, 1280)),
        ((1000, 10), 32, 1.0, 1.0, (6400, 64)),
        ((100, 130), 192, 0.7, 0.5, (192, 256)),
    ],
)
def test_input_size(
    hw: tuple[int, int], short: int, scale: float, least: float, wanted: tuple[int, int]
) -> None:
    assert aggregate.input_hw(hw, short, scale, least) == wanted


class Colours:
    """Nose heat where the picture is red, left wrist where green; blue is a tag; half size."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def __call__(self, image: Image) -> tuple[Floats, Floats]:
        h, w = image.shape[:2]
        self.seen.append((h, w))
        small = cv2.resize(image, (w // 2, h // 2), interpolation=cv2.INTER_AREA)
        red, green, blue = (small.astype(np.float32) / 255).transpose(2, 0, 1)
        heat, tags = np.zeros((2, 17, h // 2, w // 2), np.float32)
        # what is the left wrist in a mirrored picture is the right one to the net
        heat[0], heat[9 if len(self.seen) % 2 else 10] = red, green
        tags[:] = 4 * blue
        return heat, tags


def picture() -> Image:
    image = np.zeros((150, 200, 3), np.uint8)
    for (x, y), channel in (((50, 60), 0), ((140, 100), 1)):
        away = (np.arange(200) + 0.5 - x) ** 2 + (np.arange(150)[:, None] + 0.5 - y) ** 2
        image[..., channel] = np.rint(230 * np.exp(-away / 72))
    image[:, :100, 2] = 100
    image[:, 100:, 2] = 110
    return image


@pytest.mark.parametrize(
    ("scales", "flip", "looks"),
    [
        ((1.0,), False, [(192, 256)]),
        ((1.0,), True, [(192, 256), (192, 256)]),
        ((0.5, 1.0, 2.0), True, None),
    ],
)
def test_looks_find_what_is_there(
    scales: tuple[float, ...], flip: bool, looks: list[tuple[int, int]] | None
) -> None:
    net, image = Colours(), picture()
    heat, tags = aggregate.look(net, image, short_px=180, scales=scales, flip=flip)
    if looks:
        assert net.seen == looks
    else:
        assert len(net.seen) == 6
        assert len({round(w / h, 3) for h, w in net.seen}) == 1
    assert heat.dtype == tags.dtype == np.float32
    assert tags.shape == (*heat.shape, 1 + flip)
    people, _ = group(heat, tags)
    assert people.shape == (1, 17, 3)
    scale = np.array([200 / heat.shape[2], 150 / heat.shape[1]])
    assert people[0, 0, :2] * scale == pytest.approx([50, 60], abs=0.8)
    assert people[0, 9, :2] * scale == pytest.approx([140, 100], abs=0.8)
    assert people[0, 9, 2] == pytest.approx(0.9, abs=0.1)


def test_heat_is_the_mean_and_tags_stay_apart() -> None:
    looks = iter([(1.0, 5.0), (3.0, 7.0), (8.0, 9.0), (8.0, 9.0)])

    def forward(image: Image) -> tuple[Floats, Floats]:
        heat, tag = next(looks)
        shape = (17, image.shape[0] // 4, image.shape[1] // 4)
        return np.full(shape, heat, np.float32), np.full(shape, tag, np.float32)

    image = np.zeros((64, 64, 3), np.uint8)
    heat, tags = aggregate.look(forward, image, short_px=64, scales=(2.0, 1.0), flip=True)
    assert heat.shape == (17, 16, 16)
    assert np.unique(heat).tolist() == [5]
    assert np.unique(tags[..., 0]).tolist() == [5]
    assert np.unique(tags[..., 1]).tolist() == [7]


@pytest.mark.parametrize("scales", [(0.5, 2.0), (1.0, 0.0), (1.0, -1.0)])
def test_wrong_scales(scales: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="wanted positive numbers, 1 among them"):
        aggregate.look(Colours(), picture(), scales=scales)


def test_an_input_that_is_too_large() -> None:
    with pytest.raises(ValueError, match=r"short_px 8192 at scale 1 makes 10944x8192 pixels"):
        aggregate.look(Colours(), picture(), short_px=8192)


@pytest.mark.parametrize(
    ("heat", "tags"),
    [((16, 8, 8), (16, 8, 8)), ((17, 8, 8), (17, 8, 9)), ((17, 8), (17, 8)), ((17, 0, 8),) * 2],
)
def test_maps_that_do_not_fit(heat: tuple[int, ...], tags: tuple[int, ...]) -> None:
    with pytest.raises(BadWeights, match=r"the pose model gave heat maps .* wanted \(17, h, w\)"):
        aggregate.look(lambda _: (np.zeros(heat), np.zeros(tags)), picture())
