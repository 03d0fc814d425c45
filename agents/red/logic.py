"""RED as the engine runs it: spans in, rollups out, one interval of stream time after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from tailrace.agents.red.family import Family
from tailrace.agents.red.labels import SeriesIds
from tailrace.agents.red.settings import RedSettings
from tailrace.schemas.definitions import Definitions
from tailrace.schemas.definitions.latency_bounds import with_thresholds
from tailrace.schemas.records import Arrivals, Outbox, Totals
from tailrace.schemas.series import (
    CALLS,
    EVENTS,
    RED,
    end_of_resource,
    red_layout,
    service_place,
)
from tailrace.schemas.spans import SpanBatch
from tailrace.tables.interval_contents import IntervalContents
from tailrace.tables.interval_sums import IntervalSums, RollupTopic, give_up
from tailrace.tables.store import PartitionStore

_PREFIX: Final = b"r"
_PREFIXES: Final = {RED: _PREFIX, CALLS: b"rc", EVENTS: b"re"}


class RedLogic:
    """A Logic of the spans stage; *source* names this partition in watermarks.

    Seen spans = counted + skipped. A span is counted as often as its weight says, and so is each
    of its events. One whose series is too large for a record is counted in its resource's overflow
    series.
    """

    def __init__(
        self, settings: RedSettings, store: PartitionStore, topic: RollupTopic, source: str
    ) -> None:
        self._settings = settings
        self._store = store
        self._families = {
            family: Family(
                SeriesIds(settings, family, labels),
                IntervalSums(
                    store,
                    _PREFIXES[family],
                    settings.layout(family),
                    topic,
                    source,
                    service_place,
                    split=end_of_resource,
                ),
            )
            for family, labels in settings.families.items()
        }
        sums = [family.sums for family in self._families.values()]
        self._sums = IntervalContents(store, _PREFIX, topic, source, sums)
        self._interval_ms = topic.interval_ms
        self._interval = 0

    def restore(self, now: int) -> None:
        """Go on at stream time *now* (ms); what another config counted besides is given up."""
        for family, prefix in _PREFIXES.items():
            if family not in self._families:
                give_up(self._store, prefix)
        self._sums.restore(now)

    def inform(self, definitions: Definitions, outbox: Outbox, totals: Totals) -> None:
        """Let the thresholds of latency SLOs be bounds of the histogram from now on."""
        self.use(with_thresholds(self._settings.bounds_ns, definitions))

    def use(self, bounds_ns: Sequence[int]) -> None:
        """Count durations by these bounds from now on, which are ascending and inclusive.

        Nothing happens where the histogram is exponential or is not there.
        """
        durations = self._families.get(RED)
        if durations is not None and not self._settings.max_size:
            self._settle()
            durations.sums.use(red_layout(bounds_ns))

    def process(self, arrivals: Arrivals[SpanBatch], outbox: Outbox, totals: Totals) -> None:
        for now, rows in _runs(arrivals, self._interval_ms):
            self._roll(now, outbox)
            if rows.stop > rows.start:
                self._count(arrivals.decoded, rows, totals)
        totals.add("red_seen_spans", len(arrivals.decoded))

    def advance(self, now: int, outbox: Outbox, totals: Totals) -> None:
        self._settle()
        self._sums.idle(now, outbox)

    def before_checkpoint(self) -> None:
        self._settle()
        self._sums.seal()

    def close(self) -> None:
        """Nothing to release."""

    def problems(self, totals: Totals) -> Sequence[str]:
        counts = totals.counts
        seen = counts.get("red_seen_spans", 0)
        counted, skipped = counts.get("red_spans", 0), counts.get("red_skipped_spans", 0)
        if seen == counted + skipped:
            return []
        return [f"{seen} spans seen for RED, but {counted} counted, {skipped} skipped"]

    def _roll(self, now: int, outbox: Outbox) -> None:
        interval = now // self._interval_ms
        if interval > self._interval:
            self._settle()
            self._interval = interval
        self._sums.roll(now, outbox)

    def _count(self, batch: SpanBatch, rows: slice, totals: Totals) -> None:
        """Count *rows* in every family; the first tells what became of the spans."""
        first, *others = self._families.values()
        spans = first.count(batch, rows)
        totals.add("red_spans", spans.counted)
        if spans.skipped:
            totals.add("red_skipped_spans", spans.skipped)
        if spans.overflowed:
            totals.add("red_overflow_spans", spans.overflowed)
        for family in others:
            family.count(batch, rows)

    def _settle(self) -> None:
        for family in self._families.values():
            family.settle()


def _runs(arrivals: Arrivals[SpanBatch], interval_ms: int) -> Iterator[tuple[int, slice]]:
    """Yield the time of the first record of each interval, and the rows of that interval."""
    times, batch = arrivals.times, arrivals.decoded
    if not times:
        return
    if times[0] // interval_ms == times[-1] // interval_ms:
        yield times[0], slice(0, len(batch))
        return
    intervals = np.array(times, np.int64) // interval_ms
    firsts = np.flatnonzero(np.diff(intervals, prepend=intervals[0] - 1))
    fragments = np.searchsorted(batch.fragment_message, [*firsts.tolist(), len(times)])
    bounds = batch.fragment_start[fragments].tolist()
    for first, start, end in zip(firsts.tolist(), bounds, bounds[1:], strict=False):
        yield times[first], slice(start, end)
