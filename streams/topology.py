"""The whole topology on one page: stages, their topics, and the agents that read them."""

from __future__ import annotations

import faust

from tailrace.agents.sampling import agent as sampling
from tailrace.schemas.config import WorkerConfig
from tailrace.streams.app import BatchSchema
from tailrace.streams.engine import Engine, Stage
from tailrace.streams.spans import STAGE as SPANS
from tailrace.streams.spans import SpanTasks


def stages(config: WorkerConfig, spans: SpanTasks) -> list[Stage]:
    """Return the stages, in the order of the flow."""
    return [Stage(SPANS, tuple(config.input.topics), spans.build)]


def add_agents(app: faust.App, config: WorkerConfig, engine: Engine) -> None:
    """Let every capability read its stage's topics."""
    spans = app.topic(*config.input.topics, schema=BatchSchema())
    sampling.build_agent(app, spans, engine.deliver)


__all__ = ["SpanTasks", "add_agents", "stages"]
