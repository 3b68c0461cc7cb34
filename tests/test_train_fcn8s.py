"""FCN-8s and the training of S1: the published net, augmentation and learning rate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dataset_folders import draw, write_lfw_parts
from faceparts import labels, weights
from faceparts.errors import BadRecipe
from faceparts.segment import onnx as segmenter
from faceparts.train import augment, config, crop_s1, export, loop
from faceparts.train.config import Phase, Recipe, Source
from faceparts.train.crop_s1 import Change
from faceparts.train.distributed import Group
from faceparts.train.inputs import to_input
from faceparts.train.nets import fcn8s
from faceparts.train.nets.fcn8s import FCN8s
from train_world import losses_of_learning, one_thread

MIRROR = augment.mirror_table(labels.CELEBA19)


@pytest.fixture(autouse=True, scope="module")
def calm() -> Any:
    with one_thread():
        yield


def tiny(parts: int = 3, **options: Any) -> FCN8s:
    """A narrow net whose scores and biases are not 0, as after some training."""
    torch.manual_seed(0)
    net = FCN8s(parts, 1 / 32, **options)
    for name, value in net.named_parameters():
        if name.startswith("score") or name.endswith("bias"):
            nn.init.normal_(value, std=0.1)
    return net.eval()


# --- the net ----------------------------------------------------------------------------------


def test_it_is_as_large_as_the_published_net() -> None:
    with torch.device("meta"):
        net = fcn8s.build(21)
    trained = {name: tuple(p.shape) for name, p in net.named_parameters()}
    vgg16 = 14_714_688  # its 13 convolutions, as everyone counts them
    classifier = 4096 * (512 * 49 + 1) + 4096 * (4096 + 1)
    scores = 21 * (4096 + 512 + 256 + 3)
    assert sum(p.numel() for p in net.parameters()) == vgg16 + classifier + scores == 134_362_751
    assert trained["conv5_3.weight"] == (512, 512, 3, 3)
    assert trained["fc6.weight"] == (4096, 512, 7, 7)
    fixed = {name: tuple(b.shape) for name, b in net.named_buffers()}
    assert fixed == {
        "upscore2.weight": (21, 21, 4, 4),
        "upscore_pool4.weight": (21, 21, 4, 4),
        "upscore8.weight": (21, 21, 16, 16),
        "scale_pool4.weight": (512,),
        "scale_pool3.weight": (256,),
    }


def test_fixed_layers_have_the_published_values() -> None:
    net = FCN8s(2, 1 / 64)
    assert net.scale_pool4.weight.unique().tolist() == pytest.approx([0.01])
    assert net.scale_pool3.weight.unique().tolist() == pytest.approx([0.0001])
    assert [m.stride for m in (net.upscore2, net.upscore_pool4, net.upscore8)] == [2, 2, 8]
    assert net.get_submodule("conv1_1").padding == (100, 100)
    assert net.get_submodule("conv1_2").padding == (1, 1)


@pytest.mark.parametrize("size", [4, 16])
def test_upsampling_is_bilinear(size: int) -> None:
    up, step = fcn8s.Upscore(2, size), size // 2
    ramp = torch.arange(6.0).repeat(6, 1)
    got = up(torch.stack([ramp, 10 * ramp.T])[None])[0]
    inner = slice(size, 5 * step)  # where four cells surround every pixel
    # pixel i of the result lies at (i - size / 2 + 0.5) / step + 0 ... cells
    wanted = (torch.arange(got.shape[-1]) - (size - 1) / 2) / step
    torch.testing.assert_close(got[0][inner, inner], wanted[inner].repeat(len(wanted[inner]), 1))
    torch.testing.assert_close(
        got[1][inner, inner], 10 * wanted[inner][:, None].expand(-1, len(wanted[inner]))
    )


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 50), st.integers(1, 50))
def test_any_size_comes_out_as_it_went_in(height: int, width: int) -> None:
    with torch.no_grad():
        assert tiny()(torch.zeros(1, 3, height, width)).shape == (1, 3, height, width)


def test_a_shift_by_the_stride_shifts_the_scores() -> None:
    """Padding, crops and upsampling agree about where things are."""
    net = tiny()
    for name, value in net.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(value)  # so that black is what lies outside the picture
    picture = torch.zeros(1, 3, 160, 160)
    picture[:, :, 64:80, 64:80] = 1
    with torch.no_grad():
        here = net(picture)
        there = net(torch.roll(picture, (32, 32), (2, 3)))
    torch.testing.assert_close(there[..., 64:128, 64:128], here[..., 32:96, 32:96])


def test_the_fine_skip_answers_where_the_picture_asks() -> None:
    net = tiny()
    for name, value in net.named_parameters():
        if name.endswith("bias") or (name.startswith("score") and "pool3" not in name):
            nn.init.zeros_(value)
    picture = torch.zeros(1, 3, 160, 160)
    picture[:, :, 64:80, 80:96] = 1
    with torch.no_grad():
        change = net(picture).abs().sum((0, 1))
    places = torch.arange(160) + 0.5
    for totals, wanted in ((change.sum(1), 72), (change.sum(0), 88)):
        assert float((totals * places).sum() / totals.sum()) == pytest.approx(wanted, abs=3)


def test_skip_scales_change_nothing_that_the_scores_cannot() -> None:
    published, plain = tiny(), tiny(skip_scales=(1, 1))
    for name, factor in (("score_pool4", 0.01), ("score_pool3", 0.0001)):
        getattr(plain, name).weight.data = getattr(published, name).weight.data * factor
    x = torch.randn(1, 3, 40, 30)
    with torch.no_grad():
        torch.testing.assert_close(published(x), plain(x))


def test_caffe_units_are_bgr_less_their_means() -> None:
    rgb = torch.tensor([255.0, 0, 127.5]).reshape(1, 3, 1, 1)
    got = fcn8s.to_caffe_units((rgb - 127.5) / 127.5).flatten().tolist()
    assert got == pytest.approx([127.5 - 104.00698793, -116.66876762, 255 - 122.67891434], abs=1e-4)
    inside, outside = tiny(caffe_units=True), tiny()
    x = torch.rand(1, 3, 20, 20) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(inside(x), outside(fcn8s.to_caffe_units(x)))


def test_dropout_works_in_training_only() -> None:
    net, x = tiny(), torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(net(x), net(x))
        net.train()
        assert not torch.equal(net(x), net(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": 0}, "fcn8s: got 0 parts, wanted at least 1"),
        ({"width": 0.01}, r"fcn8s: got width 0.01, wanted 1/64\.\.4"),
        ({"width": float("nan")}, "fcn8s: got width nan"),
        ({"skip_scales": (1,)}, r"got skip_scales \(1,\), wanted two numbers above 0"),
        ({"skip_scales": (1, 0)}, r"got skip_scales \(1, 0\), wanted two"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fcn8s.build(**{"parts": 3, **options})


# --- S1's augmentation ------------------------------------------------------------------------


def test_changes_are_drawn_as_published() -> None:
    rng = np.random.default_rng(0)
    many = [crop_s1.draw_change(512, rng) for _ in range(4000)]
    assert {(c.side_px, c.cut_px) for c in many} == {(600, 512)}
    assert 0.47 < np.mean([c.mirrored for c in many]) < 0.53
    borders = np.array([c.border_px for c in many])
    assert 0.47 < np.mean(borders > 0) < 0.53
    assert borders.max() == 250
    assert 110 < borders[borders > 0].mean() < 140
    scales = np.array([c.scale for c in many])
    assert 1 <= scales.min() < 1.01
    assert 1.39 < scales.max() <= 1.4
    assert abs(scales.mean() - 1.2) < 0.01
    places = np.array([np.array(c.left_top) / (c.scaled_px - 512) for c in many])
    assert places.min() == 0
    assert places.max() == 1
    assert np.abs(places.mean(axis=0) - 0.5).max() < 0.03
    assert abs(np.corrcoef(places.T)[0, 1]) < 0.06


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([32, 64, 192, 256]))
def test_changes_shrink_with_the_input_and_stay_inside(seed: int, size_px: int) -> None:
    change = crop_s1.draw_change(size_px, np.random.default_rng(seed))
    assert change.side_px == round(600 * size_px / 512)
    assert 0 <= change.border_px <= round(250 * size_px / 512)
    assert min(change.left_top) >= 0
    assert max(change.left_top) + size_px <= change.scaled_px


def test_a_change_by_hand() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3) + 1
    ids = np.uint8([[0, 4], [5, 13]])
    got, got_ids = crop_s1.apply_change(image, ids, Change(2, True, 1, 2.0, (1, 0), 6), MIRROR)
    # mirrored: left and right eye change places and names; black around; twice as large; cut
    assert got_ids.tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [0, 5, 5, 0, 0, 0],
        [0, 5, 5, 0, 0, 0],
        [0, 13, 13, 4, 4, 0],
        [0, 13, 13, 4, 4, 0],
    ]
    black = np.zeros((4, 4, 3), np.uint8)
    black[1:3, 1:3] = image[:, ::-1]
    wanted = cv2.resize(black, (8, 8), interpolation=cv2.INTER_LINEAR)[:6, 1:7]
    assert np.array_equal(got, wanted)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_labels_stay_on_what_they_label(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, 4, (5, 6)).astype(np.uint8).repeat(10, 0).repeat(10, 1)
    paint = np.uint8([[0, 0, 0], [250, 0, 0], [0, 250, 0], [0, 0, 250]])
    change = crop_s1.draw_change(64, rng)
    before = ids.copy()
    got, got_ids = crop_s1.apply_change(paint[ids], ids, change, np.arange(256, dtype=np.uint8))
    assert got.shape == (64, 64, 3)
    assert got_ids.shape == (64, 64)
    assert np.array_equal(ids, before)
    distance = np.abs(got[:, :, None].astype(int) - paint).sum(-1)
    assert (distance.argmin(-1) == got_ids).mean() > 0.93


def s1(**changed: Any) -> Recipe:
    recipe = Recipe(
        name="s1",
        net="fcn8s",
        task="crop_s1",
        label_set="lfw3",
        net_options={"width": 1 / 32, "skip_scales": [1.0, 1.0]},
        phases=(Phase(1.0, 32, 2),),
        data=(Source("lfw_parts", "lfw", "train", 1.0),),
        balance=0.0,
        steps=10,
    )
    return replace(recipe, **changed)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for seed in range(2):
        write_lfw_parts(folder / "lfw", "train", f"{seed + 1}", draw(seed))
    return folder


def test_batches_are_decided_by_the_step(root: Path) -> None:
    task = loop.make_task(s1(), root)
    assert isinstance(task, crop_s1.CropTask)
    assert task.outputs == crop_s1.outputs_of(s1()) == 3
    phase = Phase(1.0, 64, 3)
    first, again, next_one = (task.batch(n, phase) for n in (4, 4, 5))
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.images, next_one.images)
    assert first.images.shape == (3, 3, 64, 64)
    assert set(first.labels.unique().tolist()) <= {0, 1, 2}
    assert len(first.keys) == 3
    assert first.teacher is None


def test_pictures_bring_the_weight_and_trust_of_their_source(tmp_path: Path) -> None:
    for seed in range(2):
        write_lfw_parts(tmp_path / "sure", "train", f"{seed + 1}", draw(seed))
        write_lfw_parts(tmp_path / "noisy", "train", f"{seed + 1}", draw(seed + 2))
    sources = (
        Source("lfw_parts", "sure", "train", 0.5),
        Source("lfw_parts", "noisy", "train", 0.5, weight=0.25, trust=0.3),
    )
    task = loop.make_task(s1(data=sources), tmp_path)
    batch = task.batch(0, Phase(1.0, 32, 16))
    noisy = [key.startswith("noisy/") for key in batch.keys]
    assert set(noisy) == {True, False}
    assert batch.weight.tolist() == [0.25 if one else 1.0 for one in noisy]
    assert batch.trusted.tolist() == [not one for one in noisy]


def test_a_teacher_sees_the_very_cuts_and_nothing_is_covered(root: Path) -> None:
    seen: list[np.ndarray] = []

    class Looks:
        def batch(self, crops: np.ndarray, covered: np.ndarray) -> torch.Tensor:
            seen.extend((crops, covered))
            return torch.from_numpy(crops[:, ::2, ::2].transpose(0, 3, 1, 2) / 255.0)

    task = loop.make_task(s1(), root)
    task.teacher = Looks()
    batch = task.batch(3, Phase(1.0, 64, 3))
    crops, covered = seen
    assert torch.equal(to_input(crops), batch.images)
    assert covered.shape == (3, 64, 64)
    assert not covered.any()
    assert batch.teacher is not None
    assert batch.teacher.shape == (3, 3, 32, 32)


@pytest.mark.parametrize("key", crop_s1.UNUSED)
def test_other_changes_are_refused(key: str, root: Path) -> None:
    recipe = s1(**{key: "a" if key == "occluders" else 0.5})
    with pytest.raises(BadRecipe, match=f"s1: {key} does nothing with task = 'crop_s1'; leave"):
        loop.make_task(recipe, root)


def test_it_learns(root: Path) -> None:
    task = loop.make_task(s1(), root)
    net = loop.make_state(s1(net_options={"width": 1 / 16, "skip_scales": [1.0, 1.0]}), 3).net
    batch = task.batch(0, Phase(1.0, 64, 2))
    losses = losses_of_learning(task, net, batch, lr=3e-3, steps=25)
    assert losses[-1] < 0.7 * losses[0]


# --- S1's learning rate -----------------------------------------------------------------------


def test_the_recipe_says_what_was_published() -> None:
    recipe = config.read_recipe(config.find_recipe("fcn8s-lfw"))
    assert (recipe.optimizer, recipe.lr, recipe.momentum) == ("sgd", 1e-12, 0.99)
    assert (recipe.weight_decay, recipe.bias_rate) == (0.005, 2.0)
    assert (recipe.schedule, recipe.warmup, recipe.clip) == ("constant", 0, 0)
    assert recipe.loss == {"ce_sum": 1.0}
    assert recipe.steps == 300_000
    assert recipe.phases == (Phase(1.0, 512, 1),)
    assert recipe.net_options == {"caffe_units": True}
    assert recipe.label_set == "lfw3"
    assert recipe.task == "crop_s1"


def two_steps(root: Path, **changed: Any) -> dict[str, torch.Tensor]:
    """How far two steps move every weight, in float64: the steps are tiny."""
    recipe = s1(optimizer="sgd", momentum=0.99, clip=0.0, warmup=0.0, schedule="constant")
    recipe = replace(recipe, bf16=False, bias_rate=2.0, **changed)
    task = loop.make_task(recipe, root)
    state = loop.make_state(recipe, 3)
    torch.manual_seed(1)
    for name in ("score_fr", "score_pool4", "score_pool3"):
        nn.init.normal_(state.net.get_submodule(name).weight, std=0.05)
    state.net.double()
    state.average.double()
    before = {n: p.detach().clone() for n, p in state.net.named_parameters()}
    for step in range(2):
        batch = task.batch(step, Phase(1.0, 64, 1))
        batch = replace(batch, images=batch.images.double())
        loop.set_rate(recipe, state.optimizer, 0.0)
        loop.take_step(recipe, state, task, [batch], 0.0, Group())
    return {n: p.detach() - before[n] for n, p in state.net.named_parameters()}


def test_a_summed_loss_wants_a_rate_smaller_by_the_pixels(root: Path) -> None:
    """lr, decay on the sum over a picture = lr x pixels, decay / pixels on the mean."""
    pixels = 64 * 64
    summed = two_steps(root, loss={"ce_sum": 1.0}, lr=1e-12, weight_decay=0.005)
    mean = two_steps(root, loss={"ce": 1.0}, lr=1e-12 * pixels, weight_decay=0.005 / pixels)
    same_rate = two_steps(root, loss={"ce": 1.0}, lr=1e-12, weight_decay=0.005)
    for name, moved in summed.items():
        largest = moved.abs().max().item()
        assert largest > 0, name
        assert (moved - mean[name]).abs().max() < 1e-4 * largest, name
        assert (moved - same_rate[name]).abs().max() > 0.9 * largest, name


def test_biases_move_at_twice_the_rate_and_do_not_decay(root: Path) -> None:
    base = {"loss": {"ce_sum": 1.0}, "lr": 1e-12}
    plain = two_steps(root, **base, weight_decay=0.0)
    decayed = two_steps(root, **base, weight_decay=5e3)
    for name in plain:
        is_bias = name.endswith(".bias")
        gap = (plain[name] - decayed[name]).abs().max().item()
        assert (gap < 1e-3 * plain[name].abs().max().item()) == is_bias, name
    recipe = s1(optimizer="sgd", bias_rate=2.0, **base)
    state = loop.make_state(recipe, 3)
    loop.set_rate(recipe, state.optimizer, 0.5)
    rates = {id(p): g["lr"] for g in state.optimizer.param_groups for p in g["params"]}
    named = dict(state.net.named_parameters())
    assert rates[id(named["fc6.bias"])] == pytest.approx(2 * rates[id(named["fc6.weight"])])


# --- out of training --------------------------------------------------------------------------


def test_an_export_runs_as_the_net_and_starts_another(tmp_path: Path) -> None:
    recipe = s1(phases=(Phase(1.0, 96, 2),))
    net = tiny(skip_scales=(1, 1))
    path = tmp_path / "s1.onnx"
    export.export(net, recipe, path)
    card = weights.read_card(path)
    assert (card.task, card.label_set, card.input_px) == ("segment", "lfw3", 96)
    x = np.random.default_rng(0).normal(size=(2, 3, 96, 96)).astype(np.float32)
    (got,) = onnxruntime.InferenceSession(path.read_bytes()).run(None, {"image": x})
    half = FCN8s(3, 1 / 32, skip_scales=(1, 1)).eval()
    left = export.load_initial(half, str(path))
    assert left == ["upscore_pool4.weight"]  # equal to upscore2's, which the file holds
    with torch.no_grad():
        wanted = torch.softmax(half(torch.from_numpy(x)), 1).numpy()
        exact = torch.softmax(net(torch.from_numpy(x)), 1).numpy()
    assert np.abs(got - wanted).max() < 1e-4
    assert np.abs(got - exact).max() < 1e-2
    probs = segmenter.load(path, threads=1).predict(np.zeros((1, 96, 96, 3), np.uint8))
    assert probs.shape == (1, 3, 96, 96)


def test_tasks_without_an_export_are_named() -> None:
    with pytest.raises(BadRecipe, match="s1: task 'keypoints' cannot be exported; wanted: parts"):
        export.outputs_of(s1(task="keypoints"))
