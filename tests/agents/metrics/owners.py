"""A partition of stage 2 and its owners, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tailrace.agents.metrics.logic import MetricsLogic, MetricsSettings
from tailrace.schemas.exemplars import ExemplarBatch
from tailrace.schemas.records import Arrivals, Outbox, Output, Totals
from tailrace.schemas.sums import Rollup
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.agents.metrics.flushes import SETTINGS
from tests.streams.deaths import Row as Record

Sent = dict[str, list[Output]]


@dataclass(frozen=True)
class Row:
    """A record of stage 2: what it holds, and stream time after it."""

    time: int
    rollup: Rollup | ExemplarBatch | None


class Worker:
    """A partition's owners, one after the other; what one did not commit is done again."""

    def __init__(self, settings: MetricsSettings = SETTINGS) -> None:
        self._settings = settings
        self._disk = MemoryDisk()
        self._committed = (0, 0, Totals())
        self.sent: Sent = {}
        self.begin()

    def begin(self, settings: MetricsSettings | None = None) -> None:
        """Become a new owner, with what was committed, and perhaps with other *settings*."""
        self._settings = settings or self._settings
        self._store = PartitionStore(self._disk)
        self.position, self._now, totals = self._committed
        self.totals = replace(totals, counts=dict(totals.counts))
        self._outbox = Outbox()
        self.logic = MetricsLogic(self._settings, self._store)
        self.logic.restore(self._now)

    @property
    def now(self) -> int:
        """Stream time."""
        return self._now

    def process(self, rows: Sequence[Row], end: int) -> None:
        """Process *rows* up to *end* as one batch."""
        batch = rows[self.position : end]
        times = [row.time for row in batch]
        records = [Record(number, time, None) for number, time in enumerate(times)]
        arrivals = Arrivals(records, times, [row.rollup for row in batch])
        self.logic.process(arrivals, self._outbox, self.totals)
        self.position, self._now = end, times[-1] if times else self._now

    def feed(self, *rows: Row) -> None:
        """Process *rows*, whatever came before."""
        self.position = 0
        self.process(rows, len(rows))

    def advance(self, now: int) -> None:
        """Let time pass without a record."""
        self._now = now
        self.logic.advance(now, self._outbox, self.totals)

    def checkpoint(self) -> None:
        """Commit what was done."""
        self.logic.before_checkpoint()
        assert self.logic.problems(self.totals) == []
        self._store.begin_checkpoint()
        self._store.finish_checkpoint(0)
        totals = replace(self.totals, counts=dict(self.totals.counts))
        self._committed = self.position, self._now, totals
        for topic, outputs in self._outbox.topics.items():
            self.sent.setdefault(topic, []).extend(outputs)
        self._outbox = Outbox()


def uninterrupted(rows: Sequence[Row], settings: MetricsSettings = SETTINGS) -> Sent:
    worker = Worker(settings)
    worker.process(rows, len(rows))
    worker.checkpoint()
    return worker.sent


def interrupted(
    rows: Sequence[Row], events: Sequence[tuple[int, str]], settings: MetricsSettings = SETTINGS
) -> Sent:
    """What is sent if after some records there is a cut, a checkpoint, or a death."""
    worker = Worker(settings)
    for end, event in [*events, (len(rows), "checkpoint")]:
        worker.process(rows, max(worker.position, min(end, len(rows))))
        if event == "checkpoint":
            worker.checkpoint()
        elif event == "death":
            worker.begin()
    worker.process(rows, len(rows))
    worker.checkpoint()
    return worker.sent
