"""Whole traces: gathered from their first span on, judged once when their wait ends.

Laws:

- A trace is judged when stream time is past its first span's by the wait, before anything later, in
  the order of due times; or before, the oldest first, when there are `limit` others.
- Spans that come within twice the wait after the judgement are late: they change nothing.
- Every span counts as one, also if it comes twice, as for the sampler.
- A trace is judged for the signals that were there when it opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tailrace.agents.matches.relation_rules import RelationRules
from tailrace.agents.matches.relation_spans import Found, Observed
from tailrace.schemas.definitions.signals import Signal
from tailrace.schemas.records import Totals
from tailrace.tables.aging_rows import AgingRows, Row, Unsaid
from tailrace.tables.relation_rows import GatheredTrace, GatheredTraces, Groups
from tailrace.tables.store import PartitionStore

_KEY_BYTES = 16


class WholeTraces:
    """The traces of one partition before their judgement, and the ids of those after it."""

    def __init__(
        self,
        signals: Sequence[Signal],
        rules: RelationRules,
        store: PartitionStore,
        prefixes: tuple[bytes, bytes],
        wait_ms: int,
        limit: int,
    ) -> None:
        self._signals = signals
        self._rules = rules.traces
        self._groupings = sorted({rule.grouping for rule in rules.traces})
        self._known = sum(1 << rule.signal for rule in rules.traces)
        self._wait_ms = wait_ms
        self._limit = limit
        gathered, judged = prefixes
        self._open = AgingRows(store, gathered, _KEY_BYTES, GatheredTraces(rules.terms))
        self._judged: AgingRows[Row] = AgingRows(store, judged, _KEY_BYTES, Unsaid())

    def __len__(self) -> int:
        return len(self._open)

    def restore(self) -> None:
        """Build memory from the store."""
        self._open.restore()
        self._judged.restore()

    def seal(self) -> None:
        """Put into the store what is only in memory."""
        self._open.seal()
        self._judged.seal()

    def advance(self, now: int, totals: Totals) -> Iterator[Found]:
        """Yield what the traces that are due before *now* count for."""
        while (trace := self._open.take_due(now)) is not None:
            yield from self._judge(trace, trace.due, totals)
        self._forget(now)

    def observe(self, now: int, span: Observed, totals: Totals) -> Iterator[Found]:
        """Add *span* to its trace; yield what another counts for that has to make room."""
        trace = self._open.get(span.trace_id)
        if trace is not None:
            self._add(trace, span)
            self._open.touch(trace)
            return
        if self._judged.get(span.trace_id) is not None:
            totals.add("match_trace_late_spans", 1)
            return
        if len(self._open) >= self._limit:
            totals.add("match_traces_forced", 1)
            yield from self._judge(self._open.take_oldest(), now, totals)
        self._open.put(self._opened(span, now + self._wait_ms))

    def _opened(self, span: Observed, due: int) -> GatheredTrace:
        return GatheredTrace(
            span.trace_id, due, span.start, span.end, 1, span.filters, self._known,
            span.witness, span.is_root, self._groups(span),
        )  # fmt: skip

    def _add(self, trace: GatheredTrace, span: Observed) -> None:
        trace.start = min(trace.start, span.start)
        trace.end = max(trace.end, span.end)
        trace.spans += 1
        trace.filters |= span.filters
        shown = trace.witness
        if span.is_root != trace.has_root:
            is_better = span.is_root
        elif span.is_root:
            is_better = span.start < shown.start
        else:
            is_better = span.end - span.start > shown.end - shown.start
        if is_better:
            trace.witness, trace.has_root = span.witness, span.is_root
            trace.groups = self._groups(span)

    def _groups(self, span: Observed) -> Groups:
        return tuple((number, span.group(number)) for number in self._groupings)

    def _judge(self, trace: GatheredTrace, at: int, totals: Totals) -> Iterator[Found]:
        self._forget(at)
        if len(self._judged) >= self._limit:
            totals.add("match_judged_traces_forgotten", 1)
            self._judged.take_oldest()
        self._judged.put(Row(trace.key, at + 2 * self._wait_ms))
        duration_ns = max(trace.end - trace.start, 0)
        for rule in self._rules:
            if not trace.known >> rule.signal & 1:
                continue
            if rule.holds(duration_ns, trace.spans, trace.filters):
                group = trace.group(rule.grouping)
                yield Found(self._signals[rule.signal], group, trace.end, 1, 1, trace.witness)

    def _forget(self, now: int) -> None:
        while self._judged.take_due(now) is not None:
            pass
