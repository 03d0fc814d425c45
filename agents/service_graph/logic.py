"""The service graph as the engine runs it: spans in, rollups out.

An edge is counted in the interval of stream time in which its call was complete: when its second
side came, or when waiting for that ended.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from tailrace.agents.service_graph.edges import EdgeSums
from tailrace.agents.service_graph.halves import HalfReader
from tailrace.agents.service_graph.settings import ServiceGraphSettings
from tailrace.agents.service_graph.settled import Settled, completed, expired
from tailrace.agents.service_graph.unpaired import UnpairedSums
from tailrace.schemas.half_edges import CLIENT, DATABASE
from tailrace.schemas.records import Arrivals, Outbox, Totals
from tailrace.schemas.series import edge_place, unpaired_layout
from tailrace.schemas.spans import SpanBatch
from tailrace.schemas.sums import Rollup
from tailrace.tables.half_edge_rows import Halves
from tailrace.tables.half_edges import HalfEdges, Met
from tailrace.tables.interval_contents import IntervalContents
from tailrace.tables.interval_sums import IntervalSums, RollupTopic
from tailrace.tables.open_links import Kind, OpenLinks
from tailrace.tables.store import PartitionStore

__all__ = ["ServiceGraphLogic", "ServiceGraphSettings"]

_PREFIX, _UNPAIRED, _LINKS = b"g", b"U", b"L"
_WAITING_HALVES = 16_384
"""After so many, calls go to the sums though the interval is still open."""


class ServiceGraphLogic:
    """A Logic of the spans stage; *source* names this partition in watermarks.

    *closed* is told what each interval had of edges. Halves = both sides of pairs + database calls
    + expired + linked + repeated + dropped + pending; linked: expired, but looked for by links.
    """

    def __init__(
        self,
        settings: ServiceGraphSettings,
        store: PartitionStore,
        topic: RollupTopic,
        source: str,
        closed: Callable[[Rollup], None] | None = None,
    ) -> None:
        self._settings = settings
        self._halves = HalfEdges(store, settings.ttl_ms)
        prototypes, layout = self._halves.prototypes, settings.layout
        self._reader = HalfReader(settings, prototypes)
        sums = IntervalSums(store, _PREFIX, layout, topic, source, edge_place, closed)
        unpaired = IntervalSums(store, _UNPAIRED, unpaired_layout(), topic, source)
        self._links = OpenLinks(store, _LINKS, topic)
        self._sums = IntervalContents(store, _PREFIX, topic, source, [sums, unpaired, self._links])
        self._edges = EdgeSums(settings, prototypes, sums)
        self._unpaired = UnpairedSums(prototypes, unpaired)
        self._linked: list[Halves] = []
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
        halves, linked, unnamed = self._reader.read(arrivals.decoded, times)
        if unnamed:
            totals.add("half_edges_unnamed", unnamed)
        if linked is not None:
            self._linked.append(linked)
        if halves is not None:
            self._count(halves, totals)
            if self._has_room(len(halves.keys)):
                tell(self._halves.add(halves), totals)
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
        self._add(self._completed())
        self._sums.seal()
        self._halves.seal()

    def close(self) -> None:
        """Nothing to release."""

    def problems(self, totals: Totals) -> Sequence[str]:
        return imbalance(totals, self._halves.pending)

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
            tell(self._halves.add_within(part, limit), totals)

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
        is_virtual = bool(self._settings.peer_attributes)
        parts = [
            self._completed(now),
            expired(self._halves, now, totals, has_virtual_nodes=is_virtual),
        ]
        at = np.concatenate([np.array(times, np.int64), *(part.times() for part in parts)])
        begun = np.unique(at // self._interval_ms).tolist()
        for interval in begun:
            start = interval * self._interval_ms
            self._sums.roll(start, outbox)
            for part in parts:
                is_all = len(begun) == 1
                self._add(part if is_all else part.between(start, start + self._interval_ms))
        self._halves.forget_prototypes()
        self._interval = now // self._interval_ms
        self._waiting = 0

    def _completed(self, now: int | None = None) -> Settled:
        """Take what is complete, and the links of consumers that came until *now*."""
        found = completed(self._halves)
        linked, self._linked = self._linked, []
        if now is not None:
            ends = [int(np.searchsorted(each.times, now, "right")) for each in linked]
            parts = list(zip(linked, ends, strict=True))
            self._linked = [
                each.part(slice(end, None)) for each, end in parts if end < len(each.times)
            ]
            linked = [each.part(slice(end)) for each, end in parts]
        return found._replace(passed=[*found.passed, *((Kind.CONSUMERS, each) for each in linked)])

    def _add(self, settled: Settled) -> None:
        """Add *settled* to the open interval."""
        self._edges.add(settled.edges)
        for halves, reasons in settled.unpaired:
            self._unpaired.add(halves, reasons)
        for kind, halves in settled.passed:
            self._links.add(kind, halves, self._halves.prototypes)


def imbalance(totals: Totals, pending: int) -> Sequence[str]:
    """Return what does not add up of *totals*, when *pending* halves wait."""
    counts = totals.counts
    came = sum(counts.get(f"half_edges.{side}", 0) for side in ("client", "server"))
    paired = 2 * counts.get("edges.paired", 0) - counts.get("half_edges_shared", 0)
    databases = counts.get("edges.database", 0)
    gone = sum(counts.get(f"edges_expired.{side}", 0) for side in ("client", "server"))
    linked = counts.get("half_edges_linked", 0)
    repeated = counts.get("half_edges_repeated", 0)
    dropped = counts.get("half_edges_dropped", 0)
    if came == paired + databases + gone + linked + repeated + dropped + pending:
        return []
    return [
        f"{came} half edges came, but {paired} paired, {databases} called databases, {gone} "
        f"expired, {linked} linked, {repeated} repeated others, {dropped} dropped, "
        f"{pending} pending"
    ]


def tell(met: Met, totals: Totals) -> None:
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
