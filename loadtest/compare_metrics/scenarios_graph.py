"""A scenario for each key of `service_graph`: the least spans that show what it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tailrace_loadtest.compare_metrics.scenario import Arrival, Scenario, Seen, arrival

_EXPOSED = ("defaults", "dimensions", "extra-label", "exponential", "timestamp-offset")


def _graph(
    name: str, about: str, arrivals: Sequence[Arrival], until: float = 190.5, /, **section: Any
) -> Scenario:
    if name != "defaults" and "exponential_histogram_max_size" not in section:
        section.setdefault("latency_histogram_buckets", ["10ms"])
    config = {"service_graph": section}
    return Scenario(f"graph-{name}", config, arrivals, until, about, name in _EXPOSED)


def _call(trace: int, *, client: dict[str, Any] | None = None, **server: Any) -> list[Seen]:
    """A client of `web` and the server of `shop` that it called."""
    one = {"service": "web", "kind": "client", "ms": 12.0, "parent": 9, **(client or {})}
    other = {"ms": 10.0, "parent": 1, "id": 2, **server}
    return [Seen(trace=trace, id=1, **one), Seen(trace=trace, **other)]


_ENV = {"env": "prod", "region": "eu"}
_CALLS = [
    arrival(
        0.5,
        *_call(1),
        *reversed(_call(2, status="error")),
        *_call(3, client={"status": "error", "ms": 0.0}),
        *_call(4, client={"kind": "producer"}, kind="consumer"),
        *_call(5, client={"kind": "producer"}),
        *_call(6, kind="consumer"),
        *reversed(_call(7, client={"kind": "producer"})),
        *reversed(_call(8, kind="consumer")),
    ),
    arrival(61.5, *_call(9), *_call(10, service="web")),
]
_LABELS = [
    arrival(
        0.5,
        *_call(
            1,
            client={"attributes": {**_ENV, "n": 1}, "resource": {"env": "resource"}},
            attributes={"region": "us", "n": 2.0},
            resource={"zone": "z"},
        ),
        *_call(2, client={"attributes": {"env": ""}}, attributes={"flag": True, "list": [1, "a"]}),
        *_call(3),
    )
]
_PEERS = [
    arrival(
        0.5,
        Seen("web", kind="client", attributes={"peer.service": "pay"}, parent=9),
        Seen("web", kind="client", attributes={"db.system": "redis"}, trace=2, parent=9),
        Seen("web", kind="client", trace=3, parent=9, status="error"),
        Seen("web", kind="client", attributes={"host": "h", "peer.service": 7}, trace=4, parent=9),
        Seen("shop", kind="server", trace=5),
        Seen("shop", kind="server", trace=6, parent=9),
        Seen("shop", kind="consumer", trace=7),
        Seen("shop", kind="producer", trace=8, parent=9),
        Seen("shop", kind="client", trace=9, resource={"peer.service": "resource"}),
        *_call(10),
        Seen("shop", kind="internal", trace=11),
    )
]
_DATABASES = [
    arrival(
        0.5,
        Seen("web", kind="client", attributes={"db.name": "orders"}, parent=9, ms=20),
        Seen("web", kind="client", attributes={"db.namespace": "stock"}, trace=2, parent=9),
        Seen(
            "web",
            kind="client",
            attributes={"db.name": "span", "db.namespace": "second"},
            resource={"db.name": "resource"},
            trace=3,
            status="error",
        ),
        Seen("web", kind="producer", attributes={"db.name": "queue"}, trace=4),
        Seen("web", kind="client", attributes={"db.name": 7}, trace=5),
    )
]
_SLOW = [
    arrival(
        0.5, *(each for row, ms in enumerate((0, 1, 2, 3, 400)) for each in _call(row + 1, ms=ms))
    ),
    arrival(61.5, *(each for row, ms in enumerate((5, 70_000)) for each in _call(row + 9, ms=ms))),
]
_LINKED = [
    arrival(
        0.5,
        Seen("web", "send", "producer", trace=1, id=1, parent=9),
        Seen("mail", "receive", "consumer", trace=2, id=2, links=[(1, 1)]),
        Seen("mail", "process", "consumer", trace=3, id=3, parent=4, links=[(1, 1), (7, 7)]),
        Seen("web", "send", "producer", trace=5, id=1, parent=9),
        Seen("mail", "receive", "consumer", trace=5, id=2, parent=1, links=[(5, 1)]),
    )
]
_WAITS = [
    arrival(
        0.5, Seen("web", kind="client", parent=9), Seen("web", kind="client", trace=2, parent=9)
    ),
    arrival(3.5, Seen(parent=1, id=2)),
    arrival(5.5, Seen(trace=2, parent=1, id=2)),
]

GRAPH = (
    _graph("defaults", "nothing is set", _CALLS),
    _graph(
        "dimensions",
        "of both sides",
        _LABELS,
        dimensions=["env", "region", "zone", "n", "flag", "list"],
    ),
    _graph("peers", "virtual nodes by default", _PEERS),
    _graph("peers-none", "no virtual nodes", _PEERS, virtual_node_peer_attributes=[]),
    _graph(
        "peers-own",
        "other attributes",
        _PEERS,
        virtual_node_peer_attributes=["host", "peer.service"],
    ),
    _graph("extra-label", "which node is virtual", _PEERS, virtual_node_extra_label=True),
    _graph(
        "extra-label-dimensions",
        "beside dimensions",
        _LABELS,
        virtual_node_extra_label=True,
        dimensions=["env"],
    ),
    _graph("databases", "by db.name", _DATABASES),
    _graph(
        "databases-own",
        "by others",
        _DATABASES,
        database_name_attributes=["db.namespace", "db.name"],
    ),
    _graph("databases-labelled", "with both", _DATABASES, virtual_node_extra_label=True),
    _graph(
        "buckets", "bounds are inclusive", _SLOW, latency_histogram_buckets=["1ms", "3ms", "1m"]
    ),
    _graph("buckets-none", "only +Inf", _SLOW, latency_histogram_buckets=[]),
    _graph("exponential", "with 160 buckets", _SLOW, exponential_histogram_max_size=160),
    _graph("exponential-small", "with 4 buckets", _SLOW, exponential_histogram_max_size=4),
    _graph("timestamp-offset", "times lie before", _CALLS, metrics_timestamp_offset="30s"),
    _graph(
        "timestamp-offset-exponential",
        "times lie before",
        _SLOW,
        metrics_timestamp_offset="30s",
        exponential_histogram_max_size=20,
    ),
    _graph("messages", "between producers and consumers", _LINKED),
    _graph("waits", "for the other side", _WAITS, store={"ttl": "4s", "max_items": 100}),
    _graph("full", "one side waits at most", _WAITS, store={"ttl": "4s", "max_items": 1}),
    _graph(
        "old-series",
        "what had no news for 15 minutes goes",
        _CALLS,
        1200.5,
        metrics_flush_interval="5m",
    ),
)
