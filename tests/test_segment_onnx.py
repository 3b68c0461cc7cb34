from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from onnx import helper

from faceparts import weights
from faceparts.errors import BadWeights, UnknownName, UsageError
from faceparts.segment import onnx

HAIR, FACE = (0, 0, 204), (204, 160, 120)


def crop(size_px: int = 32) -> np.ndarray:
    """Grey above, hair in the middle, face below."""
    image = np.full((size_px, size_px, 3), 127, np.uint8)
    image[size_px // 4 : size_px // 2] = HAIR
    image[size_px // 2 :] = FACE
    return image


def labels_of_crop(size_px: int = 32) -> np.ndarray:
    labels = np.zeros((size_px, size_px), np.uint8)
    labels[size_px // 4 : size_px // 2] = 1
    labels[size_px // 2 :] = 2
    return labels


def crops_of_noise(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def test_every_pixel_gets_the_part_of_its_colour(parser_file, parser_card):
    parser = onnx.load(parser_file, threads=1)
    assert parser.card == parser_card
    assert parser.label_set.parts == ("background", "hair", "face")
    probs = parser.predict(crop()[None])
    assert probs.shape == (1, 3, 32, 32) and probs.dtype == np.float32
    np.testing.assert_array_equal(probs[0].argmax(axis=0), labels_of_crop())
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-5)


def test_logits_and_probabilities_give_the_same(tmp_path, make_parser, parser_card, parser_file):
    path = make_parser(tmp_path / "probs.onnx", replace(parser_card, output="probs"))
    images = crops_of_noise(3)
    np.testing.assert_allclose(
        onnx.load(path, threads=1).predict(images),
        onnx.load(parser_file, threads=1).predict(images),
        atol=1e-5,
    )


def test_softmax_of_large_logits_is_finite():
    logits = np.array([1000.0, 999.0, -1000.0], np.float32).reshape(1, 3, 1, 1)
    e = np.exp(-1)
    np.testing.assert_allclose(
        onnx._softmax(logits).ravel(), [1 / (1 + e), e / (1 + e), 0], atol=1e-6
    )
    assert logits[0, 0, 0, 0] == 1000


def test_a_smaller_output_is_scaled_bilinearly(tmp_path, make_parser):
    parser = onnx.load(make_parser(tmp_path / "a.onnx", shrink=4), threads=1)
    probs = parser.predict(crop()[None])[0]
    np.testing.assert_allclose(probs.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(probs[:, 14:18].argmax(axis=0), labels_of_crop()[14:18])
    # cells 3 | 4 meet at row 16; half a cell to each side the weights are 1/8, 3/8, 5/8, 7/8
    np.testing.assert_allclose(probs[2, 14:18, 0], [1 / 8, 3 / 8, 5 / 8, 7 / 8], atol=0.01)


def test_maps_are_what_the_net_puts_out(tmp_path, make_parser, parser_file):
    """Whoever scales them anyway needs no larger ones; `predict` enlarges them, cell by cell."""
    parser = onnx.load(make_parser(tmp_path / "a.onnx", shrink=4), threads=1)
    images = crops_of_noise(onnx.MAX_BATCH + 2)
    maps = parser.maps(images)
    assert maps.shape == (len(images), 3, 8, 8) and maps.dtype == np.float32
    large = [[cv2.resize(plane, (32, 32)) for plane in planes] for planes in maps]
    np.testing.assert_array_equal(parser.predict(images), np.array(large))
    whole = onnx.load(parser_file, threads=1)
    np.testing.assert_array_equal(whole.predict(images), whole.maps(images))
    assert parser.maps(images[:0]).shape[:2] == (0, 3)


def test_a_batch_gives_what_single_crops_give(parser_file):
    parser = onnx.load(parser_file, threads=1)
    images = crops_of_noise(2 * onnx.MAX_BATCH + 3)
    batch = parser.predict(images)
    single = np.concatenate([parser.predict(image[None]) for image in images])
    np.testing.assert_allclose(batch, single, atol=1e-5)


def test_no_crops_give_no_probabilities(parser_file):
    assert onnx.load(parser_file).predict(crops_of_noise(0)).shape == (0, 3, 32, 32)


def test_batches_are_cut_into_chunks(parser_file, monkeypatch):
    parser, sizes, real = onnx.load(parser_file), [], weights.Net.run

    def run(net, blob):
        sizes.append(len(blob))
        return real(net, blob)

    monkeypatch.setattr(weights.Net, "run", run)
    parser.predict(crops_of_noise(35))
    assert sizes == [16, 16, 3]


def test_files_with_a_batch_of_one_or_a_free_side_work(tmp_path, make_parser, parser_file):
    images = crops_of_noise(3)
    expected = onnx.load(parser_file).predict(images)
    for name, options in (("one", {"batch": 1}), ("free", {"input_px": "s"})):
        parser = onnx.load(make_parser(tmp_path / f"{name}.onnx", **options))
        np.testing.assert_allclose(parser.predict(images), expected, atol=1e-5)


def test_files_that_do_not_fit_their_card_are_refused(tmp_path, make_parser, parser_card):
    path = tmp_path / "a.onnx"
    make_parser(path, parts=5)
    with pytest.raises(BadWeights, match="puts out 5 parts, label set 'lfw3' has 3"):
        onnx.load(path)
    make_parser(path, batch=4)
    with pytest.raises(BadWeights, match="takes batches of 4 only; export with a free batch"):
        onnx.load(path)
    make_parser(path, input_px=64)
    with pytest.raises(BadWeights, match=r"input is \[64, 64\] px, its card says 32"):
        onnx.load(path)


def test_an_output_of_another_form_is_refused(tmp_path, make_net, parser_card):
    node = helper.make_node("Flatten", ["x"], ["y"])
    sides = {"x": ["n", 3, 32, 32]}, {"y": ["n", 3072]}
    path = make_net(tmp_path / "a.onnx", parser_card, [node], {}, *sides)
    with pytest.raises(BadWeights, match=r"output 'y' is \(None, 3072\), wanted \(N, K, s, s\)"):
        onnx.load(path)


def test_an_undeclared_number_of_parts_is_checked_when_it_runs(tmp_path, make_net, parser_card):
    node = helper.make_node("Concat", ["x", "x"], ["y"], axis=1)
    sides = {"x": ["n", 3, 32, 32]}, {"y": ["n", "k", 32, 32]}
    path = make_net(
        tmp_path / "a.onnx", replace(parser_card, label_set="hair2"), [node], {}, *sides
    )
    with pytest.raises(BadWeights, match="puts out 6 parts, label set 'hair2' has 2"):
        onnx.load(path).predict(crops_of_noise(1))


def test_other_crops_are_refused(parser_file):
    parser = onnx.load(parser_file)
    for bad in (crop(), crop(16)[None], crop()[None].astype(np.float32), crop()[None, ..., :1]):
        with pytest.raises(ValueError, match=r"crops: got .* wanted uint8 \(N, 32, 32, 3\)"):
            parser.predict(bad)


def test_options_are_checked(parser_file, heads_file):
    with pytest.raises(UnknownName, match="no weights named 'nosuchnet'"):
        onnx.load("nosuchnet")
    with pytest.raises(UsageError, match="threads: got -1"):
        onnx.load(parser_file, threads=-1)
    with pytest.raises(BadWeights, match="is a net for 'detect', wanted one for 'segment'"):
        onnx.load(heads_file)
