"""Published weights of HigherHRNet and HRNet -> our net, by name; and our net -> a file that runs.

``pose_higher_hrnet_{w32_512,w32_640,w48_640}.pth`` fit as they are; a backbone trained on ImageNet
(``hrnet_w32-*.pth``) fits all but the head. Nothing is unpickled but tensors.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from faceparts.detect._pose_card import card_path, parse_card
from faceparts.errors import BadRecipe, BadWeights
from faceparts.streams.files import write_atomic
from faceparts.train.config import recipe_from_table
from faceparts.train.nets.higherhrnet import MEAN, STD, HigherHRNetExport, build

OPSET = 17
PAD = 127
"""Grey level beside the pictures that `train.keypoints` shows."""
WRAPPERS = ("module.", "1.")
"""What data-parallel and half-precision training put before every name."""
HEAD = ("final_layers.", "deconv_layers.")
"""Values of HigherHRNet that a backbone does not have."""
OTHER_HEADS = ("classifier.", "incre_modules.", "downsamp_modules.", "final_layer.", "last_layer.")
"""Values of HRNets for other tasks, beside the backbone."""


@dataclass(frozen=True)
class Fit:
    """How the values of a file fit those of a net, by name.

    Args:
        loaded: those that fit.
        missing: those of the net that the file lacks.
        unexpected: those of the file that the net lacks.
        misshapen: ``name: got (1, 2), wanted (3, 2)``.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether the file holds exactly the net's values."""
        return not (self.missing or self.unexpected or self.misshapen)

    def report(self, most: int = 5) -> str:
        """One line: how many values fit, and the first of those that do not."""
        said = [f"{len(self.loaded)} values fit"]
        for word in ("missing", "unexpected", "misshapen"):
            names = getattr(self, word)
            if names:
                more = f" and {len(names) - most} more" if len(names) > most else ""
                said.append(f"{len(names)} {word} ({', '.join(names[:most])}{more})")
        return "; ".join(said)


def read_values(path: Path, *keys: str) -> dict[str, Tensor]:
    """The named tensors of a ``.pth`` file, without the names of wrappers around the net.

    Args:
        path: the file.
        keys: where in the file they are; by default at the top or below a usual name.

    Raises:
        BadWeights: not a file of tensors, or one that holds anything else than plain values.
    """
    try:
        stored: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damage and forbidden content show in a dozen ways
        reason = " ".join(str(error).split())[:200]
        raise BadWeights(f"{path}: not a file of plain tensors ({reason})") from error
    for key in keys or ("state_dict", "model", "net"):
        if isinstance(stored, Mapping) and isinstance(stored.get(key), Mapping):
            stored = stored[key]
    if not isinstance(stored, Mapping) or not stored:
        raise BadWeights(f"{path}: holds a {type(stored).__name__}; wanted named tensors")
    values = {str(k): v for k, v in stored.items()}
    strange = [k for k, v in values.items() if not isinstance(v, Tensor)]
    if strange:
        raise BadWeights(f"{path}: {strange[0]!r} is not a tensor; wanted named tensors alone")
    for prefix in WRAPPERS:
        if all(name.startswith(prefix) for name in values):
            values = {name.removeprefix(prefix): v for name, v in values.items()}
    return values


def compare(net: nn.Module, values: Mapping[str, Tensor]) -> Fit:
    """How named tensors fit a net. Counters of batch norm may be missing: old files lack them."""
    own = net.state_dict()
    both = [name for name in own if name in values]
    wrong = [name for name in both if own[name].shape != values[name].shape]
    return Fit(
        tuple(name for name in both if name not in wrong),
        tuple(n for n in own if n not in values and not n.endswith("num_batches_tracked")),
        tuple(name for name in values if name not in own),
        tuple(f"{n}: got {tuple(values[n].shape)}, wanted {tuple(own[n].shape)}" for n in wrong),
    )


def load_pose_weights(net: nn.Module, path: Path) -> Fit:
    """Fill a whole net from a published file; nothing is changed unless every value fits.

    Raises:
        BadWeights: a value is missing, unexpected or of another shape; the message names them.
    """
    values = read_values(path)
    fit = compare(net, values)
    if not fit.whole:
        raise BadWeights(f"{path}: does not fit this net: {fit.report()}; is it the same width?")
    net.load_state_dict(values, strict=False)
    return fit


def load_backbone(net: nn.Module, path: Path) -> Fit:
    """Fill all but the head from a file of the HRNet backbone, such as one trained on ImageNet.

    Raises:
        BadWeights: a value of the backbone is missing or of another shape, or the file holds one
            that no HRNet has.
    """
    values = {
        name: value
        for name, value in read_values(path).items()
        if not name.startswith((*HEAD, *OTHER_HEADS)) and not _unused_exchange(net, name)
    }
    fit = compare(net, values)
    left = tuple(name for name in fit.missing if not name.startswith(HEAD))
    fit = Fit(fit.loaded, left, fit.unexpected, fit.misshapen)
    if not fit.whole:
        raise BadWeights(f"{path}: is no backbone of this net: {fit.report()}")
    net.load_state_dict(values, strict=False)
    return fit


