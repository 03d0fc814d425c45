"""The records that tell the world what the sampler did: kept traces and decisions."""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Sequence, Set
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from tailrace.agents.sampling.decision_records import encoded
from tailrace.agents.sampling.sampler import Decided, Effect, Late
from tailrace.agents.sampling.services import ServiceNames
from tailrace.agents.sampling.stamps import KeptTrace, Stamp, kept
from tailrace.schemas.otlp.request import join
from tailrace.schemas.records import Headers, Output
from tailrace.schemas.topics import (
    DECISION_HEADER,
    POLICY_HEADER,
    POLICY_VERSION_HEADER,
    PROBABILITY_HEADER,
)
from tailrace.tables.decisions import Outcome

_NO_TRACES: frozenset[bytes] = frozenset()
_OVERHEAD_BYTES = 1024
"""Of a record with key and headers, and of the batch around it."""


class Written(NamedTuple):
    """What one effect becomes. `unfit`: spans that are larger than a record may be.

    `linked`: the other traces that the spans of a kept trace link to.
    """

    decision: Output
    kept: list[Output]
    unfit: list[bytes]
    linked: Set[bytes]


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
    starts = _rfc3339([effect.trace.start for effect in effects])
    decided_at = _rfc3339([effect.at * 1_000_000 for effect in effects])
    return [
        _write(effect, services, record_bytes, times, stamps=stamps, links=links)
        for effect, *times in zip(effects, starts, decided_at, strict=True)
    ]


def _write(
    effect: Decided | Late,
    services: ServiceNames,
    record_bytes: int,
    times: Sequence[bytes],
    *,
    stamps: bool,
    links: bool,
) -> Written:
    trace, outcome = effect.trace, effect.outcome
    is_kept = bool(effect.raw) and outcome.is_sampled
    found = _stamped(effect, links=links) if is_kept and (stamps or links) else None
    is_late = type(effect) is Late
    limit = record_bytes - _OVERHEAD_BYTES
    key = hexlify(trace.trace_id)
    value = encoded(
        key,
        trace,
        outcome,
        services,
        times,
        None if is_late or found is None else found.missing_parents,
        limit,
        is_late=is_late,
    )
    decision = Output(key, value, effect.at)
    if not effect.raw:
        return Written(decision, [], [], _NO_TRACES)
    values = join([found.value] if stamps and found is not None else effect.raw, limit)
    headers = _headers(outcome)
    records = [Output(key, value, effect.at, headers) for value in values if len(value) <= limit]
    unfit = [value for value in values if len(value) > limit]
    return Written(decision, records, unfit, _NO_TRACES if found is None else found.linked)


def _stamped(effect: Decided | Late, *, links: bool) -> KeptTrace:
    outcome = effect.outcome
    stamp = Stamp(
        effect.trace.trace_id,
        outcome.policy,
        outcome.probability,
        outcome.version,
        outcome.inclusion,
    )
    return kept(effect.raw, stamp, links=links)


@lru_cache(maxsize=4096)
def _headers(outcome: Outcome) -> Headers:
    headers = [(POLICY_HEADER, (outcome.policy or "").encode())]
    if outcome.probability is not None:
        headers.append((PROBABILITY_HEADER, f"{outcome.probability:g}".encode()))
    headers.append((POLICY_VERSION_HEADER, outcome.version.encode()))
    if not outcome.is_sampled:
        headers.append((DECISION_HEADER, outcome.decision.encode()))
    return tuple(headers)


def _rfc3339(nanos: Sequence[int]) -> list[bytes]:
    """Return *nanos* (since 1970) in RFC 3339 with nanoseconds, UTC, but for the Z at the end."""
    texts: list[bytes] = (
        np.datetime_as_string(np.array(nanos, "datetime64[ns]")).astype("S").tolist()
    )
    return texts
