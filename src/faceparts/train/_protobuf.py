"""The protocol buffer wire format, as far as reading one schema by hand needs it.

https://protobuf.dev/programming-guides/encoding/. Nothing is copied but what the caller keeps, and
no length that a file states is believed before the bytes are there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from faceparts.errors import BadWeights

VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5
MAX_FIELDS = 1_000_000
"""Fields of one message; a net has thousands, a hostile file millions that say nothing."""

_FIXED = {EIGHT_BYTES: 8, FOUR_BYTES: 4}


class Field(NamedTuple):
    """One field of a message, or a run of equal fixed-size ones.

    Args:
        number: of the field in its schema.
        wire: `VARINT`, `BYTES`, `EIGHT_BYTES` or `FOUR_BYTES`.
        value: 0..2**64 - 1 of a varint; 0 for the others.
        data: bytes of the others; a run's values lie one behind the other, as if packed.
    """

    number: int
    wire: int
    value: int
    data: memoryview


def fields(message: memoryview, where: str) -> Iterator[Field]:
    """The fields of a message in the order of the file.

    Raises:
        BadWeights: the message is cut off, or is no protocol buffer; ``where`` starts the text.
    """
    position, nothing = 0, message[:0]
    for _ in range(MAX_FIELDS):
        if position == len(message):
            return
        start = position
        tag, position = varint(message, position, where)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, position = varint(message, position, where)
            yield Field(number, wire, value, nothing)
        elif wire == BYTES:
            length, position = varint(message, position, where)
            end = position + length
            if end > len(message):
                raise BadWeights(
                    f"{where}: field {number} says {length} bytes, {len(message) - position} are "
                    "left; the file is cut off or damaged, get it again"
                )
            yield Field(number, wire, 0, message[position:end])
            position = end
        elif wire in _FIXED:
            values, position = _run(message, start, position, _FIXED[wire], where)
            yield Field(number, wire, 0, values)
        else:
            raise BadWeights(
                f"{where}: wire type {wire} in field {number} at byte {start}; not a caffemodel"
            )
    raise BadWeights(f"{where}: more than {MAX_FIELDS} fields in one message; not a caffemodel")


def varint(message: memoryview, position: int, where: str) -> tuple[int, int]:
    """The number at a position, and the position behind it.

    Raises:
        BadWeights: the message ends within it, or it has more than ten bytes.
    """
    value = 0
    for i in range(10):
        if position + i >= len(message):
            raise BadWeights(f"{where}: ends within a number; the file is cut off, get it again")
        byte = message[position + i]
        value |= (byte & 127) << (7 * i)
        if byte < 128:
            return value & (2**64 - 1), position + i + 1
    raise BadWeights(f"{where}: a number of more than ten bytes; not a caffemodel")


def varints(data: memoryview, where: str) -> list[int]:
    """Packed varints as signed 64-bit numbers."""
    values, position = [], 0
    while position < len(data):
        value, position = varint(data, position, where)
        values.append(signed(value))
    return values


def signed(value: int) -> int:
    """A varint's 64 bits as a two's complement number.

    Example:
        >>> signed(7), signed(2**64 - 2)
        (7, -2)
    """
    return value - 2**64 if value >= 2**63 else value


def _run(
    message: memoryview, start: int, position: int, size: int, where: str
) -> tuple[memoryview, int]:
    """Values of the field at ``start`` and of those behind it that have the same tag.

    Old files hold millions of floats with a tag each; they are taken in windows that double, so
    that the work stays in proportion to the run.
    """
    if position + size > len(message):
        raise BadWeights(f"{where}: ends within a number; the file is cut off, get it again")
    stride = position - start + size
    tag, pieces, window = bytes(message[start:position]), [], 1
    while True:
        count = min(window, (len(message) - start) // stride)
        records = np.frombuffer(message[start : start + count * stride], np.uint8)
        records = records.reshape(count, stride)
        same = (records[:, : len(tag)] == np.frombuffer(tag, np.uint8)).all(axis=1)
        good = count if same.all() else int(same.argmin())
        pieces.append(records[:good, len(tag) :].tobytes())
        start += good * stride
        if good < window:
            return memoryview(b"".join(pieces)), start
        window *= 2
