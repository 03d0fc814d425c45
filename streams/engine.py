"""All tasks of one worker: assigned and revoked with partitions, fed by agents, ticked by time.

Only this module and what it starts read the clock.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from aiokafka.structs import TopicPartition

from tailrace.schemas import topics
from tailrace.schemas.definitions import Definitions
from tailrace.streams.batch import Batch
from tailrace.streams.checkpoint_turns import may_begin
from tailrace.streams.distributions import Distributions
from tailrace.streams.ledger import InputBehind, KafkaLedger, Ledger, LedgerNames
from tailrace.streams.runner import Runner
from tailrace.streams.task import Task, TaskId
from tailrace.streams.transport import Consumer
from tailrace.streams.watchdog import Watchdog
from tailrace.tables.store import PartitionStore, RocksDisk

log = structlog.get_logger()

NO_DEFINITIONS = Definitions()
TICK_S = 0.1
_WATCH_S = 1.0
_MEND_AFTER_S = 5.0
_FETCH_FRESH_MS = 3_000
_FUTURE_MS = 10_000
_STALE_STORE_S = 12 * 3600
"""Half the changelog's `delete.retention.ms`: an older store may miss compacted deletions."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the topology: its input topics, and how a task of it is built.

    A checkpoint without outputs only shortens recovery: it may wait for `quiet_s`. `attend` sees
    to what a running task wants of the world, often, and between two batches.
    """

    name: str
    topics: tuple[str, ...]
    build: Callable[[TaskId, PartitionStore], Task[Any]]
    quiet_s: float = 0.0
    attend: Callable[[Runner], None] | None = None


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Times in seconds; sizes in bytes."""

    app: str
    data_dir: Path
    checkpoint_interval_s: float = 1.0
    checkpoint_bytes: int = 16 << 20
    grace_s: float = 2.0
    stall_timeout_s: float = 120.0
    revoke_timeout_s: float = 10.0


