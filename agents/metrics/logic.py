"""Metrics as the engine runs them: rollups in, OTLP metrics and edge records out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tailrace.agents.metrics.admission import Blame
from tailrace.agents.metrics.families import PLACES, families
from tailrace.agents.metrics.family_series import FamilySeries
from tailrace.agents.metrics.instruments import Family
from tailrace.agents.metrics.matches import MatchSeries
from tailrace.agents.metrics.prometheus import exposition
from tailrace.agents.metrics.roll_ups import PREFIX as ROLL_UPS
from tailrace.agents.metrics.settings import EdgeMetrics, MetricsSettings, RedMetrics
from tailrace.agents.metrics.strays import stray_records
from tailrace.schemas.definitions import Definitions
from tailrace.schemas.definitions.latency_bounds import with_thresholds
from tailrace.schemas.exemplars import ExemplarBatch
from tailrace.schemas.matches import MATCHES, MatchCounts, RollupRecord
from tailrace.schemas.records import Arrivals, Outbox, Totals
from tailrace.schemas.series import CALLS, EDGES, EVENTS, RED, UNPAIRED, red_layout
from tailrace.schemas.sums import Rollup
from tailrace.tables.series import SeriesTable
from tailrace.tables.store import PartitionStore

__all__ = ["EdgeMetrics", "MetricsLogic", "MetricsSettings", "RedMetrics"]

_COUNTED: Final = {
    RED: "rollup_spans",
    CALLS: "rollup_called_spans",
    EVENTS: "rollup_span_events",
    EDGES: "rollup_calls",
    UNPAIRED: "rollup_unpaired",
    MATCHES: "rollup_events",
}


class MetricsLogic:
    """A Logic of the rollups stage.

    Rollups are counted in the flush period that has their end; when stream time reaches the end
    of a period, all series of that family are written as of then, and every edge with news. After
    a gap, what is due is written in order of time: each period that has news, and the last. What
    comes of a family that is turned off is counted as such, and that is all.

    What belongs to another partition is sent to that. What the rollups held = cumulative sums +
    open periods + series that are no more + what was sent on.
    """

    def __init__(self, settings: MetricsSettings, store: PartitionStore) -> None:
        self._store = store
        self._rollups = settings.rollups
        self._series, self._roll_ups = families(settings, store)
        rolled = (roll_up.series for of in self._roll_ups.values() for roll_up in of)
        self._all: list[FamilySeries] = [*self._series.values(), *rolled]
        self._match_series: MatchSeries | None = None

    @property
    def series(self) -> Sequence[FamilySeries]:
        """The series of this partition, by family."""
        return self._all

    @property
    def parts(self) -> list[tuple[str, Family, SeriesTable]]:
        """The series of this partition, by family, and what each of these is called."""
        return [(each.name, each.family, each.table) for each in self._all]

    def exposition(self) -> bytes:
        """Return the cumulative sums as of the last flush, as Prometheus text."""
        return exposition((family, table) for _, family, table in self.parts)

    @property
    def blamed(self) -> list[tuple[str, Blame]]:
        """The labels that had more values than they may, by the family of their series."""
        return [
            (each.name, blame)
            for each in self._all
            if each.admission is not None
            for blame in each.admission.blamed
        ]

    def inform(self, definitions: Definitions, outbox: Outbox, totals: Totals) -> None:
        """Name the series of matches after *definitions*, and bound durations by their SLOs."""
        for series in self._all:
            layout = series.family.layout
            if layout.family == RED and not layout.is_exponential:
                series.table.use(red_layout(with_thresholds(layout.bounds, definitions)))
        known = self._match_series
        if MATCHES in self._series and (known is None or not known.serves(definitions)):
            self._match_series = MatchSeries(definitions)
        self._send_strays(outbox)

    def restore(self, now: int) -> None:
        self._forget_roll_ups()
        for series in self._all:
            series.restore(now)

    def _forget_roll_ups(self) -> None:
        """Forget those that nobody wants any more; if they come back they begin anew."""
        wanted = {each.prefix for each in self._all}
        for key, _ in list(self._store.scan(ROLL_UPS)):
            if not any(key.startswith(prefix) for prefix in wanted):
                self._store.delete(key)

    def process(
        self, arrivals: Arrivals[Sequence[RollupRecord]], outbox: Outbox, totals: Totals
    ) -> None:
        for row, (rollup, now) in enumerate(zip(arrivals.decoded, arrivals.times, strict=True)):
            if isinstance(rollup, MatchCounts):
                self._add_matches(rollup, totals)
            elif isinstance(rollup, ExemplarBatch):
                self._show(rollup, arrivals.records[row].timestamp, totals)
            elif isinstance(rollup, Rollup):
                self._add(rollup, totals)
            # The record's own sums are of the time before its watermark, so they come first.
            self._flush(now, outbox, totals)

    def advance(self, now: int, outbox: Outbox, totals: Totals) -> None:
        self._flush(now, outbox, totals)

    def before_checkpoint(self) -> None:
        for series in self._all:
            series.seal()

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
        for roll_up in self._roll_ups.get(name, ()):
            roll_up.add(rollup)

    def _show(self, batch: ExemplarBatch, at: int, totals: Totals) -> None:
        series = self._series.get(batch.family)
        count = sum(map(len, batch.by_key.values()))
        is_shown = series is not None and series.show(batch, at)
        totals.add("exemplars" if is_shown else "ignored_exemplars", count)

    def _send_strays(self, outbox: Outbox) -> None:
        """Send on what other partitions have to write; roll-ups of it are made there."""
        for name, place in PLACES.items():
            series = self._series.get(name)
            if series is None:
                continue
            for stray in series.table.take_strays():
                for record in stray_records(stray, place, self._rollups):
                    outbox.send(self._rollups.name, record)
            for roll_up in self._roll_ups.get(name, ()):
                roll_up.series.table.take_strays()

    def _flush(self, now: int, outbox: Outbox, totals: Totals) -> None:
        self._send_strays(outbox)
        due = [
            (at, number) for number, series in enumerate(self._all) for at in series.table.due(now)
        ]
        for at, number in sorted(due):
            self._all[number].flush(at, outbox, totals)
