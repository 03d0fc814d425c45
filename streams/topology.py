"""The whole topology on one page: stages, their topics, and the agents that read them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import faust

from tailrace.agents.alerts import agent as alerts
from tailrace.agents.matches import agent as matches
from tailrace.agents.metric_samples import agent as metric_samples
from tailrace.agents.metrics import agent as metrics
from tailrace.agents.notifier import agent as notifier
from tailrace.agents.notifier.sender import Sender
from tailrace.agents.red import agent as red
from tailrace.agents.rekey import agent as rekey
from tailrace.agents.sampling import agent as sampling
from tailrace.agents.service_graph import agent as service_graph
from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.config.worker import ALERTS, RED, SAMPLING, SERVICE_GRAPH
from tailrace.streams.app import AgentBuilder, BatchSchema
from tailrace.streams.callers import Calls
from tailrace.streams.cluster import Cluster
from tailrace.streams.control import HeldRecords
from tailrace.streams.engine import Engine, Stage
from tailrace.streams.metric_input import MetricInputTasks
from tailrace.streams.notifications import NotificationTasks
from tailrace.streams.rekey import RekeyTasks
from tailrace.streams.rollups import RollupTasks
from tailrace.streams.spans import SpanTasks
from tailrace.streams.stages import (
    NOTIFICATIONS,
    ROLLUPS,
    SPANS,
    has_links,
    has_metrics,
    is_rekeyed,
    reads_metrics,
    stage_topics,
)

_QUIET_S = 5.0
"""Rollups come every second, and are soon read again; what they lead to is written at once."""


@dataclass(frozen=True, slots=True)
class Topology:
    """The stages in the order of the flow, and what builds the tasks of the spans stage."""

    stages: list[Stage]
    spans: SpanTasks


def build(
    config: WorkerConfig,
    cluster: Cluster,
    sender: Sender,
    calls: Callable[[], Calls],
    control: HeldRecords,
) -> Topology:
    """Return the stages that *config* asks for.

    *sender* performs what the notifier decides; *calls* says who calls whom as of now; *control*
    is what this worker holds of the control log.
    """
    spans = SpanTasks(config, cluster, control)
    stages = []
    for name, inputs in stage_topics(config).items():
        if is_rekeyed(name):
            stages.append(Stage(name, inputs, RekeyTasks(config, cluster).build))
        elif reads_metrics(name):
            stages.append(Stage(name, inputs, MetricInputTasks(config, cluster).build))
        elif name == SPANS:
            stages.append(Stage(name, inputs, spans.build, 0.0, spans.attend))
        elif name == NOTIFICATIONS:
            notifications = NotificationTasks(config, cluster, sender, calls)
            stages.append(Stage(name, inputs, notifications.build, 0.0, notifications.attend))
        else:
            rollups = RollupTasks(config, cluster)
            stages.append(Stage(name, inputs, rollups.build, _QUIET_S, rollups.attend))
    return Topology(stages, spans)


def add_agents(app: faust.App, config: WorkerConfig, engine: Engine) -> None:
    """Let every capability read its stage's topics."""
    read: dict[AgentBuilder, list[str]] = {}
    for name, topics_read in stage_topics(config).items():
        for build_agent in _agents(name, config):
            read.setdefault(build_agent, []).extend(topics_read)
    # One agent a capability, whatever the number of its stages: Faust knows agents by their names.
    topics = {names: app.topic(*names, schema=BatchSchema()) for names in map(tuple, read.values())}
    for build_agent, inputs in read.items():
        build_agent(app, topics[tuple(inputs)], engine.deliver)


def _agents(stage: str, config: WorkerConfig) -> list[AgentBuilder]:
    """Return the agents of *stage*, in the order of the flow."""
    enabled = config.capabilities
    if is_rekeyed(stage):
        return [rekey.build_agent]
    if reads_metrics(stage):
        return [metric_samples.build_agent]
    if stage == SPANS:
        by_capability = {
            RED: red.build_agent,
            SERVICE_GRAPH: service_graph.build_agent,
            ALERTS: matches.build_agent,
            SAMPLING: sampling.build_agent,
        }
        return [build for name, build in by_capability.items() if name in enabled]
    if stage == ROLLUPS:
        found = {
            metrics.build_agent: has_metrics(config),
            service_graph.build_links_agent: has_links(config),
            alerts.build_agent: ALERTS in enabled,
        }
        return [build for build, is_wanted in found.items() if is_wanted]
    return [notifier.build_agent]
