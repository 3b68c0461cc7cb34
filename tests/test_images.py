"""Pictures in and out: every stored form against arrays made by hand or by another library."""

from __future__ import annotations

import io
import os
import struct
import threading
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pil
from PIL import ImageCms, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import AppendingTiffWriter
from skimage.data import astronaut

from faceparts.errors import UnreadableImage, UnwritableOutput, UsageError
from faceparts.images import (
    SUFFIXES,
    Picture,
    bgr_to_rgb,
    encode_picture,
    read_picture,
    rgb_to_bgr,
    to_rgb,
)

RGB = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3
GREY = RGB[..., 0]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def saved(image: Pil.Image | np.ndarray, format: str, **options: object) -> bytes:
    if isinstance(image, np.ndarray):
        image = Pil.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def tiff(pixels: bytes, width: int, height: int, **tags: tuple[int, ...]) -> bytes:
    """A little-endian, uncompressed TIFF written by hand; tags by number as ``t258=(16,)``."""
    entries: dict[int, tuple[int, ...]] = {
        254: (0,),
        256: (width,),
        257: (height,),
        258: (8,),
        259: (1,),
        262: (1,),
    }
    entries |= {277: (1,), 278: (height,), 279: (len(pixels),)}
    entries |= {int(name[1:]): values for name, values in tags.items()}
    entries[273] = (0,)
    extra, end = b"", 8 + 2 + 12 * len(entries) + 4
    rows = []
    for tag in sorted(entries):
        packed = b"".join(struct.pack("<I", v) for v in entries[tag])
        if len(packed) > 4:
            packed, extra = struct.pack("<I", end + len(extra)), extra + packed
        rows.append((tag, len(entries[tag]), packed))
    at = end + len(extra)
    directory = b"".join(
        struct.pack("<HHI", tag, 4, count) + (struct.pack("<I", at) if tag == 273 else packed)
        for tag, count, packed in rows
    )
    start = b"II*\0" + struct.pack("<IH", 8, len(rows))
    return start + directory + b"\0\0\0\0" + extra + pixels


