"""What `/metrics/series` answers: the series of which this worker is the one writer.

A worker may have hundreds of thousands of them. Their text is made and sent piece by piece, with
everything else that the worker does in between; one scrape after the other, for the text of several
at once would only take longer for each. So whoever does not read what it asked for is dropped, for
the sake of those that wait for their turn.

A flush is shown before it is committed. Who takes a partition over begins with what is committed,
and is not told of before it is as far as the one before can have been: no counter falls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

from aiohttp import web

from tailrace.agents.metrics.agent import NAME as METRICS
from tailrace.agents.metrics.family_series import FamilySeries
from tailrace.agents.metrics.logic import MetricsLogic
from tailrace.agents.metrics.openmetrics import openmetrics
from tailrace.streams.engine import Engine
from tailrace.streams.metrics import CONTENT_TYPE
from tailrace.streams.task import Task, TaskId

_SENT_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a scraper may let us wait: at a time, and in all, for what it has yet to read."""

    pause_s: float = 5.0
    all_s: float = 60.0


_PATIENCE: Final = Patience()

_Ends = WeakKeyDictionary[Task[Any], int]
"""Where the log ended, all topics together, when a task that took over was first looked at."""


def series_page(
    engine: Engine, patience: Patience = _PATIENCE
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return what answers with the series of *engine*, to those that read it with *patience*."""
    turn = asyncio.Lock()
    ends: _Ends = WeakKeyDictionary()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
        try:
            await response.prepare(request)
            async with turn:
                await _tell(_series(engine, ends), _Reader(response, patience))
            await response.write_eof()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        except ConnectionResetError:
            pass  # whoever asked is gone, as Prometheus is when its timeout is over
        return response

    return answer


async def _tell(series: Iterable[FamilySeries], reader: _Reader) -> None:
    waiting = bytearray()
    for piece in openmetrics(series):
        waiting += piece
        if len(waiting) >= _SENT_BYTES:
            await reader.write(bytes(waiting))
            waiting.clear()
        await asyncio.sleep(0)
    await reader.write(bytes(waiting))


class _Reader:
    """Who reads *response*, or is given up with a TimeoutError."""

    def __init__(self, response: web.StreamResponse, patience: Patience) -> None:
        self._response = response
        self._pause_s = patience.pause_s
        self._left_s = patience.all_s

    async def write(self, text: bytes) -> None:
        """Send *text*, except for what is on its way when this returns."""
        now = asyncio.get_running_loop().time
        began = now()
        async with asyncio.timeout(min(self._pause_s, self._left_s)):
            await self._response.write(text)
        self._left_s -= now() - began


def _series(engine: Engine, ends: _Ends) -> Iterable[FamilySeries]:
    for task_id, runner in engine.runners.items():
        logic = runner.task.logics.get(METRICS) if runner.running else None
        if isinstance(logic, MetricsLogic) and _has_caught_up(engine, task_id, ends):
            yield from logic.series


def _has_caught_up(engine: Engine, task_id: TaskId, ends: _Ends) -> bool:
    """Return whether a task has seen all that was there when it was first looked at."""
    lag, task = engine.lag(task_id), engine.runners[task_id].task
    if lag is None:
        return False
    position = sum(task.positions.values())
    return position >= ends.setdefault(task, position + lag)
