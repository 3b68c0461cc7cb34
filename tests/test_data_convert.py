"""Which label sets can be written as which, and what is said about it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceparts import labels
from faceparts.errors import UsageError
from faceparts.evaluate.data_convert import plan_conversion
from faceparts.labels import CELEBA19, FASSEG6, HAIR2, LAPA11, LFW3
from faceparts.types import IGNORE


def test_merged_and_lost_parts_are_named() -> None:
    plan = plan_conversion(CELEBA19, LAPA11)
    assert plan.absent == ()
    assert plan.merged == {}
    assert plan.lost == (
        *("glasses", "left_ear", "right_ear", "hat", "earring", "necklace", "neck", "clothes"),
    )
    assert plan.table[CELEBA19.id("hat")] == IGNORE
    assert plan.table[CELEBA19.id("hair")] == LAPA11.id("hair")
    coarse = plan_conversion(CELEBA19, FASSEG6)
    assert coarse.merged["eyes"] == ("glasses", "left_eye", "right_eye")
    assert coarse.merged["mouth"] == ("mouth", "upper_lip", "lower_lip")


def test_lost_parts_can_become_background() -> None:
    plan = plan_conversion(CELEBA19, LFW3, rest=0)
    assert plan.table[CELEBA19.id("clothes")] == 0
    assert plan.table[IGNORE] == IGNORE


def test_absent_parts_refuse_by_name_and_hint_at_the_cure() -> None:
    with pytest.raises(UsageError) as refused:
        plan_conversion(FASSEG6, LAPA11)
    text = str(refused.value)
    assert text.startswith("fasseg6 cannot be written as lapa11: it does not tell left_brow,")
    assert "--split-sides' tells eyes apart" in text
    assert "--partial" in text
    with pytest.raises(UsageError, match="none of hair can be made from face"):
        plan_conversion(labels.FACE2, HAIR2)


def test_a_partial_conversion_does_not_trust_the_background() -> None:
    plan = plan_conversion(HAIR2, LFW3, partial=True)
    assert plan.absent == ("face",)
    assert plan.table[:2].tolist() == [IGNORE, LFW3.id("hair")]
    kept = plan_conversion(HAIR2, LFW3, partial=True, keep_background=True)
    assert kept.table[:2].tolist() == [0, LFW3.id("hair")]


@settings(deadline=None)
@given(st.sampled_from(labels.names()), st.sampled_from(labels.names()))
def test_any_plan_equals_the_table_and_misses_nothing(one: str, other: str) -> None:
    source, target = labels.get(one), labels.get(other)
    try:
        plan = plan_conversion(source, target, partial=True, keep_background=True)
    except UsageError as error:
        assert "cannot be written" in str(error)
        table = labels.table(source, target)[1 : len(source.parts)]
        assert set(table.tolist()) <= {0, IGNORE}
        return
    assert np.array_equal(plan.table, labels.table(source, target))
    made = {target.parts[i] for i in plan.table[: len(source.parts)] if i != IGNORE}
    assert made | set(plan.absent) == set(target.parts)
    assert made.isdisjoint(plan.absent)
    assert {p for parts in plan.merged.values() for p in parts}.isdisjoint(plan.lost)
