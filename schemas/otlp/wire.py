"""The little of protobuf's wire format that is written by hand: length-delimited fields."""

from collections.abc import Iterable

LENGTH_DELIMITED = 2


def varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


class _Lengths(dict[int, bytes]):
    """Varints by number; those that are common are made once."""

    def __missing__(self, number: int) -> bytes:
        encoded = varint(number)
        if number < 1 << 14:
            self[number] = encoded
        return encoded


LENGTHS = _Lengths()


def field(number: int, payload: bytes) -> bytes:
    """*payload* as field *number* (below 16)."""
    return bytes((number << 3 | LENGTH_DELIMITED,)) + varint(len(payload)) + payload


def field_size(payload_bytes: int) -> int:
    """The size of such a field, in bytes."""
    return 1 + max(1, -(-payload_bytes.bit_length() // 7)) + payload_bytes


class _Heads(dict[int, bytes]):
    """Length to the tag and length that stand before a payload of field 1."""

    def __missing__(self, length: int) -> bytes:
        head = bytes((1 << 3 | LENGTH_DELIMITED,)) + varint(length)
        if length < 1 << 14:
            self[length] = head
        return head


HEADS = _Heads()


def framed(values: Iterable[bytes]) -> bytes:
    """A message whose repeated field 1 holds *values*."""
    parts: list[bytes] = []
    for value in values:
        parts += (HEADS[len(value)], value)
    return b"".join(parts)
