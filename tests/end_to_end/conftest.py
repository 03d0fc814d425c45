"""A worker process of the test's own, with topics of its own on the session's broker."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from tailrace.streams.broker import EmbeddedBroker
from tailrace_loadtest.check import Written
from tailrace_loadtest.kafka import read
from tailrace_loadtest.processes import Samples, total, wait_until
from tailrace_loadtest.workers import Worker
from tests.conftest import FreshTopic
from tests.patience import PATIENCE_S


class Row(NamedTuple):
    """A record to be sent."""

    value: bytes
    timestamp_ms: int
    key: bytes | None = None


@dataclass(frozen=True)
class Pipeline:
    """A worker with its topics; *config* names them, and is in the worker's file."""

    bootstrap: str
    spans: str
    sampled: str
    decisions: str
    dead_letters: str
    config: Path
    worker: Worker

    def send(self, rows: Iterable[Row]) -> None:
        """Put *rows* into the only partition of the input, in their order."""
        asyncio.run(self._send(rows))

    async def _send(self, rows: Iterable[Row]) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, max_request_size=16 << 20)
        async with producer:
            sent = [
                await producer.send(
                    self.spans, row.value, row.key, partition=0, timestamp_ms=row.timestamp_ms
                )
                for row in rows
            ]
            await asyncio.gather(*sent)

    def settle(self, records: int) -> Samples:
        """Wait until *records* are processed and what they hold is decided, all committed."""
        return wait_until([self.worker.port], lambda found: _is_settled(found, records), PATIENCE_S)

    def read(self) -> dict[str, list[Written]]:
        """All that is committed, by topic."""
        topics = [self.sampled, self.decisions, self.dead_letters]
        return asyncio.run(read(self.bootstrap, topics))


def _is_settled(samples: Samples, records: int) -> bool:
    decoded, kept, dropped = (
        total(samples, f"tailrace_spans_{name}_total") for name in ("decoded", "kept", "dropped")
    )
    read = total(samples, "tailrace_records_total", stage="spans")
    return read == records and decoded == kept + dropped


NewPipeline = Callable[..., Pipeline]


@pytest.fixture
def new_pipeline(
    broker: EmbeddedBroker, fresh_topic: FreshTopic, tmp_path: Path
) -> Iterator[NewPipeline]:
    """Makes a pipeline; its worker is not started, and killed at the end of the test.

    *topic* configures the input; other keywords are sections of the config.
    """
    made: list[Pipeline] = []

    def make(topic: dict[str, str] | None = None, **sections: object) -> Pipeline:
        spans = fresh_topic("spans", 1, topic)
        app = spans.removesuffix(".spans")
        outputs = {name: f"{app}.{name}" for name in ("sampled", "decisions", "dead_letters")}
        content = {
            "app": app,
            "input": {"topics": [spans]},
            "output": outputs,
            "kafka": {"session_timeout": "5m"},  # it is alone: nothing moves while it stands still
            **sections,
        }
        config = tmp_path / f"{app}.json"
        config.write_bytes(orjson.dumps(content))
        worker = Worker(app, tmp_path, broker.bootstrap, config)
        made.append(Pipeline(broker.bootstrap, spans, **outputs, config=config, worker=worker))
        return made[-1]

    yield make
    for pipeline in made:
        pipeline.worker.kill()
