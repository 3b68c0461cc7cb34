"""Forests over pixels: how long training, testing and running take, beside a notebook's method.

Runs: each experiment of the given recipes is trained, tested and reported by ``faceparts train`` in
a fresh process of its own; wall and processor seconds are of fitting and of testing, memory is the
process's peak. Files: median time of one 256 px crop for every exported file, numpy only. Notebook:
the method of the notebook that the seed protocol comes from, rebuilt from its description
(scikit-image for resizing and HOG, k-means on every label picture, one start where it took ten,
each colour compared as text pixel by pixel, a table looked up by ``np.vectorize``), against labels
and features here, processor seconds a picture, files already read. Forests are scikit-learn's in
both. Needs ``fasseg`` in the data folder.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from _report import ROOT, arguments, data_folder, median_ms, progress, publish, table
from faceparts.datasets import fasseg
from faceparts.datasets._pairs import read_rgb
from faceparts.labels import FASSEG6
from faceparts.segment import _features, files
from faceparts.train import config, forest_data
from faceparts.types import Sample

SIDE_PX, WORK_PX, CELL_PX = 600, 150, 5


def main() -> None:
    parser = arguments(__doc__)
    parser.set_defaults(page=ROOT / "docs" / "forest.md")
    parser.add_argument(
        "--recipes",
        nargs="*",
        default=sorted(path.stem for path in config.RECIPES.glob("forest-*.toml")),
        help="recipes to run (default: all that are shipped)",
    )
    parser.add_argument("--runs", type=Path, metavar="DIR", help="keep the runs' folders here")
    parser.add_argument(
        "--notebook", type=int, default=3, metavar="N", help="pictures (default: 3)"
    )
    args = parser.parse_args()
    data = data_folder(args, "fasseg")
    with tempfile.TemporaryDirectory() as temporary:
        runs = args.runs or Path(temporary)
        results: dict[str, Any] = {"runs": [], "crop_ms": {}, "notebook": {}}
        for recipe in args.recipes:
            results["runs"] += run_recipe(recipe, data, runs, args.threads)
        for path in sorted(runs.glob("*/*.npz")):
            results["crop_ms"][path.name] = time_crop(path, args.threads)
    if args.notebook:
        results["notebook"] = time_notebook(data / "fasseg", args.notebook)
    publish("forest", args, __doc__ or "", results, to_markdown(results))


def run_recipe(name: str, data: Path, runs: Path, threads: int) -> list[dict[str, Any]]:
    """Every experiment of a recipe alone, without curve and comparison; the last run has all."""
    path = config.find_recipe(name)
    recipe = tomllib.loads(path.read_text("utf-8"))
    rows = []
    for experiment in recipe["experiments"]:
        progress(f"{name}: {experiment['name']}")
        plain = {k: v for k, v in recipe.items() if k not in ("compare", "search")}
        plain |= {"experiments": [experiment], "curve": [], "curve_experiment": "", "examples": 0}
        out = runs / f"{name}-{experiment['name']}"
        started = time.perf_counter()
        report = run_alone(plain, data, out, threads)
        result = report["experiments"][experiment["name"]]
        rows.append(
            {
                "recipe": name,
                "experiment": experiment["name"],
                **{key: result[key] for key in ("accuracy", "macro_f1", "mean_iou", "file_bytes")},
                "reading": report["reading"],
                "fitting": result["fitting"],
                "evaluating": result["evaluating"],
                "whole_s": round(time.perf_counter() - started, 1),
                "peak_mib": report["peak_memory_mib"],
            }
        )
    return rows


def run_alone(recipe: dict[str, Any], data: Path, out: Path, threads: int) -> dict[str, Any]:
    """Train a recipe in a fresh process; its report."""
    code = (
        "import json, sys; from pathlib import Path; from faceparts.train import forest_run; "
        "forest_run.train(json.load(sys.stdin), Path('recipe'), Path(sys.argv[1]), "
        "Path(sys.argv[2]), threads=int(sys.argv[3]), quiet=True)"
    )
    command = [sys.executable, "-c", code, str(data), str(out), str(threads)]
    done = subprocess.run(
        command, input=json.dumps(recipe), check=False, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{recipe['name']}: the run failed:\n{done.stderr[-2000:]}")
    report: dict[str, Any] = json.loads((out / "report.json").read_text("utf-8"))
    return report


def time_crop(path: Path, threads: int) -> dict[str, float]:
    """Median milliseconds for one crop of the card's size, with one thread and with several."""
    from skimage.data import astronaut

    calls: dict[str, Callable[[int], object]] = {}
    for count in sorted({1, threads}):
        segmenter = files.load(path, threads=count)
        side = segmenter.card.input_px
        crop = np.ascontiguousarray(astronaut()[None, :side, 100 : 100 + side])
        calls[f"{count} threads"] = lambda _, s=segmenter, c=crop: s.predict(c)  # type: ignore[misc]
    return median_ms(calls, 7, warm_up=1)


# --- the notebook's way, rebuilt ----------------------------------------------------------------


