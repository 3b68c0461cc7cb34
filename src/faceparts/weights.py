"""Name or path -> verified local file, and the card inside it. Nothing is ever downloaded.

A weights file is an ONNX file whose ``metadata_props`` hold a `ModelCard` as JSON, see `cards`. It
takes float32 (N, 3, H, W) normalised as its card says, or pictures as they are, (N, H, W, 3) uint8.
The files in ``models/`` are checked against ``models/SHA256SUMS`` before they are used.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from faceparts import cards
from faceparts._values import require_whole
from faceparts.errors import BadWeights, MissingWeights, UnknownName, UsageError
from faceparts.types import ModelCard

MODELS = Path(__file__).parent / "models"
"""Folder of the shipped nets."""

MAX_FILE_BYTES = 1024 * 2**20
"""The largest net that is known to be used, FCN-8s as published, has 537 million bytes."""

_SUFFIXES = {"int8": ".int8.onnx", "fp32": ".onnx"}
_CUDA = "CUDAExecutionProvider"
_ORT_ERRORS: tuple[type[Exception], ...] = (
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoModel,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)


# --- the file ---------------------------------------------------------------------------------


def shipped() -> list[str]:
    """Names of the nets in the package, sorted, each once whatever its precisions."""
    return sorted({p.name.split(".")[0] for p in MODELS.glob("*.onnx")})


def find(name_or_path: str | Path, *, precision: str = "auto", device: str = "cpu") -> Path:
    """The file of a shipped net (its checksum verified), or the path as it was given.

    Args:
        name_or_path: a name such as ``"partnet"``; a `Path`, or a text with a folder or a suffix,
            is taken as a path.
        precision: for names: ``"int8"``, ``"fp32"``, or ``"auto"``: int8 if there is one, on CUDA
            fp32 if there is one.

    Raises:
        UnknownName: no such net is shipped, or not in this precision; the message lists what is.
        MissingWeights: there is no such file.
        BadWeights: a shipped file does not match ``SHA256SUMS``.
        UsageError: an unknown precision, or the device is not there.
    """
    if precision not in ("auto", *_SUFFIXES):
        raise UsageError(f"precision: got {precision!r}, wanted 'auto', 'int8' or 'fp32'")
    path = Path(name_or_path)
    if isinstance(name_or_path, Path) or path.suffix or len(path.parts) > 1:
        if not path.is_file():
            raise MissingWeights(
                f"{path}: no such weights file; give an ONNX file or a name from 'faceparts models'"
            )
        return path
    order = ["fp32", "int8"] if pick_device(device) == "cuda" else ["int8", "fp32"]
    for kind in order if precision == "auto" else [precision]:
        path = MODELS / f"{name_or_path}{_SUFFIXES[kind]}"
        if path.is_file():
            _verify(path)
            return path
    there = ", ".join(sorted(p.name for p in MODELS.glob("*.onnx"))) or "none"
    raise UnknownName(
        f"no weights named {name_or_path!r} (precision {precision}); shipped are: {there}; "
        "or pass a path"
    )


def _verify(path: Path) -> None:
    """Compare a shipped file with its line in ``SHA256SUMS``."""
    listing = path.parent / "SHA256SUMS"
    lines = listing.read_text("utf-8").splitlines() if listing.is_file() else []
    wanted = {parts[1].lstrip("*"): parts[0] for line in lines if len(parts := line.split()) == 2}
    with path.open("rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    if path.name not in wanted:
        raise BadWeights(f"{path}: not listed in {listing.name}; install the package again")
    if wanted[path.name].lower() != got:
        raise BadWeights(
            f"{path}: sha256 {got[:12]}... is not the listed {wanted[path.name][:12]}...; "
            "install the package again"
        )


# --- the session ------------------------------------------------------------------------------


def available_cores() -> int:
    """Number of processor cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS or Windows
        return os.cpu_count() or 1


def pick_device(device: str) -> str:
    """Resolve ``"auto"`` and check that the device is there: ``"cpu"`` or ``"cuda"``.

    Raises:
        UsageError: an unknown device, or CUDA was asked for and this onnxruntime has none.
    """
    there = onnxruntime.get_available_providers()
    if device == "auto":
        return "cuda" if _CUDA in there else "cpu"
    if device not in ("cpu", "cuda"):
        raise UsageError(f"device: got {device!r}, wanted 'cpu', 'cuda' or 'auto'")
    if device == "cuda" and _CUDA not in there:
        raise UsageError(
            f"device 'cuda': this onnxruntime only has {', '.join(there)}; "
            "install onnxruntime-gpu instead of onnxruntime, or use device 'cpu'"
        )
    return device


