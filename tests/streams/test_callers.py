"""Who calls whom is known from the edges topic, for as long as it is seen."""

from __future__ import annotations

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from tailrace.streams.broker import EmbeddedBroker
from tailrace.streams.callers import REMEMBERED_MS, Callers, KnownEdges
from tests import kafka_topics
from tests.streams.counting_worker import until
from tests.streams.kafka_job import admin

HOUR = REMEMBERED_MS


def edge(client: str, server: str, tenant: str = "default") -> bytes:
    return orjson.dumps({"tenant": tenant, "client": client, "server": server, "calls": 1})


def test_edges_are_gathered_by_tenant_and_client() -> None:
    known = KnownEdges()
    for value in (edge("web", "cart"), edge("web", "pay"), edge("a", "b", "other")):
        known.take(value, HOUR)
    assert known.calls() == {
        "default": {"web": frozenset({"cart", "pay"})},
        "other": {"a": frozenset({"b"})},
    }


def test_an_edge_without_requests_for_an_hour_is_forgotten() -> None:
    known = KnownEdges()
    known.take(edge("web", "cart"), 0)
    known.take(edge("web", "pay"), HOUR)
    assert known.calls() == {"default": {"web": frozenset({"cart", "pay"})}}
    known.take(edge("web", "pay"), HOUR + 1)
    assert known.calls() == {"default": {"web": frozenset({"pay"})}}


def test_what_is_no_edge_is_left_aside() -> None:
    known = KnownEdges()
    for value in (None, b"", b"{", b"[]", b'{"tenant":"default"}'):
        known.take(value, HOUR)
    assert known.calls() == {}


async def test_the_topic_is_followed_from_an_hour_ago(broker: EmbeddedBroker) -> None:
    kafka = {"bootstrap_servers": broker.bootstrap}
    async with admin(broker.bootstrap) as client:
        await kafka_topics.create(client, NewTopic("edges-of-callers", 2, 1))
    producer = AIOKafkaProducer(**kafka)
    await producer.start()
    await producer.send_and_wait("edges-of-callers", edge("web", "cart"))
    callers = Callers(kafka, "edges-of-callers")
    callers.start()
    try:
        await until(lambda: "web" in callers.calls.get("default", {}), "the edge of before")
        await producer.send_and_wait("edges-of-callers", edge("cart", "db"))
        await until(lambda: "cart" in callers.calls["default"], "the edge that came later")
    finally:
        await callers.stop()
        await producer.stop()
    assert callers.calls["default"]["cart"] == frozenset({"db"})
