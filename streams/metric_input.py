"""The stages of metrics: every topic on which OTLP metrics come in."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.agents.metric_samples import agent as metric_samples_agent
from tailrace.agents.metric_samples.logic import MetricSamplesLogic
from tailrace.schemas import topics
from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.durations import MILLISECOND
from tailrace.schemas.otlp.metrics import Request, parse_metrics
from tailrace.schemas.records import DeadLetter, Record
from tailrace.streams.cluster import Cluster
from tailrace.streams.dead_letters import DeadLetters
from tailrace.streams.stages import source
from tailrace.streams.task import Task, TaskId
from tailrace.tables.interval_sums import RollupTopic
from tailrace.tables.store import PartitionStore

MetricRequests = Sequence[Request | None]


class MetricCodec:
    """Decodes OTLP requests; of a record that is none there is None, and a dead letter."""

    def decode(self, records: Sequence[Record]) -> tuple[MetricRequests, Sequence[DeadLetter]]:
        requests: list[Request | None] = []
        letters = []
        for row, record in enumerate(records):
            value = record.value or b""
            try:
                requests.append(parse_metrics(value))
            except ValueError:
                requests.append(None)
                letters.append(DeadLetter(row, "malformed", value, whole=True))
        return requests, letters


class MetricInputTasks:
    """Builds the tasks that read metrics."""

    def __init__(self, config: WorkerConfig, cluster: Cluster) -> None:
        self._codec = MetricCodec()
        self._tenancy = config.tenancy
        self._dead_letters = DeadLetters(config.output.dead_letters, cluster.dead_letter_bytes)
        name = topics.rollups(config.app)
        self._topic = RollupTopic(
            name,
            cluster.partitions[name],
            cluster.rollup_bytes,
            config.engine.rollup_interval // MILLISECOND,
        )

    def build(self, id: TaskId, store: PartitionStore) -> Task[MetricRequests]:
        """Return the task *id* with what *store* has."""
        name = source(id.stage, id.partition)
        logic = MetricSamplesLogic(store, self._topic, name, self._tenancy)
        logics = {metric_samples_agent.NAME: logic}
        return Task(id, store, self._codec, logics, self._dead_letters.of_record)
