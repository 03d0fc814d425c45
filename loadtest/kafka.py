"""The load into Kafka, and what came out of it back: as any client would."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from tailrace_loadtest.load import Record
from tailrace_loadtest.report import Written
from tailrace_loadtest.routes import Message, Routes

Compression = Literal["gzip", "snappy", "lz4", "zstd"]
_BATCH_BYTES = 512 << 10
_IN_FLIGHT = 64
_PACE_S = 0.02
_FETCH_MS = 200
_REQUEST_MS = 240_000
"""A broker that is killed may take its time to come back; what was sent to it is not given up."""


@dataclass(slots=True)
class Produced:
    """What was sent so far."""

    records: int = 0
    """Of Kafka: where messages mix traces, fewer than the load's."""
    bytes: int = 0
    most_behind_s: float = 0.0
    """Paced: the longest time by which a record was sent after its timestamp."""


async def produce(
    records: Iterable[Record],
    bootstrap: str,
    to: str | Routes,
    *,
    speed: float | None = None,
    compression: Compression | None = "lz4",
    produced: Produced | None = None,
) -> Produced:
    """Write *records* into a topic or along routes, in order within each partition, each once.

    *speed* 1 sends each when the clock reaches its timestamp, 2 twice as fast from the first
    one on; None as fast as possible. *produced*, if given, tells meanwhile how far it is.
    """
    produced = produced or Produced()
    routes = Routes([to]) if isinstance(to, str) else to
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        enable_idempotence=True,
        compression_type=compression,
        max_batch_size=_BATCH_BYTES,
        request_timeout_ms=_REQUEST_MS,
        max_request_size=8 << 20,
    )
    try:
        await producer.start()
        cluster = await producer.client.fetch_all_metadata()
        partitions = {topic: _partition_count(cluster, topic) for topic in routes.topics}
        writer = _Writer(producer)
        for message in routes.messages(records, partitions):
            if speed is not None:
                await _keep_pace(message, speed, writer, produced)
            await writer.add(message)
            produced.records += 1
            produced.bytes += len(message.value)
        await writer.flush()
        await writer.confirm()
    finally:
        await producer.stop()
    return produced


async def read(
    bootstrap: str, topics: Sequence[str], *, timeout_s: float = 240.0
) -> dict[str, list[Written]]:
    """All committed records of *topics* up to their ends of now; TimeoutError if it takes longer.

    An open transaction is in the way of the end until it is committed or aborted: that of a worker
    that was killed for more than a minute, if nobody takes its place.
    """
    found: dict[str, list[Written]] = {topic: [] for topic in topics}
    async with _reader(bootstrap, topics) as (consumer, partitions), asyncio.timeout(timeout_s):
        ends = await consumer.end_offsets(partitions)
        while not await _has_reached(consumer, ends):
            for topic, written in await _fetch(consumer):
                found[topic].append(written)
    return found


async def follow(
    bootstrap: str,
    topics: Sequence[str],
    on_record: Callable[[str, Written], None],
    until: Callable[[], bool],
) -> None:
    """Hand every committed record of *topics* to *on_record*, from the start, until *until()*."""
    async with _reader(bootstrap, topics) as (consumer, _):
        while not until():
            for topic, written in await _fetch(consumer):
                on_record(topic, written)


@asynccontextmanager
async def _reader(
    bootstrap: str, topics: Sequence[str]
) -> AsyncIterator[tuple[Any, list[TopicPartition]]]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=4 << 20,
    )
    try:
        await consumer.start()
        partitions = await _partitions(bootstrap, topics)
        consumer.assign(partitions)
        yield consumer, partitions
    finally:
        await consumer.stop()


async def _partitions(bootstrap: str, topics: Sequence[str]) -> list[TopicPartition]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        described = await admin.describe_topics(list(topics))
    finally:
        await admin.close()
    missing = [each["topic"] for each in described if not each["partitions"]]
    if missing:
        raise LookupError(f"there is no topic {sorted(missing)} on {bootstrap}")
    return [
        TopicPartition(each["topic"], partition["partition"])
        for each in described
        for partition in each["partitions"]
    ]


def _partition_count(cluster: Any, topic: str) -> int:
    found = cluster.partitions_for_topic(topic)
    if not found:
        raise LookupError(f"there is no topic {topic}; create it first")
    return len(found)


async def _fetch(consumer: Any) -> Iterator[tuple[str, Written]]:
    fetched = await consumer.getmany(timeout_ms=_FETCH_MS, max_records=5_000)
    return (
        (partition.topic, Written(record.key, record.value, record.headers, partition.partition))
        for partition, records in fetched.items()
        for record in records
    )


async def _has_reached(consumer: Any, ends: Mapping[TopicPartition, int]) -> bool:
    # Positions, not records: the last offsets may be control records.
    return all([await consumer.position(each) >= end for each, end in ends.items()])


async def _keep_pace(message: Message, speed: float, writer: "_Writer", produced: Produced) -> None:
    """Return when *message* is due; what was gathered before is sent first."""
    if writer.pace is None:
        now = time.time()
        writer.pace = message.timestamp_ms / 1000, max(now, message.timestamp_ms / 1000)
    first_s, since_s = writer.pace
    due_s = since_s + (message.timestamp_ms / 1000 - first_s) / speed
    ahead_s = due_s - time.time()
    if ahead_s > _PACE_S:
        await writer.flush()
        await asyncio.sleep(ahead_s)
    produced.most_behind_s = max(produced.most_behind_s, -ahead_s)


@dataclass(slots=True)
class _Writer:
    """Gathers batches by partition."""

    producer: Any
    _batches: dict[tuple[str, int], Any] = field(default_factory=dict)
    _sent: deque[Any] = field(default_factory=deque)
    pace: tuple[float, float] | None = None
    """Paced: the first timestamp and when that was sent, s."""

    async def add(self, message: Message) -> None:
        """Put *message* into the open batch of its partition; send that if it is full."""
        place = message.topic, message.partition
        batch = self._batches.get(place)
        if batch is None:
            batch = self._batches[place] = self.producer.create_batch()
        if not self._append(batch, message):
            await self._send(place)
            batch = self._batches[place] = self.producer.create_batch()
            if not self._append(batch, message):
                raise ValueError(f"a record of {len(message.value)} bytes fits into no batch")

    async def flush(self) -> None:
        """Send every open batch."""
        for place in list(self._batches):
            await self._send(place)

    async def confirm(self) -> None:
        """Wait until the broker has all that was sent."""
        while self._sent:
            await self._sent.popleft()

    async def _send(self, place: tuple[str, int]) -> None:
        batch = self._batches.pop(place)
        batch.close()
        topic, partition = place
        self._sent.append(await self.producer.send_batch(batch, topic, partition=partition))
        while len(self._sent) > _IN_FLIGHT:
            await self._sent.popleft()

    @staticmethod
    def _append(batch: Any, message: Message) -> bool:
        appended = batch.append(
            key=message.key, value=message.value, timestamp=message.timestamp_ms
        )
        return appended is not None
