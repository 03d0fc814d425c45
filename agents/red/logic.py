"""RED as the engine runs it: spans in, rollups out, one interval of stream time after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tailrace.agents.red.dimensions import Dimensions, Names
from tailrace.agents.red.series import SKIPPED, SeriesSlots
from tailrace.schemas.records import Arrivals, Outbox, Totals
from tailrace.schemas.series import DURATION, red_layout
from tailrace.schemas.spans import AttributeColumn, SpanBatch
from tailrace.schemas.sums import Ints, observed
from tailrace.tables.interval_sums import IntervalSums, RollupTopic
from tailrace.tables.store import PartitionStore

_PREFIX = b"r"
_WAITING_SPANS = 4096


def _only(key: str) -> tuple[str, ...]:
    return (key,)


@dataclass(frozen=True, slots=True)
class RedSettings:
    """`dimensions`: names and defaults, in order. `bounds_ns`: of the buckets, inclusive."""

    dimensions: tuple[tuple[str, str | None], ...]
    bounds_ns: tuple[int, ...]
    names: Names = _only

    @property
    def columns(self) -> tuple[AttributeColumn, ...]:
        """The columns that batches must have; resources come whole with every batch."""
        return Dimensions(self.dimensions, self.names).columns


class RedLogic:
    """A Logic of the spans stage; *source* names this partition in watermarks.

    Seen spans = counted + skipped. A span is counted as often as its weight says. One whose series
    is too large for a record is counted in its resource's overflow series.
    """

    def __init__(
        self, settings: RedSettings, store: PartitionStore, topic: RollupTopic, source: str
    ) -> None:
        self._layout = red_layout(settings.bounds_ns)
        self._dimensions = Dimensions(settings.dimensions, settings.names)
        self._sums = IntervalSums(store, _PREFIX, self._layout, topic, source)
        self._interval_ms = topic.interval_ms
        self._memo: SeriesSlots | None = None
        # Spans of `_interval` that are not in the sums yet, so that small batches are summed up
        # together.
        self._interval = 0
        self._slots: list[Ints] = []
        self._durations: list[Ints] = []
        self._weights: list[Ints | None] = []
        self._waiting = 0

    def restore(self, now: int) -> None:
        self._sums.restore(now)

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
        if self._memo is None or not self._memo.serves(batch):
            self._memo = SeriesSlots(self._dimensions, self._sums, batch)
        slots = self._memo.of(batch, rows)
        durations = np.maximum(batch.end[rows] - batch.start[rows], 0)
        weights = None if batch.weight is None else batch.weight[rows]
        if self._memo.has_skipped:
            is_counted = slots != SKIPPED
            slots, durations = slots[is_counted], durations[is_counted]
            weights = None if weights is None else weights[is_counted]
            totals.add("red_skipped_spans", rows.stop - rows.start - len(slots))
        if not len(slots):
            return  # or batches of nothing would wait for ever
        totals.add("red_spans", len(slots))
        if overflowed := self._memo.overflowed(slots):
            totals.add("red_overflow_spans", overflowed)
        self._slots.append(slots)
        self._durations.append(durations)
        self._weights.append(weights)
        self._waiting += len(slots)
        if self._waiting >= _WAITING_SPANS:
            self._settle()

    def _settle(self) -> None:
        """Add to the sums what waits for it; slots mean something until the interval closes."""
        if not self._waiting:
            return
        slots, durations = np.concatenate(self._slots), np.concatenate(self._durations)
        weights = _joined(self._weights, self._slots)
        self._slots, self._durations, self._weights, self._waiting = [], [], [], 0
        is_present = np.zeros(int(slots.max()) + 1, np.bool_)
        is_present[slots] = True
        present = np.flatnonzero(is_present)
        groups = (np.cumsum(is_present) - 1)[slots]
        sums = observed(self._layout, DURATION, groups, len(present), durations, weights)
        self._sums.add(present, sums)


def _joined(weights: Sequence[Ints | None], alike: Sequence[Ints]) -> Ints | None:
    """Return *weights* as one, 1 where there are none; None if there are none at all."""
    if all(each is None for each in weights):
        return None
    parts = zip(weights, alike, strict=True)
    return np.concatenate(
        [np.ones(len(other), np.int64) if each is None else each for each, other in parts]
    )


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