def time_notebook(root: Path, count: int) -> dict[str, Any]:
    """Seconds a picture: labels and features as in the notebook, and as here."""
    folder = root / "V2"
    names = [str(i) for i in range(1, count + 1)]
    theirs, ours, same = 0.0, 0.0, []
    how = forest_data.Pictures(
        frame_px=SIDE_PX,
        work_px=WORK_PX,
        reduce="max",
        padding="background",
        unsure="nearest",
        sides={"eyes": "nose"},
    )
    parts = ("background", "mouth", "nose", "right_eye", "left_eye", "hair", "skin")
    terms = _features.parse_spec(["rgb", "xy", f"hogcell:{CELL_PX}"])
    for name in names:
        progress(f"notebook: picture {name}")
        image = read_rgb(next((folder / "Test_RGB").glob(f"{name}.*")))
        painted = read_rgb(next((folder / "Test_Labels").glob(f"{name}.*")))
        start = time.process_time()
        ids = notebook_labels(notebook_square(painted))
        small = notebook_square(image, WORK_PX)
        notebook_features(small)
        theirs += time.process_time() - start
        start = time.process_time()
        sample = Sample(name, image, fasseg.decode_paint(painted))
        picture = forest_data.make_picture(sample, name, FASSEG6, how, parts)
        _features.compute(picture.image, terms)
        ours += time.process_time() - start
        same.append(float(np.mean(ids == picture.labels)))
    return {
        "pictures": count,
        "notebook_s": round(theirs / count, 2),
        "here_s": round(ours / count, 3),
        "ratio": round(theirs / ours, 1),
        "labels_alike": round(float(np.mean(same)), 4),
    }


def notebook_square(image: np.ndarray, side: int = SIDE_PX) -> np.ndarray:
    """Scaled to the longer side by scikit-image and padded with zeros."""
    from skimage.transform import resize

    scale = side / max(image.shape[:2])
    height, width = (int(n * scale) for n in image.shape[:2])
    scaled = resize(image, (height, width), preserve_range=True).astype(np.uint8)
    left, top = (side - width + 1) // 2, (side - height + 1) // 2
    out = np.zeros((side, side, 3), np.uint8)
    out[top : top + height, left : left + width] = scaled
    return out


def notebook_labels(painted: np.ndarray) -> np.ndarray:
    """k-means into seven colours, each named by pixels of its pure colour, eyes split, maximum."""
    from skimage.measure import block_reduce
    from sklearn.cluster import KMeans

    order = {"background": 0, "mouth": 1, "nose": 2, "eyes": 3, "hair": 5, "skin": 6}
    colours = {part: "-".join(map(str, rgb)) for part, rgb in fasseg.PAINT.items()}
    flat = painted.reshape(-1, 3)
    clusters = KMeans(n_clusters=7, n_init=1, random_state=0).fit(flat).labels_
    names: dict[int, int] = {}
    for part, colour in {**colours, "padding": "0-0-0"}.items():
        texts = np.array([f"{pixel[0]}-{pixel[1]}-{pixel[2]}" for pixel in flat])
        found = np.unique(clusters[texts == colour])
        if found.size:
            names[int(found[0])] = order.get(part, 0)
    ids = np.vectorize(lambda cluster: names.get(int(cluster), 0))(clusters)
    ids = ids.reshape(painted.shape[:2])
    middle = np.median(np.nonzero(ids == order["nose"])[1])
    ids[(ids == order["eyes"]) & (np.arange(ids.shape[1])[None] > middle)] += 1
    return np.asarray(block_reduce(ids, (SIDE_PX // WORK_PX,) * 2, np.max))


def notebook_features(image: np.ndarray) -> np.ndarray:
    """Colour, place, and scikit-image's HOG repeated over each cell."""
    from skimage.feature import hog

    side = image.shape[0]
    cells = hog(
        image,
        orientations=8,
        pixels_per_cell=(CELL_PX, CELL_PX),
        cells_per_block=(1, 1),
        feature_vector=False,
        channel_axis=2,
    ).reshape(side // CELL_PX, side // CELL_PX, 8)
    repeated = np.repeat(np.repeat(cells, CELL_PX, axis=0), CELL_PX, axis=1)
    y, x = np.mgrid[:side, :side] / side
    return np.c_[image.reshape(-1, 3), x.reshape(-1), y.reshape(-1), repeated.reshape(-1, 8)]


def to_markdown(results: dict[str, Any]) -> str:
    rows = [
        (
            f"{r['recipe']}: {r['experiment']}",
            *(f"{r[key]:.4f}" for key in ("accuracy", "macro_f1", "mean_iou")),
            *(f"{r[key]['wall_s']:.1f}" for key in ("reading", "fitting", "evaluating")),
            f"{r['reading']['cpu_s'] + r['fitting']['cpu_s'] + r['evaluating']['cpu_s']:.0f}",
            f"{r['peak_mib']:.0f}",
            f"{r['file_bytes'] / 1e6:.1f}",
        )
        for r in results["runs"]
    ]
    heads = ("forest", "accuracy", "macro F1", "mean IoU", "read s", "fit s", "test s")
    blocks = [table((*heads, "processor s", "peak MiB", "file MB"), rows)]
    if results["crop_ms"]:
        counts = list(next(iter(results["crop_ms"].values())))
        crops = [(name, *times.values()) for name, times in results["crop_ms"].items()]
        blocks.append(table(("one crop", *(f"{c}, ms" for c in counts)), crops))
    if results["notebook"]:
        note = results["notebook"]
        blocks.append(
            table(
                ("labels and features of one picture", "processor s"),
                [("as in the notebook", note["notebook_s"]), ("here", note["here_s"])],
            )
            + f"\n\n{note['ratio']} times as fast; {100 * note['labels_alike']:.1f} % of the "
            "labels are the same."
        )
    return "\n\n".join(blocks)


if __name__ == "__main__":
    main()
