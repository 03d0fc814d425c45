"""The values of OTTL. Nil, texts, bytes, booleans, lists and maps are Python's own.

Integers have 64 bits and overflow as in Go. A text whose bytes are not UTF-8, as a cut may leave
it, holds them as surrogate escapes.
"""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

MIN_INT: Final = -(1 << 63)
MAX_INT: Final = (1 << 63) - 1
SECOND_NS: Final = 1_000_000_000


class Duration(NamedTuple):
    """A span of time."""

    nanos: int


class Moment(NamedTuple):
    """A point in time, since 1970. The offset is of the zone that its calendar fields are of."""

    nanos: int
    offset_s: int = 0


@dataclass(frozen=True, slots=True)
class TraceId:
    """The id of a trace: 16 bytes, which are equal to no plain bytes."""

    id: bytes


@dataclass(frozen=True, slots=True)
class SpanId:
    """The id of a span: 8 bytes, which are equal to no plain bytes."""

    id: bytes


@dataclass(frozen=True, slots=True)
class ProfileId:
    """The id of a profile: 16 bytes, which are equal to no plain bytes."""

    id: bytes


class Written(list[Any]):
    """A list that a condition writes out. A map in it is equal to none in a span's list."""

    __slots__ = ()


class Texts(list[str]):
    """The list that Split makes. It is equal to no list that is written out or in a span, as in the
    collector."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a span that is no plain value: its status, events or links. Equal to itself."""

    kind: str
    length: int | None = None
    """How many items it has, if it is a list."""


_NAMES: Final[dict[type, str]] = {
    type(None): "nil",
    str: "a text",
    bytes: "bytes",
    bool: "a boolean",
    int: "an integer",
    float: "a double",
    dict: "a map",
    list: "a list",
    Written: "a list",
    Texts: "a list of texts",
    Duration: "a duration",
    Moment: "a time",
    TraceId: "a trace ID",
    SpanId: "a span ID",
    ProfileId: "a profile ID",
}


def kind_of(value: Any) -> str:
    """What *value* is, for an error."""
    return value.kind if isinstance(value, Part) else _NAMES[type(value)]


def wrapped(number: int) -> int:
    """*number* as 64 bits hold it."""
    return (number - MIN_INT) % (1 << 64) + MIN_INT


def as_bytes(text: str) -> bytes:
    """The bytes of *text*."""
    return text.encode("utf-8", "surrogateescape")


def as_text(data: bytes) -> str:
    """The text of which *data* are the bytes."""
    return data.decode("utf-8", "surrogateescape")
