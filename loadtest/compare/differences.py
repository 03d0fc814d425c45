"""The differences that are meant, each with the words under which docs/migrating.md lists it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

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


Blocks: TypeAlias = list[tuple[ResourceSpans, Span]]
"""The spans of a trace, each with what it stands in."""


@dataclass(frozen=True)
class Known:
    """A cause, and the traces and policies that it can be the cause with."""

    cause: str
    listed: str
    """What docs/migrating.md says of it, from the beginning of its entry."""
    explains: Callable[[PolicySet, Blocks], bool]


def cause_of(difference: Difference, load: Traces) -> str | None:
    """The first known cause of *difference*, or None."""
    spans = load.only(difference.trace_id).spans_of(difference.trace_id)
    for known in KNOWN:
        if known.explains(difference.policy_set, spans):
            return known.cause
    return None


def _is_bad(policy_set: PolicySet, spans: Blocks) -> bool:
    return any(not any(span.trace_id) or not any(span.span_id) for _, span in spans)


def _has_unknown_numbers(policy_set: PolicySet, spans: Blocks) -> bool:
    asked = policy_set.types & {"status_code", "ottl_condition"}
    return bool(asked) and any(span.status.code > 2 or span.kind > 5 for _, span in spans)


def _has_no_start(policy_set: PolicySet, spans: Blocks) -> bool:
    asked = "latency" in policy_set.types
    return asked and any(span.start_time_unix_nano == 0 for _, span in spans)


def _asks_for_schemas(policy_set: PolicySet, spans: Blocks) -> bool:
    return any("schema_url" in text for text in policy_set.conditions)


def _asks_for_places(policy_set: PolicySet, spans: Blocks) -> bool:
    asked = any("event_index" in text for text in policy_set.conditions)
    return asked and any(span.events for _, span in spans)


def _is_near_its_limit(policy_set: PolicySet, spans: Blocks) -> bool:
    limit: int = policy_set.section.get("maximum_trace_size_bytes", 0)
    blocks = {id(block): block for block, _ in spans}.values()
    size = sum(block.ByteSize() for block in blocks)
    schemas = sum(
        len(block.schema_url) + 3 + sum(len(scope.schema_url) + 3 for scope in block.scope_spans)
        for block in blocks
    )
    least, most = size - schemas - 8 * len(blocks), size + 8 * len(spans)
    return limit > 0 and least <= limit <= most


KNOWN = (
    Known("a span without a valid ID", "**Bad spans**", _is_bad),
    Known("a kind or status that is unknown", "**Unknown numbers**", _has_unknown_numbers),
    Known("a span without a start", "**Spans without a start**", _has_no_start),
    Known("schema URLs are asked for", "**Schema URLs**", _asks_for_schemas),
    Known("the place of an event is asked for", "**Places of events**", _asks_for_places),
    Known("the bytes of a trace near a limit", "**Bytes**", _is_near_its_limit),
)
