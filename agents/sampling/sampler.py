"""Tail sampling: gathers traces, decides each once, and lets late spans follow the decision.

Laws:

- A trace is decided once: when its wait ends, in the order of due times, before any record that
  is later than that, or when `num_traces` forces it.
- What is decided is a function of the fragments in their order and of stream time.
- Every decoded span is kept, dropped, or pending in exactly one open trace.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tailrace.agents.sampling.facts import NO_END, NO_START
from tailrace.agents.sampling.fragments import FragmentSummary, summarise
from tailrace.agents.sampling.policies import SamplingPolicies
from tailrace.agents.sampling.services import ServiceNames
from tailrace.schemas.spans import SpanBatch
from tailrace.tables.decisions import DecisionTable, Outcome
from tailrace.tables.trace_buffers import TraceBuffers
from tailrace.tables.traces import OpenTrace


@dataclass(frozen=True, slots=True)
class Decided:
    """A trace was decided at `at` (ms of stream time). `raw` are its fragments if it is kept."""

    trace: OpenTrace
    outcome: Outcome
    at: int
    raw: list[bytes]


@dataclass(frozen=True, slots=True)
class Late:
    """Spans came at `at` (ms of stream time) for a trace that was decided before."""

    trace: OpenTrace
    outcome: Outcome
    at: int
    raw: list[bytes]


Effect = Decided | Late


@dataclass(frozen=True, slots=True)
class SamplerSettings:
    """Times in ms; `num_traces` None: no limit but the machine's."""

    decision_wait_ms: int
    num_traces: int | None


class Sampler:
    """The open traces of one partition, and what becomes of them."""

    def __init__(
        self,
        settings: SamplerSettings,
        policies: SamplingPolicies,
        buffers: TraceBuffers,
        decisions: DecisionTable,
    ) -> None:
        self._settings = settings
        self._policies = policies
        self._buffers = buffers
        self._decisions = decisions
        self._open: dict[bytes, OpenTrace] = {}
        self._by_due: deque[OpenTrace] = deque()
        self.services = ServiceNames()
        self.pending_spans = 0

    def __len__(self) -> int:
        """The number of open traces."""
        return len(self._open)

    def process(self, batch: SpanBatch, times: Sequence[int]) -> list[Effect]:
        """Add the fragments of *batch* and decide what is due.

        `times[i]` is stream time (ms) at message i.
        """
        effects: list[Effect] = []
        fragments = summarise(batch, self._policies.facts, self.services)
        unknown = {trace_id for trace_id in batch.fragment_trace_id if trace_id not in self._open}
        older = dict(zip(unknown, self._decisions.find_older(list(unknown)), strict=True))
        by_due, open_traces = self._by_due, self._open
        for fragment in fragments:
            now = times[fragment.message]
            if by_due and by_due[0].due < now:
                effects += self.advance(now)
            trace = open_traces.get(fragment.trace_id)
            if trace is None:
                outcome = self._outcome(fragment.trace_id, older, now)
                if outcome is not None:
                    effects.append(self._late(fragment, outcome, now))
                    continue
                effects += self._make_room(now)
                trace = self._opened(fragment, now)
            self._add(trace, fragment)
            trace.fragments.append(self._buffers.append(fragment.raw, now))
        if times:
            effects += self.advance(times[-1])
        return effects

    def advance(self, now: int) -> list[Effect]:
        """Decide every trace that is due before *now* (ms of stream time)."""
        by_due = self._by_due
        due: list[OpenTrace] = []
        while by_due and by_due[0].due < now:
            due.append(by_due.popleft())
        return self._decide(due, [trace.due for trace in due]) if due else []

    def seal(self, now: int) -> None:
        """Put into the store what is only in memory."""
        self._buffers.seal()
        self._decisions.seal(now)

    def restore(self, now: int, decode: Callable[[Sequence[bytes]], SpanBatch]) -> None:
        """Rebuild the open traces from the stored fragments of undecided ones."""
        self._decisions.restore(now)
        for rows in self._buffers.restore():
            batch = decode([raw for _, _, raw in rows])
            known = self._decisions.find_older(batch.fragment_trace_id)
            for fragment, decided in zip(
                summarise(batch, self._policies.facts, self.services), known, strict=True
            ):
                ref, at, _ = rows[fragment.message]
                if decided is not None and decided[1] >= at:
                    self._buffers.release([ref])
                    continue
                trace = self._open.get(fragment.trace_id) or self._opened(fragment, at)
                self._add(trace, fragment)
                trace.fragments.append(ref)

    def _outcome(
        self, trace_id: bytes, older: dict[bytes, tuple[Outcome, int] | None], now: int
    ) -> Outcome | None:
        recent = self._decisions.find_recent(trace_id, now)
        if recent is not None:
            return recent
        found = older.get(trace_id)
        return found[0] if found is not None and found[1] >= now else None

    def _opened(self, fragment: FragmentSummary, now: int) -> OpenTrace:
        due = now + self._settings.decision_wait_ms
        trace = OpenTrace(fragment.trace_id, due, NO_START, NO_END)
        self._open[fragment.trace_id] = trace
        self._by_due.append(trace)
        return trace

    def _add(self, trace: OpenTrace, fragment: FragmentSummary) -> None:
        if fragment.envelopes is not None:
            trace.facts |= fragment.envelopes(trace.start, trace.end)
        trace.facts |= fragment.facts
        _merge(trace, fragment)
        self.pending_spans += fragment.spans

    def _make_room(self, now: int) -> list[Effect]:
        limit = self._settings.num_traces
        if limit is None or len(self._open) < limit:
            return []
        return self._decide([self._by_due.popleft()], [now])

    def _decide(self, traces: list[OpenTrace], times: list[int]) -> list[Effect]:
        effects: list[Effect] = []
        outcomes = self._policies.decide(traces)
        for trace, outcome, at in zip(traces, outcomes, times, strict=True):
            del self._open[trace.trace_id]
            self.pending_spans -= trace.spans
            raw = self._buffers.read(trace.fragments) if outcome.is_sampled else []
            self._buffers.release(trace.fragments)
            self._decisions.record(trace.trace_id, outcome, at)
            effects.append(Decided(trace, outcome, at, raw))
        return effects

    @staticmethod
    def _late(fragment: FragmentSummary, outcome: Outcome, now: int) -> Late:
        trace = OpenTrace(fragment.trace_id, now, NO_START, NO_END)
        _merge(trace, fragment)
        return Late(trace, outcome, now, [fragment.raw] if outcome.is_sampled else [])


def _merge(trace: OpenTrace, fragment: FragmentSummary) -> None:
    trace.start = min(trace.start, fragment.start)
    trace.end = max(trace.end, fragment.end)
    trace.spans += fragment.spans
    trace.services |= fragment.services
    root = fragment.root
    if root is not None and (trace.root is None or root[0] < trace.root[0]):
        trace.root = root
