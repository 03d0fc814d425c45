"""OTLP/JSON to protobuf's wire format: an encoder for each field, made from its descriptor.

Bytes are written directly; filling protobuf's objects, field by field, costs four times as much.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Callable
from typing import Any, TypeAlias

import orjson
from google.protobuf.descriptor import FieldDescriptor

from tailrace.schemas.otlp.wire import LENGTH_DELIMITED, LENGTHS, varint

Encode: TypeAlias = Callable[[Any, int], bytes]
"""A value of JSON, and how deep it stands, to a whole field with its tag."""

Fields: TypeAlias = dict[str, Encode]
_Read: TypeAlias = Callable[[Any], bytes]

HEX_DIGITS = {"trace_id": 32, "span_id": 16, "parent_span_id": 16}
NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_MAX_DEPTH = 100  # as protobuf
_LONGEST_INTEGER = 20  # digits of 64 bits, or 19 and a sign

_VARINT, _FIXED64, _FIXED32 = 0, 1, 5
_VALUE_TAG = b"\x12"  # field 2 of a KeyValue
_DEFAULT = b""


class Wrong(Exception):
    """*item* is not what it must be; *path* leads to it, from the inside out."""

    def __init__(self, item: object, right: str) -> None:
        super().__init__(right)
        self.item = item
        self.right = right
        self.path: list[str | int] = []


class TooDeep(Wrong):
    """More messages in each other than protobuf reads."""

    def __init__(self) -> None:
        super().__init__(None, f"at most {_MAX_DEPTH} messages")


def encoded_message(fields: Fields, document: object, depth: int = 0) -> bytes:
    """The message whose *fields* the *document* has; unknown ones and null are left out."""
    if not isinstance(document, dict):
        raise Wrong(document, "an object")
    if depth > _MAX_DEPTH:
        raise TooDeep
    parts = []
    for name, item in document.items():
        encode = fields.get(name)
        if encode is not None and item is not None:
            try:
                parts.append(encode(item, depth))
            except Wrong as wrong:
                wrong.path.append(name)
                raise
    return b"".join(parts)


def fields_of(descriptor: Any) -> Fields:
    """The encoders of a message's fields, by camelCase and snake_case name."""
    fields = _FIELDS.get(descriptor.full_name)
    if fields is None:
        fields = _FIELDS[descriptor.full_name] = {}  # before its fields, for it may hold itself
        for field in descriptor.fields:
            fields[field.json_name] = fields[field.name] = _encoder(field)
    return fields


_FIELDS: dict[str, Fields] = {}


def _encoder(field: Any) -> Encode:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        encode = _message(field)
    elif field.type == FieldDescriptor.TYPE_STRING:
        encode = _string(field)
    elif field.type == FieldDescriptor.TYPE_BYTES:
        encode = _bytes(field)
    else:
        encode = _number(field)
    return _each(encode) if field.is_repeated else encode


def _tag(field: Any, wire_type: int) -> bytes:
    return varint(field.number << 3 | wire_type)


def _each(encode: Encode) -> Encode:
    def encode_all(items: Any, depth: int) -> bytes:
        if not isinstance(items, list):
            raise Wrong(items, "an array")
        parts: list[bytes] = []
        try:
            for item in items:
                parts.append(encode(item, depth))  # noqa: PERF401 - the count says which is wrong
        except Wrong as wrong:
            wrong.path.append(len(parts))
            raise
        return b"".join(parts)

    return encode_all


def _message(field: Any) -> Encode:
    tag = _tag(field, LENGTH_DELIMITED)
    fields = fields_of(field.message_type)

    def encode(item: Any, depth: int) -> bytes:
        payload = encoded_message(fields, item, depth + 1)
        return tag + LENGTHS[len(payload)] + payload

    is_attribute = field.message_type.name == "KeyValue"
    # Not inside values: there, what is wrong would be tried twice at each level.
    if is_attribute and field.containing_type.name != "KeyValueList":
        value = field.message_type.fields_by_name["value"]
        return _attribute(tag, fields["key"], fields_of(value.message_type), encode)
    return encode


def _attribute(tag: bytes, encode_key: Encode, values: Fields, encode: Encode) -> Encode:
    """As *encode*, a quarter sooner, for a key with one value and nothing else."""

    def encode_attribute(item: Any, depth: int) -> bytes:
        try:
            ((kind, plain),) = item["value"].items()
            if len(item) == 2:
                value = values[kind](plain, depth + 2)
                payload = encode_key(item["key"], depth) + _VALUE_TAG
                payload += LENGTHS[len(value)] + value
                return tag + LENGTHS[len(payload)] + payload
        except (Wrong, LookupError, TypeError, ValueError, AttributeError):
            pass  # it is another shape, or wrong; then *encode* says where
        return encode(item, depth)

    return encode_attribute


