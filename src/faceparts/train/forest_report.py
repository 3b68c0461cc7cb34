"""The report of forests: ``report.json``, figures as PNG, and a ``report.html`` that holds all."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from faceparts.segment.forest import Forest
from faceparts.streams.files import write_atomic
from faceparts.train._forest_measure import Tally
from faceparts.train.forest_data import Picture
from faceparts.types import Image

if TYPE_CHECKING:
    from faceparts.train.forest_recipe import ForestRecipe

RATES = ("precision", "recall", "f1", "iou", "average_precision")
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:1000px;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{padding:.2em .7em;border-bottom:1px solid #ccc;"
    "text-align:right}td:first-child,th:first-child{text-align:left}img{max-width:100%}"
    "code{background:#eee}"
)


def write(
    report: dict[str, Any],
    recipe: ForestRecipe,
    tallies: dict[str, Tally],
    forests: dict[str, Forest],
    shown: Sequence[Picture],
    others: dict[str, list[NDArray[np.uint8]]],
    out: Path,
    *,
    threads: int,
) -> None:
    """Write report.json, the figures and report.html into a folder.

    Args:
        report: everything that was measured.
        recipe: what was asked for.
        tallies: counts of every forest and compared segmenter.
        forests: by name of the experiment.
        shown: the test pictures to draw.
        others: what compared segmenters say about the first test pictures, ids of the frame.
        out: the folder.
        threads: processor threads.

    Raises:
        UnwritableOutput: the folder cannot be written to.
    """
    figures: dict[str, bytes] = {}
    for name, tally in tallies.items():
        figures[f"confusion-{name}"] = draw_confusion(tally.matrix, recipe.parts, name)
        figures[f"curves-{name}"] = draw_curves(tally, recipe.parts, name)
    for name, result in report["experiments"].items():
        figures[f"importance-{name}"] = draw_importance(result["importance"], name)
    if report["curve"]:
        figures["training-size"] = draw_training_size(report["curve"])
    if shown:
        figures["examples"] = draw_examples(forests, shown, others, threads=threads)
    for name, data in figures.items():
        write_atomic(out / f"{name}.png", data, force=True)
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomic(out / "report.json", text.encode(), force=True)
    write_atomic(out / "report.html", to_html(report, figures).encode(), force=True)


# --- figures ------------------------------------------------------------------------------------


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()


def draw_confusion(matrix: NDArray[np.int64], parts: Sequence[str], name: str) -> bytes:
    """Rows are the truth and sum to 100 %."""
    share = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = 2.5 + 0.6 * len(parts)
    figure = Figure((side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.ndindex(*share.shape):
        colour = "white" if share[row, column] > 50 else "black"
        text = f"{share[row, column]:.1f}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(parts)), parts, rotation=45, ha="right")
    axes.set_yticks(range(len(parts)), parts)
    axes.set(xlabel="predicted", ylabel="truth", title=f"{name}: % of each part's pixels")
    return _png(figure)


def draw_curves(tally: Tally, parts: Sequence[str], name: str) -> bytes:
    """Precision over recall, one line a part."""
    figure = Figure((7, 5), layout="constrained")
    axes = figure.subplots()
    for i, part in enumerate(parts):
        if tally.right[i].sum():
            recall, precision = tally.curve(i)
            axes.plot(recall, precision, label=f"{part} (AP {tally.average_precision(i):.3f})")
    axes.set(xlabel="recall", ylabel="precision", title=name, xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(fontsize=8, loc="lower left")
    return _png(figure)


def draw_importance(importance: dict[str, Any], name: str) -> bytes:
    """Impurity and permutation importance by family, side by side."""
    figure = Figure((10, 1.5 + 0.3 * len(importance["impurity"])), layout="constrained")
    left, right = figure.subplots(1, 2)
    families = list(importance["impurity"])[::-1]
    left.barh(families, [importance["impurity"][f] for f in families])
    left.set(title=f"{name}: share of what splits gained")
    dropped = importance["permutation"]
    order = list(dropped)[::-1]
    right.barh(order, [dropped[f]["accuracy_drop"] for f in order], label="accuracy")
    right.barh(order, [dropped[f]["macro_f1_drop"] for f in order], height=0.35, label="macro F1")
    right.set(title="fall when the family is shuffled")
    right.legend(fontsize=8)
    return _png(figure)


def draw_training_size(curve: dict[str, Any]) -> bytes:
    """Rates over the number of training pictures."""
    figure = Figure((6, 4), layout="constrained")
    axes = figure.subplots()
    sizes = [point["pictures"] for point in curve["points"]]
    for key in ("accuracy", "macro_f1"):
        axes.plot(sizes, [point[key] for point in curve["points"]], "o-", label=key)
    axes.set(xlabel="training pictures", title=curve["experiment"], ylim=(None, 1))
    axes.legend()
    axes.grid(alpha=0.3)
    return _png(figure)


def draw_examples(
    forests: dict[str, Forest],
    shown: Sequence[Picture],
    others: dict[str, list[NDArray[np.uint8]]],
    *,
    threads: int = 1,
) -> bytes:
    """A row for each picture: itself, the truth, what each forest and other segmenter says."""
    columns = 2 + len(forests) + len(others)
    figure = Figure((2.2 * columns, 2.3 * len(shown)), layout="constrained")
    grid = figure.subplots(len(shown), columns, squeeze=False)
    for number, (row, picture) in enumerate(zip(grid, shown, strict=True)):
        row[0].imshow(picture.image)
        some = next(iter(forests.values()))
        row[1].imshow(paint(picture.labels, some))
        for axes, seen in zip(row[2 + len(forests) :], others.values(), strict=True):
            axes.imshow(paint(seen[number], some))
        for axes, forest in zip(row[2:], forests.values(), strict=False):
            probs = forest.probs(picture.image, threads=threads)
            axes.imshow(paint(probs.argmax(axis=2).astype(np.uint8), forest))
    for axes, title in zip(grid[0], ("photo", "truth", *forests, *others), strict=True):
        axes.set_title(title, fontsize=9)
    for axes in grid.flat:
        axes.set_axis_off()
    return _png(figure)


def paint(ids: NDArray[np.uint8], forest: Forest) -> Image:
    """(H, W) ids -> (H, W, 3) colours of the parts; unknown is grey."""
    table = np.full((256, 3), 127, np.uint8)
    colors = forest.label_set.colors
    table[: len(colors)] = colors
    return np.asarray(table[ids])


# --- the page -----------------------------------------------------------------------------------


def to_html(report: dict[str, Any], figures: dict[str, bytes]) -> str:
    """One page with tables and figures, without anything from elsewhere."""
    protocol = report["protocol"]
    blocks = [
        f"<h1>{html.escape(report['name'])}</h1>",
        f"<p>{len(protocol['train'])} pictures to learn from, {len(protocol['test'])} to test on, "
        f"{protocol['subjects_on_both_sides']} subjects on both sides; counted on the "
        f"{'working pictures' if protocol['score'] == 'work' else 'frames'}; "
        f"seed {protocol['seed']}; {len(protocol['left_out'])} pictures left out; "
        f"peak memory {report['peak_memory_mib']} MiB.</p>",
        *_remarks(protocol),
        "<h2>Overview</h2>",
        _overview(report),
        _ious(report),
    ]
    if report["search"]:
        blocks += ["<h2>Grid search</h2>", _search(report["search"])]
        blocks += [_paragraph(text) for text in absent_in_search(report["search"])]
    if report["curve"]:
        blocks += ["<h2>Number of training pictures</h2>", _image("training-size", figures)]
    for name, result in (report["experiments"] | report["compared"]).items():
        blocks += [f"<h2>{html.escape(name)}</h2>", _rates(result)]
        blocks += [_paragraph(text) for text in remarks_on(result)]
        keys = (f"confusion-{name}", f"curves-{name}", f"importance-{name}")
        blocks += [_image(key, figures) for key in keys if key in figures]
        if "settings" in result:
            settings = json.dumps(result["settings"], ensure_ascii=False)
            blocks.append(f"<p><code>{html.escape(settings)}</code></p>")
    if "examples" in figures:
        blocks += ["<h2>Examples</h2>", _image("examples", figures)]
    if protocol["left_out"]:
        rows = [[key, why] for key, why in protocol["left_out"].items()]
        blocks += ["<h2>Left out</h2>", _table(["picture", "why"], rows)]
    title = html.escape(report["name"])
    head = f"<meta charset='utf-8'><title>{title}</title><style>{STYLE}</style>"
    return (
        f"<!doctype html><html lang='en'><head>{head}</head><body>{''.join(blocks)}</body></html>"
    )


def _remarks(protocol: dict[str, Any]) -> list[str]:
    """What somebody who trusts the numbers should know about the pictures."""
    blocks = []
    if protocol["same_subject_by_look"]:
        groups = "; ".join(" = ".join(keys) for keys in protocol["same_subject_by_look"])
        least = protocol["pictures"]["kin"]
        blocks.append(
            f"Taken for one subject, because they share {least} points or more: {groups}."
        )
    for key, share in protocol["unlabelled"].items():
        blocks.append(
            f"{key}: {share:.1%} of its pixels have no label; is there a colour that nobody knows?"
        )
    return [_paragraph(text) for text in blocks]


def remarks_on(result: dict[str, Any]) -> list[str]:
    """Parts that were absent, heads that were not found, outlines that were moved: by name."""
    texts = [f"Weights: {result['file']}."] if "no_head_found" in result else []
    for key, where in (
        ("absent_in_training", "in no training picture"),
        ("absent_in_test", "in no test picture"),
    ):
        if result.get(key):
            texts.append(f"{', '.join(result[key])}: {where}.")
    for number, parts in enumerate(result.get("absent_in_folds", []), start=1):
        if parts:
            texts.append(
                f"{', '.join(parts)}: in no picture that fold {number} of the further stages "
                "learnt from; the probability is 0 there."
            )
    if result.get("no_head_found"):
        texts.append(f"No head found, all background: {', '.join(result['no_head_found'])}.")
    if result.get("moves"):
        moves = ", ".join(f"{part} {share:+.1%}" for part, share in result["moves"].items())
        texts.append(
            "Outlines moved as the training pictures draw them, in shares of the face's size "
            f"(square root of its area): {moves}."
        )
    return texts


def absent_in_search(search: dict[str, Any]) -> list[str]:
    """Parts that folds of the grid search lack, by name."""
    texts = []
    for row in search["absent"]:
        for key, where in (("to_learn", "learnt from"), ("left_out", "was measured on")):
            if row[key]:
                parts = ", ".join(row[key])
                texts.append(f"{parts}: in no picture that fold {row['fold']} {where}.")
    return texts


def _paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def _overview(report: dict[str, Any]) -> str:
    rows = []
    for name, result in (report["experiments"] | report["compared"]).items():
        seconds = [result.get(key, {}).get("wall_s", "") for key in ("fitting", "evaluating")]
        keys = ("accuracy", "macro_f1", "foreground_f1", "mean_iou")
        rows.append([name, *(result[key] for key in keys), *seconds])
    heads = ["", "accuracy", "macro F1", "F1 without background", "mean IoU", "fit s", "test s"]
    return _table(heads, rows)


def _ious(report: dict[str, Any]) -> str:
    """IoU of every part, one column a forest or compared segmenter."""
    results = report["experiments"] | report["compared"]
    parts = next(iter(results.values()))["parts"]
    rows = [[part, *(r["parts"][part]["iou"] for r in results.values())] for part in parts]
    return _table(["IoU", *results], rows)


def _rates(result: dict[str, Any]) -> str:
    rows = [[p, *(r[k] for k in RATES), r["support"]] for p, r in result["parts"].items()]
    return _table(["part", *RATES, "pixels"], rows)


def _search(search: dict[str, Any]) -> str:
    rows = [
        [json.dumps(r["settings"], ensure_ascii=False), r["macro_f1"], r["folds"]]
        for r in search["tried"]
    ]
    return _table(["settings", "macro F1", "folds"], rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    def line(cells: Sequence[Any], tag: str) -> str:
        texts = ("" if cell is None else html.escape(str(cell)) for cell in cells)
        return "<tr>" + "".join(f"<{tag}>{text}</{tag}>" for text in texts) + "</tr>"

    return "<table>" + line(heads, "th") + "".join(line(row, "td") for row in rows) + "</table>"


def _image(name: str, figures: dict[str, bytes]) -> str:
    data = base64.b64encode(figures[name]).decode()
    return f"<p><img alt='{html.escape(name)}' src='data:image/png;base64,{data}'></p>"
