"""A tiny builder of pages: every text is escaped, and a page asks nothing of any network.

`tag` escapes what is not `Safe` already. `page` forbids scripts and anything that is not inside
the file by a Content-Security-Policy, so that a report can be opened anywhere.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

THUMB_PX = 240
_VOID = ("img", "meta", "link", "br", "hr")


class Safe(str):
    """Text that is HTML already."""


def text(value: object) -> Safe:
    """Escape a value; what is `Safe` stays as it is.

    Example:
        >>> text("<b> & 'c'")
        '&lt;b&gt; &amp; &#x27;c&#x27;'
    """
    return value if isinstance(value, Safe) else Safe(html.escape(str(value)))


def tag(name: str, /, *children: object, **attributes: object) -> Safe:
    """One element.

    Args:
        name: such as ``"td"``.
        children: texts and elements; ``None`` is left out.
        attributes: a trailing ``_`` is dropped and the others become ``-``: ``class_``,
            ``aria_label``. ``None`` leaves the attribute out.

    Example:
        >>> tag("p", "a < b", class_="note")
        '<p class="note">a &lt; b</p>'
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Safe(f"<{name}{written}>")
    return Safe(f"<{name}{written}>{join(children)}</{name}>")


def join(parts: Iterable[object]) -> Safe:
    """Escaped texts and elements, one after the other; ``None`` is left out."""
    return Safe("".join(text(part) for part in parts if part is not None))


def table(
    caption: str,
    header: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    class_: str | None = None,
) -> Safe:
    """A table whose first column names the rows; wide ones scroll, by keyboard too."""
    head = tag("tr", *(tag("th", cell, scope="col") for cell in header))
    body = [
        tag("tr", tag("th", first, scope="row"), *(_cell(cell) for cell in rest))
        for first, *rest in rows
    ]
    inner = tag(
        "table", tag("caption", caption), tag("thead", head), tag("tbody", *body), class_=class_
    )
    return tag("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _cell(value: object) -> Safe:
    if isinstance(value, Safe) and value.startswith("<td"):
        return value
    return tag("td", "-" if value is None else value)


def figure(caption: object, *children: object, class_: str | None = None) -> Safe:
    """Pictures or a drawing with words below."""
    return tag("figure", *children, tag("figcaption", caption), class_=class_)


def picture(image: NDArray[np.uint8], alt: str, most_px: int = THUMB_PX) -> Safe:
    """An (H, W, 3) picture inside the page, shrunk to at most ``most_px``."""
    small = PillowImage.fromarray(image)
    small.thumbnail((most_px, most_px))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return tag(
        "img",
        src=f"data:image/jpeg;base64,{data}",
        alt=alt,
        width=small.width,
        height=small.height,
    )


def page(title: str, *body: object) -> str:
    """A whole page: one file, no script, nothing from outside."""
    head = (
        tag("meta", charset="utf-8"),
        tag(
            "meta",
            http_equiv="Content-Security-Policy",
            content="default-src 'none'; img-src data:; style-src 'unsafe-inline'",
        ),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        Safe(f"<style>{_STYLE}</style>"),
    )
    skip = tag("a", "Skip to the results", href="#results", class_="skip")
    document = tag("html", tag("head", *head), tag("body", skip, tag("main", *body)), lang="en")
    return f"<!DOCTYPE html>\n{document}\n"


_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --soft: #f2f4f7; --line: #c9d1d9;
  --accent: #0b5cad; --warn: #8a3b00; --warn-back: #fff1e0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --paper: #16191d; --soft: #22272e;
  --line: #444c56; --accent: #79b8ff; --warn: #ffc58a; --warn-back: #3a2a16; } }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.5 system-ui, "Segoe UI", sans-serif; color: var(--ink);
  background: var(--paper); }
main { max-width: 72rem; margin: 0 auto; padding: 1rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 1rem 0 .25rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.5rem 0 .5rem; }
p { max-width: 46rem; }
a { color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.skip { position: absolute; left: -999rem; }
.skip:focus { left: 1rem; top: 1rem; background: var(--paper); padding: .5rem; }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .25rem 1rem; }
.big { font-size: 2.6rem; font-weight: 700; line-height: 1; margin: 1rem 0 0; }
.note { color: var(--ink); background: var(--soft); padding: .6rem .9rem; border-left: 4px solid
  var(--accent); }
.warn { color: var(--warn); background: var(--warn-back); padding: .6rem .9rem; border-left: 4px
  solid currentColor; font-weight: 600; }
.scroll { overflow-x: auto; margin: .75rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
caption { text-align: left; font-weight: 600; padding: .25rem 0; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--paper); }
thead th { border-bottom: 2px solid var(--ink); }
.words th, .words td { text-align: left; white-space: normal; vertical-align: top;
  overflow-wrap: anywhere; }
.words th { white-space: nowrap; overflow-wrap: normal; }
.matrix { font-size: .78rem; }
.matrix thead th { writing-mode: vertical-rl; text-align: left; }
.matrix td, .matrix th { padding: .15rem .3rem; border: 1px solid var(--line); }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(22rem, 1fr)); gap: 1rem; }
figure { margin: .75rem 0; }
figcaption { font-size: .9rem; }
.trio { display: flex; flex-wrap: wrap; gap: .35rem; }
.trio img { max-width: 31%; height: auto; }
svg { max-width: 100%; height: auto; background: #fff; border: 1px solid var(--line); }
pre { overflow-x: auto; background: var(--soft); padding: .75rem; font-size: .8rem; }
summary { cursor: pointer; font-weight: 600; }
@media print { body { font-size: 11px; } .skip, nav { display: none; } h2 { break-after: avoid; }
  figure, tr { break-inside: avoid; } .scroll { overflow: visible; } details > * { display: block; }
  details::details-content { content-visibility: visible; block-size: auto; }
  main { max-width: none; padding: 0; } }
"""
