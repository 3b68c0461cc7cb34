"""Label sets and the lossless tables between them.

Part names are the same in every set, so a table between two sets follows from the names; what a
set merges or lacks is written down in `PARENTS`, which parts make a face or a head in `BARE_FACE`
and `GROUPS`. Left and right are always the **subject's**:
measured on the data, CelebAMask-HQ's ``l_*`` masks lie on the image right.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faceparts.errors import UnknownName
from faceparts.types import IGNORE, LabelSet

_COLORS: dict[str, tuple[int, int, int]] = {
    "background": (0, 0, 0),
    "skin": (204, 160, 120),
    "nose": (76, 153, 0),
    "glasses": (204, 204, 0),
    "left_eye": (51, 51, 255),
    "right_eye": (204, 0, 204),
    "left_brow": (0, 255, 255),
    "right_brow": (255, 204, 204),
    "left_ear": (102, 51, 0),
    "right_ear": (255, 0, 0),
    "mouth": (102, 204, 0),
    "upper_lip": (255, 255, 0),
    "lower_lip": (0, 0, 153),
    "hair": (0, 0, 204),
    "hat": (255, 51, 153),
    "earring": (0, 204, 204),
    "necklace": (0, 51, 0),
    "neck": (255, 153, 51),
    "clothes": (0, 204, 0),
    "beard": (96, 64, 32),
    "facewear": (180, 180, 220),
    "face": (204, 160, 120),
    "eyes": (51, 51, 255),
    "brows": (0, 255, 255),
    "ears": (102, 51, 0),
    "lips": (255, 255, 0),
    "teeth": (230, 232, 230),
    "mouth_cavity": (102, 204, 0),
    "bare_skin": (204, 160, 120),
    "accessory": (0, 204, 204),
    "person": (160, 96, 160),
}


def _mirror_name(part: str) -> str:
    side, _, rest = part.partition("_")
    return {"left": f"right_{rest}", "right": f"left_{rest}"}.get(side, part)


def make(name: str, *parts: str) -> LabelSet:
    """Build a label set from part names; mirror pairs follow from ``left_``/``right_``.

    Example:
        >>> make("two_eyes", "background", "left_eye", "right_eye").mirror
        (0, 2, 1)
    """
    mirrored = [_mirror_name(p) for p in parts]
    return LabelSet(
        name,
        tuple(parts),
        tuple(_COLORS.get(p, _made_up_color(i)) for i, p in enumerate(parts)),
        tuple(parts.index(m) if m in parts else i for i, m in enumerate(mirrored)),
    )


def _made_up_color(i: int) -> tuple[int, int, int]:
    """The i-th colour of the PASCAL VOC colour map."""
    rgb = [0, 0, 0]
    for bit in range(8):
        for c in range(3):
            rgb[c] |= ((i >> (3 * bit + c)) & 1) << (7 - bit)
    return rgb[0], rgb[1], rgb[2]


CELEBA19 = make(
    "celeba19",
    *("background", "skin", "nose", "glasses", "left_eye", "right_eye", "left_brow", "right_brow"),
    *("left_ear", "right_ear", "mouth", "upper_lip", "lower_lip", "hair", "hat", "earring"),
    *("necklace", "neck", "clothes"),
)
"""CelebAMask-HQ in its official order; our own parser's parts."""

BISENET19 = make(
    "bisenet19",
    *("background", "skin", "left_brow", "right_brow", "left_eye", "right_eye", "glasses"),
    *("left_ear", "right_ear", "earring", "nose", "mouth", "upper_lip", "lower_lip", "neck"),
    *("necklace", "clothes", "hair", "hat"),
)
"""The same parts in the order of the BiSeNet family of face parsers."""

LAPA11 = make(
    "lapa11",
    *("background", "skin", "left_brow", "right_brow", "left_eye", "right_eye", "nose"),
    *("upper_lip", "mouth", "lower_lip", "hair"),
)
"""LaPa, Helen (relabelled) and iBugMask."""

FACESYNTHETICS19 = make(
    "facesynthetics19",
    *("background", "skin", "nose", "right_eye", "left_eye", "right_brow", "left_brow"),
    *("right_ear", "left_ear", "mouth", "upper_lip", "lower_lip", "neck", "hair", "beard"),
    *("clothes", "glasses", "hat", "facewear"),
)
"""Microsoft FaceSynthetics; the files' left is the viewer's (measured), so ids of sides differ."""

LFW3 = make("lfw3", "background", "hair", "face")
"""LFW Part Labels."""

FASSEG6 = make("fasseg6", "background", "mouth", "skin", "hair", "nose", "eyes")
"""FASSEG: no brow class, both eyes share one class, lips belong to the mouth."""

FACE2 = make("face2", "background", "face")
"""Visible face or not."""

HAIR2 = make("hair2", "background", "hair")
"""Hair or not: Figaro-1k."""

EASYPORTRAIT9 = make(
    "easyportrait9",
    *("background", "person", "skin", "left_brow", "right_brow", "left_eye", "right_eye"),
    *("lips", "teeth"),
)
"""EasyPortrait: ``person`` is what else belongs to the person, beards too; no nose class."""

NPRPORTRAIT15 = make(
    "nprportrait15",
    *("background", "bare_skin", "clothes", "eyes", "nose", "ears", "hair", "brows", "beard"),
    *("lips", "teeth", "mouth_cavity", "accessory", "hat", "glasses"),
)
"""NPRportrait-segmentation: no sides; ``bare_skin`` is face, neck, arms and hands in one."""

_SETS = {
    s.name: s
    for s in (
        *(CELEBA19, BISENET19, LAPA11, FACESYNTHETICS19, LFW3, FASSEG6, FACE2, HAIR2),
        *(EASYPORTRAIT9, NPRPORTRAIT15),
    )
}

