"""A message that is handled in another trace, on another partition, and a worker that dies."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import orjson
from aiokafka import AIOKafkaProducer

from tailrace.streams.broker import EmbeddedBroker
from tailrace_loadtest.kafka import read
from tailrace_loadtest.processes import total, wait_until
from tailrace_loadtest.workers import Worker
from tests.agents.service_graph.traffic import CONSUMER, IDS, MS, PRODUCER, TRACES, Span, message
from tests.conftest import FreshTopic
from tests.patience import PATIENCE_S

PARTITIONS = 2
HERE, THERE = TRACES
SENT = Span(PRODUCER, "shop", IDS[0], ns=3 * MS, trace_id=HERE)
TAKEN = Span(CONSUMER, "mail", IDS[1], ns=2 * MS, trace_id=THERE, links=((HERE, IDS[0]),))


async def send(bootstrap: str, topic: str, span: Span, partition: int) -> None:
    """Send *span* to *partition*."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        await producer.send_and_wait(
            topic,
            message([span]),
            partition=partition,
            timestamp_ms=int(time.time() * 1000),
        )


def test_a_consumer_that_links_to_its_producer_is_called_by_it_though_a_worker_died_between(
    broker: EmbeddedBroker, fresh_topic: FreshTopic, tmp_path: Path
) -> None:
    spans = fresh_topic("spans", PARTITIONS)
    app = spans.removesuffix(".spans")
    names = ("sampled", "decisions", "metrics", "edges", "alerts", "dead_letters")
    config = tmp_path / "config.json"
    content = {
        "app": app,
        "only": ["service_graph"],
        "input": {"topics": [spans]},
        "output": {name: f"{app}.{name}" for name in names},
        "service_graph": {
            "metrics_flush_interval": "1s",
            "store": {"ttl": "1s"},
            "links": {"wait": "1h"},  # however long the worker is away
        },
    }
    config.write_bytes(orjson.dumps(content))
    worker = Worker(app, tmp_path, broker.bootstrap, config)
    half_edges = "tailrace_half_edges_total"
    try:
        asyncio.run(send(broker.bootstrap, spans, SENT, 0))
        worker.start()
        wait_until(
            [worker.port],
            lambda found: total(found, half_edges, stage="rollups", side="client") == 1,
            PATIENCE_S,
        )
        worker.kill()
        asyncio.run(send(broker.bootstrap, spans, TAKEN, 1))
        worker.start()
        edges = "tailrace_edges_total"
        paired = {"stage": "rollups", "kind": "paired"}
        wait_until([worker.port], lambda found: total(found, edges, **paired) == 1, PATIENCE_S)
        written = asyncio.run(_edges(broker.bootstrap, f"{app}.edges"))
    finally:
        worker.kill()
    (edge,) = written
    assert (edge["client"], edge["server"], edge["connection_type"]) == (
        "shop",
        "mail",
        "messaging_system",
    )
    assert (edge["calls"], edge["failed"]) == (1, 0)
    assert (edge["client_seconds_sum"], edge["server_seconds_sum"]) == (0.003, 0.002)


async def _edges(bootstrap: str, topic: str) -> list[dict[str, object]]:
    """Return the edge records, once there are any."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := (await read(bootstrap, [topic]))[topic]):
        assert time.monotonic() < deadline, "no edge was written"
        await asyncio.sleep(0.2)
    return [orjson.loads(record.value or b"") for record in found]
