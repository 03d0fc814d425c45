"""How far one receiver has got with one partition, kept with the offsets of its consumer group.

The offset is that of the first unit that is not sent whole; the metadata of the offset say where
that unit ends, and how many of its rounds have been sent. Dead letters are written in the same
transaction. Whoever takes a partition over locks its predecessor out before it reads this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from tailrace.schemas.records import Output

log = structlog.get_logger()

LOOKBACK_MS: Final = 3_600_000
"""A new receiver gets what is not older than this: older samples are mostly refused."""
_TRANSACTION_TIMEOUT_MS: Final = 60_000
_REQUEST_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Position:
    """Where to go on. `until`: where the unit at `offset` ends, of which `rounds` are sent."""

    offset: int
    until: int | None = None
    rounds: int = 0

    @property
    def metadata(self) -> str:
        return "" if self.until is None else f"{self.until} {self.rounds}"

    @classmethod
    def of(cls, offset: int, metadata: str) -> Position:
        until, _, rounds = metadata.partition(" ")
        if until.isdecimal() and rounds.isdecimal():
            return cls(offset, int(until), int(rounds))
        return cls(offset)


class Progress:
    """Of *group* with *partition*; *kafka*: connection settings of the aiokafka clients."""

    def __init__(
        self,
        group: str,
        partition: TopicPartition,
        kafka: Mapping[str, Any],
        count_expired: Callable[[int], None],
    ) -> None:
        self._group = group
        self._partition = partition
        self._kafka = kafka
        self._producer: AIOKafkaProducer | None = None
        self._count_expired = count_expired

    async def take_over(self, consumer: AIOKafkaConsumer, now_ms: int) -> Position:
        """Lock out whoever had the partition, and return where it is to go on."""
        await self.close()
        self._producer = AIOKafkaProducer(
            transactional_id=f"{self._group}-{self._partition.partition}",
            transaction_timeout_ms=_TRANSACTION_TIMEOUT_MS,
            max_request_size=_REQUEST_BYTES,
            compression_type="zstd",
            **self._kafka,
        )
        await self._producer.start()
        tp = self._partition
        first = (await consumer.beginning_offsets([tp]))[tp]
        end = (await consumer.end_offsets([tp]))[tp]
        known = await self._committed()
        if known is None:
            found = (await consumer.offsets_for_times({tp: now_ms - LOOKBACK_MS}))[tp]
            position = Position(end if found is None else found.offset)
            await self.commit(position, ())  # so that nothing is left out if this is all we do
            return position
        if known.offset > end:
            log.error("the topic was made anew; sending all of it", group=self._group,
                      partition=tp.partition, offset=known.offset, end=end)  # fmt: skip
            return Position(first)
        if known.offset < first:
            self._count_expired(first - known.offset)
            log.error("metrics were deleted by retention before they were sent",
                      group=self._group, partition=tp.partition,
                      records=first - known.offset)  # fmt: skip
            return Position(first)
        return known

    async def _committed(self) -> Position | None:
        tp = self._partition
        admin = AIOKafkaAdminClient(request_timeout_ms=10_000, **self._kafka)
        await admin.start()
        try:
            offsets = await admin.list_consumer_group_offsets(self._group, partitions=[tp])
        finally:
            await admin.close()
        found = offsets.get(tp)
        if found is None or found.offset < 0:
            return None
        return Position.of(found.offset, found.metadata)

    async def commit(self, position: Position, letters: Sequence[tuple[str, Output]]) -> None:
        """Write that *position* is reached, and *letters* by their topic, at once."""
        producer = self._producer
        assert producer is not None
        await producer.begin_transaction()
        try:
            sent = [
                await producer.send(
                    topic, output.value, output.key,
                    timestamp_ms=max(0, output.timestamp), headers=list(output.headers),
                )
                for topic, output in letters
            ]  # fmt: skip
            await asyncio.gather(*sent)
            offset = OffsetAndMetadata(position.offset, position.metadata)
            await producer.send_offsets_to_transaction({self._partition: offset}, self._group)
            await producer.commit_transaction()
        except BaseException:
            with suppress(Exception):  # fenced or unreachable: the broker aborts it
                await asyncio.wait_for(producer.abort_transaction(), timeout=5)
            raise

    async def close(self) -> None:
        """Let the producer go."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(Exception):  # what it held was given up already
                await asyncio.wait_for(producer.stop(), timeout=5)
