"""The agent of metrics that come in: hands each batch of its partition to the engine."""

from collections.abc import Awaitable, Callable
from typing import Any

import faust

NAME = "metric_samples"


def build_agent(
    app: faust.App, metrics: Any, deliver: Callable[[str, Any], Awaitable[None]]
) -> Any:
    """Return the Faust agent that reads the topic *metrics*."""

    async def metric_samples(stream: Any) -> None:
        async for event in stream.noack().events():
            try:
                await deliver(NAME, event.value)
            finally:
                event.ack()

    return app.agent(metrics, name=NAME)(metric_samples)
