"""What each path reads of a span that came as OTLP messages.

Kinds and statuses that OTLP does not know are 0, as in batches.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tailrace.schemas.ottl.anyvalues import ABSENT, mapping, named
from tailrace.schemas.ottl.compiled import Getter, Key
from tailrace.schemas.ottl.indexing import part_of_attribute, text_key
from tailrace.schemas.ottl.paths import Owner, Place
from tailrace.schemas.ottl.problems import EvaluationError
from tailrace.schemas.ottl.subjects import Subject
from tailrace.schemas.ottl.values import Moment, Part, SpanId, TraceId, wrapped
from tailrace.schemas.tracestate import parse

Reader = Callable[[Subject], Any]

_STATUSES: Final = 3
KINDS: Final = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")


def kind_text(kind: int) -> str:
    """The name of a span's kind."""
    return KINDS[kind]


def deprecated_kind_text(kind: int) -> str:
    """The name of a span's kind as its enum has it."""
    return f"SPAN_KIND_{KINDS[kind].upper()}"


def _kind(span: Any) -> int:
    kind: int = span.kind
    return kind if 0 <= kind < len(KINDS) else 0


def _status(span: Any) -> int:
    code: int = span.status.code
    return code if 0 <= code < _STATUSES else 0


def _id(data: bytes, size: int) -> bytes:
    return data if len(data) == size else bytes(size)  # none is all zeros


_SPAN: Final[Mapping[str, Reader]] = {
    "trace_id": lambda at: TraceId(_id(at.span.trace_id, 16)),
    "trace_id.string": lambda at: _id(at.span.trace_id, 16).hex(),
    "span_id": lambda at: SpanId(_id(at.span.span_id, 8)),
    "span_id.string": lambda at: _id(at.span.span_id, 8).hex(),
    "trace_state": lambda at: at.span.trace_state,
    "parent_span_id": lambda at: SpanId(_id(at.span.parent_span_id, 8)),
    "parent_span_id.string": lambda at: _id(at.span.parent_span_id, 8).hex(),
    "name": lambda at: at.span.name,
    "kind": lambda at: _kind(at.span),
    "kind.string": lambda at: kind_text(_kind(at.span)),
    "kind.deprecated_string": lambda at: deprecated_kind_text(_kind(at.span)),
    "start_time": lambda at: Moment(wrapped(at.span.start_time_unix_nano)),
    "start_time_unix_nano": lambda at: wrapped(at.span.start_time_unix_nano),
    "end_time": lambda at: Moment(wrapped(at.span.end_time_unix_nano)),
    "end_time_unix_nano": lambda at: wrapped(at.span.end_time_unix_nano),
    "attributes": lambda at: mapping(at.span.attributes),
    "dropped_attributes_count": lambda at: at.span.dropped_attributes_count,
    "events": lambda at: Part("a list of events", len(at.span.events)),
    "dropped_events_count": lambda at: at.span.dropped_events_count,
    "links": lambda at: Part("a list of links", len(at.span.links)),
    "dropped_links_count": lambda at: at.span.dropped_links_count,
    "status": lambda at: Part("a status"),
    "status.code": lambda at: _status(at.span),
    "status.message": lambda at: at.span.status.message,
    "flags": lambda at: at.span.flags,
    "cache": lambda at: {},
}

_EVENT: Final[Mapping[str, Reader]] = {
    "name": lambda at: at.event.name,
    "time": lambda at: Moment(wrapped(at.event.time_unix_nano)),
    "time_unix_nano": lambda at: wrapped(at.event.time_unix_nano),
    "attributes": lambda at: mapping(at.event.attributes),
    "dropped_attributes_count": lambda at: at.event.dropped_attributes_count,
    "event_index": lambda at: at.event_index,
    "cache": lambda at: {},
}

_RESOURCE: Final[Mapping[str, Reader]] = {
    "attributes": lambda at: mapping(at.resource_spans.resource.attributes),
    "dropped_attributes_count": (lambda at: at.resource_spans.resource.dropped_attributes_count),
    "schema_url": lambda at: at.resource_spans.schema_url,
}

_SCOPE: Final[Mapping[str, Reader]] = {
    "name": lambda at: at.scope_spans.scope.name,
    "version": lambda at: at.scope_spans.scope.version,
    "attributes": lambda at: mapping(at.scope_spans.scope.attributes),
    "dropped_attributes_count": lambda at: at.scope_spans.scope.dropped_attributes_count,
    "schema_url": lambda at: at.scope_spans.schema_url,
}

READERS: Final[Mapping[Owner, Mapping[str, Reader]]] = {
    "span": _SPAN,
    "spanevent": _EVENT,
    "resource": _RESOURCE,
    "scope": _SCOPE,
}

ATTRIBUTES: Final[Mapping[Owner, Callable[[Subject, str], Any]]] = {
    "span": lambda at, key: named(at.span.attributes, key),
    "spanevent": lambda at, key: named(at.event.attributes, key),
    "resource": lambda at, key: named(at.resource_spans.resource.attributes, key),
    "scope": lambda at, key: named(at.scope_spans.scope.attributes, key),
}
"""The value of one attribute, or ABSENT."""


def read_place(place: Place, keys: Sequence[Key]) -> Getter:
    """What reads the part of a span that *place* names, and of it what *keys* index."""
    if not keys:
        return READERS[place.owner][place.field]
    if place.field == "trace_state":
        return _member_of_trace_state(keys[0])
    if place.field == "cache":
        return _part_of_nothing(keys)
    first, rest = keys[0], keys[1:]
    attribute = ATTRIBUTES[place.owner]

    def get(at: Subject) -> Any:
        value = attribute(at, text_key(first, at))
        if value is ABSENT:
            return None
        return part_of_attribute(value, rest, at) if rest else value

    return get


def read_root() -> Getter:
    """What reads whether the span has no parent."""
    return lambda at: not any(at.span.parent_span_id)


def _member_of_trace_state(key: Key) -> Getter:
    def get(at: Subject) -> str | None:
        members = parse(at.span.trace_state)
        if members is None:
            return None
        name = None if key.is_expression else key.get(at)
        if type(name) is not str:
            raise EvaluationError("a trace state is indexed by a text that is written out")
        return dict(members).get(name, "")

    return get


def _part_of_nothing(keys: Sequence[Key]) -> Getter:
    def get(at: Subject) -> None:
        text_key(keys[0], at)

    return get
