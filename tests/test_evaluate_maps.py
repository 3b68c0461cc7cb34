"""Pictures under a protocol: sizes, cuts, and classes at the scored resolution."""

from dataclasses import replace

import numpy as np
import pytest

from evaluate_world import Boxes, Codebook, coded, drawn_sample
from faceparts import crops, labels
from faceparts.errors import BadData
from faceparts.evaluate import maps, protocols
from faceparts.types import Head

CELEBA = protocols.get("celebamask18")
CLEAN = protocols.get("fasseg-clean")
SEED = protocols.get("fasseg-seed")
OWN_SIZE = replace(CELEBA, size_px=0)


def ids_of(side=64, seed=0):
    return drawn_sample(seed, side).labels


class Random:
    """A parser with random probabilities."""

    def __init__(self, side=24, label_set=labels.CELEBA19):
        rng = np.random.default_rng(5)
        self.label_set, self.card = label_set, Codebook(label_set, side).card
        logits = rng.normal(0, 2, (len(label_set.parts), side, side))
        self.probs = (np.exp(logits) / np.exp(logits).sum(axis=0)).astype(np.float32)

    def predict(self, images):
        return np.repeat(self.probs[None], len(images), axis=0)


@pytest.mark.parametrize("side", [9, 24, 51, 130])
@pytest.mark.parametrize("box", [(0, 0, 1, 1), (0.2, 0.3, 0.7, 1.2)])
def test_labels_are_those_that_a_parser_gives(side, box):
    """The same as `crops.warp_back`, which makes the labels that users get."""
    image = np.zeros((side, side + 7, 3), np.uint8)
    head = Head(tuple(side * v for v in box), 1, Head.no_points())
    model = Random()
    crop = crops.crop_head(image, head, 24, 0.1)
    window = crops.crop_to_window(crop)
    expected, confidence = crops.warp_back(model.probs, crop, window)
    found = maps.find(model, crop, OWN_SIZE)
    inside = (slice(window[1], window[3]), slice(window[0], window[2]))
    assert np.mean(found.classes[inside] == expected) > 0.999
    same = found.classes[inside] == expected
    np.testing.assert_allclose(found.confidence[inside][same], confidence[same], atol=1e-4)
    outside = np.ones(found.classes.shape, bool)
    outside[inside] = False
    assert not found.classes[outside].any() and (found.confidence[outside] == 1).all()


def test_probabilities_of_all_classes_sum_to_one():
    model, image = Random(), np.zeros((40, 40, 3), np.uint8)
    planes = {}
    crop = crops.crop_head(image, Head((0, 0, 40, 40), 1, Head.no_points()), 24, 0)
    maps.find(model, crop, OWN_SIZE, lambda number, plane: planes.update({number: plane.copy()}))
    assert sorted(planes) == list(range(19))
    np.testing.assert_allclose(sum(planes.values()), 1, atol=1e-4)


def test_the_most_probable_part_wins_before_merging():
    """Two brows at 0.3 each are hair in FASSEG, but skin at 0.4 is the most probable part."""
    model = Random(8)
    model.probs[:] = 0
    for part, p in (("skin", 0.4), ("left_brow", 0.3), ("right_brow", 0.3)):
        model.probs[labels.CELEBA19.id(part)] = p
    image = np.zeros((8, 8, 3), np.uint8)
    planes = {}
    crop = crops.crop_head(image, Head((0, 0, 8, 8), 1, Head.no_points()), 8, 0)
    found = maps.find(model, crop, CLEAN, lambda n, plane: planes.update({n: plane.copy()}))
    assert (found.classes == labels.FASSEG6.id("skin")).all()
    np.testing.assert_allclose(found.confidence, 0.4, atol=1e-6)
    np.testing.assert_allclose(planes[labels.FASSEG6.id("hair")], 0.6, atol=1e-6)


def test_squares_are_brought_to_size():
    ids = ids_of(64)
    prepared = maps.prepare(coded(ids), ids, labels.CELEBA19, CELEBA)
    assert prepared.image.shape == (512, 512, 3) and prepared.truth.shape == (512, 512)
    np.testing.assert_array_equal(prepared.truth[4::8, 4::8], ids)
    same = maps.prepare(coded(ids), ids, labels.CELEBA19, OWN_SIZE)
    assert same.image.shape == (64, 64, 3)
    np.testing.assert_array_equal(same.truth, ids)


