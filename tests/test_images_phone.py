"""HEIC and AVIF, as phones write them: read upright, never written, clear where they cannot be."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import AvifImagePlugin
from PIL import Image as Pil
from skimage.data import astronaut

from cli_world import call
from faceparts import api
from faceparts.errors import UnreadableImage
from faceparts.images import Picture, format_for, read_picture
from stored_pictures import SRGB, saved

PHOTO = np.ascontiguousarray(astronaut()[::4, ::2])  # (128, 256): turns show in the shape


Encoder = Callable[..., bytes]

pillow_heif.register_heif_opener()


def heic(picture: np.ndarray = PHOTO, **options: object) -> bytes:
    return saved(picture, "HEIF", quality=95, **options)


def avif(picture: np.ndarray = PHOTO, **options: object) -> bytes:
    return saved(picture, "AVIF", **{"quality": 95, "speed": 10, **options})


def near(got: np.ndarray, wanted: np.ndarray) -> bool:
    """Alike but for what the codec loses."""
    return got.shape == wanted.shape and np.abs(got.astype(int) - wanted).mean() < 4


def oriented(value: int) -> bytes:
    exif = Pil.Exif()
    exif[0x0112] = value
    exif[0x010F] = "Maker"
    exif[0x8825] = {1: "N", 2: (52.0, 30.0, 0.0)}
    return exif.tobytes()


UPRIGHT = {
    1: PHOTO,
    2: PHOTO[:, ::-1],
    3: PHOTO[::-1, ::-1],
    4: PHOTO[::-1],
    5: PHOTO.transpose(1, 0, 2),
    6: np.rot90(PHOTO, -1),
    7: PHOTO[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(PHOTO),
}


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("encode", [heic, avif])
def test_upright_in_all_eight_orientations(encode: Encoder, value: int) -> None:
    assert near(read_picture(encode(exif=oriented(value))).image, UPRIGHT[value])


def test_what_a_heic_says_of_itself() -> None:
    picture = read_picture(heic(exif=oriented(6), icc_profile=SRGB))
    assert picture.format == "HEIF"
    assert picture.alpha is None
    assert picture.icc is not None
    assert picture.notes == ()
    assert picture.exif is not None
    kept = Pil.Exif()
    kept.load(picture.exif)
    assert dict(kept) == {0x010F: "Maker"}  # no place, no orientation


def test_what_an_avif_says_of_itself() -> None:
    picture = read_picture(avif(icc_profile=SRGB, exif=oriented(1)))
    assert (picture.format, picture.alpha) == ("AVIF", None)
    assert picture.icc is not None
    assert b"Maker" in (picture.exif or b"")


@pytest.mark.parametrize("encode", [heic, avif])
def test_transparency(encode: Encoder) -> None:
    alpha = np.zeros(PHOTO.shape[:2], np.uint8)
    alpha[:, 128:] = 255
    picture = read_picture(encode(np.dstack([PHOTO, alpha])))
    assert picture.alpha is not None
    assert near(picture.alpha, alpha)
    assert near(picture.image[:, 160:], PHOTO[:, 160:])


def test_the_primary_picture_of_several() -> None:
    file = pillow_heif.from_pillow(Pil.new("RGB", (64, 64), "red"))
    file.add_from_pillow(Pil.fromarray(PHOTO))
    file.add_from_pillow(Pil.new("RGB", (32, 32), "blue"))
    buffer = io.BytesIO()
    file.save(buffer, quality=95, primary_index=1)
    picture = read_picture(buffer.getvalue())
    assert near(picture.image, PHOTO)
    assert picture.notes == ("primary picture of 3 in the file",)


def test_ten_bits_become_eight() -> None:
    wide = (PHOTO.astype(np.uint16) << 8) | 255
    buffer = io.BytesIO()
    pillow_heif.encode("RGB;16", PHOTO.shape[1::-1], wide.tobytes(), buffer, quality=95)
    picture = read_picture(buffer.getvalue())
    assert near(picture.image, PHOTO)
    assert picture.notes == ("10-bit reduced to 8-bit",)


def test_grey() -> None:
    picture = read_picture(heic(np.ascontiguousarray(PHOTO[..., 0])))
    assert near(picture.image, np.repeat(PHOTO[..., :1], 3, axis=2))


def test_a_mif1_file_is_what_its_brands_say() -> None:
    data = heic()
    assert data[4:12] == b"ftypheic"
    assert near(read_picture(data[:8] + b"mif1" + data[12:]).image, PHOTO)
    data = avif()
    assert data[4:12] == b"ftypavif"
    assert b"avif" in data[16:64]
    picture = read_picture(data[:8] + b"mif1" + data[12:])
    assert picture.format == "AVIF"
    assert near(picture.image, PHOTO)


@pytest.mark.parametrize("encode", [heic, avif])
def test_too_large_is_refused_before_decoding(encode: Encoder) -> None:
    with pytest.raises(UnreadableImage, match="a: 256 x 128 pixels are more than the 32767"):
        read_picture(encode(), name="a", max_pixels=32767)


@pytest.mark.parametrize("encode", [heic, avif])
@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.9])
def test_damaged_files_give_one_line(encode: Encoder, share: float) -> None:
    data = encode()
    with pytest.raises(UnreadableImage) as caught:
        read_picture(data[: int(len(data) * share)], name="a.heic")
    assert str(caught.value).startswith("a.heic: ")
    assert "\n" not in str(caught.value)
    assert "\\n" not in str(caught.value)


def test_animated_avif_is_refused() -> None:
    data = avif(save_all=True, append_images=[Pil.fromarray(PHOTO[::-1])])
    with pytest.raises(UnreadableImage, match="animated AVIF with 2 frames"):
        read_picture(data)


def test_without_the_decoder_the_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(UnreadableImage, match=r"a: a HEIC file; pip install 'faceparts\[heif\]'"):
        read_picture(heic(), name="a")
    monkeypatch.setattr(AvifImagePlugin, "SUPPORTED", False)
    with pytest.raises(UnreadableImage, match="a: an AVIF file, which this build of Pillow cannot"):
        read_picture(avif(), name="a")


def test_the_format_of_a_changed_copy() -> None:
    image, alpha = PHOTO, np.zeros(PHOTO.shape[:2], np.uint8)
    assert format_for(Picture(image, format="TIFF")) == "TIFF"
    assert format_for(Picture(image, format="AVIF")) == "JPEG"
    assert format_for(Picture(image, alpha, format="HEIF")) == "PNG"


def test_bytes_come_back_as_jpeg() -> None:
    hidden = api.hide(heic(), faces=[])
    assert isinstance(hidden, bytes)
    picture = read_picture(hidden)
    assert picture.format == "JPEG"
    assert near(picture.image, PHOTO)


def test_files_become_jpeg_beside_their_name(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    (photos / "a.HEIC").write_bytes(heic())
    (photos / "b.avif").write_bytes(avif())
    done = call("hide", str(photos), "-o", str(out))
    assert done.code == 0, done.err
    assert sorted(p.name for p in out.iterdir() if p.suffix != ".json") == [
        "a.HEIC.jpg",
        "b.avif.jpg",
    ]
    assert read_picture(out / "a.HEIC.jpg").image.shape == PHOTO.shape
    cut = tmp_path / "cut"
    done = call("apply", "cutout", str(photos), "-o", str(cut))
    assert done.code == 0, done.err
    assert (cut / "a.HEIC.png").is_file()
