"""OTLP requests as Hypothesis draws them, and their bytes as another encoder might write them."""

import math
import random
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

TRACE_A, TRACE_B, TRACE_C = b"A" * 16, b"B" * 16, bytes(15) + b"\x01"
KEYS = [
    "service.name",
    "http.route",
    "a",
    "",
    "ключ",
    "client.address",
    "server.address",
    "k" * 200,
]
SPAN_BYTES = b"spanspan"
TIME_LIMIT = 2**63

_trace_ids = st.sampled_from(
    [TRACE_A] * 6 + [TRACE_B] * 3 + [TRACE_C, b"", bytes(16), b"A" * 15, b"A" * 17, b"\x01"]
)
_span_ids = st.sampled_from([SPAN_BYTES] * 8 + [b"otherone", b"", bytes(8), b"short", b"A" * 9])
_parent_ids = st.sampled_from([b""] * 4 + [SPAN_BYTES] * 4 + [bytes(8), b"short", b"A" * 9])
_times = st.sampled_from([0, 1, 5, 10**18, TIME_LIMIT - 1] * 3 + [TIME_LIMIT, 2**64 - 1])
_texts = st.text('ab"<\\é日🙂\x00 ', max_size=6) | st.sampled_from(["", "x" * 150])
_keys = st.sampled_from(KEYS) | _texts
_integers = st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63)]) | st.integers(-1000, 1000)


def _scalar(kind: str, value: Any) -> AnyValue:
    return AnyValue(**{kind: value})


def _one_nan(value: float) -> float:
    """JSON knows one NaN; protobuf knows many."""
    return math.nan if math.isnan(value) else value


_scalars = st.one_of(
    st.just(AnyValue()),
    st.builds(_scalar, st.just("string_value"), _texts),
    st.builds(_scalar, st.just("bool_value"), st.booleans()),
    st.builds(_scalar, st.just("int_value"), _integers),
    st.builds(_scalar, st.just("double_value"), st.floats().map(_one_nan)),
    st.builds(_scalar, st.just("bytes_value"), st.binary(max_size=4)),
)


@st.composite
def _nested(draw: st.DrawFn) -> AnyValue:
    value = AnyValue()
    items = draw(st.lists(_scalars, max_size=3))
    if draw(st.booleans()):
        value.array_value.SetInParent()
        value.array_value.values.extend(items)
        if items and draw(st.booleans()):
            value.array_value.values.add().array_value.values.extend(items)
    else:
        value.kvlist_value.SetInParent()
        for item in items:
            value.kvlist_value.values.add(key=draw(_keys), value=item)
    return value


values = _scalars | _nested()


def _attributes(draw: st.DrawFn, target: Any, max_size: int) -> None:
    for key in draw(st.lists(_keys, max_size=max_size)):
        target.add(key=key, value=draw(values))


def _unknown(draw: st.DrawFn, message: Any) -> None:
    """Sometimes, a field of a later version of the protocol."""
    if draw(st.integers(0, 9)) == 0:
        message.MergeFromString(b"\xa2\x1f\x03new")  # field 500


def _span(draw: st.DrawFn, span: Any) -> None:
    span.trace_id, span.span_id = draw(_trace_ids), draw(_span_ids)
    span.parent_span_id, span.name = draw(_parent_ids), draw(_texts)
    span.kind = draw(st.sampled_from([0, 1, 2, 3, 4, 5, 6, 300, -1]))
    span.start_time_unix_nano, span.end_time_unix_nano = draw(_times), draw(_times)
    if draw(st.booleans()):
        span.status.SetInParent()
        span.status.code = draw(st.sampled_from([0, 1, 2, 3, 256, -1]))
        span.status.message = draw(_texts)
    _attributes(draw, span.attributes, 4)
    if draw(st.integers(0, 4)) == 0:
        span.trace_state, span.flags = "k=v", 257
        span.events.add(name="event", time_unix_nano=5).attributes.add(key="a")
        span.links.add(trace_id=TRACE_A, span_id=SPAN_BYTES)
    _unknown(draw, span)


@st.composite
def requests(draw: st.DrawFn) -> Any:
    """Several resources and scopes, traces mixed, good and bad spans."""
    request = ExportTraceServiceRequest()
    for _ in range(draw(st.integers(0, 2))):
        block = request.resource_spans.add(schema_url=draw(st.sampled_from(["", "https://r"])))
        _attributes(draw, block.resource.attributes, 3)
        for _ in range(draw(st.integers(0, 2))):
            scope = block.scope_spans.add(schema_url=draw(st.sampled_from(["", "https://s"])))
            scope.scope.name = draw(_texts)
            for _ in range(draw(st.integers(0, 4))):
                _span(draw, scope.spans.add())
            _unknown(draw, scope)
        _unknown(draw, block)
    _unknown(draw, request)
    return request


encoded_requests = requests().map(lambda request: request.SerializeToString())

# Which length-delimited fields hold messages, at each level; "…" leads to the next.
_LEVELS: dict[str, dict[int, str]] = {
    "request": {1: "resource_spans"},
    "resource_spans": {1: "resource", 2: "scope_spans"},
    "resource": {1: "attribute"},
    "scope_spans": {2: "span"},
    "span": {9: "attribute", 15: "status"},
    "attribute": {2: "value"},
    "status": {},
    "value": {},
}
_SINGULAR = {"resource", "status", "value"}


def scattered(encoded: bytes, rng: random.Random, level: str = "request") -> bytes:
    """Another valid encoding: fields in any order, some repeated, single messages in pieces."""
    parts: list[bytes] = []
    for number, head, payload in _fields(encoded):
        child = _LEVELS[level].get(number)
        if child is None:
            parts.append(head + payload)
            if rng.random() < 0.1:
                parts.append(head + payload)
            continue
        pieces = [payload]
        if child in _SINGULAR:
            inner = [head + body for _, head, body in _fields(payload)]
            at = rng.randint(0, len(inner))
            pieces = [b"".join(inner[:at]), b"".join(inner[at:])]
        for piece in pieces:
            body = scattered(piece, rng, child)
            parts.append(_varint(number << 3 | 2) + _varint(len(body)) + body)
    if rng.random() < 0.5:
        rng.shuffle(parts)
    return b"".join(parts)


def _fields(encoded: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Each field: its number, its tag (and, outside known messages, its length), its payload."""
    position = 0
    while position < len(encoded):
        start = position
        tag, position = _read_varint(encoded, position)
        if tag & 7 == 2:
            length, position = _read_varint(encoded, position)
            end = position + length
        elif tag & 7 == 0:
            _, end = _read_varint(encoded, position)
        else:
            end = position + {1: 8, 5: 4}[tag & 7]
        yield tag >> 3, encoded[start:position], encoded[position:end]
        position = end


def _varint(number: int) -> bytes:
    encoded = b""
    while number > 127:
        encoded, number = encoded + bytes((number & 127 | 128,)), number >> 7
    return encoded + bytes((number,))


def _read_varint(encoded: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        octet = encoded[position]
        number, shift, position = number | (octet & 127) << shift, shift + 7, position + 1
        if octet < 128:
            return number, position
