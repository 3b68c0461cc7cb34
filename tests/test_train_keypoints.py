"""The keypoint task: targets by hand, losses against slow loops, learning and validation."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dataset_folders import draw, write_coco_keypoints
from faceparts.datasets.coco_keypoints import PeopleSample
from faceparts.detect._pose_aggregate import MIRROR
from faceparts.errors import BadData, BadRecipe
from faceparts.train import coco_targets as targets
from faceparts.train import keypoints
from faceparts.train.config import Phase, Recipe, Source, find_recipe, read_recipe
from faceparts.train.keypoints import KeypointsTask, heat_loss, make_task, tag_losses
from faceparts.train.loop import make_task as task_of
from faceparts.train.nets import higherhrnet
from train_world import losses_of_learning, one_thread

NAN = np.nan
TINY = {"width": 8, "stem": 8, "blocks": 1, "modules": [1, 1, 1]}
RECIPE = Recipe(
    name="tiny",
    net="higherhrnet",
    task="keypoints",
    net_options=TINY,
    phases=(Phase(1.0, 64, 2),),
    data=(Source("coco_keypoints", "coco", "train2017", 1.0),),
    val=(Source("coco_keypoints", "coco", "val2017", 1.0),),
    steps=4,
    bf16=False,
)


@pytest.fixture(autouse=True, scope="module")
def calm():
    with one_thread():
        yield


@pytest.fixture
def world(tmp_path: Path) -> Path:
    for split in ("train2017", "val2017"):
        for key in ("1", "2"):
            write_coco_keypoints(tmp_path / "coco", split, key, draw(int(key)))
        file = tmp_path / "coco" / "annotations" / f"person_keypoints_{split}.json"
        table = {**json.loads(file.read_text()), "categories": [{"id": 1, "name": "person"}]}
        file.write_text(json.dumps(table))
    return tmp_path


def people(*joints: tuple[int, int, float, float, float], count: int = 1) -> NDArray[np.float32]:
    """(P, 17, 3) from person, joint, x, y, visibility."""
    out = np.tile(np.float32([NAN, NAN, 0]), (count, 17, 1))
    for person, joint, *xyv in joints:
        out[person, joint] = xyv
    return out


def test_heat_by_hand() -> None:
    heat = targets.heat_target(people((0, 3, 41, 18, 2)), 16, 4)
    assert heat.shape == (17, 16, 16)
    assert heat.dtype == np.float32
    assert not np.delete(heat, 3, axis=0).any()
    row, column = np.unravel_index(heat[3].argmax(), (16, 16))
    assert (row, column) in ((4, 10), (4, 9))
    for r, c in ((4, 10), (4, 9), (6, 12), (0, 10)):  # the joint stands at 10.25, 4.5 cells
        away = (c + 0.5 - 10.25) ** 2 + (r + 0.5 - 4.5) ** 2
        assert heat[3, r, c] == pytest.approx(math.exp(-away / 8), rel=1e-5)
    assert heat[3, 12, 10] == heat[3, 4, 3] == 0


def test_heat_of_two_is_the_higher_one() -> None:
    both = people((0, 0, 20, 20, 2), (1, 0, 28, 20, 1), count=2)
    heat = targets.heat_target(both, 16, 4)
    single = [targets.heat_target(both[i : i + 1], 16, 4) for i in range(2)]
    np.testing.assert_array_equal(heat, np.maximum(*single))
    assert heat.max() <= 1


@pytest.mark.parametrize("xy", [(-0.1, 5), (5, 64), (64, 5), (5, -3), (NAN, NAN)])
def test_no_heat_for_joints_outside(xy: tuple[float, float]) -> None:
    assert not targets.heat_target(people((0, 0, *xy, 2 if xy[0] == xy[0] else 0)), 16, 4).any()
    assert (targets.tag_places(people((0, 0, *xy, 0)), 16, 4) == -1).all()


def test_heat_on_the_border() -> None:
    heat = targets.heat_target(people((0, 0, 0, 63.9, 2)), 16, 4)
    assert heat[0].max() == heat[0, 15, 0] > 0.9


def test_care_by_hand() -> None:
    ignore = np.zeros((8, 8), bool)
    ignore[:4, :4] = True
    ignore[0, 4:] = True
    assert targets.care_target(ignore, 2).tolist() == [[0, 1], [1, 1]]


def test_places_by_hand() -> None:
    some = people(
        *((0, 2, 9, 5, 2), (0, 4, 30, 30, 1), (0, 5, -1, 3, 2)),
        *((1, 0, 99, 5, 2), (2, 16, 31.9, 31.9, 2)),
        count=3,
    )
    places = targets.tag_places(some, 8, 4)
    assert places.shape == (30, 17)
    assert places[0, 2] == (2 * 8 + 1) * 8 + 2
    assert places[0, 4] == (4 * 8 + 7) * 8 + 7
    assert places[1, 16] == 17 * 64 - 1
    assert (places >= 0).sum() == 3
    crowd = np.repeat(some[:1], 40, axis=0)
    assert ((targets.tag_places(crowd, 8, 4) >= 0).any(axis=1)).all()


def test_the_whole_picture_in_a_square() -> None:
    image = np.full((30, 60, 3), 200, np.uint8)
    some = people((0, 0, 0, 0, 2), (0, 1, 60, 30, 2))
    matrix = targets.whole_affine((30, 60), 32)
    scene = targets.transform(image, some, np.ones((30, 60), bool), matrix, 32)
    assert scene.image.shape == (32, 32, 3)
    assert (scene.image[9:23, 1:31] == 200).all()
    assert (scene.image[:7] == 127).all()
    assert scene.people[0, :2].tolist() == [[0, 8, 2], [32, 24, 2]]
    assert scene.ignore[9:23].all()
    assert not scene.ignore[:7].any()


@pytest.mark.parametrize("seed", range(6))
def test_joints_go_where_their_pixels_go(seed: int) -> None:
    """A spot stays under its joint, however the picture is turned and scaled."""
    rng = np.random.default_rng(seed)
    spot = rng.uniform((90, 70), (150, 110))
    away = (np.arange(240) + 0.5 - spot[0]) ** 2 + (np.arange(180)[:, None] + 0.5 - spot[1]) ** 2
    image = np.repeat(np.uint8(250 * np.exp(-away / 50))[..., None], 3, axis=2)
    matrix = targets.random_affine((180, 240), 96, rng)
    scene = targets.transform(
        image, people((0, 5, *spot, 2)), np.zeros((180, 240), bool), matrix, 96
    )
    if seed % 2:
        scene = targets.mirror(scene)
    x, y, _ = scene.people[0, 6 if seed % 2 else 5]
    assert 0 < x < 96
    assert 0 < y < 96
    light = cv2.GaussianBlur(scene.image[..., 0].astype(np.float32), (0, 0), 1.5)
    light[scene.image[..., 0] == 127] *= 0.5
    row, column = np.unravel_index(light.argmax(), light.shape)
    assert (column + 0.5, row + 0.5) == pytest.approx((x, y), abs=1.2)


def test_random_affines_stay_in_their_ranges() -> None:
    rng = np.random.default_rng(0)
    zooms, turns = [], []
    for _ in range(200):
        linear = targets.random_affine((100, 200), 512, rng)[:, :2]
        zooms.append(math.sqrt(np.linalg.det(linear)) / 5.12)
        turns.append(math.degrees(math.atan2(linear[1, 0], linear[0, 0])))
    assert 1 / 1.5 <= min(zooms) < 0.7
    assert 1.25 < max(zooms) <= 1 / 0.75
    assert -30 <= min(turns) < -25
    assert 25 < max(turns) <= 30


def test_the_mirror_twice_is_nothing() -> None:
    rng = np.random.default_rng(1)
    some = rng.uniform(0, 20, (2, 17, 3)).astype(np.float32)
    scene = targets.Scene(
        rng.integers(0, 256, (20, 20, 3), dtype=np.uint8), some, rng.random((20, 20)) < 0.5
    )
    once = targets.mirror(scene)
    assert once.people[0, 1, 0] == pytest.approx(20 - some[0, MIRROR[1], 0])
    twice = targets.mirror(once)
    np.testing.assert_array_equal(twice.image, scene.image)
    np.testing.assert_array_equal(twice.ignore, scene.ignore)
    np.testing.assert_allclose(twice.people, scene.people, atol=1e-5)


def test_heat_loss_by_hand() -> None:
    heat = torch.tensor([[[[1.0, 2], [3, 4]], [[0, 0], [0, 0]]]])
    care = torch.tensor([[[[1.0, 1], [0, 1]]]])
    assert heat_loss(heat, torch.zeros_like(heat), care).item() == pytest.approx((1 + 4 + 16) / 8)


def slow_tag_losses(tags: Tensor, places: Tensor) -> tuple[float, float]:
    """Newell et al. 2017, section 3.2, person by person."""
    pushes, pulls = [], []
    for one, rows in zip(tags.flatten(1).tolist(), places.tolist(), strict=True):
        everyone = [[one[i] for i in row if i >= 0] for row in rows]
        everyone = [values for values in everyone if values]
        means = [sum(values) / len(values) for values in everyone]
        pull = 0.0
        for mean, values in zip(means, everyone, strict=True):
            pull += sum((v - mean) ** 2 for v in values) / len(values)
        push = sum(math.exp(-((a - b) ** 2)) for a in means for b in means) - len(means)
        n = len(means)
        pulls.append(pull / n if n else 0.0)
        pushes.append(push / (n * (n - 1)) / 2 if n > 1 else 0.0)
    return sum(pushes) / len(pushes), sum(pulls) / len(pulls)


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_tag_losses_against_loops(count: int) -> None:
    torch.manual_seed(count)
    tags = torch.randn(3, 17, 6, 6)
    places = torch.full((3, 30, 17), -1)
    places[:2, :count] = torch.randint(0, 17 * 36, (2, count, 17))
    places[torch.rand(places.shape) < 0.3] = -1
    push, pull = tag_losses(tags, places)
    assert (push.item(), pull.item()) == pytest.approx(slow_tag_losses(tags, places), abs=1e-6)


def test_tag_losses_have_gradients_for_nobody() -> None:
    tags = torch.zeros(1, 17, 4, 4, requires_grad=True)
    push, pull = tag_losses(tags, torch.full((1, 30, 17), -1))
    (push + pull).backward()
    assert tags.grad is not None
    assert not tags.grad.any()


def test_the_shipped_recipe() -> None:
    recipe = read_recipe(find_recipe("higherhrnet-coco"))
    assert (recipe.task, recipe.net, recipe.phases[-1].size_px) == ("keypoints", "higherhrnet", 512)
    assert recipe.net_options == {"width": 32}


def test_a_batch(world: Path) -> None:
    task = task_of(RECIPE, world)
    assert isinstance(task, KeypointsTask)
    phase = RECIPE.phases[0]
    batch, again, other = (task.batch(i, phase) for i in (3, 3, 4))
    assert batch.images.shape == (2, 3, 64, 64)
    assert batch.coarse.shape == (2, 17, 16, 16)
    assert batch.fine.shape == (2, 17, 32, 32)
    assert batch.care_coarse.shape == (2, 1, 16, 16)
    assert batch.care_fine.shape == (2, 1, 32, 32)
    assert batch.places.shape == (2, 30, 17)
    assert set(batch.keys) <= {"1", "2"}
    tensors = ("images", "coarse", "fine", "care_coarse", "care_fine", "places")
    assert all(torch.equal(getattr(batch, n), getattr(again, n)) for n in tensors)
    assert not torch.equal(batch.images, other.images)


def test_targets_agree_at_both_resolutions(world: Path) -> None:
    task = KeypointsTask(RECIPE, world, augmented=False)
    batch = task.batch(0, Phase(1.0, 128, 1))
    joints = torch.nonzero(batch.coarse[0].flatten(1).amax(1) > 0.5).flatten().tolist()
    assert joints == [0, 1, 2, 3, 4]
    for joint in joints:
        place = int(batch.places[0, 0, joint])
        row, column = divmod(place - joint * 32 * 32, 32)
        assert batch.coarse[0, joint, row, column] == batch.coarse[0, joint].max()
        at = torch.nonzero(batch.fine[0, joint] == batch.fine[0, joint].max())[0].tolist()
        assert abs(at[0] - 2 * row) <= 2
        assert abs(at[1] - 2 * column) <= 2


def test_two_pictures_are_learnt_and_found_again(world: Path) -> None:
    """The net overfits; then grouping and evaluation find the people that were drawn."""
    task = KeypointsTask(RECIPE, world, augmented=False)
    torch.manual_seed(0)
    net = higherhrnet.build(34, **TINY)
    assert task.validate(net)["AP"] == 0
    batch = task.batch(1, replace(RECIPE.phases[0], batch=4))
    assert set(batch.keys) == {"1", "2"}
    losses = losses_of_learning(task, net.train(), batch, lr=5e-3, steps=90)
    assert losses[-1] < 0.2 * losses[0]
    with torch.no_grad():
        for norm in net.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.momentum = 1.0
        net.stages(batch.images)
    scores = task.validate(net)
    assert set(scores) == {"AP", "AP50", "AR", "AR50"}
    assert scores["AP50"] > 0.5


class Colours(nn.Module):
    """Heat of the nose where it is red, of the left wrist where it is green; tags 0."""

    def forward(self, x: Tensor) -> Tensor:
        small = nn.functional.avg_pool2d(x, 2)
        out = torch.zeros(len(x), 34, *small.shape[2:])
        mean, std = torch.tensor(higherhrnet.MEAN), torch.tensor(higherhrnet.STD)
        out[:, 0] = (small[:, 0] * std[0] + mean[0]) / 255
        out[:, 9] = (small[:, 1] * std[1] + mean[1]) / 255
        return out


@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize("hw", [(150, 200), (200, 150), (300, 90)])
def test_people_are_found_in_picture_pixels(hw: tuple[int, int], square: bool) -> None:
    h, w = hw
    image = np.zeros((h, w, 3), np.uint8)
    spots = [(0.3 * w, 0.4 * h), (0.7 * w, 0.6 * h)]
    for channel, (x, y) in enumerate(spots):
        away = (np.arange(w) + 0.5 - x) ** 2 + (np.arange(h)[:, None] + 0.5 - y) ** 2
        image[..., channel] = np.rint(240 * np.exp(-away / 40))
    sample = PeopleSample("a", image, np.zeros((0, 17, 3), np.float32), np.zeros(hw, bool), 1)
    found, scores = keypoints.find_people(Colours(), sample, 192, square=square)
    person = found[np.argmax((found[..., 2] > 0.5).sum(axis=1))]
    unit = max(hw) / 192 if square else 1.0
    assert person[0, :2] == pytest.approx(spots[0], abs=1.5 * unit)
    assert person[9, :2] == pytest.approx(spots[1], abs=1.5 * unit)
    assert len(scores) == len(found)
    if not square:
        looks = keypoints.find_people(Colours(), sample, 192, scales=(0.5, 1.0), flip=True)[0]
        noses = looks[np.argmax(looks[:, 0, 2]), 0]
        assert noses[:2] == pytest.approx(spots[0], abs=1.5)
        assert 0.5 < noses[2] <= 1


def test_other_sources_and_losses_are_refused(world: Path) -> None:
    with pytest.raises(BadRecipe, match="data 'scut_head': is for task 'heads'; wanted one for"):
        make_task(replace(RECIPE, data=(Source("scut_head", "coco", "train", 1.0),)), world)
    with pytest.raises(BadRecipe, match="tiny: 'loss' is for task 'parts'"):
        make_task(replace(RECIPE, loss={"ce": 1.0}), world)


def test_a_source_without_people(world: Path) -> None:
    file = world / "coco" / "annotations" / "person_keypoints_train2017.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "annotations": []}))
    with pytest.raises(BadData, match=r"train2017.json: no person on any picture"):
        make_task(RECIPE, world)


def test_validation_without_sources(world: Path) -> None:
    assert make_task(replace(RECIPE, val=()), world).validate(nn.Identity()) == {}
