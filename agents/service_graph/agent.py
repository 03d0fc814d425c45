"""The service graph agent: hands each batch of its partition to the engine."""

from collections.abc import Awaitable, Callable
from typing import Any

import faust

NAME = "service_graph"
LINKS = "service_graph_links"
"""The agent of the second stage, which joins what links bring together."""

Deliver = Callable[[str, Any], Awaitable[None]]


def build_agent(app: faust.App, spans: Any, deliver: Deliver) -> Any:
    """Return the Faust agent that reads the topic *spans*."""
    return _agent(app, spans, deliver, NAME)


def build_links_agent(app: faust.App, rollups: Any, deliver: Deliver) -> Any:
    """Return the Faust agent that reads the topic *rollups*."""
    return _agent(app, rollups, deliver, LINKS)


def _agent(app: faust.App, topic: Any, deliver: Deliver, name: str) -> Any:
    async def service_graph(stream: Any) -> None:
        async for event in stream.noack().events():
            try:
                await deliver(name, event.value)
            finally:
                event.ack()

    return app.agent(topic, name=name)(service_graph)
