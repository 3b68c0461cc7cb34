from __future__ import annotations

import hashlib
import io
import math
import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

import faceparts
from faceparts import api, weights
from faceparts._icc import clean
from faceparts.detect.headnet import HeadNet
from faceparts.errors import UnknownName, UnreadableImage, UsageError
from faceparts.images import read_picture
from faceparts.types import Head
from stored_pictures import SRGB

DISKS = [(102.0, 102.0, 30.0), (402.0, 202.0, 32.0)]


@pytest.fixture(autouse=True)
def models(tmp_path_factory, monkeypatch, make_parser, make_heads, head_card) -> Path:
    """Tiny nets in place of the shipped ones: heads are red disks."""
    folder = tmp_path_factory.mktemp("models")
    make_parser(folder / "partnet.onnx")
    make_heads(folder / "headnet.onnx", replace(head_card, threshold=0.8))
    (folder / "SHA256SUMS").write_text(
        "".join(
            f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n" for p in folder.iterdir()
        )
    )
    monkeypatch.setattr(weights, "MODELS", folder)
    api._made_parser.cache_clear()
    yield folder
    api._made_parser.cache_clear()


@pytest.fixture
def image(disks) -> np.ndarray:
    """Just too small for headnet's closer look: the tiny net knows disks of one size only."""
    return disks((300, 636), DISKS)