def _unused_exchange(net: nn.Module, name: str) -> bool:
    """Whether a value belongs to the last exchange's coarser outputs, which a pose net leaves out.

    A classifier uses all four branches behind the last stage.
    """
    head, _, _ = name.partition(".fuse_layers.")
    return head == f"stage4.{_count(net) - 1}" and name not in net.state_dict()


def _count(net: nn.Module) -> int:
    """Number of exchanges in the fourth stage."""
    return len({name.split(".")[1] for name in net.state_dict() if name.startswith("stage4.")})


def export_pose(
    net: nn.Module, path: Path, *, name: str, license: str, notes: str = "", pad: int = PAD
) -> None:
    """Write a bottom-up net as ONNX, and the card that ``--detector keypoints`` reads beside it.

    Input ``images`` (N, 3, H, W) float32, RGB, normalised by the card; outputs ``heatmaps`` and
    ``tags``, both (N, 17, H/2, W/2). N, H and W are free; H and W must be multiples of 32.

    Args:
        net: a `nets.higherhrnet.HigherHRNet`.
        path: file to write, ``NAME.onnx``; the card is ``NAME.toml``.
        name: what reports call the model.
        license: licence of the weights.
        notes: anything a user must know, on one line.
        pad: grey level 0..255 beside the picture, as in the training.

    Raises:
        BadWeights: a text of the card is not on one line.
        UnwritableOutput: the system refuses.
    """
    card = "".join(
        f"{key} = {_toml(value)}\n"
        for key, value in (
            *(("kind", "bottom-up"), ("name", name), ("mean", MEAN), ("std", STD)),
            *(("pad", pad), ("heatmaps", "heatmaps"), ("tags", "tags")),
            ("person_threshold", 0.1),
            *(("license", license), ("notes", notes)),
        )
    )
    parse_card(card, str(card_path(path)))
    with TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.onnx"
        trace(net, raw)
        onnx.checker.check_model(str(raw))
        data = raw.read_bytes()
    write_atomic(path, data, force=True)
    write_atomic(card_path(path), card.encode(), force=True)


def _toml(value: object) -> str:
    """A text or numbers as TOML."""
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(list(value)) if isinstance(value, tuple) else str(value)


def trace(net: nn.Module, path: Path) -> None:
    """PyTorch -> ONNX with free batch, height and width; every weight keeps its name."""
    wrapped = HigherHRNetExport(net).eval()
    for value in wrapped.parameters():
        value.data = value.data.contiguous()
    free = {0: "n", 2: "height", 3: "width"}
    half = {0: "n", 2: "rows", 3: "columns"}
    with warnings.catch_warnings():
        # the newer exporter renames and folds the weights that a new training looks for
        for known in ("You are using the legacy TorchScript", "The feature will be removed"):
            warnings.filterwarnings("ignore", known, DeprecationWarning)
        torch.onnx.export(
            wrapped,
            (torch.zeros(1, 3, 64, 96),),
            str(path),
            input_names=["images"],
            output_names=["heatmaps", "tags"],
            dynamic_axes={"images": free, "heatmaps": half, "tags": half},
            opset_version=OPSET,
            do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE,
            dynamo=False,
        )


def convert(weights: Path, out: Path, *, width: int = 32, name: str = "", license: str = "") -> Fit:
    """A published ``.pth`` file -> ONNX with its card; see `load_pose_weights`, `export_pose`.

    Args:
        weights: ``pose_higher_hrnet_w32_512.pth`` or another of the family.
        out: file to write, ``NAME.onnx``.
        width: 32 or 48, as the file's name says.
        name: what reports call it; by default the name of the file written.
        license: licence of the weights.

    Raises:
        BadWeights: the file does not hold exactly this net.
        UnwritableOutput: the system refuses.
    """
    net = build(width=width)
    fit = load_pose_weights(net, weights)
    export_pose(net, out, name=name or out.stem, license=license, pad=0)
    return fit


def export_run(run: Path, out: Path) -> Path:
    """The averaged net of a training with ``task = "keypoints"`` -> ONNX with its card.

    Args:
        run: folder of the training, with ``recipe.json`` and ``checkpoint.pt``.
        out: folder to write ``NAME.onnx`` and ``NAME.toml`` into.

    Raises:
        BadRecipe: the folder holds no recipe of this task.
        BadWeights: the checkpoint is damaged or belongs to another net.
        UnwritableOutput: the system refuses.
    """
    where = run / "recipe.json"
    try:
        table = json.loads(where.read_bytes())
    except (OSError, ValueError) as error:
        raise BadRecipe(f"{where}: not the recipe of a training ({error})") from error
    recipe = recipe_from_table(table, str(where))
    if recipe.task != "keypoints":
        raise BadRecipe(f"{where}: is for task {recipe.task!r}, wanted 'keypoints'")
    net = build(**recipe.net_options)
    values = read_values(run / "checkpoint.pt", "average")
    fit = compare(net, values)
    if not fit.whole:
        raise BadWeights(f"{run / 'checkpoint.pt'}: does not fit its recipe: {fit.report()}")
    net.load_state_dict(values)
    path = out / f"{recipe.name}.onnx"
    text = recipe.card
    export_pose(net, path, name=recipe.name, license=text.license, notes=text.notes)
    return path
