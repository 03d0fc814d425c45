"""Reads the series of the whole cluster: what the last flushes wrote into the topic of metrics."""

from __future__ import annotations

import time
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition
from google.protobuf.message import DecodeError

from tailrace.agents.metrics.cardinality import Cardinality
from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.durations import MILLISECOND, SECOND
from tailrace.schemas.errors import EnvironmentFailed
from tailrace.streams.log_end import read_to_end
from tailrace.streams.provisioning import administration, partitions

_FLUSHES: Final = 2
_GRACE_NS: Final = 30 * SECOND


async def read_cardinality(config: WorkerConfig) -> tuple[Cardinality, int]:
    """Return the series of the last flushes, and how many records could not be read.

    EnvironmentFailed if the topic is not there or cannot be read.
    """
    topic = config.output.metrics
    kafka = {"bootstrap_servers": list(config.kafka.bootstrap_servers)}
    async with administration(config, kafka) as admin:
        count = (await partitions(admin)).get(topic, 0)
    if not count:
        raise EnvironmentFailed(
            f"topic {topic} is not there",
            "Start a worker, which creates it; or name the one that it writes as output.metrics.",
        )
    reader = _Reader(
        AIOKafkaConsumer(**kafka, isolation_level="read_committed", enable_auto_commit=False)
    )
    try:
        await reader.consumer.start()
        for number in range(count):
            await reader.read(TopicPartition(topic, number), _since_ms(config))
    finally:
        await reader.consumer.stop()
    return reader.found, reader.unreadable


def _since_ms(config: WorkerConfig) -> int:
    """Return a time since when every series has been written, if workers keep up."""
    sections = config.span_metrics, config.service_graph
    flush = max(section.metrics_flush_interval for section in sections)
    return int(time.time() * 1000) - (_FLUSHES * flush + _GRACE_NS) // MILLISECOND


class _Reader:
    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self.consumer = consumer
        self.found = Cardinality()
        self.unreadable = 0

    async def read(self, partition: TopicPartition, since_ms: int) -> None:
        """Read what was written to *partition* since then, up to the end of now."""
        self.consumer.assign([partition])
        try:
            begins = await self.consumer.offsets_for_times({partition: since_ms})
        except (KafkaError, OSError) as error:
            raise EnvironmentFailed(
                f"topic {partition.topic} cannot be read: {error}",
                "See that the brokers answer, and that this client may read it.",
            ) from error
        if begins[partition] is not None:
            self.consumer.seek(partition, begins[partition].offset)
            await read_to_end(self._connected, partition, self._take, self.consumer.stop)

    async def _connected(self) -> AIOKafkaConsumer:
        return self.consumer

    async def _take(self, consumer: AIOKafkaConsumer) -> None:
        for records in (await consumer.getmany(timeout_ms=500)).values():
            for record in records:
                try:
                    self.found.add(record.value or b"")
                except DecodeError:
                    self.unreadable += 1
