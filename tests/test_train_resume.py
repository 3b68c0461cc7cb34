"""A real training killed at a random moment, gone on with, and compared bit for bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from faceparts.train import config, loop
from faceparts.train.nets import partnet
from faceparts.train.nets.partnet import PartNet
from train_world import one_thread, write_world

RECIPE = """
name = "killed"
net = "partnet"
task = "parts"
seed = 5
steps = 80
val_every = 25
save_every = 4
label_set = "lfw3"

[loss]
ce = 1.0
dice = 0.5

[[phases]]
until = 1.0
size_px = 32
batch = 2

[[data]]
name = "facecrops"
root = "noisy"
split = "all"
share = 1.0
trust = 0.2

[[val]]
name = "celebamask"
root = "people"
split = "val"
share = 1.0
"""

RUN = """
import sys
from faceparts.train import loop
from faceparts.train.nets import partnet
partnet.build = lambda parts: partnet.PartNet(parts, (4, 8, 8, 8, 8), (1, 0, 0, 0))
loop.write_curves = lambda *_: None  # half a second each
from faceparts.cli.main import main
main()
"""


def start(world: Path, out: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-c", RUN, "train", world / "recipe.toml", "--data", world),
            *("-o", out, "--threads", "1", "--device", "cpu", "--quiet"),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(world: Path, out: Path) -> dict[str, object]:
    process = start(world, out)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    saved: dict[str, object] = torch.load(out / "checkpoint.pt", weights_only=True)
    return saved


def assert_same(a: object, b: object, where: str = "") -> None:
    if isinstance(a, torch.Tensor):
        assert isinstance(b, torch.Tensor) and torch.equal(a, b), where
    elif isinstance(a, dict):
        assert isinstance(b, dict) and a.keys() == b.keys(), where
        for key in a:
            if key != "elapsed_s":
                assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list):
        assert isinstance(b, list) and len(a) == len(b), where
        for i, (one, other) in enumerate(zip(a, b, strict=True)):
            assert_same(one, other, f"{where}.{i}")
    else:
        assert a == b, where


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_world(tmp_path_factory.mktemp("world"))
    (root / "recipe.toml").write_text(RECIPE)
    return root


def test_killed_and_gone_on_is_the_same_bit_for_bit(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, one_thread():
        patch.setattr(partnet, "build", lambda n: PartNet(n, (4, 8, 8, 8, 8), (1, 0, 0, 0)))
        patch.setattr(loop, "write_curves", lambda *_: None)
        recipe = config.read_recipe(world / "recipe.toml")
        loop.train(recipe, world, tmp_path / "whole", threads=1, device="cpu", quiet=True)
    whole = torch.load(tmp_path / "whole" / "checkpoint.pt", weights_only=True)
    out = tmp_path / "killed"
    process = start(world, out)
    chance = random.Random(int.from_bytes(os.urandom(4), "little"))
    after = chance.randint(1, 30)
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        if (out / "checkpoint.pt").exists():
            time.sleep(after / 100)  # somewhere in the steps that follow
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it ended before it was killed"
    killed_at = torch.load(out / "checkpoint.pt", weights_only=True)["step"]
    assert 0 < killed_at < 80
    resumed = finish(world, out)
    assert_same(whole, resumed)
    best = [torch.load(p / "best.pt", weights_only=True) for p in (tmp_path / "whole", out)]
    assert_same(*best)
    assert not [p.name for p in out.iterdir() if p.name.startswith(".") and p.suffix == ".pt"]
    rows = [json.loads(x) for x in (out / "log.jsonl").read_text().splitlines() if x.endswith("}")]
    assert [r["step"] for r in rows if "val" in r][-1] == 80
