"""The differences that are meant, each with the words under which docs/migrating.md lists it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from tailrace_loadtest.compare.messages import Traces
from tailrace_loadtest.compare.policies import PolicySet


@dataclass(frozen=True)
class Difference:
    """One trace that became something else."""

    policy_set: PolicySet
    trace_id: bytes
    theirs: str
    ours: str


@dataclass(frozen=True)
class Trace:
    """A trace as it came. `blocks` are its spans by resource, message by message."""

    blocks: list[list[ResourceSpans]]

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for message in self.blocks
            for block in message
            for scope in block.scope_spans
            for span in scope.spans
        ]


@dataclass(frozen=True)
class Known:
    """A cause, and the traces and policies that it can be the cause with."""

    cause: str
    listed: str
    """What docs/migrating.md says of it, from the beginning of its entry."""
    explains: Callable[[PolicySet, Trace], bool]


def cause_of(difference: Difference, load: Traces) -> str | None:
    """The first known cause of *difference*, or None."""
    messages = load.only(difference.trace_id).messages
    trace = Trace([[*message.request.resource_spans] for message in messages])
    for known in KNOWN:
        if known.explains(difference.policy_set, trace):
            return known.cause
    return None


def _is_bad(policy_set: PolicySet, trace: Trace) -> bool:
    return any(not any(span.trace_id) or not any(span.span_id) for span in trace.spans)


def _has_unknown_numbers(policy_set: PolicySet, trace: Trace) -> bool:
    asked = policy_set.types & {"status_code", "ottl_condition"}
    return bool(asked) and any(span.status.code > 2 or span.kind > 5 for span in trace.spans)


def _has_no_start(policy_set: PolicySet, trace: Trace) -> bool:
    asked = "latency" in policy_set.types
    return asked and any(span.start_time_unix_nano == 0 for span in trace.spans)


def _asks_for_schemas(policy_set: PolicySet, trace: Trace) -> bool:
    return any("schema_url" in text for text in policy_set.conditions)


def _counts_keys_that_come_twice(policy_set: PolicySet, trace: Trace) -> bool:
    lists = [span.attributes for span in trace.spans]
    lists += [event.attributes for span in trace.spans for event in span.events]
    lists += [block.resource.attributes for message in trace.blocks for block in message]
    asked = any("Len(" in text for text in policy_set.conditions)
    return asked and any(len({each.key for each in found}) < len(found) for found in lists)


def _asks_for_places(policy_set: PolicySet, trace: Trace) -> bool:
    asked = any("event_index" in text for text in policy_set.conditions)
    return asked and any(span.events for span in trace.spans)


def _is_near_its_limit(policy_set: PolicySet, trace: Trace) -> bool:
    """Whether the two sizes of the trace, or of its beginning, may be on two sides of the limit."""
    limit: int = policy_set.section.get("maximum_trace_size_bytes", 0)
    most = least = 0
    for block in (block for message in trace.blocks for block in message):
        size = block.ByteSize()
        spans = sum(len(scope.spans) for scope in block.scope_spans)
        schemas = [block.schema_url, *(scope.schema_url for scope in block.scope_spans)]
        most += size + 8 + 8 * spans
        least += size - 8 - sum(len(schema) + 3 for schema in schemas)
        if least <= limit <= most:
            return limit > 0
    return False


KNOWN = (
    Known("a span without a valid ID", "**Bad spans**", _is_bad),
    Known("a kind or status that is unknown", "**Unknown numbers**", _has_unknown_numbers),
    Known("a span without a start", "**Spans without a start**", _has_no_start),
    Known("schema URLs are asked for", "**Schema URLs**", _asks_for_schemas),
    Known("a key that comes twice", "**Keys that come twice**", _counts_keys_that_come_twice),
    Known("the place of an event is asked for", "**Places of events**", _asks_for_places),
    Known("the bytes of a trace near a limit", "**Bytes**", _is_near_its_limit),
)
