"""The relations of every tenant, apart from those of the others.

A span of another tenant is not there: it is no parent, and no part of a trace. So each tenant has
`Relations` of its own, which are shown its own spans; traces of one id that two tenants have spans
of are two. How many traces and spans are held is shared out by who asks, never by who sends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from tailrace.agents.matches.relation_rules import RelationRules
from tailrace.agents.matches.relation_spans import Found
from tailrace.agents.matches.relations import MAX_SPANS, MAX_TRACES, PREFIX, Relations
from tailrace.schemas.definitions.definition import DEFAULT_TENANT
from tailrace.schemas.definitions.filters import SpanFilter
from tailrace.schemas.definitions.signals import Signal
from tailrace.schemas.records import Totals
from tailrace.schemas.spans import SpanBatch
from tailrace.tables.aging_rows import erase
from tailrace.tables.store import PartitionStore

_OTHERS: Final = PREFIX + b"t"
_HASH_BYTES: Final = 8


class Related(NamedTuple):
    """The relations of one *tenant*; `filters` and `groupings` as `Relations` has them."""

    tenant: str
    signals: tuple[Signal, ...]
    filters: tuple[SpanFilter, ...]
    groupings: tuple[tuple[str, ...], ...]


def related(signals: Iterable[Signal]) -> tuple[Related, ...]:
    """Return *signals*, all of them relations, by tenant."""
    found: dict[str, list[Signal]] = {}
    for each in signals:
        found.setdefault(each.tenant, []).append(each)
    by_tenant = []
    for tenant, own in found.items():
        rules = RelationRules(own)
        groupings = tuple(rules.groupings)
        by_tenant.append(Related(tenant, tuple(own), tuple(rules.filters), groupings))
    return tuple(by_tenant)


class TenantRelations:
    """The relations of *all* in one partition; see `Relations` for how to use them."""

    def __init__(self, all: Sequence[Related], store: PartitionStore, wait_ms: int) -> None:
        self._store = store
        share = max(1, len(all))
        bounds = wait_ms, MAX_TRACES // share, MAX_SPANS // share
        self.each = [
            (each, Relations(each.signals, store, *bounds, prefix=_prefix(each.tenant)))
            for each in all
        ]
        """What is asked, and what is known of it."""

    def restore(self, now: int) -> None:
        """Build memory from the store, at stream time *now* (ms); what nobody asks for goes."""
        asked = {_prefix(each.tenant) for each, _ in self.each}
        size = len(_OTHERS) + _HASH_BYTES
        stored = {key[:size] for key, _ in self._store.scan(_OTHERS)}
        for prefix in sorted(stored - asked):
            erase(self._store, prefix)
        for _, relations in self.each:
            relations.restore(now)
        if PREFIX not in asked:
            Relations((), self._store, 0).restore(now)

    def advance(self, now: int, totals: Totals) -> list[Found]:
        """Return what is due before *now*."""
        return [found for _, each in self.each for found in each.advance(now, totals)]

    def seal(self) -> None:
        """Put into the store what is only in memory."""
        for _, relations in self.each:
            relations.seal()


def _prefix(tenant: str) -> bytes:
    """Return where the relations of *tenant* are in the store."""
    if tenant == DEFAULT_TENANT:
        return PREFIX
    return _OTHERS + hashlib.blake2b(tenant.encode(), digest_size=_HASH_BYTES).digest()


def rows_of(tenant: str, batch: SpanBatch, rows: slice) -> Iterator[int]:
    """Yield which of *rows* are spans of *tenant*."""
    if len(batch.tenant):
        own = batch.tenant[rows] == batch.strings.intern(tenant)
        yield from (np.flatnonzero(own) + rows.start).tolist()
    elif tenant == DEFAULT_TENANT:
        yield from range(rows.start, rows.stop)
