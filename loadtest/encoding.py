"""Protobuf with holes: encoded messages of which some bytes differ from copy to copy.

A text may name its holes: `{d8}` is 8 decimal digits, `{x32}` 32 hex ones, `{EUR|USD}` one of
these, which are of equal length. Holes have a fixed width, so that all copies have one length.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]


class Fill(Enum):
    """What stands in a hole."""

    TRACE_ID = auto()
    SPAN_ID = auto()
    PARENT_ID = auto()
    START = auto()
    END = auto()
    CHOICE = auto()
    VARINT = auto()


@dataclass(frozen=True, slots=True)
class Hole:
    """`width` bytes at `offset`; for choices, `choices` of shape (choices, width)."""

    offset: int
    width: int
    fill: Fill
    choices: Bytes | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """Encoded bytes and the holes in them."""

    data: bytes
    holes: tuple[Hole, ...] = ()

    def __add__(self, other: "Piece") -> "Piece":
        shift = len(self.data)
        moved = tuple(
            Hole(hole.offset + shift, hole.width, hole.fill, hole.choices) for hole in other.holes
        )
        return Piece(self.data + other.data, self.holes + moved)


@dataclass(frozen=True, slots=True)
class Number:
    """An integer attribute that takes `varint_bytes` bytes: 2 is 128 to 16,383."""

    varint_bytes: int


AttributeValue = str | int | Number
_HOLE = re.compile(r"\{(?:([dx])(\d+)|([^{}|]+(?:\|[^{}|]+)+))\}")
_DIGITS = {"d": "0123456789", "x": "0123456789abcdef"}


def varint(number: int) -> bytes:
    """*number*, 0 or more, as a base-128 varint."""
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def field(number: int, payload: Piece | bytes) -> Piece:
    """The length-delimited field *number*."""
    piece = payload if isinstance(payload, Piece) else Piece(payload)
    return Piece(varint(number << 3 | 2) + varint(len(piece.data))) + piece


def scalar(number: int, value: int) -> Piece:
    """The varint field *number*."""
    return Piece(varint(number << 3) + varint(value))


def fixed64(number: int, fill: Fill) -> Piece:
    """The fixed64 field *number*, to be filled."""
    return Piece(varint(number << 3 | 1)) + hole(8, fill)


def hole(width: int, fill: Fill) -> Piece:
    """*width* bytes to be filled."""
    return Piece(bytes(width), (Hole(0, width, fill),))


def text(pattern: str) -> Piece:
    """UTF-8 of *pattern*, its holes unfilled."""
    piece, at = Piece(b""), 0
    for match in _HOLE.finditer(pattern):
        piece += Piece(pattern[at : match.start()].encode())
        digits, count, choices = match.groups()
        for _ in range(int(count or 1)):
            options = list(_DIGITS[digits]) if digits else choices.split("|")
            piece += _choice(options)
        at = match.end()
    return piece + Piece(pattern[at:].encode())


def attribute(field_number: int, key: str, value: AttributeValue) -> Piece:
    """The `KeyValue` *key*: *value* in the field *field_number*."""
    if isinstance(value, str):
        any_value = field(1, text(value))
    elif isinstance(value, int):
        any_value = scalar(3, value)
    else:
        any_value = Piece(varint(3 << 3)) + hole(value.varint_bytes, Fill.VARINT)
    return field(field_number, field(1, key.encode()) + field(2, any_value))


def _choice(options: list[str]) -> Piece:
    widths = {len(option.encode()) for option in options}
    if len(widths) > 1:
        raise ValueError(f"{options} differ in length; the choices of a hole must not")
    table = np.array([list(option.encode()) for option in options], np.uint8)
    return Piece(bytes(table.shape[1]), (Hole(0, table.shape[1], Fill.CHOICE, table),))