def _read_bytes(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise BadWeights(f"{path}: {size} bytes, wanted at most {MAX_FILE_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise BadWeights(
            f"{path}: cannot be read: {error.strerror}; check its permissions"
        ) from None


def _open(path: Path, options: onnxruntime.SessionOptions, providers: list[str]) -> Any:
    try:
        return onnxruntime.InferenceSession(_read_bytes(path), options, providers=providers)
    except _ORT_ERRORS as error:
        reason = " ".join(str(error).rsplit(" : ", 1)[-1].split())[:200]
        raise BadWeights(f"{path}: not a usable ONNX file: {reason}; export it again") from None


def session(
    path: Path, *, threads: int | None = None, device: str = "cpu"
) -> onnxruntime.InferenceSession:
    """Open an ONNX file for running.

    Args:
        threads: processor threads for one run; ``None`` = all cores that the process may use.
        device: ``"cpu"``, ``"cuda"``, or ``"auto"``: CUDA where it works. Asking for ``"cuda"``
            never falls back to the processor.

    Raises:
        BadWeights: the file is missing, too large, damaged or not ONNX.
        UsageError: fewer than one thread, an unknown device, or CUDA is not to be had.
    """
    if threads is not None:
        threads = require_whole("threads", threads, 1)
    picked = pick_device(device)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or available_cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # failures are raised, not printed
    # Detector and parser take turns: the idle one's threads must not spin on the other's cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    providers = [_CUDA, "CPUExecutionProvider"] if picked == "cuda" else ["CPUExecutionProvider"]
    opened = _open(path, options, providers)
    if device == "cuda" and _CUDA not in opened.get_providers():
        raise UsageError(
            "device 'cuda': onnxruntime could not start CUDA; check driver, CUDA and cuDNN"
        )
    return opened


def _card_of(opened: onnxruntime.InferenceSession, path: Path) -> ModelCard:
    metadata = opened.get_modelmeta().custom_metadata_map
    if cards.KEY not in metadata:
        raise BadWeights(f"{path}: has no card ({cards.KEY!r} in metadata_props); export it again")
    return cards.from_json(metadata[cards.KEY], str(path))


def read_card(path: str | Path) -> ModelCard:
    """The card inside an ONNX file.

    Raises:
        BadWeights: the file is missing, damaged, not ONNX, or its card is missing or wrong.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return _card_of(_open(Path(path), options, ["CPUExecutionProvider"]), Path(path))


@dataclass(frozen=True, eq=False)
class Net:
    """An opened weights file.

    Args:
        path: the file.
        card: what the file says about itself.
        session: the onnxruntime session.
        input_shape: N, 3, H, W of the only input, in whichever order the file has them; ``None``
            where any length is taken.
        output_shapes: shape of every output, by name.
        takes_bytes: the file takes uint8 (N, H, W, 3) as they are; otherwise float32 (N, 3, H, W).
    """

    path: Path
    card: ModelCard
    session: onnxruntime.InferenceSession
    input_shape: tuple[int | None, ...]
    output_shapes: dict[str, tuple[int | None, ...]]
    takes_bytes: bool = False

    def run(self, images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """(N, H, W, 3) uint8 RGB -> the outputs by name.

        Raises:
            BadWeights: the net does not take this input, or puts out numbers that are not finite.
        """
        names = list(self.output_shapes)
        fed = images if self.takes_bytes else normalise(images, self.card)
        try:
            arrays = self.session.run(names, {self.session.get_inputs()[0].name: fed})
        except _ORT_ERRORS as error:
            reason = " ".join(str(error).split())[:200]
            raise BadWeights(f"{self.path}: cannot run on input {fed.shape}: {reason}") from None
        for name, array in zip(names, arrays, strict=True):
            if not np.isfinite(np.sum(array, dtype=np.float32)):  # quicker than asking every number
                raise BadWeights(f"{self.path}: output {name!r} has numbers that are not finite")
        return dict(zip(names, arrays, strict=True))


def _shape(node: Any) -> tuple[int | None, ...]:
    return tuple(n if isinstance(n, int) else None for n in node.shape)


def open_net(
    weights: str | Path,
    task: str,
    *,
    threads: int | None = None,
    device: str = "cpu",
    precision: str = "auto",
) -> Net:
    """Find, verify and open a net for a task (``"segment"`` or ``"detect"``).

    Raises:
        BadWeights, UnknownName, UsageError: see `find`, `session` and `read_card`; also when the
            card is for another task or the file takes something else than one batch of pictures.
    """
    path = find(weights, precision=precision, device=device)
    opened = session(path, threads=threads, device=device)
    card = _card_of(opened, path)
    if card.task != task:
        raise BadWeights(
            f"{path}: is a net for {card.task!r}, wanted one for {task!r}; see 'faceparts models'"
        )
    inputs = opened.get_inputs()
    shape = _shape(inputs[0])
    takes_bytes = inputs[0].type == "tensor(uint8)"
    if takes_bytes and len(shape) == 4:
        shape = shape[0], shape[3], *shape[1:3]
    if (
        len(inputs) != 1
        or not (takes_bytes or inputs[0].type == "tensor(float)")
        or len(shape) != 4
        or shape[1] not in (3, None)
    ):
        got = ", ".join(f"{n.type} {n.shape}" for n in inputs)
        raise BadWeights(
            f"{path}: inputs are {got}; wanted one, float32 (N, 3, H, W) or uint8 (N, H, W, 3)"
        )
    outputs = {node.name: _shape(node) for node in opened.get_outputs()}
    return Net(path, card, opened, shape, outputs, takes_bytes)


def normalise(images: NDArray[np.uint8], card: ModelCard) -> NDArray[np.float32]:
    """(N, H, W, 3) uint8 RGB -> (N, 3, H, W) float32, (rgb - mean) / std of the card."""
    count, height, width, _ = images.shape
    blob = np.empty((count, 3, height, width), np.float32)
    for channel in range(3):
        scale = np.float32(1 / card.std[channel])
        mean = np.float32(card.mean[channel] / card.std[channel])
        table = np.arange(256, dtype=np.float32) * scale - mean  # 256 values, not one a pixel
        for image, planes in zip(images, blob, strict=True):
            cv2.LUT(cv2.extractChannel(image, channel), table, dst=planes[channel])
    return blob
