"""A config, spans, and when they come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

BEGIN_NS = 1_767_225_600_000_000_000
"""When a scenario begins, here: the latest end of its spans. A multiple of every flush interval."""
_NS = 1_000_000_000
_MS = 1_000_000

Config = dict[str, Any]
"""The sections `span_metrics` and `service_graph`, as a user writes them."""


@dataclass(frozen=True)
class Arrival:
    """An export request that comes *at* seconds after the beginning."""

    at: float
    value: bytes


@dataclass(frozen=True)
class Scenario:
    """Messages in the order of arrival; it is over `until` seconds after the beginning."""

    name: str
    config: Config
    arrivals: Sequence[Arrival]
    until: float
    about: str = ""
    is_exposed: bool = True
    """Whether to ask what a Prometheus exporter shows at the end."""


@dataclass(frozen=True)
class Seen:
    """A span in short. It ends when the scenario begins, and took `ms`. IDs are small numbers."""

    service: str | None = "shop"
    name: str = "GET /cart"
    kind: str = "server"
    ms: float = 10.0
    status: str = "unset"
    trace: int = 1
    id: int = 1
    parent: int = 0
    attributes: Mapping[str, Any] = field(default_factory=dict)
    resource: Mapping[str, Any] = field(default_factory=dict)
    scope: tuple[str, str] = ("", "")
    events: Sequence[tuple[str, Mapping[str, Any]]] = ()
    state: str = ""
    links: Sequence[tuple[int, int]] = ()

    @property
    def block(self) -> ResourceSpans:
        """What it stands in, empty."""
        named = {} if self.service is None else {"service.name": self.service}
        found = ResourceSpans()
        found.resource.attributes.extend(written({**named, **self.resource}))
        return found

    @property
    def span(self) -> Span:
        """The span itself."""
        found = Span(
            trace_id=self.trace.to_bytes(16, "big"),
            span_id=self.id.to_bytes(8, "big"),
            parent_span_id=self.parent.to_bytes(8, "big") if self.parent else b"",
            name=self.name,
            kind=Span.SpanKind.Value(f"SPAN_KIND_{self.kind.upper()}"),
            start_time_unix_nano=BEGIN_NS - round(self.ms * _MS),
            end_time_unix_nano=BEGIN_NS,
            attributes=written(self.attributes),
            trace_state=self.state,
        )
        if self.status != "unset":
            found.status.code = Status.StatusCode.Value(f"STATUS_CODE_{self.status.upper()}")
        for name, attributes in self.events:
            found.events.add(name=name, time_unix_nano=BEGIN_NS - 1, attributes=written(attributes))
        for trace, span_id in self.links:
            found.links.add(trace_id=trace.to_bytes(16, "big"), span_id=span_id.to_bytes(8, "big"))
        return found


def arrival(at: float, *spans: Seen) -> Arrival:
    """One message with *spans* in order; neighbours of one resource and scope share them."""
    request = ExportTraceServiceRequest()
    for block, of_block in groupby(spans, key=lambda each: each.block.SerializeToString()):
        found = request.resource_spans.add()
        found.ParseFromString(block)
        for (name, version), of_scope in groupby(of_block, key=lambda each: each.scope):
            scope = ScopeSpans(spans=[each.span for each in of_scope])
            scope.scope.name, scope.scope.version = name, version
            found.scope_spans.append(scope)
    return Arrival(at, request.SerializeToString())


def written(attributes: Mapping[str, Any]) -> list[KeyValue]:
    """*attributes*, each of the type that its value has in Python."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def any_value(value: Any) -> AnyValue:
    """*value* as OTLP has it; None is empty."""
    match value:
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case str():
            return AnyValue(string_value=value)
        case Mapping():
            return AnyValue(kvlist_value=KeyValueList(values=written(value)))
        case _:
            return AnyValue(array_value=ArrayValue(values=[any_value(each) for each in value]))
