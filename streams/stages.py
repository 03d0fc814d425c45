"""The stages by name, and the topics that each of them reads."""

from __future__ import annotations

from typing import Final

from tailrace.schemas import topics
from tailrace.schemas.config import WorkerConfig

SPANS: Final = "spans"
ROLLUPS: Final = "rollups"
_REKEY: Final = "rekey-"

RED: Final = "red"
SERVICE_GRAPH: Final = "service_graph"


def rekey_stage(topic: str) -> str:
    """Return the stage that re-keys *topic*: one each, for their partitions may differ."""
    return _REKEY + topic


def is_rekeyed(stage: str) -> bool:
    """True if *stage* is one of those."""
    return stage.startswith(_REKEY)


def source(name: str, partition: int) -> str:
    """Return the name under which a partition's watermarks are known."""
    return f"{name}-{partition}"


def rollup_capabilities(config: WorkerConfig) -> list[str]:
    """Return the capabilities of the spans stage that write rollups."""
    enabled = {RED: config.span_metrics.enabled, SERVICE_GRAPH: config.service_graph.enabled}
    return [name for name, is_on in enabled.items() if is_on]


def stage_topics(config: WorkerConfig) -> dict[str, tuple[str, ...]]:
    """Return every stage of *config* with what it reads, in the order of the flow."""
    stages: dict[str, tuple[str, ...]] = {}
    spans = tuple(config.input.topics)
    if not config.input.keyed_by_trace_id:
        stages |= {rekey_stage(topic): (topic,) for topic in spans}
        spans = (topics.rekeyed_spans(config.app),)
    stages[SPANS] = spans
    if rollup_capabilities(config):
        stages[ROLLUPS] = (topics.rollups(config.app),)
    return stages