def encoded(image: np.ndarray, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    Pil.fromarray(image).save(buffer, format, **options)
    return buffer.getvalue()


def boxes(faces) -> list[tuple[int, ...]]:
    return sorted(tuple(round(v) for v in face.head.box_xyxy) for face in faces)


def test_parse_takes_arrays_pillow_pictures_bytes_and_paths(image, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(image, "PNG"))
    expected = boxes(faceparts.parse(image))
    assert len(expected) == 2
    for source in (Pil.fromarray(image), path.read_bytes(), path, str(path)):
        assert boxes(faceparts.parse(source)) == expected
    with_alpha = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    assert boxes(faceparts.parse(with_alpha)) == expected


def test_transparent_pictures_are_looked_at_as_a_viewer_shows_them_too(image, monkeypatch):
    seen = []
    detect = HeadNet.detect
    monkeypatch.setattr(
        HeadNet, "detect", lambda self, image: seen.append(image) or detect(self, image)
    )
    rgba = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    rgba[:, :99, 3] = 60
    expected = boxes(faceparts.parse(image))
    for source in (rgba, Pil.fromarray(rgba), encoded(rgba, "PNG")):
        seen.clear()
        assert set(expected) <= set(boxes(faceparts.parse(source)))
        assert len(seen) == 2
        np.testing.assert_array_equal(seen[0], image)
        assert (seen[1] != image)[:, :99].any() and (seen[1] == image)[:, 99:].all()


def test_a_detector_that_cannot_be_hashed(image):
    class Own:
        __hash__ = None

        def detect(self, picture):
            return [Head((10.0, 10.0, 90.0, 90.0), 0.9, Head.no_points(), "own")]

    assert boxes(faceparts.parse(image, detector=Own())) == [(10, 10, 90, 90)]
    assert (faceparts.hide(image, detector=Own())[50, 50] == 0).all()


def test_grey_with_alpha_multiplied_into_it(image):
    drawn = Pil.fromarray(image).convert("LA")
    drawn.putalpha(Pil.fromarray(np.full(image.shape[:2], 255, np.uint8)))
    got = faceparts.hide(drawn.convert("La"), what="head")
    np.testing.assert_array_equal(got, faceparts.hide(drawn, what="head"))


def test_the_nets_are_loaded_once_for_the_same_options(image, monkeypatch):
    made = []
    real = api.FaceParser
    monkeypatch.setattr(
        api, "FaceParser", lambda **options: made.append(options) or real(**options)
    )
    faceparts.parse(image)
    faceparts.parse(image)
    assert faceparts.parse(image, min_score=1.0) == []
    faceparts.parse(image, min_score=1.0)
    assert made == [{}, {"min_score": 1.0}]


def test_hide_takes_another_detector(image):
    whole = faceparts.hide(image, detector="whole")
    assert not np.array_equal(whole, faceparts.hide(image))
    nothing = faceparts.hide(image, detector=Nothing())
    np.testing.assert_array_equal(nothing, image)
    with pytest.raises(UnknownName, match="nobody"):
        faceparts.hide(image, detector="nobody")
    with pytest.raises(UsageError, match="detector_weights: only for a detector given by name"):
        faceparts.hide(image, detector=Nothing(), detector_weights="a.onnx")


class Nothing:
    """A detector that finds no head."""

    def detect(self, image: np.ndarray) -> list:
        return []


def test_what_is_no_picture_is_refused(tmp_path):
    with pytest.raises(
        TypeError, match="got int, wanted an array, a Pillow picture, bytes or a path"
    ):
        faceparts.parse(3)
    with pytest.raises(UnreadableImage, match="none"):
        faceparts.parse(tmp_path / "none.jpg")
    with pytest.raises(ValueError, match="got an array of shape"):
        faceparts.parse(np.zeros((2, 2, 2, 2), np.uint8))


def hidden_share(image: np.ndarray) -> float:
    """Share of the disks' pixels that are black."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    inside = np.any([(x - cx) ** 2 + (y - cy) ** 2 <= (r - 1) ** 2 for cx, cy, r in DISKS], axis=0)
    return float((image[inside] == 0).all(axis=-1).mean())


def test_hide_gives_back_what_it_was_given(image, tmp_path):
    before = image.copy()
    hidden = faceparts.hide(image)
    np.testing.assert_array_equal(image, before)
    assert isinstance(hidden, np.ndarray) and hidden.shape == image.shape
    assert hidden_share(hidden) == 1 and hidden_share(image) == 0
    drawn = faceparts.hide(Pil.fromarray(image))
    assert isinstance(drawn, Pil.Image) and drawn.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(drawn), hidden)
    path = tmp_path / "a.png"
    path.write_bytes(encoded(image, "PNG"))
    for source in (path, str(path)):
        np.testing.assert_array_equal(np.asarray(faceparts.hide(source)), hidden)
    for format in ("PNG", "JPEG", "WEBP"):
        there = faceparts.hide(encoded(image, format))
        assert isinstance(there, bytes)
        with Pil.open(io.BytesIO(there)) as opened:
            assert opened.format == format
            assert np.abs(np.asarray(opened.convert("RGB")).astype(int) - hidden).mean() < 4


def test_alpha_and_colour_profile_come_back(image):
    alpha = np.arange(300 * 636, dtype=np.int64).reshape(300, 636).astype(np.uint8)
    rgba = np.dstack([image, alpha])
    hidden = faceparts.hide(rgba)
    assert hidden.shape == (300, 636, 4)
    changed = (hidden[..., :3] != image).any(axis=2)
    assert (hidden[..., 3][changed & (alpha > 0)] == 255).all()
    for x, y, radius in DISKS:  # alpha tells nothing of a hidden face
        assert (hidden[int(y - radius / 2) : int(y + radius / 2), int(x), 3] == 255).all()
    np.testing.assert_array_equal(hidden[:40, :, 3], alpha[:40])
    drawn = Pil.fromarray(rgba)
    drawn.info["icc_profile"] = SRGB
    result = faceparts.hide(drawn)
    assert result.mode == "RGBA" and result.info["icc_profile"] == clean(SRGB)
    np.testing.assert_array_equal(np.asarray(result), hidden)
    with Pil.open(io.BytesIO(faceparts.hide(encoded(rgba, "PNG")))) as opened:
        np.testing.assert_array_equal(np.asarray(opened), hidden)


def test_a_turned_pillow_picture_comes_back_upright(image):
    exif = Pil.Exif()
    exif[0x0112] = 6  # the stored picture must be turned clockwise
    stored = np.rot90(np.dstack([image, image[..., 0]]))
    with Pil.open(io.BytesIO(encoded(np.ascontiguousarray(stored), "PNG", exif=exif))) as turned:
        result = faceparts.hide(turned)
    assert result.size == (636, 300)
    assert hidden_share(np.asarray(result)[..., :3]) == 1
    np.testing.assert_array_equal(np.asarray(result)[:40, :, 3], image[:40, :, 0])
    assert np.asarray(result)[102, 102, 3] == np.asarray(result)[202, 402, 3] == 255


def test_faces_may_be_given_and_chosen(image):
    faces = faceparts.parse(image)
    np.testing.assert_array_equal(faceparts.hide(image, faces), faceparts.hide(image))
    np.testing.assert_array_equal(faceparts.hide(image, []), image)
    best = max(face.head.score for face in faces)
    one = faceparts.hide(image, faces, min_score=best)
    assert 0.2 < hidden_share(one) < 0.9


def test_hide_takes_heads_from_half_the_threshold_on(disks):
    """The detector's threshold is 0.8; this disk scores between 0.4 and 0.8."""
    image = disks((300, 636), [(102.0, 102.0, 8.0)])
    assert faceparts.parse(image) == []
    (face,) = faceparts.parse(image, min_score=0.4)
    assert 0.4 < face.head.score < 0.8
    assert not np.array_equal(faceparts.hide(image), image)
    np.testing.assert_array_equal(faceparts.hide(image, min_score=0.8), image)


def test_effects_take_their_fields(image):
    red = faceparts.hide(image, color="#0000fe")
    assert (red[102, 102] == (0, 0, 254)).all()
    assert not np.array_equal(faceparts.hide(image, effect="mosaic", what="head"), image)
    with pytest.raises(
        UsageError, match=r"effect 'solid' has no field 'strenth'; there are: .*color"
    ):
        faceparts.hide(image, strenth=3)
    with pytest.raises(UsageError, match="effect 'overlay' does not hide; take one of: solid, "):
        faceparts.hide(image, effect="overlay")
    with pytest.raises(UnknownName, match=r"'blurr'; there are: .*blur"):
        faceparts.hide(image, effect="blurr")


def test_hide_turns_a_picture_without_a_sure_head(monkeypatch):
    seen = []
    detect = HeadNet.detect
    monkeypatch.setattr(
        HeadNet, "detect", lambda self, image: seen.append(image.shape[:2]) or detect(self, image)
    )
    empty = np.zeros((64, 96, 3), np.uint8)
    faceparts.parse(empty)
    faceparts.hide(empty, turned=False)
    assert seen == [(64, 96)] * 2
    faceparts.hide(empty)
    assert seen[2:] == [(64, 96), (64, 96), (96, 64), (96, 64)]


def test_faces_that_can_be_looked_at_once_only_are_hidden(image):
    faces = faceparts.parse(image)
    wanted = faceparts.hide(image, faces)
    np.testing.assert_array_equal(faceparts.hide(image, (f for f in faces)), wanted)
    rgba = np.dstack([image, np.full(image.shape[:2], 200, np.uint8)])
    translucent = faceparts.hide(encoded(rgba, "PNG"), faces)
    assert faceparts.hide(encoded(rgba, "PNG"), filter(None, faces)) == translucent


@pytest.mark.parametrize("score", [50, -0.1, math.nan])
def test_a_score_that_is_none_does_not_leave_faces_visible(image, score):
    faces = faceparts.parse(image)
    with pytest.raises(UsageError, match=r"min_score: got .*, wanted 0 to 1"):
        faceparts.hide(image, faces, min_score=score)
    with pytest.raises(UsageError, match=r"min_score: got .*, wanted 0 to 1"):
        faceparts.hide(image, min_score=score)


def test_bitmaps_with_transparency_come_back(image):
    """BMP is read with alpha, but written without: what is transparent becomes white."""
    rgba = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    rgba[:9, :, 3] = 0
    ours = faceparts.hide(bitmap(rgba))
    assert ours[:2] == b"BM"
    seen = np.asarray(Pil.open(io.BytesIO(ours)).convert("RGB"))
    assert (seen[:9] == 255).all()
    np.testing.assert_array_equal(seen[9:], faceparts.hide(image)[9:])


def bitmap(rgba: np.ndarray) -> bytes:
    """A 32-bit BMP with alpha (BITMAPV4HEADER), which Pillow reads but does not write."""
    height, width = rgba.shape[:2]
    pixels = rgba[::-1, :, [2, 1, 0, 3]].tobytes()
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, len(pixels), 0, 0, 0, 0)
    header += masks + bytes(108 - len(header) - len(masks))
    start = 14 + len(header)
    return struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start) + header + pixels


