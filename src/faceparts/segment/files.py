"""A shipped name or a weights file of any kind -> the segmenter that runs it.

The suffix decides: ``.npz`` is a forest (`faceparts.segment.forest`), all else is ONNX
(`faceparts.segment.onnx`). Use this where a person names a model.
"""

from __future__ import annotations

from pathlib import Path

from faceparts import labels, weights
from faceparts.errors import UsageError
from faceparts.segment import forest, onnx
from faceparts.types import ModelCard, Segmenter


def load(
    name_or_path: str | Path = "partnet",
    *,
    threads: int | None = None,
    device: str = "cpu",
    precision: str = "auto",
) -> Segmenter:
    """Open a parser: a shipped one by name, or a file by path.

    Args:
        name_or_path: a name such as ``"partnet"``, or the path of an ONNX or forest file.
        threads: processor threads; ``None`` = all cores that the process may use.
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``.
        precision: ``"int8"``, ``"fp32"`` or ``"auto"``; for shipped names only.

    Raises:
        UnknownName: no such name is shipped in this precision.
        BadWeights: the file is missing, damaged, or does not fit its card.
        UsageError: the device is not there, or an option is out of range.
    """
    if _is_forest(name_or_path):
        if device == "cuda":
            raise UsageError(f"{name_or_path}: a forest runs on the processor; leave device out")
        return forest.load(name_or_path, threads=threads)
    return onnx.load(name_or_path, threads=threads, device=device, precision=precision)


def read_card(path: str | Path) -> ModelCard:
    """The card inside a weights file of any kind.

    Raises:
        BadWeights: the file is missing, damaged, or its card is missing or wrong.
    """
    return forest.read(path).card if _is_forest(path) else weights.read_card(path)


def read_parts(path: str | Path) -> tuple[str, ...]:
    """Names of a parser's parts, without the background; empty for a detector.

    Raises:
        BadWeights: as `read_card`.
    """
    if _is_forest(path):
        return forest.read(path).parts[1:]
    card = weights.read_card(path)
    return labels.get(card.label_set).parts[1:] if card.label_set else ()


def _is_forest(name_or_path: str | Path) -> bool:
    return Path(name_or_path).suffix.lower() == ".npz"
