"""OTLP read field by field, without a schema: what a span is, to the byte, and where it hangs."""

from collections.abc import Iterator
from hashlib import blake2b
from operator import itemgetter
from typing import NamedTuple

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_TRACE_ID, _SPAN_ID, _TRACE_STATE, _ATTRIBUTES = 1, 2, 3, 9
_STAMP = b"tailrace."


class SentSpan(NamedTuple):
    """A span as it was sent. Equal digests: equal bytes of span, scope, resource, schema URLs."""

    trace_id: str
    span_id: str
    digest: str
    stamp: bytes
    """What a sampler wrote on it, encoded as a span of nothing else."""


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
    return ((number, message[start:end]) for number, _, start, end in _places(message))


def _places(message: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield the number of each field, where it begins, and where its payload begins and ends."""
    at = 0
    while at < len(message):
        first = at
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
        yield tag >> 3, first, start, end
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
                ids, own, stamp = _parts(span)
                yield SentSpan(
                    ids.get(_TRACE_ID, b"").hex(),
                    ids.get(_SPAN_ID, b"").hex(),
                    digest(resource, schema, rest, own),
                    stamp,
                )


def _parts(span: bytes) -> tuple[dict[int, bytes], bytes, bytes]:
    """Return the IDs of *span*, what was sent of it, and what a sampler wrote on it.

    It came without a trace state. Who writes on a span may put its fields into another order, which
    means the same.
    """
    ids: dict[int, bytes] = {}
    own: list[tuple[int, bytes]] = []
    stamp: list[bytes] = []
    for number, first, start, end in _places(span):
        if number <= _SPAN_ID:
            ids[number] = span[start:end]
        if number == _TRACE_STATE or (number == _ATTRIBUTES and _STAMP in span[start:end]):
            stamp.append(span[first:end])
        else:
            own.append((number, span[first:end]))
    if not stamp:
        return ids, span, b""
    own.sort(key=itemgetter(0))
    return ids, b"".join(field for _, field in own), b"".join(stamp)


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
