"""A Kafka of one partition in memory: transactions, fencing, and crashes at chosen points."""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass, field

from tailrace.schemas.records import Output
from tailrace.streams.task import Snapshot
from tailrace.tables.store import Changes, PartitionStore


class CrashPoint(enum.Enum):
    """Where in a checkpoint the worker dies."""

    BEFORE_PRODUCE = "before produce"
    BEFORE_COMMIT = "between produce and commit"
    BEFORE_LOCAL_WRITE = "between commit and the local write"


class Crash(Exception):
    """The worker died here."""


class Fenced(Exception):
    """A newer producer has the transactional ID."""


@dataclass
class MemoryLog:
    """What a broker remembers of one task. `committed` is what a read_committed reader sees."""

    committed: list[tuple[str, Output]] = field(default_factory=list)
    changelog: list[Changes] = field(default_factory=list)
    epoch: int = 0


class MemoryLedger:
    """A ledger on a MemoryLog; dies at *crash* in its next commit, which waits for *gate*."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self._epoch = -1
        self.crash: CrashPoint | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    restored = 0

    async def fence(self) -> None:
        self._log.epoch += 1
        self._epoch = self._log.epoch

    async def restore(self, store: PartitionStore) -> None:
        self._check()
        for offset in range(store.changelog_offset or 0, len(self._log.changelog)):
            store.apply(self._log.changelog[offset], offset + 1)

    async def commit(self, snapshot: Snapshot) -> int:
        if self.crash is CrashPoint.BEFORE_PRODUCE:
            raise Crash
        await self.gate.wait()
        written = [(topic, row) for topic, rows in snapshot.outputs.items() for row in rows]
        if self.crash is CrashPoint.BEFORE_COMMIT:
            raise Crash  # what was written is in an open transaction, which the next fence aborts
        self._check()
        self._log.committed += written
        self._log.changelog.append(dict(snapshot.changes))
        if self.crash is CrashPoint.BEFORE_LOCAL_WRITE:
            raise Crash
        return len(self._log.changelog)

    async def close(self) -> None:
        """Nothing to release."""

    def _check(self) -> None:
        if self._epoch != self._log.epoch:
            raise Fenced
