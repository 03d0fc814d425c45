"""Traces as literals, and what a policy says of them.

Cases are told as (policy's body, fragments of spans, whether it is sampled); the collector gives
the same answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np

from tailrace.agents.sampling.facts import NO_END, NO_START, Facts
from tailrace.agents.sampling.policies import build
from tailrace.agents.sampling.votes import Policy, Vote
from tailrace.schemas.config.policies import PolicyConfig, policy
from tailrace.schemas.spans import AttributeColumn, SpanBatch
from tailrace.schemas.strings import ABSENT, AttributeValue, Strings, Values

MS = 1_000_000
STATUS = {"UNSET": 0, "OK": 1, "ERROR": 2}


@dataclass(frozen=True)
class Span:
    """One span with its resource; times in ms."""

    start: float = 0
    end: float = 1
    status: str = "UNSET"
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    resource: Mapping[str, AttributeValue] = field(default_factory=dict)


Fragments = Sequence[Sequence[Span]]
Case = tuple[dict[str, Any], Fragments, bool]


@dataclass
class SeenTrace:
    """A trace as a sampler would have it."""

    trace_id: bytes = bytes(16)
    start: int = NO_START
    end: int = NO_END
    spans: int = 0
    size: int = 0
    facts: int = 0
    tenant: str = "default"


def batch_of(
    fragments: Fragments, columns: Sequence[AttributeColumn], values: Values | None = None
) -> SpanBatch:
    """A batch with one message a fragment, all of trace 0."""
    values = values if values is not None else Values()
    rows = [span for fragment in fragments for span in fragment]
    nothing = np.zeros(len(rows), np.int32)
    return SpanBatch(
        start=np.array([round(span.start * MS) for span in rows], np.int64),
        end=np.array([round(span.end * MS) for span in rows], np.int64),
        kind=nothing.astype(np.uint8),
        status=np.array([STATUS[span.status] for span in rows], np.uint8),
        is_root=nothing.astype(np.bool_),
        service=nothing,
        resource=nothing,
        name=nothing,
        attributes={
            column: np.array([_id(span, column, values) for span in rows], np.int32)
            for column in columns
        },
        span_id=[],
        parent_span_id=[],
        fragment_trace_id=[bytes(16)] * len(fragments),
        fragment_message=np.arange(len(fragments), dtype=np.int32),
        fragment_start=np.array([0, *accumulate(map(len, fragments))], np.int32),
        raw=[b""] * len(fragments),
        rejected=[],
        strings=Strings(),
        values=values,
    )


def _id(span: Span, column: AttributeColumn, values: Values) -> int:
    found = span.attributes if column.scope == "span" else span.resource
    return values.intern(found[column.key]) if column.key in found else ABSENT


def seen(fragments: Fragments, facts: Facts) -> SeenTrace:
    """The trace after its fragments came one by one."""
    trace = SeenTrace()
    for fragment in fragments:
        batch = batch_of([fragment], facts.attributes)
        bits = facts.observe(batch)
        if bits is not None:
            trace.facts |= int(np.bitwise_or.reduce(bits))
        [ordered] = facts.observe_ordered(batch)
        envelope = int(batch.start.min()), int(batch.end.max())
        so_far = trace.facts, trace.start, trace.end
        trace.facts |= facts.after(batch, 0, ordered, envelope, *so_far)
        trace.start = min(trace.start, int(batch.start.min()))
        trace.end = max(trace.end, int(batch.end.max()))
        trace.spans += len(batch)
    return trace


def built(config: Mapping[str, Any]) -> tuple[Policy, Facts]:
    """The policy that *config* describes, and its facts."""
    model: PolicyConfig = policy(dict(config))
    facts = Facts()
    return build(model, facts), facts


def is_sampled(config: Mapping[str, Any], fragments: Fragments) -> bool:
    """Whether the policy samples the trace; asked alone and together with others."""
    one, facts = built(config)
    trace = seen(fragments, facts)
    vote = one.vote(trace, 0)
    assert one.votes([trace] * 30, [0] * 30) == [vote] * 30
    return vote is Vote.SAMPLED
