"""What `/metrics/series` answers: the series of which this worker is the one writer.

A worker may have hundreds of thousands of them. Their text is made and sent piece by piece, with
everything else that the worker does in between; one scrape after the other, for the text of several
at once would only take longer for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from tailrace.agents.metrics.agent import NAME as METRICS
from tailrace.agents.metrics.family_series import FamilySeries
from tailrace.agents.metrics.logic import MetricsLogic
from tailrace.agents.metrics.openmetrics import openmetrics
from tailrace.streams.engine import Engine
from tailrace.streams.metrics import CONTENT_TYPE

_SENT_BYTES = 64 << 10


def series_page(engine: Engine) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return what answers with the series of *engine*."""
    turn = asyncio.Lock()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
        await response.prepare(request)
        async with turn:
            waiting = bytearray()
            for piece in openmetrics(_series(engine)):
                waiting += piece
                if len(waiting) >= _SENT_BYTES:
                    await response.write(bytes(waiting))
                    waiting.clear()
                await asyncio.sleep(0)
            await response.write(bytes(waiting))
        await response.write_eof()
        return response

    return answer


def _series(engine: Engine) -> Iterable[FamilySeries]:
    for runner in engine.runners.values():
        logic = runner.task.logics.get(METRICS) if runner.running else None
        if isinstance(logic, MetricsLogic):
            yield from logic.series
