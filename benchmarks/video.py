"""How many known faces stay visible in videos, frame by frame and as a video.

Videos are made of photos on which the pixels that must go are known: every tenth photo of SCUT-HEAD
val (the ellipse in every head box) and every fourth of the collages of hide.py (24 group photos of
CelebAMask-HQ val people on photos without people). A camera of three fifths to four fifths of the
photo's width moves evenly over each for 25 frames at 25 a second, closer or further away on the
way, with a shaking of 1.5 px, a blur of up to 4 px across, noise of sigma 6 and JPEG quality 35 to
80, new in every frame. Faces of which less than half lies in the frame are left out of it.

Frame by frame: every frame is hidden as `faceparts hide` hides a photo. Video: `faceparts hide` of
the frames as a video, as they are before they are encoded. deface has no memory: its rows are of
the frames as PNG files. All else, also what counts as covered, is as in hide.py.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from _report import arguments, data_folder, percent, progress, publish, table
from _scenes import Scene, collage_scenes, faces_of, scut_scenes
from faceparts import video, weights
from faceparts.api import HIDE_SCORE_SHARE
from faceparts.errors import FacePartsError
from faceparts.parse import FaceParser
from faceparts.streams.video import VideoReader
from faceparts.types import Image
from hide import Tally, hide_by_deface, hiding_effect, install_deface

FRAMES = 25
FPS = 25.0
WIDTH_SHARES = (0.6, 0.8)
LEAST_SEEN = 0.5
SETS = {"scut_head": (scut_scenes, 10, "head"), "collages": (collage_scenes, 4, "face")}
"""Scenes, every how manieth, and what is hidden."""


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--no-deface", action="store_true", help="measure ours alone")
    parser.add_argument("--bench-env", type=Path, default=Path(".bench-env"), help="see hide.py")
    args = parser.parse_args()
    data = data_folder(args, "celebamask", "no_people", "scut_head")
    try:
        results = _measure(args, data)
    except FacePartsError as error:
        sys.exit(str(error))
    publish("video", args, __doc__ or "", results, _markdown(results))


def pan(scene: Scene, rng: np.random.Generator) -> Iterator[Scene]:
    """Frames of a camera that moves over a scene, and the faces in each."""
    height, width = scene.image.shape[:2]
    start, end = rng.uniform(*WIDTH_SHARES, 2)
    at, to = rng.uniform(0, 1, (2, 2))
    size = int(width * WIDTH_SHARES[1]) // 2 * 2, int(height * WIDTH_SHARES[1]) // 2 * 2
    full = np.zeros((height, width), np.uint8)
    for number, share in enumerate(np.linspace(0, 1, FRAMES)):
        zoom = WIDTH_SHARES[1] / (start + (end - start) * share)
        free = np.array([width, height]) - np.array(size) / zoom
        left, top = free * (at + (to - at) * share) + rng.normal(0, 1.5, 2)
        matrix = np.array([[zoom, 0, -left * zoom], [0, zoom, -top * zoom]])
        faces = []
        for face in scene.faces:
            x0, y0, x1, y1 = face.window_xyxy
            full[y0:y1, x0:x1] = face.mask
            seen = cv2.warpAffine(full, matrix, size, flags=cv2.INTER_NEAREST)
            full[y0:y1, x0:x1] = 0
            if seen.sum() >= LEAST_SEEN * face.mask.sum() * zoom**2:
                faces += faces_of(seen > 0)
        image = _spoilt(cv2.warpAffine(scene.image, matrix, size), rng)
        yield Scene(f"{scene.key}#{number}", image, tuple(faces), scene.complete)


def _spoilt(image: Any, rng: np.random.Generator) -> Image:
    """As a moving camera sees it; no pixel is black."""
    image = cv2.blur(image, (int(rng.integers(1, 5)), 1))
    image = np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 81))]
    decoded = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)
    return np.maximum(np.asarray(decoded, np.uint8), 1)


def _measure(args: argparse.Namespace, data: Path) -> dict[str, Any]:
    parser, quick = (
        FaceParser(
            threads=args.threads,
            long_hair=False,
            min_score_share=HIDE_SCORE_SHARE,
            turned=turned,
            cut=True,
        )
        for turned in (True, False)
    )
    sure = weights.read_card(weights.find("headnet")).threshold
    deface = None if args.no_deface else install_deface(args.bench_env)
    results: dict[str, Any] = {}
    for name, (scenes, every, what) in SETS.items():
        effect, rng = hiding_effect(what), np.random.default_rng(args.seed)
        tallies = {tool: Tally() for tool in ("frame by frame", "video", "deface")}
        for scene in islice(scenes(data, args.seed), 0, None, every):
            if not scene.faces or (args.limit and tallies["video"].clips >= args.limit):
                continue
            progress(f"{name}: {scene.key}")
            frames = list(pan(scene, rng))
            images = [frame.image for frame in frames]
            for tool, tally in tallies.items():
                if tool == "deface" and deface is None:
                    continue
                start = time.perf_counter()
                if tool == "video":
                    after = _as_video(images, parser, quick, effect, sure)
                elif tool == "frame by frame":
                    after = [effect(image, parser.parse(image)) for image in images]
                else:
                    after = hide_by_deface(deface, images)
                tally.seconds += time.perf_counter() - start
                tally.clips += 1
                for frame, image in zip(frames, after, strict=True):
                    tally.add(frame, (image == 0).all(axis=2))
        results[name] = {tool: tally.report() for tool, tally in tallies.items() if tally.clips}
    return results


def _as_video(
    images: Sequence[Image], parser: FaceParser, quick: FaceParser, effect: Any, sure: float
) -> list[Image]:
    with tempfile.TemporaryDirectory() as folder:
        path, size = Path(folder) / "clip.mkv", (images[0].shape[1], images[0].shape[0])
        code = cv2.VideoWriter.fourcc(*"FFV1")  # loses nothing
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, FPS, size)
        for image in images:
            writer.write(np.ascontiguousarray(image[..., ::-1]))
        writer.release()
        reader = VideoReader(path)
        seen = video.look(reader, parser.detect, between=quick.detect, sure_score=sure)
        return [image for image, _ in video.changed(reader, seen, parser.segment, effect)]


def _markdown(results: dict[str, Any]) -> str:
    rows: list[tuple[object, ...]] = []
    for name, tools in results.items():
        for tool, of in tools.items():
            every = of["all"]
            rows.append(
                (
                    f"{name}, {tool}",
                    every["faces"],
                    every["left_visible"],
                    percent(every["share_left_visible"]),
                    every["less_than_half_covered"],
                    of.get("changed_outside"),
                    round(of["clips"] * FRAMES / of["seconds"], 1),
                )
            )
    header = (
        "videos, tool",
        "faces in frames",
        "left visible",
        "left visible %",
        "less than half covered",
        "changed outside / face area",
        "frames a second",
    )
    return table(header, rows)


if __name__ == "__main__":
    main()
