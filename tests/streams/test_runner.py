"""A task's runner: what it does when it is given up while it starts, stops or fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tailrace.streams.batch import Batch
from tailrace.streams.distributions import Distributions
from tailrace.streams.runner import Runner
from tailrace.streams.task import Task, TaskId
from tailrace.tables.store import (
    Changes,
    MemoryDisk,
    PartitionStore,
    StoreLocked,
    StoreUnwritable,
)
from tests.patience import PATIENCE_S
from tests.streams.counting_job import KEYS, build_task
from tests.streams.deaths import FAR, Row, Worker
from tests.streams.memory_log import MemoryLedger, MemoryLog

ID = TaskId("keys", 0)


class SlowLedger(MemoryLedger):
    """A ledger whose restore waits for `answers`, and which fails with `error`.

    A cancellation while it waits is lost if `is_deaf`.
    """

    is_deaf = False

    def __init__(self) -> None:
        super().__init__(MemoryLog())
        self.answers = asyncio.Event()
        self.answers.set()
        self.error: Exception | None = None

    async def restore(self, store: PartitionStore) -> None:
        with suppress(*[asyncio.CancelledError] * self.is_deaf):
            await self.answers.wait()
        self._raise()
        await super().restore(store)

    async def commit(self, snapshot: object) -> int:
        await asyncio.sleep(0)
        self._raise()
        return await super().commit(snapshot)  # type: ignore[arg-type]  # passed on as it came

    def _raise(self) -> None:
        if self.error is not None:
            raise self.error


class OneOpener(MemoryDisk):
    """A disk that only one store may have open."""

    is_open = False

    def open(self) -> PartitionStore:
        assert not self.is_open
        self.is_open = True
        return PartitionStore(self)

    def close(self) -> None:
        self.is_open = False


class Bench:
    """A runner on a ledger, a disk and a clock that the test holds."""

    def __init__(self, *, build: Callable[[PartitionStore], Task[KEYS]] | None = None) -> None:
        self.ledger, self.disk, self.now = SlowLedger(), OneOpener(), 1000.0
        self.ends: list[BaseException] = []
        self.locations = self.seeks = 0
        self.distributions = Distributions()
        self.runner = Runner(
            ID, self.ledger, self.disk.open, build or (lambda store: build_task(ID, store, "out")),
            locate=self._locate, still_ours=self._ours, seek=self._seek, fail=self.ends.append,
            monotonic=lambda: self.now, cpu=lambda: 0.0, give_up_after_s=10.0,
            distributions=self.distributions,
        )  # fmt: skip

    async def _ours(self, id: TaskId) -> bool:
        return True

    async def _locate(self, task: Task[KEYS]) -> None:
        self.locations += 1
        task.positions.setdefault("in", 0)

    async def _seek(self, task: Task[KEYS]) -> None:
        self.seeks += 1

    def take(self, offset: int, key: bytes = b"a") -> None:
        """Deliver one record, as the engine does."""
        try:
            batch = Batch("in", 0, offset, offset + 1, [Row(offset, 1, key)])
            assert self.runner.run("count", batch, FAR)
        except RuntimeError as error:
            self.runner.failed(error)


def fused(store: PartitionStore) -> Task[KEYS]:
    """Return a task that raises at the key `fuse`."""
    task = build_task(ID, store, "out")
    counter = task.logics["count"]

    class Fused:
        def __getattr__(self, name: str) -> object:
            return getattr(counter, name)

        def process(self, arrivals, outbox, totals):  # type: ignore[no-untyped-def]  # as Logic's
            if b"fuse" in arrivals.decoded:
                raise RuntimeError("blown")
            counter.process(arrivals, outbox, totals)

    task.logics = {"count": Fused()}  # type: ignore[dict-item]  # a Logic by delegation
    return task


async def settled(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110  # it asks a fake
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("is_deaf", [False, True])
async def test_a_takeover_that_is_given_up_leaves_nothing_open(is_deaf: bool) -> None:
    bench = Bench()
    bench.ledger.is_deaf = is_deaf
    bench.ledger.answers.clear()
    start = asyncio.create_task(bench.runner.start())
    await settled(lambda: bench.disk.is_open)
    await bench.runner.stop(PATIENCE_S)
    bench.ledger.answers.set()
    await start
    assert bench.locations == 0
    assert not bench.runner.running
    assert not bench.disk.is_open


async def test_a_takeover_is_tried_again_while_the_brokers_are_away() -> None:
    bench = Bench()
    bench.ledger.error = OSError("the broker is away")
    start = asyncio.create_task(bench.runner.start())
    await asyncio.sleep(0.1)
    assert not start.done()
    bench.ledger.error = None
    await start
    assert bench.runner.running


@pytest.mark.parametrize(
    ("error", "waited_s"),
    [
        pytest.param(OSError("the broker is away"), 11.0, id="the brokers stay away"),
        pytest.param(ValueError("state of version 9"), 0.0, id="the error is no broker's"),
    ],
)
async def test_a_takeover_fails_when(error: Exception, waited_s: float) -> None:
    bench = Bench()
    bench.ledger.error = error
    start = asyncio.create_task(bench.runner.start())
    await asyncio.sleep(0.1)
    bench.now += waited_s
    with pytest.raises(type(error), match=str(error)):
        await start
    assert not bench.disk.is_open


async def test_the_last_checkpoint_has_what_the_world_has_answered_by_then() -> None:
    answered: list[str] = []

    def build(store: PartitionStore) -> Task[KEYS]:
        task = build_task(ID, store, "out")

        def settle() -> None:
            with task.told():
                answered.append("settled")
                task.store.put(b"answer", b"yes")

        task.settle = settle  # type: ignore[method-assign]  # as a stage of its own has it
        return task

    bench = Bench(build=build)
    await bench.runner.start()
    await bench.runner.stop(PATIENCE_S)
    assert answered == ["settled"]
    assert bench.runner.checkpoints == 1
    assert bench.disk.open().get(b"answer") == b"yes"


async def test_a_last_checkpoint_that_fails_is_not_tried_again() -> None:
    bench = Bench()
    await bench.runner.start()
    bench.take(0)
    bench.ledger.error = OSError("the broker is away")
    await bench.runner.stop(PATIENCE_S)
    bench.ledger.error = None
    await asyncio.sleep(0.1)
    assert not bench.disk.is_open
    assert bench.seeks == 0
    assert bench.ends == []


async def test_a_task_that_fails_at_the_same_place_for_too_long_ends_the_process() -> None:
    bench = Bench(build=fused)
    await bench.runner.start()
    for failure in range(1, 4):
        bench.take(0, b"fuse")
        if failure < 3:
            await settled(lambda: bench.runner.running)
            bench.now += 6
    await settled(lambda: bool(bench.ends))
    assert [str(error) for error in bench.ends] == ["blown"]


async def test_failures_with_progress_between_them_never_end_the_process() -> None:
    bench = Bench()
    await bench.runner.start()
    for offset in range(4):
        bench.take(offset)
        bench.runner.failed(OSError("the broker was away"))
        await settled(lambda: bench.runner.running)
        bench.take(offset)
        bench.runner.checkpoint_soon()
        await bench.runner.checkpoint_done()
        bench.now += 6
    assert bench.ends == []
    assert bench.runner.task.positions == {"in": 4}


async def test_an_error_that_no_second_try_mends_ends_the_process_at_once(tmp_path) -> None:  # type: ignore[no-untyped-def]  # pytest's
    bench = Bench()
    await bench.runner.start()
    bench.runner.failed(StoreLocked(tmp_path))
    assert [type(error) for error in bench.ends] == [StoreLocked]


@pytest.mark.parametrize("failures", [1, 2])
async def test_a_failed_task_reads_on_from_what_was_committed(failures: int) -> None:
    bench = Bench()
    await bench.runner.start()
    bench.take(0)
    bench.runner.checkpoint_soon()
    await bench.runner.checkpoint_done()
    for _ in range(failures):
        bench.take(1)
        bench.runner.failed(OSError("the broker was away"))
        await settled(lambda: bench.runner.running)
        assert bench.runner.task.positions == {"in": 1}
    await settled(lambda: bench.seeks == failures)


class FullDisk(MemoryDisk):
    """A disk that can be written while there is `room`."""

    room = True

    def write(self, changes: Changes) -> None:
        if not self.room:
            raise StoreUnwritable(Path("/full"), "No space left on device")
        super().write(changes)


async def test_a_full_disk_ends_the_process_with_the_reason() -> None:
    disk = FullDisk()
    worker = Worker(lambda store: build_task(ID, store, "out"), MemoryLog(), disk)
    await worker.runner.start()
    worker.process([Row(0, 1, b"a")], 0, 1)
    disk.room = False
    worker.runner.checkpoint_soon()
    await worker.runner.checkpoint_done()
    [error] = worker.failures
    assert "cannot be written: No space left on device" in str(error)
    assert "Free some space" in str(error)
    await worker.runner.stop(PATIENCE_S)


async def test_a_task_that_fails_before_its_checkpoint_begins_checkpoints_again() -> None:
    disk = MemoryDisk()
    log = MemoryLog()
    worker = Worker(lambda store: build_task(ID, store, "out"), log, disk)
    await worker.runner.start()
    worker.process([Row(0, 1, b"a")], 0, 1)
    worker.runner.checkpoint_soon()  # its first step has not run when the task fails
    worker.runner.failed(ValueError("a logic failed"))
    await asyncio.sleep(0.01)
    await worker.runner.start()
    worker.process([Row(0, 1, b"a")], 0, 1)
    await worker.checkpoint()
    assert worker.runner.checkpoints == 1
    assert [output.value for _, output in log.committed] == [b"1"]


async def test_takeovers_batches_and_checkpoints_are_observed_by_stage() -> None:
    bench = Bench()
    await bench.runner.start()
    bench.take(0)
    bench.runner.checkpoint_soon()
    await bench.runner.checkpoint_done()
    counts = {
        (sample.name.removeprefix("tailrace_"), *sample.labels.values()): sample.value
        for metric in bench.distributions.collect()
        for sample in metric.samples
        if sample.name.endswith("_count")
    }
    assert counts == {
        ("checkpoint_seconds_count", ID.stage): 1,
        ("takeover_seconds_count", ID.stage): 1,
        ("batch_records_count", ID.stage): 1,
        ("batch_cpu_seconds_count", ID.stage, "decode"): 1,
        ("batch_cpu_seconds_count", ID.stage, "count"): 1,
    }
