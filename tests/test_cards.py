"""Cards as text: what survives, and what is refused by name."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceparts import cards
from faceparts.errors import BadWeights
from faceparts.types import ModelCard

NUMBERS = st.floats(-1e6, 1e6)
CARDS = st.builds(
    ModelCard,
    name=st.text("abc0-9 é", min_size=1),
    task=st.just("segment"),
    label_set=st.sampled_from(["lfw3", "celeba19"]),
    input_px=st.integers(1, 4096),
    mean=st.tuples(NUMBERS, NUMBERS, NUMBERS),
    std=st.tuples(*[st.floats(1e-3, 1e3)] * 3),
    margin=st.floats(0, 4),
    trained_on=st.lists(st.text(max_size=9), max_size=3).map(tuple),
    license=st.text(max_size=9),
    data_license=st.text(max_size=9),
    commercial_ok=st.booleans(),
    metrics=st.dictionaries(st.text(max_size=5), NUMBERS, max_size=3),
    output=st.sampled_from(["probs", "logits"]),
    threshold=st.floats(0, 1),
    notes=st.text(max_size=30),
)


@given(CARDS)
def test_a_card_survives_json(card):
    text = cards.to_json(card)
    assert "\n" not in text
    assert cards.from_json(text) == card


def test_keys_of_later_versions_are_left_out_and_defaults_are_filled_in(parser_card):
    values = asdict(parser_card) | {"colour_space": "srgb"}
    del values["notes"], values["threshold"], values["output"]
    card = cards.from_json(json.dumps(values))
    assert card == replace(parser_card, output="probs", threshold=0.5, notes="")


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("name", "", "a name on one line"),
        ("name", "a\nb", "a name on one line"),
        ("name", 7, "a name on one line"),
        ("task", "sing", "'segment' or 'detect'"),
        ("label_set", 5, "the name of a label set"),
        ("input_px", 256.0, "a whole number"),
        ("input_px", True, "a whole number"),
        ("input_px", 5000, "a whole number 0..4096"),
        ("mean", [1, 2], "three numbers"),
        ("mean", [1, 2, float("nan")], "three numbers"),
        ("std", [1, 2, 0], "three numbers above 0"),
        ("margin", -0.1, "a number 0..4"),
        ("margin", True, "a number 0..4"),
        ("trained_on", "me", "texts"),
        ("trained_on", [1], "texts"),
        ("license", None, "a text"),
        ("data_license", 1, "a text"),
        ("commercial_ok", 1, "true or false"),
        ("metrics", {"f1": "high"}, "numbers"),
        ("metrics", [1], "numbers"),
        ("output", "votes", "'probs' or 'logits'"),
        ("threshold", 1.5, "a number 0..1"),
        ("notes", [], "a text"),
        ("input_px", 0, "wanted the fixed size of a parser"),
        ("label_set", "sheep7", "wanted one of bisenet19"),
    ],
)
def test_a_wrong_value_is_named(parser_card, key, value, wanted):
    text = json.dumps(asdict(parser_card) | {key: value})
    with pytest.raises(BadWeights, match=f"a.onnx: card key '{key}': got .*{wanted}") as error:
        cards.from_json(text, "a.onnx")
    assert "\n" not in str(error.value)


def test_a_wrong_card_is_not_written_either(parser_card):
    with pytest.raises(BadWeights, match="card of 'tinyparser': card key 'margin': got 9"):
        cards.to_json(replace(parser_card, margin=9))


@pytest.mark.parametrize("text", ["", "{", "[" * 60_000, "\x00"])
def test_text_that_is_not_json_is_refused(text):
    with pytest.raises(BadWeights, match="card is not JSON"):
        cards.from_json(text)


def test_other_json_long_text_and_missing_keys_are_refused(parser_card):
    with pytest.raises(BadWeights, match="the card is list, wanted a JSON object"):
        cards.from_json("[]")
    with pytest.raises(BadWeights, match="card of 65537 characters, wanted at most 65536"):
        cards.from_json(" " * 65_537)
    values = asdict(parser_card)
    del values["license"]
    with pytest.raises(BadWeights, match="the card has no 'license'"):
        cards.from_json(json.dumps(values))
