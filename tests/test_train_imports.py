"""Weights of others: exact key layouts, their own order of parts, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

import caffe_files
from cli_world import call, encode, make_photo
from faceparts import cards, labels, weights
from faceparts.cli import _importing
from faceparts.errors import BadWeights, UnwritableOutput, UsageError
from faceparts.segment import onnx as segmenter
from faceparts.train import _import_onnx, imports
from faceparts.train.nets.fcn8s import MEAN_BGR
from make_caffe_reference import picture
from train_world import one_thread


@pytest.fixture(autouse=True, scope="module")
def calm() -> Iterator[None]:
    with one_thread():
        yield


def noise(side_px: int, count: int = 1) -> np.ndarray:
    shape = (count, side_px, side_px, 3)
    return np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)


def softmax(scores: Tensor) -> np.ndarray:
    return torch.softmax(scores, dim=1).detach().numpy()


# --- FCN-8s -----------------------------------------------------------------------------------


def write_caffe(folder: Path, outputs: int, name: str = "face_seg_fcn8s") -> Path:
    path = folder / f"{name}.caffemodel"
    path.write_bytes(caffe_files.caffemodel(caffe_files.fcn8s(outputs, 1 / 64), v1=True))
    return path


def test_the_binary_face_net_compares_outputs_0_and_15(tmp_path: Path) -> None:
    path = write_caffe(tmp_path, 21)
    assert call("models", "import-caffe", path, "--net", "fcn8s", "-o", tmp_path).code == 0
    card = weights.read_card(tmp_path / "face_seg_fcn8s.onnx")
    assert (card.name, card.label_set, card.input_px) == ("face_seg_fcn8s", "face2", 500)
    assert card.mean == pytest.approx(MEAN_BGR[::-1])
    assert card.std == (1, 1, 1)
    assert (card.output, card.shrink_px, card.commercial_ok) == ("logits", 0, False)
    assert card.margin == imports.S4_MARGIN
    crop = noise(500)
    parser = segmenter.load(tmp_path / "face_seg_fcn8s.onnx", threads=1)
    got = parser.predict(crop)[0]
    assert parser.label_set.parts == ("background", "face")
    assert parser._chunk == 4  # as many pixels as 16 crops of 256 px
    # as the published system does it: blue first, less the mean, output 15 against output 0
    bgr = crop[0, :, :, ::-1].astype(np.float32) - np.float32(MEAN_BGR)
    net = imports.import_caffe(path).net
    with torch.no_grad():
        scores = net(torch.from_numpy(bgr.transpose(2, 0, 1)[None].copy()))[0]
    assert np.array_equal(got.argmax(0) == 1, (scores[15] > scores[0]).numpy())
    assert np.abs(got - softmax(scores[None, [0, 15]])[0]).max() < 1e-4


def test_three_outputs_are_background_hair_face_on_enlarged_crops(tmp_path: Path) -> None:
    one = imports.import_caffe(write_caffe(tmp_path, 3))
    assert (one.card.label_set, one.card.input_px, one.card.shrink_px) == ("lfw3", 512, 250)
    assert one.outputs == (0, 1, 2)
    assert one.bgr
    small = replace(one, card=replace(one.card, input_px=64, shrink_px=30))
    paths, gap = _import_onnx.write_net(small, tmp_path)
    assert gap < 1e-5
    assert [p.name for p in paths] == ["face_seg_fcn8s.safetensors", "face_seg_fcn8s.onnx"]
    crop = noise(64)
    with_it = segmenter.load(paths[1], threads=1).predict(crop)
    shrunk = segmenter.shrink_and_grow(crop, 30)
    _import_onnx.write_net(replace(small, card=replace(small.card, shrink_px=0)), tmp_path)
    plain = segmenter.load(paths[1], threads=1)
    assert np.array_equal(with_it, plain.predict(shrunk))
    assert not np.allclose(with_it, plain.predict(crop))


def test_shrinking_takes_means_and_keeps_places() -> None:
    crop = np.zeros((1, 8, 8, 3), np.uint8)
    crop[0, :, :4] = (200, 100, 50)
    crop[0, ::2, :4] = 0  # stripes: their mean is what is left
    got = segmenter.shrink_and_grow(crop, 4)[0]
    assert np.array_equal(got[:, :3], np.broadcast_to(np.uint8([100, 50, 25]), (8, 3, 3)))
    assert (got[:, 5:] == 0).all()


def test_the_written_net_takes_any_size(tmp_path: Path) -> None:
    one = imports.import_caffe(write_caffe(tmp_path, 2))
    one = replace(one, card=replace(one.card, input_px=48), bgr=False)
    paths, _ = _import_onnx.write_net(one, tmp_path)
    opened = weights.session(paths[1], threads=1)
    for rows, columns in ((48, 48), (31, 77), (130, 33)):
        image = picture(1, rows, columns)[None]
        with torch.no_grad():
            wanted = one.net(torch.from_numpy(image)).numpy()
        (got,) = opened.run(None, {"image": np.repeat(image, 2, 0)})
        assert got.shape == (2, 2, rows, columns)
        assert np.abs(got - wanted).max() < 1e-4


def test_safetensors_hold_the_layers_and_the_card(tmp_path: Path) -> None:
    one = imports.import_caffe(write_caffe(tmp_path, 2))
    one = replace(one, card=replace(one.card, input_px=32, name="a"))
    (path, _), _ = _import_onnx.write_net(one, tmp_path)
    with safe_open(path, "pt") as file:
        assert cards.from_json(file.metadata()[cards.KEY]) == one.card
        stored = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # no mapping
    state = one.net.state_dict()
    assert stored.keys() == state.keys()
    assert all(torch.equal(stored[k], state[k]) for k in state)


def test_half_the_space(tmp_path: Path) -> None:
    one = imports.import_caffe(write_caffe(tmp_path, 2))
    one = replace(one, card=replace(one.card, input_px=32))
    full = _import_onnx.write_net(one, tmp_path)[0][1].stat().st_size
    paths, gap = _import_onnx.write_net(one, tmp_path, half=True)
    assert paths[1].stat().st_size < 0.62 * full
    assert gap < 1e-2


def test_renamed_layers(tmp_path: Path) -> None:
    layers = caffe_files.fcn8s(3, 1 / 64)
    for layer in layers:
        layer.name = layer.name.replace("score_fr", "score_fr_face")
    path = tmp_path / "a.caffemodel"
    path.write_bytes(caffe_files.caffemodel(layers))
    out = tmp_path / "out"
    base = ("models", "import-caffe", path, "-o", out, "--input-px", "32")
    failed = call(*base)
    assert failed.code == 1
    assert "has no layer 'score_fr' with weights" in failed.err
    assert not out.exists()
    done = call(*base, "--rename", "score_fr_face=score_fr", "--name", "hair")
    assert done.code == 0
    assert b"hair.onnx" in done.out
    card = weights.read_card(out / "hair.onnx")
    assert (card.input_px, card.shrink_px) == (32, 0)
    wrong = call(*base, "--rename", "nope=score_fr")
    assert wrong.code == 2
    assert "has no layer 'nope' to rename; it has conv1_1" in wrong.err
    assert call(*base, "--rename", "nope").code == 2


# --- BiSeNet ----------------------------------------------------------------------------------


def norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    kinds = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{k}": (channels,) for k in kinds} | {f"{name}.num_batches_tracked": ()}


def bisenet_layout(stem: int = 4, head: int = 8, parts: int = 19) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of ``79999_iter.pth``, where stem is 64 and head 128."""
    keys: dict[str, tuple[int, ...]] = {}

    def conv_norm(name: str, inputs: int, outputs: int, size: int) -> None:
        keys[f"{name}.conv.weight"] = (outputs, inputs, size, size)
        keys.update(norm(f"{name}.bn", outputs))

    keys["cp.resnet.conv1.weight"] = (stem, 3, 7, 7)
    keys.update(norm("cp.resnet.bn1", stem))
    before = stem
    for stage, width in enumerate((stem, 2 * stem, 4 * stem, 8 * stem), 1):
        for block in range(2):
            name = f"cp.resnet.layer{stage}.{block}"
            inputs = before if block == 0 else width
            keys[f"{name}.conv1.weight"] = (width, inputs, 3, 3)
            keys.update(norm(f"{name}.bn1", width))
            keys[f"{name}.conv2.weight"] = (width, width, 3, 3)
            keys.update(norm(f"{name}.bn2", width))
            if block == 0 and stage > 1:
                keys[f"{name}.downsample.0.weight"] = (width, inputs, 1, 1)
                keys.update(norm(f"{name}.downsample.1", width))
        before = width
    for name, inputs in (("arm16", 4 * stem), ("arm32", 8 * stem)):
        conv_norm(f"cp.{name}.conv", inputs, head, 3)
        keys[f"cp.{name}.conv_atten.weight"] = (head, head, 1, 1)
        keys.update(norm(f"cp.{name}.bn_atten", head))
    conv_norm("cp.conv_head32", head, head, 3)
    conv_norm("cp.conv_head16", head, head, 3)
    conv_norm("cp.conv_avg", 8 * stem, head, 1)
    conv_norm("ffm.convblk", 2 * stem + head, 2 * head, 1)
    keys["ffm.conv1.weight"] = (head // 2, 2 * head, 1, 1)
    keys["ffm.conv2.weight"] = (2 * head, head // 2, 1, 1)
    for name, inputs, middle in (
        ("conv_out", 2 * head, 2 * head),
        ("conv_out16", head, head // 2),
        ("conv_out32", head, head // 2),
    ):
        conv_norm(f"{name}.conv", inputs, middle, 3)
        keys[f"{name}.conv_out.weight"] = (parts, middle, 1, 1)
    return keys


def random_state(layout: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    torch.manual_seed(0)
    state = {}
    for key, shape in layout.items():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(5)
        elif key.endswith(("running_var", "norm.weight", "bn.weight", "bn1.weight", "bn2.weight")):
            state[key] = torch.rand(shape) + 0.5
        else:
            state[key] = torch.randn(shape) * 0.1
    return state


def test_bisenets_layout_and_order(tmp_path: Path) -> None:
    path = tmp_path / "79999_iter.pth"
    state = random_state(bisenet_layout())
    torch.save(state, path)
    out = call("models", "import", path, "--net", "bisenet", "-o", tmp_path, "--input-px", "64")
    assert out.code == 0, out.err
    card = weights.read_card(tmp_path / "79999_iter.onnx")
    assert (card.label_set, card.output) == ("bisenet19", "logits")
    assert card.mean == pytest.approx((123.675, 116.28, 103.53))
    parser = segmenter.load(tmp_path / "79999_iter.onnx", threads=1)
    crop = noise(64, 2)
    net = imports.import_bisenet(path).net
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
    with torch.no_grad():
        wanted = softmax(net(torch.from_numpy(weights.normalise(crop, card))))
    assert np.abs(parser.predict(crop) - wanted).max() < 1e-4


def test_bisenet_as_others_save_it(tmp_path: Path) -> None:
    state = random_state(bisenet_layout())
    plain = imports.import_bisenet(saved(state, tmp_path / "a.pth"))
    nested = {"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}
    wrapped = imports.import_bisenet(saved(nested, tmp_path / "b.pth"))
    main = {k: v for k, v in state.items() if not k.startswith(("conv_out16", "conv_out32"))}
    lean = {k: v.half() if v.is_floating_point() else v for k, v in main.items()}
    save_file({k: v for k, v in lean.items() if "batches" not in k}, tmp_path / "c.safetensors")
    stored = imports.import_bisenet(tmp_path / "c.safetensors")
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(plain.net(x), wrapped.net(x))
        assert (plain.net(x) - stored.net(x)).abs().max() < 0.05 * plain.net(x).abs().max()


def saved(state: Any, path: Path) -> Path:
    torch.save(state, path)
    return path


class Evil:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return print, ("this ran",)


def test_files_with_anything_but_tensors_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved({"cp.resnet.conv1.weight": Evil()}, tmp_path / "a.pth")
    with pytest.raises(BadWeights, match=r"a\.pth: not a file of tensors \(.*; get it again"):
        imports.import_bisenet(path)
    assert "this ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("cp.resnet.conv1.weight"), "has no 'cp.resnet.conv1.weight'; the file is"),
        (lambda s: s.pop("ffm.conv2.weight"), "without ffm.conv2.weight; left over nothing"),
        (
            lambda s: s.update({"cp.conv_avg.conv.weight": torch.zeros(0, 3, 1, 1)}),
            "has no 'cp.conv_avg.conv.weight'; the file is of another net",
        ),
        (lambda s: s.update(extra=torch.zeros(1)), "without nothing; left over extra"),
        (
            lambda s: s.update({"ffm.conv2.weight": torch.zeros(3, 4, 1, 1)}),
            r"ffm.conv2.weight is \(3, 4, 1, 1\), wanted \(16, 4, 1, 1\)",
        ),
        (
            lambda s: s["ffm.conv2.weight"].fill_(torch.nan),
            "ffm.conv2.weight has values that are not finite",
        ),
    ],
)
def test_other_bisenets_are_refused(
    change: Callable[[dict[str, Tensor]], Any], message: str, tmp_path: Path
) -> None:
    state = random_state(bisenet_layout())
    change(state)
    with pytest.raises(BadWeights, match=message):
        imports.import_bisenet(saved(state, tmp_path / "a.pth"))


def test_files_that_are_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadWeights, match="no such file; check the path"):
        imports.import_bisenet(tmp_path / "a.pth")
    (tmp_path / "a.safetensors").write_bytes(b"12345678")
    with pytest.raises(BadWeights, match="not a safetensors file"):
        imports.import_bisenet(tmp_path / "a.safetensors")
    (tmp_path / "a.pth").write_bytes(b"12345678")
    with pytest.raises(BadWeights, match="not a file of tensors"):
        imports.import_bisenet(tmp_path / "a.pth")
    with pytest.raises(BadWeights, match="holds no table of tensors; save the net's state_dict"):
        imports.import_bisenet(saved([torch.zeros(1)], tmp_path / "a.pth"))
    monkeypatch.setattr(imports, "MAX_WEIGHTS_BYTES", 3)
    with pytest.raises(BadWeights, match="larger than 3 bytes"):
        imports.import_bisenet(tmp_path / "a.pth")


# --- SegFormer --------------------------------------------------------------------------------

HIDDEN, DEPTHS, HEADS, SR, DECODER = (8, 16, 20, 32), (1, 2, 1, 1), (1, 2, 5, 4), (8, 4, 2, 1), 12


def segformer_layout() -> dict[str, tuple[int, ...]]:
    """Keys and shapes of Hugging Face's SegformerForSemanticSegmentation, narrow."""
    keys: dict[str, tuple[int, ...]] = {}

    def pair(name: str, *shape: int) -> None:
        keys[f"{name}.weight"], keys[f"{name}.bias"] = shape, shape[:1]

    before = 3
    for i, (c, depth, sr) in enumerate(zip(HIDDEN, DEPTHS, SR, strict=True)):
        size = 7 if i == 0 else 3
        pair(f"segformer.encoder.patch_embeddings.{i}.proj", c, before, size, size)
        pair(f"segformer.encoder.patch_embeddings.{i}.layer_norm", c)
        for j in range(depth):
            name = f"segformer.encoder.block.{i}.{j}"
            pair(f"{name}.layer_norm_1", c)
            for kind in ("query", "key", "value"):
                pair(f"{name}.attention.self.{kind}", c, c)
            if sr > 1:
                pair(f"{name}.attention.self.sr", c, c, sr, sr)
                pair(f"{name}.attention.self.layer_norm", c)
            pair(f"{name}.attention.output.dense", c, c)
            pair(f"{name}.layer_norm_2", c)
            pair(f"{name}.mlp.dense1", 4 * c, c)
            pair(f"{name}.mlp.dwconv.dwconv", 4 * c, 1, 3, 3)
            pair(f"{name}.mlp.dense2", c, 4 * c)
        pair(f"segformer.encoder.layer_norm.{i}", c)
        pair(f"decode_head.linear_c.{i}.proj", DECODER, c)
        before = c
    keys["decode_head.linear_fuse.weight"] = (DECODER, 4 * DECODER, 1, 1)
    keys.update(norm("decode_head.batch_norm", DECODER))
    pair("decode_head.classifier", 19, DECODER, 1, 1)
    return keys


NAMES = (
    *("background", "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear"),
    *("r_ear", "mouth", "u_lip", "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth"),
)
OLDER = (
    *("background", "skin.png", "nose.png", "r_eye.png", "l_eye.png", "r_brow.png", "l_brow.png"),
    *("r_ear.png", "l_ear.png", "mouth.png", "u_lip.png", "l_lip.png", "neck.png", "hair.png"),
    *("neck_l.png", "cloth.png", "eye_g.png", "hat.png", "ear_r.png"),
)
"""Two orders that files of the same name have had."""


def write_segformer(folder: Path, names: tuple[str, ...] | None = NAMES, **changed: Any) -> Path:
    folder.mkdir(exist_ok=True)
    save_file(random_state(segformer_layout()), folder / "model.safetensors")
    config = {"num_attention_heads": HEADS, **changed}
    if names is not None:
        config["id2label"] = {str(i): n for i, n in enumerate(names)}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def slow_segformer(state: dict[str, Tensor], image: np.ndarray) -> np.ndarray:
    """(3, H, W) -> (19, H / 4, W / 4) scores with NumPy, token by token where it can be seen."""
    values = {k: v.double().numpy() for k, v in state.items()}

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ values[f"{name}.weight"].T + values[f"{name}.bias"]

    def layer_norm(x: np.ndarray, name: str) -> np.ndarray:
        scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return scaled * values[f"{name}.weight"] + values[f"{name}.bias"]

    def conv(x: np.ndarray, name: str, stride: int, pad: int) -> np.ndarray:
        kernel, bias = values[f"{name}.weight"], values[f"{name}.bias"]
        size, apart = kernel.shape[-1], kernel.shape[1] == 1 < len(x)
        x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
        rows, columns = ((n - size) // stride + 1 for n in x.shape[1:])
        out = np.empty((len(kernel), rows, columns))
        for i in range(rows):
            for j in range(columns):
                cut = x[:, i * stride : i * stride + size, j * stride : j * stride + size]
                summed = (kernel[:, 0] * cut).sum((1, 2)) if apart else np.tensordot(kernel, cut, 3)
                out[:, i, j] = summed + bias
        return out

    def tokens(x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), -1).T

    def gelu(x: np.ndarray) -> np.ndarray:
        return x * 0.5 * (1 + torch.erf(torch.from_numpy(x / 2**0.5)).numpy())

    def attention(x: np.ndarray, name: str, hw: tuple[int, int], heads: int, sr: int) -> np.ndarray:
        source = x
        if sr > 1:
            reduced = conv(x.T.reshape(-1, *hw), f"{name}.self.sr", sr, 0)
            source = layer_norm(tokens(reduced), f"{name}.self.layer_norm")
        q, k, v = (
            linear(s, f"{name}.self.{kind}")
            for s, kind in ((x, "query"), (source, "key"), (source, "value"))
        )
        size, out = x.shape[1] // heads, np.empty_like(x)
        for h in range(heads):
            part = slice(h * size, (h + 1) * size)
            logits = q[:, part] @ k[:, part].T / np.sqrt(size)
            odds = np.exp(logits - logits.max(1, keepdims=True))
            out[:, part] = odds / odds.sum(1, keepdims=True) @ v[:, part]
        return linear(out, f"{name}.output.dense")

    maps, x = [], image.astype(float)
    for i, (depth, heads, sr) in enumerate(zip(DEPTHS, HEADS, SR, strict=True)):
        name = f"segformer.encoder.patch_embeddings.{i}"
        x = conv(x, f"{name}.proj", 4 if i == 0 else 2, 3 if i == 0 else 1)
        hw = x.shape[1], x.shape[2]
        t = layer_norm(tokens(x), f"{name}.layer_norm")
        for j in range(depth):
            name = f"segformer.encoder.block.{i}.{j}"
            t = t + attention(
                layer_norm(t, f"{name}.layer_norm_1"), f"{name}.attention", hw, heads, sr
            )
            inner = linear(layer_norm(t, f"{name}.layer_norm_2"), f"{name}.mlp.dense1")
            inner = tokens(conv(inner.T.reshape(-1, *hw), f"{name}.mlp.dwconv.dwconv", 1, 1))
            t = t + linear(gelu(inner), f"{name}.mlp.dense2")
        x = layer_norm(t, f"segformer.encoder.layer_norm.{i}").T.reshape(-1, *hw)
        maps.append(linear(tokens(x), f"decode_head.linear_c.{i}.proj").T.reshape(-1, *hw))
    size = maps[0].shape[1:]
    grown = [
        torch.nn.functional.interpolate(torch.from_numpy(m)[None], size, mode="bilinear")[0].numpy()
        for m in reversed(maps)
    ]
    fused = np.tensordot(
        values["decode_head.linear_fuse.weight"][:, :, 0, 0], np.concatenate(grown), 1
    )
    name = "decode_head.batch_norm"
    mean, var = (values[f"{name}.running_{k}"][:, None, None] for k in ("mean", "var"))
    fused = (fused - mean) / np.sqrt(var + 1e-5) * values[f"{name}.weight"][:, None, None]
    fused = np.maximum(fused + values[f"{name}.bias"][:, None, None], 0)
    classifier = values["decode_head.classifier.weight"][:, :, 0, 0]
    return np.tensordot(classifier, fused, 1) + values["decode_head.classifier.bias"][:, None, None]


def test_segformer_computes_what_its_paper_says(tmp_path: Path) -> None:
    one = imports.import_segformer(write_segformer(tmp_path / "net"))
    state = random_state(segformer_layout())
    assert all(torch.equal(v, state[k]) for k, v in one.net.state_dict().items())
    image = np.random.default_rng(0).normal(size=(3, 64, 96)).astype(np.float32)
    with torch.no_grad():
        got = one.net(torch.from_numpy(image)[None])
    scores = torch.from_numpy(slow_segformer(state, image))[None]
    wanted = torch.nn.functional.interpolate(scores, (64, 96), mode="bilinear")
    assert (got - wanted).abs().max() < 1e-4 * max(1.0, wanted.abs().max().item())


@pytest.mark.parametrize("names", [NAMES, OLDER])
def test_segformers_parts_follow_their_names(names: tuple[str, ...], tmp_path: Path) -> None:
    path = write_segformer(tmp_path / "face-parsing", names)
    done = call("models", "import", path, "--net", "segformer", "-o", tmp_path, "--input-px", "64")
    assert done.code == 0, done.err
    parser = segmenter.load(tmp_path / "face-parsing.onnx", threads=1)
    assert parser.label_set == labels.CELEBA19
    crop = noise(64)
    net = imports.import_segformer(path).net
    with torch.no_grad():
        wanted = softmax(net(torch.from_numpy(weights.normalise(crop, parser.card))))
    got = parser.predict(crop)
    for part, theirs in (("hair", "hair"), ("left_eye", "l_eye"), ("clothes", "cloth")):
        place = [n.removesuffix(".png") for n in names].index(theirs)
        assert np.abs(got[:, labels.CELEBA19.id(part)] - wanted[:, place]).max() < 1e-4


def test_segformer_without_a_config_has_celebas_order(tmp_path: Path) -> None:
    folder = write_segformer(tmp_path / "net")
    (folder / "config.json").unlink()
    one = imports.import_segformer(folder / "model.safetensors")
    assert one.outputs == tuple(range(19))
    assert one.card.name == "net"


@pytest.mark.parametrize(
    ("names", "changed", "message"),
    [
        (NAMES[1:], {}, "id2label of config.json is not CelebAMask-HQ's 19 parts"),
        ((*NAMES[:-1], "tail"), {}, r"19 parts \(\['clothes', 'tail'\]\); say 'label_set' and"),
        (NAMES, {"num_attention_heads": [1, 2, 3, 4]}, r"heads \[1, 2, 3, 4\] do not divide"),
        (NAMES, {"num_attention_heads": [1]}, "wanted four of each; is config.json the one"),
        (NAMES, {"num_attention_heads": "many"}, "is config.json the one of this file"),
        (NAMES, {"num_attention_heads": [0, 1, 1, 1]}, "is config.json the one of this file"),
    ],
)
def test_other_configs_are_refused(
    names: tuple[str, ...], changed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(BadWeights, match=message):
        imports.import_segformer(write_segformer(tmp_path / "net", names, **changed))


def test_a_config_that_is_no_json(tmp_path: Path) -> None:
    folder = write_segformer(tmp_path / "net")
    (folder / "config.json").write_text("{")
    with pytest.raises(BadWeights, match=r"config\.json: not a readable card file"):
        imports.import_segformer(folder)


# --- ONNX -------------------------------------------------------------------------------------

PAINT = np.float32([[0, 0, 0], [255, 0, 0], [0, 0, 255]])
"""RGB of background, face, hair: the order of the outputs of `write_onnx`."""


def write_onnx(
    path: Path,
    *,
    channels: str = "rgb",
    layout: str = "nchw",
    side: int | str = 16,
    ids: bool = False,
    inputs: int = 1,
    colours: int = 3,
) -> Path:
    """A net that scores every pixel by how near it is to the colour of each part."""
    paint = PAINT if channels == "rgb" else PAINT[:, ::-1]
    weight = (2 * paint / 255).reshape(3, 3, 1, 1)[:, :colours].astype(np.float32)
    bias = -((paint / 255) ** 2).sum(1).astype(np.float32)
    turn = layout == "nhwc"
    nodes = [helper.make_node("Transpose", ["image"], ["in"], perm=(0, 3, 1, 2))] if turn else []
    nodes.append(helper.make_node("Conv", ["in" if turn else "image", "w", "b"], ["raw"]))
    nodes.append(helper.make_node("Mul", ["raw", "twenty"], ["scores_x"]))
    end = [helper.make_node("Transpose", ["scores_x"], ["y"], perm=(0, 2, 3, 1))]
    nodes += end if turn else [helper.make_node("Identity", ["scores_x"], ["y"])]
    nodes.append(helper.make_node("ArgMax", ["scores_x"], ["ids"], axis=1))
    shape = ["n", side, side, colours] if turn else ["n", colours, side, side]
    infos = [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)]
    infos += [
        helper.make_tensor_value_info(f"more{i}", TensorProto.FLOAT, [1]) for i in range(1, inputs)
    ]
    outs = [
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4),
        helper.make_tensor_value_info("ids", TensorProto.INT64, [None] * 4),
    ]
    stored = {"w": weight, "b": bias, "twenty": np.float32(20)}
    graph = helper.make_graph(
        nodes,
        "g",
        infos,
        outs[::-1] if ids else outs,
        [numpy_helper.from_array(v, k) for k, v in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


CARD = """
name = "mine"
label_set = "lfw3"
outputs = ["background", "face", "hair"]
input_px = 16
mean = [0, 0, 0]
std = [255, 255, 255]
output = "logits"
license = "MIT"
"""


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("channels", ["rgb", "bgr"])
@pytest.mark.parametrize("side", [16, "s"])
def test_onnx_parsers_of_any_order(
    layout: str, channels: str, side: int | str, tmp_path: Path
) -> None:
    path = write_onnx(tmp_path / "a.onnx", channels=channels, layout=layout, side=side)
    card = tmp_path / "card.toml"
    card.write_text(f'{CARD}channels = "{channels}"\nlayout = "{layout}"\n')
    done = call("models", "import", path, "--card", card, "-o", tmp_path / "out")
    assert done.code == 0, done.err
    parser = segmenter.load(tmp_path / "out" / "mine.onnx", threads=1)
    assert parser.card.license == "MIT"
    assert parser.card.trained_on == (imports.UNKNOWN,)
    ids = np.random.default_rng(0).integers(0, 3, (2, 16, 16))
    probs = parser.predict(PAINT[[0, 2, 1]][ids].astype(np.uint8))  # lfw3: background, hair, face
    assert np.array_equal(probs.argmax(1), ids)


def test_an_output_by_name_and_a_card_in_json(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "a.onnx", ids=True)
    table = {"label_set": "lfw3", "outputs": [0, 2, 1], "input_px": 16, "output": "logits"}
    table |= {"mean": [0, 0, 0], "std": [255, 255, 255], "output_name": "y"}
    card = tmp_path / "card.json"
    card.write_text(json.dumps(table))
    done = call("models", "import", path, "--card", card, "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert weights.read_card(tmp_path / "out" / "a.onnx").name == "a"
    del table["output_name"]
    card.write_text(json.dumps(table))
    refused = call("models", "import", path, "--card", card, "-o", tmp_path / "out", "--force")
    assert refused.code == 1
    assert "output 'ids' is not float32; wanted a score or probability" in refused.err


def test_our_own_files_get_another_card(tmp_path: Path, parser_file: Path) -> None:
    before = weights.read_card(parser_file)
    done = call("models", "import", parser_file, "--shrink-px", "20", "--name", "b", "-o", tmp_path)
    assert done.code == 0, done.err
    after = weights.read_card(tmp_path / "b.onnx")
    assert after == replace(before, name="b", shrink_px=20)
    crop = noise(before.input_px)
    plain = segmenter.load(parser_file, threads=1)
    got = segmenter.load(tmp_path / "b.onnx", threads=1).predict(crop)
    assert np.allclose(got, plain.predict(segmenter.shrink_and_grow(crop, 20)), atol=1e-6)


@pytest.mark.parametrize(
    ("card", "options", "code", "message"),
    [
        ('colour = "red"', {}, 2, "unknown key 'colour'; there are: outputs, name, task"),
        ('channels = "gbr"', {}, 2, "channels = 'gbr'; wanted one of rgb, bgr"),
        ('name = "../a"', {}, 2, "name = '../a'; files are called so: wanted no folders"),
        ('task = "detect"', {}, 2, "task is 'detect'; only parsers are imported"),
        ('label_set = "nope"', {}, 1, "card key 'label_set': got 'nope'"),
        ('outputs = ["face", "hair"]', {}, 2, "outputs: 'background'; wanted each part of lfw3"),
        ('outputs = ["background", "face", "hair", "nose"]', {}, 2, "outputs: 'nose'; wanted"),
        ("outputs = [0, 1]", {}, 2, r"outputs = [0, 1]; wanted 3 different numbers, or names"),
        ("outputs = [0, 1, 1]", {}, 2, "wanted 3 different numbers"),
        ('outputs = "face"', {}, 2, "wanted 3 different numbers"),
        ("outputs = [0, 1, 9]", {}, 1, "cannot run"),
        ('output = "probs"', {}, 1, "does not sum to 1; say output = 'logits' in the card"),
        ("input_px = 32", {}, 1, "input is [16, 16] px, its card says 32"),
        ('output_name = "z"', {}, 1, "has no output 'z'; there are: y, ids"),
        ('layout = "nhwc"', {}, 1, "takes 16 channels, wanted 3; is layout 'nhwc' right?"),
        ("", {"inputs": 2}, 1, "2 inputs; wanted one of float32 pictures"),
        ("", {"colours": 1}, 1, "takes 1 channels, wanted 3; is layout 'nchw' right?"),
        ("= 3", {}, 2, "not a readable card file"),
    ],
)
def test_card_files_that_do_not_fit(
    card: str, options: dict[str, Any], code: int, message: str, tmp_path: Path
) -> None:
    path, file = write_onnx(tmp_path / "a.onnx", **options), tmp_path / "card.toml"
    kept = [line for line in CARD.splitlines() if line.split(" ")[0] != card.partition(" ")[0]]
    file.write_text("\n".join([*kept, card]))
    done = call("models", "import", path, "--card", file, "-o", tmp_path / "out")
    assert (done.code, message in done.err) == (code, True), done.err
    assert not (tmp_path / "out").exists()


def test_files_that_are_no_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"\xff\xff\xff")
    with pytest.raises(BadWeights, match="not a readable ONNX file"):
        _import_onnx.rewire(path, {}, None)
    model = onnx.load(write_onnx(path))
    onnx.save(model, path, save_as_external_data=True, size_threshold=0, location="w.bin")
    with pytest.raises(BadWeights, match="its weights lie in other files; save it as one file"):
        _import_onnx.rewire(path, {}, None)
    model = onnx.load(write_onnx(path))
    model.graph.input[0].type.tensor_type.shape.dim.pop()
    onnx.save(model, path)
    with pytest.raises(BadWeights, match="its input has 3 lengths, wanted 4"):
        _import_onnx.rewire(path, {}, None)
    monkeypatch.setattr(weights, "MAX_FILE_BYTES", 3)
    with pytest.raises(BadWeights, match="larger than 3 bytes"):
        _import_onnx.rewire(path, {}, None)


def test_names_that_the_graph_uses_already(tmp_path: Path) -> None:
    """The input is called image and a value starts with scores: ours get other names."""
    model = _import_onnx.rewire(write_onnx(tmp_path / "a.onnx"), {"channels": "bgr"}, (0, 2, 1))
    onnx.checker.check_model(model, full_check=True)
    assert model.graph.input[0].name == "faceparts_image"
    assert model.graph.output[0].name == "faceparts_scores"


# --- all of them ------------------------------------------------------------------------------


def test_outputs_that_are_not_there(tmp_path: Path) -> None:
    one = imports.import_caffe(write_caffe(tmp_path, 3))
    with pytest.raises(UsageError, match="a: say which 'outputs' stand for the parts of celeba19"):
        imports.overlay(one, {"label_set": "celeba19"}, "a")
    short = imports.overlay(one, {"outputs": [0, 1, 7]}, "a")
    with pytest.raises(BadWeights, match="has 3 outputs, and none numbered 7; say 'label_set'"):
        _import_onnx.write_net(short, tmp_path)


def test_a_file_that_computes_something_else_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = imports.import_caffe(write_caffe(tmp_path, 2))
    one = replace(one, card=replace(one.card, input_px=32, name="b"))
    monkeypatch.setattr(_import_onnx, "_gap", lambda *_: 0.5)
    with pytest.raises(BadWeights, match=r"b: the ONNX file differs by 0\.5 from the net; not"):
        _import_onnx.write_net(one, tmp_path)
    assert not (tmp_path / "b.onnx").exists()


def test_card_files_are_small_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    path.write_text("[1]")
    with pytest.raises(UsageError, match="holds list, wanted keys and values"):
        imports.read_card_file(path)
    monkeypatch.setattr(imports, "MAX_TEXT_BYTES", 2)
    with pytest.raises(UsageError, match="larger than 2 bytes; is it a card file"):
        imports.read_card_file(path)


def test_what_is_imported_is_never_overwritten(tmp_path: Path, parser_file: Path) -> None:
    before = parser_file.read_bytes()
    name = parser_file.stem
    call_it = ("models", "import", parser_file, "--shrink-px", 20, "--name", name)
    for more in ((), ("--force",)):
        done = call(*call_it, "-o", parser_file.parent, *more)
        assert done.code == 1
        assert f"would overwrite the input {parser_file}; choose another folder" in done.err
    assert parser_file.read_bytes() == before
    folder = write_segformer(tmp_path / "net")
    base = ("models", "import", folder, "--net", "segformer", "-o", folder, "--force")
    done = call(*base, "--name", "model")
    assert done.code == 1
    assert f"would overwrite the input {folder / 'model.safetensors'}" in done.err


def test_files_that_exist_are_kept_without_force(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.onnx").write_text("dear")
    base = ("models", "import-caffe", write_caffe(tmp_path, 2), "--input-px", 32, "-o", out)
    done = call(*base, "--name", "mine")
    assert done.code == 1
    assert "mine.onnx: exists already; choose another folder, another --name" in done.err
    assert [p.name for p in out.iterdir()] == ["mine.onnx"]
    assert (out / "mine.onnx").read_text() == "dear"
    assert call(*base, "--name", "mine", "--force").code == 0
    assert weights.read_card(out / "mine.onnx").name == "mine"


def test_both_files_are_written_or_none(tmp_path: Path) -> None:
    one = imports.import_caffe(write_caffe(tmp_path, 2))
    one = replace(one, card=replace(one.card, input_px=32, name="b"))
    (tmp_path / "b.onnx").mkdir()
    with pytest.raises(UnwritableOutput, match=r"b\.onnx: a folder; choose another name"):
        _import_onnx.write_net(one, tmp_path)
    assert not (tmp_path / "b.safetensors").exists()


def test_verbs_say_what_they_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(b"")
    unclear = call("models", "import", path, "-o", tmp_path)
    assert unclear.code == 2
    assert "what is it? give --net bisenet or --net segformer" in unclear.err
    half = call("models", "import", write_onnx(tmp_path / "a.onnx"), "-o", tmp_path, "--half")
    assert half.code == 2
    assert "--half is for nets that are read as PyTorch" in half.err
    monkeypatch.setitem(sys.modules, "faceparts.train._import_onnx", None)
    bare = call("models", "import", path, "-o", tmp_path)
    assert bare.code == 2
    assert "pip install 'faceparts[train]'" in bare.err


def test_help_names_the_imports() -> None:
    told = call("models", "--help").out
    for verb, command in _importing.COMMANDS.items():
        assert command.help is not None
        assert f"faceparts models {verb} --help".encode() in told
        assert b"Example:" in call("models", str(verb), "--help").out


def test_an_imported_net_segments_a_folder(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    (photos / "a.png").write_bytes(encode(make_photo()))
    base = ("models", "import-caffe", write_caffe(tmp_path, 21), "-o", tmp_path)
    assert call(*base, "--input-px", "96").code == 0
    model = tmp_path / "face_seg_fcn8s.onnx"
    flags = ("--model", model, "--detector", "whole", "-o", out)
    assert call("segment", "--input", photos, *flags).code == 0
    assert (out / "a.png.labels.png").is_file()
    assert json.loads((out / "classes.json").read_text())
    again = ("segment", f"--input={photos}", photos / "a.png", *flags, "--force", "--json")
    assert call(*again).json["counts"]["pictures"] == 1
    nothing = call("segment", *flags, "--input")
    assert nothing.code == 2
    assert "Option '--input' requires an argument" in nothing.err
