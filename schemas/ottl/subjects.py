"""What a condition is asked about: a span, or an event of a span, and what is around it."""

from typing import Any, Literal, NamedTuple, TypeAlias

Context: TypeAlias = Literal["span", "spanevent"]


class Subject(NamedTuple):
    """A span as OTLP messages; its event and the event's index in it, for the context spanevent."""

    resource_spans: Any  # opentelemetry.proto.trace.v1.trace_pb2.ResourceSpans
    scope_spans: Any  # ScopeSpans
    span: Any  # Span
    event: Any = None  # Span.Event
    event_index: int = 0
