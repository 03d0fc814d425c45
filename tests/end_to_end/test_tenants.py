"""Tenants by a header of real records, whose spans are re-keyed, and a worker that dies."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import orjson
from aiokafka import AIOKafkaProducer

from tailrace.schemas.alert_events import decode
from tailrace.streams.broker import EmbeddedBroker
from tailrace_loadtest.kafka import read
from tailrace_loadtest.processes import total, wait_until
from tailrace_loadtest.workers import Worker
from tests.conftest import FreshTopic
from tests.otlp import ERROR, MS, Span, message
from tests.otlp_metrics import MetricPoint, metrics_request
from tests.patience import PATIENCE_S

PARTITIONS = 2
HEADER = "x-tenant"
SPANS = {"acme": 3, "beta": 5, "default": 2}
"""How many bad spans there are, each of a trace of its own."""


def definitions() -> list[dict[str, object]]:
    """For each tenant, an alert on its spans, and one on its metrics."""
    found: list[dict[str, object]] = []
    for tenant, spans in SPANS.items():
        common = {"tenant": tenant, "within": "30m", "when": f">= {spans}"}
        found.append({"name": "spans", "where": {"status": "error"}, **common})
        series = {"n": {"metric": {"name": "errors_total"}}}
        found.append({"name": "points", "formula": "n", "series": series, **common})
    return found


async def send(bootstrap: str, spans: str, points: str, at: int) -> None:
    """Send the records of each tenant: a message of several traces, and two scrapes.

    Those of `default` say a tenant that can be none, or nothing.
    """
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        for number, (tenant, count) in enumerate(SPANS.items()):
            said = {"default": [(HEADER, b"\n")]}.get(tenant, [(HEADER, tenant.encode())])
            ids = (b"%014d%02d" % (number, trace) for trace in range(count))
            value = message(
                *(Span(each, start=at * MS, end=at * MS + MS, status=ERROR) for each in ids)
            )
            place = {"partition": number % PARTITIONS, "timestamp_ms": at}
            await producer.send_and_wait(spans, value, headers=said, **place)
            for step, total_now in enumerate((100, 100 + count)):
                came = at + 5000 * step
                point = MetricPoint("errors_total", total_now, came - 20, at - 90_000)
                await producer.send_and_wait(
                    points,
                    metrics_request(point),
                    headers=[] if tenant == "default" else said,
                    partition=number % PARTITIONS,
                    timestamp_ms=came,
                )


def test_each_tenant_is_told_of_its_own_spans_and_metrics(
    broker: EmbeddedBroker, fresh_topic: FreshTopic, tmp_path: Path
) -> None:
    spans, points = fresh_topic("spans", PARTITIONS), fresh_topic("points", PARTITIONS)
    app = spans.removesuffix(".spans")
    names = ("sampled", "decisions", "metrics", "edges", "alerts", "dead_letters")
    config = tmp_path / "config.json"
    content = {
        "app": app,
        "only": ["alerts"],
        "input": {"topics": [spans], "metrics": [points], "keyed_by_trace_id": False},
        "output": {name: f"{app}.{name}" for name in names},
        "tenancy": {"header": HEADER},
        "alerts": definitions(),
    }
    config.write_bytes(orjson.dumps(content))
    asyncio.run(send(broker.bootstrap, spans, points, int(time.time() * 1000) - 60_000))
    worker = Worker(app, tmp_path, broker.bootstrap, config)
    try:
        worker.start()
        seen = "tailrace_match_seen_spans_total"
        samples = wait_until(
            [worker.port], lambda found: total(found, seen) == sum(SPANS.values()), PATIENCE_S
        )
        assert total(samples, "tailrace_refused_tenants_total") == SPANS["default"]
        worker.kill()
        worker.start()
        told = "tailrace_alerts_told_total"
        wait_until([worker.port], lambda found: total(found, told) >= 2 * len(SPANS), PATIENCE_S)
    finally:
        worker.kill()
    topic = f"{app}.alerts"
    written = asyncio.run(read(broker.bootstrap, [topic]))[topic]
    firing = {
        (event.tenant, event.name): event.value
        for event in (decode(each.value) for each in reversed(written))
        if event.status == "firing"
    }
    assert firing == {
        (tenant, name): count for tenant, count in SPANS.items() for name in ("spans", "points")
    }