def test_what_is_no_square_is_refused_or_padded():
    ids = np.full((60, 40), labels.CELEBA19.id("skin"), np.uint8)
    with pytest.raises(BadData, match="a picture of 40x60 pixels under protocol celebamask18"):
        maps.prepare(coded(ids), ids, labels.CELEBA19, CELEBA)
    prepared = maps.prepare(coded(ids), ids, labels.CELEBA19, SEED)
    assert prepared.image.shape == (600, 600, 3) and prepared.truth.shape == (150, 150)
    assert not prepared.image[:, :100].any() and prepared.image[:, 100:500].any()
    skin = SEED.label_set.id("skin")
    np.testing.assert_array_equal(np.unique(prepared.truth[:, :25]), [0])
    np.testing.assert_array_equal(np.unique(prepared.truth[:, 25:125]), [skin])


def test_labels_are_reduced_by_the_largest_id():
    ids = np.zeros((600, 600), np.uint8)
    base = labels.FASSEG6
    ids[0:4, 0:4] = base.id("mouth")
    ids[3, 3] = base.id("skin")
    ids[4:8, 0:4] = base.id("hair")
    ids[4, 0] = base.id("nose")
    ids[8:12, 0:4] = 255
    image = np.zeros((600, 600, 3), np.uint8)
    truth = maps.prepare(image, ids, base, SEED).truth
    parts = SEED.label_set
    assert truth[:3, 0].tolist() == [parts.id("skin"), parts.id("hair"), 255]
    assert truth[3, 0] == 0


def test_eyes_are_split_at_the_nose():
    ids = np.zeros((600, 600), np.uint8)
    base = labels.FASSEG6
    ids[100:140, 100:140] = ids[100:140, 400:440] = base.id("eyes")
    ids[200:280, 180:200] = base.id("nose")
    truth = maps.prepare(np.zeros((600, 600, 3), np.uint8), ids, base, SEED).truth
    names = SEED.label_set
    assert set(np.unique(truth[25:35, 25:35])) == {names.id("right_eye")}
    assert set(np.unique(truth[25:35, 100:110])) == {names.id("left_eye")}
    ids[200:280, 180:200] = 0  # without nose and skin: at the middle of the picture
    truth = maps.prepare(np.zeros((600, 600, 3), np.uint8), ids, base, SEED).truth
    assert truth[30, 30] == names.id("right_eye") and truth[30, 105] == names.id("left_eye")


def test_a_model_is_reduced_and_split_too():
    ids = np.zeros((600, 600), np.uint8)
    base = labels.FASSEG6
    ids[80:160, 80:160] = ids[80:160, 400:480] = base.id("eyes")
    ids[240:320, 240:320] = base.id("nose")
    model = Codebook(base, 600)
    prepared = maps.prepare(coded(ids), ids, base, SEED)
    planes = {}
    crop, found_head = maps.cut(prepared, base, SEED, input_px=600, margin=0.3, detector=None)
    found = maps.find(model, crop, SEED, lambda n, plane: planes.update({n: plane.copy()}))
    assert found_head and found.classes.shape == (150, 150)
    np.testing.assert_array_equal(found.classes, prepared.truth)
    assert sorted(planes) == list(range(7))
    left, right = (planes[SEED.label_set.id(f"{s}_eye")] for s in ("left", "right"))
    assert left[:, :60].max() == 0 and left[30, 110] == pytest.approx(0.9, abs=1e-3)
    assert right[:, 90:].max() == 0 and right[30, 30] == pytest.approx(0.9, abs=1e-3)


def cut(alignment, detector=None, ids=None):
    ids = ids_of(64) if ids is None else ids
    protocol = replace(OWN_SIZE, alignment=alignment)
    prepared = maps.prepare(coded(ids), ids, labels.CELEBA19, protocol)
    return maps.cut(
        prepared, labels.CELEBA19, protocol, input_px=32, margin=0.25, detector=detector
    )


def test_alignments():
    whole, found = cut("whole")
    assert found and crops.crop_to_window(whole) == (0, 0, 64, 64)
    assert whole.to_source[0, 0] == 2  # 64 px to 32, without a margin
    crop, found = cut("detector", Boxes([(10, 10, 20, 20), (20, 20, 40, 40)]))
    assert found and crop.to_source[0, 0] * 32 == pytest.approx(30)  # the larger one, 1.5 x 20
    crop, found = cut("detector", Boxes([]))
    assert not found and crop.to_source[0, 0] == 2
    crop, found = cut("labels")
    assert found and 32 * crop.to_source[0, 0] == pytest.approx(1.5 * 48, rel=0.1)
    crop, found = cut("labels", ids=np.zeros((64, 64), np.uint8))
    assert not found and crop.to_source[0, 0] == 2
    with pytest.raises(ValueError, match="alignment 'detector' needs a detector"):
        cut("detector")
