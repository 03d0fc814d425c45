"""A cluster in a test: partitions that tell each other things through one log, and may crash."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from copy import deepcopy

from tailrace.agents.sampling.control import Control, ControlSettings
from tailrace.schemas.control import WHOLE, ControlRecord, Heard, decode
from tailrace.schemas.records import Outbox, Totals
from tailrace.tables.store import MemoryDisk, PartitionStore

TOPIC = "control"


class Spending:
    """A budget that counts what it is asked for, and remembers which part was its own when."""

    def __init__(self) -> None:
        self.asked = 0
        self.history: list[tuple[int, int]] = []

    def allot(self, numerator: int, denominator: int, at: int) -> None:
        assert at % 1000 == 0, "parts change between two seconds"
        assert denominator == WHOLE
        self.history.append((at // 1000, numerator))

    def part(self, second: int) -> int:
        """The part that was in force in *second*."""
        return self.history[bisect_right(self.history, (second, WHOLE)) - 1][1]


class Partition:
    """One partition: what it has done since its last checkpoint is lost when it crashes."""

    def __init__(self, settings: ControlSettings, names: Sequence[str]) -> None:
        self.settings = settings
        self.store = PartitionStore(MemoryDisk())
        self.totals = Totals()
        self.budgets = {name: Spending() for name in names}
        self.now = 0
        self._begin()
        self.control.allot(self.budgets)
        self._committed = deepcopy((self.budgets, self.totals, self.now))

    def _begin(self) -> None:
        self.control = Control(self.settings, self.store)
        self.control.restore()
        self.outbox = Outbox()

    def advance(self, now: int, asked: Mapping[str, int] | None = None) -> None:
        """Let time pass to *now*; as much as *asked* is asked for there."""
        self.now = max(self.now, now)
        if asked:
            for _ in self.control.stretches([self.now], self.budgets):
                for name, amount in asked.items():
                    self.budgets[name].asked += amount
        self.control.reach(self.now, self.budgets, self.outbox)

    def hear(self, records: Sequence[Heard]) -> list[bytes]:
        return self.control.hear(records, self.now, self.outbox, self.totals)

    @property
    def said(self) -> list[ControlRecord]:
        return [decode(each.value) for each in self.outbox.topics.get(TOPIC, [])]

    def checkpoint(self) -> list[ControlRecord]:
        """Commit; return what is then in the log."""
        said, self.outbox = self.said, Outbox()
        self.control.seal(self.now)
        self.store.begin_checkpoint()
        self.store.finish_checkpoint(0)
        self._committed = deepcopy((self.budgets, self.totals, self.now))
        return said

    def crash(self) -> None:
        """Go on from the last checkpoint."""
        self.budgets, self.totals, self.now = deepcopy(self._committed)
        disk = self.store._disk
        self.store = PartitionStore(disk)
        self._begin()


class Cluster:
    """Partitions around one log."""

    def __init__(self, partitions: int, names: Sequence[str], keep_linked_ms: int = 0) -> None:
        self.log: list[ControlRecord] = []
        self.partitions = [
            Partition(ControlSettings(TOPIC, number, partitions, keep_linked_ms), names)
            for number in range(partitions)
        ]

    def hear(self, number: int, count: int | None = None) -> None:
        """Let a partition hear the next *count* records of the log, or all."""
        partition = self.partitions[number]
        start = partition.control.heard
        records = self.log[start:] if count is None else self.log[start : start + count]
        partition.hear([Heard(start + row, each) for row, each in enumerate(records)])

    def miss(self, number: int) -> None:
        """Let a partition never hear what it has not heard yet: its worker begins to read late."""
        self.partitions[number].control.heard = len(self.log)

    def checkpoint(self, number: int) -> None:
        self.log += self.partitions[number].checkpoint()

    def second(self, asked: Sequence[Mapping[str, int]]) -> None:
        """Let all partitions come a second further, be asked, write and hear of each other."""
        for partition, amounts in zip(self.partitions, asked, strict=True):
            partition.advance(partition.now + 1000, amounts)
        for number in range(len(self.partitions)):
            self.checkpoint(number)
        for number in range(len(self.partitions)):
            self.hear(number)

    def part(self, name: str) -> list[int]:
        """The part that each partition has now."""
        return [each.budgets[name].history[-1][1] for each in self.partitions]
