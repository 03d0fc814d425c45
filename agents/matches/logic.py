"""Matches as the engine runs them: spans in, sums and evidence out, interval after interval.

It sees a batch before the sampler does, which goes by the traces that are marked here. When an
interval closes, its evidence is sent before its sums, whose last record has the watermark.

A span counts in the second in which it ended, clamped into (now - lateness, now]; now is the end
of the interval in which it came. A whole trace counts in the second in which it is judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np

from tailrace.agents.matches.arrived import Arrived
from tailrace.agents.matches.compiled import Compiled, compiled_for
from tailrace.agents.matches.counting import Counting, Flagged, seconds
from tailrace.agents.matches.edge_series import ClosedEdges, EdgeCounts
from tailrace.agents.matches.groups import Texts, overflow
from tailrace.agents.matches.relation_tenants import Related, TenantRelations, rows_of
from tailrace.agents.matches.relations import Found, Observed
from tailrace.agents.matches.tallies import Part, Tallies
from tailrace.agents.matches.witnesses import Marks, Witnesses
from tailrace.schemas.definitions import Definitions
from tailrace.schemas.matches import Series, decode_key
from tailrace.schemas.records import Arrivals, Outbox, Totals
from tailrace.schemas.spans import SpanBatch
from tailrace.schemas.sums import Ints
from tailrace.tables.interval_source import RollupTopic
from tailrace.tables.match_sums import MatchSums
from tailrace.tables.store import PartitionStore

_PREFIX = b"m"
_SECOND_MS = 1000


@dataclass(frozen=True, slots=True)
class MatchesSettings:
    """`tokens`: how many spans of a series are evidence at once; one more each interval.

    `max_groups`: of a signal in one interval. `wait_ms`: how long a span waits for those that it
    is related to.
    """

    lateness_ms: int = 300_000
    tokens: int = 10
    max_groups: int = 10_000
    wait_ms: int = 30_000


class _Judged(NamedTuple):
    """Spans and what they bring. `told`: by tenant with relations, and then by row, the filters of
    these that hold, as bits."""

    spans: Arrived
    is_counted: Flagged
    of: Tallies
    parts: list[Part]
    told: list[dict[int, int]]


class MatchesLogic:
    """A Logic of the spans stage; *source* names this partition in watermarks.

    Seen spans = counted + uncounted, for which no signal asked.
    """

    def __init__(
        self,
        settings: MatchesSettings,
        store: PartitionStore,
        topic: RollupTopic,
        source: str,
        marks: Marks,
        edges: ClosedEdges | None = None,
    ) -> None:
        self._store = store
        self._topic = topic
        self._settings = settings
        self._sums = MatchSums(store, _PREFIX, topic, source)
        self._counting = Counting(self._sums)
        self._witnesses = Witnesses(
            store, _PREFIX, topic, marks, settings.tokens, settings.max_groups
        )
        self._edges = edges
        self._edge_counts = EdgeCounts(())
        self._compiled: Compiled | None = None
        self._relations: TenantRelations | None = None
        self._texts: Texts | None = None
        self._interval = 0
        self._now = 0

    def restore(self, now: int) -> None:
        self._sums.restore(now)
        self._now = now
        self._interval = now // self._topic.interval_ms
        self._witnesses.restore(self._interval)

    def inform(self, definitions: Definitions, outbox: Outbox, totals: Totals) -> None:
        compiled = compiled_for(definitions)
        if compiled is self._compiled:
            return
        self._counting.settle()
        if self._relations is not None:
            self._relations.seal()
        self._compiled = compiled
        self._witnesses.reopen(compiled.current_tallies(), map(decode_key, self._sums.keys()))
        self._edge_counts = EdgeCounts(compiled.edges)
        self._relations = TenantRelations(compiled.relations, self._store, self._settings.wait_ms)
        self._relations.restore(self._now)

    def process(self, arrivals: Arrivals[SpanBatch], outbox: Outbox, totals: Totals) -> None:
        spans = Arrived(arrivals)
        if self._compiled is None or not self._compiled.is_asked:
            self._pass_by(spans, outbox, totals)
            return
        judged = self._judged(spans, totals)
        for now, rows in spans.runs(self._topic.interval_ms):
            self._close(now, outbox, totals)
            self._sums.roll(now, outbox)
            if rows.stop > rows.start:
                self._count(judged, rows, totals)
                self._relate(judged, rows, outbox, totals)
        if arrivals.times:
            self._now = arrivals.times[-1]

    def _pass_by(self, spans: Arrived, outbox: Outbox, totals: Totals) -> None:
        """Nobody asks for anything: this source has nothing to say, and says so."""
        totals.add("match_seen_spans", len(spans.batch))
        totals.add("match_uncounted_spans", len(spans.batch))
        for now, _ in spans.runs(self._topic.interval_ms):
            self._close(now, outbox, totals)
            self._sums.idle(now - now % self._topic.interval_ms, outbox)
            self._now = now

    def advance(self, now: int, outbox: Outbox, totals: Totals) -> None:
        self._close(now, outbox, totals)
        self._now = now
        if self._relations is not None:
            found = self._relations.advance(now, totals)
            if found:
                self._sums.roll(now, outbox)
            self._add(found, now, outbox, totals)
        self._counting.settle()
        self._sums.idle(now, outbox)

    def before_checkpoint(self) -> None:
        self._counting.settle()
        self._sums.seal()
        self._witnesses.seal()
        if self._relations is not None:
            self._relations.seal()

    def close(self) -> None:
        """Nothing to release."""

    def problems(self, totals: Totals) -> Sequence[str]:
        counts = totals.counts
        seen = counts.get("match_seen_spans", 0)
        counted = counts.get("match_counted_spans", 0)
        uncounted = counts.get("match_uncounted_spans", 0)
        if seen == counted + uncounted:
            return []
        return [f"{seen} spans seen for matches, but {counted} counted, {uncounted} not"]

    def _close(self, now: int, outbox: Outbox, totals: Totals) -> None:
        """Have done, at *now*, with the open interval if it is over; its sums are sent next."""
        interval = now // self._topic.interval_ms
        if interval <= self._interval:
            return
        if self._relations is not None:
            end = (self._interval + 1) * self._topic.interval_ms
            self._add(self._relations.advance(end, totals), end, outbox, totals)
        self._count_edges(now, outbox, totals)
        self._counting.settle()
        self._interval = interval
        for output in self._witnesses.close(interval):
            outbox.send(self._topic.name, output)

    def _count_edges(self, now: int, outbox: Outbox, totals: Totals) -> None:
        """Count the edges of the intervals that are over."""
        if self._edges is None:
            return
        for rollup in self._edges.upto(now - now % self._topic.interval_ms):
            if not self._edge_counts:
                continue  # nobody asks
            for series, count in self._edge_counts.of(rollup):
                if self._sums.is_idle:
                    self._sums.roll(now, outbox)  # it has something to say yet
                self._counting.add_alone(series, rollup.start // _SECOND_MS, count, count)
                totals.add("match_edge_requests", count)

    def _judged(self, spans: Arrived, totals: Totals) -> _Judged:
        """Return what *spans* are to the signals, and what they bring."""
        assert self._compiled is not None, "no definitions were told"
        verdicts, of = self._compiled.verdicts, self._compiled.current_tallies()
        numbers, classes = verdicts.of(spans.batch), verdicts.durations(spans.batch)
        if self._texts is None or not self._texts.serves(spans.batch):
            self._texts = Texts(spans.batch.strings, spans.batch.values)
        parts = of.of(spans, numbers, classes)
        is_counted = np.zeros(len(numbers), np.bool_)
        for part in parts:
            is_counted[part.rows] = True
        counted = int(np.count_nonzero(is_counted))
        totals.add("match_seen_spans", len(numbers))
        totals.add("match_counted_spans", counted)
        totals.add("match_uncounted_spans", len(numbers) - counted)
        if failed := int(verdicts.failed(numbers, classes).sum()):
            totals.add("match_failures", failed)
        told: list[dict[int, int]] = [{} for _ in self._compiled.relations]
        for row, further in verdicts.told(numbers, classes):
            number, bit = self._compiled.further[further]
            told[number][row] = told[number].get(row, 0) | 1 << bit
        return _Judged(spans, is_counted, of, parts, told)

    def _count(self, judged: _Judged, rows: slice, totals: Totals) -> None:
        of, spans = judged.of, judged.spans
        ends, is_counted = spans.batch.end[rows], judged.is_counted[rows]
        seconds = self._clamped(ends, is_counted, totals)
        for part in judged.parts:
            within = part.within(rows)
            if len(within.rows):
                tallies = self._witnesses.look(of, spans, within)
                if overflowed := of.overflowed(tallies):
                    totals.add("match_overflow_spans", overflowed)
                self._counting.add(of, tallies, seconds[within.rows - rows.start])

    def _clamped(self, ends: Ints, is_counted: Flagged, totals: Totals) -> Ints:
        """Return the second in which each span counts, if it is counted."""
        last = ((self._interval + 1) * self._topic.interval_ms - 1) // _SECOND_MS
        first = last - self._settings.lateness_ms // _SECOND_MS + 1
        found, is_late, is_early = seconds(ends, first, last)
        if late := int(np.count_nonzero(is_late & is_counted)):
            totals.add("match_late_spans", late)
        if early := int(np.count_nonzero(is_early & is_counted)):
            totals.add("match_early_spans", early)
        return found

    # Relations

    def _relate(self, judged: _Judged, rows: slice, outbox: Outbox, totals: Totals) -> None:
        """Show the relations the spans that they want to see, record by record."""
        if self._relations is None:
            return
        for told, (of, relations) in zip(judged.told, self._relations.each, strict=True):
            shown: Iterable[int] = (row for row in told if rows.start <= row < rows.stop)
            if relations.needs_every_span:
                shown = rows_of(of.tenant, judged.spans.batch, rows)
            for now, together in groupby(shown, judged.spans.time):
                seen = [self._observed(judged.spans, row, told.get(row, 0), of) for row in together]
                self._add(relations.observe(now, seen, totals), now, outbox, totals)

    def _observed(self, spans: Arrived, row: int, filters: int, of: Related) -> Observed:
        batch, texts = spans.batch, self._texts
        assert texts is not None

        def group(number: int) -> bytes:
            fields = of.groupings[number]
            return texts.group(fields, tuple(int(spans.raw(field)[row]) for field in fields))

        return Observed(
            spans.trace_id(row),
            batch.span_id[row],
            batch.parent_span_id[row],
            int(batch.start[row]),
            int(batch.end[row]),
            bool(batch.is_root[row]),
            batch.strings[int(batch.service[row])],
            batch.strings[int(batch.name[row])],
            filters,
            group,
        )

    def _second_of(self, found: Found, totals: Totals) -> int:
        """Return when *found* counts: a whole trace when it is judged, so any window sees it."""
        if found.signal.trace is not None:
            return ((self._interval + 1) * self._topic.interval_ms - 1) // _SECOND_MS
        end = np.array([found.end_ns], np.int64)
        return int(self._clamped(end, np.ones(1, np.bool_), totals)[0])

    def _add(self, all: Sequence[Found], at_ms: int, outbox: Outbox, totals: Totals) -> None:
        """Count what the relations found."""
        if all:
            # A source that was idle says that it is not, before anything else.
            self._sums.roll(self._interval * self._topic.interval_ms, outbox)
        for found in all:
            group = self._witnesses.admitted(found)
            if found.signal.group_by and group == overflow(found.signal.group_by):
                totals.add("match_overflow_spans", 1)
            series, second = Series(found.signal.id, group), self._second_of(found, totals)
            self._counting.add_alone(series, second, found.events, found.matches)
            totals.add("match_found_events", found.events)
            if found.matches:
                self._witnesses.add_found(found, group, at_ms)
