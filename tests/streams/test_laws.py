"""The engine's laws on a small job, over every crash point, cut and checkpoint."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.schemas.records import Output
from tailrace.streams.batch import Batch
from tailrace.streams.runner import Runner
from tailrace.streams.task import Task, TaskId
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.streams.counting_job import KEYS, build_task
from tests.streams.memory_log import CrashPoint, MemoryLedger, MemoryLog

ID = TaskId("keys", 0)
FAR = 1 << 60


@dataclass(frozen=True)
class Row:
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None = b""
    headers: tuple[tuple[str, bytes], ...] = ()


def rows(draw_rows: Sequence[tuple[bytes | None, int]]) -> list[Row]:
    return [Row(offset, at, key) for offset, (key, at) in enumerate(draw_rows)]


RECORDS = st.lists(
    st.tuples(st.sampled_from([b"a", b"b", b"c", None]), st.integers(0, 6000)), max_size=25
).map(rows)

# What happens between two records: nothing, a cut, a checkpoint, a death and where, a dead disk.
EVENTS = st.sampled_from(["", "", "cut", "checkpoint", "new disk", "zombie", *CrashPoint])


def uninterrupted(records: Sequence[Row]) -> list[tuple[str, Output]]:
    task = build_task(ID, PartitionStore(MemoryDisk()), "out")
    assert task.process(Batch("in", 0, 0, len(records), records), FAR)
    assert task.problems() == []
    return [(t, row) for t, outputs in task.snapshot().outputs.items() for row in outputs]


def by_topic(rows: Sequence[tuple[str, Output]]) -> dict[str, list[Output]]:
    topics: dict[str, list[Output]] = {}
    for topic, output in rows:
        topics.setdefault(topic, []).append(output)
    return topics


class Worker:
    """A worker that can die: the log outlives it, its disk may."""

    def __init__(self, log: MemoryLog, disk: MemoryDisk) -> None:
        self.ledger = MemoryLedger(log)
        self.failures: list[BaseException] = []

        async def ours(id: TaskId) -> bool:
            return False

        async def locate(task: Task[KEYS]) -> None:
            task.positions.setdefault("in", 0)

        async def seek(task: Task[KEYS]) -> None:
            raise AssertionError("a dead worker does not read on")

        self.runner = Runner(
            ID, self.ledger, lambda: PartitionStore(disk),
            lambda store: build_task(ID, store, "out"),
            locate=locate, still_ours=ours, seek=seek, fail=self.failures.append,
            monotonic=lambda: 0.0, cpu=lambda: 0.0, give_up_after_s=0.0,
        )  # fmt: skip

    async def checkpoint(self, crash: CrashPoint | None) -> None:
        self.ledger.crash = crash
        self.runner.checkpoint_soon()
        await self.runner.checkpoint_done()
        await asyncio.sleep(0)


async def interrupted(records: Sequence[Row], events: Sequence[object]) -> MemoryLog:
    log, disk = MemoryLog(), MemoryDisk()
    worker = Worker(log, disk)
    await worker.runner.start()
    pending = list(enumerate(events))
    at = 0
    while True:
        at = worker.runner.task.positions.get("in", 0)
        while pending and pending[0][0] <= at:
            _, event = pending.pop(0)
            if event == "checkpoint":
                await worker.checkpoint(None)
            elif event == "zombie":  # a new owner comes up while the old one still runs
                owner = Worker(log, disk)
                await owner.runner.start()
                await worker.checkpoint(None)
                worker = owner
            elif event == "new disk":
                disk = MemoryDisk()
                worker = Worker(log, disk)
                await worker.runner.start()
            elif isinstance(event, CrashPoint):
                await worker.checkpoint(event)
                worker = Worker(log, disk)
                await worker.runner.start()
            at = worker.runner.task.positions.get("in", 0)
        if at >= len(records):
            break
        end = next((n for n, event in pending if event and n > at), len(records))
        end = min(max(end, at + 1), len(records))
        batch = Batch("in", 0, at, end, records[at:end])
        assert worker.runner.run("count", batch, FAR)
    await worker.checkpoint(None)
    assert worker.runner.running or not worker.failures
    return log


@settings(max_examples=200, deadline=None)
@given(RECORDS, st.lists(EVENTS, max_size=25))
def test_outputs_are_those_of_one_uninterrupted_run(
    records: list[Row], events: list[object]
) -> None:
    log = asyncio.run(interrupted(records, events))
    assert by_topic(log.committed) == by_topic(uninterrupted(records))


@settings(max_examples=200, deadline=None)
@given(RECORDS, st.lists(st.integers(0, 25)), st.lists(st.integers(0, 25)))
def test_outputs_do_not_depend_on_cuts_or_checkpoints(
    records: list[Row], cuts: list[int], checkpoints: list[int]
) -> None:
    store = PartitionStore(MemoryDisk())
    task = build_task(ID, store, "out")
    edges = sorted({0, len(records), *(cut for cut in cuts if cut < len(records))})
    sent: dict[str, list[Output]] = {}
    for number, (start, end) in enumerate(itertools.pairwise(edges)):
        assert task.process(Batch("in", 0, start, end, records[start:end]), FAR)
        if number in checkpoints or end == len(records):
            for topic, outputs in task.snapshot().outputs.items():
                sent.setdefault(topic, []).extend(outputs)
            store.finish_checkpoint(number)
    assert sent == by_topic(uninterrupted(records))


def test_a_batch_of_another_position_is_refused() -> None:
    task = build_task(ID, PartitionStore(MemoryDisk()), "out")
    assert task.process(Batch("in", 0, 0, 2, rows([(b"a", 1), (b"a", 2)])), FAR)
    assert not task.process(Batch("in", 0, 1, 2, rows([(b"a", 1)])), FAR)
    assert not task.process(Batch("in", 0, 3, 4, rows([(b"a", 1)])), FAR)
    assert task.positions == {"in": 2}


def test_offsets_without_records_move_the_position() -> None:
    task = build_task(ID, PartitionStore(MemoryDisk()), "out")
    assert task.process(Batch("in", 0, 0, 3, ()), FAR)
    assert task.positions == {"in": 3}
    assert task.has_news


def test_a_timestamp_from_the_future_does_not_stop_time() -> None:
    task = build_task(ID, PartitionStore(MemoryDisk()), "out")
    assert task.process(Batch("in", 0, 0, 2, rows([(b"a", 10**15), (b"a", 5)])), latest=1000)
    assert task.stream_time == 1000


def test_idle_time_never_goes_back() -> None:
    task = build_task(ID, PartitionStore(MemoryDisk()), "out")
    task.advance(500)
    task.advance(400)
    assert task.stream_time == 500
    assert not task.has_news
