"""Workers stop and start again, with their state as it was, damaged, or gone."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from aiokafka.admin import RecordsToDelete

from tailrace.streams.broker import EmbeddedBroker
from tests.patience import PATIENCE_S
from tests.streams.counting_worker import Worker, until
from tests.streams.kafka_job import ALL_TASKS, NewJob, admin


def stores(worker: Worker) -> list[Path]:
    """The directories of its tasks' stores."""
    return [Path(worker.settings.data) / task for task in sorted(ALL_TASKS)]


def seen_by(worker: Worker) -> int:
    """How many records it has processed."""
    return sum({each["partition"]: each["end"] for each in worker.said("seen")}.values())


def damage(files: Iterable[Path]) -> None:
    """Overwrite the second half of each of *files*."""
    for file in files:
        content = file.read_bytes()
        half = len(content) // 2
        file.write_bytes(content[:half] + b"\xff" * (len(content) - half))


async def test_a_worker_that_is_stopped_has_committed_everything_that_it_processed(
    broker: EmbeddedBroker, new_job: NewJob
) -> None:
    job = new_job(broker)
    await job.create_topics()
    worker = job.worker(checkpoint_interval_s=600.0, revoke_timeout_s=PATIENCE_S)
    await job.send(3_000)
    ends = await job.ends(job.inputs)
    seen = {tp.partition: end for tp, end in ends.items()}
    await until(
        lambda: {each["partition"]: each["end"] for each in worker.said("seen")} == seen,
        "all records to be processed",
    )
    assert await worker.terminate() == 0
    assert await job.committed() == ends
    changelogs = await job.ends(job.changelogs)
    worker.start()
    await worker.ready()
    assert worker.said("ready")[-1]["positions"] == {
        f"keys-{partition}": end for partition, end in seen.items()
    }
    assert await job.ends(job.changelogs) == changelogs
    worker.kill()
    worker.start(checkpoint_interval_s=0.3)
    await job.send(2_000, seed=1)
    await job.check()


@pytest.mark.parametrize(
    "lost",
    [
        pytest.param("", id="all of its files are there"),
        pytest.param(".", id="its files are gone"),
        pytest.param("*.log", id="the end of its write-ahead log is damaged"),
    ],
)
async def test_a_killed_worker_continues_exactly_when(
    broker: EmbeddedBroker, new_job: NewJob, lost: str, record_property: Callable[..., None]
) -> None:
    job = new_job(broker)
    await job.create_topics()
    worker = job.worker()
    await worker.ready()
    load = asyncio.create_task(job.send(10_000, seconds=2))
    await until(lambda: seen_by(worker) > 5_000, "it to be in the middle of them")
    worker.kill()
    await load
    for store in stores(worker) if lost else ():
        shutil.rmtree(store) if lost == "." else damage(store.glob(lost))
    worker.start()
    record_property("kill_to_ready_s", await worker.ready())
    record_property("restore_s", worker.said("ready")[-1]["restore_s"])
    await job.check()


async def test_a_changelog_that_is_empty_but_not_new_does_not_stop_a_worker_with_its_files(
    broker: EmbeddedBroker, new_job: NewJob
) -> None:
    job = new_job(broker)
    await job.create_topics()
    worker = job.worker()
    await job.send(2_000)
    await job.check()
    assert await worker.terminate() == 0
    ends = await job.ends(job.changelogs)
    async with admin(job.bootstrap) as client:
        await client.delete_records({tp: RecordsToDelete(end) for tp, end in ends.items()})
    worker.start()
    await job.send(2_000, seed=1)
    await job.check()


async def test_a_damaged_store_ends_the_worker_with_the_remedy_and_the_remedy_works(
    broker: EmbeddedBroker, new_job: NewJob
) -> None:
    job = new_job(broker)
    await job.create_topics()
    worker = job.worker()
    await job.send(4_000)
    await job.check()
    worker.kill()
    worker.start()  # opening a store makes files of the write-ahead log
    await worker.ready()
    worker.kill()
    for store, pattern in zip(stores(worker), ("CURRENT", "MANIFEST-*", "*.sst"), strict=False):
        damage(store.glob(pattern))
        before = len(worker.text())
        worker.start()
        assert await worker.ended() != 0, pattern
        message = worker.text()[before:]
        assert f"the store at {store} cannot be opened" in message
        assert "remove that directory" in message
        shutil.rmtree(store)
    worker.start()
    await job.send(2_000, seed=1)
    await job.check()


async def test_a_store_that_is_ahead_of_its_changelog_ends_the_worker_with_the_remedy(
    broker: EmbeddedBroker, new_job: NewJob
) -> None:
    job = new_job(broker)
    await job.create_topics()
    worker = job.worker()
    await job.send(2_000)
    await job.check()
    assert await worker.terminate() == 0
    await job.renew_changelog()
    worker.start()
    assert await worker.ended() != 0
    named = [store for store in stores(worker) if f"the store at {store} has" in worker.text()]
    assert named
    assert "deleted or made anew" in worker.text()
    for store in stores(worker):
        shutil.rmtree(store)
    worker.start()
    await worker.ready()


async def test_a_batch_that_fails_once_is_processed_the_next_time(
    broker: EmbeddedBroker, new_job: NewJob, tmp_path: Path
) -> None:
    job = new_job(broker)
    await job.create_topics()
    fuse = tmp_path / "fuse"
    fuse.write_text("once")
    worker = job.worker(fuse=str(fuse))
    await job.send(2_000)
    await job.check()  # now the fuse leaves a scan of a store with something in it
    await job.send_one(b"fuse")
    await job.send(2_000, seed=1)
    await job.check()
    assert worker.text().count("task failed") == 1
    assert len(worker.said("ready")) == 1


async def test_a_batch_that_fails_again_and_again_ends_the_worker_and_is_not_skipped(
    broker: EmbeddedBroker, new_job: NewJob, tmp_path: Path
) -> None:
    job = new_job(broker)
    await job.create_topics()
    fuse = tmp_path / "fuse"
    fuse.write_text("always")
    worker = job.worker(fuse=str(fuse), stall_timeout_s=4.0)
    await job.send(1_000)
    await job.send_one(b"fuse")
    await job.send(1_000, seed=1)
    while True:
        assert await worker.ended() != 0
        if (last := worker.text().splitlines()[-1]).startswith("RuntimeError: the fuse has blown"):
            break
        assert "stood still" in last, last  # a slow machine: it had not come to the fuse
        worker.start()
    fuse.unlink()
    worker.start()
    await job.check()
