"""The service graph as the engine runs it: spans in, rollups out.

An edge is counted in the interval of stream time in which its call was complete: when its second
side came, or when waiting for that ended.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from tailrace.agents.service_graph.edges import Edges, EdgeSums, edges_of
from tailrace.agents.service_graph.halves import HalfReader
from tailrace.agents.service_graph.settings import ServiceGraphSettings
from tailrace.schemas.half_edges import CLIENT, DATABASE, ROOT
from tailrace.schemas.records import Arrivals, Outbox, Totals
from tailrace.schemas.series import edge_layout
from tailrace.schemas.spans import SpanBatch
from tailrace.schemas.sums import Rollup
from tailrace.tables.half_edge_rows import Halves
from tailrace.tables.half_edges import NOBODY, Calls, HalfEdges, Met
from tailrace.tables.interval_sums import IntervalSums, RollupTopic
from tailrace.tables.store import PartitionStore

__all__ = ["ServiceGraphLogic", "ServiceGraphSettings"]

_PREFIX = b"g"
_WAITING_HALVES = 16_384
"""After so many, calls go to the sums though the interval is still open."""


class ServiceGraphLogic:
    """A Logic of the spans stage; *source* names this partition in watermarks.

    *closed* is told what each interval had. Halves = both sides of pairs + database calls + expired
    + repeated + dropped + pending.
    """

    def __init__(
        self,
        settings: ServiceGraphSettings,
        store: PartitionStore,
        topic: RollupTopic,
        source: str,
        closed: Callable[[Rollup], None] | None = None,
    ) -> None:
        layout = edge_layout(settings.bounds_ns)
        self._settings = settings
        self._halves = HalfEdges(store, settings.ttl_ms)
        self._reader = HalfReader(settings, self._halves.prototypes)
        self._sums = IntervalSums(store, _PREFIX, layout, topic, source, closed=closed)
        self._edges = EdgeSums(settings.dimensions, self._halves.prototypes, self._sums, layout)
        self._interval_ms = topic.interval_ms
        self._interval: int | None = None  # None: what is open is not known to be told of
        self._waiting = 0

    @property
    def pending(self) -> int:
        """Half edges that wait."""
        return self._halves.pending

    def restore(self, now: int) -> None:
        self._sums.restore(now)
        self._halves.restore()

    def process(self, arrivals: Arrivals[SpanBatch], outbox: Outbox, totals: Totals) -> None:
        times = arrivals.times
        if not times:
            return
        halves, unnamed = self._reader.read(arrivals.decoded, times)
        if unnamed:
            totals.add("half_edges_unnamed", unnamed)
        if halves is not None:
            self._count(halves, totals)
            if self._has_room(len(halves.keys)):
                _tell(self._halves.add(halves), totals)
            else:
                self._add_within(halves, times, outbox, totals)
            self._waiting += len(halves.keys)
        now = times[-1]
        if now // self._interval_ms != self._interval or self._waiting >= _WAITING_HALVES:
            self._settle(now, times, outbox, totals)

    def advance(self, now: int, outbox: Outbox, totals: Totals) -> None:
        self._settle(now, (), outbox, totals)
        self._interval = None
        if self._halves.pending:
            self._sums.roll(now, outbox)  # it has something to say yet
        else:
            self._sums.idle(now, outbox)

    def before_checkpoint(self) -> None:
        # All in the open interval: `process` settles when another one begins.
        self._edges.add(edges_of(self._halves.calls(), is_virtual=False))
        self._sums.seal()
        self._halves.seal()

    def close(self) -> None:
        """Nothing to release."""

    def problems(self, totals: Totals) -> Sequence[str]:
        counts = totals.counts
        came = sum(counts.get(f"half_edges.{side}", 0) for side in ("client", "server"))
        paired = 2 * counts.get("edges.paired", 0) - counts.get("half_edges_shared", 0)
        databases = counts.get("edges.database", 0)
        expired = sum(counts.get(f"edges_expired.{side}", 0) for side in ("client", "server"))
        repeated = counts.get("half_edges_repeated", 0)
        dropped = counts.get("half_edges_dropped", 0)
        pending = self._halves.pending
        if came == paired + databases + expired + repeated + dropped + pending:
            return []
        return [
            f"{came} half edges came, but {paired} paired, {databases} called databases, {expired} "
            f"expired, {repeated} repeated others, {dropped} dropped, {pending} pending"
        ]

    def _has_room(self, count: int) -> bool:
        limit = self._settings.max_items
        return limit is None or self._halves.pending + count <= limit

    def _add_within(
        self, halves: Halves, times: Sequence[int], outbox: Outbox, totals: Totals
    ) -> None:
        """Add *halves* moment by moment, so that what expires makes room for what comes."""
        limit = self._settings.max_items
        assert limit is not None
        told = 0
        for part in _moments(halves):
            now = int(part.times[0])
            until = bisect_right(times, now, told)
            self._settle(now, times[told:until], outbox, totals)
            told = until
            _tell(self._halves.add_within(part, limit), totals)

    def _count(self, halves: Halves, totals: Totals) -> None:
        clients = int(np.count_nonzero(halves.states & CLIENT))
        databases = int(np.count_nonzero(halves.states & DATABASE))
        totals.add("half_edges.client", clients)
        totals.add("half_edges.server", len(halves.keys) - clients)
        totals.add("edges.database", databases)

    def _settle(self, now: int, times: Sequence[int], outbox: Outbox, totals: Totals) -> None:
        """Count what was completed, expire what is due before *now*, and close intervals.

        *times*: of records since this was last done. An interval begins for each of them, and for
        each edge, so that what is sent does not depend on when this is called.
        """
        complete = edges_of(self._halves.calls(), is_virtual=False)
        expired = self._expired(now, totals)
        edges = complete.before(expired)
        intervals = edges.at // self._interval_ms
        begun = {int(each) for each in np.unique(intervals)}
        begun.update(
            int(each) for each in np.unique(np.array(times, np.int64) // self._interval_ms)
        )
        for interval in sorted(begun):
            self._sums.roll(interval * self._interval_ms, outbox)
            self._edges.add(edges.only(intervals == interval))
        self._halves.forget_prototypes()
        self._interval = now // self._interval_ms
        self._waiting = 0

    def _expired(self, now: int, totals: Totals) -> Edges:
        calls = self._halves.expired(now)
        lacks_server = calls.client != NOBODY
        is_root = (calls.states & ROOT) != 0
        servers, roots = int(np.count_nonzero(lacks_server)), int(np.count_nonzero(is_root))
        totals.add("edges_expired.server", servers)
        totals.add("edges_expired.client", len(lacks_server) - servers)
        has_virtual = bool(self._settings.peer_attributes)
        if has_virtual:
            totals.add("edges.virtual_server", servers)
            totals.add("edges.virtual_client", roots)
        chosen = (lacks_server | is_root) & has_virtual
        return edges_of(Calls(*(column[chosen] for column in calls)), is_virtual=True)


def _tell(met: Met, totals: Totals) -> None:
    totals.add("edges.paired", met.pairs)
    for name, count in (
        ("half_edges_shared", met.shared),
        ("half_edges_repeated", met.repeated),
        ("half_edges_dropped", met.dropped),
    ):
        if count:
            totals.add(name, count)


def _moments(halves: Halves) -> Iterator[Halves]:
    """Yield *halves* in parts that came at one time each."""
    cuts = (np.flatnonzero(np.diff(halves.times)) + 1).tolist()
    for start, end in pairwise([0, *cuts, len(halves.keys)]):
        yield halves.part(slice(start, end))
