"""Colour profiles without what they say beside colours.

A profile may name the maker, model and serial number of a screen, its owner or a place, in private
tags, texts or between its tags. What is kept is what turns numbers into colours (ICC.1:2022, 7 to
10); the rest is left out, and the texts that a profile must have are fixed ones.
"""

from __future__ import annotations

import struct

HEADER_BYTES = 128
MAX_TAGS = 100
KEPT = (
    *("wtpt", "bkpt", "chad", "rXYZ", "gXYZ", "bXYZ", "rTRC", "gTRC", "bTRC", "kTRC"),
    *("A2B0", "A2B1", "A2B2", "B2A0", "B2A1", "B2A2", "cicp"),
)
"""Tags that colours are made from."""

_BLANK = ((4, 8), (24, 36), (40, 44), (48, 64), (80, 128))
"""Bytes of the header: module, date, platform, maker, model, attributes, creator, sum, reserved."""

_FIXED_BYTES = {b"XYZ ": 20, b"sf32": 44, b"cicp": 12}
_PARAMETERS = (1, 3, 4, 5, 7)
_TEXTS = (("desc", "RGB"), ("cprt", "none"))


def clean(profile: bytes) -> bytes | None:
    """The same colours and nothing else; ``None`` where it is not a profile of known form."""
    try:
        return _rebuild(profile)
    except (struct.error, ValueError, IndexError):
        return None


def _rebuild(profile: bytes) -> bytes:
    header = bytearray(profile[:HEADER_BYTES])
    (count,) = struct.unpack(">I", profile[HEADER_BYTES : HEADER_BYTES + 4])
    if header[36:40] != b"acsp" or not 0 < count <= MAX_TAGS:
        raise ValueError
    for start, end in _BLANK:
        header[start:end] = bytes(end - start)
    text = _mluc if header[8] >= 4 else _old_text
    tags = [(name, text(name, words)) for name, words in _TEXTS]
    for i in range(count):
        at = HEADER_BYTES + 4 + 12 * i
        name, start, length = struct.unpack(">4sII", profile[at : at + 12])
        if name.decode("latin-1") in KEPT:
            tags.append((name.decode("latin-1"), _trimmed(profile, start, length)))
    return _joined(bytes(header), tags)


def _joined(header: bytes, tags: list[tuple[str, bytes]]) -> bytes:
    """Header, table and data; tags with equal data share it."""
    data, places = b"", dict[bytes, int]()
    begin = HEADER_BYTES + 4 + 12 * len(tags)
    table = struct.pack(">I", len(tags))
    for name, value in tags:
        if value not in places:
            places[value] = begin + len(data)
            data += value + bytes(-len(value) % 4)
        table += struct.pack(">4sII", name.encode("latin-1"), places[value], len(value))
    whole = header[4:] + table + data
    return struct.pack(">I", len(whole) + 4) + whole


def _trimmed(profile: bytes, start: int, length: int) -> bytes:
    """The data of a tag without what lies behind its values.

    Raises:
        ValueError: it reaches beyond the profile, or is of a kind that no colour is made from.
    """
    data = profile[start : start + length]
    if start < HEADER_BYTES or len(data) != length or length < 12:
        raise ValueError
    kind = data[:4]
    if kind in _FIXED_BYTES:
        wanted = _FIXED_BYTES[kind]
    elif kind == b"curv":
        wanted = 12 + 2 * int.from_bytes(data[8:12], "big")
    elif kind == b"para":
        wanted = 12 + 4 * _PARAMETERS[int.from_bytes(data[8:10], "big")]
    elif kind in (b"mft1", b"mft2", b"mAB ", b"mBA "):
        wanted = length
    else:
        raise ValueError
    if wanted > length:
        raise ValueError
    return kind + bytes(4) + data[8:wanted]


def _old_text(name: str, words: str) -> bytes:
    """Text of version 2: ``desc`` has an empty Unicode and Macintosh part."""
    plain = words.encode("ascii") + b"\0"
    if name != "desc":
        return b"text" + bytes(4) + plain
    return b"desc" + bytes(4) + struct.pack(">I", len(plain)) + plain + bytes(4 + 4 + 2 + 1 + 67)


def _mluc(name: str, words: str) -> bytes:
    """Text of version 4, in one language."""
    wide = words.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II4sII", 1, 12, b"enUS", len(wide), 28) + wide
