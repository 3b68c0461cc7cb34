"""The report of an evaluation as one page, see `html`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceparts.evaluate import svg
from faceparts.evaluate.html import Safe, figure, join, page, picture, table, tag, text
from faceparts.types import IGNORE, Image, LabelSet

Report = Mapping[str, Any]

TITLES = {
    "mean_f1": "mean F1 of the foreground classes",
    "mean_iou": "mean IoU of all classes",
    "pixel_accuracy": "pixel accuracy",
    "superpixel_accuracy": "superpixel accuracy",
    "f1_overall": "overall F1: union of eyes, brows, nose and mouth",
    "iou_face": "IoU of the visible face",
    "f1_face": "F1 of the visible face",
    "f1_brows": "F1 of the brows together",
    "f1_eyes": "F1 of the eyes together",
    "f1_mouth_all": "F1 of lips and mouth together",
    "mean_boundary_f": "mean boundary F of the foreground classes",
    "mean_average_precision": "mean average precision of the foreground classes",
    "expected_calibration_error": "expected calibration error",
    "mean_picture_score": "mean over pictures of the mean F1 of their own classes",
}
SECTIONS = (
    ("classes", "Classes"),
    ("confusion", "Confusion matrix"),
    ("curves", "Precision and recall"),
    ("groups", "Head size, pose, brightness, skin tone"),
    ("calibration", "Calibration"),
    ("pictures", "Best, median and worst pictures"),
    ("card", "Protocol card"),
)


@dataclass(frozen=True, eq=False)
class Shown:
    """One picture of the report's gallery: (H, W, 3) RGB, (h, w) true and found class ids."""

    key: str
    score: float | None
    image: Image
    truth: NDArray[np.uint8]
    found: NDArray[np.uint8]


def render(report: Report, label_set: LabelSet, shown: Mapping[str, Sequence[Shown]]) -> str:
    """The page as text.

    Args:
        report: from `report.build`.
        label_set: the scored classes, for their colours.
        shown: kind (best, median, worst) -> pictures; empty = none are shown.
    """
    card = report["card"]
    protocol, data, model = card["protocol"], card["data"], card["model"]
    title = f"{model['name']} on {data['dataset']} {data['split']}, {protocol['name']}"
    headline = protocol["headline"]
    value = report["scores"].get(headline)
    links = [tag("li", tag("a", words, href=f"#{at}")) for at, words in SECTIONS]
    return page(
        title,
        tag("h1", title),
        tag("p", protocol["title"]),
        _held_out(card["held_out"]),
        tag("p", percent(value), class_="big", id="results"),
        tag("p", TITLES.get(headline, headline), f", {data['pictures']} pictures"),
        tag("nav", tag("ul", *links), aria_label="Sections"),
        _scores(report),
        _section("classes", _classes(report)),
        _section("confusion", _confusion(report)),
        _section("curves", _curves(report)),
        _section("groups", _groups(report)),
        _section("calibration", _calibration(report)),
        _section("pictures", _gallery(shown, label_set)),
        _section("card", words_table(card), _raw(card)),
    )


def percent(value: float | None, digits: int = 1) -> str:
    """0..1 as text in percent; ``None`` as a dash.

    Example:
        >>> percent(0.7367), percent(None)
        ('73.7 %', '-')
    """
    return "-" if value is None else f"{100 * value:.{digits}f} %"


def _section(at: str, *content: object) -> Safe:
    return tag("section", tag("h2", dict(SECTIONS)[at], id=at), *content)


def _held_out(check: Mapping[str, Any]) -> Safe:
    if not check["is_test"]:
        return tag("p", f"Not a test: {check['reason']}.", class_="warn", role="note")
    start = "Held out" if check["status"] == "held out" else "Held out? Not proven"
    return tag("p", f"{start}: {check['reason']}.", class_="note", role="note")


def _scores(report: Report) -> Safe:
    rows = [(TITLES.get(name, name), percent(value, 2)) for name, value in report["scores"].items()]
    swapped = report["sides"]["pictures_with_swapped_labels"]
    if swapped:
        words = f"mean F1 if {swapped} pictures' swapped sides were put right"
        rows.append((words, percent(report["sides"]["mean_f1_if_put_right"], 2)))
    if report["heads_not_found"]:
        rows.append(("pictures on which no head was found", str(report["heads_not_found"])))
    return table("Scores of the whole set", ("score", "value"), rows)


def _classes(report: Report) -> Safe:
    names = ("precision", "recall", "f1", "iou", "boundary_f", "average_precision")
    header = ("class", "precision", "recall", "F1", "IoU", "boundary F", "average precision")
    rows = [
        (
            part,
            *(percent(rates[name]) for name in names),
            f"{rates['labelled_px']:,}",
            rates["pictures"],
        )
        for part, rates in report["classes"].items()
    ]
    rows += [
        (f"{name} (union)", *(percent(rates[n]) for n in names[:4]), "-", "-", "-", "-")
        for name, rates in report["unions"].items()
    ]
    chart = svg.bars("F1 by class", [(p, r["f1"], None) for p, r in report["classes"].items()])
    caption = "Rates by class, from one confusion matrix over all pictures"
    return join(
        (
            table(caption, (*header, "labelled px", "pictures"), rows),
            figure("F1 by class; a dash means that the class does not occur.", chart),
        )
    )


def _confusion(report: Report) -> Safe:
    parts, matrix = list(report["classes"]), np.array(report["confusion"], np.float64)
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros_like(matrix), where=totals > 0)
    rows = [
        (part, *(_shade(shares[i, j], int(matrix[i, j]), i == j) for j in range(len(parts))))
        for i, part in enumerate(parts)
    ]
    caption = "Of the pixels labelled as the row, percent that were found as the column"
    return table(caption, ("labelled \\ found", *parts), rows, class_="matrix")


