"""Cases one by one: those of the collector's own tests, and those where it loses calls."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tailrace.agents.service_graph.edges import KEY_BYTES, EdgeSums, edges_of
from tailrace.agents.service_graph.settings import ServiceGraphSettings
from tailrace.agents.service_graph.unpaired import EXPIRED, UnpairedSums, number_of
from tailrace.schemas.half_edges import Prototype
from tailrace.schemas.records import Outbox
from tailrace.schemas.series import edge_layout, edge_place, unpaired_layout
from tailrace.schemas.sums import decode
from tailrace.schemas.watermarks import Watermark
from tailrace.streams.batch import Batch
from tailrace.streams.task import Task
from tailrace.tables.half_edge_rows import Halves, Prototypes
from tailrace.tables.half_edges import Calls
from tailrace.tables.interval_sums import IntervalSums
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.agents.service_graph.graph_task import (
    ROLLUPS,
    Edge,
    builder,
    counted,
    edges,
    unpaired,
    watermarks,
)
from tests.agents.service_graph.traffic import (
    BEGIN_MS,
    BOUNDS_NS,
    CLIENT,
    CONSUMER,
    DEFAULTS,
    END_MS,
    ERROR,
    IDS,
    INTERVAL_MS,
    MS,
    PRODUCER,
    SERVER,
    TRACES,
    Sent,
    Span,
    message,
    rows,
)
from tests.streams import deaths
from tests.streams.deaths import FAR, TOPIC, Row

SECOND = 1000 * MS


def at_once(*spans: Span) -> list[Sent]:
    return [Sent(0, spans)]


A, B, C = IDS
CALL = Span(CLIENT, "foo", A, ns=SECOND)
SERVED = Span(SERVER, "bar", B, parent=A, ns=2 * SECOND)
SENT = CALL.but(kind=PRODUCER)
CONSUMED = SERVED.but(kind=CONSUMER)
OTHER = TRACES[1]
DB = {"db.name": "orders"}

CASES: dict[str, tuple[ServiceGraphSettings, list[Sent], list[Edge]]] = {
    # The collector's tests.
    "client and server span are one call, with dimensions where there are any": (
        replace(DEFAULTS, dimensions=("some-attribute", "non-existing-attribute")),
        at_once(CALL.but(attributes={"some-attribute": "val"}), SERVED),
        [Edge("foo", "bar", "", (("client_some-attribute", "val"),), 1, 0, SECOND, 2 * SECOND)],
    ),
    "of calls of one edge those that failed count apart": (
        DEFAULTS,
        at_once(
            CALL,
            CALL.but(trace_id=OTHER),
            CALL.but(span_id=C),
            SERVED,
            SERVED.but(trace_id=OTHER, status=ERROR),
            SERVED.but(parent=C),
        ),
        [Edge("foo", "bar", "", (), 3, 1, 3 * SECOND, 6 * SECOND)],
    ),
    "a client alone has called its peer": (
        DEFAULTS,
        at_once(CALL.but(attributes={"peer.service": "AuthTokenCache"})),
        [Edge("foo", "AuthTokenCache", "virtual_node", client_ns=SECOND)],
    ),
    "a client alone without a peer has called somebody unknown": (
        DEFAULTS,
        at_once(CALL),
        [Edge("foo", "unknown", "virtual_node", client_ns=SECOND)],
    ),
    "a server without parent was called by the user, whatever peer it names": (
        replace(DEFAULTS, dimensions=("peer.service", "db.system")),
        at_once(SERVED.but(parent=b"", attributes={"peer.service": "external-platform"})),
        [
            Edge(
                "user",
                "bar",
                "virtual_node",
                (("server_peer.service", "external-platform"),),
                server_ns=2 * SECOND,
            )
        ],
    ),
    "a server whose client is lost is no call": (DEFAULTS, at_once(SERVED), []),
    "each side's dimensions tell edges apart": (
        replace(DEFAULTS, dimensions=("db.system", "messaging.system")),
        at_once(
            CALL.but(attributes={"messaging.system": "kafka"}),
            SERVED.but(attributes={"db.system": "postgresql"}),
            CALL.but(trace_id=OTHER, attributes={"messaging.system": "rabbitmq"}),
            SERVED.but(trace_id=OTHER, attributes={"db.system": "mysql"}),
        ),
        [
            Edge(
                "foo",
                "bar",
                "",
                (("server_db.system", one), ("client_messaging.system", two)),
                1,
                0,
                SECOND,
                2 * SECOND,
            )
            for one, two in (("mysql", "rabbitmq"), ("postgresql", "kafka"))
        ],
    ),
    # What the collector's source says.
    "a client that names a database needs no server": (
        DEFAULTS,
        at_once(CALL.but(attributes=DB, status=ERROR)),
        [Edge("foo", "orders", "database", (), 1, 1, SECOND, SECOND)],
    ),
    "a database of the resource comes before that of the span": (
        DEFAULTS,
        at_once(CALL.but(attributes=DB, resource={"db.name": "shared"})),
        [Edge("foo", "shared", "database", (), 1, 0, SECOND, SECOND)],
    ),
    "a dimension of the resource comes before that of the span": (
        replace(DEFAULTS, dimensions=("tier",)),
        at_once(CALL.but(attributes={"tier": 1}, resource={"tier": 2.0}), SERVED),
        [Edge("foo", "bar", "", (("client_tier", "2"),), 1, 0, SECOND, 2 * SECOND)],
    ),
    "a peer of the resource is none": (
        DEFAULTS,
        at_once(CALL.but(resource={"peer.service": "x"})),
        [Edge("foo", "unknown", "virtual_node", client_ns=SECOND)],
    ),
    "without peer attributes there are no virtual nodes": (
        replace(DEFAULTS, peer_attributes=()),
        at_once(CALL, SERVED.but(parent=b"", trace_id=OTHER)),
        [],
    ),
    "a producer and a consumer use a messaging system": (
        DEFAULTS,
        at_once(SENT, CONSUMED),
        [Edge("foo", "bar", "messaging_system", (), 1, 0, SECOND, 2 * SECOND)],
    ),
    "a consumer after a client says how they are connected": (
        DEFAULTS,
        at_once(CALL, CONSUMED),
        [Edge("foo", "bar", "messaging_system", (), 1, 0, SECOND, 2 * SECOND)],
    ),
    "a client after a consumer says how they are connected": (
        DEFAULTS,
        at_once(CONSUMED, CALL),
        [Edge("foo", "bar", "", (), 1, 0, SECOND, 2 * SECOND)],
    ),
    "a failure of the client alone is one": (
        DEFAULTS,
        at_once(SERVED, CALL.but(status=ERROR)),
        [Edge("foo", "bar", "", (), 1, 1, SECOND, 2 * SECOND)],
    ),
    # Where the collector loses calls, or counts what is none.
    "every root server of a trace was called by the user": (
        DEFAULTS,
        at_once(SERVED.but(parent=b""), SERVED.but(parent=b"", service="baz", span_id=C)),
        [
            Edge("user", "bar", "virtual_node", server_ns=2 * SECOND),
            Edge("user", "baz", "virtual_node", server_ns=2 * SECOND),
        ],
    ),
    "every server under a client is a call, whenever it comes within the ttl": (
        DEFAULTS,
        [
            Sent(0, (SERVED,)),
            Sent(1, (SERVED.but(service="baz"),)),
            Sent(1, (CALL,)),
            Sent(DEFAULTS.ttl_ms, (SERVED.but(service="late"),)),
            Sent(1, (SERVED.but(service="too late"),)),
        ],
        [
            Edge("foo", "bar", "", (), 1, 0, SECOND, 2 * SECOND),
            Edge("foo", "baz", "", (), 1, 0, SECOND, 2 * SECOND),
            Edge("foo", "late", "", (), 1, 0, SECOND, 2 * SECOND),
        ],
    ),
    "a client that is sent twice is one call": (
        DEFAULTS,
        [Sent(0, (CALL, SERVED)), Sent(1, (CALL,))],
        [Edge("foo", "bar", "", (), 1, 0, SECOND, 2 * SECOND)],
    ),
    "a span that ends before it starts took no time": (
        DEFAULTS,
        at_once(CALL.but(ns=-1), SERVED.but(ns=-SECOND)),
        [Edge("foo", "bar")],
    ),
    "an empty name of a database or a peer is none": (
        DEFAULTS,
        at_once(CALL.but(attributes={"db.name": "", "peer.service": None, "db.system": "redis"})),
        [Edge("foo", "redis", "virtual_node", client_ns=SECOND)],
    ),
    "the newer name of an attribute is as good as the older": (
        DEFAULTS,
        at_once(CALL.but(attributes={"db.namespace": "orders"})),
        [Edge("foo", "orders", "database", (), 1, 0, SECOND, SECOND)],
    ),
    "a server behind one that expires still waits for its client": (
        DEFAULTS,
        [
            Sent(0, (SERVED,)),
            Sent(INTERVAL_MS, (SERVED.but(service="baz"),)),
            Sent(DEFAULTS.ttl_ms - 1, (CALL.but(trace_id=OTHER, attributes=DB),)),
            Sent(1, (CALL,)),
        ],
        [
            Edge("foo", "baz", "", (), 1, 0, SECOND, 2 * SECOND),
            Edge("foo", "orders", "database", (), 1, 0, SECOND, SECOND),
        ],
    ),
    "a side waits for the ttl, and not a millisecond longer": (
        DEFAULTS,
        [
            Sent(0, (CALL, CALL.but(trace_id=OTHER))),
            Sent(DEFAULTS.ttl_ms, (SERVED,)),
            Sent(1, (SERVED.but(trace_id=OTHER),)),
        ],
        [
            Edge("foo", "bar", "", (), 1, 0, SECOND, 2 * SECOND),
            Edge("foo", "unknown", "virtual_node", client_ns=SECOND),
        ],
    ),
    "what expires makes room for what comes": (
        replace(DEFAULTS, max_items=1),
        [
            Sent(0, (CALL,)),
            Sent(DEFAULTS.ttl_ms, (CALL.but(service="dropped", span_id=B),)),
            Sent(1, (CALL.but(service="baz", span_id=C),)),
        ],
        [
            Edge("baz", "unknown", "virtual_node", client_ns=SECOND),
            Edge("foo", "unknown", "virtual_node", client_ns=SECOND),
        ],
    ),
}


@pytest.mark.parametrize(("given", "sent", "wanted"), CASES.values(), ids=CASES)
def test_edges(given: ServiceGraphSettings, sent: list[Sent], wanted: list[Edge]) -> None:
    assert edges(sent, given) == sorted(wanted)


def test_names_are_cut_so_that_every_key_fits() -> None:
    long = "é" * 5000
    dimensions = tuple(f"dimension {number}" for number in range(20))
    control = "\x01" * 5000  # six bytes each in a key
    attributes = dict.fromkeys(dimensions, control)
    given = replace(DEFAULTS, dimensions=dimensions)
    sent = at_once(
        CALL.but(service=long, attributes=attributes), SERVED.but(service="b" + long)
    ) + at_once(CALL.but(service="c", span_id=C, attributes={"db.name": long}))
    outputs = deaths.uninterrupted(builder(given), rows(sent), END_MS)
    rollups = [decode(output.value) for output in outputs[ROLLUPS.name] if output.value]
    keys = [key for rollup in rollups for key in rollup.keys]
    assert len(keys) == 2
    assert max(map(len, keys)) <= KEY_BYTES
    found = edges(sent, given)
    assert [edge.calls for edge in found] == [1, 1]
    assert found[0][:3] == ("c", "é" * 512, "database")
    assert found[1].client in long
    assert found[1].server in "b" + long
    assert len(found[1].dimensions) == 20
    assert all(text and text in control for _, text in found[1].dimensions)


def _task(*spans: Span, **settings: Any) -> Task[Any]:
    task = builder(replace(DEFAULTS, **settings))(PartitionStore(MemoryDisk()))
    records = [Row(0, BEGIN_MS, None, message(spans))]
    assert task.process(Batch(TOPIC, 0, 0, 1, records), FAR)
    return task


def test_a_source_is_not_idle_while_half_edges_wait() -> None:
    task = _task(CALL)
    told = []
    for after_ms in (INTERVAL_MS, DEFAULTS.ttl_ms, DEFAULTS.ttl_ms + INTERVAL_MS, 10_000):
        task.advance(BEGIN_MS + after_ms)
        told += watermarks(task.snapshot().outputs)[0]
        task.store.finish_checkpoint(0)
    times = [BEGIN_MS, *(BEGIN_MS + after_ms for after_ms in (1000, 2000, 3000))]
    assert told == [Watermark("service_graph-0", at, at == times[-1]) for at in times]


def test_a_source_says_at_once_that_it_is_not_idle_any_more() -> None:
    task = _task(CALL.but(attributes=DB))
    idle_at = BEGIN_MS + INTERVAL_MS
    task.advance(idle_at)
    record = Row(1, idle_at + 1, None, message([CALL.but(attributes=DB)]))
    assert task.process(Batch(TOPIC, 0, 1, 2, [record]), FAR)
    told = watermarks(task.snapshot().outputs)[0]
    assert told[-2:] == [
        Watermark("service_graph-0", idle_at, is_idle=True),
        Watermark("service_graph-0", idle_at),
    ]


def test_calls_are_of_what_their_numbers_mean_when_they_are_counted() -> None:
    prototypes = Prototypes()
    for service, weight in (("foo", 2), ("bar", 1), ("baz", 8)):
        prototypes.number(Prototype(service, "", weight=weight))
    store, layout = PartitionStore(MemoryDisk()), edge_layout(BOUNDS_NS)
    sums = IntervalSums(store, b"g", layout, ROLLUPS, "service_graph-0", edge_place)
    counter = EdgeSums(DEFAULTS, prototypes, sums)
    one, outbox = np.array([1]), Outbox()
    calls = Calls(one * 0, one, one, one, one, np.zeros(1, np.uint8))
    counter.add(edges_of(calls, is_virtual=False))
    prototypes.keep(np.array([1, 2]))
    counter.add(edges_of(calls, is_virtual=False))
    sums.roll(INTERVAL_MS, outbox)
    found = counted(outbox.topics).items()
    pairs = {edge[1:3]: calls for (_, edge, what), calls in found if what == "client bucket 1"}
    assert pairs == {("foo", "bar"): 2, ("bar", "baz"): 8}


def test_halves_that_lack_a_side_are_of_what_their_numbers_mean_when_they_are_counted() -> None:
    prototypes = Prototypes()
    for service, weight in (("foo", 2), ("bar", 1)):
        prototypes.number(Prototype(service, "", weight=weight))
    store = PartitionStore(MemoryDisk())
    sums = IntervalSums(store, b"U", unpaired_layout(), ROLLUPS, "service_graph-0")
    counter, outbox = UnpairedSums(prototypes, sums), Outbox()
    one = np.array([0])
    halves = Halves(np.zeros(1, "V24"), one.astype(np.int32), one, one, one.astype(np.uint8))
    counter.add(halves, np.array([number_of(EXPIRED)]))
    prototypes.keep(np.array([1]))
    counter.add(halves, np.array([number_of(EXPIRED)]))
    sums.roll(INTERVAL_MS, outbox)
    assert {series[1]: count for (_, series), count in unpaired(outbox.topics).items()} == {
        "foo": 2,
        "bar": 1,
    }


def test_totals_say_what_became_of_each_half_edge() -> None:
    task = _task(
        CALL,
        CALL,
        SERVED,
        SERVED,
        CALL.but(span_id=C),
        CALL.but(attributes=DB),
        SERVED.but(parent=b""),
        SERVED.but(parent=b"", span_id=C),
        CALL.but(service=""),
        max_items=2,
    )
    task.advance(END_MS)
    assert {name: count for name, count in task.totals.counts.items() if count} == {
        "half_edges.client": 4,
        "half_edges.server": 4,
        "half_edges_unnamed": 1,
        "half_edges_repeated": 1,
        "half_edges_shared": 1,
        "half_edges_dropped": 1,
        "edges.paired": 2,
        "edges.database": 1,
        "edges_expired.client": 1,
        "edges_expired.server": 1,
        "edges.virtual_client": 1,
        "edges.virtual_server": 1,
    }
    assert task.problems() == []


def test_a_lost_half_edge_is_a_problem() -> None:
    task = _task(CALL)
    assert task.problems() == []
    task.totals.add("half_edges.client", 1)
    assert task.problems() == [
        "2 half edges came, but 0 paired, 0 called databases, 0 expired, 0 linked, "
        "0 repeated others, 0 dropped, 1 pending"
    ]
