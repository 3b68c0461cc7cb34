"""Orientation and pixel formats: every stored form against arrays made by hand."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image as Pil
from PIL import ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from skimage.data import astronaut

from faceparts.errors import UnreadableImage
from faceparts.images import (
    encode_picture,
    read_picture,
)
from stored_pictures import (
    GREY,
    RGB,
    saved,
    tiff,
)

# ---- orientation --------------------------------------------------------------------------------


LETTERS = {  # where the stored corner pixels 1 (top left), 2 (top right), 3 (bottom left) land
    1: [[1, 2], [3, 4]],
    2: [[2, 1], [4, 3]],
    3: [[4, 3], [2, 1]],
    4: [[3, 4], [1, 2]],
    5: [[1, 3], [2, 4]],
    6: [[3, 1], [4, 2]],
    7: [[4, 2], [3, 1]],
    8: [[2, 4], [1, 3]],
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_all_orientations_become_upright(orientation: int, format: str) -> None:
    exif = Pil.Exif()
    exif[274] = orientation
    stored = np.repeat(np.array([[1, 2], [3, 4]], np.uint8)[..., None] * 40, 3, axis=2)
    options = {"lossless": True} if format == "WEBP" else {}
    picture = read_picture(saved(stored, format, exif=exif.tobytes(), **options))
    assert (picture.image[..., 0] // 40).tolist() == LETTERS[orientation]
    said = f"turned upright from EXIF orientation {orientation}"
    assert (said in picture.notes) == (orientation > 1)
    again = Pil.open(io.BytesIO(encode_picture(picture.image, format=format, like=picture)))
    assert again.getexif().get(274, 1) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_orientation_of_many_bands_and_alpha(
    orientation: int, compression: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faceparts._pixels._BAND_PX", 20)
    pixels = np.arange(7 * 9 * 4, dtype=np.uint8).reshape(7, 9, 4)
    exif = Pil.Exif()
    exif[274] = orientation
    options = {"compression": compression} if compression else {}
    format = "TIFF" if compression else "PNG"
    data = saved(pixels, format, exif=exif if compression else exif.tobytes(), **options)
    picture = read_picture(data)
    wanted = np.asarray(ImageOps.exif_transpose(Pil.open(io.BytesIO(data))))
    assert picture.alpha is not None
    assert np.array_equal(np.dstack([picture.image, picture.alpha]), wanted)


def test_senseless_orientation_is_upright() -> None:
    exif = Pil.Exif()
    exif[274] = 9
    assert np.array_equal(read_picture(saved(RGB, "PNG", exif=exif.tobytes())).image, RGB)


# ---- pixel formats ------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP"])
def test_plain_rgb_comes_back_exactly(format: str) -> None:
    picture = read_picture(encode_picture(RGB, format=format))
    assert np.array_equal(picture.image, RGB)
    assert (picture.alpha, picture.icc, picture.format, picture.notes, picture.exif) == (
        *(None, None, format, ()),
        None,
    )


@pytest.mark.parametrize(("format", "least_db"), [("JPEG", 38), ("WEBP", 32)])
def test_lossy_formats_stay_close(format: str, least_db: float) -> None:
    image = astronaut()
    decoded = read_picture(encode_picture(image, format=format)).image
    error = np.mean((decoded.astype(float) - image) ** 2)
    assert 10 * np.log10(255**2 / error) > least_db


def test_jpeg_is_not_subsampled_and_webp_is_lossless_at_100() -> None:
    jpeg = Pil.open(io.BytesIO(encode_picture(RGB, format="jpg")))
    assert isinstance(jpeg, JpegImageFile)
    assert [layer[1:3] for layer in jpeg.layer] == [(1, 1)] * 3
    webp = encode_picture(RGB, format="webp", quality=100)
    assert np.array_equal(read_picture(webp).image, RGB)


def test_grey_is_repeated() -> None:
    picture = read_picture(saved(GREY, "PNG"))
    assert np.array_equal(picture.image, np.dstack([GREY] * 3))
    assert picture.notes == ("grey expanded to RGB",)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bit_grey_spans_the_whole_range(format: str) -> None:
    wide = np.array([[0, 255, 256, 257], [32768, 65279, 65280, 65535]], np.uint16)
    picture = read_picture(saved(wide, format))
    assert picture.image[..., 1].tolist() == [[0, 0, 1, 1], [128, 254, 255, 255]]
    assert picture.notes == ("16-bit reduced to 8-bit", "grey expanded to RGB")


def test_16_bit_grey_of_either_byte_order_and_polarity() -> None:
    pixels = struct.pack("<4H", 0, 4660, 32768, 65535)
    grey = read_picture(tiff(pixels, 2, 2, t258=(16,)))
    assert grey.image[..., 0].tolist() == [[0, 0x12], [128, 255]]
    inverted = read_picture(tiff(pixels, 2, 2, t258=(16,), t262=(0,)))
    assert inverted.image[..., 0].tolist() == [[255, 255 - 0x12], [127, 0]]
    big = Pil.fromarray(np.array([[0, 4660]], ">u2"))
    assert big.mode == "I;16B"
    assert read_picture(saved(big, "TIFF")).image[..., 0].tolist() == [[0, 0x12]]


def test_12_bit_grey_is_scaled_by_its_own_range() -> None:
    packed = bytes((0x12, 0x3F, 0xFF, 0x80, 0x00, 0x00))  # 0x123 0xFFF 0x800 0x000
    picture = read_picture(tiff(packed, 4, 1, t258=(12,)))
    assert picture.image[..., 0].tolist() == [[0x12, 0xFF, 0x80, 0x00]]
    assert "12-bit reduced to 8-bit" in picture.notes


def test_16_bit_colour_keeps_the_high_byte() -> None:
    wide = np.arange(2 * 3 * 3, dtype=np.uint16).reshape(2, 3, 3) * 3777
    done, data = cv2.imencode(".png", wide[..., ::-1])
    assert done
    picture = read_picture(data.tobytes())
    assert np.array_equal(picture.image, wide >> 8)
    assert picture.notes == ("16-bit reduced to 8-bit",)
    interleaved = tiff(wide.tobytes(), 3, 2, t258=(16, 16, 16), t262=(2,), t277=(3,))
    assert np.array_equal(read_picture(interleaved).image, wide >> 8)


def test_16_bit_planes_that_pillow_misreads_are_refused() -> None:
    data = tiff(bytes(36), 3, 2, t258=(16,) * 3, t262=(2,), t277=(3,), t284=(2,), t279=(12,) * 3)
    with pytest.raises(UnreadableImage, match="16-bit TIFF with separate colour planes"):
        read_picture(data)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_a_range_are_refused(mode: str) -> None:
    with pytest.raises(UnreadableImage, match=r"a\.tif: pixels of Pillow mode [IF], which fix no"):
        read_picture(saved(Pil.new(mode, (3, 2)), "TIFF"), name="a.tif")


def test_one_bit_and_palette() -> None:
    bits = np.array([[0, 255], [255, 0]], np.uint8)
    one = read_picture(saved(Pil.fromarray(bits).convert("1"), "PNG"))
    assert np.array_equal(one.image[..., 2], bits)
    assert one.notes == ("1-bit expanded to RGB",)
    palette = Pil.fromarray(np.array([[0, 1], [1, 2]], np.uint8))
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture = read_picture(saved(palette, "BMP"))
    red, green, blue = [255, 0, 0], [0, 255, 0], [0, 0, 255]
    assert picture.image.tolist() == [[red, green], [green, blue]]
    assert picture.notes == ("palette expanded to RGB",)
    keyed = read_picture(saved(palette, "PNG", transparency=1))
    assert keyed.alpha is not None
    assert keyed.alpha.tolist() == [[255, 0], [0, 255]]
    graded = read_picture(saved(palette, "PNG", transparency=bytes((9, 128, 255))))
    assert graded.alpha is not None
    assert graded.alpha.tolist() == [[9, 128], [128, 255]]


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_alpha_is_kept_and_attached_again(format: str) -> None:
    alpha = np.array([[0, 1, 100, 200, 254, 255]] * 4, np.uint8)
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    picture = read_picture(saved(np.dstack([RGB, alpha]), format, **options))
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, alpha)
    assert np.array_equal(picture.image, RGB)
    again = read_picture(encode_picture(255 - RGB, format=format, like=picture))
    assert again.alpha is not None
    assert np.array_equal(again.alpha, alpha)
    jpeg = read_picture(encode_picture(RGB, format="JPEG", like=picture))
    assert jpeg.alpha is None


def test_grey_with_alpha_and_transparent_colours() -> None:
    grey_alpha = read_picture(saved(Pil.merge("LA", [Pil.fromarray(GREY)] * 2), "PNG"))
    assert grey_alpha.alpha is not None
    assert np.array_equal(grey_alpha.alpha, GREY)
    assert np.array_equal(grey_alpha.image[..., 0], GREY)
    keyed = read_picture(saved(RGB, "PNG", transparency=tuple(int(v) for v in RGB[1, 2])))
    assert keyed.alpha is not None
    assert np.argwhere(keyed.alpha == 0).tolist() == [[1, 2]]


def test_transparent_colour_of_16_bit_pictures() -> None:
    wide = np.array([[514, 515], [516, 65535]], np.uint16)
    picture = read_picture(saved(wide, "PNG", transparency=515))
    assert picture.alpha is not None
    assert picture.alpha.tolist() == [[255, 0], [255, 255]]
    assert picture.image[..., 0].tolist() == [[2, 2], [2, 255]]
    colours = np.full((1, 2, 3), 0x1234, np.uint16)
    colours[0, 1] = 0x5678
    data = cv2.imencode(".png", colours)[1].tobytes()
    key = struct.pack(">3H", 0x5678, 0x5678, 0x5678)
    chunk = b"tRNS" + key
    crc = struct.pack(">I", zlib.crc32(chunk))
    at = data.index(b"IDAT") - 4
    keyed = read_picture(data[:at] + struct.pack(">I", 6) + chunk + crc + data[at:])
    assert keyed.alpha is not None
    assert keyed.alpha.tolist() == [[255, 0]]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_transparent_grey_of_few_bits(bits: int) -> None:
    key = 2**bits - 2 if bits > 1 else 1
    row = np.array([[0, key, 2**bits - 1, 0]], np.uint8)
    packed = np.packbits(np.unpackbits(row[..., None], axis=2)[..., 8 - bits :].reshape(1, -1))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 4, 1, bits, 0, 0, 0, 0)),
        (b"tRNS", struct.pack(">H", key)),
        (b"IDAT", zlib.compress(b"\0" + packed.tobytes())),
        (b"IEND", b""),
    )
    data = b"\x89PNG\r\n\x1a\n"
    for name, body in chunks:
        data += struct.pack(">I", len(body)) + name + body
        data += struct.pack(">I", zlib.crc32(name + body))
    picture = read_picture(data)
    assert picture.alpha is not None
    assert picture.alpha.tolist() == np.where(row == key, 0, 255).tolist()
    assert picture.image[0, :, 0].tolist() == (row[0] * (255 // (2**bits - 1))).tolist()
