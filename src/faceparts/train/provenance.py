"""What a training was made from: versions, machine, and a hash of every source's files."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from faceparts import __version__, weights
from faceparts.streams.files import write_atomic
from faceparts.train.config import Recipe

PACKAGES = ("torch", "numpy", "opencv-python-headless", "onnxruntime")
CHUNK = 1 << 20


def write_run(recipe: Recipe, root: Path, path: Path, **about: Any) -> None:
    """Write ``run.json``: versions, data hashes, and what else is given.

    Data that has not changed since the last time (same names, sizes and times of change) is not
    read again.
    """
    before = _read(path)
    known = {row["stamp"]: row for row in before.get("data", []) if "stamp" in row}
    data = [
        (describe_teacher if name == recipe.distill.model else describe)(root, name, known)
        for name in sources(recipe)
    ]
    values = {"versions": versions(), **about, "data": data}
    write_atomic(path, json.dumps(values, indent=1).encode(), force=True)


def sources(recipe: Recipe) -> list[str]:
    """Folders and files below the data root that decide a training, each once, sorted."""
    named = [source.root for source in (*recipe.data, *recipe.val)]
    named += [recipe.occluders, recipe.negatives, recipe.distill.model]
    return sorted({name for name in named if name})


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that have a say."""
    found = {"faceparts": __version__, "python": platform.python_version()}
    found["machine"] = platform.machine()
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # another build of the same package may be there instead
            found[name] = "not installed under this name"
    return found


def describe(root: Path, name: str, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Number, bytes and SHA-256 of the files of a source.

    The hash is over the lines ``sha256  relative/path`` of all files in sorted order, as
    ``sha256sum`` prints them.

    Args:
        root: data root.
        name: folder or file below it.
        known: earlier answers by their stamp.
    """
    top = root / name
    files = sorted(p for p in top.rglob("*") if p.is_file()) if top.is_dir() else [top]
    files = [p for p in files if p.is_file()]
    named = [(os.path.relpath(p, root).replace(os.sep, "/"), p) for p in files]
    stamps = [f"{told} {p.stat().st_size} {p.stat().st_mtime_ns}" for told, p in named]
    stamp = hashlib.sha256(_encoded("\n".join([name, *stamps]))).hexdigest()
    if stamp in known:
        return known[stamp]
    total = hashlib.sha256()
    for told, path in named:
        total.update(_encoded(f"{_hash(path)}  {told}\n"))
    size = sum(p.stat().st_size for p in files)
    return {
        "root": name,
        "files": len(files),
        "bytes": size,
        "sha256": total.hexdigest(),
        "stamp": stamp,
    }


def describe_teacher(root: Path, model: str, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """`describe`, or of a net that does not lie below the data root: its file, and that one's hash.

    Args:
        root: data root.
        model: path below it or from here, or name of a shipped net.
        known: as `describe` takes it.

    Raises:
        UnknownName, BadWeights: there is no such net.
    """
    if (root / model).is_file():
        return describe(root, model, known)
    path = Path(model) if Path(model).is_file() else weights.find(model)
    size = path.stat().st_size
    return {"root": model, "file": path.name, "files": 1, "bytes": size, "sha256": _hash(path)}


def _encoded(text: str) -> bytes:
    """UTF-8, and the bytes of file names that are none."""
    return text.encode("utf-8", "surrogateescape")


def _hash(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()


def _read(path: Path) -> dict[str, Any]:
    """The last ``run.json``; empty if there is none, or none that can be read."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
