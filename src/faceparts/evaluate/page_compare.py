"""The page of a comparison, see `html`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from faceparts.evaluate.html import Safe, page, table, tag
from faceparts.evaluate.page import TITLES, percent, words_table

Comparison = Mapping[str, Any]
MANY = (
    "Each interval stands alone: among 20 rows without any difference one is expected to exclude 0."
)
HEADER = ("", "A", "B", "B - A, points", "95 % interval", "differ")


def render(found: Comparison) -> str:
    """The page as text.

    Args:
        found: from `compare.compare`.
    """
    models = [found[key]["model"] for key in ("a", "b")]
    names = model_names(found)
    title = f"{names[1]} against {names[0]}, {found['protocol']['name']}"
    rows = [(name_of(name), *cells(row)) for name, row in found["scores"].items()]
    classes = [(part, *cells(row)) for part, row in found["classes"].items()]
    pictures = found["pictures"]
    return page(
        title,
        tag("h1", title),
        *(_held_out(letter, found[letter.lower()]) for letter in "AB"),
        tag("p", verdict(found), class_="note", id="results"),
        tag("p", f"A: {names[0]}. B: {names[1]}. {MANY}"),
        table("Whole set", HEADER, rows),
        table("F1 by class", HEADER, classes),
        tag("h2", "Pictures"),
        tag(
            "p",
            f"B is better on {pictures['better']} pictures, worse on {pictures['worse']}, equal "
            f"on {pictures['equal']}.",
        ),
        *(_most(caption, pictures[key]) for key, caption in _MOST.items()),
        tag("h2", "How it was measured"),
        words_table(
            {
                "A": models[0],
                "B": models[1],
                **{key: found[key] for key in ("method", "protocol", "data")},
            }
        ),
    )


_MOST = {"most_worse": "Where B is worst against A", "most_better": "Where B is best against A"}


def _most(caption: str, rows: list[Mapping[str, Any]]) -> Safe:
    cells = [(row["key"], points(row["difference"])) for row in rows]
    return table(caption, ("picture", "B - A, points"), cells)


def _held_out(letter: str, side: Mapping[str, Any]) -> Safe | None:
    check = side["held_out"]
    if check["is_test"]:
        return None
    return tag("p", f"{letter} is no test: {check['reason']}.", class_="warn", role="note")


def model_names(found: Comparison) -> tuple[str, str]:
    """What the two are called: by their files where they have one name."""
    a, b = (found[key]["model"] for key in ("a", "b"))
    if a["name"] != b["name"]:
        return str(a["name"]), str(b["name"])
    return str(a.get("file") or a["name"]), str(b.get("file") or b["name"])


def name_of(score: str) -> str:
    """Words for a score."""
    return TITLES.get(score, score)


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """A, B, difference, interval and whether the interval excludes 0."""
    low, high = points(row["low"]), points(row["high"])
    return (
        percent(row["a"]),
        percent(row["b"]),
        points(row["difference"]),
        f"{low} to {high}",
        "yes" if row["excludes_zero"] else "not shown",
    )


def points(value: float | None) -> str:
    """A difference in percentage points with its sign.

    Example:
        >>> points(0.0123), points(-0.1), points(None)
        ('+1.23', '-10.00', '-')
    """
    return "-" if value is None else f"{100 * value:+.2f}"


def verdict(found: Comparison) -> str:
    """One sentence about the headline."""
    headline = found["headline"]
    name = headline if headline in found["scores"] else "mean_f1"
    row = found["scores"][name]
    if row["difference"] is None:
        return f"The {name_of(name)} is not defined for both."
    span = f"{points(row['low'])} to {points(row['high'])} points"
    if not row["excludes_zero"]:
        return f"No difference in {name_of(name)} is shown: the interval ({span}) holds 0."
    word = "higher" if row["difference"] > 0 else "lower"
    return f"B's {name_of(name)} is {word}: the interval ({span}) excludes 0."
