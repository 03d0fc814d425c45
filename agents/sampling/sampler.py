"""Tail sampling: gathers traces, decides each once, and lets late spans follow the decision.

Laws:

- A trace is decided once: when its wait ends, in the order of due times, before any record that
  is later than that, or when `num_traces` forces it.
- What is decided is a function of the fragments in their order, of stream time, and of the marks
  that stood when it was due. A trace that an alert wants is kept, unless a policy drops it: the
  policy is then `alert`, if none of the config's would keep it.
- Every decoded span is kept, dropped, or pending in exactly one open trace.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from tailrace.agents.sampling.facts import NO_END, NO_START
from tailrace.agents.sampling.fragments import summarise
from tailrace.agents.sampling.policies import SamplingPolicies
from tailrace.agents.sampling.services import ServiceNames
from tailrace.agents.sampling.splits import SplitTraces
from tailrace.schemas.spans import SpanBatch
from tailrace.tables.decisions import DecisionTable, Outcome
from tailrace.tables.keeps import Keeps
from tailrace.tables.trace_buffers import TraceBuffers
from tailrace.tables.traces import OpenTrace

KEPT_FOR_ALERT: Final = Outcome("sampled", "alert", 1.0)
"""Of a trace that no policy keeps, but an alert points at."""


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
        splits: SplitTraces,
        keeps: Keeps | None = None,
    ) -> None:
        self._settings = settings
        self._policies = policies
        self._buffers = buffers
        self._decisions = decisions
        self._splits = splits
        self._keeps = keeps
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
        open_traces, by_due, buffers = self._open, self._by_due, self._buffers
        unknown = [each for each in set(batch.fragment_trace_id) if each not in open_traces]
        older = dict(zip(unknown, self._decisions.find_older(unknown), strict=True))
        fragments = summarise(batch, self._policies.facts, self.services)
        for trace_id, message, start, end, spans, facts, services, root, raw, after in fragments:
            now = times[message]
            if by_due and by_due[0].due < now:
                effects += self.advance(now)
            trace = open_traces.get(trace_id)
            if trace is None:
                outcome = self._outcome(trace_id, older, now)
                if outcome is not None:
                    if self._keeps:
                        self._keeps.decided(trace_id, now, is_sampled=outcome.is_sampled)
                    late = OpenTrace(trace_id, now, NO_START, NO_END)
                    late.merge(start, end, spans, facts, services, root)
                    effects.append(Late(late, outcome, now, [raw] if outcome.is_sampled else []))
                    continue
                effects += self._make_room(now)
                trace = self._opened(trace_id, now)
            if after is not None:
                facts |= after(trace.facts, trace.start, trace.end)
            trace.merge(start, end, spans, facts, services, root)
            trace.fragments.append(buffers.append(raw, now))
            self.pending_spans += spans
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
            fragments = summarise(batch, self._policies.facts, self.services)
            for fragment, decided in zip(fragments, known, strict=True):
                trace_id, message, start, end, spans, facts, services, root, _, after = fragment
                ref, at, _ = rows[message]
                if decided is not None and decided[1] >= at:
                    self._buffers.release([ref])
                    continue
                trace = self._open.get(trace_id) or self._opened(trace_id, at)
                if after is not None:
                    facts |= after(trace.facts, trace.start, trace.end)
                trace.merge(start, end, spans, facts, services, root)
                trace.fragments.append(ref)
                self.pending_spans += spans

    def close(self) -> None:
        """Give up all open traces; another worker has them now."""
        for trace_id in self._open:
            self._splits.closed(trace_id)

    def _outcome(
        self, trace_id: bytes, older: dict[bytes, tuple[Outcome, int] | None], now: int
    ) -> Outcome | None:
        recent = self._decisions.find_recent(trace_id, now)
        if recent is not None:
            return recent
        found = older.get(trace_id)
        return found[0] if found is not None and found[1] >= now else None

    def _opened(self, trace_id: bytes, now: int) -> OpenTrace:
        trace = OpenTrace(trace_id, now + self._settings.decision_wait_ms, NO_START, NO_END)
        self._open[trace_id] = trace
        self._splits.opened(trace_id)
        self._by_due.append(trace)
        return trace

    def _make_room(self, now: int) -> list[Effect]:
        limit = self._settings.num_traces
        if limit is None or len(self._open) < limit:
            return []
        return self._decide([self._by_due.popleft()], [now], is_due=False)

    def _decide(
        self, traces: list[OpenTrace], times: list[int], *, is_due: bool = True
    ) -> list[Effect]:
        effects: list[Effect] = []
        verdicts = self._policies.decide(traces, times)
        outcomes = [Outcome(*verdict[:3]) for verdict in verdicts]
        if self._keeps:
            outcomes = _with_wanted(
                zip(traces, outcomes, times, strict=True), self._keeps, is_due=is_due
            )
        for trace, outcome, at in zip(traces, outcomes, times, strict=True):
            del self._open[trace.trace_id]
            self._splits.closed(trace.trace_id)
            self.pending_spans -= trace.spans
            raw = self._buffers.read(trace.fragments) if outcome.is_sampled else []
            self._buffers.release(trace.fragments)
            self._decisions.record(trace.trace_id, outcome, at)
            effects.append(Decided(trace, outcome, at, raw))
        return effects


def _with_wanted(
    decided: Iterable[tuple[OpenTrace, Outcome, int]], keeps: Keeps, *, is_due: bool
) -> list[Outcome]:
    """Return the outcomes of *decided*, with traces kept that alerts point at.

    Of a trace that is not due, records of the same millisecond may be still to come; whether they
    are in the same batch and have made their marks must not matter.
    """
    found = []
    for trace, outcome, at in decided:
        by = at if is_due else at - 1
        if outcome.decision == "not_sampled" and keeps.is_wanted(trace.trace_id, by):
            outcome = KEPT_FOR_ALERT
        keeps.decided(trace.trace_id, at, is_sampled=outcome.is_sampled)
        found.append(outcome)
    return found
