"""Pages: everything is escaped, nothing comes from outside, what is shown is what was counted."""

import base64
import io
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image as PillowImage

from evaluate_world import EVIL, Codebook, ListOf, assert_safe, drawn_sample, outline
from faceparts import labels
from faceparts.evaluate import html, page, protocols, report, run_parts, svg


@pytest.fixture(scope="module")
def world():
    samples = [replace(drawn_sample(i, 48), key=f"{EVIL}{i}") for i in range(6)]
    protocol = replace(protocols.get("celebamask18"), size_px=0)
    result = run_parts.evaluate_parts(Codebook(side_px=32), ListOf(samples), protocol)
    card = report.protocol_card(
        result,
        dataset=EVIL,
        split=EVIL,
        label_set=labels.CELEBA19,
        limit=None,
        model={"name": EVIL, "trained_on": [EVIL], "sha256": "0" * 64},
        detector={"name": EVIL},
        versions={"faceparts": EVIL},
        check={"status": "not proven", "reason": EVIL, "is_test": True, "lists": [{"file": EVIL}]},
    )
    built = report.build(result, card)
    shown = {
        "best": [page.Shown(s.key, 0.5, s.image, s.labels, s.labels) for s in samples[:2]],
        "worst": [],
    }
    return built, shown, page.render(built, labels.CELEBA19, shown)


def test_names_of_files_cannot_write_into_the_page(world):
    seen = assert_safe(world[2])
    assert "<script" not in world[2]
    assert EVIL in "".join(seen.text)
    assert any(EVIL in a["alt"] for a in seen.named("img"))


def test_the_page_is_readable_for_machines_and_ears(world):
    seen = assert_safe(world[2])
    assert seen.named("html") == [{"lang": "en"}] and len(seen.named("h1")) == 1
    assert all(a.get("alt") for a in seen.named("img"))
    assert all(a.get("role") == "img" for a in seen.named("svg"))
    assert len(seen.named("svg")) == len(seen.named("desc"))
    assert len(seen.named("table")) == len(seen.named("caption"))
    assert all(a.get("scope") in ("col", "row") for a in seen.named("th"))
    scrolls = [a for a in seen.named("div") if a.get("class") == "scroll"]
    assert scrolls and all(a["tabindex"] == "0" and a["aria-label"] for a in scrolls)
    assert len(seen.ids) == len(set(seen.ids))
    assert "prefers-color-scheme" in world[2] and "@media print" in world[2]


def test_the_page_shows_what_was_counted(world):
    built, _, text = world
    seen = outline(text)
    words = " ".join(seen.text)
    assert page.percent(built["scores"]["mean_f1"]) in words
    assert built["card"]["data"]["list_sha256"] in words
    assert "Not proven" in words
    assert f"{built['confusion'][1][1]:,} px" in [a.get("title") for a in seen.named("td")]
    for part, curve in built["curves"].items():
        assert f"Precision over recall: {part}" in words
        assert len(curve["recall"]) == len(curve["precision"])


def test_pictures_lie_inside_the_page(world):
    built, shown, text = world
    images = outline(text).named("img")
    assert len(images) == 3 * 2
    data = base64.b64decode(images[0]["src"].split(",")[1])
    with PillowImage.open(io.BytesIO(data)) as small:
        assert small.format == "JPEG" and small.size == (48, 48)
        close = np.abs(np.asarray(small, int) - shown["best"][0].image).mean()
    assert close < 30
    without = page.render(built, labels.CELEBA19, {})
    assert not outline(without).named("img") and "No pictures are shown" in without


def test_what_is_no_test_says_so(world):
    built, _, _ = world
    card = {**built["card"], "held_out": {"status": "trained on", "reason": "r", "is_test": False}}
    text = page.render({**built, "card": card}, labels.CELEBA19, {})
    assert 'class="warn"' in text and "Not a test: r." in text


def test_large_pictures_shrink():
    image = np.zeros((300, 600, 3), np.uint8)
    made = html.picture(image, "wide")
    assert 'width="240"' in made and 'height="120"' in made


def test_tags():
    assert html.tag("a", "x", href="#y", aria_label=None) == '<a href="#y">x</a>'
    assert html.tag("p", html.tag("b", "<"), None, 3) == "<p><b>&lt;</b>3</p>"
    assert html.tag("td", "a", title='"q"') == '<td title="&quot;q&quot;">a</td>'
    assert html.join(["<", html.Safe("<br>"), None]) == "&lt;<br>"
    made = html.table("c", ("a", "b"), [("r", None), ("s", html.tag("td", "x", class_="y"))])
    assert "<td>-</td>" in made and '<td class="y">x</td>' in made


def test_ids_in_their_colours():
    painted = page.paint(np.uint8([[0, 1, 255]]), labels.CELEBA19)
    assert painted.tolist() == [[[0, 0, 0], [204, 160, 120], [128, 128, 128]]]


def test_charts_are_well_formed_and_true():
    chart = svg.precision_recall("a < b", [0.0, 1.0], [1.0, 0.5])
    root = ElementTree.fromstring(chart)
    (line,) = root.iter("polyline")
    (x0, y0), (x1, y1) = (map(float, p.split(",")) for p in line.get("points").split())
    assert (x0, x1) == (svg.LEFT, svg.WIDTH - svg.RIGHT)
    assert y0 == svg.TOP and y1 == pytest.approx((svg.TOP + svg.HEIGHT - svg.BOTTOM) / 2)
    rows = [
        {"from": 0.0, "to": 0.5, "pixels": 0, "confidence": None, "accuracy": None},
        {"from": 0.5, "to": 1.0, "pixels": 9, "confidence": 0.8, "accuracy": 0.6},
    ]
    bars = list(ElementTree.fromstring(svg.reliability(rows, 0.2)).iter("rect"))
    assert len(bars) == 1
    assert float(bars[0].get("height")) == pytest.approx(
        0.6 * (300 - svg.TOP - svg.BOTTOM), abs=0.1
    )
    assert "not defined" in svg.reliability([], None)
    found = svg.bars("t", [("<a>", 0.5, (0.4, 0.6)), ("none", None, None)])
    assert re.search(r">50\.0 %<", found) and "not defined" in found and "<a>" not in found
