"""The light head detector: fewer weights, the same outputs, and an int8 file that runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from faceparts.train import export
from faceparts.train.config import CardText
from faceparts.train.nets import headnet
from faceparts.train.nets.partnet import count_parameters
from train_world import HEADS, one_thread


def test_a_light_net_has_fewer_weights_and_the_same_outputs() -> None:
    heavy, light = (headnet.build(26, light=light) for light in (False, True))
    assert count_parameters(light) < 0.75 * count_parameters(heavy)
    x = torch.zeros(1, 3, 64, 128)
    with torch.no_grad():
        assert light.eval()(x).shape == heavy.eval()(x).shape == (1, 26, 16, 32)


def test_only_the_largest_maps_are_made_lighter() -> None:
    net = headnet.HeadNet(light=2)
    wide = {
        name.split(".weight")[0]
        for name, module in net.named_modules()
        if isinstance(module, torch.nn.Conv2d) and module.kernel_size == (3, 3)
        if module.stride == (1, 1) and module.groups == 1
    }
    assert wide == {
        "stages.2.1.first.0",
        "stages.2.1.second.0",
        "stages.3.1.first.0",
        "stages.3.1.second.0",
        "decode.2.0",
        "decode.3.0",
    }


def test_a_light_net_as_int8(tmp_path: Path) -> None:
    with one_thread():
        torch.manual_seed(0)
        net = headnet.HeadNet((8, 8, 8, 8, 8, 8), light=3)
        with torch.no_grad():
            net.out.weight *= 30
        net.eval()
        pictures = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3)).astype(np.uint8)
        x = np.float32(pictures.transpose(0, 3, 1, 2) / 127.5 - 1)
        path = tmp_path / "light.int8.onnx"
        recipe = replace(HEADS, name="light", card=CardText(threshold=0.4))
        export.quantize(net, recipe, path, [x])
        with torch.no_grad():
            wanted = headnet.HeadNetExport(net)(torch.from_numpy(x))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    got = onnxruntime.InferenceSession(str(path), options).run(None, {"image": pictures})
    for one, other in zip(got, wanted, strict=True):
        apart, spread = np.abs(one - other.numpy()).mean(), float(other.std())
        assert apart < 0.1 * spread
