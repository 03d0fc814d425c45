"""Assignments that overtake each other: the engine runs the last one, and holds nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka.structs import TopicPartition

from tailrace.streams.broker import EmbeddedBroker
from tailrace.streams.engine import Engine, EngineSettings, Stage
from tailrace.streams.ledger import InputBehind
from tailrace.streams.runner import Phase
from tailrace.streams.task import TaskId
from tests.streams.counting_job import build_task
from tests.streams.kafka_job import CountingJob, NewJob


class EmptyInput:
    """A consumer of a log that starts at 0 and is never fetched; it answers when it `may`."""

    position = end = 0

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.may.set()
        self.is_asked = asyncio.Event()

    async def first_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        self.is_asked.set()
        await self.may.wait()
        return dict.fromkeys(partitions, self.position)

    async def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(partitions, self.end)

    def end_reached(self, tp: TopicPartition) -> None:
        """No fetch has found it."""

    log_end = last_fetch_ms = end_reached


@asynccontextmanager
async def engine_of(job: CountingJob, directory: Path) -> AsyncIterator[Engine]:
    """An engine without a group: the test assigns and revokes."""
    await job.create_topics()
    stage = Stage("keys", (job.inputs[0].topic,), lambda id, store: build_task(id, store, "out"))
    settings = EngineSettings(app=job.name, data_dir=directory)
    engine = Engine(settings, [stage], {"bootstrap_servers": job.bootstrap})
    engine.consumer = EmptyInput()  # type: ignore[assignment]  # all that assignments ask of it
    try:
        yield engine
    finally:
        await engine.stop()


def running(engine: Engine) -> set[TaskId]:
    return {each for each, runner in engine.runners.items() if runner.running}


async def test_an_assignment_that_was_given_up_while_it_was_taken_over_leaves_nothing_behind(
    broker: EmbeddedBroker, new_job: NewJob, tmp_path: Path
) -> None:
    job = new_job(broker)
    async with engine_of(job, tmp_path) as engine:
        engine.consumer.may.clear()
        assigning = asyncio.create_task(engine.assign(job.inputs))
        await engine.consumer.is_asked.wait()
        await engine.revoke()
        await assigning
        assert not engine.is_ready
        engine.consumer.may.set()
        await engine.assign(job.inputs[:2])
        assert engine.is_ready
        assert running(engine) == {TaskId("keys", 0), TaskId("keys", 1)}


async def test_an_assignment_without_a_revocation_before_it_replaces_the_last_one(
    broker: EmbeddedBroker, new_job: NewJob, tmp_path: Path
) -> None:
    job = new_job(broker)
    async with engine_of(job, tmp_path) as engine:
        await engine.assign(job.inputs)
        replaced = list(engine.runners.values())
        await engine.assign(job.inputs[2:])
        assert {runner.phase for runner in replaced} == {Phase.CLOSED}
        assert running(engine) == {TaskId("keys", 2), TaskId("keys", 3)}
        await engine.assign(job.inputs)
        assert len(running(engine)) == 4
        assert not engine.ended.done()


async def test_an_input_that_ends_before_what_was_read_of_it_ends_the_worker_with_the_remedy(
    broker: EmbeddedBroker, new_job: NewJob, tmp_path: Path
) -> None:
    job = new_job(broker)
    async with engine_of(job, tmp_path) as engine:
        engine.consumer.position, engine.consumer.end = 5, 3
        await engine.assign(job.inputs)
        assert not engine.is_ready
        with pytest.raises(
            InputBehind, match=r"up to offset 5, but that ends at 3(.|\n)*another app"
        ):
            await engine.ended
