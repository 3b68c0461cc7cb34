"""Named protocols: everything that fixes a number, so that two people get the same one.

A protocol says which classes are scored and which parts are merged into them, at what resolution,
how the face is cut out, how rates are averaged and what is not scored. All of them pool one
confusion matrix over the set before any rate is taken (`confusion`). The model's own most probable
part is taken first and merged into the protocol's classes afterwards.

A part that a protocol neither scores nor merges counts as background where a model predicts it;
where a dataset labels it, `Protocol.other` says what happens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceparts import labels
from faceparts.errors import UnknownName, UsageError
from faceparts.labels import BARE_FACE, CELEBA19, FACE2, FASSEG6, LAPA11, LFW3
from faceparts.types import IGNORE, LabelSet

ALIGNMENTS = ("whole", "detector", "labels")
"""How the face is cut out: the whole picture, padded to a square; the largest head that a detector
finds (the whole picture where it finds none); the box that the labels span (a given crop)."""

BOUNDARY_SHARE = 0.003
"""Distance up to which two boundaries agree, as a share of the scored picture's diagonal."""

Table = NDArray[np.uint8]


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True)
class Protocol:
    """What is fixed before a model is measured.

    Args:
        name: as given on the command line.
        title: what it is, for reports.
        source: who measures so.
        label_set: the scored classes; the first is the background.
        headline: the score that the protocol is known by: a key of a report's ``scores``.
        alignment: one of `ALIGNMENTS`.
        size_px: side that picture and labels are brought to; 0 = they stay as they are.
        pad: bring pictures that are no squares to ``size_px`` with black padding, which counts as
            background; without it they are refused.
        shrink: labels are reduced to blocks of this side by the largest class id, probabilities
            by their mean; 1 = not at all.
        split_eyes: parts named ``eyes`` are split at the nose into the subject's left and right.
        merges: part of another label set -> class that it belongs to.
        unscored: labelled parts whose pixels are not scored.
        other: what becomes of labelled parts that are neither scored nor merged: ``"background"``
            or ``"ignore"``.
        unions: name -> classes whose union is scored as one.
        superpixels: score superpixels by their majority as well.
    """

    name: str
    title: str
    source: str
    label_set: LabelSet
    headline: str
    alignment: str = "whole"
    size_px: int = 0
    pad: bool = False
    shrink: int = 1
    split_eyes: bool = False
    merges: Mapping[str, str] = field(default_factory=_nothing)
    unscored: tuple[str, ...] = ()
    other: str = "background"
    unions: Mapping[str, tuple[str, ...]] = field(default_factory=_nothing)
    superpixels: bool = False

    @property
    def base_set(self) -> LabelSet:
        """The classes before eyes are split; the scored ones where nothing is split."""
        if not self.split_eyes:
            return self.label_set
        parts = [p for p in self.label_set.parts if p != "right_eye"]
        return labels.make(
            f"{self.label_set.name} unsplit", *("eyes" if p == "left_eye" else p for p in parts)
        )

    def truth_table(self, source: LabelSet) -> Table:
        """(256,) class of every labelled part of a dataset; `IGNORE` where it is not scored."""
        return self._table(source, 0 if self.other == "background" else IGNORE, self.unscored)

    def found_table(self, source: LabelSet) -> Table:
        """(256,) class of every part of a model."""
        return self._table(source, 0, ())

    def _table(self, source: LabelSet, rest: int, unscored: tuple[str, ...]) -> Table:
        base = self.base_set
        table = np.full(256, IGNORE, np.uint8)
        for i, part in enumerate(source.parts):
            name = part if part in base.parts else self.merges.get(part)
            if part in unscored:
                table[i] = IGNORE
            elif i == 0:
                table[i] = 0
            else:
                table[i] = rest if name is None else base.id(name)
        return table

    def with_alignment(self, alignment: str | None) -> Protocol:
        """The same protocol with another alignment; its name then says so.

        Raises:
            UsageError: there is no such alignment.
        """
        if alignment is None or alignment == self.alignment:
            return self
        if alignment not in ALIGNMENTS:
            raise UsageError(f"alignment: got {alignment!r}, wanted {', '.join(ALIGNMENTS)}")
        return replace(self, name=f"{self.name}, alignment {alignment}", alignment=alignment)

    def describe(self) -> dict[str, Any]:
        """Everything that fixes the number, in plain types, for the protocol card."""
        base = self.base_set
        merged: dict[str, list[str]] = {part: [] for part in base.parts}
        for part, into in self.merges.items():
            merged[into].append(part)
        size = f"{self.size_px} x {self.size_px} px" if self.size_px else "each picture's own"
        shrink = (
            f"; labels reduced {self.shrink} x {self.shrink} by the largest class id, "
            "probabilities by their mean"
        )
        return {
            "name": self.name,
            "title": self.title,
            "source": self.source,
            "classes": list(self.label_set.parts),
            "merged_into_classes": {k: v for k, v in merged.items() if v},
            "unions": {k: list(v) for k, v in self.unions.items()},
            "headline": self.headline,
            "resolution": size + (shrink if self.shrink > 1 else ""),
            "padding": "black, counts as background" if self.pad else "grey, not scored",
            "alignment": self.alignment,
            "averaging": "one confusion matrix pooled over all pictures; means over classes are "
            "unweighted; F1 = 2I/(A+B)",
            "mean_f1_over": "foreground classes",
            "mean_iou_over": "all classes, background included",
            "absent_classes": "a class in neither truth nor prediction has no rate and counts in "
            "no mean; one that is only predicted has F1 0",
            "most_probable": "part of the model first, then merged into classes",
            "not_scored": ["pixels labelled 255", *self.unscored],
            "other_labelled_parts": self.other,
            "other_predicted_parts": "background",
            "eyes": "split at the nose into the subject's left and right"
            if self.split_eyes
            else "",
            "boundary_tolerance": f"{BOUNDARY_SHARE} x diagonal, at least 1 px",
            "superpixels": self.superpixels,
        }


