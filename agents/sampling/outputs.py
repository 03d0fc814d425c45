"""The records that tell the world what the sampler did: kept traces and decisions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from tailrace.agents.sampling.sampler import Decided, Effect, Late
from tailrace.agents.sampling.services import ServiceNames
from tailrace.agents.sampling.stamps import KeptTrace, Stamp, kept
from tailrace.schemas import compact_json
from tailrace.schemas.otlp.request import join
from tailrace.schemas.records import Headers, Output
from tailrace.schemas.topics import (
    DECISION_HEADER,
    POLICY_HEADER,
    POLICY_VERSION_HEADER,
    PROBABILITY_HEADER,
)
from tailrace.tables.decisions import Outcome
from tailrace.tables.traces import OpenTrace

DEFAULT_TENANT = "default"
_NOTHING = KeptTrace([], set(), 0)
_OVERHEAD_BYTES = 1024
"""Of a record with key and headers, and of the batch around it."""


class Written(NamedTuple):
    """What one effect becomes. `unfit`: spans that are larger than a record may be.

    `linked`: the other traces that the spans of a kept trace link to.
    """

    decision: Output
    kept: list[Output]
    unfit: list[bytes]
    linked: set[bytes]


def write(
    effects: Sequence[Effect],
    services: ServiceNames,
    record_bytes: int,
    *,
    stamps: bool = True,
    links: bool = False,
) -> list[Written]:
    """Return the records of *effects*, in their order; none larger than *record_bytes*.

    A decision that would be larger names fewer services, and its root in fewer characters. With
    *stamps*, kept spans say who kept them; with *links*, what they link to is told.
    """
    if not effects:
        return []
    starts = [effect.trace.start for effect in effects]
    times = _rfc3339(starts + [effect.at * 1_000_000 for effect in effects])
    count = len(effects)
    return [
        _write(effect, services, record_bytes, start, at, stamps=stamps, links=links)
        for effect, start, at in zip(effects, times[:count], times[count:], strict=True)
    ]


def _write(
    effect: Decided | Late,
    services: ServiceNames,
    record_bytes: int,
    start: str,
    at: str,
    *,
    stamps: bool,
    links: bool,
) -> Written:
    trace, outcome = effect.trace, effect.outcome
    is_kept = bool(effect.raw) and outcome.is_sampled
    found = _stamped(effect) if is_kept and (stamps or links) else _NOTHING
    trace_id = trace.trace_id.hex()
    key = trace_id.encode()
    is_late = type(effect) is Late
    record = {
        "trace_id": trace_id,
        "tenant": DEFAULT_TENANT,
        "decision": outcome.decision,
        "policy": outcome.policy,
        "probability": outcome.probability,
        "spans": trace.spans,
        "services": services.sorted(trace.services),
        "root": _root(trace),
        "start": start,
        "duration_ms": max(0, trace.end - trace.start) / 1_000_000,
        "decided_at": at,
        "late": is_late,
        "reason": outcome.reason,
        "policy_version": outcome.version,
        "missing_root": None if is_late else trace.root is None,
        "missing_parents": None if is_late or not found.values else found.missing_parents,
    }
    limit = record_bytes - _OVERHEAD_BYTES
    decision = Output(key, _fitted(record, limit), effect.at)
    if not effect.raw:
        return Written(decision, [], [], set())
    values = join(found.values if stamps and is_kept else effect.raw, limit)
    headers = _headers(outcome)
    records = [Output(key, value, effect.at, headers) for value in values if len(value) <= limit]
    unfit = [value for value in values if len(value) > limit]
    return Written(decision, records, unfit, found.linked)


def _stamped(effect: Decided | Late) -> KeptTrace:
    outcome = effect.outcome
    stamp = Stamp(
        effect.trace.trace_id,
        outcome.policy,
        outcome.probability,
        outcome.version,
        outcome.inclusion,
    )
    return kept(effect.raw, stamp)


def _fitted(record: dict[str, Any], limit: int) -> bytes:
    """Return *record* as JSON, its names cut so that it has at most *limit* bytes."""
    value = compact_json.dumps(record)
    services, root = record["services"], record["root"] or {}
    length = limit
    while len(value) > limit and length:
        length //= 2
        sizes = accumulate(map(len, services))
        record["services"] = [
            name for name, end in zip(services, sizes, strict=True) if end <= length
        ]
        record["root"] = {key: name[:length] for key, name in root.items()} or None
        value = compact_json.dumps(record)
    return value


def _root(trace: OpenTrace) -> dict[str, str] | None:
    return None if trace.root is None else {"service": trace.root[1], "name": trace.root[2]}


def _headers(outcome: Outcome) -> Headers:
    headers = [(POLICY_HEADER, (outcome.policy or "").encode())]
    if outcome.probability is not None:
        headers.append((PROBABILITY_HEADER, f"{outcome.probability:g}".encode()))
    headers.append((POLICY_VERSION_HEADER, outcome.version.encode()))
    if not outcome.is_sampled:
        headers.append((DECISION_HEADER, outcome.decision.encode()))
    return headers


def _rfc3339(nanos: Sequence[int]) -> list[str]:
    """Return *nanos* (since 1970) in RFC 3339 with nanoseconds, UTC."""
    times = np.array(nanos, "datetime64[ns]")
    return [f"{time}Z" for time in np.datetime_as_string(times).tolist()]