class Engine:
    """Owns the runners. `consumer` is set when the Faust app has made it."""

    consumer: Consumer

    def __init__(
        self,
        settings: EngineSettings,
        stages: Iterable[Stage],
        kafka: Mapping[str, Any],
        *,
        on_ready: Callable[[list[TaskId]], None] = lambda ids: None,
        definitions: Callable[[], Definitions] = lambda: NO_DEFINITIONS,
        message_bytes: Mapping[str, int] | None = None,
    ) -> None:
        self.settings = settings
        self.runners: dict[TaskId, Runner] = {}
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_ready = False
        self.rebalances = 0
        self.records_expired = 0
        self.distributions = Distributions()
        self._kafka = kafka
        self._on_ready = on_ready
        self._definitions = definitions
        self._message_bytes = message_bytes or {}
        self._assignment = 0
        self._stages = {stage.name: stage for stage in stages}
        self._stage_of = {topic: stage for stage in self._stages.values() for topic in stage.topics}
        self._watchdog = Watchdog(settings.stall_timeout_s)
        self._ticking: asyncio.Task[None] | None = None
        self._watched_at = 0.0
        self._behind: dict[TopicPartition, tuple[int, float]] = {}
        self._running_tasks: set[asyncio.Task[None]] = set()

    # Assignment

    async def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """Take over every task of *partitions*; on return they may be fetched."""
        ids = sorted({self._task_id(tp.topic, tp.partition) for tp in partitions})
        self.rebalances += 1
        await self.revoke()  # if the last assignment was given up before it was taken over
        assignment = self._assignment
        await asyncio.sleep(0)
        if self._assignment != assignment:
            return  # revoked again, or stopped
        log.info("taking over", partitions=" ".join(map(str, ids)) or "none")
        runners = self.runners = {each: self._runner(each) for each in ids}
        try:
            await asyncio.gather(*(runner.start() for runner in runners.values()))
        except Exception as error:
            self.fail(error)  # not raised into Faust, which would only log it
            return
        if self.runners is not runners:
            return  # revoked meanwhile; another assignment follows
        self.is_ready = True
        self._on_ready(ids)

    def start(self) -> None:
        """Let time pass: from now on the watchdog sees whether the worker gets ready."""
        self._ticking = asyncio.create_task(self._tick_forever())

    async def revoke(self) -> None:
        """Commit and forget all tasks. The group protocol is eager: all partitions go at once."""
        self.is_ready = False
        self._assignment += 1
        runners, self.runners = self.runners, {}
        for gone in runners:
            self._watchdog.forget(gone)
        timeout_s = self.settings.revoke_timeout_s
        await asyncio.gather(*(runner.stop(timeout_s) for runner in runners.values()))

    async def stop(self) -> None:
        """End the clock; commit and forget all tasks."""
        if self._ticking is not None:
            self._ticking.cancel()
        await self.revoke()

    def positions(self) -> dict[TopicPartition, int]:
        """Return where the tasks continue."""
        return {
            tp: runner.task.positions[tp.topic]
            for runner in self.runners.values()
            if runner.running
            for tp in self._inputs(runner.id)
        }

    def _inputs(self, id: TaskId) -> list[TopicPartition]:
        return [TopicPartition(topic, id.partition) for topic in self._stages[id.stage].topics]

    async def _locate(self, task: Task[Any]) -> None:
        """Give the task a position in every input: a new one starts where the log does."""
        inputs = self._inputs(task.id)
        ends = await self.consumer.end_offsets(inputs)
        for tp, first in (await self.consumer.first_offsets(inputs)).items():
            position = task.positions.setdefault(tp.topic, first)
            if position > ends[tp]:
                raise InputBehind(
                    f"task {task.id} has read {tp.topic}[{tp.partition}] up to offset {position}, "
                    f"but that ends at {ends[tp]}: it was deleted and made anew, or cut off.\n"
                    f"To read what it holds now from its start, give the config another app; the "
                    f"state of this one belongs to the old topic."
                )
            if position < first:
                self._expired(tp, first - position)

    def _expired(self, tp: TopicPartition, records: int) -> None:
        self.records_expired += records
        log.error(
            "records were deleted by retention before they were read",
            topic=tp.topic, partition=tp.partition, records=records,
        )  # fmt: skip

    def _task_id(self, topic: str, partition: int) -> TaskId:
        return TaskId(self._stage_of[topic].name, partition)

    def _runner(self, id: TaskId) -> Runner:
        return Runner(
            id,
            self._ledger(id),
            open_store=lambda: PartitionStore(RocksDisk(self._fresh_directory(id))),
            build=lambda store: self._built(id, store),
            locate=self._locate,
            still_ours=self._still_ours,
            seek=self._seek,
            fail=self.fail,
            monotonic=time.monotonic,
            cpu=time.thread_time,
            give_up_after_s=self.settings.stall_timeout_s,
            distributions=self.distributions,
        )

    def _built(self, id: TaskId, store: PartitionStore) -> Task[Any]:
        task = self._stages[id.stage].build(id, store)
        task.inform(self._definitions())
        return task

    def _ledger(self, id: TaskId) -> Ledger:
        app = self.settings.app
        names = LedgerNames(
            transactional_id=topics.transactional_id(app, id.stage, id.partition),
            changelog=TopicPartition(topics.changelog(app, id.stage), id.partition),
            group=app,
        )
        directory = self.settings.data_dir / str(id)
        return KafkaLedger(id, names, self._kafka, directory, self._message_bytes)

    def _fresh_directory(self, id: TaskId) -> Path:
        """Return the task's directory; files too old to be caught up are removed first."""
        path = self.settings.data_dir / str(id)
        if path.exists():
            newest = max((file.stat().st_mtime for file in path.iterdir()), default=0.0)
            if newest < time.time() - _STALE_STORE_S:
                log.info("local store is too old, restoring it whole", path=str(path))
                shutil.rmtree(path)
        return path

    # Batches

    async def deliver(self, logic: str, batch: Batch) -> None:
        """Let *logic* see *batch*. Called by the agents; errors end in the task's recovery."""
        runner = self.runners.get(self._task_id(batch.topic, batch.partition))
        if runner is None or not runner.running:
            return
        try:
            if not runner.run(logic, batch, _now_ms() + _FUTURE_MS):
                log.debug("stale batch ignored", task=str(runner.id), start=batch.start)
                await self._seek(runner.task)
                return
            runner.inform(self._definitions())
        except Exception as error:
            runner.failed(error)
            return
        if batch.records and batch.records[0].offset > batch.start + 1:
            self._background(self._count_expired(batch))
        await self._after_batch(runner)

    async def _count_expired(self, batch: Batch) -> None:
        """Count what retention deleted before *batch* was fetched; a gap may be harmless too."""
        tp = TopicPartition(batch.topic, batch.partition)
        first = (await self.consumer.first_offsets([tp]))[tp]
        if first > batch.start:
            self._expired(tp, min(first, batch.records[0].offset) - batch.start)

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._running_tasks.add(task)
        task.add_done_callback(self._running_tasks.discard)

    async def _after_batch(self, runner: Runner) -> None:
        """Commit early, and hold the partition back, when too much waits to be written."""
        limit = self.settings.checkpoint_bytes
        if runner.running and runner.task.between_batches and self.unwritten_bytes > limit:
            runners = (runner, *self.runners.values())
            if may_begin(runner, runners):
                runner.checkpoint_soon()
            if self.unwritten_bytes > 2 * limit:
                writing = (each for each in runners if each.checkpointing_bytes)
                await next(writing, runner).checkpoint_done()
        await asyncio.sleep(0)

    @property
    def unwritten_bytes(self) -> int:
        """About how much of all tasks waits to be written or is being written."""
        return sum(runner.unwritten_bytes for runner in self.runners.values())

    async def _seek(self, task: Task[Any]) -> None:
        """Let the consumer read on from the task's position; batches of before are stale."""
        positions = {tp: task.positions[tp.topic] for tp in self._inputs(task.id)}
        await self.consumer.seek_positions(positions)

    async def _still_ours(self, id: TaskId) -> bool:
        """Ask the group coordinator: it takes an offset only from a current member."""
        return await self.consumer.owns(self._inputs(id))

    # Time

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                self._tick()
            except Exception as error:
                self.fail(error)
                return

    def _tick(self) -> None:
        now = time.monotonic()
        for runner in list(self.runners.values()):
            if not runner.running:
                continue
            try:
                runner.inform(self._definitions())
                self._advance(runner)
                self._attend(runner)
            except Exception as error:
                runner.failed(error)
                continue
            is_due = now - runner.last_checkpoint_at >= self._checkpoint_after_s(runner)
            if is_due and may_begin(runner, self.runners.values()):
                runner.checkpoint_soon()
        if now - self._watched_at >= _WATCH_S:
            self._watched_at = now
            self._watch(now)

    def _attend(self, runner: Runner) -> None:
        attend = self._stages[runner.id.stage].attend
        if attend is not None and runner.task.between_batches:
            attend(runner)

    def _checkpoint_after_s(self, runner: Runner) -> float:
        interval_s = self.settings.checkpoint_interval_s
        if runner.task.has_outputs:
            return interval_s
        return max(interval_s, self._stages[runner.id.stage].quiet_s)

    def _advance(self, runner: Runner) -> None:
        """Move an idle task to the time of the fetch that found the end, less the grace."""
        task = runner.task
        if not (task.between_batches and task.may_idle):
            return
        idle_since = []
        for tp in self._inputs(runner.id):
            found = self.consumer.end_reached(tp)
            if found is None or found[0] != task.positions[tp.topic]:
                return
            idle_since.append(found[1])
        fetched = min(idle_since)
        if fetched >= _now_ms() - _FETCH_FRESH_MS:
            runner.advance(fetched - int(self.settings.grace_s * 1000))

    def _watch(self, now: float) -> None:
        restored = sum(runner.restored for runner in self.runners.values())
        self._watchdog.observe(
            "becoming ready", (self.rebalances, restored), has_work=not self.is_ready, now=now
        )
        for runner in self.runners.values():
            if not runner.running:
                continue  # it gives up by itself
            self._mend(runner, now)
            lag = self.lag(runner.id)
            progress = (
                tuple(sorted(runner.task.positions.items())), runner.checkpoints, runner.failures,
            )  # fmt: skip
            has_work = bool(lag) or runner.task.has_news or self._silent(runner.id)
            self._watchdog.observe(runner.id, progress, has_work=has_work, now=now)

    def _mend(self, runner: Runner, now: float) -> None:
        """Seek back if the consumer waits at the log's end for long while the task is behind.

        Whatever was fetched between them got lost on the way; without a newer record nobody
        would notice before the watchdog does.
        """
        for tp in self._inputs(runner.id):
            found, position = self.consumer.end_reached(tp), runner.task.positions[tp.topic]
            if found is None or position >= found[0]:
                self._behind.pop(tp, None)
                continue
            seen, since = self._behind.setdefault(tp, (position, now))
            if seen != position:
                self._behind[tp] = (position, now)
            elif now - since > _MEND_AFTER_S:
                log.warning("fetching again what was not delivered", topic=tp.topic,
                            partition=tp.partition, position=position)  # fmt: skip
                self._behind[tp] = (position, now)
                self._background(self._seek(runner.task))

    def lag(self, id: TaskId) -> int | None:
        """Return how many offsets the task is behind the log's end; None while unknown."""
        total = 0
        runner = self.runners[id]
        for tp in self._inputs(id):
            end = self.consumer.log_end(tp)
            if end is None or not runner.running:
                return None
            total += max(0, end - runner.task.positions[tp.topic])
        return total

    def _silent(self, id: TaskId) -> bool:
        oldest = _now_ms() - self.settings.stall_timeout_s * 500
        return any((self.consumer.last_fetch_ms(tp) or 0) < oldest for tp in self._inputs(id))

    def fail(self, error: BaseException) -> None:
        """End the process with *error*; the first one counts."""
        if not self.ended.done():
            self.ended.set_exception(error)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
