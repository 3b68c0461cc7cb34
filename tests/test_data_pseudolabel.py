"""Labels made by nets are kept only where looks agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cli_world import make_card
from faceparts import labels
from faceparts.crops import crop_head
from faceparts.errors import UsageError
from faceparts.evaluate import pseudolabel
from faceparts.evaluate.pseudolabel import Filters, Labelled, Labeller
from faceparts.labels import CELEBA19, FACE2, HAIR2, LFW3
from faceparts.types import IGNORE, Head, Image, LabelSet, ModelCard

SKIN, HAIR = CELEBA19.id("skin"), CELEBA19.id("hair")
HEAD = Head((20, 20, 60, 60), 0.9, Head.no_points())


@dataclass
class Colours:
    """A net that knows red skin and blue hair, with faults on request.

    Args:
        label_set: whose parts it names.
        sure: probability of what it finds.
        right_is_hair: calls the right quarter of its cut hair, whatever is there.
    """

    label_set: LabelSet = CELEBA19
    sure: float = 0.9
    right_is_hair: bool = False
    input_px: int = 60
    margin: float = 0.25

    @property
    def card(self) -> ModelCard:
        return make_card(label_set=self.label_set.name, input_px=self.input_px, margin=self.margin)

    def predict(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        red, blue = crops[..., 0] > 180, crops[..., 2] > 180
        found = np.where(red & ~blue, SKIN, np.where(blue & ~red, HAIR, 0)).astype(np.uint8)
        if self.right_is_hair:
            found[:, :, -self.input_px // 4 :] = HAIR
        ids = labels.convert(found, CELEBA19, self.label_set, rest=0)
        count = len(self.label_set.parts)
        probs = np.full((*ids.shape, count), (1 - self.sure) / (count - 1), np.float32)
        np.put_along_axis(probs, ids[..., None].astype(np.intp), np.float32(self.sure), axis=3)
        return np.ascontiguousarray(probs.transpose(0, 3, 1, 2))


def photo() -> Image:
    """Green, a red face at 24..56, blue hair above it."""
    image = np.zeros((80, 80, 3), np.uint8)
    image[..., 1] = 200
    image[24:56, 24:56] = (250, 0, 0)
    image[24:32, 24:56] = (0, 0, 250)
    return image


def label(
    net: Colours, other: Colours | None = None, head: Head = HEAD, **filters: Any
) -> Labelled:
    return Labeller(net, Filters(**{"min_head_px": 20, **filters}), other).label(photo(), head)


def test_labels_lie_on_the_picture() -> None:
    found = label(Colours())
    assert found.kept
    assert found.image.shape == (60, 60, 3)  # 1.5 x the head box
    assert found.labels[15 + 14, 30] == SKIN  # picture 39, 40
    assert found.labels[18, 30] == HAIR  # picture 28, 40
    assert found.labels[5, 5] == 0
    assert found.scores["sure"] == 1.0
    assert found.scores["confidence"] == pytest.approx(0.9, abs=0.03)  # bilinear at borders
    red = (found.image[..., 0] > 180) & (found.image[..., 2] < 180)
    assert np.mean((found.labels == SKIN) == red) > 0.97


def test_beyond_the_picture_is_unknown() -> None:
    found = label(Colours(), head=Head((-20, 20, 20, 60), 0.9, Head.no_points()))
    assert (found.labels[:, :30] == IGNORE).all()
    assert (found.image[:, :30] == 127).all()
    assert not (found.labels[:, 31:] == IGNORE).any()


def test_large_heads_are_shrunk_and_small_ones_left_out() -> None:
    assert label(Colours(), max_px=24).labels.shape == (24, 24)
    small = label(Colours(), min_head_px=41)
    assert small.reasons == ("head of 40 px, wanted 41",)


def test_a_mirrored_look_that_differs_is_doubt() -> None:
    fair = label(Colours(), mirror=True)
    assert fair.kept
    assert fair.scores["mirror"] == 1.0
    unfair = label(Colours(right_is_hair=True), mirror=True)
    (reason,) = (r for r in unfair.reasons if "mirrored" in r)
    assert reason.startswith("the mirrored look agrees on ")
    assert reason.endswith("% of the head, wanted 90%")
    assert unfair.scores["mirror"] is not None
    assert unfair.scores["mirror"] < 0.6
    assert (unfair.labels[:, -13:] == IGNORE).all()
    assert (unfair.labels[:, :13] == IGNORE).all()  # there the mirrored look calls it hair
    assert label(Colours(right_is_hair=True)).kept  # one look alone does not notice


def test_a_mirrored_net_swaps_its_sides_back() -> None:
    crop = crop_head(photo(), HEAD, 60, 0.25)
    mirrored, _ = pseudolabel.look(_OneSided(), photo(), HEAD, crop, mirror=True)
    straight, _ = pseudolabel.look(_OneSided(), photo(), HEAD, crop)
    ids = straight.argmax(axis=0), mirrored.argmax(axis=0)
    assert np.array_equal(*ids)
    assert set(np.unique(ids[0])) == {CELEBA19.id("left_eye"), CELEBA19.id("right_eye")}


class _OneSided(Colours):
    """Names the halves of its cut by the subject's sides: right eye on the image left."""

    def predict(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        probs = np.zeros((len(crops), 19, 60, 60), np.float32)
        probs[:, CELEBA19.id("right_eye"), :, :30] = 1
        probs[:, CELEBA19.id("left_eye"), :, 30:] = 1
        return probs


@pytest.mark.parametrize(
    "other", [Colours(), Colours(LFW3), Colours(HAIR2), Colours(input_px=32), Colours(margin=0.6)]
)
def test_a_second_net_that_agrees(other: Colours) -> None:
    found = label(Colours(), other, min_agreement=0.8, min_sure=0.7)
    assert found.kept, found.reasons
    assert (found.labels[30:40, 22:38] == SKIN).all()


def test_a_second_net_that_differs() -> None:
    found = label(Colours(), Colours(LFW3, right_is_hair=True), min_agreement=0.97)
    (reason,) = found.reasons
    assert reason.startswith("the other net agrees on")
    assert (found.labels[:, -14:] == IGNORE).all()
    assert not (found.labels[:, :14] == IGNORE).any()


def test_what_a_second_net_does_not_see_is_not_compared() -> None:
    other = Colours(margin=0.0, right_is_hair=True)  # sees the head box alone, crop 10..50
    found = label(Colours(), other)
    assert (found.labels[24:49, 41:49] == IGNORE).all()
    assert not (found.labels[:9] == IGNORE).any()
    assert not (found.labels[:, 51:] == IGNORE).any()


def test_unsure_pixels_and_heads() -> None:
    unsure = label(Colours(sure=0.4), min_confidence=0.5)
    assert unsure.reasons == ("sure of 0.0% of the head, wanted 80%",)
    assert (unsure.labels == IGNORE).all()
    nothing = label(Colours(), head=Head((0, 0, 10, 10), 0.9, Head.no_points()), min_head_px=1)
    assert nothing.reasons == ("no part found",)
    assert nothing.scores["sure"] is None


def test_nets_without_a_common_part_are_refused() -> None:
    with pytest.raises(UsageError, match="face2 and hair2 have no part in common"):
        Labeller(Colours(FACE2), Filters(), Colours(HAIR2))


def test_common_tables_go_to_the_smaller_set() -> None:
    one, other = pseudolabel.common_tables(CELEBA19, LFW3)
    assert one[SKIN] == LFW3.id("face")
    assert other[LFW3.id("face")] == LFW3.id("face")
    one, other = pseudolabel.common_tables(LFW3, CELEBA19)
    assert other[SKIN] == LFW3.id("face")
    assert one[LFW3.id("hair")] == LFW3.id("hair")


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"min_agreement": 1.1}, r"min_agreement: got 1.1, wanted 0 to 1"),
        ({"min_confidence": -1}, "min_confidence"),
        ({"min_sure": 2}, "min_sure"),
        ({"min_head_px": 0}, "min_head_px: got 0, wanted a whole number of at least 1"),
        ({"max_px": 0}, "max_px"),
    ],
)
def test_filters_out_of_range(wrong: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        Filters(**wrong)
