"""The differences that are meant, each with the words under which docs/migrating.md lists it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tailrace_loadtest.compare.policies import PolicySet, flattened
from tailrace_loadtest.compare.spans import Traces


@dataclass(frozen=True)
class Difference:
    """One trace that became something else."""

    policy_set: PolicySet
    trace_id: bytes
    theirs: str
    ours: str


@dataclass(frozen=True)
class Known:
    """A cause, and the traces and policies that it can be the cause with."""

    cause: str
    listed: str
    """What docs/migrating.md says of it, from the beginning of its entry."""
    explains: Callable[[PolicySet, list[Span]], bool]


def cause_of(difference: Difference, load: Traces) -> str | None:
    """The first known cause of *difference*, or None."""
    spans = [span for _, span in load.spans_of(difference.trace_id)]
    for known in KNOWN:
        if known.explains(difference.policy_set, spans):
            return known.cause
    return None


def _is_bad(policy_set: PolicySet, spans: list[Span]) -> bool:
    return any(not any(span.trace_id) or not any(span.span_id) for span in spans)


def _has_unknown_numbers(policy_set: PolicySet, spans: list[Span]) -> bool:
    asked = policy_set.types & {"status_code", "ottl_condition"}
    return bool(asked) and any(span.status.code > 2 or span.kind > 5 for span in spans)


def _has_no_start(policy_set: PolicySet, spans: list[Span]) -> bool:
    asked = any(each["type"] == "latency" for each in flattened(policy_set.policies))
    return asked and any(span.start_time_unix_nano == 0 for span in spans)


KNOWN = (
    Known("a span without a valid ID", "**Bad spans**", _is_bad),
    Known("a kind or status that is unknown", "**Unknown numbers**", _has_unknown_numbers),
    Known("a span without a start", "**Spans without a start**", _has_no_start),
)
