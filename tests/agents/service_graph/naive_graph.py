"""The service graph written as plainly as possible, for laws to compare with: a list of halves."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tailrace.agents.service_graph.settings import ServiceGraphSettings
from tests.agents.service_graph.traffic import (
    BOUNDS_NS,
    CLIENT,
    CONSUMER,
    ERROR,
    INTERVAL_MS,
    PRODUCER,
    ROOTS,
    SERVER,
    WEIGHTS,
    Sent,
    Span,
    rows,
)

Counted = Counter[tuple[int, tuple[Any, ...], str]]
"""What was counted: the interval's start, the edge, and a sum or a bucket, to how much."""


@dataclass
class Half:
    """A span that waits, or a client that is kept for more servers."""

    span: Span
    due: int
    has_paired: bool = False

    @property
    def is_client(self) -> bool:
        return self.span.kind in (CLIENT, PRODUCER)

    @property
    def key(self) -> tuple[bytes, bytes] | None:
        """None: it has no other side."""
        if self.is_client:
            return self.span.trace_id, self.span.span_id
        return None if self.span.parent in ROOTS else (self.span.trace_id, self.span.parent)


@dataclass(frozen=True)
class Told:
    """A producer that consumers of other traces may look for, or what one of them looks for.

    `at`: when it was passed on. `is_known`: a producer that met a consumer in its own trace.
    """

    at: int
    key: tuple[bytes, bytes]
    span: Span
    is_known: bool = False

    @property
    def is_client(self) -> bool:
        return self.span.kind == PRODUCER


