"""The stages by name, their topics, and the capabilities that make them necessary."""

from __future__ import annotations

from typing import Final

from tailrace.schemas import topics
from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.config.worker import (
    ALERTS,
    NOTIFIER,
    OTLP_HTTP,
    RED,
    REMOTE_WRITE,
    SAMPLING,
    SERVICE_GRAPH,
)

SPANS: Final = "spans"
ROLLUPS: Final = "rollups"
NOTIFICATIONS: Final = "notifications"
_REKEY: Final = "rekey-"
_METRICS: Final = "metrics-"

MATCHES: Final = "matches"
"""The source of watermarks that counts for ALERTS in the spans stage."""


def rekey_stage(topic: str) -> str:
    """Return the stage that re-keys *topic*: one each, for their partitions may differ."""
    return _REKEY + topic


def is_rekeyed(stage: str) -> bool:
    """True if *stage* is one of those."""
    return stage.startswith(_REKEY)


def metric_stage(topic: str) -> str:
    """Return the stage that reads the metrics of *topic*."""
    return _METRICS + topic


def reads_metrics(stage: str) -> bool:
    """True if *stage* is one of those."""
    return stage.startswith(_METRICS)


def source(name: str, partition: int) -> str:
    """Return the name under which a partition's watermarks are known."""
    return f"{name}-{partition}"


def has_metrics(config: WorkerConfig) -> bool:
    """True if there are series to write."""
    return bool({RED, SERVICE_GRAPH, ALERTS} & config.capabilities)


def has_links(config: WorkerConfig) -> bool:
    """True if the service graph looks for consumers by links."""
    return SERVICE_GRAPH in config.capabilities and config.service_graph.links.enabled


def has_receivers(config: WorkerConfig) -> bool:
    """True if metrics go to receivers outside of Kafka."""
    return bool({REMOTE_WRITE, OTLP_HTTP} & config.capabilities)


def rollup_sources(config: WorkerConfig) -> list[str]:
    """Return what the spans stage writes rollups as, in each of its partitions."""
    names = {RED: RED, SERVICE_GRAPH: SERVICE_GRAPH, ALERTS: MATCHES}
    return [name for capability, name in names.items() if capability in config.capabilities]


def metric_stages(config: WorkerConfig) -> dict[str, str]:
    """Return the stages that read metrics, with the topic of each."""
    wanted = config.input.metrics if ALERTS in config.capabilities else ()
    return {metric_stage(topic): topic for topic in wanted}


def stage_topics(config: WorkerConfig) -> dict[str, tuple[str, ...]]:
    """Return every stage of *config* with what it reads, in the order of the flow."""
    stages: dict[str, tuple[str, ...]] = {}
    if SAMPLING in config.capabilities or rollup_sources(config):
        spans = tuple(config.input.topics)
        if not config.input.keyed_by_trace_id:
            stages |= {rekey_stage(topic): (topic,) for topic in spans}
            spans = (topics.rekeyed_spans(config.app),)
        stages[SPANS] = spans
    stages |= {stage: (topic,) for stage, topic in metric_stages(config).items()}
    if rollup_sources(config):
        stages[ROLLUPS] = (topics.rollups(config.app),)
    if NOTIFIER in config.capabilities:
        stages[NOTIFICATIONS] = (config.output.alerts,)
    return stages
