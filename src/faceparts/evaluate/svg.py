"""Small charts as SVG inside a page; every one has a title and a description for screen readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from faceparts.evaluate.html import Safe, join, tag

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 360, 300, 46, 14, 12, 42
_INK, _GRID, _LINE = "#1b1f24", "#d0d7de", "#0b5cad"


def _x(value: float) -> float:
    return round(LEFT + value * (WIDTH - LEFT - RIGHT), 2)


def _y(value: float) -> float:
    return round(HEIGHT - BOTTOM - value * (HEIGHT - TOP - BOTTOM), 2)


def _chart(title: str, about: str, x_name: str, y_name: str, *marks: object) -> Safe:
    """Axes from 0 to 1 in both directions with marks on them."""
    lines: list[Safe] = []
    for step in range(6):
        at = step / 5
        lines += [
            tag("line", x1=_x(at), x2=_x(at), y1=_y(0), y2=_y(1), stroke=_GRID),
            tag("line", x1=_x(0), x2=_x(1), y1=_y(at), y2=_y(at), stroke=_GRID),
            _words(f"{at:g}", _x(at), _y(0) + 14, "middle"),
            _words(f"{at:g}", _x(0) - 6, _y(at) + 4, "end"),
        ]
    middle = _y(0.5)
    names = (
        _words(x_name, _x(0.5), HEIGHT - 8, "middle"),
        tag(
            "text",
            y_name,
            x=12,
            y=middle,
            font_size=12,
            fill=_INK,
            text_anchor="middle",
            transform=f"rotate(-90 12 {middle})",
        ),
    )
    return tag(
        "svg",
        tag("title", title),
        tag("desc", about),
        *lines,
        *marks,
        *names,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        width=WIDTH,
        height=HEIGHT,
        role="img",
        font_family="system-ui, sans-serif",
    )


def _words(words: str, x: float, y: float, anchor: str) -> Safe:
    return tag("text", words, x=x, y=y, font_size=12, fill=_INK, text_anchor=anchor)


def precision_recall(name: str, recall: Sequence[float], precision: Sequence[float]) -> Safe:
    """Precision over recall of one class."""
    points = " ".join(f"{_x(r)},{_y(p)}" for r, p in zip(recall, precision, strict=True))
    line = tag("polyline", points=points, fill="none", stroke=_LINE, stroke_width=2)
    dots = [
        tag("circle", cx=_x(r), cy=_y(p), r=1.6, fill=_LINE)
        for r, p in zip(recall, precision, strict=True)
    ]
    about = (
        f"Precision falls from {max(precision):.2f} to {precision[-1]:.2f} while recall rises to "
        f"{recall[-1]:.2f}."
    )
    return _chart(f"Precision over recall: {name}", about, "recall", "precision", line, *dots)


def reliability(bins: Sequence[Mapping[str, float | int | None]], error: float | None) -> Safe:
    """Accuracy over confidence; the diagonal is what a calibrated model would show."""
    marks = [
        tag(
            "line",
            x1=_x(0),
            y1=_y(0),
            x2=_x(1),
            y2=_y(1),
            stroke=_INK,
            stroke_dasharray="5 4",
        )
    ]
    most = max((int(b["pixels"] or 0) for b in bins), default=0)
    for one in bins:
        low, high, share = one["from"], one["to"], one["accuracy"]
        if share is None or low is None or high is None:
            continue
        weight = int(one["pixels"] or 0) / most
        marks.append(
            tag(
                "rect",
                tag(
                    "title",
                    f"confidence {low:.2f} to {high:.2f}: {share:.3f} right, {one['pixels']} px",
                ),
                x=_x(float(low)),
                y=_y(float(share)),
                width=round(_x(float(high)) - _x(float(low)) - 1, 2),
                height=round(_y(0) - _y(float(share)), 2),
                fill=_LINE,
                fill_opacity=round(0.25 + 0.6 * weight**0.25, 2),
            )
        )
    known = "not defined" if error is None else f"{error:.4f}"
    about = f"Expected calibration error {known}. Bars: share of pixels that are right."
    return _chart("Reliability diagram", about, "confidence", "accuracy", *marks)


def bars(
    title: str,
    rows: Sequence[tuple[str, float | None, tuple[float, float] | None]],
) -> Safe:
    """Horizontal bars 0..1 with intervals: name, value, (low, high)."""
    step, left, wide = 26, 190, 520
    marks: list[Safe] = []

    def at(value: float) -> float:
        return round(left + value * (wide - left - 70), 2)

    for i, (name, value, interval) in enumerate(rows):
        y = 10 + i * step
        marks.append(_words(name, left - 8, y + 14, "end"))
        if value is None:
            marks.append(_words("not defined", left + 4, y + 14, "start"))
            continue
        width = round(at(value) - left, 2)
        bar = tag("rect", x=left, y=y + 3, width=width, height=14, fill=_LINE, fill_opacity=0.55)
        marks.append(bar)
        end = value
        if interval is not None:
            low, high = interval
            end = max(value, high)
            for x1, x2, y1, y2 in (
                (low, high, y + 10, y + 10),
                (low, low, y + 5, y + 15),
                (high, high, y + 5, y + 15),
            ):
                marks.append(
                    tag("line", x1=at(x1), x2=at(x2), y1=y1, y2=y2, stroke=_INK, stroke_width=1.5)
                )
        marks.append(_words(f"{100 * value:.1f} %", at(end) + 6, y + 14, "start"))
    height = 16 + step * len(rows)
    about = "; ".join(f"{n}: {'none' if v is None else f'{100 * v:.1f} %'}" for n, v, _ in rows)
    return tag(
        "svg",
        tag("title", title),
        tag("desc", about),
        join(marks),
        viewBox=f"0 0 {wide} {height}",
        width=wide,
        height=height,
        role="img",
        font_family="system-ui, sans-serif",
    )
