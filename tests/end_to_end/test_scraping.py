"""A real Prometheus scrapes workers that die and whose partitions move: no counter ever falls."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from tailrace.streams.broker import EmbeddedBroker
from tailrace_loadtest.processes import wait_until
from tailrace_loadtest.workers import Worker, ports
from tests.conftest import FreshTopic
from tests.end_to_end.prometheus import Prometheus, prometheus_binary, running
from tests.otlp import MS, Span, message
from tests.patience import PATIENCE_S

__all__ = ["prometheus_binary"]

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PARTITIONS, ROLLUP_PARTITIONS, SERVICES = 4, 8, 20
KILLS = 4
CALLS = "sum(last_over_time(traces_span_metrics_calls_total[1h]))"
"""Whether or not a worker was in time for the last scrape."""
SCRAPE = {
    "metrics_path": "/metrics/series",
    "honor_labels": True,
    "scrape_interval": "100ms",
    "scrape_timeout": "100ms",
}


def config(app: str, spans: str) -> dict[str, Any]:
    names = ("sampled", "decisions", "metrics", "edges", "alerts", "dead_letters")
    return {
        "app": app,
        "only": ["red"],
        "input": {"topics": [spans]},
        "output": {name: f"{app}.{name}" for name in names},
        "kafka": {"session_timeout": "6s"},
        # What is shown is often not committed yet, and lost with who has shown it.
        "engine": {"checkpoint_interval": "3s", "grace": "3s"},
        "span_metrics": {"metrics_flush_interval": "1s"},
    }


class Calls:
    """Sends spans until it is told to stop; `sent` says how many."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._bootstrap, self._topic = bootstrap, topic
        self.sent = 0
        self._is_over = False

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        sending = asyncio.create_task(self._send())
        yield
        self._is_over = True
        await sending

    async def _send(self) -> None:
        async with AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            enable_idempotence=True,
            request_timeout_ms=round(PATIENCE_S * 1000),
        ) as producer:
            while not self._is_over:
                for place in range(PARTITIONS):
                    now = time.time_ns()
                    service = f"service-{self.sent % SERVICES}"
                    span = Span(os.urandom(16), os.urandom(8), service, "buy", now - 9 * MS, now)
                    await producer.send(self._topic, message(span), partition=place)
                    self.sent += 1
                await asyncio.sleep(0.02)


async def live(workers: list[Worker], prometheus: Prometheus) -> None:
    """Kill -9 again and again; who died last comes back when the other has all its partitions."""
    rng = random.SystemRandom()
    for number in range(KILLS):
        known = sum(prometheus.query(CALLS).values())
        await asyncio.to_thread(prometheus.exceeds, CALLS, known)
        await asyncio.sleep(rng.uniform(0, 3))
        dies, stays = rng.sample(workers, 2)
        dies.kill()
        sys.stdout.write(f"{dies.name} dies\n")
        if number == KILLS - 1:
            await asyncio.to_thread(wait_until, [stays.port], has_all, PATIENCE_S)
        dies.start()
        for worker in workers:
            await asyncio.to_thread(worker.process.wait_for, "ready ")


def has_all(samples: Any) -> bool:
    name = "tailrace_records_total"
    found = {dict(has)["partition"] for each, has in samples if each == name}
    return len(found) == ROLLUP_PARTITIONS


async def test_no_scraped_series_falls_and_none_is_counted_twice_whoever_dies(
    broker: EmbeddedBroker, fresh_topic: FreshTopic, prometheus_binary: Path, tmp_path: Path
) -> None:
    spans = fresh_topic("spans", PARTITIONS)
    app = spans.removesuffix(".spans")
    file = tmp_path / f"{app}.json"
    file.write_bytes(orjson.dumps(config(app, spans)))
    workers = [Worker(f"{app}-{number}", tmp_path, broker.bootstrap, file) for number in (1, 2)]
    targets = [f"127.0.0.1:{port}" for port in ports(workers)]
    calls = Calls(broker.bootstrap, spans)
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            await asyncio.to_thread(worker.process.wait_for, "ready ")
        with running(prometheus_binary, tmp_path / "prometheus", targets, SCRAPE) as prometheus:
            async with calls.going_on():
                await live(workers, prometheus)
            await asyncio.to_thread(prometheus.holds, CALLS, calls.sent)
            found = prometheus.query('last_over_time({__name__=~"traces_span_metrics_.+"}[1h])')
            names = {dict(each)["__name__"] for each in found}
            assert {"job", "service_name"} <= {name for each in found for name, _ in each}
            assert not any("instance" in dict(each) for each in found)
            fell = {
                name: fallen
                for name in names
                if (fallen := prometheus.query(f"resets({name}[1h]) > 0"))
            }
            assert not fell, fell
    finally:
        for worker in workers:
            worker.kill()
