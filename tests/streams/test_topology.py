"""Every topic that a stage reads is read by the agents of its capabilities, each by one name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tailrace.schemas.config import WorkerConfig
from tailrace.streams.stages import stage_topics
from tailrace.streams.topology import add_agents


class Agents:
    """Takes agents as a Faust app does: a later one of the same name replaces the earlier."""

    def __init__(self) -> None:
        self.read: dict[str, tuple[str, ...]] = {}

    def topic(self, *names: str, schema: object) -> tuple[str, ...]:
        return names

    def agent(self, topic: tuple[str, ...], name: str) -> Callable[[Any], Any]:
        def take(body: Any) -> Any:
            self.read[name] = topic
            return body

        return take


class Delivery:
    """All that agents want of an engine."""

    async def deliver(self, name: str, batch: object) -> None:
        """Nothing comes here."""


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({}, id="of spans by trace ID"),
        pytest.param(
            {"input": {"topics": ["a", "b", "c"], "keyed_by_trace_id": False}},
            id="of several inputs that are re-keyed",
        ),
        pytest.param({"input": {"metrics": ["m", "n"]}}, id="of several topics of metrics"),
        pytest.param({"only": ["notifier"]}, id="of the notifier alone"),
    ],
)
def test_agents_read_all_topics(said: dict[str, Any]) -> None:
    config = WorkerConfig.model_validate(said)
    agents: Any = Agents()
    engine: Any = Delivery()
    add_agents(agents, config, engine)
    read = {topic for topics in agents.read.values() for topic in topics}
    assert read == {topic for topics in stage_topics(config).values() for topic in topics}
