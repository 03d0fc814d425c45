"""Runs one task: takes the partition over, checkpoints it, and begins again when that fails.

Taking over, in this order:

1. fence: initialise the transactional producer, which aborts and locks out any predecessor;
2. restore the store from the changelog to its end, from the offset that the files have;
3. build the task from the store; its position is where reading continues.

A checkpoint, between two batches:

1. take the changes, the outputs and the position, without an `await`;
2. one Kafka transaction: changelog, outputs, group offsets;
3. after it has committed: one write to the local store, with the changelog offset.

The task goes on between 1 and 3. On any error the memory is dropped and the partition is taken
over again, if it is still ours; nothing goes on with a state that is not what was committed.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from traceback import clear_frames
from typing import Any

import structlog

from tailrace.schemas.definitions import Definitions
from tailrace.schemas.records import Totals
from tailrace.streams.batch import Batch
from tailrace.streams.distributions import (
    BATCH_CPU_SECONDS,
    BATCH_RECORDS,
    CHECKPOINT_SECONDS,
    TAKEOVER_SECONDS,
    Distributions,
)
from tailrace.streams.ledger import InputBehind, Ledger, StoreAhead
from tailrace.streams.patience import Patience, may_pass
from tailrace.streams.task import Task, TaskId
from tailrace.tables.store import (
    PartitionStore,
    StoreCorrupt,
    StoreLocked,
    StoreUnwritable,
)

log = structlog.get_logger()

FATAL = (StoreCorrupt, StoreLocked, StoreUnwritable, StoreAhead, InputBehind)
"""Errors that no second try mends."""
_RETRY_S = 0.5


class Phase(enum.Enum):
    """Where a runner is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"
    CLOSED = "closed"


