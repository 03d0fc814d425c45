"""The control log as every worker holds it: read to its end, then followed; told to its tasks.

What counts for long is said again and again in it, so only its last minutes are read, and of what
is said again only the newest is held.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from tailrace.agents.sampling.logic import SamplingLogic
from tailrace.schemas.control import Allocation, Heard, Keep, decode
from tailrace.streams.log_end import read_to_end
from tailrace.streams.patience import may_pass
from tailrace.streams.task import Task
from tailrace.tables.linked import MAX_LINKED

log = structlog.get_logger()

LEAST_LOOKBACK_MS: Final = 600_000
"""Longer than anything goes unsaid that all have to know."""
_POLL_MS = 250
_POLL_RECORDS = 500
_RETRY_S = 1.0


class HeldRecords:
    """Of what was read, what a task may have to hear: the newest of reports and allocations, and
    the newest traces to keep.
    """

    def __init__(self, links: int = MAX_LINKED) -> None:
        self.end = 0
        """The offset behind the last record."""
        self.bad_records = 0
        self._limit = links
        self._newest: dict[Hashable, Heard] = {}
        self._keeps: deque[Heard] = deque()
        self._links = 0

    def take(self, value: bytes | None, offset: int) -> None:
        """Take the record at *offset*; one that cannot be read is left aside."""
        if offset < self.end:
            log.warning("the control topic was made anew")
            self._newest.clear()
            self._keeps.clear()
            self._links = 0
        self.end = offset + 1
        try:
            heard = Heard(offset, decode(value or b""))
        except ValueError as error:
            self.bad_records += 1
            log.warning("a control record cannot be read", offset=offset, reason=str(error))
            return
        record = heard.record
        if isinstance(record, Keep):
            self._keep(heard, len(record.trace_ids))
        else:
            self._newest[None if isinstance(record, Allocation) else record.partition] = heard

    def _keep(self, heard: Heard, links: int) -> None:
        self._keeps.append(heard)
        self._links += links
        while self._links > self._limit and len(self._keeps) > 1:
            record = self._keeps.popleft().record
            assert isinstance(record, Keep)
            self._links -= len(record.trace_ids)

    def since(self, offset: int) -> Sequence[Heard]:
        """Return what is held from *offset* on, in the order of the log."""
        if offset >= self.end:
            return ()
        found = [each for each in self._newest.values() if each.offset >= offset]
        for each in reversed(self._keeps):
            if each.offset < offset:
                break
            found.append(each)
        return sorted(found, key=lambda each: each.offset)


def tell(task: Task[Any], logic: SamplingLogic, held: HeldRecords) -> None:
    """Between two batches: let *task*, whose sampler is *logic*, hear what is new to it."""
    control = logic.control
    if control is None or control.heard == held.end:
        return
    if control.heard > held.end:
        control.heard = 0  # what it has heard was in a topic that is no more
    news = [each for each in held.since(control.heard) if control.wants(each.record)]
    if news:
        with task.told() as (outbox, totals):
            logic.hear(news, outbox, totals)
    control.heard = held.end


class ControlLog:
    """Holds what *topic* says, from `start` to `stop`; while no broker answers, what is known."""

    def __init__(self, kafka: Mapping[str, Any], topic: str, lookback_ms: int) -> None:
        self.held = HeldRecords()
        self._kafka = kafka
        self._partition = TopicPartition(topic, 0)
        self._lookback_ms = max(lookback_ms, LEAST_LOOKBACK_MS)
        self._position: int | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the topic to its end, then follow it; EnvironmentFailed if it cannot be read."""
        await read_to_end(self._connect, self._partition, self._take, self._disconnect)
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Let the topic go."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._disconnect()

    async def _follow(self) -> None:
        while True:
            try:
                await self._take(self._consumer or await self._connect())
            except Exception as error:
                if may_pass(error):
                    log.warning("control cannot be read; what holds stays", error=repr(error))
                else:
                    log.exception("control could not be read; what holds stays")
                await self._disconnect()
                await asyncio.sleep(_RETRY_S)

    async def _take(self, consumer: AIOKafkaConsumer) -> None:
        batches = await consumer.getmany(
            self._partition, timeout_ms=_POLL_MS, max_records=_POLL_RECORDS
        )
        for records in batches.values():
            for record in records:
                self.held.take(record.value, record.offset)
        self._position = self.held.end = await consumer.position(self._partition)

    async def _connect(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            **self._kafka,
        )
        self._consumer = consumer
        await consumer.start()
        consumer.assign([self._partition])
        if self._position is None:
            self._position = self.held.end = await self._beginning(consumer)
        consumer.seek(self._partition, self._position)
        return consumer

    async def _beginning(self, consumer: AIOKafkaConsumer) -> int:
        """Return where the last minutes of the log begin."""
        since = time.time_ns() // 1_000_000 - self._lookback_ms
        found = (await consumer.offsets_for_times({self._partition: since}))[self._partition]
        if found is not None:
            return int(found.offset)
        return int((await consumer.end_offsets([self._partition]))[self._partition])

    async def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with suppress(Exception):  # it is given up
                await asyncio.wait_for(consumer.stop(), timeout=5)
