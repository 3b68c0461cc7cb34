"""Nets that do not fit: what is taken over, what is said, in a line of a bearable length."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from faceparts.errors import BadRecipe
from faceparts.train import export, loop, state
from faceparts.train._misfit import misfits, norms_after, some
from faceparts.train.config import CardText, Phase
from faceparts.train.loop import TrainingFailed
from faceparts.train.nets import headnet
from train_world import HEADS, one_thread, write_world

NETS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "bisenet": ("bisenet", 19, {}),
    "headnet": ("headnet", 26, {}),
    "headnet light": ("headnet", 26, {"light": True}),
    "higherhrnet": ("higherhrnet", 34, {"width": 8, "stem": 8, "blocks": 1}),
    "litenet": ("litenet", 19, {}),
    "partnet": ("partnet", 19, {}),
}


def test_the_first_names_and_a_count() -> None:
    assert some([]) == ""
    assert some(["a", "b", "c"]) == "a, b, c"
    assert some(["a", "b", "c", "d"]) == "a, b, c and 1 more"


def test_misfits_by_hand() -> None:
    own = {"a": torch.zeros(2), "b": torch.zeros(3), "c": torch.zeros(1)}
    saved = {"c": torch.ones(1), "b": torch.zeros(3, 1), "d": torch.zeros(1)}
    assert misfits(own, saved) == ["a", "b", "d"]
    assert misfits(own, own) == []


def test_norms_behind_fresh_convolutions() -> None:
    net = nn.Sequential(
        *(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU()),
        *(nn.ConvTranspose2d(4, 4, 1), nn.BatchNorm2d(4)),
    )
    assert norms_after(net, []) == set()
    assert norms_after(net, ["0.bias"]) == set()
    values = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    assert norms_after(net, ["0.weight"]) == {f"1.{value}" for value in values}
    assert norms_after(net, ["3.weight"]) == {f"4.{value}" for value in values}


@pytest.mark.parametrize("name", NETS)
def test_every_norm_of_our_nets_has_its_convolution(name: str) -> None:
    kind, outputs, options = NETS[name]
    net = state.make_net(replace(HEADS, net=kind, net_options=options), outputs)
    every = {k for k, v in net.named_parameters() if v.ndim == 4}
    norms = state.batch_norms(net)
    assert len(norms_after(net, every)) == 5 * len(norms)
    sizes: list[int] = []
    for convolution in every:
        maps = net.get_submodule(convolution.rpartition(".")[0]).out_channels
        behind = [n for n in norms_after(net, [convolution]) if n.endswith(".running_mean")]
        sizes += [net.get_buffer(n).numel() - int(maps) for n in behind]
    assert len(sizes) == len(norms) and not any(sizes)


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("heavy") / "heavy.onnx"
    net = state.make_net(HEADS, 26)
    for value in net.state_dict().values():
        if value.is_floating_point():  # equal values are stored once, under one name
            value.copy_(torch.rand_like(value) + 0.5)
    export.export(net, replace(HEADS, name="heavy", card=CardText(threshold=0.4)), path)
    return path


def test_what_stays_fresh_is_said(heavy: Path) -> None:
    said: list[str] = []
    state.make_net(replace(HEADS, init=str(heavy)), 26, said.append)
    assert said == []
    light = replace(HEADS, init=str(heavy), net_options={"light": True})
    net = state.make_net(light, 26, said.append)
    (line,) = said
    left = export.load_initial(net, str(heavy))
    assert line == (
        f"init {heavy}: {len(left)} of the net's values are not in it and stay fresh: "
        f"{', '.join(left[:3])} and {len(left) - 3} more"
    )


def test_a_training_says_it_once(
    heavy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = write_world(tmp_path / "data")
    recipe = replace(HEADS, init=str(heavy), net_options={"light": True}, steps=1, val=())
    recipe = replace(recipe, phases=(Phase(1.0, 64, 2),))
    with one_thread():
        loop.train(recipe, world, tmp_path / "out", quiet=True)
        assert capsys.readouterr().err.count("stay fresh: stages.") == 1
        loop.train(replace(recipe, steps=2), world, tmp_path / "out", quiet=True)
    assert "stay fresh" not in capsys.readouterr().err  # it goes on from the checkpoint


def test_a_checkpoint_of_another_net_is_told_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    loop.save_checkpoint(loop.make_state(HEADS, 26), path)
    light = loop.make_state(replace(HEADS, net_options={"light": True}), 26)
    with pytest.raises(TrainingFailed) as refused:
        loop.load_checkpoint(light, path)
    text = str(refused.value)
    assert len(text) < 250 + len(str(path)) and "\n" not in text
    wrong = misfits(headnet.build(26, light=True).state_dict(), headnet.build(26).state_dict())
    assert f"(another net, {len(wrong)} values differ: {some(wrong)})" in text
    torch.save({"net": light.net, "why": "code in it"}, path)
    with pytest.raises(TrainingFailed) as refused:
        loop.load_checkpoint(light, path)
    text = str(refused.value)
    assert len(text) < 320 + len(str(path)) and "\n" not in text


@pytest.mark.parametrize("value", ["no", 2, 1, 0.0, []])
def test_light_is_true_or_false(value: Any, tmp_path: Path) -> None:
    recipe = replace(HEADS, net_options={"light": value})
    with pytest.raises(BadRecipe) as refused:
        loop.make_net(recipe, 26)
    assert str(refused.value) == (
        f"tiny: net_options of headnet: light = {value!r}; wanted a value of type bool"
    )
    with pytest.raises(BadRecipe, match="wanted a value of type bool"):  # before data is read
        loop.train(recipe, tmp_path / "none", tmp_path / "out", quiet=True)
    assert not (tmp_path / "out").exists()


def test_other_options_have_types_too() -> None:
    for net, options, kind in (
        ("fcn8s", {"width": "1"}, "float"),
        ("bisenet", {"stem": 1.5}, "int"),
        ("higherhrnet", {"blocks": True}, "int"),
    ):
        with pytest.raises(BadRecipe, match=f"wanted a value of type {kind}"):
            state.options_of(replace(HEADS, net=net, net_options=options))
    recipe = replace(HEADS, net="fcn8s", net_options={"width": 1})
    assert state.options_of(recipe) == {"width": 1.0}
