"""Two workers, and one budget: parts of it go where spans come, and never add up to more."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import accumulate
from pathlib import Path

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from tailrace.streams.broker import EmbeddedBroker
from tailrace_loadtest.kafka import read
from tailrace_loadtest.processes import Samples, total, wait_until
from tailrace_loadtest.workers import Worker
from tests.conftest import FreshTopic
from tests.otlp import Span, message
from tests.patience import PATIENCE_S

RATE, BURST = 40, 60
SPANS = 90, 2, 0, 2
"""In each partition, in each second of the records' time."""
BEGIN_MS = (time.time_ns() // 1_000_000_000 - 86_400) * 1000
"""Yesterday: so old that time is that of records, and not so old that brokers delete them."""


class Cluster:
    """Two workers with a budget of RATE spans a second between them."""

    def __init__(self, broker: EmbeddedBroker, spans: str, directory: Path) -> None:
        self.bootstrap = broker.bootstrap
        self.app = spans.removesuffix(".spans")
        self.spans = spans
        self.decisions = f"{self.app}.decisions"
        self.sent = self.second = 0
        limit = {"spans_per_second": RATE, "burst_capacity": BURST}
        content = {
            "app": self.app,
            "only": ["sampling"],
            "input": {"topics": [spans]},
            "output": {
                name: f"{self.app}.{name}" for name in ("sampled", "decisions", "dead_letters")
            },
            # The records are a day old: where none come, time must not be that of the clock.
            "engine": {"checkpoint_interval": "100ms", "grace": "100000h"},
            "tail_sampling": {
                "decision_wait": "500ms",
                "policies": [{"name": "some", "type": "rate_limiting", "rate_limiting": limit}],
            },
        }
        config = directory / "config.json"
        config.write_bytes(orjson.dumps(content))
        self.workers = [
            Worker(f"{self.app}{number}", directory, self.bootstrap, config) for number in (1, 2)
        ]

    @property
    def ports(self) -> list[int]:
        return [worker.port for worker in self.workers]

    def pass_a_second(self) -> Samples:
        """Send the spans of a second, each a trace, and wait until they are processed."""
        asyncio.run(self._send(self.second))
        self.second += 1
        return wait_until(self.ports, self._has_processed, PATIENCE_S, 0.05)

    async def _send(self, second: int) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap) as producer:
            for partition, count in enumerate(SPANS):
                ids = [
                    (partition << 64 | second << 32 | each).to_bytes(16, "big")
                    for each in range(1, count + 1)
                ]
                value = message(*map(Span, ids))
                at_ms = BEGIN_MS + 1000 * second
                await producer.send(self.spans, value, partition=partition, timestamp_ms=at_ms)
                self.sent += 1

    def _has_processed(self, samples: Samples) -> bool:
        return total(samples, "tailrace_records_total", stage="spans") == self.sent

    def kept(self) -> Counter[int]:
        """How many spans were kept, by second."""
        kept: Counter[int] = Counter()
        rows = asyncio.run(read(self.bootstrap, [self.decisions]))[self.decisions]
        for row in rows:
            decision = orjson.loads(row.value or b"")
            if decision["decision"] == "sampled":
                at = datetime.fromisoformat(decision["decided_at"][:19] + "Z")
                kept[round(at.timestamp()) - BEGIN_MS // 1000] += 1
        return kept


@pytest.fixture
def cluster(broker: EmbeddedBroker, fresh_topic: FreshTopic, tmp_path: Path) -> Iterator[Cluster]:
    """Both workers, each with two partitions."""
    found = Cluster(broker, fresh_topic("spans", len(SPANS)), tmp_path)
    for worker in found.workers:
        worker.start()
    wait_until(found.ports, lambda each: len(_tasks(each)) == len(SPANS), PATIENCE_S)
    yield found
    for worker in found.workers:
        worker.kill()


def _tasks(samples: Samples) -> list[str]:
    return [name for name, labels in samples if name == "tailrace_stream_time_seconds"]


def test_two_workers_keep_to_one_budget_and_give_it_to_the_partition_that_needs_it(
    cluster: Cluster,
) -> None:
    share = 0.0
    while share < 0.8:
        assert cluster.second < 1000, "the budget did not move"
        samples = cluster.pass_a_second()
        share = total(samples, "tailrace_budget_share", partition="0", budget="some")
    moved = cluster.second
    for _ in range(8):
        samples = cluster.pass_a_second()
    settled = cluster.second
    while total(samples, "tailrace_budget_share", budget="some") != pytest.approx(1):
        # Parts are on their way from one partition to another.
        assert cluster.second < settled + 100, "parts were given up and never taken"
        samples = cluster.pass_a_second()
    kept = cluster.kept()
    over = accumulate(
        (kept[second] - RATE for second in range(cluster.second)),
        lambda before, now: max(0, before) + now,
    )
    assert max(over) <= BURST
    late = sum(kept[second] for second in range(moved + 1, moved + 6))
    assert late > 5 * RATE * 8 // 10
