"""OTLP messages of all series of a family, as one flush writes them.

A series appears with two points in one message: zero at its start, and what it is at the flush.
The connector makes the first value of a counter 0 and tells what was counted one flush later, so
that Prometheus, to which a series comes out of nothing, sees its first increment. Here the same is
seen, and the value at each flush is the truth at that flush. Histograms, too, begin with zero: in
the connector they lose their first increment.

With delta temporality only series with news are written: what came since the period began.

A series that is given up ends with a point that says that it has no value any more, so that nobody
takes its last one for what it is now.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tailrace.agents.metrics.flush import Exemplars, Flush
from tailrace.agents.metrics.instruments import Family
from tailrace.agents.metrics.packing import PIECES, Metrics, Packing
from tailrace.agents.metrics.points import points_of
from tailrace.agents.metrics.stream_attributes import StreamAttributes
from tailrace.schemas.otlp.wire import field
from tailrace.schemas.sums import Ints, Layout, counted
from tailrace.tables.series import Closed, SeriesTable
from tailrace.tables.series_rows import NEVER

_UNKNOWN: Final = -1
"""Instead of the number of a resource."""
_NONE: Final = np.zeros(0, np.int64)


class Flushed(NamedTuple):
    """The values of a flush. `too_large`: streams that no record can hold."""

    values: list[bytes]
    too_large: int


class MetricsWriter:
    """Writes the series of *table*, in messages of at most *limit* bytes.

    What it writes is a function of the table and of what it is given: resources in order of their
    first slots, and the streams of each in order of theirs. What it remembers are encodings.
    Points seem *offset_ms* older than they are.
    """

    def __init__(
        self,
        family: Family,
        table: SeriesTable,
        limit: int,
        *,
        is_delta: bool = False,
        offset_ms: int = 0,
    ) -> None:
        self._family = family
        self._table = table
        self._limit = limit
        self._is_delta = is_delta
        self._offset_ms = offset_ms
        self._layout: Layout | None = None
        self._attributes = StreamAttributes(family, table)
        self._number_of: dict[bytes, int] = {}
        self._resources: list[bytes] = []
        self._resource_of_slot = np.zeros(0, np.int64)
        self._order = np.zeros(0, np.int64)
        self._is_ordered = False

    def prepare(self) -> None:
        """Encode what can be before the first flush, which would take several times as long."""
        self._learn(self._starts())

    def write(
        self,
        closed: Closed,
        at: int,
        expired: Ints = _NONE,
        exemplars: Exemplars | None = None,
    ) -> Flushed:
        """Return the series as of *at* (ms), when the table has *closed* a period.

        The slots *expired* are given up afterwards; they are told good-bye.
        """
        if self._table.layout != self._layout:
            self._encode_with(self._table.layout)
        starts = self._starts()
        if len(closed.appeared) or not self._is_ordered:
            self._learn(starts)
        flush = self._flush(closed, at, starts)
        if self._is_delta:
            streams = self._with_news(closed)
        else:
            streams = self._order
            flush.greet(self._are_new(closed.appeared).ravel(), expired)
        flush.show(exemplars or {})
        written = self._packed(flush, streams)
        if len(expired):
            self._forget(expired)
        return written

    def _flush(self, closed: Closed, at: int, starts: Ints) -> Flush:
        at, starts = at - self._offset_ms, starts - self._offset_ms
        said = self._family, self._points, self._attributes
        if not self._is_delta:
            return Flush(*said, at, starts.ravel(), self._table.rows)
        begins = np.full(starts.size, at - self._table.period_ms)
        return Flush(*said, at, begins, closed.rows, closed.slots)

    def _packed(self, flush: Flush, streams: Ints) -> Flushed:
        packing = Packing(self._metrics, self._resources, self._limit)
        too_large = 0
        for part in flush.parts(streams):
            numbers = self._resource_of_slot[part // len(self._family.streams)]
            lengths, pieces = flush.encoded(part)
            fits = packing.fits(numbers, lengths)
            if not fits.all():
                too_large += int(np.count_nonzero(~fits))
                lengths, numbers = lengths[fits], numbers[fits]
                each = np.repeat(fits, PIECES).tolist()
                pieces = [[p for p, fit in zip(of, each, strict=True) if fit] for of in pieces]
            packing.add(numbers, lengths, pieces)
        return Flushed(packing.finished(), too_large)

    def _encode_with(self, layout: Layout) -> None:
        """Go over to another *layout*, at first or later."""
        family = self._family
        self._layout = layout
        self._points = [points_of(each, layout) for each in family.instruments]
        self._metrics = Metrics(
            family, is_exponential=layout.is_exponential, is_delta=self._is_delta
        )

    def _starts(self) -> Ints:
        """Return when each stream of every slot started (ms), or NEVER."""
        starts = self._table.starts
        if len(self._family.streams) == 1:
            return starts
        columns = [starts[:, of].min(1) for of in map(list, self._family.streams)]
        return np.stack(columns, axis=1)

    def _are_new(self, appeared: Ints) -> npt.NDArray[np.bool_]:
        """Return which streams have started now, when those of the table *appeared*."""
        started = self._table.starts != NEVER
        is_new = np.zeros(started.size, np.bool_)
        is_new[appeared] = True
        is_new = is_new.reshape(started.shape)
        was_there = started & ~is_new
        columns = [
            is_new[:, of].any(1) & ~was_there[:, of].any(1)
            for of in map(list, self._family.streams)
        ]
        return np.stack(columns, axis=1)

    def _with_news(self, closed: Closed) -> Ints:
        """Return the streams that counted something in the period, in order."""
        has_news = np.zeros((len(self._table.keys), len(self._family.streams)), np.bool_)
        rows = closed.rows[:]
        for number, of in enumerate(self._family.streams):
            for part in of:
                name = self._family.counted[part]
                has_news[closed.slots, number] |= counted(self._table.layout, rows, name) > 0
        chosen: Ints = self._order[has_news.ravel()[self._order]]
        return chosen

    def _learn(self, starts: Ints) -> None:
        """Put all streams in order, those that are new among them."""
        per_slot = len(self._family.streams)
        streams = np.flatnonzero(starts.ravel() != NEVER)
        slots = streams // per_slot
        self._know_resources(slots)
        self._attributes.learn(streams)
        numbers = self._resource_of_slot[slots]
        _, first, places = np.unique(numbers, return_index=True, return_inverse=True)
        rank = np.empty(len(first), np.int64)
        rank[np.argsort(first)] = np.arange(len(first))
        self._order = streams[np.argsort(rank[places], kind="stable")]
        self._is_ordered = True

    def _know_resources(self, slots: Ints) -> None:
        family, table = self._family, self._table
        more = len(table.keys) - len(self._resource_of_slot)
        unknown = np.full(max(more, 0), _UNKNOWN)
        self._resource_of_slot = np.concatenate([self._resource_of_slot, unknown])
        for slot in np.unique(slots[self._resource_of_slot[slots] == _UNKNOWN]).tolist():
            resource = family.resource(table.keys[slot])
            number = self._number_of.setdefault(resource, len(self._resources))
            if number == len(self._resources):
                self._resources.append(field(1, resource))
            self._resource_of_slot[slot] = number

    def _forget(self, slots: Ints) -> None:
        """Know nothing of *slots*; of resources neither, when most of them are no more."""
        per_slot = len(self._family.streams)
        self._attributes.forget((slots[:, np.newaxis] * per_slot + np.arange(per_slot)).ravel())
        self._resource_of_slot[slots] = _UNKNOWN
        self._is_ordered = False
        known = np.unique(self._resource_of_slot)
        if 2 * len(known) < len(self._resources):
            self._number_of, self._resources = {}, []
            self._resource_of_slot[:] = _UNKNOWN
