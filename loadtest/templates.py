"""Encoded spans by the thousand: one pattern for an operation and outcome, its holes filled."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from tailrace_loadtest.encoding import (
    Bytes,
    Fill,
    Piece,
    attribute,
    field,
    fixed64,
    hole,
    scalar,
    varint,
)
from tailrace_loadtest.fleet import PODS, SERVICES, Kind, Operation

SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0"
_FLAGS = varint(16 << 3 | 5) + bytes((1, 1, 0, 0))
_STATUS_OK, _STATUS_ERROR = 1, 2
_SPAN_FIELD = 2


@dataclass(frozen=True, slots=True)
class SpanColumns:
    """What fills the holes of some spans: IDs of shape (spans, 16 or 8), times (spans,) in ns."""

    trace_id: Bytes
    span_id: Bytes
    parent_id: Bytes
    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]

    def filling(self, fill: Fill) -> Bytes:
        """The bytes for the holes *fill*, of shape (spans, width)."""
        match fill:
            case Fill.TRACE_ID:
                return self.trace_id
            case Fill.SPAN_ID:
                return self.span_id
            case Fill.PARENT_ID:
                return self.parent_id
            case Fill.START:
                return _little_endian(self.start)
            case _:
                return _little_endian(self.end)


@dataclass(frozen=True, slots=True)
class Template:
    """Spans of one operation and outcome, as the field `spans` of a `ScopeSpans`."""

    pattern: Piece

    def encode(self, columns: SpanColumns, rng: np.random.Generator) -> list[bytes]:
        """The encoded spans, tag and length before each."""
        pattern = np.frombuffer(self.pattern.data, np.uint8)
        rows = np.tile(pattern, (len(columns.start), 1))
        noise_bytes = sum(1 for each in self.pattern.holes if each.fill is Fill.CHOICE)
        noise = rng.integers(0, 256, (noise_bytes, len(rows)), np.uint8)
        drawn = 0
        for each in self.pattern.holes:
            place = slice(each.offset, each.offset + each.width)
            if each.choices is not None:
                rows[:, place] = each.choices[noise[drawn] % len(each.choices)]
                drawn += 1
            elif each.fill is Fill.VARINT:
                rows[:, place] = _varints(rng, len(rows), each.width)
            else:
                rows[:, place] = columns.filling(each.fill)
        data, width = rows.tobytes(), rows.shape[1]
        return [data[at : at + width] for at in range(0, len(data), width)]


@cache
def span_template(operation: Operation, *, is_root: bool, is_error: bool) -> Template:
    """The template of *operation*'s spans."""
    span = field(1, hole(16, Fill.TRACE_ID)) + field(2, hole(8, Fill.SPAN_ID))
    if not is_root:
        span += field(4, hole(8, Fill.PARENT_ID))
    span += field(5, operation.name.encode()) + scalar(6, operation.kind)
    span += fixed64(7, Fill.START) + fixed64(8, Fill.END)
    for key, value in operation.attributes:
        is_status_code = key == "http.response.status_code"
        span += attribute(9, key, 500 if is_error and is_status_code else value)
    if is_error:
        span += attribute(9, "error.type", "timeout")
        if operation.kind is not Kind.CLIENT:
            span += field(11, _exception())
        span += field(15, field(2, b"upstream did not answer") + scalar(3, _STATUS_ERROR))
    elif operation.is_status_ok:
        span += field(15, scalar(3, _STATUS_OK))
    return Template(field(_SPAN_FIELD, span + Piece(_FLAGS)))


@cache
def resource(service: str, pod: int) -> bytes:
    """The encoded `Resource` of one of the *service*'s pods."""
    number = SERVICES.index(service)
    attributes = (
        ("service.name", service),
        ("service.version", f"2.{number}.{number * 7 % 10}"),
        ("host.name", f"node-{(number * PODS + pod) % 9}"),
        ("k8s.pod.name", pod_name(service, pod)),
        ("deployment.environment", "production"),
    )
    return _joined(*(attribute(1, key, value) for key, value in attributes))


def pod_name(service: str, pod: int) -> str:
    """What one of the *service*'s pods is called."""
    return f"{service}-7c9f{SERVICES.index(service):02d}-{pod:05d}"


@cache
def scope(service: str) -> bytes:
    """The encoded `InstrumentationScope` of *service*."""
    return _joined(field(1, f"shop/{service}/tracing".encode()), field(2, b"1.4.0"))


def request(resource: bytes, scope: bytes, spans: bytes) -> bytes:
    """The `ExportTraceServiceRequest` of *spans*, which have tag and length before each."""
    scope_spans = b"\x0a" + varint(len(scope)) + scope + spans
    block = b"".join(
        (
            b"\x0a" + varint(len(resource)),
            resource,
            b"\x12" + varint(len(scope_spans)),
            scope_spans,
            _SCHEMA_URL_FIELD,
        )
    )
    return b"\x0a" + varint(len(block)) + block


def _exception() -> Piece:
    event = fixed64(1, Fill.END) + field(2, b"exception")
    event += attribute(3, "exception.type", "TimeoutError")
    return event + attribute(3, "exception.message", "no answer within {d4} ms")


def _joined(*pieces: Piece) -> bytes:
    return b"".join(piece.data for piece in pieces)


def _little_endian(times: npt.NDArray[np.int64]) -> Bytes:
    return np.ascontiguousarray(times, "<i8").view(np.uint8).reshape(-1, 8)


def _varints(rng: np.random.Generator, count: int, width: int) -> Bytes:
    drawn = rng.integers(0, 128, (count, width), np.uint8)
    drawn[:, :-1] |= 128
    drawn[:, -1] = np.maximum(drawn[:, -1], 1)
    return drawn


_SCHEMA_URL_FIELD = field(3, SCHEMA_URL.encode()).data
