"""Tail sampling: gathers traces, decides each once, and lets late spans follow the decision.

Laws:

- A trace is decided once: when its wait ends, in the order of due times, before any record that
  is later than that; or sooner, when it or the partition reaches a limit, with that as its reason.
- What is decided is a function of the fragments in their order, of stream time, of the marks and
  links that stood when it was due, and of the policies that stood then for its tenant: a trace
  that waits when these change is looked at anew.
- A trace's tenant is that of its first span.
- Every decoded span is kept, dropped, or pending in exactly one open trace.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, NamedTuple

from tailrace.agents.sampling.due import DueTraces
from tailrace.agents.sampling.facts import NO_END, NO_START
from tailrace.agents.sampling.fragments import Fragment
from tailrace.agents.sampling.judge import Judge
from tailrace.agents.sampling.services import ServiceNames
from tailrace.agents.sampling.splits import SplitTraces
from tailrace.agents.sampling.summaries import Summaries, Tenants, tenants_of
from tailrace.schemas.definitions.definition import DEFAULT_TENANT
from tailrace.schemas.otlp.request import by_resource
from tailrace.schemas.spans import SpanBatch
from tailrace.tables.decisions import DecisionTable, Outcome
from tailrace.tables.trace_buffers import TraceBuffers
from tailrace.tables.traces import OpenTrace

_OF_SEVERAL: Final = -1
"""The epoch of a trace whose facts are not for the same policies."""
_SEEN_AT_ONCE: Final = 2000
"""So many traces are in memory when they are looked at anew: all may be, and memory be short."""


class Decided(NamedTuple):
    """A trace was decided at `at` (ms of stream time). `raw` are its fragments if it is kept."""

    trace: OpenTrace
    outcome: Outcome
    at: int
    raw: list[bytes]


class Late(NamedTuple):
    """Spans came at `at` (ms of stream time) for a trace that was decided before."""

    trace: OpenTrace
    outcome: Outcome
    at: int
    raw: list[bytes]


Effect = Decided | Late


@dataclass(frozen=True, slots=True)
class SamplerSettings:
    """Times in ms. None: no limit, or no shorter wait for a trace whose root has come.

    `judges_messages`: each fragment is judged alone, when it comes. `forwards_all`: what is not
    kept is forwarded as well.
    """

    decision_wait_ms: int
    num_traces: int | None = None
    root_wait_ms: int | None = None
    max_bytes: int | None = None
    max_spans: int | None = None
    judges_messages: bool = False
    forwards_all: bool = False


class Sampler:
    """The open traces of one partition, and what becomes of them."""

    def __init__(
        self,
        settings: SamplerSettings,
        judge: Judge,
        buffers: TraceBuffers,
        decisions: DecisionTable,
        splits: SplitTraces,
        decode: Callable[[Sequence[bytes]], SpanBatch],
    ) -> None:
        self._settings = settings
        self._judge = judge
        self._buffers = buffers
        self._decisions = decisions
        self._splits = splits
        self._decode = decode
        self._open: dict[bytes, OpenTrace] = {}
        self._foreign = 0
        """How many of those are of another tenant than `default`."""
        self._due = DueTraces(settings.decision_wait_ms, settings.root_wait_ms)
        self._has_roots = settings.root_wait_ms is not None
        self._is_watching = bool(
            settings.max_bytes or settings.max_spans or settings.judges_messages
        )
        self._summaries = Summaries(judge)
        self.pending_spans = 0

    def __len__(self) -> int:
        """The number of open traces."""
        return len(self._open)

    @property
    def decisions_stored(self) -> tuple[int, int]:
        """How many decisions are in the store, and their bytes."""
        return self._decisions.stored, self._decisions.stored_bytes

    @property
    def services(self) -> ServiceNames:
        """The services that traces were seen in."""
        return self._summaries.services

    @property
    def judge(self) -> Judge:
        """Who decides."""
        return self._judge

    def process(self, batch: SpanBatch, times: Sequence[int]) -> list[Effect]:
        """Add the fragments of *batch* and decide what is due.

        `times[i]` is stream time (ms) at message i.
        """
        effects: list[Effect] = []
        open_traces, due = self._open, self._due
        merge, append, has_roots = self._merge, self._buffers.append, self._has_roots
        unknown = [each for each in set(batch.fragment_trace_id) if each not in open_traces]
        older = dict(zip(unknown, self._decisions.find_older(unknown), strict=True))
        for fragment in self._summaries.of(batch, *self._tenants(batch)):
            trace_id, message = fragment[0], fragment[1]
            now = times[message]
            if due.next < now:
                effects += self.advance(now)
            trace = open_traces.get(trace_id)
            if trace is None:
                outcome = self._outcome(trace_id, older, now)
                if outcome is not None:
                    effects.append(self._late(fragment, outcome, now))
                    continue
                effects += self._make_room(now)
                trace = self._opened(trace_id, now, fragment[11], fragment[12])
            merge(trace, fragment)
            if fragment[7] is not None and has_roots:
                due.rooted(trace, now)
            self.pending_spans += fragment[4]
            trace.fragments.append(append(fragment[8], now, trace.tenant))
            if self._is_watching:
                effects += self._watched(trace, fragment, now)
        if times:
            effects += self.advance(times[-1])
        return effects

    def advance(self, now: int) -> list[Effect]:
        """Decide every trace that is due before *now* (ms of stream time)."""
        due = self._due.before(now)
        if not due:
            return []
        times = [trace.due for trace in due]
        reasons = ["root" if trace.is_rooted else "wait" for trace in due]
        return self._decide(due, times, reasons, by_ms=0)

    def relieve(self, now: int, traces: int) -> list[Effect]:
        """Decide the *traces* oldest traces at *now*, because memory is needed."""
        oldest = [self._due.oldest() for _ in range(min(traces, len(self._open)))]
        return self._decide(oldest, [now] * len(oldest), ["memory"] * len(oldest)) if oldest else []

    def count_not_sampled(self, trace_ids: Sequence[bytes], now: int) -> int:
        """Return how many of *trace_ids* are decided, and not kept."""
        decided = [each for each in trace_ids if each not in self._open]
        older = dict(zip(decided, self._decisions.find_older(decided), strict=True))
        outcomes = [self._outcome(each, older, now) for each in decided]
        return sum(each is not None and not each.is_sampled for each in outcomes)

    def seal(self, now: int) -> None:
        """Put into the store what is only in memory."""
        self._buffers.seal()
        self._decisions.seal(now)
        self._judge.seal()
        if self.services.are_many:  # whatever was decided has been written
            traces = [*self._open.values()]
            sets = self.services.renumbered([trace.services for trace in traces])
            for trace, services in zip(traces, sets, strict=True):
                trace.services = services

    def restore(self, now: int) -> None:
        """Rebuild the open traces from the stored fragments of undecided ones."""
        self._decisions.restore(now)
        self._judge.restore()
        for rows in self._buffers.restore():
            batch = self._decode([row.raw for row in rows])
            known = self._decisions.find_older(batch.fragment_trace_id)
            tenants = [rows[message].tenant for message in batch.fragment_message.tolist()]
            fragments = self._summaries.of(batch, tenants, tenants)
            for fragment, decided in zip(fragments, known, strict=True):
                ref, at, _, tenant = rows[fragment[1]]
                if decided is not None and self._decisions.was_made(decided[1], since=at):
                    self._buffers.release([ref])
                    continue
                trace = self._open.get(fragment[0])
                if trace is None:
                    trace = self._opened(fragment[0], at, tenant, fragment[12])
                self._add(trace, fragment, at)
                trace.fragments.append(ref)

    def close(self) -> None:
        """Give up all open traces; another worker has them now."""
        for trace_id in self._open:
            self._splits.closed(trace_id)

    def _tenants(self, batch: SpanBatch) -> tuple[Tenants, Tenants]:
        if not len(batch.tenant) and not self._foreign:
            return None, None
        return tenants_of(batch, self._open)

    def _merge(self, trace: OpenTrace, fragment: Fragment) -> None:
        """Let *trace* have what *fragment* says of it."""
        _, _, start, end, spans, facts, services, root, raw, more, keys, _, epoch = fragment
        if more is not None:
            facts |= more(trace.facts, trace.start, trace.end)
        trace.merge(start, end, spans, facts, services, root, len(raw))
        if epoch != trace.epoch:
            trace.epoch = _OF_SEVERAL
        elif keys:
            known = self._judge.bench(trace.tenant).policies.keys
            trace.keys = trace.keys if known is None else known.merge(trace.keys, keys)

    def _add(self, trace: OpenTrace, fragment: Fragment, now: int) -> None:
        """Let *trace* know what *fragment*, which came at *now*, brings."""
        self._merge(trace, fragment)
        if fragment[7] is not None:
            self._due.rooted(trace, now)
        self.pending_spans += fragment[4]

    def _watched(self, trace: OpenTrace, fragment: Fragment, now: int) -> list[Effect]:
        """Decide *trace* at once if what came with *fragment* is reason to."""
        settings = self._settings
        self._see_anew([trace])
        outcome = None
        if settings.judges_messages:
            outcome = self._judged_alone(trace, fragment, now)
        elif settings.max_bytes and trace.size > settings.max_bytes:
            outcome = self._judge.not_sampled(trace, now, "bytes", by_ms=1)
        if outcome is not None:
            self._due.close(trace)
            return self._end([trace], [outcome], [now])
        if settings.max_spans and trace.spans >= settings.max_spans:
            self._due.close(trace)
            return self._decide([trace], [now], ["spans"])
        return []

    def _judged_alone(self, trace: OpenTrace, fragment: Fragment, now: int) -> Outcome | None:
        """Return what becomes of *trace* by what *fragment* alone says; None: it is open yet.

        As in the collector, the spans of each resource are judged alone, one after the other. Spans
        and bytes are counted since the trace began.
        """
        most = self._settings.max_bytes
        parts = by_resource(fragment[8])
        epoch = self._judge.bench(trace.tenant).epoch
        seen: Sequence[Fragment] = [fragment]
        if len(parts) > 1 or fragment[12] != epoch:
            owners = [trace.tenant] * len(parts)
            seen = self._summaries.of(self._decode(parts), owners, owners)
        spans, size = trace.spans - fragment[4], trace.size - len(fragment[8])
        for part in seen:
            alone = OpenTrace(
                trace.trace_id, trace.due, NO_START, NO_END, tenant=trace.tenant, epoch=epoch
            )
            self._merge(alone, part)
            alone.spans, alone.size = spans, size = spans + part[4], size + len(part[8])
            if most and size > most:
                is_asked = spans > part[4]
                return self._judge.not_sampled(trace, now, "bytes", by_ms=1, is_asked=is_asked)
            outcome = self._judge.alone(alone, trace, now)
            if outcome is not None:
                return outcome
        return None

    def _outcome(
        self, trace_id: bytes, older: dict[bytes, tuple[Outcome, int] | None], now: int
    ) -> Outcome | None:
        recent = self._decisions.find_recent(trace_id, now)
        if recent is not None:
            return recent
        found = older.get(trace_id)
        return found[0] if found is not None and self._decisions.is_held(*found, now) else None

    def _late(self, fragment: Fragment, outcome: Outcome, now: int) -> Late:
        trace_id, raw = fragment[0], fragment[8]
        self._judge.late(trace_id, outcome, now)
        late = OpenTrace(trace_id, now, NO_START, NO_END, tenant=fragment[11], epoch=fragment[12])
        self._merge(late, fragment)
        return Late(late, outcome, now, [raw] if self._forwards(outcome) else [])

    def _opened(self, trace_id: bytes, now: int, tenant: str, epoch: int) -> OpenTrace:
        trace = OpenTrace(trace_id, now, NO_START, NO_END, tenant=tenant, epoch=epoch)
        self._open[trace_id] = trace
        self._foreign += tenant != DEFAULT_TENANT
        self._splits.opened(trace_id)
        self._due.add(trace, now)
        return trace

    def _make_room(self, now: int) -> list[Effect]:
        limit = self._settings.num_traces
        if limit is None or len(self._open) < limit:
            return []
        return self._decide([self._due.oldest()], [now], ["traces"])

    def _decide(
        self, traces: list[OpenTrace], times: list[int], reasons: list[str], *, by_ms: int = 1
    ) -> list[Effect]:
        """Decide *traces*; of those that are not due, records of the same ms may be still to come.

        Whether these are in the same batch and have made their marks must not matter, so only
        marks of *by_ms* before count. Where messages are judged alone, all have been by now.
        """
        self._see_anew(traces)
        if self._settings.judges_messages:
            outcomes = [
                self._judge.not_sampled(trace, at, reason, by_ms, is_asked=True)
                for trace, at, reason in zip(traces, times, reasons, strict=True)
            ]
        else:
            outcomes = self._judge.outcomes(traces, times, reasons, by_ms=by_ms)
        return self._end(traces, outcomes, times)

    def _see_anew(self, traces: Sequence[OpenTrace]) -> None:
        """Let *traces* have the facts that the policies that stand now ask for."""
        bench = self._judge.bench
        stale = [trace for trace in traces if trace.epoch != bench(trace.tenant).epoch]
        for first in range(0, len(stale), _SEEN_AT_ONCE):
            self._look_again(stale[first : first + _SEEN_AT_ONCE])

    def _look_again(self, traces: Sequence[OpenTrace]) -> None:
        owners = [trace for trace in traces for _ in trace.fragments]
        raw = self._buffers.read_many([each.fragments for each in traces])
        batch = self._decode([value for values in raw for value in values])
        anew = {
            id(trace): OpenTrace(
                trace.trace_id, 0, NO_START, NO_END, tenant=trace.tenant,
                epoch=self._judge.bench(trace.tenant).epoch,
            )
            for trace in traces
        }  # fmt: skip
        tenants = [owners[message].tenant for message in batch.fragment_message.tolist()]
        for fragment in self._summaries.of(batch, tenants, tenants):
            self._merge(anew[id(owners[fragment[1]])], fragment)
        for trace in traces:
            seen = anew[id(trace)]
            trace.facts, trace.keys, trace.epoch = seen.facts, seen.keys, seen.epoch

    def _end(
        self, traces: Sequence[OpenTrace], outcomes: Sequence[Outcome], times: Sequence[int]
    ) -> list[Effect]:
        """Let *traces* go with their *outcomes*; they are in no queue any more."""
        forwarded = [
            trace.fragments if self._forwards(outcome) else []
            for trace, outcome in zip(traces, outcomes, strict=True)
        ]
        fragments = self._buffers.read_many(forwarded)
        found: list[Effect] = []
        for trace, outcome, at, raw in zip(traces, outcomes, times, fragments, strict=True):
            del self._open[trace.trace_id]
            self._foreign -= trace.tenant != DEFAULT_TENANT
            self._splits.closed(trace.trace_id)
            self.pending_spans -= trace.spans
            self._decisions.record(trace.trace_id, outcome, at)
            found.append(Decided(trace, outcome, at, raw))
        self._buffers.release(chain.from_iterable(trace.fragments for trace in traces))
        return found

    def _forwards(self, outcome: Outcome) -> bool:
        return outcome.is_sampled or self._settings.forwards_all
