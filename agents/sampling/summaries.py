"""Fragments as those see them who judge their traces: each tenant's policies ask for facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from tailrace.agents.sampling.fragments import Fragment, selected, summarise
from tailrace.agents.sampling.judge import Judge
from tailrace.agents.sampling.services import ServiceNames
from tailrace.agents.sampling.standing import Bench
from tailrace.schemas.definitions.definition import DEFAULT_TENANT
from tailrace.schemas.spans import SpanBatch
from tailrace.tables.traces import OpenTrace

Tenants: TypeAlias = Sequence[str] | None
"""One for each fragment of a batch; None: all are of `default`."""


def tenants_of(batch: SpanBatch, traces: Mapping[bytes, OpenTrace]) -> tuple[Tenants, Tenants]:
    """Return whose each fragment of *batch* is, and whose trace it is of, if *traces* are open.

    The latter as known before any trace of the batch is decided: one that is opened anew in between
    may turn out to be another's, and is then looked at anew.
    """
    said = [DEFAULT_TENANT] * len(batch.raw)
    if len(batch.tenant):
        ids = batch.tenant[batch.fragment_start[:-1]].tolist()
        said = [batch.strings[each] for each in ids]
    owners: dict[bytes, str] = {}
    for trace_id, tenant in zip(batch.fragment_trace_id, said, strict=True):
        trace = traces.get(trace_id)
        owners.setdefault(trace_id, tenant if trace is None else trace.tenant)
    return said, [owners[each] for each in batch.fragment_trace_id]


class Summaries:
    """Summarises batches for those of *judge* who judge them."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self.services = ServiceNames()

    def of(self, batch: SpanBatch, tenants: Tenants, owners: Tenants) -> Sequence[Fragment]:
        """Return the fragments of *batch*, of *tenants*, as those see them who judge *owners*."""
        judge, count = self._judge, len(batch.raw)
        if judge.is_one or tenants is None or owners is None:
            return self._seen_by(judge.bench(DEFAULT_TENANT), batch, tenants)
        places: dict[Bench, list[int]] = {}
        for place, owner in enumerate(owners):
            places.setdefault(judge.bench(owner), []).append(place)
        found: dict[int, Fragment] = {}
        for bench, own in places.items():
            part = batch if len(own) == count else selected(batch, own)
            seen = self._seen_by(bench, part, [tenants[place] for place in own])
            found.update(zip(own, seen, strict=True))
        return [found[place] for place in range(count)]

    def _seen_by(self, bench: Bench, batch: SpanBatch, tenants: Tenants) -> list[Fragment]:
        policies = bench.policies
        facts, keys = policies.sampling.facts, policies.keys
        return list(summarise(batch, facts, self.services, keys, tenants, bench.epoch))
