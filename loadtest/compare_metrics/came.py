"""Spans one by one as they came, so that they can be changed and sent again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import groupby

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tailrace_loadtest.compare_metrics.scenario import Arrival

CLIENTS = (Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_PRODUCER)
SERVERS = (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CONSUMER)


@dataclass(frozen=True)
class Came:
    """A span in the message number `message`, which came *at* seconds after the beginning."""

    message: int
    at: float
    resource: Resource
    scope: InstrumentationScope
    span: Span

    @property
    def call(self) -> tuple[bytes, bytes]:
        """What both sides of a call have alike: the trace, and the span ID of the client."""
        is_client = self.span.kind in CLIENTS
        return self.span.trace_id, self.span.span_id if is_client else self.span.parent_span_id

    def but_in(self, trace_id: bytes) -> Came:
        """A copy of it in another trace."""
        span = deepcopy(self.span)
        span.trace_id = trace_id
        return replace(self, span=span)


def spans_of(arrivals: Iterable[Arrival]) -> list[Came]:
    """Return every span of *arrivals*, in order of arrival."""
    return [
        Came(number, arrival.at, block.resource, scope.scope, span)
        for number, arrival in enumerate(arrivals)
        for block in ExportTraceServiceRequest.FromString(arrival.value).resource_spans
        for scope in block.scope_spans
        for span in scope.spans
    ]


def arrivals_of(spans: Sequence[Came]) -> list[Arrival]:
    """Return messages with *spans*, in that order."""
    found = []
    for _, of_message in groupby(spans, key=lambda each: each.message):
        request, at = ExportTraceServiceRequest(), 0.0
        for came in of_message:
            at = came.at
            block = request.resource_spans.add(resource=came.resource)
            block.scope_spans.add(scope=came.scope, spans=[came.span])
        found.append(Arrival(at, request.SerializeToString()))
    return found


def trace_ids(number: int) -> bytes:
    """Return the ID of a trace that no load has."""
    return b"\xff" + number.to_bytes(15, "big")
