"""The series of one family in one partition, and how they are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tailrace.agents.metrics.admission import NO_LIMITS, Limits, SeriesAdmission
from tailrace.agents.metrics.edges import edge_records
from tailrace.agents.metrics.instruments import Family
from tailrace.agents.metrics.messages import MetricsWriter
from tailrace.agents.metrics.settings import FOR_EVER
from tailrace.agents.metrics.subjects import EdgeSubject, RedSubject
from tailrace.schemas.exemplars import Exemplar, ExemplarBatch
from tailrace.schemas.records import Outbox, Output, Totals
from tailrace.schemas.series import EDGES
from tailrace.schemas.topics import FLUSH_HEADER
from tailrace.tables.series import Closed, SeriesTable
from tailrace.tables.series_admission import EVERYBODY
from tailrace.tables.series_exemplars import SeriesExemplars
from tailrace.tables.series_expiry import Expiry
from tailrace.tables.store import PartitionStore

_OVERHEAD_BYTES: Final = 1024
"""Of a record with its headers, and of the batch around it."""
_EXEMPLARS: Final = b"x"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the metrics of a family go, and its edges; records have at most `record_bytes`."""

    metrics_topic: str
    edges_topic: str
    record_bytes: int


@dataclass(frozen=True, slots=True)
class Manner:
    """How the series of a family are kept. `exemplars`: at most so many at a point.

    `offset_ms`: how much older points seem than they are. `is_ours`: false of keys that belong to
    other partitions.
    """

    flush_ms: int
    is_delta: bool = False
    expiry: Expiry = FOR_EVER
    exemplars: int = 0
    offset_ms: int = 0
    limits: Limits = NO_LIMITS
    is_ours: Callable[[bytes], bool] | None = None


class FamilySeries:
    """The series of *family*. *prefix* is theirs in *store*; *name* tells their flushes apart."""

    def __init__(
        self,
        name: str,
        family: Family,
        store: PartitionStore,
        prefix: bytes,
        manner: Manner,
        destination: Destination,
    ) -> None:
        self.name = name
        self.family = family
        subject_of = EdgeSubject.of_key if family.layout.family == EDGES else RedSubject.of_key
        self.admission = (
            None if manner.limits.is_idle else SeriesAdmission(manner.limits, subject_of)
        )
        """Who limits the series and what their labels say, if anybody does."""
        self.prefix = prefix
        self.table = SeriesTable(
            store,
            prefix,
            family.layout,
            family.counted,
            manner.flush_ms,
            expiry=manner.expiry,
            admission=self.admission or EVERYBODY,
            split=family.split,
            is_ours=manner.is_ours,
        )
        self.shown: Mapping[int, Sequence[Exemplar]] = {}
        """What the last flush showed, by slot; after a restart nothing, until the next one."""
        self._exemplars = SeriesExemplars(store, _EXEMPLARS + prefix, manner.flush_ms)
        self._most_exemplars = manner.exemplars
        self._is_delta = manner.is_delta
        self._to = destination
        self._limit = destination.record_bytes - _OVERHEAD_BYTES
        self._writer = MetricsWriter(
            family,
            self.table,
            self._limit,
            is_delta=manner.is_delta,
            offset_ms=manner.offset_ms,
        )

    def restore(self, now: int) -> None:
        """Read what the store has, at stream time *now* (ms)."""
        self.table.restore(now)
        self._exemplars.restore()
        self._writer.prepare()

    def seal(self) -> None:
        """Put into the store what changed since the last time."""
        self.table.seal()
        self._exemplars.seal()

    def show(self, batch: ExemplarBatch, at: int) -> bool:
        """Have *batch*, of up to *at* (ms), stand at points of its time; False if none may."""
        if not self._most_exemplars:
            return False
        self._exemplars.add(batch, at)
        return True

    def flush(self, at: int, outbox: Outbox, totals: Totals) -> None:
        """Close the period that ends at *at* (ms), and write what its family has to say."""
        closed = self.table.close(at)
        expired = self.table.expired(at)
        self.shown = self._examples(closed, at, totals)
        flushed = self._writer.write(closed, at, expired, self.shown)
        last = len(flushed.values)
        for number, value in enumerate(flushed.values, 1):
            header = FLUSH_HEADER, f"{self.name} {at} {number}/{last}".encode()
            outbox.send(self._to.metrics_topic, Output(None, value, at, (header,)))
        if flushed.too_large:
            totals.add("metrics_too_large", flushed.too_large)
        if self.family.layout.family == EDGES and len(closed.slots):
            self._send_edges(closed, at, outbox, totals)
        if len(expired):
            self.table.give_up(expired)
            gone = set(expired.tolist())
            self.shown = {slot: each for slot, each in self.shown.items() if slot not in gone}
            totals.add("expired_series", len(expired))

    def _examples(
        self, closed: Closed, at: int, totals: Totals
    ) -> Mapping[int, Sequence[Exemplar]]:
        """Return the exemplars that came for series that have a point in this flush, by slot."""
        told = set(closed.slots.tolist()) if self._is_delta else None
        found: dict[int, Sequence[Exemplar]] = {}
        bounds = self.table.layout.bounds
        most, counted_as = self._most_exemplars, self.table.counted_as
        for key, exemplars in self._exemplars.flush(at, bounds, most, counted_as).items():
            slot = self.table.keys.find(key)
            if slot is None or (told is not None and slot not in told):
                totals.add("exemplars_without_series", len(exemplars))
            else:
                found[slot] = exemplars
                totals.add("shown_exemplars", len(exemplars))
        return found

    def _send_edges(self, closed: Closed, at: int, outbox: Outbox, totals: Totals) -> None:
        keys = [self.table.keys[slot] for slot in closed.slots.tolist()]
        period = at - self.table.period_ms, at
        edges = edge_records(self.table.layout, keys, closed.rows[:], period, self._limit)
        for record in edges.records:
            outbox.send(self._to.edges_topic, record)
        if edges.too_large:
            totals.add("edges_too_large", edges.too_large)