BARE_FACE = (
    *("skin", "nose", "left_eye", "right_eye", "left_brow", "right_brow", "mouth"),
    *("upper_lip", "lower_lip", "beard", "face", "eyes", "brows", "lips", "teeth"),
    "mouth_cavity",
)
"""Parts of the face itself, without ears and without what may cover it.

``face``, ``eyes``, ``brows`` and ``lips`` are what some sets merge some of them into; ``teeth`` and
``mouth_cavity`` what others call ``mouth``.
"""

_FACE = (*BARE_FACE, "bare_skin", "glasses", "facewear", "left_ear", "right_ear", "ears")

GROUPS: dict[str, tuple[str, ...]] = {
    "face": _FACE,
    "head": (*_FACE, "hair", "hat", "earring"),
    "eyes": ("left_eye", "right_eye", "eyes", "glasses"),
    "brows": ("left_brow", "right_brow", "brows"),
    "ears": ("left_ear", "right_ear", "ears"),
    "lips": ("upper_lip", "lower_lip", "lips"),
}
"""Short names for several parts.

Ears belong to the face because their shape tells people apart; glasses belong to the eyes because
a parser calls what lies behind the lenses glasses. Where a label set has a part of the same name
(``face`` in lfw3, ``eyes`` in fasseg6), the group contains it.
"""

_INSIDE_MOUTH = dict.fromkeys(("teeth", "mouth_cavity"), "mouth")

PARENTS: dict[str, dict[str, str]] = {
    "lfw3": dict.fromkeys(
        (
            *("skin", "nose", "glasses", "left_eye", "right_eye", "left_brow", "right_brow"),
            *("left_ear", "right_ear", "mouth", "upper_lip", "lower_lip", "neck"),
            *("bare_skin", "eyes", "brows", "ears", "lips", "teeth", "mouth_cavity"),
        ),
        "face",
    ),
    "fasseg6": {
        **dict.fromkeys(("mouth", "upper_lip", "lower_lip", "lips"), "mouth"),
        **_INSIDE_MOUTH,
        **dict.fromkeys(("skin", "left_ear", "right_ear", "ears", "neck", "beard"), "skin"),
        "bare_skin": "skin",
        **dict.fromkeys(("left_eye", "right_eye", "glasses"), "eyes"),
        # measured on V2: brows are painted as hair
        **dict.fromkeys(("hair", "hat", "left_brow", "right_brow", "brows"), "hair"),
    },
    "face2": dict.fromkeys(BARE_FACE, "face"),
    "hair2": {},
    "celeba19": {"beard": "skin", **_INSIDE_MOUTH},
    "bisenet19": {"beard": "skin", **_INSIDE_MOUTH},
    "lapa11": {"beard": "skin", **_INSIDE_MOUTH},
    "facesynthetics19": _INSIDE_MOUTH,
    # its guidelines do not say where ears, neck and glasses belong: they stay unknown
    "easyportrait9": {
        "nose": "skin",
        **dict.fromkeys(("upper_lip", "lower_lip"), "lips"),
        **dict.fromkeys(("hair", "hat", "clothes", "earring", "necklace", "beard"), "person"),
    },
    "nprportrait15": {
        **dict.fromkeys(("skin", "neck"), "bare_skin"),
        **dict.fromkeys(("left_eye", "right_eye"), "eyes"),
        **dict.fromkeys(("left_brow", "right_brow"), "brows"),
        **dict.fromkeys(("left_ear", "right_ear"), "ears"),
        **dict.fromkeys(("upper_lip", "lower_lip"), "lips"),
        **dict.fromkeys(("earring", "necklace"), "accessory"),
    },
}
"""For each set: parts of other sets that it merges into one of its own."""


def viewers(label_set: LabelSet) -> LabelSet:
    """The same ids in files where left means the *viewer's* left: paired parts change names.

    Example:
        >>> viewers(make("two_eyes", "background", "left_eye", "right_eye")).parts
        ('background', 'right_eye', 'left_eye')
    """
    mirror = label_set.mirror
    return LabelSet(
        f"{label_set.name}_viewers",
        tuple(label_set.parts[i] for i in mirror),
        tuple(label_set.colors[i] for i in mirror),
        mirror,
    )


def names() -> list[str]:
    """Names of the label sets, sorted."""
    return sorted(_SETS)


def get(name: str) -> LabelSet:
    """A label set by its name.

    Raises:
        UnknownName: there is none of that name; the message lists those that exist.
    """
    if name not in _SETS:
        raise UnknownName(f"no label set named {name!r}; there are: {', '.join(names())}")
    return _SETS[name]


def table(source: LabelSet, target: LabelSet, rest: int = IGNORE) -> NDArray[np.uint8]:
    """(256,) uint8: the target id of every source id; `IGNORE` stays `IGNORE`.

    A part that the target neither has nor merges (`PARENTS`) becomes ``rest``: `IGNORE` by
    default, so that nothing wrong is trained on; pass 0 to count it as background.

    Example:
        >>> int(table(BISENET19, CELEBA19)[BISENET19.id("hair")]) == CELEBA19.id("hair")
        True
    """
    ids = np.full(256, IGNORE, np.uint8)
    parents = PARENTS.get(target.name, {})
    for i, part in enumerate(source.parts):
        own = part if part in target.parts else parents.get(part)
        ids[i] = rest if own is None else target.id(own)
    return ids


def convert(
    labels: NDArray[np.uint8], source: LabelSet, target: LabelSet, rest: int = IGNORE
) -> NDArray[np.uint8]:
    """Translate (H, W) part ids from one label set to another; see `table`."""
    return np.asarray(table(source, target, rest)[labels])
