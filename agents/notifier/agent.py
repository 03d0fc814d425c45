"""The notifier agent: hands each batch of its partition to the engine."""

from collections.abc import Awaitable, Callable
from typing import Any

import faust

NAME = "notifier"


def build_agent(app: faust.App, alerts: Any, deliver: Callable[[str, Any], Awaitable[None]]) -> Any:
    """Return the Faust agent that reads the topic *alerts*."""

    async def notifier(stream: Any) -> None:
        async for event in stream.noack().events():
            try:
                await deliver(NAME, event.value)
            finally:
                event.ack()

    return app.agent(alerts, name=NAME)(notifier)
