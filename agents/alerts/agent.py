"""The alerts agent: hands each batch of its partition to the engine."""

from collections.abc import Awaitable, Callable
from typing import Any

import faust

NAME = "alerts"


def build_agent(
    app: faust.App, rollups: Any, deliver: Callable[[str, Any], Awaitable[None]]
) -> Any:
    """Return the Faust agent that reads the topic *rollups*."""

    async def alerts(stream: Any) -> None:
        async for event in stream.noack().events():
            try:
                await deliver(NAME, event.value)
            finally:
                event.ack()

    return app.agent(rollups, name=NAME)(alerts)