def _shade(share: float, pixels: int, right: bool) -> Safe:
    """A cell whose colour is its share: blue on the diagonal, orange beside it."""
    red, green, blue = (11, 92, 173) if right else (179, 80, 0)
    depth = share**0.5
    back = tuple(round(255 + (c - 255) * depth) for c in (red, green, blue))
    ink = "#fff" if depth > 0.72 else "#1b1f24"
    words = f"{100 * share:.1f}" if share >= 0.0005 else ("0" if not pixels else "<0.1")
    style = f"background: rgb{back}; color: {ink}"
    return tag("td", words, style=style, title=f"{pixels:,} px")


def _curves(report: Report) -> Safe:
    charts = [
        figure(
            f"{part}: average precision {percent(report['classes'][part]['average_precision'])}",
            svg.precision_recall(part, curve["recall"], curve["precision"]),
        )
        for part, curve in report["curves"].items()
    ]
    about = tag(
        "p",
        "From histograms of the class probability with 1,000 bins; the threshold is not the arg "
        "max that the other rates use.",
    )
    return join((about, tag("div", *charts, class_="grid")))


def _groups(report: Report) -> Safe:
    about = tag(
        "p",
        "Groups are proxies measured on the labels and the picture, not properties of people. "
        "Mean F1 of a group is over the classes that its own labels hold, so groups with other "
        "classes are not strictly comparable; 'faceparts audit' compares like with like and gives "
        "intervals.",
    )
    header = ("group", "pictures", "mean F1", "classes", "pixel accuracy", "mean over pictures")
    blocks = [about]
    for axis, rows in report["by"].items():
        blocks.append(
            table(
                f"By {axis}",
                header,
                [
                    (
                        f"{r['group']}{' (small group)' if r['small'] else ''}",
                        r["pictures"],
                        percent(r["mean_f1"]),
                        r["classes"],
                        percent(r["pixel_accuracy"]),
                        percent(r["mean_picture_score"]),
                    )
                    for r in rows
                ],
            )
        )
    return join(blocks)


def _calibration(report: Report) -> Safe:
    bins = report["calibration"]["bins"]
    error = report["calibration"]["expected_calibration_error"]
    known = "not defined" if error is None else f"{error:.4f}"
    rows = [
        (
            f"{b['from']:.3f} to {b['to']:.3f}",
            f"{b['pixels']:,}",
            percent(b["confidence"]),
            percent(b["accuracy"]),
        )
        for b in bins
    ]
    numbers = table(
        "Calibration by confidence", ("confidence", "pixels", "mean confidence", "accuracy"), rows
    )
    return join(
        (
            figure(
                f"Expected calibration error {known}. Darker bars hold more pixels; the dashed "
                "line is a calibrated model.",
                svg.reliability(bins, error),
            ),
            tag("details", tag("summary", "The numbers behind it"), numbers),
        )
    )


def _gallery(shown: Mapping[str, Sequence[Shown]], label_set: LabelSet) -> Safe:
    if not any(shown.values()):
        return tag("p", "No pictures are shown in this report.")
    blocks: list[Safe] = [_legend(label_set)]
    for kind, pictures in shown.items():
        if not pictures:
            continue
        blocks.append(tag("h3", kind.capitalize()))
        cards = []
        for one in pictures:
            trio = (
                picture(one.image, f"{one.key}: picture"),
                picture(paint(one.truth, label_set), f"{one.key}: labels"),
                picture(paint(one.found, label_set), f"{one.key}: found"),
            )
            words = join((tag("b", one.key), f": mean F1 of its classes {percent(one.score)}"))
            cards.append(figure(words, tag("div", *trio, class_="trio")))
        blocks.append(tag("div", *cards, class_="grid"))
    return join(blocks)


def paint(ids: NDArray[np.uint8], label_set: LabelSet) -> Image:
    """(h, w) class ids in their colours; ignored pixels are grey."""
    colors = np.full((256, 3), 128, np.uint8)
    colors[: len(label_set.colors)] = label_set.colors
    colors[IGNORE] = 128
    return np.asarray(colors[ids])


def _legend(label_set: LabelSet) -> Safe:
    marks = []
    for part, (red, green, blue) in zip(label_set.parts, label_set.colors, strict=True):
        swatch = f"background: rgb({red}, {green}, {blue}); border: 1px solid; padding: 0 .6rem"
        marks.append(tag("li", tag("span", style=swatch, aria_hidden="true"), " ", part))
    about = tag("p", "Each row: the picture, what was labelled, what was found. Grey: not scored.")
    style = "list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1rem"
    return join((about, tag("ul", *marks, style=style)))


def words_table(card: Mapping[str, Any]) -> Safe:
    """A card as tables, one a part of it."""
    blocks = []
    for name, values in card.items():
        if isinstance(values, Mapping):
            rows = [(key.replace("_", " "), _in_words(value)) for key, value in values.items()]
            caption = name.replace("_", " ").capitalize()
            blocks.append(table(caption, ("what", "value"), rows, class_="words"))
    return join(blocks)


def _in_words(value: object) -> Safe:
    if isinstance(value, Mapping):
        return text("; ".join(f"{k}: {_in_words(v)}" for k, v in value.items()) or "none")
    if isinstance(value, list | tuple):
        return text(", ".join(str(v) for v in value) or "none")
    return text("-" if value is None or value == "" else value)


def _raw(card: Mapping[str, Any]) -> Safe:
    written = json.dumps(card, indent=1, ensure_ascii=False)
    return tag("details", tag("summary", "The card as JSON"), tag("pre", written, tabindex="0"))
