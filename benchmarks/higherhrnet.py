"""HigherHRNet: does the exported file agree with PyTorch, and can the training learn?

``--parity`` builds W32 (or ``--width``) with random weights, sets batch norm to the statistics of a
noise picture and the largest output to about 1, exports it and compares both outputs with PyTorch
on three sizes. ``--overfit MINUTES`` trains a compact net (the same heads, 2.46 M parameters) on
every picture of ``DATA/coco_keypoints`` as it is, for so many minutes of processor time, and prints
losses and COCO's AP on these same pictures before and after: a proof that data, targets, losses,
grouping and evaluation fit together, not a result.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import nn

from _report import arguments, data_folder, machine, progress
from faceparts.train.config import Phase, Recipe, Source
from faceparts.train.keypoints import KeypointsTask
from faceparts.train.nets import higherhrnet
from faceparts.train.pose_weights import export_pose, trace

COMPACT = {"width": 16, "stem": 16, "blocks": 2, "modules": [1, 2, 2]}
SIZES_HW = ((256, 256), (192, 320), (64, 96))
COCO = Source("coco_keypoints", "coco_keypoints", "val2017", 1.0)


def main() -> None:
    args = _arguments().parse_args()
    torch.set_num_threads(args.threads)
    results: dict[str, Any] = {"machine": machine(args.threads)}
    if args.parity:
        results["parity"] = parity(args.width)
        print(json.dumps(results["parity"], indent=1))
    if args.overfit:
        recipe = overfit_recipe(args)
        results["overfit"] = overfit(recipe, data_folder(args, "coco_keypoints"), args.out)
        print(json.dumps(results["overfit"], indent=1))
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _arguments() -> argparse.ArgumentParser:
    parser = arguments(__doc__)
    parser.set_defaults(threads=1)
    parser.add_argument("--parity", action="store_true", help="compare PyTorch and onnxruntime")
    parser.add_argument("--width", type=int, default=32, help="of the net to compare (default: 32)")
    parser.add_argument("--overfit", type=float, default=0.0, metavar="MINUTES")
    parser.add_argument("--out", type=Path, metavar="NAME.onnx", help="write the overfitted net")
    parser.add_argument("--size-px", type=int, default=192, help="square side (default: 192)")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--lr", type=float, default=2e-3)
    return parser


def parity(width: int) -> dict[str, Any]:
    """Largest differences of both outputs, and of what size the outputs are."""
    torch.manual_seed(0)
    net = higherhrnet.build(width=width)
    settle(net)
    rows = {}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        trace(net, path)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for h, w in SIZES_HW:
            x = torch.randn(1, 3, h, w)
            with torch.no_grad():
                start = time.perf_counter()
                wanted = net(x).numpy()
                torch_s = time.perf_counter() - start
            start = time.perf_counter()
            heat, tags = session.run(["heatmaps", "tags"], {"images": x.numpy()})
            onnx_s = time.perf_counter() - start
            got = np.concatenate([heat, tags], axis=1)
            rows[f"{w}x{h}"] = {
                "largest_difference": float(np.abs(got - wanted).max()),
                "largest_output": float(np.abs(wanted).max()),
                "torch_s": round(torch_s, 2),
                "onnx_s": round(onnx_s, 2),
            }
    parameters = sum(p.numel() for p in net.parameters())
    return {"width": width, "parameters": parameters, "sizes": rows}


@torch.no_grad()
def settle(net: higherhrnet.HigherHRNet) -> None:
    """Batch norm as after training on noise; no output above 1, as heat is."""
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    x = torch.randn(1, 3, 256, 256)
    for layer in range(2):
        for norm in norms:
            norm.momentum = 1.0
        net.train().stages(x)
        out = net.eval().stages(x)[layer]
        final = net.final_layers[layer]
        assert isinstance(final, nn.Conv2d)
        final.weight /= out.abs().max()


def overfit_recipe(args: argparse.Namespace) -> Recipe:
    """What the proof trains: nothing is turned, scaled or mirrored."""
    return Recipe(
        name="higherhrnet-compact",
        net="higherhrnet",
        task="keypoints",
        net_options=COMPACT,
        phases=(Phase(1.0, args.size_px, args.batch),),
        data=(COCO,),
        val=(COCO,),
        seed=args.seed,
        minutes=args.overfit,
        lr=args.lr,
    )


def overfit(recipe: Recipe, root: Path, out: Path | None) -> dict[str, Any]:
    """Losses of the first and the last 20 steps, and COCO's numbers before and after."""
    task = KeypointsTask(recipe, root, augmented=False)
    torch.manual_seed(recipe.seed)
    net = higherhrnet.build(task.outputs, **COMPACT).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=recipe.lr, weight_decay=0.0)
    before = task.validate(net)
    progress(f"before: {before}")
    rows: list[dict[str, float]] = []
    start = time.process_time()
    while (share := (time.process_time() - start) / (60 * recipe.minutes)) < 1:
        rate = min(1.0, share / 0.03) * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2)
        for values in optimizer.param_groups:
            values["lr"] = recipe.lr * rate
        batch = task.batch(len(rows), recipe.phases[0])
        net.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
            loss, parts = task.loss(net, batch, share)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(net.parameters(), recipe.clip)
        optimizer.step()
        rows.append({"total": loss.item(), **parts})
        if len(rows) % 20 == 0:
            progress(f"step {len(rows)} {time.process_time() - start:.0f} s {_mean(rows[-20:])}")
    if out:
        notes = "overfitted on the pictures it was measured on: a proof, not a model"
        export_pose(net, out, name=recipe.name, license="none", notes=notes)
    return {
        "parameters": sum(p.numel() for p in net.parameters()),
        "size_px": recipe.phases[0].size_px,
        "batch": recipe.phases[0].batch,
        "processor_minutes": recipe.minutes,
        "steps": len(rows),
        "pictures": {"drawn": len(task.drawn[0]), "evaluated": len(task.val[0])},
        "loss": {"first 20 steps": _mean(rows[:20]), "last 20 steps": _mean(rows[-20:])},
        "before": before,
        "after": task.validate(net),
    }


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {k: float(f"{np.mean([row[k] for row in rows]):.3g}") for k in rows[0]}


if __name__ == "__main__":
    sys.exit(main())
