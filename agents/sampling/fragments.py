"""Span batches, fragment by fragment: what a trace learns from the part that one message brings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from tailrace.agents.sampling.facts import Facts
from tailrace.agents.sampling.rules.keys import FieldValues, Keys
from tailrace.agents.sampling.services import ServiceNames
from tailrace.schemas.definitions.definition import DEFAULT_TENANT
from tailrace.schemas.spans import SpanBatch

Root = tuple[int, str, str]


More = Callable[[int, int, int], int]
Fragment = tuple[
    bytes,
    int,
    int,
    int,
    int,
    int,
    int,
    Root | None,
    bytes,
    More | None,
    FieldValues | None,
    str,
    int,
]
"""Trace ID, message, start and end (ns), spans, facts and services (bit sets), root, raw bytes,
and, if there are policies that ask, more facts from the trace's facts and envelope before this
fragment: facts, start, end; what rules tell traces by, if there are any; the tenant, and the epoch
of the policies for which the facts are.

A bare tuple, because there is one for every message.
"""


def summarise(
    batch: SpanBatch,
    facts: Facts,
    services: ServiceNames,
    keys: Keys | None = None,
    tenants: Sequence[str] | None = None,
    epoch: int = 0,
) -> Iterator[Fragment]:
    """Yield every fragment of *batch* in order; *tenants* are theirs, if not all of `default`."""
    count = len(batch.fragment_trace_id)
    if not count:
        return iter(())
    rows = batch.fragment_start[:-1]
    roots: list[Root | None] = [None] * count
    for fragment, root in _roots(batch).items():
        roots[fragment] = root
    starts = np.minimum.reduceat(batch.start, rows).tolist()
    ends = np.maximum.reduceat(batch.end, rows).tolist()
    return zip(
        batch.fragment_trace_id,
        batch.fragment_message.tolist(),
        starts,
        ends,
        np.diff(batch.fragment_start).tolist(),
        _facts(batch, facts, rows),
        _services(batch, services, rows),
        roots,
        batch.raw,
        _afters(batch, facts, starts, ends) if facts.has_order else [None] * count,
        [None] * count if keys is None else keys.observe(batch),
        [DEFAULT_TENANT] * count if tenants is None else tenants,
        [epoch] * count,
        strict=True,
    )


def selected(batch: SpanBatch, fragments: Sequence[int]) -> SpanBatch:
    """Return those *fragments* of *batch*, with the columns that are asked about here."""
    first = batch.fragment_start[:-1][fragments]
    sizes = np.diff(batch.fragment_start)[fragments]
    start = np.zeros(len(fragments) + 1, np.int32)
    np.cumsum(sizes, out=start[1:])
    rows = np.repeat(first - start[:-1], sizes) + np.arange(start[-1])
    columns = {name: getattr(batch, name)[rows] for name in _COLUMNS}
    context = {name: column[rows] for name in _CONTEXT if len(column := getattr(batch, name))}
    return replace(
        batch,
        **columns,
        **context,
        attributes={column: ids[rows] for column, ids in batch.attributes.items()},
        span_id=[],
        parent_span_id=[],
        fragment_trace_id=[batch.fragment_trace_id[each] for each in fragments],
        fragment_message=batch.fragment_message[fragments],
        fragment_start=start,
        raw=[batch.raw[each] for each in fragments],
        weight=None,
        events=None,
        links=None,
    )


_COLUMNS = ("start", "end", "kind", "status", "is_root", "service", "name", "resource")
_CONTEXT = ("trace_state", "flags")


def _facts(batch: SpanBatch, facts: Facts, rows: npt.NDArray[np.int32]) -> list[int]:
    bits = facts.observe(batch)
    if bits is None:
        return [0] * len(rows)
    found: list[int] = np.bitwise_or.reduceat(bits, rows).tolist()
    return found


def _afters(
    batch: SpanBatch, facts: Facts, starts: list[int], ends: list[int]
) -> list[Callable[[int, int, int], int] | None]:
    is_always = facts.has_envelopes
    envelopes = enumerate(zip(starts, ends, strict=True))
    return [
        partial(facts.after, batch, fragment, ordered, envelope) if ordered or is_always else None
        for ordered, (fragment, envelope) in zip(
            facts.observe_ordered(batch), envelopes, strict=True
        )
    ]


def _services(batch: SpanBatch, services: ServiceNames, rows: npt.NDArray[np.int32]) -> list[int]:
    """Return each fragment's services. A message is mostly of one, which needs no set."""
    lowest = np.minimum.reduceat(batch.service, rows)
    mixed = np.flatnonzero(lowest != np.maximum.reduceat(batch.service, rows))
    names = lowest.tolist()
    bits = {name: services.bit(batch.strings[name]) for name in set(names)}
    found = [bits[name] for name in names]
    for fragment in mixed.tolist():
        first, last = batch.fragment_start[fragment : fragment + 2].tolist()
        for name in set(batch.service[first:last].tolist()):
            found[fragment] |= services.bit(batch.strings[name])
    return found


def _roots(batch: SpanBatch) -> dict[int, Root]:
    """Return the earliest root span of each fragment that has one; of equals the first."""
    rows = np.flatnonzero(batch.is_root)
    fragments = np.searchsorted(batch.fragment_start, rows, side="right") - 1
    roots: dict[int, Root] = {}
    strings = batch.strings
    for fragment, start, service, name in zip(
        fragments.tolist(),
        batch.start[rows].tolist(),
        batch.service[rows].tolist(),
        batch.name[rows].tolist(),
        strict=True,
    ):
        if fragment not in roots or start < roots[fragment][0]:
            roots[fragment] = (start, strings[service], strings[name])
    return roots
