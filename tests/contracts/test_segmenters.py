"""What every segmenter must do; a new file in ``faceparts/segment`` is tested by being there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from faceparts import folder
from faceparts.errors import BadWeights, FacePartsError

NAMES = folder.names("faceparts.segment")


@pytest.mark.parametrize("name", NAMES)
def test_damaged_and_missing_files_are_refused_in_one_line(name, tmp_path):
    load = folder.load("faceparts.segment", name).load
    bad = tmp_path / "bad.bin"
    for content in (b"", b"\x00" * 500, b"garbage"):
        bad.write_bytes(content)
        with pytest.raises(BadWeights, match=r"bad\.bin: ") as error:
            load(bad)
        assert "\n" not in str(error.value)
    with pytest.raises(FacePartsError, match=r"none\.bin"):
        load(tmp_path / "none.bin")


@pytest.fixture
def segmenter(parser_file):
    return folder.load("faceparts.segment", "onnx").load(parser_file, threads=1)


def test_probabilities_are_as_promised(segmenter):
    size_px = segmenter.card.input_px
    crops = np.random.default_rng(0).integers(0, 256, (3, size_px, size_px, 3), dtype=np.uint8)
    crops.flags.writeable = False
    probs = segmenter.predict(crops)
    assert probs.shape == (3, len(segmenter.label_set.parts), size_px, size_px)
    assert probs.dtype == np.float32
    assert probs.min() >= 0
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-4)
    np.testing.assert_allclose(segmenter.predict(crops[1:2])[0], probs[1], atol=1e-5)
    assert segmenter.predict(crops[:0]).shape == (0, *probs.shape[1:])


def test_the_card_says_what_the_label_set_is(segmenter):
    assert segmenter.card.label_set == segmenter.label_set.name
    assert segmenter.card.task == "segment"


def test_a_path_as_text_works_like_a_path(parser_file):
    load = folder.load("faceparts.segment", "onnx").load
    assert load(str(parser_file)).card == load(Path(parser_file)).card