def _string(field: Any) -> Encode:
    tag, default = _tag(field, LENGTH_DELIMITED), _default(field, LENGTH_DELIMITED, b"\x00")

    def encode(item: Any, depth: int) -> bytes:
        if not isinstance(item, str):
            raise Wrong(item, "a string")
        octets = item.encode()
        return tag + LENGTHS[len(octets)] + octets if octets else default

    return encode


def _bytes(field: Any) -> Encode:
    tag, default = _tag(field, LENGTH_DELIMITED), _default(field, LENGTH_DELIMITED, b"\x00")
    read = _hex(HEX_DIGITS[field.name]) if field.name in HEX_DIGITS else _base64

    def encode(item: Any, depth: int) -> bytes:
        octets = read(item)
        return tag + LENGTHS[len(octets)] + octets if octets else default

    return encode


def _default(field: Any, wire_type: int, zero: bytes) -> bytes:
    """What zero and nothing are written as: not at all, but where that means another thing."""
    means_another = field.has_presence or field.is_repeated
    return _tag(field, wire_type) + zero if means_another else _DEFAULT


def _hex(digits: int) -> _Read:
    def read(item: Any) -> bytes:
        try:
            if isinstance(item, str):
                return binascii.unhexlify(item)
        except ValueError:
            pass
        raise Wrong(item, f"{digits} hex characters")

    return read


def _base64(item: Any) -> bytes:
    try:
        if isinstance(item, str):
            standard = item.translate(_FROM_URL_SAFE).rstrip("=")
            return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except ValueError:
        pass
    raise Wrong(item, "base64")


_FROM_URL_SAFE = str.maketrans("-_", "+/")


def _number(field: Any) -> Encode:
    if field.type == FieldDescriptor.TYPE_ENUM:
        names = {name: each.number for name, each in field.enum_type.values_by_name.items()}
        return _integer(field, -(2**31), 2**31, names)
    if field.type in _INTEGERS:
        return _integer(field, *_INTEGERS[field.type], {})
    if field.type == FieldDescriptor.TYPE_BOOL:
        return _bool(field)
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return _double(field)
    raise NotImplementedError(f"{field.full_name}: a type that traces have not had so far")


_INTEGERS = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63),
    FieldDescriptor.TYPE_UINT32: (0, 2**32),
    FieldDescriptor.TYPE_UINT64: (0, 2**64),
    FieldDescriptor.TYPE_FIXED32: (0, 2**32),
    FieldDescriptor.TYPE_FIXED64: (0, 2**64),
}
_FIXED = {
    FieldDescriptor.TYPE_FIXED32: (_FIXED32, struct.Struct("<I").pack),
    FieldDescriptor.TYPE_FIXED64: (_FIXED64, struct.Struct("<Q").pack),
}


def _integer(field: Any, low: int, end: int, names: dict[str, int]) -> Encode:
    """Numbers, their digits, or *names*."""
    wire_type, pack = _FIXED.get(field.type, (_VARINT, _signed_varint))
    tag, default = _tag(field, wire_type), _default(field, wire_type, pack(0))
    right = f"an integer from {low} to {end - 1}"

    def encode(item: Any, depth: int) -> bytes:
        number = _integer_in(item, names) if isinstance(item, str) else item
        if isinstance(item, float):
            number = _integer_of(item)
        if not isinstance(number, int) or isinstance(item, bool) or not low <= number < end:
            raise Wrong(item, right)
        return tag + pack(number) if number else default

    return encode


def _integer_in(text: str, names: dict[str, int]) -> int | None:
    if len(text) <= _LONGEST_INTEGER and text.isascii() and text.removeprefix("-").isdigit():
        return int(text)
    return names.get(text)


def _integer_of(number: float) -> int | None:
    # Integers beyond 64 bits arrive as floats too; the first of them below rounds to −2^63.
    return int(number) if number.is_integer() and number > -(2**63) else None


def _signed_varint(number: int) -> bytes:
    return LENGTHS[number] if number >= 0 else varint(number & 0xFFFFFFFFFFFFFFFF)


def _bool(field: Any) -> Encode:
    tag, default = _tag(field, _VARINT), _default(field, _VARINT, b"\x00")

    def encode(item: Any, depth: int) -> bytes:
        if not isinstance(item, bool):
            raise Wrong(item, "true or false")
        return tag + b"\x01" if item else default

    return encode


def _double(field: Any) -> Encode:
    tag, pack = _tag(field, _FIXED64), struct.Struct("<d").pack

    def encode(item: Any, depth: int) -> bytes:
        number = item
        if isinstance(item, str):
            number = NOT_FINITE.get(item)
            if number is None:
                number = _number_in(item)
        if not isinstance(number, int | float) or isinstance(number, bool):
            raise Wrong(item, "a number")
        return tag + pack(number)

    return encode


def _number_in(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
