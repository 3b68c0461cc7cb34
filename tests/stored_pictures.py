"""Picture files for tests, as bytes: saved by Pillow or written by hand."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image as Pil
from PIL import ImageCms

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


def frames(format: str) -> bytes:
    others = [Pil.new("RGB", (6, 4), color) for color in ("red", "blue")]
    return saved(RGB, format, save_all=True, append_images=others)