@dataclass
class NaiveGraph:
    """Feed it records in order; `counted` and `counts` then are what must have been counted."""

    settings: ServiceGraphSettings
    counted: Counted = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    now: int = 0
    halves: list[Half] = field(default_factory=list)
    unpaired: Counter[tuple[int, tuple[str, ...]]] = field(default_factory=Counter)
    told: list[Told] = field(default_factory=list)

    def record(self, timestamp: int, spans: Iterable[Span]) -> None:
        """One record with its good *spans*."""
        self.now = max(self.now, timestamp)
        self.expire_before(self.now)
        for span in spans:
            if span.kind not in (SERVER, CLIENT, PRODUCER, CONSUMER):
                continue
            if span.service:
                self._arrive(Half(span, self.now + self.settings.ttl_ms))
            else:
                self.counts["half_edges_unnamed"] += 1

    def expire_before(self, now: int) -> None:
        """Time goes on to *now*."""
        for half in list(self.halves):
            if half.due < now:
                self.halves.remove(half)
                if not half.has_paired:
                    self._expire(half)

    @property
    def pending(self) -> int:
        return sum(not half.has_paired for half in self.halves)

    def _arrive(self, half: Half) -> None:
        self.counts["half_edges.client" if half.is_client else "half_edges.server"] += 1
        database = half.is_client and self._named(half.span, self._database_values(half.span))
        if database:
            self.counts["edges.database"] += 1
            self.edge(half.span, half.span, database, "database", self.now)
            return
        self.told += [Told(self.now, key, half.span) for key in self._links(half.span)]
        same = [each for each in self.halves if half.key is not None and each.key == half.key]
        others = [each for each in same if each.is_client != half.is_client]
        if half.is_client and len(others) < len(same):
            self.counts["half_edges_repeated"] += 1
            return
        limit = self.settings.max_items
        if not others and limit is not None and self.pending >= limit:
            self.counts["half_edges_dropped"] += 1
            if not self._links(half.span):
                self.lack(half.span, "store_full", self.now)
            return
        for other in others:
            self._pair(half, other)
        if half.is_client or not others:
            self.halves.append(half)

    def _pair(self, half: Half, other: Half) -> None:
        client, server = (half, other) if half.is_client else (other, half)
        self.counts["edges.paired"] += 1
        if client.has_paired:
            self.counts["half_edges_shared"] += 1
        elif client.span.kind == PRODUCER and self.settings.has_links:
            self._tell(client, self.now, is_known=True)
        client.has_paired = True
        if server is other:
            self.halves.remove(server)
        kind = "messaging_system" if half.span.kind in (PRODUCER, CONSUMER) else ""
        self.edge(client.span, server.span, server.span.service, kind, self.now)

    def _expire(self, half: Half) -> None:
        if self.settings.has_links and half.span.kind == PRODUCER:
            self.counts["half_edges_linked"] += 1
            self._tell(half, half.due)
        elif self._links(half.span):
            self.counts["half_edges_linked"] += 1
        else:
            self.give_up(half.span, half.due, is_root=half.key is None)

    def give_up(self, span: Span, at: int, *, is_root: bool = False) -> None:
        """*span* has waited in vain until *at*."""
        is_client = span.kind in (CLIENT, PRODUCER)
        self.counts[f"edges_expired.{'server' if is_client else 'client'}"] += 1
        if not self.settings.peer_attributes:
            self.lack(span, "no_parent" if is_root else "expired", at)
            return
        self.lack(span, "virtual_node" if is_client or is_root else "expired", at)
        if is_client:
            self.counts["edges.virtual_server"] += 1
            callee = self._named(span, self._peer_values(span)) or "unknown"
            self.edge(span, None, callee, "virtual_node", at)
        elif is_root:
            self.counts["edges.virtual_client"] += 1
            self.edge(None, span, span.service, "virtual_node", at)

    def _tell(self, half: Half, at: int, *, is_known: bool = False) -> None:
        assert half.key is not None
        self.told.append(Told(at, half.key, half.span, is_known))

    def _links(self, span: Span) -> list[tuple[bytes, bytes]]:
        """What *span* is joined with by links, if it is a consumer's."""
        if not self.settings.has_links or span.kind != CONSUMER:
            return []
        own = span.trace_id, span.parent
        return [
            (trace_id, span_id)
            for trace_id, span_id in dict.fromkeys(span.links)
            if len(trace_id) == 16 and any(trace_id) and any(span_id) and (trace_id, span_id) != own
        ]

    def lack(self, span: Span, reason: str, at: int) -> None:
        """*span* lacks the other side of its call."""
        missing = "server" if span.kind in (CLIENT, PRODUCER) else "client"
        kind = "messaging_system" if span.kind in (PRODUCER, CONSUMER) else ""
        series = ("default", span.service, missing, kind, reason)
        self.unpaired[at // INTERVAL_MS * INTERVAL_MS, series] += WEIGHTS[span.state]

    def edge(
        self, client: Span | None, server: Span | None, callee: str, kind: str, at: int
    ) -> None:
        caller = "user" if client is None else client.service
        labels = []
        for name in self.settings.dimensions:
            for side, span in (("client", client), ("server", server)):
                if span is None or (side == "server" and kind == "database"):
                    continue
                values = _values(self.settings.names(name), span.resource, span.attributes)
                labels += [(f"{side}_{name}", text(value)) for value in values[:1]]
        if self.settings.labels_virtual_nodes:
            side = "client" if client is None else "server" if server is None else ""
            labels.append(("virtual_node", side if kind == "virtual_node" else ""))
        edge = ("default", caller, callee, kind, tuple(labels))
        weight = max(WEIGHTS[span.state] for span in (client, server) if span is not None)
        failed = any(span is not None and span.status == ERROR for span in (client, server))
        for side, span in (("client", client), ("server", server)):
            ns = 0 if span is None else max(0, span.ns)
            of = (at // INTERVAL_MS * INTERVAL_MS, edge)
            histogram = f"{side}_failed" if failed else side
            self.counted[(*of, f"{histogram} sum")] += ns * weight
            self.counted[(*of, f"{histogram} bucket {bisect_left(BOUNDS_NS, ns)}")] += weight

    def prototype(self, span: Span) -> tuple[object, ...]:
        """Service, target, dimensions, weight and tenant of *span*."""
        labels = [
            (name, text(value))
            for name in self.settings.dimensions
            for value in _values(self.settings.names(name), span.resource, span.attributes)[:1]
        ]
        is_client = span.kind in (CLIENT, PRODUCER)
        values = [*self._database_values(span), *self._peer_values(span)] if is_client else []
        target = self._named(span, values)
        return (span.service, target, tuple(labels), WEIGHTS[span.state], "default")

    def _named(self, span: Span, values: Sequence[Any]) -> str:
        """The first of *values* that is not blank."""
        return next((text(value) for value in values if text(value)), "")

    def _database_values(self, span: Span) -> list[Any]:
        return [
            value
            for key in self.settings.database_name_attributes
            for value in _values(self.settings.names(key), span.resource, span.attributes)
        ]

    def _peer_values(self, span: Span) -> list[Any]:
        return [
            value
            for key in self.settings.peer_attributes
            for value in _values(self.settings.names(key), span.attributes)
        ]


def _values(keys: Sequence[str], *attributes: Mapping[str, Any]) -> list[Any]:
    return [each[key] for each in attributes for key in keys if key in each]


def text(value: Any) -> str:
    """*value* as a label."""
    if value is None:
        return ""
    return {"True": "true", "2.0": "2"}.get(str(value), str(value))


def expected(settings: ServiceGraphSettings, sent: Sequence[Sent], end: int) -> NaiveGraph:
    """What comes of *sent* when time then goes on to *end*."""
    graph = NaiveGraph(settings)
    for row, record in zip(rows(sent), sent, strict=True):
        good = [
            span
            for span in record.spans or ()
            if len(span.trace_id) == 16 and len(span.span_id) == 8
        ]
        first_of = {span.trace_id: index for index, span in reversed(list(enumerate(good)))}
        graph.record(row.timestamp, sorted(good, key=lambda span: first_of[span.trace_id]))
    graph.expire_before(end)
    return graph
