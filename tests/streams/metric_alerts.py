"""Alerts over metrics and spans, through the tasks that the worker runs; no Kafka, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tailrace.schemas.alert_events import AlertEvent, decode
from tailrace.schemas.config import WorkerConfig, parse
from tailrace.schemas.definitions import Definition, Definitions
from tailrace.schemas.definitions.alert import AlertSpec
from tailrace.schemas.definitions.definition import ALERT, DefinitionKey
from tailrace.streams.metric_input import MetricInputTasks
from tailrace.streams.rollups import RollupTasks
from tailrace.streams.spans import SpanTasks
from tailrace.streams.stages import metric_stage
from tailrace.streams.task import Task, TaskId
from tailrace.tables.store import PartitionStore
from tests.streams import deaths
from tests.streams.clusters import cluster
from tests.streams.deaths import Build, Row

BEGIN_MS = 1_700_000_000_000
SCRAPED, ROLLUPS, ALERTS = "scraped", "tailrace-rollups", "tailrace.alerts"
PARTITIONS = 2
"""Of the topic of metrics."""
CONFIG: WorkerConfig = parse("only: [alerts]\ninput: {metrics: [scraped]}\n")
AROUND = cluster(CONFIG, partitions=1, rollup_partitions=1, inputs={SCRAPED: PARTITIONS})


class Came(NamedTuple):
    """A record: when it came, in ms after BEGIN_MS, and what it was."""

    at: int
    value: bytes


def alert(name: str = "metric", **spec: Any) -> Definition[Any]:
    """An alert that is evaluated every second."""
    return Definition(DefinitionKey(ALERT, "default", name), {}, {}, AlertSpec.model_validate(spec))


def metrics_builder(definitions: Definitions, partition: int) -> Build:
    """Builds tasks as a new process would, with nothing shared between two."""

    def build(store: PartitionStore) -> Task[Any]:
        name = TaskId(metric_stage(SCRAPED), partition)
        return _told(MetricInputTasks(CONFIG, AROUND).build(name, store), definitions)

    return build


def rollups_builder(definitions: Definitions) -> Build:
    """The same of the second stage."""

    def build(store: PartitionStore) -> Task[Any]:
        task = RollupTasks(CONFIG, AROUND).build(TaskId("rollups", 0), store)
        return _told(task, definitions)

    return build


def spans_builder(definitions: Definitions) -> Build:
    """The same of spans."""

    def build(store: PartitionStore) -> Task[Any]:
        return _told(SpanTasks(CONFIG, AROUND).build(TaskId("spans", 0), store), definitions)

    return build


def _told(task: Task[Any], definitions: Definitions) -> Task[Any]:
    task.inform(definitions)
    return task


def rows(records: Sequence[Came]) -> list[Row]:
    """*records* as a log has them."""
    return [Row(n, BEGIN_MS + each.at, None, each.value) for n, each in enumerate(records)]


def events(
    definition: Definition[Any],
    metrics: Sequence[Sequence[Came]],
    spans: Sequence[Came] = (),
    end: int = 600_000,
) -> list[AlertEvent]:
    """What *definition* tells of *metrics*, by partition, and *spans*, until *end* (ms)."""
    definitions = Definitions.of_all([definition])
    builds = [metrics_builder(definitions, number) for number in range(PARTITIONS)]
    inputs = [*metrics, *[()] * (PARTITIONS - len(metrics)), spans]
    written: list[Any] = []
    for build, records in zip([*builds, spans_builder(definitions)], inputs, strict=True):
        sent = deaths.uninterrupted(build, rows(records), BEGIN_MS + end)
        written += sent.get(ROLLUPS, [])
    log = [
        Row(number, each.timestamp, each.key, each.value, tuple(each.headers))
        for number, each in enumerate(written)
    ]
    told = deaths.uninterrupted(rollups_builder(definitions), log, BEGIN_MS + end)
    return [decode(each.value) for each in told.get(ALERTS, [])]
