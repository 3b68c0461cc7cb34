"""Pictures with transparency: alpha can show a face, or cover colours that are still there."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pil

import faceparts
from cli_world import call, encode, make_photo
from faceparts.effects.solid import Solid
from faceparts.images import Picture, encode_picture, read_picture
from faceparts.parse import FaceParser, parse_translucent
from faceparts.types import Face, Image


def opened(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Pil.open(io.BytesIO(path.read_bytes())))


@pytest.fixture
def stencil() -> NDArray[np.uint8]:
    """A picture that is black all over; its alpha draws a pattern."""
    rgba = np.zeros((40, 60, 4), np.uint8)
    rgba[..., 3] = np.arange(60) * 4
    return rgba


def test_alpha_shows_nothing_of_a_hidden_face(
    net: Path, tmp_path: Path, stencil: NDArray[np.uint8]
) -> None:
    (tmp_path / "a.png").write_bytes(encode(stencil))
    out = tmp_path / "out"
    done = call("hide", tmp_path / "a.png", "-o", out, "--detector", "whole", "--model", net)
    assert done.code == 0, done.err
    alpha = opened(out / "a.png")[..., 3]
    assert (alpha[10:30, 5:55] == 255).all()
    assert alpha[0, [1, 2, 58, 59]].tolist() == [4, 8, 232, 236]


def test_what_a_viewer_shows_is_looked_at_too(stencil: NDArray[np.uint8]) -> None:
    seen: list[Image] = []

    def parse(image: Image) -> list[Face]:
        seen.append(image)
        return []

    image, alpha = stencil[..., :3], stencil[..., 3]
    assert parse_translucent(parse, image, alpha) == []
    assert [s[0, ::59, 0].tolist() for s in seen] == [[0, 0], [255, 255 - 236]]  # laid on white
    seen.clear()
    parse_translucent(parse, 255 - image, alpha)
    assert [s[0, ::59, 0].tolist() for s in seen] == [[255, 255], [0, 236]]  # laid on black
    seen.clear()
    parse_translucent(parse, image, np.full((40, 60), 255, np.uint8))
    parse_translucent(parse, image, None)
    parse_translucent(parse, image, np.zeros((40, 60), np.uint8))
    assert [s.max() for s in seen] == [0, 0, 0, 255]


def test_a_head_seen_twice_counts_once(net: Path, stencil: NDArray[np.uint8]) -> None:
    parser = FaceParser("whole", net, threads=1)
    image, alpha = stencil[..., :3], stencil[..., 3]
    (face,) = parse_translucent(parser.parse, image, alpha)
    assert face.source_hw == (40, 60)
    looks = iter([[], parser.parse(image)])
    assert len(parse_translucent(lambda _: next(looks), image, alpha)) == 1


def test_the_surer_face_comes_first_whichever_look_saw_it(
    net: Path, stencil: NDArray[np.uint8]
) -> None:
    parser = FaceParser("whole", net, threads=1)
    image, alpha = stencil[..., :3], stencil[..., 3]
    (found,) = parser.parse(image)
    small = replace(found, head=replace(found.head, box_xyxy=(0, 0, 5, 5), score=0.2))
    looks = iter([[small], [found]])
    faces = parse_translucent(lambda _: next(looks), image, alpha)
    assert [face.head.score for face in faces] == [found.head.score, 0.2]


def test_colours_under_transparent_pixels_are_gone(net: Path) -> None:
    image = make_photo(40, 60)
    faces = FaceParser("whole", net, threads=1).parse(image)
    hide = Solid()
    alpha = np.full((40, 60), 255, np.uint8)
    alpha[:, 40:] = 0
    rgba = hide.hide_translucent(hide(image, faces), alpha, faces)
    assert not rgba[0, 50:].any()  # beyond the oval
    assert rgba[20, 40:50].tolist() == [[0, 0, 0, 255]] * 10
    assert np.array_equal(rgba[0, :40, :3], hide(image, faces)[0, :40])
    again = faceparts.hide(np.dstack([image, alpha]), faces)
    assert np.array_equal(again, rgba)


@pytest.mark.parametrize("format", ["JPEG", "BMP"])
def test_a_format_without_alpha_shows_no_transparent_pixel(format: str) -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    picture = Picture(image, np.zeros((16, 16), np.uint8))
    assert read_picture(encode_picture(image, format=format, like=picture)).image.min() == 255
