"""Edges of the service graph as what formulas count: requests from one service to another.

The service graph says what it counted in an interval when that closes, and runs before matches on
every batch. So when matches close the same interval, its edges are known, however batches are cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tailrace.schemas.definitions.conditions import Condition
from tailrace.schemas.definitions.signals import Signal
from tailrace.schemas.matches import Series, encode_group
from tailrace.schemas.series import CLIENT, CLIENT_FAILED, EdgeSeries
from tailrace.schemas.sums import Rollup, counted

SERVER_FIELD = "service"
"""The field that a formula over edges may group by: the service that is called."""


class ClosedEdges:
    """What the service graph counted in intervals that it closed, until matches close them."""

    def __init__(self) -> None:
        self._closed: list[Rollup] = []

    def take(self, rollup: Rollup) -> None:
        """Remember the edges of an interval."""
        self._closed.append(rollup)

    def upto(self, end_ms: int) -> list[Rollup]:
        """Return and forget the intervals that end at *end_ms* or before."""
        ready = [each for each in self._closed if each.end <= end_ms]
        self._closed = [each for each in self._closed if each.end > end_ms]
        return ready


class EdgeCounts:
    """What *signals* of edges count of an interval; each of its tenant's edges alone."""

    def __init__(self, signals: Sequence[Signal]) -> None:
        self._signals = [each for each in signals if each.edges is not None]
        self._known: dict[bytes, tuple[tuple[Signal, bytes], ...]] = {}

    def __bool__(self) -> bool:
        return bool(self._signals)

    def of(self, rollup: Rollup) -> Iterator[tuple[Series, int]]:
        """Yield how many requests there were for each series."""
        calls = (counted(rollup.layout, rollup.rows, name) for name in (CLIENT, CLIENT_FAILED))
        for key, good, failed in zip(rollup.keys, *(each.tolist() for each in calls), strict=True):
            wanted = self._known.get(key)
            if wanted is None:
                wanted = self._known[key] = tuple(self._wanted(EdgeSeries.of_key(key)))
            if not wanted:
                continue
            for signal, group in wanted:
                assert signal.edges is not None
                of = signal.edges.failed
                count = good + failed if of is None else failed if of else good
                if count:
                    yield Series(signal.id, group), count

    def _wanted(self, edge: EdgeSeries) -> Iterator[tuple[Signal, bytes]]:
        for signal in self._signals:
            edges = signal.edges
            assert edges is not None
            if signal.tenant != edge.tenant:
                continue
            pairs = (
                (edges.client, edge.client),
                (edges.server, edge.server),
                (edges.connection_type, edge.connection_type),
            )
            # A side that nobody named is missing, not empty.
            if all(said is None or Condition(said).holds(text or None) for said, text in pairs):
                groups = [edge.server if field == SERVER_FIELD else "" for field in signal.group_by]
                yield signal, encode_group(groups)
