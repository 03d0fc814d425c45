"""The matches agent: hands each batch of its partition to the engine."""

from collections.abc import Awaitable, Callable
from typing import Any

import faust

NAME = "matches"


def build_agent(app: faust.App, spans: Any, deliver: Callable[[str, Any], Awaitable[None]]) -> Any:
    """Return the Faust agent that reads the topic *spans*."""

    async def matches(stream: Any) -> None:
        async for event in stream.noack().events():
            try:
                await deliver(NAME, event.value)
            finally:
                event.ack()

    return app.agent(spans, name=NAME)(matches)
