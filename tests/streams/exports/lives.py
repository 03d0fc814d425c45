"""Exports that run against a real broker and receivers that really listen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError
from aiokafka.structs import TopicPartition

from tailrace.schemas.config.worker import WorkerConfig
from tailrace.schemas.topics import FLUSH_HEADER, export_group
from tailrace.streams.cluster import Cluster
from tailrace.streams.exports.exports import Exports
from tailrace_loadtest.written_samples import Written, read_delivery
from tests.agents.notifier.receivers import Received, Receiver
from tests.agents.remote_write.messages import Message
from tests.patience import PATIENCE_S


@dataclass
class Life:
    """Topics, and the config of what exports them. `failures`: what would end the worker."""

    bootstrap: str
    metrics: str
    dead_letters: str
    sections: Mapping[str, Any]
    failures: list[BaseException] = field(default_factory=list)

    @property
    def app(self) -> str:
        return self.metrics.removesuffix(".metrics")

    @property
    def kafka(self) -> dict[str, Any]:
        return {"bootstrap_servers": self.bootstrap}

    @asynccontextmanager
    async def exporting(self) -> AsyncIterator[Exports]:
        """Exports that run meanwhile."""
        config = WorkerConfig.model_validate(
            {
                "app": self.app,
                "output": {"metrics": self.metrics, "dead_letters": self.dead_letters},
                "kafka": {"session_timeout": "1m"},
                **self.sections,
            }
        )
        cluster = Cluster("cluster", {}, 900_000, 900_000, 900_000, {})
        exports = Exports(config, cluster, self.kafka, self.failures.append)
        await exports.start()
        try:
            yield exports
        finally:
            await exports.stop()
            assert not self.failures

    async def write(
        self, *flushes: Sequence[Message], partition: int = 0, timestamp_ms: int | None = None
    ) -> None:
        """Add *flushes*, each whole, to the topic of metrics."""
        async with AIOKafkaProducer(**self.kafka) as producer:
            for number, flush in enumerate(flushes):
                for place, message in enumerate(flush, 1):
                    header = f"red {number} {place}/{len(flush)}".encode()
                    await producer.send_and_wait(
                        self.metrics,
                        message.request.SerializeToString(),
                        partition=partition,
                        timestamp_ms=timestamp_ms,
                        headers=[(FLUSH_HEADER, header)],
                    )

    async def committed(self, receiver: str, sink: str = "remote_write") -> int:
        """How far partition 0 is known to be sent."""
        admin = AIOKafkaAdminClient(**self.kafka)
        await admin.start()
        try:
            group = export_group(self.app, sink, receiver)
            offsets = await admin.list_consumer_group_offsets(group)
        except GroupCoordinatorNotAvailableError:
            return -1  # on a new cluster no group was ever joined
        finally:
            await admin.close()
        found = offsets.get(TopicPartition(self.metrics, 0))
        return -1 if found is None else int(found.offset)

    async def reaches(self, receiver: str, offset: int, sink: str = "remote_write") -> None:
        """Wait until partition 0 is known to be sent up to *offset*."""

        async def has() -> bool:
            return await self.committed(receiver, sink) == offset

        await until(has)

    async def letters(self) -> list[Any]:
        """All dead letters, those too of which it is not settled yet whether they stay."""
        topic, found = TopicPartition(self.dead_letters, 0), list[Any]()
        async with AIOKafkaConsumer(**self.kafka) as consumer:
            end = (await consumer.end_offsets([topic]))[topic]
        if not end:  # a consumer that is stopped before it ran ends in a CancelledError
            return found
        settled = AIOKafkaConsumer(isolation_level="read_committed", **self.kafka)
        async with settled as consumer, asyncio.timeout(PATIENCE_S):
            consumer.assign([topic])
            consumer.seek(topic, 0)
            while await consumer.position(topic) < end:
                batches = await consumer.getmany(topic, timeout_ms=1000)
                found += batches.get(topic, ())
        return found


async def until(holds: Callable[[], Any]) -> Any:
    """What *holds* returns, once that is true; it may be a coroutine function."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = holds()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.05)


def samples(receiver: Receiver) -> list[Written]:
    """What *receiver* was sent by remote write, in its order, with what it was sent again."""
    return [sample for each in receiver.received for sample in samples_of(each)]


def samples_of(request: Received) -> list[Written]:
    """What one request held."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    return read_delivery(headers, request.body).samples


def header(record: Any, name: str) -> str:
    return str(dict(record.headers)[name].decode())
