"""Cleaned colour profiles: the same colours by LittleCMS, and nothing else in them."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pil
from PIL import ImageCms

import faceparts
from faceparts._icc import clean
from faceparts.images import read_picture
from stored_pictures import RGB, SRGB, saved

NAME = b"Jane Doe, 12 Mill Lane"


def tags_of(profile: bytes) -> dict[str, bytes]:
    (count,) = struct.unpack(">I", profile[128:132])
    entries = (struct.unpack(">4sII", profile[132 + 12 * i :][:12]) for i in range(count))
    return {name.decode(): profile[start : start + length] for name, start, length in entries}


def profile_of(tags: dict[str, bytes], header: bytes, tail: bytes = b"") -> bytes:
    """A profile by hand, every tag with data of its own, ``tail`` behind them."""
    table, data = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        table += struct.pack(">4sII", name.encode(), 132 + 12 * len(tags) + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    whole = header[4:128] + table + data + tail
    return struct.pack(">I", len(whole) + 4) + whole


def gossip() -> bytes:
    """sRGB that names somebody wherever a profile can."""
    header = bytearray(SRGB[:128])
    header[48:52] = header[80:84] = NAME[:4]
    header[100:122] = NAME
    tags = {name: value + NAME for name, value in tags_of(SRGB).items()}
    tags |= {"dmnd": b"text" + bytes(4) + NAME, "mmod": NAME, "vcgt": NAME}
    tags["desc"] = tags["desc"][:28] + NAME
    return profile_of(tags, bytes(header), tail=NAME)


def old_profile() -> bytes:
    """Version 2: gamma 1.8 and swapped red and green."""
    header = bytearray(SRGB[:128])
    header[8:12] = bytes((2, 0x40, 0, 0))
    stored = tags_of(SRGB)
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(1.8 * 256))
    tags = {
        "wtpt": stored["wtpt"],
        "cprt": b"text" + bytes(4) + NAME + b"\0",
        "rXYZ": stored["gXYZ"],
        "gXYZ": stored["rXYZ"],
        "bXYZ": stored["bXYZ"],
        **dict.fromkeys(("rTRC", "gTRC", "bTRC"), curve),
    }
    return profile_of(tags, bytes(header))


def in_srgb(profile: bytes) -> np.ndarray:
    colours = np.mgrid[0:256:15, 0:256:15, 0:256:15].reshape(3, -1).T.astype(np.uint8)
    return np.asarray(
        ImageCms.profileToProfile(
            Pil.fromarray(colours[None]),
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
        )
    )


@pytest.mark.parametrize("profile", [SRGB, gossip(), old_profile()], ids=["srgb", "gossip", "old"])
def test_the_same_colours_and_nobody_named(profile: bytes) -> None:
    cleaned = clean(profile)
    assert cleaned is not None
    np.testing.assert_array_equal(in_srgb(cleaned), in_srgb(profile))
    assert NAME[:4] not in cleaned and clean(cleaned) == cleaned
    assert len(cleaned) == struct.unpack(">I", cleaned[:4])[0]
    assert {"desc", "cprt", "wtpt", "rTRC", "bXYZ"} <= set(tags_of(cleaned))
    described = ImageCms.ImageCmsProfile(io.BytesIO(cleaned))
    assert ImageCms.getProfileDescription(described).strip() == "RGB"
    assert ImageCms.getProfileCopyright(described).strip() == "none"


def test_an_old_profile_tells_colours_apart() -> None:
    """That the comparison above can fail: another profile gives other colours."""
    assert (in_srgb(old_profile()) != in_srgb(SRGB)).any()


def test_profiles_with_tables_keep_them() -> None:
    """``mft1``: a 2-point table for each channel and a grid that swaps red and blue."""
    grid = np.array([[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)], np.uint8) * 255
    ramp = bytes(range(256)) * 3
    matrix = struct.pack(">9i", *(65536, 0, 0, 0, 65536, 0, 0, 0, 65536))
    table = b"mft1" + bytes(4) + bytes((3, 3, 2, 0)) + matrix + ramp + grid.tobytes() + ramp
    tags = {name: tags_of(SRGB)[name] for name in ("desc", "cprt", "wtpt")} | {"A2B0": table}
    header = bytearray(SRGB[:128])
    header[20:24] = b"Lab "
    cleaned = clean(profile_of(tags, bytes(header)))
    assert cleaned is not None and tags_of(cleaned)["A2B0"] == table


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_no_way_of_hiding_hands_the_name_on(format: str) -> None:
    stored = saved(RGB, format, icc_profile=gossip())
    picture = read_picture(stored)
    assert picture.icc == clean(gossip()) and picture.notes == ()
    opened = Pil.open(io.BytesIO(stored))
    for result in (
        faceparts.hide(stored, []),
        saved(faceparts.hide(opened, []), format, icc_profile=opened.info["icc_profile"][:0]),
    ):
        assert isinstance(result, bytes) and NAME[:4] not in result
    assert faceparts.hide(opened, []).info["icc_profile"] == clean(gossip())


def broken() -> dict[str, bytes]:
    tags, header = tags_of(SRGB), SRGB[:128]
    small = {"rTRC": b"para" + bytes(4) + bytes((0, 9, 0, 0)) + bytes(40)}
    far = bytearray(profile_of(tags, header))
    far[136:140] = struct.pack(">I", len(far))
    while far[132:136].decode() not in ("rXYZ", "wtpt"):  # the first tag must be a kept one
        tags = dict(sorted(tags.items(), key=lambda item: item[0] not in ("rXYZ", "wtpt")))
        far = bytearray(profile_of(tags, header))
        far[136:140] = struct.pack(">I", len(far))
    return {
        "empty": b"",
        "header only": header,
        "no signature": header[:36] + b"ACSP" + SRGB[40:],
        "no tags": header + bytes(4),
        "too many tags": header + struct.pack(">I", 101) + SRGB[132:],
        "cut table": profile_of(tags, header)[:150],
        "data beyond the end": bytes(far),
        "unknown curve": profile_of(tags | small, header),
        "text for a curve": profile_of(tags | {"rTRC": b"text" + bytes(20)}, header),
        "curve cut short": profile_of(
            tags | {"rTRC": b"curv" + bytes(4) + struct.pack(">I", 9) + bytes(4)}, header
        ),
    }


@pytest.mark.parametrize("name", broken())
def test_damaged_profiles_are_left_out(name: str) -> None:
    assert clean(broken()[name]) is None


def test_a_damaged_profile_is_told_of() -> None:
    damaged = SRGB[:300]
    picture = read_picture(saved(RGB, "PNG", icc_profile=damaged))
    assert picture.icc is None
    assert picture.notes == ("damaged colour profile left out",)


@settings(max_examples=200)
@given(st.binary(max_size=8), st.integers(0, len(SRGB) - 1))
def test_any_bytes_give_a_profile_or_none(noise: bytes, at: int) -> None:
    cleaned = clean(SRGB[:at] + noise + SRGB[at + len(noise) :])
    assert cleaned is None or clean(cleaned) == cleaned
