"""Pictures in and out: sources, arrays, encoding."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pil

from faceparts.errors import UnreadableImage, UnwritableOutput, UsageError
from faceparts.images import (
    Picture,
    bgr_to_rgb,
    encode_picture,
    read_picture,
    rgb_to_bgr,
    to_rgb,
)
from stored_pictures import (
    GREY,
    RGB,
    saved,
)

# ---- sources ------------------------------------------------------------------------------------


def test_every_kind_of_source_gives_the_same(tmp_path: Path) -> None:
    data = encode_picture(RGB, format="PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with path.open("rb") as stream:
        for source in (path, str(path), data, stream, io.BytesIO(data)):
            assert np.array_equal(read_picture(source).image, RGB)
        assert not stream.closed


def test_content_decides_and_the_wrong_name_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "a.JPG"
    path.write_bytes(encode_picture(RGB, format="PNG"))
    picture = read_picture(path)
    assert (picture.format, picture.notes) == (
        "PNG",
        ("content is PNG though the name ends in .JPG",),
    )


def test_files_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnreadableImage, match=r"nothing\.jpg: no such file$"):
        read_picture(tmp_path / "nothing.jpg")
    with pytest.raises(UnreadableImage, match="a folder, not a picture"):
        read_picture(tmp_path)
    with pytest.raises(UnreadableImage, match=r"cannot be opened \(embedded null byte\)"):
        read_picture("a\0b")
    with pytest.raises(UnreadableImage, match=r"cannot be opened .*too long"):
        read_picture(tmp_path / ("x" * 300))

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "a.png"
    path.touch()
    monkeypatch.setattr("faceparts._headers.open", refuse, raising=False)
    with pytest.raises(UnreadableImage, match=r"a\.png: no permission to read it"):
        read_picture(path)


def test_names_cannot_break_the_line(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage) as caught:
        read_picture(tmp_path / "a\nb\x1b[31m\udcff.png")
    assert str(caught.value).endswith(r"a\nb\x1b[31m\udcff.png: no such file")


def test_named_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(encode_picture(RGB, format="PNG"),))
    writer.start()
    picture = read_picture(path)
    writer.join()
    assert np.array_equal(picture.image, RGB)


def test_bad_streams() -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(UnreadableImage, match=r"<stdin>: cannot be read \(Input/output error\)"):
        read_picture(Broken(), name="<stdin>")  # type: ignore[arg-type]  # a raw stream will do
    with pytest.raises(UnreadableImage, match="more than 16777224 bytes; no picture is that large"):
        read_picture(io.BytesIO(bytes(17 << 20)), max_pixels=1)
    with pytest.raises(TypeError, match="opened as text; open it in binary mode"):
        read_picture(io.StringIO("text"))  # type: ignore[arg-type]  # what is tested
    with pytest.raises(TypeError, match="got int, wanted a path, bytes or an open binary file"):
        read_picture(3)  # type: ignore[arg-type]  # what is tested


def test_no_file_stays_open(tmp_path: Path) -> None:
    good, bad = tmp_path / "a.png", tmp_path / "b.tif"
    good.write_bytes(encode_picture(RGB, format="PNG"))
    bad.write_bytes(encode_picture(RGB, format="TIFF")[:40])
    before = len(os.listdir("/dev/fd")) if os.path.exists("/dev/fd") else 0
    for _ in range(3):
        read_picture(good)
        with pytest.raises(UnreadableImage):
            read_picture(bad)
    after = len(os.listdir("/dev/fd")) if os.path.exists("/dev/fd") else 0
    assert after == before


# ---- Picture, to_rgb, BGR, encode ---------------------------------------------------------------


def test_picture_is_read_only_and_checked() -> None:
    picture = Picture(RGB.copy(), GREY.copy())
    assert picture.alpha is not None
    for array in (picture.image, picture.alpha):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(ValueError, match=r"got an array of shape \(4, 6\), wanted \(H, W, 3\)"):
        Picture(GREY)
    with pytest.raises(ValueError, match=r"Picture\.alpha: got uint8 \(2, 2\), wanted"):
        Picture(RGB, np.zeros((2, 2), np.uint8))


def test_to_rgb_takes_arrays_and_pillow_pictures() -> None:
    assert to_rgb(RGB) is RGB
    assert np.array_equal(to_rgb(np.dstack([RGB, GREY])), RGB)
    for grey in (GREY, GREY[..., None]):
        assert np.array_equal(to_rgb(grey), np.dstack([GREY] * 3))
    assert np.array_equal(to_rgb(Pil.fromarray(np.dstack([RGB, GREY]))), RGB)
    wide = Pil.fromarray(GREY.astype(np.uint16) * 257)
    assert np.array_equal(to_rgb(wide)[..., 0], GREY)
    exif = Pil.Exif()
    exif[274] = 6
    opened = Pil.open(io.BytesIO(saved(RGB, "PNG", exif=exif.tobytes())))
    assert np.array_equal(to_rgb(opened), np.rot90(RGB, -1))


def test_to_rgb_says_what_it_wants() -> None:
    with pytest.raises(TypeError, match="got str, wanted an"):
        to_rgb("a.jpg")
    with pytest.raises(TypeError, match=r"got an array of float64, wanted uint8 0\.\.255"):
        to_rgb(RGB / 255)
    for bad in (np.zeros((2, 2, 2), np.uint8), np.zeros((0, 3, 3), np.uint8), RGB[None]):
        with pytest.raises(ValueError, match=r"wanted \(H, W, 1\) or \(H, W, 3\) or \(H, W, 4\)"):
            to_rgb(bad)
    with pytest.raises(ValueError, match="pixels of Pillow mode F"):
        to_rgb(Pil.new("F", (2, 2)))


def test_bgr_is_rgb_reversed() -> None:
    assert np.array_equal(rgb_to_bgr(RGB), cv2.cvtColor(RGB, cv2.COLOR_RGB2BGR))
    assert np.array_equal(bgr_to_rgb(rgb_to_bgr(RGB)), RGB)
    assert rgb_to_bgr(RGB).flags.c_contiguous


def test_encode_takes_views_and_read_only_arrays() -> None:
    picture = read_picture(encode_picture(RGB[:, ::-1], format="PNG"))
    assert np.array_equal(picture.image, RGB[:, ::-1])
    assert np.array_equal(
        read_picture(encode_picture(picture.image, format="BMP")).image[0], RGB[0, ::-1]
    )


@pytest.mark.parametrize("format", ["JPEG", "BMP"])
def test_transparency_needs_a_format_that_holds_it(format: str) -> None:
    rgba = np.dstack([RGB, GREY])
    with pytest.raises(UnwritableOutput, match=f"{format} holds no transparency; write PNG"):
        encode_picture(rgba, format=format)
    for other in ("PNG", "TIFF"):
        alpha = read_picture(encode_picture(rgba, format=other)).alpha
        assert alpha is not None
        assert np.array_equal(alpha, GREY)


def test_encode_refuses_bad_arguments() -> None:
    with pytest.raises(UsageError, match="no picture format 'gif'; there are: JPEG, PNG, WEBP"):
        encode_picture(RGB, format="gif")
    for quality in (0, 101):
        with pytest.raises(UsageError, match=f"quality: got {quality}, wanted 1 to 100"):
            encode_picture(RGB, format="jpg", quality=quality)
    with pytest.raises(ValueError, match=r"got an array of shape \(4, 6\), wanted \(H, W, 3\) or"):
        encode_picture(GREY, format="png")
    with pytest.raises(ValueError, match=r"image is \(2, 6\), the alpha of like \(4, 6\)"):
        encode_picture(RGB[:2], format="png", like=Picture(RGB, GREY))
    wide = np.zeros((1, 16384, 3), np.uint8)
    with pytest.raises(UnwritableOutput, match="16384 x 1 is too large for WEBP, which"):
        encode_picture(wide, format="webp")


@given(st.integers(1, 5), st.integers(1, 5), st.sampled_from(["PNG", "TIFF"]), st.randoms())
def test_lossless_round_trip(height: int, width: int, format: str, random: object) -> None:
    image = np.frombuffer(random.randbytes(height * width * 4), np.uint8)  # type: ignore[attr-defined]  # a random.Random
    image = image.reshape(height, width, 4)
    picture = read_picture(encode_picture(image, format=format))
    assert picture.alpha is not None
    assert np.array_equal(np.dstack([picture.image, picture.alpha]), image)
