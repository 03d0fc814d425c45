"""The counting job on a real Kafka: its topics, its load, its workers, and the check of it all."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import TopicPartition

from tailrace.schemas import topics
from tailrace.streams.broker import EmbeddedBroker
from tests import kafka_topics
from tests.patience import PATIENCE_S
from tests.streams.counting_job import JobSettings
from tests.streams.counting_outputs import Sent, problems
from tests.streams.counting_worker import Worker

PARTITIONS = 4
ALL_TASKS = {f"keys-{number}" for number in range(PARTITIONS)}
_SLOTS_PER_S = 20
_numbers = itertools.count(1)


@asynccontextmanager
async def admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client, closed at the end."""
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


@dataclass
class CountingJob:
    """One job with topics of its own; *directory* holds its workers' data and logs."""

    bootstrap: str
    directory: Path
    name: str = field(default_factory=lambda: f"job{next(_numbers)}")
    workers: list[Worker] = field(default_factory=list)
    sent: Counter[bytes] = field(default_factory=Counter)
    bad: list[bytes] = field(default_factory=list)

    @property
    def inputs(self) -> list[TopicPartition]:
        return [TopicPartition(f"{self.name}.in", each) for each in range(PARTITIONS)]

    @property
    def changelogs(self) -> list[TopicPartition]:
        name = topics.changelog(self.name, "keys")
        return [TopicPartition(name, each) for each in range(PARTITIONS)]

    async def create_topics(self) -> None:
        """Create all of them; the changelog may be truncated by tests, other than a real one."""
        changelog = {"cleanup.policy": "compact,delete", "retention.ms": "-1"}
        wanted = [
            NewTopic(self.inputs[0].topic, PARTITIONS, 1),
            NewTopic(f"{self.name}.out", PARTITIONS, 1),
            NewTopic(f"{self.name}.dead", 1, 1),
            NewTopic(self.changelogs[0].topic, PARTITIONS, 1, topic_configs=changelog),
        ]
        async with admin(self.bootstrap) as client:
            await kafka_topics.create(client, *wanted)

    async def renew_changelog(self) -> None:
        """Delete the changelog, and make it anew."""
        topic = self.changelogs[0].topic
        async with admin(self.bootstrap) as client:
            await client.delete_topics([topic])
            while topic in await client.list_topics():  # noqa: ASYNC110  # the broker's
                await asyncio.sleep(0.05)
            await kafka_topics.create(client, NewTopic(topic, PARTITIONS, 1))

    def worker(self, **changes: Any) -> Worker:
        """Start one more worker; static members with own data unless *changes* say otherwise."""
        number = len(self.workers) + 1
        settings = JobSettings(
            bootstrap=self.bootstrap,
            app=self.name,
            topic=f"{self.name}.in",
            out=f"{self.name}.out",
            dead=f"{self.name}.dead",
            data=str(self.directory / f"data{number}"),
            instance=f"{self.name}-{number}",
        )
        worker = Worker(settings, self.directory / f"worker{number}.log")
        self.workers.append(worker)
        worker.start(**changes)
        return worker

    def close(self) -> None:
        """Leave no process behind."""
        for worker in self.workers:
            worker.kill()

    # Load

    async def send(self, count: int, seconds: float = 0.0, seed: int = 0) -> None:
        """Send *count* records over *seconds*: common keys, rare ones that rest, some without."""
        rng = random.Random(seed)
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap,
            enable_idempotence=True,
            request_timeout_ms=int(PATIENCE_S * 1000),
        )
        slots = max(1, int(seconds * _SLOTS_PER_S))
        async with producer:
            acknowledged: list[asyncio.Future[Any]] = []
            for slot in range(slots):
                share = range(count * slot // slots, count * (slot + 1) // slots)
                acknowledged += [await self._send_any(producer, rng) for _ in share]
                if seconds:
                    await asyncio.sleep(1 / _SLOTS_PER_S)
            await asyncio.gather(*acknowledged)

    async def send_one(self, key: bytes) -> None:
        """Send one record of *key*."""
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap) as producer:
            await (await self._send_key(producer, key))

    async def _send_any(self, producer: AIOKafkaProducer, rng: random.Random) -> Any:
        chance = rng.random()
        key = b"rare%d" % rng.randrange(5) if chance < 0.002 else b"key%d" % rng.randrange(60)
        if chance > 0.999:
            self.bad.append(b"bad%d" % len(self.bad))
            return await producer.send(self.inputs[0].topic, self.bad[-1], partition=0)
        return await self._send_key(producer, key)

    async def _send_key(self, producer: AIOKafkaProducer, key: bytes) -> Any:
        self.sent[key] += 1
        partition = zlib.crc32(key) % PARTITIONS
        return await producer.send(self.inputs[0].topic, b"", key=key, partition=partition)

    # What came out

    async def check(self) -> None:
        """Wait until all is done; assert that the outputs are those of one uninterrupted run."""
        async with AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, isolation_level="read_committed"
        ) as reader:
            parts = [TopicPartition(f"{self.name}.out", each) for each in range(PARTITIONS)]
            dead = TopicPartition(f"{self.name}.dead", 0)
            reader.assign([*parts, dead])
            await reader.seek_to_beginning()
            outputs: list[Sent] = []
            letters: list[bytes] = []
            deadline = time.monotonic() + PATIENCE_S
            while True:
                fetched = await reader.getmany(timeout_ms=500)
                if fetched:
                    deadline = time.monotonic() + PATIENCE_S
                for tp, records in fetched.items():
                    if tp == dead:
                        letters += [record.value for record in records]
                    else:
                        outputs += [
                            Sent(tp.partition, record.key, record.value, record.timestamp)
                            for record in records
                        ]
                if time.monotonic() > deadline:
                    break
                if not fetched and self._all_rest(outputs) and len(letters) >= len(self.bad):
                    break
        assert problems(outputs, self.sent) == []
        assert sorted(letters) == sorted(self.bad)
        for worker in self.workers:
            assert "balance does not hold" not in worker.text()

    def _all_rest(self, outputs: Sequence[Sent]) -> bool:
        last = {output.key: output.value for output in outputs}
        return last == {key: b"rest %d" % count for key, count in self.sent.items()}

    async def ends(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return where the logs of *partitions* end for a read_committed reader."""
        async with AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, isolation_level="read_committed"
        ) as reader:
            return dict(await reader.end_offsets(partitions))

    async def committed(self) -> dict[TopicPartition, int]:
        """Return the offsets that the workers' transactions committed for tools that show lag."""
        async with admin(self.bootstrap) as client:
            found = await client.list_consumer_group_offsets(self.name)
        return {tp: offset.offset for tp, offset in found.items()}


NewJob = Callable[[EmbeddedBroker], CountingJob]
