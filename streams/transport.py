"""Batch transport: one Faust event for each fetched record batch of a partition.

Faust's consumer delivers, tracks and acknowledges every message by itself (57 µs each). This one
delivers a `Batch` as one message, so that the price is paid once a batch. The next batch of a
partition is delivered when every agent has acknowledged the last one. Positions are the tasks':
Faust's own offset commits are off, and a seek goes to what the restored state has applied.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import aiokafka
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import CommitFailedError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from tailrace.streams.batch import Batch
from tailrace.streams.fetch_times import FetchTimes

MAX_POLL_RECORDS = 4000
_POLL_WHILE_BUSY_S = 0.02


@dataclass(slots=True)
class ConsumerSettings:
    """What the consumer needs beyond Faust's own settings; set once before the app starts."""

    kafka: Mapping[str, Any]
    max_poll_records: int = MAX_POLL_RECORDS


class ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]  # Faust is untyped
    """The consumer's own thread: fetches, heartbeats, and knows every partition's position."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._delivered: dict[TopicPartition, int] = {}
        self._fetch_times: FetchTimes | None = None

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        conf = self.app.conf
        self._assignor = RangePartitionAssignor  # puts partition N of all topics together
        consumer = aiokafka.AIOKafkaConsumer(
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=transport.settings.max_poll_records,
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            max_partition_fetch_bytes=2 << 20,
            fetch_max_bytes=16 << 20,
            fetch_max_wait_ms=100,
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            isolation_level="read_committed",
            metadata_max_age_ms=30_000,
            **transport.settings.kafka,
        )
        self._fetch_times = FetchTimes(consumer)
        return consumer

    def forget_positions(self) -> None:
        """Deliver nothing of any partition before its next seek."""
        self._delivered.clear()

    async def seek_positions(self, positions: Mapping[TopicPartition, int]) -> None:
        """Continue each partition at its position; batches of other positions become stale."""
        await self.call_thread(self._seek_positions, positions)

    async def _seek_positions(self, positions: Mapping[TopicPartition, int]) -> None:
        consumer = self._ensure_consumer()
        assigned = consumer.assignment()
        for tp, offset in positions.items():
            if tp in assigned:
                consumer.seek(tp, offset)
                self._delivered[tp] = offset

    async def _fetch_records(
        self,
        consumer: aiokafka.AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> dict[TP, Batch]:
        fetched = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        # No await from here on: what was consumed and where it ended must be one step.
        batches: dict[TP, Batch] = {}
        assignment = consumer._subscription.subscription.assignment
        for tp in active_partitions:
            state = assignment.state_value(tp) if assignment else None
            if state is None or not state.has_valid_position or tp not in self._delivered:
                continue
            start, end = self._delivered[tp], state.position
            if end != start:
                self._delivered[tp] = end
                batches[tp] = Batch(tp.topic, tp.partition, start, end, fetched.get(tp, ()))
        return batches

    async def owns(self, partitions: Iterable[TopicPartition]) -> bool:
        """True if the group coordinator still takes our offsets for *partitions*."""
        return bool(await self.call_thread(self._owns, list(partitions)))

    async def _owns(self, partitions: list[TopicPartition]) -> bool:
        consumer = self._ensure_consumer()
        if not set(partitions) <= consumer.assignment():
            return False
        offsets = {}
        for tp in partitions:
            committed = await consumer.committed(tp)
            offsets[tp] = OffsetAndMetadata(committed or 0, "")
        try:
            await consumer.commit(offsets)
        except CommitFailedError:
            return False
        return True

    def end_reached(self, tp: TopicPartition) -> tuple[int, int] | None:
        """Return the log's end, and when (ms, wall clock) it was there; else None."""
        state = self._state(tp)
        if state is None or self._fetch_times is None:
            return None
        return self._fetch_times.end_reached(tp, state)

    def log_end(self, tp: TopicPartition) -> int | None:
        """Return the end of the log as the last fetch saw it."""
        state = self._state(tp)
        end: int | None = None if state is None else state.lso
        return end

    def last_fetch_ms(self, tp: TopicPartition) -> int | None:
        """Return when (ms, wall clock) a fetch of the partition last succeeded."""
        state = self._state(tp)
        at: int | None = None if state is None else state.timestamp
        return at

    def _state(self, tp: TopicPartition) -> Any:
        subscription = self._ensure_consumer()._subscription.subscription
        if subscription is None or subscription.assignment is None:
            return None
        if tp not in subscription.assignment.tps:
            return None
        return subscription.assignment.state_value(tp)


class _NothingRead(dict[TP, None]):
    """Faust's read offsets: it drops, unacknowledged, what is before them. Tasks know better."""

    def __getitem__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, offset: object) -> None:
        """Forget it."""


