"""The rollups stage: partial sums of all partitions become the series of the whole cluster."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from tailrace.agents.alerts import agent as alerts_agent
from tailrace.agents.alerts.logic import AlertsLogic, AlertsSettings
from tailrace.agents.metrics import agent as metrics_agent
from tailrace.agents.metrics.admission import Limits
from tailrace.agents.metrics.logic import MetricsLogic
from tailrace.agents.metrics.settings import (
    EdgeMetrics,
    MetricsSettings,
    RedMetrics,
    RollUpMetrics,
)
from tailrace.agents.service_graph import agent as service_graph_agent
from tailrace.agents.service_graph.link_join import LinkJoin
from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.config.metric_labels import MetricLabelsConfig
from tailrace.schemas.config.service_graph import ServiceGraphConfig
from tailrace.schemas.config.span_metrics import SpanMetricsConfig
from tailrace.schemas.config.worker import ALERTS, RED, SERVICE_GRAPH
from tailrace.schemas.durations import MILLISECOND, SECOND
from tailrace.schemas.exemplars import are_exemplars, decode_exemplars
from tailrace.schemas.half_edges import are_link_halves, decode_link_halves
from tailrace.schemas.matches import (
    MATCHES,
    RollupRecord,
    are_counts,
    decode_counts,
    decode_evidence,
    is_evidence,
    of_version_1,
)
from tailrace.schemas.metric_samples import are_samples, decode_samples
from tailrace.schemas.records import DeadLetter, Record
from tailrace.schemas.series import calls_layout, edge_layout, events_layout, red_layout
from tailrace.schemas.sums import decode
from tailrace.streams.cluster import Cluster
from tailrace.streams.dead_letters import DeadLetters
from tailrace.streams.graph import link_settings, rollup_topic
from tailrace.streams.runner import Runner
from tailrace.streams.stages import (
    ROLLUPS,
    SPANS,
    has_links,
    has_metrics,
    metric_stages,
    rollup_sources,
    source,
    stage_topics,
)
from tailrace.streams.stream_time import SourceTime
from tailrace.streams.task import Logic, Task, TaskId
from tailrace.tables.series_expiry import Expiry
from tailrace.tables.store import PartitionStore

Rollups = Sequence[RollupRecord]


class RollupCodec:
    """Decodes rollup records; a record that is only a watermark is None."""

    def decode(self, records: Sequence[Record]) -> tuple[Rollups, Sequence[DeadLetter]]:
        """Newer than this version is no dead letter but an error: another worker wrote it."""
        rollups: list[RollupRecord] = []
        letters = []
        for row, record in enumerate(records):
            value: bytes = record.value or b""
            rollup: RollupRecord = None
            if value:
                try:
                    rollup = _decoded(value)
                except ValueError:
                    letters.append(DeadLetter(row, "malformed", value, whole=True))
            rollups.append(rollup)
        return rollups, letters


def _decoded(value: bytes) -> RollupRecord:
    if are_samples(value):
        return decode_samples(value)
    if are_exemplars(value):
        return decode_exemplars(value)
    if are_link_halves(value):
        return decode_link_halves(value)
    if is_evidence(value):
        return decode_evidence(value)
    if are_counts(value):
        return decode_counts(value)
    rollup = decode(value)
    return of_version_1(rollup) if rollup.layout.family == MATCHES else rollup


class RollupTasks:
    """Builds the tasks of the rollups stage: each the one writer of its series."""

    def __init__(self, config: WorkerConfig, cluster: Cluster) -> None:
        self._codec = RollupCodec()
        self._dead_letters = DeadLetters(config.output.dead_letters, cluster.dead_letter_bytes)
        spans = stage_topics(config)[SPANS][0]
        self._sources = [
            source(name, partition)
            for name in rollup_sources(config)
            for partition in range(cluster.partitions[spans])
        ]
        self._sources += [
            source(stage, partition)
            for stage, topic in metric_stages(config).items()
            for partition in range(cluster.partitions[topic])
        ]
        self._config = config
        self._interval_s = config.engine.checkpoint_interval / SECOND
        self._settings = _settings(config, cluster)
        self._links = link_settings(config)
        self._rollups = rollup_topic(config, cluster)
        alerts = config.output.alerts
        self._alerts = AlertsSettings(alerts, cluster.partitions.get(alerts, 1))
        self._partitions = cluster.partitions.get(stage_topics(config)[ROLLUPS][0], 1)

    def build(self, id: TaskId, store: PartitionStore) -> Task[Rollups]:
        """Return the task *id* with what *store* has."""
        logics: dict[str, Logic[Rollups]] = {}
        if has_metrics(self._config):
            logics[metrics_agent.NAME] = MetricsLogic(
                replace(self._settings, partition=id.partition), store
            )
        if has_links(self._config):
            logics[service_graph_agent.LINKS] = LinkJoin(self._links, store, self._rollups)
        if ALERTS in self._config.capabilities:
            logics[alerts_agent.NAME] = AlertsLogic(
                replace(self._alerts, rollups=(id.partition, self._partitions)), store
            )
        time = SourceTime(self._sources)
        return Task(id, store, self._codec, logics, self._dead_letters.of_record, time)

    def attend(self, runner: Runner) -> None:
        """Write alerts at once; look at them less often while checkpoints take too long."""
        if runner.task.writes(self._alerts.topic):
            runner.checkpoint_soon()
        logic = runner.task.logics.get(alerts_agent.NAME)
        if isinstance(logic, AlertsLogic):
            level = degradation(runner.checkpoint_seconds, self._interval_s)
            if level != logic.level:
                with runner.task.told():
                    logic.back_off(level)


def degradation(checkpoint_s: float, interval_s: float) -> int:
    """Return how far to back off: 0 while a checkpoint fits into its interval; then doublings."""
    excess = checkpoint_s / interval_s
    return 0 if excess <= 1 else math.ceil(math.log2(excess))


def _settings(config: WorkerConfig, cluster: Cluster) -> MetricsSettings:
    red, graph = config.span_metrics, config.service_graph
    return MetricsSettings(
        metrics_topic=config.output.metrics,
        edges_topic=config.output.edges,
        record_bytes=cluster.record_bytes,
        red=_red(red, config.metric_labels) if RED in config.capabilities else None,
        edges=EdgeMetrics(
            edge_layout(graph.bounds_ns, graph.max_size),
            graph.metrics_flush_interval // MILLISECOND,
            Expiry(graph.series_expiration // MILLISECOND),
            graph.metrics_timestamp_offset // MILLISECOND,
            _edge_limits(graph, config.metric_labels),
        )
        if SERVICE_GRAPH in config.capabilities
        else None,
        matches_flush_ms=red.metrics_flush_interval // MILLISECOND
        if ALERTS in config.capabilities
        else None,
        naming=config.naming,
        has_tenants=config.tenancy.is_on,
        rollups=rollup_topic(config, cluster),
    )


def _edge_limits(graph: ServiceGraphConfig, labels: MetricLabelsConfig) -> Limits:
    """Return the limits of edges: what is said of an attribute holds for that of each side."""
    limits = labels.limits.labels or {}
    said = {
        label: most
        for label, attribute in graph.labels.items()
        if (most := limits.get(label, limits.get(attribute))) is not None
    }
    learned = tuple(
        label
        for label, attribute in graph.labels.items()
        if label in labels.learn or attribute in labels.learn
    )
    return Limits(None, labels.limits.series, labels.limits.values, said, learned)


def _red(red: SpanMetricsConfig, labels: MetricLabelsConfig) -> RedMetrics:
    durations = red_layout(red.bounds_ns, red.max_size, red.unit_ns if red.max_size else 0)
    expiry = Expiry(red.series_expiration // MILLISECOND, red.metrics_expiration // MILLISECOND)
    return RedMetrics(
        durations if red.has_durations else None,
        red.metrics_flush_interval // MILLISECOND,
        red.namespace,
        red.histogram.unit,
        calls_layout() if red.counts_calls_apart else None,
        events_layout() if red.has_events else None,
        red.is_delta,
        expiry,
        red.exemplars.max_per_data_point if red.exemplars.enabled else 0,
        tuple(RollUpMetrics(each.namespace, each.dimensions) for each in red.roll_ups),
        Limits(
            red.aggregation_cardinality_limit or None,
            labels.limits.series,
            labels.limits.values,
            labels.limits.labels or {},
            labels.learn,
        ),
    )
