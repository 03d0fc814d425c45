"""The ledger of one task: its transactional producer, and its changelog.

A ledger is fenced before it is read: `fence` aborts what a predecessor left open and makes its
producer useless, so that what `restore` then reads is the whole truth and stays so until the next
fence. `commit` writes a snapshot in one Kafka transaction, or raises, and then nobody knows
whether it was written: only fence and restore tell.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

from tailrace.schemas.records import Output
from tailrace.streams.task import Snapshot, TaskId
from tailrace.tables.store import PartitionStore

REQUEST_BYTES = 900_000
"""Largest batch that we build: below the broker's default `message.max.bytes`."""
CHANGELOG_MESSAGE_BYTES = 64 << 20
"""`max.message.bytes` of our changelog topics; a value holds at least one whole message."""
_TRANSACTION_TIMEOUT_MS = 60_000
_REQUEST_TIMEOUT_MS = 60_000
_RESTORE_RECORDS = 5_000
_RESTORE_POLL_MS = 20


class StoreAhead(Exception):
    """The store on this machine knows more than its changelog: they do not belong together."""


class InputBehind(Exception):
    """A task has read more of an input topic than that holds: the topic is not the same one."""


class Ledger(Protocol):
    """What a task's runner needs of Kafka."""

    @property
    def restored(self) -> int:
        """The changelog offset that `restore` has reached."""
        ...

    async def fence(self) -> None:
        """Make every earlier producer of this task useless; abort what it left open."""
        ...

    async def restore(self, store: PartitionStore) -> None:
        """Bring the store to the changelog's end, from the offset that it has."""
        ...

    async def commit(self, snapshot: Snapshot) -> int:
        """Write *snapshot* in one transaction; return the changelog's next offset."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class LedgerNames:
    """Topic, group and transactional ID of one task."""

    transactional_id: str
    changelog: TopicPartition
    group: str


class KafkaLedger:
    """A ledger in Kafka.

    *kafka*: connection settings of the aiokafka clients. *directory*: the store's, for messages.
    *message_bytes*: `max.message.bytes` of output topics; it holds for whole batches.
    """

    def __init__(
        self,
        task: TaskId,
        names: LedgerNames,
        kafka: Mapping[str, Any],
        directory: Path,
        message_bytes: Mapping[str, int],
    ) -> None:
        self.restored = 0
        self._message_bytes = message_bytes
        self._task = task
        self._directory = directory
        self._names = names
        self._kafka = kafka
        self._producer: AIOKafkaProducer | None = None

    async def fence(self) -> None:
        await self.close()
        producer = AIOKafkaProducer(
            transactional_id=self._names.transactional_id,
            transaction_timeout_ms=_TRANSACTION_TIMEOUT_MS,
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
            max_batch_size=REQUEST_BYTES,
            max_request_size=CHANGELOG_MESSAGE_BYTES,
            compression_type="zstd",
            linger_ms=0,
            **self._kafka,
        )
        self._producer = producer
        await producer.start()

    async def restore(self, store: PartitionStore) -> None:
        changelog = self._names.changelog
        consumer = AIOKafkaConsumer(
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=8 << 20,
            fetch_max_wait_ms=_RESTORE_POLL_MS,
            **self._kafka,
        )
        try:
            await consumer.start()
            consumer.assign([changelog])
            end = (await consumer.end_offsets([changelog]))[changelog]
            first = (await consumer.beginning_offsets([changelog]))[changelog]
            offset = store.changelog_offset or 0
            if offset > end:
                raise StoreAhead(
                    f"the store at {self._directory} has the changelog {changelog.topic}"
                    f"[{changelog.partition}] up to offset {offset}, but that topic ends at "
                    f"{end}: it was deleted or made anew.\n"
                    f"Bring the topic back if you can. Otherwise stop the worker and remove that "
                    f"directory; task {self._task} then has the state that the topic holds, and "
                    f"reads on from there or from its input's start."
                )
            consumer.seek(changelog, max(offset, first))
            # Control records are never delivered: the position reaches the end, not the records.
            while (position := await consumer.position(changelog)) < end:
                self.restored = position
                batches = await consumer.getmany(
                    changelog, timeout_ms=_RESTORE_POLL_MS, max_records=_RESTORE_RECORDS
                )
                changes = {record.key: record.value for record in batches.get(changelog, ())}
                if changes:
                    store.apply(changes, await consumer.position(changelog))
            if position > offset:
                store.apply({}, position)
        finally:
            await consumer.stop()

    async def commit(self, snapshot: Snapshot) -> int:
        producer = self._producer
        assert producer is not None
        changelog = self._names.changelog
        rows = [Output(key, value, -1) for key, value in snapshot.changes.items()]  # type: ignore[arg-type]  # None is a tombstone
        await producer.begin_transaction()
        try:
            written = await self._write(changelog, rows)
            sent = [future for future, _ in written]
            for topic, outputs in snapshot.outputs.items():
                count = len(await producer.partitions_for(topic))
                for partition, rows in self._by_partition(outputs, count).items():
                    target = TopicPartition(topic, partition)
                    sent += [future for future, _ in await self._write(target, rows)]
            results = await asyncio.gather(*sent)
            positions = {
                TopicPartition(topic, self._task.partition): offset
                for topic, offset in snapshot.positions.items()
            }
            if positions:
                await producer.send_offsets_to_transaction(positions, self._names.group)
            await producer.commit_transaction()
        except BaseException:
            await self._abort(producer)
            raise
        return int(results[len(written) - 1].offset) + written[-1][1]

    def _by_partition(self, outputs: Sequence[Output], count: int) -> dict[int, list[Output]]:
        """Return *outputs* by where they go, each in its order."""
        own = self._task.partition % count
        targets: dict[int, list[Output]] = {}
        for output in outputs:
            partition = own if output.partition is None else output.partition
            targets.setdefault(partition, []).append(output)
        return targets

    async def _write(
        self, target: TopicPartition, outputs: Sequence[Output]
    ) -> list[tuple[asyncio.Future[Any], int]]:
        """Queue *outputs* as batches; return each batch's future and number of records."""
        producer = self._producer
        assert producer is not None
        queued = []
        limit = min(REQUEST_BYTES, self._message_bytes.get(target.topic, REQUEST_BYTES))
        builder = producer.create_batch()
        for output in outputs:
            row = {
                "timestamp": output.timestamp if output.timestamp >= 0 else None,
                "key": output.key,
                "value": output.value,
                "headers": list(output.headers),
            }
            is_full = builder.record_count() and builder.size() + _size(output) > limit
            if is_full or builder.append(**row) is None:
                queued.append((await self._send(target, builder), builder.record_count()))
                builder = producer.create_batch()
                builder.append(**row)
        if builder.record_count():
            queued.append((await self._send(target, builder), builder.record_count()))
        return queued

    async def _send(self, target: TopicPartition, builder: Any) -> asyncio.Future[Any]:
        assert self._producer is not None
        builder.close()
        future: asyncio.Future[Any] = await self._producer.send_batch(
            builder, target.topic, partition=target.partition
        )
        return future

    @staticmethod
    async def _abort(producer: AIOKafkaProducer) -> None:
        """Try to abort, so that readers need not wait for the timeout; the next fence does too."""
        with suppress(Exception):  # fenced or unreachable: the broker aborts it
            await asyncio.wait_for(producer.abort_transaction(), timeout=5)

    async def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(Exception):  # what it held was given up already
                await asyncio.wait_for(producer.stop(), timeout=5)


def _size(output: Output) -> int:
    """At the most, what a record takes in a batch."""
    headers = sum(len(name) + len(value or b"") + 10 for name, value in output.headers)
    return len(output.key or b"") + len(output.value or b"") + headers + 64
