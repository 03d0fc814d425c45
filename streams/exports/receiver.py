"""One receiver: a member of its own consumer group, with a lane for each partition that it has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from tailrace.streams.exports.figures import Figures
from tailrace.streams.exports.lane import Lane
from tailrace.streams.exports.progress import Progress

log = structlog.get_logger()

_STOP_S: Final = 5.0
_RETRY_S: Final = 1.0
_DAY_MS: Final = 24 * 3600 * 1000

MakeLane = Callable[[TopicPartition, AIOKafkaConsumer, Progress], Lane]


class Receiver:
    """Sends *topic* to one receiver, as a member of *group*. *fail*: what ends the worker."""

    def __init__(
        self,
        topic: str,
        group: str,
        kafka: Mapping[str, Any],
        lane: MakeLane,
        figures: Figures,
        fail: Callable[[BaseException], None],
        session_timeout_s: float = 10.0,
    ) -> None:
        self.figures = figures
        self.assigned = asyncio.Event()
        self.partitions: list[int] = []
        self._topic = topic
        self._group = group
        self._kafka = kafka
        self._lane = lane
        self._fail = fail
        self._session_timeout_ms = int(session_timeout_s * 1000)
        self._lanes: dict[TopicPartition, asyncio.Task[None]] = {}
        self._consumer: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        """Join the group."""
        consumer = self._consumer = AIOKafkaConsumer(
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            isolation_level="read_committed",
            session_timeout_ms=self._session_timeout_ms,
            heartbeat_interval_ms=min(3000, self._session_timeout_ms // 3),
            rebalance_timeout_ms=60_000,
            # A receiver may be away for long, and then nothing is read: that is no reason to go.
            max_poll_interval_ms=_DAY_MS,
            max_partition_fetch_bytes=4 << 20,
            fetch_max_wait_ms=100,
            metadata_max_age_ms=30_000,
            **self._kafka,
        )
        consumer.subscribe([self._topic], listener=_Assignments(self))
        await consumer.start()

    async def give_back(self) -> None:
        """Let all lanes go; what was not committed is sent again by whoever has them next."""
        lanes, self._lanes = list(self._lanes.values()), {}
        for lane in lanes:
            lane.cancel()
        if lanes:
            await asyncio.wait(lanes, timeout=_STOP_S)

    def take(self, partitions: Iterable[TopicPartition]) -> None:
        """Begin to send *partitions*."""
        consumer = self._consumer
        assert consumer is not None
        for partition in sorted(partitions):
            progress = Progress(self._group, partition, self._kafka, self._count_expired)
            lane = self._lane(partition, consumer, progress)
            task = asyncio.create_task(lane.run(), name=f"{self._group}-{partition.partition}")
            task.add_done_callback(self._ended)
            self._lanes[partition] = task
        self.partitions = [each.partition for each in self._lanes]
        self.assigned.set()

    def _count_expired(self, records: int) -> None:
        self.figures.counts["expired"] += records

    def _ended(self, lane: asyncio.Task[None]) -> None:
        """A lane never ends by itself but by a defect, and that ends the worker."""
        if not lane.cancelled() and lane.exception() is not None:
            self._fail(lane.exception() or RuntimeError("a lane ended"))

    async def stop(self) -> None:
        """Leave the group."""
        await self.give_back()
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            try:
                await asyncio.wait_for(consumer.stop(), _STOP_S)
            except (KafkaError, TimeoutError):
                log.debug("leaving the group takes too long", group=self._group)


class _Assignments(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Tells a receiver of what it has."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """All go at once: the group's protocol is eager."""
        await self._receiver.give_back()

    async def on_partitions_assigned(self, assigned: Any) -> None:
        """Take what there is now."""
        await self._receiver.give_back()
        self._receiver.take(assigned)
