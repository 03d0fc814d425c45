"""What a worker holds of the control log, and what its tasks hear of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer
from structlog.testing import capture_logs

from tailrace.schemas.control import WHOLE, Allocation, ControlRecord, Keep, Report, encode
from tailrace.schemas.errors import EnvironmentFailed
from tailrace.streams.broker import EmbeddedBroker
from tailrace.streams.control import ControlLog, HeldRecords
from tests.conftest import FreshTopic
from tests.patience import PATIENCE_S


def report(partition: int, second: int) -> Report:
    return Report(partition, 2, second, {"rate": second}, 0, 0)


def allocation(number: int) -> Allocation:
    return Allocation(number, 2, {"rate": (WHOLE, 0)}, None)


def keep(number: int, links: int = 1) -> Keep:
    return Keep((bytes([number]) * 16,) * links, 1000)


def held(*records: ControlRecord, links: int = 100) -> HeldRecords:
    found = HeldRecords(links)
    for offset, record in enumerate(records):
        found.take(encode(record), offset)
    return found


def said(records: HeldRecords, offset: int = 0) -> list[tuple[int, ControlRecord]]:
    return [tuple(each) for each in records.since(offset)]  # type: ignore[misc]  # of a Heard


def test_the_newest_is_held_of_what_is_said_again_and_all_of_what_is_not() -> None:
    log = (report(0, 5), keep(1), report(1, 5), allocation(1), report(0, 10), keep(2))
    records = held(*log, allocation(2))
    newest = [(1, keep(1)), (2, report(1, 5)), (4, report(0, 10)), (5, keep(2))]
    assert said(records) == [*newest, (6, allocation(2))]


def test_a_task_hears_what_comes_after_what_it_has_heard() -> None:
    records = held(report(0, 5), keep(1), allocation(1), keep(2))
    assert said(records, 2) == [(2, allocation(1)), (3, keep(2))]
    assert said(records, 4) == []
    assert said(records, 9) == []


def test_only_so_many_traces_to_keep_are_held() -> None:
    records = held(keep(1, 3), keep(2, 3), keep(3, 3), links=6)
    assert said(records) == [(1, keep(2, 3)), (2, keep(3, 3))]
    assert said(held(keep(1, 9), links=6)) == [(0, keep(1, 9))]


def test_what_cannot_be_read_is_counted_and_passed_over() -> None:
    records = held(report(0, 5))
    with capture_logs() as logs:
        records.take(b"nonsense", 1)
        records.take(None, 2)
    assert records.bad_records == 2
    assert records.end == 3
    assert said(records) == [(0, report(0, 5))]
    assert [each["offset"] for each in logs] == [1, 2]


def test_a_topic_that_was_made_anew_is_read_anew() -> None:
    records = held(report(0, 5), keep(1), allocation(3))
    with capture_logs():
        records.take(encode(allocation(1)), 0)
    assert said(records) == [(0, allocation(1))]
    assert records.end == 1


# On a broker


class Writer:
    """Writes transactions as a task does."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    async def write(self, *records: ControlRecord, is_kept: bool = True) -> None:
        """Write *records* in a transaction, which is aborted unless *is_kept*."""
        await self._producer.begin_transaction()
        for each in records:
            await self._producer.send_and_wait(self._topic, encode(each), partition=0)
        await (
            self._producer.commit_transaction() if is_kept else self._producer.abort_transaction()
        )


@asynccontextmanager
async def writing(broker: EmbeddedBroker, topic: str) -> AsyncIterator[Writer]:
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=topic)
    async with producer:
        yield Writer(producer, topic)


@asynccontextmanager
async def following(broker: EmbeddedBroker, topic: str) -> AsyncIterator[HeldRecords]:
    log = ControlLog({"bootstrap_servers": broker.bootstrap}, topic, 0)
    await log.start()
    try:
        yield log.held
    finally:
        await log.stop()


def records(held: HeldRecords) -> list[ControlRecord]:
    return [each.record for each in held.since(0)]


async def has(held: HeldRecords, count: int) -> None:
    """Wait until so many records are held."""
    deadline = time.monotonic() + PATIENCE_S
    while len(records(held)) < count:
        assert time.monotonic() < deadline, f"{records(held)} are not {count}"
        await asyncio.sleep(0.02)


async def test_the_log_is_read_to_its_end_and_then_followed_past_what_was_aborted(
    broker: EmbeddedBroker, fresh_topic: FreshTopic
) -> None:
    topic = fresh_topic("control", 1, {"message.timestamp.type": "LogAppendTime"})
    async with writing(broker, topic) as writer:
        await writer.write(report(0, 5), keep(1))
        await writer.write(keep(2), is_kept=False)
        await writer.write(allocation(1))
        await writer.write(allocation(2), is_kept=False)
        async with following(broker, topic) as held:
            assert records(held) == [report(0, 5), keep(1), allocation(1)]
            await writer.write(report(1, 5))
            await has(held, 4)
            assert records(held) == [report(0, 5), keep(1), allocation(1), report(1, 5)]
            end = held.end
        async with following(broker, topic) as again:
            assert again.end >= end - 1  # marks of transactions come after the last record
            assert len(records(again)) == 4


async def test_of_an_empty_log_nothing_is_known_until_something_is_written(
    broker: EmbeddedBroker, fresh_topic: FreshTopic
) -> None:
    topic = fresh_topic("control")
    async with following(broker, topic) as held, writing(broker, topic) as writer:
        assert records(held) == []
        await writer.write(keep(1))
        await has(held, 1)
        assert records(held) == [keep(1)]


async def test_a_log_that_cannot_be_read_is_the_environments_fault() -> None:
    with pytest.raises(EnvironmentFailed, match="topic nowhere cannot be read"):
        await ControlLog({"bootstrap_servers": "127.0.0.1:9"}, "nowhere", 0).start()
