"""Spans for matches as a test writes them, and as Hypothesis draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from tests.streams.deaths import Row

BEGIN_MS = 1_700_000_000_000
BEGIN_NS = BEGIN_MS * 1_000_000
END_MS = BEGIN_MS + 10**9
INTERVAL_MS = 1000
SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class Span:
    """A span; times in ns. The parent of one that is no root is the first of its message."""

    resource: Mapping[str, Any] = field(default_factory=lambda: {"service.name": "api"})
    name: str = "GET /"
    kind: int = 2
    status: int = 0
    duration: int = 1_000_000
    end: int = BEGIN_NS
    attributes: Mapping[str, Any] = field(default_factory=dict)
    trace: int = 0
    is_root: bool = True

    @property
    def trace_id(self) -> bytes:
        return b"trace id %07d" % self.trace

    @property
    def start(self) -> int:
        return self.end - self.duration


@dataclass(frozen=True)
class Sent:
    """A record that comes *step_ms* after the one before."""

    step_ms: int
    spans: tuple[Span, ...]


def message(spans: Sequence[Span], number: int = 0) -> bytes:
    """Return the OTLP message of *spans*, with span ids that say *number* and place."""
    request = ExportTraceServiceRequest()
    for place, span in enumerate(spans):
        block = request.resource_spans.add()
        block.resource.attributes.extend(_pairs(span.resource))
        target = block.scope_spans.add().spans.add(
            trace_id=span.trace_id,
            span_id=span_id(number, place),
            parent_span_id=b"" if span.is_root else span_id(number, 0) if place else b"somebody",
            name=span.name,
            kind=span.kind,
            start_time_unix_nano=span.start,
            end_time_unix_nano=span.end,
            attributes=_pairs(span.attributes),
        )
        target.status.code = span.status
    encoded: bytes = request.SerializeToString()
    return encoded


def span_id(number: int, place: int) -> bytes:
    return b"%04d%04d" % (number, place)


def _pairs(attributes: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any_value(value)) for key, value in attributes.items()]


def _any_value(value: Any) -> AnyValue:
    names = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}
    return AnyValue() if value is None else AnyValue(**{names[type(value)]: value})


def rows(sent: Sequence[Sent]) -> list[Row]:
    """The records as Kafka has them."""
    found, at = [], BEGIN_MS
    for number, record in enumerate(sent):
        at += record.step_ms
        found.append(Row(number, at, None, message(record.spans, number)))
    return found


VALUES = st.sampled_from(["a", "b", "ab", "", "5", "7.5", "x5", 5, 7, 5.0, -1.5, True, None])
_KEYS = ["http.method", "http.request.method", "tier", "db.system", "db.system.name", "db.name"]
_KEYS += ["messaging.system", "messaging.operation", "faas.trigger", "faas.name"]
_RESOURCES = st.builds(
    lambda service, more: more if service is None else {"service.name": service, **more},
    st.sampled_from(["api", "api", "cart", "", None, 5]),
    st.dictionaries(st.sampled_from(["deployment.environment", "tier"]), VALUES, max_size=2),
)
SPANS = st.builds(
    Span,
    resource=_RESOURCES,
    name=st.sampled_from(["GET /", "SELECT", "", "a"]),
    kind=st.integers(0, 5),
    status=st.integers(0, 2),
    duration=st.sampled_from([0, 1, 999, 1000, 1001, 10**6, -5]),
    end=st.sampled_from([-400, -299, -298, -2, -1, 0, 0, 0, 1, 2, 30]).map(
        lambda seconds: BEGIN_NS + seconds * SECOND_NS
    ),
    attributes=st.dictionaries(st.sampled_from(_KEYS), VALUES, max_size=4),
    trace=st.integers(0, 3),
    is_root=st.booleans(),
)
STEPS = st.sampled_from([0, 0, 1, 500, 999, 1000, 1001, 2500, -700])
TRAFFIC = st.lists(st.builds(Sent, STEPS, st.lists(SPANS, max_size=4).map(tuple)), max_size=10)
