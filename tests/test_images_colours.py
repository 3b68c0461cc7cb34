"""Colour profiles and metadata: what is kept, converted or dropped."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as Pil
from PIL import ImageCms

from faceparts._icc import clean
from faceparts.images import (
    SUFFIXES,
    encode_picture,
    read_picture,
)
from stored_pictures import (
    GREY,
    RGB,
    SRGB,
    cmyk_profile,
    grey_profile,
    photo_with_metadata,
    saved,
)

# ---- colour profiles ----------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_rgb_profile_is_kept(format: str) -> None:
    picture = read_picture(saved(RGB, format, icc_profile=SRGB))
    assert picture.icc == clean(SRGB)
    again = encode_picture(picture.image, format=format, like=picture)
    assert Pil.open(io.BytesIO(again)).info["icc_profile"] == clean(SRGB)
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


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_kept_texts_are_the_bytes_that_were_there(format: str, encoding: str) -> None:
    raw, exif = "\u00a9 2020 Jos\u00e9".encode(encoding), Pil.Exif()
    exif[33432], exif[315] = raw, "plain"
    buffer = io.BytesIO()
    Pil.new("RGB", (8, 8)).save(buffer, "JPEG", exif=exif)
    picture = read_picture(buffer.getvalue())
    written = encode_picture(picture.image, format=format, like=picture, keep_exif=True)
    found = Pil.open(io.BytesIO(written)).getexif()
    assert found[33432].encode("latin-1") == raw
    assert found[315] == "plain"


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