def profile(space: bytes, to: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A small ICC version 2 profile written by hand."""
    body, table, at = b"", b"", 132 + 12 * len(tags)
    for signature, data in tags.items():
        table += struct.pack(">4sII", signature, at + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s", at + len(body), b"\0" * 4, 0x02400000, b"prtr", space, to)
    head += b"\0" * 12 + b"acsp" + b"\0" * 28 + struct.pack(">iii", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def cmyk_profile(lab: tuple[int, int, int]) -> bytes:
    """A CMYK profile in which all inks but black give one and the same colour (8-bit Lab)."""
    identity = b"".join(struct.pack(">i", v) for v in (65536, 0, 0, 0, 65536, 0, 0, 0, 65536))
    ramp = bytes(range(256))
    lut = b"mft1" + b"\0" * 4 + bytes((4, 3, 2, 0)) + identity
    lut += ramp * 4 + (bytes(lab) + bytes((0, 128, 128))) * 8 + ramp * 3
    return profile(b"CMYK", b"Lab ", {b"A2B0": lut})


def grey_profile(gamma: float) -> bytes:
    white = b"XYZ " + b"\0" * 4 + struct.pack(">iii", 63190, 65536, 54061)
    curve = b"curv" + b"\0" * 4 + struct.pack(">IH", 1, round(gamma * 256))
    return profile(b"GRAY", b"XYZ ", {b"wtpt": white, b"kTRC": curve})


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


# ---- colour profiles ----------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_rgb_profile_is_kept(format: str) -> None:
    picture = read_picture(saved(RGB, format, icc_profile=SRGB))
    assert picture.icc == SRGB
    again = encode_picture(picture.image, format=format, like=picture)
    assert Pil.open(io.BytesIO(again)).info["icc_profile"] == SRGB
    assert read_picture(encode_picture(RGB, format="BMP", like=picture)).icc is None


def test_cmyk_without_profile() -> None:
    inks = np.zeros((1, 3, 4), np.uint8)
    inks[0, 1, 0] = inks[0, 2, 3] = 255
    picture = read_picture(saved(Pil.fromarray(inks, "CMYK"), "TIFF"))
    assert picture.image.tolist() == [[[255, 255, 255], [0, 255, 255], [0, 0, 0]]]
    assert picture.notes == ("CMYK converted to RGB without a profile",)


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_goes_through_its_profile(format: str) -> None:
    data = saved(
        Pil.new("CMYK", (8, 8), (90, 90, 90, 0)), format, icc_profile=cmyk_profile((138, 209, 198))
    )
    picture = read_picture(data)
    red, green, blue = (int(v) for v in picture.image[3, 3])  # Lab 54, 81, 70 is red
    assert red > 240 and green < 40 and blue < 40
    assert picture.icc is None
    assert picture.notes == ("CMYK converted to RGB through its profile",)


def test_grey_goes_through_its_profile() -> None:
    for stored in (Pil.fromarray(GREY), Pil.merge("LA", [Pil.fromarray(GREY)] * 2)):
        picture = read_picture(saved(stored, "PNG", icc_profile=grey_profile(1.0)))
        linear = GREY / 255.0
        wanted = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        assert np.abs(picture.image - 255 * wanted[..., None]).max() < 2
        assert picture.icc is None
        assert "grey converted to RGB through its profile" in picture.notes
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, GREY)


def test_unfitting_and_damaged_profiles_are_left_out() -> None:
    for image, icc, note in (
        (Pil.fromarray(RGB), b"no profile", "unfitting colour profile left out"),
        (Pil.fromarray(RGB), grey_profile(2.2), "unfitting colour profile left out"),
        (Pil.fromarray(GREY), grey_profile(2.2)[:140], "grey, damaged colour profile left out"),
        (
            Pil.new("CMYK", (2, 2)),
            SRGB,
            "CMYK converted to RGB without a profile, unfitting colour profile left out",
        ),
    ):
        picture = read_picture(saved(image, "TIFF", icc_profile=icc))
        assert picture.icc is None
        assert picture.notes[-1] == note


def test_lab_is_converted() -> None:
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    image = np.array([[[200, 90, 60], [60, 120, 70], [128, 128, 128]]], np.uint8)
    lab = ImageCms.applyTransform(Pil.fromarray(image), to_lab)
    assert lab is not None
    picture = read_picture(saved(lab, "TIFF"))
    assert np.abs(picture.image.astype(int) - image).max() <= 3
    assert picture.notes == ("Lab converted to RGB",)


# ---- metadata -----------------------------------------------------------------------------------


def photo_with_metadata() -> bytes:
    exif = Pil.Exif()
    exif[274], exif[271], exif[306] = 6, "Maker", "2024:05:06 07:08:09"
    exif[270] = "x" * 5000
    exif[34665] = {
        33434: (1, 250),
        36867: "2024:05:06 07:08:09",
        37500: b"maker note secret",
        37510: b"comment secret",
        42033: "serial secret",
        42034: (24.0, 70.0, 2.8, 2.8),
    }
    exif[34853] = {1: "N", 2: (48.0, 51.0, 30.0)}
    app1 = exif.tobytes() + b"thumbnail secret"
    data = saved(RGB, "JPEG", comment=b"comment secret", xmp=b"<x>secret</x>")
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(app1) + 2) + app1 + data[2:]


@pytest.mark.parametrize("format", list(SUFFIXES))
def test_metadata_is_dropped_by_default(format: str) -> None:
    data = photo_with_metadata()
    assert data.count(b"secret") == 6
    picture = read_picture(data)
    written = encode_picture(picture.image, format=format, like=picture)
    assert b"secret" not in written
    assert b"Maker" not in written
    tags = set(Pil.open(io.BytesIO(written)).getexif())
    assert not tags & {270, 271, 274, 306, 34665, 34853, 700}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_kept_exif_holds_harmless_tags_only(format: str) -> None:
    picture = read_picture(photo_with_metadata())
    written = encode_picture(picture.image, format=format, like=picture, keep_exif=True)
    assert b"secret" not in written
    exif = Pil.open(io.BytesIO(written)).getexif()
    assert exif[271] == "Maker"
    assert set(exif) & {270, 274, 34853} == set()
    assert set(exif.get_ifd(34665)) == {33434, 36867, 42034}
    assert exif.get_ifd(34665)[36867] == "2024:05:06 07:08:09"
    assert exif.get_ifd(1) == {}


def test_picture_without_harmless_tags_has_no_exif() -> None:
    exif = Pil.Exif()
    exif[34853] = {1: "N"}
    picture = read_picture(saved(RGB, "JPEG", exif=exif.tobytes()))
    assert picture.exif is None
    written = encode_picture(RGB, format="JPEG", like=picture, keep_exif=True)
    assert "exif" not in Pil.open(io.BytesIO(written)).info


def test_damaged_exif_costs_the_tags_not_the_picture() -> None:
    picture = read_picture(saved(RGB, "PNG", exif=b"Exif\0\0" + b"XX*\0" + bytes(40)))
    assert np.array_equal(picture.image, RGB)
    assert picture.notes == ("damaged EXIF left out",)


# ---- what is refused ----------------------------------------------------------------------------


def frames(format: str) -> bytes:
    others = [Pil.new("RGB", (6, 4), color) for color in ("red", "blue")]
    return saved(RGB, format, save_all=True, append_images=others)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file (0 bytes)"),
        (b"hello", "not a JPEG, PNG, WebP, TIFF or BMP"),
        (b"BM and a text", "not a JPEG, PNG, WebP, TIFF or BMP"),
        (b"\0\0\0\x18ftypheic" + bytes(20), "but a HEIC file; convert it first"),
        (b"\0\0\0\x18ftypavif" + bytes(20), "but a AVIF file; convert it first"),
        (b"%PDF-1.7", "but a PDF file; convert it first"),
        (frames("GIF"), "animated GIF with 3 frames"),
        (saved(Pil.fromarray(GREY), "GIF"), "but a GIF with one frame; convert it to PNG"),
        (frames("PNG"), "animated PNG with 3 frames"),
        (frames("WEBP"), "animated WebP with 3 frames"),
        (frames("TIFF"), "multi-page TIFF with 3 pages"),
        (tiff(bytes(4), 2, 2, t50706=(1,)), "a camera raw file (DNG)"),
        (tiff(bytes(4), 2, 2, t254=(1,), t330=(8,)), "a TIFF of previews only"),
        (encode_picture(RGB, format="PNG")[:-30], "truncated picture"),
        (encode_picture(astronaut()[:64], format="JPEG")[:2000], "truncated picture"),
        (encode_picture(RGB, format="BMP")[:-3], "truncated picture"),
        (encode_picture(RGB, format="WEBP")[:-9], "damaged or unsupported picture"),
        (encode_picture(RGB, format="PNG")[:20], "damaged or unsupported picture"),
        (b"\xff\xd8\xff\xe0 then nothing", "truncated picture (Truncated File Read)"),
    ],
)
def test_refused_by_name_in_one_line(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableImage) as caught:
        read_picture(data, name="photos/a.heic")
    message = str(caught.value)
    assert message.startswith("photos/a.heic: ")
    assert reason in message
    assert "\n" not in message


def test_previews_in_a_tiff_are_passed_over() -> None:
    pages = [Pil.fromarray(RGB), Pil.new("RGB", (2, 2), "red")]
    buffer = io.BytesIO()
    with AppendingTiffWriter(buffer, True) as writer:
        for kind, page in enumerate(pages):
            page.save(writer, "TIFF", tiffinfo={254: kind})
            writer.newFrame()
    picture = read_picture(buffer.getvalue())
    assert np.array_equal(picture.image, RGB)
    assert picture.notes == ("1 preview pages left out",)


def test_first_picture_of_a_phones_multi_picture_file() -> None:
    data = saved(astronaut(), "MPO", save_all=True, append_images=[Pil.new("RGB", (9, 9))])
    picture = read_picture(data)
    assert picture.image.shape == (512, 512, 3)
    assert picture.format == "JPEG"
    assert picture.notes == ("first picture of a multi-picture JPEG",)


def huge_png(width: int, height: int) -> bytes:
    data = bytearray(encode_picture(RGB, format="PNG"))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


def test_gigantic_pictures_are_refused_before_decoding() -> None:
    with pytest.raises(UnreadableImage, match="a: 60000 x 60000 pixels are more than the"):
        read_picture(huge_png(60000, 60000), name="a")
    with pytest.raises(UnreadableImage, match="6 x 4 pixels are more than the 23 allowed"):
        read_picture(encode_picture(RGB, format="JPEG"), max_pixels=23)
    assert read_picture(encode_picture(RGB, format="PNG"), max_pixels=24).image.shape == RGB.shape


@pytest.mark.parametrize("format", ["TIFF", "WEBP", "JPEG", "PNG"])
def test_our_limit_rules_and_pillows_does_not_warn(
    format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode_picture(RGB, format=format)
    monkeypatch.setattr(Pil, "MAX_IMAGE_PIXELS", 5)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert read_picture(data, max_pixels=30).image.shape == RGB.shape
    assert not seen
    assert Pil.MAX_IMAGE_PIXELS == 5
    monkeypatch.setattr(Pil, "MAX_IMAGE_PIXELS", None)
    assert read_picture(data).image.shape == RGB.shape


def test_webp_that_claims_a_vast_canvas() -> None:
    canvas = b"\xff\xff\x00" * 2  # 65536 x 65536
    data = (
        b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + b"\0" * 4 + canvas
    )
    with pytest.raises(UnreadableImage, match="too many pixels"):
        read_picture(data)


def test_too_little_memory_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("faceparts.images.copy_pixels", fail)
    with pytest.raises(UnreadableImage, match="decoding it needs more memory than there is"):
        read_picture(encode_picture(RGB, format="PNG"))


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


# ---- any bytes ----------------------------------------------------------------------------------

VALID = [
    photo_with_metadata(),
    saved(Pil.new("CMYK", (5, 4)), "JPEG", icc_profile=cmyk_profile((99, 128, 128))),
    saved(RGB, "JPEG", progressive=True),
    saved(RGB, "PNG", icc_profile=SRGB),
    saved(GREY.astype(np.uint16) * 257, "PNG", transparency=257),
    frames("PNG"),
    frames("GIF"),
    saved(np.dstack([RGB, GREY]), "WEBP"),
    saved(RGB, "WEBP", icc_profile=SRGB),
    frames("WEBP"),
    saved(RGB, "TIFF", icc_profile=SRGB),
    frames("TIFF"),
    tiff(bytes(12), 3, 2, t258=(16,)),
    saved(RGB, "BMP"),
    saved(Pil.fromarray(RGB).convert("P"), "BMP"),
]


def reads_or_refuses(data: bytes) -> None:
    try:
        picture = read_picture(data, name="x", max_pixels=1_000_000)
    except UnreadableImage as error:
        assert str(error).startswith("x: ")
        assert str(error).isprintable()
    else:
        assert picture.image.dtype == np.uint8
        assert picture.image.ndim == 3


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", *(data[:16] for data in VALID)]))
def test_random_bytes_raise_nothing_else(tail: bytes, head: bytes) -> None:
    reads_or_refuses(head + tail)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(VALID),
    st.floats(0, 1),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
)
def test_damaged_files_raise_nothing_else(
    valid: bytes, kept: float, changes: list[tuple[float, int]]
) -> None:
    data = bytearray(valid[: round(kept * len(valid))] if kept < 0.9 else valid)
    for where, value in changes:
        if data:  # damage does more in the headers
            data[int(where**2 * (len(data) - 1))] = value
    reads_or_refuses(bytes(data))


@given(st.integers(1, 5), st.integers(1, 5), st.sampled_from(["PNG", "TIFF"]), st.randoms())
def test_lossless_round_trip(height: int, width: int, format: str, random: object) -> None:
    image = np.frombuffer(random.randbytes(height * width * 4), np.uint8)  # type: ignore[attr-defined]  # a random.Random
    image = image.reshape(height, width, 4)
    picture = read_picture(encode_picture(image, format=format))
    assert picture.alpha is not None
    assert np.array_equal(np.dstack([picture.image, picture.alpha]), image)
