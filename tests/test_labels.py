"""Label sets and the tables between them."""

from __future__ import annotations

import numpy as np
import pytest

from faceparts import labels
from faceparts.errors import UnknownName
from faceparts.types import IGNORE, LabelSet

every = pytest.mark.parametrize("name", labels.names())
EVERY_PAIR = [(a, b) for a in labels.names() for b in labels.names()]

# The official orders, written down a second time.
CELEBAMASK_HQ = [
    *("background", "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear"),
    *("r_ear", "mouth", "u_lip", "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth"),
]
BISENET = [
    *("background", "skin", "l_brow", "r_brow", "l_eye", "r_eye", "eye_g", "l_ear", "r_ear"),
    *("ear_r", "nose", "mouth", "u_lip", "l_lip", "neck", "neck_l", "cloth", "hair", "hat"),
]
LAPA = [
    *("background", "skin", "l_brow", "r_brow", "l_eye", "r_eye", "nose", "u_lip", "mouth"),
    *("l_lip", "hair"),
]
OURS = {
    **{"eye_g": "glasses", "ear_r": "earring", "neck_l": "necklace", "cloth": "clothes"},
    **{"u_lip": "upper_lip", "l_lip": "lower_lip"},
    **{f"{s[0]}_{p}": f"{s}_{p}" for s in ("left", "right") for p in ("eye", "brow", "ear")},
}


@pytest.mark.parametrize(
    ("name", "official"), [("celeba19", CELEBAMASK_HQ), ("bisenet19", BISENET), ("lapa11", LAPA)]
)
def test_official_orders(name: str, official: list[str]) -> None:
    assert labels.get(name).parts == tuple(OURS.get(p, p) for p in official)


def test_the_names() -> None:
    assert labels.names() == sorted(labels.names())
    assert {"celeba19", "bisenet19", "lapa11", "lfw3", "fasseg6", "face2"} <= set(labels.names())
    with pytest.raises(UnknownName, match=r"no label set named 'celeba'; there are: bisenet19, "):
        labels.get("celeba")


@every
def test_a_set_is_found_by_its_name_and_its_colours_differ(name: str) -> None:
    one = labels.get(name)
    assert one.name == name
    assert len(set(one.colors)) == len(one.colors)
    assert one.colors[0] == (0, 0, 0)
    assert all(0 <= c <= 255 for rgb in one.colors for c in rgb)


@every
def test_mirror_swaps_left_and_right_and_nothing_else(name: str) -> None:
    one = labels.get(name)
    for i, part in enumerate(one.parts):
        turned = part.replace("left_", "?").replace("right_", "left_").replace("?", "right_")
        assert one.parts[one.mirror[i]] == turned


def test_sided_part_without_its_other_side_is_its_own_mirror() -> None:
    assert labels.make("one", "background", "left_eye").mirror == (0, 1)


def test_unknown_parts_get_colours_of_the_pascal_map() -> None:
    assert labels.make("odd", "background", "horn", "tail").colors == (
        (0, 0, 0),
        (128, 0, 0),
        (0, 128, 0),
    )


@pytest.mark.parametrize(("source", "target"), EVERY_PAIR)
def test_a_table_keeps_names_and_follows_parents(source: str, target: str) -> None:
    a, b = labels.get(source), labels.get(target)
    table = labels.table(a, b)
    assert table.shape == (256,)
    assert table.dtype == np.uint8
    assert (table[len(a.parts) :] == IGNORE).all()
    for i, part in enumerate(a.parts):
        if part in b.parts:
            assert b.parts[table[i]] == part
        elif table[i] != IGNORE:
            assert b.parts[table[i]] == labels.PARENTS[target][part]
        else:
            assert part not in labels.PARENTS.get(target, {})


@pytest.mark.parametrize(("source", "target"), EVERY_PAIR)
def test_translating_and_mirroring_can_change_places(source: str, target: str) -> None:
    a, b = labels.get(source), labels.get(target)
    flip_a, flip_b = (np.append(s.mirror, IGNORE).astype(np.uint8) for s in (a, b))
    table = labels.table(a, b)
    ids = np.arange(len(a.parts))
    first = table[flip_a[ids]]
    there = table[ids]
    then = np.where(there == IGNORE, IGNORE, flip_b[np.minimum(there, len(b.parts))])
    assert first.tolist() == then.tolist()