class Runner:
    """One task and its ledger.

    *open_store* opens the store's files; *build* makes the task of a restored store; *locate*
    gives it a position in every input. After a failure, *still_ours* tells whether the consumer
    group still gives us the partition, and *seek* makes it read on from the task's position.
    *fail* ends the process.
    """

    def __init__(
        self,
        id: TaskId,
        ledger: Ledger,
        open_store: Callable[[], PartitionStore],
        build: Callable[[PartitionStore], Task[Any]],
        *,
        locate: Callable[[Task[Any]], Awaitable[None]],
        still_ours: Callable[[TaskId], Awaitable[bool]],
        seek: Callable[[Task[Any]], Awaitable[None]],
        fail: Callable[[BaseException], None],
        monotonic: Callable[[], float],
        cpu: Callable[[], float],
        give_up_after_s: float,
        distributions: Distributions | None = None,
    ) -> None:
        self.id = id
        self.phase = Phase.STARTING
        self.checkpoints = 0
        self.checkpoint_seconds = 0.0
        self.restore_seconds = 0.0
        self.failures = 0
        self.batch_records = 0
        self.committed = Totals()
        """The totals of the last checkpoint."""
        self.cpu_seconds: dict[str, float] = {}
        """CPU time of the main thread by part: decode, each logic, checkpoint."""
        self.problems: list[str] = []
        """What did not add up at the last checkpoint."""
        self._ledger = ledger
        self._open_store = open_store
        self._build = build
        self._locate = locate
        self._still_ours = still_ours
        self._seek = seek
        self._fail = fail
        self._monotonic = monotonic
        self._cpu = cpu
        self._patience = Patience(give_up_after_s)
        self._distributions = distributions or Distributions()
        self._is_stopping = False
        self._task: Task[Any] | None = None
        self._batch: Batch | None = None
        self._attempted: dict[str, int] = {}
        """How far in each topic a batch has been tried since the task was built."""
        self._in_flight_bytes = 0
        self.checkpointing_bytes = 0
        """About how much the checkpoint that is under way writes; 0 if there is none."""
        self._takeover: asyncio.Task[None] | None = None
        self._checkpoint: asyncio.Task[None] | None = None
        self._recovery: asyncio.Task[None] | None = None
        self.last_checkpoint_at = monotonic()

    @property
    def task(self) -> Task[Any]:
        """The task; only while the runner is RUNNING."""
        assert self._task is not None
        return self._task

    @property
    def running(self) -> bool:
        """True when batches may be processed."""
        return self.phase is Phase.RUNNING

    @property
    def restored(self) -> int:
        """How far in its changelog a takeover has come; it moves as long as that goes on."""
        return self._ledger.restored

    @property
    def unwritten_bytes(self) -> int:
        """About how much waits to be written or is being written."""
        return self._in_flight_bytes + (self.task.unwritten_bytes if self.running else 0)

    async def start(self) -> None:
        """Take the partition over, unless `stop` comes first."""
        self._takeover = asyncio.create_task(self._take_over_patiently())
        await asyncio.wait([self._takeover])
        if not self._takeover.cancelled():
            self._takeover.result()

    async def _take_over_patiently(self) -> None:
        ends_at = self._monotonic() + self._patience.limit_s
        while True:
            try:
                return await self._take_over()
            except Exception as error:
                if not may_pass(error) or self._monotonic() >= ends_at:
                    raise
                log.warning("takeover failed; trying again", task=str(self.id), error=repr(error))
            await asyncio.sleep(_RETRY_S)

    async def _take_over(self) -> None:
        started = self._monotonic()
        self._drop()
        await self._unless_stopping(self._ledger.fence())
        opened: PartitionStore | Task[Any]
        opened = store = self._open_store()
        try:
            await self._unless_stopping(self._ledger.restore(store))
            opened = task = self._build(store)
            await self._unless_stopping(self._locate(task))
        except BaseException:
            opened.close()
            raise
        self._task = task
        self.committed = deepcopy(task.totals)
        self.phase = Phase.RUNNING
        self.last_checkpoint_at = self._monotonic()
        self.restore_seconds = self.last_checkpoint_at - started
        self._distributions.observe(TAKEOVER_SECONDS, self.restore_seconds, self.id.stage)

    async def _unless_stopping(self, step: Awaitable[None]) -> None:
        """Do *step*. aiokafka loses a cancellation that comes while it closes a client."""
        await step
        if self._is_stopping:
            raise asyncio.CancelledError

    def run(self, name: str, batch: Batch, latest: int) -> bool:
        """Let the logic *name* see *batch*, after those before it; False if it is not the next."""
        if self._batch is not batch:
            self._attempted[batch.topic] = batch.end
            with self._charge("decode", is_of_batch=True):
                begun = self.task.begin(batch, latest)
            if not begun:
                del self._attempted[batch.topic]
                return False
            self._batch = batch
            self.batch_records = len(batch.records)
            self._distributions.observe(BATCH_RECORDS, self.batch_records, self.id.stage)
        for each in self.task.waiting_upto(name):
            with self._charge(each, is_of_batch=True):
                self.task.run(each)
        return True

    def inform(self, definitions: Definitions) -> None:
        """Let the task go by *definitions*, if it does not yet and is between two batches."""
        task = self.task
        if task.informed is not definitions and task.between_batches:
            with self._charge("inform"):
                task.inform(definitions)

    def advance(self, now: int) -> None:
        """Move the idle task's stream time to *now* (ms)."""
        with self._charge("idle"):
            self.task.advance(now)

    @contextmanager
    def _charge(self, part: str, *, is_of_batch: bool = False) -> Iterator[None]:
        started = self._cpu()
        try:
            yield
        finally:
            spent = self._cpu() - started
            self.cpu_seconds[part] = self.cpu_seconds.get(part, 0.0) + spent
            if is_of_batch:
                self._distributions.observe(BATCH_CPU_SECONDS, spent, self.id.stage, part)

    def checkpoint_soon(self) -> None:
        """Begin a checkpoint if there is something to commit and none is under way."""
        if self._checkpoint is None and self.running and self.task.between_batches:
            self.last_checkpoint_at = self._monotonic()
            if self.task.has_news:
                self.checkpointing_bytes = self.task.unwritten_bytes
                self._checkpoint = asyncio.create_task(self._commit(self.task))
                self._checkpoint.add_done_callback(self._checkpoint_ended)

    async def checkpoint_done(self) -> None:
        """Wait for the checkpoint that is under way, if any."""
        if self._checkpoint is not None:
            await asyncio.wait([self._checkpoint])

    def _checkpoint_ended(self, checkpoint: asyncio.Task[None]) -> None:
        """Make room for the next one, even if this one was cancelled before its first step."""
        if self._checkpoint is checkpoint:
            self._checkpoint = None
            self._in_flight_bytes = self.checkpointing_bytes = 0

    async def _commit(self, task: Task[Any]) -> None:
        if self._task is not task:
            return  # it failed before this could begin
        started = self._monotonic()
        try:
            self._in_flight_bytes = task.unwritten_bytes
            with self._charge("checkpoint"):
                snapshot = task.snapshot()
            self.problems = task.problems()
            for problem in self.problems:
                log.error("balance does not hold", task=str(self.id), problem=problem)
            offset = await self._ledger.commit(snapshot)
            if self._task is task:
                with self._charge("checkpoint"):
                    task.committed(offset)
            self.committed = snapshot.totals
            self.checkpoints += 1
            self._patience.committed(snapshot.read_to)
            self.checkpoint_seconds = self._monotonic() - started
            self._distributions.observe(CHECKPOINT_SECONDS, self.checkpoint_seconds, self.id.stage)
        except Exception as error:
            self.failed(error)

    def failed(self, error: Exception) -> None:
        """Drop the task's memory and take the partition over again, if it is still ours."""
        if self.phase is not Phase.RUNNING:
            return
        self.failures += 1
        self.phase = Phase.FAILED
        self._patience.failed(self.task.positions | self._attempted, self._monotonic())
        log.warning(
            "task failed; starting again from what was committed",
            task=str(self.id), error=f"{type(error).__name__}: {error}",
            exc_info=None if may_pass(error) else error,
        )  # fmt: skip
        # A frame that was left in the middle of a scan would keep the store's files open.
        clear_frames(error.__traceback__)
        self._drop()
        if isinstance(error, FATAL):
            self._fail(error)
        elif not self._is_stopping:
            self._recovery = asyncio.create_task(self._recover(error))

    async def _recover(self, cause: Exception) -> None:
        error: Exception = cause
        await _cancel(self._checkpoint)
        if self._patience.failures > 1:
            await asyncio.sleep(_RETRY_S)
        while self._monotonic() < self._patience.ends_at:
            try:
                if await self._still_ours(self.id):
                    await self._take_over()
                    await self._seek(self.task)
                    return
            except FATAL as fatal:
                self._fail(fatal)
                return
            except Exception as again:
                self.phase = Phase.FAILED
                error = again
            await asyncio.sleep(_RETRY_S)
        self._fail(error)

    def _drop(self) -> None:
        task, self._task, self._batch, self._attempted = self._task, None, None, {}
        if task is not None:
            task.close()

    async def stop(self, timeout_s: float) -> None:
        """Commit what there is, within *timeout_s*, and forget everything."""
        self._is_stopping = True
        await _cancel(self._takeover)
        await _cancel(self._recovery)
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._last_checkpoint(), timeout_s)
        self.phase = Phase.CLOSED
        await _cancel(self._checkpoint)
        self._drop()
        await self._ledger.close()

    async def _last_checkpoint(self) -> None:
        await self.checkpoint_done()
        if self.running and self.task.between_batches:
            self.task.settle()
        self.checkpoint_soon()
        await self.checkpoint_done()


async def _cancel(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.wait([task])
