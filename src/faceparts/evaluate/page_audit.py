"""The page of an audit, see `html`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from faceparts.evaluate import svg
from faceparts.evaluate.html import Safe, figure, page, table, tag
from faceparts.evaluate.page import percent, words_table
from faceparts.evaluate.page_compare import points

Audit = Mapping[str, Any]

LIMITS = (
    "Skin tone is the individual typology angle of the pixels labelled (or found) as skin: light, "
    "white balance, make-up and image processing move it by more than a group, and grey pictures "
    "have none. It says nothing about anybody's origin.",
    "Pose, size and brightness are proxies too, and the groups differ in more than what they are "
    "named after: dark pictures hold other poses, small heads lie farther away.",
    "A gap that is not shown is not a gap that is not there: with few pictures a group the "
    "interval is wide.",
)


def render(found: Audit) -> str:
    """The page as text.

    Args:
        found: from `audit.audit`, with its ``card``.
    """
    card = found["card"]
    title = f"Audit of {card['model']['name']} on {card['data']['dataset']} {card['data']['split']}"
    check = card["held_out"]
    status = None
    if not check["is_test"]:
        status = tag("p", f"Not a test: {check['reason']}.", class_="warn", role="note")
    elif check["status"] != "held out":
        words = f"Held out? Not proven: {check['reason']}."
        status = tag("p", words, class_="note", role="note")
    overall = found["overall"]
    return page(
        title,
        tag("h1", title),
        status,
        tag("p", percent(overall["value"]), class_="big", id="results"),
        tag("p", f"{metric_name(found)}, {span(overall)}, {counted(found, overall)}"),
        *(tag("p", words, class_="note") for words in LIMITS),
        *(_axis(found, axis) for axis in found["by"]),
        tag("h2", "How it was measured"),
        words_table({"method": found["method"], **card}),
    )


def metric_name(found: Audit) -> str:
    """What is rated."""
    return "recall of heads" if found["metric"] == "recall" else "mean F1 of the parts"


def counted(found: Audit, row: Mapping[str, Any]) -> str:
    """How many units on how many pictures."""
    if found["metric"] == "recall":
        return f"{row['units']} heads on {row['pictures']} pictures"
    return f"{row['pictures']} pictures"


def span(row: Mapping[str, Any]) -> str:
    """An interval in words."""
    return f"{percent(row['low'])} to {percent(row['high'])}"


def gap_words(gap: Mapping[str, Any] | None) -> str:
    """A gap in one sentence."""
    if gap is None:
        return "No gap: fewer than two groups are large enough to compare."
    shown = "is shown" if gap["excludes_zero"] and gap["by_chance"] < 0.05 else "is not shown"
    return (
        f"Gap {points(gap['difference'])} points ({points(gap['low'])} to {points(gap['high'])}) "
        f"between '{gap['best']}' and '{gap['worst']}'; groups filled at random lie as far apart "
        f"in {100 * gap['by_chance']:.1f} % of the draws: a gap {shown}."
    )


def classes_words(one: Mapping[str, Any]) -> str:
    """Which parts the means of groups are over."""
    words = ", ".join(one["classes"]) or "none"
    return f"Means are over the parts that all compared groups hold: {words}."


def marked(row: Mapping[str, Any]) -> str:
    """Name of a group, small ones marked."""
    return f"{row['group']} (small group)" if row["small"] else str(row["group"])


def _axis(found: Audit, axis: str) -> Safe:
    one = found["by"][axis]
    rows = [
        (marked(r), r["units"], r["pictures"], percent(r["value"]), span(r)) for r in one["groups"]
    ]
    unit = "heads" if found["metric"] == "recall" else "units"
    bars = [
        (
            r["group"],
            r["value"],
            None if r["low"] is None or r["high"] is None else (r["low"], r["high"]),
        )
        for r in one["groups"]
    ]
    blocks = [
        tag("h2", axis[:1].upper() + axis[1:]),
        tag("p", gap_words(one["gap"]), class_="note"),
        table(
            f"{metric_name(found)} by {axis}",
            ("group", unit, "pictures", "value", "95 % interval"),
            rows,
        ),
        figure("Lines: 95 % intervals.", svg.bars(f"By {axis}", bars)),
    ]
    if found["metric"] != "recall":
        blocks.append(_classes(axis, one))
    return tag("section", *blocks)


def _classes(axis: str, one: Mapping[str, Any]) -> Safe:
    names = list(one["groups"][0]["classes"]) if one["groups"] else []
    gaps = one["gaps_of_classes"]
    rows = [
        (
            name,
            *(percent(r["classes"][name]) for r in one["groups"]),
            points(gaps[name]["difference"]) if name in gaps else "-",
            f"{points(gaps[name]['low'])} to {points(gaps[name]['high'])}" if name in gaps else "-",
        )
        for name in names
    ]
    header = ("part", *(marked(r) for r in one["groups"]), "gap, points", "95 % interval")
    return tag(
        "details",
        tag("summary", "F1 of every part"),
        tag("p", classes_words(one)),
        table(f"F1 by part and {axis}", header, rows),
    )