class Consumer(driver.Consumer):  # type: ignore[misc]  # Faust is untyped
    """Delivers batches; a partition is busy from delivery to acknowledgement."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _NothingRead()
        self._busy: set[TP] = set()
        self._undelivered: set[TP] = set()
        self._freed = asyncio.Event()

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Yield one message, whose value is a `Batch`, for each partition that has records."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        await self._fetch_again()
        ready = self._get_active_partitions() - self._busy
        if not ready:
            self._freed.clear()
            await self.wait_first(self._freed.wait(), self.suspend_flow.wait(), timeout=timeout)
            return
        wait_s = _POLL_WHILE_BUSY_S if self._busy else timeout
        generation = self.app.consumer_generation_id
        batches = await self._getmany(active_partitions=ready, timeout=wait_s)
        for tp, batch in batches.items():
            is_current = self.app.consumer_generation_id == generation
            if self.should_stop or not self.flow_active or not is_current:
                # A rebalance came between, but its seek may lie before this fetch already.
                self._undelivered.add(tp)
                continue
            self._busy.add(TP(*tp))
            yield TP(*tp), self._to_message(tp, batch)

    async def _fetch_again(self) -> None:
        """Go back to the tasks' positions where something was fetched and not delivered."""
        if self._undelivered:
            lost, self._undelivered = self._undelivered, set()
            positions = self.transport.positions()
            await self.seek_positions({tp: at for tp, at in positions.items() if tp in lost})

    def _to_message(self, tp: TP, batch: Batch) -> ConsumerMessage:
        return ConsumerMessage(
            tp.topic, tp.partition, batch.start, 0.0, 0, (), None, batch, None, 0, 0, TP(*tp),
            generation_id=self.app.consumer_generation_id,
        )  # fmt: skip

    def ack(self, message: Any) -> bool:
        """Every agent has seen the batch: its partition may deliver the next one."""
        message.acked = True
        self._unacked_messages.discard(message)
        self.release(message.tp)
        return True

    def release(self, tp: TP) -> None:
        """Let *tp* deliver again."""
        self._busy.discard(tp)
        self._freed.set()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Forget deliveries of the old assignment; their events may never be acknowledged."""
        await super().on_partitions_revoked(revoked)
        self._busy.clear()
        self._freed.set()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Let nothing flow until the tasks of this assignment say where they continue.

        A takeover that a rebalance overtook may have let the flow go on meanwhile.
        """
        self.stop_flow()
        self._busy.clear()
        self._thread.forget_positions()
        await super().on_partitions_assigned(assigned, generation_id)

    async def perform_seek(self) -> None:
        """Go to the positions that the tasks' restored state has applied."""
        await self.seek_positions(self.transport.positions())

    async def seek_positions(self, positions: Mapping[TopicPartition, int]) -> None:
        """Go to *positions*; what was fetched of others becomes stale."""
        await self._thread.seek_positions(positions)

    async def first_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """Return where the log of each of *partitions* starts."""
        first: Mapping[TopicPartition, int] = await self._thread.earliest_offsets(*partitions)
        return first

    async def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """Return where the log of each of *partitions* ends."""
        ends: Mapping[TopicPartition, int] = await self._thread.highwaters(*partitions)
        return ends

    async def owns(self, partitions: Iterable[TopicPartition]) -> bool:
        """True if the consumer group still gives us *partitions*."""
        return bool(await self._thread.owns(partitions))

    def end_reached(self, tp: TopicPartition) -> tuple[int, int] | None:
        """See `ConsumerThread.end_reached`."""
        found: tuple[int, int] | None = self._thread.end_reached(tp)
        return found

    def log_end(self, tp: TopicPartition) -> int | None:
        """See `ConsumerThread.log_end`."""
        end: int | None = self._thread.log_end(tp)
        return end

    def last_fetch_ms(self, tp: TopicPartition) -> int | None:
        """See `ConsumerThread.last_fetch_ms`."""
        at: int | None = self._thread.last_fetch_ms(tp)
        return at

    async def force_commit(self, *args: Any, **kwargs: Any) -> bool:
        """Offsets are committed by the tasks' transactions."""
        return False

    async def _add_gap(self, *args: Any) -> None:
        """Offsets without a record are part of a batch's range."""

    def verify_event_path(self, now: float, tp: TP) -> None:
        """The engine has its own watchdog."""


class Transport(driver.Transport):  # type: ignore[misc]  # Faust is untyped
    """The transport of `tailrace://` broker URLs. The engine sets what it needs before start."""

    Consumer = Consumer
    settings: ConsumerSettings
    positions: Callable[[], Mapping[TopicPartition, int]]
    """Where each assigned partition continues."""