def check_fit(protocol: Protocol, source: LabelSet, who: str, *, truth: bool) -> None:
    """Refuse a dataset or model that has no part for one of the scored classes.

    Args:
        source: its label set.
        who: what to call it in the message.
        truth: whether it is a dataset.

    Raises:
        UsageError: the message names the classes and protocols that would fit.
    """
    missing = _missing(protocol, source, truth)
    if missing:
        others = [p.name for p in PROTOCOLS.values() if not _missing(p, source, truth)]
        remedy = f"choose one of: {', '.join(others)}" if others else "no protocol fits it"
        raise UsageError(
            f"protocol {protocol.name} scores {', '.join(missing)}, which {who} "
            f"({source.name}) does not have; {remedy}"
        )


def _missing(protocol: Protocol, source: LabelSet, truth: bool) -> list[str]:
    table = protocol.truth_table(source) if truth else protocol.found_table(source)
    there = set(table[: len(source.parts)].tolist())
    return [part for i, part in enumerate(protocol.base_set.parts) if i and i not in there]


def names() -> list[str]:
    """Names of the protocols, in the order of the documentation."""
    return list(PROTOCOLS)


def get(name: str) -> Protocol:
    """A protocol by its name.

    Raises:
        UnknownName: there is none of that name; the message lists those that exist.
    """
    if name not in PROTOCOLS:
        raise UnknownName(f"no protocol named {name!r}; there are: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


_LIPS_AND_MOUTH = ("upper_lip", "mouth", "lower_lip")
_INNER = ("left_brow", "right_brow", "left_eye", "right_eye", "nose", *_LIPS_AND_MOUTH)
_FASSEG_MERGES = {
    **dict.fromkeys(("upper_lip", "lower_lip"), "mouth"),
    **dict.fromkeys(("left_ear", "right_ear", "neck", "beard"), "skin"),
    **dict.fromkeys(("left_eye", "right_eye", "glasses"), "eyes"),
    **dict.fromkeys(("hat", "left_brow", "right_brow"), "hair"),
}
_NPRPORTRAIT_MERGES = {
    **dict.fromkeys(("skin", "neck", "beard"), "bare_skin"),
    **dict.fromkeys(("left_eye", "right_eye"), "eyes"),
    **dict.fromkeys(("left_brow", "right_brow"), "brows"),
    **dict.fromkeys(("left_ear", "right_ear"), "ears"),
    **dict.fromkeys(("upper_lip", "lower_lip", "lips", "teeth", "mouth_cavity"), "mouth"),
}
_LAPA = Protocol(
    name="lapa10",
    title="LaPa, 10 classes",
    source="Liu et al., A New Dataset and Boundary-Attention Semantic Segmentation for Face "
    "Parsing, AAAI 2020",
    label_set=LAPA11,
    headline="mean_f1",
    alignment="labels",
    merges=MappingProxyType({"beard": "skin"}),
    unscored=("glasses", "facewear"),
    unions=MappingProxyType(
        {"brows": ("left_brow", "right_brow"), "eyes": ("left_eye", "right_eye")}
    ),
)
_LFW = Protocol(
    name="lfw-pixel",
    title="LFW Part Labels: face, hair, background; share of pixels that are right",
    source="Kae et al., Augmenting CRFs with Boltzmann Machine Shape Priors for Image Labeling, "
    "CVPR 2013",
    label_set=LFW3,
    headline="pixel_accuracy",
    merges=MappingProxyType(
        dict.fromkeys(
            (
                *("skin", "nose", "glasses", "left_eye", "right_eye", "left_brow", "right_brow"),
                *("left_ear", "right_ear", "mouth", "upper_lip", "lower_lip", "neck", "beard"),
                "eyes",
            ),
            "face",
        )
    ),
)

PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        p.name: p
        for p in (
            Protocol(
                name="celebamask18",
                title="CelebAMask-HQ, 18 classes at 512 px",
                source="Lee et al., MaskGAN, CVPR 2020; mean F1 as in EHANet, AGRNet, DML-CSR",
                label_set=CELEBA19,
                headline="mean_f1",
                size_px=512,
                merges=MappingProxyType({"beard": "skin"}),
                other="ignore",
            ),
            _LAPA,
            replace(
                _LAPA,
                name="helen-overall",
                title="Helen: union of eyes, brows, nose and mouth",
                source="Smith et al., Exemplar-Based Face Parsing, CVPR 2013; the union as in "
                "EAGRNet and DML-CSR: confusions inside it are no errors",
                headline="f1_overall",
                unions=MappingProxyType(
                    {
                        "brows": ("left_brow", "right_brow"),
                        "eyes": ("left_eye", "right_eye"),
                        "mouth_all": _LIPS_AND_MOUTH,
                        "overall": _INNER,
                    }
                ),
            ),
            replace(
                _LAPA,
                name="ibugmask",
                title="iBugMask, 10 classes, faces in the wild with a given box",
                source="Lin et al., RoI Tanh-polar Transformer Network for Face Parsing in the "
                "Wild, 2021",
            ),
            _LFW,
            replace(
                _LFW,
                name="lfw-superpixel",
                title="LFW Part Labels: share of superpixels whose majority is right",
                headline="superpixel_accuracy",
                superpixels=True,
            ),
            Protocol(
                name="fasseg-seed",
                title="FASSEG as in 'Old School Semantic Segmentation of Faces': 600 px with "
                "padding, labels reduced to 150 px by the largest id, 7 classes",
                source="Rees 2020, after Khan et al., ICIP 2015",
                label_set=labels.make(
                    "fasseg7",
                    *("background", "mouth", "nose", "left_eye", "right_eye", "hair", "skin"),
                ),
                headline="pixel_accuracy",
                size_px=600,
                pad=True,
                shrink=4,
                split_eyes=True,
                merges=MappingProxyType(_FASSEG_MERGES),
            ),
            Protocol(
                name="fasseg-clean",
                title="FASSEG, 5 classes and background at each photo's own resolution",
                source="Khan et al., ICIP 2015, without padding and without enlarged borders",
                label_set=FASSEG6,
                headline="mean_f1",
                merges=MappingProxyType(_FASSEG_MERGES),
            ),
            Protocol(
                name="visible-face",
                title="Visible face: skin, nose, eyes, brows, mouth and lips against all else",
                source="as binary face segmentation on COFW and RealOcc",
                label_set=FACE2,
                headline="iou_face",
                merges=MappingProxyType(
                    dict.fromkeys((p for p in BARE_FACE if p != "face"), "face")
                ),
                unscored=("glasses",),
            ),
            Protocol(
                name="nprportrait10",
                title="NPRportrait: 10 classes without sides; the neck is skin",
                source="Bueltemeier, Meier and Lohweg, NPRportrait-segmentation, 2023",
                label_set=labels.make(
                    "nprportrait11",
                    *("background", "bare_skin", "eyes", "brows", "nose", "ears", "mouth", "hair"),
                    *("clothes", "hat", "glasses"),
                ),
                headline="mean_f1",
                alignment="detector",
                merges=MappingProxyType(_NPRPORTRAIT_MERGES),
                unscored=("accessory",),
            ),
        )
    }
)
"""Every protocol by its name."""
