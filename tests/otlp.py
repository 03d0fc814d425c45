"""OTLP messages for tests, written by the official protobuf classes, and read back span by span."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

MS = 1_000_000
ERROR = 2


@dataclass(frozen=True)
class Span:
    """A span as a test writes it; times in ns. `service` and `scope` say where it stands."""

    trace_id: bytes
    span_id: bytes = b"spanspan"
    service: str = "api"
    name: str = "GET /"
    start: int = 0
    end: int = MS
    parent: bytes = b""
    status: int = 0
    scope: str = "library"
    attributes: Mapping[str, str] = field(default_factory=dict)
    kind: int = 0
    links: Sequence[bytes] = ()
    """Trace IDs."""
    resource: Mapping[str, str] = field(default_factory=dict)
    """Attributes of the resource beside the service."""

    def but(self, **changes: Any) -> "Span":
        """The same span with *changes*."""
        return replace(self, **changes)


class FlatSpan(NamedTuple):
    """An encoded span with its encoded resource and scope, and their schema URLs."""

    resource: bytes
    resource_schema: str
    scope: bytes
    scope_schema: str
    span: bytes


def message(*spans: Span) -> bytes:
    """One request with *spans* in order; neighbours share a resource or a scope where they can."""
    request = ExportTraceServiceRequest()
    for before, span in zip((None, *spans), spans, strict=False):
        if before is None or (before.service, before.resource) != (span.service, span.resource):
            block = request.resource_spans.add(schema_url="https://resource")
            if span.service:
                block.resource.attributes.add(key="service.name").value.string_value = span.service
            for key, value in span.resource.items():
                block.resource.attributes.add(key=key).value.string_value = value
        if before is None or _home(before) != _home(span):
            scope = block.scope_spans.add(schema_url="https://scope")
            scope.scope.name = span.scope
        _write(scope.spans.add(), span)
    encoded: bytes = request.SerializeToString()
    return encoded


def _home(span: Span) -> tuple[object, ...]:
    return span.service, span.resource, span.scope


def _write(target: Any, span: Span) -> None:
    target.trace_id, target.span_id = span.trace_id, span.span_id
    target.parent_span_id, target.name = span.parent, span.name
    target.kind = span.kind
    target.start_time_unix_nano, target.end_time_unix_nano = span.start, span.end
    if span.status:
        target.status.code = span.status
    for trace_id in span.links:
        target.links.add(trace_id=trace_id)
    for key, value in span.attributes.items():
        target.attributes.add(key=key).value.string_value = value


def flat(values: Sequence[bytes]) -> list[FlatSpan]:
    """Every span of *values* in order."""
    requests = map(ExportTraceServiceRequest.FromString, values)
    return [
        FlatSpan(
            block.resource.SerializeToString(),
            block.schema_url,
            scope.scope.SerializeToString(),
            scope.schema_url,
            span.SerializeToString(),
        )
        for request in requests
        for block in request.resource_spans
        for scope in block.scope_spans
        for span in scope.spans
    ]


def counted(values: Sequence[bytes]) -> Counter[FlatSpan]:
    """The multiset of the spans of *values*."""
    return Counter(flat(values))


def unstamped(values: Sequence[bytes]) -> list[bytes]:
    """*values* without what a sampler writes on kept spans; these came without a trace state."""
    found = []
    for value in values:
        request = ExportTraceServiceRequest.FromString(value)
        for block in request.resource_spans:
            for scope in block.scope_spans:
                for span in scope.spans:
                    own = [each for each in span.attributes if not each.key.startswith("tailrace.")]
                    del span.attributes[:]
                    span.attributes.extend(own)
                    span.trace_state = ""
        found.append(request.SerializeToString())
    return found
