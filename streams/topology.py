"""The whole topology on one page: stages, their topics, and the agents that read them."""

from __future__ import annotations

from dataclasses import dataclass

import faust

from tailrace.agents.metrics import agent as metrics
from tailrace.agents.red import agent as red
from tailrace.agents.rekey import agent as rekey
from tailrace.agents.sampling import agent as sampling
from tailrace.agents.service_graph import agent as service_graph
from tailrace.schemas.config import WorkerConfig
from tailrace.streams.app import BatchSchema
from tailrace.streams.cluster import Cluster
from tailrace.streams.engine import Engine, Stage
from tailrace.streams.rekey import RekeyTasks
from tailrace.streams.rollups import RollupTasks
from tailrace.streams.spans import SpanTasks
from tailrace.streams.stages import ROLLUPS, SPANS, is_rekeyed, stage_topics

_QUIET_S = 5.0
"""Rollups come every second, and are soon read again; what they lead to is written at once."""


@dataclass(frozen=True, slots=True)
class Topology:
    """The stages in the order of the flow, and what builds the tasks of the spans stage."""

    stages: list[Stage]
    spans: SpanTasks


def build(config: WorkerConfig, cluster: Cluster) -> Topology:
    """Return the stages that *config* asks for."""
    spans = SpanTasks(config, cluster)
    stages = []
    for name, inputs in stage_topics(config).items():
        if is_rekeyed(name):
            stages.append(Stage(name, inputs, RekeyTasks(config, cluster).build))
        elif name == SPANS:
            stages.append(Stage(name, inputs, spans.build))
        else:
            stages.append(Stage(name, inputs, RollupTasks(config, cluster).build, _QUIET_S))
    return Topology(stages, spans)


def add_agents(app: faust.App, config: WorkerConfig, engine: Engine) -> None:
    """Let every capability read its stage's topics."""
    inputs = stage_topics(config)
    spans = app.topic(*inputs[SPANS], schema=BatchSchema())
    sampling.build_agent(app, spans, engine.deliver)
    if config.span_metrics.enabled:
        red.build_agent(app, spans, engine.deliver)
    if config.service_graph.enabled:
        service_graph.build_agent(app, spans, engine.deliver)
    if ROLLUPS in inputs:
        rollups = app.topic(*inputs[ROLLUPS], schema=BatchSchema())
        metrics.build_agent(app, rollups, engine.deliver)
    if not config.input.keyed_by_trace_id:
        unkeyed = app.topic(*config.input.topics, schema=BatchSchema())
        rekey.build_agent(app, unkeyed, engine.deliver)
