"""Both stages of a service graph with links: what partitions tell, and what joins count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tailrace.agents.service_graph import agent
from tailrace.agents.service_graph.link_join import LinkJoin, LinkSettings
from tailrace.agents.service_graph.logic import ServiceGraphLogic
from tailrace.agents.service_graph.settings import ServiceGraphSettings
from tailrace.schemas.config.tenancy import TenancyConfig
from tailrace.schemas.spans import SpanBatch
from tailrace.streams.batch import Batch
from tailrace.streams.rollups import RollupCodec, Rollups
from tailrace.streams.stream_time import SourceTime
from tailrace.streams.task import Task, TaskId
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.agents.service_graph.graph_task import ROLLUPS, Codec, no_letter
from tests.agents.service_graph.traffic import END_MS, Sent, rows
from tests.streams import deaths
from tests.streams.deaths import Build
from tests.streams.interleavings import Log, interleaved
from tests.streams.memory_log import MemoryLog

PARTITIONS = 2
TENANCY = TenancyConfig(resource_attribute="tenant.id")
LONG_AFTER_MS = END_MS + 10**6
"""When all that the spans' partitions told has been joined or has expired."""


def spans_builder(settings: ServiceGraphSettings, number: int) -> Build:
    """Builds tasks of partition *number* of the spans."""

    def build(store: PartitionStore) -> Task[SpanBatch]:
        logic = ServiceGraphLogic(settings, store, ROLLUPS, f"service_graph-{number}")
        codec = Codec(settings, 32 << 20, TENANCY)
        return Task(TaskId("spans", number), store, codec, {agent.NAME: logic}, no_letter)

    return build


def join_builder(settings: LinkSettings) -> Build:
    """Builds tasks that join what two partitions of spans tell."""

    def build(store: PartitionStore) -> Task[Rollups]:
        logic = LinkJoin(settings, store, ROLLUPS)
        time = SourceTime([f"service_graph-{number}" for number in range(PARTITIONS)])
        return Task(
            TaskId("rollups", 0), store, RollupCodec(), {agent.LINKS: logic}, no_letter, time
        )

    return build


def told(settings: ServiceGraphSettings, sent: Sequence[Sequence[Sent]]) -> list[MemoryLog]:
    """What each partition of the spans writes, when nothing dies."""
    written = [
        deaths.uninterrupted(spans_builder(settings, number), rows(records), END_MS)
        for number, records in enumerate(sent)
    ]
    return [
        MemoryLog([(topic, output) for topic, outputs in each.items() for output in outputs])
        for each in written
    ]


def logs(writers: Sequence[MemoryLog], turns: Sequence[int]) -> list[Log]:
    """The partitions of the rollups, as *writers* took *turns*."""
    return [
        interleaved(writers, ROLLUPS.name, number, turns) for number in range(ROLLUPS.partitions)
    ]


def joined(settings: LinkSettings, logs: Sequence[Log]) -> deaths.Sent:
    """What the joins of all partitions write."""
    outputs = [
        deaths.uninterrupted(join_builder(settings), log, LONG_AFTER_MS).get(ROLLUPS.name, [])
        for log in logs
    ]
    return {ROLLUPS.name: [output for each in outputs for output in each]}


def totals(settings: LinkSettings, logs: Sequence[Log]) -> Counter[str]:
    """What the joins of all partitions say of themselves."""
    found: Counter[str] = Counter()
    for log in logs:
        task = join_builder(settings)(PartitionStore(MemoryDisk()))
        task.process(Batch(deaths.TOPIC, 0, 0, len(log), log), deaths.FAR)
        assert task.problems() == []
        task.advance(LONG_AFTER_MS)
        assert task.problems() == []
        found += Counter(task.totals.counts)
    return found
