"""Pictures that are refused, and damaged bytes: one clear line, never a crash."""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pil
from PIL.TiffImagePlugin import AppendingTiffWriter
from skimage.data import astronaut

from faceparts.errors import UnreadableImage
from faceparts.images import (
    encode_picture,
    read_picture,
)
from stored_pictures import (
    GREY,
    RGB,
    SRGB,
    cmyk_profile,
    frames,
    photo_with_metadata,
    saved,
    tiff,
)

# ---- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file (0 bytes)"),
        (b"hello", "not a JPEG, PNG, WebP, TIFF, BMP, HEIC or AVIF"),
        (b"BM and a text", "not a JPEG, PNG, WebP, TIFF, BMP, HEIC or AVIF"),
        (b"\0\0\0\x18ftypheic" + bytes(20), "damaged or unsupported picture"),
        (b"\0\0\0\x18ftypavif" + bytes(20), "damaged or unsupported picture"),
        (b"\0\0\0\x18ftypmsf1" + bytes(20), "damaged or unsupported picture"),
        (
            b"\0\0\0\x18ftypisom" + bytes(20),
            "but a video file; only 'hide' and 'apply' take videos",
        ),
        (b"\x1a\x45\xdf\xa3" + bytes(20), "but a video file; only 'hide' and 'apply' take videos"),
        (
            b"RIFF\0\0\0\0AVI LIST" + bytes(20),
            "but a video file; only 'hide' and 'apply' take videos",
        ),
        (b"\0\0\0\x18ftypcrx " + bytes(20), "but a camera raw (CR3) file; convert it first"),
        (b"FUJIFILMCCD-RAW 0201", "but a camera raw (RAF) file; convert it first"),
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
