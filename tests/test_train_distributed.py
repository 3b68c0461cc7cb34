"""Two processes give what one process with the double batch gives; devices by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import nn

from faceparts.errors import UsageError
from faceparts.train import distributed, loop
from faceparts.train.config import Phase
from faceparts.train.distributed import Group, join, pick_device
from train_world import PARTS, one_thread, write_world

RECIPE = replace(
    PARTS,
    net="fcn8s",
    net_options={"width": 0.02, "skip_scales": [1.0, 1.0]},
    label_set="lfw3",
    phases=(Phase(1.0, 32, 4),),
    optimizer="sgd",
    lr=0.3,
    clip=1.0,
    steps=3,
    val_every=2,
    save_every=1,
    bf16=False,
)

WORKER = """
import json, sys
from pathlib import Path
import torch
from torch import nn
from faceparts.train import config, loop
from faceparts.train.nets import fcn8s

class Small(nn.Module):
    def __init__(self, parts):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 6, 5, 4, 2), nn.Conv2d(6, parts * 16, 1)
    def forward(self, x):
        return nn.functional.pixel_shuffle(self.last(torch.relu(self.first(x))), 4)

fcn8s.build = lambda parts, **options: Small(parts)
torch.set_num_threads(1)
recipe, root, out = (Path(p) for p in sys.argv[1:])
table = json.loads(recipe.read_text())
loop.train(config.recipe_from_table(table, "test"), root, out, quiet=True, device="cpu")
"""


class Small(nn.Module):
    """The same net as in `WORKER`."""

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 6, 5, 4, 2), nn.Conv2d(6, parts * 16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.pixel_shuffle(self.last(torch.relu(self.first(x))), 4)


def test_two_processes_are_one_with_the_double_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from faceparts.train.nets import fcn8s

    monkeypatch.setattr(fcn8s, "build", lambda parts, **options: Small(parts))
    world = write_world(tmp_path / "world")
    with one_thread():
        alone = loop.train(RECIPE, world, tmp_path / "one", quiet=True, device="cpu")
    half = replace(RECIPE, phases=(Phase(1.0, 32, 2),))
    (tmp_path / "recipe.json").write_text(json.dumps(asdict(half)))
    (tmp_path / "worker.py").write_text(WORKER)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
            *("--master-addr", "127.0.0.1", "--master-port", "0", "--rdzv-endpoint", "127.0.0.1:0"),
            *("--rdzv-backend", "c10d", "--local-addr", "127.0.0.1"),
            *(tmp_path / "worker.py", tmp_path / "recipe.json", world, tmp_path / "two"),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    saved = torch.load(tmp_path / "two" / "checkpoint.pt", weights_only=True)
    assert saved["step"] == alone.step == 3
    start = loop.make_state(RECIPE, 3).net.state_dict()
    for name, value in alone.net.state_dict().items():
        torch.testing.assert_close(saved["net"][name], value, rtol=0, atol=1e-5)
        average = alone.average.state_dict()[name]
        torch.testing.assert_close(saved["average"][name], average, rtol=0, atol=1e-5)
        assert (value - start[name]).abs().max() > 1e-3
    one, two = (
        [json.loads(line) for line in (tmp_path / n / "log.jsonl").read_text().splitlines()]
        for n in ("one", "two")
    )
    assert [r["step"] for r in two] == [r["step"] for r in one] == [2, 3]  # one process writes
    assert two[-1]["val"]["mean_f1"] == pytest.approx(one[-1]["val"]["mean_f1"], abs=1e-3)
    run = json.loads((tmp_path / "two" / "run.json").read_text())
    assert run["processes"] == 2


def test_a_group_of_one_changes_nothing() -> None:
    group = Group()
    assert group.first
    net = nn.Linear(1, 1)
    torch.autograd.backward(net(torch.ones(1, 1)).sum())
    group.add_gradients(net)
    assert net.weight.grad is not None and net.weight.grad.item() == 1
    leaf = torch.ones(2, requires_grad=True)
    added = group.add({"a": 2 * leaf})["a"]
    assert added.tolist() == [2, 2]
    assert not added.requires_grad
    assert group.tell(3.5) == 3.5


def test_sums_and_gradients_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exchange itself stands in: it doubles, as if another process had sent the same."""
    monkeypatch.setattr(distributed.dist, "all_reduce", lambda flat: flat.mul_(2))
    group = Group(rank=1, size=2)
    added = group.add({"a": torch.tensor([[1.0, 2.0]]), "b": torch.tensor(3.0)})
    assert added["a"].tolist() == [[2.0, 4.0]]
    assert added["b"].item() == 6
    net = nn.Sequential(nn.Linear(1, 2), nn.Linear(2, 1))
    for value in net[0].parameters():
        value.grad = torch.ones_like(value)
    group.add_gradients(net)
    assert [p.grad is not None and p.grad.unique().tolist() for p in net.parameters()] == [
        *([2.0], [2.0]),
        *([0.0], [0.0]),  # no gradient here, but perhaps in the other process
    ]
    assert not group.first


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")
    with pytest.raises(UsageError, match="process 0 wants graphics card 0, PyTorch sees 0; use"):
        pick_device("cuda")
    with pytest.raises(UsageError, match="device 'tpu': wanted auto, cpu or cuda"):
        pick_device("tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("auto", 1) == pick_device("cuda", 1) == torch.device("cuda", 1)
    assert pick_device("cpu", 1) == torch.device("cpu")
    assert chosen == [1, 1]
    with pytest.raises(UsageError, match="process 2 wants graphics card 2, PyTorch sees 2"):
        pick_device("auto", 2)


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    with join("cpu") as group:
        assert group == Group()
