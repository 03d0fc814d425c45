"""RED and service graph counted as plainly as possible, for laws to compare with.

Of spans as `span_traffic.CALLS` makes them, when no side of a call waits in vain for too short.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from tailrace.schemas.config.histograms import DEFAULT_BUCKETS
from tests.otlp import ERROR, Span
from tests.streams.span_traffic import CLIENT, CONSUMER, PRODUCER, SERVER

ROOTS = (b"", bytes(8))


class Red(NamedTuple):
    """A series of spans."""

    service: str
    name: str
    kind: int
    status: int


class Edge(NamedTuple):
    """Who calls whom."""

    client: str
    server: str
    connection_type: str


@dataclass
class Histogram:
    """Durations; a bucket's number to how many are in it."""

    sum_ns: int = 0
    buckets: Counter[int] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        return self.buckets.total()

    def add(self, span: Span | None) -> None:
        ns = 0 if span is None else max(0, span.end - span.start)
        self.sum_ns += ns
        self.buckets[bisect_left(DEFAULT_BUCKETS, ns)] += 1


@dataclass
class Calls:
    """Calls of an edge that succeeded, or those that failed, as each side saw them."""

    client: Histogram = field(default_factory=Histogram)
    server: Histogram = field(default_factory=Histogram)


class Unpaired(NamedTuple):
    """Whose call lacks which side."""

    service: str
    missing: str
    connection_type: str
    reason: str


class NaiveSums:
    """RED by series; `edges` by edge and whether the calls failed; spans that lack a side."""

    def __init__(self) -> None:
        self.red: defaultdict[Red, Histogram] = defaultdict(Histogram)
        self.edges: defaultdict[tuple[Edge, bool], Calls] = defaultdict(Calls)
        self.unpaired: Counter[Unpaired] = Counter()

    def count(self, spans: Iterable[Span]) -> None:
        """Count all *spans* of some traces, in the order in which they came; not the bad ones."""
        good = [span for span in spans if len(span.trace_id) == 16 and span.service]
        for span in good:
            self.red[Red(span.service, span.name, span.kind, span.status)].add(span)
        self._find_edges(good)

    def _find_edges(self, spans: list[Span]) -> None:
        clients: dict[tuple[bytes, bytes], Span] = {}
        servers = [span for span in spans if span.kind in (SERVER, CONSUMER)]
        for span in spans:
            if "db.name" in span.attributes:
                self._call(span, span, span.attributes["db.name"], "database")
            elif span.kind in (CLIENT, PRODUCER):
                clients.setdefault((span.trace_id, span.span_id), span)
        for server in servers:
            client = clients.get((server.trace_id, server.parent))
            if client is not None:
                kind = "messaging_system" if server.kind == CONSUMER else ""
                self._call(client, server, server.service, kind)
            elif server.parent in ROOTS:
                self._call(None, server, server.service, "virtual_node")
                self._lack(server, "client", "virtual_node")
            else:
                self._lack(server, "client", "expired")
        called = {(server.trace_id, server.parent) for server in servers}
        for key, client in clients.items():
            if key not in called:
                callee = client.attributes.get("peer.service", "unknown")
                self._call(client, None, callee, "virtual_node")
                self._lack(client, "server", "virtual_node")

    def _lack(self, span: Span, missing: str, reason: str) -> None:
        kind = "messaging_system" if span.kind in (PRODUCER, CONSUMER) else ""
        self.unpaired[Unpaired(span.service, missing, kind, reason)] += 1

    def _call(self, client: Span | None, server: Span | None, callee: str, kind: str) -> None:
        edge = Edge("user" if client is None else client.service, callee, kind)
        failed = any(side is not None and side.status == ERROR for side in (client, server))
        calls = self.edges[edge, failed]
        calls.client.add(client)
        calls.server.add(server)
