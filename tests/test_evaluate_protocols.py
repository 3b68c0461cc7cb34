"""Protocols: what is scored, what is merged, what fits, and superpixels."""

import builtins

import numpy as np
import pytest
from skimage import data as pictures

from faceparts import labels
from faceparts.cli.evaluate import PROTOCOLS
from faceparts.errors import UnknownName, UsageError
from faceparts.evaluate import protocols, superpixels
from faceparts.types import IGNORE


def classes_of(protocol, source, *, truth):
    """Part -> class name, or ``None`` where nothing is scored."""
    table = protocol.truth_table(source) if truth else protocol.found_table(source)
    names = protocol.base_set.parts
    return {p: None if table[i] == IGNORE else names[table[i]] for i, p in enumerate(source.parts)}


def test_the_command_line_knows_all_of_them():
    assert list(PROTOCOLS) == protocols.names()


def test_names():
    assert protocols.get("lapa10").label_set is labels.LAPA11
    with pytest.raises(
        UnknownName, match="no protocol named 'lapa'; there are: celebamask18, lapa"
    ):
        protocols.get("lapa")


@pytest.mark.parametrize("name", protocols.names())
def test_every_headline_is_a_score_and_every_merge_leads_somewhere(name):
    protocol = protocols.get(name)
    assert set(protocol.merges.values()) <= set(protocol.base_set.parts)
    for parts in protocol.unions.values():
        assert set(parts) <= set(protocol.label_set.parts)
    known = {"mean_f1", "pixel_accuracy", "superpixel_accuracy", "iou_face"}
    assert protocol.headline in known | {f"f1_{u}" for u in protocol.unions}
    assert protocol.alignment in protocols.ALIGNMENTS


def test_celebamask_is_taken_as_it_is():
    protocol = protocols.get("celebamask18")
    same = {p: p for p in labels.CELEBA19.parts}
    assert classes_of(protocol, labels.CELEBA19, truth=True) == same
    other_order = classes_of(protocol, labels.BISENET19, truth=False)
    assert other_order == {p: p for p in labels.BISENET19.parts}
    strange = classes_of(protocol, labels.FACESYNTHETICS19, truth=True)
    assert strange["beard"] == "skin" and strange["facewear"] is None
    assert classes_of(protocol, labels.FACESYNTHETICS19, truth=False)["facewear"] == "background"


def test_helen_from_celebamask_parts():
    found = classes_of(protocols.get("helen-overall"), labels.CELEBA19, truth=False)
    assert found["neck"] == found["hat"] == found["glasses"] == "background"
    assert found["upper_lip"] == "upper_lip" and found["mouth"] == "mouth"
    truth = classes_of(protocols.get("helen-overall"), labels.CELEBA19, truth=True)
    assert truth["glasses"] is None and truth["neck"] == "background"


def test_fasseg_merges():
    for name in ("fasseg-clean", "fasseg-seed"):
        found = classes_of(protocols.get(name), labels.CELEBA19, truth=False)
        assert found["left_brow"] == found["hat"] == "hair"
        assert found["neck"] == found["left_ear"] == "skin"
        assert found["upper_lip"] == "mouth" and found["glasses"] == found["left_eye"] == "eyes"
        assert found["clothes"] == found["necklace"] == "background"
    assert protocols.get("fasseg-seed").label_set.parts == (
        *("background", "mouth", "nose", "left_eye", "right_eye", "hair", "skin"),
    )


def test_visible_face():
    protocol = protocols.get("visible-face")
    truth = classes_of(protocol, labels.CELEBA19, truth=True)
    faces = {p for p, c in truth.items() if c == "face"}
    assert faces == set(labels.CELEBA19.parts) & set(labels.BARE_FACE)
    assert truth["glasses"] is None and truth["hair"] == truth["left_ear"] == "background"
    assert classes_of(protocol, labels.FACE2, truth=True)["face"] == "face"
    assert classes_of(protocol, labels.CELEBA19, truth=False)["glasses"] == "background"


def test_what_does_not_fit_is_refused():
    protocol = protocols.get("celebamask18")
    with pytest.raises(UsageError, match=r"scores earring, necklace, which the dataset \(facesyn"):
        protocols.check_fit(protocol, labels.FACESYNTHETICS19, "the dataset", truth=True)
    with pytest.raises(
        UsageError, match=r"the model \(lfw3\).*choose one of: lfw-pixel, lfw-super"
    ):
        protocols.check_fit(protocol, labels.LFW3, "the model", truth=False)
    alien = labels.make("alien", "background", "antenna")
    with pytest.raises(UsageError, match="no protocol fits it"):
        protocols.check_fit(protocol, alien, "the model", truth=False)
    protocols.check_fit(protocol, labels.BISENET19, "the model", truth=False)
    protocols.check_fit(protocols.get("fasseg-seed"), labels.FASSEG6, "the dataset", truth=True)


def test_another_alignment_changes_the_name():
    protocol = protocols.get("lapa10")
    assert protocol.with_alignment(None) is protocol
    assert protocol.with_alignment("labels") is protocol
    other = protocol.with_alignment("detector")
    assert (other.name, other.alignment) == ("lapa10, alignment detector", "detector")
    with pytest.raises(
        UsageError, match="alignment: got 'sideways', wanted whole, detector, labels"
    ):
        protocol.with_alignment("sideways")


def test_the_description_is_plain_and_tells_protocols_apart():
    described = [protocols.get(n).describe() for n in protocols.names()]
    assert len({repr(d) for d in described}) == len(described)
    seed = protocols.get("fasseg-seed").describe()
    assert "600 x 600" in seed["resolution"] and "largest class id" in seed["resolution"]
    assert seed["merged_into_classes"]["hair"] == ["hat", "left_brow", "right_brow"]


# --- superpixels ---------------------------------------------------------------------------------


def test_majorities_by_hand():
    superpixel = np.array([[0, 0, 0, 1, 1, 3]])
    truth = np.uint8([[1, 1, 0, 2, 255, 255]])
    found = np.uint8([[1, 0, 0, 2, 0, 0]])
    # 0: truth says 1, found 0; 1: both 2; 2 does not occur; 3 holds nothing that is scored
    assert superpixels.count(truth, found, superpixel, 3) == (1, 2)
    assert superpixels.count(np.full((1, 6), 255, np.uint8), found, superpixel, 3) == (0, 0)


def test_superpixels_of_other_shapes_are_refused():
    ids = np.zeros((2, 2), np.uint8)
    with pytest.raises(ValueError, match=r"superpixels \(2, 3\); wanted one"):
        superpixels.count(ids, ids, np.zeros((2, 3), int), 2)
    with pytest.raises(ValueError, match="superpixels: number -1; wanted 0 and above"):
        superpixels.count(ids, ids, np.full((2, 2), -1), 2)


def test_superpixels_of_a_photo():
    photo = np.ascontiguousarray(pictures.astronaut()[::4, ::4])
    found = superpixels.segment(photo)
    assert found.shape == photo.shape[:2] and found.min() == 0
    assert 0.5 * superpixels.SEGMENTS < found.max() < 1.5 * superpixels.SEGMENTS


def test_without_scikit_image(monkeypatch):
    real = builtins.__import__

    def missing(name, *rest, **more):
        if name.startswith("skimage"):
            raise ImportError("No module named 'skimage'")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(
        UsageError, match=r"superpixels need scikit-image; pip install 'faceparts\[tr"
    ):
        superpixels.segment(np.zeros((8, 8, 3), np.uint8))
