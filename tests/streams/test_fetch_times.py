"""What a consumer knows of a log's end is true of when it asked, however late it is answered."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

from tailrace.streams.broker import EmbeddedBroker
from tailrace.streams.fetch_times import FetchTimes
from tests.conftest import FreshTopic
from tests.patience import PATIENCE_S

STOPS = 5
STOPPED_S = 1.0


def send_later(bootstrap: str, topic: str) -> int:
    """Send a record while the consumer stands still; return a time before that (ms)."""

    async def send() -> int:
        async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
            await asyncio.sleep(STOPPED_S / 2)
            before = time.time_ns() // 1_000_000
            await producer.send_and_wait(topic, b"x", partition=0)
            return before

    return asyncio.run(send())


class Watched:
    """A consumer of one partition, and what it knows of its end."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap, auto_offset_reset="earliest", fetch_max_wait_ms=100
        )
        self.times = FetchTimes(self.consumer)
        self.partition = TopicPartition(topic, 0)

    def end_reached(self) -> tuple[int, int] | None:
        state = self.consumer._subscription.subscription.assignment.state_value(self.partition)
        return self.times.end_reached(self.partition, state)

    async def knows(self, end: int) -> list[tuple[int, int]]:
        """What it has said on the way, once it has read up to *end*."""
        said = []
        async with asyncio.timeout(PATIENCE_S):
            while True:
                await self.consumer.getmany(timeout_ms=0)
                found = self.end_reached()
                said += [found] if found is not None else []
                if found is not None and found[0] == end:
                    return said
                await asyncio.sleep(0)


async def test_a_consumer_that_was_stopped_does_not_take_an_old_end_for_that_of_now(
    broker: EmbeddedBroker, fresh_topic: FreshTopic
) -> None:
    topic = fresh_topic()
    watched = Watched(broker.bootstrap, topic)
    async with watched.consumer:
        watched.consumer.assign([watched.partition])
        await watched.knows(0)
        with ThreadPoolExecutor(1) as elsewhere:
            for end in range(STOPS):
                await asyncio.sleep(0.15)  # until a fetch is on its way
                sending = elsewhere.submit(send_later, broker.bootstrap, topic)
                time.sleep(STOPPED_S)  # noqa: ASYNC251  # it stands still, with all it has to read
                sent_after = sending.result()
                said = await watched.knows(end + 1)
                assert all(at <= sent_after for known, at in said if known == end), (said, end)
