"""The rollups stage: partial sums of all partitions become the series of the whole cluster."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.agents.metrics import agent as metrics_agent
from tailrace.agents.metrics.logic import (
    EdgeMetrics,
    MetricsLogic,
    MetricsSettings,
    RedMetrics,
)
from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.durations import MILLISECOND
from tailrace.schemas.records import DeadLetter, Record
from tailrace.schemas.series import edge_layout, red_layout
from tailrace.schemas.sums import Rollup, decode
from tailrace.streams.cluster import Cluster
from tailrace.streams.dead_letters import DeadLetters
from tailrace.streams.stages import SPANS, rollup_capabilities, source, stage_topics
from tailrace.streams.stream_time import SourceTime
from tailrace.streams.task import Task, TaskId
from tailrace.tables.store import PartitionStore

Rollups = Sequence[Rollup | None]


class RollupCodec:
    """Decodes rollup records; a record that is only a watermark is None."""

    def decode(self, records: Sequence[Record]) -> tuple[Rollups, Sequence[DeadLetter]]:
        """Newer than this version is no dead letter but an error: another worker wrote it."""
        rollups: list[Rollup | None] = []
        letters = []
        for row, record in enumerate(records):
            value, rollup = record.value or b"", None
            if value:
                try:
                    rollup = decode(value)
                except ValueError:
                    letters.append(DeadLetter(row, "malformed", value, whole=True))
            rollups.append(rollup)
        return rollups, letters


class RollupTasks:
    """Builds the tasks of the rollups stage: each the one writer of its series."""

    def __init__(self, config: WorkerConfig, cluster: Cluster) -> None:
        self._codec = RollupCodec()
        self._dead_letters = DeadLetters(config.output.dead_letters, cluster.dead_letter_bytes)
        spans = stage_topics(config)[SPANS][0]
        self._sources = [
            source(name, partition)
            for name in rollup_capabilities(config)
            for partition in range(cluster.partitions[spans])
        ]
        self._settings = _settings(config, cluster)

    def build(self, id: TaskId, store: PartitionStore) -> Task[Rollups]:
        """Return the task *id* with what *store* has."""
        logics = {metrics_agent.NAME: MetricsLogic(self._settings, store)}
        time = SourceTime(self._sources)
        return Task(id, store, self._codec, logics, self._dead_letters.of_record, time)


def _settings(config: WorkerConfig, cluster: Cluster) -> MetricsSettings:
    red, graph = config.span_metrics, config.service_graph
    return MetricsSettings(
        metrics_topic=config.output.metrics,
        edges_topic=config.output.edges,
        record_bytes=cluster.record_bytes,
        red=RedMetrics(
            red_layout(red.bounds_ns),
            red.metrics_flush_interval // MILLISECOND,
            red.namespace,
            red.histogram.unit,
        )
        if red.enabled
        else None,
        edges=EdgeMetrics(edge_layout(graph.bounds_ns), graph.metrics_flush_interval // MILLISECOND)
        if graph.enabled
        else None,
    )
