"""How long the whole pipeline and its parts take, start-up time, and peak memory.

Photos are made of the public-domain astronaut photo that scikit-image ships: 1, 4 or 16 copies of
the person on a grey canvas of the given size. One line is the median over warm rounds; "whole" is
detect + segment + hide (solid) on a decoded photo, "pictures/s" follows from it. "At once": as many
photos as there are threads, one thread for each, as `--jobs` does; 4 photos a thread and round. The
parts: detect, crop (all heads), net (all crops), warp back (probabilities to labels at the photo's
resolution), hide (the effect), encode (PNG and JPEG of the result). Start-up: median of fresh
processes, files cached by the system. Peak memory: the largest resident set of a fresh process that
hides the faces of one photo of that many megapixels, photo included.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from _report import arguments, median_ms, progress, publish, table
from faceparts import crops, folder
from faceparts.errors import FacePartsError
from faceparts.parse import FaceParser
from faceparts.segment import maps_of
from faceparts.types import Image

SIZES_WH = {
    "480p": (640, 480),
    "720p": (1280, 720),
    "1080p": (1920, 1080),
    "12 MP": (4000, 3000),
}
FACES = (1, 4, 16)
MEMORY_MP = (0.3, 12, 100)
PHOTOS_A_THREAD = 4
PERSON_WH = (300, 330)
"""Part of the astronaut photo that holds head and shoulders, from row 0, column 90."""


def main() -> None:
    args = _arguments().parse_args()
    if args.peak_of is not None:
        print(_peak_mib(args))
        return
    try:
        results = _measure(args)
    except FacePartsError as error:
        sys.exit(str(error))
    publish("speed", args, __doc__ or "", results, _markdown(results))


def _arguments() -> argparse.ArgumentParser:
    parser = arguments(__doc__)
    parser.add_argument("--detector", default="headnet")
    parser.add_argument("--detector-weights", metavar="FILE")
    parser.add_argument("--segmenter", default="partnet", help="our parser: name or path")
    parser.add_argument("--rounds", type=int, default=15, help="rounds a photo (default: 15)")
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES_WH), default=list(SIZES_WH))
    parser.add_argument("--no-memory", action="store_true", help="leave peak memory out")
    parser.add_argument("--peak-of", type=float, metavar="MP", help=argparse.SUPPRESS)
    return parser


def _parser(args: argparse.Namespace, threads: int) -> FaceParser:
    """The product as users get it, with this many threads."""
    return FaceParser(
        args.detector,
        args.segmenter,
        detector_weights=args.detector_weights,
        threads=threads,
    )


def _measure(args: argparse.Namespace) -> dict[str, Any]:
    parsers = _parser(args, args.threads), _parser(args, 1)
    results: dict[str, Any] = {"photos": [], "start_up": _start_up(args), "peak_mib": {}}
    for size in args.sizes:
        for faces in FACES:
            progress(f"{size}, {faces} faces")
            photo = group_photo(SIZES_WH[size], faces)
            timed = _time_photo(*parsers, photo, args.threads, args.rounds)
            results["photos"].append({"size": size, "faces": faces} | timed)
    if not args.no_memory:
        for megapixels in MEMORY_MP:
            progress(f"peak memory at {megapixels} MP")
            results["peak_mib"][str(megapixels)] = _measure_peak(megapixels)
    return results


def group_photo(size_wh: tuple[int, int], faces: int) -> Image:
    """Copies of the astronaut in a grid, as large as the cells allow, on grey."""
    from skimage.data import astronaut

    person = astronaut()[: PERSON_WH[1], 90 : 90 + PERSON_WH[0]]
    width, height = size_wh
    columns = round(faces**0.5)
    cell_w, cell_h = width // columns, height // -(-faces // columns)
    scale = 0.9 * min(cell_w / PERSON_WH[0], cell_h / PERSON_WH[1])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    person = cv2.resize(person, None, fx=scale, fy=scale, interpolation=how)
    photo = np.full((height, width, 3), 127, np.uint8)
    h, w = person.shape[:2]
    for i in range(faces):
        y = (i // columns) * cell_h + (cell_h - h) // 2
        x = (i % columns) * cell_w + (cell_w - w) // 2
        photo[y : y + h, x : x + w] = person
    return photo


def _time_photo(
    parser: FaceParser, single: FaceParser, photo: Image, jobs: int, rounds: int
) -> dict[str, Any]:
    """Median ms of the whole and of each part, taking turns.

    Args:
        single: the parser with one thread, for ``jobs`` photos at once.
    """
    effect = folder.load("faceparts.effects", "solid").EFFECT(what="face")
    heads = parser.detect(photo)
    card = parser.segmenter.card
    cuts = [crops.crop_head(photo, head, card.input_px, card.margin) for head in heads]
    squares = np.stack([c.image for c in cuts]) if cuts else np.empty((0, 1, 1, 3), np.uint8)
    predict = maps_of(parser.segmenter)
    probs = predict(squares) if cuts else np.empty((0,))
    windows = [crops.crop_to_window(c) for c in cuts]
    faces = parser.segment(photo, heads)
    hidden = effect(photo, faces)
    bgr = np.ascontiguousarray(hidden[..., ::-1])

    def crop_all(_: int) -> object:
        return [crops.crop_head(photo, h, card.input_px, card.margin) for h in heads]

    def warp_all(_: int) -> object:
        return [crops.warp_back(p, c, w) for p, c, w in zip(probs, cuts, windows, strict=True)]

    def several(_: int) -> object:
        photos = [photo] * (jobs * PHOTOS_A_THREAD)
        return list(pool.map(lambda one: effect(one, single.parse(one)), photos))

    calls: dict[str, Callable[[int], object]] = {
        "whole": lambda _: effect(photo, parser.parse(photo)),
        "at once": several,
        "detect": lambda _: parser.detect(photo),
        "crop": crop_all,
        "net": lambda _: predict(squares) if cuts else None,
        "warp back": warp_all,
        "hide": lambda _: effect(photo, faces),
        "encode PNG": lambda _: cv2.imencode(".png", bgr),
        "encode JPEG": lambda _: cv2.imencode(".jpg", bgr),
    }
    with ThreadPoolExecutor(jobs) as pool:
        times = median_ms(calls, rounds, warm_up=2)
    at_once = 1000 * jobs * PHOTOS_A_THREAD / times.pop("at once")
    return {
        "found": len(heads),
        "ms": times,
        "pictures_per_s": round(1000 / times["whole"], 1),
        "at_once_per_s": round(at_once, 1),
    }


def _start_up(args: argparse.Namespace) -> dict[str, float]:
    """Median seconds of fresh processes; the bare interpreter for comparison."""
    commands = {
        "python -c pass": ["-c", "pass"],
        "python -c 'import faceparts'": ["-c", "import faceparts"],
        "python -m faceparts --version": ["-m", "faceparts", "--version"],
    }
    out = {}
    for name, command in commands.items():
        times = []
        for _ in range(max(5, args.rounds // 2)):
            start = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            times.append(time.perf_counter() - start)
        out[name] = round(statistics.median(times), 3)
    return out


def _measure_peak(megapixels: float) -> float:
    """Peak MiB of a fresh process with this benchmark's options."""
    command = [sys.executable, *sys.argv, "--peak-of", str(megapixels)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ)
    if done.returncode:
        sys.exit(f"the run for peak memory failed:\n{done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


def _peak_mib(args: argparse.Namespace) -> float:
    side = (args.peak_of * 1e6 / 12) ** 0.5
    photo = group_photo((round(4 * side), round(3 * side)), 4)
    effect = folder.load("faceparts.effects", "solid").EFFECT(what="face")
    effect(photo, _parser(args, args.threads).parse(photo))
    return round(_peak_bytes() / 2**20, 1)


def _peak_bytes() -> int:
    """Most memory that this process held; ``ru_maxrss`` would count its parent's on Linux."""
    status = Path("/proc/self/status")
    if status.is_file():
        lines = dict(line.split(":", 1) for line in status.read_text("ascii").splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _markdown(results: dict[str, Any]) -> str:
    photos = results["photos"]
    names = list(photos[0]["ms"])
    rows = [
        (
            f"{p['size']}, {p['faces']} faces",
            p["found"],
            p["pictures_per_s"],
            p["at_once_per_s"],
            *(f"{p['ms'][n]:.1f}" for n in names),
        )
        for p in photos
    ]
    blocks = [
        table(
            ("photo", "found", "pictures/s", "at once, pictures/s", *(f"{n} ms" for n in names)),
            rows,
        )
    ]
    blocks.append(table(("start-up", "s"), list(results["start_up"].items())))
    if results["peak_mib"]:
        peaks = [(f"{k} MP, 4 faces", v) for k, v in results["peak_mib"].items()]
        blocks.append(table(("peak memory of one process", "MiB"), peaks))
    return "\n\n".join(blocks)


if __name__ == "__main__":
    main()