def test_celebamask_and_bisenet_hold_the_same() -> None:
    ids = np.arange(19, dtype=np.uint8)[None]
    there = labels.convert(ids, labels.CELEBA19, labels.BISENET19)
    assert sorted(there[0].tolist()) == list(range(19))
    assert labels.convert(there, labels.BISENET19, labels.CELEBA19).tolist() == ids.tolist()


def test_what_a_set_lacks_is_ignored_or_becomes_what_was_asked_for() -> None:
    hat, skin = labels.CELEBA19.id("hat"), labels.CELEBA19.id("skin")
    ids = np.array([[hat, skin, IGNORE]], np.uint8)
    lapa_skin = labels.LAPA11.id("skin")
    assert labels.convert(ids, labels.CELEBA19, labels.LAPA11).tolist() == [
        [IGNORE, lapa_skin, IGNORE]
    ]
    assert labels.convert(ids, labels.CELEBA19, labels.LAPA11, rest=0).tolist() == [
        [0, lapa_skin, IGNORE]
    ]


def test_parts_that_are_merged() -> None:
    table = labels.table(labels.CELEBA19, labels.LFW3)
    face, hair = labels.LFW3.id("face"), labels.LFW3.id("hair")
    assert {table[labels.CELEBA19.id(p)] for p in ("skin", "nose", "left_eye", "neck")} == {face}
    assert table[labels.CELEBA19.id("hair")] == hair
    synthetic: LabelSet = labels.FACESYNTHETICS19
    skin = labels.CELEBA19.id("skin")
    assert labels.table(synthetic, labels.CELEBA19)[synthetic.id("beard")] == skin


def test_parents_name_parts_that_exist() -> None:
    known = {p for name in labels.names() for p in labels.get(name).parts}
    for target, parents in labels.PARENTS.items():
        assert set(parents) <= known
        assert set(parents.values()) <= set(labels.get(target).parts)


def test_groups_of_parts() -> None:
    bare, face, head = set(labels.BARE_FACE), set(labels.GROUPS["face"]), set(labels.GROUPS["head"])
    assert face - bare == {
        *("bare_skin", "glasses", "facewear", "left_ear", "right_ear", "ears"),
    }
    assert head - face == {"hair", "hat", "earring"}
    assert bare < face < head


def test_groups_name_parts_that_exist() -> None:
    known = {p for name in labels.names() for p in labels.get(name).parts[1:]}
    for parts in labels.GROUPS.values():
        assert set(parts) <= known
        assert len(set(parts)) == len(parts)


def test_eyes_that_share_one_class_are_face() -> None:
    eyes = np.array([labels.FASSEG6.id("eyes")], np.uint8)
    assert labels.convert(eyes, labels.FASSEG6, labels.FACE2).tolist() == [labels.FACE2.id("face")]


@every
def test_viewers_sides_are_the_other_way_round(name: str) -> None:
    own, theirs = labels.get(name), labels.viewers(labels.get(name))
    assert theirs.mirror == own.mirror
    for part, other in zip(own.parts, theirs.parts, strict=True):
        assert other == part.replace("left_", "?").replace("right_", "left_").replace("?", "right_")
    assert labels.viewers(theirs).parts == own.parts
    table = labels.table(theirs, own)[: len(own.parts)]
    assert table.tolist() == list(own.mirror)


def test_merged_parts_do_not_pass_for_finer_ones() -> None:
    """Skin that holds the neck too is no celeba19 skin; both lips in one are neither lip."""
    npr, celeba = labels.NPRPORTRAIT15, labels.CELEBA19
    table = labels.table(npr, celeba)
    for part in ("bare_skin", "eyes", "brows", "ears", "lips", "accessory"):
        assert table[npr.id(part)] == IGNORE, part
    assert table[npr.id("teeth")] == table[npr.id("mouth_cavity")] == celeba.id("mouth")
    assert table[npr.id("beard")] == celeba.id("skin")
    back = labels.table(celeba, npr)
    assert back[celeba.id("skin")] == back[celeba.id("neck")] == npr.id("bare_skin")
    assert back[celeba.id("mouth")] == IGNORE


def test_easyportrait_keeps_what_it_does_not_say_unknown() -> None:
    easy, celeba = labels.EASYPORTRAIT9, labels.CELEBA19
    table = labels.table(celeba, easy)
    unknown = {p for p in celeba.parts if table[celeba.id(p)] == IGNORE}
    assert unknown == {"glasses", "left_ear", "right_ear", "mouth", "neck"}
    assert labels.table(easy, celeba)[easy.id("person")] == IGNORE
