"""Metrics as the engine runs them: rollups in, OTLP metrics and edge records out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tailrace.agents.metrics.edges import edge_records
from tailrace.agents.metrics.instruments import Family, edge_family, red_family, unpaired_family
from tailrace.agents.metrics.matches import MatchSeries, matches_family
from tailrace.agents.metrics.messages import MetricsWriter
from tailrace.agents.metrics.prometheus import exposition
from tailrace.schemas.definitions import Definitions
from tailrace.schemas.matches import MATCHES, MatchCounts, RollupRecord
from tailrace.schemas.records import Arrivals, Outbox, Output, Totals
from tailrace.schemas.series import EDGES, RED, UNPAIRED, unpaired_layout
from tailrace.schemas.sums import Layout, Rollup
from tailrace.tables.series import Closed, SeriesTable
from tailrace.tables.store import PartitionStore

_PREFIXES = {RED: b"r", EDGES: b"e", UNPAIRED: b"n", MATCHES: b"d"}
_COUNTED = {
    RED: "rollup_spans",
    EDGES: "rollup_calls",
    UNPAIRED: "rollup_unpaired",
    MATCHES: "rollup_events",
}
_OVERHEAD_BYTES = 1024
"""Of a record with its headers, and of the batch around it."""


@dataclass(frozen=True, slots=True)
class RedMetrics:
    """How RED is written: every *flush_ms*, named after *namespace*, in *unit* (`ms` or `s`)."""

    layout: Layout
    flush_ms: int
    namespace: str
    unit: str


@dataclass(frozen=True, slots=True)
class EdgeMetrics:
    """How the service graph is written."""

    layout: Layout
    flush_ms: int


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """Where metrics go, and how large a record may be. A family that is None is turned off."""

    metrics_topic: str
    edges_topic: str
    record_bytes: int
    red: RedMetrics | None
    edges: EdgeMetrics | None
    matches_flush_ms: int | None = None


class MetricsLogic:
    """A Logic of the rollups stage.

    Rollups are counted in the flush period that has their end; when stream time reaches the end
    of a period, all series of that family are written as of then, and every edge with news. After
    a gap, what is due is written in order of time: each period that has news, and the last. What
    comes of a family that is turned off is counted as such, and that is all.

    What the rollups held = cumulative sums + open periods.
    """

    def __init__(self, settings: MetricsSettings, store: PartitionStore) -> None:
        self._series: dict[str, _Series] = {}
        red, edges = settings.red, settings.edges
        if red is not None:
            family = red_family(red.layout, red.namespace, red.unit)
            self._series[RED] = _Series(family, store, settings, red.flush_ms)
        if edges is not None:
            family = edge_family(edges.layout)
            self._series[EDGES] = _Series(family, store, settings, edges.flush_ms)
            family = unpaired_family(unpaired_layout())
            self._series[UNPAIRED] = _Series(family, store, settings, edges.flush_ms)
        self._match_series: MatchSeries | None = None
        if settings.matches_flush_ms is not None:
            self._series[MATCHES] = _Series(
                matches_family(), store, settings, settings.matches_flush_ms
            )

    @property
    def parts(self) -> list[tuple[Family, SeriesTable]]:
        """The series of this partition, by family."""
        return [(series.family, series.table) for series in self._series.values()]

    def exposition(self) -> bytes:
        """Return the cumulative sums as of the last flush, as Prometheus text."""
        return exposition(self.parts)

    def inform(self, definitions: Definitions, outbox: Outbox, totals: Totals) -> None:
        """Name the series of matches after *definitions*."""
        known = self._match_series
        if MATCHES in self._series and (known is None or not known.serves(definitions)):
            self._match_series = MatchSeries(definitions)

    def restore(self, now: int) -> None:
        for series in self._series.values():
            series.table.restore(now)

    def process(
        self, arrivals: Arrivals[Sequence[RollupRecord]], outbox: Outbox, totals: Totals
    ) -> None:
        for rollup, now in zip(arrivals.decoded, arrivals.times, strict=True):
            if isinstance(rollup, MatchCounts):
                self._add_matches(rollup, totals)
            elif isinstance(rollup, Rollup):
                self._add(rollup, totals)
            # The record's own sums are of the time before its watermark, so they come first.
            self._flush(now, outbox, totals)

    def advance(self, now: int, outbox: Outbox, totals: Totals) -> None:
        self._flush(now, outbox, totals)

    def before_checkpoint(self) -> None:
        for series in self._series.values():
            series.table.seal()

    def close(self) -> None:
        """Nothing to release."""

    def problems(self, totals: Totals) -> Sequence[str]:
        found = []
        for name, series in self._series.items():
            added = totals.counts.get(_COUNTED[name], 0)
            if added != series.table.count:
                found.append(f"{added} in rollups of {name}, but {series.table.count} in series")
        return found

    def _add_matches(self, counts: MatchCounts, totals: Totals) -> None:
        if self._match_series is None:
            totals.add("ignored_rollups", 1)
            return
        rollup, unknown = self._match_series.of(counts)
        totals.add("ignored_match_rows", unknown)
        self._add(rollup, totals)

    def _add(self, rollup: Rollup, totals: Totals) -> None:
        name = rollup.layout.family
        series = self._series.get(name)
        if series is None:
            totals.add("ignored_rollups", 1)
            return
        before = series.table.count
        is_late = series.table.add(rollup)
        totals.add("rollups", 1)
        totals.add(_COUNTED[name], series.table.count - before)
        if is_late:
            totals.add("late_rollups", 1)

    def _flush(self, now: int, outbox: Outbox, totals: Totals) -> None:
        due = [
            (at, number)
            for number, series in enumerate(self._series.values())
            for at in series.table.due(now)
        ]
        if due:
            every = list(self._series.values())
            for at, number in sorted(due):
                every[number].flush(at, outbox, totals)


class _Series:
    """One family's series, and how they are written."""

    def __init__(
        self, family: Family, store: PartitionStore, settings: MetricsSettings, flush_ms: int
    ) -> None:
        name = family.layout.family
        self.family = family
        self.table = SeriesTable(
            store, _PREFIXES[name], family.layout, family.counted, flush_ms, split=family.split
        )
        self._settings = settings
        self._limit = settings.record_bytes - _OVERHEAD_BYTES
        self._writer = MetricsWriter(family, self.table, self._limit)

    def flush(self, at: int, outbox: Outbox, totals: Totals) -> None:
        """Close the period that ends at *at* (ms), and write what its family has to say."""
        closed = self.table.close(at)
        flushed = self._writer.write(closed, at)
        for value in flushed.values:
            outbox.send(self._settings.metrics_topic, Output(None, value, at))
        if flushed.too_large:
            totals.add("metrics_too_large", flushed.too_large)
        if self.family.layout.family == EDGES and len(closed.slots):
            self._send_edges(closed, at, outbox, totals)

    def _send_edges(self, closed: Closed, at: int, outbox: Outbox, totals: Totals) -> None:
        keys = [self.table.keys[slot] for slot in closed.slots.tolist()]
        period = at - self.table.period_ms, at
        edges = edge_records(self.family.layout, keys, closed.rows, period, self._limit)
        for record in edges.records:
            outbox.send(self._settings.edges_topic, record)
        if edges.too_large:
            totals.add("edges_too_large", edges.too_large)
