"""What all benchmarks share: arguments, machine, timing, and the JSON and Markdown they write."""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import faceparts

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
PACKAGES = ("numpy", "opencv-python-headless", "pillow", "onnxruntime", "ai-edge-litert")


def arguments(text: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark has; the module's docstring is its help.

    ``--data`` defaults to the environment variable ``FACEPARTS_DATA``.
    """
    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ["FACEPARTS_DATA"]) if "FACEPARTS_DATA" in os.environ else None,
        help="folder with the data sets (default: $FACEPARTS_DATA)",
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all numbers to this file")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N pictures of a set")
    parser.add_argument("--threads", type=int, default=2, help="processor threads (default: 2)")
    parser.add_argument("--seed", type=int, default=1, help="seed of all chance (default: 1)")
    parser.add_argument(
        "--page",
        type=Path,
        default=PAGE,
        help="Markdown page whose table is replaced (default: docs/benchmarks.md)",
    )
    parser.add_argument("--no-page", action="store_true", help="leave the Markdown page as it is")
    return parser


def data_folder(args: argparse.Namespace, *needed: str) -> Path:
    """The data folder; ends the run with one line when it or a part that is needed is missing."""
    if args.data is None:
        sys.exit("no data folder: give --data, or set FACEPARTS_DATA")
    for name in ("", *needed):
        if not (args.data / name).is_dir():
            sys.exit(
                f"{args.data / name}: no such folder; this benchmark needs {', '.join(needed)}"
            )
    return Path(args.data)


def progress(text: str) -> None:
    """One line for the person who waits, on stderr."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def machine(threads: int) -> dict[str, Any]:
    """Processor, system and versions: what a number was measured on."""
    versions = {"python": platform.python_version(), "faceparts": faceparts.__version__}
    versions |= {name: found for name in PACKAGES if (found := _version(name)) != "absent"}
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions,
    }


def file_id(path: Path) -> str:
    """Name and first 12 digits of the SHA-256 of a weights file."""
    with path.open("rb") as file:
        return f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"


def median_ms(
    calls: dict[str, Callable[[int], object]], rounds: int, warm_up: int = 3
) -> dict[str, float]:
    """Median wall time of each call in milliseconds.

    The calls take turns within every round, so that whatever else the machine does falls on all of
    them alike and their ratio is fair.

    Args:
        calls: name -> function of the round's number.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(-warm_up, rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call(turn % rounds)
            if turn >= 0:
                times[name].append((time.perf_counter() - start) * 1000)
    return {name: round(statistics.median(values), 2) for name, values in times.items()}


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; numbers are aligned to the right, ``None`` becomes a dash."""
    lines = [
        "| " + " | ".join(header) + " |",
        "| " + " | ".join(["---"] + ["---:"] * (len(header) - 1)) + " |",
    ]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def percent(rate: float | None, digits: int = 1) -> str | None:
    """0..1 -> text in percent; ``None`` and ``nan`` -> ``None``."""
    return None if rate is None or rate != rate else f"{100 * rate:.{digits}f}"


def publish(
    name: str, args: argparse.Namespace, protocol: str, results: dict[str, Any], markdown: str
) -> None:
    """Write the JSON, replace the table in the page, and print the table.

    Args:
        name: which table of the page: the one between ``<!-- NAME -->`` and ``<!-- /NAME -->``.
        protocol: how it was measured, in words.
        results: every number, in plain types.
    """
    where = machine(args.threads)
    report = {
        "benchmark": name,
        "date": time.strftime("%Y-%m-%d"),
        "machine": where,
        "seed": args.seed,
        "limit": args.limit,
        "protocol": protocol,
        "results": results,
    }
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(report, indent=1) + "\n")
    versions = ", ".join(f"{k} {v}" for k, v in where["versions"].items())
    cut = f" Only the first {args.limit} pictures of each set." if args.limit else ""
    block = (
        f"{markdown}\n\n*{report['date']}, {where['processor']}, {where['cores']} cores, "
        f"{where['threads']} threads, {where['system']}; {versions}; seed {args.seed}.{cut}*"
    )
    print(block)
    if not args.no_page:
        _replace(args.page, name, f"{_paragraphs(protocol)}\n\n{block}")


def _replace(page: Path, name: str, block: str) -> None:
    first, last = f"<!-- {name} -->", f"<!-- /{name} -->"
    text = page.read_text() if page.is_file() else ""
    before, found, rest = text.partition(first)
    _, ended, after = rest.partition(last)
    if not found or not ended:
        sys.exit(f"{page}: no '{first}' ... '{last}' to put the table between; add the two lines")
    page.write_text(f"{before}{first}\n{block}\n{last}{after}")


def _paragraphs(text: str) -> str:
    """Join the lines of each paragraph; blank lines and list items start anew."""
    out: list[str] = []
    for line in text.strip().splitlines():
        stripped = line.strip()
        if out and stripped and not stripped.startswith(("- ", "1. ")) and out[-1]:
            out[-1] += f" {stripped}"
        else:
            out.append(stripped)
    return "\n".join(out)


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
