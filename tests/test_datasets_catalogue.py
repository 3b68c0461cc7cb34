"""The table of datasets: complete, true to the adapters, and refused where it is damaged."""

from __future__ import annotations

import pytest

from faceparts import folder
from faceparts.datasets import _catalogue
from faceparts.errors import BadData

ENTRY = """
[[set]]
name = "A"
size_px = "250 x 250"
terms = "research"
home = "https://example.org/"
note = "n"
"""


def test_adapters_exist_and_are_listed() -> None:
    """Packed crops and one's own folder are no published sets; nor are sets of head boxes."""
    package = "faceparts.datasets"
    used = {entry.adapter for entry in _catalogue.read_catalogue() if entry.adapter}
    assert used <= set(folder.names(package))
    parts = {n for n in folder.names(package) if folder.load(package, n).TASK == "parts"}
    missing = {n for n in parts - used - {"pairs"} if "crops" not in n}
    assert not missing, f"write an entry for {missing} in catalogue.toml"


def test_every_entry_can_be_found_and_judged() -> None:
    entries = _catalogue.read_catalogue()
    assert len(entries) >= 15
    for entry in entries:
        assert entry.home.startswith(("https://", "http://")), entry.name
        assert entry.terms
        assert entry.note
        assert entry.pictures is None or entry.pictures > 0
        assert entry.classes is None or entry.classes >= 2
        assert "\n" not in "".join(str(v) for v in vars(entry).values()), entry.name


def test_commercial_sets_are_there() -> None:
    maadaa = [e for e in _catalogue.read_catalogue() if "Maadaa" in e.name]
    assert {e.name.split()[-2] for e in maadaa} == {
        f"MD-Image-{number}" for number in ("006", "011", "012", "019")
    }
    assert all(e.commercial_ok for e in maadaa)
    assert next(e for e in maadaa if "006" in e.name).pictures == 100_000


def test_classes_are_those_of_the_adapters_label_sets() -> None:
    """Written down a second time."""
    counts = {e.adapter: e.classes for e in _catalogue.read_catalogue() if e.adapter}
    expected = {
        **{"celebamask": 19, "lapa": 11, "helen": 11, "helen_original": 11, "ibugmask": 11},
        **{"lfw_parts": 3, "fasseg": 6, "facesynthetics": 19, "cofw_masks": 2},
        **{"easyportrait": 9, "figaro": 2, "nprportrait": 15},
    }
    assert counts == expected


def test_what_may_be_missing_is_none() -> None:
    (entry,) = _catalogue.parse_catalogue(ENTRY)
    assert (entry.adapter, entry.pictures, entry.classes, entry.commercial_ok) == (None,) * 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[set", r"catalogue\.toml: not TOML"),
        (ENTRY + ENTRY, r"catalogue\.toml: 'A' is listed twice"),
        (ENTRY + "colour = 3\n", r"catalogue\.toml: A: unknown key 'colour'; known: name"),
        (ENTRY + "pictures = true\n", r"catalogue\.toml: A: pictures is True; wanted int"),
        (ENTRY.replace('note = "n"', ""), r"catalogue\.toml: A: no note; wanted one"),
        (ENTRY.replace('name = "A"', ""), r"catalogue\.toml: \?: no name; wanted one"),
        ("set = [3]", r"catalogue\.toml: entry 3; wanted a table \[\[set\]\]"),
        ("set = 3", r"catalogue\.toml: set is 3; wanted tables \[\[set\]\]"),
    ],
)
def test_a_damaged_table(text: str, message: str) -> None:
    with pytest.raises(BadData, match=message):
        _catalogue.parse_catalogue(text)
