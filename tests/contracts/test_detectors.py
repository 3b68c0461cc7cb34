"""What every detector must do; a new file in ``faceparts/detect`` is tested by being there."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from faceparts import folder
from faceparts.errors import FacePartsError
from faceparts.types import Head

NAMES = folder.names("faceparts.detect")
OPTIONS = {"threads": 1, "device": "cpu", "precision": "auto", "min_score": 0.2}


@pytest.fixture
def detector(request, heads_file):
    """The detector, with tiny weights where we have some; `None` if it cannot run without."""
    module = folder.load("faceparts.detect", request.param)
    try:
        return module.load(heads_file if request.param == "headnet" else None, **OPTIONS)
    except FacePartsError as error:
        assert "weights" in str(error) and "\n" not in str(error)
        return None


each_detector = pytest.mark.parametrize("detector", NAMES, indirect=True)


def test_the_detectors_that_must_be_there_are_there():
    assert {"headnet", "whole", "yunet"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_load_takes_the_options_that_all_share(name):
    load = folder.load("faceparts.detect", name).load
    parameters = inspect.signature(load).parameters
    assert next(iter(parameters)) == "weights"
    assert parameters["weights"].default is None
    assert set(OPTIONS) <= set(parameters)
    assert load.__doc__


@each_detector
@pytest.mark.parametrize("hw", [(96, 128), (1, 1), (1, 700), (300, 2)])
def test_heads_are_well_formed_best_first_and_the_picture_is_left_alone(detector, disks, hw):
    if detector is None:
        return
    image = disks(hw, [(50.0, 50.0, 20.0)])
    image.flags.writeable = False
    heads = detector.detect(image)
    for head in heads:
        assert isinstance(head, Head)
        assert 0 <= head.score <= 1 and head.source
        x0, y0, x1, y1 = head.box_xyxy
        assert x0 < x1 and y0 < y1
        seen = np.isfinite(head.points).all(axis=1)
        assert np.isnan(head.points[~seen]).all()
    assert [h.score for h in heads] == sorted((h.score for h in heads), reverse=True)
    again = detector.detect(image)
    assert [h.box_xyxy for h in heads] == [h.box_xyxy for h in again]


@each_detector
def test_other_arrays_are_refused(detector):
    if detector is None:
        return
    for bad in (np.zeros((9, 9)), np.zeros((9, 9, 4), np.uint8), np.zeros((0, 9, 3), np.uint8)):
        with pytest.raises(ValueError, match=r"image: got .*wanted"):
            detector.detect(bad)


def test_whole_answers_with_the_whole_picture(disks):
    whole = folder.load("faceparts.detect", "whole")
    (head,) = whole.load().detect(disks((30, 40), []))
    assert head.box_xyxy == (0, 0, 40, 30)
    assert head.score == 1 and head.source == "whole" and np.isnan(head.points).all()
    with pytest.raises(FacePartsError, match=r"'whole' has no weights, got 'a.onnx'; leave them"):
        whole.load("a.onnx")
