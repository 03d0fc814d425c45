"""The tasks of several partitions around one control log, without a broker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from tailrace.agents.sampling import agent as sampling_agent
from tailrace.agents.sampling.logic import SamplingLogic
from tailrace.schemas import topics
from tailrace.schemas.config import WorkerConfig
from tailrace.streams.batch import Batch
from tailrace.streams.control import HeldRecords, tell
from tailrace.streams.spans import SpanTasks
from tailrace.streams.task import Task, TaskId
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.streams.clusters import cluster

BEGIN_MS = 1_700_000_000_000
_LATEST_MS = BEGIN_MS + 10**9


@dataclass(frozen=True)
class Sent:
    """A record as a task reads it."""

    offset: int
    timestamp: int
    value: bytes
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


class Decision(NamedTuple):
    """What became of a trace, when (ms), and of how many spans."""

    trace_id: bytes
    decision: str
    policy: str | None
    at: int
    spans: int
    is_late: bool


class Partition:
    """A task of the spans stage; what it has not committed is lost when it restarts."""

    def __init__(self, config: WorkerConfig, number: int, partitions: int) -> None:
        self.config = config
        self.topic = config.input.topics[0]
        self._tasks = SpanTasks(config, cluster(config, partitions=partitions))
        self._number = number
        self._disk = MemoryDisk()
        self.decisions: list[Decision] = []
        self.restart()

    def restart(self) -> None:
        """Go on from the last checkpoint."""
        store = PartitionStore(self._disk)
        self.task: Task[Any] = self._tasks.build(TaskId("spans", self._number), store)
        logic = self.task.logics[sampling_agent.NAME]
        assert isinstance(logic, SamplingLogic)
        self.logic = logic

    def read(self, at_ms: int, values: Iterable[bytes]) -> None:
        """Read *values*, all stamped *at_ms*."""
        first = self.task.positions.get(self.topic, 0)
        rows = [Sent(first + row, at_ms, value) for row, value in enumerate(values)]
        batch = Batch(self.topic, self._number, first, first + len(rows), rows)
        assert self.task.process(batch, _LATEST_MS)

    def hear(self, held: HeldRecords) -> None:
        tell(self.task, self.logic, held)

    def commit(self) -> Mapping[str, Sequence[Any]]:
        """Commit; return the outputs."""
        outputs = self.task.snapshot().outputs
        self.task.committed(0)
        assert self.task.problems() == []
        for output in outputs.get(self.config.output.decisions, ()):
            row = orjson.loads(output.value)
            trace_id, policy = bytes.fromhex(row["trace_id"]), row["policy"]
            self.decisions.append(
                Decision(
                    trace_id, row["decision"], policy, output.timestamp, row["spans"], row["late"]
                )
            )
        return outputs

    @property
    def counts(self) -> Mapping[str, int]:
        return self.task.totals.counts


class SamplingCluster:
    """Partitions of *config* that hear of each other."""

    def __init__(self, config: WorkerConfig, partitions: int) -> None:
        self.held = HeldRecords()
        self._topic = topics.control(config.app)
        self.partitions = [Partition(config, number, partitions) for number in range(partitions)]

    def commit(self, number: int) -> None:
        for said in self.partitions[number].commit().get(self._topic, ()):
            self.held.take(said.value, self.held.end)

    def pass_on(self) -> None:
        """Let everybody commit, and then hear of it."""
        for number in range(len(self.partitions)):
            self.commit(number)
        for partition in self.partitions:
            partition.hear(self.held)

    def advance(self, at_ms: int) -> None:
        """Let time come to *at_ms* everywhere, without a record."""
        for partition in self.partitions:
            partition.task.advance(at_ms)
        self.pass_on()
