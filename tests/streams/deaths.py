"""Workers that die at chosen points, for laws about what a task sends.

The log outlives every worker; the disk does, unless it is lost.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from structlog.testing import capture_logs

from tailrace.schemas.records import Output
from tailrace.streams.batch import Batch
from tailrace.streams.runner import Runner
from tailrace.streams.task import Task, TaskId
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.streams.memory_log import CrashPoint, MemoryLedger, MemoryLog

TOPIC = "in"
FAR = 1 << 60

Build = Callable[[PartitionStore], Task[Any]]
Sent = dict[str, list[Output]]

EVENTS = st.sampled_from(
    ["", "", "cut", "checkpoint", "slow checkpoint", "new disk", "zombie", *CrashPoint]
)
"""What happens before a record: nothing, a cut, a checkpoint, one that takes until the next event,
a dead disk, a new owner while the old one still runs, a death and where."""


@dataclass(frozen=True)
class Row:
    """A record as a test writes it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None = b""
    headers: tuple[tuple[str, bytes], ...] = ()


def by_topic(rows: Sequence[tuple[str, Output]]) -> Sent:
    topics: Sent = {}
    for topic, output in rows:
        topics.setdefault(topic, []).append(output)
    return topics


def uninterrupted(build: Build, records: Sequence[Row], end: int) -> Sent:
    """What one batch sends, when time then goes on to *end* (ms)."""
    return cut(build, records, [], [], end)


def cut(
    build: Build, records: Sequence[Row], cuts: Sequence[int], checkpoints: Sequence[int], end: int
) -> Sent:
    """What is sent when batches end at *cuts*, with a checkpoint after some; time ends at *end*."""
    store = PartitionStore(MemoryDisk())
    task = build(store)
    edges = sorted({0, len(records), *(cut for cut in cuts if cut < len(records))})
    sent: Sent = {}
    for start, last in itertools.pairwise(edges):
        assert task.process(Batch(TOPIC, 0, start, last, records[start:last]), FAR)
        if last in checkpoints:
            _checkpoint(task, sent)
    task.advance(end)
    _checkpoint(task, sent)
    return sent


def _checkpoint(task: Task[Any], sent: Sent) -> None:
    for topic, outputs in task.snapshot().outputs.items():
        sent.setdefault(topic, []).extend(outputs)
    assert task.problems() == []
    task.store.finish_checkpoint(0)


class Worker:
    """A worker that can die."""

    def __init__(self, build: Build, log: MemoryLog, disk: MemoryDisk) -> None:
        self.ledger = MemoryLedger(log)
        self.failures: list[BaseException] = []

        async def ours(id: TaskId) -> bool:
            return False

        async def locate(task: Task[Any]) -> None:
            task.positions.setdefault(TOPIC, 0)

        async def seek(task: Task[Any]) -> None:
            raise AssertionError("a dead worker does not read on")

        self.runner = Runner(
            TaskId("laws", 0), self.ledger, lambda: PartitionStore(disk), build,
            locate=locate, still_ours=ours, seek=seek, fail=self.failures.append,
            monotonic=lambda: 0.0, cpu=lambda: 0.0, give_up_after_s=0.0,
        )  # fmt: skip

    async def checkpoint(self, crash: CrashPoint | None = None) -> None:
        """Checkpoint, or die at *crash*; one that is under way is done first."""
        await self.finish()
        self.ledger.crash = crash
        self.runner.checkpoint_soon()
        await self.runner.checkpoint_done()
        await asyncio.sleep(0)
        assert self.runner.problems == []

    async def begin_checkpoint(self) -> None:
        """Leave a checkpoint under way: its snapshot is taken, nothing is committed."""
        await self.finish()
        self.ledger.gate.clear()
        self.runner.checkpoint_soon()
        await asyncio.sleep(0)

    async def finish(self) -> None:
        self.ledger.gate.set()
        await self.runner.checkpoint_done()

    def process(self, records: Sequence[Row], start: int, end: int) -> None:
        batch = Batch(TOPIC, 0, start, end, records[start:end])
        for name in self.runner.task.logics:
            assert self.runner.run(name, batch, FAR)

    @property
    def position(self) -> int:
        return self.runner.task.positions[TOPIC]


class Life:
    """One task's workers, one after the other."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self.log = MemoryLog()
        self._disk = MemoryDisk()

    async def begin(self) -> None:
        self.worker = Worker(self._build, self.log, self._disk)
        await self.worker.runner.start()

    async def meet(self, event: object) -> None:
        """Let *event* happen; afterwards `worker` is one that runs."""
        if event == "checkpoint":
            await self.worker.checkpoint()
        elif event == "slow checkpoint":
            await self.worker.begin_checkpoint()
        elif event == "zombie":
            zombie = self.worker
            await self.begin()
            await zombie.checkpoint()
        elif event == "new disk":
            self._disk = MemoryDisk()
            await self.begin()
        elif isinstance(event, CrashPoint):
            await self.worker.checkpoint(event)
            await self.begin()


def interrupted(
    build: Build, records: Sequence[Row], events: Sequence[object], end: int
) -> MemoryLog:
    """Return the log after *records* with event n before record n, and time's going on to *end*."""
    with capture_logs():  # every death is logged with its traceback
        return asyncio.run(_interrupted(build, records, events, end))


async def _interrupted(
    build: Build, records: Sequence[Row], events: Sequence[object], end: int
) -> MemoryLog:
    life = Life(build)
    await life.begin()
    pending = list(enumerate(events))
    while True:
        while pending and pending[0][0] <= life.worker.position:
            await life.meet(pending.pop(0)[1])
        start = life.worker.position
        if start >= len(records):
            break
        stop = next((n for n, event in pending if event and n > start), len(records))
        life.worker.process(records, start, min(max(stop, start + 1), len(records)))
    await life.worker.checkpoint()
    life.worker.runner.task.advance(end)
    await life.worker.checkpoint()
    assert life.worker.runner.running
    assert not life.worker.failures
    return life.log
