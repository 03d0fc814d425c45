"""OTLP read field by field, without a schema: what a span is, to the byte, and where it hangs."""

from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


class SentSpan(NamedTuple):
    """A span as it was sent. Equal digests: equal bytes of span, scope, resource, schema URLs."""

    trace_id: str
    span_id: str
    digest: str


def digest(resource: bytes, resource_schema: bytes, scope_rest: bytes, span: bytes) -> str:
    """16 hex characters that stand for all of a span; *scope_rest* is its scope without spans."""
    parts = (resource, resource_schema, scope_rest, span)
    return blake2b(b"\x00".join(parts), digest_size=8).hexdigest()


def spans(message: bytes) -> Iterator[SentSpan]:
    """Every span of *message*, in order; ValueError if it is cut off."""
    for number, block in fields(message):
        if number == 1:
            yield from _resource_spans(block)


def fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and payload of each field; that of a number is its bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        wire_type = tag & 7
        start = at
        if wire_type == _VARINT:
            _, end = _varint(message, at)
        elif wire_type == _LENGTH:
            length, start = _varint(message, at)
            end = start + length
        elif wire_type in (_FIXED64, _FIXED32):
            end = at + (8 if wire_type == _FIXED64 else 4)
        else:
            raise ValueError(f"wire type {wire_type} at byte {at} of {len(message)}")
        if end > len(message):
            raise ValueError(f"field {tag >> 3} ends at {end}, beyond {len(message)} bytes")
        yield tag >> 3, message[start:end]
        at = end


def _resource_spans(block: bytes) -> Iterator[SentSpan]:
    resource = schema = b""
    scopes = []
    for number, payload in fields(block):
        if number == 1:
            resource = payload
        elif number == 2:
            scopes.append(payload)
        elif number == 3:
            schema = payload
    for scope_spans in scopes:
        inside = list(fields(scope_spans))
        rest = b"\x00".join(payload for number, payload in inside if number != 2)
        for number, span in inside:
            if number == 2:
                ids = dict(field for field in fields(span) if field[0] in (1, 2))
                yield SentSpan(
                    ids.get(1, b"").hex(),
                    ids.get(2, b"").hex(),
                    digest(resource, schema, rest, span),
                )


def _varint(message: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if at >= len(message):
            raise ValueError(f"a varint is cut off at {at} of {len(message)} bytes")
        byte = message[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
