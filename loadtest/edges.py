"""What is true of the service graph, if `store.ttl` is no less than `Load.pairing_s`.

Then the two halves of every call meet, whichever comes first, and what stays alone is alone
because there is nobody on the other side: the user, or a server without spans. It counts once its
time to live is over.

- A call counts for each pair of spans: a producer with two consumers makes two calls.
- It failed if the span of either side has the status ERROR.
- The side without a span has a duration of 0; but both sides of a database are the client.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from tailrace_loadtest.fleet import Kind, Operation
from tailrace_loadtest.histograms import Histogram, histograms
from tailrace_loadtest.shapes import OPERATIONS
from tailrace_loadtest.traffic import Ints, Spans, Traffic

USER, UNKNOWN = "user", "unknown"
_COUNT = len(OPERATIONS)
_IS_CLIENT = np.array([each.kind in (Kind.CLIENT, Kind.PRODUCER) for each in OPERATIONS])
_IS_SERVER = np.array([each.kind in (Kind.SERVER, Kind.CONSUMER) for each in OPERATIONS])
_IS_DATABASE = np.array([each.database is not None for each in OPERATIONS])
_NOBODY = -1


class Edge(NamedTuple):
    """Who calls whom; type "" (request), "messaging_system", "database" or "virtual_node"."""

    client: str
    server: str
    connection_type: str


class EdgeSeries(NamedTuple):
    """Calls of an edge: those that failed, or those that did not."""

    edge: Edge
    is_failed: bool


@dataclass(slots=True)
class Calls:
    """How long calls took, as either side saw it; both sides count every call."""

    client: Histogram = field(default_factory=Histogram)
    server: Histogram = field(default_factory=Histogram)

    @property
    def count(self) -> int:
        """How many calls."""
        return self.client.count


class _Halves(NamedTuple):
    """Rows of the spans on both sides of each call, or `_NOBODY`."""

    client: Ints
    server: Ints


def count_edges(graph: dict[EdgeSeries, Calls], traffic: Traffic) -> None:
    """Add all calls of *traffic* to *graph*."""
    spans = traffic.spans
    halves = _halves(spans)
    # The row of nobody is the last: no operation, no duration, no error.
    operation = np.append(spans.operation, _NOBODY)
    duration = np.append(np.maximum(spans.end - spans.start, 0), 0)
    is_error = np.append(spans.is_error, False)
    client, server = operation[halves.client], operation[halves.server]
    is_database = _IS_DATABASE[client] & (client != _NOBODY)
    client_ns = duration[halves.client]
    server_ns = np.where(is_database, client_ns, duration[halves.server])
    is_failed = is_error[halves.client] | is_error[halves.server]
    codes = ((client + 1) * (_COUNT + 1) + server + 1) * 2 + is_failed
    distinct, groups = np.unique(codes, return_inverse=True)
    for code, its_client, its_server in zip(
        distinct.tolist(),
        histograms(groups, client_ns, len(distinct)),
        histograms(groups, server_ns, len(distinct)),
        strict=True,
    ):
        calls = graph.setdefault(_series(code), Calls())
        calls.client.add(its_client)
        calls.server.add(its_server)


def _halves(spans: Spans) -> _Halves:
    is_client, is_server = _IS_CLIENT[spans.operation], _IS_SERVER[spans.operation]
    has_parent = spans.parent >= 0
    served = np.flatnonzero(is_server & has_parent & is_client[spans.parent])
    called = spans.parent[served]
    is_answered = np.zeros(len(is_client), bool)
    is_answered[called] = True
    alone = np.flatnonzero(is_client & ~is_answered)
    roots = np.flatnonzero(is_server & ~has_parent)
    return _Halves(
        np.concatenate([called, alone, np.full(len(roots), _NOBODY)]),
        np.concatenate([served, np.full(len(alone), _NOBODY), roots]),
    )


def _series(code: int) -> EdgeSeries:
    pair, is_failed = divmod(code, 2)
    client, server = divmod(pair, _COUNT + 1)
    return EdgeSeries(_edge(_operation(client - 1), _operation(server - 1)), bool(is_failed))


def _operation(number: int) -> Operation | None:
    return None if number == _NOBODY else OPERATIONS[number]


def _edge(client: Operation | None, server: Operation | None) -> Edge:
    if client is None:
        assert server is not None
        return Edge(USER, server.service, "virtual_node")
    if server is not None:
        is_request = client.kind is Kind.CLIENT
        return Edge(client.service, server.service, "" if is_request else "messaging_system")
    if client.database is not None:
        return Edge(client.service, client.database, "database")
    return Edge(client.service, client.peer or UNKNOWN, "virtual_node")
