"""Messages in the order of arrival, and the traces in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span


@dataclass(frozen=True)
class Message:
    """One export request, and the traces that it brings spans of."""

    value: bytes
    trace_ids: tuple[bytes, ...]

    @cached_property
    def request(self) -> ExportTraceServiceRequest:
        return ExportTraceServiceRequest.FromString(self.value)


@dataclass
class Traces:
    """Messages in the order of arrival. `spans` counts those of each trace, good and bad."""

    messages: list[Message]
    spans: Counter[bytes] = field(default_factory=Counter)

    @cached_property
    def _of_trace(self) -> dict[bytes, list[Message]]:
        found: dict[bytes, list[Message]] = {}
        for message in self.messages:
            for trace_id in message.trace_ids:
                found.setdefault(trace_id, []).append(message)
        return found

    def only(self, trace_id: bytes) -> Traces:
        """That one trace, in its messages, without other traces in these."""
        messages = []
        for message in self._of_trace[trace_id]:
            request = ExportTraceServiceRequest()
            for block in message.request.resource_spans:
                _copy_of(trace_id, block, request)
            messages.append(Message(request.SerializeToString(), (trace_id,)))
        return Traces(messages, Counter({trace_id: self.spans[trace_id]}))

    def bad(self) -> list[Span]:
        """The spans with an ID that is none."""
        return [
            span
            for trace_id in self.spans
            for _, span in self.spans_of(trace_id)
            if not any(span.trace_id) or not any(span.span_id)
        ]

    def spans_of(self, trace_id: bytes) -> list[tuple[ResourceSpans, Span]]:
        """The spans of a trace in order of arrival, each with what it stands in."""
        return [
            (block, span)
            for message in self._of_trace[trace_id]
            for block in message.request.resource_spans
            for scope in block.scope_spans
            for span in scope.spans
            if span.trace_id == trace_id
        ]


def _copy_of(trace_id: bytes, block: ResourceSpans, request: ExportTraceServiceRequest) -> None:
    copy = ResourceSpans()
    copy.CopyFrom(block)
    for scope in copy.scope_spans:
        kept = [span for span in scope.spans if span.trace_id == trace_id]
        del scope.spans[:]
        scope.spans.extend(kept)
    kept_scopes = [scope for scope in copy.scope_spans if scope.spans]
    if kept_scopes:
        del copy.scope_spans[:]
        copy.scope_spans.extend(kept_scopes)
        request.resource_spans.append(copy)


def arrived(requests: Sequence[ExportTraceServiceRequest]) -> Traces:
    """Return *requests* as messages, in that order."""
    found = Traces([])
    for request in requests:
        ids = [
            span.trace_id
            for block in request.resource_spans
            for scope in block.scope_spans
            for span in scope.spans
        ]
        found.spans.update(ids)
        found.messages.append(Message(request.SerializeToString(), tuple(dict.fromkeys(ids))))
    return found


def as_written(values: Sequence[bytes]) -> Traces:
    """Return *values* as messages, byte by byte."""
    found = arrived([ExportTraceServiceRequest.FromString(value) for value in values])
    return Traces(
        [
            Message(value, message.trace_ids)
            for value, message in zip(values, found.messages, strict=True)
        ],
        found.spans,
    )
