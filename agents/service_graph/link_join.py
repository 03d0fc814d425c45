"""The join by links as the engine runs it: halves in, rollups of edges out.

Producers, and the links of consumers, come to the partition that both of them hash to, interval by
interval. An interval's halves meet those that wait when every source has told of it, and all of
them at once: so who pairs with whom depends neither on the order in which they came nor on who
wrote faster. A producer and a link pair if the intervals in which they were told are no further
apart than the wait.

Edges have one writer each, which need not be this partition: what an interval brought goes back
into the rollup topic, to the partition that its key belongs to. That is no word of a source, so it
carries no watermark, and counts in the first flush period that is open where it arrives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tailrace.agents.service_graph.edges import EdgeSums, edges_of
from tailrace.agents.service_graph.logic import imbalance, tell
from tailrace.agents.service_graph.settings import ServiceGraphSettings
from tailrace.agents.service_graph.settled import tell_expired
from tailrace.agents.service_graph.unpaired import (
    LINK_EXPIRED,
    LINK_STORE_FULL,
    UnpairedSums,
    expiry_reasons,
    number_of,
)
from tailrace.schemas.half_edges import CLIENT, LINKED, LinkHalves
from tailrace.schemas.matches import RollupRecord
from tailrace.schemas.records import Arrivals, Outbox, Output, Totals
from tailrace.schemas.series import edge_place, unpaired_layout
from tailrace.tables.half_edge_rows import Halves
from tailrace.tables.half_edges import HalfEdges
from tailrace.tables.interval_sums import IntervalSums, RollupTopic
from tailrace.tables.store import PartitionStore
from tailrace.tables.waiting_links import WaitingLinks

_EDGES, _UNPAIRED, _HALVES, _WAITING = b"G", b"U", b"H", b"L"


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """`wait_ms`: how long a half waits. `max_items`: how many may, None for no limit.

    `graph` says what an edge is.
    """

    wait_ms: int
    max_items: int | None
    graph: ServiceGraphSettings


class LinkJoin:
    """A Logic of the rollups stage.

    Halves that came = both sides of pairs + expired + linked + repeated + dropped + pending. The
    linked are producers that expired, but had met a consumer in their own trace.
    """

    def __init__(self, settings: LinkSettings, store: PartitionStore, topic: RollupTopic) -> None:
        self._settings = settings
        self._topic = topic
        self._waiting = WaitingLinks(store, _WAITING)
        self._halves = HalfEdges(store, settings.wait_ms, _HALVES)
        prototypes = self._halves.prototypes
        # Of one interval, and empty before and after: so they are never in the store.
        self._sums = [
            IntervalSums(store, _EDGES, settings.graph.layout, topic, "", edge_place),
            IntervalSums(store, _UNPAIRED, unpaired_layout(), topic, ""),
        ]
        self._edges = EdgeSums(settings.graph, prototypes, self._sums[0])
        self._unpaired = UnpairedSums(prototypes, self._sums[1])
        self._passed = 0

    @property
    def pending(self) -> int:
        """Half edges that wait."""
        return self._halves.pending + len(self._waiting)

    def restore(self, now: int) -> None:
        self._passed = now // self._topic.interval_ms * self._topic.interval_ms
        self._waiting.restore()
        self._halves.restore()

    def process(
        self, arrivals: Arrivals[Sequence[RollupRecord]], outbox: Outbox, totals: Totals
    ) -> None:
        rows = zip(arrivals.records, arrivals.decoded, arrivals.times, strict=True)
        for record, halves, now in rows:
            if isinstance(halves, LinkHalves):
                self._hold(halves, record.offset, totals)
            # A record's own halves are of the time before its watermark, so they come first.
            self._close(now, outbox, totals)

    def advance(self, now: int, outbox: Outbox, totals: Totals) -> None:
        self._close(now, outbox, totals)

    def before_checkpoint(self) -> None:
        self._halves.seal()

    def close(self) -> None:
        """Nothing to release."""

    def problems(self, totals: Totals) -> Sequence[str]:
        return imbalance(totals, self.pending)

    def _hold(self, halves: LinkHalves, offset: int, totals: Totals) -> None:
        clients = int(np.count_nonzero(halves.states & CLIENT))
        totals.add("half_edges.client", clients)
        totals.add("half_edges.server", len(halves.of) - clients)
        interval_ms = self._topic.interval_ms
        end = -(-halves.end // interval_ms) * interval_ms
        if end <= self._passed:
            totals.add("half_edges_late", len(halves.of))
        self._waiting.add(halves, max(end, self._passed + interval_ms), offset)

    def _close(self, now: int, outbox: Outbox, totals: Totals) -> None:
        """Do what is due until *now*, interval by interval."""
        for end in self._due(now):
            self._expire(end, totals)
            halves = self._waiting.take(end)
            if halves is not None:
                self._meet(halves, totals)
            self._edges.add(edges_of(self._halves.calls(), is_virtual=False))
            self._drop()
            self._halves.met()
            self._halves.forget_prototypes()
            self._send(end, outbox)

    def _due(self, now: int) -> Iterator[int]:
        """Yield the ends of intervals until *now* in which something happens."""
        interval_ms = self._topic.interval_ms
        last = now // interval_ms * interval_ms
        while self._passed < last:
            ends = [last + interval_ms]
            if self._waiting.first_ms is not None:
                ends.append(self._waiting.first_ms)
            if self._halves.first_due is not None:
                # What is due at t expires in the interval that has t, and is gone at its end.
                ends.append((self._halves.first_due // interval_ms + 1) * interval_ms)
            end = max(min(ends), self._passed + interval_ms)
            self._passed = min(end, last)
            if end <= last:
                yield end

    def _meet(self, halves: LinkHalves, totals: Totals) -> None:
        numbers = np.array(
            [self._halves.prototypes.number(each) for each in halves.prototypes], np.int32
        )
        came = Halves(
            halves.keys,
            numbers[halves.of],
            halves.durations,
            np.full(len(halves.of), halves.end, np.int64),
            halves.states.copy(),
        )
        limit = self._settings.max_items
        if limit is None or self._halves.pending + len(halves.of) <= limit:
            tell(self._halves.add(came), totals)
        else:
            tell(self._halves.add_within(came, limit), totals)

    def _expire(self, end: int, totals: Totals) -> None:
        """Let go of what waited in vain until *end*."""
        gone = self._halves.expired(end)
        is_linked = (gone.states & LINKED) != 0
        totals.add("half_edges_linked", int(np.count_nonzero(is_linked)))
        told = gone.part(~is_linked)
        has_virtual_nodes = bool(self._settings.graph.peer_attributes)
        self._edges.add(tell_expired(told, totals, has_virtual_nodes=has_virtual_nodes))
        reasons = expiry_reasons(told, has_virtual_nodes=has_virtual_nodes)
        is_client = (told.states & CLIENT) != 0
        self._unpaired.add(told, np.where(is_client, reasons, number_of(LINK_EXPIRED)))

    def _drop(self) -> None:
        """Tell of those that had no room, unless they met a consumer in their own trace."""
        dropped = self._halves.dropped()
        dropped = dropped.part((dropped.states & LINKED) == 0)
        self._unpaired.add(dropped, np.full(len(dropped.keys), number_of(LINK_STORE_FULL)))

    def _send(self, end: int, outbox: Outbox) -> None:
        for sums in self._sums:
            for partition, values in sums.take(end - self._topic.interval_ms).items():
                for value in values:
                    outbox.send(self._topic.name, Output(None, value, end, (), partition))
