"""The join by links written as plainly as possible: all that was told, boundary after boundary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tailrace.agents.service_graph.link_join import LinkSettings
from tests.agents.service_graph.naive_graph import NaiveGraph, Told
from tests.agents.service_graph.traffic import ERROR, INTERVAL_MS


@dataclass
class Waiting:
    """What was told of an interval that ended at `end`."""

    told: Told
    end: int
    has_paired: bool = False


@dataclass
class NaiveJoin:
    """`graph` has counted what must have been counted, when all was told."""

    settings: LinkSettings
    graph: NaiveGraph
    halves: list[Waiting] = field(default_factory=list)

    def join(self, told: Iterable[Told], until: int) -> None:
        """Let all of *told* come, each interval at once, and time go on to *until*."""
        coming = [Waiting(each, (each.at // INTERVAL_MS + 1) * INTERVAL_MS) for each in told]
        for end in range(min((each.end for each in coming), default=until), until, INTERVAL_MS):
            self._expire(end)
            for each in sorted((each for each in coming if each.end == end), key=self._order):
                self._come(each)
            if not self.halves and all(each.end <= end for each in coming):
                return

    def _order(self, half: Waiting) -> tuple[object, ...]:
        span, told = half.told.span, half.told
        bits = 8 | told.is_client | (16 if span.status == ERROR else 0) | told.is_known << 7
        prototype = self.graph.prototype(span)
        return (*told.key, bits, max(0, span.ns), *prototype)

    def _expire(self, end: int) -> None:
        for half in list(self.halves):
            if half.end < end - self.settings.wait_ms:
                self.halves.remove(half)
                if not half.has_paired:
                    self._give_up(half)

    def _give_up(self, half: Waiting) -> None:
        due = half.end + self.settings.wait_ms
        if half.told.is_known:
            self.graph.counts["half_edges_linked"] += 1
        elif half.told.is_client:
            self.graph.give_up(half.told.span, due)
        else:
            self.graph.counts["edges_expired.client"] += 1
            self.graph.lack(half.told.span, "link_expired", due)

    def _come(self, half: Waiting) -> None:
        counts, told = self.graph.counts, half.told
        counts["half_edges.client" if told.is_client else "half_edges.server"] += 1
        same = [each for each in self.halves if each.told.key == told.key]
        others = [each for each in same if each.told.is_client != told.is_client]
        if told.is_client and len(others) < len(same):
            counts["half_edges_repeated"] += 1
            return
        limit = self.settings.max_items
        pending = sum(not each.has_paired for each in self.halves)
        if not others and limit is not None and pending >= limit:
            counts["half_edges_dropped"] += 1
            if not told.is_known:
                self.graph.lack(told.span, "link_store_full", half.end - INTERVAL_MS)
            return
        for other in others:
            self._pair(half, other)
        if told.is_client or not others:
            self.halves.append(half)

    def _pair(self, half: Waiting, other: Waiting) -> None:
        client, server = (half, other) if half.told.is_client else (other, half)
        self.graph.counts["edges.paired"] += 1
        self.graph.counts["half_edges_shared"] += client.has_paired
        client.has_paired = True
        if server is other:
            self.halves.remove(server)
        span = server.told.span
        kind, at = "messaging_system", half.end - INTERVAL_MS
        self.graph.edge(client.told.span, span, span.service, kind, at)


def joined(settings: LinkSettings, told: Sequence[Told], until: int) -> NaiveGraph:
    """What the join of all that was *told* counts, when time goes on to *until*."""
    graph = NaiveGraph(settings.graph)
    NaiveJoin(settings, graph).join(told, until)
    return graph
