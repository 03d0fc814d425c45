"""Metrics that come in on a real topic, and a worker that dies between two scrapes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import orjson
from aiokafka import AIOKafkaProducer

from tailrace.schemas.alert_events import AlertEvent, decode
from tailrace.streams.broker import EmbeddedBroker
from tailrace_loadtest.kafka import read
from tailrace_loadtest.processes import total, wait_until
from tailrace_loadtest.workers import Worker
from tests.conftest import FreshTopic
from tests.otlp_metrics import MetricPoint, metrics_request
from tests.patience import PATIENCE_S

PARTITIONS = 2
SCRAPE_MS = 5000
ALERT = {
    "name": "errors",
    "formula": "errors",
    "series": {"errors": {"metric": {"name": "errors_total"}}},
    "group_by": ["service"],
    "within": "30m",
    "when": ">= 7",
}


async def send(bootstrap: str, topic: str, at: int, values: Sequence[int]) -> None:
    """Send a scrape of each value, the first at *at* (ms), to one partition after the other."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        for number, value in enumerate(values):
            came = at + number * SCRAPE_MS
            point = MetricPoint(name="errors_total", value=value, at=came - 20, start=at - 90_000)
            await producer.send_and_wait(
                topic, metrics_request(point), partition=number % PARTITIONS, timestamp_ms=came
            )


def test_a_counter_that_is_scraped_before_and_after_a_worker_died_fires_its_alert(
    broker: EmbeddedBroker, fresh_topic: FreshTopic, tmp_path: Path
) -> None:
    spans, scraped = fresh_topic("spans", 1), fresh_topic("scraped", PARTITIONS)
    app = spans.removesuffix(".spans")
    names = ("sampled", "decisions", "metrics", "edges", "alerts", "dead_letters")
    config = tmp_path / "config.json"
    content = {
        "app": app,
        "only": ["alerts"],
        "input": {"topics": [spans], "metrics": [scraped]},
        "output": {name: f"{app}.{name}" for name in names},
        "alerts": [ALERT],
    }
    config.write_bytes(orjson.dumps(content))
    begin = int(time.time() * 1000) - 60_000
    worker = Worker(app, tmp_path, broker.bootstrap, config)
    try:
        asyncio.run(send(broker.bootstrap, scraped, begin, [100, 103]))
        worker.start()
        taken = "tailrace_metric_samples_total"
        wait_until([worker.port], lambda found: total(found, taken) == 2, PATIENCE_S)
        worker.kill()
        asyncio.run(send(broker.bootstrap, scraped, begin + 2 * SCRAPE_MS, [107, 107]))
        worker.start()
        told = "tailrace_alerts_told_total"
        wait_until([worker.port], lambda found: total(found, told) >= 1, PATIENCE_S)
    finally:
        worker.kill()
    topic = f"{app}.alerts"
    written = asyncio.run(read(broker.bootstrap, [topic]))[topic]
    first: AlertEvent = decode(written[0].value)
    assert (first.status, first.value, dict(first.labels)) == ("firing", 7.0, {"service": "api"})