@pytest.mark.parametrize(
    ("effect", "given", "message"),
    [
        ("solid", {"color": (1, 2, 3)}, r"color: got \(1, 2, 3\), wanted a value of type str"),
        ("solid", {"margin": "x"}, "margin: got 'x', wanted a value of type float"),
        ("mosaic", {"cells": 2.5}, "cells: got 2.5, wanted a value of type int"),
        ("solid", {"what": 3}, "what: got 3, wanted a value of type str"),
        ("solid", {"margin": True}, "margin: got True, wanted a value of type float"),
    ],
)
def test_fields_of_other_types_are_refused(image, effect, given, message):
    with pytest.raises(UsageError, match=message):
        faceparts.hide(image, [], effect=effect, **given)
    faceparts.hide(image, [], margin=0)  # a whole number is a number
    faceparts.hide(image, [], effect="mosaic", cells=np.int64(4), margin=np.float32(0.1))


def test_one_parser_serves_all_threads(image):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: boxes(faceparts.parse(image)), range(8)))
    assert found == [found[0]] * 8 and len(found[0]) == 2
    assert api._made_parser.cache_info().misses == 1


def test_pillow_pictures_are_read_as_files_are(image):
    """A palette's transparency and profile; damage; and an empty channel of transparency."""
    drawn = Pil.fromarray(image).quantize(32)
    stored = io.BytesIO()
    drawn.save(stored, "PNG", transparency=drawn.getpixel((0, 0)), icc_profile=SRGB)
    with Pil.open(io.BytesIO(stored.getvalue())) as opened:
        result = faceparts.hide(opened)
    assert result.mode == "RGBA" and result.info["icc_profile"] == clean(SRGB)
    with Pil.open(io.BytesIO(faceparts.hide(stored.getvalue()))) as same:
        np.testing.assert_array_equal(np.asarray(result), np.asarray(same.convert("RGBA")))
    cut = encoded(np.dstack([image, image[..., 0]]), "PNG")
    cut = cut[: len(cut) // 2]
    with Pil.open(io.BytesIO(cut)) as opened, pytest.raises(UnreadableImage, match="Pillow"):
        faceparts.hide(opened)


def test_a_file_name_must_not_be_empty():
    with pytest.raises(UnreadableImage, match="the file name is empty"):
        faceparts.parse("")


def test_bitmaps_with_an_empty_alpha_channel_are_opaque(image):
    rgba = np.dstack([image, np.zeros(image.shape[:2], np.uint8)])
    assert read_picture(bitmap(rgba)).notes == ("empty alpha channel left out",)
    seen = np.asarray(Pil.open(io.BytesIO(faceparts.hide(bitmap(rgba)))))
    np.testing.assert_array_equal(seen, faceparts.hide(image))
