"""Workers, brokers and producers fail; the counting job's outputs are those of one quiet run."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
from collections import Counter
from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaProducer

from tailrace.schemas import topics
from tailrace.streams.broker import EmbeddedBroker
from tests.patience import PATIENCE_S
from tests.streams.counting_outputs import REST_MS, Sent, problems
from tests.streams.counting_worker import until
from tests.streams.kafka_job import ALL_TASKS, CountingJob, NewJob

SHORT_SESSION_S = 6.0
"""For workers that have to be missed soon."""


@pytest.mark.slow
async def test_counts_are_exact_while_workers_are_killed_at_random(
    broker: EmbeddedBroker, new_job: NewJob
) -> None:
    job = new_job(broker)
    await job.create_topics()
    rng = random.Random()
    workers = [job.worker(), job.worker()]
    for worker in workers:
        await worker.ready()
    load = asyncio.create_task(job.send(20_000, seconds=12))
    for _ in range(5):
        await asyncio.sleep(rng.uniform(0, 1))
        victim = rng.choice(workers)
        victim.kill()
        await asyncio.sleep(rng.uniform(0, 0.5))
        victim.start()
        if rng.random() < 0.7:  # the others are killed while they start
            await victim.ready()
    await load
    await job.check()


@pytest.mark.slow
async def test_a_worker_that_was_frozen_while_its_partitions_moved_serves_again(
    broker: EmbeddedBroker, new_job: NewJob
) -> None:
    job = new_job(broker)
    await job.create_topics()
    # It checkpoints seldom, so that it has something to commit when it goes on.
    frozen = job.worker(session_timeout_s=SHORT_SESSION_S, checkpoint_interval_s=3.0)
    other = job.worker(session_timeout_s=SHORT_SESSION_S)
    await until(lambda: len(frozen.owned) == len(other.owned) == 2, "both to have two tasks")
    load = asyncio.create_task(job.send(15_000, seconds=10))
    await asyncio.sleep(1.0)
    batches = len(frozen.said("seen"))
    await until(lambda: len(frozen.said("seen")) > batches, "the next batch")
    frozen.signal(signal.SIGSTOP)
    await until(lambda: other.owned == ALL_TASKS, "the other worker to take everything over")
    await asyncio.sleep(1.0)
    lives = len(frozen.said("ready"))
    frozen.signal(signal.SIGCONT)
    await until(lambda: len(frozen.said("ready")) > lives, "the one that was frozen to serve")
    await load
    await job.check()
    assert frozen.is_running
    assert other.is_running
    assert frozen.owned
    assert "task failed" in frozen.text()


async def test_a_task_that_is_fenced_from_outside_starts_again_from_what_was_committed(
    broker: EmbeddedBroker, new_job: NewJob
) -> None:
    job = new_job(broker)
    await job.create_topics()
    worker = job.worker()
    await worker.ready()
    for seed, partition in enumerate((0, 1, 0)):
        load = asyncio.create_task(job.send(3_000, seconds=1, seed=seed))
        failures = worker.text().count("task failed")
        await intrude(job, partition, changes=None)
        await load
        await job.send(100, seed=seed)  # it notices when it has something to commit
        await until(
            lambda failures=failures: worker.text().count("task failed") > failures,
            "the task to fail",
        )
    await job.check()
    assert len(worker.said("ready")) == 1


async def test_what_aborted_transactions_wrote_is_not_state_when_it_is_restored(
    broker: EmbeddedBroker, new_job: NewJob, record_property: Callable[[str, object], None]
) -> None:
    job = new_job(broker)
    await job.create_topics()
    worker = job.worker()
    await job.send(2_000)
    await job.check()
    worker.kill()
    shutil.rmtree(worker.settings.data)
    await end_changelogs_in_control_records(job)
    for partition in range(4):
        await intrude(job, partition, changes=b"999")
    worker.start()
    record_property("start_to_ready_s", await worker.ready())
    record_property("restore_s", worker.said("ready")[-1]["restore_s"])
    await job.send(2_000, seed=1)
    await job.check()


async def end_changelogs_in_control_records(job: CountingJob) -> None:
    """Let 20 transactions write false counts, and abort them."""
    producer = AIOKafkaProducer(bootstrap_servers=job.bootstrap, transactional_id=job.name)
    async with producer:
        for _ in range(20):
            await producer.begin_transaction()
            for tp in job.changelogs:
                await producer.send(tp.topic, b"0", key=b"ckey0", partition=tp.partition)
            await producer.flush()
            await producer.abort_transaction()


async def intrude(job: CountingJob, partition: int, *, changes: bytes | None) -> None:
    """Fence the task of *partition*; *changes* are left in a transaction that nobody commits."""
    producer = AIOKafkaProducer(
        bootstrap_servers=job.bootstrap,
        transactional_id=topics.transactional_id(job.name, "keys", partition),
    )
    await producer.start()
    try:
        if changes is not None:
            await producer.begin_transaction()
            for key in job.sent:
                changelog = job.changelogs[partition]
                await producer.send(changelog.topic, changes, key=b"c" + key, partition=partition)
            await producer.flush()
    finally:
        await producer.stop()


@pytest.mark.slow
async def test_workers_outlive_a_broker_that_is_away_for_20_s(
    disposable_broker: EmbeddedBroker, new_job: NewJob
) -> None:
    job = new_job(disposable_broker)
    await job.create_topics()
    workers = [job.worker(), job.worker()]
    for worker in workers:
        await worker.ready()
    load = asyncio.create_task(job.send(10_000, seconds=4))
    await asyncio.sleep(2.0)
    await asyncio.to_thread(disposable_broker.kill)
    await asyncio.sleep(20.0)
    await asyncio.to_thread(disposable_broker.start)
    await load
    await job.check()
    assert all(worker.is_running for worker in workers)


async def test_a_killed_static_member_gets_its_partitions_back_without_a_rebalance(
    broker: EmbeddedBroker, new_job: NewJob, record_property: Callable[[str, object], None]
) -> None:
    job = new_job(broker)
    await job.create_topics()
    killed, other = (job.worker(session_timeout_s=PATIENCE_S) for _ in range(2))
    await until(lambda: len(killed.owned) == len(other.owned) == 2, "both to have two tasks")
    await job.send(5_000)
    before, others = killed.owned, len(other.said("ready"))
    killed.kill()
    killed.start()
    record_property("kill_to_ready_s", await killed.ready())
    await job.check()
    assert killed.owned == before
    assert len(other.said("ready")) == others


async def test_the_partitions_of_a_worker_that_never_comes_back_are_processed_elsewhere(
    broker: EmbeddedBroker, new_job: NewJob, record_property: Callable[[str, object], None]
) -> None:
    job = new_job(broker)
    await job.create_topics()
    dead, other = (job.worker(session_timeout_s=SHORT_SESSION_S) for _ in range(2))
    await until(lambda: len(dead.owned) == len(other.owned) == 2, "both to have two tasks")
    await job.send(5_000)
    dead.kill()
    started = asyncio.get_running_loop().time()
    await until(lambda: other.owned == ALL_TASKS, "the other worker to take everything over")
    record_property("failover_s", asyncio.get_running_loop().time() - started)
    await job.check()


@pytest.mark.slow
async def test_workers_that_join_and_leave_while_others_take_over_do_no_harm(
    broker: EmbeddedBroker, new_job: NewJob
) -> None:
    job = new_job(broker)
    await job.create_topics()
    load = asyncio.create_task(job.send(15_000, seconds=8))
    stays = job.worker(instance=None)
    guests = []
    for _ in range(3):
        await asyncio.sleep(0.7)
        guests.append(job.worker(instance=None))
    await asyncio.sleep(2.0)
    for guest in guests:
        assert guest.is_running, guest.text()
        assert await guest.terminate() == 0
    await load
    await job.check()
    assert stays.is_running


FIRST = Sent(0, b"a", b"1", 1000)
SECOND = Sent(0, b"a", b"2", 1500)
LAST = Sent(0, b"a", b"rest 2", 1500 + REST_MS)


@pytest.mark.parametrize(
    "outputs",
    [
        pytest.param([FIRST, LAST], id="a count that is lost"),
        pytest.param([FIRST, SECOND, SECOND, LAST], id="a count that is sent twice"),
        pytest.param([FIRST, SECOND], id="a rest that is lost"),
        pytest.param([FIRST, SECOND, LAST, LAST], id="a rest that is sent twice"),
        pytest.param([SECOND, FIRST, LAST], id="counts out of order"),
        pytest.param(
            [FIRST, Sent(0, b"a", b"rest 1", 1400), SECOND, LAST], id="a rest that was none"
        ),
        pytest.param([FIRST, SECOND, LAST, Sent(0, b"b", b"1", 5000)], id="a key never sent"),
    ],
)
def test_the_check_notices(outputs: list[Sent]) -> None:
    assert problems([FIRST, SECOND, LAST], Counter({b"a": 2})) == []
    assert problems(outputs, Counter({b"a": 2})) != []
